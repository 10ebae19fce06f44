"""The kubelet of gateway proxy Pods, which kwok's stages cannot play.

A Pod with a container `kgateway-proxy` gets its volumes as folders and its containers as processes of this machine
(lab/gateway_containers.py); its status says what they do. Pauses between restarts are shorter than a real kubelet's.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lab import envoy, gateway_containers, pod_status
from lab.board import ADMIN, BOARD, Board
from lab.children import Child
from lab.cluster_network import Network, Unreachable, find
from lab.endpoints import Object, Objects, uid_of
from lab.gateway_containers import AGENT, ENVOY, SDS
from lab.pod_logs import log_file
from lab.pod_status import Life
from lab.volumes import NotMounted, Tokens, lay_out
from lab.world import Cluster, World

log = logging.getLogger("lab.kubelet")

MANAGER = "lab-kubelet"
SOON, LATER = 0.1, 2.0  # seconds until the next look: while a container is on its way, and at rest
DRAIN = 1.0  # seconds an Envoy without listeners may finish what it has


class Kubelet:
    name = "kubelet"
    kinds = ("Pod", "ConfigMap", "Secret", "Service", "EndpointSlice")

    def __init__(self, board: Board = BOARD) -> None:
        self.look_again = LATER
        self._board = board
        self._pods: dict[tuple[str, str], Running] = {}
        self._tokens = Tokens()
        self._network: Network | None = None
        self._draining: dict[tuple[str, str], float] = {}

    def reconcile(self, world: World) -> None:
        network = self._network = self._network or Network(self._finder(world))
        self.look_again = LATER
        alive = set()
        for cluster in world.clusters.values():
            for pod in cluster.list("Pod"):
                leaving = pod["metadata"].get("deletionTimestamp")
                if is_gateway_proxy(pod) and pod["spec"].get("nodeName") and not leaving:
                    key = (cluster.name, uid_of(pod))
                    alive.add(key)
                    if key not in self._pods:
                        self._pods[key] = Running(world, cluster, pod, self._board)
                    proxy = network.proxy(cluster.name, pod["metadata"]["namespace"])
                    self.look_again = min(self.look_again, self._pods[key].look(pod, self._tokens, proxy))
        for gone in self._pods.keys() - alive:
            self._end(world, *gone)
        _sweep(world.home, set(self._pods))

    def stop(self) -> None:
        for pod in self._pods.values():
            pod.terminate()
        for pod in self._pods.values():
            pod.stop()
        self._pods.clear()
        if self._network is not None:
            self._network.stop()
            self._network = None

    def _finder(self, world: World) -> Callable[[str, str, str, int], int]:
        def found(cluster: str, namespace: str, host: str, port: int) -> int:
            if cluster not in world.clusters:
                raise Unreachable(f"no cluster {cluster}")
            return find(world.clusters[cluster], self._board.local, namespace, host, port)

        return found

    def _end(self, world: World, cluster: str, uid: str) -> None:
        """A Pod that is gone: its Envoy closes its listeners at once and ends a moment later."""
        since = self._draining.setdefault((cluster, uid), time.monotonic())
        self._board.drop(cluster, uid)
        envoy.write(pod_folder(world, cluster, uid) / "envoy" / "lds.json", envoy.NOTHING)
        if time.monotonic() - since < DRAIN:
            self.look_again = SOON
            return
        del self._draining[cluster, uid]
        self._pods.pop((cluster, uid)).stop()
        self._tokens.drop(uid)


class Running:
    """One Pod and its processes."""

    def __init__(self, world: World, cluster: Cluster, pod: Object, board: Board) -> None:
        self._world = world
        self._cluster = cluster
        self._board = board
        self._folder = pod_folder(world, cluster.name, uid_of(pod))
        self._where = f"{cluster.name} {pod['metadata']['namespace']}/{pod['metadata']['name']}"
        names = [told["name"] for told in pod["spec"]["containers"]]
        self._children = {name: Child(log_file(world.home, cluster.name, uid_of(pod), name)) for name in names}
        self._lives = {name: pod_status.resumed(pod, name) for name in names}
        self._ports: dict[str, int] = {}
        self._said = ""

    def look(self, pod: Object, tokens: Tokens, proxy: str) -> float:
        """Start what should run, tell the API server what does; returns the seconds until the next look."""
        now = datetime.now(UTC)
        node, address = _node_address(self._cluster, pod), pod_status.pod_ip(pod)
        mounted = self._mount(pod, tokens)
        if mounted:
            given = {**(pod.get("status") or {}), "podIP": address, "hostIP": node}
            for told in pod["spec"]["containers"]:
                self._lives[told["name"]] = self._run({**pod, "status": given}, told, proxy, now)
        status = pod_status.status(pod, self._lives, mounted, node, now, address)
        self._cluster.set_status(pod, status, MANAGER)
        return min((_patience(life, now) for life in self._lives.values()), default=LATER) if mounted else LATER

    def terminate(self) -> None:
        """Ask all processes to end."""
        for child in self._children.values():
            child.terminate()

    def stop(self) -> None:
        """End all processes."""
        self.terminate()
        for child in self._children.values():
            child.stop()

    def _mount(self, pod: Object, tokens: Tokens) -> bool:
        """Lay out the volumes of the containers that read them; tells whether the containers may be started."""
        volumes = {
            mount["name"]
            for told in pod["spec"]["containers"]
            if told["name"] in (AGENT, SDS)
            for mount in told.get("volumeMounts") or []
        }
        try:
            lay_out(self._folder / "volumes", self._cluster, pod, volumes, tokens.of(self._cluster, pod))
        except NotMounted as error:
            self._say(pod, str(error))
            return any(child.alive for child in self._children.values())  # what runs keeps what it has
        self._say(pod, "")
        return True

    def _run(self, pod: Object, told: Object, proxy: str, now: datetime) -> Life:
        """Bring one container on; returns how it stands."""
        name = told["name"]
        child, life = self._children[name], self._lives[name]
        if pod_status.cannot_be_pulled(told.get("image", "")):
            return replace(life, pulled=False)
        if child.code is not None and life.ended is None:
            log.info("%s: %s ended with code %s", self._where, name, child.code)
            life = pod_status.died(life, child.code, now)
        if life.started is None or (life.ended is not None and not pod_status.pause(life, now)):
            life = pod_status.begun(life, now)
            command = gateway_containers.command(self._world, pod, told, self._folder, proxy)
            if command is not None:
                child.start(command.arguments, command.env, command.folder)
                self._ports[name] = command.port
                log.info("%s: %s runs as %s", self._where, name, child.pid)
            if command is not None and name == ENVOY:
                self._board.put(self._cluster.name, uid_of(pod), ADMIN, command.port)
        runs = life.ended is None
        return replace(life, ready=runs and gateway_containers.is_ready(name, self._ports.get(name, 0)))

    def _say(self, pod: Object, why: str) -> None:
        """What keeps the Pod from starting, as an Event and in the log, once."""
        if why and why != self._said:
            log.info("%s: %s", self._where, why)
            self._cluster.create(_failed_mount(pod, why), MANAGER)
        self._said = why


def is_gateway_proxy(pod: Object) -> bool:
    return any(container["name"] == ENVOY for container in pod["spec"]["containers"])


def pod_folder(world: World, cluster: str, uid: str) -> Path:
    """Where a gateway proxy Pod's files lie: envoy/, volumes/, containers/."""
    return world.home / "pods" / cluster / uid


def issued_root(world: World, cluster: Objects, pod: Object) -> str:
    """The trust root a Pod was given with its certificate, as PEM; empty while it has none."""
    file = pod_folder(world, cluster.name, uid_of(pod)) / "volumes" / "istio-certs" / "root-cert.pem"
    return file.read_text() if file.exists() else ""


def _patience(life: Life, now: datetime) -> float:
    """Seconds until a container may stand differently."""
    if life.ended is not None:
        return min(LATER, max(SOON, pod_status.pause(life, now)))
    return LATER if life.ready or not life.pulled else SOON


def _failed_mount(pod: Object, why: str) -> Object:
    metadata = pod["metadata"]
    moment = pod_status.stamp(datetime.now(UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": uid_of(pod),
        },
        "type": "Warning",
        "reason": "FailedMount",
        "message": why,
        "source": {"component": "kubelet"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _sweep(home: Path, known: set[tuple[str, str]]) -> None:
    """Remove the folders of Pods that went while no kubelet looked."""
    for folder in (home / "pods").glob("*/*"):
        if (folder.parent.name, folder.name) not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _node_address(cluster: Objects, pod: Object) -> str:
    node = cluster.get("Node", pod["spec"]["nodeName"]) or {}
    addresses: Iterable[dict[str, str]] = (node.get("status") or {}).get("addresses") or []
    return next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
