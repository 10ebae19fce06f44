"""YAML of others: values of JSON's types, or a refusal."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.yaml_documents import document


@pytest.mark.parametrize(
    "text", ["a: .inf", "a: -.inf", "a: .nan", "a: [{b: .NaN}]", "a: !!set {x}", "a: !!binary eA=="]
)
def test_values_that_json_does_not_have_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its YAML has a value of type"):
        document(text)


@pytest.mark.parametrize(
    ("text", "value"), [("a: 12:30", "12:30"), ("a: 2026-01-01", "2026-01-01"), ("a: 1.5", 1.5), ("a: on", True)]
)
def test_values_that_json_has(text: str, value: object) -> None:
    assert document(text) == {"a": value}
