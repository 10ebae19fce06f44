"""Deployments and Pods as API servers return them."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.filter import workloads

REVIEWS = {"namespace": "bookinfo", "label_selector": "app=reviews"}
LATE = "2026-01-01T16:00:00Z"


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


def test_queries_and_ready_pods() -> None:
    assert [each["kind"] for each in workloads.workload_queries([REVIEWS, REVIEWS])] == ["Deployment", "Pod"]
    assert workloads.ready_pods([pod("reviews-v1-aa"), pod("reviews-v1-bb", ready=False)], REVIEWS) == ["reviews-v1-aa"]
