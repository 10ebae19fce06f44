"""All checks together: on a healthy site, with facts missing, and their documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info, runner, table
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.checks_gateway import PROXY_CHECKS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks
from health_changes import checked
from health_site import Site


def test_the_healthy_site_has_every_check_and_nothing_to_say_against() -> None:
    found = checked(Site())
    assert (found["verdict"], found["first"]) == ("ok", None)
    assert {row["id"] for row in found["checks"]} == {check.id for check in health_info.CHECKS}
    assert all(row["message"] or row["object"] for row in found["checks"])


def test_a_missing_right_is_said_and_nothing_is_guessed() -> None:
    site = Site()
    site.unreadable["c2"] = {"Secret": "x", "relay-identity-token-secret": "Secret a/b may not be read: Forbidden"}
    found = checked(site)
    row = next(r for r in found["checks"] if r["id"] == "relay-token" and r["cluster"] == "c2")
    assert (row["verdict"], row["message"]) == ("skipped", "not evaluated: Secret a/b may not be read: Forbidden")
    assert found["verdict"] == "ok"
    assert found["counts"]["skipped"] == 1


def test_without_data_everything_found_is_checked_and_nothing_is_sent() -> None:
    site = Site()
    site.data = None
    found = checked(site)
    assert found["verdict"] == "ok"
    assert {check.id for check in health_info.CHECKS} - {row["id"] for row in found["checks"]} == {
        "proof-backends",
        "mesh-answers",
        "gateway-answers",
        "route-match",
    }
    assert site.asked == 0


def test_who_may_list_nothing_is_told_so_and_nothing_else() -> None:
    site = Site()
    for name, kinds in site.clusters.items():
        site.unreadable[name].update(dict.fromkeys(kinds, "they cannot be listed"))
    found = checked(site)
    assert found["counts"]["failed"] == 0
    assert table.summary(found)[0].startswith(f"ok ({found['counts']['skipped']} checks could not be evaluated): ")
    assert table.sentence(found).endswith(f"({found['counts']['skipped']} checks could not be evaluated)")
    site.data = None
    unknown = {row["id"] for row in checked(site)["checks"] if row["verdict"] == "skipped"}
    assert {"istiod", "gateway-api", "virtual-destination"} <= unknown


@st.composite
def mutilated(draw: st.DrawFn) -> Any:
    """The site with parts of it gone, refused or not served, as a cluster in the middle of anything may be."""
    site = Site()
    if draw(st.booleans()):
        site.data = None
    for cluster, kinds in site.clusters.items():
        for kind, objects in kinds.items():
            fate = draw(st.sampled_from(["stays"] * 6 + ["gone", "refused", "absent", "cut", "cut"]))
            if fate == "gone":
                objects.clear()
            elif fate == "refused":
                site.unreadable[cluster][kind] = "Forbidden"
            elif fate == "absent":
                site.absent[cluster].add(kind)
            elif fate == "cut" and objects:
                found = draw(st.sampled_from(objects))
                part = draw(st.sampled_from(["spec", "status", "data", "labels"]))
                (found["metadata"] if part == "labels" else found).pop(part, None)
        for name in list(site.secrets[cluster]):
            if draw(st.integers(0, 9)) == 0:
                site.secrets[cluster][name] = None
    return site


@pytest.mark.slow
@given(mutilated())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_is_missing_the_walk_comes_to_its_end_and_says_what_to_do(site: Any) -> None:
    found = checked(site)
    for row in found["checks"]:
        assert row["message"] or row["object"]
        assert runner.INTERNAL_ERROR not in row["message"]
        assert bool(row["hint"]) is (row["verdict"] in ("warning", "failed")), row
        assert row["doc"].startswith("docs/doctor.md#")


# -- documentation ---------------------------------------------------------------------------------------------------


def test_every_id_has_its_paragraph_in_the_order_of_the_walk() -> None:
    text = (Path(__file__).parents[5] / "docs" / "doctor.md").read_text()
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(range(1, 35))
    paragraphs = dict(re.findall(r"^### (\S+)\n(.+?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(paragraphs) == [check.id for check in health_info.CHECKS]
    assert all(len(body.split()) > 10 for body in paragraphs.values())
    linked = re.findall(r"\]\(#([\w-]+)\)", text)
    assert linked and set(linked) <= set(paragraphs)


def test_ids_are_unique_and_needs_come_before() -> None:
    seen: set[str] = set()
    for check in health_info.CHECKS:
        assert check.id not in seen
        assert {*check.needs, *check.needs_all} <= seen, check.id
        seen.add(check.id)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.id)


def test_every_judgement_on_a_proxy_has_a_check() -> None:
    assert [name for name, _check in proxy_checks.CHECKS] == list(PROXY_CHECKS)
