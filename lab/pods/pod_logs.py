"""Logs of containers, in files that `kubectl logs` reads through kwok.

One file per container, `logs/pods/<cluster>/<Pod uid>/<container>.log`. kwok reads only the format of container
runtimes (CRI): each line begins with its time, stream and a tag. kubectl shows the line without them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from lab.control_plane.objects import Object


def log_file(home: Path, cluster: str, uid: str, container: str) -> Path:
    """The log of one container of the lab at `home`."""
    return _folder(home, cluster) / uid / f"{container}.log"


def logs_of(home: Path, cluster: str, uid: str) -> dict[str, Path]:
    """Container name -> its log file, for the containers of a Pod that have one."""
    return {file.stem: file for file in sorted((_folder(home, cluster) / uid).glob("*.log"))}


def remove_others(home: Path, cluster: str, uids: Iterable[str]) -> None:
    """Remove the logs of all Pods except those with these uids."""
    keep = set(uids)
    for folder in _folder(home, cluster).glob("*"):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def append(file: Path, text: str) -> None:
    """Append one line or several."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.write(b"".join(as_cri(line.encode()) for line in text.splitlines()))


def copy(output: IO[bytes], file: Path) -> None:
    """Append a process's output, line by line, until it ends. Blocks: call it in a separate thread."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        for line in output:
            out.write(as_cri(line.rstrip(b"\r\n")))
            out.flush()


def as_cri(line: bytes) -> bytes:
    """One full line of stdout, with the current time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z stdout F ").encode() + line + b"\n"


class SimulatedLogs:
    """Logs of simulated programs. A message is repeated only after another one on the same topic: once per state."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], str] = {}

    def write(self, home: Path, cluster: str, pod: Object, level: str, message: str, topic: str = "") -> None:
        """Append one JSON line, as the vendor's programs write them, to the log of the Pod's first container.

        topic: the subject of the message; one program may report several.
        """
        uid = pod["metadata"]["uid"]
        if self._last.get((uid, topic)) == message:
            return
        self._last[uid, topic] = message
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        fields = {"level": level, "ts": now, "msg": message}
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        append(log_file(home, cluster, uid, pod["spec"]["containers"][0]["name"]), line)


def _folder(home: Path, cluster: str) -> Path:
    return home / "logs" / "pods" / cluster
