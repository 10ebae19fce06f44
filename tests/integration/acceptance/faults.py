"""Known failures made on a site that works, each with the check of the doctor that has to fail first.

A fault changes one thing and knows how to take it back; `shows` tells when its effect is there to be seen. Those that
no lab can play are made of plain objects in tests/unit/plugins/module_utils/test_health_faults.py.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from acceptance.breakages import (
    APPS,
    DESTINATION,
    PARAMETERS,
    ROUTE,
    Undo,
    auto_mtls_off,
    istiod_down,
    patched,
    token_not_copied,
    wrong_route_port,
)
from acceptance.changes import (
    SECRETS,
    Json,
    Make,
    added,
    argument,
    changed,
    environment,
    image,
    removed,
    rewritten,
    scaled_to_0,
    secret_data,
    there,
)
from acceptance.effects import (
    MESH_CONTROLLER,
    Effect,
    at_once,
    bootstrap_has,
    condition,
    connected,
    gone,
    no_replica,
    phase,
    proxy_containers,
    proxy_stuck,
    proxy_waits,
    resolves_by_dns,
    rolled_out,
    selected_services,
    state,
    workspace,
)
from acceptance.eyes import GATEWAY_PODS
from acceptance.site import Site, wait_until
from lab.api import ApiError
from lab.gloo_mesh_relay import cacerts, client_secret, mesh_root, relay_secrets

GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/gloo-system/gateways/http"
PAGE_ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/bookinfo/httproutes/productpage"
GATEWAY_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io"
SERVER = APPS.format("gloo-mesh", "gloo-mesh-mgmt-server")
AGENT = APPS.format("gloo-mesh", "gloo-mesh-agent")
CONTROLLER = APPS.format("gloo-system", "gloo-gateway")
SERVICES = "/api/v1/namespaces/{}/services"
EAST_WEST = SERVICES.format("istio-eastwest") + "/istio-eastwestgateway"
ROOT_CERT = "/api/v1/namespaces/gloo-system/configmaps/istio-ca-root-cert"


def settings(site: Site) -> str:
    return f"/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh-config/workspacesettings/{site.management}"


OTHER_BOOTSTRAP = "/stats?filter=nothing"
unresolved = condition(ROUTE, "ResolvedRefs", "False")
OTHER = relay_secrets("gloo-mesh")  # of a management server that is not there any more


@dataclass(frozen=True)
class Fault:
    """numbers: the known failures of docs/doctor.md it is one of.

    check: the first that fails, in the cluster of this role; says: what has to be told of it, a regular expression.
    """

    name: str
    numbers: tuple[int, ...]
    make: Make
    shows: Effect
    check: str
    cluster: str
    verdict: str = "failed"
    says: str = ""

    def __str__(self) -> str:
        return self.name


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
    """Secret cacerts made by hand: Gloo Mesh leaves it alone, as its type is not that of the ones it issues."""
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
    return client_secret(site.remote_cluster, OTHER["relay-tls-signing-secret"])


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


def registration(site: Site) -> str:
    return f"/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh/kubernetesclusters/{site.remote_cluster}"


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

FAULTS = (
    # Gloo Mesh
    Fault(
        "management server scaled to 0",
        (18,),
        scaled_to_0("management", SERVER),
        no_replica("management", SERVER),
        "management-server",
        "management",
    ),
    Fault(
        "relay Service of type ClusterIP",
        (23,),
        changed("management", SERVICES.format("gloo-mesh") + "/gloo-mesh-mgmt-server", {"spec": {"type": "ClusterIP"}}),
        connected(0),
        "relay-address",
        "management",
    ),
    Fault(
        "gloo-mesh labelled for injection",
        (27,),
        changed("remote", "/api/v1/namespaces/gloo-mesh", {"metadata": {"labels": {"istio.io/rev": "gloo"}}}),
        at_once,
        "mesh-namespace",
        "remote",
    ),
    Fault(
        "cluster not registered",
        (),
        removed("management", registration),
        connected(1),
        "registered",
        "remote",
    ),
    Fault("relay token not copied", (21,), token_not_copied, connected(1), "relay-token", "remote"),
    Fault(
        "relay root of another installation",
        (24,),
        secret_data(
            "remote",
            "gloo-mesh",
            "relay-root-tls-secret",
            lambda _: {"ca.crt": OTHER["relay-root-tls-secret"]["ca.crt"]},
        ),
        connected(1),
        "relay-root",
        "remote",
    ),
    Fault(
        "client certificate of another installation",
        (25,),
        secret_data("remote", "gloo-mesh", "relay-client-tls-secret", stale_client),
        connected(1),
        "relay-client",
        "remote",
    ),
    Fault(
        "agent calls another port",
        (23,),
        argument("remote", AGENT, "relay-address", "127.0.0.1:9901"),
        connected(1),
        "relay-target",
        "remote",
    ),
    Fault(
        "agent expects another name of the server",
        (22,),
        argument("remote", AGENT, "relay-authority", "relay.example.com"),
        connected(1),
        "relay-authority",
        "remote",
    ),
    Fault(
        "another server's certificate at the relay",
        (22,),
        secret_data("management", "gloo-mesh", "relay-server-tls-secret", another_server),
        connected(0),
        "agent-connected",
        "gateway",
        says=r"x509: certificate is valid for .*elsewhere.*relay\.authority",
    ),
    # Istio
    Fault(
        "Istio version that does not exist",
        (28,),
        changed("remote", MESH_CONTROLLER, {"spec": {"version": "9.9.9"}}),
        phase("remote", "FAILED"),
        "service-mesh-controller",
        "remote",
        says=r"9\.9\.9.*operator's log.*spec\.version",
    ),
    Fault(
        "istiod scaled to 0",
        (2,),
        istiod_down,
        no_replica("gateway", APPS.format("istio-system", "istiod-gloo")),
        "istiod",
        "gateway",
    ),
    Fault("another root in one cluster", (16,), another_root, at_once, "root-shared", "remote"),
    Fault(
        "east-west gateway of a revision nobody serves",
        (17,),
        changed(
            "remote",
            APPS.format("istio-eastwest", "istio-eastwestgateway"),
            {"spec": {"template": {"metadata": {"labels": {"istio.io/rev": "former"}}}}},
        ),
        rolled_out("remote", APPS.format("istio-eastwest", "istio-eastwestgateway")),
        "east-west-gateway",
        "remote",
    ),
    Fault(
        "east-west port with another name",
        (15,),
        rewritten("remote", EAST_WEST, renamed_port),
        state(settings, "WARNING"),
        "east-west-port",
        "remote",
    ),
    Fault(
        "settings select no east-west gateway",
        (15,),
        changed("management", settings, {"spec": {"options": {"eastWestGateways": NO_GATEWAY}}}),
        state(settings, "WARNING"),
        "east-west-selected",
        "management",
    ),
    # Destinations
    Fault(
        "no Service of the destination in one cluster",
        (20,),
        removed("remote", REVIEWS),
        selected_services(1),
        "backing-service",
        "remote",
    ),
    Fault(
        "two Services of the destination in one cluster",
        (19,),
        added("remote", SERVICES.format("bookinfo"), SECOND_SERVICE),
        state(DESTINATION, "WARNING"),
        "service-unique",
        "remote",
        "warning",
    ),
    Fault(
        "no Pod behind the destination in one cluster",
        (14,),
        scaled_to_0("remote", APPS.format("bookinfo", "reviews-v3")),
        no_replica("remote", APPS.format("bookinfo", "reviews-v3")),
        "backends",
        "remote",
    ),
    Fault(
        "Workspace without the namespace of the destination",
        (18,),
        changed("management", workspace, {"spec": {"workloadClusters": ONLY_CONFIG}}),
        state(DESTINATION, "PENDING"),
        "virtual-destination",
        "management",
    ),
    Fault(
        "other clusters known by host name only",
        (29,),
        changed("management", settings, {"spec": {"options": {"eastWestGateways": BY_HOST_NAME}}}),
        resolves_by_dns,
        "service-entry",
        "gateway",
    ),
    # Gateway
    Fault("old Gateway API", (30,), annotated_crd, at_once, "gateway-api", "gateway", "warning"),
    Fault(
        "pre-release of the controller",
        (5,),
        image("gateway", CONTROLLER, "2.0.0-beta1"),
        rolled_out("gateway", CONTROLLER),
        "gateway-version",
        "gateway",
        "warning",
    ),
    Fault(
        "controller scaled to 0",
        (9,),
        scaled_to_0("gateway", CONTROLLER),
        no_replica("gateway", CONTROLLER),
        "gateway-controller",
        "gateway",
    ),
    Fault("auto mTLS off", (1,), auto_mtls_off, proxy_containers(1), "gateway-switches", "gateway"),
    Fault(
        "Istio integration off",
        (12,),
        environment("gateway", CONTROLLER, "KGW_ENABLE_ISTIO_INTEGRATION", "false"),
        rolled_out("gateway", CONTROLLER),
        "gateway-integration",
        "gateway",
        "warning",
    ),
    Fault(
        "class nobody serves",
        (10,),
        changed("gateway", GATEWAY, {"spec": {"gatewayClassName": "gloo-gateway"}}),
        at_once,
        "gateway-class",
        "gateway",
    ),
    Fault(
        "parameters that do not exist",
        (8,),
        changed("gateway", GATEWAY, {"spec": {"infrastructure": {"parametersRef": {"name": "nobody"}}}}),
        condition(GATEWAY, "Accepted", "False"),
        "gateway-parameters",
        "gateway",
    ),
    Fault(
        "Gateway without its parameters",
        (3,),
        changed("gateway", GATEWAY, {"spec": {"infrastructure": None}}),
        proxy_stuck,
        "gateway-istiod-address",
        "gateway",
    ),
    Fault(
        "istiod's default address",
        (3,),
        proxy_setting(istioDiscoveryAddress="istiod.istio-system.svc:15012"),
        proxy_stuck,
        "gateway-istiod-address",
        "gateway",
    ),
    Fault(
        "default cluster ID",
        (2, 4),
        proxy_setting(istioMetaClusterId="Kubernetes"),
        proxy_stuck,
        "gateway-cluster-id",
        "gateway",
    ),
    Fault(
        "gateway's namespace without istiod's root",
        (6,),
        untrusted_gateway_namespace,
        gone("gateway", ROOT_CERT),
        "gateway-istiod",
        "gateway",
    ),
    Fault(
        "bootstrap changed under a running proxy",
        (9,),
        bootstrap_changed,
        bootstrap_has(OTHER_BOOTSTRAP),
        "gateway-bootstrap",
        "gateway",
        "warning",
    ),
    Fault(
        "image nobody has",
        (7,),
        changed("gateway", PARAMETERS, {"spec": {"kube": {"sdsContainer": {"image": NO_IMAGE}}}}),
        proxy_waits("ImagePullBackOff"),
        "gateway-pods",
        "gateway",
    ),
    # Routes
    Fault(
        "host nobody serves", (11,), backend(name="nobody.mesh.internal.com"), unresolved, "route-backends", "gateway"
    ),
    Fault("port the destination lacks", (11,), wrong_route_port, at_once, "route-backends", "gateway"),
    Fault("mistyped kind of backend", (12,), backend(kind="HostName"), unresolved, "route-accepted", "gateway"),
    Fault("namespace on a Hostname", (13,), backend(namespace="bookinfo"), unresolved, "route-backends", "gateway"),
    Fault(
        "path nobody asks for", (34,), rewritten("gateway", PAGE_ROUTE, other_path), at_once, "route-match", "gateway"
    ),
)
