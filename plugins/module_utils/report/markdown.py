# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as Markdown for GitHub and GitLab. Text is escaped, so it contains no markup or link (pure)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .view import TIMES, VERDICTS

Record = Mapping[str, Any]

# One symbol for each verdict, all of the same width.
SIGNS = {"failed": "❌", "warning": "🔶", "skipped": "⚪", "ok": "✅"}

# Inline markup: emphasis, code, links, HTML, entities, cells, strikethrough, math. An underscore is no markup within a
# word; a number sign is markup only before a word or at the end of a heading. GitHub also links bare URLs.
_MARKUP = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])|(?<!\S)#|:(?=//)|(?i:(?<=www)\.)")


def document(view: Record, title: str) -> str:
    """The whole report of a view."""
    heading = f"# {signed(view['verdict'])}: {text(view['headline'])}"
    counts = ", ".join(f"{view['counts'][each]} {each}" for each in VERDICTS if view["counts"][each])
    lines = [heading, "", f"{text(view['summary'])}, {text(view['time'])}, {text(title)}", "", counts, ""]
    lines += _first(view["first"]) if view["first"] else []
    for each in _tables(view):
        lines += [f"## {text(each['title'])}", "", each["table"], ""]
    return "\n".join(lines)


def _first(check: Record) -> list[str]:
    label = "First failure" if check["verdict"] == "failed" else "First warning"
    more = f"<{check['link']}>" if check["link"] else text(check["doc"])
    facts = {
        label: text(f"{check['cluster']}: {check['check']}"),
        "Result": text(check["message"]),
        "What to do": text(check["hint"]),
        "Object": text(check["object"]),
        "More": more,
    }
    return [*(f"- **{term}:** {value}" for term, value in facts.items() if value), ""]


def text(value: Any) -> str:
    """*value* on one line, with Markdown markup escaped by backslashes."""
    return _MARKUP.sub(lambda found: f"\\{found.group()}", " ".join(str(value).split()))


def signed(verdict: str) -> str:
    """A verdict as a shape and a word."""
    return f"{SIGNS[verdict]} {verdict}"


def _tables(view: Record) -> list[dict[str, Any]]:
    """``{title, table}`` of everything in the view."""
    tables = [_checks(cluster) for cluster in view["clusters"] if cluster["checks"]]
    tables += [_proof(proof) for proof in view["proofs"]]
    tables += [_destinations(view), _routes(view)]
    tables += [_gateway(gateway) for cluster in view["clusters"] for gateway in cluster["gateways"]]
    tables += [_facts(cluster) for cluster in view["clusters"]]
    return [each for each in tables if each["table"]]


def _checks(cluster: Record) -> dict[str, Any]:
    counts = ", ".join(f"{cluster['counts'][each]} {each}" for each in SIGNS if cluster["counts"][each])
    rows = [
        (signed(each["verdict"]), _lines(each["check"], each["object"]), _lines(each["message"], _hint(each)))
        for each in cluster["checks"]
    ]
    return _section(f"{cluster['cluster'] or 'All clusters'}: {counts}", rows, ("Verdict", "Check", "Result"))


def _hint(check: Record) -> str:
    return f"What to do: {check['hint']}" if check["hint"] and check["verdict"] in ("failed", "warning") else ""


def _lines(*texts: str) -> tuple[str, ...]:
    return tuple(each for each in texts if each)


def _proof(proof: Record) -> dict[str, Any]:
    sender = "through the gateway of" if proof["url"] else "from a Pod of"
    title = f"{proof['proof']}: {proof['sent']} {TIMES} GET {proof['path']} {sender} {proof['cluster']}"
    rows = [(each["instance"], each["cluster"] or "unknown", each["count"]) for each in proof["answers"]]
    rows += [(f"{SIGNS['failed']} failed: {each['status']}", "", each["count"]) for each in proof["failures"]]
    return _section(title, rows or [("no response", "", 0)], ("Instance", "Cluster", "Responses"))


def _destinations(view: Record) -> dict[str, Any]:
    rows = [
        (
            _lines(each["title"], each["object"]),
            f"{SIGNS[each['verdict']]} {each['state']}",
            tuple(
                f"{SIGNS['ok' if one['ready'] else 'failed']} {one['pod']} in {one['cluster']}"
                for one in each["instances"]
            ),
        )
        for each in view["destinations"]
    ]
    return _section("Destinations", rows, ("Destination", "State", "Instances"))


def _routes(view: Record) -> dict[str, Any]:
    rows = [
        (
            f"{each['namespace']}/{each['name']} in {each['cluster']}",
            each["gateway"],
            ", ".join(each["hostnames"]) or "any",
            ", ".join(each["backends"]),
        )
        for each in view["routes"]
    ]
    return _section("Routes", rows, ("HTTPRoute", "Gateway", "Hostnames", "Backends"))


def _gateway(gateway: Record) -> dict[str, Any]:
    rows: list[Sequence[Any]] = [("state", f"{SIGNS[gateway['verdict']]} {gateway['state']}")]
    rows += [("problem", each) for each in gateway["problems"]]
    rows += [(each["term"], each["value"]) for each in gateway["facts"]]
    for pod in gateway["pods"]:
        containers = tuple(
            f"{SIGNS['ok' if each['ready'] else 'failed']} {each['name']}: "
            f"{', '.join(_lines(each['state'], each['reason']))}, {each['restarts']} restarts, {each['image']}"
            for each in pod["containers"]
        )
        rows.append((f"Pod {pod['name']}", containers))
    return _section(f"Gateway {gateway['name']} in {gateway['cluster']}", rows, ("What", "Value"))


def _facts(cluster: Record) -> dict[str, Any]:
    rows = [(each["term"], each["value"]) for each in cluster["facts"]]
    return _section(f"{cluster['cluster']}: versions and addresses", rows, ("What", "Value"))


def _section(title: str, rows: Sequence[Sequence[Any]], titles: Sequence[str]) -> dict[str, Any]:
    return {"title": title, "table": table(rows, titles) if rows else ""}


def table(rows: Iterable[Sequence[Any]], titles: Sequence[str]) -> str:
    """A table; all columns except the last, which may be long, are aligned in the source.

    A tuple is shown as lines of a cell.
    """
    cells = [list(titles), *([_cell(each) for each in row] for row in rows)]
    widths = [max(3, *(_width(row[column]) for row in cells)) for column in range(len(titles) - 1)] + [0]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, _line(["-" * max(3, width) for width in widths], widths))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "<br>".join(text(each) for each in value) if isinstance(value, tuple) else text(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell + ' ' * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))} |"


def _width(cell: str) -> int:
    """Columns of a terminal. East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in cell
    )
