"""The summary of a run: clusters and proofs with their details, from the results that roles publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
TEMPLATES = Environment(loader=FileSystemLoader(PLAYBOOKS / "templates"), trim_blocks=True, undefined=StrictUndefined)
GROUPS = {"management": ["mgmt"], "workload": ["east", "west"], "gateway": ["east"]}
ISTIOD = {"version": "1.27.0", "address": "istiod.istio-system.svc:15012", "cluster_id": "east"}
CHECKED = {"info": [{"version": "v1.34.0", "server": "https://k"}]}
Hosts = dict[str, dict[str, Any]]


def summary(hosts: Hosts, check: bool = False) -> list[str]:
    text = TEMPLATES.get_template("summary.txt.j2").render(groups=GROUPS, hostvars=hosts, ansible_check_mode=check)
    return text.strip().split("\n")


@pytest.fixture
def hosts() -> Hosts:
    proxy = {"namespace": "gloo-system", "gateway": "http", "url": "http://192.0.2.2:8080", "containers": ["a", "b"]}
    answers = [
        {"instance": "reviews-v3-x", "cluster": "west", "workload": "reviews-v3", "count": 4},
        {"instance": "reviews-v1-y", "cluster": "", "workload": "reviews-v1", "count": 5},
    ]
    return {
        "mgmt": {
            "preflight_cluster": CHECKED,
            "mesh_result": {"relay_address": "192.0.2.1:9900", "telemetry_address": "192.0.2.3:4317"},
        },
        "east": {
            "preflight_cluster": CHECKED,
            "mesh_result": {"istiod": {}, "eastwest_address": "192.0.2.4"},
            "gateway_result": {"istiod": ISTIOD, "proxies": [proxy]},
            "routing_answers": [{"proof": "reviews", "path": "/reviews/0", "sent": 9, "answers": answers}],
        },
        "west": {
            "preflight_cluster": CHECKED,
            "bookinfo_result": {"istiod": {**ISTIOD, "version": None, "cluster_id": "west"}, "revision": "gloo"},
        },
    }


def test_clusters_and_proofs_with_their_details(hosts: Hosts) -> None:
    assert summary(hosts) == [
        "mgmt: Kubernetes v1.34.0 at https://k",
        "  relay 192.0.2.1:9900",
        "  telemetry 192.0.2.3:4317",
        "east: Kubernetes v1.34.0 at https://k",
        "  istiod 1.27.0 at istiod.istio-system.svc:15012, cluster ID east",
        "  east-west gateway 192.0.2.4",
        "  Gateway gloo-system/http at http://192.0.2.2:8080 (a, b)",
        "west: Kubernetes v1.34.0 at https://k",
        "  istiod of unknown version at istiod.istio-system.svc:15012, cluster ID west",
        "reviews (east): 9 x GET /reviews/0, responses from",
        "  reviews-v1-y in an unknown cluster: 5",
        "  reviews-v3-x in west: 4",
    ]


def test_hosts_without_results_are_named(hosts: Hosts) -> None:
    lines = summary({name: {} for name in hosts})
    assert lines == ["mgmt: not checked", "east: not checked", "west: not checked"]


def test_empty_results_add_nothing(hosts: Hosts) -> None:
    hosts["mgmt"]["mesh_result"] = {"relay_address": "", "telemetry_address": ""}
    hosts["east"] = {
        "preflight_cluster": CHECKED,
        "mesh_result": {"istiod": ISTIOD, "eastwest_address": ""},
        "bookinfo_result": {"istiod": {}, "revision": "gloo"},
        "gateway_result": {"istiod": {}, "proxies": []},
    }
    assert summary(hosts)[:2] == ["mgmt: Kubernetes v1.34.0 at https://k", "east: Kubernetes v1.34.0 at https://k"]


def test_check_mode_is_named(hosts: Hosts) -> None:
    assert summary(hosts, check=True)[-1] == "Check mode: nothing was changed and no request was sent."
