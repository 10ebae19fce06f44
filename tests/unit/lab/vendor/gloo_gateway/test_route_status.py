"""The status of HTTPRoutes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.route_status import route_status

CONTROLLER = "kgateway.dev/kgateway"
PARENT = {"name": "http", "namespace": "gloo-system"}


def conditions(parent: Any) -> Any:
    return {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in parent["conditions"]}


def a_route(made: Any, *parents: Any) -> Any:
    result = made.obj(
        "HTTPRoute",
        "r",
        spec={"parentRefs": list(parents), "rules": [{"backendRefs": [{"name": "nosuch", "port": 1}]}]},
    )
    result["metadata"]["generation"] = 3
    return result


def test_a_missing_backend_is_not_resolved(made: Any, gateway: Any, either: Any) -> None:
    route = a_route(made, PARENT)
    status = route_status(made.Cluster("c", route), route, [gateway], either)
    assert status is not None
    (parent,) = status["parents"]
    assert parent["controllerName"] == CONTROLLER
    assert conditions(parent) == {
        "Accepted": ("True", "Accepted", 3),
        "ResolvedRefs": ("False", "BackendNotFound", 3),
    }


def test_backends_of_a_refused_route_are_not_looked_at(made: Any, gateway: Any, either: Any) -> None:
    route = a_route(made, {**PARENT, "sectionName": "nope"})
    status = route_status(made.Cluster("c", route), route, [gateway], either)
    assert status is not None
    (parent,) = status["parents"]
    assert conditions(parent) == {
        "Accepted": ("False", "NoMatchingParent", 3),
        "ResolvedRefs": ("True", "ResolvedRefs", 3),
    }


def test_a_route_without_gateway_keeps_its_status(made: Any, gateway: Any, either: Any) -> None:
    route = a_route(made, {"name": "gone", "namespace": "gloo-system"})
    route["status"] = {"parents": [{"controllerName": CONTROLLER, "parentRef": {"name": "http"}, "conditions": []}]}
    assert route_status(made.Cluster("c", route), route, [gateway], either) is None


def test_a_route_of_a_listener_that_is_not_valid_keeps_its_status(made: Any, gateway: Any, either: Any) -> None:
    gateway["spec"]["listeners"][0]["port"] = 8082
    route = a_route(made, PARENT)
    assert route_status(made.Cluster("c", route), route, [gateway], either) is None


@pytest.mark.parametrize(
    ("child", "accepted"),
    [({}, ("True", "Accepted", 3)), ({"hostnames": ["shop.example.com"]}, ("False", "UnsupportedValue", 3))],
    ids=["accepted", "with hostnames"],
)
def test_a_route_that_another_delegates_to_has_that_route_as_parent(
    made: Any, gateway: Any, either: Any, child: Any, accepted: Any
) -> None:
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}
    parent = a_route(made, PARENT)
    parent["spec"]["rules"] = [{"backendRefs": [ref]}]
    found = made.obj("HTTPRoute", "child", "team", spec={"rules": [], **child})
    found["metadata"]["generation"] = 3
    assert route_status(made.Cluster("c", found), found, [gateway], either) is None
    status = route_status(made.Cluster("c", parent, found), found, [gateway], either)
    assert status is not None
    [entry] = status["parents"]
    parent_key = {"namespace": parent["metadata"]["namespace"], "name": parent["metadata"]["name"]}
    assert entry["parentRef"] == {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", **parent_key}
    assert conditions(entry)["Accepted"] == accepted


def test_other_controllers_entries_stay_in_one_order(made: Any, gateway: Any, controllers: Any) -> None:
    """Two controllers of one program must not write in turns."""
    route, names = a_route(made, PARENT), ["kgateway.dev/agentgateway", CONTROLLER]
    for name in names:
        route["status"] = route_status(made.Cluster("c", route), route, [gateway], controllers(name=name))
    assert [p["controllerName"] for p in route["status"]["parents"]] == names
    again = route_status(made.Cluster("c", route), route, [gateway], controllers(name=names[0]))
    assert again == route["status"]
