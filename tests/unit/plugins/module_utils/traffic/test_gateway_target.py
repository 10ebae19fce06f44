"""Which listener of a Gateway a request is sent to, and for which host; which routes match it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import routes as http_routes
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.gateway_target import NoTarget, Target, target

Json = dict[str, Any]


def gateway(*listeners: Json) -> Json:
    return {
        "kind": "Gateway",
        "metadata": {"namespace": "edge", "name": "http"},
        "spec": {"listeners": list(listeners)},
    }


def listener(name: str, protocol: str, port: int, hostname: str = "") -> Json:
    return {"name": name, "protocol": protocol, "port": port, **({"hostname": hostname} if hostname else {})}


def route(name: str = "r", path: str = "/", hostnames: Any = (), namespace: str = "app", **more: Any) -> Json:
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": more.pop("backends", [{}])}
    parent = {"namespace": "edge", "name": "http", **more.pop("parent", {})}
    spec = {"parentRefs": [parent], "hostnames": list(hostnames), "rules": [rule], **more}
    return {"kind": "HTTPRoute", "metadata": {"namespace": namespace, "name": name}, "spec": spec}


HTTP, HTTPS = listener("http", "HTTP", 8080), listener("https", "HTTPS", 8443)
SHOP, ANY = listener("shop", "HTTPS", 8443, "shop.example.com"), listener("any", "HTTPS", 9443, "*.example.com")


@pytest.mark.parametrize(
    ("listeners", "proof", "expected"),
    [
        pytest.param([HTTPS, HTTP], {}, Target("http://192.0.2.1:8080"), id="HTTP first"),
        pytest.param([HTTPS], {}, Target("https://192.0.2.1:8443"), id="HTTPS alone"),
        pytest.param([SHOP], {}, Target("https://192.0.2.1:8443", "shop.example.com"), id="host of the listener"),
        pytest.param(
            [HTTP, SHOP],
            {"gateway": {"listener": "shop"}},
            Target("https://192.0.2.1:8443", "shop.example.com"),
            id="named listener",
        ),
        pytest.param([HTTP, HTTPS], {"gateway": {"scheme": "https"}}, Target("https://192.0.2.1:8443"), id="scheme"),
        pytest.param(
            [SHOP, ANY],
            {"gateway": {"port": 9443}, "host": "a.example.com"},
            Target("https://192.0.2.1:9443", "a.example.com"),
            id="port",
        ),
        pytest.param(
            [SHOP, ANY],
            {"host": "news.example.com"},
            Target("https://192.0.2.1:9443", "news.example.com"),
            id="wildcard with host",
        ),
        pytest.param(
            [ANY, SHOP],
            {"host": "shop.example.com:8443"},
            Target("https://192.0.2.1:8443", "shop.example.com:8443"),
            id="exact before wildcard",
        ),
        pytest.param([ANY, HTTPS], {}, Target("https://192.0.2.1:8443"), id="no host avoids wildcards"),
        pytest.param([listener("tcp", "TCP", 1), HTTP], {}, Target("http://192.0.2.1:8080"), id="other protocols"),
    ],
)
def test_the_listener_that_fits_the_proof_is_used(listeners: list[Json], proof: Json, expected: Target) -> None:
    assert target(gateway(*listeners), ["192.0.2.1"], [], {"path": "/", **proof}) == expected


@pytest.mark.parametrize(
    ("listeners", "addresses", "proof", "words"),
    [
        ([HTTP], [], {}, "Gateway edge/http has no address"),
        ([], ["x"], {}, "no listener for HTTP or HTTPS: it has none"),
        ([listener("tcp", "TCP", 1)], ["x"], {}, "no listener for HTTP or HTTPS"),
        ([ANY], ["x"], {}, "listener any has hostname *.example.com. Set host in the proof"),
        ([SHOP, ANY], ["x"], {"host": "shop.example.org"}, "no listener for host shop.example.org: shop"),
        ([HTTP], ["x"], {"gateway": {"listener": "web", "port": 80}}, "no listener with listener web, port 80"),
    ],
)
def test_without_a_fitting_listener_the_reason_is_named(
    listeners: list[Json], addresses: list[str], proof: Json, words: str
) -> None:
    with pytest.raises(NoTarget) as refusal:
        target(gateway(*listeners), addresses, [], proof)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("addresses", "url", "others"),
    [
        (["lb.example.com"], "http://lb.example.com:8080", ()),
        (["2001:db8::1"], "http://[2001:db8::1]:8080", ()),
        (["192.0.2.1", "2001:db8::1", "lb.example.com"], "http://192.0.2.1:8080", ("2001:db8::1", "lb.example.com")),
    ],
)
def test_addresses_may_be_names_ipv6_and_several(addresses: list[str], url: str, others: tuple[str, ...]) -> None:
    found = target(gateway(HTTP), addresses, [], {})
    assert (found.url, found.others) == (url, others)


def test_a_listener_with_a_matching_route_comes_first() -> None:
    only_https = route(parent={"sectionName": "https"}, path="/reviews")
    found = target(gateway(HTTP, HTTPS), ["192.0.2.1"], [only_https], {"path": "/reviews/0"})
    assert found.url == "https://192.0.2.1:8443"
    found = target(gateway(HTTP, HTTPS), ["192.0.2.1"], [only_https], {"path": "/other"})
    assert found.url == "http://192.0.2.1:8080"


def test_routes_are_attached_by_section_and_port() -> None:
    on_port = route(parent={"port": 8443})
    assert target(gateway(HTTP, HTTPS), ["x"], [on_port], {"path": "/"}).url == "https://x:8443"


CHILD = route("child", "/team/reviews", namespace="team", parentRefs=[])
LABELLED: Json = {**CHILD, "metadata": {**CHILD["metadata"], "labels": {"delegation.kgateway.dev/label": "team"}}}


@pytest.mark.parametrize(
    ("ref", "child"),
    [
        ({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}, CHILD),
        ({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "*", "namespace": "team"}, CHILD),
        ({"group": "delegation.kgateway.dev", "kind": "label", "name": "team", "namespace": "team"}, LABELLED),
        ({"group": "delegation.kgateway.dev", "kind": "label", "name": "team", "namespace": "all"}, LABELLED),
    ],
)
def test_delegated_routes_belong_to_the_gateway_and_decide_on_requests(ref: Json, child: Json) -> None:
    parent = route("parent", "/team", backends=[ref])
    every = [parent, child, route("other", "/other", parentRefs=[])]
    assert http_routes.attached(every, ("edge", "http")) == [parent, child]
    assert http_routes.delegating(child, every) == [parent]
    assert http_routes.backend_refs(parent) == []
    assert http_routes.matches(parent, "/team/reviews/0", routes=every)
    assert not http_routes.matches(parent, "/team/ratings", routes=every)


TO_PARENT = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "parent", "namespace": "app"}


@pytest.mark.parametrize(
    ("refs", "delegated"),
    [
        ([TO_PARENT], True),
        ([{**TO_PARENT, "name": "other"}, TO_PARENT], True),
        ([{**TO_PARENT, "name": "other"}], False),
        ([{**TO_PARENT, "namespace": "team"}], False),
        ([{"name": "http", "namespace": "edge"}], False),
    ],
)
def test_a_route_with_parents_is_delegated_to_by_these_only(refs: list[Json], delegated: bool) -> None:
    child = route("child", "/team/reviews", namespace="team", parentRefs=refs)
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}
    parent = route("parent", "/team", backends=[ref])
    assert http_routes.delegating(child, [parent, child]) == ([parent] if delegated else [])
    assert http_routes.matches(parent, "/team/reviews/0", routes=[parent, child]) is delegated


def test_routes_that_delegate_to_each_other_match_nothing() -> None:
    one = route("one", backends=[{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "two"}])
    two = route("two", backends=[{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "one"}])
    two["spec"]["parentRefs"] = [{**TO_PARENT, "name": "one", "namespace": "app"}]
    assert not http_routes.matches(one, "/", routes=[one, two])
    assert http_routes.attached([one, two], ("edge", "http")) == [one, two]


@pytest.mark.parametrize("value", ["true", "Yes", "enabled"])
def test_a_child_that_inherits_its_parents_matcher_is_matched_by_the_parent(value: str) -> None:
    child = {**CHILD, "metadata": {**CHILD["metadata"], "annotations": {http_routes.INHERIT: value}}}
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}
    parent = route("parent", "/team", backends=[ref])
    assert http_routes.matches(parent, "/team/ratings", routes=[parent, child])


@pytest.mark.parametrize(
    ("hostname", "host", "fits"),
    [
        ("shop.example.com", "shop.example.com", True),
        ("Shop.example.com", "shop.example.com", True),
        ("*.example.com", "shop.example.com", True),
        ("*.example.com", "a.shop.example.com", True),
        ("*.example.com", "example.com", False),
        ("shop.example.com", "shop.example.org", False),
    ],
)
def test_hostnames_of_routes_are_compared_as_gateway_api_does(hostname: str, host: str, fits: bool) -> None:
    assert http_routes.matches(route(hostnames=[hostname]), "/", host) is fits
