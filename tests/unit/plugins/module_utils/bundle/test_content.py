"""Which Pods and workloads are in the bundle with all their logs: found by what they run."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.bundle import content

Json = dict[str, Any]


def workload(name: str = "x", labels: Json | None = None, meta: Json | None = None, **container: Any) -> Json:
    """A Deployment in namespace team with one container."""
    template = {"metadata": meta or {}, "spec": {"containers": [{"name": "main", **container}]}}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "team", "labels": labels or {}},
        "spec": {"template": template},
    }


def pod_of(deployment: Json) -> Json:
    template = deployment["spec"]["template"]
    name = deployment["metadata"]["name"]
    owner = {"kind": "ReplicaSet", "name": f"{name}-5d4", "controller": True}
    labels = {**template["metadata"].get("labels", {}), "pod-template-hash": "5d4"}
    meta = {**template["metadata"], "namespace": "team", "labels": labels, "ownerReferences": [owner]}
    return {"kind": "Pod", "metadata": {**meta, "name": f"{name}-5d4-abc"}, "spec": template["spec"]}


AGENT_ARGUMENTS = ["--cluster=c1", "--relay-address=192.0.2.1:9900"]
COMPONENTS = {
    "management server, mirrored image": workload(image="mirror.example/solo/gloo-mesh-mgmt-server@sha256:00"),
    "management server by its label": workload(meta={"labels": {"app": "gloo-mesh-mgmt-server"}}),
    "management server by its name": workload("gloo-mesh-mgmt-server"),
    "agent of another release": workload("gloo-agent", image="registry.example/gloo-mesh-agent:2.11.0"),
    "agent with an image of its own": workload("relay", image="mirror.example/abc:1", args=AGENT_ARGUMENTS),
    "operator": workload(image="registry.example/gloo-operator-fips:0.5.2"),
    "telemetry gateway": workload("otel", meta={"labels": {"app": "gloo-telemetry-gateway"}}),
    "collector": workload("otel", image="registry.example/gloo-otel-collector:2.11.0"),
    "istiod of others": workload("control-plane", image="registry.example/pilot:1.27.0", args=["discovery"]),
    "east-west gateway with labels of its own": workload("ew", args=["proxy", "router", "--domain", "x"]),
    "east-west gateway before injection": workload(
        "ew", meta={"annotations": {"inject.istio.io/templates": "gateway"}}, image="auto"
    ),
    "Gloo Gateway": workload("ctl", image="registry.example/gloo-gateway-controller:2.0.1"),
    "enterprise-kgateway": workload("ctl", image="registry.example/enterprise-kgateway-controller:2.3.3"),
    "kgateway of another release": workload("prod-kgateway", image="cr.example/kgateway:v2.3.0"),
}
OTHERS = {
    "application": workload("reviews", image="registry.example/reviews:1"),
    "application with a sidecar": workload("reviews", args=["proxy", "sidecar"]),
    "container discovery of another product": workload("discovery", image="registry.example/x:1"),
    "something with the flag --cluster": workload("ca", args=["--cluster=c1"]),
    "without containers": {"kind": "Deployment", "metadata": {"name": "x", "namespace": "team"}, "spec": None},
}


@pytest.mark.parametrize("found", COMPONENTS.values(), ids=COMPONENTS)
def test_a_component_is_found_by_what_it_runs(found: Json) -> None:
    assert content.related_namespaces([found]) == {"team"}
    pod = pod_of(found)
    assert content.is_component(pod)
    assert content.containers_with_logs(pod) == [("main", False)]


@pytest.mark.parametrize("found", OTHERS.values(), ids=OTHERS)
def test_other_workloads_are_not_components(found: Json) -> None:
    assert content.related_namespaces([found]) == set()
    if found["spec"]:
        assert not content.is_component(pod_of(found))


def test_proxies_of_a_gateway_are_components() -> None:
    label = {"gateway.networking.k8s.io/gateway-name": "http"}
    assert content.is_component(workload("http", label))
    assert content.is_component(pod_of(workload("http", meta={"labels": label})))


@pytest.mark.parametrize(
    "kind", ["Gateway", "HTTPRoute", "GatewayParameters", "GlooGatewayParameters", "EnterpriseKgatewayParameters"]
)
def test_parameters_of_every_product_are_related(kind: str) -> None:
    assert content.related_namespaces([{"kind": kind, "metadata": {"name": "x", "namespace": "team"}}]) == {"team"}
