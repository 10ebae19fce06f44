"""Who is there: the played management server and the agents, as Pods, Deployments, Services and Secrets tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from lab.endpoints import ready
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
    problem,
)
from lab.gloo_mesh_secrets import secret_data
from lab.gloo_mesh_translation import age
from lab.world import Cluster, World

Object = dict[str, Any]

AGENT = "gloo-mesh-agent"


class Found(NamedTuple):
    """An agent's Pod and settings, and why it is not connected."""

    cluster: Cluster
    pod: Object
    agent: Agent
    problem: Problem | None


def find_agents(world: World, server_at: str | None) -> list[Found]:
    """Every cluster's agent; the Pod of one that cannot start is told to end again and again."""
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
                why = Problem(f'rpc error: code = AlreadyExists desc = cluster "{agent.cluster}" is connected already')
            if why is None:
                taken.add(agent.cluster)
            status = crashed(pod, why)
            if status is not None:
                cluster.set_status(pod, status, "lab-kubelet")
            result.append(Found(cluster, pod, agent, why))
            break
    return result


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


def server_namespace(management: Cluster) -> str | None:
    """Where a ready management server stands."""
    for deployment in management.list("Deployment"):
        count = (deployment.get("status") or {}).get("readyReplicas") or 0
        if deployment["metadata"]["name"] == SERVER and count >= 1:
            return str(deployment["metadata"]["namespace"])
    return None


def server_pod(management: Cluster, namespace: str) -> Object | None:
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
        certificate=(secret_data(management, SERVER_SECRET, where) or {}).get("tls.crt", b""),
        root=(secret_data(management, ROOT_SECRET, where) or {}).get("ca.crt", b""),
        signing=(secret_data(management, SIGNING_SECRET, where) or {}).get("tls.crt", b""),
        token=(secret_data(management, TOKEN_SECRET, where) or {}).get("token", b""),
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
        root=(secret_data(cluster, root_secret, namespace) or {}).get("ca.crt"),
        token=(secret_data(cluster, token_secret, namespace) or {}).get(token_key),
        client=(secret_data(cluster, CLIENT_SECRET, namespace) or {}).get("tls.crt"),
        root_secret=root_secret,
        token_secret=token_secret,
        token_key=token_key,
    )


def own_name(management: Cluster, namespace: str) -> str:
    """The management cluster's name as its server was told (common.cluster)."""
    deployment = management.get("Deployment", SERVER, namespace) or {}
    for arg in deployment["spec"]["template"]["spec"]["containers"][0].get("args") or []:
        if arg.startswith("--cluster="):
            return str(arg.removeprefix("--cluster="))
    return management.name


def licensed(management: Cluster, namespace: str) -> bool:
    """Any non-empty licence is good here."""
    found = secret_data(management, "license-keys", namespace) or {}
    return any(found.get(key, b"").strip() for key in ("gloo-mesh-license-key", "gloo-trial-license-key"))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
