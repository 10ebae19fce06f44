"""On empty clusters: check mode shows everything and writes nothing; invalid input fails before the first write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from acceptance import snapshot
from acceptance.audit import Mark
from acceptance.site import Inventory, Site, edited, guide_data, missing


def test_check_mode_says_what_would_be_created(empty: Site, before: dict[str, snapshot.Snapshot]) -> None:
    mark = Mark(empty)

    run = empty.play("site", "--check", "--diff").ok()
    empty.note("site.yml --check --diff on empty clusters", run.seconds)

    assert [str(write) for write in mark.writes()] == []
    assert snapshot.all_differences(before, snapshot.take(empty)) == []
    assert set(run.recap) >= set(empty.clusters)
    assert all(counts["failed"] == counts["unreachable"] == 0 for counts in run.recap.values())
    assert all(run.recap[cluster]["changed"] > 0 for cluster in empty.clusters), run.recap
    told = (
        "gloo-platform",
        "gloo-operator",
        "managed-istio",
        "istio-eastwestgateway",
        "root-trust",
        "productpage-v1",
        "reviews-v3",
        "reviews-vd",
        "bookinfo-east-west",
        "gloo-gateway",
        "custom-gw-params",
        "gloo-system/http",
        "bookinfo/productpage",
        "gloo-system/reviews",
    )
    assert missing([re.escape(name) for name in told], run.text) == []


@dataclass(frozen=True)
class BadInput:
    """What is wrong, how, and what the error says: the cluster (or the inventory), the field, the hint."""

    name: str
    says: tuple[str, ...]
    inventory: Callable[[Site, Inventory], None] | None = None
    kubeconfig: Callable[[Site, dict[str, Any]], None] | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _hosts(inventory: Inventory, group: str) -> dict[str, Any]:
    hosts: dict[str, Any] = inventory["all"]["children"][group]["hosts"]
    return hosts


def _host(site: Site, inventory: Inventory, **variables: str) -> None:
    _hosts(inventory, "workload")[site.remote_cluster].update(variables)


def _renamed(site: Site, inventory: Inventory) -> None:
    hosts = _hosts(inventory, "workload")
    hosts["cluster_two"] = hosts.pop(site.remote_cluster)


def _without_context(site: Site, config: dict[str, Any]) -> None:
    config["contexts"] = [entry for entry in config["contexts"] if entry["name"] != site.remote_cluster]


def _nobody_listens(site: Site, config: dict[str, Any]) -> None:
    used = next(entry["context"]["cluster"] for entry in config["contexts"] if entry["name"] == site.remote_cluster)
    server = next(entry["cluster"] for entry in config["clusters"] if entry["name"] == used)
    server["server"] = "https://127.0.0.1:1"


def _destination(**spec: Any) -> dict[str, Any]:
    sound = {"hosts": ["a.mesh.internal.com"], "ports": [{"number": 80, "protocol": "HTTP"}]}
    whole = {**sound, "services": [{"labels": {"app": "a"}}], **spec}
    return {"routing_virtual_destinations": [{"name": "a", "namespace": "bookinfo", "spec": whole}]}


def _route(port: int = 9080, **spec: Any) -> dict[str, Any]:
    rules = [{"backendRefs": [{"name": "reviews", "port": port}]}]
    whole = {"parentRefs": [{"name": "http", "namespace": "gloo-system"}], "rules": rules, **spec}
    return {"routing_http_routes": [{"name": "reviews", "namespace": "bookinfo", "step": "step5", "spec": whole}]}


def _listeners(*more: dict[str, Any]) -> dict[str, Any]:
    return {"gateway_listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}, *more]}


def _proofs(*, without: str) -> dict[str, Any]:
    """The guide's proofs without those of one step."""
    data = guide_data()
    return {"routing_proofs": [proof for proof in data["routing_proofs"] if proof["step"] != without]}


BAD_INPUT = (
    BadInput(
        "unknown context",
        (r"{remote}: ", r"kube_context", r"nowhere", r"contexts: .*{gateway}"),
        inventory=lambda site, hosts: _host(site, hosts, kube_context="nowhere"),
    ),
    BadInput(
        "context missing in the kubeconfig",
        (r"{remote}: ", r"no context '{remote}'", r"contexts: .*{gateway}"),
        kubeconfig=_without_context,
    ),
    BadInput("API server unreachable", (r"{remote}", r"127\.0\.0\.1:1\b"), kubeconfig=_nobody_listens),
    BadInput(
        "two hosts with the same cluster",
        (r"{remote}", r"{gateway}", r"(?i)same cluster"),
        inventory=lambda site, hosts: _host(site, hosts, kube_context=site.gateway_cluster),
    ),
    BadInput("name with underscore", (r"cluster_two", r"(?i)underscore|lower[- ]?case|DNS"), inventory=_renamed),
    BadInput(
        "no workload cluster",
        (r"group workload\b.*\bempty",),
        inventory=lambda site, hosts: hosts["all"]["children"]["workload"].update(hosts={}),
    ),
    BadInput(
        "no gateway cluster",
        (r"group gateway\b.*\bempty",),
        inventory=lambda site, hosts: hosts["all"]["children"]["gateway"].update(hosts={}),
    ),
    BadInput(
        "licence of Gloo Mesh missing",
        (r"GLOO_MESH_LICENSE_KEY", r"mesh_license_key", r"{management}"),
        environment={"GLOO_MESH_LICENSE_KEY": ""},
    ),
    BadInput(
        "licence of Gloo Gateway missing",
        (r"GLOO_GATEWAY_LICENSE_KEY", r"gateway_license_key", r"{gateway}"),
        environment={"GLOO_GATEWAY_LICENSE_KEY": ""},
    ),
    BadInput(
        "malformed host", (r"reviews_mesh", r"hosts"), variables=_destination(hosts=["reviews_mesh..internal.com"])
    ),
    BadInput(
        "malformed port", (r"99999", r"port"), variables=_destination(ports=[{"number": 99999, "protocol": "HTTP"}])
    ),
    BadInput("empty list", (r"{gateway}", r"routing_virtual_destinations", r"hosts"), variables=_destination(hosts=[])),
    BadInput("no proof", (r"routing_proofs is empty",), variables={"routing_proofs": []}),
    BadInput("no proof of step 5", (r"routing_proofs", r"step: step5"), variables=_proofs(without="step5")),
    BadInput("no proof inside the mesh", (r"routing_proofs", r"from_pod"), variables=_proofs(without="step1")),
    BadInput(
        "former name of a variable",
        (r"step4_proofs is no longer used", r"routing_proofs, with step: step4"),
        variables={"step4_proofs": []},
    ),
    BadInput(
        "malformed port of a route",
        (r"routing_http_routes", r"bookinfo/reviews", r"backendRefs\[0\]\.port", r"99999"),
        variables=_route(port=99999),
    ),
    BadInput(
        "malformed hostname of a route",
        (r"routing_http_routes", r"bookinfo/reviews", r"hostnames", r"reviews_mesh"),
        variables=_route(hostnames=["reviews_mesh..internal.com"]),
    ),
    BadInput(
        "number for text", (r"{gateway}", r"bookinfo_image_tag is 1\.2\b"), variables={"bookinfo_image_tag": 1.20}
    ),
    BadInput("no value", (r"{management}", r"mesh_layers is null"), variables={"mesh_layers": None}),
    BadInput(
        "text for a list", (r"mesh_restart_namespaces is text",), variables={"mesh_restart_namespaces": "bookinfo"}
    ),
    BadInput("too long", (r"mesh_istio_namespace is text of 64",), variables={"mesh_istio_namespace": "x" * 64}),
    BadInput("negative timeout", (r"mesh_wait_timeout is -1\b",), variables={"mesh_wait_timeout": -1}),
    BadInput(
        "unknown host",
        (r"routing_workload_hosts\[0\] is 'nowhere': the inventory has no such host",),
        variables={"routing_workload_hosts": ["nowhere"]},
    ),
    BadInput(
        "listeners with the same name",
        (r"{gateway}: gateway_listeners\[1\]\.name is 'http'",),
        variables=_listeners({"name": "http", "port": 8081, "protocol": "HTTP"}),
    ),
    BadInput(
        "unknown field",
        (r"routing_virtual_destinations\[0\]\.spec\.service \(bookinfo/a\)", r"Use services"),
        variables=_destination(service=[{"labels": {"app": "a"}}]),
    ),
    BadInput("no data", (r"site_data is '/nowhere\.yml': no such file",), variables={"site_data": "/nowhere.yml"}),
    BadInput(
        "no Helm", (r"helm_binary is '/nowhere/helm': no such program",), variables={"helm_binary": "/nowhere/helm"}
    ),
)


@pytest.fixture
def unchanged(empty: Site) -> Iterator[Site]:
    """The empty lab; fails the test when a write was asked for."""
    mark = Mark(empty)
    yield empty
    assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
@pytest.mark.parametrize("bad", BAD_INPUT, ids=str)
def test_bad_input_ends_before_the_first_write(unchanged: Site, bad: BadInput) -> None:
    site = unchanged
    names = {"management": site.management, "gateway": site.gateway_cluster, "remote": site.remote_cluster}
    inventory = site.inventory
    if bad.inventory:
        bad.inventory(site, inventory)
    with ExitStack() as files:
        if bad.kubeconfig:
            change = bad.kubeconfig
            copy = files.enter_context(edited(site.kubeconfig, lambda config: change(site, config)))
            inventory["all"]["vars"]["kubeconfig"] = str(copy)
        run = site.play("site", inventory=inventory, variables=bad.variables, environment=bad.environment)

    assert run.code != 0, run.output
    assert "Traceback" not in run.output
    assert missing([pattern.format(**names) for pattern in bad.says], run.errors) == []
    assert run.changed == {}
    if bad.variables:
        errors = re.search(r"^(\[ERROR\].*?)^PLAY RECAP", run.output, re.MULTILINE | re.DOTALL)
        assert errors and len(errors[1].strip().splitlines()) <= 15, run.output
