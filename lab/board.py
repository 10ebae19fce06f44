"""Where a Pod's port is really served on this machine, shared by the parts that serve, route and report.

Pods have addresses nobody listens on. For each (cluster, Pod uid, port) that a played or real program serves, the
board knows the port of 127.0.0.1. Filled by lab/dataplane.py and lab/kubelet.py, read by both; safe between threads.
"""

from __future__ import annotations

import threading

Place = tuple[str, str, int]  # cluster, Pod uid, port of the Pod

SIDECAR = 15001  # a Pod's outbound proxy has this port in Istio; here it is the HTTP proxy that `exec` uses
ADMIN = 19000  # Envoy's admin port in a gateway proxy Pod


class Board:
    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._ports: dict[Place, int] = {}

    def put(self, cluster: str, uid: str, port: int, local: int) -> None:
        with self._lock:
            self._ports[cluster, uid, port] = local
            self._lock.notify_all()

    def local(self, cluster: str, uid: str, port: int) -> int | None:
        """The port of 127.0.0.1, None when nobody serves this port of the Pod."""
        with self._lock:
            return self._ports.get((cluster, uid, port))

    def wait(self, place: Place, timeout: float) -> bool:
        """Wait until somebody serves this port of the Pod."""
        with self._lock:
            return self._lock.wait_for(lambda: place in self._ports, timeout)

    def ports(self, cluster: str, uid: str) -> dict[int, int]:
        """All served ports of a Pod."""
        with self._lock:
            return {place[2]: local for place, local in self._ports.items() if place[:2] == (cluster, uid)}

    def drop(self, cluster: str, uid: str) -> None:
        with self._lock:
            for place in [place for place in self._ports if place[:2] == (cluster, uid)]:
                del self._ports[place]

    def pods(self) -> set[tuple[str, str]]:
        with self._lock:
            return {place[:2] for place in self._ports}


BOARD = Board()
