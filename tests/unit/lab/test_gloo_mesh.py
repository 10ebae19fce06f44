"""Agents' Pods, admin statuses and shared roots of the played Gloo Mesh; charts and load balancers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import cloud
from lab.gloo_mesh import settings_outcome, workspace_outcome
from lab.gloo_mesh_agents import crashed
from lab.gloo_mesh_relay import Problem
from lab.gloo_mesh_translation import Mesh, Outcome
from lab.gloo_mesh_trust import roots_differ, trust_status

CHARTS = Path(__file__).parents[3] / "lab" / "charts"


def pod(made: Any, *, waiting: Any = False) -> Any:
    told = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh")
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if waiting else {"running": {}}
    told["status"]["containerStatuses"] = [{"name": "agent", "image": "i", "imageID": "", "restartCount": 2}]
    told["status"]["containerStatuses"][0]["state"] = state
    return told


def test_a_fatal_agent_crash_loops_and_says_why(made: Any) -> None:
    status = crashed(pod(made), Problem("no token", fatal=True))
    assert status is not None
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "no token"
    assert container["restartCount"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "ContainersReady": "False"}


def test_it_recovers_once_the_secret_is_there(made: Any) -> None:
    status = crashed(pod(made, waiting=True), None)
    assert status is not None
    assert status["containerStatuses"][0]["ready"] is True
    assert status["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize("why", [None, Problem("connection refused")])
def test_what_is_not_fatal_leaves_the_pod_alone(made: Any, why: Any) -> None:
    assert crashed(pod(made), why) is None


def test_a_crashed_pod_is_not_crashed_twice(made: Any) -> None:
    assert crashed(pod(made, waiting=True), Problem("no token", fatal=True)) is None


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
    outcome = workspace_outcome(mesh, workspace)
    assert (outcome.extra["numSelectedClusters"], outcome.extra["numSelectedNamespaces"]) == (1, 2)
    assert outcome.extra["workspaceSettings"] == {"name": "w", "namespace": "gloo-mesh-config", "cluster": "mgmt"}
    assert workspace_outcome(mesh._replace(clusters={}), workspace).extra["numSelectedClusters"] == 0


@pytest.mark.parametrize(
    ("port", "state", "count"), [("tls", "ACCEPTED", 1), ("https", "ACCEPTED", 1), ("x", "WARNING", 0)]
)
def test_settings_count_gateways_with_a_port_named_tls(mesh: Any, port: Any, state: Any, count: Any) -> None:
    mesh.clusters["c1"].list("Service")[0]["spec"]["ports"][0]["name"] = port
    outcome = settings_outcome(mesh, mesh.config.list("WorkspaceSettings")[0])
    assert (outcome.state, outcome.extra["numSelectedEastWestGateways"]) == (state, count)


def test_trust_policy_status_is_flat(made: Any) -> None:
    policy = made.obj("RootTrustPolicy", "root-trust", "gloo-mesh")
    policy["metadata"]["generation"] = 2
    assert trust_status(Outcome("ACCEPTED", "", {}, {}), policy) == {"state": "ACCEPTED", "observedGeneration": 2}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"type": "LoadBalancer"}, True),
        ({"type": "ClusterIP"}, False),
        ({"type": "LoadBalancer", "loadBalancerClass": "x/y"}, False),
    ],
)
def test_only_load_balancers_get_addresses(made: Any, spec: Any, wanted: Any) -> None:
    assert cloud.wants_address(made.obj("Service", "s", spec=spec)) is wanted


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
