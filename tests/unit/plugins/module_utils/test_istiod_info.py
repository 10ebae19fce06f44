"""What istiod_info asks of a cluster: six requests, and less where it may not read."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils import istiod_info
from ansible_collections.multicluster.gloo.plugins.module_utils.errors import ClusterError, Forbidden

Json = dict[str, Any]

LABELS = {"app": "istiod", "istio.io/rev": "gloo"}
META = {"namespace": "istio-system", "name": "istiod-gloo", "labels": LABELS}
CONTAINER = {"name": "discovery", "image": "pilot:1.27.0", "env": [{"name": "CLUSTER_ID", "value": "cluster1"}]}
OBJECTS: dict[str, list[Json]] = {
    "Service": [{"metadata": META, "spec": {"selector": LABELS, "ports": [{"port": 15012}]}}],
    "Deployment": [
        {
            "metadata": META,
            "spec": {"template": {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}},
            "status": {"readyReplicas": 1},
        }
    ],
    "EndpointSlice": [
        {
            "metadata": {**META, "labels": {"kubernetes.io/service-name": "istiod-gloo"}},
            "endpoints": [{"addresses": ["10.0.0.1"]}],
        }
    ],
    "Namespace": [{"metadata": {"name": "bookinfo", "labels": {"istio.io/rev": "gloo"}}}],
}


class FakeCluster:
    """Answers from OBJECTS; `allowed` tells which (kind, namespace or None) may be read."""

    name = "cluster1"

    def __init__(self, allowed: Any = lambda kind, namespace: True) -> None:
        self.allowed, self.requests = allowed, 0
        self.asked: list[tuple[str, str | None]] = []

    def __enter__(self) -> FakeCluster:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def list(self, api_version: str, kind: str, namespace: str | None = None, labels: str | None = None) -> list[Json]:
        self.requests += 1
        self.asked.append((kind, namespace))
        if not self.allowed(kind, namespace):
            raise Forbidden("no", reason="Forbidden")
        return OBJECTS.get(kind, [])

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Json | None:
        return next((o for o in self.list(api_version, kind, name) if o["metadata"]["name"] == name), None)


def ask(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster, **params: Any) -> Json:
    monkeypatch.setattr(istiod_info, "connect", lambda _params: cluster)
    return istiod_info.run({"kubeconfig": "x", "context": "cluster1", "strict": True, **params}, False, print)


def test_six_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    result = ask(monkeypatch, cluster, for_namespace="bookinfo")
    assert result["istiod"]["cluster_id"] == "cluster1" and result["istiod"]["ready"] is True
    assert result["requests"] == len(cluster.asked) == 6


def test_one_namespace_is_enough_and_still_six(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(lambda kind, namespace: namespace is not None)
    result = ask(monkeypatch, cluster, for_namespace="bookinfo")
    assert result["istiod"]["address"] == "istiod-gloo.istio-system.svc:15012"
    assert result["requests"] <= 6
    assert "only namespace istio-system was searched" in result["problems"][0]


@pytest.mark.parametrize(
    "kind", ["Deployment", "ConfigMap", "MutatingWebhookConfiguration", "EndpointSlice", "Namespace"]
)
def test_a_forbidden_list_degrades_and_is_told(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    result = ask(monkeypatch, FakeCluster(lambda asked, namespace: asked != kind))
    assert result["istiod"]["address"] == "istiod-gloo.istio-system.svc:15012"
    assert any(problem.startswith(f"{kind} objects may not be listed") for problem in result["problems"])


def test_nothing_may_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(lambda kind, namespace: False)
    with pytest.raises(ClusterError, match="cluster1: istiod cannot be looked for, neither Services nor Deployments"):
        ask(monkeypatch, cluster)
    assert ask(monkeypatch, cluster, strict=False)["istiod"] is None
    assert "install Istio" not in ask(monkeypatch, cluster, strict=False)["msg"]


def test_unknown_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match=r"namespace nope \(for_namespace\) does not exist"):
        ask(monkeypatch, FakeCluster(), for_namespace="nope")
