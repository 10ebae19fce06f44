"""Deployments and Pods as API servers return them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.filter import workloads

REVIEWS = {"namespace": "bookinfo", "label_selector": "app=reviews"}
EARLY, NOON, LATE = "2026-01-01T08:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T16:00:00Z"
ROOT = {"object": {"metadata": {"name": "cacerts", "uid": "u1", "creationTimestamp": NOON}}}


def deployment(name: str, cluster: str = "east", replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name.rsplit("-", 1)[0], "version": name.rsplit("-", 1)[1]}
    meta = {"name": name, "namespace": "bookinfo", "labels": labels}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}}
    return {"cluster": cluster, "kind": "Deployment", "name": name, "object": {"metadata": meta, "spec": spec}}


def pod(name: str, cluster: str = "east", ready: bool = True, **more: Any) -> dict[str, Any]:
    app, version = name.split("-")[:2]
    meta = {
        "name": name,
        "namespace": "bookinfo",
        "labels": {"app": app, "version": version},
        "creationTimestamp": LATE,
    }
    meta.update(more.get("metadata", {}))
    status = {
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": more.get("containers", []),
    }
    spec = more.get("spec", {"containers": [{"name": app}, {"name": "istio-proxy"}]})
    return {
        "cluster": cluster,
        "kind": "Pod",
        "name": name,
        "object": {"metadata": meta, "spec": spec, "status": status},
    }


def test_ready_pods_of_all_clusters_have_to_answer() -> None:
    found = [
        deployment("reviews-v1"),
        pod("reviews-v1-aa"),
        deployment("reviews-v3", "west"),
        pod("reviews-v3-bb", "west"),
        pod("reviews-v3-cc", "west", ready=False),
        pod("reviews-v3-dd", "west", metadata={"deletionTimestamp": LATE}),
        pod("ratings-v1-ee", "west"),
        # of the other cluster's Deployment: nobody expects it here
        pod("reviews-v3-ff", "east"),
    ]
    assert workloads.expected_instances(found, REVIEWS) == [
        {"instance": "reviews-v1-aa", "cluster": "east", "workload": "reviews-v1"},
        {"instance": "reviews-v3-bb", "cluster": "west", "workload": "reviews-v3"},
    ]


def test_workloads_that_cannot_answer_are_named_once() -> None:
    waiting = [{"name": "reviews", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    found = [
        deployment("reviews-v1"),
        pod("reviews-v1-aa"),
        deployment("reviews-v2"),
        pod("reviews-v2-bb", ready=False, containers=waiting),
        deployment("reviews-v3", "west", replicas=0),
    ]
    assert workloads.silent_workloads(found, [REVIEWS, REVIEWS]) == [
        "east: Deployment bookinfo/reviews-v2 has no ready Pod (reviews: ImagePullBackOff)",
        "west: Deployment bookinfo/reviews-v3 is scaled to 0 replicas: nothing of it can answer. Scale it up",
    ]


def test_only_what_started_before_the_root_starts_again() -> None:
    found = [
        deployment("reviews-v1"),
        pod("reviews-v1-aa", metadata={"creationTimestamp": EARLY}),
        deployment("reviews-v2"),
        pod("reviews-v2-bb", metadata={"creationTimestamp": NOON}),
    ]
    [stale] = workloads.stale_workloads(found, ROOT)
    assert stale["metadata"] == {"name": "reviews-v1", "namespace": "bookinfo"}
    assert stale["spec"]["template"]["metadata"]["annotations"] == {workloads.RESTARTED_FOR: "cacerts.u1"}
    assert workloads.stale_workloads(found, {}) == []


@pytest.mark.parametrize(
    ("spec", "stale"),
    [
        ({"containers": [{"name": "reviews"}]}, True),
        ({"containers": [{"name": "reviews"}, {"name": "istio-proxy"}]}, False),
        ({"containers": [{"name": "reviews"}], "initContainers": [{"name": "istio-proxy"}]}, False),
    ],
)
def test_a_sidecar_is_a_container_or_a_native_one(spec: dict[str, Any], stale: bool) -> None:
    found = [deployment("reviews-v1"), pod("reviews-v1-aa", spec=spec)]
    assert bool(workloads.stale_workloads(found, ROOT, sidecar=True)) is stale
    assert bool(workloads.without_sidecar(found, REVIEWS)) is stale


def test_what_others_run_beside_ours_is_left_alone() -> None:
    bare = {"containers": [{"name": "batch"}]}
    ours = [deployment("reviews-v1"), pod("reviews-v1-aa", spec=bare)]
    theirs = [
        deployment("batch-v1"),
        pod("batch-v1-bb", spec=bare, ready=False, metadata={"creationTimestamp": EARLY}),
        pod("loose-v1-cc", spec=bare),
        {"cluster": "east", "kind": "Secret", "name": "reviews-v1", "object": ROOT["object"]},
        {"cluster": "east", "kind": "Deployment", "name": "reviews-v2", "object": None},
        pod("reviews-v1-dd", "west", spec=bare),
    ]
    found = workloads.of_workloads([*theirs, *ours], ["reviews-v1", "reviews-v3"])
    assert found == ours
    [stale] = workloads.stale_workloads(found, ROOT, sidecar=True)
    assert stale["metadata"]["name"] == "reviews-v1"
    assert len(workloads.without_sidecar(found, {"namespace": "bookinfo"})) == 1
    assert workloads.silent_workloads(found, [{"namespace": "bookinfo"}]) == []


def test_queries_and_ready_pods() -> None:
    assert [each["kind"] for each in workloads.workload_queries([REVIEWS, REVIEWS])] == ["Deployment", "Pod"]
    assert workloads.ready_pods([pod("reviews-v1-aa"), pod("reviews-v1-bb", ready=False)], REVIEWS) == ["reviews-v1-aa"]
