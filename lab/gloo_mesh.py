"""Played: Gloo Mesh's management server and its agents.

The server acts while Deployment gloo-mesh-mgmt-server has a ready Pod, an agent while a Pod of gloo-mesh-agent runs.
Decisions are in gloo_mesh_relay (who is connected) and gloo_mesh_translation (statuses, Istio objects); here is the
reading and writing. A cluster whose agent is not connected keeps what was last written into it. Relay Secrets, the mesh
root and `cacerts` stay when the chart or the policy goes, as the real ones.
"""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lab.endpoints import ready
from lab.gloo_mesh_metrics import Metrics
from lab.gloo_mesh_relay import (
    CLIENT_SECRET,
    ROOT_SECRET,
    SERVER,
    SERVER_SECRET,
    SIGNING_SECRET,
    TOKEN_SECRET,
    Agent,
    Problem,
    Server,
    cacerts,
    client_secret,
    mesh_root,
    problem,
    relay_secrets,
)
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
from lab.pod_logs import Played
from lab.world import ApiError, Cluster, World

Object = dict[str, Any]

MANAGER = "gloo-mesh"
AGENT = "gloo-mesh-agent"
ISSUED = "certificates.mesh.gloo.solo.io/issued_certificate"
UNLICENSED = Outcome("UNLICENSED", "no valid Gloo Mesh licence found", {}, {})

log = logging.getLogger("lab.gloo-mesh")


class Found(NamedTuple):
    """An agent's Pod and settings, and why it is not connected."""

    cluster: Cluster
    pod: Object
    agent: Agent
    problem: Problem | None


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
        server_at = _server_namespace(world.management)
        if server_at is not None:
            self._make_relay_secrets(world.management, server_at)
        agents = self._agents(world, server_at)
        connected = {found.agent.cluster: found.cluster for found in agents if found.problem is None}
        self._tell(world, server_at, agents, connected)
        if server_at is None or not world.management.served("Workspace"):
            return
        for found in agents:
            if found.problem is None:
                self._sign(world.management, server_at, found)
        mesh = Mesh(_own_name(world.management, server_at), world.management, dict(connected))
        if not _licensed(world.management, server_at):
            self._refuse_all(world.management)
            return
        self._admin(mesh, world.management)
        self._trust(world.management, connected)
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
        pod = _server_pod(management, server_at) if server_at is not None else None
        self._metrics.serve((management.name, pod["metadata"]["uid"]) if pod else None, connected)
        if pod is None or server_at is None:
            return
        self._logs.say(world.home, management.name, pod, "info", "relay server is listening on :9900", topic="start")
        if not _licensed(management, server_at):
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
            _put_secret(management, name, namespace, data)

    def _agents(self, world: World, server_at: str | None) -> list[Found]:
        server = _server(world.management, server_at)
        result: list[Found] = []
        taken: set[str] = set()
        for cluster in world.workloads:
            for pod in cluster.list("Pod", labels={"app": AGENT}):
                if (pod.get("status") or {}).get("phase") != "Running" or pod["metadata"].get("deletionTimestamp"):
                    continue
                agent = _agent(cluster, pod)
                why = problem(agent, server)
                if why is None and agent.cluster in taken:
                    why = Problem(
                        f'rpc error: code = AlreadyExists desc = cluster "{agent.cluster}" is connected already'
                    )
                if why is None:
                    taken.add(agent.cluster)
                status = crashed(pod, why)
                if status is not None:
                    cluster.set_status(pod, status, "lab-kubelet")
                result.append(Found(cluster, pod, agent, why))
                break
        return result

    def _sign(self, management: Cluster, namespace: str, found: Found) -> None:
        signing = _data(management, SIGNING_SECRET, namespace)
        if signing is None or found.cluster.get("Secret", CLIENT_SECRET, found.agent.namespace) is not None:
            return
        data = client_secret(found.agent.cluster, signing)
        _put_secret(found.cluster, CLIENT_SECRET, found.agent.namespace, data)

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

    def _trust(self, management: Cluster, connected: dict[str, Cluster]) -> None:
        policies = sorted(management.list("RootTrustPolicy"), key=age)
        for place, policy in enumerate(policies):
            if place:
                told = f"RootTrustPolicy {policies[0]['metadata']['name']} is older and wins"
                management.set_status(policy, trust_status(Outcome("WARNING", told, {}, {}), policy), MANAGER)
                continue
            config = (policy.get("spec") or {}).get("config") or {}
            root = self._root(management, policy, config.get("mgmtServerCa") or {})
            if root is None:
                told = "mgmtServerCa.secretRef names no Secret with tls.crt and tls.key"
                management.set_status(policy, trust_status(Outcome("INVALID", told, {}, {}), policy), MANAGER)
                continue
            days = int((config.get("intermediateCertOptions") or {}).get("ttlDays") or 365)
            for name, cluster in connected.items():
                _issue(name, cluster, root, days)
            management.set_status(policy, trust_status(Outcome("ACCEPTED", "", {}, {}), policy), MANAGER)

    def _root(self, management: Cluster, policy: Object, told: Object) -> dict[str, bytes] | None:
        """The policy's root: the one its Secret ref names, else one that is made once and kept."""
        namespace = policy["metadata"]["namespace"]
        ref = told.get("secretRef")
        name = ref["name"] if ref else f"{policy['metadata']['name']}-root-ca"
        where = (ref or {}).get("namespace") or namespace
        found = _data(management, name, where)
        if found is None and not ref:
            generated = told.get("generated") or {}
            found = mesh_root(generated.get("orgName") or "gloo-mesh", int(generated.get("ttlDays") or 365))
            _put_secret(management, name, where, found)
            log.info("made a mesh root for RootTrustPolicy %s", policy["metadata"]["name"])
        return found if found and {"tls.crt", "tls.key"} <= found.keys() else None

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


def trust_status(outcome: Outcome, policy: Object) -> Object:
    """RootTrustPolicy's status is flat."""
    status: Object = {"state": outcome.state, "observedGeneration": policy["metadata"].get("generation", 1)}
    return {**status, "message": outcome.message} if outcome.message else status


def roots_differ(connected: dict[str, Cluster]) -> str:
    """Why the clusters do not trust each other; empty when all `cacerts` have one root."""
    roots = {}
    for name, cluster in connected.items():
        found = _data(cluster, "cacerts", _istio_namespace(cluster) or "")
        roots[name] = (found or {}).get("root-cert.pem")
    missing = sorted(name for name, root in roots.items() if root is None)
    if missing:
        return f"no shared root of trust: no secret cacerts in cluster {', '.join(missing)}"
    if len({root.strip() for root in roots.values() if root}) > 1:
        return f"no shared root of trust: cacerts of clusters {', '.join(sorted(roots))} have different roots"
    return ""


def crashed(pod: Object, why: Problem | None) -> Object | None:
    """Status of an agent's Pod that ends with a fatal error, or of one that recovered; None: leave it as it is."""
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    down = any("waiting" in (c.get("state") or {}) for c in containers)
    fatal = why is not None and why.fatal
    if fatal == down or not containers:
        return None
    now = _now()
    told = []
    for container in containers:
        kept = {key: container[key] for key in ("name", "image", "imageID") if key in container}
        kept["restartCount"] = container.get("restartCount", 0) + (1 if fatal else 0)
        if fatal and why is not None:
            ended = {"exitCode": 1, "reason": "Error", "message": why.message, "startedAt": now, "finishedAt": now}
            waiting = {"reason": "CrashLoopBackOff", "message": f"back-off restarting failed container {kept['name']}"}
            kept |= {
                "ready": False,
                "started": False,
                "state": {"waiting": waiting},
                "lastState": {"terminated": ended},
            }
        else:
            kept |= {"ready": True, "started": True, "state": {"running": {"startedAt": now}}, "lastState": {}}
        told.append(kept)
    conditions = [
        {"type": kind, "status": "False" if fatal else "True", "lastTransitionTime": now}
        for kind in ("Ready", "ContainersReady")
    ]
    if fatal:
        for condition in conditions:
            condition["reason"] = "ContainersNotReady"
    return {"containerStatuses": told, "conditions": conditions}


def _server_namespace(management: Cluster) -> str | None:
    """Where a ready management server stands."""
    for deployment in management.list("Deployment"):
        count = (deployment.get("status") or {}).get("readyReplicas") or 0
        if deployment["metadata"]["name"] == SERVER and count >= 1:
            return str(deployment["metadata"]["namespace"])
    return None


def _server_pod(management: Cluster, namespace: str) -> Object | None:
    """The newest ready Pod of the management server."""
    pods = [pod for pod in management.list("Pod", namespace, {"app": SERVER}) if ready(pod)]
    return max(pods, key=age, default=None)


def _server(management: Cluster, namespace: str | None) -> Server:
    where = namespace or "gloo-mesh"
    service = management.get("Service", SERVER, where) or {}
    ports = [p["port"] for p in (service.get("spec") or {}).get("ports") or [] if p.get("name") == "grpc"]
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    hosts = [i.get("ip") or i.get("hostname") for i in ingress]
    registered = {c["metadata"]["name"] for c in management.list("KubernetesCluster")}
    return Server(
        ready=namespace is not None,
        addresses=[f"{host}:{port}" for host in hosts for port in ports],
        certificate=(_data(management, SERVER_SECRET, where) or {}).get("tls.crt", b""),
        root=(_data(management, ROOT_SECRET, where) or {}).get("ca.crt", b""),
        signing=(_data(management, SIGNING_SECRET, where) or {}).get("tls.crt", b""),
        token=(_data(management, TOKEN_SECRET, where) or {}).get("token", b""),
        registered=frozenset(registered),
    )


def _agent(cluster: Cluster, pod: Object) -> Agent:
    args = dict(
        arg.removeprefix("--").split("=", 1) for arg in pod["spec"]["containers"][0].get("args") or [] if "=" in arg
    )
    namespace = pod["metadata"]["namespace"]
    root_secret = args.get("relay-root-tls-secret-name", ROOT_SECRET)
    token_secret = args.get("relay-identity-token-secret-name", TOKEN_SECRET)
    token_key = args.get("relay-identity-token-secret-key", "token")
    return Agent(
        namespace=namespace,
        cluster=args.get("cluster", ""),
        address=args.get("relay-address", ""),
        authority=args.get("relay-authority", ""),
        root=(_data(cluster, root_secret, namespace) or {}).get("ca.crt"),
        token=(_data(cluster, token_secret, namespace) or {}).get(token_key),
        client=(_data(cluster, CLIENT_SECRET, namespace) or {}).get("tls.crt"),
        root_secret=root_secret,
        token_secret=token_secret,
        token_key=token_key,
    )


def _own_name(management: Cluster, namespace: str) -> str:
    """The management cluster's name as its server was told (common.cluster)."""
    deployment = management.get("Deployment", SERVER, namespace) or {}
    for arg in deployment["spec"]["template"]["spec"]["containers"][0].get("args") or []:
        if arg.startswith("--cluster="):
            return str(arg.removeprefix("--cluster="))
    return management.name


def _licensed(management: Cluster, namespace: str) -> bool:
    """Any non-empty licence is good here."""
    found = _data(management, "license-keys", namespace) or {}
    return any(found.get(key, b"").strip() for key in ("gloo-mesh-license-key", "gloo-trial-license-key"))


def _istio_namespace(cluster: Cluster) -> str | None:
    """Where istiod stands, else istio-system when it is there."""
    for deployment in cluster.list("Deployment", labels={"app": "istiod"}):
        return str(deployment["metadata"]["namespace"])
    return "istio-system" if cluster.get("Namespace", "istio-system") else None


def _issue(name: str, cluster: Cluster, root: dict[str, bytes], days: int) -> None:
    """Bring `cacerts` into a cluster; one made by hand is left alone."""
    namespace = _istio_namespace(cluster)
    found_namespace = cluster.get("Namespace", namespace) if namespace else None
    if namespace is None or found_namespace is None or found_namespace["metadata"].get("deletionTimestamp"):
        return
    secret = cluster.get("Secret", "cacerts", namespace)
    if secret is not None:
        current = (_data(cluster, "cacerts", namespace) or {}).get("root-cert.pem", b"")
        if secret.get("type") != ISSUED or current.strip() == root["tls.crt"].strip():
            return
        cluster.delete("Secret", "cacerts", namespace)
    log.info("issuing cacerts of %s", name)
    _put_secret(cluster, "cacerts", namespace, cacerts(name, root, days), ISSUED)


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


def _data(cluster: Cluster, name: str, namespace: str) -> dict[str, bytes] | None:
    secret = cluster.get("Secret", name, namespace)
    if secret is None:
        return None
    return {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}


def _put_secret(cluster: Cluster, name: str, namespace: str, data: dict[str, bytes], kind: str = "Opaque") -> None:
    """Create only: a Secret that is there is never overwritten, even when the cache does not know it yet."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"owner.gloo.solo.io/name": "gloo-mesh"}},
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    try:
        cluster.create(secret, MANAGER)
    except ApiError as error:
        if error.status != 409:
            raise


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
