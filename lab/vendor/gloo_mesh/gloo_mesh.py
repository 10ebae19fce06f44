"""The Gloo Mesh management server and its agents, simulated.

The server acts while Deployment gloo-mesh-mgmt-server has a ready Pod, an agent while a Pod of gloo-mesh-agent runs.
A cluster whose agent is not connected keeps its Istio objects, and the others keep their endpoints to it while it is
registered. A connected agent stays connected when its KubernetesCluster is deleted; it is refused when it or the server
starts again. Relay Secrets, the mesh root and `cacerts` stay when the chart or the policy is deleted.
"""

from __future__ import annotations

import logging

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, Reader, age, deleting, labels_of, uid_of
from lab.pods.pod_logs import SimulatedLogs
from lab.vendor.gloo_mesh.agents import FoundAgent, find_agents, licensed, server_namespace, server_pod, server_settings
from lab.vendor.gloo_mesh.certificates import client_secret, relay_secrets
from lab.vendor.gloo_mesh.metrics import Metrics
from lab.vendor.gloo_mesh.route_tables import translate_routes
from lab.vendor.gloo_mesh.secrets import (
    MANAGER,
    ROOT_SECRET,
    SERVER_SECRET,
    SIGNING_SECRET,
    TOKEN_SECRET,
    put_secret,
    secret_data,
)
from lab.vendor.gloo_mesh.snapshots import Snapshots
from lab.vendor.gloo_mesh.translation import OUTPUT_KINDS, OUTPUT_LABELS, Translation, common_status
from lab.vendor.gloo_mesh.trust import Rules, apply_trust, roots_differ, trust_status
from lab.vendor.gloo_mesh.virtual_destinations import translate_destination
from lab.vendor.gloo_mesh.workspaces import Mesh, east_west_gateways, in_workspace, select

UNLICENSED = Translation("UNLICENSED", "no valid Gloo Mesh licence found", {}, {})

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
        self._logs = SimulatedLogs()
        self._metrics = Metrics()
        self._snapshots = Snapshots()
        self._held: set[tuple[str, str]] = set()  # (registered name, Pod uid) of the connected agents
        self._server = ""  # uid of the server's Pod

    def reconcile(self, lab: Lab) -> None:
        server_at = server_namespace(lab.management)
        if server_at is not None:
            self._create_relay_secrets(lab.management, server_at)
        self._forget_after_restart(lab.management, server_at)
        agents = find_agents(lab, server_at, self._held)
        accepted = [found for found in agents if found.problem is None]
        self._held = {(found.agent.cluster, uid_of(found.pod)) for found in accepted}
        connected = {found.agent.cluster: found.cluster for found in accepted}
        self._report(lab, server_at, agents, connected)
        if server_at is None or not lab.management.served("Workspace"):
            return
        for found in agents:
            if found.problem is None:
                self._issue_client_certificate(lab.management, server_at, found)
        if not licensed(lab.management, server_at):
            self._report_unlicensed(lab.management)
            return
        registered = {obj["metadata"]["name"] for obj in lab.management.list("KubernetesCluster")}
        name = server_settings(lab.management, server_at).cluster
        present: dict[str, Reader] = {name: connected[name] for name in connected.keys() & registered}
        self._admin_status(Mesh(name, lab.management, present), lab.management)
        rules = Rules(
            early=lab.setting("roots") == "early",
            replaces=lab.setting("foreign-cacerts") == "replaced",
            server=server_at,
        )
        apply_trust(lab.management, connected, rules)
        known = self._snapshots.known(dict(connected), registered)
        self._translate(Mesh(name, lab.management, known), lab.management, connected)

    def stop(self) -> None:
        self._metrics.stop()

    def _report(self, lab: Lab, server_at: str | None, agents: list[FoundAgent], connected: dict[str, Cluster]) -> None:
        """The state of the relay in the logs of agents and server, and in the server's metrics."""
        for found in agents:
            level = "info" if found.problem is None else "fatal" if found.problem.fatal else "error"
            message = found.problem.message if found.problem else f"connected to relay server {found.agent.address}"
            self._logs.write(lab.home, found.cluster.name, found.pod, level, message)
        management = lab.management
        pod = server_pod(management, server_at) if server_at is not None else None
        self._metrics.serve((management.name, pod["metadata"]["uid"]) if pod else None, connected)
        if pod is None or server_at is None:
            return
        self._logs.write(lab.home, management.name, pod, "info", "relay server is listening on :9900", topic="start")
        if not licensed(management, server_at):
            self._logs.write(lab.home, management.name, pod, "error", UNLICENSED.message, topic="licence")
        for name in sorted(self._metrics.seen | {found.agent.cluster for found in agents}):
            message = f'relay client of cluster "{name}" {"connected" if name in connected else "is not connected"}'
            self._logs.write(lab.home, management.name, pod, "info", message, topic=f"relay {name}")

    def _forget_after_restart(self, management: Cluster, namespace: str | None) -> None:
        """A server that starts knows neither connections nor clusters."""
        pod = server_pod(management, namespace) if namespace is not None else None
        if pod is not None and uid_of(pod) != self._server:
            self._server = uid_of(pod)
            self._held.clear()
            self._snapshots.forget()

    def _create_relay_secrets(self, management: Cluster, namespace: str) -> None:
        """Those that the settings do not disable, once; of an incomplete set only the missing ones are created."""
        settings = server_settings(management, namespace)
        names = {SERVER_SECRET: settings.tls_secret, SIGNING_SECRET: settings.signing_secret}
        made = {**names, ROOT_SECRET: ROOT_SECRET} if settings.makes_ca else {}
        made |= {TOKEN_SECRET: settings.token_secret} if settings.makes_token else {}
        if all(management.get("Secret", name, namespace) for name in made.values()):
            return
        log.info("creating the relay secrets in %s/%s", management.name, namespace)
        for name, data in relay_secrets(namespace, settings.token_key).items():
            if name in made:
                put_secret(management, made[name], namespace, data)

    def _issue_client_certificate(self, management: Cluster, namespace: str, found: FoundAgent) -> None:
        signing = secret_data(management, server_settings(management, namespace).signing_secret, namespace)
        if signing is None or found.agent.client is not None:
            return
        data = client_secret(found.agent.cluster, signing)
        put_secret(found.cluster, found.agent.client_secret, found.agent.namespace, data)

    def _report_unlicensed(self, management: Cluster) -> None:
        for kind in ("KubernetesCluster", "Workspace", "WorkspaceSettings", "VirtualDestination", "RouteTable"):
            for obj in management.list(kind):
                _status(management, obj, UNLICENSED)
        for policy in management.list("RootTrustPolicy"):
            management.set_status(policy, trust_status(UNLICENSED, policy), MANAGER)

    def _admin_status(self, mesh: Mesh, management: Cluster) -> None:
        for obj in management.list("KubernetesCluster"):
            _status(management, obj, Translation("ACCEPTED", "", {}, {}))
        for obj in management.list("Workspace"):
            _status(management, obj, workspace_status(mesh, obj))
        for obj in management.list("WorkspaceSettings"):
            _status(management, obj, settings_status(mesh, obj))

    def _translate(self, mesh: Mesh, management: Cluster, connected: dict[str, Cluster]) -> None:
        differ = roots_differ(mesh.clusters)
        keep: dict[str, set[tuple[str, str, str]]] = {name: set() for name in connected}
        for kind in ("VirtualDestination", "RouteTable"):
            for obj in sorted(management.list(kind), key=age):
                if deleting(obj):
                    continue
                if kind == "VirtualDestination":
                    translation = translate_destination(mesh, obj, differ)
                else:
                    translation = translate_routes(mesh, obj)
                for name, cluster in connected.items():
                    if translation.keep:
                        keep[name] |= _objects_of(cluster, kind, obj)
                    for output in translation.objects.get(name, []):
                        metadata = output["metadata"]
                        keep[name].add((output["kind"], metadata["namespace"], metadata["name"]))
                        if cluster.served(output["kind"]):
                            cluster.apply(output, MANAGER)
                _status(management, obj, translation)
        for name, cluster in connected.items():
            for kind in OUTPUT_KINDS:
                if cluster.served(kind):
                    cluster.prune(kind, OUTPUT_LABELS, {(ns, n) for k, ns, n in keep[name] if k == kind})


def workspace_status(mesh: Mesh, workspace: Object) -> Translation:
    """A Workspace's status: what it selects in the connected clusters."""
    members, namespaces = mesh.members(workspace), 0
    for name, reader in members.items():
        for namespace in reader.list("Namespace"):
            labels = labels_of(namespace)
            namespaces += in_workspace(workspace, name, namespace["metadata"]["name"], labels, config=False)
    extra: Object = {"numSelectedClusters": len(members), "numSelectedNamespaces": namespaces}
    for settings in mesh.config.list("WorkspaceSettings"):
        owner = mesh.workspace_of(mesh.management, settings["metadata"]["namespace"])
        if owner is not None and owner["metadata"]["uid"] == workspace["metadata"]["uid"]:
            extra["workspaceSettings"] = {
                **{key: settings["metadata"][key] for key in ("name", "namespace")},
                "cluster": mesh.management,
            }
    return Translation("ACCEPTED", "", extra, {})


def settings_status(mesh: Mesh, settings: Object) -> Translation:
    """A WorkspaceSettings' status: its Workspace and the east-west gateways of the connected clusters."""
    namespace = settings["metadata"]["namespace"]
    workspace = None if mesh.are_global(settings) else mesh.workspace_of(mesh.management, namespace)
    if workspace is None and not mesh.are_global(settings):
        message = f"namespace {namespace} of cluster {mesh.management} is in no workspace"
        return Translation("PENDING", message, {"numSelectedEastWestGateways": 0}, {})
    options, warnings = settings["spec"].get("options") or {}, []
    found: list[Object] = []
    for name, reader in (mesh.members(workspace) if workspace else mesh.clusters).items():
        selected = east_west_gateways(options, name, reader)
        found += [{**{k: s["metadata"][k] for k in ("name", "namespace")}, "cluster": name} for s, _ in selected]
        for service in select([{"labels": {"istio": "eastwestgateway"}}], name, reader):
            if not any(s["metadata"]["uid"] == service["metadata"]["uid"] for s, _ in selected):
                where = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
                warnings.append(f"service {where} in cluster {name} has no port named tls or https or is not selected")
    extra: Object = {
        **({"workspace": {key: workspace["metadata"][key] for key in ("name", "namespace")}} if workspace else {}),
        "numSelectedEastWestGateways": len(found),
        "numFederatedServices": 0,
        "selectedEastWestGateways": found,
    }
    return Translation("WARNING" if warnings else "ACCEPTED", "; ".join(warnings), extra, {})


def _objects_of(cluster: Cluster, kind: str, parent: Object) -> set[tuple[str, str, str]]:
    labels = {
        **OUTPUT_LABELS,
        "gloo.solo.io/parent_kind": kind,
        "gloo.solo.io/parent_name": parent["metadata"]["name"],
        "gloo.solo.io/parent_namespace": parent["metadata"]["namespace"],
    }
    found = ((k, o["metadata"]) for k in OUTPUT_KINDS for o in cluster.list(k, labels=labels))
    return {(kind, metadata["namespace"], metadata["name"]) for kind, metadata in found}


def _status(management: Cluster, obj: Object, translation: Translation) -> None:
    management.set_status(obj, common_status(translation, obj["metadata"].get("generation", 1)), MANAGER)
