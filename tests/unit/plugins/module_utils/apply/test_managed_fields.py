"""Projection through managedFields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.managed_fields import (
    MISSING,
    applied_fields,
    covers,
    dotted,
    drop,
    find,
    leaves,
    owners,
    project,
    put,
    union,
)

NAMES = st.text("abcdef.-/", min_size=1, max_size=4)
SCALARS = st.one_of(st.text(max_size=3), st.integers(), st.booleans())


def keyed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.dictionaries(NAMES, values, max_size=2)
    named = st.lists(st.tuples(NAMES, items), min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    return named.map(lambda pairs: [{**item, "name": name} for name, item in pairs])


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.dictionaries(NAMES, inner, min_size=1, max_size=3), keyed(inner)),
    max_leaves=8,
)
TREES = st.dictionaries(NAMES, VALUES, max_size=4)


def fields_of(value: Any) -> dict[str, Any]:
    """The fieldsV1 an API server would write for a value it takes whole."""
    if isinstance(value, dict):
        return {f"f:{key}": fields_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return {f"k:{json.dumps({'name': item['name']})}": {".": {}, **fields_of(item)} for item in value}
    return {}


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_what_was_applied_is_what_is_owned(tree: dict[str, Any]) -> None:
    assert project({"top": tree}, fields_of({"top": tree})) == {"top": tree}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(TREES, TREES)
def test_fields_of_others_do_not_show(mine: dict[str, Any], other: dict[str, Any]) -> None:
    live = {**{f"x{key}": value for key, value in other.items()}, **mine}
    if mine:
        assert project(live, fields_of(mine)) == mine


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(TREES)
def test_every_leaf_can_be_found_removed_and_put_back(tree: dict[str, Any]) -> None:
    for path in leaves(fields_of(tree)):
        value = find(tree, path)
        assert value is not MISSING
        if path[-1] == "f:name" and path[-2][:2] == "k:":
            continue  # the key of a list item names the item
        drop(tree, path)
        assert find(tree, path) is MISSING
        put(tree, path, value)
        assert find(tree, path) == value


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(TREES, TREES)
def test_union_holds_both(one: dict[str, Any], other: dict[str, Any]) -> None:
    both = union(fields_of(one), fields_of(other))
    for path in [*leaves(fields_of(one)), *leaves(fields_of(other))]:
        assert covers(both, path)


def test_items_of_keyed_lists_are_matched_by_all_keys() -> None:
    ports = [{"port": 80, "protocol": "TCP", "name": "a"}, {"port": 80, "protocol": "UDP", "name": "b"}]
    fields: dict[str, Any] = {"f:ports": {'k:{"port":80,"protocol":"UDP"}': {".": {}, "f:name": {}, "f:port": {}}}}
    assert project({"ports": ports}, fields) == {"ports": [{"port": 80, "name": "b"}]}


def test_items_of_sets_are_matched_by_value() -> None:
    obj = {"finalizers": ["mine", "theirs"]}
    assert project(obj, {"f:finalizers": {'v:"mine"': {}}}) == {"finalizers": ["mine"]}


def test_a_container_owned_as_such_shows_empty() -> None:
    assert project({"labels": {"a": "b"}}, {"f:labels": {".": {}}}) == {"labels": {}}


def test_an_atomic_value_shows_whole() -> None:
    obj = {"rules": [{"a": 1}, {"b": 2}], "other": 1}
    assert project(obj, {"f:rules": {}}) == {"rules": [{"a": 1}, {"b": 2}]}


def test_put_makes_the_containers_on_the_way() -> None:
    obj: dict[str, Any] = {}
    put(obj, ("f:spec", "f:listeners", 'k:{"name":"http"}', "f:port"), 8080)
    assert obj == {"spec": {"listeners": [{"name": "http", "port": 8080}]}}


def test_whose_entry_is_whose() -> None:
    mine = {"manager": "us", "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    same_name = {"manager": "us", "operation": "Update", "fieldsV1": {"f:a": {}}}
    status = {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}}
    obj = {"metadata": {"managedFields": [same_name, status, mine]}}
    assert applied_fields(obj, "us") == {"f:spec": {}}
    assert applied_fields(obj, "them") is None
    assert owners(obj, "us") == [same_name]
    assert owners(obj, "us", subresources=True) == [same_name, status]


def test_paths_read_as_in_conflicts() -> None:
    assert dotted(("f:spec", "f:listeners", 'k:{"name":"http"}', "f:port")) == ".spec.listeners[name=http].port"
