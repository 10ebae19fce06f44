"""Desired objects: checks, order, comparison, diff."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply import manifests as objects


def make(kind: str = "ConfigMap", name: Any = "a", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ns"}, **more}


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("text", "Set an object with apiVersion, kind and metadata"),
        ({}, "apiVersion is missing"),
        ({"apiVersion": "v1"}, "kind is missing"),
        ({"apiVersion": "v1", "kind": "Pod"}, "metadata is missing"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x"}}, "generateName"),
        (make(name="with_underscore"), "no '_'"),
        (make(name="Upper"), "lower case"),
        (make(name="x" * 254), "at most 253"),
        (make("Namespace", name="a.b"), "not a valid Kubernetes name"),
        (make("Service", name="x" * 64), "at most 63"),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n_s"}},
            "not a valid namespace name",
        ),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"v": 1}}}, "not a string. Quote it"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": []}}, "not a map"),
    ],
)
def test_faults_are_named_before_anything_is_sent(definition: Any, says: str) -> None:
    [fault] = objects.problems([definition])
    assert fault.startswith("definitions[0]")
    assert says in fault


def test_good_ones_have_no_faults() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:a_b"}}
    assert objects.problems([make(), make(name="a.b"), role]) == []


def test_the_same_object_twice_is_a_fault() -> None:
    [fault] = objects.problems([make(), make("Secret"), make()])
    assert "definitions[2]" in fault and "definitions[0]" in fault


def test_lists_stand_for_their_items() -> None:
    nested = {"kind": "List", "items": [make(), {"kind": "List", "items": [make(name="b")]}]}
    assert [obj["metadata"]["name"] for obj in objects.flatten([nested, None, make(name="c")])] == ["a", "b", "c"]


def test_what_others_need_comes_first() -> None:
    kinds = [
        "HTTPRoute",
        "Gateway",
        "GatewayParameters",
        "Deployment",
        "Secret",
        "CustomResourceDefinition",
        "Namespace",
    ]
    assert sorted(kinds, key=lambda kind: objects.rank({"kind": kind})) == list(reversed(kinds))
    assert (
        objects.rank({"kind": "Deployment"})
        < objects.rank({"kind": "NobodyKnows"})
        < objects.rank({"kind": "HTTPRoute"})
    )


def test_desired_drops_what_is_not_ours_to_say() -> None:
    given_ = make(
        "Secret",
        stringData={"token": "hunter2"},
        data={"a": "YQ==", "none": None},
        status={"x": 1},
    )
    given_["metadata"].update(creationTimestamp=None, uid="1", resourceVersion="2", managedFields=[])
    wanted = objects.desired(given_, owned=True)
    assert wanted["data"] == {"a": "YQ==", "token": base64.b64encode(b"hunter2").decode()}
    assert set(wanted) == {"apiVersion", "kind", "metadata", "data"}
    assert wanted["metadata"] == {"name": "a", "namespace": "ns", "labels": {objects.OWNER_LABEL: objects.MANAGER}}
    assert "labels" not in objects.desired(given_, owned=False)["metadata"]
    assert "stringData" in given_  # the caller's object stays as it was


def live(fields: dict[str, Any] | None, labels: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    managed = []
    if fields is not None:
        managed = [{"manager": objects.MANAGER, "operation": "Apply", "fieldsV1": fields}]
    obj = make(**body)
    obj["metadata"].update(managedFields=managed, labels=labels or {}, resourceVersion="7", uid="u")
    return obj


def test_ours_adopted_foreign() -> None:
    fields: dict[str, Any] = {"f:data": {"f:a": {}}}
    label = {objects.OWNER_LABEL: objects.MANAGER}
    ours = live({**fields, "f:metadata": {"f:labels": {f"f:{objects.OWNER_LABEL}": {}}}}, label, data={"a": "1"})
    adopted, foreign = live(fields, data={"a": "1"}), live(None, data={"a": "1"})
    helm = live(None, {objects.OWNER_LABEL: "Helm"})
    assert [objects.is_ours(obj) for obj in (ours, adopted, foreign, helm)] == [True, False, False, False]
    assert [objects.is_adopted(obj) for obj in (ours, adopted, foreign, helm)] == [False, True, False, False]


def test_an_object_restored_from_a_backup_is_ours() -> None:
    restored = live(None, {objects.OWNER_LABEL: objects.MANAGER})
    restored["metadata"]["managedFields"].append(
        {"manager": "velero", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {}}}}
    )
    assert objects.is_ours(restored) and not objects.is_adopted(restored)


def test_right_means_every_owned_field_and_no_other() -> None:
    obj = live({"f:data": {"f:a": {}}}, data={"a": "1", "theirs": "2"})
    assert objects.is_up_to_date(obj, make(data={"a": "1"}))
    assert not objects.is_up_to_date(obj, make(data={"a": "2"}))
    assert not objects.is_up_to_date(obj, make(data={"a": "1", "b": "1"}))
    assert not objects.is_up_to_date(obj, make())  # a field we own and no longer want
    assert not objects.is_up_to_date(live(None, data={"a": "1"}), make(data={"a": "1"}))


def test_bookkeeping_and_status_are_no_content() -> None:
    one = live({"f:data": {"f:a": {}}}, data={"a": "1"})
    two = json.loads(json.dumps(one))
    two["metadata"].update(resourceVersion="8", generation=2)
    two["status"] = {"phase": "Active"}
    assert objects.same_content(one, two)
    two["data"]["a"] = "2"
    assert not objects.same_content(one, two)
    assert not objects.same_content(one, live({"f:data": {}}, data={"a": "1"}))  # our set of fields differs


def test_a_diff_shows_no_secret_value() -> None:
    secret = make("Secret", data={"k": "czNjcjN0"})
    secret["metadata"]["annotations"] = {objects.FORMER_ANNOTATION: "former-value"}
    shown = json.dumps(objects.difference("t", None, secret))
    assert "czNjcjN0" not in shown and "former-value" not in shown


def test_a_diff_shows_only_owned_fields() -> None:
    before = live({"f:data": {"f:a": {}}}, data={"a": "1", "theirs": "x"})
    after = live({"f:data": {"f:a": {}, "f:b": {}}}, data={"a": "2", "b": "3", "theirs": "y"})
    diff = objects.difference("cluster1: ConfigMap ns/a", before, after)
    assert diff["before"] == "data:\n  a: '1'\n"
    assert diff["after"] == "data:\n  a: '2'\n  b: '3'\n"
    assert diff["before_header"] == "cluster1: ConfigMap ns/a"
    assert objects.difference("t", before, None)["after"] == ""
