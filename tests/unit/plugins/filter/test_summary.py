"""The lines a run ends with."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.filter import summary

GROUPS = {"management": ["mgmt"], "workload": ["east", "west"], "gateway": ["east"]}
ISTIOD = {"version": "1.27.0", "address": "istiod.istio-system.svc:15012", "cluster_id": "east"}


def test_everything_a_person_wants_to_know() -> None:
    relay = {"kind": "Service", "name": "gloo-mesh-mgmt-server", "address": "192.0.2.1"}
    answer = {"instance": "reviews-v3-x", "cluster": "west", "workload": "reviews-v3", "count": 4}
    proof = {"proof": "reviews", "path": "/reviews/0", "sent": 9, "answers": [answer]}
    proxy = {"namespace": "gloo-system", "gateway": "http", "url": "http://192.0.2.2:8080", "containers": ["a", "b"]}
    info = {"info": [{"version": "v1.34.0", "server": "https://k"}]}
    hosts: dict[str, dict[str, Any]] = {
        "mgmt": {"preflight_cluster": info, "__mesh_management": {"objects": [relay]}},
        "east": {
            "preflight_cluster": info,
            "__gateway_istiod": {"istiod": ISTIOD},
            "__gateway_proxy": {"proxies": [proxy]},
            "routing_answers": [proof],
        },
        "west": {},
    }
    assert summary.run_summary(hosts, GROUPS) == [
        "mgmt: Kubernetes v1.34.0, https://k",
        "  relay 192.0.2.1",
        "east: Kubernetes v1.34.0, https://k",
        "  istiod 1.27.0, istiod.istio-system.svc:15012",
        "  cluster ID east",
        "  Gateway gloo-system/http, http://192.0.2.2:8080",
        "  containers a, b",
        "west: not looked at",
        "reviews (east): 9 x GET /reviews/0",
        "  reviews-v3-x in west: 4",
    ]


def test_check_mode_proves_nothing_and_says_so() -> None:
    assert "nothing is proven" in summary.run_summary({"mgmt": {}, "east": {}, "west": {}}, GROUPS, True)[-1]
