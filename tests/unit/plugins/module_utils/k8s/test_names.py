"""What YAML makes of values that kgateway writes unquoted."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.names import yaml_keeps

WORDS = st.text(alphabet="abeEnoxXyYtrufls0123456789_-+.:#~ /&*!|>'\"%@`{}[],?=<", max_size=12)


@given(WORDS)
def test_what_yaml_keeps_is_read_back_unchanged(text: str) -> None:
    if yaml_keeps(text):
        assert yaml.safe_load(f"value: {text}") == {"value": text}


OTHER_TYPES = [
    "",
    " ",
    "123",
    "0x1f",
    "1e3",
    "1:30",
    "2026-11-23",
    "0b101",
    "1e-5",
    "true",
    "Yes",
    "on",
    "null",
    "~",
    ".inf",
]
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
def test_values_that_yaml_changes(text: str) -> None:
    assert not yaml_keeps(text)
