"""HTTPRoutes as kgateway 2.1 and 2.3 evaluate them, after recordings."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.routes import attachments, resolve, routes, service_entry

HOST = "reviews.mesh.internal.com"

# Messages of line 2.1.
MISSING = '{kind} "{name}" not found'
MISSING_HOST = MISSING.format(kind="Hostname", name=HOST)


def a_route(made: Any, *backends: Any, namespace: Any = "bookinfo", parent: Any = None, **spec: Any) -> Any:
    result = {
        "parentRefs": [{"name": "http", "namespace": "gloo-system", **(parent or {})}],
        "rules": [{"backendRefs": list(backends), "matches": [{"path": {"type": "Exact", "value": "/x"}}]}],
        **spec,
    }
    return made.obj("HTTPRoute", "r", namespace, spec=result)


def hostname(**ref: Any) -> Any:
    return {"group": "networking.istio.io", "kind": "Hostname", "name": HOST, "port": 9080, **ref}


def verdict(cluster: Any, route: Any, controller: Any) -> Any:
    backend = resolve(cluster, route, route["spec"]["rules"][0]["backendRefs"][0], controller)
    return backend.reason, backend.message


@pytest.mark.parametrize("requested", [{}, {"port": 9999}, {"port": None}])
def test_a_hostname_resolves_with_any_port(made: Any, either: Any, requested: Any) -> None:
    cluster = made.Cluster("c", made.entry(HOST))
    route = a_route(made, {k: v for k, v in hostname(**requested).items() if v is not None}, namespace="gloo-system")
    backend = resolve(cluster, route, route["spec"]["rules"][0]["backendRefs"][0], either)
    assert (backend.reason, backend.namespace, backend.port) == ("", "bookinfo", 9080)


@pytest.mark.parametrize(
    ("objects", "ref", "expected"),
    [
        ([], {}, ("BackendNotFound", MISSING_HOST)),
        (["none"], {}, ("BackendNotFound", MISSING_HOST)),
        (["entry"], {"namespace": "other"}, ("RefNotPermitted", "missing reference grant")),
        (["entry"], {"namespace": "bookinfo"}, ("BackendNotFound", MISSING_HOST)),
        (["entry"], {"group": ""}, ("InvalidKind", "unknown backend kind")),
        (["entry"], {"kind": "VirtualDestination"}, ("InvalidKind", "unknown backend kind")),
    ],
)
def test_a_hostname_that_does_not_resolve_has_a_reason(
    made: Any, controllers: Any, objects: Any, ref: Any, expected: Any
) -> None:
    known = {"entry": made.entry(HOST), "none": made.entry(HOST, resolution="NONE")}
    cluster = made.Cluster("c", *(known[name] for name in objects))
    assert verdict(cluster, a_route(made, hostname(**ref)), controllers("2.1")) == expected
    reason, message = verdict(cluster, a_route(made, hostname(**ref)), controllers("2.3"))
    newer = f"Hostname bookinfo/{HOST} not found" if expected[1] == MISSING_HOST else expected[1]
    assert (reason, message) == (expected[0], newer)


@pytest.mark.parametrize(("line", "expected"), [("2.1", ("", "")), ("2.3", ("InvalidKind", "unknown backend kind"))])
def test_without_integration_a_hostname_is_an_unknown_kind_from_2_3_on(
    made: Any, gateway: Any, controllers: Any, line: str, expected: Any
) -> None:
    controller = controllers(line, KGW_ENABLE_ISTIO_INTEGRATION="false")
    route = a_route(made, hostname())
    cluster = made.Cluster("c", made.entry(HOST), route)
    assert verdict(cluster, route, controller) == expected
    [rule] = routes(cluster, gateway, controller)
    assert rule["backends"][0]["ok"] is (line == "2.1")


def test_the_oldest_service_entry_wins(made: Any) -> None:
    older, newer = made.entry(HOST), made.entry(HOST)
    older["metadata"] |= {"name": "z", "creationTimestamp": "2025-01-01T00:00:00Z"}
    assert service_entry(made.Cluster("c", newer, older), HOST) is older


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ({"name": "reviews", "port": 9080}, ("", "")),
        ({"name": "nosuch", "port": 9080}, ("BackendNotFound", MISSING.format(kind="Service", name="nosuch"))),
        ({"name": "reviews", "port": 9081}, ("BackendNotFound", MISSING.format(kind="Service", name="reviews"))),
    ],
)
def test_a_service_needs_its_port(made: Any, controllers: Any, ref: Any, expected: Any) -> None:
    cluster = made.Cluster("c", *made.service("reviews", 9080, [made.pod("p")]))
    assert verdict(cluster, a_route(made, ref), controllers()) == expected
    newer = f"Service bookinfo/{ref['name']} not found" if expected[0] else ""
    assert verdict(cluster, a_route(made, ref), controllers("2.3"))[1] == newer


@pytest.mark.parametrize(("kind", "name", "allowed"), [("Service", None, True), ("Service", "x", False)])
def test_another_namespace_needs_a_grant(made: Any, either: Any, kind: Any, name: Any, allowed: Any) -> None:
    objects = made.service("reviews", 9080, [made.pod("p")])
    to = {"group": "", "kind": kind, **({"name": name} if name else {})}
    source = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "gloo-system"}
    grant = made.obj("ReferenceGrant", "g", "bookinfo", spec={"from": [source], "to": [to]})
    route = a_route(made, {"name": "reviews", "namespace": "bookinfo", "port": 9080}, namespace="gloo-system")
    refused = ("RefNotPermitted", "missing reference grant")
    assert verdict(made.Cluster("c", *objects), route, either) == refused
    assert verdict(made.Cluster("c", *objects, grant), route, either) == (("", "") if allowed else refused)


@pytest.mark.parametrize(
    ("listener", "parent", "spec", "reason"),
    [
        ({}, {}, {}, ""),
        ({}, {"sectionName": "http", "port": 8080}, {}, ""),
        ({}, {"sectionName": "nope"}, {}, "NoMatchingParent"),
        ({}, {"port": 81}, {}, "NoMatchingParent"),
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, {}, {}, "NotAllowedByListeners"),
        # No listener allows the route: that comes before the section that does not exist.
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, {"sectionName": "nope"}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": None}, {}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}}, {}, {}, "NotAllowedByListeners"),
        ({"protocol": "TCP"}, {}, {}, "NotAllowedByListeners"),
        ({"hostname": "*.example.com"}, {}, {"hostnames": ["a.example.com"]}, ""),
        ({"hostname": "*.example.com"}, {}, {"hostnames": ["example.org"]}, "NoMatchingListenerHostname"),
    ],
)
def test_listeners_take_routes(made: Any, gateway: Any, listener: Any, parent: Any, spec: Any, reason: Any) -> None:
    gateway["spec"]["listeners"][0] |= listener
    result = attachments(made.Cluster("c"), gateway, a_route(made, parent=parent, **spec))
    assert [(a.reason, len(a.listeners)) for a in result] == [(reason, 0 if reason else 1)]


@pytest.mark.parametrize(("labels", "reason"), [({"team": "a"}, ""), ({"team": "b"}, "NotAllowedByListeners")])
def test_listeners_select_namespaces(made: Any, gateway: Any, labels: Any, reason: Any) -> None:
    chosen = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}
    gateway["spec"]["listeners"][0]["allowedRoutes"] = chosen
    namespace = made.obj("Namespace", "bookinfo", "", labels)
    (result,) = attachments(made.Cluster("c", namespace), gateway, a_route(made))
    assert result.reason == reason


def test_a_parent_ref_to_another_gateway_is_ignored(made: Any, gateway: Any) -> None:
    assert attachments(made.Cluster("c"), gateway, a_route(made, parent={"name": "other"})) == []
    assert attachments(made.Cluster("c"), gateway, a_route(made, parent={"kind": "Service"})) == []


def test_traffic_rules_mark_the_backend_that_does_not_resolve(made: Any, gateway: Any, either: Any) -> None:
    route = a_route(made, hostname(weight=3), {"name": "nosuch", "port": 1})
    (rule,) = routes(made.Cluster("c", made.entry(HOST), route), gateway, either)
    assert (rule["listener"], rule["port"], rule["hostnames"]) == ("http", 8080, ["*"])
    assert rule["matches"] == [{"type": "Exact", "value": "/x", "method": None, "headers": {}}]
    shares = [(b["kind"], b["port"], b["weight"], b["ok"], b["reason"]) for b in rule["backends"]]
    assert shares == [("Hostname", 9080, 3, True, ""), ("Service", 1, 1, False, "BackendNotFound")]


def test_a_listener_that_is_not_valid_has_no_rules(made: Any, gateway: Any, either: Any) -> None:
    gateway["spec"]["listeners"].append({**gateway["spec"]["listeners"][0], "name": "b", "port": 9091})
    route = a_route(made, hostname())
    assert [rule["port"] for rule in routes(made.Cluster("c", made.entry(HOST), route), gateway, either)] == [8080]


def test_a_rule_without_matches_takes_everything(made: Any, gateway: Any, either: Any) -> None:
    route = a_route(made, rules=[{}])
    (rule,) = routes(made.Cluster("c", route), gateway, either)
    assert rule["matches"] == [{"type": "PathPrefix", "value": "/", "method": None, "headers": {}}]
    assert rule["backends"] == []


# -- delegation --------------------------------------------------------------------------------------------------------

BY_NAME = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}
BY_LABEL = {"group": "delegation.kgateway.dev", "kind": "label", "name": "team", "namespace": "all"}
LABEL = {"delegation.kgateway.dev/label": "team"}
INHERIT = {"delegation.kgateway.dev/inherit-parent-matcher": "Yes"}
TO_PARENT = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "parent", "namespace": "edge"}


def path(value: str, kind: str = "PathPrefix") -> Any:
    return {"path": {"type": kind, "value": value}}


def parent_route(made: Any, ref: Any, value: str = "/shop") -> Any:
    found = a_route(made, namespace="edge")
    found["metadata"]["name"] = "parent"
    found["spec"]["rules"] = [{"matches": [path(value)], "backendRefs": [ref]}]
    return found


def child_route(made: Any, *matches: Any, parents: Any = None, annotations: Any = None, **spec: Any) -> Any:
    rules = [{"matches": list(matches), "backendRefs": [{"name": "reviews", "port": 9080}]}]
    found = made.obj("HTTPRoute", "child", "team", spec={"rules": rules, **spec}, labels=dict(LABEL))
    if parents:
        found["spec"]["parentRefs"] = parents
    if annotations:
        found["metadata"]["annotations"] = annotations
    return found


@pytest.mark.parametrize("ref", [BY_NAME, {**BY_NAME, "name": "*"}, BY_LABEL, {**BY_LABEL, "namespace": "team"}])
@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ({}, ["/shop/a"]),
        ({"parents": [TO_PARENT]}, ["/shop/a"]),
        ({"parents": [{**TO_PARENT, "name": "other"}]}, []),
        ({"parents": [{"name": "http", "namespace": "gloo-system"}]}, ["/shop/a", "/b"]),
        ({"hostnames": ["shop.example.com"]}, []),
        ({"annotations": INHERIT}, ["/shop/shop/a", "/shop/b"]),
    ],
    ids=["no parents", "the parent", "another route", "the Gateway", "hostnames", "relative"],
)
def test_a_rule_that_delegates_has_the_rules_of_its_children(
    made: Any, gateway: Any, either: Any, ref: Any, child: Any, expected: Any
) -> None:
    """With matches of the child below the path of its parent and beside it; a child of the Gateway has both."""
    found = child_route(made, path("/shop/a"), path("/b"), **child)
    service = made.obj("Service", "reviews", "team", spec={"ports": [{"port": 9080}]})
    cluster = made.Cluster("c", parent_route(made, ref), found, service)
    entries = [rule for rule in routes(cluster, gateway, either) if rule["route"] == "team/child" and rule["backends"]]
    assert [match["value"] for rule in entries for match in rule["matches"]] == expected
    assert all(rule["backends"][0]["ok"] for rule in entries)


def test_routes_that_delegate_to_each_other_have_no_rules(made: Any, gateway: Any, either: Any) -> None:
    child = child_route(made, path("/shop"))
    child["spec"]["rules"][0]["backendRefs"] = [{**BY_NAME, "name": "parent", "namespace": "edge"}]
    parent = parent_route(made, BY_NAME)
    assert routes(made.Cluster("c", parent, child), gateway, either) == []


def test_a_rule_that_delegates_to_nothing_is_not_resolved(made: Any, either: Any) -> None:
    parent = parent_route(made, BY_NAME)
    assert verdict(made.Cluster("c", parent), parent, either) == ("BackendNotFound", "unresolved reference")
    assert verdict(made.Cluster("c", parent, child_route(made, path("/shop"))), parent, either) == ("", "")
