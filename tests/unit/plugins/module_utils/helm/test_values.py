"""Values of two owners: merging and taking apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.values import leaf_paths, merged, restored, same

Json = dict[str, Any]

leaves = st.none() | st.booleans() | st.integers(0, 3) | st.just("x") | st.lists(st.integers(0, 1), max_size=2)
maps = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abc"), leaves | below, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("theirs", "ours", "both"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
    ],
)
def test_ours_win_and_theirs_stay(theirs: Json, ours: Json, both: Json) -> None:
    assert merged(theirs, ours) == both


@given(maps, maps)
def test_what_was_merged_can_be_taken_apart(theirs: Json, ours: Json) -> None:
    assert same(restored(merged(theirs, ours), leaf_paths(ours), theirs), theirs)


@given(maps, maps)
def test_merging_twice_changes_nothing(theirs: Json, ours: Json) -> None:
    both = merged(theirs, ours)
    assert same(merged(both, ours), both)


@given(maps, maps, maps)
def test_what_the_user_sets_elsewhere_meanwhile_stays(theirs: Json, ours: Json, later: Json) -> None:
    """Values under a key that we do not use."""
    now = {**merged(theirs, ours), "later": later}
    assert same(restored(now, leaf_paths(ours), theirs), {**theirs, "later": later})


def test_what_the_user_put_in_place_of_ours_stays() -> None:
    assert restored({"a": {"x": 1}}, [("a",)], {"a": 5}) == {"a": {"x": 1}}
    assert restored({"a": {"b": 2, "c": 3}}, [("a", "b")], {"a": 1}) == {"a": {"c": 3}}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, True),
        ({"a": None}, {}, False),
        ([1, 2], [2, 1], False),
        ({}, [], False),
    ],
)
def test_values_are_compared_as_helm_sees_them(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same({"x": [one]}, {"x": [other]}) is equal


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        # Helm stored the first as the second (Helm 3.21).
        (9007199254740993, 9007199254740992, True),
        (12345678901234567890, 1.2345678901234567e19, True),
        (9007199254740993, 9007199254740995, False),
        (1, 1.0, True),
        (1, True, False),
        (1, "1", False),
        (None, 0, False),
        (10**400, 10**400, True),
        (10**400, 1.0, False),
    ],
)
def test_numbers_are_compared_as_helm_stores_them(one: Any, other: Any, equal: bool) -> None:
    assert same({"n": one}, {"n": other}) is equal
