"""YAML mappings in ConfigMaps: values are added to those of others, which stay."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.yaml_data import (
    combined,
    contradictions,
    with_present,
)

Json = dict[str, Any]
KEY = "values.istiod"


def merged(present: str | None, wanted: str) -> str:
    live = {"data": {} if present is None else {KEY: present, "other": "x"}}
    found: Json = with_present({"kind": "ConfigMap", "data": {KEY: wanted}}, live)["data"]
    assert list(found) == [KEY]
    return str(found[KEY])


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        (None, "a: {b: 1}", {"a": {"b": 1}}),
        ("", "a: {b: 1}", {"a": {"b": 1}}),
        ("# none", "a: {b: 1}", {"a": {"b": 1}}),
        ("x: y", "a: {b: 1}", {"x": "y", "a": {"b": 1}}),
        ("a: {c: [1], d: {e: f}}", "a: {b: 1, d: {g: h}}", {"a": {"c": [1], "b": 1, "d": {"e": "f", "g": "h"}}}),
        ("a: {b: 2}", "a: {b: 1}", {"a": {"b": 1}}),
        ("a:", "a: {b: 1}", {"a": {"b": 1}}),
        # Texts that readers take for other types keep their type.
        (
            "a: {b: '12e_3', c: 'on', d: '0o7', e: '1:30'}",
            "x: 'no'",
            {"a": {"b": "12e_3", "c": "on", "d": "0o7", "e": "1:30"}, "x": "no"},
        ),
    ],
)
def test_values_are_added_to_those_that_are_present(present: str | None, wanted: str, expected: Json) -> None:
    assert yaml.safe_load(merged(present, wanted)) == expected


@pytest.mark.parametrize(
    "present",
    ["a: {b: false} # why", "a: {b: 'false'}\nc: d", '{"a": {"b": "false"}}', "password: hunter2\na: {b: false}"],
)
def test_a_text_that_has_the_values_stays_as_it_is(present: str) -> None:
    assert merged(present, "a: {b: 'false'}") == present


def test_ambiguous_texts_are_quoted() -> None:
    text = merged("a: '12e_3'\nb: plain", "c: 'on'")
    assert text == 'a: "12e_3"\nb: plain\nc: "on"\n'


@pytest.mark.parametrize("present", ["- a", "7", "a: [", "a: &x [*x]", "a: 1\n---\n", "a: .nan"])
def test_what_is_no_mapping_is_not_replaced(present: str) -> None:
    with pytest.raises(ValueError, match=r"^values\.istiod (is not a YAML mapping|cannot be read: )"):
        merged(present, "a: {b: 1}")


@pytest.mark.parametrize(
    ("found", "wanted", "paths"),
    [
        ({}, {"a": 1}, []),
        ({"a": None}, {"a": 1}, []),
        ({"a": "1"}, {"a": 1}, []),
        ({"a": False}, {"a": "false"}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 3}}, []),
        ({"a": {"b": "x", "c": 2}}, {"a": {"b": "y", "c": 2}}, ["a.b"]),
        ({"a": "text"}, {"a": {"b": 1}}, ["a"]),
        ({"a": {"b": 1}}, {"a": "text"}, ["a"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
    ],
)
def test_only_another_value_of_the_same_key_is_a_contradiction(found: Json, wanted: Json, paths: list[str]) -> None:
    assert list(contradictions(found, wanted)) == paths


MAPS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
    lambda below: st.dictionaries(st.text(st.sampled_from("abc"), min_size=1, max_size=1), below, max_size=3),
    max_leaves=8,
)


@given(found=st.dictionaries(st.sampled_from("abc"), MAPS), wanted=st.dictionaries(st.sampled_from("abc"), MAPS))
def test_keys_that_are_not_wanted_stay_and_a_second_time_changes_nothing(found: Json, wanted: Json) -> None:
    both = combined(found, wanted)
    assert {key: both[key] for key in found.keys() - wanted.keys()} == {
        key: found[key] for key in found.keys() - wanted.keys()
    }
    assert combined(both, wanted) == both
    assert list(contradictions(combined({}, wanted), combined({}, wanted))) == []
