"""The removal of one cluster: what leads to it, what is refused, and the Service that Gloo Mesh no longer selects."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.removal import (
    HIDDEN,
    Member,
    Request,
    Site,
    hidden,
    paths_of,
    refusals,
    selected_in,
    shown_again,
)

from .objects import Json, build

PARENT = {
    f"gloo.solo.io/parent_{k}": v for k, v in (("kind", "VirtualDestination"), ("namespace", "app"), ("name", "vd"))
}
EAST_WEST = {"istio": "eastwestgateway"}


def service(address: str, labels: Json = EAST_WEST, name: str = "ew", key: str = "ip", **spec: Any) -> Json:
    ports = [{"name": "status", "port": 15021}, {"name": "tls", "port": 15443, "nodePort": 31000}]
    status = {"loadBalancer": {"ingress": [{key: address}]}} if address else {}
    return build("Service", name, "istio", labels, spec={"ports": ports, **spec}, status=status)


def entry(address: str, labels: Json = PARENT, **spec: Any) -> Json:
    found = build("WorkloadEntry", f"we-{address}", "app", labels, spec={"address": address, **spec})
    return {**found, "apiVersion": "networking.istio.io/v1"}


def service_entry(*addresses: str, labels: Json = PARENT) -> Json:
    found = build("ServiceEntry", "se", "app", labels, spec={"endpoints": [{"address": each} for each in addresses]})
    return {**found, "apiVersion": "networking.istio.io/v1"}


def agent(name: str) -> Json:
    containers = [{"name": "gloo-mesh-agent", "args": [f"--cluster={name}", "--relay-address=x:9900"]}]
    return build("Deployment", "gloo-mesh-agent", "gloo-mesh", spec={"template": {"spec": {"containers": containers}}})


def settings(*entries: Json) -> Json:
    return build("WorkspaceSettings", "ws", "gloo-mesh", spec={"options": {"eastWestGateways": list(entries)}})


def registration(name: str) -> Json:
    return build("KubernetesCluster", name, "gloo-mesh", spec={"clusterDomain": "cluster.local"})


MGMT = Member("mgmt", "management", uid="m", objects={"KubernetesCluster": [registration("c1"), registration("c2")]})
C1 = Member("c1", "workload", True, uid="1", objects={"Service": [service("192.0.2.1")], "Deployment": [agent("c1")]})
C2 = Member("c2", "workload", uid="2", objects={"Service": [service("192.0.2.2")], "Deployment": [agent("c2")]})


def recorded(name: str, uid: str) -> Json:
    found = registration(name)
    return {**found, "metadata": {**found["metadata"], "annotations": {"multicluster.gloo/cluster-uid": uid}}}


def having(member: Member, **objects: Sequence[Json]) -> Member:
    return replace(member, objects={**member.objects, **objects})


def leads(site: Site) -> list[str]:
    return [lead.obj["metadata"]["name"] for lead in site.leads()]


def site(*members: Member, **request: Any) -> Site:
    return Site(members, Request(**{"name": "c2", **request}))


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (entry("192.0.2.2"), True),
        (entry("192.0.2.1"), False),
        (entry("192.0.2.1", locality="c2"), False),  # a region may have the name of a cluster
        (entry("198.51.100.9", locality="c2"), True),
        (entry("198.51.100.9", labels={}, locality="c2"), True),
        (entry("198.51.100.9", labels={}, locality="c2/zone"), True),
        (entry("198.51.100.9", labels={}, locality="c2/zone/subzone"), True),
        (entry("198.51.100.9", labels={}, locality="c22/c2"), False),
        (entry("198.51.100.9", labels={}, locality={"c2": 1}), False),
        (entry("", network="c2"), True),
        (entry("", network="c1"), False),
        (entry("", labels={**PARENT, "topology.istio.io/network": "c2"}), True),
        # Every other registered cluster has a known address, so this one is of the cluster that goes.
        (entry("198.51.100.9"), True),
        (entry("198.51.100.9", labels={}), False),
        (entry("198.51.100.9", labels={**PARENT, "gloo.solo.io/parent_kind": "ExternalService"}), False),
    ],
)
def test_an_endpoint_leads_to_the_cluster_by_address_name_or_elimination(obj: Json, expected: bool) -> None:
    found = site(MGMT, having(C1, WorkloadEntry=[obj]), C2)
    assert bool(leads(found)) is expected


@pytest.mark.parametrize("written", ["2001:db8::5", "[2001:db8::5]", "2001:DB8:0::5", "[2001:db8::5]:15443"])
@pytest.mark.parametrize("address", ["2001:db8::5", "[2001:db8::5]", "2001:db8:0:0::5"])
def test_an_ipv6_address_in_the_settings_is_known_in_every_spelling(written: str, address: str) -> None:
    override = settings({"selector": {"cluster": "c2"}, "hostInfoOverrides": [{"addr": written}]})
    management = having(MGMT, WorkspaceSettings=[override])
    found = site(management, having(C1, WorkloadEntry=[entry(address, labels={})]), replace(C2, unreachable="down"))
    assert leads(found) == [f"we-{address}"]


def test_elimination_needs_the_addresses_of_all_other_clusters() -> None:
    unknown = entry("198.51.100.9")
    more = having(MGMT, KubernetesCluster=[registration(name) for name in ("c1", "c2", "c3")])
    assert leads(site(more, having(C1, WorkloadEntry=[unknown]), C2)) == []
    external = build("VirtualDestination", "vd", "app", spec={"externalWorkloads": [{}]})
    assert leads(site(having(MGMT, VirtualDestination=[external]), having(C1, WorkloadEntry=[unknown]), C2)) == []


@pytest.mark.parametrize("key", ["ip", "hostname"])
@pytest.mark.parametrize("address", ["2001:db8::2", "ew.example.com", "192.0.2.77"])
def test_addresses_come_from_services_overrides_and_the_user(address: str, key: str) -> None:
    others = having(MGMT, KubernetesCluster=[registration(name) for name in ("c1", "c2", "c9")])  # no elimination
    c1 = having(C1, WorkloadEntry=[entry(address)])
    assert leads(site(others, c1, having(C2, Service=[service(address, key=key)])))
    assert leads(site(others, c1, having(C2, Service=[service("", externalIPs=[address])])))
    assert leads(site(others, c1, C2, addresses=(address,)))
    override = {"selector": {"cluster": "c2"}, "hostInfoOverrides": [{"addr": address}]}
    assert leads(site(having(others, WorkspaceSettings=[settings(override)]), c1, C2))
    assert leads(site(having(others, WorkspaceSettings=[settings(override)]), c1, replace(C2, unreachable="gone")))
    assert not leads(site(others, c1, C2))


@pytest.mark.parametrize(
    ("address", "key", "spelled"),
    [
        ("2001:db8::3", "ip", "2001:DB8:0::3"),
        ("2001:DB8:0:0::3", "ip", "2001:db8::3"),
        ("ew.example.com", "hostname", "EW.example.com."),
    ],
)
def test_an_address_is_compared_in_any_spelling(address: str, key: str, spelled: str) -> None:
    """Else an endpoint of a cluster that stays seems to be one of the cluster that goes."""
    c3 = Member(
        "c3", "workload", uid="3", objects={"Service": [service(address, key=key)], "Deployment": [agent("c3")]}
    )
    more = having(MGMT, KubernetesCluster=[registration(name) for name in ("c1", "c2", "c3")])
    c1 = having(C1, WorkloadEntry=[entry(spelled)])
    assert leads(site(more, c1, C2, c3)) == []
    assert leads(site(more, c1, C2, c3, name="c3"))
    assert leads(site(more, c1, C2, name="c3", addresses=(address,)))


@pytest.mark.parametrize("address", ["reviews.app.svc.cluster.local", "reviews.other.svc", "reviews.app", "reviews"])
def test_a_service_of_the_cluster_itself_is_not_an_endpoint_in_another_one(address: str) -> None:
    assert leads(site(MGMT, having(C1, WorkloadEntry=[entry(address)]), C2)) == []
    [lead] = site(MGMT, having(C1, ServiceEntry=[service_entry(address, "192.0.2.2")]), C2).leads()
    assert lead.rest is not None and lead.rest["spec"]["endpoints"] == [{"address": address}]


def test_an_address_shared_with_another_cluster_stays() -> None:
    shared = [service("192.0.2.1")]
    assert leads(site(MGMT, having(C1, WorkloadEntry=[entry("192.0.2.1")]), having(C2, Service=shared))) == []


def test_only_its_endpoints_leave_a_service_entry() -> None:
    [lead] = site(MGMT, having(C1, ServiceEntry=[service_entry("192.0.2.2", "192.0.2.1")]), C2).leads()
    assert lead.rest is not None and lead.rest["spec"]["endpoints"] == [{"address": "192.0.2.1"}]
    [lead] = site(MGMT, having(C1, ServiceEntry=[service_entry("192.0.2.2")]), C2).leads()
    assert lead.rest is None


def test_entries_that_gloo_mesh_did_not_create_are_recognised() -> None:
    [lead] = site(MGMT, having(C1, WorkloadEntry=[entry("192.0.2.2", labels={"app": "reviews"})]), C2).leads()
    assert not lead.translated


# -- refusals


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        (site(MGMT, C1, C2), []),
        (
            site(MGMT, C1, C2, name="mgmt"),
            ["mgmt: is the management cluster. To remove the whole site, run cleanup.yml"],
        ),
        (site(MGMT, C1, C2, name="cx"), ["cx: is not registered in mgmt (registered: c1, c2)"]),
        (site(MGMT, C2), ["c2: is the last workload cluster"]),
        (site(MGMT, C1, C2, name="c1"), ["c1: is the only host of inventory group gateway"]),
        (site(MGMT, C1, C2, name="c1", gateway=True), []),
        (site(MGMT, C1, replace(C2, gateway=True), name="c1"), []),
        (site(MGMT, C1, replace(C2, unreachable="c2: no answer.")), ["c2: no answer. If the cluster is gone for good"]),
        (site(MGMT, C1, replace(C2, unreachable="c2: no answer"), unreachable=True), []),
        (site(MGMT, replace(C1, unreachable="c1: no answer"), C2), ["c1: no answer. Endpoints in it that lead to c2"]),
        (site(replace(MGMT, unreachable="mgmt: no answer"), C1, C2), ["mgmt: no answer"]),
        (site(MGMT, C1), ["c2: is registered in mgmt but is no workload host", "remove_unreachable=true"]),
        (site(MGMT, C1, unreachable=True), []),
        (site(having(MGMT, KubernetesCluster=[]), C1, C2), []),  # an interrupted removal
        (site(MGMT, C1, replace(C2, uid="1")), ["c2 and c1 are the same cluster (UID 1", "Correct kube_context"]),
        (site(MGMT, C1, having(C2, Deployment=[agent("c7")])), ["gloo-mesh-agent: is registered as c7"]),
        (site(MGMT, C1, having(C2, Deployment=[])), []),
    ],
)  # fmt: skip
def test_removals_that_are_refused(found: Site, texts: list[str]) -> None:
    text = "; ".join(refusals(found))
    assert bool(text) is bool(texts)
    assert [each for each in texts if each not in text] == []


def test_a_removal_that_has_deregistered_the_cluster_continues() -> None:
    found = site(having(MGMT, KubernetesCluster=[]), C1, unreachable=True)
    assert refusals(found)
    assert refusals(found, started=True) == []


def test_all_reasons_are_given_at_once() -> None:
    found = refusals(site(MGMT, replace(C2, gateway=True, uid="m"), unreachable=False))
    assert len(found) == 2, found


def test_objects_that_name_the_cluster_are_shown() -> None:
    workspace = build("Workspace", "ws", "gloo-mesh", spec={"workloadClusters": [{"name": "c1"}, {"name": "c2"}]})
    backing = {"selectedBackingServices": [{"cluster": "c2", "name": "reviews"}]}
    destination = build("VirtualDestination", "vd", "app", spec={}, status=backing)
    route = build("HTTPRoute", "r", "app", spec={})
    found = site(
        having(MGMT, Workspace=[workspace], VirtualDestination=[destination]), C1, having(C2, HTTPRoute=[route])
    )
    assert found.uses() == [
        "mgmt: Workspace gloo-mesh/ws names it in spec.workloadClusters[1].name",
        "mgmt: VirtualDestination app/vd has backends only in it, so requests for its hosts fail",
        "c2: HTTPRoute app/r no longer serves requests",
    ]


def test_paths_of_a_text() -> None:
    assert paths_of({"a": ["x", {"b": "x"}], "c": "xx"}, "x", "spec") == ["spec.a[0]", "spec.a[1].b"]


# -- the east-west gateway's Service

SELECTORS = [
    {"selector": {"labels": EAST_WEST}},
    {},
    {"selector": {"labels": {"gw": "yes"}, "cluster": "c2"}},
    {"selector": {"name": "ew", "namespace": "istio"}},
    {"selector": {"cluster": "c2", "name": "ew"}},
]


def selected(entries: Sequence[Json], obj: Json) -> bool:
    """By Gloo Mesh's rule: all given fields of a selector fit, and a port is named tls or https."""
    meta = obj["metadata"]
    for each in entries:
        selector = each.get("selector") or {"labels": EAST_WEST}
        fields = {"cluster": "c2", "name": meta["name"], "namespace": meta["namespace"]}
        fits = all(selector.get(key) in (None, value) for key, value in fields.items())
        fits = fits and (selector.get("labels") or {}).items() <= (meta.get("labels") or {}).items()
        if fits and any(port.get("name") in ("tls", "https") for port in obj["spec"]["ports"]):
            return True
    return False


@given(
    entries=st.lists(st.sampled_from(SELECTORS), min_size=1, max_size=3),
    labels=st.dictionaries(st.sampled_from(["istio", "gw", "team"]), st.sampled_from(["eastwestgateway", "yes"])),
    annotations=st.dictionaries(st.sampled_from(["a", "b"]), st.just("1")),
)
def test_a_hidden_service_is_not_selected_and_comes_back_as_it_was(
    entries: list[Json], labels: Json, annotations: Json
) -> None:
    before = service("192.0.2.2", labels)
    if annotations:
        before["metadata"]["annotations"] = annotations
    during = hidden(copy.deepcopy(before), entries, "c2")
    assert not selected(entries, during)
    assert HIDDEN in during["metadata"]["annotations"]
    assert [port["port"] for port in during["spec"]["ports"]] == [port["port"] for port in before["spec"]["ports"]]
    back = shown_again(during)
    assert back is not None
    assert back[0] == before
    assert back[1] == "someone"
    assert shown_again(back[0]) is None


@pytest.mark.parametrize("place", [{"cluster": "c2"}, {"namespace": "istio"}, {"cluster": "c2", "namespace": "istio"}])
def test_an_entry_for_a_cluster_or_namespace_hides_no_other_service(place: Json) -> None:
    """Neither at first nor when a removal that was interrupted is repeated."""
    entries = [{"selector": place}]
    gateway, other = service("192.0.2.2"), service("", {"app": "web"}, "web")
    for each in (gateway, hidden(gateway, entries, "c2")):
        assert selected_in(having(C2, Service=[other, each]), entries) == [each]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"labels": 1}', "null"])
def test_a_damaged_record_only_removes_the_annotation(text: str) -> None:
    damaged = service("192.0.2.2", {"a": "b"})
    damaged["metadata"]["annotations"] = {HIDDEN: text}
    back = shown_again(damaged)
    assert back is not None
    assert back[0] == service("192.0.2.2", {"a": "b"})


def test_a_cluster_that_was_rebuilt_under_its_name_is_left_alone() -> None:
    """What was installed in the former one is gone with it."""
    mgmt = having(MGMT, KubernetesCluster=[recorded("c1", "1"), recorded("c2", "former")])
    [text] = refusals(site(mgmt, C1, C2))
    assert "kube-system has UID 2, KubernetesCluster gloo-mesh/c2 was created for former" in text
    assert "-e remove_unreachable=true" in text
    asked = site(mgmt, C1, C2, unreachable=True)
    assert refusals(asked) == [] and asked.reachable is None
    right = site(having(MGMT, KubernetesCluster=[recorded("c1", "1"), recorded("c2", "2")]), C1, C2)
    assert refusals(right) == [] and right.reachable is C2


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_context_that_leads_to_another_member_is_corrected(unreachable: bool) -> None:
    """Not taken for a rebuilt cluster: the member that it leads to stays."""
    mgmt = having(MGMT, KubernetesCluster=[recorded("c1", "1"), recorded("c2", "2")])
    [text] = refusals(site(mgmt, C1, replace(C2, uid="1"), unreachable=unreachable))
    assert "c2 and c1 are the same cluster (UID 1 of Namespace kube-system). Correct kube_context" in text
    [text] = refusals(site(mgmt, C1, replace(C2, uid="m"), unreachable=unreachable))
    assert "c2 and mgmt are the same cluster" in text
