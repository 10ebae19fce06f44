"""A healthy site of three clusters as plain objects, for tests that break one thing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import authorities
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.facts import Facts, SiteFacts, digest
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.runner import NotReadable

Json = dict[str, Any]

BORN, LATER = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
HOST = "reviews.mesh.internal.com"
PARENT = {
    f"gloo.solo.io/parent_{k}": v for k, v in (("kind", "VirtualDestination"), ("name", "vd"), ("namespace", "app"))
}
SELECTION = {"name": "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES", "value": "false"}
PARENT_REF = {"name": "http", "namespace": "edge"}


def obj(kind: str, name: str, namespace: str | None = None, **parts: Any) -> Json:
    meta = {"name": name, "generation": 1, "uid": f"{kind}-{namespace}-{name}", "creationTimestamp": LATER}
    meta.update({"namespace": namespace} if namespace else {}, **parts.pop("meta", {}))
    return {"apiVersion": parts.pop("api", "v1"), "kind": kind, "metadata": meta, **parts}


def namespace(name: str, **labels: str) -> Json:
    return obj(
        "Namespace", name, meta={"labels": {key.replace("__", "/").replace("_", "."): v for key, v in labels.items()}}
    )


def deployment(name: str, ns: str, labels: Json, containers: Sequence[Json]) -> Json:
    template = {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}}
    return obj(
        "Deployment",
        name,
        ns,
        api="apps/v1",
        meta={"labels": labels},
        spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        status={
            "observedGeneration": 1,
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 1),
        },
    )


def pod_of(owner: Json, *more: str) -> Json:
    """A ready Pod of a Deployment, with further containers by name."""
    template, name = owner["spec"]["template"], owner["metadata"]["name"]
    containers = [*template["spec"]["containers"], *({"name": each, "image": f"x/{each}:1"} for each in more)]
    return obj(
        "Pod",
        f"{name}-1",
        owner["metadata"]["namespace"],
        meta={
            "labels": dict(template["metadata"]["labels"]),
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-rs"}],
        },
        spec={"containers": containers},
        status={
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": c["name"], "ready": True, "state": {"running": {}}} for c in containers],
        },
    )


def service(name: str, ns: str, ports: Mapping[str, int], address: str = "", **parts: Any) -> Json:
    return obj(
        "Service",
        name,
        ns,
        meta={"labels": parts.pop("labels", {})},
        spec={
            "type": "LoadBalancer" if address else "ClusterIP",
            "ports": [{"name": key, "port": port} for key, port in ports.items()],
            "selector": parts.pop("selector", {}),
        },
        status={"loadBalancer": {"ingress": [{"ip": address}]}} if address else {},
    )


def gloo(kind: str, name: str, ns: str, spec: Json, **told: Any) -> Json:
    group = "networking" if kind in ("VirtualDestination", "RouteTable") else "admin"
    state = {"common": {"State": {"approval": "ACCEPTED", "observedGeneration": 1}}, **told}
    return obj(kind, name, ns, api=f"{group}.gloo.solo.io/v2", spec=spec, status=state)


def conditions(*names: str, **false: str) -> list[Json]:
    return [{"type": name, "status": "True", "reason": name, "observedGeneration": 1} for name in names]


class Site:
    """Objects of the clusters mgmt, c1 (with a gateway) and c2 by kind; a test changes them, then calls facts()."""

    def __init__(self) -> None:
        self.clusters = {
            "mgmt": _management(),
            "c1": _workload("c1", "c2", "192.0.2.2"),
            "c2": _workload("c2", "c1", "192.0.2.1"),
        }
        self.gateways: set[str] = set()
        self.add_gateway("c1", "192.0.2.7")
        self.secrets: dict[str, dict[str, Json | None]] = {
            "mgmt": {
                "relay-root-tls-secret": secret({"ca.crt": authorities.root("relay").pem}),
                "relay-identity-token-secret": secret({"token": "relay token"}),
            },
            **{name: _workload_secrets(name) for name in ("c1", "c2")},
        }
        self.unreadable: dict[str, dict[str, str]] = {name: {} for name in self.clusters}
        self.absent: dict[str, set[str]] = {name: set() for name in self.clusters}
        self.unreachable: dict[str, str] = {}
        self.time: float | None = None
        self.uids = {name: f"uid-{name}" for name in self.clusters}
        self.connected: dict[str, bool] | None = {"c1": True, "c2": True}
        #: connections of other management servers, by namespace
        self.elsewhere: dict[str, dict[str, bool] | None] = {}
        self.logs: dict[str, str] = {}
        self.silent: list[str] = []
        self.statuses: list[str] = []
        self.asked = 0
        self.data: Json | None = {
            "virtual_destinations": [{"name": "vd", "namespace": "app", "spec": _destination_spec()}],
            "route_tables": [{"name": "rt", "namespace": "app", "spec": {}}],
            "http_routes": [{"name": "r", "namespace": "app", "spec": _route_spec()}],
            "proofs": [
                {
                    "name": "inside",
                    "path": "/page",
                    "answered_by": {"namespace": "app", "label_selector": "app=reviews"},
                    "from_pod": {"namespace": "app", "label_selector": "app=page", "port": 9080},
                },
                {
                    "name": "outside",
                    "path": "/reviews/0",
                    "answered_by": {"namespace": "app", "label_selector": "app=reviews"},
                },
            ],
        }

    def add_gateway(self, cluster: str, address: str) -> None:
        """Gateway controller, Gateway http, its proxy and a route r in a workload cluster."""
        self.gateways.add(cluster)
        _gateway(self.clusters[cluster], cluster, address)

    def one(self, cluster: str, kind: str, name: str) -> Json:
        """The object of this name, to be changed."""
        return next(o for o in self.clusters[cluster][kind] if o["metadata"]["name"] == name)

    def drop(self, cluster: str, kind: str, name: str) -> None:
        self.clusters[cluster][kind].remove(self.one(cluster, kind, name))

    def unready(self, cluster: str, name: str) -> Json:
        """A Deployment and its Pod stop being ready; the Pod."""
        self.one(cluster, "Deployment", name)["status"].update(availableReplicas=0, readyReplicas=0)
        pod = self.one(cluster, "Pod", f"{name}-1")
        pod["status"]["conditions"][0]["status"] = "False"
        return pod

    def facts(self) -> SiteFacts:
        return SiteFacts([self._facts(name) for name in self.clusters], _Probes(self), self.data)

    def _facts(self, name: str) -> Facts:
        role, gateway = ("management", False) if name == "mgmt" else ("workload", name in self.gateways)
        if name in self.unreachable:
            return Facts(name, role, gateway, unreachable=self.unreachable[name])
        gone = {*self.unreadable[name], *self.absent[name]}
        lists = {kind: objects for kind, objects in self.clusters[name].items() if kind not in gone}
        keys = {"services": "Service", "deployments": "Deployment", "namespaces": "Namespace"}
        istio: dict[str, list[Json] | None] = {key: lists.get(kind) for key, kind in keys.items()}
        istio |= {
            "endpointslices": lists.get("EndpointSlice"),
            "configmaps": lists.get("ConfigMap of istiod", []),
            "mutatingwebhookconfigurations": lists.get("MutatingWebhookConfiguration"),
        }
        return Facts(
            name,
            role,
            gateway,
            f"https://{name}.example",
            "v1.34.0",
            self.uids[name],
            time=self.time,
            lists=lists,
            unreadable=self.unreadable[name],
            absent=frozenset(self.absent[name]),
            istio_objects=istio,
            secrets=self.secrets[name],
            members=frozenset(self.clusters) - {"mgmt"},
        )


class _Probes:
    def __init__(self, site: Site) -> None:
        self._site = site

    def connected(self, server: Json) -> Mapping[str, bool]:
        found = self._site.elsewhere.get(server["metadata"]["namespace"], self._site.connected)
        if found is None:
            raise NotReadable("no metric")
        return found

    def log(self, cluster: str, namespace: str, pod: str, container: str) -> str:
        key = f"{cluster}/{container}"
        if key not in self._site.logs:
            raise NotReadable("no log")
        return self._site.logs[key]

    def send(self, cluster: str, proof: Json, expect: Sequence[Json], target: Any) -> Json:
        self._site.asked += 1
        missing = [e for e in expect if e["cluster"] in self._site.silent]
        answers = [{"instance": e["instance"], "cluster": e["cluster"], "count": 1} for e in expect if e not in missing]
        failures = [{"status": status, "count": 1} for status in self._site.statuses]
        return {
            "proof": proof["name"],
            "cluster": cluster,
            "path": proof["path"],
            "url": target.url if target else "",
            "sent": len(expect),
            "answers": [] if failures else answers,
            "failures": failures,
            "missing": expect if failures else missing,
            "complete": not missing and not failures,
            "text": "it says what is wrong",
        }


def secret(values: Mapping[str, str], created: str = BORN) -> Json:
    """The record of a Secret: digests, and the certificates in it."""
    return {
        "created": created,
        "type": "Opaque",
        "keys": {key: digest(value.encode()) for key, value in values.items()},
        "certificates": {key: value for key, value in values.items() if "BEGIN CERTIFICATE" in value},
    }


def cacerts(cluster: str, signs: str, *trusted: str, created: str = BORN) -> Json:
    """Secret cacerts of a cluster: an intermediate of the root *signs*, and the roots (*signs* unless given)."""
    signer = authorities.issued(f"{cluster} of {signs}", signs).pem
    bundle = "".join(authorities.root(name).pem for name in trusted or (signs,))
    return secret({"ca-cert.pem": signer, "cert-chain.pem": signer, "root-cert.pem": bundle}, created)


def _workload_secrets(cluster: str) -> dict[str, Json | None]:
    return {
        "relay-root-tls-secret": secret({"ca.crt": authorities.root("relay").pem}),
        "relay-identity-token-secret": secret({"token": "relay token"}),
        "relay-client-tls-secret": secret({"ca.crt": authorities.root("relay").pem}),
        "cacerts": cacerts(cluster, "mesh"),
    }


def _destination_spec() -> Json:
    return {"hosts": [HOST], "ports": [{"number": 9080}], "services": [{"labels": {"app": "reviews"}}]}


def _every_cluster() -> Json:
    return {"workloadClusters": [{"name": "*", "namespaces": [{"name": "*"}]}]}


def _route_spec() -> Json:
    ref = {"group": "networking.istio.io", "kind": "Hostname", "name": HOST, "port": 9080}
    match = {"path": {"type": "PathPrefix", "value": "/reviews"}}
    return {"parentRefs": [PARENT_REF], "rules": [{"matches": [match], "backendRefs": [ref]}]}


def _management() -> dict[str, list[Json]]:
    labels = {"app": "gloo-mesh-mgmt-server"}
    server = deployment("gloo-mesh-mgmt-server", "gloo-mesh", labels, [{"name": "server"}])
    policy = obj(
        "RootTrustPolicy",
        "root",
        "gloo-mesh",
        api="admin.gloo.solo.io/v2",
        status={"state": "ACCEPTED", "observedGeneration": 1},
    )
    return {
        "Namespace": [namespace("gloo-mesh"), namespace("app")],
        "Deployment": [server],
        "Pod": [pod_of(server)],
        "Service": [
            service("gloo-mesh-mgmt-server", "gloo-mesh", {"grpc": 9900}, "192.0.2.9", selector=dict(labels)),
            service("gloo-telemetry-gateway", "gloo-mesh", {"otlp": 4317}, "192.0.2.8"),
        ],
        "KubernetesCluster": [gloo("KubernetesCluster", name, "gloo-mesh", {}) for name in ("c1", "c2")],
        "Workspace": [gloo("Workspace", "ws", "gloo-mesh", _every_cluster(), numSelectedClusters=2)],
        "WorkspaceSettings": [gloo("WorkspaceSettings", "ws", "config", {}, numSelectedEastWestGateways=2)],
        "RootTrustPolicy": [policy],
        "VirtualDestination": [
            gloo(
                "VirtualDestination",
                "vd",
                "app",
                _destination_spec(),
                numSelectedBackingServices=2,
                ownedByWorkspace={"name": "ws"},
            )
        ],
        "RouteTable": [gloo("RouteTable", "rt", "app", {}, ownedByWorkspace={"name": "ws"})],
    }


def _workload(name: str, other: str, other_address: str) -> dict[str, list[Json]]:
    args = [f"--cluster={name}", "--relay-address=192.0.2.9:9900", "--relay-authority=gloo-mesh-mgmt-server.gloo-mesh"]
    agent = deployment(
        "gloo-mesh-agent", "gloo-mesh", {"app": "gloo-mesh-agent"}, [{"name": "gloo-mesh-agent", "args": args}]
    )
    operator = deployment("gloo-operator", "gloo-mesh", {"app": "gloo-operator"}, [{"name": "manager"}])
    discovery = {
        "name": "discovery",
        "image": "x/pilot:1.27.0",
        "env": [{"name": "CLUSTER_ID", "value": name}, dict(SELECTION)],
    }
    istiod = deployment("istiod-gloo", "istio-system", {"app": "istiod", "istio.io/rev": "gloo"}, [discovery])
    east_west = deployment(
        "ew", "istio-eastwest", {"istio": "eastwestgateway", "istio.io/rev": "gloo"}, [{"name": "istio-proxy"}]
    )
    reviews = deployment("reviews", "app", {"app": "reviews"}, [{"name": "reviews"}])
    page = deployment("page", "app", {"app": "page"}, [{"name": "page"}])
    xds = service(
        "istiod-gloo", "istio-system", {"https-dns": 15012}, selector={"app": "istiod"}, labels={"istio.io/rev": "gloo"}
    )
    address = "192.0.2.1" if name == "c1" else "192.0.2.2"
    return {
        "Namespace": [
            namespace("gloo-mesh"),
            namespace("istio-system"),
            namespace("app", istio_io__rev="gloo"),
            namespace("edge"),
        ],
        "Deployment": [agent, operator, istiod, east_west, reviews, page],
        "Pod": [
            *map(pod_of, (agent, operator, istiod, east_west)),
            pod_of(reviews, "istio-proxy"),
            pod_of(page, "istio-proxy"),
        ],
        "Service": [
            xds,
            service(
                "ew",
                "istio-eastwest",
                {"tls": 15443},
                address,
                labels={"istio": "eastwestgateway"},
                selector={"istio": "eastwestgateway"},
            ),
            service("reviews", "app", {"http": 9080}, labels={"app": "reviews"}, selector={"app": "reviews"}),
        ],
        "EndpointSlice": [
            obj(
                "EndpointSlice",
                "istiod-gloo-1",
                "istio-system",
                api="discovery.k8s.io/v1",
                meta={"labels": {"kubernetes.io/service-name": "istiod-gloo"}},
                endpoints=[{"conditions": {"ready": True}, "addresses": ["10.0.0.3"]}],
                ports=[{"port": 15012}],
            )
        ],
        "ConfigMap": [
            obj("ConfigMap", "istio-ca-root-cert", ns, data={"root-cert.pem": authorities.root("mesh").pem})
            for ns in ("istio-system", "edge")
        ],
        "ServiceMeshController": [
            obj(
                "ServiceMeshController",
                "managed-istio",
                api="operator.gloo.solo.io/v1",
                spec={"installNamespace": "istio-system"},
                status={"phase": "SUCCEEDED", "conditions": []},
            )
        ],
        "ServiceEntry": [
            obj(
                "ServiceEntry",
                "se",
                "app",
                api="networking.istio.io/v1",
                meta={"labels": dict(PARENT)},
                spec={
                    "hosts": [HOST],
                    "resolution": "STATIC",
                    "location": "MESH_INTERNAL",
                    "ports": [{"name": "http-9080", "number": 9080, "protocol": "HTTP"}],
                    "workloadSelector": {"labels": {"app": "reviews"}},
                },
            )
        ],
        "WorkloadEntry": [
            obj(
                "WorkloadEntry",
                "we",
                "app",
                api="networking.istio.io/v1",
                meta={"labels": {**PARENT, "app": "reviews", "security.istio.io/tlsMode": "istio"}},
                spec={
                    "address": other_address,
                    "ports": {"http-9080": 15443},
                    "labels": {"app": "reviews"},
                    "locality": other,
                },
            )
        ],
        "DestinationRule": [],
    }


def _gateway(cluster: dict[str, list[Json]], name: str, address: str) -> None:
    """Adds gateway controller, Gateway, its proxy and a route."""
    switches = [{"name": f"KGW_ENABLE_ISTIO_{name}", "value": "true"} for name in ("AUTO_MTLS", "INTEGRATION")]
    controller = deployment(
        "gloo-gateway",
        "edge",
        {"app": "gloo-gateway"},
        [{"name": "controller", "image": "x/kgateway:v2.1.3", "env": switches}],
    )
    controller["metadata"]["labels"] = {"app": "gloo-gateway", "helm.sh/chart": "gloo-gateway-2.1.3"}
    told = {
        "CA_ADDR": "istiod-gloo.istio-system.svc:15012",
        "ISTIO_META_CLUSTER_ID": name,
        "ISTIO_META_MESH_ID": "cluster.local",
    }
    env = [{"name": key, "value": value} for key, value in told.items()]
    labels = {"gateway.networking.k8s.io/gateway-name": "http"}
    proxy = deployment(
        "http", "edge", labels, [{"name": "kgateway-proxy"}, {"name": "sds"}, {"name": "istio-proxy", "env": env}]
    )
    gateway_api, ours = "gateway.networking.k8s.io/v1", {"controllerName": "solo.io/gloo-gateway-v2"}
    reference = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "name": "params"}
    settings = {"istioDiscoveryAddress": told["CA_ADDR"], "istioMetaClusterId": name}
    listener = {"name": "http", "port": 8080, "protocol": "HTTP"}
    cluster["Deployment"] += [controller, proxy]
    cluster["Pod"] += [pod_of(controller), pod_of(proxy)]
    cluster["Service"].append(service("http", "edge", {"http": 8080}, address))
    cluster |= {
        "ReplicaSet": [],
        "GatewayClass": [
            obj(
                "GatewayClass",
                "gloo-gateway-v2",
                api=gateway_api,
                spec=ours,
                status={"conditions": conditions("Accepted")},
            )
        ],
        "GatewayParameters of gateway.kgateway.dev": [
            obj(
                "GatewayParameters",
                "params",
                "edge",
                api="gateway.kgateway.dev/v1alpha1",
                spec={"kube": {"istio": {"istioProxyContainer": settings}}},
            )
        ],
        "Gateway": [
            obj(
                "Gateway",
                "http",
                "edge",
                api=gateway_api,
                spec={
                    "gatewayClassName": "gloo-gateway-v2",
                    "listeners": [listener],
                    "infrastructure": {"parametersRef": reference},
                },
                status={
                    "conditions": conditions("Accepted", "Programmed"),
                    "addresses": [{"value": address}],
                    "listeners": [{"name": "http", "conditions": conditions("Accepted", "Programmed", "ResolvedRefs")}],
                },
            )
        ],
        "HTTPRoute": [
            obj(
                "HTTPRoute",
                "r",
                "app",
                api=gateway_api,
                spec=_route_spec(),
                status={
                    "parents": [
                        {
                            "parentRef": PARENT_REF,
                            "controllerName": ours["controllerName"],
                            "conditions": conditions("Accepted", "ResolvedRefs"),
                        }
                    ]
                },
            )
        ],
    }
