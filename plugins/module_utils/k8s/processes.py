# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The identity of a process, by which others find out whether it has ended."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """Identifies this process on this machine."""
    return identity(os.getpid())


def is_gone(process: str) -> bool:
    """Whether the process ran on this machine and has ended. False when unknown."""
    host, pid = _place(process)
    return pid is not None and host == _host() and identity(pid) != process


def is_here(process: str) -> bool:
    """Whether the process runs on this machine."""
    _host_of_it, pid = _place(process)
    return pid is not None and identity(pid) == process


def _place(process: str) -> tuple[str, int | None]:
    """(machine, pid) in an identity; pid None when it is none."""
    host, _slash, number = process.rpartition("/")
    pid = number.partition(":")[0]
    return host, int(pid) if host and re.fullmatch("[0-9]{1,19}", pid) else None


def identity(pid: int) -> str:
    """boot, pid namespace, pid and start time: pids are reused, start times are not. "" for one that has ended.

    Without /proc: host name and pid.
    """
    if not (_PROC / "self/stat").exists():
        return f"{_host()}/{pid}:" if _runs(pid) else ""
    try:
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{_host()}/{pid}:{fields[19]}" if fields[0] not in "ZX" else ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return platform.node()
