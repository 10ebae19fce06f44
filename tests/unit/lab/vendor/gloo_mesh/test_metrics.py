"""The management server's metrics: connected agents, over HTTP, while the server has a ready Pod."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from lab.pods.pod_ports import PodPorts
from lab.vendor.gloo_mesh.metrics import PORT, Metrics

POD = ("mgmt", "uid-1")


@pytest.fixture
def pod_ports() -> PodPorts:
    return PodPorts()


@pytest.fixture
def metrics(pod_ports: PodPorts) -> Iterator[Metrics]:
    made = Metrics(pod_ports)
    yield made
    made.stop()


def scrape(pod_ports: PodPorts, place: tuple[str, str] = POD, path: str = "/metrics") -> list[str]:
    url = f"http://127.0.0.1:{pod_ports.local(*place, PORT)}{path}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
        return [line for line in response.read().decode().splitlines() if not line.startswith("#")]


def push(pod_ports: PodPorts, place: tuple[str, str] = POD) -> list[str]:
    return [line for line in scrape(pod_ports, place) if line.startswith("relay_push_clients_connected")]


def test_a_cluster_appears_with_its_first_connection(metrics: Metrics, pod_ports: PodPorts) -> None:
    metrics.serve(POD, [])
    assert scrape(pod_ports) == []
    metrics.serve(POD, ["b", "a"])
    assert push(pod_ports) == [f'relay_push_clients_connected{{cluster="{name}"}} 1' for name in ("a", "b")]
    metrics.serve(POD, ["b"])
    assert [line[-1] for line in push(pod_ports)] == ["0", "1"]


def test_a_new_pod_starts_empty_and_without_a_pod_nothing_is_served(metrics: Metrics, pod_ports: PodPorts) -> None:
    metrics.serve(POD, ["a"])
    metrics.serve(("mgmt", "uid-2"), ["b"])
    assert pod_ports.local(*POD, PORT) is None
    assert push(pod_ports, ("mgmt", "uid-2")) == ['relay_push_clients_connected{cluster="b"} 1']
    metrics.serve(None, [])
    assert pod_ports.pods() == set()


def test_other_paths_are_not_found(metrics: Metrics, pod_ports: PodPorts) -> None:
    metrics.serve(POD, [])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        scrape(pod_ports, path="/")
