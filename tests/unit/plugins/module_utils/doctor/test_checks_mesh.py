"""Checks of Gloo Mesh: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_mesh, checks_workspaces
from health_changes import (
    Broken,
    Change,
    assert_first_problem,
    both,
    checked,
    disconnect,
    drop,
    set_field,
    set_secret,
    set_state,
    trusts,
)
from health_site import Site, gloo


def _argument(place: int, value: str) -> Change:
    return set_field("c2", "Deployment", "gloo-mesh-agent", f"spec.template.spec.containers.0.args.{place}", value)


def _add_registration(name: str) -> Change:
    def change(site: Site) -> None:
        site.clusters["mgmt"]["KubernetesCluster"].append(gloo("KubernetesCluster", name, "gloo-mesh", {}))

    return change


_STALE = {"created": None, "keys": {"ca.crt": "another"}}


BROKEN = [
    Broken("reach", "c2", "failed", lambda s: s.unreachable.update(c2="c2: no answer"), ("no answer",)),
    Broken("distinct", "c1", "failed", lambda s: s.uids.update(c1="same", c2="same"), ("c1, c2 are the same cluster",)),
    Broken(
        "management-server",
        "mgmt",
        "failed",
        set_field("mgmt", "Deployment", "gloo-mesh-mgmt-server", "spec.replicas", 0),
        ("scaled to 0",),
    ),
    Broken(
        "management-server", "mgmt", "failed", drop("mgmt", "Deployment", "gloo-mesh-mgmt-server"), ("does not exist",)
    ),
    Broken(
        "registrations",
        "mgmt",
        "warning",
        _add_registration("c9"),
        ("no workload host of the inventory: c9", "remove_cluster.yml", "unless another inventory"),
    ),
    Broken(
        "licence", "mgmt", "failed", set_state("Workspace", "ws", "UNLICENSED", "expired"), ("UNLICENSED", "licensing.")
    ),
    Broken(
        "relay-address",
        "mgmt",
        "failed",
        both(set_field("mgmt", "Service", "gloo-mesh-mgmt-server", "spec.type", "ClusterIP"), disconnect()),
        ("ClusterIP", "LoadBalancer"),
    ),
    Broken(
        "relay-address",
        "mgmt",
        "failed",
        both(set_field("mgmt", "Service", "gloo-mesh-mgmt-server", "status.loadBalancer", {}), disconnect()),
        ("no address",),
    ),
    Broken(
        "telemetry-address",
        "mgmt",
        "warning",
        set_field("mgmt", "Service", "gloo-telemetry-gateway", "spec.type", "ClusterIP"),
        ("type ClusterIP",),
    ),
    Broken(
        "mesh-namespace",
        "c2",
        "failed",
        both(set_field("c2", "Namespace", "gloo-mesh", "metadata.labels.istio-injection", "enabled"), disconnect()),
        ("istio-injection=enabled", "remove the label"),
    ),
    Broken(
        "mesh-namespace",
        "c2",
        "warning",
        set_field("c2", "Namespace", "gloo-mesh", "metadata.labels.istio-injection", "enabled"),
        ("istio-injection=enabled", "the agents are connected"),
    ),
    Broken(
        "registered",
        "c2",
        "failed",
        drop("mgmt", "KubernetesCluster", "c2"),
        ("KubernetesCluster gloo-mesh/c2", "registered: c1"),
    ),
    Broken(
        "registered",
        "c2",
        "failed",
        set_field(
            "mgmt", "KubernetesCluster", "c2", "metadata.annotations", {"multicluster.gloo/cluster-uid": "former"}
        ),
        ("was created for another cluster: UID former", "remove_cluster.yml -e remove_cluster=c2"),
    ),
    Broken("registered", "c2", "failed", _argument(0, "--cluster=c_2"), ("c_2", "underscores")),
    Broken(
        "registered",
        "c2",
        "warning",
        both(
            _argument(0, "--cluster=c9"),
            set_field("mgmt", "KubernetesCluster", "c2", "metadata.name", "c9"),
            lambda s: s.connected.update(c9=True),
        ),
        ("but the inventory has c2", "common.cluster"),
    ),
    Broken("registered", "c2", "failed", _argument(0, "--cluster=c1"), ("also used in c1", "common.cluster")),
    Broken("registered", "c2", "failed", _argument(0, "--cluster=c9"), ("registered: c1, c2", "common.cluster")),
    Broken(
        "relay-root",
        "c2",
        "failed",
        both(set_secret("c2", "relay-root-tls-secret", None), disconnect()),
        ("does not exist", "site.yml"),
    ),
    Broken(
        "relay-root",
        "c2",
        "failed",
        both(set_secret("c2", "relay-root-tls-secret", _STALE), disconnect()),
        ("differs from the one in mgmt",),
    ),
    Broken(
        "relay-token",
        "c2",
        "failed",
        both(set_secret("c2", "relay-identity-token-secret", {"created": None, "keys": {"other": "x"}}), disconnect()),
        ("no key token",),
    ),
    Broken(
        "relay-token",
        "c2",
        "failed",
        both(set_secret("c2", "relay-identity-token-secret", None), disconnect()),
        ("does not exist",),
    ),
    Broken(
        "relay-token",
        "c1",
        "warning",
        set_secret("c1", "relay-identity-token-secret", None),
        ("does not exist; the agent is connected",),
    ),
    Broken(
        "relay-client",
        "c2",
        "failed",
        both(set_secret("c2", "relay-client-tls-secret", _STALE), disconnect()),
        ("current root CA", "delete the Secret"),
    ),
    Broken(
        "agent", "c2", "failed", set_field("c2", "Deployment", "gloo-mesh-agent", "spec.replicas", 0), ("scaled to 0",)
    ),
    Broken(
        "relay-target",
        "c2",
        "failed",
        both(_argument(1, "--relay-address=192.0.2.99:9900"), disconnect()),
        ("192.0.2.99:9900", "192.0.2.9:9900", "serverAddress"),
    ),
    Broken(
        "relay-authority",
        "c2",
        "failed",
        both(_argument(2, "--relay-authority=else"), disconnect()),
        ("else", "glooAgent.relay.authority"),
    ),
    Broken(
        "agent-connected",
        "c2",
        "failed",
        disconnect('{"msg":"x509: certificate is valid for lb.example, not gloo-mesh-mgmt-server.gloo-mesh"}'),
        ("lb.example", "TCP"),
    ),
    Broken(
        "agent-connected",
        "c2",
        "failed",
        disconnect("dial tcp 192.0.2.9:9900: connect: connection refused"),
        ("refused",),
    ),
    Broken(
        "agent-connected",
        "c2",
        "failed",
        disconnect("x509: certificate signed by unknown authority"),
        ("copy relay-root-tls-secret again",),
    ),
    Broken("agent-connected", "c2", "failed", disconnect(), ("has no connection from c2",)),
    Broken("workspace", "mgmt", "failed", drop("mgmt", "Workspace", "ws"), ("no Workspace",)),
    Broken(
        "workspace",
        "mgmt",
        "failed",
        set_field("mgmt", "Workspace", "ws", "status.numSelectedClusters", 1),
        ("1 of 2 clusters",),
    ),
    Broken("workspace-settings", "mgmt", "failed", drop("mgmt", "WorkspaceSettings", "ws"), ("no WorkspaceSettings",)),
    Broken(
        "workspace-settings",
        "mgmt",
        "failed",
        set_state("WorkspaceSettings", "ws", "INVALID", "bad"),
        ("INVALID: bad",),
    ),
    Broken(
        "trust-policy",
        "mgmt",
        "failed",
        both(set_field("mgmt", "RootTrustPolicy", "root", "status.state", "FAILED"), trusts("c2", "other")),
        ("FAILED",),
    ),
    Broken(
        "trust-policy",
        "mgmt",
        "warning",
        set_field("mgmt", "RootTrustPolicy", "root", "status.state", "FAILED"),
        ("FAILED", "trust each other nevertheless"),
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{n}-{row.id}" for n, row in enumerate(BROKEN)])
def test_the_first_problem(broken: Broken) -> None:
    assert_first_problem(broken)


def test_every_check_is_broken_at_least_once() -> None:
    assert {row.id for row in BROKEN} == {check.id for check in (*checks_mesh.CHECKS, *checks_workspaces.CHECKS)}


@pytest.mark.parametrize("connected", [None, {"c1": True, "c2": True}])
def test_a_stale_looking_setting_is_none_while_the_agent_is_connected(connected: Any) -> None:
    site = Site()
    site.connected = connected
    _argument(1, "--relay-address=proxy.example:443")(site)
    assert checked(site)["verdict"] == ("warning" if connected is None else "ok")


def test_the_log_decides_where_the_metric_cannot_be_read() -> None:
    site = Site()
    site.connected = None
    site.logs["c2/gloo-mesh-agent"] = "connected to relay server\nrpc error: code = Unauthenticated"
    assert checked(site)["first"]["id"] == "agent-connected"
    site.logs["c2/gloo-mesh-agent"] = "connection refused\nconnected to relay server 192.0.2.9:9900"
    assert checked(site)["verdict"] == "ok"


def test_nothing_is_said_of_an_agent_whose_log_cannot_be_read_either() -> None:
    site = Site()
    site.connected = None
    found = [row for row in checked(site)["checks"] if row["id"] == "agent-connected"]
    assert [(row["verdict"], "log can be read" in row["message"]) for row in found] == [("skipped", True)] * 2


def test_a_relay_without_address_is_no_failure_while_nobody_is_known_to_miss_it() -> None:
    site = Site()
    site.connected = None
    set_field("mgmt", "Service", "gloo-mesh-mgmt-server", "spec.type", "ClusterIP")(site)
    first = checked(site)["first"]
    assert (first["id"], first["verdict"]) == ("relay-address", "warning")
    assert "no agent is known to be disconnected" in first["message"]
    site.logs["c2/gloo-mesh-agent"] = "dial tcp: i/o timeout"
    assert checked(site)["first"]["verdict"] == "failed"
