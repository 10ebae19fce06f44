"""Objects of others, created before the playbooks run, in their way: none may be deleted or changed.

The CRDs that they need belong to others, too: Gateway API, and those of the vendors' charts without their releases.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acceptance.site import Site, wait_until
from acceptance.snapshot import OWNERS, normalised

OURS = "multicluster.gloo"
GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
SELECTOR = {"matchLabels": {"app": "shop"}}
CONTAINER = {"name": "shop", "image": "registry.example.com/shop:1"}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KGATEWAY_PROXY = {
    "app.kubernetes.io/instance": "edge",
    "app.kubernetes.io/name": "edge",
    "gateway.networking.k8s.io/gateway-name": "edge",
    "gateway.networking.k8s.io/gateway-class-name": "kgateway",
}


@dataclass(frozen=True)
class Foreign:
    """One object: on which cluster (a property of Site), at which collection path, and what it is."""

    cluster: str
    collection: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.body['metadata']['name']}"

    def where(self, site: Site) -> str:
        return str(getattr(site, self.cluster))

    def __str__(self) -> str:
        return f"{self.body['kind']} {self.path} on {self.cluster}"


def _namespace(cluster: str, name: str, **labels: str) -> Foreign:
    body = {"kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    return Foreign(cluster, "/api/v1/namespaces", body)


def _object(cluster: str, api: str, plural: str, namespace: str, body: dict[str, Any]) -> Foreign:
    folder = f"{api}/namespaces/{namespace}/{plural}" if namespace else f"{api}/{plural}"
    return Foreign(cluster, folder, body)


def _named(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "labels": {"team": "shop"}}, **rest}


GATEWAY_HTTP = _object(
    "gateway_cluster",
    GATEWAY_API,
    "gateways",
    "gloo-system",
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "http", "annotations": {"example.com/owner": "edge"}},
        "spec": {
            "gatewayClassName": "gloo-gateway-v2",
            "listeners": [
                {"name": "http", "protocol": "HTTP", "port": 8080, "allowedRoutes": {"namespaces": {"from": "Same"}}}
            ],
        },
    },
)

BEFORE = (
    _namespace("gateway_cluster", "gloo-system", team="edge", **{"pod-security.kubernetes.io/warn": "baseline"}),
    _namespace("gateway_cluster", "shop", team="shop"),
    _namespace("remote_cluster", "bookinfo", team="books", env="prod"),
    _namespace("management", "gloo-mesh", **{"cost-centre": "4711"}),
    _namespace("management", "shop", team="shop"),
    GATEWAY_HTTP,
    _object(
        "gateway_cluster",
        GATEWAY_API,
        "gatewayclasses",
        "",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            **_named("GatewayClass", "shop", spec={"controllerName": "example.com/shop"}),
        },
    ),
    _object(
        "gateway_cluster",
        GATEWAY_API,
        "gateways",
        "shop",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            **_named(
                "Gateway",
                "shop",
                spec={"gatewayClassName": "shop", "listeners": [{"name": "web", "protocol": "HTTP", "port": 80}]},
            ),
        },
    ),
    _object(
        "gateway_cluster",
        GATEWAY_API,
        "httproutes",
        "shop",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            **_named(
                "HTTPRoute",
                "shop",
                spec={
                    "parentRefs": [{"name": "shop"}],
                    "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}],
                },
            ),
        },
    ),
    _object(
        "gateway_cluster",
        "/apis/apps/v1",
        "deployments",
        "shop",
        _named(
            "Deployment",
            "shop",
            spec={
                "selector": SELECTOR,
                "template": {"metadata": {"labels": SELECTOR["matchLabels"]}, "spec": {"containers": [CONTAINER]}},
            },
        ),
    ),
    _object(
        "gateway_cluster",
        "/api/v1",
        "services",
        "shop",
        _named("Service", "shop", spec={"selector": SELECTOR["matchLabels"], "ports": [{"port": 80}]}),
    ),
    _object("gateway_cluster", "/api/v1", "serviceaccounts", "shop", _named("ServiceAccount", "shop")),
    _object(
        "gateway_cluster",
        "/apis/rbac.authorization.k8s.io/v1",
        "roles",
        "shop",
        _named("Role", "shop", rules=[{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]),
    ),
    _object(
        "gateway_cluster",
        "/apis/rbac.authorization.k8s.io/v1",
        "clusterroles",
        "",
        _named("ClusterRole", "shop", rules=[{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]),
    ),
    _object(
        "gateway_cluster",
        "/api/v1",
        "secrets",
        "gloo-system",
        _named("Secret", "edge-certificate", stringData={"tls.crt": "not one"}),
    ),
    _object(
        "remote_cluster",
        "/api/v1",
        "configmaps",
        "bookinfo",
        _named("ConfigMap", "house-rules", data={"shoes": "off"}),
    ),
    _object(
        "management", "/api/v1", "configmaps", "gloo-mesh", _named("ConfigMap", "notes", data={"who": "another team"})
    ),
    # Beside Bookinfo, and without a sidecar: no business of ours.
    _object(
        "remote_cluster",
        "/apis/apps/v1",
        "deployments",
        "bookinfo",
        _named(
            "Deployment",
            "shop",
            spec={
                "selector": SELECTOR,
                "template": {
                    "metadata": {"labels": {**SELECTOR["matchLabels"], "sidecar.istio.io/inject": "false"}},
                    "spec": {"containers": [CONTAINER]},
                },
            },
        ),
    ),
    # Another gateway controller of the same family, and a proxy of it.
    _object(
        "gateway_cluster",
        GATEWAY_API,
        "gatewayclasses",
        "",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            **_named("GatewayClass", "kgateway", spec={"controllerName": "kgateway.dev/kgateway"}),
        },
    ),
    _object(
        "gateway_cluster",
        "/apis/apps/v1",
        "deployments",
        "shop",
        {
            "kind": "Deployment",
            "metadata": {"name": "edge", "labels": KGATEWAY_PROXY},
            "spec": {
                "selector": {"matchLabels": KGATEWAY_PROXY},
                "template": {"metadata": {"labels": KGATEWAY_PROXY}, "spec": {"containers": [CONTAINER]}},
            },
        },
    ),
    _object(
        "gateway_cluster",
        "/apis/gateway.kgateway.dev/v1alpha1",
        "gatewayparameters",
        "gloo-system",
        {
            "apiVersion": "gateway.kgateway.dev/v1alpha1",
            **_named("GatewayParameters", "house", spec={"kube": {"deployment": {"replicas": 2}}}),
        },
    ),
    _object(
        "gateway_cluster",
        GATEWAY_API,
        "httproutes",
        "gloo-system",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            **_named(
                "HTTPRoute",
                "house",
                spec={
                    "parentRefs": [{"name": "http"}],
                    "rules": [
                        {
                            "matches": [{"path": {"type": "PathPrefix", "value": "/house"}}],
                            "backendRefs": [{"name": "house", "port": 80}],
                        }
                    ],
                },
            ),
        },
    ),
    _object(
        "management",
        "/apis/networking.gloo.solo.io/v2",
        "virtualdestinations",
        "shop",
        {
            "apiVersion": "networking.gloo.solo.io/v2",
            **_named(
                "VirtualDestination",
                "shop",
                spec={
                    "hosts": ["shop.mesh.internal.com"],
                    "ports": [{"number": 80, "protocol": "HTTP"}],
                    "services": [{"labels": {"app": "shop"}}],
                },
            ),
        },
    ),
)

# Of a group that Istio brings, on the cluster that gets no Istio.
ISTIO_CRD = Foreign(
    "management",
    CRDS,
    {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "authorizationpolicies.security.istio.io", "labels": {"team": "shop"}},
        "spec": {
            "group": "security.istio.io",
            "scope": "Namespaced",
            "names": {"kind": "AuthorizationPolicy", "plural": "authorizationpolicies"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    },
)

CHART = {
    "Chart.yaml": {"apiVersion": "v2", "name": "house", "version": "1.0.0"},
    "templates/configmap.yaml": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "house-settings"},
        "data": {"lights": "on"},
    },
}
RELEASE = Foreign(
    "gateway_cluster",
    "/api/v1/namespaces/shop/secrets",
    {"kind": "Secret", "metadata": {"name": "sh.helm.release.v1.house.v1"}},
)


# The guide's own names: adopted while the guide stands, given back by cleanup.
ADOPTED = (GATEWAY_HTTP, *(other for other in BEFORE if other.body["kind"] == "Namespace"))


def crds(site: Site) -> tuple[Foreign, ...]:
    """CRDs that somebody else brought, with no Helm release of the names that the roles look for."""
    variables = site.inventory["all"]["vars"]
    source, charts = Path(variables["gateway_api_crds"]), variables["lab_charts"]
    files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
    texts = {
        "gateway_cluster": [
            *(file.read_text() for file in files),
            _rendered(site, charts["gloo-gateway-crds"]),
        ],
        "management": [_rendered(site, charts["gloo-platform-crds"])],
    }
    found = [
        Foreign(cluster, CRDS, document)
        for cluster, several in texts.items()
        for text in several
        for document in yaml.safe_load_all(text)
        if document and document["kind"] == "CustomResourceDefinition"
    ]
    return (*found, ISTIO_CRD)


def _rendered(site: Site, chart: str) -> str:
    """What `helm template` makes of a chart."""
    return site.lab("exec", "--", "helm", "template", "theirs", chart).ok().output


def plant(site: Site, objects: tuple[Foreign, ...]) -> None:
    for foreign in objects:
        site.create(foreign.where(site), foreign.collection, foreign.body)


def plant_release(site: Site) -> None:
    """A Helm release of a chart of their own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in CHART.items():
            file = Path(folder, "house", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(content))
        run = site.lab("exec", "--", *_helm(site, "install", "house", f"{folder}/house"))
    run.ok()


def pull_up(site: Site, objects: tuple[Foreign, ...]) -> None:
    """Take everything planted away again, in the reverse order."""
    site.lab("exec", "--", *_helm(site, "uninstall", "house", "--ignore-not-found")).ok()
    for foreign in reversed(objects):
        site.delete(foreign.where(site), foreign.path)
    wait_until(lambda: not any(look(site, objects).values()), "everything planted gone")


def look(site: Site, objects: tuple[Foreign, ...]) -> dict[str, dict[str, Any] | None]:
    """What people wrote into these objects (their status belongs to controllers); None where one is gone."""
    found: dict[str, dict[str, Any] | None] = {}
    for foreign in objects:
        live = site.get(foreign.where(site), foreign.path)
        if live is not None:
            live = {key: value for key, value in normalised(live).items() if key != "status"}
            live[OWNERS] = OURS in live[OWNERS]
        found[str(foreign)] = live
    return found


def at_rest(site: Site, objects: tuple[Foreign, ...]) -> bool:
    """Whether controllers have said about these objects what they say at first: CRDs served, Deployments counted."""
    for foreign in objects:
        live = site.get(foreign.where(site), foreign.path) or {}
        status = live.get("status") or {}
        kind = foreign.body["kind"]
        if kind == "CustomResourceDefinition" and not any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in status.get("conditions") or []
        ):
            return False
        if kind == "Deployment" and status.get("observedGeneration") != live["metadata"]["generation"]:
            return False
    return True


def _helm(site: Site, command: str, release: str, *rest: str) -> list[str]:
    context = site.gateway_cluster
    return ["helm", command, release, *rest, "--namespace", "shop", "--kube-context", context]
