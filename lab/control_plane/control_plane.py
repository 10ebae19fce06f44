"""Real control planes on this machine, created by kwokctl and kept running by the lab.

kwokctl describes a cluster once (kwok.yaml). From then on the components are started from that description: after a
crash, a kill, a reboot, with the same data and ports.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.control_plane import kwokctl, processes
from lab.control_plane.api import Api, ApiError
from lab.control_plane.objects import condition_is_true
from lab.errors import LabError

log = logging.getLogger("lab.control-plane")

# Start order; each needs the one before it.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")


@dataclass(frozen=True)
class ControlPlane:
    """One cluster's components and its folder. number: the cluster's position, its address ranges follow from it."""

    home: Path
    name: str
    number: int

    @property
    def folder(self) -> Path:
        return self.home / "clusters" / "clusters" / self.name

    @property
    def _created(self) -> Path:
        return self.folder / "created"

    @property
    def exists(self) -> bool:
        """Whether it was created completely."""
        return self._created.exists()

    def create(self, programs: dict[str, Path]) -> None:
        """Create the cluster and start it; what an interrupted attempt left is removed first."""
        self._end_leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)
        kwokctl.create(self.home, self.name, self.number, programs)
        self._created.touch()
        audit = self.home / "audit"
        audit.mkdir(exist_ok=True)
        link = audit / f"{self.name}.log"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.folder / "logs" / "audit.log", audit))

    def use(self, programs: dict[str, Path]) -> None:
        """Point the cluster at programs that may have moved since it was created."""
        for name in COMPONENTS:
            link = self.folder / "bin" / name
            program = programs[name.removesuffix("-controller") if name == "kwok-controller" else name]
            if not link.is_symlink() or link.readlink() != program:
                fresh = link.with_suffix(".new")
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(program)
                fresh.replace(link)

    def start(self) -> list[str]:
        """Start the components that do not run; returns their names. `lab up` and the supervisor may both call."""
        if all(self.component_pid(name) for name in COMPONENTS):
            return []
        started = []
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for component in self._components():
                if not self.component_pid(component["name"]):
                    self._start_component(component)
                    started.append(component["name"])
        return started

    def stop(self, timeout: float = 10.0) -> None:
        """End the components in reverse order; one that still runs after `timeout` seconds is killed."""
        for name in reversed(COMPONENTS):
            pid = self.component_pid(name)
            if pid:
                processes.end([pid], timeout)

    def component_pid(self, name: str) -> int:
        """Process id of a running component, else 0."""
        pid = processes.read_pid(self.folder / "pids" / f"{name}.pid")
        return pid if processes.running(pid, str(self.folder)) else 0

    @staticmethod
    def component_names() -> tuple[str, ...]:
        return COMPONENTS

    def component_log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def kubeconfig_entries(self) -> dict[str, Any]:
        """This cluster's entries for a kubeconfig, with certificates embedded: cluster, user."""

        def embedded(name: str) -> str:
            return base64.b64encode((self.folder / "pki" / name).read_bytes()).decode()

        return {
            "cluster": {"server": self.server(), "certificate-authority-data": embedded("ca.crt")},
            "user": {"client-certificate-data": embedded("admin.crt"), "client-key-data": embedded("admin.key")},
        }

    def server(self) -> str:
        return f"https://127.0.0.1:{kwokctl.ports(self.home, self.name)['kubeApiserverPort']}"

    def wait_ready(self, kubeconfig: Path, timeout: float = 60.0) -> None:
        """Wait until the API server and the one node are ready; creates the node. timeout in seconds."""
        deadline = time.monotonic() + timeout
        reason = "no response yet"
        restart_at = 0.0
        while time.monotonic() < deadline:
            try:
                api = Api(kubeconfig, self.name)
                try:
                    api.text("/readyz")
                    reason = self._node_problem(api)
                finally:
                    api.close()
                if not reason:
                    return
            except ApiError as error:
                reason = str(error)
            if time.monotonic() > restart_at:
                restart_at = time.monotonic() + 1.0
                self.start()
            time.sleep(0.05)
        raise LabError(
            f"cluster {self.name} is not ready after {timeout:.0f} s: {reason};"
            f" see: python -m lab logs {self.name}/kube-apiserver"
        )

    def _node_problem(self, api: Api) -> str:
        """Why no Pod can run yet; empty when the node is Ready."""
        node = self._node()
        try:
            node = api.request("GET", f"/api/v1/nodes/{node['metadata']['name']}")
        except ApiError as error:
            if error.status != 404:
                raise
            node = api.request("POST", "/api/v1/nodes", node)
        api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")  # the controller manager works
        return "" if condition_is_true(node, "Ready") else "the node is not Ready yet (kwok)"

    def _node(self) -> dict[str, Any]:
        name = f"node-{self.name}"
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"node.alpha.kubernetes.io/ttl": "0", "kwok.x-k8s.io/node": "fake"},
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "topology.kubernetes.io/region": "lab",
                    "topology.kubernetes.io/zone": self.name,
                },
            },
            # kwok takes Pod addresses from this range; each cluster has another one.
            "spec": {"podCIDR": f"10.{self.number}.0.0/16", "podCIDRs": [f"10.{self.number}.0.0/16"]},
        }

    def _end_leftovers(self) -> None:
        """End what an interrupted attempt to create this cluster left running: kwokctl itself, components."""
        words = (f"--name {self.name}", f"{self.folder}/")
        processes.end(
            pid for pid in processes.of_lab(self.home) if any(word in f"{processes.command(pid)} " for word in words)
        )

    def _components(self) -> list[dict[str, Any]]:
        """The components as kwokctl described them, in start order."""
        with (self.folder / "kwok.yaml").open() as file:
            for document in yaml.load_all(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                if document and document.get("kind") == "KwokctlConfiguration":
                    return sorted(document["components"], key=lambda c: COMPONENTS.index(c["name"]))
        raise LabError(
            f"cluster {self.name}: no components in {self.folder / 'kwok.yaml'};"
            " run: python -m lab down, then python -m lab up"
        )

    def _start_component(self, component: dict[str, Any]) -> None:
        name = component["name"]
        environment = processes.environment(self.home)
        environment.update({env["name"]: env.get("value", "") for env in component.get("envs") or []})
        with self.component_log(name).open("ab") as out:
            try:
                child = subprocess.Popen(
                    [component["binary"], *component["args"]],
                    cwd=component["workDir"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    umask=processes.UMASK,
                    start_new_session=True,
                )
            except OSError as error:
                raise LabError(f"{self.name}: {name} cannot be started: {error}; run: python -m lab up") from error
        fresh = self.folder / "pids" / f"{name}.new"
        fresh.write_text(str(child.pid))
        fresh.replace(fresh.with_suffix(".pid"))


def write_kubeconfig(path: Path, planes: list[ControlPlane]) -> None:
    """The lab's own kubeconfig: each context has the name of its cluster."""
    entries = {plane.name: plane.kubeconfig_entries() for plane in planes}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": entry["cluster"]} for name, entry in entries.items()],
        "users": [{"name": name, "user": entry["user"]} for name, entry in entries.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in entries],
        "current-context": planes[0].name,
    }
    text = yaml.safe_dump(config, sort_keys=False)
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def restart_components(planes: list[ControlPlane], wait: Callable[[float], bool]) -> None:
    """Restart components that exited, until `wait(seconds)` returns True; with backoff if they keep exiting."""
    due = {plane.name: 0.0 for plane in planes}
    pause = {plane.name: 1.0 for plane in planes}
    while not wait(0.5):
        for plane in planes:
            if time.monotonic() < due[plane.name]:
                continue
            try:
                started = plane.start()
                if started:
                    log.warning("%s: restarted: %s", plane.name, ", ".join(started))
            except (OSError, LabError) as error:
                log.error("%s", error)
                started = list(COMPONENTS)
            if started:
                pause[plane.name] = min(pause[plane.name] * 2, 30.0)
                due[plane.name] = time.monotonic() + pause[plane.name]
            elif time.monotonic() > due[plane.name] + 60.0:  # no restart for a minute
                pause[plane.name] = 1.0
