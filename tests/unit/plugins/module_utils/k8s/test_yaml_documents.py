"""YAML of others: values of JSON's types, or a refusal."""

from __future__ import annotations

import re

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.yaml_documents import document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: .inf", "its YAML has an infinite number"),
        ("a: -.inf", "its YAML has an infinite number"),
        ("a: 1.0e+999", "its YAML has an infinite number"),
        ("a: .nan", "its YAML has .nan, which is no number"),
        ("a: [{b: .NaN}]", "its YAML has .nan, which is no number"),
        ("a: !!set {x}", "its YAML has a set (!!set), which Kubernetes objects cannot have"),
        ("a: !!binary eA==", "its YAML has binary data (!!binary), which Kubernetes objects cannot have"),
        ("a: !!pairs [b: c]", "its YAML has pairs (!!pairs or !!omap), which Kubernetes objects cannot have"),
    ],
)
def test_values_that_json_does_not_have_are_refused_in_plain_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        document(text)


@pytest.mark.parametrize(
    ("text", "value"), [("a: 12:30", "12:30"), ("a: 2026-01-01", "2026-01-01"), ("a: 1.5", 1.5), ("a: on", True)]
)
def test_values_that_json_has(text: str, value: object) -> None:
    assert document(text) == {"a": value}
