"""Agents' Pods, admin statuses and shared roots of the played Gloo Mesh; charts and load balancers."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from lab import inventory
from lab.vendor import cloud_load_balancers
from lab.vendor.gloo_mesh.agents import crash_status
from lab.vendor.gloo_mesh.gloo_mesh import settings_status, workspace_status
from lab.vendor.gloo_mesh.relay import Problem
from lab.vendor.gloo_mesh.translation import Translation
from lab.vendor.gloo_mesh.trust import roots_differ, trust_status
from lab.vendor.gloo_mesh.workspaces import Mesh

CHARTS = inventory.CHARTS


def pod(made: Any, *, waiting: Any = False) -> Any:
    told = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh")
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if waiting else {"running": {}}
    told["status"]["containerStatuses"] = [{"name": "agent", "image": "i", "imageID": "", "restartCount": 2}]
    told["status"]["containerStatuses"][0]["state"] = state
    return told


def test_a_fatal_agent_crash_loops_and_says_why(made: Any) -> None:
    status = crash_status(pod(made), Problem("no token", fatal=True))
    assert status is not None
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "no token"
    assert container["restartCount"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "ContainersReady": "False"}


def test_it_recovers_once_the_secret_is_there(made: Any) -> None:
    status = crash_status(pod(made, waiting=True), None)
    assert status is not None
    assert status["containerStatuses"][0]["ready"] is True
    assert status["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize("why", [None, Problem("connection refused")])
def test_what_is_not_fatal_leaves_the_pod_alone(made: Any, why: Any) -> None:
    assert crash_status(pod(made), why) is None


def test_a_crash_status_pod_is_not_crash_status_twice(made: Any) -> None:
    assert crash_status(pod(made, waiting=True), Problem("no token", fatal=True)) is None


def rooted(made: Any, name: Any, root: Any) -> Any:
    data = {"root-cert.pem": base64.b64encode(root).decode()} if root else {}
    secrets = [made.obj("Secret", "cacerts", "istio-system", data=data)] if root else []
    return made.Cluster(name, made.obj("Namespace", "istio-system", ""), *secrets)


@pytest.mark.parametrize(
    ("one", "two", "text"),
    [
        (b"root", b"root\n", ""),
        (b"root", None, "no secret cacerts in cluster two"),
        (b"root", b"other", "have different roots"),
    ],
)
def test_roots_must_be_shared(made: Any, one: Any, two: Any, text: Any) -> None:
    told = roots_differ({"one": rooted(made, "one", one), "two": rooted(made, "two", two)})
    assert text in told
    assert bool(told) is bool(text)


@pytest.fixture
def mesh(made: Any) -> Any:
    workspace = made.obj("Workspace", "w", "gloo-mesh")
    workspace["spec"] = {"workloadClusters": [{"name": "*", "namespaces": [{"name": "*"}]}]}
    settings = made.obj("WorkspaceSettings", "w", "gloo-mesh-config", spec={"options": {}})
    gateway = made.obj("Service", "ew", "istio-eastwest", {"istio": "eastwestgateway"})
    gateway["spec"] = {"ports": [{"name": "tls", "port": 15443}]}
    namespaces = [made.obj("Namespace", name, "") for name in ("a", "b")]
    return Mesh("mgmt", made.Cluster("mgmt", workspace, settings), {"c1": made.Cluster("c1", gateway, *namespaces)})


def test_workspace_counts_connected_clusters(mesh: Any) -> None:
    (workspace,) = mesh.config.list("Workspace")
    outcome = workspace_status(mesh, workspace)
    assert (outcome.extra["numSelectedClusters"], outcome.extra["numSelectedNamespaces"]) == (1, 2)
    assert outcome.extra["workspaceSettings"] == {"name": "w", "namespace": "gloo-mesh-config", "cluster": "mgmt"}
    assert workspace_status(mesh._replace(clusters={}), workspace).extra["numSelectedClusters"] == 0


@pytest.mark.parametrize(
    ("port", "state", "count"), [("tls", "ACCEPTED", 1), ("https", "ACCEPTED", 1), ("x", "WARNING", 0)]
)
def test_settings_count_gateways_with_a_port_named_tls(mesh: Any, port: Any, state: Any, count: Any) -> None:
    mesh.clusters["c1"].list("Service")[0]["spec"]["ports"][0]["name"] = port
    outcome = settings_status(mesh, mesh.config.list("WorkspaceSettings")[0])
    assert (outcome.state, outcome.extra["numSelectedEastWestGateways"]) == (state, count)


def test_trust_policy_status_is_flat(made: Any) -> None:
    policy = made.obj("RootTrustPolicy", "root-trust", "gloo-mesh")
    policy["metadata"]["generation"] = 2
    assert trust_status(Translation("ACCEPTED", "", {}, {}), policy) == {"state": "ACCEPTED", "observedGeneration": 2}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"type": "LoadBalancer"}, True),
        ({"type": "ClusterIP"}, False),
        ({"type": "LoadBalancer", "loadBalancerClass": "x/y"}, False),
    ],
)
def test_only_load_balancers_get_addresses(made: Any, spec: Any, wanted: Any) -> None:
    assert cloud_load_balancers.wants_address(made.obj("Service", "s", spec=spec)) is wanted


CRDS = sorted(file for file in CHARTS.glob("*/templates/*.yaml") if "CustomResourceDefinition" in file.read_text())


@pytest.mark.parametrize("file", CRDS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_crds_are_structural_and_named_right(file: Any) -> None:
    crd = yaml.safe_load(file.read_text())
    spec = crd["spec"]
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    for version in spec["versions"]:
        _structural(version["schema"]["openAPIV3Schema"], crd["metadata"]["name"])


def _structural(schema: Any, where: Any) -> None:
    assert "type" in schema, f"{where}: a schema without type is not structural"
    if schema["type"] == "array":
        _structural(schema["items"], f"{where}[]")
    for name, inner in (schema.get("properties") or {}).items():
        _structural(inner, f"{where}.{name}")


def test_statuses_spell_the_state_as_the_vendor_does() -> None:
    for kind in ("virtualdestination", "routetable", "workspace", "workspacesettings", "kubernetescluster"):
        crd = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / f"{kind}.yaml").read_text())
        status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        assert "approval" in status["common"]["properties"]["State"]["properties"]
    trust = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / "roottrustpolicy.yaml").read_text())
    status = trust["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert set(status) == {"state", "message", "observedGeneration"}
