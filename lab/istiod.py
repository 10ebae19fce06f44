"""A real istiod (pilot-discovery) beside each workload cluster, following the Pods of its istiod Deployment.

The process takes its arguments and environment from the Pod's container `discovery` and finds mesh configuration and
injection templates in the API, as in a cluster; Secret `cacerts` is laid out as a kubelet would mount it. What differs:
it reaches the API server by kubeconfig, and every listener is on 127.0.0.1 with a free port, the webhook port being
the cluster's own (`world.istiod_port`).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import processes
from lab.children import Child
from lab.world import Cluster, World

log = logging.getLogger("lab.istiod")

Object = dict[str, Any]

PROGRAM = "pilot-discovery"
NOT_OURS = frozenset({"KUBECONFIG"})
FIELDS = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
}


@dataclass(frozen=True)
class Running:
    """A cluster's istiod as others see it (<home>/istiod/<cluster>.json)."""

    pid: int
    pod_uid: str
    pod: str
    namespace: str
    cluster_id: str
    ready: str  # URL of the readiness answer
    grpc: int  # local port of what is 15012 in the cluster
    https: int  # webhooks


class Istiod:
    name = "istiod"
    kinds = ("Pod",)

    def __init__(self) -> None:
        self._children: dict[str, tuple[str, Child]] = {}

    def reconcile(self, world: World) -> None:
        for cluster in world.workloads:
            pod = chosen(cluster.list("Pod", labels={"app": "istiod"}))
            uid, child = self._children.get(cluster.name, ("", None))
            if child is not None and (pod is None or pod["metadata"]["uid"] != uid):
                log.info("%s: istiod of Pod %s ends", cluster.name, uid)
                _note(world, cluster.name).unlink(missing_ok=True)
                child.stop()
                del self._children[cluster.name]
                child = None
            if pod is None:
                _note(world, cluster.name).unlink(missing_ok=True)
            elif child is None or not child.alive:
                child = child or Child(world.home / "logs" / f"istiod-{cluster.name}.log")
                self._children[cluster.name] = (pod["metadata"]["uid"], child)
                self._start(world, cluster, pod, child)

    def stop(self) -> None:
        for _, child in self._children.values():
            child.stop()
        self._children.clear()

    def _start(self, world: World, cluster: Cluster, pod: Object, child: Child) -> None:
        folder = world.home / "istiod" / cluster.name
        _mount(folder / "etc" / "cacerts", cluster.get("Secret", "cacerts", pod["metadata"]["namespace"]))
        kubeconfig = folder / "kubeconfig"
        _write_private(kubeconfig, _kubeconfig(cluster))
        ports = {name: world.free_port() for name in ("http", "monitoring", "grpc", "secure", "ctrlz")}
        ports["https"] = world.istiod_port(cluster.name)
        command = [str(world.programs[PROGRAM]), *arguments(pod), *listeners(ports), f"--kubeconfig={kubeconfig}"]
        # Relative paths (./etc/cacerts) are how istiod finds what is mounted at / in its container.
        child.start(command, {**environment(pod), "ISTIOD_CUSTOM_HOST": "localhost", "GOMAXPROCS": "2"}, folder)
        metadata = pod["metadata"]
        log.info("%s: istiod of Pod %s/%s: %s", cluster.name, metadata["namespace"], metadata["name"], child.pid)
        told = Running(
            pid=child.pid,
            pod_uid=metadata["uid"],
            pod=metadata["name"],
            namespace=metadata["namespace"],
            cluster_id=cluster_id(pod),
            ready=f"http://127.0.0.1:{ports['http']}/ready",
            grpc=ports["secure"],
            https=ports["https"],
        )
        fresh = _note(world, cluster.name).with_suffix(".new")
        fresh.write_text(json.dumps(asdict(told), indent=1))
        fresh.replace(_note(world, cluster.name))


def running(world: World, cluster: str) -> Running | None:
    """The cluster's living istiod, None when there is none."""
    try:
        told = Running(**json.loads(_note(world, cluster).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return told if processes.running(told.pid, PROGRAM) else None


def chosen(pods: list[Object]) -> Object | None:
    """The Pod whose container the process stands for: the newest that has a container `discovery` and a node."""
    fitting = [
        pod
        for pod in pods
        if _discovery(pod) and pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
    ]
    return max(fitting, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"]), default=None)


def arguments(pod: Object) -> list[str]:
    """The container's own arguments; ours come after them, and the last one counts."""
    return [str(argument) for argument in (_discovery(pod) or {}).get("args") or ["discovery"]]


def listeners(ports: dict[str, int]) -> list[str]:
    """Arguments that put every listener on loopback."""
    return [
        f"--httpAddr=127.0.0.1:{ports['http']}",
        f"--httpsAddr=127.0.0.1:{ports['https']}",
        f"--grpcAddr=127.0.0.1:{ports['grpc']}",
        f"--secureGRPCAddr=127.0.0.1:{ports['secure']}",
        f"--monitoringAddr=127.0.0.1:{ports['monitoring']}",
        "--ctrlz_address=127.0.0.1",
        f"--ctrlz_port={ports['ctrlz']}",
    ]


def environment(pod: Object) -> dict[str, str]:
    """The container's environment: values, and the fields of the Pod it refers to. A later duplicate wins."""
    found = {}
    for setting in (_discovery(pod) or {}).get("env") or []:
        path = ((setting.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
        if setting["name"] in NOT_OURS:
            continue
        if path in FIELDS:
            section, key = FIELDS[path]
            found[setting["name"]] = str(pod[section].get(key, ""))
        elif not setting.get("valueFrom"):
            found[setting["name"]] = str(setting.get("value") or "")
    return found


def cluster_id(pod: Object) -> str:
    """The cluster ID this istiod goes by: the argument beats the environment, as recorded."""
    given = arguments(pod)
    for position, argument in enumerate(given):
        flag, equals, value = argument.partition("=")
        if flag == "--clusterID":
            return value if equals else given[position + 1] if position + 1 < len(given) else ""
    return environment(pod).get("CLUSTER_ID") or "Kubernetes"


def _discovery(pod: Object) -> Object | None:
    return next((c for c in pod["spec"]["containers"] if c["name"] == "discovery"), None)


def _note(world: World, cluster: str) -> Path:
    return world.home / "istiod" / f"{cluster}.json"


def _mount(folder: Path, secret: Object | None) -> None:
    """Lay a Secret out as files; no Secret, no files (the volume is optional)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in ((secret or {}).get("data") or {}).items():
        _write_private(folder / key, base64.b64decode(value).decode())


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _kubeconfig(cluster: Cluster) -> str:
    """The lab's kubeconfig with this cluster's context as the current one: istiod has no flag for it."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["current-context"] = cluster.context
    return str(yaml.safe_dump(config))
