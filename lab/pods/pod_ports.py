"""Where a Pod's port is really served on this machine.

Nothing listens on Pod addresses. For each (cluster, Pod uid, port) that a program serves, this table has the port of
127.0.0.1. Written and read by several parts; safe between threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Place = tuple[str, str, int]  # cluster, Pod uid, port of the Pod
LocalPort = Callable[[str, str, int], "int | None"]  # the same three -> port of 127.0.0.1

SIDECAR_PORT = 15001  # the Pod's outbound proxy, as in Istio; here an HTTP proxy that `kubectl exec` uses
ENVOY_ADMIN_PORT = 19000  # Envoy's admin port in a gateway proxy Pod


class PodPorts:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ports: dict[Place, int] = {}

    def put(self, cluster: str, uid: str, port: int, local: int) -> None:
        with self._changed:
            self._ports[cluster, uid, port] = local
            self._changed.notify_all()

    def local(self, cluster: str, uid: str, port: int) -> int | None:
        """The port of 127.0.0.1, None when no program serves this port of the Pod."""
        with self._changed:
            return self._ports.get((cluster, uid, port))

    def wait(self, place: Place, timeout: float) -> bool:
        """Wait until a program serves this port of the Pod; returns whether one does. timeout in seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: place in self._ports, timeout)

    def of_pod(self, cluster: str, uid: str) -> dict[int, int]:
        """Port of the Pod -> port of 127.0.0.1."""
        with self._changed:
            return {place[2]: local for place, local in self._ports.items() if place[:2] == (cluster, uid)}

    def drop(self, cluster: str, uid: str) -> None:
        with self._changed:
            for place in [place for place in self._ports if place[:2] == (cluster, uid)]:
                del self._ports[place]

    def pods(self) -> set[tuple[str, str]]:
        """(cluster, uid) of every Pod with a served port."""
        with self._changed:
            return {place[:2] for place in self._ports}


POD_PORTS = PodPorts()
