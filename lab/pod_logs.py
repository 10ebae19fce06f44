"""What containers say, in files that `kubectl logs` reads through kwok.

One file per container, `logs/pods/<cluster>/<Pod uid>/<container>.log`. kwok reads the container runtimes' format (CRI)
and nothing else: each line begins with its time, stream and a tag. kubectl shows the line without them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

Object = dict[str, Any]


def log_file(home: Path, cluster: str, uid: str, container: str) -> Path:
    """The log of one container of the lab at `home`."""
    return _folder(home, cluster) / uid / f"{container}.log"


def logs_of(home: Path, cluster: str, uid: str) -> dict[str, Path]:
    """Container name -> its log, of a Pod's containers that have said something."""
    return {file.stem: file for file in sorted((_folder(home, cluster) / uid).glob("*.log"))}


def forget(home: Path, cluster: str, living: Iterable[str]) -> None:
    """Remove the logs of Pods whose uid is not among the living."""
    keep = set(living)
    for folder in _folder(home, cluster).glob("*"):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def append(file: Path, text: str) -> None:
    """Write what a container says now: one line or several."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.write(b"".join(as_cri(line.encode()) for line in text.splitlines()))


def copy(said: IO[bytes], file: Path) -> None:
    """Write what a process says, line by line, until it ends. Blocks: give it a thread."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        for line in said:
            out.write(as_cri(line.rstrip(b"\r\n")))
            out.flush()


def as_cri(line: bytes) -> bytes:
    """One full line of stdout, said now."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z stdout F ").encode() + line + b"\n"


class Played:
    """The log of played programs. A program says a thing again only after it said another: once per state."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], str] = {}

    def say(self, home: Path, cluster: str, pod: Object, level: str, message: str, topic: str = "") -> None:
        """One JSON line, as the vendor's programs write them, into the log of the Pod's first container.

        topic: what the message is the state of; one program may tell of several.
        """
        uid = pod["metadata"]["uid"]
        if self._said.get((uid, topic)) == message:
            return
        self._said[uid, topic] = message
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        fields = {"level": level, "ts": now, "msg": message}
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        append(log_file(home, cluster, uid, pod["spec"]["containers"][0]["name"]), line)


def _folder(home: Path, cluster: str) -> Path:
    return home / "logs" / "pods" / cluster
