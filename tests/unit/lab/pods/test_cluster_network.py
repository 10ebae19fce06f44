"""Cluster DNS and kube-proxy: resolved names, errors, and the proxy over a socket."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab.pods import cluster_network
from lab.pods.cluster_network import Network, Unreachable

ISTIOD = "istiod-gloo.istio-system.svc"


def cluster(made: Any) -> Any:
    istiod = made.pod("istiod", namespace="istio-system", sidecar=False)
    unready = made.pod("unready", namespace="istio-system", sidecar=False, ready=False)
    unserved = made.pod("unserved", namespace="istio-system", sidecar=False)
    return made.Cluster(
        "cluster1",
        *(istiod, unready, unserved),
        *made.service("istiod-gloo", 15012, [istiod], clusterIP="10.96.1.2"),
        *made.service("mapped", 443, [istiod], target=15017),
        *made.service("half", 15012, [unready, istiod]),
        *made.service("not-ready", 15012, [unready], clusterIP="10.96.1.3"),
        *made.service("not-simulated", 15012, [unserved], clusterIP="10.96.1.4"),
        *made.service("near", 15012, [istiod]),
        made.obj("Service", "alias", "istio-system", spec={"externalName": f"{ISTIOD}.cluster.local."}),
        made.obj("Service", "outside", "istio-system", spec={"externalName": "istiod.example.test"}),
    )


def local(name: str, uid: str, port: int) -> int | None:
    places = {("uid-istiod", 15012): 4012, ("uid-istiod", 15017): 4017, ("uid-unready", 15012): 4999}
    return places.get((uid, port))


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        (ISTIOD, 15012, 4012),
        ("istiod-gloo.istio-system", 15012, 4012),
        ("istiod-gloo.istio-system.svc.cluster.local", 15012, 4012),
        ("istiod-gloo.istio-system.svc.cluster.local.", 15012, 4012),
        ("10.96.1.2", 15012, 4012),
        ("mapped.istio-system.svc", 443, 4017),
        ("half.istio-system.svc", 15012, 4012),
        ("alias.istio-system.svc", 15012, 4012),
    ],
)
def test_names_that_resolve(made: Any, host: str, port: int, found: int) -> None:
    assert cluster_network.find(cluster(made), local, "gloo-system", host, port) == found


def test_a_short_name_is_one_of_the_pods_own_namespace(made: Any) -> None:
    assert cluster_network.find(cluster(made), local, "istio-system", "near", 15012) == 4012
    with pytest.raises(Unreachable, match="lookup near: no such host"):
        cluster_network.find(cluster(made), local, "gloo-system", "near", 15012)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("istiod-nope.istio-system.svc", 15012, "lookup istiod-nope.istio-system.svc: no such host"),
        ("istiod-gloo.elsewhere.svc", 15012, "lookup istiod-gloo.elsewhere.svc: no such host"),
        ("istiod.example.test", 15012, "lookup istiod.example.test: no such host"),
        (f"{ISTIOD}.", 15012, "no such host"),  # a name with a dot at its end is complete
        ("outside.istio-system.svc", 15012, "no such host"),
        (ISTIOD, 15999, "dial tcp 10.96.1.2:15999: connect: connection refused"),
        ("not-ready.istio-system.svc", 15012, "dial tcp 10.96.1.3:15012: connect: connection refused"),
        ("not-simulated.istio-system.svc", 15012, "connection refused"),
        ("192.0.2.7", 15012, "dial tcp 192.0.2.7:15012: i/o timeout"),
    ],
)
def test_names_that_do_not_resolve_or_connect(made: Any, host: str, port: int, words: str) -> None:
    with pytest.raises(Unreachable) as refused:
        cluster_network.find(cluster(made), local, "gloo-system", host, port)
    assert words in str(refused.value)


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def network(far: socket.socket) -> Iterator[Network]:
    def find(cluster: str, namespace: str, host: str, port: int) -> int:
        if (cluster, namespace, host, port) == ("cluster1", "gloo-system", ISTIOD, 15012):
            return int(far.getsockname()[1])
        raise Unreachable(f"{cluster} {namespace} {host} {port}: no such host")

    made = Network(find)
    yield made
    made.stop()


def connect(network: Network, target: str, user: str = "cluster1:gloo-system") -> socket.socket:
    port = int(network.proxy("cluster1", "gloo-system").rpartition(":")[2])
    near = socket.create_connection(("127.0.0.1", port), timeout=10)
    user64 = base64.b64encode(user.encode()).decode()
    near.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {user64}\r\n\r\n".encode())
    return near


def test_bytes_pass_unchanged_both_ways(network: Network, far: socket.socket) -> None:
    assert network.proxy("cluster1", "gloo-system").startswith("http://cluster1:gloo-system@127.0.0.1:")
    with connect(network, f"{ISTIOD}:15012") as near:
        assert near.recv(100).startswith(b"HTTP/1.1 200 ")
        other, _ = far.accept()
        with other:
            near.sendall(b"\x16\x03\x01hello")
            assert other.recv(100) == b"\x16\x03\x01hello"
            other.sendall(b"answer")
            assert near.recv(100) == b"answer"


@pytest.mark.parametrize(
    ("target", "user", "words"),
    [
        ("nope:15012", "cluster1:gloo-system", b"cluster1 gloo-system nope 15012: no such host"),
        (f"{ISTIOD}:15012", "cluster2:gloo-system", b"cluster2"),
        (f"{ISTIOD}:15012", "", b"own containers only"),
        ("no-port", "cluster1:gloo-system", b"own containers only"),
    ],
)
def test_a_refusal_has_the_reason(network: Network, target: str, user: str, words: bytes) -> None:
    with connect(network, target, user) as near:
        answer = b""
        while chunk := near.recv(1000):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 502 ") and words in answer
