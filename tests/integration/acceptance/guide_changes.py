"""Changes of the guide's objects that need more than one patch, and the API paths of these objects.

See acceptance.changes for what a change is.
"""

from __future__ import annotations

import base64
import functools
from datetime import UTC, datetime
from typing import Any

import yaml

from acceptance.breakages import APPS, PARAMETERS, ROUTE, Undo, patched
from acceptance.changes import SECRETS, Json, Make, changed, rewritten, there
from acceptance.effects import bootstrap_has, rolled_out
from acceptance.eyes import GATEWAY_PODS
from acceptance.site import Site, wait_until
from lab.control_plane.api import ApiError
from lab.vendor.gloo_mesh.certificates import cacerts, client_secret, mesh_root, relay_secrets

GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/gloo-system/gateways/http"
PAGE_ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/bookinfo/httproutes/productpage"
GATEWAY_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io"
SERVER = APPS.format("gloo-mesh", "gloo-mesh-mgmt-server")
AGENT = APPS.format("gloo-mesh", "gloo-mesh-agent")
CONTROLLER = APPS.format("gloo-system", "gloo-gateway")
SERVICES = "/api/v1/namespaces/{}/services"
EAST_WEST = SERVICES.format("istio-eastwest") + "/istio-eastwestgateway"
ROOT_CERT = "/api/v1/namespaces/gloo-system/configmaps/istio-ca-root-cert"
REVIEWS = SERVICES.format("bookinfo") + "/reviews"
SECOND_SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "reviews-again", "labels": {"app": "reviews"}},
    "spec": {"selector": {"app": "reviews"}, "ports": [{"name": "http", "port": 9080}]},
}
BY_HOST_NAME = [
    {
        "selector": {"labels": {"istio": "eastwestgateway"}},
        "hostInfoOverrides": [{"addr": "eastwest.example.com"}],
    }
]
NO_IMAGE = {"registry": "registry.invalid", "repository": "sds", "tag": "latest"}
NO_GATEWAY = [{"selector": {"labels": {"istio": "nobody-has-this"}}}]
ONLY_CONFIG = [{"name": "*", "namespaces": [{"name": "gloo-mesh-config"}]}]
OTHER_BOOTSTRAP = "/stats?filter=nothing"
FORMER = relay_secrets("gloo-mesh")  # of a management server that is not there any more


def settings(site: Site) -> str:
    """API path of the one WorkspaceSettings."""
    return f"/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh-config/workspacesettings/{site.management}"


def registration(site: Site) -> str:
    """API path of the KubernetesCluster of the remote cluster."""
    return f"/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh/kubernetesclusters/{site.remote_cluster}"


def backend(**fields: Any) -> Make:
    """Other fields in the only backendRef of the HTTPRoute to the VirtualDestination."""

    def change(spec: Json) -> Json:
        spec["rules"][0]["backendRefs"][0].update(fields)
        return {"rules": spec["rules"]}

    return rewritten("gateway", ROUTE, change)


def proxy_setting(**fields: str) -> Make:
    """Other Istio settings in the GatewayParameters."""
    return changed("gateway", PARAMETERS, {"spec": {"kube": {"istio": {"istioProxyContainer": fields}}}})


def another_root(site: Site) -> Undo:
    """Secret cacerts made by hand, where Gloo Mesh leaves it alone."""
    site.lab("up", "--set", "foreign-cacerts=kept").ok()
    folder, cluster = SECRETS.format("istio-system"), site.remote_cluster
    told = cacerts(cluster, mesh_root("somebody else", 10))
    data = {key: base64.b64encode(value).decode() for key, value in told.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts"}, "type": "Opaque", "data": data}
    for _ in range(20):  # whoever is first after the deletion: we or Gloo Mesh
        site.delete(cluster, f"{folder}/cacerts")
        try:
            site.create(cluster, folder, secret)
            return lambda: _shared_root_again(site, cluster)
        except ApiError as error:
            if error.status != 409:
                raise
    raise AssertionError("Gloo Mesh was always faster")


def _shared_root_again(site: Site, cluster: str) -> None:
    """Gloo Mesh issues cacerts anew; who is older than it is restarted as after a first one, istiod before the rest."""
    path = f"{SECRETS.format('istio-system')}/cacerts"
    site.delete(cluster, path)
    wait_until(lambda: site.get(cluster, path) is not None, "cacerts issued anew", 30)
    site.lab("up", "--set", "foreign-cacerts=replaced").ok()
    told = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
    change = {"spec": {"template": {"metadata": {"annotations": told}}}}
    for namespace in ("istio-system", "bookinfo", "istio-eastwest"):
        found = there(site, cluster, APPS.format(namespace, "").rstrip("/"))["items"]
        paths = [APPS.format(namespace, deployment["metadata"]["name"]) for deployment in found]
        for path in paths:
            site.patch(cluster, path, change)
        for path in paths:
            wait_until(functools.partial(rolled_out("remote", path), site), f"{path} restarted", 60)


def bootstrap_changed(site: Site) -> Undo:
    """Envoy reads its bootstrap once: after the way back, too, only a new Pod has it."""
    stats = {"statsRoutePrefixRewrite": OTHER_BOOTSTRAP}
    undo = patched(site, site.gateway_cluster, PARAMETERS, {"spec": {"kube": {"stats": stats}}})

    def undo_and_restart() -> None:
        undo()
        wait_until(lambda: not bootstrap_has(OTHER_BOOTSTRAP)(site), "the former bootstrap", 30)
        site.delete(site.gateway_cluster, GATEWAY_PODS)

    return undo_and_restart


def untrusted_gateway_namespace(site: Site) -> Undo:
    """istiod is told to serve the other namespaces only, and what it wrote into the gateway's is gone."""
    config = "/api/v1/namespaces/istio-system/configmaps/istio-gloo"
    cluster = site.gateway_cluster
    mesh = yaml.safe_load(there(site, cluster, config)["data"]["mesh"])
    term = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["gloo-system"]}
    mesh["discoverySelectors"] = [{"matchExpressions": [term]}]
    undo = patched(site, cluster, config, {"data": {"mesh": yaml.safe_dump(mesh)}})
    looks = 0

    def stays_away() -> bool:
        """istiod brings it back until it has read its new configuration."""
        nonlocal looks
        looks = looks + 1 if site.get(cluster, ROOT_CERT) is None else 0
        site.delete(cluster, ROOT_CERT)
        return looks == 10

    wait_until(stays_away, "istiod leaves the gateway's namespace alone", 30)
    return undo


def stale_client(site: Site) -> dict[str, bytes]:
    """What an agent was given by the other installation."""
    return client_secret(site.remote_cluster, FORMER["relay-tls-signing-secret"])


def another_server(site: Site) -> dict[str, bytes]:
    """The certificate of a server with another name, as a load balancer that ends TLS would show it."""
    return {"tls.crt": relay_secrets("elsewhere")["relay-server-tls-secret"]["tls.crt"]}


def renamed_port(spec: Json) -> Json:
    """No port is named tls any more."""
    return {"ports": [{**port, "name": port["name"].replace("tls", "mesh")} for port in spec["ports"]]}


def other_path(spec: Json) -> Json:
    """The page with a slash at its end only."""
    spec["rules"][0]["matches"][0]["path"]["value"] += "/"
    return {"rules": spec["rules"]}


def annotated_crd(site: Site) -> Undo:
    """Gateway API as an older release would have installed it."""
    told = {"gateway.networking.k8s.io/bundle-version": "v1.0.0"}
    return patched(site, site.gateway_cluster, GATEWAY_CRD, {"metadata": {"annotations": told}})
