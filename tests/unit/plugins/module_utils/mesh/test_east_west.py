"""Which Services are east-west gateways, at which port and addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import east_west

Json = dict[str, Any]
LABELS = {"istio": "eastwestgateway"}


def service(name: str, namespace: str = "mesh", labels: Json | None = None, **spec: Any) -> Json:
    ports = [{"name": "status-port", "port": 15021}, {"name": "tls", "port": 15443}]
    ingress = [{"hostname": "ew.example"}, {"ip": "192.0.2.1"}]
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": LABELS if labels is None else labels},
        "spec": {"type": "LoadBalancer", "ports": ports, **spec},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def settings(*entries: Any) -> Json:
    return {"spec": {"options": {"eastWestGateways": list(entries)}}}


SERVICES = [service("ew"), service("own", labels={"role": "ew"}), service("web", "shop", labels={"app": "web"})]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([], ["ew"]),
        ([{"spec": {}}], ["ew"]),
        ([settings()], ["ew"]),
        ([settings({})], ["ew"]),
        ([settings({"selector": {}})], ["ew"]),
        ([settings({"selector": {"labels": {"role": "ew"}}})], ["own"]),
        ([settings({"selector": {"labels": {"role": "other"}}})], ["ew"]),
        ([settings({"selector": {"labels": {"role": "ew"}}}, {"selector": {"labels": LABELS}})], ["own", "ew"]),
        # Settings of two workspaces.
        ([settings({"selector": {"labels": {"role": "ew"}}}), settings()], ["own", "ew"]),
        ([settings({"selector": {"cluster": "c1"}})], ["ew"]),
        ([settings({"selector": {"cluster": "c2", "labels": {"role": "ew"}}})], ["ew"]),
        ([settings({"selector": {"namespace": "shop"}})], ["web"]),
        ([settings({"selector": {"namespace": "mesh", "name": "own"}})], ["own"]),
        ([settings({"selector": {"name": "own", "labels": LABELS}})], ["ew"]),
        ([settings("text", None, {"selector": "text"}, {"selector": {"labels": ["role"]}})], ["ew"]),
        ([{"spec": {"options": []}}, None], ["ew"]),
    ],
)
def test_settings_select_services(given: list[Any], names: list[str]) -> None:
    found = east_west.gateways(SERVICES, given, "c1")
    assert [each.service["metadata"]["name"] for each in found] == names


@pytest.mark.parametrize(
    ("entry", "spec", "port", "addresses"),
    [
        ({}, {}, 15443, ["ew.example:15443", "192.0.2.1:15443"]),
        ({"port": 15021}, {}, 15021, ["ew.example:15021", "192.0.2.1:15021"]),
        ({"port": "15021"}, {}, 15021, ["ew.example:15021", "192.0.2.1:15021"]),
        ({"port": {"name": "status-port"}}, {}, 15021, ["ew.example:15021", "192.0.2.1:15021"]),
        ({"port": {"number": 1}}, {}, None, []),
        ({"port": [1]}, {}, None, []),
        ({}, {"type": "NodePort"}, 15443, []),
        ({}, {"type": "ClusterIP", "externalIPs": ["2001:db8::1"]}, 15443, ["[2001:db8::1]:15443"]),
        ({}, {"ports": [{"name": "https", "port": 443}]}, 443, ["ew.example:443", "192.0.2.1:443"]),
        ({}, {"ports": [{"name": "http", "port": 80}]}, None, []),
        ({}, {"ports": [{"name": "tls", "port": "15443"}]}, None, []),
        ({"hostInfoOverrides": [{"addr": "203.0.113.1"}]}, {}, 15443, ["203.0.113.1:15443"]),
        ({"hostInfoOverrides": [{"addr": "a.example", "port": {"number": 31443}}]}, {}, 15443, ["a.example:31443"]),
        ({"hostInfoOverrides": [{"addr": "a.example", "port": "9" * 5000}]}, {}, 15443, ["a.example:15443"]),
        ({"hostInfoOverrides": [{"addr": "2001:db8::1"}]}, {}, 15443, ["[2001:db8::1]:15443"]),
        ({"hostInfoOverrides": [{"addr": "[2001:db8::1]"}]}, {}, 15443, ["[2001:db8::1]:15443"]),
        ({"hostInfoOverrides": [{"addr": "[2001:db8::1]:31443"}]}, {}, 15443, ["[2001:db8::1]:31443"]),
        ({"hostInfoOverrides": [{"addr": "203.0.113.1:31443"}]}, {}, 15443, ["203.0.113.1:31443"]),
        ({"hostInfoOverrides": [{"addr": "[2001:db8::1]", "port": 31443}]}, {}, 15443, ["[2001:db8::1]:31443"]),
        ({"hostInfoOverrides": [{"addr": ["x"]}]}, {}, 15443, ["ew.example:15443", "192.0.2.1:15443"]),
        ({"hostInfoOverrides": "text"}, {}, 15443, ["ew.example:15443", "192.0.2.1:15443"]),
    ],
)
def test_port_and_addresses(entry: Json, spec: Json, port: int | None, addresses: list[str]) -> None:
    found = east_west.EastWestGateway(service("ew", **spec), entry)
    assert (found.port, [str(each) for each in found.addresses()]) == (port, addresses)


@pytest.mark.parametrize(
    ("addr", "is_ip"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("[2001:db8::1]", True),
        ("[2001:db8::1]:15443", True),
        ("192.0.2.1:15443", True),
        ("ew.example", False),
        ("ew.example:15443", False),
        ("[ew.example]", False),
    ],
)
def test_an_ip_address_is_one_in_every_spelling(addr: str, is_ip: bool) -> None:
    found = east_west.EastWestGateway(service("ew"), {"hostInfoOverrides": [{"addr": addr}]})
    assert [each.is_ip for each in found.addresses()] == [is_ip]


@pytest.mark.parametrize(
    ("locality", "cluster"), [("c2", "c2"), ("c2/zone", "c2"), ("c2/zone/sub", "c2"), ("", ""), (None, ""), (7, "7")]
)
def test_a_locality_names_the_cluster_as_its_region(locality: Any, cluster: str) -> None:
    assert east_west.cluster_in(locality) == cluster
