"""Taking fields over from others and giving them back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply import adoption
from ansible_collections.multicluster.gloo.plugins.module_utils.apply.manifests import FORMER_ANNOTATION, MANAGER

Json = dict[str, Any]


def entry(manager: str, fields: Json, operation: str = "Update") -> Json:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields}


def gateway(spec: Json, *entries: Json, former: list[Json] | None = None) -> Json:
    obj: Json = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "http", "namespace": "gw", "managedFields": list(entries)},
        "spec": spec,
    }
    if former is not None:
        obj["metadata"]["annotations"] = {FORMER_ANNOTATION: json.dumps(former)}
    return obj


CLASS: Json = {"f:spec": {"f:gatewayClassName": {}}}
CLASS_PATH = ["f:spec", "f:gatewayClassName"]


def test_a_replaced_value_is_remembered_with_its_owner() -> None:
    live = gateway({"gatewayClassName": "old"}, entry("kubectl", CLASS))
    after = gateway({"gatewayClassName": "new"}, entry(MANAGER, CLASS, "Apply"))
    assert adoption.former_values(live, after) == [
        {"path": CLASS_PATH, "value": "old", "manager": "kubectl", "operation": "Update"}
    ]


def test_an_equal_value_shared_with_its_owner_is_not_remembered() -> None:
    live = gateway({"gatewayClassName": "same"}, entry("kubectl", CLASS))
    after = gateway({"gatewayClassName": "same"}, entry("kubectl", CLASS), entry(MANAGER, CLASS, "Apply"))
    assert adoption.former_values(live, after) == []


def test_an_equal_value_taken_from_its_owner_is_remembered() -> None:
    live = gateway({"gatewayClassName": "same"}, entry("kubectl", CLASS))
    after = gateway({"gatewayClassName": "same"}, entry("kubectl", {}), entry(MANAGER, CLASS, "Apply"))
    assert [row["value"] for row in adoption.former_values(live, after)] == ["same"]


def test_a_field_that_was_not_there_leaves_nothing_to_remember() -> None:
    live = gateway({}, entry("kubectl", {"f:spec": {}}))
    after = gateway({"gatewayClassName": "new"}, entry(MANAGER, CLASS, "Apply"))
    assert adoption.former_values(live, after) == []


def test_the_oldest_truth_stays() -> None:
    first = [{"path": CLASS_PATH, "value": "oldest", "manager": "kubectl", "operation": "Update"}]
    live = gateway({"gatewayClassName": "ours"}, entry(MANAGER, CLASS, "Apply"), former=first)
    after = gateway({"gatewayClassName": "newer"}, entry(MANAGER, CLASS, "Apply"), former=first)
    assert adoption.former_values(live, after) == first


@pytest.mark.parametrize("text", ["", "no json", "{}", "[1]", '[{"value": 1}]'])
def test_an_annotation_somebody_spoiled_is_no_memory(text: str) -> None:
    obj = gateway({})
    obj["metadata"]["annotations"] = {FORMER_ANNOTATION: text}
    assert adoption.read(obj) == []
    assert adoption.restored(obj) is None


def test_giving_back_restores_values_drops_ours_and_leaves_the_rest() -> None:
    mine: Json = {
        "f:spec": {
            "f:gatewayClassName": {},
            "f:infrastructure": {"f:parametersRef": {"f:name": {}}},
            "f:listeners": {
                'k:{"name":"http"}': {".": {}, "f:name": {}, "f:port": {}},
                'k:{"name":"ours"}': {".": {}, "f:name": {}, "f:port": {}},
            },
        }
    }
    theirs: Json = {
        "f:spec": {"f:listeners": {".": {}, 'k:{"name":"http"}': {".": {}, "f:name": {}, "f:protocol": {}}}}
    }
    port = ["f:spec", "f:listeners", 'k:{"name":"http"}', "f:port"]
    former: list[Json] = [
        {"path": CLASS_PATH, "value": "old", "manager": "kubectl", "operation": "Update"},
        {"path": port, "value": 80, "manager": "kubectl", "operation": "Update"},
    ]
    live = gateway(
        {
            "gatewayClassName": "new",
            "infrastructure": {"parametersRef": {"name": "custom"}},
            "listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}, {"name": "ours", "port": 1}],
        },
        entry("kubectl", theirs),
        entry(MANAGER, mine, "Apply"),
        former=former,
    )
    untouched = copy.deepcopy(live)
    back = adoption.restored(live)
    assert back is not None and live == untouched
    obj, manager = back
    assert manager == "kubectl"
    assert obj["spec"]["gatewayClassName"] == "old"
    assert obj["spec"]["listeners"] == [{"name": "http", "port": 80, "protocol": "HTTP"}]
    assert "infrastructure" not in obj["spec"]  # an empty reference would not be valid
    assert "annotations" not in obj["metadata"]
    assert [row["manager"] for row in obj["metadata"]["managedFields"]] == ["kubectl"]


def test_a_value_that_stays_the_same_gets_its_owner_back() -> None:
    former = [{"path": CLASS_PATH, "value": "same", "manager": "argo", "operation": "Apply"}]
    live = gateway({"gatewayClassName": "same"}, entry(MANAGER, CLASS, "Apply"), former=former)
    back = adoption.restored(live)
    assert back is not None
    assert back[0]["spec"] == {"gatewayClassName": "same"}
    [owner] = back[0]["metadata"]["managedFields"]
    assert (owner["manager"], owner["operation"], owner["fieldsV1"]) == ("argo", "Apply", CLASS)


def test_owning_nothing_names_the_object_and_nothing_else() -> None:
    live = gateway({"gatewayClassName": "x"})
    assert adoption.without_our_fields(live) == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "http", "namespace": "gw"},
    }
