"""The simulated management server and agents, from Pods, Deployments, Services and Secrets."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import (
    Object,
    deleting,
    newest_ready,
    outside_addresses,
    status_of,
    timestamp,
    uid_of,
)
from lab.vendor.gloo_mesh.relay import Agent, Problem, Server, problem
from lab.vendor.gloo_mesh.secrets import (
    CLIENT_SECRET,
    ROOT_SECRET,
    SERVER,
    SERVER_SECRET,
    SIGNING_SECRET,
    TOKEN_SECRET,
    issued_by_gloo,
    secret_data,
)

AGENT = "gloo-mesh-agent"
LICENCE_KEYS = ("gloo-mesh-license-key", "gloo-trial-license-key")


class FoundAgent(NamedTuple):
    """An agent's Pod and settings, and why it is not connected."""

    cluster: Cluster
    pod: Object
    agent: Agent
    problem: Problem | None


class ServerSettings(NamedTuple):
    """The management server's own settings: arguments that the chart writes from its values."""

    cluster: str
    licence_secret: str = "license-keys"
    tls_secret: str = SERVER_SECRET
    signing_secret: str = SIGNING_SECRET
    token_secret: str = TOKEN_SECRET
    token_key: str = "token"
    ca: bool = True  # it signs the certificates of agents
    makes_ca: bool = True  # it creates the root and what the root signs
    makes_token: bool = True


def find_agents(lab: Lab, server_at: str | None, held: Container[tuple[str, str]]) -> list[FoundAgent]:
    """Every cluster's agent. The Pod of one that cannot start gets the status of a crash loop.

    held: (registered name, Pod uid) of the agents that are connected already.
    """
    server = _server(lab.management, server_at)
    result: list[FoundAgent] = []
    connected: set[str] = set()
    for cluster in lab.workloads:
        for pod in cluster.list("Pod", labels={"app": AGENT}):
            if status_of(pod).get("phase") != "Running" or deleting(pod):
                continue
            agent = _agent(cluster, pod)
            agent = agent._replace(held=(agent.cluster, uid_of(pod)) in held)
            why = problem(agent, server)
            if why is None and agent.cluster in connected:
                why = Problem(f'rpc error: code = AlreadyExists desc = cluster "{agent.cluster}" is connected already')
            if why is None:
                connected.add(agent.cluster)
            status = crash_status(pod, why)
            if status is not None:
                cluster.set_status(pod, status, "lab-kubelet")
            result.append(FoundAgent(cluster, pod, agent, why))
            break
    return result


def crash_status(pod: Object, problem: Problem | None) -> Object | None:
    """Status of an agent's Pod with a fatal error, or of one that recovered; None: no change."""
    status = status_of(pod)
    containers = status.get("containerStatuses") or []
    down = any("waiting" in (c.get("state") or {}) for c in containers)
    fatal = problem is not None and problem.fatal
    if fatal == down or not containers:
        return None
    now = timestamp()
    statuses = []
    for container in containers:
        new = {key: container[key] for key in ("name", "image", "imageID") if key in container}
        new["restartCount"] = container.get("restartCount", 0) + (1 if fatal else 0)
        if fatal and problem is not None:
            ended = {"exitCode": 1, "reason": "Error", "message": problem.message, "startedAt": now, "finishedAt": now}
            waiting = {"reason": "CrashLoopBackOff", "message": f"back-off restarting failed container {new['name']}"}
            new |= {
                "ready": False,
                "started": False,
                "state": {"waiting": waiting},
                "lastState": {"terminated": ended},
            }
        else:
            new |= {"ready": True, "started": True, "state": {"running": {"startedAt": now}}, "lastState": {}}
        statuses.append(new)
    conditions = [
        {"type": kind, "status": "False" if fatal else "True", "lastTransitionTime": now}
        for kind in ("Ready", "ContainersReady")
    ]
    if fatal:
        for condition in conditions:
            condition["reason"] = "ContainersNotReady"
    return {"containerStatuses": statuses, "conditions": conditions}


def server_namespace(management: Cluster) -> str | None:
    """Namespace of a ready management server."""
    for deployment in management.list("Deployment"):
        count = status_of(deployment).get("readyReplicas") or 0
        if deployment["metadata"]["name"] == SERVER and count >= 1:
            return str(deployment["metadata"]["namespace"])
    return None


def server_pod(management: Cluster, namespace: str) -> Object | None:
    """The newest ready Pod of the management server."""
    return newest_ready(management.list("Pod", namespace, {"app": SERVER}))


def server_settings(management: Cluster, namespace: str) -> ServerSettings:
    """The settings in the Deployment's arguments; defaults for those that are not there."""
    deployment = management.get("Deployment", SERVER, namespace)
    args = _arguments(deployment["spec"]["template"]) if deployment else {}
    defaults = ServerSettings(management.name)
    return ServerSettings(
        cluster=args.get("cluster") or management.name,
        licence_secret=args.get("license-secret-name") or defaults.licence_secret,
        tls_secret=args.get("relay-tls-secret-name") or defaults.tls_secret,
        signing_secret=args.get("relay-signing-tls-secret-name") or defaults.signing_secret,
        token_secret=args.get("relay-identity-token-secret-name") or defaults.token_secret,
        token_key=args.get("relay-identity-token-secret-key") or defaults.token_key,
        ca=args.get("disable-relay-ca") != "true",
        makes_ca=args.get("disable-relay-ca-cert-generation") != "true",
        makes_token=args.get("disable-relay-token-generation") != "true",
    )


def _server(management: Cluster, namespace: str | None) -> Server:
    where = namespace or "gloo-mesh"
    settings = server_settings(management, where)
    service = management.get("Service", SERVER, where)
    ports = {p["port"] for p in (service or {"spec": {}})["spec"].get("ports") or [] if p.get("name") == "grpc"}
    found = outside_addresses(management, service) if service else ()
    tls = secret_data(management, settings.tls_secret, where) or {}
    signing = secret_data(management, settings.signing_secret, where) or {}
    token = secret_data(management, settings.token_secret, where) or {}
    return Server(
        ready=namespace is not None,
        addresses=[f"{host}:{outside}" for host, outside, port in found if port in ports],
        certificate=tls.get("tls.crt", b""),
        authorities=b"\n".join([tls.get("ca.crt", b""), signing.get("tls.crt", b"") if settings.ca else b""]),
        token=token.get(settings.token_key, b""),
        registered=frozenset(c["metadata"]["name"] for c in management.list("KubernetesCluster")),
        signs=settings.ca and "tls.key" in signing,
    )


def _agent(cluster: Cluster, pod: Object) -> Agent:
    args = _arguments(pod)
    namespace = pod["metadata"]["namespace"]
    client_secret = args.get("relay-client-tls-secret-name") or CLIENT_SECRET
    root_secret = args.get("relay-root-tls-secret-name") or ROOT_SECRET
    token_secret = args.get("relay-identity-token-secret-name") or TOKEN_SECRET
    token_key = args.get("relay-identity-token-secret-key") or "token"
    client = secret_data(cluster, client_secret, namespace)
    own = client is not None and not issued_by_gloo(cluster.get("Secret", client_secret, namespace))
    root = client if own else secret_data(cluster, root_secret, namespace)
    return Agent(
        namespace=namespace,
        cluster=args.get("cluster", ""),
        address=args.get("relay-address", ""),
        authority=args.get("relay-authority", ""),
        root=(root or {}).get("ca.crt"),
        token=(secret_data(cluster, token_secret, namespace) or {}).get(token_key),
        client=(client or {}).get("tls.crt"),
        own=own,
        client_secret=client_secret,
        root_secret=root_secret,
        token_secret=token_secret,
        token_key=token_key,
    )


def licensed(management: Cluster, namespace: str) -> bool:
    """Whether there is a licence or trial key; any text that is not empty is valid here."""
    found = secret_data(management, server_settings(management, namespace).licence_secret, namespace) or {}
    return any(found.get(key, b"").strip() for key in LICENCE_KEYS)


def _arguments(pod: Object) -> dict[str, str]:
    """Arguments --name=value of the first container."""
    args = pod["spec"]["containers"][0].get("args") or []
    return dict(arg.removeprefix("--").split("=", 1) for arg in args if "=" in arg)
