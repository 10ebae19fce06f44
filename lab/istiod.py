"""A real istiod (pilot-discovery) for each namespace and revision that has one in a workload cluster, following Pods.

The process takes its arguments and environment from the Pod's container `discovery` and finds mesh configuration and
injection templates in the API, as in a cluster; Secret `cacerts` is laid out as a kubelet would mount it. What differs:
it reaches the API server by kubeconfig, and every listener is on 127.0.0.1 with a free port; the board (lab/board.py)
tells which. The webhooks of a cluster's first istiod are at the cluster's own port (`world.istiod_port`), which is what
their URLs say; <home>/istiod/<cluster>.json tells where that one answers whether it is ready.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from lab import containers
from lab.board import BOARD, Board
from lab.children import Child
from lab.endpoints import labels_of, uid_of
from lab.pod_logs import log_file
from lab.world import Cluster, World

log = logging.getLogger("lab.istiod")

Object = dict[str, Any]

PROGRAM = "pilot-discovery"
CONTAINER = "discovery"
NOT_OURS = frozenset({"KUBECONFIG"})
# Ports of the container, as the Services of istiod name them, and the listener behind each.
PORTS = {8080: "http", 15010: "grpc", 15012: "secure", 15014: "monitoring", 15017: "https"}


class Istiod:
    name = "istiod"
    kinds = ("Pod",)

    def __init__(self, board: Board = BOARD) -> None:
        self._board = board
        self._children: dict[tuple[str, str], Child] = {}  # (cluster, Pod uid)
        self._hooked: dict[str, str] = {}  # cluster -> uid of the Pod behind the cluster's webhook port

    def reconcile(self, world: World) -> None:
        for cluster in world.workloads:
            pods = {uid_of(pod): pod for pod in chosen(cluster.list("Pod", labels={"app": "istiod"}))}
            for name, uid in list(self._children):
                if name == cluster.name and uid not in pods:
                    self._end(world, name, uid)
            if cluster.name not in self._hooked:  # what a former supervisor left
                _note(world, cluster.name).unlink(missing_ok=True)
                shutil.rmtree(world.home / "istiod" / cluster.name, ignore_errors=True)
            for uid, pod in pods.items():
                child = self._children.setdefault(
                    (cluster.name, uid), Child(log_file(world.home, cluster.name, uid, CONTAINER))
                )
                if not child.alive:
                    self._start(world, cluster, pod, child)

    def stop(self) -> None:
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.stop()
        self._children.clear()
        self._hooked.clear()

    def _end(self, world: World, cluster: str, uid: str) -> None:
        log.info("%s: istiod of Pod %s ends", cluster, uid)
        self._board.drop(cluster, uid)
        if self._hooked.get(cluster) == uid:
            _note(world, cluster).unlink(missing_ok=True)
            del self._hooked[cluster]
        self._children.pop((cluster, uid)).stop()
        shutil.rmtree(world.home / "istiod" / cluster / uid, ignore_errors=True)

    def _start(self, world: World, cluster: Cluster, pod: Object, child: Child) -> None:
        metadata = pod["metadata"]
        folder = world.home / "istiod" / cluster.name / metadata["uid"]
        _mount(folder / "etc" / "cacerts", cluster.get("Secret", "cacerts", metadata["namespace"]))
        kubeconfig = folder / "kubeconfig"
        _write_private(kubeconfig, _kubeconfig(cluster))
        ports = {name: world.free_port() for name in (*PORTS.values(), "ctrlz")}
        hooked = self._hooked.setdefault(cluster.name, metadata["uid"]) == metadata["uid"]
        if hooked:
            ports["https"] = world.istiod_port(cluster.name)
        command = [str(world.programs[PROGRAM]), *arguments(pod), *listeners(ports), f"--kubeconfig={kubeconfig}"]
        # Relative paths (./etc/cacerts) are how istiod finds what is mounted at / in its container.
        child.start(command, {**environment(pod), "ISTIOD_CUSTOM_HOST": "localhost", "GOMAXPROCS": "2"}, folder)
        log.info("%s: istiod of Pod %s/%s: %s", cluster.name, metadata["namespace"], metadata["name"], child.pid)
        for port, name in PORTS.items():
            self._board.put(cluster.name, metadata["uid"], port, ports[name])
        if hooked:
            fresh = _note(world, cluster.name).with_suffix(".new")
            fresh.write_text(json.dumps({"pod": metadata["name"], "ready": f"http://127.0.0.1:{ports['http']}/ready"}))
            fresh.replace(_note(world, cluster.name))


def chosen(pods: list[Object]) -> list[Object]:
    """The Pods a process stands for: of each namespace and revision the newest that has `discovery` and a node."""
    newest: dict[tuple[str, str], Object] = {}
    for pod in sorted(pods, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"])):
        if _discovery(pod) and pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp"):
            newest[pod["metadata"]["namespace"], labels_of(pod).get("istio.io/rev", "")] = pod
    return list(newest.values())


def arguments(pod: Object) -> list[str]:
    """The container's own arguments; ours come after them, and the last one counts."""
    return containers.arguments(_discovery(pod) or {}, environment(pod)) or ["discovery"]


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
    """The container's environment without what only holds inside a cluster."""
    told = containers.environment(pod, _discovery(pod) or {})
    return {key: value for key, value in told.items() if key not in NOT_OURS}


def _discovery(pod: Object) -> Object | None:
    return containers.container(pod, CONTAINER)


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
