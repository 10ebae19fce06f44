"""First causes in recorded situations of a real kgateway controller, where such recordings are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils import proxy

REPO = Path(__file__).resolve().parents[4]
RECORDED = Path(os.environ.get("MULTICLUSTER_RECORDED", REPO.parent / "shared" / "recorded")) / "kgateway"

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recordings here (MULTICLUSTER_RECORDED)")

THREE = ("kgateway-proxy", "sds", "istio-proxy")
ISTIOD = {"namespace": "istio-system", "name": "istiod-main", "cluster_id": "cluster1", "mesh_id": "cluster1"}
ISTIOD["address"] = "istiod-main.istio-system.svc:15012"


def load(folder: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((RECORDED / folder).glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            items = document.get("items", [document]) if document else []
            for item in items or []:
                found.setdefault(item.get("kind", "Event"), []).append(item)
    return found


def istiod_objects() -> tuple[dict[str, Any], dict[str, Any]]:
    labels = {"app": "istiod", "istio.io/rev": "main"}
    container = {"name": "discovery", "image": "pilot:1.27.0", "env": [{"name": "CLUSTER_ID", "value": "cluster1"}]}
    meta = {"namespace": "istio-system", "name": "istiod-main", "labels": labels}
    deployment = {
        "kind": "Deployment",
        "metadata": meta,
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
        "status": {"readyReplicas": 1},
    }
    return deployment, {"kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": [{"port": 15012}]}}


def controller(auto_mtls: bool) -> dict[str, Any]:
    env = [{"name": "KGW_ENABLE_ISTIO_AUTO_MTLS", "value": str(auto_mtls).lower()}]
    return {
        "kind": "Deployment",
        "metadata": {"namespace": "gloo-system", "name": "gloo-gateway", "generation": 1},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "kgateway", "env": env}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }


#: parameters that were there but are in no file of their folder, as the recordings' table describes them
PARAMETERS = {
    "custom-gw-params-badistiod": {"istioDiscoveryAddress": "istiod-nope.istio-system.svc:15012"},
    "custom-gw-params-numericid": {"istioMetaClusterId": "123"},
}


def parameters(name: str, istio_proxy: dict[str, str]) -> dict[str, Any]:
    spec = {"kube": {"istio": {"istioProxyContainer": istio_proxy}}}
    return {"kind": "GatewayParameters", "metadata": {"namespace": "gloo-system", "name": name}, "spec": spec}


def ready_pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "gloo-system", "name": "http-1"},
        "spec": deployment["spec"]["template"]["spec"],
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def situation(folder: str, auto_mtls: bool = True, expect: tuple[str, ...] | None = THREE) -> proxy.Situation:
    objects, healthy = load(folder), load("a-healthy")
    gateway = objects["Gateway"][0]
    name = gateway["metadata"]["name"]
    deployment, service = istiod_objects()
    known = objects.get("GatewayParameters") or healthy["GatewayParameters"]
    proxies = objects.get("Deployment", [])
    return proxy.Situation(
        namespace="gloo-system",
        name=name,
        gateway=gateway,
        classes=healthy["GatewayClass"],
        parameters=known + [parameters(name, values) for name, values in PARAMETERS.items()],
        deployments=[*proxies, controller(auto_mtls), deployment],
        services=[*objects.get("Service", []), service],
        replica_sets=objects.get("ReplicaSet", []),
        pods=objects.get("Pod") or [ready_pod(d) for d in proxies],
        root_cert=True,
        want=proxy.Want(expect=expect, istiod=ISTIOD),
    )


def test_healthy() -> None:
    s = situation("a-healthy")
    assert proxy.judge(s).state == "ready"
    record = proxy.record("cluster1", s, proxy.judge(s))
    assert tuple(record["containers"]) == THREE
    assert record["url"] == "http://10.77.0.10:8080"
    assert record["env"]["ISTIO_META_CLUSTER_ID"] == "cluster1"
    assert [p["ready"] for p in record["pods"]] == [True]


@pytest.mark.parametrize(
    ("folder", "auto_mtls", "state", "words"),
    [
        ("b-switches-off", False, "failed", "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment gloo-system/gloo-gateway"),
        ("b-integration-only", False, "failed", "KGW_ENABLE_ISTIO_AUTO_MTLS is off"),
        ("c-params-missing", True, "failed", "does not exist"),
        ("c-ref-moved-to-missing", True, "failed", "does not exist"),
        ("d-params-wrong-group", True, "failed", "its controller takes GatewayParameters of gateway.kgateway.dev"),
        ("f-wrong-istiod", True, "failed", "istiod is at istiod-main.istio-system.svc:15012"),
        (
            "l-params-ref-removed",
            True,
            "failed",
            "istiod.istio-system.svc:15012 of Gateway gloo-system/http (no parametersRef",
        ),
        ("n-address-pending", True, "waiting", "has no address"),
        ("x-class-not-served", True, "failed", "does not exist, so nobody serves"),
        ("x-numeric-cluster-id", True, "failed", "'123'"),
    ],
)
def test_first_cause(folder: str, auto_mtls: bool, state: str, words: str) -> None:
    s = situation(folder, auto_mtls)
    verdict = proxy.judge(s)
    assert (verdict.state, words in verdict.reason) == (state, True), verdict
