"""`python -m lab up | down | status | logs NAME | exec -- COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from lab import charts, inventory, paths, settings
from lab.control_plane import processes, supervisor
from lab.control_plane.api import Api, ApiError
from lab.control_plane.control_plane import ControlPlane, write_kubeconfig
from lab.control_plane.objects import condition_is_true, load_balancer_ingress
from lab.errors import LabError
from lab.pods import network_namespace
from lab.programs import kgateway, programs
from lab.progress import Progress
from lab.sites import site as sites
from lab.sites.play import Player

MANAGEMENT = "mgmt"
LOCK = "up.lock"  # also marks a folder as a lab
REAL_AND_SIMULATED = (
    "real: etcd, kube-apiserver, -controller-manager, -scheduler, kwok (kubelet), Helm, Gateway API, Istio's charts,"
    " istiod, pilot-agent, Envoy, HTTP · simulated: Gloo Mesh server and agents, Gloo Operator, Gloo Gateway"
    " controller, cloud load balancers, Bookinfo's programs, mTLS between clusters (lab/README.md)"
)


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # handled like Ctrl-C, so that nothing incomplete is left
    home = paths.home()
    try:
        return int(arguments.run(home, arguments))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except ApiError as error:
        print(f"lab: {error}\nlab: run `python -m lab up` to start what is not running", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; run `python -m lab up` to continue", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="Local Kubernetes control planes with simulated Gloo products."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "up",
        help="start the lab, or restart stopped processes",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="settings (the first value is the default; they are kept until `lab down`):\n" + _settings_help(),
    )
    command.add_argument("--workloads", type=_count, default=None, metavar="N", help="workload clusters (default 2)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, also of a running lab"
    )
    command.set_defaults(run=_up)
    command = commands.add_parser(
        "down", help="stop all processes and delete the lab's folder (the program cache is kept)"
    )
    command.set_defaults(run=_down)
    command = commands.add_parser("status", help="clusters, components, simulated parts, addresses")
    command.set_defaults(run=_status)
    command = commands.add_parser(
        "logs", help="show the log of a component or simulated part; without a name, list the logs"
    )
    command.add_argument("name", nargs="?", help="for example kubelet, supervisor, cluster1/kube-apiserver")
    command.add_argument("-n", "--lines", type=int, default=200, help="number of lines (default 200)")
    command.add_argument("-f", "--follow", action="store_true", help="continue with new lines")
    command.set_defaults(run=_logs)
    command = commands.add_parser(
        "site", help="install an existing site, as another team would; without a name, list the sites"
    )
    command.add_argument("name", nargs="?", metavar="NAME")
    command.set_defaults(run=_site)
    command = commands.add_parser("exec", help="run a command with the lab's kubectl, helm and kubeconfig")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    command.set_defaults(run=_exec)
    return parser


def _settings_help() -> str:
    return "\n".join(
        textwrap.fill(f"{key}={values.replace(' ', '')}  {plays}", 110, initial_indent="  ", subsequent_indent="      ")
        for key, values, plays in settings.rows()
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 9:
        raise argparse.ArgumentTypeError("must be between 1 and 9")
    return number


def _up(home: Path, arguments: argparse.Namespace) -> int:
    if _is_foreign(home):
        # Refused because `lab down` would delete it.
        raise LabError(f"{home} is not empty and not a lab. Set LAB_HOME to another folder")
    changes = [settings.parse(text) for text in arguments.set]
    with _exclusive(home, create=True):
        settings.change(home, changes)
        names = _cluster_names(home, arguments.workloads)
        planes = [ControlPlane(home, name, number) for number, name in enumerate(names)]
        progress = Progress(steps=3)
        supplies = programs.supplies(progress)
        _check_controller(home, supplies.programs.get("kgateway"))
        programs.link(home / "bin", supplies.programs)
        new = [plane for plane in planes if not plane.exists]
        if new:
            supervisor.stop(home)  # it reads the list of clusters only when it starts
        verb = f"creating {len(new)} and starting" if new else "starting"
        with progress.step(f"{verb} {len(planes)} control planes: {', '.join(names)}"):
            _all(planes, lambda plane: _start(plane, supplies.programs))
        with progress.step("waiting for API servers and nodes"):
            write_kubeconfig(home / "kubeconfig", planes)
            _all(planes, lambda plane: plane.wait_ready(home / "kubeconfig"))
        _write_state(home, names, supplies)
        with progress.step("starting the simulated parts"):
            failing = supervisor.wait_started(home, supervisor.start(home))
        for part, error in failing.items():
            progress.print(f"  {part} fails: {error} (see: python -m lab logs {part})")
        progress.print(f"lab is up, {progress.elapsed:.1f} s: {', '.join(names)}; kubeconfig {home / 'kubeconfig'}")
        progress.print(REAL_AND_SIMULATED)
    return 0


def _check_controller(home: Path, program: Path | None) -> None:
    """Refuse another kgateway controller than this lab was created with, and a real one that cannot be isolated."""
    created = _state(home)
    before = created.get("programs", {}).get("kgateway")
    if created and before != (str(program) if program else None):
        raise LabError(
            f"{kgateway.PROGRAM} is {program or 'not set'}, but this lab was created with"
            f" {before or 'the simulated kgateway controller'}. Set it as before, or run `python -m lab down` first"
        )
    if program is not None and (problem := network_namespace.problem()):
        raise LabError(
            f"{kgateway.PROGRAM}: the controller listens on all addresses of this machine, and a network namespace to"
            f" keep it from them cannot be made ({problem}). Unset it and {kgateway.CHARTS} to use the simulated one"
        )


def _start(plane: ControlPlane, found: dict[str, Path]) -> None:
    if plane.exists:
        plane.use(found)
        plane.start()
    else:
        plane.create(found)


def _cluster_names(home: Path, workloads: int | None) -> list[str]:
    """Names of the clusters; an existing lab keeps at least those it has."""
    existing = _clusters(home)
    count = workloads or max(len(existing) - 1, 0) or 2
    if existing and count < len(existing) - 1:
        raise LabError(
            f"the lab in {home} has {len(existing) - 1} workload clusters, {count} were requested."
            " For fewer run `python -m lab down` first"
        )
    return [MANAGEMENT, *(f"cluster{number}" for number in range(1, count + 1))]


def _write_state(home: Path, names: list[str], supplies: programs.Supplies) -> None:
    state = {
        "management": MANAGEMENT,
        "clusters": names,
        "programs": {name: str(path) for name, path in supplies.programs.items()},
        "sources": supplies.sources,
        "istio_charts": str(supplies.istio_charts),
        "gateway_api_crds": str(supplies.gateway_api_crds),
        "operator_gateway_api": str(supplies.operator_gateway_api),
    }
    fresh = home / "lab.json.new"
    fresh.write_text(json.dumps(state, indent=1))
    fresh.replace(home / "lab.json")
    charts.write(home)
    inventory.write(home, MANAGEMENT, names[1:], supplies)


def _down(home: Path, arguments: argparse.Namespace) -> int:
    with _exclusive(home, create=False) as exists:
        if not exists:
            if _is_foreign(home):
                raise LabError(f"{home} is not a lab: nothing is deleted")
            print(f"no lab in {home}")
            return 0
        supervisor.stop(home)
        # Components first, by their pid files in reverse start order, then all other processes with this lab's mark.
        # The data is deleted, so no component needs time to save it.
        folders = sorted((home / "clusters" / "clusters").glob("*"))
        if folders:
            _all([ControlPlane(home, folder.name, 0) for folder in folders], lambda plane: plane.stop(timeout=0.5))
        processes.end(processes.of_lab(home))
        left = processes.of_lab(home)
        if left:
            raise LabError(f"could not stop these processes: {[processes.command(pid)[:100] for pid in left]}")
        _delete(home)
    print(f"lab is down: {home} deleted, program cache {paths.cache()} kept")
    return 0


def _is_foreign(home: Path) -> bool:
    """Whether the folder has content, but not that of a lab."""
    with contextlib.suppress(FileNotFoundError):
        names = [path.name for path in home.iterdir()]
        return bool(names) and LOCK not in names
    return False


def _delete(home: Path) -> None:
    """Delete the folder of a lab, the lock last: until then it is a lab that is in use."""
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    (home / LOCK).unlink()
    with contextlib.suppress(OSError):  # a new lab is being created in it
        home.rmdir()


def _status(home: Path, arguments: argparse.Namespace) -> int:
    names = _clusters(home)
    if not names:
        print(f"no lab in {home}. Start one: python -m lab up")
        return 1
    healthy = True
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    table = Table("cluster", "API server", "version", "node", "components", "load balancers")
    for number, name in enumerate(names):
        row, ok = _cluster_row(home, ControlPlane(home, name, number))
        table.add_row(name, *row)
        healthy = healthy and ok
    console.print(table)
    chosen = settings.values(home)
    variants = Table("setting", "value", "allowed", "plays")
    for key, allowed, plays in settings.rows():
        variants.add_row(key, chosen[key], allowed, plays)
    console.print(variants)
    state = supervisor.status(home)
    if state is None:
        console.print("supervisor: not running. Start it: python -m lab up")
        return 1
    parts = Table("simulated part", "state")
    for part, error in state["parts"].items():
        parts.add_row(part, "starting" if error is None else error or "healthy")
        healthy = healthy and error == ""
    console.print(parts)
    console.print(REAL_AND_SIMULATED, soft_wrap=True)
    return 0 if healthy else 1


def _cluster_row(home: Path, plane: ControlPlane) -> tuple[list[str], bool]:
    stopped = [name for name in plane.component_names() if not plane.component_pid(name)]
    components = f"stopped: {', '.join(stopped)}" if stopped else f"{len(plane.component_names())} running"
    try:
        api = Api(home / "kubeconfig", plane.name)
        version = api.request("GET", "/version", timeout=4)["gitVersion"]
        nodes = api.request("GET", "/api/v1/nodes", timeout=4)["items"]
        services = api.request("GET", "/api/v1/services", timeout=4)["items"]
    except (ApiError, OSError) as error:
        return [plane.server(), "-", "-", components, str(error)], False
    ready = sum(condition_is_true(node, "Ready") for node in nodes)
    balancers = [
        f"{service['metadata']['namespace']}/{service['metadata']['name']} {ingress.get('ip', ingress.get('hostname'))}"
        for service in services
        for ingress in load_balancer_ingress(service)
    ]
    ok = not stopped and ready > 0
    return [plane.server(), version, f"{ready}/{len(nodes)} Ready", components, "\n".join(balancers) or "-"], ok


def _logs(home: Path, arguments: argparse.Namespace) -> int:
    logs = {path.stem: path for path in sorted((home / "logs").glob("*.log"))}
    for name in _clusters(home):
        folder = ControlPlane(home, name, 0).component_log("any").parent
        logs.update({f"{name}/{file.stem}": file for file in sorted(folder.glob("*.log"))})
    chosen = logs.get(arguments.name or "")
    if chosen is None:
        if arguments.name:
            print(f"lab: no log named {arguments.name}; the logs are:", file=sys.stderr)
        print("\n".join(logs) if logs else f"no logs in {home}")
        return 1 if arguments.name else 0
    tail = ["tail", "-n", str(arguments.lines), *(["-f"] if arguments.follow else []), str(chosen)]
    return subprocess.run(tail, check=False).returncode


def _exec(home: Path, arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise LabError("exec needs a command, for example: python -m lab exec -- kubectl get pods -A")
    if not _clusters(home):
        raise LabError(f"no lab in {home}. Start one: python -m lab up")
    environment = {
        **os.environ,
        "KUBECONFIG": str(home / "kubeconfig"),
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise LabError(f"{command[0]}: not found in {home / 'bin'} or on PATH")
    os.execve(program, command, environment)


def _site(home: Path, arguments: argparse.Namespace) -> int:
    if not arguments.name:
        for name in sites.names():
            print(f"{name}: {sites.load(name).about}")
        return 0
    site = sites.load(arguments.name)
    if not _clusters(home):
        raise LabError(f"no lab in {home}. Start one: python -m lab up")
    Player(home, lambda text: print(text, flush=True)).play(site)
    print(f"site {site.name} is installed: {site.about}")
    return 0


def _clusters(home: Path) -> list[str]:
    return list(_state(home).get("clusters", []))


def _state(home: Path) -> dict[str, Any]:
    """lab.json; empty without a lab."""
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads((home / "lab.json").read_text()))
    return {}


def _all(planes: list[ControlPlane], work: Callable[[ControlPlane], None]) -> None:
    """Call `work` for all clusters in parallel; raises the first error."""
    with ThreadPoolExecutor(len(planes)) as pool:
        for done in [pool.submit(work, plane) for plane in planes]:
            done.result()


@contextlib.contextmanager
def _exclusive(home: Path, *, create: bool) -> Iterator[bool]:
    """Keep other commands from changing the lab. Yields whether there is one; with `create` there is.

    Another command may delete the folder, and the lock in it, before this one gets the lock.
    """
    with contextlib.ExitStack() as stack:
        while True:
            try:
                if create:
                    home.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((home / LOCK).open("a" if create else "r+"))
            except FileNotFoundError:
                if create:
                    continue
                break
            _wait_for(lock, home)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), (home / LOCK).stat()):
                    break
        yield (home / LOCK).exists()


def _wait_for(lock: IO[str], home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another `lab up` or `lab down` in {home}", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())
