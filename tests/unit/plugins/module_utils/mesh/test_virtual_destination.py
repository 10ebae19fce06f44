"""A VirtualDestination's translation: found by labels and host, compared with what gateways take silently wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import virtual_destination as vd

Json = dict[str, Any]

HOST = "reviews.mesh.internal.com"
TARGET = vd.Target(HOST, 9080, "reviews-vd", "bookinfo")
LABELS = {
    "gloo.solo.io/parent_kind": "VirtualDestination",
    "gloo.solo.io/parent_name": "reviews-vd",
    "gloo.solo.io/parent_namespace": "bookinfo",
}


def service_entry(**spec: Any) -> Json:
    return {
        "metadata": {
            "name": "vd-x",
            "namespace": "bookinfo",
            "labels": dict(LABELS),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "hosts": [HOST],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [{"name": "http-9080", "number": 9080, "protocol": "HTTP"}],
            "workloadSelector": {"labels": {"app": "reviews"}},
            **spec,
        },
    }


def workload_entry() -> Json:
    return {
        "metadata": {"name": "vd-x-1", "namespace": "bookinfo", "labels": {**LABELS, "app": "reviews"}},
        "spec": {
            "address": "192.0.2.50",
            "labels": {"app": "reviews", vd.TLS_MODE: "istio"},
            "ports": {"http-9080": 15443},
        },
    }


def pod(name: str = "reviews-v1-5d-a", ready: bool = True, app: str = "reviews") -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "bookinfo",
            "labels": {"app": app, "version": "v1", "pod-template-hash": "5d"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "reviews-v1-5d"}],
        },
        "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def route(**ref: Any) -> Json:
    backend = {"group": "networking.istio.io", "kind": "Hostname", "name": HOST, "port": 9080, **ref}
    return {
        "metadata": {"name": "reviews", "namespace": "gloo-system"},
        "spec": {"rules": [{"backendRefs": [{k: v for k, v in backend.items() if v is not None}]}]},
    }


def objects(
    entries: list[Json] | None = None,
    workloads: list[Json] | None = None,
    pods: list[Json] | None = None,
    routes: list[Json] | None = None,
) -> vd.RoutingObjects:
    return vd.RoutingObjects(
        service_entries=[service_entry()] if entries is None else entries,
        workload_entries=[workload_entry()] if workloads is None else workloads,
        pods=[pod(), pod("details-1", app="details")] if pods is None else pods,
        http_routes=[route()] if routes is None else routes,
    )


def test_usable() -> None:
    record, verdict = vd.examine("cluster1", objects(), TARGET)
    assert verdict.ready and record["problems"] == []
    assert record["service_entry"] == "vd-x" and record["http_routes"] == ["gloo-system/reviews"]
    assert record["endpoints_local"] == [
        {"pod": "reviews-v1-5d-a", "ip": "10.0.0.7", "ready": True, "workload": "reviews-v1", "version": "v1"}
    ]
    remote = record["endpoints_remote"][0]
    assert (remote["address"], remote["port"], remote["tls"]) == ("192.0.2.50", 15443, "istio")


def changed(make: Callable[[], Json], change: Callable[[Json], Any]) -> Json:
    obj = copy.deepcopy(make())
    change(obj)
    return obj


OTHER_PORT = changed(service_entry, lambda e: e["spec"]["ports"][0].update(number=9081))
NO_METADATA_LABEL = changed(workload_entry, lambda w: w["metadata"]["labels"].pop("app"))
HOSTNAME_ADDRESS = changed(workload_entry, lambda w: w["spec"].update(address="lb.example.test"))
NO_ADDRESS = changed(workload_entry, lambda w: w["spec"].pop("address"))
NO_TLS = changed(workload_entry, lambda w: w["spec"]["labels"].pop(vd.TLS_MODE))
NO_PORT = changed(workload_entry, lambda w: w["spec"].pop("ports"))
FOREIGN = changed(service_entry, lambda e: e["metadata"].update(labels={}, name="hand-made"))
TYPO = changed(
    service_entry, lambda e: e["spec"].update(hosts=["review.mesh.internal.com"]) or e["metadata"].update(labels={})
)
UNRELATED = changed(
    service_entry, lambda e: e["spec"].update(hosts=["ratings.shop"]) or e["metadata"].update(labels={})
)
TWIN = changed(service_entry, lambda e: e["metadata"].update(name="younger", creationTimestamp="2026-02-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("situation", "state", "words"),
    [
        (objects(entries=[]), "waiting", "translated nothing into this cluster. Check that the agent is connected"),
        (objects(entries=[TYPO]), "waiting", "but one has review.mesh.internal.com. Compare the spelling"),
        (objects(entries=[UNRELATED]), "waiting", "no ServiceEntry has that host"),
        (objects(entries=[FOREIGN]), "failed", "was not translated from VirtualDestination bookinfo/reviews-vd"),
        (
            objects(entries=[TWIN, service_entry()]),
            "failed",
            "the oldest, bookinfo/vd-x, is used, not bookinfo/younger",
        ),
        (objects(entries=[OTHER_PORT], routes=[]), "failed", "has no port 9080 (ports: 9081)"),
        (objects(entries=[service_entry(resolution="NONE")]), "failed", "resolution NONE"),
        (objects(entries=[service_entry(resolution="DNS")]), "failed", "a gateway resolves the host by DNS"),
        (objects(entries=[service_entry(location="MESH_EXTERNAL")]), "failed", "without mTLS"),
        (objects(workloads=[NO_METADATA_LABEL]), "failed", "lacks the labels app=reviews in its metadata"),
        (objects(workloads=[HOSTNAME_ADDRESS]), "failed", "not an IP: gateways ignore it"),
        (objects(workloads=[NO_ADDRESS]), "waiting", "has no address"),
        (objects(workloads=[NO_TLS]), "failed", "plain text"),
        (objects(workloads=[NO_PORT]), "failed", "maps no port for http-9080"),
        (objects(workloads=[], pods=[pod(ready=False)]), "waiting", "no ready endpoint"),
        (objects(routes=[route(port=9081)]), "failed", "has port 9081, the ServiceEntry has 9080"),
        (objects(routes=[route(port=None)]), "failed", "has no port, the ServiceEntry has 9080"),
        (
            objects(routes=[route(namespace="bookinfo")]),
            "failed",
            "has namespace bookinfo: kind Hostname is not resolved with a namespace. Remove it",
        ),
        (objects(routes=[route(group=None)]), "failed", "kind Hostname requires group networking.istio.io"),
        (objects(routes=[route(kind="VirtualDestination", name="reviews-vd")]), "failed", "Use kind Hostname"),
    ],
)
def test_each_problem_is_reported(situation: vd.RoutingObjects, state: str, words: str) -> None:
    record, verdict = vd.examine("cluster1", situation, TARGET)
    assert verdict.state == state, verdict
    assert words in verdict.reason
    assert any(words in p for p in record["problems"])


def test_wrong_port_names_route_and_ports() -> None:
    _record, verdict = vd.examine("cluster1", objects(routes=[route(port=9081)]), TARGET)
    assert "HTTPRoute gloo-system/reviews rule 0" in verdict.reason
    assert verdict.reason.endswith("Set port 9080")


def test_routes_to_other_hosts_do_not_matter() -> None:
    assert vd.examine("cluster1", objects(routes=[route(name="other.host", port=1)]), TARGET)[1].ready


def test_found_by_name_alone_and_by_host_alone() -> None:
    for target in (vd.Target(name="reviews-vd"), vd.Target(host=HOST)):
        assert vd.examine("cluster1", objects(), target)[0]["host"] == HOST


def test_absent() -> None:
    left = vd.judge_absent(objects(), TARGET)
    assert left.state == "waiting"
    assert "ServiceEntry bookinfo/vd-x, WorkloadEntry bookinfo/vd-x-1" in left.reason
    assert vd.judge_absent(objects(entries=[FOREIGN], workloads=[]), TARGET).ready
