"""Addresses and ports of a lab."""

from __future__ import annotations

from pathlib import Path

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab


def test_a_released_address_is_given_back(tmp_path: Path) -> None:
    lab = Lab(
        home=tmp_path,
        clusters={"mgmt": Cluster("mgmt", tmp_path / "kubeconfig")},
        management="mgmt",
        programs={},
        istio_charts=tmp_path,
        operator_gateway_api=tmp_path,
    )
    address = lab.address("mgmt", "ns/one", [9900])
    assert lab.address("mgmt", "ns/one", [9900]) == address
    assert lab.address("mgmt", "ns/two", [9900]) != address
    lab.release_address("mgmt", "ns/one")
    assert "ns/one" not in (tmp_path / "reservations.json").read_text()
    assert lab.istiod_port("cluster1", "gloo") == lab.istiod_port("cluster1", "gloo")
    assert lab.istiod_port("cluster1", "gloo") != lab.istiod_port("cluster1", "")
    assert len({lab.free_port() for _ in range(10)}) == 10
