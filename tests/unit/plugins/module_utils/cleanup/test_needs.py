"""What stays because objects of others need it, named with its reason; and what goes nevertheless."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.plan import Options, Step, plan
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.releases import HELM, NotedRelease

from .objects import EARLIER, LATER, NOTED, OURS, Json, adopted, build, crd, note, ours

CLASS, VENDOR = "gloo-gateway-v2", "solo.io/gloo-gateway-v2"
GATEWAY_API = "gateway.networking.k8s.io"
OPERATOR = NotedRelease("gloo-operator", "gloo-mesh", NOTED, purpose="operator", groups=("networking.istio.io",))
SERVER = NotedRelease("gloo-platform", "gloo-mesh", NOTED, purpose="server")
AGENT = replace(SERVER, purpose="agent")
CONTROLLER = NotedRelease(
    "gloo-gateway", "gloo-system", NOTED, purpose="controller", deployment=("gloo-system", "gloo-gateway")
)
CRDS = NotedRelease(
    "gloo-gateway-crds", "gloo-system", NOTED, purpose="crds", crds=("gatewayparameterss.gateway.kgateway.dev",)
)
CONSENT = Options(vendor_crds=True)


def controller(integration: str = "true", image: str = "gloo-gateway-controller", **more: Any) -> Json:
    """The Deployment of the gateway controller."""
    env = [{"name": "KGW_ENABLE_ISTIO_INTEGRATION", "value": integration}]
    containers = [{"name": "controller", "image": f"registry.example.com/{image}:2.0.1", "env": env}]
    make = more.pop("make", build)
    body: Json = make(
        "Deployment", "gloo-gateway", "gloo-system", spec={"template": {"spec": {"containers": containers}}}
    )
    return body


def gateway(name: str, gateway_class: str = CLASS, make: Any = build, **more: Any) -> Json:
    spec: Json = {"gatewayClassName": gateway_class, **more.pop("spec", {})}
    found: Json = make("Gateway", name, more.pop("namespace", "shop"), spec=spec)
    found["metadata"] |= more
    return found


def gateway_class(name: str = CLASS, maker: str = VENDOR, **more: Any) -> Json:
    return build("GatewayClass", name, spec={"controllerName": maker, **more})


def proxy(name: str, gateway_class: str = CLASS) -> list[Json]:
    """What a controller creates for a Gateway."""
    labels = {"gateway.networking.k8s.io/gateway-class-name": gateway_class}
    owners = [{"kind": "Gateway", "name": name, "controller": True}]
    kinds = ("Deployment", "Service", "ServiceAccount", "ConfigMap")
    return [build(kind, name, "shop", labels, metadata={"ownerReferences": owners}) for kind in kinds]


def mesh(name: str = "managed-istio", make: Any = ours, **more: Any) -> Json:
    found: Json = make("ServiceMeshController", name, spec={"installNamespace": "istio-system"})
    found["metadata"] |= more
    return found


SITE = [
    ours("Namespace", "gloo-mesh"),
    ours("Namespace", "gloo-system"),
    ours("Namespace", "istio-system"),
    ours("Namespace", "bookinfo"),
    gateway("http", make=ours, namespace="gloo-system", creationTimestamp=NOTED),
    ours("GatewayParameters", "custom", "gloo-system"),
    ours("HTTPRoute", "reviews", "gloo-system", spec={"parentRefs": [{"name": "http"}]}),
    controller(),
    gateway_class(),
    mesh(),
    build("Pod", "istiod", "istio-system", {"app": "istiod", "istio.io/rev": "gloo"}),
    build("ConfigMap", "istio-leader", "istio-system"),
    build("Secret", "cacerts", "istio-system", type="certificates.mesh.gloo.solo.io/issued_certificate"),
    ours("ConfigMap", "gloo-extensions-config", "gloo-mesh"),
    crd("Gateway", GATEWAY_API, labels=OURS),
    crd("GatewayParameters", "gateway.kgateway.dev"),
    crd("ServiceEntry", "networking.istio.io"),
    *(note(each.name, each.namespace) for each in (CONTROLLER, CRDS, OPERATOR, AGENT)),
]
RELEASES = [CONTROLLER, CRDS, OPERATOR, AGENT]


def kept(steps: list[Step]) -> dict[str, str]:
    """Reasons by title of what is kept."""
    return {step.ref.title: step.reason for step in steps if step.action == "keep"}


def gone(steps: list[Step]) -> set[str]:
    """Titles of what is deleted, uninstalled, restored or switched off."""
    return {step.ref.title for step in steps if step.action not in ("keep", "wait")}


RELEASE, MESH = "Helm release gloo-system/gloo-gateway", "ServiceMeshController managed-istio"
BY_THEIRS = "needed by Gateway shop/edge"


def test_nothing_is_kept_without_others() -> None:
    assert kept(plan(SITE, RELEASES, CONSENT)) == {}


def test_a_gateway_of_others_keeps_its_controller_and_all_that_this_needs() -> None:
    """The proxies have sds and istio-proxy, so istiod stays as well, with the operator that manages it."""
    theirs = [gateway("edge"), *proxy("edge")]
    steps = plan([*SITE, *theirs], RELEASES, CONSENT)
    program = f"needed by {RELEASE}, which is kept"
    assert kept(steps) == {
        RELEASE: BY_THEIRS,
        MESH: f"needed by {RELEASE}",
        "Helm release gloo-mesh/gloo-operator": f"needed by {MESH}",
        "ConfigMap gloo-mesh/gloo-extensions-config": "needed by Helm release gloo-mesh/gloo-operator, which is kept",
        "Helm release gloo-system/gloo-gateway-crds": program,
        f"CustomResourceDefinition gateways.{GATEWAY_API}": "used by Gateway shop/edge",
        "CustomResourceDefinition gatewayparameterss.gateway.kgateway.dev": "belongs to Helm release "
        "gloo-system/gloo-gateway-crds",
        "CustomResourceDefinition serviceentrys.networking.istio.io": program,
        "ConfigMap gloo-system/multicluster.gloo.gloo-gateway": f"records the ownership of {RELEASE}, which is kept",
        "ConfigMap gloo-system/multicluster.gloo.gloo-gateway-crds": "records which CRDs this collection installed",
        "ConfigMap gloo-mesh/multicluster.gloo.gloo-operator": "records the ownership of Helm release "
        "gloo-mesh/gloo-operator, which is kept",
        "Namespace gloo-system": "contains records of CRDs that are kept",
        "Namespace gloo-mesh": "contains records of CRDs that are kept",
        "Namespace istio-system": f"contains the istiod of {MESH}, which is kept",
    }
    assert gone(steps) == {
        "HTTPRoute gloo-system/reviews",
        "Gateway gloo-system/http",
        "GatewayParameters gloo-system/custom",
        "Helm release gloo-mesh/gloo-platform",
        "ConfigMap gloo-mesh/multicluster.gloo.gloo-platform",
        "Namespace bookinfo",
    }


@pytest.mark.parametrize(
    ("objects", "users"),
    [
        ([gateway("edge")], "Gateway shop/edge"),
        ([gateway("edge", creationTimestamp=EARLIER)], "Gateway shop/edge"),
        ([gateway("edge", ownerReferences=[{"kind": "Platform", "name": "x"}])], "Gateway shop/edge"),
        ([gateway("edge", make=adopted, creationTimestamp=LATER)], "Gateway shop/edge"),
        ([gateway(name) for name in "abcde"], "Gateway shop/a, Gateway shop/b, Gateway shop/c and 2 more"),
        ([gateway_class("waypoint"), gateway("edge", "waypoint")], "Gateway shop/edge"),
        ([gateway_class("agents", "kgateway.dev/agentgateway"), gateway("edge", "agents")], "Gateway shop/edge"),
        ([gateway("edge", make=adopted)], ""),
        ([gateway("edge", "elsewhere")], ""),
        ([gateway_class("shop", "example.com/shop"), gateway("edge", "shop")], ""),
        ([gateway_class("kgateway", "kgateway.dev/kgateway"), gateway("edge", "kgateway")], ""),
        ([gateway("edge", deletionTimestamp=LATER)], ""),
        ([gateway("edge", make=ours)], ""),
    ],
    ids=[
        "theirs",
        "moved to our class",
        "owned by an operator",
        "adopted, made for our controller",
        "many",
        "another class of ours",
        "another name of the controller",
        "adopted, older",
        "no class",
        "another controller",
        "another product",
        "being deleted",
        "ours",
    ],
)
def test_gateways_that_keep_the_controller(objects: list[Json], users: str) -> None:
    steps = plan([*SITE, *objects], RELEASES, CONSENT)
    assert kept(steps).get(RELEASE, "") == (f"needed by {users}" if users else "")
    assert (RELEASE in gone(steps)) is not bool(users)


def test_a_controller_that_is_not_recognised_serves_every_known_class() -> None:
    site = [obj for obj in SITE if obj["kind"] != "Deployment"]
    objects = [gateway_class("kgateway", "kgateway.dev/kgateway"), gateway("edge", "kgateway")]
    assert kept(plan([*site, *objects], RELEASES, CONSENT))[RELEASE] == BY_THEIRS


@pytest.mark.parametrize("created", [EARLIER, LATER])
@pytest.mark.parametrize("release", [CONTROLLER, replace(CONTROLLER, present=False, due=False)])
def test_a_proxy_of_others_is_never_deleted_nor_its_class(release: NotedRelease, created: str) -> None:
    """Not even when the controller was uninstalled by an earlier run."""
    theirs = [gateway("edge", creationTimestamp=created), *proxy("edge")]
    steps = plan([*SITE, *theirs], [release], CONSENT)
    assert not [title for title in gone(steps) if "shop/" in title]
    assert f"GatewayClass {CLASS}" not in gone(steps)
    if not release.due:
        assert kept(steps)[f"GatewayClass {CLASS}"] == "used by Gateway shop/edge"


def test_after_an_interrupted_cleanup_the_controller_goes_that_was_switched_off() -> None:
    """The Gateway that existed before already has its former spec and looks like any other of its owner."""
    restored = gateway("edge", creationTimestamp=EARLIER)
    site = [controller("false", make=adopted) if obj["kind"] == "Deployment" else obj for obj in SITE]
    assert RELEASE in gone(plan([*site, restored], RELEASES, CONSENT))
    assert kept(plan([*site, restored, gateway("new")], RELEASES, CONSENT))[RELEASE] == "needed by Gateway shop/new"


def test_a_controller_without_istio_keeps_no_istio() -> None:
    site = [controller("false") if obj["kind"] == "Deployment" else obj for obj in SITE]
    steps = plan([*site, gateway("edge")], RELEASES, CONSENT)
    assert kept(steps)[RELEASE] == BY_THEIRS
    assert {MESH, "Helm release gloo-mesh/gloo-operator"} <= gone(steps)


def test_a_controller_of_others_is_given_back_whoever_uses_it() -> None:
    theirs = replace(CONTROLLER, ours=False)
    steps = plan([*SITE, gateway("edge")], [theirs], CONSENT)
    assert [step.action for step in steps if step.kind == HELM] == ["give back"]


REF = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "name": "custom"}


@pytest.mark.parametrize(
    ("user", "stays"),
    [
        (gateway("edge", namespace="gloo-system", spec={"infrastructure": {"parametersRef": REF}}), True),
        (gateway("edge", "other", namespace="gloo-system", spec={"infrastructure": {"parametersRef": REF}}), True),
        (gateway_class("waypoint", parametersRef={**REF, "namespace": "gloo-system"}), True),
        (gateway_class("waypoint", parametersRef={**REF, "namespace": "shop"}), False),
        (gateway("edge", namespace="shop", spec={"infrastructure": {"parametersRef": REF}}), False),
        (
            gateway("edge", namespace="gloo-system", spec={"infrastructure": {"parametersRef": {**REF, "name": "x"}}}),
            False,
        ),
        (
            gateway("edge", make=adopted, namespace="gloo-system", spec={"infrastructure": {"parametersRef": REF}}),
            False,
        ),
    ],
)
def test_parameters_stay_for_gateways_and_classes_of_others(user: Json, stays: bool) -> None:
    steps = plan([*SITE, user], RELEASES, CONSENT)
    assert ("GatewayParameters gloo-system/custom" in kept(steps)) is stays
    assert ("GatewayParameters gloo-system/custom" in gone(steps)) is not stays


def route(
    kind: str = "HTTPRoute",
    version: str = f"{GATEWAY_API}/v1",
    created: str = LATER,
    name: str = "http",
    namespace: str = "gloo-system",
) -> Json:
    spec = {"parentRefs": [{"name": name, "namespace": namespace}]}
    return {**build(kind, "theirs", "shop", created=created, spec=spec), "apiVersion": version}


@pytest.mark.parametrize(
    ("attached", "stays"),
    [
        (route(), True),
        (route("GRPCRoute"), True),
        (route("TLSRoute", f"{GATEWAY_API}/v1alpha2"), True),
        (
            {
                **build(
                    "XListenerSet", "theirs", "shop", spec={"parentRef": {"name": "http", "namespace": "gloo-system"}}
                ),
                "apiVersion": "gateway.networking.x-k8s.io/v1alpha1",
            },
            True,
        ),
        (route(name="other"), False),
        (route(namespace="shop"), False),
        (route(created=EARLIER), False),
        (route("HTTPRoute", "example.com/v1"), False),
    ],
)
def test_a_gateway_of_ours_stays_for_routes_that_others_attached_since(attached: Json, stays: bool) -> None:
    steps = plan([*SITE, attached], RELEASES, CONSENT)
    named = kept(steps)
    assert ("Gateway gloo-system/http" in named) is stays
    assert ("Gateway gloo-system/http" in gone(steps)) is not stays
    if stays:
        assert named["Gateway gloo-system/http"] == f"needed by {attached['kind']} shop/theirs"
        assert named[RELEASE] == "needed by Gateway gloo-system/http"
        assert MESH in named and "HTTPRoute gloo-system/reviews" in gone(steps)


@pytest.mark.parametrize(
    ("theirs", "stays"),
    [
        (mesh("theirs", build), True),
        (mesh("theirs", build, creationTimestamp=EARLIER), True),
        (mesh("theirs", adopted, creationTimestamp=LATER), True),
        (mesh("theirs", adopted), False),
        (mesh("theirs", build, deletionTimestamp=LATER), False),
    ],
    ids=["theirs", "older", "adopted since", "adopted, older", "being deleted"],
)
def test_the_operator_stays_for_a_mesh_of_others(theirs: Json, stays: bool) -> None:
    steps = plan([*SITE, theirs], RELEASES, CONSENT)
    release = "Helm release gloo-mesh/gloo-operator"
    assert kept(steps).get(release) == ("needed by ServiceMeshController theirs" if stays else None)
    assert (release in gone(steps)) is not stays
    assert {MESH, RELEASE} <= gone(steps)
    assert ("delete", "theirs") not in [(step.action, step.name) for step in steps]


ISTIO = gateway_class("istio", "istio.io/gateway-controller")
ANOTHER = build("Pod", "istiod", "istio-other", {"app": "istiod", "istio.io/rev": "other"})


@pytest.mark.parametrize(("others", "stays"), [([], True), ([ANOTHER], False)], ids=["our istiod only", "another"])
def test_istiod_stays_for_gateways_that_it_serves(others: list[Json], stays: bool) -> None:
    steps = plan([*SITE, ISTIO, gateway("edge", "istio"), *others], RELEASES, CONSENT)
    assert kept(steps).get(MESH) == (BY_THEIRS if stays else None)
    assert (MESH in gone(steps)) is not stays
    assert RELEASE in gone(steps)


SERVER_SITE = [
    ours("Namespace", "gloo-mesh"),
    ours("Secret", "relay-root-tls-secret", "gloo-mesh"),
    build("Secret", "relay-server-tls-secret", "gloo-mesh"),
    *(ours(kind, "guide", "gloo-mesh") for kind in ("Workspace", "KubernetesCluster", "RootTrustPolicy")),
    crd("Workspace", "admin.gloo.solo.io", labels=OURS),
    note("gloo-platform", "gloo-mesh"),
]


@pytest.mark.parametrize("kind", ["KubernetesCluster", "Workspace", "RootTrustPolicy", "VirtualDestination"])
@pytest.mark.parametrize("make", [build, adopted, ours])
def test_the_server_stays_for_clusters_workspaces_and_roots_of_others(kind: str, make: Any) -> None:
    steps = plan([*SERVER_SITE, make(kind, "theirs", "gloo-mesh")], [SERVER], CONSENT)
    named, removed = kept(steps), gone(steps)
    assert {"KubernetesCluster gloo-mesh/guide", "Workspace gloo-mesh/guide"} <= removed
    if make is not build or kind == "VirtualDestination":
        assert "Helm release gloo-mesh/gloo-platform" in removed
        return
    release = "Helm release gloo-mesh/gloo-platform"
    assert named[release] == f"needed by {kind} gloo-mesh/theirs"
    assert named["Secret gloo-mesh/relay-root-tls-secret"] == f"needed by {release}, which is kept"
    assert "Secret gloo-mesh/relay-server-tls-secret" not in removed
    assert named["Namespace gloo-mesh"]
    assert named["CustomResourceDefinition workspaces.admin.gloo.solo.io"]
    # Clusters of others have certificates of our root.
    assert ("RootTrustPolicy gloo-mesh/guide" in named) is (kind == "KubernetesCluster")


def test_objects_of_a_release_that_leaves_need_nothing() -> None:
    notes = {"meta.helm.sh/release-name": "gloo-platform", "meta.helm.sh/release-namespace": "gloo-mesh"}
    theirs = build("KubernetesCluster", "mgmt", "gloo-mesh", metadata={"annotations": notes})
    assert "Helm release gloo-mesh/gloo-platform" in gone(plan([*SERVER_SITE, theirs], [SERVER], CONSENT))


@pytest.mark.parametrize("theirs", [gateway("edge"), mesh("theirs", build), route()])
def test_when_others_have_left_the_rest_goes(theirs: Json) -> None:
    first = plan([*SITE, theirs], RELEASES, CONSENT)
    removed = gone(first)
    left = [obj for obj in copy.deepcopy(SITE) if title(obj) not in removed]
    releases = [each for each in RELEASES if f"Helm release {each.namespace}/{each.name}" not in removed]
    again = plan([*left, theirs], releases, CONSENT)
    assert gone(again) == set()
    last = plan(left, releases, CONSENT)
    assert kept(last) == {}
    assert gone(last) >= {f"Helm release {each.namespace}/{each.name}" for each in releases}


def title(obj: Json) -> str:
    namespace = obj["metadata"].get("namespace")
    return (
        f"{obj['kind']} {namespace}/{obj['metadata']['name']}"
        if namespace
        else f"{obj['kind']} {obj['metadata']['name']}"
    )


def test_a_release_that_its_owner_installed_again_is_named_and_kept() -> None:
    reason = "was uninstalled and installed again by another owner"
    theirs = NotedRelease("gloo-gateway", "gloo-system", NOTED, ours=False, due=False, kept=reason)
    steps = plan([*SITE, gateway("edge"), *proxy("edge")], [theirs], CONSENT)
    assert kept(steps)[RELEASE] == reason
    assert f"GatewayClass {CLASS}" not in gone(steps)
    assert "ConfigMap gloo-system/multicluster.gloo.gloo-gateway" in gone(steps)
