"""Arguments, environment and listeners of an istiod process."""

from __future__ import annotations

from typing import Any

from lab.vendor import istiod


def pod(
    made: Any, name: Any = "istiod-1", args: Any = None, env: Any = None, created: Any = "2026-01-01T00:00:00Z"
) -> Any:
    container = {"name": "discovery", "args": args or ["discovery", "--domain", "cluster.local"], "env": env or []}
    made_pod = made.pod(name, {"app": "istiod"}, "istio-system", sidecar=False, containers=[container])
    made_pod["spec"]["serviceAccountName"] = "istiod-gloo"
    made_pod["metadata"]["creationTimestamp"] = created
    return made_pod


def variable(name: Any, value: Any) -> Any:
    return {"name": name, "value": value}


def test_environment_comes_from_the_container(made: Any) -> None:
    env = [
        variable("CLUSTER_ID", "first"),
        variable("CLUSTER_ID", "cluster1"),
        variable("KUBECONFIG", "/var/run/secrets/remote/config"),
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "SERVICE_ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
        {"name": "GOMEMLIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
    ]
    result = istiod.environment(pod(made, env=env))
    assert result == {"CLUSTER_ID": "cluster1", "POD_NAMESPACE": "istio-system", "SERVICE_ACCOUNT": "istiod-gloo"}


def test_arguments_refer_to_the_environment(made: Any) -> None:
    result = pod(made, args=["discovery", "--clusterID=$(CLUSTER_ID)"], env=[variable("CLUSTER_ID", "cluster1")])
    assert istiod.arguments(result) == ["discovery", "--clusterID=cluster1"]


def test_the_newest_pod_of_each_namespace_and_revision_except_deleted_ones(made: Any) -> None:
    old, new = pod(made, "a"), pod(made, "b", created="2026-02-01T00:00:00Z")
    assert istiod.chosen([new, old]) == [new]
    other = pod(made, "c")
    other["metadata"]["labels"]["istio.io/rev"] = "1-27"
    assert istiod.chosen([new, other, old]) == [new, other]
    far = pod(made, "d")
    far["metadata"]["namespace"] = "mesh-b"
    assert istiod.chosen([new, far, old]) == [new, far]
    new["metadata"]["deletionTimestamp"] = "2026-02-02T00:00:00Z"
    assert istiod.chosen([new, old]) == [old]
    alias = made.pod("other", {"app": "istiod"}, "istio-system")
    assert istiod.chosen([alias]) == []


def test_every_listener_is_on_loopback() -> None:
    names = ("http", "https", "grpc", "secure", "monitoring", "ctrlz")
    result = istiod.listeners({name: 1000 + number for number, name in enumerate(names)})
    assert len({argument.rpartition("=")[2] for argument in result if "Addr=" in argument}) == 5
    assert all("=127.0.0.1" in argument for argument in result if "port" not in argument)
