"""Every check on a healthy site with one thing broken: it and no other is the first to fail, in the right cluster."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import runner as health
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import table as health_table
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.checks_gateway import PROXY_CHECKS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks as proxy

Json = dict[str, Any]
_spec = importlib.util.spec_from_file_location("health_site", Path(__file__).parents[2] / "health_site.py")
assert _spec and _spec.loader
health_site = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(health_site)
Site = health_site.Site


def walked(site: Any) -> Json:
    return health.summary(health.walk(health_info.CHECKS, site.world(), "mgmt", health_info.GROUND))


# -- what is broken, each in one line or a few -------------------------------------------------------------------------


def _set(cluster: str, kind: str, name: str, path: str, value: Any) -> Callable[[Any], None]:
    """Set a field of an object: ``spec.replicas``."""

    def change(site: Any) -> None:
        found, (*parents, last) = site.one(cluster, kind, name), path.split(".")
        for part in parents:
            found = found[int(part)] if isinstance(found, list) else found.setdefault(part, {})
        if value is None:
            del found[int(last) if isinstance(found, list) else last]
        else:
            found[int(last) if isinstance(found, list) else last] = value

    return change


def _drop(cluster: str, kind: str, name: str) -> Callable[[Any], None]:
    return lambda site: site.drop(cluster, kind, name)


def _secret(cluster: str, name: str, value: Json | None) -> Callable[[Any], None]:
    return lambda site: site.secrets[cluster].update({name: value})


def _both(*changes: Callable[[Any], None]) -> Callable[[Any], None]:
    def change(site: Any) -> None:
        for each in changes:
            each(site)

    return change


def _add(cluster: str, kind: str, found: Json) -> Callable[[Any], None]:
    return lambda site: site.clusters[cluster].setdefault(kind, []).append(found)


def _disconnect(text: str = "") -> Callable[[Any], None]:
    def change(site: Any) -> None:
        site.connected = {"c1": True, "c2": False}
        site.logs["c2/gloo-mesh-agent"] = text

    return change


def _state(kind: str, name: str, approval: str, message: str = "") -> Callable[[Any], None]:
    return _set(
        "mgmt", kind, name, "status.common.State", {"approval": approval, "message": message, "observedGeneration": 1}
    )


def _argument(place: int, value: str) -> Callable[[Any], None]:
    return _set("c2", "Deployment", "gloo-mesh-agent", f"spec.template.spec.containers.0.args.{place}", value)


def _crash(site: Any, log: dict[str, str]) -> None:
    pod = site.unready("c1", "http")
    pod["status"]["containerStatuses"][1] = {
        "name": "sds",
        "ready": False,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }
    site.logs.update(log)


def _asleep(site: Any) -> None:
    site.one("c2", "Deployment", "istiod-gloo").update(
        spec={**site.one("c2", "Deployment", "istiod-gloo")["spec"], "replicas": 0}, status={}
    )
    site.clusters["c2"]["EndpointSlice"].clear()


def _unpullable(site: Any) -> None:
    pod = site.unready("c1", "http")
    pod["status"]["containerStatuses"][1] = {
        "name": "sds",
        "ready": False,
        "image": "x/sds:main",
        "state": {"waiting": {"reason": "ImagePullBackOff"}},
    }


def _unmade(site: Any) -> None:
    site.drop("c1", "Deployment", "http")
    site.drop("c1", "Pod", "http-1")
    site.logs["c1/controller"] = 'failed to deploy: .spec.template.spec.containers[0].env: expected string, got "123"'


def _new_bootstrap(site: Any) -> None:
    written = {"manager": "kgateway", "time": "2026-01-01T12:00:00Z", "fieldsV1": {"f:data": {}}}
    found = health_site.obj("ConfigMap", "http", "edge", meta={"managedFields": [written]})
    site.clusters["c1"]["ConfigMap of a proxy"] = [found]


def _image(tag: str) -> Callable[[Any], None]:
    return _set("c1", "Deployment", "gloo-gateway", "spec.template.spec.containers.0.image", f"x/kgateway:{tag}")


def _switch(place: int, value: str = "false") -> Callable[[Any], None]:
    return _set("c1", "Deployment", "gloo-gateway", f"spec.template.spec.containers.0.env.{place}.value", value)


def _ref(key: str, value: Any) -> Callable[[Any], None]:
    return _set("c1", "HTTPRoute", "r", f"spec.rules.0.backendRefs.0.{key}", value)


def _unresolved(reason: str, message: str) -> Callable[[Any], None]:
    found = {"type": "ResolvedRefs", "status": "False", "reason": reason, "message": message, "observedGeneration": 1}
    return _set("c1", "HTTPRoute", "r", "status.parents.0.conditions.1", found)


def _older(cluster: str, pod: str) -> Callable[[Any], None]:
    return _set(cluster, "Pod", pod, "metadata.creationTimestamp", "2026-01-01T09:00:00Z")


def _renamed_port(site: Any) -> None:
    site.one("c2", "Service", "ew")["spec"]["ports"][0]["name"] = "tcp"


_OTHER = health_site.obj(
    "Service", "reviews-too", "app", meta={"labels": {"app": "reviews"}}, spec={"selector": {"app": "reviews"}}
)
_NO_GATEWAY = {"selector": {"labels": {"istio": "none"}}}
_OLD_CRD = health_site.obj(
    "CustomResourceDefinition",
    "gateways.gateway.networking.k8s.io",
    meta={"annotations": {"gateway.networking.k8s.io/bundle-version": "v1.0.0"}},
)
_LOCALITY = health_site.obj(
    "DestinationRule",
    "dr",
    "app",
    spec={
        "host": health_site.HOST,
        "trafficPolicy": {"outlierDetection": {}, "loadBalancer": {"localityLbSetting": {"enabled": True}}},
    },
)
_FALSE = [
    {"type": "Ready", "status": "False", "reason": "Licence", "message": "no licence given", "observedGeneration": 1}
]
PARAMETERS = "GatewayParameters of gateway.kgateway.dev"
_REFUSED = (
    'client claims to be in cluster "Kubernetes", but we only know about local cluster "c1" and remote clusters []'
)
_STALE = {"created": None, "keys": {"ca.crt": "another"}}
SECOND_MESH: Json = {
    "apiVersion": "operator.gloo.solo.io/v1",
    "kind": "ServiceMeshController",
    "metadata": {"name": "second", "generation": 1},
    "status": {"phase": "FAILED", "conditions": _FALSE},
}

# id of the first record, its cluster, its verdict, what is broken, words of what was seen and of the hint
BROKEN: list[tuple[str, str, str, Callable[[Any], Any], tuple[str, ...]]] = [
    ("reach", "c2", "failed", lambda s: s.unreachable.update(c2="c2: no answer"), ("no answer",)),
    ("distinct", "c1", "failed", lambda s: s.uids.update(c1="same", c2="same"), ("c1 and c2",)),
    (
        "management-server",
        "mgmt",
        "failed",
        _set("mgmt", "Deployment", "gloo-mesh-mgmt-server", "spec.replicas", 0),
        ("scaled to 0",),
    ),
    ("management-server", "mgmt", "failed", _drop("mgmt", "Deployment", "gloo-mesh-mgmt-server"), ("does not exist",)),
    ("licence", "mgmt", "failed", _state("Workspace", "ws", "UNLICENSED", "expired"), ("UNLICENSED", "licensing.")),
    (
        "relay-address",
        "mgmt",
        "failed",
        _both(_set("mgmt", "Service", "gloo-mesh-mgmt-server", "spec.type", "ClusterIP"), _disconnect()),
        ("ClusterIP", "LoadBalancer"),
    ),
    (
        "relay-address",
        "mgmt",
        "warning",
        _set("mgmt", "Service", "gloo-mesh-mgmt-server", "spec.type", "ClusterIP"),
        ("connected all the same",),
    ),
    (
        "relay-address",
        "mgmt",
        "failed",
        _both(_set("mgmt", "Service", "gloo-mesh-mgmt-server", "status.loadBalancer", {}), _disconnect()),
        ("no address",),
    ),
    ("telemetry-address", "mgmt", "warning", _drop("mgmt", "Service", "gloo-telemetry-gateway"), ("does not exist",)),
    (
        "mesh-namespace",
        "c2",
        "failed",
        _set("c2", "Namespace", "gloo-mesh", "metadata.labels.istio-injection", "enabled"),
        ("istio-injection=enabled", "remove the label"),
    ),
    (
        "registered",
        "c2",
        "failed",
        _drop("mgmt", "KubernetesCluster", "c2"),
        ("KubernetesCluster gloo-mesh/c2", "registered: c1"),
    ),
    ("registered", "c2", "failed", _argument(0, "--cluster=c_2"), ("c_2", "underscores")),
    (
        "registered",
        "c2",
        "warning",
        _both(
            _argument(0, "--cluster=c9"),
            _set("mgmt", "KubernetesCluster", "c2", "metadata.name", "c9"),
            lambda s: s.connected.update(c9=True),
        ),
        ("the inventory c2", "common.cluster"),
    ),
    ("registered", "c2", "failed", _argument(0, "--cluster=c1"), ("as that of c1 does", "common.cluster")),
    ("registered", "c2", "failed", _argument(0, "--cluster=c9"), ("registered: c1, c2", "common.cluster")),
    (
        "relay-root",
        "c2",
        "failed",
        _both(_secret("c2", "relay-root-tls-secret", None), _disconnect()),
        ("does not exist", "site.yml"),
    ),
    (
        "relay-root",
        "c2",
        "failed",
        _both(_secret("c2", "relay-root-tls-secret", _STALE), _disconnect()),
        ("another installation",),
    ),
    (
        "relay-token",
        "c2",
        "failed",
        _both(_secret("c2", "relay-identity-token-secret", {"created": None, "keys": {"other": "x"}}), _disconnect()),
        ("no key token",),
    ),
    (
        "relay-token",
        "c2",
        "failed",
        _both(_secret("c2", "relay-identity-token-secret", None), _disconnect()),
        ("does not exist",),
    ),
    (
        "relay-token",
        "c1",
        "warning",
        _secret("c1", "relay-identity-token-secret", None),
        ("does not exist; the agent is connected all the same",),
    ),
    (
        "relay-client",
        "c2",
        "failed",
        _both(_secret("c2", "relay-client-tls-secret", _STALE), _disconnect()),
        ("another root", "delete the Secret"),
    ),
    ("agent", "c2", "failed", _set("c2", "Deployment", "gloo-mesh-agent", "spec.replicas", 0), ("scaled to 0",)),
    (
        "relay-target",
        "c2",
        "failed",
        _both(_argument(1, "--relay-address=192.0.2.99:9900"), _disconnect()),
        ("192.0.2.99:9900", "192.0.2.9:9900", "serverAddress"),
    ),
    (
        "relay-authority",
        "c2",
        "failed",
        _both(_argument(2, "--relay-authority=else"), _disconnect()),
        ("else", "glooAgent.relay.authority"),
    ),
    (
        "agent-connected",
        "c2",
        "failed",
        _disconnect('{"msg":"x509: certificate is valid for lb.example, not gloo-mesh-mgmt-server.gloo-mesh"}'),
        ("lb.example", "TCP"),
    ),
    (
        "agent-connected",
        "c2",
        "failed",
        _disconnect("dial tcp 192.0.2.9:9900: connect: connection refused"),
        ("refused",),
    ),
    (
        "agent-connected",
        "c2",
        "failed",
        _disconnect("x509: certificate signed by unknown authority"),
        ("copy it anew",),
    ),
    ("agent-connected", "c2", "failed", _disconnect(), ("counts no connection of c2",)),
    ("workspace", "mgmt", "failed", _drop("mgmt", "Workspace", "ws"), ("no Workspace",)),
    (
        "workspace",
        "mgmt",
        "failed",
        _set("mgmt", "Workspace", "ws", "status.numSelectedClusters", 1),
        ("1 clusters of 2",),
    ),
    ("workspace-settings", "mgmt", "failed", _drop("mgmt", "WorkspaceSettings", "ws"), ("no WorkspaceSettings",)),
    ("workspace-settings", "mgmt", "failed", _state("WorkspaceSettings", "ws", "INVALID", "bad"), ("INVALID: bad",)),
    ("trust-policy", "mgmt", "failed", _set("mgmt", "RootTrustPolicy", "root", "status.state", "FAILED"), ("FAILED",)),
    ("operator", "c2", "failed", _drop("c2", "Deployment", "gloo-operator"), ("does not exist",)),
    (
        "service-mesh-controller",
        "c2",
        "failed",
        _set("c2", "ServiceMeshController", "managed-istio", "status", {"phase": "FAILED", "conditions": _FALSE}),
        ("no licence given",),
    ),
    (
        "service-mesh-controller",
        "c2",
        "failed",
        _add("c2", "ServiceMeshController", SECOND_MESH),
        ("ServiceMeshController second", "no licence given"),
    ),
    ("istiod", "c2", "failed", _asleep, ("0 replicas",)),
    (
        "istiod",
        "c2",
        "failed",
        _both(_asleep, _set("c2", "ServiceMeshController", "managed-istio", "status", {"phase": "INSTALLED"})),
        ("0 replicas",),
    ),
    (
        "istiod",
        "c2",
        "failed",
        _both(_drop("c2", "Deployment", "istiod-gloo"), _drop("c2", "Service", "istiod-gloo")),
        ("no istiod found",),
    ),
    (
        "cluster-id",
        "c2",
        "warning",
        _set("c2", "Deployment", "istiod-gloo", "spec.template.spec.containers.0.env.0.name", "NOT_THIS"),
        ("Kubernetes", "registered as c2"),
    ),
    ("cacerts", "c2", "failed", _secret("c2", "cacerts", None), ("root of its own",)),
    (
        "root-shared",
        "c2",
        "failed",
        _both(
            _set("c2", "ConfigMap", "istio-ca-root-cert", "data", {"root-cert.pem": "other"}),
            _drop("mgmt", "RootTrustPolicy", "root"),
            _secret("c2", "cacerts", None),
        ),
        ("not that of c1",),
    ),
    (
        "root-shared",
        "c1",
        "failed",
        _set("c1", "ConfigMap", "istio-ca-root-cert", "data", {"root-cert.pem": "other"}),
        ("Secret istio-system/cacerts has", "restart istiod"),
    ),
    ("certificates-fresh", "c2", "failed", _older("c2", "reviews-1"), ("app/reviews-1",)),
    ("east-west-gateway", "c2", "failed", _drop("c2", "Service", "ew"), ("no Service has the labels",)),
    ("east-west-gateway", "c2", "failed", lambda s: s.unready("c2", "ew"), ("no ready Pod",)),
    (
        "east-west-gateway",
        "c2",
        "failed",
        _set("c2", "Pod", "ew-1", "metadata.labels", {"istio": "eastwestgateway", "istio.io/rev": "old"}),
        ("revision old", "gloo"),
    ),
    ("east-west-port", "c2", "failed", _renamed_port, ("no port named tls", "15443")),
    ("east-west-address", "c2", "failed", _set("c2", "Service", "ew", "status", {}), ("no load balancer address",)),
    (
        "east-west-address",
        "c2",
        "warning",
        _set("c2", "Service", "ew", "status.loadBalancer", {"ingress": [{"hostname": "ew.example"}]}),
        ("ew.example", "hostInfoOverrides"),
    ),
    (
        "east-west-selected",
        "mgmt",
        "failed",
        _set("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 0),
        ("0 east-west gateways in 2",),
    ),
    ("backing-service", "c2", "failed", _drop("c2", "Service", "reviews"), ("app=reviews run in app",)),
    (
        "backing-service",
        "c1",
        "failed",
        lambda s: s.data["virtual_destinations"][0]["spec"].update(services=[{"labels": {"app": "typo"}}]),
        ("no Service in any cluster",),
    ),
    ("service-unique", "c2", "warning", _add("c2", "Service", _OTHER), ("2 Services", "reviews-too")),
    ("backends", "c2", "failed", lambda s: s.unready("c2", "reviews"), ("no ready Pod",)),
    (
        "injection",
        "c2",
        "failed",
        _set("c2", "Pod", "reviews-1", "spec.containers", [{"name": "reviews"}]),
        ("no sidecar", "restart its Deployment"),
    ),
    (
        "injection",
        "c2",
        "warning",
        _set("c2", "Namespace", "app", "metadata.labels", {"istio.io/rev": "main"}),
        ("istio.io/rev=main", "gloo"),
    ),
    ("virtual-destination", "mgmt", "failed", _drop("mgmt", "VirtualDestination", "vd"), ("does not exist in mgmt",)),
    ("virtual-destination", "mgmt", "failed", _state("VirtualDestination", "vd", "PENDING"), ("PENDING",)),
    (
        "virtual-destination",
        "mgmt",
        "failed",
        _set("mgmt", "VirtualDestination", "vd", "status.numSelectedBackingServices", 1),
        ("has 1 Services", "c1, c2", "every cluster"),
    ),
    (
        "virtual-destination",
        "mgmt",
        "failed",
        _set("mgmt", "VirtualDestination", "vd", "status.numSelectedBackingServices", 0),
        ("no Service in any cluster", "not of Pods"),
    ),
    (
        "virtual-destination",
        "mgmt",
        "failed",
        _set("mgmt", "VirtualDestination", "vd", "status.ownedByWorkspace", {}),
        ("no workspace", "let a Workspace"),
    ),
    (
        "virtual-destination",
        "mgmt",
        "warning",
        _state("VirtualDestination", "vd", "WARNING", "more than one"),
        ("more than one",),
    ),
    (
        "virtual-destination",
        "mgmt",
        "failed",
        _set("mgmt", "VirtualDestination", "vd", "metadata.generation", 2),
        ("seen generation 1",),
    ),
    ("route-table", "mgmt", "failed", _drop("mgmt", "RouteTable", "rt"), ("does not exist",)),
    ("service-entry", "c2", "failed", _drop("c2", "ServiceEntry", "se"), ("no ServiceEntry has that host",)),
    ("service-entry", "c1", "failed", _set("c1", "ServiceEntry", "se", "spec.resolution", "DNS"), ("resolution DNS",)),
    ("service-entry", "c1", "failed", _set("c1", "ServiceEntry", "se", "spec.ports.0.number", 8080), ("no port 9080",)),
    ("workload-entries", "c1", "failed", _drop("c1", "WorkloadEntry", "we"), ("0 WorkloadEntries", "c2")),
    (
        "workload-entries",
        "c1",
        "failed",
        _set("c1", "WorkloadEntry", "we", "spec.address", "ew.example"),
        ("not an IP",),
    ),
    (
        "workload-entries",
        "c1",
        "failed",
        _set("c1", "WorkloadEntry", "we", "metadata.labels", {**health_site.PARENT}),
        ("metadata",),
    ),
    (
        "service-entry",
        "c1",
        "failed",
        _set("c1", "ServiceEntry", "se", "spec.workloadSelector.labels", {"app": "nobody"}),
        ("none of the Pods",),
    ),
    (
        "workload-selection",
        "c2",
        "warning",
        _set("c2", "Deployment", "istiod-gloo", "spec.template.spec.containers.0.env.1.value", "true"),
        ("WorkloadEntry app/we", "Service app/reviews"),
    ),
    ("locality", "c1", "warning", _add("c1", "DestinationRule", _LOCALITY), ("DestinationRule app/dr",)),
    (
        "gateway-api",
        "c1",
        "failed",
        lambda s: s.absent["c1"].update(("GatewayClass", "Gateway", "HTTPRoute")),
        ("does not serve",),
    ),
    ("gateway", "c1", "failed", _drop("c1", "Gateway", "http"), ("Gateway edge/http does not exist",)),
    (
        "gateway-class",
        "c1",
        "failed",
        _set("c1", "Gateway", "http", "spec.gatewayClassName", "gloo-gateway"),
        ("use one of: gloo-gateway-v2",),
    ),
    (
        "gateway-class-served",
        "c1",
        "failed",
        _set("c1", "GatewayClass", "gloo-gateway-v2", "status", {}),
        ("not served",),
    ),
    (
        "gateway-controller",
        "c1",
        "failed",
        _set("c1", "Deployment", "gloo-gateway", "spec.replicas", 0),
        ("scaled to 0",),
    ),
    ("gateway-parameters", "c1", "failed", _drop("c1", PARAMETERS, "params"), ("does not exist",)),
    (
        "gateway-parameters",
        "c1",
        "failed",
        _set("c1", PARAMETERS, "params", "metadata.namespace", "app"),
        ("it exists in app",),
    ),
    ("gateway-switches", "c1", "failed", _switch(0), ("KGW_ENABLE_ISTIO_AUTO_MTLS is off",)),
    (
        "gateway-accepted",
        "c1",
        "failed",
        _set("c1", "Gateway", "http", "metadata.generation", 2),
        ("seen generation 1",),
    ),
    (
        "gateway-self-managed",
        "c1",
        "failed",
        _set("c1", PARAMETERS, "params", "spec", {"selfManaged": {}}),
        ("selfManaged",),
    ),
    (
        "gateway-settings",
        "c1",
        "failed",
        _set("c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioMetaMeshId", "123"),
        ("'123'",),
    ),
    (
        "gateway-cluster-id",
        "c1",
        "failed",
        _set("c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioMetaClusterId", "Kubernetes"),
        ("set istioMetaClusterId to c1",),
    ),
    (
        "gateway-istiod-address",
        "c1",
        "failed",
        _set(
            "c1",
            PARAMETERS,
            "params",
            "spec.kube.istio.istioProxyContainer.istioDiscoveryAddress",
            "istiod.istio-system.svc:15012",
        ),
        ("istiod-gloo.istio-system.svc:15012",),
    ),
    (
        "gateway-istiod",
        "c1",
        "failed",
        lambda s: s.clusters["c1"]["ConfigMap"].pop(),
        ("istio-ca-root-cert is missing",),
    ),
    ("gateway-deployment", "c1", "failed", _unmade, ("expected string", "choose one with letters")),
    (
        "gateway-deployment",
        "c1",
        "failed",
        _set("c1", "Deployment", "http", "spec.template.spec.containers.2.env.1.value", "old"),
        ("ISTIO_META_CLUSTER_ID old",),
    ),
    (
        "gateway-pods",
        "c1",
        "failed",
        lambda s: _crash(s, {"c1/discovery": _REFUSED}),
        ("client claims", "set istioMetaClusterId"),
    ),
    (
        "gateway-pods",
        "c1",
        "failed",
        lambda s: _crash(s, {"c1/istio-proxy": "lookup istiod.istio-system.svc: no such host"}),
        ("no such host", "set istioDiscoveryAddress"),
    ),
    ("gateway-pods", "c1", "failed", lambda s: _crash(s, {}), ("sds ends again and again",)),
    ("gateway-pods", "c1", "failed", _unpullable, ("ImagePullBackOff", "x/sds:main")),
    (
        "gateway-listeners",
        "c1",
        "failed",
        _set("c1", "Gateway", "http", "status.listeners.0.conditions.1.status", "False"),
        ("Programmed",),
    ),
    ("gateway-address", "c1", "failed", _set("c1", "Service", "http", "status", {}), ("no address",)),
    ("gateway-api", "c1", "warning", _add("c1", "CustomResourceDefinition", _OLD_CRD), ("v1.0.0", "newer CRDs")),
    (
        "east-west-selected",
        "mgmt",
        "failed",
        _both(
            _set(
                "mgmt",
                "WorkspaceSettings",
                "ws",
                "spec.options",
                {"eastWestGateways": [_NO_GATEWAY]},
            ),
            _set("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 0),
        ),
        ("0 east-west gateways in 2", "options.eastWestGateways"),
    ),
    ("gateway-bootstrap", "c1", "warning", _new_bootstrap, ("bootstrap", "rollout restart")),
    ("gateway-integration", "c1", "failed", _both(_switch(1), _image("v2.3.0")), ("unknown backend kind", "Helm")),
    ("gateway-integration", "c1", "warning", _switch(1), ("INTEGRATION is off",)),
    ("gateway-version", "c1", "warning", _image("2.0.0-beta1"), ("pre-release",)),
    (
        "gateway-version",
        "c1",
        "warning",
        _set("c1", "ServiceEntry", "se", "spec.ports", [{"name": f"http-{n}", "number": n} for n in (9080, 9443)]),
        ("has several",),
    ),
    ("route", "c1", "failed", _drop("c1", "HTTPRoute", "r"), ("HTTPRoute app/r does not exist",)),
    ("route", "c1", "failed", _set("c1", "HTTPRoute", "r", "spec.parentRefs.0", {"name": "http"}), ("edge/http",)),
    ("route-backends", "c1", "failed", _ref("namespace", "app"), ("never resolves",)),
    ("route-backends", "c1", "failed", _ref("port", 9999), ("port 9999", "9080")),
    ("route-backends", "c1", "failed", _ref("name", "reviews.mesh.internal.org"), ("compare the spelling",)),
    (
        "route-backends",
        "c1",
        "failed",
        _both(_ref("kind", "VirtualDestination"), _ref("name", "vd")),
        ("use kind Hostname",),
    ),
    (
        "route-accepted",
        "c1",
        "failed",
        _unresolved("BackendNotFound", 'Service "x" not found'),
        ('Service "x" not found',),
    ),
    (
        "route-accepted",
        "c1",
        "failed",
        _set("c1", "HTTPRoute", "r", "status", {}),
        ("not reconciled by any controller",),
    ),
    ("mesh-answers", "c1", "failed", lambda s: s.silent.append("c2"), ("wrong", "nothing of c2 answers", "15443")),
    ("route-match", "c1", "failed", lambda s: s.data["proofs"][1].update(path="/other"), ("GET /other", "404")),
    (
        "gateway-answers",
        "c1",
        "failed",
        lambda s: (s.data["proofs"].pop(0), s.statuses.append("503")),
        ("no usable endpoint",),
    ),
    (
        "mesh-answers",
        "c1",
        "failed",
        lambda s: s.data["proofs"][0]["answered_by"].update(label_selector="app=none"),
        ("could answer",),
    ),
]


def test_the_healthy_site_has_every_check_and_nothing_to_say_against() -> None:
    found = walked(Site())
    assert (found["verdict"], found["first"]) == ("ok", None)
    assert {row["id"] for row in found["checks"]} == {check.id for check in health_info.CHECKS}
    assert all(row["seen"] or row["object"] for row in found["checks"])


def test_every_check_is_broken_at_least_once() -> None:
    assert {row[0] for row in BROKEN} == {check.id for check in health_info.CHECKS}


@pytest.mark.parametrize(
    ("id", "cluster", "verdict", "change", "words"), BROKEN, ids=[f"{n}-{row[0]}" for n, row in enumerate(BROKEN)]
)
def test_the_cause_is_the_first(
    id: str, cluster: str, verdict: str, change: Callable[[Any], Any], words: tuple[str, ...]
) -> None:
    site = Site()
    change(site)
    found = walked(site)
    first = found["first"]
    assert (first["id"], first["cluster"], first["verdict"]) == (id, cluster, verdict)
    text = f"{first['object']} {first['seen']} {first['hint']}"
    assert all(word in text for word in words), text
    assert first["hint"]
    # One cause: whatever else failed is this check at another place.
    assert {row["id"] for row in found["checks"] if row["verdict"] == "failed"} <= {id}
    if verdict == "failed":
        assert f"because {id} ({cluster})" in {row["seen"] for row in found["checks"]} or id.endswith("-answers")


def test_a_missing_right_is_said_and_nothing_is_guessed() -> None:
    site = Site()
    site.unread["c2"] = {"Secret": "x", "relay-identity-token-secret": "Secret a/b may not be read: Forbidden"}
    found = walked(site)
    row = next(r for r in found["checks"] if r["id"] == "relay-token" and r["cluster"] == "c2")
    assert (row["verdict"], row["seen"]) == ("skipped", "not known: Secret a/b may not be read: Forbidden")
    assert found["verdict"] == "ok"
    assert found["counts"]["skipped"] == 1


def test_without_data_everything_found_is_checked_and_nothing_is_sent() -> None:
    site = Site()
    site.data = None
    found = walked(site)
    assert found["verdict"] == "ok"
    assert {check.id for check in health_info.CHECKS} - {row["id"] for row in found["checks"]} == {
        "mesh-answers",
        "gateway-answers",
        "route-match",
    }
    assert site.asked == 0


def test_nothing_is_sent_below_a_broken_link() -> None:
    site = Site()
    site.drop("c2", "Deployment", "gloo-mesh-agent")
    walked(site)
    assert site.asked == 0


def test_other_peoples_gateways_are_not_looked_at() -> None:
    site = Site()
    site.data = None
    theirs = health_site.obj("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"})
    site.clusters["c1"]["GatewayClass"].append(theirs)
    site.clusters["c1"]["Gateway"].append(health_site.obj("Gateway", "g", "app", spec={"gatewayClassName": "istio"}))
    assert walked(site)["verdict"] == "ok"


@pytest.mark.parametrize("connected", [None, {"c1": True, "c2": True}])
def test_a_stale_looking_setting_is_none_while_the_agent_is_connected(connected: Any) -> None:
    site = Site()
    site.connected = connected
    _argument(1, "--relay-address=proxy.example:443")(site)
    assert walked(site)["verdict"] == ("warning" if connected is None else "ok")


def test_the_log_decides_where_the_metric_cannot_be_read() -> None:
    site = Site()
    site.connected = None
    site.logs["c2/gloo-mesh-agent"] = "connected to relay server\nrpc error: code = Unauthenticated"
    assert walked(site)["first"]["id"] == "agent-connected"
    site.logs["c2/gloo-mesh-agent"] = "connection refused\nconnected to relay server 192.0.2.9:9900"
    assert walked(site)["verdict"] == "ok"


def test_nothing_is_said_of_an_agent_whose_log_cannot_be_read_either() -> None:
    site = Site()
    site.connected = None
    found = [row for row in walked(site)["checks"] if row["id"] == "agent-connected"]
    assert [(row["verdict"], "log could be read" in row["seen"]) for row in found] == [("skipped", True)] * 2


def test_a_relay_without_address_is_no_failure_while_nobody_is_known_to_miss_it() -> None:
    site = Site()
    site.connected = None
    _set("mgmt", "Service", "gloo-mesh-mgmt-server", "spec.type", "ClusterIP")(site)
    first = walked(site)["first"]
    assert (first["id"], first["verdict"]) == ("relay-address", "warning")
    assert "no agent is known to miss it" in first["seen"]
    site.logs["c2/gloo-mesh-agent"] = "dial tcp: i/o timeout"
    assert walked(site)["first"]["verdict"] == "failed"


def test_what_a_status_says_is_told_without_secrets() -> None:
    site = Site()
    _state("VirtualDestination", "vd", "WARNING", "licence key Canary-4tune8te has ended")(site)
    assert "licence key (redacted) has ended" in walked(site)["first"]["seen"]


def test_what_a_status_says_is_told_on_one_line() -> None:
    site = Site()
    _state("VirtualDestination", "vd", "WARNING", "2 errors occurred:\n\t* one\n\t* \x1b[2Jtwo\n")(site)
    assert walked(site)["first"]["seen"].endswith("2 errors occurred: * one * [2Jtwo")


def test_an_expression_that_python_cannot_read_is_left_to_the_requests() -> None:
    site = Site()
    _set("c1", "HTTPRoute", "r", "spec.rules.0.matches.0.path", {"type": "RegularExpression", "value": r"/\z(?i"})(site)
    assert walked(site)["verdict"] == "ok"


def test_who_may_list_nothing_is_told_so_and_nothing_else() -> None:
    site = Site()
    for name, kinds in site.clusters.items():
        site.unread[name].update(dict.fromkeys(kinds, "they may not be listed"))
    found = walked(site)
    assert found["counts"]["failed"] == 0
    assert health_table.summary(found)[0].startswith("ok, as far as it could be looked at: ")
    assert health_table.sentence(found).endswith(f"{found['counts']['skipped']} could not be looked at")
    site.data = None
    unknown = {row["id"] for row in walked(site)["checks"] if row["verdict"] == "skipped"}
    assert {"istiod", "gateway-api", "virtual-destination"} <= unknown


def test_a_log_is_read_only_where_no_object_tells() -> None:
    site = Site()
    _set("c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioDiscoveryAddress", "istiod.x.svc:15012")(
        site
    )
    _crash(site, {"c1/discovery": _REFUSED})
    first = walked(site)["first"]
    assert first["id"] == "gateway-istiod-address"
    assert "client claims" not in first["seen"]


@st.composite
def mutilated(draw: st.DrawFn) -> Any:
    """The site with parts of it gone, refused or not served, as a cluster in the middle of anything may be."""
    site = Site()
    if draw(st.booleans()):
        site.data = None
    for cluster, kinds in site.clusters.items():
        for kind, objects in kinds.items():
            fate = draw(st.sampled_from(["stays"] * 6 + ["gone", "refused", "absent", "cut", "cut"]))
            if fate == "gone":
                objects.clear()
            elif fate == "refused":
                site.unread[cluster][kind] = "Forbidden"
            elif fate == "absent":
                site.absent[cluster].add(kind)
            elif fate == "cut" and objects:
                found = draw(st.sampled_from(objects))
                part = draw(st.sampled_from(["spec", "status", "data", "labels"]))
                (found["metadata"] if part == "labels" else found).pop(part, None)
        for name in list(site.secrets[cluster]):
            if draw(st.integers(0, 9)) == 0:
                site.secrets[cluster][name] = None
    return site


@given(mutilated())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_is_missing_the_walk_comes_to_its_end_and_says_what_to_do(site: Any) -> None:
    found = walked(site)
    for row in found["checks"]:
        assert row["seen"] or row["object"]
        assert health.BROKEN not in row["seen"]
        assert bool(row["hint"]) is (row["verdict"] in ("warning", "failed")), row
        assert row["doc"].startswith("docs/doctor.md#")


# -- documentation ---------------------------------------------------------------------------------------------------


def test_every_id_has_its_paragraph_in_the_order_of_the_walk() -> None:
    text = (Path(__file__).parents[5] / "docs" / "doctor.md").read_text()
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(range(1, 35))
    paragraphs = dict(re.findall(r"^### (\S+)\n(.+?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(paragraphs) == [check.id for check in health_info.CHECKS]
    assert all(len(body.split()) > 10 for body in paragraphs.values())
    linked = re.findall(r"\]\(#([\w-]+)\)", text)
    assert linked and set(linked) <= set(paragraphs)


def test_ids_are_unique_and_needs_come_before() -> None:
    seen: set[str] = set()
    for check in health_info.CHECKS:
        assert check.id not in seen
        assert {*check.needs, *check.needs_all} <= seen, check.id
        seen.add(check.id)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.id)


def test_every_judgement_on_a_proxy_has_a_check() -> None:
    assert [name for name, _check in proxy.CHECKS] == list(PROXY_CHECKS)


# -- the table -------------------------------------------------------------------------------------------------------


def test_the_table_folds_what_is_skipped_and_ends_with_the_cause() -> None:
    site = Site()
    site.secrets["c2"]["relay-identity-token-secret"] = None
    _disconnect()(site)
    found = walked(site)
    clusters = [
        {"cluster": n, "role": "management" if n == "mgmt" else "workload", "gateway": n == "c1", "version": "v1"}
        for n in site.clusters
    ]
    told = {**found, "clusters": clusters, "seconds": 0.5}
    lines = [line.text for line in health_table.lines(told, health_table.ASCII_MARKS)]
    assert lines[0] == "mgmt (management), Kubernetes v1"
    assert "c1 (workload with gateway), Kubernetes v1" in lines
    assert sum("skipped because relay-token (c2)" in line for line in lines) < found["counts"]["skipped"] / 2
    assert lines[-1] == "  docs/doctor.md#relay-token"
    assert lines[-3].startswith("first: c2: Secret gloo-mesh/relay-identity-token-secret does not exist")
    assert all(ord(character) < 128 for line in lines for character in line)
    assert health_table.sentence(told).startswith("c2: relay-token: Secret gloo-mesh/relay-identity-token-secret")
