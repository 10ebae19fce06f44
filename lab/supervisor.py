"""The lab's one background process: keeps the control planes running and plays the vendor parts.

Started detached by `lab up` (`python -m lab.supervisor`), ended by `lab down`. A lock held for its life says that it
runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lab import paths, processes
from lab.clusters import ControlPlane, watchdog
from lab.errors import LabError
from lab.world import Part, World

log = logging.getLogger("lab.supervisor")

# Who is played, by which class; imported when the supervisor starts.
PARTS = (
    ("lab.cloud", "Cloud"),
    ("lab.gloo_mesh", "GlooMesh"),
    ("lab.gloo_operator", "GlooOperator"),
    ("lab.gloo_gateway", "GlooGateway"),
    ("lab.istiod", "Istiod"),
    ("lab.kubelet", "Kubelet"),
    ("lab.dataplane", "Dataplane"),
)
DEBOUNCE = 0.02
LOOK_AGAIN = 2.0
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)
LOOKED_AT = 1.0  # seconds; is_running holds the lock, too, for a moment


class Runner:
    """One part in its own thread."""

    def __init__(self, part: Part, world: World, report: Report) -> None:
        self.part = part
        self._world = world
        self._report = report
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=part.name, daemon=True)
        self._log = logging.getLogger(f"lab.{part.name}")

    def start(self) -> None:
        self._thread.start()

    def notify(self, kind: str) -> None:
        if kind in self.part.kinds:
            self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join(10.0)
        try:
            self.part.stop()
        except Exception:  # the others must still be stopped
            self._log.exception("stop")

    def _run(self) -> None:
        failures = 0
        said = ""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.part.reconcile(self._world)
                if failures:
                    self._log.info("works again")
                failures, said = 0, ""
                self._report.part(self.part.name, "")
            except Exception as error:  # a part may fail as a controller may; it must not end
                text = f"{type(error).__name__}: {error}"
                if text != said:
                    self._log.exception("reconcile")
                said = text
                self._report.part(self.part.name, text)
                self._stopping.wait(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
                continue
            # A part whose processes change without the API knowing says itself when it wants to look again.
            if self._wake.wait(getattr(self.part, "look_again", LOOK_AGAIN)):
                self._stopping.wait(DEBOUNCE)  # changes come in swarms


class Report:
    """status.json: what `lab status` and `lab up` read."""

    def __init__(self, path: Path, names: list[str], missing: dict[str, str]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._parts: dict[str, str | None] = {**dict.fromkeys(names), **missing}
        self._code = code()
        self._write()

    def part(self, name: str, error: str) -> None:
        with self._lock:
            if self._parts.get(name) != error:
                self._parts[name] = error
                self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"code": self._code, "parts": self._parts}, indent=1))
        fresh.replace(self._path)


def code() -> str:
    """Fingerprint of the lab's code: a supervisor that runs older code is started anew by `lab up`."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def load_parts() -> tuple[list[Part], dict[str, str]]:
    """The parts that can be imported, and why the others cannot."""
    parts: list[Part] = []
    missing = {}
    for module, name in PARTS:
        try:
            parts.append(getattr(importlib.import_module(module), name)())
        except Exception as error:  # one broken part leaves the others at work, and is shown by `lab status`
            log.exception("%s.%s", module, name)
            missing[module.removeprefix("lab.")] = f"cannot be loaded: {type(error).__name__}: {error}"
    return parts, missing


def run(home: Path) -> int:
    """Supervise until SIGTERM; returns at once when another supervisor has this lab."""
    with _only_one(home) as alone:
        if not alone:
            return 0
        _log_to(logging.getLogger("lab"), home / "logs" / "supervisor.log", logging.INFO)
        stopping = threading.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        told = json.loads((home / "lab.json").read_text())
        planes = [ControlPlane(home, name, number) for number, name in enumerate(told["clusters"])]
        _end_orphans(home, planes)
        guard = threading.Thread(target=watchdog, args=(planes, stopping.wait), name="watchdog", daemon=True)
        guard.start()
        world = World.load(home)
        parts, missing = load_parts()
        for part in parts:
            _log_to(logging.getLogger(f"lab.{part.name}"), home / "logs" / f"{part.name}.log", logging.INFO)
        report = Report(home / "status.json", [part.name for part in parts], missing)
        runners = [Runner(part, world, report) for part in parts]

        def notify(cluster: str, kind: str) -> None:
            for runner in runners:
                runner.notify(kind)

        world.start(notify)
        while not stopping.is_set() and not world.wait_synced(1.0):
            log.info("waiting for the API servers")
        log.info("started: %s", ", ".join(part.name for part in parts))
        if not stopping.is_set():
            for runner in runners:
                runner.start()
            stopping.wait()
        log.info("stopping")
        for runner in runners:
            runner.stop()
        world.stop()
        guard.join(5.0)
        (home / "status.json").unlink(missing_ok=True)
    return 0


def start(home: Path) -> subprocess.Popen[bytes] | None:
    """Start the supervisor detached; None when one runs this code already."""
    if is_running(home):
        told = status(home)
        if told is None or told.get("code") == code():
            return None
        stop(home)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    (home / "status.json").unlink(missing_ok=True)
    environment = processes.marked(home)
    environment.update({"LAB_HOME": str(home), "PYTHONPATH": str(paths.REPOSITORY), "PYTHONUNBUFFERED": "1"})
    with (home / "logs" / "supervisor.out").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.supervisor"],
            cwd=paths.REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def wait_started(home: Path, child: subprocess.Popen[bytes] | None, timeout: float = 60.0) -> dict[str, str]:
    """Wait until every part has looked at the world once; returns the parts that fail and why."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        told = status(home)
        if told is not None and None not in told["parts"].values():
            return {name: error for name, error in told["parts"].items() if error}
        if child is not None and child.poll() is not None:
            words = (home / "logs" / "supervisor.out").read_text(errors="replace").strip().splitlines()[-1:]
            raise LabError(f"the supervisor ended with code {child.returncode}: {' '.join(words)}")
        time.sleep(0.05)
    raise LabError(f"the supervisor is not ready after {timeout:.0f} s; see {home / 'logs' / 'supervisor.log'}")


def status(home: Path) -> dict[str, Any] | None:
    """What the supervisor reports: {code, parts: {name: error}}, "" = healthy, None = not run yet.

    None when no supervisor runs.
    """
    if not is_running(home):
        return None
    with contextlib.suppress(FileNotFoundError, ValueError):
        return dict(json.loads((home / "status.json").read_text()))
    return None


def is_running(home: Path) -> bool:
    """Whether somebody holds the supervisor's lock."""
    try:
        with (home / "supervisor.pid").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def stop(home: Path) -> None:
    """End the supervisor and whatever its parts left behind."""
    if is_running(home):
        pid = processes.read_pid(home / "supervisor.pid")
        if processes.running(pid, "lab.supervisor"):
            processes.end([pid], patience=15.0)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[bool]:
    with (home / "supervisor.pid").open("a+") as lock:
        end = time.monotonic() + LOOKED_AT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    yield False
                    return
                time.sleep(0.01)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield True


def _end_orphans(home: Path, planes: list[ControlPlane]) -> None:
    """What a killed supervisor's parts had started: their ports and files are ours now."""
    keep = {plane.component_pid(name) for plane in planes for name in plane.component_names()}
    orphans = [pid for pid in processes.of_lab(home) if pid not in keep]
    if orphans:
        log.warning("ending what a former supervisor left: %s", [processes.command(pid)[:120] for pid in orphans])
        processes.end(orphans, patience=5.0)


def _log_to(logger: logging.Logger, path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)


if __name__ == "__main__":
    sys.exit(run(paths.home()))
