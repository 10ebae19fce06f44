"""Comparing objects and matching label selectors."""

from __future__ import annotations

from typing import Any

import pytest

from lab.control_plane.objects import contains, selects


@pytest.mark.parametrize(
    ("live", "desired", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": {}, "b": []}, True),
        ({}, {"a": ""}, False),
        ({"a": True}, {"a": "true"}, False),
    ],
)
def test_contains(live: Any, desired: Any, expected: bool) -> None:
    assert contains(live, desired) is expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "reviews"}}, True),
        ({"matchLabels": {"app": "ratings"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["reviews", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["reviews"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selects(selector: dict[str, Any] | None, expected: bool) -> None:
    assert selects(selector, {"app": "reviews"}) is expected
