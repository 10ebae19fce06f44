"""A namespace whose deletion could not end, because an aggregated API does not respond."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.objects import run
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ApiUnavailable, Timeout, Unreachable
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.readiness import describe_deletion

Json = dict[str, Any]
NAMESPACE: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
MAP: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
SERVICES = "apiregistration.k8s.io/v1"
DOWN: Json = {"message": "service unavailable"}


def go(fake: Any, *definitions: Json, **options: Any) -> Json:
    params = {"kubeconfig": fake[1], "context": "fake", "definitions": list(definitions), "wait_timeout": 2, **options}
    return run(params, False, lambda line: None)


def metrics(fake: Any, available: str = "False") -> None:
    """metrics.k8s.io of a server that does not respond, or no longer exists."""
    api, _kubeconfig = fake
    api.kinds[SERVICES] = {"apiservices": ("APIService", False)}
    api.kinds["metrics.k8s.io/v1beta1"] = {"pods": ("PodMetrics", True)}
    condition = {"type": "Available", "status": available, "reason": "MissingEndpoints", "message": "no endpoints"}
    spec = {"group": "metrics.k8s.io", "version": "v1beta1", "service": {"name": "metrics-server"}}
    obj = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec, "status": {"conditions": [condition]}}
    api.write(SERVICES, "apiservices", "", obj)
    own = {"metadata": {"name": "v1.apps"}, "spec": {"group": "apps", "version": "v1"}}
    api.write(SERVICES, "apiservices", "", own)
    if available == "False":
        api.refuse("GET", "/apis/metrics.k8s.io/v1beta1$", 503, DOWN, times=99)


def removed(fake: Any) -> dict[str, Json]:
    rows = go(fake, NAMESPACE, MAP, state="absent")["objects"]
    return {row["kind"]: row for row in rows}


def test_a_broken_aggregated_api_is_named_and_the_rest_goes_on(fake: Any) -> None:
    go(fake, NAMESPACE, MAP)
    metrics(fake)
    begin = time.monotonic()
    rows = removed(fake)
    assert time.monotonic() - begin < 5
    assert (rows["ConfigMap"]["action"], rows["Namespace"]["action"]) == ("deleted", "kept")
    assert rows["Namespace"]["reason"] == (
        "its deletion could not end, and its contents are not known: APIService v1beta1.metrics.k8s.io is not "
        "available (MissingEndpoints: no endpoints). See kubectl get apiservices: repair the server behind it, or "
        "delete the APIService if nothing needs it"
    )
    assert fake[0].get("v1", "namespaces", "", "shop")


def test_it_is_named_to_a_user_who_may_not_list_api_services(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.3)
    go(fake, NAMESPACE)
    metrics(fake)
    refusal = {"reason": "Forbidden", "message": 'apiservices is forbidden: User "u" cannot list'}
    fake[0].refuse("GET", "apiservices", 403, refusal, times=9)
    reason = removed(fake)["Namespace"]["reason"]
    assert "APIService v1beta1.metrics.k8s.io is not available (http" in reason and "service unavailable" in reason


def test_an_available_one_is_no_reason(fake: Any) -> None:
    go(fake, NAMESPACE, MAP)
    metrics(fake, "True")
    assert removed(fake)["Namespace"]["action"] == "deleted"


def test_an_api_server_that_does_not_respond_is_another_fault(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.1)
    fake[0].refuse("GET", "/apis", 503, DOWN, times=9)
    with Cluster(fake[1], "fake") as cluster:
        with pytest.raises(Unreachable):
            cluster.api_versions()
        with pytest.raises(ApiUnavailable):
            cluster.resources("metrics.k8s.io/v1beta1")


def _held(kind: str, message: str) -> Json:
    conditions = [
        {"type": kind, "status": "True", "message": message},
        {"type": "NamespaceContentRemaining", "status": "False", "message": "nothing"},
    ]
    meta = {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    return {**NAMESPACE, "metadata": meta, "status": {"phase": "Terminating", "conditions": conditions}}


@pytest.mark.parametrize(
    ("kind", "message", "says"),
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
            "metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1",
            "APIService v1beta1.metrics.k8s.io must be available or be deleted (kubectl get apiservices)",
        ),
        (
            "NamespaceFinalizersRemaining",
            "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances",
            "finalizers remaining: example.org/hold in 1 resource instances",
        ),
        (
            "NamespaceDeletionContentFailure",
            "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace",
            "Failed to delete all resource types",
        ),
    ],
)
def test_what_holds_a_namespace_is_told(kind: str, message: str, says: str) -> None:
    text = describe_deletion(_held(kind, message))
    assert text.startswith("it is being deleted; ") and says in text and "nothing" not in text
    assert ("APIService" in text) is kind.endswith("DiscoveryFailure")


def test_a_namespace_that_cannot_end_is_told_by_the_wait_for_it(fake: Any) -> None:
    message = "Discovery failed for some groups, 1 failing: custom.metrics.k8s.io/v1beta2: the server is unable"
    fake[0].write("v1", "namespaces", "", _held("NamespaceDeletionDiscoveryFailure", message))
    with pytest.raises(Timeout, match=r"APIService v1beta2.custom.metrics.k8s.io must be available"):
        go(fake, NAMESPACE)


def test_finalizers_of_a_namespace_are_told_wherever_they_are() -> None:
    held = {**NAMESPACE, "spec": {"finalizers": ["kubernetes", "example.org/hold"]}}
    assert "held by finalizers example.org/hold: their controller" in describe_deletion(held)
