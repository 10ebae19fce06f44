"""What is refused of routing's variables before anything is written: one thing wrong at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.filter import routing

Data = dict[str, dict[str, Any]]
Change = Callable[[Any], Any]

GUIDE = Path(__file__).resolve().parents[4] / "playbooks" / "vars" / "guide.yml"
PARTS = {
    "virtual_destinations": ("routing_virtual_destinations",),
    "route_tables": ("routing_route_tables",),
    "http_routes": ("step4_http_routes", "step5_http_routes"),
    "mesh_proofs": ("routing_mesh_proofs",),
    "gateway_proofs": ("step4_proofs", "step5_proofs"),
}


def guide() -> Data:
    """The playbooks' own data, as preflight hands it over."""
    content = yaml.safe_load(GUIDE.read_text(encoding="utf-8"))
    return {part: {name: copy.deepcopy(content[name]) for name in names} for part, names in PARTS.items()}


def first(part: str, variable: str) -> Callable[[Data], Any]:
    return lambda data: data[part][variable][0]


DESTINATION = first("virtual_destinations", "routing_virtual_destinations")
TABLE = first("route_tables", "routing_route_tables")
PAGE = first("http_routes", "step4_http_routes")
REVIEWS = first("http_routes", "step5_http_routes")
INSIDE = first("mesh_proofs", "routing_mesh_proofs")
OUTSIDE = first("gateway_proofs", "step5_proofs")


def parents(data: Data) -> Any:
    return PAGE(data)["spec"]["parentRefs"]


def service(data: Data) -> Any:
    return PAGE(data)["spec"]["rules"][0]["backendRefs"][0]


def hostname(data: Data) -> Any:
    return REVIEWS(data)["spec"]["rules"][0]["backendRefs"][0]


def test_the_guide_is_sound() -> None:
    assert routing.routing_problems(guide(), [name for names in PARTS.values() for name in names]) == []


REVIEWS_BACKEND = "HTTPRoute gloo-system/reviews: step5_http_routes[0].spec.rules[0].backendRefs[0]"
PAGE_SPEC = "HTTPRoute bookinfo/productpage: step4_http_routes[0].spec"
VD_SPEC = "VirtualDestination bookinfo/reviews-vd: routing_virtual_destinations[0].spec"


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda d: PAGE(d).pop("name"), "step4_http_routes[0].name is missing: give a name"),
        (lambda d: PAGE(d).pop("namespace"), "step4_http_routes[0].namespace is missing: give a namespace"),
        (lambda d: PAGE(d).update(namespace="Book_info"), "step4_http_routes[0].namespace is 'Book_info'"),
        (lambda d: PAGE(d).pop("spec"), "step4_http_routes[0].spec is missing"),
        (lambda d: PAGE(d)["spec"].pop("parentRefs"), f"{PAGE_SPEC}.parentRefs is missing: name a Gateway"),
        (lambda d: PAGE(d)["spec"].update(parentRefs=[]), f"{PAGE_SPEC}.parentRefs is empty"),
        (lambda d: parents(d)[0].pop("name"), f"{PAGE_SPEC}.parentRefs[0].name is missing: give a Gateway's name"),
        (lambda d: parents(d).append("http"), f"{PAGE_SPEC}.parentRefs[1].name is 'http'"),
        (lambda d: parents(d)[0].update(namespace="a.b"), f"{PAGE_SPEC}.parentRefs[0].namespace is 'a.b'"),
        (lambda d: parents(d)[0].update(port=0), f"{PAGE_SPEC}.parentRefs[0].port is 0: give 1 to 65535"),
        (lambda d: PAGE(d)["spec"].update(hostnames=["a_b"]), f"{PAGE_SPEC}.hostnames[0] is 'a_b': give a DNS name"),
        (lambda d: PAGE(d)["spec"].update(rules=[]), f"{PAGE_SPEC}.rules is empty: give at least one rule"),
        (lambda d: PAGE(d)["spec"]["rules"][0].update(backendRefs=[]), f"{PAGE_SPEC}.rules[0].backendRefs is empty"),
        (
            lambda d: service(d).update(port=99999),
            f"{PAGE_SPEC}.rules[0].backendRefs[0].port is 99999: give 1 to 65535",
        ),
        (lambda d: service(d).pop("port"), f"{PAGE_SPEC}.rules[0].backendRefs[0].port is missing"),
        (lambda d: service(d).update(port="9080"), "backendRefs[0].port is '9080': give it as a number, not as text"),
        (lambda d: service(d).update(port=True), "backendRefs[0].port is True"),
        (lambda d: service(d).update(name="a b"), f"{PAGE_SPEC}.rules[0].backendRefs[0].name is 'a b'"),
        (lambda d: service(d).update(namespace=""), "backendRefs[0].namespace is '': give the backend's namespace"),
        (
            lambda d: hostname(d).update(name="reviews_mesh"),
            f"{REVIEWS_BACKEND}.name is 'reviews_mesh': give a DNS name",
        ),
        (
            lambda d: hostname(d).update(namespace="bookinfo"),
            f"{REVIEWS_BACKEND}.namespace is 'bookinfo': a Hostname has",
        ),
        (lambda d: hostname(d).pop("group"), f"{REVIEWS_BACKEND}.group is ''"),
        (lambda d: hostname(d).update(port=70000), f"{REVIEWS_BACKEND}.port is 70000: give 1 to 65535"),
        (
            lambda d: hostname(d).update(port=9081),
            f"{REVIEWS_BACKEND}.port is 9081: VirtualDestination bookinfo/reviews-vd offers reviews.mesh.internal.com "
            "on port 9080, set that",
        ),
        (
            lambda d: d["http_routes"]["step5_http_routes"].append("x"),
            "step5_http_routes[1] is 'x': give name, namespace",
        ),
        (lambda d: d["http_routes"].update(step5_http_routes={"a": 1}), "step5_http_routes is a mapping: give a list"),
        (lambda d: DESTINATION(d)["spec"].update(hosts=[]), f"{VD_SPEC}.hosts is empty"),
        (lambda d: DESTINATION(d)["spec"].pop("ports"), f"{VD_SPEC}.ports is missing"),
        (lambda d: DESTINATION(d)["spec"]["hosts"].append("a_b..c"), f"{VD_SPEC}.hosts[1] is 'a_b..c'"),
        (lambda d: DESTINATION(d)["spec"]["hosts"].append("*.c"), f"{VD_SPEC}.hosts[1] is '*.c'"),
        (lambda d: DESTINATION(d)["spec"]["ports"].append({"number": 99999}), f"{VD_SPEC}.ports[1].number is 99999"),
        (lambda d: DESTINATION(d)["spec"]["ports"].append(80), f"{VD_SPEC}.ports[1].number is 80"),
        (lambda d: TABLE(d).update(name="UPPER"), "routing_route_tables[0].name is 'UPPER'"),
        (lambda d: OUTSIDE(d).pop("answered_by"), "step5_proofs[0].answered_by is missing: give namespace and label"),
        (lambda d: OUTSIDE(d).update(answered_by={}), "step5_proofs[0].answered_by is empty"),
        (lambda d: OUTSIDE(d)["answered_by"].pop("namespace"), "step5_proofs[0].answered_by.namespace is missing"),
        (
            lambda d: OUTSIDE(d)["answered_by"].update(label_selector=""),
            "step5_proofs[0].answered_by.label_selector is ''",
        ),
        (lambda d: OUTSIDE(d)["answered_by"].update(label_selector="app!=a"), "answered_by.label_selector is 'app!=a'"),
        (lambda d: OUTSIDE(d).update(path="reviews/0"), "step5_proofs[0].path is 'reviews/0'"),
        (lambda d: OUTSIDE(d).update(host="a b"), "step5_proofs[0].host is 'a b'"),
        (lambda d: OUTSIDE(d).pop("name"), "step5_proofs[0].name is missing"),
        (lambda d: INSIDE(d).pop("from_pod"), "routing_mesh_proofs[0].from_pod is missing"),
        (lambda d: INSIDE(d)["from_pod"].update(port=0), "routing_mesh_proofs[0].from_pod.port is 0"),
    ],
)
def test_one_thing_wrong_is_one_problem(break_it: Change, told: str) -> None:
    data = guide()
    break_it(data)
    [problem] = routing.routing_problems(data)
    assert told in problem


@pytest.mark.parametrize(
    "change",
    [
        lambda d: PAGE(d)["spec"].update(hostnames=["*.example.com", "a.example.com"]),
        lambda d: PAGE(d)["spec"]["rules"][0].update(backendRefs=[], filters=[{"type": "RequestRedirect"}]),
        lambda d: PAGE(d)["spec"].pop("rules"),
        # Nobody here declares the host: another playbook may.
        lambda d: hostname(d).update(name="other.mesh.internal.com", port=1234),
        lambda d: d["virtual_destinations"].update(routing_virtual_destinations=[]),
        lambda d: DESTINATION(d)["spec"]["ports"].append({"number": 9081}) or hostname(d).update(port=9081),
        lambda d: service(d).update(kind="Backend", group="gateway.kgateway.dev") or service(d).pop("port"),
        lambda d: OUTSIDE(d)["answered_by"].update(label_selector="app==reviews, version=v1"),
        lambda d: OUTSIDE(d).update(host="a.example.com:8080"),
        lambda d: INSIDE(d)["from_pod"].update(port="9080"),
    ],
)
def test_what_may_be(change: Change) -> None:
    data = guide()
    change(data)
    assert routing.routing_problems(data) == []


def test_empty_is_nothing_to_do_unless_needed() -> None:
    data: Data = {part: {name: [] for name in names} for part, names in PARTS.items()}
    assert routing.routing_problems(data) == []
    assert routing.routing_problems({}) == []
    assert routing.routing_problems(data, ["step4_proofs", "step5_http_routes"]) == [
        "step5_http_routes is empty: give at least one entry",
        "step4_proofs is empty: give at least one entry",
    ]


def test_several_problems_are_all_told() -> None:
    data = guide()
    PAGE(data)["spec"].pop("parentRefs")
    hostname(data).update(port=9081, namespace="bookinfo")
    assert len(routing.routing_problems(data)) == 3
