"""Programs that run beside the clusters for the played parts: one Envoy per gateway proxy Pod, one istiod per cluster.

They inherit the lab's mark from the supervisor (lab/processes.py), which is how a new supervisor finds and ends what a
killed one left behind.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.processes import MARK

GRACE = 5.0  # seconds between asking a child to end and ending it
KEPT = (MARK, "PATH", "HOME", "TMPDIR", "LANG")


class Child:
    """One process; `restarts` counts how often it had to be started again."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.restarts = -1
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def start(self, command: list[str], env: dict[str, str], cwd: Path) -> None:
        """Start it with this environment and what every process of the lab carries."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        inherited = {key: os.environ[key] for key in KEPT if key in os.environ}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                env={**inherited, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.restarts += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
