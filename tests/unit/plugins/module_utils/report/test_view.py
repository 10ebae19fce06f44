"""The contents of a report, whatever its format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.report import view as views

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"


def health(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FIXTURES / f"health_{name}.json").read_text())
    return content


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host.example/path", "https://host.example/path"),
        ("at http://token@192.0.2.1:80/ and ftp://a:b@c", "at http://192.0.2.1:80/ and ftp://c"),
        ("https://host.example/@page", "https://host.example/@page"),
        ("someone@host.example", "someone@host.example"),
        ("tab\tline\n", "tab\tline\n"),
        ("bell\x07 escape\x1b[31m null\x00", "bell� escape null�"),
        ("half of a pair \ud800, no character \uffff", "half of a pair �, no character �"),
        ("雨 é 🌧", "雨 é 🌧"),
    ],
)
def test_shown(text: str, shown: str) -> None:
    assert views.shown({"key": [text]}) == {"key": [shown]}


def test_data_of_other_types_stays() -> None:
    data = {"a": [1, 2.5, None, True, {"b": ()}]}
    assert views.shown(data) == {"a": [1, 2.5, None, True, {"b": []}]}


def test_a_failure_has_its_cluster_in_the_headline() -> None:
    view = views.view(health("failed"), docs_url="https://docs.example/main/")
    assert view["headline"] == "Unhealthy: first failure in cluster2"
    assert view["first"]["link"] == "https://docs.example/main/docs/doctor.md#relay-token"
    assert view["summary"] == "26 checks in 3 clusters, took 3.1 s"
    assert {each["cluster"]: each["verdict"] for each in view["clusters"]} == {
        "mgmt": "warning",
        "cluster1": "ok",
        "cluster2": "failed",
    }


def test_checks_keep_their_order() -> None:
    result = health("ok")
    for cluster in views.view(result)["clusters"]:
        order = [each["id"] for each in result["checks"] if each["cluster"] == cluster["cluster"]]
        assert [each["id"] for each in cluster["checks"]] == order


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        ([], "No checks were run"),
        (["ok"], "Healthy"),
        (["ok", "skipped"], "Healthy (1 check could not be evaluated)"),
        (["ok", "skipped", "skipped"], "Healthy (2 checks could not be evaluated)"),
        (["ok", "warning"], "Healthy with warnings"),
        (["failed", "warning"], "Unhealthy: first failure in here"),
    ],
)
def test_headlines(verdicts: list[str], headline: str) -> None:
    checks = [{"cluster": "here", "verdict": each, "doc": ""} for each in verdicts]
    worst = next((each for each in ("failed", "warning") if each in verdicts), "ok")
    first = next((each for each in checks if each["verdict"] == worst != "ok"), None)
    view = views.view({"verdict": worst, "checks": checks, "first": first, "seconds": 1, "time": ""})
    assert view["headline"] == headline


def test_unknown_facts_are_left_out() -> None:
    bare: dict[str, Any] = {
        "cluster": "east",
        "role": "workload",
        "istiod": None,
        "east_west": [],
        "version": "",
        "agent": None,
    }
    [cluster] = views.view({"verdict": "ok", "seconds": 0, "time": "", "clusters": [bare]})["clusters"]
    assert cluster["facts"] == []
    assert cluster["verdict"] == "skipped"


def test_a_proxy_with_an_old_generation_is_shown() -> None:
    gateway: dict[str, Any] = {
        "cluster": "c",
        "namespace": "n",
        "gateway": "g",
        "verdict": "waiting",
        "cause": "no Deployment",
    }
    result = {"verdict": "ok", "seconds": 0, "time": "", "clusters": [{"cluster": "c", "gateways": [gateway]}]}
    gateway.update(generation=3, observed_generation=2, controller={"auto_mtls": False, "integration": None})
    [shown] = views.view(result)["clusters"][0]["gateways"]
    assert (shown["verdict"], shown["problems"]) == ("warning", ["no Deployment"])
    assert {"term": "generation", "value": "3 (observed: 2)"} in shown["facts"]
    assert {"term": "auto mTLS", "value": "off"} in shown["facts"]
    assert "Istio integration" not in {each["term"] for each in shown["facts"]}
