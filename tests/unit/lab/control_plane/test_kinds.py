"""API paths of kinds."""

from __future__ import annotations

from lab.control_plane.kinds import KINDS


def test_paths_of_kinds() -> None:
    assert KINDS["Pod"].path("ns", "p", "status") == "/api/v1/namespaces/ns/pods/p/status"
    assert KINDS["Node"].path("ignored", "n") == "/api/v1/nodes/n"
    assert KINDS["Gateway"].path() == "/apis/gateway.networking.k8s.io/v1/gateways"
    assert KINDS["Gateway"].crd == "gateways.gateway.networking.k8s.io"
