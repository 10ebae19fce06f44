"""Checks of requests: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_traffic
from health_changes import (
    Broken,
    assert_first_problem,
    checked,
    set_field,
)
from health_site import Site

BROKEN = [
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
    checked(site)
    assert site.asked == 0


def test_an_expression_that_python_cannot_read_is_left_to_the_requests() -> None:
    site = Site()
    set_field("c1", "HTTPRoute", "r", "spec.rules.0.matches.0.path", {"type": "RegularExpression", "value": r"/\z(?i"})(
        site
    )
    assert checked(site)["verdict"] == "ok"
