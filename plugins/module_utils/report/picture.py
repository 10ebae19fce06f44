# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layout of the picture in a report: positions of boxes, lines and texts (pure). svg.py renders it.

Management clusters are at the top, workload clusters in a grid below. Relay lines start at the top, with their trunk
in the right margin. Traffic lines are below the rows and at the left of a cluster, with their trunk in the left margin,
so the two never cross.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .view import TIMES

Record = Mapping[str, Any]
Counts = Mapping[tuple[str, str], int]  # answers by cluster and instance
Shapes = dict[str, list[dict[str, Any]]]

# Pixels, as all numbers here.
PAD = 14  # inside a box
LANE = 50  # from a cluster's left side to its inner boxes: the arrows and their counts
LEFT = 22  # margin for the trunk of traffic
RIGHT = 18  # margin for the trunk of the relay
GUTTER = 34  # between columns
CHANNEL = 44  # between rows
DROP = 26  # from a management cluster down to the first row
LEAST_CLUSTER = 300  # narrower clusters would cut names of Pods
LEAST_DESTINATION = 300
MARK = 14
ROW = 26  # of an instance

# Font size and average character width, sufficient for the default fonts of browsers.
FONTS = {
    "name": (15, 10.2),
    "title": (12, 7.8),
    "fact": (12, 6.9),
    "code": (10.5, 6.4),
    "count": (11, 7.6),
    "no-response": (11, 7.6),
}


def layout(view: Record, width: int) -> dict[str, Any]:
    """``{width, height, description, boxes, lines, texts, marks}`` of a view, *width* pixels wide, at least 300.

    A box is ``{kind, x, y, width, height, verdict}``, a line ``{kind, points, verdict, arrow}``, a text ``{kind, x, y,
    text, full, anchor}`` where *full* is the text that was shortened, a mark ``{verdict, x, y}``.
    """
    picture: Shapes = {"boxes": [], "lines": [], "texts": [], "marks": []}
    counts = _counts(view["proofs"])
    y = 0
    management = [each for each in view["clusters"] if each["role"] == "management"]
    workloads = [each for each in view["clusters"] if each["role"] == "workload"]
    for cluster in management:
        stack = _Stack(width, lane=PAD)
        _management(stack, cluster, view, counts)
        _put(picture, stack.shapes, 0, y)
        y += stack.height + (PAD if cluster is not management[-1] else 0)
    bottom = y
    rows = _grid(workloads, view, counts, width)
    y += DROP if management and rows else 0
    relay, traffic = [], []
    for row in rows:
        height = max(stack.height for _x, stack, _cluster in row)
        for x, stack, cluster in row:
            stack.shapes["boxes"][0]["height"] = height
            _put(picture, stack.shapes, x, y)
            relay.append((x + stack.width - 24, y, cluster))
        traffic.append((y + height + CHANNEL // 3, [(x, [y + each for each in stack.ports]) for x, stack, _c in row]))
        y += height + CHANNEL
    if management:
        picture["lines"] += _relay_lines(relay, bottom, width)
    picture["lines"] += _traffic_lines(traffic)
    end = y - CHANNEL + (CHANNEL // 2 if len(traffic) > 0 else 0) if rows else bottom
    return {"width": width, "height": end, "description": _description(view, counts), **picture}


class _Stack:
    """Shapes of one cluster from top to bottom, its upper left corner at 0, 0."""

    def __init__(self, width: int, lane: int) -> None:
        self.width, self.lane = width, lane
        self.height = PAD
        self.shapes: Shapes = {"boxes": [], "lines": [], "texts": [], "marks": []}
        self.ports: list[int] = []  # where lines of traffic leave or arrive at its left side

    def text(self, kind: str, x: int, baseline: int, text: str, room: float, anchor: str = "start") -> None:
        shown = fit(text, room, kind)
        full = text if shown != text else ""
        place = {"x": x, "y": baseline, "anchor": anchor}
        self.shapes["texts"].append({"kind": kind, "text": shown, "full": full, **place})

    def ends(self, x: int, baseline: int, room: int, left: tuple[str, str], right: str) -> None:
        """A text of a kind on the left; on the right a fact, in at most half the width."""
        taken = min(text_width(right, "fact"), 0.55 * room)
        self.text(left[0], x, baseline, left[1], room - taken - 8)
        self.text("fact", x + room, baseline, right, taken, "end")

    def mark(self, verdict: str, x: int, y: int) -> None:
        self.shapes["marks"].append({"verdict": verdict, "x": x, "y": y})

    def box(self, kind: str, x: int, y: int, width: int, height: int, verdict: str) -> None:
        self.shapes["boxes"].append(
            {"kind": kind, "x": x, "y": y, "width": width, "height": height, "verdict": verdict}
        )

    def header(self, cluster: Record, note: str) -> None:
        self.box("cluster", 0, 0, self.width, 0, cluster["verdict"])
        room = self.width - 2 * PAD - MARK - 8
        self.mark(cluster["verdict"], PAD, self.height)
        self.ends(PAD + MARK + 8, self.height + 12, room, ("name", cluster["cluster"]), note)
        self.height += 24

    def line(self, text: str, verdict: str = "", indented: bool = False) -> None:
        indent = MARK + 6 if verdict or indented else 0
        if verdict:
            self.mark(verdict, PAD, self.height)
        self.text("fact", PAD + indent, self.height + 11, text, self.width - 2 * PAD - indent)
        self.height += 18

    def close(self) -> None:
        self.height += PAD - 4
        self.shapes["boxes"][0]["height"] = self.height


def _management(stack: _Stack, cluster: Record, view: Record, counts: Counts) -> None:
    stack.header(cluster, "management")
    facts = {each["term"]: each["value"] for each in cluster["facts"]}
    for term in ("relay", "telemetry"):
        if term in facts:
            stack.line(f"{term} {facts[term]}")
    _causes(stack, cluster)
    _destinations(stack, view["destinations"])
    _inner(stack, cluster, view, counts)
    stack.close()


def _destinations(stack: _Stack, destinations: Sequence[Record]) -> None:
    """VirtualDestinations side by side: they are objects of the management cluster."""
    room = stack.width - 2 * PAD
    columns = max(1, min(len(destinations), (room + PAD) // (LEAST_DESTINATION + PAD)))
    width = (room - (columns - 1) * PAD) // columns
    for start in range(0, len(destinations), columns):
        stack.height += 6
        for column, each in enumerate(destinations[start : start + columns]):
            x = PAD + column * (width + PAD)
            stack.box("destination", x, stack.height, width, 48, each["verdict"])
            stack.mark(each["verdict"], x + 10, stack.height + 10)
            room = width - 42
            stack.ends(x + 32, stack.height + 21, room, ("code", each["title"]), each["state"])
            stack.text("fact", x + 32, stack.height + 39, each["object"], room)
        stack.height += 48 + 6


def _workload(width: int, cluster: Record, view: Record, counts: Counts) -> _Stack:
    stack = _Stack(width, LANE)
    facts = {each["term"]: each["value"] for each in cluster["facts"]}
    stack.header(cluster, f"Kubernetes {facts['Kubernetes']}" if "Kubernetes" in facts else "")
    for term in ("istiod", "east-west gateway"):
        if term in facts:
            stack.line(f"{term} {facts[term]}")
    if cluster["agent"]:
        stack.line(f"agent {cluster['agent']}", "failed" if cluster["agent"] == "disconnected" else "")
    _causes(stack, cluster)
    _inner(stack, cluster, view, counts)
    stack.close()
    return stack


def _causes(stack: _Stack, cluster: Record) -> None:
    """The first failed check, else the first warning."""
    for verdict in ("failed", "warning"):
        found = [each for each in cluster["checks"] if each["verdict"] == verdict]
        if found:
            lines = textwrap.wrap(found[0]["check"], _columns(stack), max_lines=3, placeholder="…")
            for index, each in enumerate(lines):
                stack.line(each, "" if index else verdict, indented=bool(index))
            return


def _columns(stack: _Stack) -> int:
    """Number of characters that fit in a line with a mark."""
    return int((stack.width - 2 * PAD - MARK - 6) / FONTS["fact"][1])


def _inner(stack: _Stack, cluster: Record, view: Record, counts: Counts) -> None:
    """Gateways and the instances behind each host: boxes at the ends of traffic lines."""
    width = stack.width - stack.lane - PAD
    for gateway in cluster["gateways"]:
        stack.height += 6
        sent = _sent(view["proofs"], cluster["cluster"], gateway)
        stack.box("gateway", stack.lane, stack.height, width, 66, gateway["verdict"])
        stack.mark(gateway["verdict"], stack.lane + 10, stack.height + 10)
        stack.text("title", stack.lane + 32, stack.height + 21, f"Gateway {gateway['name']}", width - 42)
        stack.text("code", stack.lane + 32, stack.height + 39, gateway["url"] or "no address", width - 42)
        containers = f"{len(gateway['containers'])} containers"
        stack.text("fact", stack.lane + 32, stack.height + 57, f"{gateway['state']}, {containers}", width - 42)
        _port(stack, stack.height + 33, "sent" if sent else "idle", f"{sent}{TIMES}" if sent else "", arrow=False)
        stack.height += 66 + 6
    for destination in view["destinations"]:
        instances = [each for each in destination["instances"] if each["cluster"] == cluster["cluster"]]
        if not instances:
            continue
        requested = any(_count(counts, each) for each in destination["instances"])
        stack.height += 6
        stack.box("instances", stack.lane, stack.height, width, 28 + ROW * len(instances), "")
        stack.text("code", stack.lane + 10, stack.height + 18, destination["title"], width - 20)
        stack.height += 26
        for instance in instances:
            count = _count(counts, instance)
            verdict = "failed" if not instance["ready"] else "warning" if requested and not count else "ok"
            stack.mark(verdict, stack.lane + 10, stack.height + 5)
            stack.text("code", stack.lane + 32, stack.height + 16, instance["pod"], width - 40)
            state = "responded" if count else "no-response" if requested else "idle"
            _port(stack, stack.height + 12, state, f"{count}{TIMES}" if requested else "", arrow=True)
            stack.height += ROW
        stack.height += 2 + 6


def _port(stack: _Stack, y: int, verdict: str, count: str, arrow: bool) -> None:
    """A line between the left side of an inner box and the lane outside the cluster, with a count above it."""
    if stack.lane != LANE:
        return
    points = [(-_LANE_OUTSIDE, y), (stack.lane - 2, y)]
    stack.shapes["lines"].append({"kind": "traffic", "points": points, "verdict": verdict, "arrow": arrow})
    if count:
        stack.text(
            "no-response" if verdict == "no-response" else "count", stack.lane // 2, y - 5, count, stack.lane, "middle"
        )
    stack.ports.append(y)


_LANE_OUTSIDE = LEFT // 2
_Placed = tuple[int, _Stack, Record]  # with the x of its left side


def _grid(clusters: Sequence[Record], view: Record, counts: Counts, width: int) -> list[list[_Placed]]:
    """Rows of clusters side by side."""
    room = width - LEFT - RIGHT
    columns = max(1, min(len(clusters), (room + GUTTER) // (LEAST_CLUSTER + GUTTER)))
    each_width = (room - (columns - 1) * GUTTER) // columns
    return [
        [
            (LEFT + column * (each_width + GUTTER), _workload(each_width, cluster, view, counts), cluster)
            for column, cluster in enumerate(clusters[start : start + columns])
        ]
        for start in range(0, len(clusters), columns)
    ]


def _relay_lines(drops: Sequence[tuple[int, int, Record]], bottom: int, width: int) -> list[dict[str, Any]]:
    """From the management cluster to every agent: straight to those below it, by the right margin to the others."""
    trunk = width - RIGHT // 2
    lines: list[tuple[str, list[tuple[int, int]]]] = []
    for x, y, cluster in drops:
        start = bottom if y - bottom <= DROP else y - 12
        lines.append(("disconnected" if cluster["agent"] == "disconnected" else "connected", [(x, start), (x, y)]))
    for y in sorted({y - 12 for _x, y, _cluster in drops if y - bottom > DROP}):
        lines.append(("joined", [(trunk, bottom), (trunk, y)]))
        lines.append(("joined", [(trunk, y), (min(x for x, top, _cluster in drops if top == y + 12), y)]))
        bottom = y
    return [{"kind": "relay", "points": points, "verdict": verdict, "arrow": False} for verdict, points in lines]


def _traffic_lines(rows: Sequence[tuple[int, Sequence[tuple[int, Sequence[int]]]]]) -> list[dict[str, Any]]:
    """Lines between the ports of all clusters: along their sides, the channel below each row and the left margin."""
    lines: list[list[tuple[int, int]]] = []
    busy = [(channel, [(x - _LANE_OUTSIDE, ports) for x, ports in row if ports]) for channel, row in rows]
    busy = [(channel, row) for channel, row in busy if row]
    trunk = LEFT - _LANE_OUTSIDE
    everything = [(x, y) for _channel, row in busy for x, ports in row for y in ports]
    if len({x for x, _y in everything}) <= 1:
        if len(everything) > 1:
            x = everything[0][0]
            lines.append([(x, min(y for _x, y in everything)), (x, max(y for _x, y in everything))])
    else:
        for channel, row in busy:
            lines += [[(x, min(ports)), (x, channel)] for x, ports in row]
            start = trunk if len(busy) > 1 else min(x for x, _ports in row)
            lines.append([(start, channel), (max(x for x, _ports in row), channel)])
        if len(busy) > 1:
            lines.append([(trunk, busy[0][0]), (trunk, busy[-1][0])])
    return [{"kind": "traffic", "points": points, "verdict": "joined", "arrow": False} for points in lines]


def _put(picture: Shapes, shapes: Shapes, x: int, y: int) -> None:
    for name, found in shapes.items():
        for each in found:
            if "points" in each:
                moved = {**each, "points": [(x + px, y + py) for px, py in each["points"]]}
            else:
                moved = {**each, "x": x + each["x"], "y": y + each["y"]}
            picture[name].append(moved)


def _counts(proofs: Iterable[Record]) -> Counts:
    """Responses to requests through a gateway. The cluster of a response may be unknown."""
    result: dict[tuple[str, str], int] = {}
    for proof in proofs:
        for each in proof["answers"] if proof["url"] else ():
            key = (each["cluster"] or "", each["instance"])
            result[key] = result.get(key, 0) + each["count"]
    return result


def _count(counts: Counts, instance: Record) -> int:
    return counts.get((instance["cluster"], instance["pod"]), 0) + counts.get(("", instance["pod"]), 0)


def _sent(proofs: Iterable[Record], cluster: str, gateway: Record) -> int:
    """Requests that were sent to the gateway."""
    if not gateway["url"]:
        return 0
    return sum(each["sent"] for each in proofs if each["cluster"] == cluster and each["url"] == gateway["url"])


def _description(view: Record, counts: Counts) -> str:
    """Text description of the picture, for screen readers."""
    parts = []
    for cluster in view["clusters"]:
        words = [f"{cluster['role']} cluster {cluster['cluster']}: {cluster['verdict']}"]
        words += [f"agent {cluster['agent']}"] if cluster["agent"] else []
        words += [f"gateway {each['name']} at {each['url'] or 'no address'}" for each in cluster["gateways"]]
        words += [
            f"{each['pod']} responded {_count(counts, each)} times"
            for destination in view["destinations"]
            for each in destination["instances"]
            if each["cluster"] == cluster["cluster"]
        ]
        parts.append(", ".join(words))
    return "; ".join(parts)


def fit(text: str, room: float, kind: str) -> str:
    """*text*, shortened in the middle to fit *room*: the end distinguishes Pods of one workload."""
    if text_width(text, kind) <= room:
        return text
    keep = len(text)
    while keep > 1:
        keep -= 1
        shown = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
        if text_width(shown, kind) <= room:
            return shown
    return "…"


def text_width(text: str, kind: str) -> float:
    """Pixels *text* may need. East Asian characters are twice as wide."""
    cells = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
    return cells * FONTS[kind][1]
