"""Processes that run for a container: those of gateway proxy Pods and istiods.

They inherit the lab's mark from the supervisor (control_plane/processes.py), so that a new supervisor finds and ends
them when the old one was killed.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

from lab.control_plane.processes import MARK
from lab.pods.pod_logs import copy

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
INHERITED = (MARK, "PATH", "HOME", "TMPDIR", "LANG")


class ChildProcess:
    """One process, which may be started again when it has ended; its output goes to `log` (pods/pod_logs.py)."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def start(self, command: list[str], env: dict[str, str], cwd: Path) -> None:
        """Start it with this environment and the variables that every process of the lab inherits."""
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        self.process = subprocess.Popen(
            command,
            env={**inherited, **env},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        threading.Thread(target=copy, args=(self.process.stdout, self.log), name=f"log {self.pid}", daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs or when it was stopped; 128 plus the signal for a process that was killed."""
        code = self.process.poll() if self.process is not None else None
        return 128 - code if code is not None and code < 0 else code

    def terminate(self) -> None:
        """Send SIGTERM; `stop` waits for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """End it and wait."""
        self.terminate()
        if self.process is not None:
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def stop_all(children: Iterable[ChildProcess]) -> None:
    """End several processes; they get their SIGTERM at the same time."""
    children = list(children)
    for child in children:
        child.terminate()
    for child in children:
        child.stop()
