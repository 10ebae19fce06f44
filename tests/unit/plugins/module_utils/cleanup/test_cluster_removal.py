"""The phases of a removal on three API servers, with a management server that reacts to what it sees, or does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup import cluster_removal
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid

from .objects import Json, build
from .test_removal import EAST_WEST, PARENT, agent, entry, registration, service

ADMIN, ISTIO = "admin.gloo.solo.io/v2", "networking.istio.io/v1"
KINDS = {
    ADMIN: {"kubernetesclusters": ("KubernetesCluster", True), "workspaces": ("Workspace", True)},
    ISTIO: {
        "workloadentries": ("WorkloadEntry", True),
        "serviceentries": ("ServiceEntry", True),
        "destinationrules": ("DestinationRule", True),
    },
}
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}


def quiet(line: str) -> None:
    """Progress that nobody sees."""


class Clusters:
    """mgmt, c1 with a gateway and c2; c1 has an endpoint in c2, translated, and one that somebody made."""

    def __init__(self, stack: ExitStack, folder: Path, serving: Any) -> None:
        self.apis: dict[str, Any] = {}
        self.rows: list[Json] = []
        for name in ("mgmt", "c1", "c2"):
            (folder / name).mkdir()
            api, kubeconfig = stack.enter_context(serving(folder / name, name))
            api.kinds |= KINDS
            self.apis[name] = api
            role = "management" if name == "mgmt" else "workload"
            row = {"name": name, "kubeconfig": kubeconfig, "context": name, "role": role, "gateway": name == "c1"}
            self.rows.append(row)
        for name in ("c1", "c2"):
            self.put("mgmt", registration(name))
            self.put(name, {**agent(name), "status": READY})
            self.put(name, service("192.0.2.1" if name == "c1" else "192.0.2.2"))
        self.put("c1", entry("192.0.2.2"))
        by_hand = entry("192.0.2.2", labels={"app": "reviews"})
        by_hand["metadata"]["name"] = "by-hand"
        self.put("c1", by_hand)
        self.put("c2", {**entry("192.0.2.1"), "kind": "DestinationRule"})

    def put(self, cluster: str, obj: Json) -> None:
        api, namespace = self.apis[cluster], obj["metadata"].get("namespace", "")
        if namespace and api.get("v1", "namespaces", "", namespace) is None:
            api.write("v1", "namespaces", "", build("Namespace", namespace))
        [plural] = [plural for plural, row in api.kinds[obj["apiVersion"]].items() if row[0] == obj["kind"]]
        api.write(obj["apiVersion"], plural, namespace, obj)

    def names(self, cluster: str, kind: str) -> list[str]:
        objects = self.apis[cluster].objects.values()
        return sorted(obj["metadata"]["name"] for obj in objects if obj["kind"] == kind)

    def run(self, phase: str, check: bool = False, **options: Any) -> Json:
        defaults = {name: row.get("default") for name, row in cluster_removal.ARGUMENT_SPEC.items()}
        given = {"clusters": self.rows, "cluster": "c2", "phase": phase, "grace": 0, "drain_timeout": 1, **options}
        return cluster_removal.run({**defaults, **given}, check, quiet)

    def all_phases(self, **options: Any) -> list[Json]:
        return [self.run(phase, **options) for phase in cluster_removal.PHASES]

    def writes(self) -> list[tuple[str, str, str]]:
        return [(name, *write) for name, api in self.apis.items() for write in api.writes()]

    @property
    def ew(self) -> Json:
        found: Json = self.apis["c2"].get("v1", "services", "istio", "ew")
        return found


@pytest.fixture
def clusters(tmp_path: Path, serving: Any) -> Iterator[Clusters]:
    with ExitStack() as stack:
        yield Clusters(stack, tmp_path, serving)


@pytest.fixture
def translating(clusters: Clusters) -> Iterator[Clusters]:
    """With a management server, which removes the endpoint once it selects no east-west gateway in c2."""
    containers = [{"name": "gloo-mesh-mgmt-server", "image": "x/gloo-mesh-mgmt-server:1"}]
    spec = {"template": {"spec": {"containers": containers}}}
    clusters.put("mgmt", build("Deployment", "gloo-mesh-mgmt-server", "gloo-mesh", spec=spec, status=READY))
    stop = threading.Event()

    def translate() -> None:
        key = (ISTIO, "workloadentries", "app", "we-192.0.2.2")
        while not stop.wait(0.05):
            if clusters.ew["metadata"].get("labels") != EAST_WEST and key in clusters.apis["c1"].objects:
                clusters.apis["c1"].remove(key)

    thread = threading.Thread(target=translate, daemon=True)
    thread.start()
    yield clusters
    stop.set()
    thread.join()


def test_check_writes_nothing_and_shows_the_endpoints_of_the_cluster(clusters: Clusters) -> None:
    result = clusters.run("check")
    assert clusters.writes() == []
    assert not result["changed"]
    endpoints = result["removal"]["endpoints"]
    assert [(each["name"], each["translated"]) for each in endpoints] == [("by-hand", False), ("we-192.0.2.2", True)]


@pytest.mark.parametrize("phase", cluster_removal.PHASES)
def test_check_mode_writes_nothing_in_any_phase(clusters: Clusters, phase: str) -> None:
    assert clusters.run(phase, check=True)["changed"] is (phase != "check")
    assert clusters.writes() == []


def test_gloo_mesh_removes_the_endpoint_before_the_cluster_is_deregistered(translating: Clusters) -> None:
    result = translating.run("drain")
    assert result["changed"]
    assert translating.names("c1", "WorkloadEntry") == ["by-hand"]
    assert translating.names("mgmt", "KubernetesCluster") == ["c1", "c2"]
    assert [name for name, _verb, _path in translating.writes()] == ["c2"]
    assert translating.ew["spec"]["ports"] == service("192.0.2.2")["spec"]["ports"]

    translating.run("deregister")
    assert translating.names("mgmt", "KubernetesCluster") == ["c1"]
    translating.apis["c2"].remove(("apps/v1", "deployments", "gloo-mesh", "gloo-mesh-agent"))
    lines = translating.run("finish")["lines"]
    assert translating.ew["metadata"]["labels"] == EAST_WEST
    assert "annotations" not in translating.ew["metadata"]
    assert translating.names("c2", "DestinationRule") == []
    assert any("kept, because Gloo Mesh did not create them: c1: WorkloadEntry app/by-hand" in line for line in lines)


def test_without_a_management_server_the_endpoint_is_deleted(clusters: Clusters) -> None:
    clusters.all_phases()
    assert clusters.names("c1", "WorkloadEntry") == ["by-hand"]
    assert clusters.names("mgmt", "KubernetesCluster") == ["c1"]


def test_a_second_run_writes_nothing(clusters: Clusters) -> None:
    clusters.all_phases()
    before = clusters.writes()
    assert not any(result["changed"] for result in clusters.all_phases())
    assert clusters.writes() == before


def test_what_an_agent_of_others_translated_is_kept(clusters: Clusters) -> None:
    lines = clusters.all_phases()[-1]["lines"]
    assert clusters.names("c2", "DestinationRule") == ["we-192.0.2.1"]
    assert any("Deployment gloo-mesh/gloo-mesh-agent" in line for line in lines)


def test_an_unreachable_cluster_is_taken_out_of_the_others(clusters: Clusters) -> None:
    clusters.rows[2] = {**clusters.rows[2], "context": "nowhere"}
    with pytest.raises(Invalid, match="remove_unreachable=true"):
        clusters.run("check")
    assert clusters.writes() == []
    # Its address is known by elimination: c1 is the only other registered cluster.
    clusters.all_phases(unreachable=True)
    assert clusters.names("c1", "WorkloadEntry") == ["by-hand"]
    assert clusters.names("mgmt", "KubernetesCluster") == ["c1"]
    assert clusters.names("c2", "DestinationRule") == ["we-192.0.2.1"]


def test_an_endpoint_that_comes_back_is_an_error(clusters: Clusters) -> None:
    for phase in ("check", "drain", "deregister"):
        clusters.run(phase)
    clusters.put("c1", entry("192.0.2.2"))
    with pytest.raises(ClusterError, match="reappeared after the deletion"):
        clusters.run("finish")


def test_only_the_endpoints_of_the_cluster_leave_a_service_entry(clusters: Clusters) -> None:
    both = build("ServiceEntry", "se", "app", PARENT)
    both |= {"apiVersion": ISTIO, "spec": {"endpoints": [{"address": "192.0.2.2"}, {"address": "192.0.2.1"}]}}
    clusters.put("c1", both)
    clusters.all_phases()
    live = clusters.apis["c1"].get(ISTIO, "serviceentries", "app", "se")
    assert live["spec"]["endpoints"] == [{"address": "192.0.2.1"}]


def test_there_is_one_management_cluster(clusters: Clusters) -> None:
    with pytest.raises(Invalid, match="exactly one entry of role management"):
        clusters.run("check", clusters=clusters.rows[1:])
