"""What YAML makes of values that kgateway writes unquoted, and how parameters merge."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import deep_merge, yaml_keeps

WORDS = st.text(alphabet="abeEnoxXyYtrufls0123456789_-+.:#~ /&*!|>'\"%@`{}[],?=<", max_size=12)


@given(WORDS)
def test_what_is_said_to_stay_stays(text: str) -> None:
    if yaml_keeps(text):
        assert yaml.safe_load(f"value: {text}") == {"value": text}


OTHER_TYPES = ["", " ", "123", "0x1f", "1e3", "1:30", "2026-11-23", "true", "Yes", "on", "null", "~", ".inf"]
NOT_PLAIN = [
    "a: b",
    "a #b",
    "a:",
    "-",
    "- a",
    "? a",
    "[a]",
    "{a}",
    "*a",
    "&a",
    "!a",
    "|",
    ">",
    "'a'",
    '"a"',
    "%a",
    "@a",
]


@pytest.mark.parametrize("text", [*OTHER_TYPES, *NOT_PLAIN, "`a", "#a", " a", "a "])
def test_values_that_do_not(text: str) -> None:
    assert not yaml_keeps(text)


trees: st.SearchStrategy[Any] = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Value by path of every leaf; an empty dict is one."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {p: v for key, value in tree.items() for p, v in leaves(value, f"{path}.{key}").items()}


@given(st.dictionaries(st.sampled_from("abc"), trees, min_size=1), st.dictionaries(st.sampled_from("abc"), trees))
def test_the_second_wins_and_nothing_else_is_lost(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = leaves(deep_merge(base, over))
    told = leaves(over) if over else {}
    assert all(merged.get(path) == value for path, value in told.items() if value != {})
    for path, value in leaves(base).items():
        touched = any(p == path or p.startswith(f"{path}.") or path.startswith(f"{p}.") for p in told)
        assert touched or merged[path] == value
