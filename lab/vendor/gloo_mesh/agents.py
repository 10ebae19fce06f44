"""The simulated management server and agents, from Pods, Deployments, Services and Secrets."""

from __future__ import annotations

from typing import NamedTuple

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, deleting, load_balancer_ingress, newest_ready, status_of, timestamp
from lab.vendor.gloo_mesh.relay import Agent, Problem, Server, problem
from lab.vendor.gloo_mesh.secrets import (
    CLIENT_SECRET,
    ROOT_SECRET,
    SERVER,
    SERVER_SECRET,
    SIGNING_SECRET,
    TOKEN_SECRET,
    secret_data,
)

AGENT = "gloo-mesh-agent"


class FoundAgent(NamedTuple):
    """An agent's Pod and settings, and why it is not connected."""

    cluster: Cluster
    pod: Object
    agent: Agent
    problem: Problem | None


def find_agents(lab: Lab, server_at: str | None) -> list[FoundAgent]:
    """Every cluster's agent. The Pod of one that cannot start gets the status of a crash loop."""
    server = _server(lab.management, server_at)
    result: list[FoundAgent] = []
    connected: set[str] = set()
    for cluster in lab.workloads:
        for pod in cluster.list("Pod", labels={"app": AGENT}):
            if status_of(pod).get("phase") != "Running" or deleting(pod):
                continue
            agent = _agent(cluster, pod)
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


def _server(management: Cluster, namespace: str | None) -> Server:
    where = namespace or "gloo-mesh"
    service = management.get("Service", SERVER, where) or {}
    ports = [p["port"] for p in (service.get("spec") or {}).get("ports") or [] if p.get("name") == "grpc"]
    ingress = load_balancer_ingress(service)
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


def registered_name(management: Cluster, namespace: str) -> str:
    """The management cluster's name in the server's settings (common.cluster)."""
    deployment = management.get("Deployment", SERVER, namespace) or {}
    for arg in deployment["spec"]["template"]["spec"]["containers"][0].get("args") or []:
        if arg.startswith("--cluster="):
            return str(arg.removeprefix("--cluster="))
    return management.name


def licensed(management: Cluster, namespace: str) -> bool:
    """Whether there is a licence key; any text that is not empty is valid here."""
    found = secret_data(management, "license-keys", namespace) or {}
    return any(found.get(key, b"").strip() for key in ("gloo-mesh-license-key", "gloo-trial-license-key"))
