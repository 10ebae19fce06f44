"""How each container of a gateway proxy Pod is run on this machine, and how its readiness is asked.

- kgateway-proxy: Envoy, configured by files (lab/envoy.py) instead of the controller;
- istio-proxy: Istio's own pilot-agent with the container's arguments and environment;
- sds: lab/sds.py in its place;
- any other: nothing runs, and it is said to.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lab import containers, envoy, sds, volumes
from lab.endpoints import Object
from lab.world import World

ENVOY, SDS, AGENT = "kgateway-proxy", "sds", "istio-proxy"
PROGRAM = "pilot-agent"

# The agent's status port would listen on every address of this machine. This annotation is how a Pod switches it off;
# the agent reads it where the downward API would put it.
PODINFO = "etc/istio/pod/annotations"
STATUS_PORT = "status.sidecar.istio.io/port"


@dataclass(frozen=True)
class Command:
    """One program to be started; `port` is the local port its readiness is asked at."""

    arguments: list[str]
    env: dict[str, str]
    folder: Path
    port: int = 0


def command(world: World, pod: Object, told: Object, folder: Path, proxy: str) -> Command | None:
    """What is to be started for a container; lays out its files. None: there is no program for it.

    folder: the Pod's own; proxy: how the Pod's cluster network is reached.
    """
    if told["name"] == ENVOY:
        return _envoy(world, pod, told, folder / "envoy")
    if told["name"] == AGENT:
        return _agent(world, pod, told, folder, proxy)
    if told["name"] == SDS:
        return _sds(world, told, folder)
    return None


def is_ready(name: str, port: int) -> bool:
    """Whether a running container is ready; one without a probe is ready as soon as it runs."""
    if name == ENVOY:
        return _answers(port)
    return _accepts(port) if name == SDS else True


def root(folder: Path, told: Object) -> Path:
    """A container's root folder."""
    return folder / "containers" / str(told["name"])


def _envoy(world: World, pod: Object, told: Object, folder: Path) -> Command:
    admin = world.free_port()
    envoy.write(folder / "bootstrap.json", envoy.bootstrap(folder, admin, pod["metadata"]["name"]))
    for name in ("lds.json", "cds.json"):
        if not (folder / name).exists():
            envoy.write(folder / name, envoy.NOTHING)
    flags = [
        *("--config-path", str(folder / "bootstrap.json")),
        *("--concurrency", "1"),
        *("--log-level", _log_level(told)),
        *("--drain-time-s", "1"),
        *("--drain-strategy", "immediate"),
        "--disable-hot-restart",
    ]
    program = world.programs.get("envoy") or Path(str(resources.files("envoy") / "_bin" / "envoy"))
    return Command([str(program), *flags], {}, folder, admin)


def _log_level(told: Object) -> str:
    given = told.get("args") or []
    place = given.index("--log-level") + 1 if "--log-level" in given else len(given)
    return str(given[place]) if place < len(given) else "info"


def _sds(world: World, told: Object, folder: Path) -> Command:
    here = root(folder, told)
    volumes.mount(here, folder / "volumes", told)
    port = world.free_port()
    certificates = containers.inside(here, "/etc/istio-certs")
    return Command([sys.executable, "-I", str(Path(sds.__file__)), str(certificates), str(port)], {}, here, port)


def _agent(world: World, pod: Object, told: Object, folder: Path, proxy: str) -> Command:
    here = root(folder, told)
    volumes.mount(here, folder / "volumes", told)
    annotations = {**(pod["metadata"].get("annotations") or {}), STATUS_PORT: "0"}
    (here / PODINFO).parent.mkdir(parents=True, exist_ok=True)
    (here / PODINFO).write_text("".join(f"{key}={json.dumps(value)}\n" for key, value in annotations.items()))
    env = containers.environment(pod, told)
    mounted = containers.mounts(told)
    arguments = [containers.moved(argument, mounted, here) for argument in containers.arguments(told, env)]
    moved = {key: containers.moved(value, mounted, here) for key, value in env.items()}
    return Command(
        [str(world.programs[PROGRAM]), *arguments],
        {**moved, "HOSTNAME": pod["metadata"]["name"], "HTTPS_PROXY": proxy},
        here,
    )


def _answers(admin_port: int) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{admin_port}/ready", timeout=1
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
