"""How each container of a gateway proxy Pod is started on this machine, and readiness probes.

- kgateway-proxy: Envoy, configured by files (traffic/envoy_config.py) instead of the controller;
- istio-proxy: Istio's own pilot-agent with the container's arguments and environment;
- sds: simulated by pods/sds.py;
- any other: no process, reported as running.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path

from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object
from lab.pods import containers, envoy_files, sds, volumes

ENVOY, SDS, AGENT = "kgateway-proxy", "sds", "istio-proxy"
PROGRAM = "pilot-agent"

# The agent's status port would listen on all addresses of this machine. This annotation disables it; the agent reads
# it from the file that the downward API would write.
PODINFO = "etc/istio/pod/annotations"
STATUS_PORT = "status.sidecar.istio.io/port"


@dataclass(frozen=True)
class Command:
    """One program to be started.

    port: that of 127.0.0.1 for its readiness probe, 0 = none. path: what the probe gets, empty = it only connects.
    """

    arguments: list[str]
    env: dict[str, str]
    folder: Path
    port: int = 0
    path: str = ""


def command(lab: Lab, pod: Object, container: Object, folder: Path, proxy: str, sds_pause: float) -> Command | None:
    """The program of a container, None when it has none; writes the files it needs.

    folder: the Pod's folder; proxy: URL of the Pod's cluster network; sds_pause: see pods/sds.py.
    """
    if container["name"] == ENVOY:
        return _envoy(lab, pod, container, folder / "envoy")
    if container["name"] == AGENT:
        return _agent(lab, pod, container, folder, proxy)
    if container["name"] == SDS:
        return _sds(lab, container, folder, sds_pause)
    return None


def is_ready(command: Command | None) -> bool:
    """Whether a running container is ready; one without a probe always is."""
    if command is None or not command.port:
        return True
    return _responds(command.port, command.path) if command.path else _accepts(command.port)


def root_folder(folder: Path, container: Object) -> Path:
    """A container's root file system."""
    return folder / "containers" / str(container["name"])


def _envoy(lab: Lab, pod: Object, container: Object, folder: Path) -> Command:
    admin = lab.free_port()
    envoy_files.write(folder / "bootstrap.json", envoy_files.bootstrap(folder, admin, pod["metadata"]["name"]))
    for name in ("lds.json", "cds.json"):
        if not (folder / name).exists():
            envoy_files.write(folder / name, envoy_files.EMPTY)
    flags = [
        *("--config-path", str(folder / "bootstrap.json")),
        *("--concurrency", "1"),
        *("--log-level", _log_level(container)),
        *("--drain-time-s", "1"),
        *("--drain-strategy", "immediate"),
        "--disable-hot-restart",
    ]
    program = lab.programs.get("envoy") or Path(str(resources.files("envoy") / "_bin" / "envoy"))
    return Command([str(program), *flags], {}, folder, admin, "/ready")


def _log_level(container: Object) -> str:
    args = container.get("args") or []
    position = args.index("--log-level") + 1 if "--log-level" in args else len(args)
    return str(args[position]) if position < len(args) else "info"


def _sds(lab: Lab, container: Object, folder: Path, pause: float) -> Command:
    root = root_folder(folder, container)
    volumes.mount(root, folder / "volumes", container)
    port = lab.free_port()
    certificates = containers.inside(root, "/etc/istio-certs")
    program = [sys.executable, "-I", str(Path(sds.__file__))]
    return Command([*program, str(certificates), str(port), str(pause)], {}, root, port)


def _agent(lab: Lab, pod: Object, container: Object, folder: Path, proxy: str) -> Command:
    root = root_folder(folder, container)
    volumes.mount(root, folder / "volumes", container)
    annotations = {**(pod["metadata"].get("annotations") or {}), STATUS_PORT: "0"}
    (root / PODINFO).parent.mkdir(parents=True, exist_ok=True)
    (root / PODINFO).write_text("".join(f"{key}={json.dumps(value)}\n" for key, value in annotations.items()))
    env = containers.environment(pod, container)
    mounted = containers.mounts(container)
    arguments = [containers.relocated(argument, mounted, root) for argument in containers.arguments(container, env)]
    relocated = {key: containers.relocated(value, mounted, root) for key, value in env.items()}
    return Command(
        [str(lab.programs[PROGRAM]), *arguments],
        {**relocated, "HOSTNAME": pod["metadata"]["name"], "HTTPS_PROXY": proxy},
        root,
    )


def _responds(port: int, path: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{port}{path}", timeout=1
        ) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
