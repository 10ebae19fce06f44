"""Whose Helm release is it, before and after."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.filter import releases

PLATFORM = {"name": "gloo-platform", "namespace": "gloo-mesh"}
CRDS = {"name": "gloo-platform-crds", "namespace": "gloo-mesh", "groups": ["admin.gloo.solo.io"]}
SERVED = ["admin.gloo.solo.io/v2/Workspace", "apps/v1/Deployment"]


def helm_secret(release: str, version: int) -> dict[str, Any]:
    labels = {"owner": "helm", "name": release, "version": str(version)}
    return {"kind": "Secret", "object": {"metadata": {"name": "x", "namespace": "gloo-mesh", "labels": labels}}}


def record(marker: dict[str, Any]) -> dict[str, Any]:
    """The marker as objects_info returns it."""
    return {"kind": marker["kind"], "object": marker}


def test_a_release_nobody_had_is_ours() -> None:
    [marker] = releases.release_markers([], [PLATFORM], [])
    [release] = releases.marked_releases([record(marker), helm_secret("gloo-platform", 1)])
    assert (release["former_revision"], release["revision"], release["upgraded"]) == (0, 1, False)


def test_a_release_of_others_is_remembered_with_its_newest_revision() -> None:
    before = [helm_secret("gloo-platform", 9), helm_secret("gloo-platform", 10), helm_secret("other", 99)]
    [marker] = releases.release_markers(before, [PLATFORM], [])
    same, upgraded = (
        releases.marked_releases([record(marker), helm_secret("gloo-platform", revision)])[0] for revision in (10, 11)
    )
    assert (same["former_revision"], same["upgraded"]) == (10, False)
    assert (upgraded["former_revision"], upgraded["upgraded"]) == (10, True)


def test_groups_served_before_are_remembered_for_good() -> None:
    [marker] = releases.release_markers([], [CRDS], SERVED)
    assert releases.marked_releases([record(marker)])[0]["former_groups"] == ["admin.gloo.solo.io"]
    # Served by our own CRDs now: the marker of the first run stays.
    [first] = releases.release_markers([], [CRDS], [])
    again = releases.release_markers([record(first), helm_secret("gloo-platform-crds", 1)], [CRDS], SERVED)
    assert again == [first]


def test_crds_that_no_release_brought_are_left_to_their_owner() -> None:
    crds = {**CRDS, "only_crds": True}
    assert releases.release_markers([], [crds], SERVED) == []
    assert len(releases.release_markers([], [crds], ["apps/v1/Deployment"])) == 1
    assert len(releases.release_markers([helm_secret("gloo-platform-crds", 2)], [crds], SERVED)) == 1
    [ours] = releases.release_markers([], [crds], [])
    assert releases.release_markers([record(ours)], [crds], SERVED) == [ours]


def test_a_marker_belongs_to_one_namespace() -> None:
    [marker] = releases.release_markers([], [PLATFORM], [])
    moved = {**PLATFORM, "namespace": "elsewhere"}
    [other] = releases.release_markers([record(marker), helm_secret("gloo-platform", 3)], [moved], [])
    assert other["metadata"]["namespace"] == "elsewhere"
    assert other["metadata"]["annotations"][releases.FORMER_REVISION] == ""


def test_helms_words_come_without_secrets() -> None:
    result = {"msg": "Failure", "stderr": "Error: values.licence: 'abc123' is too short\n"}
    assert releases.helm_error(result, ["abc123", ""]) == "values.licence: '********' is too short"
    assert releases.helm_error({"msg": "no helm"}) == "no helm"
    assert releases.helm_error({}) == "Helm gave no reason"
