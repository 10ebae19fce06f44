"""The lab's processes: which belong to a lab, which run, how they are ended.

Every process of a lab has the lab's folder in its environment (MARK). So a new supervisor finds the processes of a
killed one, and no other process is ever ended.
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
#: keys, kubeconfigs and logs are private
UMASK = 0o077
_PROC = Path("/proc")


def environment(home: Path) -> dict[str, str]:
    """The environment for a process of this lab: with the mark, without settings for the user's own clusters."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("KUBE", "HELM_", "KWOK_", "ISTIO", "PILOT_", "ETCD_"))
    }
    return {**kept, MARK: str(home), "HOME": str(home / "clusters"), "KUBECONFIG": str(home / "kubeconfig")}


def running(pid: int, word: str) -> bool:
    """Whether `pid` runs, is no zombie, and has `word` in its command line (process ids are reused)."""
    if pid <= 0:
        return False
    if _PROC.is_dir():
        try:
            state = Path(_PROC, str(pid), "stat").read_text().rpartition(")")[2].split()[0]
            return state not in ("Z", "X") and word in _command_line(pid)
        except (OSError, IndexError):
            return False
    output = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False
    ).stdout
    return bool(output.strip()) and not output.lstrip().startswith("Z") and word in output


def read_pid(path: Path) -> int:
    """The number in a pid file, 0 without one."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def of_lab(home: Path) -> list[int]:
    """All running processes with this lab's mark, except this one and its parent. Needs /proc; empty without it."""
    if not _PROC.is_dir():
        return []
    mark = f"{MARK}={home}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and running(int(entry.name), ""):
                found.append(int(entry.name))
    return sorted(found)


def end(pids: Iterable[int], timeout: float = 10.0) -> None:
    """Send SIGTERM and wait; SIGKILL for those that still run after `timeout` seconds."""
    left = set(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout
        while left and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ChildProcessError, OSError):
                    os.waitpid(pid, os.WNOHANG)  # a child of ours stays a zombie until it is waited for
            left = {pid for pid in left if running(pid, "")}
            if left:
                time.sleep(0.02)
        if not left:
            return


def command(pid: int) -> str:
    """Command line, for messages."""
    return _command_line(pid) if _PROC.is_dir() else str(pid)


def _command_line(pid: int) -> str:
    return Path(_PROC, str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
