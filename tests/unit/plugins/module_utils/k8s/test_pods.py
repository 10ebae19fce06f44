"""Which Pods have to respond, whatever owns them, and why a workload cannot."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.pods import backends, owner_of

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
        pod("reviews-v9-ff"),  # owned by nothing
        pod("reviews-v1-gg", namespace="other"),
    ]
    found = backends("west", deployments, pods, REVIEWS)
    assert found.problems == []
    assert found.instances == [
        {"instance": "reviews-v1-aa", "cluster": "west", "workload": "reviews-v1"},
        {"instance": "reviews-v3-bb", "cluster": "west", "workload": "reviews-v3"},
        {"instance": "reviews-v9-ff", "cluster": "west", "workload": "reviews-v9-ff"},
    ]


def test_a_deployment_that_cannot_respond_is_named_with_the_cause() -> None:
    deployments = [deployment("reviews-v1"), deployment("reviews-v2"), deployment("reviews-v3", replicas=0)]
    pods = [pod("reviews-v1-aa"), pod("reviews-v2-bb", ready=False, waiting="ImagePullBackOff")]
    found = backends("west", deployments, pods, REVIEWS)
    assert [row["instance"] for row in found.instances] == ["reviews-v1-aa"]
    assert found.problems == [
        "west: Deployment bookinfo/reviews-v2 has no ready Pod: reviews-v2-bb: container reviews: ImagePullBackOff",
        "west: Deployment bookinfo/reviews-v3 is scaled to 0 replicas, so no instance can respond. Scale it up "
        "or, if this is intended, select other workloads",
    ]


def test_a_cluster_without_such_a_deployment_adds_nothing() -> None:
    found = backends("west", [deployment("ratings-v1", replicas=0)], [], REVIEWS)
    assert (found.instances, found.problems) == ([], [])


def owned(name: str, kind: str, owner: str, ready: bool = True, **labels: str) -> dict[str, Any]:
    found = pod(name, ready, ownerReferences=[{"kind": kind, "name": owner, "controller": True}])
    found["metadata"]["labels"] |= {key.replace("_", "-"): value for key, value in labels.items()}
    return found


@pytest.mark.parametrize(
    ("each", "owner"),
    [
        (
            owned("reviews-v1-abc", "ReplicaSet", "reviews-v1-7d9", pod_template_hash="7d9"),
            ("Deployment", "reviews-v1"),
        ),
        (
            owned("reviews-v1-abc", "ReplicaSet", "reviews-7d9", rollouts_pod_template_hash="7d9"),
            ("Rollout", "reviews"),
        ),
        (owned("reviews-v1-abc", "ReplicaSet", "by-hand"), ("ReplicaSet", "by-hand")),
        (owned("reviews-v1-0", "StatefulSet", "reviews-v1"), ("StatefulSet", "reviews-v1")),
        (owned("reviews-v1-x", "DaemonSet", "reviews-v1"), ("DaemonSet", "reviews-v1")),
        (owned("reviews-v1-x", "Reviews", "of-an-operator"), ("Reviews", "of-an-operator")),
        (pod("reviews-v1-bare"), ("Pod", "reviews-v1-bare")),
    ],
)
def test_pods_of_any_owner_have_to_respond(each: dict[str, Any], owner: tuple[str, str]) -> None:
    assert owner_of(each) == owner
    found = backends("west", [], [each], REVIEWS)
    assert found.instances == [{"instance": each["metadata"]["name"], "cluster": "west", "workload": owner[1]}]
    assert (found.problems, found.workloads) == ([], [owner])


def test_a_workload_without_a_ready_pod_is_named_by_its_kind() -> None:
    sets = [{**deployment("reviews-v4", replicas=0), "kind": "StatefulSet"}]
    pods = [
        owned("reviews-v1-0", "StatefulSet", "reviews-v1", ready=False),
        owned("reviews-v2-a", "Reviews", "r", False),
    ]
    assert [text.split(" has ")[0].split(" is ")[0] for text in backends("west", sets, pods, REVIEWS).problems] == [
        "west: StatefulSet bookinfo/reviews-v4",
        "west: StatefulSet bookinfo/reviews-v1",
        "west: Reviews bookinfo/r",
    ]


def test_finished_pods_and_pods_of_jobs_do_not_count() -> None:
    evicted, done = pod("reviews-v1-aa", ready=False), owned("reviews-v1-bb", "Job", "migration")
    evicted["status"]["phase"] = "Failed"
    assert backends("west", [], [evicted, done], REVIEWS).workloads == []


def test_a_deployment_with_pods_of_a_rollout_is_not_scaled_to_0() -> None:
    pods = [owned("reviews-v1-abc", "ReplicaSet", "reviews-7d9", rollouts_pod_template_hash="7d9")]
    found = backends("west", [deployment("reviews-v1", replicas=0)], pods, REVIEWS)
    assert (len(found.instances), found.problems) == (1, [])


def test_labels_of_a_deployment_or_of_its_pods_select() -> None:
    labelled = deployment("reviews-v1")
    labelled["metadata"]["labels"] = {}
    labelled["spec"]["template"] = {"metadata": {"labels": {"app": "reviews"}}}
    assert len(backends("west", [labelled], [], REVIEWS).problems) == 1
    only_itself = deployment("reviews-v1", selector={"matchLabels": {"run": "x"}})
    plain = pod("reviews-v1-aa")
    plain["metadata"]["labels"] = {"run": "x"}
    assert len(backends("west", [only_itself], [plain], REVIEWS).instances) == 1
