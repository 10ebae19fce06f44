"""Real control planes on this machine, made by kwokctl (binary runtime) and kept running by us.

kwokctl lays a cluster out once (certificates, data folder, the command line of every component in its kwok.yaml). From
then on the components are started from that file: after a crash, a kill, a reboot, with the same data and ports.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
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

from lab import processes
from lab.api import Api, ApiError
from lab.errors import LabError
from lab.world import Places

log = logging.getLogger("lab.clusters")

# Start order; each needs the one before it.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")
ENABLED_CRDS = ["ClusterPortForward", "ClusterExec", "PortForward", "Exec", "Logs"]
STAGES = Path(__file__).parent / "stages.yaml"
NODE = "node"

# Every write, without bodies: what the tests count. Heartbeats (Leases) are left out, they say nothing and never end.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class ControlPlane:
    """One cluster's folder and what can be done with it."""

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
        """Whether it was laid out completely."""
        return self._created.exists()

    def create(self, programs: dict[str, Path]) -> None:
        """Lay the cluster out and start it; what an interrupted attempt left is removed first."""
        self._end_leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)
        recipe = self.home / "clusters" / f"{self.name}.yaml"
        recipe.parent.mkdir(parents=True, exist_ok=True)
        policy = self.home / "clusters" / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY, indent=1))
        documents = [json.dumps(self._recipe(programs, policy), indent=1)]
        if STAGES.exists():
            documents.append(STAGES.read_text())
        recipe.write_text("\n---\n".join(documents))
        self._kwokctl(
            programs,
            "create",
            "cluster",
            "--config",
            str(recipe),
            "--kubeconfig",
            str(self.home / "clusters" / f"{self.name}.kubeconfig"),
        )
        self._created.touch()
        audit = self.home / "audit"
        audit.mkdir(exist_ok=True)
        link = audit / f"{self.name}.log"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.folder / "logs" / "audit.log", audit))

    def use(self, programs: dict[str, Path]) -> None:
        """Point the cluster at programs that may have moved since it was laid out."""
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

    def stop(self, patience: float = 10.0) -> None:
        """End the components, the last started first; what has not ended after `patience` is killed."""
        for name in reversed(COMPONENTS):
            pid = self.component_pid(name)
            if pid:
                processes.end([pid], patience)

    def component_pid(self, name: str) -> int:
        """Process id of a living component, else 0."""
        pid = processes.read_pid(self.folder / "pids" / f"{name}.pid")
        return pid if processes.running(pid, str(self.folder)) else 0

    @staticmethod
    def component_names() -> tuple[str, ...]:
        return COMPONENTS

    def component_log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def user(self) -> dict[str, Any]:
        """This cluster's entries for a kubeconfig, with certificates inside: cluster, user, server."""
        pki = self.folder / "pki"

        def inside(name: str) -> str:
            return base64.b64encode((pki / name).read_bytes()).decode()

        return {
            "cluster": {"server": self.server(), "certificate-authority-data": inside("ca.crt")},
            "user": {"client-certificate-data": inside("admin.crt"), "client-key-data": inside("admin.key")},
        }

    def server(self) -> str:
        return f"https://127.0.0.1:{self._ports()['kubeApiserverPort']}"

    def wait_ready(self, kubeconfig: Path, timeout: float = 60.0) -> None:
        """Wait until the API server is ready and the one node (made here when missing) is Ready."""
        deadline = time.monotonic() + timeout
        last = "not asked yet"
        look = 0.0
        while time.monotonic() < deadline:
            try:
                api = Api(kubeconfig, self.name, user_agent="lab")
                try:
                    api.text("/readyz")
                    last = self._node(api)
                finally:
                    api.close()
                if not last:
                    return
            except ApiError as error:
                last = str(error)
            if time.monotonic() > look:
                look = time.monotonic() + 1.0
                self.start()
            time.sleep(0.05)
        raise LabError(f"cluster {self.name} is not ready after {timeout:.0f} s: {last}; see: lab logs {self.name}")

    def _node(self, api: Api) -> str:
        """What is missing at the node, empty when it is Ready."""
        path = f"/api/v1/nodes/{NODE}-{self.name}"
        try:
            node = api.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            node = api.request("POST", "/api/v1/nodes", self._node_object())
        api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")  # the controller manager works
        conditions = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or []}
        return "" if conditions.get("Ready") == "True" else "node is not Ready yet (kwok)"

    def _node_object(self) -> dict[str, Any]:
        name = f"{NODE}-{self.name}"
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
            # kwok gives Pods addresses of this range; each cluster its own, so that none is met twice.
            "spec": {"podCIDR": f"10.{self.number}.0.0/16", "podCIDRs": [f"10.{self.number}.0.0/16"]},
        }

    def _end_leftovers(self) -> None:
        """What an interrupted attempt to create this cluster left running: kwokctl itself, components."""
        words = (f"--name {self.name}", f"{self.folder}/")
        left = [
            pid for pid in processes.of_lab(self.home) if any(word in f"{processes.command(pid)} " for word in words)
        ]
        processes.end(left)

    def _recipe(self, programs: dict[str, Path], policy: Path) -> dict[str, Any]:
        return {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokctlConfiguration",
            "options": {
                "runtime": "binary",
                "bindAddress": "127.0.0.1",
                "enableCRDs": ENABLED_CRDS,
                "kubeAuditPolicy": str(policy),
                "etcdBinary": str(programs["etcd"]),
                "kubeApiserverBinary": str(programs["kube-apiserver"]),
                "kubeControllerManagerBinary": str(programs["kube-controller-manager"]),
                "kubeSchedulerBinary": str(programs["kube-scheduler"]),
                "kwokControllerBinary": str(programs["kwok"]),
                "kubectlBinary": str(programs["kubectl"]),
                **self._ports(),
            },
            "componentsPatches": [
                {
                    "name": "kube-apiserver",
                    "extraArgs": [{"key": "service-cluster-ip-range", "value": f"10.{100 + self.number}.0.0/16"}],
                },
            ],
        }

    def _ports(self) -> dict[str, int]:
        places = Places(self.home / "places.json")
        names = (
            "etcdPort",
            "etcdPeerPort",
            "kubeApiserverPort",
            "kubeControllerManagerPort",
            "kubeSchedulerPort",
            "kwokControllerPort",
        )
        return {name: places.port(f"{self.name} {name}") for name in names}

    def _kwokctl(self, programs: dict[str, Path], *arguments: str) -> None:
        environment = {
            **processes.marked(self.home),
            "KWOK_WORKDIR": str(self.home / "clusters"),
            "PATH": f"{programs['kubectl'].parent}:{os.environ.get('PATH', '')}",
        }
        argv = [str(programs["kwokctl"]), *arguments, "--name", self.name]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        (self.home / "logs").mkdir(exist_ok=True)
        with (self.home / "logs" / "kwokctl.log").open("a") as out:
            out.write(done.stderr)
        if done.returncode:
            raise LabError(f"kwokctl {' '.join(arguments[:2])} {self.name}: {_last_words(done.stderr)}")

    def _components(self) -> list[dict[str, Any]]:
        """What kwokctl wrote down, in start order."""
        with (self.folder / "kwok.yaml").open() as file:
            for document in yaml.load_all(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                if document and document.get("kind") == "KwokctlConfiguration":
                    return sorted(document["components"], key=lambda c: COMPONENTS.index(c["name"]))
        raise LabError(f"cluster {self.name}: no components in {self.folder / 'kwok.yaml'}; run: lab down, lab up")

    def _start_component(self, component: dict[str, Any]) -> None:
        name = component["name"]
        environment = processes.marked(self.home)
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
                    start_new_session=True,
                )
            except OSError as error:
                raise LabError(f"{self.name}: {name} cannot be started: {error}; run: python -m lab up") from error
        fresh = self.folder / "pids" / f"{name}.new"
        fresh.write_text(str(child.pid))
        fresh.replace(fresh.with_suffix(".pid"))


def write_kubeconfig(path: Path, planes: list[ControlPlane]) -> None:
    """The lab's own kubeconfig: contexts named exactly like the clusters."""
    entries = {plane.name: plane.user() for plane in planes}
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


def watchdog(planes: list[ControlPlane], wait: Callable[[float], bool]) -> None:
    """Start again what died, until `wait(seconds)` says stop. A component that keeps dying is tried ever slower."""
    due = {plane.name: 0.0 for plane in planes}
    pause = {plane.name: 1.0 for plane in planes}
    while not wait(0.5):
        for plane in planes:
            if time.monotonic() < due[plane.name]:
                continue
            try:
                started = plane.start()
                if started:
                    log.warning("%s: started again: %s", plane.name, ", ".join(started))
            except (OSError, LabError) as error:
                log.error("%s", error)
                started = list(COMPONENTS)
            if started:
                pause[plane.name] = min(pause[plane.name] * 2, 30.0)
                due[plane.name] = time.monotonic() + pause[plane.name]
            elif time.monotonic() > due[plane.name] + 60.0:  # has been well for a while
                pause[plane.name] = 1.0


def _last_words(text: str) -> str:
    """kwokctl logs JSON lines; the last error of them, else the last line."""
    lines = [line for line in text.strip().splitlines() if line]
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and told.get("level") == "ERROR":
                return f"{told.get('msg')}: {told.get('err', '')}"
    return lines[-1] if lines else "no output"
