"""kwokctl (binary runtime) creates a cluster: certificates, data folder, the command line of every component."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from lab.control_plane import processes
from lab.control_plane.reservations import Reservations
from lab.errors import LabError

STAGES = Path(__file__).parent / "stages.yaml"
# Images of the kgateway controller. In a lab that has its program, the lab's kubelet makes these Pods ready.
REAL_CONTROLLER = "(^|/)kgateway([:@]|$)"
ENABLED_CRDS = ["ClusterPortForward", "ClusterExec", "PortForward", "Exec", "Logs"]
BINARIES = {
    "etcdBinary": "etcd",
    "kubeApiserverBinary": "kube-apiserver",
    "kubeControllerManagerBinary": "kube-controller-manager",
    "kubeSchedulerBinary": "kube-scheduler",
    "kwokControllerBinary": "kwok",
    "kubectlBinary": "kubectl",
}
PORTS = (
    "etcdPort",
    "etcdPeerPort",
    "kubeApiserverPort",
    "kubeControllerManagerPort",
    "kubeSchedulerPort",
    "kwokControllerPort",
)

# Every write, without bodies: what the tests count. Leases are left out: they are heartbeats.
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


def create(home: Path, name: str, number: int, programs: dict[str, Path]) -> None:
    """Create and start the cluster; its folder becomes <home>/clusters/clusters/<name>. Raises LabError."""
    folder = home / "clusters"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY, indent=1))
    config = folder / f"{name}.yaml"
    config.write_text(
        json.dumps(_config(home, name, number, programs, policy), indent=1) + f"\n---\n{stages(programs)}"
    )
    environment = {
        **processes.environment(home),
        "KWOK_WORKDIR": str(folder),
        "PATH": f"{programs['kubectl'].parent}:{os.environ.get('PATH', '')}",
    }
    command = [str(programs["kwokctl"]), "create", "cluster", "--name", name, "--config", str(config)]
    command += ["--kubeconfig", str(folder / f"{name}.kubeconfig")]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        umask=processes.UMASK,
        check=False,
    )
    (home / "logs").mkdir(exist_ok=True)
    with (home / "logs" / "kwokctl.log").open("a") as out:
        out.write(done.stderr)
    if done.returncode:
        raise LabError(f"cluster {name}: kwokctl create cluster failed: {_last_error(done.stderr)}")


def ports(home: Path, cluster: str) -> dict[str, int]:
    """The ports of a cluster's components, by kwokctl's option."""
    reservations = Reservations.of(home)
    return {option: reservations.port(f"{cluster} {option}") for option in PORTS}


def stages(programs: Collection[str]) -> str:
    """What kwok does with Nodes and Pods; Pods of a real controller are not made ready at once."""
    text = STAGES.read_text()
    if "kgateway" not in programs:
        return text
    documents = list(yaml.safe_load_all(text))
    image = f'.spec.containers.[].image | select( test("{REAL_CONTROLLER}") )'
    for stage in documents:
        if stage["metadata"]["name"] == "pod-ready":
            stage["spec"]["selector"]["matchExpressions"].append({"key": image, "operator": "DoesNotExist"})
    return yaml.safe_dump_all(documents)


def _config(home: Path, name: str, number: int, programs: dict[str, Path], policy: Path) -> dict[str, Any]:
    services = {"key": "service-cluster-ip-range", "value": f"10.{100 + number}.0.0/16"}
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "runtime": "binary",
            "bindAddress": "127.0.0.1",
            "enableCRDs": ENABLED_CRDS,
            "kubeAuditPolicy": str(policy),
            **{option: str(programs[program]) for option, program in BINARIES.items()},
            **ports(home, name),
        },
        "componentsPatches": [{"name": "kube-apiserver", "extraArgs": [services]}],
    }


def _last_error(text: str) -> str:
    """kwokctl logs JSON lines; the last error of them, else the last line."""
    lines = [line for line in text.strip().splitlines() if line]
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("level") == "ERROR":
                return f"{entry.get('msg')}: {entry.get('err', '')}"
    return lines[-1] if lines else "no output"
