"""Readers of any Kubernetes object: selectors as the API defines them, absent or odd content reads as empty."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.fields import (
    labels_match,
    parse_selector,
    selector_matches,
    selects,
)

OPERATORS = {"NotIn": False, "In": True, "Exists": True, "DoesNotExist": False}


@pytest.mark.parametrize("operator", OPERATORS)
def test_label_selector_as_the_api_defines_it(operator: str) -> None:
    selector = {"matchExpressions": [{"key": "k", "operator": operator, "values": ["v"]}]}
    assert selector_matches(selector, {"k": "v"}) is OPERATORS[operator]
    assert selector_matches(selector, {}) is not OPERATORS[operator]
    labels = {"matchLabels": {"k": "v"}}
    assert selector_matches(labels, {"k": "v"}) and not selector_matches(labels, {})


def test_an_empty_selector_of_a_service_selects_nothing_and_an_empty_label_selector_everything() -> None:
    assert not selects({}, {"k": "v"})
    assert selector_matches({}, {"k": "v"}) and labels_match({}, {"k": "v"})
    assert selects({"k": "v"}, {"k": "v", "other": "w"}) and not selects({"k": "v"}, {"k": "w"})


def test_equality_selector() -> None:
    assert parse_selector("app=reviews, version==v1") == {"app": "reviews", "version": "v1"}
    assert parse_selector("") == {}
