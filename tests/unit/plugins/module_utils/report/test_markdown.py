"""The report's Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ansible_collections.multicluster.gloo.plugins.module_utils.report import markdown
from ansible_collections.multicluster.gloo.plugins.module_utils.report.view import shown


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


@given(st.text(st.characters(codec="utf-8"), min_size=1).map(shown))
def test_markdown_takes_any_text_for_text(text: str) -> None:
    line = f"- **Result:** {markdown.text(text)}"
    page = Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(line))
    assert page.tags == ["ul", "li", "strong"]
    assert page.text.split() == ["Result:", *text.split()]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()).map(shown), min_size=1, max_size=4))
def test_a_table_is_a_table_whatever_it_holds(rows: list[tuple[str, str, str]]) -> None:
    content = markdown.table(rows, ("One", "Two", "Three"))
    assert len(content.splitlines()) == len(rows) + 2
    page = Page(MarkdownIt("commonmark").enable("table").render(content))
    assert page.tags == ["table", "thead", "tr", *["th"] * 3, "tbody", *["tr", "td", "td", "td"] * len(rows)]
    words = [word for row in rows for cell in row for word in cell.split()]
    assert page.text.split() == ["One", "Two", "Three", *words]


def test_columns_are_aligned() -> None:
    rows = [("✅ ok", "雨", "a"), ("❌ failed", ("one", "two"), "a longer one")]
    assert markdown.table(rows, ("Verdict", "Text", "Last")).splitlines() == [
        "| Verdict   | Text       | Last |",
        "| --------- | ---------- | --- |",
        "| ✅ ok     | 雨         | a |",
        "| ❌ failed | one<br>two | a longer one |",
    ]
