"""Every check over every kind that it reads, with fields of any type: verdicts, and never an internal error."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from health_every_kind import site_of_every_kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import facts, health_info, runner
from health_changes import checked
from health_site import Site

Json = dict[str, Any]
Place = tuple[str | int, ...]

SHAPES: list[Any] = [None, "text", "7", 7, 7.5, True, 10**30, [], ["x"], [None], [[]], {}, {"x": "y"}, {"x": {}}]
PLAIN: list[Any] = ["text", 7, ["x"], [None], {"x": {}}]
#: checks that depend on nothing, so that a failure does not keep another one from seeing the damaged field
ALONE = [
    replace(check, needs=(), needs_all=(), needs_own=())
    for check in health_info.CHECKS
    # They need an east-west gateway, whose absence is the failure of another check.
    if check.id not in ("east-west-port", "east-west-address")
]


def errors(site: Site) -> list[str]:
    """The internal errors of all checks, in the order of a run and each by itself."""
    alone = runner.summary(runner.run_checks(ALONE, site.facts(), "mgmt"))
    rows = [*checked(site)["checks"], *alone["checks"]]
    assert all(row["message"] or row["object"] for row in rows)
    return [f"{row['id']}: {row['message']}" for row in rows if runner.INTERNAL_ERROR in row["message"]]


def places(value: Any, above: Place = ()) -> Iterator[tuple[Any, Any, Place]]:
    """(parent, key, path) of every field."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key, (*above, key)
        yield from places(value[key], (*above, key))


def fields(obj: Json) -> list[tuple[Any, Any, Place]]:
    """Without the two that decide which list the object is in."""
    return [found for found in places(obj) if found[2][0] not in ("kind", "apiVersion")]


def parts(value: Any) -> Iterator[Any]:
    """Everything in a value that can be changed in place."""
    if isinstance(value, dict | list):
        yield value
    for parent, key, _place in places(value):
        if isinstance(parent[key], dict | list):
            yield parent[key]


def objects(site: Site) -> list[tuple[str, str, Json]]:
    return [(name, kind, obj) for name, kinds in site.clusters.items() for kind in kinds for obj in kinds[kind]]


def test_the_site_is_healthy_and_has_an_object_of_every_kind_that_is_read() -> None:
    site = site_of_every_kind()
    assert (checked(site)["verdict"], errors(site)) == ("ok", [])
    read = {listing.key for listing in (*facts.MANAGEMENT, *facts.WORKLOAD)}
    empty = {kind for kind in read if not any(site.clusters[name].get(kind) for name in ("mgmt", "c1"))}
    # Parameters of other products: GatewayParameters and EnterpriseKgatewayParameters stand for them.
    assert {kind for kind in empty if " of " not in kind} == set()


def test_what_a_test_damages_is_in_no_other_object_and_no_other_site() -> None:
    found = [part for site in (site_of_every_kind(), site_of_every_kind()) for part in parts(site.clusters)]
    times = Counter(map(id, found))
    assert [part for part in found if times[id(part)] > 1] == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServiceEntry", "spec.hosts", True),
        ("ServiceEntry", "spec.ports", ["x"]),
        ("ServiceEntry", "spec.ports.0.number", "text"),
        ("ServiceEntry", "spec.ports.0.name", ["x"]),
        ("ServiceEntry", "spec.workloadSelector", "text"),
        ("ServiceEntry", "spec.workloadSelector.labels", ["x"]),
        ("ServiceEntry", "metadata.namespace", ["x"]),
        ("WorkloadEntry", "spec.ports", 7),
        ("WorkloadEntry", "spec.labels", "text"),
        ("DestinationRule", "spec.trafficPolicy", "text"),
        ("DestinationRule", "spec.trafficPolicy.portLevelSettings", [None]),
        ("Service", "spec.selector", "text"),
        ("Service", "spec.ports", 7),
        ("Service", "metadata.namespace", {"x": "y"}),
        ("Pod", "spec.containers", ["x"]),
        ("Pod", "metadata.namespace", ["x"]),
        ("Gateway", "spec.listeners", "text"),
        ("Gateway", "metadata.namespace", ["x"]),
        ("HTTPRoute", "spec.hostnames", True),
        ("HTTPRoute", "spec.rules", ["x"]),
        ("CustomResourceDefinition", "metadata.annotations", "text"),
    ],
)
@pytest.mark.parametrize("with_data", [True, False])
def test_a_field_of_a_wrong_type_is_no_internal_error(kind: str, path: str, value: Any, with_data: bool) -> None:
    site = site_of_every_kind()
    site.data = site.data if with_data else None
    for obj in site.clusters["c1"][kind]:
        for parent, key, place in fields(obj):
            if ".".join(map(str, place)) == path:
                parent[key] = copy.deepcopy(value)
                break
    assert errors(site) == []


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize(
    ("cluster", "kind"),
    [(name, kind) for name in ("mgmt", "c1") for kind, found in site_of_every_kind().clusters[name].items() if found],
)
@pytest.mark.parametrize("depth", range(1, 9))
def test_all_fields_of_a_depth_of_wrong_types(cluster: str, kind: str, depth: int) -> None:
    for shape in PLAIN:
        site = site_of_every_kind()
        for obj in site.clusters[cluster][kind]:
            for parent, key, place in fields(obj):
                if len(place) == depth:
                    parent[key] = copy.deepcopy(shape)
        assert errors(site) == [], shape


@pytest.mark.slow
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_fields_of_wrong_types_in_several_objects(data: st.DataObject) -> None:
    site = site_of_every_kind()
    if data.draw(st.booleans()):
        site.data = None
    for _time in range(data.draw(st.integers(1, 6))):
        _cluster, _kind, obj = data.draw(st.sampled_from(objects(site)))
        parent, key, _place = data.draw(st.sampled_from(fields(obj)))
        parent[key] = copy.deepcopy(data.draw(st.sampled_from(SHAPES)))
    assert errors(site) == []
