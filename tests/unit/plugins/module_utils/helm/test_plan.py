"""What has to happen to a release: tables of situations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from helm_records import record
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.plan import (
    Plan,
    Refused,
    Wanted,
    note_while_helm_runs,
    plan_absent,
    plan_present,
    seconds_held,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import Note, Record, ReleaseHistory
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.values import leaf_paths, merged, same

Json = dict[str, Any]
THEIRS = {"image": {"registry": "registry.example.com"}, "licensing": {"key": "L"}}
OURS = {"controller": {"env": {"A": "true"}}}
PATHS = leaf_paths(OURS)
BOTH = merged(THEIRS, OURS)
ADOPTED = Note("edge", "team", "2026-01-02T03:00:00Z", former_revision=3, former_version="2.0.5", paths=PATHS)
MADE = Note("edge", "team", "2026-01-02T03:00:00Z", paths=PATHS)


def history(*stored: Json, note: Note | None = None) -> ReleaseHistory:
    records = tuple(Record("east", each) for each in stored)
    return ReleaseHistory("edge", "team", "secret" if records else "", note, records)


def revisions(*rows: tuple[Any, ...]) -> list[Json]:
    """(revision, status[, values[, version]]) of each."""
    return [
        record(
            "edge",
            row[0],
            row[1],
            values=row[2] if len(row) > 2 else THEIRS,
            version=row[3] if len(row) > 3 else "2.0.5",
        )
        for row in rows
    ]


def steps(plan: Plan) -> list[str]:
    return [str(step) for step in plan.steps]


def test_a_release_nobody_has_is_installed_and_ours() -> None:
    plan = plan_present(history(), Wanted("edge", "2.0.0", OURS))
    assert steps(plan) == ["install chart version 2.0.0"]
    assert plan.steps[0].values == OURS
    assert plan.note and plan.note.ours and plan.note.paths == PATHS
    assert (plan.whose, plan.former) == ("ours", None)


def test_the_same_version_and_values_change_nothing() -> None:
    plan = plan_present(history(*revisions((1, "deployed", OURS)), note=MADE), Wanted("edge", "2.0.5", OURS))
    assert plan.steps == ()
    assert plan.note == MADE


def test_values_of_others_stay_and_ours_are_noted() -> None:
    """Own registry, pull secrets and a newer chart; only the two switches are added."""
    plan = plan_present(history(*revisions((3, "deployed"))), Wanted("edge", "2.0.0", OURS))
    [step] = plan.steps
    assert (str(step), step.values, step.revision) == ("upgrade to chart version 2.0.5", BOTH, 3)
    assert (plan.whose, plan.former) == ("adopted", THEIRS)
    assert plan.note and (plan.note.former_revision, plan.note.former_version) == (3, "2.0.5")
    assert "2.0.5 is kept" in plan.remarks[0] and "2.0.0" in plan.remarks[0]


@pytest.mark.parametrize("version", ["2.0.4", "2.0.6", "3.0.0", "1.0.0", ""])
def test_the_chart_version_of_others_stays(version: str) -> None:
    plan = plan_present(history(*revisions((3, "deployed"))), Wanted("edge", version, OURS))
    assert [(step.version, step.revision) for step in plan.steps] == [("2.0.5", 3)]


def test_an_adopted_release_is_upgraded_when_asked_for() -> None:
    wanted = Wanted("edge", "2.1.0", OURS, upgrade_adopted=True)
    plan = plan_present(history(*revisions((3, "deployed"))), wanted)
    assert [(step.version, step.revision) for step in plan.steps] == [("2.1.0", 0)]
    assert plan.note and plan.note.our_version == "2.1.0"
    with pytest.raises(Refused, match=r"2\.0\.5.*newer than 2\.0\.0"):
        plan_present(history(*revisions((3, "deployed"))), replace(wanted, version="2.0.0"))


@pytest.mark.parametrize(
    ("version", "present", "result"),
    [
        ("2.0.6", "2.0.5", "upgrade"),
        ("2.0.10", "2.0.9", "upgrade"),
        ("2.0.5", "2.0.5-rc.1", "upgrade"),
        ("2.0.5+b", "2.0.5+a", "upgrade"),
        ("v2.0.5", "2.0.5", "unchanged"),
        ("2.0.5", "2.0.5", "unchanged"),
        ("", "2.0.5", "unchanged"),
        ("2.0.9", "2.0.10", "refused"),
        ("2.0.5-rc.1", "2.0.5", "refused"),
        ("2.0.5", "latest", "upgrade"),
        # Helm accepts such versions of charts.
        ("2.14.0", "2.10", "upgrade"),
        ("2.14.0", "2.14-beta", "upgrade"),
        ("2.14.0", "2.15-beta", "refused"),
        ("2.14.0", "v2.15-beta.1+x", "refused"),
        ("2.14.0", "15", "refused"),
        ("2.14.0", "2026.01.1", "refused"),
    ],
)
def test_our_release_is_upgraded_never_downgraded(version: str, present: str, result: str) -> None:
    live = history(*revisions((1, "deployed", OURS, present)), note=MADE)
    wanted = Wanted("edge", version, OURS)
    if result == "refused":
        with pytest.raises(Refused) as refusal:
            plan_present(live, wanted)
        assert version in str(refusal.value) and present in str(refusal.value)
        plan = plan_present(live, replace(wanted, allow_downgrade=True))
        assert [step.version for step in plan.steps] == [version]
    else:
        plan = plan_present(live, wanted)
        assert [step.action for step in plan.steps] == ([] if result == "unchanged" else ["upgrade"])


def test_initial_values_are_for_our_own_release() -> None:
    initial = {"ui": {"type": "ClusterIP"}, "controller": {"env": {"A": "false", "B": "1"}}}
    both = merged(initial, OURS)
    wanted = Wanted("edge", "2.0.5", OURS, initial)
    plan = plan_present(history(), wanted)
    assert plan.steps[0].values == both
    assert plan.note and plan.note.paths == leaf_paths(both)
    assert plan_present(history(*revisions((1, "deployed", both)), note=plan.note), wanted).steps == ()
    [step] = plan_present(history(*revisions((1, "deployed", OURS)), note=MADE), wanted).steps
    assert step.values == both
    plan = plan_present(history(*revisions((3, "deployed"))), wanted)
    assert plan.steps[0].values == BOTH
    assert plan.note and plan.note.paths == PATHS


@pytest.mark.parametrize("newest", ["deployed", "failed", "pending-upgrade"])
@pytest.mark.parametrize("values", [{}, OURS])
def test_an_adopted_release_that_needs_nothing_gets_no_step_and_no_note(newest: str, values: Json) -> None:
    rows = [(3, "deployed", BOTH), (4, newest, BOTH)] if newest != "deployed" else [(3, "deployed", BOTH)]
    plan = plan_present(history(*revisions(*rows)), Wanted("edge", "2.0.0", values, {"taste": 1}))
    assert (plan.whose, plan.steps, plan.note, plan.former) == ("adopted", (), None, None)
    assert "2.0.5 is kept" in plan.remarks[-1]
    assert ("has status" in plan.remarks[0]) is (newest != "deployed")


KEY, SECRET = {"licensing": {"key": "L"}}, {"licensing": {"secret": "mine"}}
KEEP = (("licensing",),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, KEY),
        (SECRET, SECRET),
        ({"licensing": {"key": "new"}}, {"licensing": {"key": "new"}}),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_values_to_keep_stay_until_others_are_given(ours: bool, given: Json, expected: Json) -> None:
    noted = replace(MADE if ours else ADOPTED, paths=leaf_paths(merged(OURS, KEY)))
    theirs: Json = {} if ours else {"image": "theirs"}
    rows = [(3, "superseded", theirs), (4, "deployed", merged(theirs, merged(OURS, KEY)))]
    wanted = Wanted("edge", "", merged(OURS, given), keep=KEEP)
    plan = plan_present(history(*revisions(*rows), note=noted), wanted, former=theirs)
    values = merged(theirs, merged(OURS, expected))
    assert [step.values for step in plan.steps] == ([] if expected == KEY else [values])
    assert plan.note and plan.note.paths == leaf_paths(merged(OURS, expected))


def test_values_of_others_at_a_place_to_keep_are_not_ours() -> None:
    live = history(*revisions((3, "deployed", merged(THEIRS, KEY))))
    plan = plan_present(live, Wanted("edge", "", OURS, keep=KEEP))
    assert plan.note and plan.note.paths == PATHS
    assert plan.steps[0].values == merged(merged(THEIRS, KEY), OURS)


def test_values_that_we_no_longer_set_go_away() -> None:
    live = history(*revisions((1, "deployed", merged(OURS, {"mine": 1, "x": {"y": 2}}))), note=MADE)
    [step] = plan_present(live, Wanted("edge", "", {"x": {"y": 3}})).steps
    assert step.values == {"mine": 1, "x": {"y": 3}}


def test_a_former_value_comes_back_when_we_no_longer_set_ours() -> None:
    theirs = {"controller": {"env": {"A": "false", "B": "1"}}}
    live = history(*revisions((3, "superseded", theirs), (4, "deployed", merged(theirs, OURS))), note=ADOPTED)
    [step] = plan_present(live, Wanted("edge", "", {"z": 1}), former=theirs).steps
    assert step.values == {**theirs, "z": 1}


def test_notes_of_older_versions_know_no_paths() -> None:
    old = replace(MADE, paths=None)
    assert plan_present(history(*revisions((1, "deployed", OURS)), note=old), Wanted("edge", "", OURS)).steps == ()
    adopted = replace(ADOPTED, paths=None)
    live = history(*revisions((4, "deployed", OURS)), note=adopted)
    [step] = plan_present(live, Wanted("edge", "", OURS), former=THEIRS).steps
    assert step.values == BOTH


def test_an_interrupted_upgrade_loses_no_note_of_what_was_ours() -> None:
    before = history(*revisions((1, "deployed", {"old": 1})), note=replace(MADE, paths=(("old",),)))
    plan = plan_present(before, Wanted("edge", "", OURS))
    assert plan.note
    meanwhile = note_while_helm_runs(before, plan.note)
    for rows in ([(1, "deployed", {"old": 1}), (2, "pending-upgrade", OURS)], [(2, "deployed", OURS)]):
        again = plan_present(history(*revisions(*rows), note=meanwhile), Wanted("edge", "", OURS))
        assert (again.steps[-1].values if again.steps else OURS) == OURS
        assert again.note and again.note.paths == PATHS


def test_another_chart_is_refused() -> None:
    with pytest.raises(Refused, match=r"chart edge 2\.0\.5 is installed, not other"):
        plan_present(history(*revisions((1, "deployed"))), Wanted("other", "2.0.5", {}))


def test_a_release_of_flux_is_not_changed() -> None:
    manifest = "kind: Service\nmetadata:\n  name: a\n  labels:\n    helm.toolkit.fluxcd.io/name: edge\n"
    live = history(record("edge", 1, values=THEIRS, manifest=manifest, version="2.0.5"))
    with pytest.raises(Refused, match=r"Flux manages it \(HelmRelease edge\)"):
        plan_present(live, Wanted("edge", "", OURS))
    assert plan_present(live, Wanted("edge", "", {"licensing": {"key": "L"}})).steps == ()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, "pending-install", OURS)], ["uninstall", "install chart version 2.0.5"]),
        ([(1, "failed", OURS)], ["uninstall", "install chart version 2.0.5"]),
        ([(1, "deployed", OURS), (2, "pending-upgrade", {})], ["roll back to revision 1"]),
        ([(1, "deployed", OURS), (2, "failed", {})], ["roll back to revision 1"]),
        ([(1, "deployed", {}), (2, "failed", OURS)], ["roll back to revision 1", "upgrade to chart version 2.0.5"]),
        ([(1, "deployed", OURS), (2, "failed"), (3, "pending-rollback", OURS)], ["roll back to revision 1"]),
        ([(1, "superseded", OURS), (2, "pending-upgrade", OURS)], ["roll back to revision 1"]),
        ([(1, "superseded", OURS), (2, "superseded", OURS)], ["roll back to revision 2"]),
        ([(1, "deployed", OURS), (2, "uninstalling", OURS)], ["uninstall", "install chart version 2.0.5"]),
        ([(1, "uninstalling", OURS)], ["uninstall", "install chart version 2.0.5"]),
        ([(1, "uninstalled", OURS)], ["install chart version 2.0.5"]),
        ([(1, "superseded", OURS), (2, "uninstalled", OURS)], ["install chart version 2.0.5"]),
        ([(1, "unknown", OURS)], ["uninstall", "install chart version 2.0.5"]),
    ],
)
def test_a_stuck_release_is_brought_back_first(rows: Sequence[tuple[Any, ...]], expected: list[str]) -> None:
    plan = plan_present(history(*revisions(*rows), note=MADE), Wanted("edge", "2.0.5", OURS))
    assert steps(plan) == expected
    if rows[-1][1] not in ("uninstalled",):
        assert f"revision {rows[-1][0]} has status {rows[-1][1]} since 2026" in plan.remarks[0]


def test_an_uninstalled_revision_is_not_revived() -> None:
    """Helm marks it superseded when it installs again."""
    stored = record("edge", 1, "superseded", values=OURS, version="2.0.5", deleted="2026-01-01T00:00:00Z")
    live = history(stored, *revisions((2, "pending-install", OURS)), note=MADE)
    assert steps(plan_present(live, Wanted("edge", "", OURS)))[0] == "uninstall"


@pytest.mark.parametrize(
    ("rows", "noted"),
    [
        ([(3, "deployed"), (4, "failed")], 3),
        ([(3, "deployed"), (4, "pending-upgrade")], 3),
        ([(3, "deployed")], 3),
        ([(4, "uninstalled")], 0),
    ],
)
def test_what_is_given_back_is_noted(rows: Sequence[tuple[Any, ...]], noted: int) -> None:
    """The last deployed revision, never one that had failed or was uninstalled."""
    plan = plan_present(history(*revisions(*rows)), Wanted("edge", "", OURS))
    assert plan.note and plan.note.former_revision == noted
    last = plan.steps[-1]
    assert last.values == (OURS if rows[-1][1] == "uninstalled" else BOTH)


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "failed")],
        [(1, "failed"), (2, "failed")],
        [(1, "pending-install")],
        [(1, "unknown")],
        [(1, "deployed"), (2, "uninstalling")],
    ],
)
def test_a_release_of_others_is_never_uninstalled(rows: Sequence[tuple[Any, ...]]) -> None:
    """Helm records an installation as failed when a wait ended too early, too."""
    live = history(*revisions(*rows))
    with pytest.raises(
        Refused, match=f"revision {rows[-1][0]} has status {rows[-1][1]} since 2026.*uninstall it first"
    ):
        plan_present(live, Wanted("edge", "", OURS))
    # Nothing is missing: the owner decides.
    assert plan_present(live, Wanted("edge", "", {}, initial=OURS)) == plan_present(live, Wanted("edge"))
    assert plan_present(live, Wanted("edge")).steps == ()


def test_a_release_that_its_owner_took_away_is_ours_next_time() -> None:
    plan = plan_present(history(note=ADOPTED), Wanted("edge", "1.0.0", OURS))
    assert plan.note and plan.note.ours and plan.whose == "ours"


# -- giving back


def test_ours_is_uninstalled_whatever_its_state() -> None:
    for status in ("deployed", "failed", "pending-install", "uninstalling"):
        plan = plan_absent(history(record("edge", 1, status, created="2026-01-02T04:00:00Z"), note=MADE))
        assert [(step.action, step.keep_history) for step in plan.steps] == [("uninstall", False)]


def test_history_of_others_is_kept() -> None:
    older = record("edge", 1, "superseded", created="2026-01-01T00:00:00Z")
    live = history(older, record("edge", 2, created="2026-01-02T04:00:00Z"), note=MADE)
    assert plan_absent(live).steps[0].keep_history


@pytest.mark.parametrize("rows", [[], [(1, "uninstalled")], [(3, "deployed")]])
@pytest.mark.parametrize("note", [None, ADOPTED])
def test_nothing_of_ours_means_nothing_to_do(rows: Sequence[tuple[Any, ...]], note: Note | None) -> None:
    assert plan_absent(history(*revisions(*rows), note=note), THEIRS).steps == ()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(3, "superseded"), (4, "deployed", BOTH)], ["roll back to revision 3"]),
        ([(2, "superseded"), (3, "failed", {}), (4, "deployed", BOTH)], ["roll back to revision 2"]),
        ([(3, "superseded"), (4, "deployed", BOTH), (5, "failed", {})], ["roll back to revision 3"]),
        ([(3, "deployed"), (4, "pending-upgrade", BOTH)], ["roll back to revision 3"]),
        # Already given back.
        ([(3, "superseded"), (4, "superseded", BOTH), (5, "deployed")], []),
        # Forgotten by Helm.
        ([(13, "deployed", BOTH)], ["upgrade to chart version 2.0.5"]),
        # Changed by its owner since.
        ([(3, "superseded"), (5, "deployed", merged(BOTH, {"own": 1}))], ["upgrade to chart version 2.0.5"]),
        ([(3, "superseded"), (5, "deployed", BOTH, "2.0.6")], ["upgrade to chart version 2.0.6"]),
    ],
)
def test_an_adopted_release_is_given_back(rows: Sequence[tuple[Any, ...]], expected: list[str]) -> None:
    plan = plan_absent(history(*revisions(*rows), note=ADOPTED), THEIRS)
    assert steps(plan) == expected
    if expected and "upgrade" in expected[-1]:
        own = {"own": 1} if "own" in rows[-1][2] else {}
        assert plan.steps[-1].values == {**THEIRS, **own}


@pytest.mark.parametrize(
    ("given", "present", "unchanged"),
    [
        # A repository gives 2.0.5+build for 2.0.5.
        ("2.0.5", "2.0.5+build", True),
        ("v2.0.5", "2.0.5", True),
        ("2.0.5", "v2.0.5+b.1", True),
        ("2.0.5+build", "2.0.5", False),
        ("2.0.5+b", "2.0.5+a", False),
        ("2.1.0", "2.1.0-rc1", False),
    ],
)
def test_the_present_version_is_recognised(given: str, present: str, unchanged: bool) -> None:
    live = history(*revisions((1, "deployed", OURS, present)), note=MADE)
    assert (plan_present(live, Wanted("edge", given, OURS)).steps == ()) is unchanged


LATER = replace(ADOPTED, paths=leaf_paths({"a": 1, "b": {"x": 1, "y": 1}}), writer="host/1:2 4")
SET = {"a": 1, "b": {"x": 1, "y": 1}}


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        # Someone set another value in place of ours, or took it out, a map or a part of it.
        ([(3, "superseded", {"a": 0}), (4, "superseded", SET), (5, "deployed", {**SET, "a": 7})], {"a": 7}),
        ([(3, "superseded", {"a": 0}), (4, "superseded", SET), (5, "deployed", {"c": 1})], {"c": 1}),
        ([(4, "superseded", SET), (5, "deployed", {"a": 1, "b": {"x": 1, "y": 5}})], {"a": 0, "b": {"y": 5}}),
        # Ours failed: what is there is what was there before.
        ([(3, "deployed", {"a": 5, "d": 1}), (4, "failed", SET)], {"a": 0, "d": 1}),
        # Helm has forgotten what we set.
        ([(9, "deployed", {**SET, "a": 7})], {"a": 0}),
    ],
)
def test_a_value_of_ours_that_others_changed_is_theirs(rows: Sequence[tuple[Any, ...]], values: Json) -> None:
    plan = plan_absent(history(*revisions(*rows), note=LATER), {"a": 0})
    assert plan.steps[-1].values == values if plan.steps else rows[-1][2] == values


def test_what_was_given_back_is_not_given_back_again() -> None:
    given = replace(LATER, paths=(), writer="host/1:2 6")
    rows = revisions((3, "superseded", {"a": 0}), (4, "superseded", SET), (6, "deployed", {"a": 7}))
    assert plan_absent(history(*rows, note=given)).steps == ()


def test_a_version_that_we_asked_for_goes_back() -> None:
    note = replace(ADOPTED, our_version="2.1.0")
    kept = revisions((3, "superseded"), (4, "deployed", BOTH, "2.1.0"))
    assert steps(plan_absent(history(*kept, note=note), THEIRS)) == ["roll back to revision 3"]
    [step] = plan_absent(history(kept[1], note=note), THEIRS).steps
    assert (step.action, step.version, step.revision) == ("upgrade", "2.0.5", 0)


def test_a_failed_revision_noted_by_an_older_version_is_not_given_back() -> None:
    note = replace(ADOPTED, former_revision=4, former_version="", paths=None)
    live = history(*revisions((3, "superseded"), (4, "failed", {}), (5, "deployed", OURS)), note=note)
    assert steps(plan_absent(live)) == ["roll back to revision 3"]
    gone = history(*revisions((15, "deployed", OURS)), note=note)
    assert (plan_absent(gone).steps, plan_absent(gone).remarks) == (
        (),
        ("revision 4 is no longer in Helm's history: nothing is changed",),
    )


maps = st.dictionaries(
    st.sampled_from("abcd"),
    st.integers(0, 2) | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3),
    max_size=4,
)


@given(theirs=maps, ours=maps, later=maps)
def test_adopting_and_giving_back_restores_the_values(theirs: Json, ours: Json, later: Json) -> None:
    """Also when our values change between; and a second run changes nothing."""
    live = history(*revisions((3, "deployed", theirs)))
    former: Json | None = None
    for wanted in (ours, later):
        plan = plan_present(live, Wanted("edge", "", wanted), former)
        former = plan.former if plan.former is not None else former
        note = plan.note and replace(plan.note, created="2026-01-02T03:00:00Z")
        values = plan.steps[-1].values if plan.steps else live.records[-1].release.values
        number = live.records[-1].revision + len(plan.steps)
        live = history(*revisions((number, "deployed", values)), note=note)
        assert plan_present(live, Wanted("edge", "", wanted), former).steps == ()
    back = plan_absent(live, former)
    assert same(back.steps[-1].values if back.steps else live.records[-1].release.values, theirs)


# -- stuck, or at work?

NOW = 1_767_323_045.0  # 2026-01-02T03:04:05Z


def test_a_time_far_in_the_future_does_not_block_for_ever() -> None:
    stored = record("edge", 1, "pending-upgrade", modified=int(NOW) + 10**9, created="2026-01-02T03:03:05Z")
    assert seconds_held(Record("east", stored), NOW, 60, False) == 240
    stored["metadata"]["creationTimestamp"] = "2026-01-02T02:00:00Z"
    assert seconds_held(Record("east", stored), NOW, 60, False) == 0


def test_a_clock_that_is_ahead_is_no_reason_to_take_a_release() -> None:
    stored = record("edge", 1, "uninstalling", modified=int(NOW) + 60, created="2026-01-02T02:00:00Z")
    assert seconds_held(Record("east", stored), NOW, 60, False) >= 300


@pytest.mark.parametrize(
    ("status", "age", "timeout", "gone", "held"),
    [
        ("pending-install", 10, 60, False, 290),
        ("pending-upgrade", 299, 60, False, 1),
        ("pending-rollback", 301, 60, False, 0),
        ("pending-upgrade", 301, 600, False, 299),
        ("uninstalling", 0, 0, False, 300),
        ("pending-install", 10, 60, True, 0),
        ("failed", 0, 60, False, 0),
        ("deployed", 0, 60, False, 0),
    ],
)
def test_a_young_pending_record_may_be_a_running_helm(
    status: str, age: int, timeout: int, gone: bool, held: int
) -> None:
    stored = record("edge", 1, status, modified=int(NOW) - age)
    assert seconds_held(Record("east", stored), NOW, timeout, gone) == held
