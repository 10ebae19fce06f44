"""Known failures, created on a working site, each with the check of the doctor that has to fail first.

A fault changes one thing and knows how to take it back; `shows` tells when its effect is there to be seen. Those that
no lab can play are made of plain objects in tests/unit/plugins/module_utils/doctor/test_faults.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from acceptance.breakages import (
    APPS,
    DESTINATION,
    PARAMETERS,
    ROUTE,
    auto_mtls_off,
    istiod_down,
    token_not_copied,
    wrong_route_port,
)
from acceptance.changes import (
    Make,
    added,
    argument,
    changed,
    environment,
    removed,
    rewritten,
    scaled_to_0,
    secret_data,
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
from acceptance.guide_changes import (
    AGENT,
    BY_HOST_NAME,
    CONTROLLER,
    EAST_WEST,
    FORMER,
    GATEWAY,
    NO_GATEWAY,
    NO_IMAGE,
    ONLY_CONFIG,
    OTHER_BOOTSTRAP,
    PAGE_ROUTE,
    REVIEWS,
    ROOT_CERT,
    SECOND_SERVICE,
    SERVER,
    SERVICES,
    annotated_crd,
    another_root,
    another_server,
    backend,
    bootstrap_changed,
    other_path,
    proxy_setting,
    registration,
    renamed_port,
    settings,
    stale_client,
    untrusted_gateway_namespace,
)


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


unresolved = condition(ROUTE, "ResolvedRefs", "False")

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
        "warning",
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
            lambda _: {"ca.crt": FORMER["relay-root-tls-secret"]["ca.crt"]},
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
        "warning",
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
        "mesh-answers",
        "gateway",
    ),
    # Gateway
    Fault("old Gateway API", (30,), annotated_crd, at_once, "gateway-api", "gateway", "warning"),
    Fault(
        "pre-release of the controller",
        (5,),
        changed("gateway", CONTROLLER, {"metadata": {"labels": {"app.kubernetes.io/version": "2.0.0-beta1"}}}),
        at_once,
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
        proxy_waits("ImagePullBackOff"),  # the image of sds is in the parameters too
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
        "path nobody asks for",
        (34,),
        rewritten("gateway", PAGE_ROUTE, other_path),
        condition(PAGE_ROUTE, "Accepted", "True"),
        "route-match",
        "gateway",
    ),
)
