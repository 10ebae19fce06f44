"""The lab's processes: whose they are, whether they live, how they end.

Every process of a lab carries the lab's folder in its environment (MARK), so that what a killed supervisor left behind
is found again, and nothing else is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "MULTICLUSTER_GLOO_LAB"
_PROC = Path("/proc")


def marked(home: Path) -> dict[str, str]:
    """The environment for a process of this lab: nothing of it points at the user's own clusters."""
    scrubbed = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("KUBE", "HELM_", "KWOK_", "ISTIO", "PILOT_", "ETCD_"))
    }
    return {
        **scrubbed,
        MARK: str(home),
        "HOME": str(home / "clusters"),
        "KUBECONFIG": str(home / "kubeconfig"),
    }


def running(pid: int, word: str) -> bool:
    """Whether `pid` lives, is no zombie, and has `word` in its command line (a number may have been given anew)."""
    if pid <= 0:
        return False
    if _PROC.is_dir():
        try:
            state = Path(_PROC, str(pid), "stat").read_text().rpartition(")")[2].split()[0]
            return state not in ("Z", "X") and word in _command_line(pid)
        except (OSError, IndexError):
            return False
    told = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False
    ).stdout
    return bool(told.strip()) and not told.lstrip().startswith("Z") and word in told


def read_pid(path: Path) -> int:
    """The number in a pid file, 0 without one."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def of_lab(home: Path) -> list[int]:
    """All living processes that carry this lab's mark, ours excepted. Needs /proc; elsewhere an empty list."""
    if not _PROC.is_dir():
        return []
    word = f"{MARK}={home}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        with contextlib.suppress(OSError):
            if word in (entry / "environ").read_bytes().split(b"\0") and running(int(entry.name), ""):
                found.append(int(entry.name))
    return sorted(found)


def end(pids: Iterable[int], patience: float = 10.0) -> None:
    """Ask processes to end, wait, kill what stays."""
    left = set(pids)
    for how in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ChildProcessError, OSError):
                    os.waitpid(pid, os.WNOHANG)  # our own children stay zombies until we look
            left = {pid for pid in left if running(pid, "")}
            if left:
                time.sleep(0.02)
        if not left:
            return


def command(pid: int) -> str:
    """Command line for messages."""
    return _command_line(pid) if _PROC.is_dir() else str(pid)


def _command_line(pid: int) -> str:
    return Path(_PROC, str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
