"""The plan: what goes, what stays, in which order, and why."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.plan import (
    PHASES,
    WRITTEN,
    Options,
    Step,
    plan,
    step_of,
    vendor_crds,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.releases import HELM, NotedRelease

from .objects import API_VERSIONS, EARLIER, LATER, NOTED, OURS, Json, adopted, build, crd, note, ours

CONSENT = Options(vendor_crds=True)
NO_CONSENT = Options()

CONTROLLER = NotedRelease(
    "gloo-gateway", "gloo-system", NOTED, purpose="controller", deployment=("gloo-system", "gloo-gateway")
)
GATEWAY_CRDS = NotedRelease(
    "gloo-gateway-crds",
    "gloo-system",
    NOTED,
    purpose="crds",
    groups=("gateway.kgateway.dev",),
    crds=("gatewayparameterss.gateway.kgateway.dev", "trafficpolicys.gateway.kgateway.dev"),
)
EASTWEST = NotedRelease("istio-eastwestgateway", "istio-eastwest", NOTED)
OPERATOR = NotedRelease("gloo-operator", "gloo-mesh", NOTED, purpose="operator", groups=("networking.istio.io",))
AGENT = NotedRelease("gloo-platform", "gloo-mesh", NOTED, purpose="agent")
SERVER = replace(AGENT, purpose="server")
RELEASES = [CONTROLLER, GATEWAY_CRDS, EASTWEST, OPERATOR, AGENT]


def lines(steps: list[Step]) -> list[str]:
    """ "phase: action Kind namespace/name" of every step."""
    return [f"{step.phase}: {step.action} {step.ref.title}" for step in steps]


SITE = [
    ours("Namespace", "gloo-mesh"),
    ours("Namespace", "bookinfo"),
    ours("ServiceAccount", "bookinfo-reviews", "bookinfo"),
    ours("Service", "reviews", "bookinfo"),
    ours("Deployment", "reviews-v1", "bookinfo"),
    ours("ServiceMeshController", "managed-istio", spec={"installNamespace": "istio-system"}),
    ours("Gateway", "http", "gloo-system", spec={"gatewayClassName": "gloo-gateway-v2"}),
    ours("GatewayParameters", "custom", "gloo-system"),
    ours("HTTPRoute", "reviews", "gloo-system"),
    build("GatewayClass", "gloo-gateway-v2", spec={"controllerName": "solo.io/gloo-gateway-v2"}),
    build("ConfigMap", "istio-leader", "istio-system"),
    build("Pod", "istiod-gloo-1", "istio-system", {"app": "istiod", "istio.io/rev": "gloo"}),
    ours("Secret", "relay-root-tls-secret", "gloo-mesh"),
    ours("ConfigMap", "gloo-extensions-config", "gloo-mesh"),
    crd("GatewayParameters", "gateway.kgateway.dev"),
    crd("ServiceEntry", "networking.istio.io"),
    note("gloo-operator", "gloo-mesh"),
    note("gloo-gateway-crds", "gloo-system"),
]


def test_a_workload_cluster_is_cleaned_in_this_order() -> None:
    assert lines(plan(reversed(SITE), RELEASES, CONSENT)) == [
        "routes: delete HTTPRoute gloo-system/reviews",
        "gateway: delete Gateway gloo-system/http",
        "gateway: delete GatewayParameters gloo-system/custom",
        "translation: wait Deployment gloo-mesh/gloo-mesh-agent",
        "application: delete Deployment bookinfo/reviews-v1",
        "application: delete Service bookinfo/reviews",
        "application: delete ServiceAccount bookinfo/bookinfo-reviews",
        "application: uninstall Helm release gloo-system/gloo-gateway",
        "application: uninstall Helm release istio-eastwest/istio-eastwestgateway",
        "application: delete GatewayClass gloo-gateway-v2",
        "istio: delete ServiceMeshController managed-istio",
        "istio: wait Pod istio-system/app=istiod,istio.io/rev=gloo",
        "agents: uninstall Helm release gloo-mesh/gloo-operator",
        "agents: uninstall Helm release gloo-mesh/gloo-platform",
        "agents: delete ConfigMap gloo-mesh/gloo-extensions-config",
        "platform: delete Secret gloo-mesh/relay-root-tls-secret",
        "leftovers: delete ConfigMap istio-system/istio-leader",
        "crds: uninstall Helm release gloo-system/gloo-gateway-crds",
        "crds: delete CustomResourceDefinition gatewayparameterss.gateway.kgateway.dev",
        "crds: delete CustomResourceDefinition serviceentrys.networking.istio.io",
        "namespaces: delete ConfigMap gloo-system/multicluster.gloo.gloo-gateway-crds",
        "namespaces: delete ConfigMap gloo-mesh/multicluster.gloo.gloo-operator",
        "namespaces: delete Namespace bookinfo",
        "namespaces: delete Namespace gloo-mesh",
    ]


def test_the_management_server_goes_after_the_agents_and_its_workspaces() -> None:
    objects = [
        ours("RouteTable", "bookinfo-east-west", "bookinfo"),
        ours("VirtualDestination", "reviews-vd", "bookinfo"),
        *(ours(kind, "x", "gloo-mesh") for kind in ("Workspace", "WorkspaceSettings", "RootTrustPolicy")),
        ours("KubernetesCluster", "cluster1", "gloo-mesh"),
        build("Secret", "x-root-ca", "gloo-mesh"),
    ]
    assert lines(plan(objects, [SERVER], NO_CONSENT)) == [
        "destinations: delete RouteTable bookinfo/bookinfo-east-west",
        "destinations: delete VirtualDestination bookinfo/reviews-vd",
        "platform: delete WorkspaceSettings gloo-mesh/x",
        "platform: delete Workspace gloo-mesh/x",
        "platform: delete RootTrustPolicy gloo-mesh/x",
        "platform: delete KubernetesCluster gloo-mesh/cluster1",
        "platform: uninstall Helm release gloo-mesh/gloo-platform",
        "leftovers: delete Secret gloo-mesh/x-root-ca",
    ]


@pytest.mark.parametrize(
    "kind", ["GatewayParameters", "GlooGatewayParameters", "EnterpriseKgatewayParameters", "AgentgatewayParameters"]
)
def test_parameters_of_every_kind_are_found(kind: str) -> None:
    assert lines(plan([ours(kind, "custom", "n")], [], NO_CONSENT)) == [f"gateway: delete {kind} n/custom"]
    assert plan([build(kind, "custom", "n")], [], NO_CONSENT) == []


def test_a_gateway_that_stays_loses_its_parameters_last() -> None:
    objects = [adopted("Gateway", "http", "gloo-system"), ours("GatewayParameters", "custom", "gloo-system")]
    assert lines(plan(objects, [CONTROLLER], NO_CONSENT))[:4] == [
        "gateway: switch off Deployment gloo-system/gloo-gateway",
        "gateway: give back Gateway gloo-system/http",
        "gateway: delete GatewayParameters gloo-system/custom",
        "gateway: wait Gateway gloo-system/http",
    ]


def test_the_former_controller_is_given_back_before_its_gateway() -> None:
    objects = [adopted("Gateway", "http", "gloo-system")]
    theirs = replace(CONTROLLER, ours=False)
    assert lines(plan(objects, [theirs], NO_CONSENT)) == [
        "gateway: give back Helm release gloo-system/gloo-gateway",
        "gateway: give back Gateway gloo-system/http",
    ]
    assert lines(plan(objects, [replace(theirs, due=False)], NO_CONSENT)) == [
        "gateway: give back Gateway gloo-system/http"
    ]


HELM_NOTES = {"meta.helm.sh/release-name": "istio-eastwestgateway", "meta.helm.sh/release-namespace": "istio-eastwest"}


@pytest.mark.parametrize(
    ("metadata", "releases", "given_back"),
    [
        ({}, [], True),
        ({"annotations": HELM_NOTES}, [EASTWEST], False),
        ({"annotations": HELM_NOTES}, [replace(EASTWEST, ours=False)], True),
        ({"annotations": HELM_NOTES}, [], True),
        ({"ownerReferences": [{"kind": "Gateway", "name": "http"}]}, [], False),
    ],
    ids=["somebody's", "of our release", "of their release", "of an unknown release", "of a Gateway"],
)
def test_fields_are_given_back_where_the_object_stays(
    metadata: Json, releases: list[NotedRelease], given_back: bool
) -> None:
    found = plan([adopted("Deployment", "x", "n", metadata=metadata)], releases, NO_CONSENT)
    assert ("application: give back Deployment n/x" in lines(found)) is given_back


@pytest.mark.parametrize(
    ("group", "created", "releases", "goes"),
    [
        ("a.io", LATER, [("a.io", NOTED, True)], True),
        ("a.io", NOTED, [("a.io", NOTED, True)], True),
        ("a.io", EARLIER, [("a.io", NOTED, True)], False),
        ("b.io", LATER, [("a.io", NOTED, True)], False),
        ("b.io", LATER, [("a.io", NOTED, True), ("b.io", LATER, True)], True),
        ("b.io", NOTED, [("a.io", NOTED, True), ("b.io", LATER, True)], False),
        ("a.io", LATER, [("a.io", NOTED, False)], False),
        ("a.io", LATER, [], False),
    ],
)
def test_crds_go_when_a_release_of_ours_brought_them(
    group: str, created: str, releases: list[tuple[str, str, bool]], goes: bool
) -> None:
    known = [NotedRelease("r", "n", since, ours=own, groups=(brings,)) for brings, since, own in releases]
    assert bool(vendor_crds([crd("X", group, created)], known)) is goes


def test_a_release_brings_the_crds_of_its_chart() -> None:
    release = NotedRelease("r", "n", NOTED, crds=("xs.a.io",))
    found = [crd("X", "a.io"), crd("Y", "a.io"), crd("X", "a.io", EARLIER)]
    assert vendor_crds(found, [release]) == found[:1]


def test_crds_with_our_label_go_in_any_case() -> None:
    mine = crd("X", "a.io", EARLIER, OURS)
    assert vendor_crds([mine], []) == [mine]


CRDS = [crd("GatewayParameters", "gateway.kgateway.dev"), crd("TrafficPolicy", "gateway.kgateway.dev")]
NOTE = note("gloo-gateway-crds", "gloo-system")


def kept(steps: list[Step]) -> dict[str, str]:
    """Reasons by title of what is kept."""
    return {step.ref.title: step.reason for step in steps if step.action == "keep"}


def test_without_consent_crds_stay_with_their_release_note_and_namespace() -> None:
    objects = [*CRDS, NOTE, ours("Namespace", "gloo-system"), ours("Namespace", "bookinfo")]
    steps = plan(objects, [GATEWAY_CRDS], NO_CONSENT)
    assert list(kept(steps)) == [
        "Helm release gloo-system/gloo-gateway-crds",
        "CustomResourceDefinition gatewayparameterss.gateway.kgateway.dev",
        "CustomResourceDefinition trafficpolicys.gateway.kgateway.dev",
        "ConfigMap gloo-system/multicluster.gloo.gloo-gateway-crds",
        "Namespace gloo-system",
    ]
    assert [line for line in lines(steps) if "keep" not in line] == ["namespaces: delete Namespace bookinfo"]


@pytest.mark.parametrize(
    ("user", "stays"),
    [
        (build("GatewayParameters", "house", "shop"), True),
        (build("GatewayParameters", "house", "shop", created=EARLIER), True),
        (adopted("GatewayParameters", "house", "shop"), True),
        (ours("GatewayParameters", "custom", "gloo-system"), False),
        (
            build("GatewayParameters", "x", "shop", metadata={"ownerReferences": [{"kind": "Gateway", "name": "y"}]}),
            False,
        ),
        (build("GatewayParameters", "x", "shop", metadata={"deletionTimestamp": LATER}), False),
        (build("GatewayParameters", "x", "shop", {"gloo.solo.io/parent_name": "y"}), False),
        (build("GatewayParameters", "x", "shop", {"owner.gloo.solo.io/name": "gloo-mesh"}), False),
        (build("VirtualDestination", "x", "shop"), False),
    ],
    ids=["theirs", "older", "adopted", "ours", "owned", "going", "translated", "owned by Gloo", "another kind"],
)
def test_crds_of_which_others_have_objects_stay_and_these_are_named(user: Json, stays: bool) -> None:
    steps = plan([*CRDS, NOTE, user], [GATEWAY_CRDS], CONSENT)
    found = kept(steps)
    if not stays:
        assert found == {}
        return
    assert found == {
        "Helm release gloo-system/gloo-gateway-crds": "its CRD gatewayparameterss.gateway.kgateway.dev is used by "
        "GatewayParameters shop/house",
        "CustomResourceDefinition gatewayparameterss.gateway.kgateway.dev": "used by GatewayParameters shop/house",
        "CustomResourceDefinition trafficpolicys.gateway.kgateway.dev": "belongs to Helm release "
        "gloo-system/gloo-gateway-crds",
        "ConfigMap gloo-system/multicluster.gloo.gloo-gateway-crds": "records which CRDs this collection installed",
    }


GATEWAY_API = "gateway.networking.k8s.io"
BRINGS_GATEWAY_API = replace(OPERATOR, groups=(GATEWAY_API,))


def policies(created: str = LATER) -> list[Json]:
    """The admission policy that refuses older CRDs of Gateway API, and its binding."""
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    return [build(kind, f"safe-upgrades.{GATEWAY_API}", created=created) for kind in kinds]


@pytest.mark.parametrize(
    ("objects", "release", "options", "expected"),
    [
        ([crd("Gateway", GATEWAY_API)], BRINGS_GATEWAY_API, CONSENT, "delete"),
        ([crd("Gateway", GATEWAY_API, EARLIER)], BRINGS_GATEWAY_API, CONSENT, "delete"),
        ([], BRINGS_GATEWAY_API, CONSENT, "delete"),
        ([crd("Gateway", GATEWAY_API), build("Gateway", "theirs", "shop")], BRINGS_GATEWAY_API, CONSENT, "keep"),
        ([crd("Gateway", GATEWAY_API)], BRINGS_GATEWAY_API, NO_CONSENT, "keep"),
        ([crd("Gateway", GATEWAY_API)], OPERATOR, CONSENT, ""),
        ([crd("Gateway", GATEWAY_API)], replace(BRINGS_GATEWAY_API, ours=False), CONSENT, ""),
    ],
    ids=["CRDs go", "older CRDs", "no CRDs", "CRD in use", "no consent", "another group", "operator of others"],
)
def test_admission_policies_go_with_the_crds_that_the_operator_brought(
    objects: list[Json], release: NotedRelease, options: Options, expected: str
) -> None:
    site = [*objects, *policies(), note(release.name, release.namespace)]
    steps = plan(site, [release], options)
    found = [step for step in steps if step.kind.startswith("ValidatingAdmissionPolicy")]
    assert [step.kind for step in found] == (
        ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] if expected else []
    )
    assert {step.action for step in found} <= {expected}
    # As long as one stays, the note shows a later run where it came from.
    [record] = [step for step in steps if step.kind == "ConfigMap"]
    assert record.action == (expected or "delete")


def test_admission_policies_that_existed_before_stay() -> None:
    steps = plan([crd("Gateway", GATEWAY_API), *policies(EARLIER)], [BRINGS_GATEWAY_API], CONSENT)
    assert "ValidatingAdmissionPolicy" not in {step.kind for step in steps}


def test_leftovers_that_go_do_not_use_a_crd() -> None:
    objects = [crd("GatewayClass", "gateway.networking.k8s.io", labels=OURS), SITE[9]]
    assert kept(plan(objects, [CONTROLLER], CONSENT)) == {}
    assert list(kept(plan(objects, [], CONSENT)))


@pytest.mark.parametrize(("gateway_class", "stays"), [("shop", False), ("istio", True)])
def test_classes_that_the_istiod_of_others_creates_use_their_crd_only_with_a_gateway(
    gateway_class: str, stays: bool
) -> None:
    by_istiod = build("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"})
    gateway = build("Gateway", "edge", "shop", spec={"gatewayClassName": gateway_class})
    objects = [crd("GatewayClass", "gateway.networking.k8s.io", labels=OURS), by_istiod, gateway]
    assert bool(kept(plan(objects, [], CONSENT))) == stays


def test_a_former_secret_of_a_release_goes_with_its_note() -> None:
    secret = build("Secret", "multicluster.gloo.edge", "n", {**OURS, "multicluster.gloo/release": "edge"})
    steps = plan([secret, note("edge", "n")], [NotedRelease("edge", "n", NOTED, due=False)], NO_CONSENT)
    assert [step.phase for step in steps] == ["namespaces", "namespaces"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_release_that_argo_cd_took_over_is_kept_with_what_its_programs_left(is_ours: bool) -> None:
    notes = {
        "meta.helm.sh/release-name": "gloo-gateway",
        "meta.helm.sh/release-namespace": "gloo-system",
        "argocd.argoproj.io/tracking-id": "edge:apps/Deployment:gloo-system/gloo-gateway",
    }
    deployment = build("Deployment", "gloo-gateway", "gloo-system", metadata={"annotations": notes})
    objects = [*SITE, deployment, note("gloo-gateway", "gloo-system")]
    steps = plan(objects, [replace(CONTROLLER, ours=is_ours), EASTWEST], NO_CONSENT)
    assert [(step.action, step.reason) for step in steps if step.name == "gloo-gateway" and step.kind == HELM] == [
        ("keep", "belongs to Argo CD application edge")
    ]
    assert not [step for step in steps if step.kind == "GatewayClass" or step.action == "switch off"]
    assert "application: uninstall Helm release istio-eastwest/istio-eastwestgateway" in lines(steps)
    without = plan([*SITE, note("gloo-gateway", "gloo-system")], [replace(CONTROLLER, ours=is_ours)], NO_CONSENT)
    assert [step.action for step in without if step.name == "gloo-gateway" and step.kind == HELM] == [
        "uninstall" if is_ours else "give back"
    ]


def test_another_istiod_is_not_waited_for() -> None:
    foreign = build("ServiceMeshController", "theirs", spec={"installNamespace": "istio-other"})
    assert plan([foreign], [OPERATOR], NO_CONSENT)[0].phase == "agents"


def test_every_kind_that_is_written_has_a_phase_with_a_reason() -> None:
    assert set(WRITTEN.values()) <= set(PHASES) and all(PHASES.values())


# -- properties


KINDS = [
    *(kind for _group, kind in WRITTEN),
    "GatewayParameters",
    "AgentgatewayParameters",
    "GatewayClass",
    "ConfigMap",
]
NAMES = st.sampled_from(["a", "b", "cacerts", "istio-leader", "relay-root-tls-secret", "istio-ca-root-cert"])
NAMESPACES = st.sampled_from(["gloo-mesh", "gloo-system", "istio-system", "shop"])
CLUSTER_SCOPED = ("Namespace", "GatewayClass", "ServiceMeshController", "CustomResourceDefinition")


@st.composite
def some_object(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(KINDS))
    namespace = "" if kind in CLUSTER_SCOPED else draw(NAMESPACES)
    name = draw(NAMES if namespace else NAMESPACES)
    body: Json = {"spec": {"controllerName": "solo.io/gloo-gateway-v2", "gatewayClassName": "gloo-system"}}
    make = draw(st.sampled_from([ours, adopted, build, build]))
    if make is build:
        body["created"] = draw(st.sampled_from([EARLIER, LATER]))
    return make(kind, name, namespace, **body)


@st.composite
def some_crd(draw: st.DrawFn) -> Json:
    kind = draw(st.sampled_from(["GatewayParameters", "VirtualDestination", "ServiceMeshController", "Gateway"]))
    labels = draw(st.sampled_from([{}, {}, OURS]))
    return crd(kind, API_VERSIONS[kind].split("/")[0], draw(st.sampled_from([EARLIER, NOTED, LATER])), labels)


SOME_RELEASES = st.lists(
    st.builds(
        NotedRelease,
        name=st.sampled_from(["one", "two", "three"]),
        namespace=st.sampled_from(["gloo-mesh", "gloo-system"]),
        created=st.just(NOTED),
        ours=st.booleans(),
        due=st.booleans(),
        purpose=st.sampled_from(["crds", "server", "agent", "operator", "controller", "other"]),
        groups=st.lists(st.sampled_from(["gateway.kgateway.dev", "operator.gloo.solo.io"]), max_size=2).map(tuple),
        crds=st.lists(st.sampled_from(["virtualdestinations.networking.gloo.solo.io"]), max_size=1).map(tuple),
        deployment=st.sampled_from([None, ("gloo-system", "controller")]),
    ),
    max_size=4,
    unique_by=lambda release: (release.namespace, release.name),
)
SOME_OBJECTS = st.lists(st.one_of(some_object(), some_object(), some_crd()), max_size=20)
SOME_OPTIONS = st.sampled_from([CONSENT, NO_CONSENT])


def with_notes(objects: list[Json], releases: list[NotedRelease]) -> list[Json]:
    found = [*objects, *(note(each.name, each.namespace) for each in releases)]
    unique = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in found}
    return list(unique.values())


def executed(
    steps: list[Step], objects: list[Json], releases: list[NotedRelease]
) -> tuple[list[Json], list[NotedRelease]]:
    """What the cluster has after the steps, by the meaning of the actions."""
    gone = {step.ref.title for step in steps if step.action == "delete"}
    back = {step.ref.title for step in steps if step.action == "give back"}
    uninstalled = {(step.namespace, step.name) for step in steps if step.action == "uninstall"}
    given = {(step.namespace, step.name) for step in steps if step.action == "give back" and step.kind == HELM}
    left = []
    for obj in copy.deepcopy(objects):
        meta = obj["metadata"]
        title = (
            f"{obj['kind']} {meta['namespace']}/{meta['name']}"
            if meta.get("namespace")
            else f"{obj['kind']} {meta['name']}"
        )
        if title in back:
            meta["managedFields"] = []
        if title not in gone:
            left.append(obj)
    notes = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in left if each["kind"] == "ConfigMap"}
    after = [
        replace(each, due=False, present=each.present and (each.namespace, each.name) not in uninstalled)
        if (each.namespace, each.name) in uninstalled | given
        else each
        for each in releases
        if (each.namespace, f"multicluster.gloo.{each.name}") in notes
    ]
    return left, after


LEFT_BEHIND = {"GatewayClass", "ConfigMap", "Secret", "CustomResourceDefinition"}


@settings(deadline=None)
@given(SOME_OBJECTS, SOME_RELEASES, SOME_OPTIONS)
def test_nothing_foreign_is_deleted(objects: list[Json], releases: list[NotedRelease], options: Options) -> None:
    objects = with_notes(objects, releases)
    by_title = {
        (each["kind"], each["metadata"].get("namespace") or "", each["metadata"]["name"]): each for each in objects
    }
    for step in plan(objects, releases, options):
        if step.action not in ("delete", "uninstall"):
            continue
        if step.kind == HELM:
            [release] = [each for each in releases if (each.namespace, each.name) == (step.namespace, step.name)]
            assert release.ours and release.due
            continue
        meta = by_title[step.kind, step.namespace, step.name]["metadata"]
        is_ours = meta["labels"].get("app.kubernetes.io/managed-by") == "multicluster.gloo"
        came_with_us = step.kind in LEFT_BEHIND and meta["creationTimestamp"] >= NOTED and bool(releases)
        assert is_ours or came_with_us, step


@settings(deadline=None)
@given(SOME_OBJECTS, SOME_RELEASES, SOME_OPTIONS)
def test_everything_of_ours_is_in_exactly_one_step(
    objects: list[Json], releases: list[NotedRelease], options: Options
) -> None:
    objects = with_notes(objects, releases)
    steps = [step for step in plan(objects, releases, options) if step.action != "wait"]
    count = Counter((step.kind, step.namespace, step.name) for step in steps)
    assert not [key for key, number in count.items() if number > 1]
    for obj in objects:
        meta = obj["metadata"]
        written = obj["kind"] in (*(kind for _group, kind in WRITTEN), "CustomResourceDefinition")
        if meta["labels"].get("app.kubernetes.io/managed-by") == "multicluster.gloo" and written:
            assert count[obj["kind"], meta.get("namespace") or "", meta["name"]] == 1
    for release in releases:
        assert count[HELM, release.namespace, release.name] == int(release.due)


@settings(deadline=None)
@given(SOME_OBJECTS, SOME_RELEASES, SOME_OPTIONS)
def test_steps_follow_the_phases_and_survive_the_result(
    objects: list[Json], releases: list[NotedRelease], options: Options
) -> None:
    steps = plan(with_notes(objects, releases), releases, options)
    places = [list(PHASES).index(step.phase) for step in steps]
    assert places == sorted(places)
    assert [step_of(step.record("c")) for step in steps] == steps
    assert all(step.reason for step in steps)


@settings(deadline=None)
@given(SOME_OBJECTS, SOME_RELEASES, SOME_OPTIONS)
def test_after_the_plan_nothing_is_left_to_do(
    objects: list[Json], releases: list[NotedRelease], options: Options
) -> None:
    objects = with_notes(objects, releases)
    steps = plan(objects, releases, options)
    again = plan(*executed(steps, objects, releases), options)
    assert [step for step in again if step.action not in ("keep", "wait")] == []
