"""Statuses of Workspaces and WorkspaceSettings."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.gloo_mesh import settings_status, workspace_status
from lab.vendor.gloo_mesh.workspaces import Mesh


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


def test_global_settings_are_defaults_without_a_workspace_of_their_own(mesh: Any, made: Any) -> None:
    [workspace] = mesh.config.list("Workspace")
    workspace["spec"]["workloadClusters"][0]["namespaces"] = [{"name": "gloo-mesh-config"}]
    options = {"eastWestGateways": [{"selector": {"labels": {"istio": "crossing"}}}], "federation": {"enabled": False}}
    defaults = made.obj("WorkspaceSettings", "global", "gloo-mesh", spec={"options": options})
    other = made.obj("WorkspaceSettings", "local", "gloo-mesh", spec={})
    mesh.config.objects += [defaults, other]
    own = {"federation": {"enabled": True}}
    mesh.config.list("WorkspaceSettings")[0]["spec"]["options"] = own
    assert mesh.settings_of(workspace) == {**options, **own}
    mesh.clusters["c1"].list("Service")[0]["metadata"]["labels"] = {"istio": "crossing"}
    outcome = settings_status(mesh, defaults)
    assert (outcome.state, outcome.extra["numSelectedEastWestGateways"]) == ("ACCEPTED", 1)
    assert settings_status(mesh, other).state == "PENDING"
