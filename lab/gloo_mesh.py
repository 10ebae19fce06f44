"""Played: Gloo Mesh's management server and its agents.

The server acts while Deployment gloo-mesh-mgmt-server has a ready Pod, an agent while a Pod of gloo-mesh-agent runs.
Who is there and connected: gloo_mesh_agents, gloo_mesh_relay; shared trust: gloo_mesh_trust; what becomes of Gloo's
objects: gloo_mesh_translation. Here is what the server does with it. A cluster whose agent is not connected keeps what
was last written into it. Relay Secrets, the mesh root and `cacerts` stay when the chart or the policy goes, as the real
ones.
"""

from __future__ import annotations

import logging
from typing import Any

from lab.gloo_mesh_agents import Found, find_agents, licensed, own_name, server_namespace, server_pod
from lab.gloo_mesh_metrics import Metrics
from lab.gloo_mesh_relay import CLIENT_SECRET, ROOT_SECRET, SIGNING_SECRET, TOKEN_SECRET, client_secret, relay_secrets
from lab.gloo_mesh_secrets import MANAGER, put_secret, secret_data
from lab.gloo_mesh_translation import (
    OUTPUT_KINDS,
    OUTPUT_LABELS,
    Mesh,
    Outcome,
    age,
    common_status,
    east_west_gateways,
    in_workspace,
    select,
    translate_destination,
    translate_routes,
)
from lab.gloo_mesh_trust import apply_trust, roots_differ, trust_status
from lab.pod_logs import Played
from lab.world import Cluster, World

Object = dict[str, Any]

UNLICENSED = Outcome("UNLICENSED", "no valid Gloo Mesh licence found", {}, {})

log = logging.getLogger("lab.gloo-mesh")


class GlooMesh:
    """Management server and agents; see the module's docstring."""

    name = "gloo-mesh"
    kinds = (
        "Namespace",
        "Pod",
        "Deployment",
        "Service",
        "Secret",
        "ConfigMap",
        "KubernetesCluster",
        "Workspace",
        "WorkspaceSettings",
        "RootTrustPolicy",
        "VirtualDestination",
        "RouteTable",
        "ServiceEntry",
        "WorkloadEntry",
        "DestinationRule",
        "VirtualService",
        "CustomResourceDefinition",
    )

    def __init__(self) -> None:
        self._logs = Played()
        self._metrics = Metrics()

    def reconcile(self, world: World) -> None:
        server_at = server_namespace(world.management)
        if server_at is not None:
            self._make_relay_secrets(world.management, server_at)
        agents = find_agents(world, server_at)
        connected = {found.agent.cluster: found.cluster for found in agents if found.problem is None}
        self._tell(world, server_at, agents, connected)
        if server_at is None or not world.management.served("Workspace"):
            return
        for found in agents:
            if found.problem is None:
                self._sign(world.management, server_at, found)
        mesh = Mesh(own_name(world.management, server_at), world.management, dict(connected))
        if not licensed(world.management, server_at):
            self._refuse_all(world.management)
            return
        self._admin(mesh, world.management)
        apply_trust(world.management, connected)
        self._translate(mesh, world.management, connected)

    def stop(self) -> None:
        self._metrics.stop()

    def _tell(self, world: World, server_at: str | None, agents: list[Found], connected: dict[str, Cluster]) -> None:
        """What the programs say of the relay: the agents' logs, the server's log and metrics."""
        for found in agents:
            level = "info" if found.problem is None else "fatal" if found.problem.fatal else "error"
            told = found.problem.message if found.problem else f"connected to relay server {found.agent.address}"
            self._logs.say(world.home, found.cluster.name, found.pod, level, told)
        management = world.management
        pod = server_pod(management, server_at) if server_at is not None else None
        self._metrics.serve((management.name, pod["metadata"]["uid"]) if pod else None, connected)
        if pod is None or server_at is None:
            return
        self._logs.say(world.home, management.name, pod, "info", "relay server is listening on :9900", topic="start")
        if not licensed(management, server_at):
            self._logs.say(world.home, management.name, pod, "error", UNLICENSED.message, topic="licence")
        for name in sorted(self._metrics.seen | {found.agent.cluster for found in agents}):
            told = f'relay client of cluster "{name}" {"connected" if name in connected else "is not connected"}'
            self._logs.say(world.home, management.name, pod, "info", told, topic=f"relay {name}")

    def _make_relay_secrets(self, management: Cluster, namespace: str) -> None:
        """Once; of an incomplete set only what is missing is made anew."""
        if management.get("Secret", ROOT_SECRET, namespace) and management.get("Secret", TOKEN_SECRET, namespace):
            return
        log.info("making the relay secrets in %s/%s", management.name, namespace)
        for name, data in relay_secrets(namespace).items():
            put_secret(management, name, namespace, data)

    def _sign(self, management: Cluster, namespace: str, found: Found) -> None:
        signing = secret_data(management, SIGNING_SECRET, namespace)
        if signing is None or found.cluster.get("Secret", CLIENT_SECRET, found.agent.namespace) is not None:
            return
        data = client_secret(found.agent.cluster, signing)
        put_secret(found.cluster, CLIENT_SECRET, found.agent.namespace, data)

    def _refuse_all(self, management: Cluster) -> None:
        for kind in ("KubernetesCluster", "Workspace", "WorkspaceSettings", "VirtualDestination", "RouteTable"):
            for obj in management.list(kind):
                _status(management, obj, UNLICENSED)
        for policy in management.list("RootTrustPolicy"):
            management.set_status(policy, trust_status(UNLICENSED, policy), MANAGER)

    def _admin(self, mesh: Mesh, management: Cluster) -> None:
        for obj in management.list("KubernetesCluster"):
            _status(management, obj, Outcome("ACCEPTED", "", {}, {}))
        for obj in management.list("Workspace"):
            _status(management, obj, workspace_outcome(mesh, obj))
        for obj in management.list("WorkspaceSettings"):
            _status(management, obj, settings_outcome(mesh, obj))

    def _translate(self, mesh: Mesh, management: Cluster, connected: dict[str, Cluster]) -> None:
        differ = roots_differ(connected)
        keep: dict[str, set[tuple[str, str, str]]] = {name: set() for name in connected}
        for kind in ("VirtualDestination", "RouteTable"):
            for obj in sorted(management.list(kind), key=age):
                if obj["metadata"].get("deletionTimestamp"):
                    continue
                told = translate_destination(mesh, obj, differ) if kind == "VirtualDestination" else None
                outcome = told or translate_routes(mesh, obj)
                for name, cluster in connected.items():
                    if outcome.keep:
                        keep[name] |= _outputs_of(cluster, kind, obj)
                    for output in outcome.objects.get(name, []):
                        metadata = output["metadata"]
                        keep[name].add((output["kind"], metadata["namespace"], metadata["name"]))
                        if cluster.served(output["kind"]):
                            cluster.apply(output, MANAGER)
                _status(management, obj, outcome)
        for name, cluster in connected.items():
            for kind in OUTPUT_KINDS:
                if cluster.served(kind):
                    cluster.prune(kind, OUTPUT_LABELS, {(ns, n) for k, ns, n in keep[name] if k == kind})


def workspace_outcome(mesh: Mesh, workspace: Object) -> Outcome:
    """A Workspace's status: what it selects in the connected clusters."""
    members, namespaces = mesh.members(workspace), 0
    for name, reader in members.items():
        for namespace in reader.list("Namespace"):
            labels = namespace["metadata"].get("labels") or {}
            namespaces += in_workspace(workspace, name, namespace["metadata"]["name"], labels, config=False)
    extra: Object = {"numSelectedClusters": len(members), "numSelectedNamespaces": namespaces}
    for settings in mesh.config.list("WorkspaceSettings"):
        owner = mesh.workspace_of(mesh.management, settings["metadata"]["namespace"])
        if owner is not None and owner["metadata"]["uid"] == workspace["metadata"]["uid"]:
            extra["workspaceSettings"] = {
                **{key: settings["metadata"][key] for key in ("name", "namespace")},
                "cluster": mesh.management,
            }
    return Outcome("ACCEPTED", "", extra, {})


def settings_outcome(mesh: Mesh, settings: Object) -> Outcome:
    """A WorkspaceSettings' status: its Workspace and the east-west gateways of the connected clusters."""
    namespace = settings["metadata"]["namespace"]
    workspace = mesh.workspace_of(mesh.management, namespace)
    if workspace is None:
        told = f"namespace {namespace} of cluster {mesh.management} is in no workspace"
        return Outcome("PENDING", told, {"numSelectedEastWestGateways": 0}, {})
    options, warnings = settings["spec"].get("options") or {}, []
    found: list[Object] = []
    for name, reader in mesh.members(workspace).items():
        ways = east_west_gateways(options, name, reader)
        found += [{**{k: s["metadata"][k] for k in ("name", "namespace")}, "cluster": name} for s, _ in ways]
        for service in select([{"labels": {"istio": "eastwestgateway"}}], name, reader):
            if not any(s["metadata"]["uid"] == service["metadata"]["uid"] for s, _ in ways):
                where = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
                warnings.append(f"service {where} in cluster {name} has no port named tls or https or is not selected")
    extra = {
        "workspace": {key: workspace["metadata"][key] for key in ("name", "namespace")},
        "numSelectedEastWestGateways": len(found),
        "numFederatedServices": 0,
        "selectedEastWestGateways": found,
    }
    return Outcome("WARNING" if warnings else "ACCEPTED", "; ".join(warnings), extra, {})


def _outputs_of(cluster: Cluster, kind: str, parent: Object) -> set[tuple[str, str, str]]:
    labels = {
        **OUTPUT_LABELS,
        "gloo.solo.io/parent_kind": kind,
        "gloo.solo.io/parent_name": parent["metadata"]["name"],
        "gloo.solo.io/parent_namespace": parent["metadata"]["namespace"],
    }
    found = ((k, o["metadata"]) for k in OUTPUT_KINDS for o in cluster.list(k, labels=labels))
    return {(kind, metadata["namespace"], metadata["name"]) for kind, metadata in found}


def _status(management: Cluster, obj: Object, outcome: Outcome) -> None:
    management.set_status(obj, common_status(outcome, obj["metadata"].get("generation", 1)), MANAGER)
