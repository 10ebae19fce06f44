"""Addresses and ports of loopback that stay the same over restarts, in one JSON file that several processes may use."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PORTS = range(20000, 31000)  # below the ephemeral ports
ATTEMPTS = 500


class Reservations:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, home: Path) -> Reservations:
        """The reservations of the lab in this folder."""
        return cls(home / "reservations.json")

    def address(self, key: str, ports: list[int]) -> str:
        """A loopback address on which all `ports` are free."""
        return str(self._reserve(f"address {key}", lambda seed, taken: _free_address(seed, ports, taken)))

    def port(self, key: str) -> int:
        """A port of 127.0.0.1."""
        return int(self._reserve(f"port {key}", _free_port))

    def drop(self, key: str) -> None:
        with self._locked():
            known = self._read()
            if known.pop(key, None) is not None:
                self._write(known)

    def _reserve(self, key: str, choose: Callable[[str, set[Any]], Any]) -> Any:
        known = self._read()
        if key not in known:
            with self._locked():
                known = self._read()
                if key not in known:
                    known[key] = choose(f"{self.path}|{key}", set(known.values()))
                    self._write(known)
        return known[key]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return {}

    def _write(self, known: dict[str, Any]) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(known, indent=1, sort_keys=True))
        fresh.replace(self.path)


def _free_address(seed: str, ports: list[int], taken: set[Any]) -> str:
    for digest in _digests(seed):
        address = f"127.{1 + digest[0] % 254}.{digest[1]}.{1 + digest[2] % 254}"
        if address not in taken and all(_bindable(address, port) for port in ports):
            return address
    raise OSError(f"no loopback address has all of these ports free: {ports}")


def _free_port(seed: str, taken: set[Any]) -> int:
    for digest in _digests(seed):
        port = PORTS[int.from_bytes(digest[:4], "big") % len(PORTS)]
        if port not in taken and _bindable("127.0.0.1", port):
            return port
    raise OSError(f"no port between {PORTS.start} and {PORTS.stop} of 127.0.0.1 is free")


def _digests(seed: str) -> Iterator[bytes]:
    """The same sequence for the same seed, so that a lab made again gets its addresses again where they are free."""
    for attempt in range(ATTEMPTS):
        yield hashlib.sha256(f"{seed}|{attempt}".encode()).digest()


def _bindable(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
