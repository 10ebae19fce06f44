"""The engine of the module workload_restart: which workloads are outdated, and what a restart writes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.workload_restart import (
    RESTARTED_FOR,
    outdated,
    run,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Conflict, Invalid

Json = dict[str, Any]
EARLY, NOON, LATE = "2026-01-01T08:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T16:00:00Z"
ROOT: Json = {
    "kind": "Secret",
    "metadata": {"name": "cacerts", "namespace": "istio-system", "uid": "u1", "creationTimestamp": NOON},
}
PLAIN, SIDECAR = [{"name": "app"}], [{"name": "app"}, {"name": "istio-proxy"}]
PLURAL = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


def workload(name: str, kind: str = "Deployment", **annotations: str) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": PLAIN}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "bookinfo", "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "Available", "status": "True"}],
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1),
        },
    }


def pod(app: str, created: str = LATE, containers: list[Json] | None = None, **metadata: Any) -> Json:
    meta = {"name": f"{app}-x", "namespace": "bookinfo", "labels": {"app": app}, "creationTimestamp": created}
    return {"kind": "Pod", "metadata": {**meta, **metadata}, "spec": {"containers": containers or SIDECAR}}


@pytest.mark.parametrize(
    ("pods", "secret", "sidecar", "annotation", "text"),
    [
        ([pod("a", EARLY)], ROOT, False, "cacerts.u1", "Pod a-x is older than Secret istio-system/cacerts"),
        ([pod("a", NOON)], ROOT, False, "cacerts.u1", "Pod a-x is older than Secret istio-system/cacerts"),
        ([pod("a", NOON, annotations={RESTARTED_FOR: "cacerts.u1"})], ROOT, False, "", ""),
        ([pod("a", NOON, annotations={RESTARTED_FOR: "cacerts.u0"})], ROOT, False, "cacerts.u1", "Pod a-x is older"),
        ([pod("a", "")], ROOT, False, "", ""),
        ([pod("a", LATE), pod("a", EARLY, name="old")], ROOT, False, "cacerts.u1", "Pod old is older than"),
        ([pod("a", EARLY)], None, False, "", ""),
        ([pod("b", EARLY)], ROOT, True, "", ""),
        ([pod("a", EARLY, deletionTimestamp=LATE)], ROOT, True, "", ""),
        ([], ROOT, True, "", ""),
        ([pod("a", containers=PLAIN)], ROOT, False, "", ""),
        ([pod("a", containers=PLAIN)], ROOT, True, "sidecar", "Pod a-x has no istio-proxy"),
        ([pod("a", EARLY, PLAIN)], ROOT, True, "cacerts.u1", "Pod a-x is older than"),
        ([pod("a", "", PLAIN)], ROOT, True, "sidecar", "Pod a-x has no istio-proxy"),
    ],
)
def test_outdated(pods: list[Json], secret: Json | None, sidecar: bool, annotation: str, text: str) -> None:
    found = outdated(workload("a"), pods, secret, sidecar)
    assert found[0] == annotation
    assert found[1].startswith(text) and bool(found[1]) is bool(annotation)


@pytest.mark.parametrize("part", ["containers", "initContainers"])
def test_a_sidecar_is_a_container_or_a_native_sidecar(part: str) -> None:
    with_sidecar = {**pod("a"), "spec": {"containers": PLAIN, part: SIDECAR}}
    assert outdated(workload("a"), [with_sidecar], None, True) == ("", "")


def test_pods_are_selected_by_expressions_too() -> None:
    canary = workload("a")
    canary["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}
    assert outdated(canary, [pod("b", EARLY)], ROOT, True) == ("", "")
    assert outdated(canary, [pod("a", EARLY)], ROOT, True)[0] == "cacerts.u1"


@pytest.fixture
def site(fake: Any) -> Any:
    """(FakeApi, kubeconfig path) with the root CA and namespaces; all three kinds of workloads are served."""
    api = fake[0]
    for kind, plural in PLURAL.items():
        api.kinds["apps/v1"][plural] = (kind, True)
    for name in ("bookinfo", "istio-system"):
        api.write("v1", "namespaces", "", {"metadata": {"name": name}})
    api.write("v1", "secrets", "istio-system", {"metadata": {"name": "cacerts", "creationTimestamp": NOON}})
    return fake


def put(site: Any, *objects: Json) -> None:
    for obj in objects:
        plural = PLURAL.get(obj["kind"], "pods")
        site[0].write(obj.get("apiVersion", "v1"), plural, "bookinfo", obj)


def go(site: Any, check: bool = False, **options: Any) -> Json:
    params = {
        "kubeconfig": site[1],
        "context": "fake",
        "cluster": "cluster1",
        "workloads": [{"namespace": "bookinfo"}],
        "older_than_secret": {"namespace": "istio-system", "name": "cacerts"},
        "missing_sidecar": True,
        "wait": False,
        **options,
    }
    return run(params, check, lambda line: None)


def actions(result: Json) -> dict[str, str]:
    return {f"{record['kind']}/{record['name']}": record["action"] for record in result["workloads"]}


def annotations_of(site: Any, kind: str, name: str) -> Json:
    obj = site[0].get("apps/v1", PLURAL[kind], "bookinfo", name)
    found: Json = obj["spec"]["template"]["metadata"]["annotations"]
    return found


@pytest.mark.parametrize("kind", PLURAL)
def test_only_outdated_workloads_are_restarted_and_only_once(site: Any, kind: str) -> None:
    put(site, workload("old", kind), pod("old", EARLY), workload("bare", kind), pod("bare", containers=PLAIN))
    put(site, workload("good", kind), pod("good"))
    first = go(site)
    assert actions(first) == {f"{kind}/old": "restarted", f"{kind}/bare": "restarted", f"{kind}/good": "unchanged"}
    assert first["changed"] and first["msg"] == "cluster1: 2 workloads restarted" and first["writes"] == 2
    root = site[0].get("v1", "secrets", "istio-system", "cacerts")["metadata"]["uid"]
    assert annotations_of(site, kind, "old") == {RESTARTED_FOR: f"cacerts.{root}"}
    assert annotations_of(site, kind, "bare") == {RESTARTED_FOR: "sidecar"}
    assert annotations_of(site, kind, "good") == {}
    # Pods are as they were, as after an interrupted run: the same reason does not restart again.
    second = go(site)
    assert not second["changed"] and second["writes"] == 0
    assert second["msg"] == "cluster1: no workload was restarted"


def test_check_mode_shows_the_restart_and_writes_nothing(site: Any) -> None:
    put(site, workload("old"), pod("old", EARLY))
    result = go(site, check=True)
    assert actions(result) == {"Deployment/old": "restarted"} and result["changed"] and result["diff"]
    assert result["msg"] == "cluster1: 1 workload would be restarted"
    assert site[0].get("apps/v1", "deployments", "bookinfo", "old") == workload("old") | {
        "metadata": site[0].get("apps/v1", "deployments", "bookinfo", "old")["metadata"]
    }


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, {"Deployment/ours", "Deployment/theirs", "StatefulSet/ours"}),
        ({"names": ["ours"]}, {"Deployment/ours", "StatefulSet/ours"}),
        ({"names": []}, set()),
        ({"kinds": ["Deployment"]}, {"Deployment/ours", "Deployment/theirs"}),
        ({"label_selector": "app=theirs"}, {"Deployment/theirs"}),
        ({"namespace": "istio-system"}, set()),
    ],
)
def test_workloads_outside_the_selection_are_left_alone(site: Any, selection: Json, expected: set[str]) -> None:
    put(site, workload("ours"), pod("ours", EARLY), workload("theirs"), pod("theirs", EARLY, PLAIN))
    put(site, workload("ours", "StatefulSet"))
    selected = {"namespace": "bookinfo", **selection}
    assert set(actions(go(site, workloads=[selected, selected]))) == expected
    for name in ("ours", "theirs"):
        assert bool(annotations_of(site, "Deployment", name)) is (f"Deployment/{name}" in expected)


def test_only_workloads_with_a_sidecar_can_be_selected(site: Any) -> None:
    put(site, workload("old"), pod("old", EARLY), workload("database"), pod("database", EARLY, PLAIN))
    selection = [{"namespace": "bookinfo", "with_sidecar": True}, {"namespace": "missing", "with_sidecar": True}]
    result = go(site, workloads=selection, missing_sidecar=False)
    assert actions(result) == {"Deployment/old": "restarted"}


def test_without_the_secret_age_restarts_nothing(site: Any) -> None:
    put(site, workload("old"), pod("old", EARLY))
    assert not go(site, older_than_secret={"namespace": "istio-system", "name": "gone"})["changed"]


def test_nothing_outdated_costs_no_write(site: Any) -> None:
    put(site, workload("good"), pod("good"))
    result = go(site, wait=True, workloads=[{"namespace": "bookinfo", "kinds": ["Deployment"]}])
    assert (result["requests"], result["writes"], result["changed"]) == (3, 0, False)


def test_pods_that_are_outdated_after_the_restart_are_an_error(site: Any) -> None:
    put(site, workload("bare"), pod("bare", containers=PLAIN))
    go(site)
    restarted = site[0].get("apps/v1", "deployments", "bookinfo", "bare")
    restarted["status"]["observedGeneration"] = restarted["metadata"]["generation"]
    with pytest.raises(ClusterError, match="cluster1: Deployment bookinfo/bare: Pod bare-x has no istio-proxy") as told:
        go(site, wait=True, wait_timeout=2)
    assert told.value.facts["changed"] is False
    assert told.value.facts["workloads"][0]["name"] == "bare"


def test_a_conflict_names_the_workloads_that_were_looked_at(site: Any) -> None:
    put(site, workload("old", **{RESTARTED_FOR: "other"}), pod("old", EARLY))
    with pytest.raises(Conflict) as told:
        go(site)
    assert told.value.facts["workloads"][0]["action"] == "failed"
    assert "objects" not in told.value.facts
    assert go(site, on_conflict="force")["changed"]


def test_no_criterion_is_refused(site: Any) -> None:
    with pytest.raises(Invalid, match=r"cluster1: .*neither older_than_secret nor missing_sidecar is set"):
        go(site, older_than_secret=None, missing_sidecar=False)
