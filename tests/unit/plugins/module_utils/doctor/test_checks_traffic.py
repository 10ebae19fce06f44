"""Checks of requests: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

from typing import Any

import pytest

import health_site
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_traffic
from health_changes import (
    Broken,
    Json,
    add,
    assert_first_problem,
    checked,
    set_field,
)
from health_site import Site

_MANAGED = {"app.kubernetes.io/managed-by": "multicluster.gloo"}


def _scaled_down(name: str, **labels: str) -> Json:
    found = health_site.deployment(name, "app", labels, [{"name": name}])
    found["spec"]["replicas"] = 0
    return found


def _without_sidecar(site: Any) -> None:
    found = health_site.deployment("ratings", "app", dict(_MANAGED), [{"name": "ratings"}])
    site.clusters["c1"]["Pod"].append(health_site.pod_of(found))
    site.clusters["c1"]["Deployment"].append(found)


BROKEN = [
    Broken(
        "proof-backends",
        "c2",
        "failed",
        lambda s: s.unready("c2", "page"),
        ("Deployment app/page has no ready Pod",),
    ),
    Broken(
        "proof-backends",
        "c1",
        "failed",
        add("c1", "Deployment", _scaled_down("reviews-v2", app="reviews", version="v2")),
        ("Deployment app/reviews-v2 is scaled to 0 replicas",),
    ),
    Broken(
        "own-workloads",
        "c2",
        "failed",
        add("c2", "Deployment", _scaled_down("ratings", **_MANAGED)),
        ("Deployment app/ratings is scaled to 0",),
    ),
    Broken(
        "own-workloads",
        "c1",
        "failed",
        _without_sidecar,
        ("Pod app/ratings-1 has no container istio-proxy", "injection"),
    ),
    Broken(
        "own-workloads",
        "c2",
        "warning",
        add("c2", "Service", health_site.service("ratings", "app", {"http": 9080}, labels=_MANAGED, selector=_MANAGED)),
        ("Service app/ratings selects no Pod",),
    ),
    Broken("mesh-answers", "c1", "failed", lambda s: s.silent.append("c2"), ("no response from c2", "15443")),
    Broken("route-match", "c1", "failed", lambda s: s.data["proofs"][1].update(path="/other"), ("GET /other", "404")),
    Broken(
        "gateway-answers",
        "c1",
        "failed",
        lambda s: (s.data["proofs"].pop(0), s.statuses.append("503")),
        ("no usable endpoint",),
    ),
    Broken(
        "mesh-answers",
        "c1",
        "failed",
        lambda s: s.data["proofs"][0]["answered_by"].update(label_selector="app=none"),
        ("no ready Pod in app",),
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{n}-{row.id}" for n, row in enumerate(BROKEN)])
def test_the_first_problem(broken: Broken) -> None:
    assert_first_problem(broken)


def test_every_check_is_broken_at_least_once() -> None:
    assert {row.id for row in BROKEN} == {check.id for check in checks_traffic.CHECKS}


def test_nothing_is_sent_below_a_broken_link() -> None:
    site = Site()
    site.drop("c2", "Deployment", "gloo-mesh-agent")
    site.connected = {"c1": True}
    checked(site)
    assert site.asked == 0


def test_an_expression_that_python_cannot_read_is_left_to_the_requests() -> None:
    site = Site()
    set_field("c1", "HTTPRoute", "r", "spec.rules.0.matches.0.path", {"type": "RegularExpression", "value": r"/\z(?i"})(
        site
    )
    assert checked(site)["verdict"] == "ok"
