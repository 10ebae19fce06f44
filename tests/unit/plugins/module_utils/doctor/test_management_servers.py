"""Several management servers in one cluster: the agents' connections are judged by server."""

from __future__ import annotations

import contextlib
import copy
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.facts import Facts
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.probes import LiveProbes
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.runner import NotReadable
from health_changes import checked
from health_site import Site, pod_of

Json = dict[str, Any]


def with_another_server(**elsewhere: bool) -> Site:
    """The site with a second server in namespace aaa and the agents that are connected to it."""
    site = Site()
    theirs = copy.deepcopy(site.one("mgmt", "Deployment", "gloo-mesh-mgmt-server"))
    theirs["metadata"].update(namespace="aaa", uid="theirs")
    site.clusters["mgmt"]["Deployment"].insert(0, theirs)
    site.clusters["mgmt"]["Pod"].insert(0, pod_of(theirs))
    site.elsewhere = {"aaa": elsewhere}
    return site


def problems(site: Site) -> list[str]:
    rows = checked(site)["checks"]
    return [f"{r['id']} {r['cluster']}: {r['verdict']}" for r in rows if r["verdict"] in ("warning", "failed")]


def move_registrations(site: Site, *names: str) -> None:
    for name in names:
        site.one("mgmt", "KubernetesCluster", name)["metadata"]["namespace"] = "aaa"


@pytest.mark.parametrize(
    ("connected", "elsewhere", "found"),
    [
        ({"c1": True, "c2": True}, {}, []),
        ({"c1": True, "c2": True}, {"c1": True, "other": True}, []),
        ({"c1": True}, {}, ["agent-connected c2: failed"]),
        ({"c1": True, "c2": False}, {"c2": True}, ["agent-connected c2: failed"]),
        ({"c1": True}, {"c2": True}, ["agent-connected c2: failed"]),
        ({}, {"c1": True, "c2": True}, ["agent-connected c1: failed", "agent-connected c2: failed"]),
    ],
)
def test_an_agent_is_connected_to_the_server_in_use(
    connected: dict[str, bool], elsewhere: dict[str, bool], found: list[str]
) -> None:
    site = with_another_server(**elsewhere)
    site.connected = connected
    assert problems(site) == found
    if found and elsewhere:
        first = checked(site)["first"]
        assert "is connected to Deployment aaa/gloo-mesh-mgmt-server" in first["message"]
        assert "in use is Deployment gloo-mesh/gloo-mesh-mgmt-server" in first["message"]
        assert first["hint"].startswith(f"if {first['cluster']} is to belong to Deployment gloo-mesh/")


def test_a_metric_of_another_server_that_cannot_be_read_does_not_matter() -> None:
    site = with_another_server()
    site.elsewhere = {"aaa": None}
    assert problems(site) == []
    site.connected = {"c1": True}
    assert problems(site) == ["agent-connected c2: failed"]


def test_connections_of_another_server_do_not_replace_those_of_the_one_in_use() -> None:
    site = with_another_server(c1=True, c2=True)
    site.connected = None
    rows = [row for row in checked(site)["checks"] if row["id"] == "agent-connected"]
    assert [row["verdict"] for row in rows] == ["skipped", "skipped"]


def test_the_server_in_use_has_the_most_clusters_of_the_site() -> None:
    """Both have registrations: those of the inventory decide."""
    site = with_another_server(c1=True, c2=True)
    move_registrations(site, "c1", "c2")
    registration: Json = copy.deepcopy(site.one("mgmt", "KubernetesCluster", "c1"))
    registration["metadata"].update(name="prod", namespace="gloo-mesh")
    site.clusters["mgmt"]["KubernetesCluster"].append(registration)
    site.connected = {"prod": True}
    facts = site.facts()
    assert facts.management.mesh_namespace == "aaa"
    assert [facts.is_connected(name) for name in ("c1", "c2", "prod")] == [True, True, False]


def test_another_address_of_the_relay_names_the_server_that_the_agent_uses() -> None:
    site = with_another_server(c2=True)
    site.connected = {"c1": True}
    container = site.one("c2", "Deployment", "gloo-mesh-agent")["spec"]["template"]["spec"]["containers"][0]
    container["args"][1] = "--relay-address=198.51.100.7:9900"
    first = checked(site)["first"]
    assert (first["id"], first["cluster"]) == ("relay-target", "c2")
    assert first["message"].endswith("; the agent is connected to Deployment aaa/gloo-mesh-mgmt-server")


# -- the metric of real Pods -------------------------------------------------------------------------------------------


class Metrics(http.server.ThreadingHTTPServer):
    """The metrics of one Pod; None instead of a text: it has no such page."""

    def __init__(self, connected: dict[str, int] | None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [f'relay_push_clients_connected{{cluster="{k}"}} {v}\n' for k, v in (connected or {}).items()]
                body = "".join(["# TYPE relay_push_clients_connected gauge\n", *lines]).encode()
                self.send_response(404 if connected is None else 200)
                self.end_headers()
                self.wfile.write(b"" if connected is None else body)

            def log_message(self, *_args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


class Pods:
    """In place of a cluster: connections to the Pods' metrics, by namespace and Pod."""

    def __init__(self, pods: dict[tuple[str, str], dict[str, int] | None]) -> None:
        self.servers = {key: Metrics(connected) for key, connected in pods.items()}
        self.opened = 0
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def within(self, _seconds: float) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def pod_socket(self, namespace: str, pod: str, _port: int) -> socket.socket:
        self.opened += 1
        return socket.create_connection(("127.0.0.1", self.servers[namespace, pod].server_port))

    def close(self) -> None:
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


@pytest.fixture
def pods() -> Iterator[Pods]:
    found = Pods(
        {
            ("gloo-mesh", "gloo-mesh-mgmt-server-1"): {"c1": 1, "c2": 0},
            ("gloo-mesh", "gloo-mesh-mgmt-server-2"): {"c3": 1},
            ("aaa", "gloo-mesh-mgmt-server-1"): {"c2": 1},
            ("bbb", "gloo-mesh-mgmt-server-1"): None,
        }
    )
    yield found
    found.close()


def test_replicas_are_summed_and_servers_are_not(pods: Pods) -> None:
    site = with_another_server()
    deployments, listed = site.clusters["mgmt"]["Deployment"], site.clusters["mgmt"]["Pod"]
    ours = next(d for d in deployments if d["metadata"]["namespace"] == "gloo-mesh")
    replica: Json = copy.deepcopy(next(pod for pod in listed if pod["metadata"]["namespace"] == "gloo-mesh"))
    replica["metadata"].update(name="gloo-mesh-mgmt-server-2", uid="replica")
    broken: Json = copy.deepcopy(deployments[0])
    broken["metadata"].update(namespace="bbb", uid="broken")
    listed += [replica, pod_of(broken)]
    facts: Facts = site.facts().management
    probes = LiveProbes({"mgmt": pods}, [facts], logs=False, timeout=1, progress=print)  # type: ignore[dict-item]
    assert probes.connected(ours) == {"c1": True, "c2": False, "c3": True}
    assert probes.connected(deployments[0]) == {"c2": True}
    with pytest.raises(NotReadable, match="metrics of Deployment bbb/gloo-mesh-mgmt-server cannot be read: no metric"):
        probes.connected(broken)
    probes.connected(ours)
    assert pods.opened == 4
