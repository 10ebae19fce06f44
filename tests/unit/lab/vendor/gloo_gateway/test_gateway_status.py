"""The status of Gateways."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.gateway_status import addresses, gateway_status


def conditions(status: Any) -> Any:
    return {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in status["conditions"]}


def test_invalid_parameters_change_accepted_only(made: Any, gateway: Any, either: Any) -> None:
    good, bad = (conditions(gateway_status(made.Cluster("c"), gateway, either, error)) for error in ("", "wrong"))
    assert bad == {**good, "Accepted": ("False", "InvalidParameters", 7)}
    assert set(good) == set(either.line.gateway_conditions)
    [listener] = gateway_status(made.Cluster("c"), gateway, either, "wrong")["listeners"]
    assert conditions(listener)["Programmed"] == ("True", "Programmed", 7)


def test_transition_times_change_with_the_status_only(made: Any, gateway: Any, either: Any) -> None:
    cluster = made.Cluster("c")
    old = gateway_status(cluster, gateway, either)
    for condition in old["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    gateway["status"] = old
    changed = gateway_status(cluster, gateway, either, "wrong")["conditions"]
    times = {c["type"]: c["lastTransitionTime"] for c in changed}
    assert times["Programmed"] == "2020-01-01T00:00:00Z"
    assert times["Accepted"] != "2020-01-01T00:00:00Z"
    assert gateway_status(cluster, gateway, either)["conditions"] == old["conditions"]


@pytest.mark.parametrize(
    ("kind", "ingress", "expected"),
    [
        ("LoadBalancer", [], []),
        ("LoadBalancer", [{"ip": "1.2.3.4"}], [("IPAddress", "1.2.3.4")]),
        (
            "LoadBalancer",
            [{"hostname": "lb", "ip": "1.2.3.4"}, {"ip": "1.2.3.5"}],
            [("Hostname", "lb"), ("IPAddress", "1.2.3.5")],
        ),
        ("ClusterIP", [], [("IPAddress", "10.0.0.9")]),
    ],
)
def test_addresses_are_the_services(made: Any, kind: Any, ingress: Any, expected: Any) -> None:
    result = made.obj("Service", "http", spec={"type": kind, "clusterIPs": ["10.0.0.9"]})
    result["status"] = {"loadBalancer": {"ingress": ingress}}
    assert [(a["type"], a["value"]) for a in addresses(result)] == expected
    assert addresses(None) == []


@pytest.mark.parametrize(("owner", "has_address"), [("uid-http", True), ("somebody", False)])
def test_only_a_service_of_the_gateway_has_its_address(
    made: Any, gateway: Any, either: Any, owner: str, has_address: bool
) -> None:
    service = made.obj("Service", "http", "gloo-system", spec={"type": "ClusterIP", "clusterIPs": ["10.0.0.9"]})
    service["metadata"]["ownerReferences"] = [{"uid": owner}]
    cluster = made.Cluster("c", service)
    assert ("addresses" in gateway_status(cluster, gateway, either)) is has_address
    assert "addresses" not in gateway_status(cluster, gateway, either, self_managed=True)


def test_a_route_with_a_missing_backend_is_counted(made: Any, gateway: Any, either: Any) -> None:
    parent = {"name": "http", "namespace": "gloo-system"}
    route = made.obj(
        "HTTPRoute", "r", spec={"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "nosuch", "port": 1}]}]}
    )
    (listener,) = gateway_status(made.Cluster("c", route), gateway, either)["listeners"]
    assert listener["attachedRoutes"] == 1
