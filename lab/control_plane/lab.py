"""The whole lab as the simulated parts see it: clusters, programs, reserved addresses and ports."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Protocol

from lab import settings
from lab.control_plane.cluster import Cluster, Notify
from lab.control_plane.reservations import Reservations


class Part(Protocol):
    """One simulated part. Level-triggered: `reconcile` reads the whole lab and corrects what differs."""

    name: str
    kinds: tuple[str, ...]  # a change of one of these wakes the part

    def reconcile(self, lab: Lab) -> None:
        """Idempotent; reads caches, writes through the API. An exception is logged, the call repeated after a pause."""

    def stop(self) -> None:
        """End the part's own processes and listeners."""


class Lab:
    """State is kept in `home` (.lab)."""

    def __init__(
        self,
        *,
        home: Path,
        clusters: dict[str, Cluster],
        management: str,
        programs: dict[str, Path],
        istio_charts: Path,
        operator_gateway_api: Path,
    ) -> None:
        self.home = home
        self.clusters = clusters
        self.management = clusters[management]
        self.workloads = [cluster for name, cluster in clusters.items() if name != management]
        self.programs = programs
        self.istio_charts = istio_charts
        self.operator_gateway_api = operator_gateway_api
        self._lock = threading.Lock()
        self._used_ports: set[int] = set()
        self._reservations = Reservations.of(home)

    @classmethod
    def load(cls, home: Path) -> Lab:
        """The lab that `lab up` described in lab.json; FileNotFoundError when there is none."""
        state = json.loads((home / "lab.json").read_text())
        return cls(
            home=home,
            clusters={name: Cluster(name, home / "kubeconfig") for name in state["clusters"]},
            management=state["management"],
            programs={name: Path(path) for name, path in state["programs"].items()},
            istio_charts=Path(state["istio_charts"]),
            operator_gateway_api=Path(state["operator_gateway_api"]),
        )

    def start(self, notify: Notify = lambda kind: None) -> None:
        """Start all watches; `notify(kind)` is called after each change."""
        for cluster in self.clusters.values():
            cluster.start(notify)

    def wait_synced(self, timeout: float = 30.0) -> bool:
        """Wait until every cluster's served kinds were listed once. timeout in seconds, for each cluster."""
        return all(cluster.wait_synced(timeout) for cluster in self.clusters.values())

    def stop(self) -> None:
        for cluster in self.clusters.values():
            cluster.stop()

    def setting(self, key: str) -> str:
        """The present value of a row of lab/settings.py."""
        return settings.value(self.home, key)

    def free_port(self) -> int:
        """A free port of 127.0.0.1, never returned twice by this process."""
        with self._lock:
            while True:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    port = int(probe.getsockname()[1])
                if port not in self._used_ports:
                    self._used_ports.add(port)
                    return port

    def address(self, cluster: str, service: str, ports: list[int]) -> str:
        """The address 127.x.y.z of a LoadBalancer Service ("<namespace>/<name>"), kept over restarts.

        All `ports` are free on it when it is chosen.
        """
        return self._reservations.address(f"{cluster} {service}", ports)

    def release_address(self, cluster: str, service: str) -> None:
        """Release the address of a Service that was deleted."""
        self._reservations.drop(f"address {cluster} {service}")

    def istiod_port(self, cluster: str, revision: str) -> int:
        """The port of the webhooks of a cluster's istiod (https://localhost:<port>), kept over restarts."""
        return self._reservations.port(f"istiod {cluster} {revision or 'default'}")
