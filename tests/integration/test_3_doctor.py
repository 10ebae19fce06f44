"""The doctor on a healthy site, and with one known failure at a time: the expected check fails first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acceptance.audit import Mark
from acceptance.changes import Make, added, named
from acceptance.faults import FAULTS, Fault
from acceptance.site import Site, guide_data, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info

Json = dict[str, Any]

ALIAS: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "istiod", "labels": {"app": "istiod", "istio": "pilot"}},
    "spec": {
        "selector": {"app": "istiod", "istio.io/rev": "gloo"},
        "ports": [{"name": "https-dns", "port": 15012}],
    },
}


def examined(site: Site) -> Json:
    """Result of the doctor with the data of the guide: requests are sent, too."""
    data = guide_data()
    clusters = [
        {
            "name": name,
            "kubeconfig": str(site.kubeconfig),
            "context": name,
            "role": "management" if name == site.management else "workload",
            "gateway": name == site.gateway_cluster,
        }
        for name in site.clusters
    ]
    wanted = {
        "virtual_destinations": data["routing_virtual_destinations"],
        "route_tables": data["routing_route_tables"],
        "http_routes": data["routing_http_routes"],
        "proofs": data["routing_proofs"],
    }
    found = health_info.run({"clusters": clusters, "data": wanted}, False, lambda _: None)
    return dict(found["health"])


def problems(found: Json) -> list[str]:
    """Failures and warnings, one line each."""
    return [
        f"{row['verdict']}: {row['id']} ({row['cluster']}): {row['message']}"
        for row in found["checks"]
        if row["verdict"] in ("failed", "warning")
    ]


def at_rest(site: Site) -> bool:
    found = examined(site)
    if found["verdict"] != "ok":
        print(found["first"])
    return bool(found["verdict"] == "ok")


@contextmanager
def made(site: Site, make: Make) -> Iterator[None]:
    """A change that is undone however the test ends; afterwards the doctor reports no problem."""
    undo = make(site)
    try:
        yield
    finally:
        undo()
        wait_until(lambda: at_rest(site), "the site at rest again", 120)


@pytest.fixture(scope="module")
def site(three_clusters: Site, before: object) -> Site:
    """The shared lab with everything the guide builds, at rest."""
    three_clusters.ensure_deployed()
    wait_until(lambda: at_rest(three_clusters), "the site at rest", 120)
    return three_clusters


def test_a_healthy_site_has_no_problem_and_nothing_skipped(site: Site) -> None:
    found = examined(site)
    assert problems(found) == []
    assert (found["counts"]["ok"], found["counts"]["skipped"]) == (len(found["checks"]), 0)
    assert {row["cluster"] for row in found["checks"]} == set(site.clusters)
    relay = [row["message"] for row in found["checks"] if row["id"] == "agent-connected"]
    assert relay == [f"the management server has a connection from {name}" for name in site.group("workload")]
    site.note("the doctor's checks on a healthy site", found["seconds"])


def test_an_alias_of_istiod_is_no_failure(site: Site) -> None:
    with made(site, added("gateway", "/api/v1/namespaces/istio-system/services", ALIAS)):
        assert problems(examined(site)) == []


@pytest.mark.share
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_broken_check_and_no_other_is_the_first(site: Site, fault: Fault) -> None:
    with made(site, fault.make):
        wait_until(lambda: fault.shows(site), f"the effect of: {fault}", 90)
        found = examined(site)
    first = found["first"] or {}
    expected = (fault.check, named(site, fault.cluster), fault.verdict)
    assert (first.get("id"), first.get("cluster"), first.get("verdict")) == expected, "\n".join(problems(found))
    assert re.search(fault.says, f"{first['message']} {first['hint']}")
    assert first["hint"] and first["doc"] == f"docs/doctor.md#{fault.check}"
    failed = {row["id"] for row in found["checks"] if row["verdict"] == "failed"}
    assert failed <= {fault.check}, "\n".join(problems(found))


def _fault(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def test_the_playbook_ends_well_and_writes_nothing(site: Site) -> None:
    mark = Mark(site)
    run = site.play("doctor").ok()
    assert [str(write) for write in mark.writes()] == []
    assert "all expected backends respond through the gateway" in run.text
    site.note("doctor.yml on a site that works", run.seconds)


def test_the_playbook_fails_at_a_failure_unless_told_otherwise(site: Site) -> None:
    fault = _fault("relay token not copied")
    with made(site, fault.make):
        wait_until(lambda: fault.shows(site), f"the effect of: {fault}", 90)
        run, spared = site.play("doctor"), site.play("doctor", "--extra-vars", "doctor_fail_on=never")
    assert run.code != 0
    assert "Traceback" not in run.output
    for said in (f"first failure: {site.remote_cluster}", "relay-identity-token-secret", "docs/doctor.md#relay-token"):
        assert said in run.text
    assert "relay-token" in run.errors
    assert spared.code == 0
    assert f"first failure: {site.remote_cluster}" in spared.text


def test_the_playbook_fails_at_a_warning_when_told_so(site: Site) -> None:
    fault = _fault("two Services of the destination in one cluster")
    with made(site, fault.make):
        wait_until(lambda: fault.shows(site), f"the effect of: {fault}", 90)
        spared, run = site.play("doctor"), site.play("doctor", "--extra-vars", "doctor_fail_on=warning")
    assert spared.code == 0
    assert "reviews-again" in spared.text
    assert run.code != 0
    assert "service-unique" in run.errors
