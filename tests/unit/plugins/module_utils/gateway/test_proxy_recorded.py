"""Verdict and first cause in every recorded model of a real kgateway controller, where recordings are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks as proxy
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import GATEWAY_PARAMETERS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import (
    Objects,
    ProxyModel,
    Want,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_record import record
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_restart import restart_reason
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import SETTINGS

REPO = Path(__file__).resolve().parents[5]
RECORDED = Path(os.environ.get("MULTICLUSTER_RECORDED", REPO.parent / "shared" / "recorded")) / "kgateway"

if not RECORDED.is_dir():
    reason = "no recordings here (MULTICLUSTER_RECORDED); test_proxy_situations proves the same on objects made there"
    pytest.skip(reason, allow_module_level=True)

Json = dict[str, Any]

THREE = ("kgateway-proxy", "sds", "istio-proxy")
ISTIOD = {"namespace": "istio-system", "name": "istiod-main", "cluster_id": "cluster1", "mesh_id": "cluster1"}
ISTIOD["address"] = "istiod-main.istio-system.svc:15012"


def load(folder: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for path in sorted((RECORDED / folder).glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            items = document.get("items", [document]) if document else []
            for item in items or []:
                found.setdefault(item.get("kind", "Event"), []).append(item)
    return found


def istiod_objects() -> tuple[Json, Json]:
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


def controller(auto_mtls: bool) -> Json:
    env = [{"name": "KGW_ENABLE_ISTIO_AUTO_MTLS", "value": str(auto_mtls).lower()}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "kgateway-system", "name": "kgateway", "generation": 1},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "kgateway", "env": env}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }


#: parameters that were there but are in no file of their folder, as the recordings' table describes them
PARAMETERS: dict[str, dict[str, str]] = {
    "custom-gw-params-noistio": {},
    "custom-gw-params-badistiod": {"istioDiscoveryAddress": "istiod-nope.istio-system.svc:15012"},
    "custom-gw-params-numericid": {"istioMetaClusterId": "123"},
}
#: what the parameters said in folders whose own file is of another moment
CHANGED = {
    f"k-params-changed/after-{change}": dict(
        zip(SETTINGS, (ISTIOD["address"], "cluster1-changed", "cluster1"), strict=True)
    )
    for change in ("pod-template-change", "bootstrap-change")
}


def parameters(name: str, istio_proxy: dict[str, str]) -> Json:
    spec = {"kube": {"istio": {"istioProxyContainer": istio_proxy}}}
    return {"kind": "GatewayParameters", "metadata": {"namespace": "gloo-system", "name": name}, "spec": spec}


def ready_pod(deployment: Json) -> Json:
    """The recording's Pods turned ready at once; most folders leave them out. Made when the Deployment last changed."""
    written = max(e["time"] for e in deployment["metadata"]["managedFields"] if e.get("subresource") != "status")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    return {
        "metadata": {"namespace": "gloo-system", "name": "pod-1", "labels": labels, "creationTimestamp": written},
        "spec": deployment["spec"]["template"]["spec"],
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def situation(folder: str, auto_mtls: bool = True, expect: tuple[str, ...] | None = THREE) -> ProxyModel:
    objects, healthy = load(folder), load("a-healthy")
    deployment, service = istiod_objects()
    known = objects.get("GatewayParameters") or healthy["GatewayParameters"]
    if folder in CHANGED:
        known = [parameters("custom-gw-params", CHANGED[folder])]
    proxies = objects.get("Deployment", [])
    root = {"metadata": {"namespace": "gloo-system", "name": "istio-ca-root-cert"}}
    gateways = objects.get("Gateway", [])
    return ProxyModel(
        Objects(
            gateways=gateways,
            classes=objects.get("GatewayClass", []) + healthy["GatewayClass"],
            parameters={GATEWAY_PARAMETERS: known + [parameters(*one) for one in PARAMETERS.items()]},
            deployments=[*proxies, controller(auto_mtls), deployment],
            services=[*objects.get("Service", []), service],
            replica_sets=objects.get("ReplicaSet", []),
            pods=objects.get("Pod") or [ready_pod(d) for d in proxies],
            config_maps=[*objects.get("ConfigMap", []), root],
            namespaces=[],
        ),
        "gloo-system",
        gateways[0]["metadata"]["name"] if gateways else "http",
        Want(expect=expect, istiod=ISTIOD),
    )


def test_healthy() -> None:
    s = situation("a-healthy")
    assert proxy.check_proxy(s).state == "ready"
    row = record("cluster1", s, proxy.check_proxy(s))
    assert tuple(row["containers"]) == THREE
    assert row["url"] == "http://10.77.0.10:8080"
    assert row["env"]["ISTIO_META_CLUSTER_ID"] == "cluster1"
    assert [p["ready"] for p in row["pods"]] == [True]
    assert (row["deployment"]["generation"], row["deployment"]["rollout"]) == (2, "ready")


OFF = "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment kgateway-system/kgateway"

#: folder -> (AUTO_MTLS, state, check, words of the cause)
TRUTH: dict[str, tuple[bool, str, str, str]] = {
    "a-healthy": (True, "ready", "", ""),
    "b-switches-off": (False, "failed", "switch", OFF),
    "b-integration-only": (False, "failed", "switch", OFF),
    "b-auto-mtls-only": (True, "waiting", "address", "has no address"),
    "c-params-missing": (
        True,
        "failed",
        "parameters",
        "custom-gw-params-absent, referenced by Gateway gloo-system/c-dangling",
    ),
    "c-ref-moved-to-missing": (True, "failed", "parameters", "does not exist; the running proxy keeps its"),
    "c-params-restored": (True, "ready", "", ""),
    "d-params-wrong-group": (
        True,
        "failed",
        "parameters",
        "GatewayParameters of gateway.gloo.solo.io; the controller accepts GatewayParameters of gateway.kgateway.dev",
    ),
    "e-params-without-istio": (True, "failed", "istiod-address", "istiod.istio-system.svc:15012"),
    "f-wrong-istiod": (True, "failed", "istiod-address", "istiod is at istiod-main.istio-system.svc:15012"),
    "g-listener-refuses": (True, "failed", "istiod-address", "(no parametersRef, kgateway's defaults apply)"),
    "k-params-changed/before": (True, "ready", "", ""),
    "k-params-changed/after-pod-template-change": (
        True,
        "failed",
        "cluster-id",
        "custom-gw-params is cluster1-changed",
    ),
    "k-params-changed/after-bootstrap-change": (True, "failed", "cluster-id", "custom-gw-params is cluster1-changed"),
    "k-params-changed/after-configmap-only-change": (True, "ready", "", ""),
    "l-params-ref-removed": (
        True,
        "failed",
        "istiod-address",
        "istiod.istio-system.svc:15012 in Gateway gloo-system/http (no parametersRef, kgateway's defaults apply)",
    ),
    "m-gateway-deleted/before": (True, "ready", "", ""),
    "m-gateway-deleted/after": (True, "failed", "gateway", "Gateway gloo-system/http does not exist"),
    "m-gateway-deleted/after-controller-restart": (True, "failed", "gateway", "does not exist"),
    "n-address-pending": (True, "waiting", "address", "has no address"),
    "n-address-ip": (True, "ready", "", ""),
    "n-address-hostname-and-ip": (True, "ready", "", ""),
    "x-class-not-served": (
        True,
        "failed",
        "class-served",
        "GatewayClass gloo-gateway of solo.io/gloo-gateway is not served: no controller serves this class",
    ),
    "x-numeric-cluster-id": (True, "failed", "settings", "'123'"),
}


@pytest.mark.parametrize("folder", TRUTH)
def test_first_cause(folder: str) -> None:
    auto_mtls, state, check, words = TRUTH[folder]
    finding = proxy.check_proxy(situation(folder, auto_mtls))
    assert (finding.state, finding.check, words in finding.reason) == (state, check, True), finding


def test_no_recorded_gateway_is_left_out() -> None:
    recorded = {str(p.parent.relative_to(RECORDED)) for p in RECORDED.rglob("gateway-*.yaml")}
    assert recorded - set(TRUTH) == set()


@pytest.mark.parametrize("folder", TRUTH)
def test_only_a_change_of_nothing_but_the_bootstrap_needs_a_restart(folder: str) -> None:
    reason = restart_reason(situation(folder))
    assert bool(reason) is (folder == "k-params-changed/after-configmap-only-change"), reason


def test_without_expectation_one_container_is_wrong_where_the_parameters_want_a_mesh() -> None:
    assert proxy.check_proxy(situation("b-switches-off", False, None)).check == "switch"
