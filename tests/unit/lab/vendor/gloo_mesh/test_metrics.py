"""The management server's metrics: who is connected, over HTTP, while a server is there."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from lab.pods.pod_ports import PodPorts
from lab.vendor.gloo_mesh.metrics import PORT, Metrics

POD = ("mgmt", "uid-1")


@pytest.fixture
def board() -> PodPorts:
    return PodPorts()


@pytest.fixture
def metrics(board: PodPorts) -> Iterator[Metrics]:
    made = Metrics(board)
    yield made
    made.stop()


def asked(board: PodPorts, place: tuple[str, str] = POD, path: str = "/metrics") -> list[str]:
    url = f"http://127.0.0.1:{board.local(*place, PORT)}{path}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return [line for line in answer.read().decode().splitlines() if not line.startswith("#")]


def push(board: PodPorts, place: tuple[str, str] = POD) -> list[str]:
    return [line for line in asked(board, place) if line.startswith("relay_push_clients_connected")]


def test_a_cluster_is_named_from_its_first_connection_on(metrics: Metrics, board: PodPorts) -> None:
    metrics.serve(POD, [])
    assert asked(board) == []
    metrics.serve(POD, ["b", "a"])
    assert push(board) == [f'relay_push_clients_connected{{cluster="{name}"}} 1' for name in ("a", "b")]
    metrics.serve(POD, ["b"])
    assert [line[-1] for line in push(board)] == ["0", "1"]


def test_a_new_pod_has_forgotten_and_none_serves_nothing(metrics: Metrics, board: PodPorts) -> None:
    metrics.serve(POD, ["a"])
    metrics.serve(("mgmt", "uid-2"), ["b"])
    assert board.local(*POD, PORT) is None
    assert push(board, ("mgmt", "uid-2")) == ['relay_push_clients_connected{cluster="b"} 1']
    metrics.serve(None, [])
    assert board.pods() == set()


def test_other_paths_are_not_there(metrics: Metrics, board: PodPorts) -> None:
    metrics.serve(POD, [])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        asked(board, path="/")
