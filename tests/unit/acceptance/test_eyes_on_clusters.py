"""The observers of the acceptance tests detect what they should; a defective one would let every test pass."""

from __future__ import annotations

from typing import Any

import pytest

from acceptance.audit import as_write
from acceptance.breakages import BREAKAGES
from acceptance.site import Run, missing
from acceptance.snapshot import differences, normalised

PATCH: dict[str, Any] = {
    "stage": "ResponseComplete",
    "verb": "patch",
    "userAgent": "multicluster.gloo/0.1.0",
    "requestURI": "/api/v1/namespaces/default/configmaps/a?fieldManager=multicluster.gloo",
    "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a"},
    "responseStatus": {"code": 200},
}


def test_a_patch_is_a_write() -> None:
    write = as_write("cluster1", PATCH)
    assert write is not None
    assert str(write) == "cluster1: patch configmaps default/a -> 200 (multicluster.gloo/0.1.0)"


@pytest.mark.parametrize("agent", ["Helm/3.21", "kubectl/v1.36", "OpenAPI-Generator/37.0/python", "labrador/1", ""])
def test_writes_of_strangers_count(agent: str) -> None:
    assert as_write("c", {**PATCH, "userAgent": agent}) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "get"},
        {"verb": "watch"},
        {"stage": "RequestReceived"},
        {"requestURI": "/api/v1/namespaces/default/configmaps/a?dryRun=All&fieldManager=x"},
        {"userAgent": "kube-controller-manager/v1.36.3 (linux/amd64)"},
        {"userAgent": "lab"},
        {"objectRef": {"resource": "pods", "subresource": "portforward"}, "verb": "create"},
        {"responseStatus": {"code": 409}},
    ],
    ids=str,
)
def test_reads_dry_runs_streams_and_the_clusters_own_parts_do_not(change: dict[str, Any]) -> None:
    assert as_write("c", {**PATCH, **change}) is None


def _object(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "a", "uid": "1", "resourceVersion": "7", "generation": 2, "managedFields": [{"manager": "m"}]}
    return {"apiVersion": "v1", "kind": "A", "metadata": metadata, "spec": spec}


def test_a_snapshot_forgets_counters_and_keeps_what_was_written_and_by_whom() -> None:
    assert normalised(_object(x=1)) == {
        "metadata": {"name": "a", "uid": "1"},
        "field managers": ["m"],
        "spec": {"x": 1},
    }


def test_differences_name_what_came_went_and_changed() -> None:
    old = {"A a": normalised(_object(x=1, y=[1])), "A b": {}}
    new = {"A a": normalised(_object(x=2, y=[1])), "A c": {}}
    assert differences(old, new) == ["+ A c", "- A b", "~ A a .spec.x: 1 -> 2"]


def test_conditions_in_another_order_and_at_another_time_are_the_same() -> None:
    def with_conditions(*conditions: dict[str, str]) -> dict[str, Any]:
        return normalised({**_object(), "status": {"conditions": list(conditions)}})

    ready = {"type": "Ready", "status": "True"}
    early = {**ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    other = {"type": "Accepted", "status": "True"}
    assert with_conditions(early, other) == with_conditions(other, ready)
    assert with_conditions(other) != with_conditions({**other, "status": "False"})


def test_recap_is_read_from_the_output() -> None:
    output = "PLAY RECAP ****\ncluster1  : ok=5    changed=1    unreachable=0    failed=0\nmgmt : ok=2 changed=0\n"
    output += "SCENARIO RECAP\ndefault                   : actions=1  successful=1  failed=0\n"  # molecule's own
    assert Run((), 0, output, 0).recap == {
        "cluster1": {"ok": 5, "changed": 1, "unreachable": 0, "failed": 0},
        "mgmt": {"ok": 2, "changed": 0},
    }


FAILING = """
TASK [mesh : Look at cluster1] *************************************************
ok: [cluster1]
[ERROR]: Task failed: Action failed: mgmt: key is empty, set it
Origin: /roles/gateway/tasks/validate.yml:2:3

 9   when: gateway
10
11 - name: Refuse reviews
     ^ column 3

fatal: [cluster2]: FAILED! =>
    msg: 'mgmt: key is empty, set
        it'
ok: [cluster1] =>
    msg: workload
failed: [cluster2 -> localhost] (item=a) =>
    msg: second

TASK [rescue : Tell] ***********************************************************
ok: [mgmt] =>
    msg: told

PLAY RECAP *********************************************************************
cluster1  : ok=5    changed=1    unreachable=0    failed=0
"""


def test_errors_are_what_errors_say() -> None:
    errors = Run((), 2, FAILING, 0).errors
    assert "msg: 'mgmt: key is empty, set it'" in errors
    assert "Action failed: mgmt: key is empty" in errors
    assert "msg: second" in errors
    elsewhere = ["cluster1", "cluster2", "gateway", "reviews", "workload", "rescue", "told", "RECAP"]
    assert missing(elsewhere, errors) == elsewhere


def test_no_errors_no_text() -> None:
    assert Run((), 0, "TASK [a] ****\nok: [cluster1]\n\nPLAY RECAP ****\ncluster1 : ok=1 changed=0\n", 0).errors == ""


def test_missing_tells_the_patterns_that_are_not_there() -> None:
    assert missing(["cluster1", r"\b9081\b"], "cluster1: port 90810") == [r"\b9081\b"]


def test_every_fault_of_the_running_site_has_its_own_message() -> None:
    assert len({breakage.says for breakage in BREAKAGES}) == len(BREAKAGES) == 7


def test_a_leader_election_in_an_annotation_is_a_heartbeat() -> None:
    def elected(leader: str) -> dict[str, Any]:
        obj = _object()
        obj["metadata"]["annotations"] = {"control-plane.alpha.kubernetes.io/leader": leader, "mine": "kept"}
        return normalised(obj)

    assert elected("a") == elected("b")
    assert elected("a")["metadata"]["annotations"] == {"mine": "kept"}
