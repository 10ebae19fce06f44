"""What a report says, and how Markdown says it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ansible_collections.multicluster.gloo.plugins.filter import report, report_markdown

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


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
        ("bell\x07 escape\x1b[31m null\x00", "bell� escape�[31m null�"),
        ("half of a pair \ud800, no character \uffff", "half of a pair �, no character �"),
        ("雨 é 🌧", "雨 é 🌧"),
    ],
)
def test_what_may_be_shown(text: str, shown: str) -> None:
    assert report.report_data({"key": [text]}) == {"key": [shown]}


def test_data_of_other_types_stays() -> None:
    data = {"a": [1, 2.5, None, True, {"b": ()}]}
    assert report.report_data(data) == {"a": [1, 2.5, None, True, {"b": []}]}


def test_a_failure_is_told_with_its_first_cause() -> None:
    view = report.report_view(health("failed"), docs_url="https://docs.example/main/")
    assert view["headline"] == "The chain breaks in cluster2"
    assert view["first"]["link"] == "https://docs.example/main/docs/doctor.md#relay-token"
    assert view["summary"] == "26 checks of 3 clusters in 3.1 s"
    assert {each["cluster"]: each["verdict"] for each in view["clusters"]} == {
        "mgmt": "warning",
        "cluster1": "ok",
        "cluster2": "failed",
    }


def test_checks_stay_in_the_order_of_the_walk() -> None:
    result = health("ok")
    for cluster in report.report_view(result)["clusters"]:
        walked = [each["id"] for each in result["checks"] if each["cluster"] == cluster["cluster"]]
        assert [each["id"] for each in cluster["checks"]] == walked


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        ([], "Nothing was checked"),
        (["ok"], "Every link holds"),
        (["ok", "skipped", "skipped"], "What could be looked at holds, 2 checks could not"),
        (["ok", "warning"], "It works, with 1 warning"),
        (["warning", "warning"], "It works, with 2 warnings"),
        (["failed", "warning"], "The chain breaks in here"),
    ],
)
def test_headlines(verdicts: list[str], headline: str) -> None:
    checks = [{"cluster": "here", "verdict": each, "doc": ""} for each in verdicts]
    worst = next((each for each in ("failed", "warning") if each in verdicts), "ok")
    first = next((each for each in checks if each["verdict"] == worst != "ok"), None)
    view = report.report_view({"verdict": worst, "checks": checks, "first": first, "seconds": 1, "time": ""})
    assert view["headline"] == headline


def test_what_is_not_known_is_left_out() -> None:
    bare: dict[str, Any] = {
        "cluster": "east",
        "role": "workload",
        "istiod": None,
        "east_west": [],
        "version": "",
        "agent": None,
    }
    [cluster] = report.report_view({"verdict": "ok", "seconds": 0, "time": "", "clusters": [bare]})["clusters"]
    assert cluster["facts"] == []
    assert cluster["verdict"] == "skipped"


def test_a_proxy_that_lags_behind_is_told() -> None:
    gateway: dict[str, Any] = {
        "cluster": "c",
        "namespace": "n",
        "gateway": "g",
        "verdict": "waiting",
        "cause": "no Deployment",
    }
    result = {"verdict": "ok", "seconds": 0, "time": "", "clusters": [{"cluster": "c", "gateways": [gateway]}]}
    gateway.update(generation=3, observed_generation=2, controller={"auto_mtls": False, "integration": None})
    [told] = report.report_view(result)["clusters"][0]["gateways"]
    assert (told["verdict"], told["problems"]) == ("warning", ["no Deployment"])
    assert {"term": "generation", "value": "3, its controller has seen 2"} in told["facts"]
    assert {"term": "auto mTLS", "value": "off"} in told["facts"]
    assert "Istio integration" not in {each["term"] for each in told["facts"]}


class Page(HTMLParser):
    """Elements and text of HTML."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(codec="utf-8"), min_size=1).map(report.report_data))
def test_markdown_takes_any_text_for_text(text: str) -> None:
    line = f"- **Seen:** {report_markdown.report_text(text)}"
    page = Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(line))
    assert page.tags == ["ul", "li", "strong"]
    assert page.text.split() == ["Seen:", *text.split()]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()).map(report.report_data), min_size=1, max_size=4))
def test_a_table_is_a_table_whatever_it_holds(rows: list[tuple[str, str, str]]) -> None:
    content = report_markdown.table(rows, ("One", "Two", "Three"))
    assert len(content.splitlines()) == len(rows) + 2
    page = Page(MarkdownIt("commonmark").enable("table").render(content))
    assert page.tags == ["table", "thead", "tr", *["th"] * 3, "tbody", *["tr", "td", "td", "td"] * len(rows)]
    words = [word for row in rows for cell in row for word in cell.split()]
    assert page.text.split() == ["One", "Two", "Three", *words]


def test_columns_are_aligned() -> None:
    rows = [("✅ ok", "雨", "a"), ("❌ failed", ("one", "two"), "a longer one")]
    assert report_markdown.table(rows, ("Verdict", "Text", "Last")).splitlines() == [
        "| Verdict   | Text       | Last |",
        "| --------- | ---------- | --- |",
        "| ✅ ok     | 雨         | a |",
        "| ❌ failed | one<br>two | a longer one |",
    ]
