"""Every format of a report: two results, any text in any field, and the role in a playbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ansible_collections.multicluster.gloo.plugins.module_utils.report import markdown, report_files, style
from ansible_collections.multicluster.gloo.plugins.module_utils.report.view import shown

REPO = Path(__file__).resolve().parents[5]
FIXTURES = REPO / "tests" / "unit" / "fixtures"
RESULTS = {name: json.loads((FIXTURES / f"health_{name}.json").read_text()) for name in ("ok", "failed")}
BOTH = pytest.mark.parametrize("name", RESULTS)

# Tries to become markup in one format or another.
HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</style></title></svg><svg onload=alert(1)>",
    "]]>--><!-- &lt;b&gt; &#x3c;i&#x3e;",
    "[link](javascript:alert(1)) ![image](https://evil.example/x.png) <https://evil.example> https://evil.example",
    "`code` **bold** | cell |\n\n# heading\n<b>raw</b>",
)


def render(ending: str, health: dict[str, Any], title: str = "Multicluster routing", docs_url: str = "") -> str:
    params = {"health": health, "title": title, "docs_url": docs_url, "formats": [*report_files.FORMATS]}
    return report_files.render(params)[ending]


class Page(HTMLParser):
    """Elements with their attributes, and the text outside style sheets. An element that is not closed is refused."""

    VOID = ("meta", "br")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def tags(self) -> list[str]:
        return [tag for tag, _attributes in self.elements]


def words(text: str) -> str:
    return " ".join(text.split())


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Texts of a result with the key they stand under."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from strings(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, key)
    elif isinstance(value, str):
        yield key, value


def changed(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """*value* with every text replaced by ``change(key, text)``."""
    if isinstance(value, dict):
        return {name: changed(each, change, name) for name, each in value.items()}
    if isinstance(value, list):
        return [changed(each, change, key) for each in value]
    return change(key, value) if isinstance(value, str) else value


# Words the contract fixes; everything else may hold any text.
FIXED = ("verdict", "role")
SHOWN = ("cluster", "check", "message", "object", "instance", "pod", "server", "backends", "image", "proof")


def poisoned(text: str) -> tuple[dict[str, Any], list[str]]:
    """The failed result with *text* after every text, and what must be read in a report of it."""
    health = changed(RESULTS["failed"], lambda key, old: old + text if old and key not in FIXED else old)
    texts = [each for key, each in strings(shown(health)) if key in SHOWN and each]
    return health, [words(each) for each in texts]


# --- HTML ------------------------------------------------------------------------------------------------------------


@BOTH
def test_the_page_needs_no_network_and_no_script(name: str) -> None:
    content = render("html", RESULTS[name])
    page = Page(content)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags())
    for tag, attributes in page.elements:
        assert not [each for each in attributes if each.startswith("on")], tag
        for reference in ("src", "href", "xlink:href", "data", "srcset", "action"):
            assert (attributes.get(reference) or "#").startswith("#"), (tag, attributes)
    style = content[content.index("<style>") : content.index("</style>")]
    assert "url(" not in style and "@import" not in style


@BOTH
def test_the_page_is_accessible(name: str) -> None:
    page = Page(render("html", RESULTS[name]))
    attributes = dict(page.elements)
    assert attributes["html"] == {"lang": "en"}
    assert "width=device-width" in str(attributes["meta"])
    ids = [each["id"] for _tag, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    for tag, each in page.elements:
        assert set((each.get("aria-labelledby") or "").split()) <= set(ids), each
        assert (each.get("href") or "#ok")[1:] in ids, each
        if tag == "svg":
            assert "aria-hidden" in each or each.get("role") == "img" or "x" in each
        if tag == "th":
            assert each.get("scope") in ("col", "row")
    assert page.tags().count("h1") == 1


def test_the_page_starts_with_the_first_failure() -> None:
    text = words(Page(render("html", RESULTS["failed"])).text)
    first = RESULTS["failed"]["first"]
    order = ["Unhealthy: first failure in cluster2", first["check"], first["message"], first["hint"], first["doc"]]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert places[-1] < text.index("Topology")


@BOTH
def test_the_page_holds_every_fact(name: str) -> None:
    text = words(Page(render("html", RESULTS[name])).text)
    keys = (*SHOWN, "version", "uid", "east_west", "hint")
    for fact in [each for key, each in strings(RESULTS[name]) if key in keys]:
        assert words(fact) in text


def test_docs_are_linked_where_they_are_known() -> None:
    page = Page(render("html", RESULTS["failed"], docs_url="https://docs.example"))
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert links == {f"https://docs.example/docs/doctor.md#{each}" for each in ("relay-token", "telemetry-address")}


def hostile(test: Callable[[str], None]) -> Callable[[str], None]:
    for text in HOSTILE:
        test = example(text)(test)
    return test


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@hostile
@given(st.text(min_size=1))
def test_no_text_becomes_more_than_text_in_html(text: str) -> None:
    health, texts = poisoned(text)
    page = Page(render("html", health, title=shown(text)))
    harmless = Page(render("html", poisoned("x")[0]))
    assert set(page.tags()) == set(harmless.tags())
    # In the picture long texts get a title and a second line; elsewhere not one element comes or goes.
    for tag in ("p", "td", "tr", "code", "span", "a", "li", "details", "rect", "path", "style"):
        assert page.tags().count(tag) == harmless.tags().count(tag)
    assert {name for _tag, attributes in page.elements for name in attributes} == {
        name for _tag, attributes in harmless.elements for name in attributes
    }
    content = render("html", health)
    drawings = re.findall(r"<svg class=\"(?:wide|medium|narrow)\".*?</text>\n</svg>", content, re.DOTALL)
    assert [ET.fromstring(each).get("class") for each in drawings] == ["wide", "medium", "narrow"]
    read = words(page.text)
    for each in texts:
        assert each in read


def test_healthy_clusters_are_folded() -> None:
    health = many_clusters(50)
    page = Page(render("html", health))
    unfolded = [attributes for tag, attributes in page.elements if tag == "details" and "open" in attributes]
    assert len(unfolded) == 1, "the checks of cluster2"
    assert page.tags().count("details") == 2 * 53


def many_clusters(count: int) -> dict[str, Any]:
    """The failed result with *count* copies of cluster1 beside it."""
    health = json.loads(json.dumps(RESULTS["failed"]))
    checks = [each for each in health["checks"] if each["cluster"] == "cluster1" and each["verdict"] == "ok"]
    for number in range(count):
        name = f"more{number}"
        health["clusters"].append({**health["clusters"][1], "cluster": name, "gateways": []})
        health["checks"] += [{**each, "cluster": name} for each in checks]
    for each in health["checks"]:
        if each["cluster"] in ("mgmt", "cluster1"):
            each["verdict"] = "ok"
    return health


def colours(scheme: str) -> dict[str, str]:
    css = style.CSS
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(scheme: str) -> None:
    found = colours(scheme)
    for text in ("text", "muted", "accent", "ok", "warning", "failed", "skipped"):
        for ground in ("page", "surface"):
            dark, light = sorted((luminance(found[text]), luminance(found[ground])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


# --- Markdown, JSON, JUnit -------------------------------------------------------------------------------------------


@BOTH
def test_markdown_holds_every_fact(name: str) -> None:
    text = render("md", RESULTS[name])
    for fact in [each for key, each in strings(RESULTS[name]) if key in (*SHOWN, "version", "hint") and each]:
        assert markdown.text(fact) in text
    assert text.startswith(("# ✅ ok: Healthy\n", "# ❌ failed: Unhealthy: first failure in cluster2\n"))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@hostile
@given(st.text(min_size=1))
def test_no_text_becomes_more_than_text_in_markdown(text: str) -> None:
    health, _texts = poisoned(text)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page, harmless = (
        Page(parser.render(render("md", each, title=shown(title))))
        for each, title in ((health, text), (poisoned("x")[0], "x"))
    )
    assert set(page.tags()) == set(harmless.tags())
    for tag in ("p", "li", "h1", "h2", "tr", "td", "br", "table"):
        assert page.tags().count(tag) == harmless.tags().count(tag)
    assert not re.search(r"(?<!\\)://", render("md", health))  # GitHub makes links of bare URLs


@BOTH
def test_junit_has_a_suite_for_each_cluster_and_a_case_for_each_check(name: str) -> None:
    root = ET.fromstring(render("xml", RESULTS[name]).encode())
    result = RESULTS[name]
    assert [suite.get("name") for suite in root] == [each["cluster"] for each in result["clusters"]]
    assert [len(suite) for suite in root] == [int(suite.get("tests", "")) for suite in root]
    for suite in root:
        assert suite.get("failures") == str(len(suite.findall("*/failure")))
        assert suite.get("skipped") == str(len(suite.findall("*/skipped")))
    counts = {tag: len(root.findall(f"*/*/{tag}")) for tag in ("failure", "skipped")}
    assert counts == {"failure": result["counts"]["failed"], "skipped": result["counts"]["skipped"]}
    assert (root.get("tests"), root.get("failures")) == (str(len(result["checks"])), str(counts["failure"]))


def test_junit_has_the_reason() -> None:
    root = ET.fromstring(render("xml", RESULTS["failed"]).encode())
    first = RESULTS["failed"]["first"]
    [case] = [each for each in root.findall("*/testcase") if each.find("failure") is not None]
    assert (case.get("classname"), case.get("name")) == (
        "cluster2.relay-token",
        f"{first['check']} ({first['object']})",
    )
    [failure] = case
    assert failure.get("message") == first["message"]
    assert failure.text == f"{first['message']}\n{first['hint']}\n{first['doc']}"
    [warning] = [each for each in root.findall("*/*/system-out") if (each.text or "").startswith("warning: ")]
    assert "ClusterIP" in (warning.text or "") and "LoadBalancer" in (warning.text or "")
    reasons = {each.get("message") for each in root.findall("*/*/skipped")}
    assert reasons == {"because relay-token failed in cluster2"}


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@hostile
@given(st.text(min_size=1))
def test_no_text_becomes_more_than_text_in_junit(text: str) -> None:
    health, _texts = poisoned(text)
    root = ET.fromstring(render("xml", health).encode())
    harmless = ET.fromstring(render("xml", poisoned("x")[0]).encode())
    assert [each.tag for each in root.iter()] == [each.tag for each in harmless.iter()]
    read = {words(each.get("message") or each.text or "") for each in root.iter()}
    for each in shown(health)["checks"]:
        if each["verdict"] in ("ok", "failed", "skipped"):
            assert any(words(each["message"]) in line for line in read)


# --- the role --------------------------------------------------------------------------------------------------------

PLAYBOOK = """
- hosts: one,two
  gather_facts: false
  vars:
    report_health: "{{ lookup('ansible.builtin.file', fixture) | from_json }}"
  roles:
    - multicluster.gloo.report
"""


def play(folder: Path, path: Path, *arguments: str) -> str:
    """Output of ansible-playbook over two hosts that nobody can reach, as nobody has to."""
    book = folder / "play.yml"
    book.write_text(PLAYBOOK)
    told = json.dumps({"fixture": str(FIXTURES / "health_failed.json"), "report_path": str(path)})
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "one,two,", "-e", told, str(book)]
    command += arguments
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # The callback breaks long lines.
    return words(done.stdout)


@pytest.mark.slow
def test_the_role_writes_all_formats_once_and_changes_nothing(tmp_path: Path) -> None:
    written = tmp_path / "deep" / "my reports"
    place = f"file://{tmp_path}/deep/my%20reports/report.html (also report.md, report.json, report.xml)"
    output = play(tmp_path, written, "--check")
    assert f"report would be written to: {place}" in output
    assert not written.parent.exists()
    output = play(tmp_path, written)
    assert f"report: {place}" in output
    assert "changed=0" in output and "changed=1" not in output
    files = {each.suffix.removeprefix("."): each.read_text() for each in written.iterdir()}
    assert set(files) == {"html", "md", "json", "xml"}
    result = files.pop("json")
    assert json.loads(result) == RESULTS["failed"]
    assert result == f"{json.dumps(RESULTS['failed'], indent=2, sort_keys=True)}\n"
    for ending, content in files.items():
        assert content == render(ending, RESULTS["failed"]), ending


def test_the_role_and_the_module_have_the_same_options() -> None:
    specification = yaml.safe_load((REPO / "roles" / "report" / "meta" / "argument_specs.yml").read_text())
    options = specification["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((REPO / "roles" / "report" / "defaults" / "main.yml").read_text())
    for name, option in report_files.ARGUMENT_SPEC.items():
        described = options[f"report_{name}"]
        assert described.get("choices") == option.get("choices")
        if name not in ("health", "path"):
            assert described["default"] == defaults[f"report_{name}"] == option["default"]
