"""The lab's background process: restarts components that exited and runs the simulated parts.

`lab up` starts it detached, `lab down` stops it. It holds a lock on supervisor.pid while it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lab import paths
from lab.control_plane import processes
from lab.control_plane.control_plane import ControlPlane, restart_components
from lab.control_plane.lab import Lab, Part
from lab.errors import LabError

log = logging.getLogger("lab.supervisor")

PROGRAM = "lab.supervise"
DEBOUNCE = 0.02  # seconds; changes come in bursts
RESYNC = 2.0  # seconds until a part runs again when nothing has changed
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds after each failure of a part
LOCK_TIMEOUT = 1.0  # seconds; is_running holds the lock for a moment, too

LoadParts = Callable[[], "tuple[list[Part], dict[str, str]]"]  # parts, and errors by name of those that do not load


class Runner:
    """One part in its own thread."""

    def __init__(self, part: Part, lab: Lab, report: Report) -> None:
        self.part = part
        self._lab = lab
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
        last_error = ""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.part.reconcile(self._lab)
            except Exception as error:  # a part may fail as a controller may; its thread must not end
                text = f"{type(error).__name__}: {error}"
                if text != last_error:
                    self._log.exception("reconcile")
                last_error = text
                self._report.part(self.part.name, text)
                self._stopping.wait(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
                continue
            if failures:
                self._log.info("recovered")
            failures, last_error = 0, ""
            self._report.part(self.part.name, "")
            # A part that runs processes sets `resync`: their state changes without an API event.
            if self._wake.wait(getattr(self.part, "resync", RESYNC)):
                self._stopping.wait(DEBOUNCE)


class Report:
    """status.json: the state of the parts for `lab status` and `lab up`."""

    def __init__(self, path: Path, names: list[str], errors: dict[str, str]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._parts: dict[str, str | None] = {**dict.fromkeys(names), **errors}
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
    """Digest of the lab's code: `lab up` replaces a supervisor that runs other code."""
    files = sorted((paths.REPOSITORY / "lab").rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def run(home: Path, load_parts: LoadParts) -> int:
    """Run until SIGTERM; returns at once when another supervisor runs for this lab."""
    with _only_one(home) as alone:
        if not alone:
            return 0
        _log_to(logging.getLogger("lab"), home / "logs" / "supervisor.log")
        stopping = threading.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        names = json.loads((home / "lab.json").read_text())["clusters"]
        planes = [ControlPlane(home, name, number) for number, name in enumerate(names)]
        _end_orphans(home, planes)
        watchdog = threading.Thread(
            target=restart_components, args=(planes, stopping.wait), name="watchdog", daemon=True
        )
        watchdog.start()
        lab = Lab.load(home)
        parts, errors = load_parts()
        for part in parts:
            _log_to(logging.getLogger(f"lab.{part.name}"), home / "logs" / f"{part.name}.log")
        report = Report(home / "status.json", [part.name for part in parts], errors)
        runners = [Runner(part, lab, report) for part in parts]

        def notify(kind: str) -> None:
            for runner in runners:
                runner.notify(kind)

        lab.start(notify)
        while not stopping.is_set() and not lab.wait_synced(1.0):
            log.info("waiting for the API servers")
        log.info("started: %s", ", ".join(part.name for part in parts))
        if not stopping.is_set():
            for runner in runners:
                runner.start()
            stopping.wait()
        log.info("stopping")
        for runner in runners:
            runner.stop()
        lab.stop()
        watchdog.join(5.0)
        (home / "status.json").unlink(missing_ok=True)
    return 0


def start(home: Path) -> subprocess.Popen[bytes] | None:
    """Start the supervisor detached; None when one with the same code runs already."""
    if is_running(home):
        state = status(home)
        if state is None or state.get("code") == code():
            return None
        stop(home)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    (home / "status.json").unlink(missing_ok=True)
    environment = processes.environment(home)
    environment.update({"LAB_HOME": str(home), "PYTHONPATH": str(paths.REPOSITORY), "PYTHONUNBUFFERED": "1"})
    with (home / "logs" / "supervisor.out").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            cwd=paths.REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            umask=processes.UMASK,
            start_new_session=True,
        )


def wait_started(home: Path, child: subprocess.Popen[bytes] | None, timeout: float = 180.0) -> dict[str, str]:
    """Wait until every part has run once; returns the errors of the parts that fail, by name. timeout in seconds."""
    deadline = time.monotonic() + timeout
    state: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        state = status(home)
        if state is not None and None not in state["parts"].values():
            return {name: error for name, error in state["parts"].items() if error}
        if child is not None and child.poll() is not None:
            lines = (home / "logs" / "supervisor.out").read_text(errors="replace").strip().splitlines()[-1:]
            raise LabError(f"the supervisor ended with code {child.returncode}: {' '.join(lines)}")
        time.sleep(0.05)
    missing = [name for name, error in state["parts"].items() if error is None] if state else []
    raise LabError(
        f"the supervisor is not ready after {timeout:.0f} s, parts that have not run: {', '.join(missing) or 'all'}; "
        f"see {home / 'logs' / 'supervisor.log'}"
    )


def status(home: Path) -> dict[str, Any] | None:
    """{code, parts: {name: error}} as the supervisor reports; error "" = healthy, None = has not run yet.

    None when no supervisor runs.
    """
    if not is_running(home):
        return None
    with contextlib.suppress(FileNotFoundError, ValueError):
        return dict(json.loads((home / "status.json").read_text()))
    return None


def is_running(home: Path) -> bool:
    """Whether a supervisor holds the lock."""
    try:
        with (home / "supervisor.pid").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def stop(home: Path) -> None:
    """End the supervisor; it ends the processes of its parts."""
    if is_running(home):
        pid = processes.read_pid(home / "supervisor.pid")
        if processes.running(pid, "-m lab."):
            processes.end([pid], timeout=15.0)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[bool]:
    with (home / "supervisor.pid").open("a+") as lock:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.01)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield True


def _end_orphans(home: Path, planes: list[ControlPlane]) -> None:
    """End what the parts of a killed supervisor started: this supervisor needs their ports and files."""
    keep = {plane.component_pid(name) for plane in planes for name in plane.component_names()}
    orphans = [pid for pid in processes.of_lab(home) if pid not in keep]
    if orphans:
        log.warning("ending processes of an earlier supervisor: %s", [processes.command(pid)[:120] for pid in orphans])
        processes.end(orphans, timeout=5.0)


def _log_to(logger: logging.Logger, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
