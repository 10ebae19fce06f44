"""Which Pods have to respond, and why a Deployment cannot."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.pods import backends

REVIEWS = {"namespace": "bookinfo", "label_selector": "app=reviews"}


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name.rsplit("-", 1)[0], "version": name.rsplit("-", 1)[1]}
    meta = {"name": name, "namespace": "bookinfo", "labels": labels}
    return {"metadata": meta, "spec": {"replicas": 1, "selector": {"matchLabels": labels}, **spec}}


def pod(name: str, ready: bool = True, waiting: str = "", **meta: Any) -> dict[str, Any]:
    app, version = name.split("-")[:2]
    metadata = {"name": name, "namespace": "bookinfo", "labels": {"app": app, "version": version}, **meta}
    containers = [{"name": app, "state": {"waiting": {"reason": waiting}}}] if waiting else []
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": metadata, "status": {"conditions": conditions, "containerStatuses": containers}}


def test_ready_pods_of_the_selected_deployments_have_to_respond() -> None:
    deployments = [deployment("reviews-v1"), deployment("reviews-v3"), deployment("ratings-v1")]
    pods = [
        pod("reviews-v1-aa"),
        pod("reviews-v3-bb"),
        pod("reviews-v3-cc", ready=False),
        pod("reviews-v3-dd", deletionTimestamp="2026-01-01T16:00:00Z"),
        pod("ratings-v1-ee"),
        pod("reviews-v9-ff"),  # of no Deployment
        pod("reviews-v1-gg", namespace="other"),
    ]
    found = backends("west", deployments, pods, REVIEWS)
    assert found.problems == []
    assert found.instances == [
        {"instance": "reviews-v1-aa", "cluster": "west", "workload": "reviews-v1"},
        {"instance": "reviews-v3-bb", "cluster": "west", "workload": "reviews-v3"},
    ]


def test_a_deployment_that_cannot_respond_is_named_with_the_cause() -> None:
    deployments = [deployment("reviews-v1"), deployment("reviews-v2"), deployment("reviews-v3", replicas=0)]
    pods = [pod("reviews-v1-aa"), pod("reviews-v2-bb", ready=False, waiting="ImagePullBackOff")]
    found = backends("west", deployments, pods, REVIEWS)
    assert [row["instance"] for row in found.instances] == ["reviews-v1-aa"]
    assert found.problems == [
        "west: Deployment bookinfo/reviews-v2 has no ready Pod: reviews-v2-bb: container reviews: ImagePullBackOff",
        "west: Deployment bookinfo/reviews-v3 is scaled to 0 replicas, so no instance can respond. Scale it up",
    ]


def test_a_cluster_without_such_a_deployment_adds_nothing() -> None:
    found = backends("west", [deployment("ratings-v1", replicas=0)], [], REVIEWS)
    assert (found.instances, found.problems) == ([], [])
