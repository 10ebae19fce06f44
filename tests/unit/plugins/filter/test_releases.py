"""Whose Helm release is it, before and after."""

from __future__ import annotations

from typing import Any

import pytest

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


def test_a_marker_tells_what_the_release_brings_and_when_it_was_written() -> None:
    [marker] = releases.release_markers([], [{**CRDS, "only_crds": True}], [])
    live = {**marker, "metadata": {**marker["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}
    [release] = releases.marked_releases([record(live)])
    assert (release["groups"], release["only_crds"]) == (["admin.gloo.solo.io"], True)
    assert release["created"] == "2026-01-01T00:00:00Z"
    # Served by our own CRDs now: the marker of the first run stays.
    again = releases.release_markers(
        [record(live), helm_secret("gloo-platform-crds", 1)], [{**CRDS, "only_crds": True}], SERVED
    )
    assert again == [marker]


def test_a_marker_written_without_groups_gets_them_and_keeps_whose_the_release_is() -> None:
    former = {releases.FORMER_REVISION: "7", "multicluster.gloo/other": "x"}
    meta = {"namespace": "gloo-mesh", "labels": {releases.RELEASE: "gloo-platform-crds"}, "annotations": former}
    old = {"kind": "ConfigMap", "object": {"metadata": meta}}
    [marker] = releases.release_markers([old, helm_secret("gloo-platform-crds", 9)], [CRDS], SERVED)
    assert marker["metadata"]["annotations"] == {
        releases.FORMER_REVISION: "7",
        releases.GROUPS: "admin.gloo.solo.io",
        releases.ONLY_CRDS: "false",
    }
    assert releases.marked_releases([old])[0]["groups"] == []


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


@pytest.mark.parametrize(
    ("said", "secrets", "told"),
    [
        ("Error: values.licence: 'abc123' is too short\n", ["abc123", ""], "values.licence: '********' is too short"),
        ("abc and abcdef", ["abc", "abcdef"], "******** and ********"),
        ("data: YWJjMTIz", ["abc123"], "data: ********"),
        ("data: YWJjMTIz", ["abc123\n"], "data: ********"),
        ('{"key": "line one\\nline two"}', ["line one\nline two"], '{"key": "********"}'),
        ("k1 and debug", [{"licensing": {"glooMeshLicenseKey": "k1"}, "log": "debug"}], "******** and debug"),
        ("k1 k2", [{"redis": {"passwords": ["k1", {"at": "k2"}]}}], "******** k2"),
        ("port 9900, null", [{"tokenPort": 9900, "key": None, "token": " "}], "port 9900, null"),
        ("as it is", [], "as it is"),
    ],
)
def test_helms_words_come_without_secrets(said: str, secrets: list[Any], told: str) -> None:
    assert releases.helm_error({"msg": "Failure", "stderr": said}, secrets) == told


def test_helms_words_are_looked_for_where_they_may_be() -> None:
    assert releases.helm_error({"msg": "no helm"}) == "no helm"
    assert releases.helm_error({}) == "Helm gave no reason"


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        ({"changed": True, "status": {"values": {}}, "failed": False}, False),
        ({"changed": False, "skipped": True, "skip_reason": "Conditional result was False"}, False),
        ({"changed": True, "rc": 0, "msg": "", "failed": False}, False),
        ({"changed": True, "rc": 1, "msg": "non-zero return code", "failed": False}, True),
        ({"msg": "Failure when executing Helm command.", "failed": False, "failed_when_result": False}, True),
        ({"failed_when_suppressed_exception": "x", "failed": False}, True),
        ({"failed": True}, True),
    ],
)
def test_a_failure_of_helm_is_one_also_when_ansible_was_told_otherwise(result: dict[str, Any], failed: bool) -> None:
    assert releases.helm_failed(result) is failed


def workload(kind: str, name: str, release: str, namespace: str = "gloo-mesh") -> dict[str, Any]:
    notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    live = {
        "metadata": {"name": name, "namespace": namespace, "annotations": notes},
        "spec": {"selector": {"matchLabels": {"part": "x", "app": name}}},
    }
    return {"api_version": "apps/v1", "kind": kind, "namespace": namespace, "name": name, "object": live}


def test_what_runs_for_a_release_is_found_by_what_helm_wrote_into_it() -> None:
    bare = {"api_version": "apps/v1", "kind": "Deployment", "namespace": "gloo-mesh", "name": "by-hand"}
    found = [
        workload("Deployment", "agent", "gloo-platform"),
        workload("DaemonSet", "collector", "gloo-platform"),
        workload("Deployment", "operator", "gloo-operator"),
        workload("Deployment", "agent", "gloo-platform", "elsewhere"),
        {**bare, "object": {"metadata": {"name": "by-hand", "namespace": "gloo-mesh"}}},
    ]
    alone = releases.release_workloads(found, PLATFORM)
    assert [(each["kind"], each["name"]) for each in alone] == [("Deployment", "agent"), ("DaemonSet", "collector")]
    both = releases.release_workloads(found, PLATFORM, pods=True)
    assert [each for each in both if each["kind"] != "Pod"] == alone
    assert [each["label_selector"] for each in both if each["kind"] == "Pod"] == [
        "app=agent,part=x",
        "app=collector,part=x",
    ]
