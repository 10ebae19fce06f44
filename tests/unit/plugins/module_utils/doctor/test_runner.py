"""Dependencies between checks: exactly the checks that depend on a failed one are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.runner import (
    Check,
    CheckTarget,
    Finding,
    NotReadable,
    Record,
    failed,
    ok,
    run_checks,
    summary,
    warning,
)

CLUSTERS = ("mgmt", "c1", "c2")


class Facts(NamedTuple):
    name: str


class Link(NamedTuple):
    """A check of the chain: whom it needs near and everywhere (by place in the chain), and what it finds where."""

    needs: frozenset[int]
    needs_all: frozenset[int]
    finds: dict[str, str]


FINDINGS = {"ok": ok("fine"), "warning": warning("hm"), "failed": failed("broken"), "unknown": None}


@st.composite
def chains(draw: st.DrawFn) -> list[Link]:
    links: list[Link] = []
    for place in range(draw(st.integers(1, 7))):
        before = st.frozensets(st.integers(0, place - 1), max_size=2) if place else st.just(frozenset[int]())
        where = draw(st.sampled_from([("mgmt",), ("c1", "c2"), CLUSTERS]))
        finds = {cluster: draw(st.sampled_from(["ok", "ok", "warning", "failed", "unknown"])) for cluster in where}
        links.append(Link(draw(before), draw(before), finds))
    return links


def checks_of(links: list[Link]) -> list[Check]:
    def check(number: int, link: Link) -> Check:
        def evaluate(target: CheckTarget) -> Finding:
            found = FINDINGS[link.finds[target.cluster]]
            if found is None:
                raise NotReadable("no right")
            return found

        def targets(_world: object) -> Iterator[CheckTarget]:
            return (CheckTarget(None, Facts(cluster)) for cluster in link.finds)

        names = [tuple(f"check-{n}" for n in sorted(wanted)) for wanted in (link.needs, link.needs_all)]
        return Check(f"check-{number}", "it holds", targets, evaluate, "mend it", names[0], names[1])

    return [check(number, link) for number, link in enumerate(links)]


def causes_of(links: list[Link], number: int, cluster: str) -> set[tuple[int, str]]:
    """Failed places that a place stands on, straight from the definition."""
    found: set[tuple[int, str]] = set()
    link = links[number]
    for need in link.needs | link.needs_all:
        for other in links[need].finds:
            if need in link.needs_all or other in (cluster, "mgmt"):
                below = causes_of(links, need, other)
                found |= below or ({(need, other)} if links[need].finds[other] == "failed" else set())
    return found


@given(chains())
def test_exactly_what_stands_on_a_failure_is_skipped_for_it(links: list[Link]) -> None:
    for record in run_checks(checks_of(links), None, "mgmt"):
        number = int(record.check.id.removeprefix("check-"))
        causes = causes_of(links, number, record.cluster)
        if record.because is None:
            assert not causes
            assert record.finding.verdict == links[number].finds[record.cluster]
        else:
            assert (int(record.because.check.id.removeprefix("check-")), record.because.cluster) in causes
            assert record.because.finding.verdict == "failed" and record.because.because is None
            assert (
                record.as_dict()["message"] == f"because {record.because.check.id} failed in {record.because.cluster}"
            )


@given(chains())
def test_the_first_is_the_first_failed_else_the_first_warning(links: list[Link]) -> None:
    records = run_checks(checks_of(links), None, "mgmt")
    found = summary(records)
    bad = [r.as_dict() for verdict in ("failed", "warning") for r in records if r.verdict == verdict]
    assert found["first"] == (bad[0] if bad else None)
    assert sum(found["counts"].values()) == len(records)
    assert found == summary(run_checks(checks_of(links), None, "mgmt"))


@given(chains(), st.sampled_from(CLUSTERS))
def test_what_everything_stands_on_fails_only_its_own_cluster(links: list[Link], cluster: str) -> None:
    """A failed prerequisite skips every check of its cluster and changes nothing elsewhere."""
    prerequisites = Link(frozenset(), frozenset(), {c: "failed" if c == cluster else "ok" for c in CLUSTERS})
    moved = [
        Link(frozenset(n + 1 for n in link.needs), frozenset(n + 1 for n in link.needs_all), link.finds)
        for link in links
    ]
    records: list[Record] = run_checks(checks_of([prerequisites, *moved]), None, "mgmt", ("check-0",))
    assert all(r.because is not None for r in records[3:] if r.cluster == cluster)
    assert all(
        r.verdict == moved[int(r.check.id.removeprefix("check-")) - 1].finds[r.cluster].replace("unknown", "skipped")
        for r in records[3:]
        if r.because is None
    )


def test_a_check_that_fails_itself_leaves_the_others() -> None:
    links = [Link(frozenset(), frozenset(), {"mgmt": "no such finding"}), Link(frozenset(), frozenset(), {"c1": "ok"})]
    records = run_checks(checks_of(links), None, "mgmt")
    assert [record.verdict for record in records] == ["warning", "ok"]
    assert records[0].finding.message == "internal error in this check: KeyError: 'no such finding'"


def test_a_record_has_hint_and_doc_only_where_something_is_wrong() -> None:
    link = Link(frozenset(), frozenset(), {"mgmt": "failed", "c1": "ok", "c2": "unknown"})
    rows = [record.as_dict() for record in run_checks(checks_of([link]), None, "mgmt")]
    assert [row["hint"] for row in rows] == ["mend it", "", ""]
    assert [row["verdict"] for row in rows] == ["failed", "ok", "skipped"]
    assert rows[2]["message"] == "not evaluated: no right"
    assert {row["doc"] for row in rows} == {"docs/doctor.md#check-0"}


def test_a_check_whose_targets_cannot_be_found_leaves_the_others() -> None:
    def targets(_site: object) -> Iterator[CheckTarget]:
        raise KeyError("no such object")

    [sound] = checks_of([Link(frozenset(), frozenset(), {"c1": "ok"})])
    records = run_checks([replace(sound, id="broken", targets=targets), sound], None, "mgmt")
    assert [(record.cluster, record.verdict) for record in records] == [("mgmt", "warning"), ("c1", "ok")]
    assert records[0].finding.message == "internal error in this check: KeyError: 'no such object'"
