"""The kubelet of Pods with real programs, which kwok's stages cannot simulate.

A gateway proxy Pod (with a container `kgateway-proxy`), and a controller Pod in a lab with the real program, gets its
volumes as folders and its containers as processes of this machine (gateway_containers.py, kgateway_controller.py); its
status follows those processes. Pauses between restarts are shorter than a real kubelet's.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, Reader, deleting, status_of, timestamp, uid_of
from lab.pods import containers, envoy_files, gateway_containers, kgateway_controller, pod_status, sds
from lab.pods.child_process import ChildProcess, stop_all
from lab.pods.cluster_network import Network, Unreachable, find
from lab.pods.gateway_containers import ENVOY, SDS, Command
from lab.pods.pod_logs import log_file
from lab.pods.pod_ports import ENVOY_ADMIN_PORT, POD_PORTS, PodPorts
from lab.pods.pod_status import Run
from lab.pods.volumes import NotMounted, Tokens, lay_out

log = logging.getLogger("lab.kubelet")

MANAGER = "lab-kubelet"
CHANGING, STABLE = 0.1, 2.0  # seconds until the next round: while a container is starting, and otherwise
DRAIN = 1.0  # seconds an Envoy without listeners has to finish its requests


class Kubelet:
    """sds_pause: seconds before the second attempt of the container `sds`."""

    name = "kubelet"
    kinds = ("Pod", "ConfigMap", "Secret", "Service", "EndpointSlice")

    def __init__(self, pod_ports: PodPorts = POD_PORTS, sds_pause: float = sds.FIRST_PAUSE) -> None:
        self.resync = STABLE
        self._pod_ports = pod_ports
        self._sds_pause = sds_pause
        self._pods: dict[tuple[str, str], PodProcesses] = {}  # (cluster, uid)
        self._tokens = Tokens()
        self._network: Network | None = None
        self._draining: dict[tuple[str, str], float] = {}

    def reconcile(self, lab: Lab) -> None:
        network = self._network = self._network or Network(self._resolver(lab))
        self.resync = STABLE
        alive = set()
        for cluster in lab.clusters.values():
            for pod in cluster.list("Pod"):
                served = is_gateway_proxy(pod) or kgateway_controller.is_controller(lab, pod)
                if not served or not pod["spec"].get("nodeName") or deleting(pod):
                    continue
                key = (cluster.name, uid_of(pod))
                alive.add(key)
                if key not in self._pods:
                    self._pods[key] = PodProcesses(lab, cluster, pod, self._pod_ports, self._sds_pause)
                proxy = network.proxy(cluster.name, pod["metadata"]["namespace"])
                self.resync = min(self.resync, self._pods[key].sync(pod, self._tokens, proxy))
        for gone in self._pods.keys() - alive:
            self._end(lab, *gone)
        _remove_folders(lab.home, set(self._pods))

    def stop(self) -> None:
        stop_all(child for pod in self._pods.values() for child in pod.children.values())
        self._pods.clear()
        if self._network is not None:
            self._network.stop()
            self._network = None

    def _resolver(self, lab: Lab) -> Callable[[str, str, str, int], int]:
        def resolve(cluster: str, namespace: str, host: str, port: int) -> int:
            if cluster not in lab.clusters:
                raise Unreachable(f"no cluster {cluster}")
            return find(lab.clusters[cluster], self._pod_ports.local, namespace, host, port)

        return resolve

    def _end(self, lab: Lab, cluster: str, uid: str) -> None:
        """A deleted Pod: its Envoy closes its listeners at once and ends after DRAIN."""
        self._pod_ports.drop(cluster, uid)
        if ENVOY in self._pods[cluster, uid].children:
            since = self._draining.setdefault((cluster, uid), time.monotonic())
            envoy_files.write(pod_folder(lab, cluster, uid) / "envoy" / "lds.json", envoy_files.EMPTY)
            if time.monotonic() - since < DRAIN:
                self.resync = CHANGING
                return
            del self._draining[cluster, uid]
        stop_all(self._pods.pop((cluster, uid)).children.values())
        self._tokens.drop(uid)


class PodProcesses:
    """One Pod and the processes of its containers."""

    def __init__(self, lab: Lab, cluster: Cluster, pod: Object, pod_ports: PodPorts, sds_pause: float) -> None:
        self._lab = lab
        self._cluster = cluster
        self._pod_ports = pod_ports
        self._sds_pause = sds_pause
        self._folder = pod_folder(lab, cluster.name, uid_of(pod))
        self._label = f"{cluster.name} {pod['metadata']['namespace']}/{pod['metadata']['name']}"
        names = [container["name"] for container in pod["spec"]["containers"]]
        self.children = {name: ChildProcess(log_file(lab.home, cluster.name, uid_of(pod), name)) for name in names}
        self._runs = {name: pod_status.resumed(pod, name) for name in names}
        self._commands: dict[str, Command | None] = {}  # container -> what was started for it
        self._mount_error = ""

    def sync(self, pod: Object, tokens: Tokens, proxy: str) -> float:
        """Start the containers that should run and write the Pod's status; returns seconds until the next round."""
        now = datetime.now(UTC)
        node, address = _node_address(self._cluster, pod), pod_status.pod_ip(pod)
        mounted = self._mount(pod, tokens)
        if mounted:
            with_address = {**pod, "status": {**status_of(pod), "podIP": address, "hostIP": node}}
            for container in pod["spec"]["containers"]:
                self._runs[container["name"]] = self._sync_container(with_address, container, proxy, now)
        status = pod_status.status(pod, self._runs, mounted, node, now, address)
        self._cluster.set_status(pod, status, MANAGER)
        return min((_next_round(run, now) for run in self._runs.values()), default=STABLE) if mounted else STABLE

    def _mount(self, pod: Object, tokens: Tokens) -> bool:
        """Lay out the volumes of the containers that read them; returns whether the containers may be started."""
        volumes = {
            mount["name"]
            for container in pod["spec"]["containers"]
            if container["name"] != ENVOY  # the lab configures it by files of its own
            for mount in container.get("volumeMounts") or []
        }
        try:
            lay_out(self._folder / "volumes", self._cluster, pod, volumes, tokens.of(self._cluster, pod))
        except NotMounted as error:
            self._report_mount(pod, str(error))
            return any(child.alive for child in self.children.values())  # running containers keep their files
        self._report_mount(pod, "")
        return True

    def _sync_container(self, pod: Object, container: Object, proxy: str, now: datetime) -> Run:
        """Start the container, or start it again, when that is due; returns its state."""
        name = container["name"]
        child, run = self.children[name], self._runs[name]
        if pod_status.cannot_be_pulled(container.get("image", "")):
            return replace(run, pulled=False)
        if child.exit_code is not None and run.ended is None:
            log.info("%s: %s ended with code %s", self._label, name, child.exit_code)
            run = pod_status.ended(run, child.exit_code, now)
        if run.started is None or (run.ended is not None and not pod_status.pause(run, now)):
            run = pod_status.started(run, now)
            command = self._commands[name] = self._command(pod, container, proxy)
            if command is not None:
                child.start(command.arguments, command.env, command.folder)
                log.info("%s: started %s, process %s", self._label, name, child.pid)
            if command is not None and name == ENVOY:
                self._pod_ports.put(self._cluster.name, uid_of(pod), ENVOY_ADMIN_PORT, command.port)
        running = run.ended is None
        return replace(run, ready=running and gateway_containers.is_ready(self._commands.get(name)))

    def _command(self, pod: Object, container: Object, proxy: str) -> Command | None:
        if kgateway_controller.is_controller(self._lab, pod):
            return kgateway_controller.command(self._lab, self._cluster, pod, container, self._folder)
        return gateway_containers.command(self._lab, pod, container, self._folder, proxy, self._sds_pause)

    def _report_mount(self, pod: Object, error: str) -> None:
        """Why the Pod does not start, as an Event and in the log, once."""
        if error and error != self._mount_error:
            log.info("%s: %s", self._label, error)
            self._cluster.create(_failed_mount(pod, error), MANAGER)
        self._mount_error = error


def is_gateway_proxy(pod: Object) -> bool:
    return any(container["name"] == ENVOY for container in pod["spec"]["containers"])


def pod_folder(lab: Lab, cluster: str, uid: str) -> Path:
    """The folder of a gateway proxy Pod: envoy/, volumes/, containers/."""
    return lab.home / "pods" / cluster / uid


def issued(lab: Lab, cluster: Reader, pod: Object) -> tuple[str, str]:
    """(trusted roots, chain) that came with a Pod's certificate, as PEM; empty while its Envoy has none.

    The container `sds` gives the files to Envoy.
    """
    if containers.container(pod, SDS) is None:
        return "", ""
    folder = pod_folder(lab, cluster.name, uid_of(pod)) / "volumes" / "istio-certs"
    files = [folder / name for name in ("root-cert.pem", "cert-chain.pem")]
    roots, chain = (file.read_text() if file.exists() else "" for file in files)
    return roots, chain


def _next_round(run: Run, now: datetime) -> float:
    """Seconds until a container's state may change."""
    if run.ended is not None:
        return min(STABLE, max(CHANGING, pod_status.pause(run, now)))
    return STABLE if run.ready or not run.pulled else CHANGING


def _failed_mount(pod: Object, error: str) -> Object:
    name, namespace, now = pod["metadata"]["name"], pod["metadata"]["namespace"], timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{name}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name,
            "namespace": namespace,
            "uid": uid_of(pod),
        },
        "type": "Warning",
        "reason": "FailedMount",
        "message": error,
        "source": {"component": "kubelet"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _remove_folders(home: Path, known: set[tuple[str, str]]) -> None:
    """Remove the folders of Pods that were deleted while no kubelet ran."""
    for folder in (home / "pods").glob("*/*"):
        if (folder.parent.name, folder.name) not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _node_address(cluster: Reader, pod: Object) -> str:
    node = cluster.get("Node", pod["spec"]["nodeName"]) or {}
    addresses = status_of(node).get("addresses") or []
    return next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
