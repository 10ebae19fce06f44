"""What is there, whose it is, and what the roles may write: tables of sites."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from helm_records import record as stored
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import Note, Record, ReleaseHistory
from ansible_collections.multicluster.gloo.plugins.module_utils.site import layers as engine
from ansible_collections.multicluster.gloo.plugins.module_utils.site.records import ClusterObjects, Planned

Json = dict[str, Any]
PLANNED = {
    "crds": Planned("gloo-platform-crds", "gloo-mesh", "gloo-platform-crds"),
    "platform": Planned("gloo-platform", "gloo-mesh", "gloo-platform", "gloo-mesh-mgmt-server"),
    "agent": Planned("gloo-platform", "gloo-mesh", "gloo-platform", "gloo-mesh-agent"),
    "operator": Planned("gloo-operator", "gloo-mesh", "gloo-operator", "gloo-operator"),
    "istio": Planned("istiod-gloo", "istio-system"),
    "eastwest": Planned("istio-eastwestgateway", "istio-eastwest", "gateway", "istio-eastwestgateway"),
}
MGMT = ClusterObjects("mgmt", "mgmt", "management")
EAST = ClusterObjects("east", "east", "workload")
WEST = ClusterObjects("west", "west", "workload")
OURS = {"labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}
ARGO = {"annotations": {"argocd.argoproj.io/tracking-id": "mesh:apps/Deployment:x/y"}}
FLUX = {"labels": {"helm.toolkit.fluxcd.io/name": "mesh", "helm.toolkit.fluxcd.io/namespace": "flux"}}
KUSTOMIZE = {"labels": {"kustomize.toolkit.fluxcd.io/name": "mesh", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}
KUBECTL = {"managedFields": [{"manager": "kubectl-create", "operation": "Update"}]}
ISTIOCTL = {"labels": {"operator.istio.io/component": "Pilot"}}


def helm(name: str, namespace: str) -> Json:
    notes = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
    return {"annotations": notes, "labels": {"app.kubernetes.io/managed-by": "Helm"}}


def obj(kind: str, name: str, namespace: str = "", metadata: Json | None = None, **parts: Any) -> Json:
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **(metadata or {})}
    return {"kind": kind, "metadata": meta, **parts}


def deployment(
    program: str,
    namespace: str = "gloo-mesh",
    metadata: Json | None = None,
    *,
    name: str = "",
    args: list[str] | None = None,
) -> Json:
    container = {"name": "main", "image": f"registry.example/solo/{program}:1.2.3", "args": args or []}
    template = {"metadata": {"labels": {"app": program}}, "spec": {"containers": [container]}}
    return obj("Deployment", name or program, namespace, metadata, spec={"replicas": 1, "template": template})


def service(
    name: str,
    namespace: str,
    ports: dict[str, int],
    metadata: Json | None = None,
    *,
    selector: str = "",
    address: str = "",
    kind: str = "LoadBalancer",
) -> Json:
    spec = {
        "type": kind,
        "selector": {"app": selector or name},
        "ports": [{"name": port, "port": number} for port, number in ports.items()],
    }
    ingress = [{"ip": address}] if address else []
    return obj("Service", name, namespace, metadata, spec=spec, status={"loadBalancer": {"ingress": ingress}})


def release(
    name: str,
    namespace: str,
    chart: str,
    version: str = "2.9.1",
    *,
    ours: bool = False,
    noted: bool = False,
    **more: Any,
) -> ReleaseHistory:
    note = Note(name, namespace, former_revision=0 if ours else 3) if ours or noted else None
    body = stored(name, 3, namespace=namespace, chart=chart, version=version, **more)
    return ReleaseHistory(name, namespace, "secret", note, (Record("mgmt", body),))


def layers(*clusters: ClusterObjects, planned: dict[str, Planned] | None = None) -> dict[str, dict[str, Json]]:
    return engine.site_layers(clusters, PLANNED if planned is None else planned)


SERVER = deployment("gloo-mesh-mgmt-server", "gloo", helm("mesh", "gloo"))


# -- releases


def test_a_fresh_site_is_installed() -> None:
    found = layers(MGMT, EAST)
    for rows in found.values():
        for layer, row in rows.items():
            assert (row["layer"], row["state"], row["manage"], row["problem"]) == (layer, "absent", True, "")
    assert list(found["mgmt"]) == ["crds", "platform", "workspace", "trust"]
    assert set(found["east"]) == {"crds", "agent", "operator", "istio", "eastwest"}
    server = found["mgmt"]["platform"]
    assert (server["namespace"], server["name"]) == ("gloo-mesh", "gloo-mesh-mgmt-server")
    assert server["release"] == {
        "name": "gloo-platform",
        "namespace": "gloo-mesh",
        "chart": "gloo-platform",
        "version": "",
    }
    assert server["facts"]["authority"] == "gloo-mesh-mgmt-server.gloo-mesh"
    assert server["reason"] == "it does not exist: Helm release gloo-mesh/gloo-platform will be installed"


@pytest.mark.parametrize(
    ("metadata", "releases", "state", "owner"),
    [
        (helm("mesh", "gloo"), [release("mesh", "gloo", "gloo-platform")], "adopted", "Helm release gloo/mesh"),
        (helm("mesh", "gloo"), [release("mesh", "gloo", "gloo-platform", noted=True)], "adopted", "gloo/mesh"),
        (helm("mesh", "gloo"), [release("mesh", "gloo", "gloo-platform", ours=True)], "ours", ""),
        # Another chart of the same program cannot take the values.
        (helm("mesh", "gloo"), [release("mesh", "gloo", "umbrella")], "external", "chart umbrella 2.9.1"),
        # Helm's records are gone, or only those of an uninstalled release are left.
        (helm("mesh", "gloo"), [], "external", "Helm release gloo/mesh"),
        (helm("mesh", "gloo"), [release("mesh", "gloo", "gloo-platform", status="uninstalled")], "external", "Helm"),
        # A release of the planned name is another one.
        (helm("mesh", "gloo"), [release("gloo-platform", "gloo-mesh", "gloo-platform")], "external", "gloo/mesh"),
        (ARGO, [], "external", "Argo CD application mesh"),
        (KUSTOMIZE, [], "external", "Flux Kustomization flux/mesh"),
        (KUBECTL, [], "external", "field manager kubectl-create"),
        ({}, [], "external", "an unknown owner"),
        # Flux has Helm records; Argo CD may have taken over a release.
        ({**helm("mesh", "gloo"), **FLUX}, [release("mesh", "gloo", "gloo-platform")], "external", "Flux HelmRelease"),
        ({**helm("mesh", "gloo"), "annotations": {**helm("mesh", "gloo")["annotations"], **ARGO["annotations"]}},
         [release("mesh", "gloo", "gloo-platform")], "external", "Argo CD"),
        # Also one that this collection installed.
        ({**helm("mesh", "gloo"), "annotations": {**helm("mesh", "gloo")["annotations"], **ARGO["annotations"]}},
         [release("mesh", "gloo", "gloo-platform", ours=True)], "external", "Argo CD application mesh"),
        # Before Helm 3.2 objects have no annotations: the manifest of the release names them.
        ({}, [release("mesh", "gloo", "gloo-platform",
                      manifest="kind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: gloo-mesh-mgmt-server\n")],
         "adopted", "gloo/mesh"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["auto", "use", "manage"])
def test_the_owner_decides_what_is_written(
    metadata: Json, releases: list[ReleaseHistory], state: str, owner: str, mode: str
) -> None:
    server = deployment("gloo-mesh-mgmt-server", "gloo", metadata)
    site = replace(MGMT, deployments=[server], releases=releases, modes={"platform": mode})
    row = layers(site, EAST)["mgmt"]["platform"]
    assert (row["state"], row["mode"]) == (state, mode)
    assert owner in row["owner"]
    assert row["manage"] is (mode != "use" and state != "external")
    assert bool(row["problem"]) is (mode == "manage" and state == "external")
    if row["problem"]:
        assert owner in row["problem"] and "mesh_layers.platform is manage" in row["problem"]
        assert engine.problems({"mgmt": {"platform": row}}) == [f"mgmt: {row['problem']}"]
    if state in ("ours", "adopted"):
        assert row["release"] == {"name": "mesh", "namespace": "gloo", "chart": "gloo-platform", "version": "2.9.1"}
        assert "2.9.1" in row["reason"] or mode == "use"
    assert (row["namespace"], row["name"]) == ("gloo", "gloo-mesh-mgmt-server")


def test_a_release_of_the_planned_name_without_the_layer_is_not_used() -> None:
    row = layers(MGMT, replace(EAST, releases=[release("gloo-platform", "gloo-mesh", "gloo-platform")]))["east"][
        "agent"
    ]
    assert row["problem"].startswith(
        "Helm release gloo-mesh/gloo-platform (chart gloo-platform 2.9.1): does not contain gloo-mesh-agent"
    )
    ours = replace(EAST, releases=[release("gloo-platform", "gloo-mesh", "gloo-platform", ours=True)])
    assert layers(MGMT, ours)["east"]["agent"]["state"] == "ours"


@pytest.mark.parametrize(
    ("number", "mode", "manage"), [(6, "auto", False), (3, "auto", True), (6, "use", False), (3, "use", False)]
)
def test_crds_of_others_are_used_and_missing_ones_installed(number: int, mode: str, manage: bool) -> None:
    crds = [obj("CustomResourceDefinition", name, metadata=KUBECTL) for name in engine.MESH_CRDS[:number]]
    row = layers(replace(MGMT, crds=crds, modes={"crds": mode}), EAST)["mgmt"]["crds"]
    assert (row["state"], row["manage"], row["problem"]) == ("external", manage, "")
    assert ("will be installed" in row["reason"]) is manage
    assert row["release"]["name"] == "gloo-platform-crds"


# -- management server


@pytest.mark.parametrize(
    ("services", "relay", "telemetry"),
    [
        ([], "", ""),
        ([service("gloo-mesh-mgmt-server", "gloo", {"grpc": 9900})], "", ""),
        ([service("gloo-mesh-mgmt-server", "gloo", {"grpc": 9900}, address="192.0.2.7")], "192.0.2.7:9900", ""),
        ([service("gloo-mesh-mgmt-server", "gloo", {"grpc": 443}, address="2001:db8::7")], "[2001:db8::7]:443", ""),
        # A second Service for the other clusters.
        (
            [
                service("gloo-mesh-mgmt-server", "gloo", {"grpc": 9900}, kind="ClusterIP"),
                service("public", "gloo", {"relay": 9900}, selector="gloo-mesh-mgmt-server", address="192.0.2.8"),
            ],
            "192.0.2.8:9900",
            "",
        ),
        (
            [service("elsewhere", "default", {"grpc": 9900}, selector="gloo-mesh-mgmt-server", address="192.0.2.7")],
            "",
            "",
        ),
        ([service("otel", "gloo", {"otlp": 4317}, selector="telemetry", address="192.0.2.9")], "", "192.0.2.9:4317"),
        # The collector is a DaemonSet.
        ([service("otel", "gloo", {"otlp": 4317}, selector="collector", address="192.0.2.9")], "", ""),
    ],
)
def test_addresses_are_those_of_the_services_that_select_the_server(
    services: list[Json], relay: str, telemetry: str
) -> None:
    site = replace(MGMT, deployments=[SERVER, deployment("telemetry", "gloo")], services=services)
    facts = layers(site, EAST)["mgmt"]["platform"]["facts"]
    assert (facts["relay_address"], facts["telemetry_address"]) == (relay, telemetry)
    if relay:
        assert facts["authority"] == f"{facts['relay_service']}.gloo"


@pytest.mark.parametrize(
    ("relay", "args", "own"),
    [
        ({}, [], False),
        ({"disableCa": True}, [], True),
        ({"disableCa": False, "disableTokenGeneration": False}, [], False),
        ({"disableCaCertGeneration": True}, [], True),
        ({"disableTokenGeneration": "true"}, [], True),
        ({"tlsSecret": {"name": "server-tls"}}, [], True),
        ({"tlsSecret": {"name": ""}}, [], False),
        ({"tokenSecret": {"name": "token"}}, [], False),
        ({}, ["--disable-relay-ca=true"], True),
        ({}, ["--disable-ca-cert-generation"], True),
        ({}, ["--disable-relay-ca=false"], False),
        ({}, ["--disable-cache"], False),
    ],
)
def test_own_relay_certificates_are_found(relay: Json, args: list[str], own: bool) -> None:
    server = deployment("gloo-mesh-mgmt-server", "gloo", helm("mesh", "gloo"), args=args)
    history = release("mesh", "gloo", "gloo-platform", values={"glooMgmtServer": {"relay": relay}})
    facts = layers(replace(MGMT, deployments=[server], releases=[history]), EAST)["mgmt"]["platform"]["facts"]
    assert bool(facts["own_relay_certificates"]) is own


@pytest.mark.parametrize(
    ("state", "data", "metadata", "found"),
    [
        ("absent", {"gloo-mesh-license-key": ""}, {}, "gloo-mesh/license-keys"),
        ("absent", {"gloo-trial-license-key": ""}, {}, "gloo-mesh/license-keys"),
        ("absent", {}, {}, ""),
        # Our chart made it from our key.
        ("ours", {"gloo-mesh-license-key": ""}, helm("mesh", "gloo"), ""),
        ("ours", {"gloo-mesh-license-key": ""}, {}, "gloo/license-keys"),
        ("adopted", {}, {}, "the present installation"),
        ("external", {}, {}, "the present installation"),
    ],
)
def test_a_licence_in_a_secret_is_found(state: str, data: Json, metadata: Json, found: str) -> None:
    secret = obj("Secret", "license-keys", "gloo-mesh" if state == "absent" else "gloo", metadata, data=data)
    history = release("mesh", "gloo", "gloo-platform", ours=state == "ours")
    site = replace(MGMT, licences=[secret])
    if state != "absent":
        site = replace(site, deployments=[SERVER], releases=[] if state == "external" else [history])
    row = layers(site, EAST)["mgmt"]["platform"]
    assert (row["state"], row["facts"]["licence"]) == (state, found)


# -- workspaces and trust


def workspace(*entries: Json, metadata: Json | None = None) -> Json:
    return obj("Workspace", "team", "gloo-mesh", metadata, spec={"workloadClusters": list(entries)})


@pytest.mark.parametrize(
    ("spaces", "state", "missing"),
    [
        ([], "absent", []),
        ([workspace({"name": "*"})], "external", []),
        ([workspace({"name": "*"}, metadata=OURS)], "ours", []),
        ([workspace({"name": "east"}, {"name": "west"})], "external", []),
        ([workspace({"name": "east"}), workspace({"name": "west"})], "external", []),
        ([workspace({"name": "east"})], "external", ["west"]),
        ([workspace({"name": "*est"}, {"name": "eas*"})], "external", []),
        ([workspace({"selector": {"env": "prod"}})], "external", ["west"]),
        ([workspace({"name": "*", "selector": {"env": "prod"}})], "external", ["west"]),
        ([workspace({"selector": {}})], "external", []),
        ([workspace()], "external", ["east", "west"]),
        ([workspace({"name": "east"}, metadata=OURS), workspace({"name": "other"})], "ours", ["east", "west"]),
    ],
)
def test_workspaces_of_others_that_include_the_clusters_are_enough(
    spaces: list[Json], state: str, missing: list[str]
) -> None:
    clusters = [obj("KubernetesCluster", "east", "gloo-mesh", {"labels": {"env": "prod"}})]
    row = layers(replace(MGMT, workspaces=spaces, registrations=clusters), EAST, WEST)["mgmt"]["workspace"]
    assert (row["state"], row["facts"]["missing"]) == (state, missing)
    assert row["manage"] is (state != "external")
    if state == "external" and missing:
        assert f"does not include {', '.join(missing)}" in row["problem"]
    else:
        assert row["problem"] == ""


def test_a_second_workspace_is_created_only_on_request() -> None:
    site = replace(MGMT, workspaces=[workspace({"name": "other"})], modes={"workspace": "manage"})
    row = layers(site, EAST)["mgmt"]["workspace"]
    assert (row["state"], row["manage"], row["problem"]) == ("absent", True, "")


def with_namespaces(**namespaces: Json) -> list[ClusterObjects]:
    """East and west with these namespaces and their labels."""
    present = [obj("Namespace", name, metadata={"labels": labels}) for name, labels in namespaces.items()]
    return [replace(each, namespaces=present) for each in (EAST, WEST)]


def includes(cluster: str, *namespaces: str, **labels: str) -> Json:
    return {
        "name": cluster,
        "namespaces": [{"name": each, **({"labels": labels} if labels else {})} for each in namespaces],
    }


NEEDED = engine.PlannedWorkspace({}, ["shop", "pay"], ["gloo-mesh-config", "edge"])
OURS_ALONE = {"workloadClusters": [includes("*", "shop", "pay", "gloo-mesh-config", "edge")]}


@pytest.mark.parametrize(
    ("spaces", "state", "problem", "spec"),
    [
        ([], "absent", "", engine.EVERYTHING),
        # Workspaces of other teams in the same clusters.
        ([workspace(includes("*", "team"))], "absent", "", OURS_ALONE),
        ([workspace(includes("east", "team"), includes("west", "team"))], "absent", "", OURS_ALONE),
        ([workspace({"name": "*"})], "absent", "", OURS_ALONE),
        ([workspace(includes("*", "*", team="b"))], "absent", "", OURS_ALONE),
        ([workspace(includes("east", "team", "edge"))], "absent", "",
         {"workloadClusters": [includes("*", "shop", "pay", "gloo-mesh-config")]}),
        # Those that include ours.
        ([workspace(includes("*", "*"))], "external", "", None),
        ([workspace(includes("*", "shop", "pay"))], "external", "", None),
        ([workspace(includes("*", "shop")), workspace(includes("*", "p*"))], "external", "", None),
        ([workspace(includes("*", "*", team="a"))], "external", "", None),
        ([workspace(includes("*", "shop"))], "external", "namespace pay of east, namespace pay of west", None),
        ([workspace(includes("east", "*"))], "external", "namespace shop of west, namespace pay of west", None),
        # Ours beside them.
        ([workspace(includes("*", "shop", "pay"), metadata=OURS), workspace(includes("*", "team"))], "ours", "",
         {"workloadClusters": [includes("*", "shop", "pay")]}),
        ([workspace(includes("*", "shop"), metadata=OURS), workspace(includes("*", "team"))], "ours", "",
         {"workloadClusters": [includes("*", "shop"), includes("*", "pay")]}),
        ([workspace(includes("*", "shop"), metadata=OURS)], "ours", "", engine.EVERYTHING),
    ],
)  # fmt: skip
def test_workspaces_are_judged_by_the_namespaces_that_the_site_needs(
    spaces: list[Json], state: str, problem: str, spec: Json | None
) -> None:
    workloads = with_namespaces(shop={"team": "a"}, pay={"team": "a"}, team={"team": "b"}, edge={})
    site = [replace(MGMT, workspaces=spaces), *workloads]
    row = engine.site_layers(site, PLANNED, NEEDED)["mgmt"]["workspace"]
    assert (row["state"], row["manage"]) == (state, state != "external")
    assert f"does not include {problem}. " in row["problem"] if problem else row["problem"] == ""
    if spec is not None:
        assert row["facts"]["spec"] == spec
    if state == "absent" and spaces:
        assert "beside gloo-mesh/team" in row["reason"]


def test_a_workspace_beside_others_names_the_clusters_if_more_are_registered() -> None:
    """The Workspace of another team may include namespaces of these names in a cluster that is not in the inventory."""
    made = [obj("KubernetesCluster", each, "gloo-mesh") for each in ("east", "north", "west")]
    site = replace(MGMT, workspaces=[workspace(includes("north", "*"))], registrations=made)
    row = engine.site_layers([site, *with_namespaces(shop={}, pay={})], PLANNED, NEEDED)["mgmt"]["workspace"]
    names = ("shop", "pay", "gloo-mesh-config", "edge")
    assert row["facts"]["spec"] == {"workloadClusters": [includes("east", *names), includes("west", *names)]}
    assert (row["state"], row["problem"]) == ("absent", "")


@pytest.mark.parametrize(
    ("entry", "suffices"), [(includes("*", "*", team="a"), False), (includes("*", "shop", "pay"), True)]
)
def test_without_the_labels_of_namespaces_no_workspace_is_created_beside_others(entry: Json, suffices: bool) -> None:
    unread = [replace(each, namespaces=None) for each in (EAST, WEST)]
    row = engine.site_layers([replace(MGMT, workspaces=[workspace(entry)]), *unread], PLANNED, NEEDED)["mgmt"]
    assert (row["workspace"]["state"], row["workspace"]["problem"] == "") == ("external", suffices)


@pytest.mark.parametrize("mode", ["auto", "manage"])
@pytest.mark.parametrize(
    ("spec", "both"),
    [
        (engine.EVERYTHING, "namespace team of east, namespace team of west"),
        ({"workloadClusters": [includes("west", "*")]}, "namespace team of west"),
        ({"workloadClusters": [includes("*", "shop", "pay")]}, ""),
        ({"workloadClusters": [includes("*", "shop", "pay", "te*")]}, "namespace team of east, namespace team of west"),
    ],
)
def test_no_namespace_is_put_into_a_second_workspace(mode: str, spec: Json, both: str) -> None:
    site = replace(MGMT, workspaces=[workspace(includes("*", "team"))], modes={"workspace": mode})
    planned = replace(NEEDED, spec=spec)
    row = engine.site_layers([site, *with_namespaces(shop={}, team={})], PLANNED, planned)["mgmt"]["workspace"]
    assert row["facts"]["spec"] == spec
    assert row["state"] == "absent"
    assert (f"gloo-mesh/team: already includes {both}, and" in row["problem"]) if both else row["problem"] == ""


ROOT, OTHER = frozenset({"aa"}), frozenset({"bb"})
POLICY = obj("RootTrustPolicy", "root", "gloo-mesh", KUBECTL, spec={"config": {}})
OWN = obj("Secret", "cacerts", "istio-system", type="Opaque")
ISSUED = obj("Secret", "cacerts", "istio-system", type="certificates.mesh.gloo.solo.io/issued_certificate")
LABELLED = obj("Secret", "cacerts", "istio-system", {"labels": {"agent.certificates.mesh.gloo.solo.io": "x"}})


@pytest.mark.parametrize(
    ("policies", "cacerts", "roots", "state", "manage"),
    [
        ([], ((), ()), (frozenset(), frozenset()), "absent", True),
        # Each istiod signs for itself.
        ([], ((), ()), (ROOT, OTHER), "absent", True),
        ([], ((ISSUED,), ()), (ROOT, OTHER), "absent", True),
        ([], ((LABELLED,), ()), (ROOT, frozenset()), "absent", True),
        ([POLICY], ((), ()), (ROOT, OTHER), "external", False),
        ([{**POLICY, "metadata": {"name": "r", "namespace": "g", **OURS}}], ((), ()), (ROOT, ROOT), "ours", True),
        # Own PKI, also while only one cluster has its certificates.
        ([], ((OWN,), (OWN,)), (ROOT, ROOT), "external", False),
        ([], ((OWN,), ()), (ROOT, frozenset()), "external", False),
        # A common root is enough, wherever it comes from; a rotation adds a second one.
        ([], ((), ()), (ROOT, ROOT), "external", False),
        ([], ((), ()), (ROOT | OTHER, ROOT), "external", False),
    ],
)
def test_a_root_trust_policy_is_created_unless_the_root_is_managed_elsewhere(
    policies: list[Json], cacerts: tuple[Any, Any], roots: tuple[Any, Any], state: str, manage: bool
) -> None:
    east = replace(EAST, cacerts=cacerts[0], roots=roots[0])
    west = replace(WEST, cacerts=cacerts[1], roots=roots[1])
    row = layers(replace(MGMT, policies=policies), east, west)["mgmt"]["trust"]
    assert (row["state"], row["manage"], row["problem"]) == (state, manage, "")


@pytest.mark.parametrize(
    ("mode", "policies", "cacerts", "problem"),
    [
        ("auto", [], (), True),
        ("manage", [], (), False),
        ("use", [], (), False),
        ("auto", [POLICY], (), False),
        ("auto", [], (OWN,), False),
    ],
)
def test_a_root_that_cannot_be_read_is_not_replaced(mode: str, policies: Any, cacerts: Any, problem: bool) -> None:
    east = replace(EAST, trust_unread=("east: Secret istio-system/cacerts: no right to get it",))
    site = replace(MGMT, policies=policies, modes={"trust": mode})
    row = layers(site, east, replace(WEST, cacerts=cacerts))["mgmt"]["trust"]
    assert bool(row["problem"]) is problem
    if problem:
        assert row["problem"].startswith(
            "RootTrustPolicy: it is not known whether the root CA of east is managed elsewhere "
            "(east: Secret istio-system/cacerts: no right to get it). Make sure that"
        )


@pytest.mark.parametrize(
    ("mode", "policies", "cacerts", "roots", "state", "problem"),
    [
        ("auto", [], (), frozenset(), "absent", True),
        ("auto", [], (ISSUED,), ROOT, "absent", True),
        ("manage", [], (), frozenset(), "absent", False),
        ("use", [], (), frozenset(), "absent", False),
        # What the other clusters have decides.
        ("auto", [], (OWN,), frozenset(), "external", False),
        ("auto", [POLICY], (), frozenset(), "external", False),
        ("auto", [{**POLICY, "metadata": {"name": "r", "namespace": "g", **OURS}}], (), frozenset(), "ours", False),
    ],
)
def test_a_root_is_not_replaced_while_a_cluster_is_unreachable(
    mode: str, policies: Any, cacerts: Any, roots: Any, state: str, problem: bool
) -> None:
    down = replace(EAST, in_run=False, unreachable="east: API server https://192.0.2.1:6443 does not respond")
    site = replace(MGMT, policies=policies, modes={"trust": mode})
    found = layers(site, down, replace(WEST, cacerts=cacerts, roots=roots))
    assert "east" not in found
    row = found["mgmt"]["trust"]
    assert (row["state"], bool(row["problem"])) == (state, problem)
    if problem:
        assert row["problem"].startswith("RootTrustPolicy: it is not known whether the root CA of east is managed")


ISTIOD = obj(
    "Deployment", "istiod", "istio-system",
    spec={"template": {"spec": {"containers": [{"name": "discovery", "image": "x/pilot:1.29.0"}]}}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "registered", "deployments", "policies", "outside"),
    [
        ("auto", "north", [], [], "north"),
        ("manage", "north", [], [], ""),
        ("use", "north", [], [], ""),
        ("auto", "north", [], [POLICY], ""),
        ("auto", "west", [], [], ""),
        # The management cluster itself.
        ("auto", "mgmt", [], [], ""),
        ("auto", "mgmt", [ISTIOD], [], "mgmt"),
        ("auto", "hub", [deployment("gloo-mesh-agent", args=["--cluster=hub", "--relay-address=x:9900"])], [], ""),
    ],
)
def test_a_root_is_not_replaced_in_a_cluster_outside_of_the_inventory(
    mode: str, registered: str, deployments: Any, policies: Any, outside: str
) -> None:
    made = [obj("KubernetesCluster", each, "gloo-mesh") for each in ("east", registered)]
    site = replace(MGMT, registrations=made, deployments=deployments, policies=policies, modes={"trust": mode})
    row = layers(site, replace(EAST, roots=ROOT), replace(WEST, roots=OTHER))["mgmt"]["trust"]
    if outside:
        assert row["problem"].startswith(
            f"RootTrustPolicy: it is not known whether the root CA of {outside} is managed elsewhere "
            f"({outside} is registered in mgmt, but not in the inventory). Make sure that"
        )
    else:
        assert row["problem"] == ""


@pytest.mark.parametrize("mode", ["auto", "manage", "use"])
@pytest.mark.parametrize(
    ("running", "in_run", "policies", "problem"),
    [
        (True, False, [], True),
        (True, True, [], False),
        (False, False, [], False),
        (True, False, [{**POLICY, "metadata": {"name": "r", "namespace": "g", **OURS}}], False),
        (True, False, [POLICY], False),
    ],
)
def test_a_root_is_not_replaced_in_a_cluster_outside_of_the_run(
    mode: str, running: bool, in_run: bool, policies: Any, problem: bool
) -> None:
    istiods = [{"namespace": "istio-system", "name": "istiod"}] if running else []
    east = replace(EAST, istiods=istiods, roots=ROOT if running else frozenset(), in_run=in_run)
    site = replace(MGMT, policies=policies, modes={"trust": mode})
    row = layers(site, east, replace(WEST, roots=OTHER))["mgmt"]["trust"]
    assert bool(row["problem"]) is (problem and mode != "use")
    if row["problem"]:
        assert "Istio in east, but workloads there cannot be restarted, because this run does not" in row["problem"]


def test_a_single_cluster_shares_its_root_with_no_other() -> None:
    assert layers(MGMT, replace(EAST, roots=ROOT))["mgmt"]["trust"]["manage"] is True


@pytest.mark.parametrize(
    ("owner", "problem"), [(KUBECTL, False), (ARGO, True), (FLUX, True), (helm("mesh", "gloo"), True)]
)
def test_manage_takes_over_an_object_that_no_program_reverts(owner: Json, problem: bool) -> None:
    policy = obj("RootTrustPolicy", "root", "gloo-mesh", owner)
    row = layers(replace(MGMT, policies=[policy], modes={"trust": "manage"}), EAST)["mgmt"]["trust"]
    assert bool(row["problem"]) is problem
    assert row["manage"] is not problem
    assert row["name"] == "root"


# -- agents


def test_a_registered_agent_keeps_its_name() -> None:
    args = ["--cluster=old", "--relay-address=192.0.2.1:9900", "--relay-authority", "server.gloo"]
    agent = deployment("gloo-mesh-agent", "solo", helm("gloo-agent", "solo"), args=args)
    site = replace(EAST, deployments=[agent], releases=[release("gloo-agent", "solo", "gloo-platform")])
    row = layers(MGMT, site)["east"]["agent"]
    assert row["facts"] | {"registered": None} == {
        "cluster": "old",
        "relay_address": "192.0.2.1:9900",
        "authority": "server.gloo",
        "registered": None,
        "registration_ours": False,
        "uid": "",
    }
    assert row["problem"] == (
        "Deployment solo/gloo-mesh-agent: registers this cluster as old, not as east. Set mesh_cluster_name to old"
    )
    assert layers(MGMT, replace(site, name="old"))["east"]["agent"]["problem"] == ""


def test_registrations_are_known() -> None:
    made = [obj("KubernetesCluster", "east", "gloo-mesh", OURS), obj("KubernetesCluster", "west", "gloo-mesh")]
    found = layers(replace(MGMT, registrations=made), EAST, WEST)
    assert [found[host]["agent"]["facts"]["registered"] for host in ("east", "west")] == [True, True]
    assert [found[host]["agent"]["facts"]["registration_ours"] for host in ("east", "west")] == [True, False]


SERVERS = [deployment("gloo-mesh-mgmt-server", each, helm("mesh", each)) for each in ("aaa", "gloo-mesh")]
RELAYS = [
    service("gloo-mesh-mgmt-server", namespace, {"grpc": 9900}, address=address)
    for namespace, address in (("aaa", "192.0.2.1"), ("gloo-mesh", "192.0.2.2"))
]


@pytest.mark.parametrize(
    ("planned", "ours", "stopped", "used"),
    [
        ("gloo-mesh", "gloo-mesh", "", "gloo-mesh"),
        ("gloo-mesh", "aaa", "", "aaa"),
        ("other", "gloo-mesh", "", "gloo-mesh"),
        ("gloo-mesh", "gloo-mesh", "gloo-mesh", "gloo-mesh"),
        ("gloo-mesh", "", "", "gloo-mesh"),
        ("aaa", "", "", "aaa"),
        ("aaa", "", "aaa", "gloo-mesh"),
        ("other", "", "", ""),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "use"])
def test_of_two_management_servers_agents_get_the_one_of_this_site(
    planned: str, ours: str, stopped: str, used: str, mode: str
) -> None:
    deployed = [
        {**each, "spec": {**each["spec"], "replicas": 0}} if each["metadata"]["namespace"] == stopped else each
        for each in SERVERS
    ]
    releases = [release("mesh", each, "gloo-platform", ours=each == ours) for each in ("aaa", "gloo-mesh")]
    site = replace(MGMT, deployments=deployed, services=RELAYS, releases=releases, modes={"platform": mode})
    row = layers(site, EAST, planned={**PLANNED, "platform": Planned("mesh", planned, "gloo-platform")})["mgmt"]
    platform = row["platform"]
    if used:
        assert (platform["namespace"], platform["problem"]) == (used, "")
        address = "192.0.2.1:9900" if used == "aaa" else "192.0.2.2:9900"
        assert platform["facts"]["relay_address"] == address
    else:
        assert platform["problem"] == (
            "Deployment aaa/gloo-mesh-mgmt-server and Deployment gloo-mesh/gloo-mesh-mgmt-server are the same "
            "program, and it is not known which one to use. Set mesh_namespace to the namespace of that one"
        )


def test_clusters_are_registered_where_their_management_server_is() -> None:
    site = replace(MGMT, deployments=SERVERS, services=RELAYS, registrations=[obj("KubernetesCluster", "east", "aaa")])
    row = layers(site, EAST)["mgmt"]["platform"]
    assert (row["namespace"], row["problem"]) == ("aaa", "")


def agent_at(address: str, namespace: str = "gloo-mesh", ready: int = 1) -> Json:
    args = ["--cluster=east", f"--relay-address={address}"]
    found = deployment("gloo-mesh-agent", namespace, helm("mesh", namespace), args=args)
    return {**found, "status": {"readyReplicas": ready}}


@pytest.mark.parametrize(
    ("address", "ready", "registered", "ours", "mode", "problem"),
    [
        ("192.0.2.99:9900", 1, False, False, "auto", True),
        ("[2001:db8::1]:9900", 1, False, False, "auto", True),
        ("192.0.2.99:9900", 1, False, False, "manage", True),
        ("192.0.2.99:9900", 1, False, False, "use", False),
        # It may lead to the management server by another name.
        ("relay.example:9900", 1, True, False, "auto", False),
        # It restarts until it is registered.
        ("192.0.2.99:9900", 0, False, False, "auto", False),
        ("192.0.2.2:9900", 1, False, False, "auto", False),
        ("192.0.2.99:9900", 1, False, True, "auto", False),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_an_agent_of_another_management_server_is_not_taken_over(
    address: str, ready: int, registered: bool, ours: bool, mode: str, problem: bool, installed: bool
) -> None:
    made = [obj("KubernetesCluster", "east", "gloo-mesh")] if registered else []
    management = replace(MGMT, registrations=made)
    if installed:
        management = replace(management, deployments=SERVERS[1:], services=RELAYS[1:])
    elif address == "192.0.2.2:9900":
        problem = True
    releases = [release("mesh", "gloo-mesh", "gloo-platform", ours=ours)]
    site = replace(EAST, deployments=[agent_at(address, ready=ready)], releases=releases, modes={"agent": mode})
    found = layers(management, site)["east"]["agent"]["problem"]
    assert found.startswith("Deployment gloo-mesh/gloo-mesh-agent is ready, although mgmt has no") is problem, found
    assert bool(found) is problem


def test_an_agent_that_is_used_may_be_registered_under_another_name() -> None:
    site = replace(EAST, name="east-1", deployments=[agent_at("relay.example:9900")])
    made = [obj("KubernetesCluster", "east", "gloo-mesh")]
    row = layers(replace(MGMT, registrations=made), site)["east"]["agent"]
    assert (row["state"], row["problem"]) == ("external", "")


def test_of_two_agents_the_one_of_this_management_server_is_used() -> None:
    management = replace(MGMT, deployments=SERVERS[1:], services=RELAYS[1:])
    both = [agent_at("192.0.2.99:9900", "aaa"), agent_at("192.0.2.2:9900", "bbb")]
    releases = [release("mesh", each, "gloo-platform") for each in ("aaa", "bbb")]
    row = layers(management, replace(EAST, deployments=both, releases=releases))["east"]["agent"]
    assert (row["namespace"], row["problem"]) == ("bbb", "")
    both[1] = agent_at("192.0.2.98:9900", "bbb")
    row = layers(management, replace(EAST, deployments=both, releases=releases))["east"]["agent"]
    assert row["problem"]


# -- Istio


def istiod(name: str = "istiod", namespace: str = "istio-system", metadata: Json | None = None) -> ClusterObjects:
    row = {"namespace": namespace, "name": name, "revision": "default", "address": f"{name}.{namespace}.svc:15012"}
    return replace(EAST, istiods=[row], istiod_deployments=[obj("Deployment", name, namespace, metadata)])


CONTROLLER = obj("ServiceMeshController", "mesh", metadata=KUBECTL)


@pytest.mark.parametrize(
    ("site", "state", "owner"),
    [
        (EAST, "absent", ""),
        (istiod(metadata=ISTIOCTL), "external", "istioctl"),
        (istiod(metadata=helm("istiod", "istio-system")), "external", "Helm release istio-system/istiod"),
        (istiod(metadata=ARGO), "external", "Argo CD application mesh"),
        (istiod("istiod-canary", "mesh"), "external", "an unknown owner"),
        (replace(EAST, istiods=[{"namespace": "istio-system", "name": None}]), "external", ""),
        (replace(EAST, controllers=[CONTROLLER]), "external", "field manager kubectl-create"),
        (replace(istiod("istiod-gloo"), controllers=[CONTROLLER]), "external", "field manager kubectl-create"),
        (replace(istiod("istiod-gloo"), controllers=[{**CONTROLLER, "metadata": {"name": "m", **OURS}}]), "ours", ""),
    ],
)
def test_the_operator_is_installed_only_for_an_istio_of_ours(site: ClusterObjects, state: str, owner: str) -> None:
    rows = layers(MGMT, site)["east"]
    assert (rows["istio"]["state"], rows["istio"]["manage"]) == (state, state != "external")
    assert owner in rows["istio"]["owner"]
    assert rows["operator"]["manage"] is (state != "external")
    present = replace(site, deployments=[deployment("gloo-operator")])
    assert layers(MGMT, present)["east"]["operator"]["state"] == "external"


@pytest.mark.parametrize(
    ("name", "metadata", "manage", "problem"),
    [
        # Beside the operator's istiod, which has another name.
        ("istiod", KUBECTL, True, False),
        ("istiod", ARGO, True, False),
        ("istiod-gloo", KUBECTL, False, True),
        ("istiod-gloo", ARGO, False, True),
    ],
)
def test_a_second_istio_is_installed_only_on_request(name: str, metadata: Json, manage: bool, problem: bool) -> None:
    row = layers(MGMT, replace(istiod(name, metadata=metadata), modes={"istio": "manage"}))["east"]["istio"]
    assert (row["manage"], bool(row["problem"])) == (manage, problem)


EASTWEST = {"labels": {"istio": "eastwestgateway"}}


@pytest.mark.parametrize(
    ("found", "settings", "name"),
    [
        (service("ew", "mesh", {"tls": 15443}, EASTWEST), {}, "ew"),
        (service("ew", "mesh", {"https": 443}, EASTWEST), {}, "ew"),
        (service("ew", "mesh", {"mtls": 15443}, EASTWEST), {}, "ew"),
        (service("ew", "mesh", {"http": 80}, EASTWEST), {}, ""),
        (service("ingress", "mesh", {"tls": 15443}, {"labels": {"istio": "ingressgateway"}}), {}, ""),
        (service("ew", "mesh", {"tls": 15443}, {"labels": {"role": "ew"}}), {"role": "ew"}, "ew"),
        (service("ew", "mesh", {"tls": 15443}, {"labels": {"role": "ew"}}), {"role": "other"}, ""),
    ],
)
def test_east_west_gateways_are_those_that_gloo_mesh_uses(found: Json, settings: Json, name: str) -> None:
    spec = {"options": {"eastWestGateways": [{"selector": {"labels": settings}}]}}
    site = replace(MGMT, settings=[obj("WorkspaceSettings", "s", "x", spec=spec)] if settings else [])
    row = layers(site, replace(EAST, services=[found]))["east"]["eastwest"]
    assert (row["name"], row["state"]) == (name or "istio-eastwestgateway", "external" if name else "absent")


@pytest.mark.parametrize(
    ("selector", "agent", "names"),
    [
        ({"cluster": "east"}, "", ["ew"]),
        ({"cluster": "west"}, "", ["ew"]),
        ({"cluster": "west", "labels": {"role": "ew"}}, "", ["ew"]),
        ({"cluster": "east", "labels": {"role": "ew"}}, "", ["own"]),
        # The name under which the agent registers the cluster counts.
        ({"cluster": "prod", "labels": {"role": "ew"}}, "prod", ["own"]),
        ({"cluster": "east", "labels": {"role": "ew"}}, "prod", ["ew"]),
        ({"namespace": "mesh", "labels": {"role": "ew"}}, "", ["own"]),
        ({"namespace": "other", "labels": {"role": "ew"}}, "", ["ew"]),
        ({"name": "own"}, "", ["own"]),
        ({"name": "own", "namespace": "other"}, "", ["ew"]),
        ({"name": "own", "cluster": "*", "namespace": "*"}, "", ["own"]),
        ({}, "", ["ew"]),
    ],
)
def test_a_selector_of_settings_may_name_cluster_namespace_and_service(
    selector: Json, agent: str, names: list[str]
) -> None:
    spec = {"options": {"eastWestGateways": [{"selector": selector}]}}
    both = [
        service("ew", "mesh", {"tls": 15443}, EASTWEST),
        service("own", "mesh", {"tls": 15443}, {"labels": {"role": "ew"}}),
    ]
    agents = [deployment("gloo-mesh-agent", args=[f"--cluster={agent}"])] if agent else []
    site = replace(EAST, services=both, deployments=agents)
    row = layers(replace(MGMT, settings=[obj("WorkspaceSettings", "s", "x", spec=spec)]), site)["east"]["eastwest"]
    assert row["facts"]["services"] == [f"mesh/{name}" for name in names]


def test_the_address_of_an_east_west_gateway_is_the_one_that_others_use() -> None:
    entry = {"port": "https", "hostInfoOverrides": [{"addr": "198.51.100.7", "port": {"number": 31443}}]}
    site = replace(MGMT, settings=[obj("WorkspaceSettings", "s", "x", spec={"options": {"eastWestGateways": [entry]}})])
    found = service("ew", "mesh", {"tls": 15443, "https": 443}, EASTWEST, address="192.0.2.20")
    assert layers(site, replace(EAST, services=[found]))["east"]["eastwest"]["facts"]["address"] == "198.51.100.7:31443"
    del entry["hostInfoOverrides"]
    assert layers(site, replace(EAST, services=[found]))["east"]["eastwest"]["facts"]["address"] == "192.0.2.20:443"


def test_an_east_west_gateway_of_a_release_is_adopted_with_its_address() -> None:
    meta = {**helm("ew", "mesh"), "labels": {**helm("ew", "mesh")["labels"], **EASTWEST["labels"]}}
    found = [
        service("internal", "mesh", {"tls": 15443}, meta, kind="ClusterIP", selector="ew"),
        service("ew", "mesh", {"tls": 443}, meta, address="192.0.2.20"),
    ]
    site = replace(
        EAST,
        services=found,
        deployments=[deployment("ew", "mesh")],
        releases=[release("ew", "mesh", "gateway", "1.26.0")],
    )
    row = layers(MGMT, site)["east"]["eastwest"]
    assert (row["state"], row["release"]["version"]) == ("adopted", "1.26.0")
    assert row["facts"]["address"] == "192.0.2.20:443"
    assert row["facts"]["deployments"] == ["mesh/ew"]


# -- any site

OWNERS = st.sampled_from([{}, OURS, ARGO, FLUX, KUSTOMIZE, KUBECTL, ISTIOCTL, helm("mesh", "gloo")])
MODE = st.sampled_from(["auto", "use", "manage", ""])


@given(
    modes=st.fixed_dictionaries(dict.fromkeys(engine.LAYERS, MODE)),
    server=st.none() | OWNERS,
    agent=st.none() | OWNERS,
    controller=st.none() | OWNERS,
    policy=st.none() | OWNERS,
    owned=st.booleans(),
)
def test_what_is_used_is_never_written(
    modes: dict[str, str], server: Any, agent: Any, controller: Any, policy: Any, owned: bool
) -> None:
    """For any owner and mode; and nothing with a contradiction is written."""
    history = [release("mesh", "gloo", "gloo-platform", ours=owned)]
    management = replace(
        MGMT,
        modes=modes,
        releases=history,
        deployments=[] if server is None else [deployment("gloo-mesh-mgmt-server", "gloo", server)],
        policies=[] if policy is None else [obj("RootTrustPolicy", "r", "gloo", policy)],
    )
    workload = replace(
        EAST,
        modes=modes,
        releases=history,
        deployments=[] if agent is None else [deployment("gloo-mesh-agent", "gloo", agent)],
        controllers=[] if controller is None else [obj("ServiceMeshController", "m", "", controller)],
    )
    for rows in layers(management, workload).values():
        for layer, row in rows.items():
            assert row["reason"] and row["cluster"]
            if modes[layer] == "use":
                assert (row["manage"], row["problem"]) == (False, "")
            if row["owner"].startswith(("Argo CD", "Flux")):
                assert row["manage"] is False
            if row["problem"] and layer != "agent":
                assert row["manage"] is False or row["state"] == "absent"


# -- values for the charts that the operator installs

EXTENSIONS = "gloo-extensions-config"
MANAGED = [{"manager": "multicluster.gloo", "operation": "Apply", "fieldsV1": {"f:data": {"f:values.istiod": {}}}}]


def with_values(text: str, user: Json, metadata: Json | None = None, **more: Any) -> ClusterObjects:
    config_map = obj("ConfigMap", EXTENSIONS, "gloo-mesh", metadata, data={"values.istiod": text, "other": "x"})
    return replace(EAST, extensions=config_map, operator_values=user, **more)


def env(**variables: Any) -> Json:
    return {"istiod": {"pilot": {"env": variables}}}


ELSEWHERE = (
    "values.istiod has another value of pilot.env.ANY than mesh_istiod_env or mesh_operator_extensions. "
    "Set the same value in both, or remove it from one of them"
)


@pytest.mark.parametrize(
    ("present", "user", "problem"),
    [
        # Whatever others set stays, secrets and unknown variables included.
        ("pilot: {env: {ANY: x, TOKEN: hunter2}}\nglobal: {password: hunter2}", {}, ""),
        ("pilot: {env: {ANY: x, TOKEN: hunter2}}", env(OTHER="y"), ""),
        ("pilot: {env: {ANY: x}}", env(ANY="x"), ""),
        ("pilot: {env: {ANY: true}}", env(ANY="true"), ""),
        ("", env(ANY="x"), ""),
        ("# none", env(ANY="x"), ""),
        ("pilot: {env: }", env(ANY="x"), ""),
        # What the role needs is set, unless the user sets another value.
        ("pilot: {env: {PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES: 'true'}}", {}, ""),
        (
            "pilot: {env: {ANY: hunter2}}",
            env(ANY="y"),
            ELSEWHERE,
        ),
        # Another name of the same key.
        (
            "env: {ANY: hunter2}",
            env(ANY="y"),
            ELSEWHERE,
        ),
        ("pilot: hunter2", {}, "values.istiod: pilot is not a mapping, so no environment can be added. Correct it"),
        (
            "pilot: {env: [hunter2]}",
            {},
            "values.istiod: pilot.env is not a mapping, so no environment can be added. Correct it",
        ),
        ("- hunter2", {}, "values.istiod is not a YAML mapping, so no values can be added. Correct it"),
        (
            "a: [hunter2",
            {},
            "values.istiod cannot be read: it is not valid YAML, so no values can be added. Correct it",
        ),
        (
            "a: .nan",
            {},
            "values.istiod cannot be read: its YAML has .nan, which is no number, so no values can be added. "
            "Correct it",
        ),
    ],
)
def test_only_a_contradiction_with_the_users_own_values_is_refused(present: str, user: Json, problem: str) -> None:
    row = layers(MGMT, with_values(present, user))["east"]["operator"]
    assert row["problem"] == (f"ConfigMap gloo-mesh/{EXTENSIONS}: {problem}" if problem else "")
    assert "hunter2" not in str(row)


def test_values_are_not_judged_where_istio_is_not_managed() -> None:
    cluster = with_values("- x", env(ANY="y"), modes={"istio": "use"})
    assert layers(MGMT, cluster)["east"]["operator"]["problem"] == ""


@pytest.mark.parametrize(("former", "refused"), [([], False), (["pilot: {env: {ANY: x}}"], True)])
def test_values_of_this_collection_may_be_changed_but_not_those_that_others_set_before(
    former: list[str], refused: bool
) -> None:
    rows = [{"path": ["f:data", "f:values.istiod"], "value": text, "manager": "kubectl"} for text in former]
    metadata = {"managedFields": MANAGED, "annotations": {"multicluster.gloo/former": json.dumps(rows)}}
    row = layers(MGMT, with_values("pilot: {env: {ANY: x}}", env(ANY="y"), metadata))["east"]["operator"]
    assert bool(row["problem"]) is refused


@pytest.mark.parametrize(
    ("present", "namespaces"),
    [
        ("", []),
        ("- x", []),
        ("pilot: {env: {DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: 'a, b,,gloo'}}", ["a", "b", "gloo"]),
        ("env: {DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: a}", ["a"]),
    ],
)
def test_namespaces_that_others_allow_to_debug_istiod_are_known(present: str, namespaces: list[str]) -> None:
    row = layers(MGMT, with_values(present, {}))["east"]["operator"]
    assert row["facts"]["debug_namespaces"] == namespaces
