"""Checks of destinations: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

import pytest

import health_site
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_routing
from health_changes import (
    Broken,
    add,
    assert_first_problem,
    checked,
    drop,
    set_field,
    set_state,
)
from health_site import Site

_OTHER = health_site.obj(
    "Service", "reviews-too", "app", meta={"labels": {"app": "reviews"}}, spec={"selector": {"app": "reviews"}}
)


_LOCALITY = health_site.obj(
    "DestinationRule",
    "dr",
    "app",
    spec={
        "host": health_site.HOST,
        "trafficPolicy": {"outlierDetection": {}, "loadBalancer": {"localityLbSetting": {"enabled": True}}},
    },
)


BROKEN = [
    Broken(
        "backing-service", "c2", "failed", drop("c2", "Service", "reviews"), ("in app have the labels app=reviews",)
    ),
    Broken(
        "backing-service",
        "c1",
        "failed",
        lambda s: s.data["virtual_destinations"][0]["spec"].update(services=[{"labels": {"app": "typo"}}]),
        ("no Service in any cluster",),
    ),
    Broken("service-unique", "c2", "warning", add("c2", "Service", _OTHER), ("2 Services", "reviews-too")),
    Broken("backends", "c2", "failed", lambda s: s.unready("c2", "reviews"), ("no ready Pod",)),
    Broken(
        "injection",
        "c2",
        "failed",
        set_field("c2", "Pod", "reviews-1", "spec.containers", [{"name": "reviews"}]),
        ("no sidecar", "restart ReplicaSet app/reviews-rs"),
    ),
    Broken(
        "injection",
        "c2",
        "warning",
        set_field("c2", "Namespace", "app", "metadata.labels", {"istio.io/rev": "main"}),
        ("istio.io/rev=main", "gloo"),
    ),
    Broken(
        "virtual-destination", "mgmt", "failed", drop("mgmt", "VirtualDestination", "vd"), ("does not exist in mgmt",)
    ),
    Broken("virtual-destination", "mgmt", "failed", set_state("VirtualDestination", "vd", "PENDING"), ("PENDING",)),
    Broken(
        "virtual-destination",
        "mgmt",
        "failed",
        set_field("mgmt", "VirtualDestination", "vd", "status.numSelectedBackingServices", 1),
        ("has 1 backing Services", "c1, c2", "every cluster"),
    ),
    Broken(
        "virtual-destination",
        "mgmt",
        "failed",
        set_field("mgmt", "VirtualDestination", "vd", "status.numSelectedBackingServices", 0),
        ("no Service in any cluster", "not of the Pods"),
    ),
    Broken(
        "virtual-destination",
        "mgmt",
        "failed",
        set_field("mgmt", "VirtualDestination", "vd", "status.ownedByWorkspace", {}),
        ("no workspace", "to a Workspace"),
    ),
    Broken(
        "virtual-destination",
        "mgmt",
        "warning",
        set_state("VirtualDestination", "vd", "WARNING", "more than one"),
        ("more than one",),
    ),
    Broken(
        "virtual-destination",
        "mgmt",
        "failed",
        set_field("mgmt", "VirtualDestination", "vd", "metadata.generation", 2),
        ("observed generation 1",),
    ),
    Broken("route-table", "mgmt", "failed", drop("mgmt", "RouteTable", "rt"), ("does not exist",)),
    Broken("service-entry", "c2", "failed", drop("c2", "ServiceEntry", "se"), ("no ServiceEntry has that host",)),
    Broken(
        "service-entry",
        "c1",
        "failed",
        set_field("c1", "ServiceEntry", "se", "spec.ports.0.number", 8080),
        ("no port 9080",),
    ),
    Broken("workload-entries", "c1", "failed", drop("c1", "WorkloadEntry", "we"), ("0 WorkloadEntries", "c2")),
    Broken(
        "workload-entries",
        "c1",
        "failed",
        set_field("c1", "WorkloadEntry", "we", "metadata.labels", {**health_site.PARENT}),
        ("metadata",),
    ),
    Broken(
        "service-entry",
        "c1",
        "failed",
        set_field("c1", "ServiceEntry", "se", "spec.workloadSelector.labels", {"app": "nobody"}),
        ("no Pod of the Service",),
    ),
    Broken(
        "workload-selection",
        "c2",
        "warning",
        set_field("c2", "Deployment", "istiod-gloo", "spec.template.spec.containers.0.env.1.value", "true"),
        ("WorkloadEntry app/we", "Service app/reviews"),
    ),
    Broken("locality", "c1", "warning", add("c1", "DestinationRule", _LOCALITY), ("DestinationRule app/dr",)),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{n}-{row.id}" for n, row in enumerate(BROKEN)])
def test_the_first_problem(broken: Broken) -> None:
    assert_first_problem(broken)


def test_every_check_is_broken_at_least_once() -> None:
    assert {row.id for row in BROKEN} == {check.id for check in checks_routing.CHECKS}


def test_what_a_status_says_is_told_without_secrets() -> None:
    site = Site()
    set_state("VirtualDestination", "vd", "WARNING", "licence key Canary-4tune8te has ended")(site)
    assert "licence key (redacted) has ended" in checked(site)["first"]["message"]


def test_what_a_status_says_is_told_on_one_line() -> None:
    site = Site()
    set_state("VirtualDestination", "vd", "WARNING", "2 errors occurred:\n\t* one\n\t* \x1b[2Jtwo\n")(site)
    assert checked(site)["first"]["message"].endswith("2 errors occurred: * one * two")
