"""A real istiod (pilot-discovery) for each namespace and revision that has an istiod Pod in a workload cluster.

The process has the arguments and environment of the Pod's container `discovery`. It reads mesh configuration and
injection templates from the API, as in a cluster; Secret `cacerts` is written to files as a kubelet would mount it. The
differences: it uses a kubeconfig, and each listener is on a free port of 127.0.0.1 (pods/pod_ports.py), that of the
webhooks on the one for its URLs (`lab.istiod_port`). `state_file` has the URL of the readiness probe.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
from pathlib import Path

import yaml

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, deleting, labels_of, uid_of
from lab.pods import containers
from lab.pods.child_process import ChildProcess, stop_all
from lab.pods.pod_logs import log_file
from lab.pods.pod_ports import POD_PORTS, PodPorts

log = logging.getLogger("lab.istiod")

PROGRAM = "pilot-discovery"
CONTAINER = "discovery"
IN_CLUSTER_ONLY = frozenset({"KUBECONFIG"})
# Ports of the container and the listener behind each.
PORTS = {8080: "http", 15010: "grpc", 15012: "secure", 15014: "monitoring", 15017: "https"}


class Istiod:
    name = "istiod"
    kinds = ("Pod",)

    def __init__(self, pod_ports: PodPorts = POD_PORTS) -> None:
        self._pod_ports = pod_ports
        self._children: dict[tuple[str, str], ChildProcess] = {}  # (cluster, Pod uid)
        self._webhooks: dict[
            tuple[str, str], str
        ] = {}  # (cluster, revision) -> uid of the Pod that serves the webhooks

    def reconcile(self, lab: Lab) -> None:
        for cluster in lab.workloads:
            pods = {uid_of(pod): pod for pod in chosen(cluster.list("Pod", labels={"app": "istiod"}))}
            for name, uid in list(self._children):
                if name == cluster.name and uid not in pods:
                    self._end(lab, name, uid)
            if not any(name == cluster.name for name, _revision in self._webhooks):  # left by an earlier supervisor
                for file in (lab.home / "istiod").glob(f"{cluster.name}-*.json"):
                    file.unlink()
                shutil.rmtree(lab.home / "istiod" / cluster.name, ignore_errors=True)
            for uid, pod in pods.items():
                child = self._children.setdefault(
                    (cluster.name, uid), ChildProcess(log_file(lab.home, cluster.name, uid, CONTAINER))
                )
                if not child.alive:
                    self._start(lab, cluster, pod, child)

    def stop(self) -> None:
        stop_all(self._children.values())
        self._children.clear()
        self._webhooks.clear()

    def _end(self, lab: Lab, cluster: str, uid: str) -> None:
        log.info("%s: ending istiod of Pod %s", cluster, uid)
        self._pod_ports.drop(cluster, uid)
        for place in [place for place, pod in self._webhooks.items() if place[0] == cluster and pod == uid]:
            state_file(lab, *place).unlink(missing_ok=True)
            del self._webhooks[place]
        self._children.pop((cluster, uid)).stop()
        shutil.rmtree(lab.home / "istiod" / cluster / uid, ignore_errors=True)

    def _start(self, lab: Lab, cluster: Cluster, pod: Object, child: ChildProcess) -> None:
        metadata = pod["metadata"]
        folder = lab.home / "istiod" / cluster.name / metadata["uid"]
        _mount(folder / "etc" / "cacerts", cluster.get("Secret", "cacerts", metadata["namespace"]))
        kubeconfig = folder / "kubeconfig"
        _write_private(kubeconfig, _kubeconfig(cluster))
        ports = {name: lab.free_port() for name in (*PORTS.values(), "ctrlz")}
        revision = _revision(pod)
        serves_webhooks = self._webhooks.setdefault((cluster.name, revision), metadata["uid"]) == metadata["uid"]
        if serves_webhooks:
            ports["https"] = lab.istiod_port(cluster.name, revision)
        command = [str(lab.programs[PROGRAM]), *arguments(pod), *listeners(ports), f"--kubeconfig={kubeconfig}"]
        # istiod uses relative paths (./etc/cacerts) for what is mounted at / in its container.
        child.start(command, {**environment(pod), "ISTIOD_CUSTOM_HOST": "localhost", "GOMAXPROCS": "2"}, folder)
        log.info(
            "%s: started istiod of Pod %s/%s, process %s",
            cluster.name,
            metadata["namespace"],
            metadata["name"],
            child.pid,
        )
        for port, name in PORTS.items():
            self._pod_ports.put(cluster.name, metadata["uid"], port, ports[name])
        if serves_webhooks:
            fresh = state_file(lab, cluster.name, revision).with_suffix(".new")
            fresh.write_text(json.dumps({"pod": metadata["name"], "ready": f"http://127.0.0.1:{ports['http']}/ready"}))
            fresh.replace(state_file(lab, cluster.name, revision))


def chosen(pods: list[Object]) -> list[Object]:
    """The Pods that get a process: the newest with a container `discovery` and a node, by namespace and revision."""
    newest: dict[tuple[str, str], Object] = {}
    for pod in sorted(pods, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"])):
        if _discovery(pod) and pod["spec"].get("nodeName") and not deleting(pod):
            newest[pod["metadata"]["namespace"], _revision(pod)] = pod
    return list(newest.values())


def arguments(pod: Object) -> list[str]:
    """The container's arguments; those of `listeners` come after them and override them."""
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
    """The container's environment without variables that are valid in a cluster only."""
    env = containers.environment(pod, _discovery(pod) or {})
    return {key: value for key, value in env.items() if key not in IN_CLUSTER_ONLY}


def _discovery(pod: Object) -> Object | None:
    return containers.container(pod, CONTAINER)


def _revision(pod: Object) -> str:
    return str(labels_of(pod).get("istio.io/rev") or "default")


def state_file(lab: Lab, cluster: str, revision: str) -> Path:
    """Exists while an istiod of this revision runs: {"pod": name, "ready": URL}."""
    return lab.home / "istiod" / f"{cluster}-{revision}.json"


def _mount(folder: Path, secret: Object | None) -> None:
    """Write a Secret's keys as files; none without a Secret (the volume is optional)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in ((secret or {}).get("data") or {}).items():
        _write_private(folder / key, base64.b64decode(value).decode())


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _kubeconfig(cluster: Cluster) -> str:
    """The lab's kubeconfig with this cluster's context as the current one: istiod has no option for it."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["current-context"] = cluster.name
    return str(yaml.safe_dump(config))
