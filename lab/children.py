"""Programs that run beside the clusters: the containers of gateway proxy Pods, istiods.

They inherit the lab's mark from the supervisor (lab/processes.py), which is how a new supervisor finds and ends what a
killed one left behind.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from lab.pod_logs import copy
from lab.processes import MARK

GRACE = 5.0  # seconds between asking a child to end and ending it
KEPT = (MARK, "PATH", "HOME", "TMPDIR", "LANG")


class Child:
    """One process, which may be started again when it has ended; what it says goes to `log` (lab/pod_logs.py)."""

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
        """Start it with this environment and what every process of the lab carries."""
        inherited = {key: os.environ[key] for key in KEPT if key in os.environ}
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
    def code(self) -> int | None:
        """Exit code of a process that has ended by itself; 128 and the signal's number for one that was killed."""
        code = self.process.poll() if self.process is not None else None
        return 128 - code if code is not None and code < 0 else code

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for it."""
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
