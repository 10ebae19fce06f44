"""The picture of a report: for any clusters nothing overlaps or leaves it, and every instance is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.report import picture as pictures
from ansible_collections.multicluster.gloo.plugins.module_utils.report import view as views

WIDTHS = (340, 700, 1214)
VERDICTS = ["ok", "warning", "failed", "skipped"]

Json = Sequence[dict[str, Any]]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def check(cluster: str, statement: str, verdict: str) -> dict[str, Any]:
    empty = dict.fromkeys(("message", "hint", "doc", "object"), "")
    return {"id": "x", "cluster": cluster, "check": statement, "verdict": verdict, **empty}


def result(clusters: Json, destinations: Json, answers: Json, checks: Json = ()) -> dict[str, Any]:
    """A result of health_info with what a picture shows."""
    told = {"verdict": "ok", "seconds": 1.0, "time": "", "first": None}
    return {**told, "checks": checks, "clusters": clusters, "destinations": destinations, "answers": answers}


def health_of(count: int, texts: list[str], seed: int) -> dict[str, Any]:
    """A result of health_info over *count* workload clusters."""
    random = Random(seed)

    def text() -> str:
        return random.choice(texts)

    names = [f"{number}{text()}" for number in range(count)]
    clusters: list[dict[str, Any]] = [{"cluster": "m", "role": "management", "relay_address": text()}]
    for name in names:
        url = random.choice(["", "http://192.0.2.1:8080"])
        gateway = {"cluster": name, "namespace": text(), "gateway": text(), "verdict": "ready", "url": url}
        told = {"version": text(), "east_west": [text()], "agent": random.choice([None, "connected"])}
        clusters.append({"cluster": name, "role": "workload", "gateways": [gateway] * random.randrange(3), **told})
    destinations: list[dict[str, Any]] = [
        {
            "host": text(),
            "port": 80,
            "namespace": "n",
            "name": text(),
            "state": random.choice(["ACCEPTED", ""]),
            "instances": [
                {"cluster": cluster, "pod": f"pod-{number}-{index}-{text()}", "ready": random.random() < 0.9}
                for index, cluster in enumerate(random.choices(names, k=random.randrange(2 * count)))
            ],
        }
        for number in range(random.randrange(4))
    ]
    pods = [(each["cluster"], each["pod"]) for destination in destinations for each in destination["instances"]]
    answers = [{"instance": pod, "cluster": cluster, "count": random.randrange(9999)} for cluster, pod in pods]
    proof = {"proof": "p", "cluster": names[0], "path": "/", "url": "http://192.0.2.1:8080", "sent": 99999}
    checks = [check(random.choice(names), text() * random.randrange(1, 4), random.choice(VERDICTS)) for _ in names]
    return result(clusters, destinations, [{**proof, "answers": answers}], checks)


def any_picture(test: Callable[..., None]) -> Callable[..., None]:
    """Runs *test* with results over 1 to 50 clusters. A seed spares Hypothesis thousands of draws."""
    texts = st.lists(st.text("abcXYZ- …é雨0", min_size=1, max_size=60), min_size=1, max_size=4)
    healths = {"count": st.integers(1, 50), "texts": texts, "seed": st.integers(0, 999)}

    @settings(deadline=None, max_examples=40)
    @given(**healths, width=st.sampled_from(WIDTHS))
    def run(count: int, texts: list[str], seed: int, width: int) -> None:
        test(health_of(count, texts, seed), width)

    return run


def picture(health: dict[str, Any], width: int) -> dict[str, Any]:
    return pictures.layout(views.view(health), width)


def extent(box: dict[str, Any]) -> Box:
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def text_extent(text: dict[str, Any]) -> Box:
    width = pictures.text_width(text["text"], text["kind"])
    left = text["x"] - {"start": 0.0, "middle": width / 2, "end": width}[text["anchor"]]
    return left, text["y"] - pictures.FONTS[text["kind"]][0] * 0.8, left + width, text["y"] + 2


def within(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@any_picture
def test_boxes_stand_apart_or_one_in_the_other(health: dict[str, Any], width: int) -> None:
    boxes = [extent(each) for each in picture(health, width)["boxes"]]
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            assert apart(one, other) or within(one, other) or within(other, one), (one, other)


@pytest.mark.slow
@any_picture
def test_nothing_leaves_the_picture_and_no_text_its_box(health: dict[str, Any], width: int) -> None:
    found = picture(health, width)
    whole = (0, 0, found["width"], found["height"])
    boxes = [extent(each) for each in found["boxes"]]
    for each in found["marks"]:
        mark = (each["x"], each["y"], each["x"] + pictures.MARK, each["y"] + pictures.MARK)
        assert any(within(mark, box) for box in boxes), each
    for each in found["texts"]:
        assert any(within(text_extent(each), box) for box in boxes), each
    for box in boxes:
        assert within(box, whole)
    for each in found["lines"]:
        assert all(0 <= x <= found["width"] and 0 <= y <= found["height"] for x, y in each["points"]), each


@any_picture
def test_texts_stand_apart(health: dict[str, Any], width: int) -> None:
    found = picture(health, width)
    texts = [text_extent(each) for each in found["texts"]]
    for box in (extent(each) for each in found["boxes"] if each["kind"] == "cluster"):
        mine = [each for each in texts if within(each, box)]
        for index, one in enumerate(mine):
            for other in mine[:index]:
                assert apart(one, other), (one, other)


@any_picture
def test_lines_go_around_what_they_do_not_lead_to(health: dict[str, Any], width: int) -> None:
    found = picture(health, width)
    clusters = [extent(each) for each in found["boxes"] if each["kind"] == "cluster"]
    inner = [extent(each) for each in found["boxes"] if each["kind"] != "cluster"]
    for line in found["lines"]:
        leads_in = line["kind"] == "traffic" and line["verdict"] != "joined"
        for (x1, y1), (x2, y2) in zip(line["points"], line["points"][1:], strict=False):
            assert x1 == x2 or y1 == y2, "lines are horizontal or vertical"
            segment = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            assert all(apart(segment, box) for box in (inner if leads_in else clusters)), (line, segment)


@any_picture
def test_every_instance_is_named_once_and_every_cluster(health: dict[str, Any], width: int) -> None:
    found = picture(health, width)
    named = Counter(each["full"] or each["text"] for each in found["texts"])
    view = views.view(health)
    for destination in view["destinations"]:
        for each in destination["instances"]:
            assert named[each["pod"]] == 1
            assert each["pod"] in found["description"]
    for cluster in view["clusters"]:
        assert named[cluster["cluster"]] >= 1


def health(counts: dict[str, int], agent: str = "connected") -> dict[str, Any]:
    url = "http://192.0.2.1:8080"
    gateway = {"cluster": "east", "namespace": "n", "gateway": "http", "verdict": "ready", "url": url}
    instances = [{"cluster": cluster, "pod": pod, "ready": True} for cluster, pod in (("east", "a"), ("west", "b"))]
    answers = [{"instance": pod, "cluster": "", "count": count} for pod, count in counts.items()]
    destination: dict[str, Any] = {
        "host": "h",
        "port": 80,
        "namespace": "n",
        "name": "d",
        "state": "ACCEPTED",
        "instances": instances,
    }
    clusters: list[dict[str, Any]] = [
        {"cluster": "m", "role": "management"},
        {"cluster": "east", "role": "workload", "agent": agent, "gateways": [gateway]},
        {"cluster": "west", "role": "workload", "agent": agent},
    ]
    proof: dict[str, Any] = {"cluster": "east", "path": "/", "answers": answers}
    through = {**proof, "proof": "p", "url": url, "sent": 9}
    # Not through the gateway: no arrow of the picture tells about it.
    inside = {**proof, "proof": "q", "url": "", "sent": 5}
    return result(clusters, [destination], [through, inside])


@pytest.mark.parametrize(
    ("counts", "texts", "arrows"),
    [
        ({"a": 4, "b": 5}, {"9", "4", "5"}, ["responded", "responded"]),
        ({"a": 9}, {"9", "0"}, ["responded", "no-response"]),
        ({}, {"9"}, ["idle", "idle"]),
    ],
)
def test_arrows_tell_who_answered_how_often(counts: dict[str, int], texts: set[str], arrows: list[str]) -> None:
    found = picture(health(counts), 1214)
    told = {each["text"] for each in found["texts"] if each["kind"] in ("count", "no-response")}
    assert told == {f"{each}{views.TIMES}" for each in texts}
    assert [each["verdict"] for each in found["lines"] if each["arrow"]] == arrows


def test_a_lost_agent_is_marked() -> None:
    found = picture(health({}, agent="disconnected"), 340)
    assert [each["verdict"] for each in found["lines"] if each["kind"] == "relay"].count("disconnected") == 2
    assert any(each["verdict"] == "failed" for each in found["marks"])


def test_what_is_too_long_keeps_beginning_and_end_and_is_there_in_full() -> None:
    long = health({})
    long["destinations"][0]["instances"][0]["pod"] = pod = "a-very-long-name-of-a-workload-5d49dc8496-zpqvk"
    [text] = [each for each in picture(long, 340)["texts"] if each["full"] == pod]
    assert text["text"].startswith("a-very") and text["text"].endswith("zpqvk") and "…" in text["text"]
