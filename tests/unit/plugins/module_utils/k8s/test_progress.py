"""Progress of waits, with a fake clock."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.progress import Progress, blocked, lines
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.verdict import Verdict, ready, together, waiting

A, B = "Deployment bookinfo/a", "Deployment bookinfo/b"
NONE, HALF = waiting("0 of 2 replicas"), waiting("1 of 2 replicas")

# (second, verdicts by object, lines told then)
TABLES: dict[str, list[tuple[float, dict[str, Verdict], list[str]]]] = {
    "nothing is said of short waits": [
        (0.0, {A: NONE}, []),
        (1.9, {A: NONE, B: NONE}, []),
    ],
    "a line for each object": [
        (
            2.0,
            {A: NONE, B: HALF},
            [f"cluster1: {A}: 0 of 2 replicas (waited 2 s)", f"cluster1: {B}: 1 of 2 replicas (waited 2 s)"],
        ),
    ],
    "what has not changed is not told again": [
        (2.0, {A: NONE}, [f"cluster1: {A}: 0 of 2 replicas (waited 2 s)"]),
        (4.0, {A: NONE}, []),
        (400.0, {A: NONE}, []),
    ],
    "news of one object are no news of the other": [
        (2.0, {A: NONE, B: NONE}, [f"cluster1: {each}: 0 of 2 replicas (waited 2 s)" for each in (A, B)]),
        (5.0, {A: NONE, B: HALF}, [f"cluster1: {B}: 1 of 2 replicas (waited 5 s)"]),
    ],
    "news wait until the last line is two seconds old": [
        (2.0, {A: NONE}, [f"cluster1: {A}: 0 of 2 replicas (waited 2 s)"]),
        (2.5, {A: HALF}, []),
        (4.0, {A: HALF}, [f"cluster1: {A}: 1 of 2 replicas (waited 4 s)"]),
    ],
    "what passed in between is not told": [
        (2.0, {A: NONE}, [f"cluster1: {A}: 0 of 2 replicas (waited 2 s)"]),
        (2.5, {A: HALF}, []),
        (4.0, {A: NONE}, []),
    ],
    "who got ready is awaited no more, who falls back is": [
        (2.0, {A: NONE, B: NONE}, [f"cluster1: {each}: 0 of 2 replicas (waited 2 s)" for each in (A, B)]),
        (4.0, {A: ready(), B: NONE}, []),
        (6.0, {A: NONE, B: NONE}, [f"cluster1: {A}: 0 of 2 replicas (waited 6 s)"]),
    ],
}


def test_what_others_wrote_is_told_on_one_line() -> None:
    assert lines("c1", ["Gateway a/b: 2 errors occurred:\n\t* one\r\n\t* \x1b[31mtwo"], 3) == [
        "c1: Gateway a/b: 2 errors occurred: * one * two (waited 3 s)"
    ]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_a_wait_is_told_seldom_and_only_in_news(table: list[tuple[float, dict[str, Verdict], list[str]]]) -> None:
    now = 0.0
    told: list[str] = []
    progress = Progress("cluster1", told.append, clock=lambda: now)
    for second, verdicts, expected in table:
        now, told[:] = second, []
        progress(together(verdicts))
        assert told == expected, f"at second {second}"


def test_a_verdict_on_one_thing_is_one_line() -> None:
    assert lines("mgmt", blocked(waiting("no Gateway exists")), 3.4) == ["mgmt: no Gateway exists (waited 3 s)"]


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ({}, "ready"),
        ({A: ready("2 of 2"), B: ready()}, "ready"),
        ({A: ready(), B: NONE}, "waiting"),
        ({A: Verdict("failed", "no"), B: NONE}, "waiting"),
        ({A: Verdict("failed", "no"), B: ready()}, "failed"),
    ],
)
def test_several_objects_have_failed_only_when_nothing_may_still_pass(verdicts: dict[str, Verdict], state: str) -> None:
    verdict = together(verdicts)
    assert verdict.state == state
    assert [title for title, _reason in verdict.awaited] == [t for t, v in verdicts.items() if not v.ready]
