"""The objects around a Gateway's proxy, all healthy, for tests that break some of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import AUTO_MTLS, INTEGRATION
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    GATEWAY_PARAMETERS,
    ParameterKind,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import (
    GATEWAY_LABEL,
    Objects,
    ProxyModel,
    Want,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import SETTINGS

Json = dict[str, Any]

THREE = ("kgateway-proxy", "sds", "istio-proxy")
TOLD = {
    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
    "istioMetaClusterId": "cluster1",
    "istioMetaMeshId": "cluster.local",
}
ISTIOD = {
    "namespace": "istio-system",
    "name": "istiod-gloo",
    "address": "istiod-gloo.istio-system.svc:15012",
    "cluster_id": "cluster1",
    "mesh_id": "cluster.local",
}


def obj(kind: str, name: str, namespace: str | None = "gloo-system", **rest: Any) -> Json:
    meta = {"name": name, "generation": 1, "uid": f"{kind}-{name}", **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": {**meta, **rest.pop("metadata", {})}, **rest}


def conditions(*types: str, **extra: Any) -> list[Json]:
    return [{"type": t, "status": "True", "reason": t, "observedGeneration": 1, **extra} for t in types]


def deployment(name: str, containers: list[Json], namespace: str = "gloo-system", **rest: Any) -> Json:
    return obj(
        "Deployment",
        name,
        namespace,
        spec={
            "replicas": 1,
            "template": {"metadata": {"labels": rest.pop("labels", {})}, "spec": {"containers": containers}},
        },
        status={
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
            "readyReplicas": 1,
        },
        **rest,
    )


class Stage:
    """All objects of a healthy Gateway; `situation()` puts together what is there by then."""

    def __init__(self) -> None:
        listeners = [{"name": "http", "protocol": "HTTP", "port": 8080}]
        ref = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "name": "params"}
        self.gateway: Json = obj(
            "Gateway",
            "http",
            apiVersion="gateway.networking.k8s.io/v1",
            spec={
                "gatewayClassName": "gloo-gateway-v2",
                "listeners": listeners,
                "infrastructure": {"parametersRef": ref},
            },
            status={
                "conditions": [
                    *conditions("Accepted", "Programmed"),
                    {"type": "AttachedListenerSets", "status": "Unknown"},
                ],
                "listeners": [{"name": "http", "conditions": conditions("Accepted", "Programmed", "ResolvedRefs")}],
                "addresses": [{"type": "IPAddress", "value": "192.0.2.10"}],
            },
        )
        self.gateway_class: Json = obj(
            "GatewayClass",
            "gloo-gateway-v2",
            None,
            apiVersion="gateway.networking.k8s.io/v1",
            spec={"controllerName": "solo.io/gloo-gateway-v2"},
            status={"conditions": conditions("Accepted")},
        )
        self.settings = dict(TOLD)
        settings = {"kube": {"istio": {"istioProxyContainer": self.settings}}}
        self.parameters: dict[ParameterKind, list[Json] | None] = {
            GATEWAY_PARAMETERS: [obj("GatewayParameters", "params", spec=settings)]
        }
        self.switches = {AUTO_MTLS: "true", INTEGRATION: "true"}
        self.env = {SETTINGS[option][0]: value for option, value in TOLD.items()}
        self.containers = list(THREE)
        self.image = "registry.example/controller:2.0.0"
        self.controller = deployment("gloo-gateway", [], apiVersion="apps/v1")
        self.proxy: Json | None = deployment(
            "http", [], apiVersion="apps/v1", metadata={"annotations": {"deployment.kubernetes.io/revision": "2"}}
        )
        labels = {"app": "istiod", "istio.io/rev": "gloo"}
        discovery = {"name": "discovery", "image": "pilot:1.27.0", "env": [{"name": "CLUSTER_ID", "value": "cluster1"}]}
        self.istiod: Json | None = deployment("istiod-gloo", [discovery], "istio-system", labels=labels)
        self.istiod["metadata"]["labels"] = labels
        self.istiod_service = obj(
            "Service",
            "istiod-gloo",
            "istio-system",
            metadata={"labels": labels},
            spec={"selector": labels, "ports": [{"port": 15012}]},
        )
        self.service: Json | None = obj(
            "Service",
            "http",
            spec={"type": "LoadBalancer", "ports": [{"port": 8080}]},
            status={"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
        )
        self.replica_sets = [self.replica_set("http-new", "2"), self.replica_set("http-old", "1")]
        self.statuses: dict[str, Json] = {}
        self.pod_ready, self.pods_made = True, True
        self.old_pods: list[Json] = []
        self.root_cert = True
        self.config_maps: list[Json] = []
        self.namespace_labels: dict[str, str] = {}
        self.gateways: list[Json] = []  # others
        self.classes: list[Json] = []  # others
        self.deployments: list[Json] = []  # others
        self.services: list[Json] = []  # others
        self.want = Want(expect=THREE, istiod=ISTIOD, parameters="params")

    @staticmethod
    def replica_set(name: str, revision: str) -> Json:
        return obj(
            "ReplicaSet",
            name,
            metadata={
                "ownerReferences": [{"uid": "Deployment-http"}],
                "annotations": {"deployment.kubernetes.io/revision": revision},
            },
        )

    def pod(self, name: str, replica_set: str, ready: bool, statuses: dict[str, Json] | None = None) -> Json:
        running = {"ready": True, "state": {"running": {}}}
        return obj(
            "Pod",
            name,
            metadata={
                "ownerReferences": [{"kind": "ReplicaSet", "name": replica_set}],
                "labels": {GATEWAY_LABEL: "http"},
                "creationTimestamp": "2026-01-01T10:00:00Z",
            },
            spec={"containers": self.specs()},
            status={
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"name": c, **running, **(statuses or {}).get(c, {})} for c in self.containers],
            },
        )

    def specs(self) -> list[Json]:
        env = [{"name": name, "value": value} for name, value in self.env.items()]
        return [{"name": c, "image": f"{c}:1", **({"env": env} if c == "istio-proxy" else {})} for c in self.containers]

    def model(self) -> ProxyModel:
        env = [{"name": name, "value": value} for name, value in self.switches.items()]
        kgw = {
            "name": "kgateway",
            "image": self.image,
            "env": [{"name": "KGW_LOG_LEVEL", "value": "info"}, *env],
        }
        self.controller["spec"]["template"]["spec"]["containers"] = [kgw]
        if self.proxy:
            self.proxy["spec"]["template"]["spec"]["containers"] = self.specs()
        pods = (
            [self.pod("http-new-a", "http-new", self.pod_ready, self.statuses)] if self.proxy and self.pods_made else []
        )
        root = [obj("ConfigMap", "istio-ca-root-cert")] if self.root_cert else []
        objects = Objects(
            gateways=[g for g in (self.gateway, *self.gateways) if g],
            classes=[self.gateway_class, *self.classes],
            parameters=self.parameters,
            deployments=[d for d in (self.controller, self.proxy, self.istiod, *self.deployments) if d],
            services=[s for s in (self.service, self.istiod_service, *self.services) if s],
            replica_sets=self.replica_sets,
            pods=[*self.old_pods, *pods],
            config_maps=[*root, *self.config_maps],
            namespaces=[obj("Namespace", "gloo-system", None, metadata={"labels": self.namespace_labels})],
        )
        return ProxyModel(objects, "gloo-system", "http", self.want)
