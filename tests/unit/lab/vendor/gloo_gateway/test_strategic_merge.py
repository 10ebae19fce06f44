"""Strategic merge patches: the cases of Kubernetes' own documentation of them, on the kinds that proxies have."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.strategic_merge import PatchError, merged

NAMED: Any = {"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}, {"name": "c"}]}


def names(spec: Any, key: str = "containers") -> list[str]:
    return [each["name"] for each in spec[key]]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"name": "b", "image": "2"}], ["a", "b", "c"]),
        ([{"name": "new"}], ["new", "a", "b", "c"]),
        ([{"name": "b"}, {"name": "new"}], ["a", "b", "new", "c"]),
        ([{"name": "new"}, {"name": "b"}], ["new", "a", "b", "c"]),
        ([{"name": "c"}, {"name": "a"}], ["b", "c", "a"]),
        ([{"name": "b", "$patch": "delete"}], ["a", "c"]),
        ([{"name": "nope", "$patch": "delete"}], ["a", "b", "c"]),
        ([{"$patch": "replace"}, {"name": "b"}], ["b"]),
        ([{"$patch": "replace"}], []),
    ],
)
def test_lists_with_a_key_are_merged_in_order(patch: Any, expected: list[str]) -> None:
    assert names(merged("Deployment", NAMED, {"containers": patch})) == expected


def test_an_entry_is_merged_field_by_field() -> None:
    patch = {"containers": [{"name": "a", "args": ["y"], "env": [{"name": "X", "value": "1"}]}]}
    first = merged("Deployment", NAMED, patch)["containers"][0]
    assert first == {"name": "a", "image": "1", "args": ["y"], "env": [{"name": "X", "value": "1"}]}
    assert NAMED["containers"][0]["args"] == ["x"]


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"c": None, "d": 3}}, {"b": {"d": 3}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {"a": {}}),
        (
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}},
            {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            {"strategy": {"type": "Recreate"}},
        ),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        ({}, {"new": {"a": None, "b": [{"name": "x", "$patch": "delete"}]}}, {"new": {"b": []}}),
        ({"a": [1]}, {"$setElementOrder/a": [1], "a": "text"}, {"a": "text"}),
    ],
)
def test_objects_and_other_lists(original: Any, patch: Any, expected: Any) -> None:
    assert merged("Deployment", original, patch) == expected


@pytest.mark.parametrize(
    ("kind", "original", "patch", "expected"),
    [
        ("Service", {"port": 80, "nodePort": 1}, {"port": 80, "name": "x"}, [{"port": 80, "nodePort": 1, "name": "x"}]),
        (
            "Deployment",
            {"containerPort": 1, "name": "a"},
            {"containerPort": 1, "name": "b"},
            [{"containerPort": 1, "name": "b"}],
        ),
        ("HorizontalPodAutoscaler", {"port": 80}, {"port": 81}, [{"port": 81}]),
    ],
)
def test_the_key_of_ports_depends_on_the_kind(kind: str, original: Any, patch: Any, expected: Any) -> None:
    assert merged(kind, {"ports": [original]}, {"ports": [patch]}) == {"ports": expected}


def test_a_selector_of_a_disruption_budget_is_replaced() -> None:
    original, patch = {"selector": {"matchLabels": {"a": "b"}}}, {"selector": {"matchLabels": {"c": "d"}}}
    assert merged("PodDisruptionBudget", original, patch) == patch
    assert merged("Deployment", original, patch) == {"selector": {"matchLabels": {"a": "b", "c": "d"}}}


@pytest.mark.parametrize(
    "patch",
    [
        {"containers": [{"image": "without a key"}]},
        {"containers": [{"$patch": "delete"}]},
        {"containers": [{"name": "a", "$patch": "unknown"}]},
        {"$patch": "unknown"},
    ],
)
def test_patches_that_cannot_be_applied(patch: Any) -> None:
    with pytest.raises(PatchError):
        merged("Deployment", NAMED, patch)
