"""Faults of a Gateway's proxy: how to create each on the lab, how to repair it, and the first cause to report."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acceptance.edge import CLASS, CLASSES, CORE, DEPLOYMENT, GROUP, NAME, NAMESPACE, PARAMETERS, SDS, SETTINGS, Edge

Undo = Callable[[], object]
Json = dict[str, Any]

CONTROLLER = "/apis/apps/v1/namespaces/gloo-system/deployments/gloo-gateway"
ISTIOD = "/apis/apps/v1/namespaces/istio-system/deployments/istiod-gloo"
ADDRESS = "istiod-gloo.istio-system.svc:15012"


@dataclass(frozen=True)
class Fault:
    """`break_it` breaks and returns the way back. Then the record has this verdict, check and `serving`, and its cause
    each text of `says`; {cluster} stands for the cluster's name."""

    name: str
    break_it: Callable[[Edge], Undo]
    verdict: str
    check: str
    serving: str
    says: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def seen(self, record: Json) -> bool:
        told = (record["verdict"], record["check"], record["serving"])
        says = [text.format(cluster=record["cluster"]) for text in self.says]
        return told == (self.verdict, self.check, self.serving) and all(text in record["cause"] for text in says)


def _told(option: str, value: str, right: Callable[[Edge], str]) -> Callable[[Edge], Undo]:
    def break_it(edge: Edge) -> Undo:
        edge.tell_istio(option, value)
        return lambda: edge.tell_istio(option, right(edge))

    return break_it


def _cluster_id(value: str) -> Callable[[Edge], Undo]:
    return _told("istioMetaClusterId", value, lambda edge: edge.cluster)


def _address(value: str) -> Callable[[Edge], Undo]:
    return _told("istioDiscoveryAddress", value, lambda edge: ADDRESS)


def _kube(change: Json, back: Json) -> Callable[[Edge], Undo]:
    def break_it(edge: Edge) -> Undo:
        edge.tell(change)
        return lambda: edge.tell(back)

    return break_it


def _numeric_id_from_the_start(edge: Edge) -> Undo:
    undo = _cluster_id("123")(edge)
    edge.site.delete(edge.cluster, DEPLOYMENT)  # the controller cannot make it again
    return undo


def _referring(**changes: str) -> Callable[[Edge], Undo]:
    def break_it(edge: Edge) -> Undo:
        edge.refer(**changes)
        return lambda: edge.refer(group=GROUP, kind="GatewayParameters", name=SETTINGS)

    return break_it


def _parameters_elsewhere(edge: Edge) -> Undo:
    edge.create_parameters("default", "edge-elsewhere")
    undo = _referring(name="edge-elsewhere")(edge)

    def back() -> None:
        undo()
        edge.site.delete(edge.cluster, f"{PARAMETERS.format('default')}/edge-elsewhere")

    return back


def _parameters_deleted(edge: Edge) -> Undo:
    edge.site.delete(edge.cluster, f"{PARAMETERS.format(NAMESPACE)}/{SETTINGS}")
    return lambda: edge.create_parameters(NAMESPACE, SETTINGS)


def _moved(name: str, controller: str | None = None) -> Callable[[Edge], Undo]:
    """To a class of that name; with `controller` there is one."""

    def break_it(edge: Edge) -> Undo:
        if controller:
            body = {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": {"name": name},
                "spec": {"controllerName": controller},
            }
            edge.site.create(edge.cluster, CLASSES, body)
        edge.move(name)

        def back() -> None:
            edge.move(CLASS)
            edge.site.delete(edge.cluster, f"{CLASSES}/{name}")

        return back

    return break_it


def _scaled(path: str) -> Callable[[Edge], Undo]:
    def break_it(edge: Edge) -> Undo:
        edge.patch(path, {"spec": {"replicas": 0}})
        return lambda: edge.patch(path, {"spec": {"replicas": 1}})

    return break_it


def _istiod_down_before_a_new_pod(edge: Edge) -> Undo:
    wake = _scaled(ISTIOD)(edge)
    edge.until(lambda record: record["check"] == "istiod", "istiod's end")
    edge.tell({"podTemplate": {"extraLabels": {"new": "pod"}}})

    def back() -> None:
        wake()
        edge.tell({"podTemplate": {"extraLabels": None}})

    return back


def _switch_off(edge: Edge) -> Undo:
    found = edge.site.get(edge.cluster, CONTROLLER)
    assert found is not None
    former = found["spec"]["template"]["spec"]["containers"]
    changed = copy.deepcopy(former)
    for entry in changed[0]["env"]:
        if entry["name"] == "KGW_ENABLE_ISTIO_AUTO_MTLS":
            entry["value"] = "false"

    def write(containers: list[Json]) -> Json:
        return edge.patch(CONTROLLER, {"spec": {"template": {"spec": {"containers": containers}}}})

    write(changed)
    return lambda: write(former)


def _quota(edge: Edge, hard: dict[str, str]) -> Undo:
    """A ResourceQuota that is in force."""
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    edge.site.create(edge.cluster, f"{CORE}/resourcequotas", body)

    def counted(_record: Json) -> bool:
        found = edge.site.get(edge.cluster, f"{CORE}/resourcequotas/small") or {}
        return set((found.get("status") or {}).get("used") or {}) == set(hard)

    edge.until(counted, "the quota in force")
    return lambda: edge.site.delete(edge.cluster, f"{CORE}/resourcequotas/small")


def _root_cert_refused(edge: Edge) -> Undo:
    """A quota keeps istiod from writing its root certificate into the namespace again."""
    names = [c["metadata"]["name"] for c in (edge.site.get(edge.cluster, f"{CORE}/configmaps") or {})["items"]]
    lift = _quota(edge, {"count/configmaps": str(len(names) - 1)})
    edge.site.delete(edge.cluster, f"{CORE}/configmaps/istio-ca-root-cert")

    def back() -> None:
        lift()
        # istiod looks at a namespace again when it changes.
        edge.patch(CORE, {"metadata": {"labels": {"looked-at": "again"}}})

    return back


def _pods_refused(edge: Edge) -> Undo:
    lift = _quota(edge, {"pods": "1"})
    edge.tell({"podTemplate": {"extraLabels": {"new": "pod"}}})

    def back() -> None:
        edge.tell({"podTemplate": {"extraLabels": None}})
        lift()

    return back


def _labelled_for_injection(edge: Edge) -> Undo:
    """istiod's own webhook changes the next Pod."""

    def write(label: str | None, pod: str | None) -> None:
        edge.patch(CORE, {"metadata": {"labels": {"istio.io/rev": label}}})
        edge.tell({"podTemplate": {"extraLabels": {"new": pod}}})

    write("gloo", "pod")
    return lambda: write(None, None)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "wrong cluster ID",
        _cluster_id("not-the-cluster"),
        "failed",
        "cluster-id",
        "former",
        (
            f"istioMetaClusterId in GatewayParameters {NAMESPACE}/{SETTINGS} is not-the-cluster",
            "Set istioMetaClusterId to {cluster}",
            "still serve clients with the previous settings",
        ),
    ),
    Fault(
        "address of nobody",
        _address("istiod.istio-system.svc:15012"),
        "failed",
        "istiod-address",
        "former",
        ("istiod.istio-system.svc:15012", "the Service does not exist", f"istiod is at {ADDRESS}"),
    ),
    Fault(
        "address with a port that gives no certificates",
        _address("istiod-gloo.istio-system.svc:15010"),
        "failed",
        "istiod-address",
        "former",
        ("istiod-gloo.istio-system.svc:15010", "15012", f"istiod is at {ADDRESS}"),
    ),
    Fault(
        "address that istiod's certificate is not for",
        _address("istiod-gloo.istio-system.svc.cluster.local:15012"),
        "failed",
        "istiod-address",
        "former",
        ("certificate is valid only for names ending in .svc", f"Use {ADDRESS}"),
    ),
    Fault(
        "address outside the cluster that nobody knows",
        _address("istiod.example.invalid:15012"),
        "waiting",
        "rollout",
        "former",
        ("sds is crash-looping", "log of istio-proxy", "istiod.example.invalid", "no such host"),
    ),
    Fault(
        "address without a port",
        _address("istiod-gloo.istio-system.svc"),
        "failed",
        "settings",
        "former",
        ("istioDiscoveryAddress istiod-gloo.istio-system.svc", "has no port", "istio-proxy exits on start"),
    ),
    Fault(
        "numeric cluster ID, Deployment not made",
        _numeric_id_from_the_start,
        "failed",
        "settings",
        "none",
        ("istioMetaClusterId", "'123'", "cannot render the Deployment"),
    ),
    Fault(
        "image that cannot be pulled",
        _kube(
            {"sdsContainer": {"image": {"registry": "registry.invalid"}}},
            {"sdsContainer": SDS},
        ),
        "failed",
        "rollout",
        "former",
        (
            "image registry.invalid/",
            "of container sds",
            "ImagePullBackOff",
            "still serve clients with the previous settings",
        ),
    ),
    Fault(
        "no node for the Pod",
        _kube({"podTemplate": {"nodeSelector": {"no": "such-node"}}}, {"podTemplate": {"nodeSelector": None}}),
        "waiting",
        "rollout",
        "former",
        ("cannot be scheduled", "node affinity/selector"),
    ),
    Fault(
        "Pods refused by a quota",
        _pods_refused,
        "failed",
        "rollout",
        "former",
        ("its Pods are rejected", "exceeded quota: small"),
    ),
    Fault(
        "namespace labelled for sidecar injection",
        _labelled_for_injection,
        "failed",
        "rollout",
        "current",
        ("has istio-init", f"Namespace {NAMESPACE} is labelled istio.io/rev=gloo", "remove the label of the namespace"),
    ),
    Fault(
        "parameters missing",
        _parameters_deleted,
        "failed",
        "parameters",
        "current",
        (f"GatewayParameters {NAMESPACE}/{SETTINGS}", "does not exist", "keeps its current settings"),
    ),
    Fault(
        "parameters in another namespace",
        _parameters_elsewhere,
        "failed",
        "parameters",
        "current",
        ("it exists in default, but must be in the Gateway's namespace",),
    ),
    Fault(
        "parameters of the wrong kind",
        _referring(kind="EnterpriseKgatewayParameters"),
        "failed",
        "parameters",
        "current",
        ("parametersRef has kind EnterpriseKgatewayParameters", f"the controller accepts GatewayParameters of {GROUP}"),
    ),
    Fault(
        "parameters of the wrong group",
        _referring(group="gateway.gloo.solo.io"),
        "failed",
        "parameters",
        "current",
        ("GatewayParameters of gateway.gloo.solo.io", f"the controller accepts GatewayParameters of {GROUP}"),
    ),
    Fault(
        "class nobody serves",
        _moved("nobody"),
        "failed",
        "class",
        "current",
        ("GatewayClass nobody does not exist", f"use one of: {CLASS}"),
    ),
    Fault(
        "class of a controller that is not installed",
        _moved("oss", "kgateway.dev/kgateway"),
        "failed",
        "class-served",
        "current",
        ("GatewayClass oss of kgateway.dev/kgateway is not served", "its controller has no Deployment"),
    ),
    Fault(
        "class of another controller",
        _moved("others", "example.com/other"),
        "failed",
        "class",
        "current",
        ("GatewayClass others belongs to the controller example.com/other", f"use one of: {CLASS}"),
    ),
    Fault(
        "root certificate missing",
        _root_cert_refused,
        "failed",
        "istiod",
        "current",
        (f"ConfigMap {NAMESPACE}/istio-ca-root-cert is missing",),
    ),
    Fault(
        "Deployment scaled to 0",
        _scaled(DEPLOYMENT),
        "failed",
        "rollout",
        "none",
        (f"Deployment {NAMESPACE}/{NAME} is scaled to 0",),
    ),
    Fault(
        "controller scaled to 0",
        _scaled(CONTROLLER),
        "failed",
        "controller",
        "current",
        ("the gateway controller Deployment gloo-system/gloo-gateway is scaled to 0", "keeps its current settings"),
    ),
    Fault(
        "auto mTLS switched off",
        _switch_off,
        "failed",
        "switch",
        "current",
        (
            "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment gloo-system/gloo-gateway",
            "the controller omits sds, istio-proxy",
        ),
    ),
    Fault(
        "istiod scaled to 0 before a new Pod",
        _istiod_down_before_a_new_pod,
        "failed",
        "istiod",
        "former",
        (
            "istiod istio-system/istiod-gloo is not ready",
            "0 replicas",
            "still serve clients with the previous settings",
        ),
    ),
)
