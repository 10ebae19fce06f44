"""Values as people write them into inventories, right and wrong."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.test import values


@pytest.mark.parametrize("name", ["cluster1", "kind-east.prod", "a", "1a", "2026-01-01", "c" * 63])
def test_takes_cluster_names(name: str) -> None:
    assert values.cluster_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "cluster_1",
        "Cluster1",
        "-a",
        "a-",
        "a..b",
        "c" * 64,
        "123",
        "1.5",
        "1e5",
        "0x1f",
        "0b101",
        "1e-5",
        "true",
        "on",
        "null",
        None,
        7,
    ],
)
def test_refuses_cluster_names(name: object) -> None:
    assert not values.cluster_name(name)


@pytest.mark.parametrize(
    "address",
    ["istiod-gloo.istio-system.svc:15012", "10.1.2.3:9900", "[fd00::1]:9900", "localhost:1", "Relay.Example.com:9900"],
)
def test_takes_addresses(address: str) -> None:
    assert values.host_port(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "istiod",
        "istiod:",
        ":15012",
        "istiod:0",
        "istiod:65536",
        "istiod:http",
        "10.1.2.300:9900",
        "fd00::1:9900",
        "[10.1.2.3]:1",
        "a_b:1",
        None,
        9900,
    ],
)
def test_refuses_addresses(address: object) -> None:
    assert not values.host_port(address)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (1, True),
        ("9080", True),
        (65535, True),
        (0, False),
        (65536, False),
        (True, False),
        ("", False),
        (9.0, False),
        ("+1", False),
    ],
)
def test_ports(value: object, fits: bool) -> None:
    assert values.port(value) is fits


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("reviews.mesh.internal.com", True),
        ("a." * 126 + "a", True),
        ("a." * 127 + "a", False),
        ("*.example.com", False),
        ("", False),
    ],
)
def test_dns_names(value: str, fits: bool) -> None:
    assert values.dns_name(value) is fits
