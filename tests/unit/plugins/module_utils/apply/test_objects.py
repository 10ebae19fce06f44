"""The engine of the module objects against an API server on loopback: decisions, order, check mode, errors."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.manifests import FORMER_ANNOTATION, OWNER_LABEL
from ansible_collections.multicluster.gloo.plugins.module_utils.apply.objects import run
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import (
    BadKubeconfig,
    ClusterError,
    Conflict,
    Invalid,
    NotFound,
    NotServed,
    Timeout,
    Unreachable,
)

Json = dict[str, Any]
BOOKINFO = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bookinfo"}}


def config(name: str = "a", namespace: str = "bookinfo", **data: str) -> Json:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data or {"k": "v"}}


def thing(name: str = "t") -> Json:
    meta = {"name": name, "namespace": "bookinfo"}
    return {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": meta, "spec": {"a": 1}}


def crd() -> Json:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.example"},
        "spec": {
            "group": "x.example",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        },
    }


def go(fake: Any, *definitions: Json, check: bool = False, **options: Any) -> dict[str, Any]:
    params = {
        "kubeconfig": fake[1],
        "context": "fake",
        "cluster": "cluster1",
        "definitions": copy.deepcopy(list(definitions)),
        "state": "present",
        "on_conflict": "fail",
        "wait": True,
        "wait_timeout": 2,
        "delete_only_ours": True,
        **options,
    }
    return run(params, check, lambda line: None)


def actions(result: dict[str, Any]) -> list[str]:
    return [record["action"] for record in result["objects"]]


def test_created_once_then_left_alone(fake: Any) -> None:
    first = go(fake, config(), BOOKINFO)
    assert actions(first) == ["created", "created"] and first["changed"]
    assert first["msg"] == "cluster1: 2 created"
    del fake[0].log[:]
    second = go(fake, config(), BOOKINFO)
    assert actions(second) == ["unchanged", "unchanged"] and not second["changed"]
    assert fake[0].writes() == [] and second["writes"] == 0 and second["diff"] == []
    assert second["requests"] == 2 and second["dry_runs"] == 0


def test_what_others_need_is_written_first_whatever_the_order(fake: Any) -> None:
    result = go(fake, thing(), config(), crd(), BOOKINFO)
    assert actions(result) == ["created"] * 4
    written = [path.rsplit("/", 2)[-2] for _method, path in fake[0].writes()]
    assert written == ["namespaces", "customresourcedefinitions", "configmaps", "things"]


def test_check_mode_tells_the_truth_before_anything_exists(fake: Any) -> None:
    del fake[0].log[:]
    result = go(fake, thing(), config(), crd(), BOOKINFO, check=True)
    assert actions(result) == ["created"] * 4 and result["changed"]
    assert fake[0].writes() == []
    assert "x.example/v1 Thing is not served yet" in result["objects"][0]["reason"]
    assert "namespace bookinfo does not exist yet" in result["objects"][1]["reason"]
    assert result["msg"] == "cluster1: 4 would be created"
    assert "k: v" in result["diff"][1]["after"] and result["diff"][1]["before"] == ""


def test_check_mode_tells_a_change_and_does_not_make_it(fake: Any) -> None:
    go(fake, BOOKINFO, config(k="old"))
    result = go(fake, BOOKINFO, config(k="new"), check=True)
    assert actions(result) == ["unchanged", "changed"]
    assert "k: old" in result["diff"][0]["before"] and "k: new" in result["diff"][0]["after"]
    assert fake[0].get("v1", "configmaps", "bookinfo", "a")["data"] == {"k": "old"}


def test_a_field_no_longer_wanted_goes(fake: Any) -> None:
    go(fake, BOOKINFO, config(k="1", gone="2"))
    assert actions(go(fake, BOOKINFO, config(k="1"))) == ["unchanged", "changed"]
    assert fake[0].get("v1", "configmaps", "bookinfo", "a")["data"] == {"k": "1"}


def test_what_existed_is_adopted_field_by_field_and_given_back(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "namespaces", "", {"metadata": {"name": "bookinfo", "labels": {"team": "a"}}}, "kubectl")
    labelled = {**BOOKINFO, "metadata": {"name": "bookinfo", "labels": {"istio.io/rev": "gloo"}}}
    assert actions(go(fake, labelled)) == ["changed"]
    labels = api.get("v1", "namespaces", "", "bookinfo")["metadata"]["labels"]
    assert labels == {"team": "a", "istio.io/rev": "gloo"} and OWNER_LABEL not in labels
    assert actions(go(fake, labelled)) == ["unchanged"]
    assert actions(go(fake, labelled, state="absent", check=True)) == ["released"]
    assert actions(go(fake, labelled, state="absent")) == ["released"]
    assert api.get("v1", "namespaces", "", "bookinfo")["metadata"]["labels"] == {"team": "a"}
    assert actions(go(fake, labelled, state="absent")) == ["kept"]


def test_a_value_of_others_is_replaced_only_by_force_and_comes_back(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "former", "x": "1"}}, "kubectl")
    wanted = config(namespace="default", k="ours")
    with pytest.raises(Conflict) as error:
        go(fake, wanted)
    assert error.value.facts["conflicts"] == {".data.k": ["kubectl"]}
    assert error.value.facts["objects"][0]["action"] == "failed"
    assert api.get("v1", "configmaps", "default", "a")["data"]["k"] == "former"

    assert actions(go(fake, wanted, on_conflict="force")) == ["changed"]
    now = api.get("v1", "configmaps", "default", "a")
    assert now["data"] == {"k": "ours", "x": "1"} and FORMER_ANNOTATION in now["metadata"]["annotations"]
    assert actions(go(fake, wanted)) == ["unchanged"]

    assert actions(go(fake, wanted, state="absent")) == ["released"]
    back = api.get("v1", "configmaps", "default", "a")
    assert back["data"] == {"k": "former", "x": "1"} and not back["metadata"].get("annotations")
    assert [entry["manager"] for entry in back["metadata"]["managedFields"]] == ["kubectl"]


def test_an_object_of_others_that_has_all_that_is_wanted_is_not_written(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "v", "x": "1"}}, "kubectl")
    theirs = api.get("v1", "configmaps", "default", "a")
    assert actions(go(fake, config(namespace="default", k="v"))) == ["unchanged"]
    assert api.get("v1", "configmaps", "default", "a") == theirs
    assert actions(go(fake, config(namespace="default", k="v"), state="absent")) == ["kept"]


def test_an_object_of_others_that_lacks_only_defaults_is_no_conflict(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As backendRefs of an HTTPRoute, where the API server sets a weight: lists that have one owner as a whole."""
    api, _kubeconfig = fake
    live = {"metadata": {"name": "a"}, "data": {"rules": "backend weight=1"}}
    api.write("v1", "configmaps", "default", live, "kubectl")
    theirs, original = api.get("v1", "configmaps", "default", "a"), Cluster.apply

    def with_default(self: Cluster, obj: Json, **options: Any) -> Json:
        found = original(self, obj, **options)
        return {**found, "data": {"rules": found["data"]["rules"].replace("backend", "backend weight=1")}}

    monkeypatch.setattr(Cluster, "apply", with_default)
    assert actions(go(fake, config(namespace="default", rules="backend"))) == ["unchanged"]
    assert api.get("v1", "configmaps", "default", "a") == theirs
    with pytest.raises(Conflict):
        go(fake, config(namespace="default", rules="other backend"))


def test_keep_leaves_what_existed_before_and_manages_the_rest(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "theirs"}}, "kubectl")
    theirs = api.get("v1", "configmaps", "default", "a")
    wanted = [config(namespace="default", k="ours"), config(namespace="default", name="b", k="ours")]

    assert actions(go(fake, *wanted, on_conflict="keep")) == ["kept", "created"]
    assert api.get("v1", "configmaps", "default", "a") == theirs
    changed = [config(namespace="default"), config(namespace="default", name="b", k="new")]
    assert actions(go(fake, *changed, on_conflict="keep")) == ["kept", "changed"]
    assert actions(go(fake, *changed, state="absent")) == ["kept", "deleted"]


def test_keep_continues_to_manage_what_was_adopted(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "theirs"}}, "kubectl")
    assert actions(go(fake, config(namespace="default", k="ours"), on_conflict="force")) == ["changed"]
    assert actions(go(fake, config(namespace="default", k="new"), on_conflict="keep")) == ["changed"]


def test_absent_deletes_ours_backwards_and_keeps_the_rest(fake: Any) -> None:
    api, _kubeconfig = fake
    go(fake, BOOKINFO, crd(), thing(), config())
    api.write("v1", "configmaps", "bookinfo", {"metadata": {"name": "foreign"}, "data": {}})
    every = [
        BOOKINFO,
        thing(),
        config(),
        config("foreign"),
        config("never"),
        {**thing(), "apiVersion": "gone.example/v1"},
    ]
    expected = ["deleted", "deleted", "deleted", "kept", "absent", "absent"]
    assert actions(go(fake, *every, state="absent", check=True)) == expected
    del api.log[:]
    result = go(fake, *every, state="absent")
    assert actions(result) == ["kept", *expected[1:]]
    assert (
        result["objects"][0]["reason"] == "contains objects not managed by this collection: ConfigMap bookinfo/foreign"
    )
    assert [path.rsplit("/", 2)[-2] for _method, path in api.writes()] == ["things", "configmaps"]
    assert api.get("v1", "configmaps", "bookinfo", "foreign")

    api.remove(("v1", "configmaps", "bookinfo", "foreign"))
    assert actions(go(fake, BOOKINFO, state="absent")) == ["deleted"]


def test_a_namespace_goes_with_what_kubernetes_and_controllers_put_there(fake: Any) -> None:
    api, _kubeconfig = fake
    go(fake, BOOKINFO)
    for name, more in (
        ("kube-root-ca.crt", {}),
        ("istio-ca-root-cert", {}),
        ("derived", {"ownerReferences": [{"kind": "Deployment", "name": "x", "uid": "1"}]}),
        ("leaving", {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ):
        api.write("v1", "configmaps", "bookinfo", {"metadata": {"name": name, **more}, "data": {}})
    api.write("v1", "events", "bookinfo", {"metadata": {"name": "happened"}})
    assert actions(go(fake, BOOKINFO, state="absent")) == ["deleted"]


def test_foreign_objects_go_only_when_told_so(fake: Any) -> None:
    fake[0].write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {}})
    assert actions(go(fake, config(namespace="default"), state="absent")) == ["kept"]
    assert actions(go(fake, config(namespace="default"), state="absent", delete_only_ours=False)) == ["deleted"]


@pytest.mark.usefixtures("fast")
def test_a_stuck_finalizer_is_named_and_stops_what_comes_later(fake: Any) -> None:
    held = config()
    held["metadata"]["finalizers"] = ["x.example/hold"]
    go(fake, BOOKINFO, held)
    with pytest.raises(Timeout, match=r"held by finalizers x\.example/hold") as error:
        go(fake, BOOKINFO, held, state="absent", wait_timeout=1)
    assert error.value.msg.startswith("cluster1: ConfigMap bookinfo/a: not deleted yet: it is being deleted")
    assert actions(error.value.facts) == ["skipped", "failed"]
    assert fake[0].get("v1", "namespaces", "", "bookinfo")


@pytest.mark.slow
def test_a_stuck_object_is_identified_by_kind_not_by_name_alone(fake: Any) -> None:
    held = {**config(), "kind": "Secret", "data": {"k": "dg=="}}
    held["metadata"]["finalizers"] = ["x.example/hold"]
    go(fake, BOOKINFO, config(), held)
    with pytest.raises(Timeout, match=r"Secret bookinfo/a: not deleted yet") as error:
        go(fake, BOOKINFO, config(), held, state="absent")
    results = {record["kind"]: record["action"] for record in error.value.facts["objects"]}
    assert results == {"Namespace": "skipped", "ConfigMap": "deleted", "Secret": "failed"}


@pytest.mark.slow
def test_every_stuck_object_is_reported_as_failed(fake: Any) -> None:
    held = [config("a"), config("b")]
    for each in held:
        each["metadata"]["finalizers"] = ["x.example/hold"]
    go(fake, BOOKINFO, *held, config("c"))
    with pytest.raises(Timeout) as error:
        go(fake, BOOKINFO, *held, config("c"), state="absent")
    assert [record["action"] for record in error.value.facts["objects"]] == ["skipped", "failed", "failed", "deleted"]
    assert error.value.msg.count("ConfigMap bookinfo/a: not deleted yet") == 1


def test_one_failure_does_not_hide_the_others(fake: Any) -> None:
    api, _kubeconfig = fake
    api.refuse("PATCH", "configmaps/bad", 422, {"reason": "Invalid", "message": "data.k: no good"})
    with pytest.raises(Invalid, match=r"cluster1: ConfigMap bookinfo/bad: data\.k: no good") as error:
        go(fake, BOOKINFO, config("bad"), config("good"))
    assert actions(error.value.facts) == ["created", "failed", "created"]
    assert error.value.facts["changed"] is True


@pytest.mark.usefixtures("fast")
def test_a_wait_that_ends_in_vain_quotes_what_blocks(fake: Any) -> None:
    api, _kubeconfig = fake
    labels = {"app": "d"}
    pod = {"containers": [{"name": "sds", "image": "x"}]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default"},
        "spec": spec,
    }
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    statuses = [{"name": "sds", "ready": False, "state": state, "lastState": {"terminated": {"exitCode": 1}}}]
    api.write(
        "v1",
        "pods",
        "default",
        {"metadata": {"name": "d-1", "labels": labels}, "status": {"containerStatuses": statuses}},
    )
    event = {"type": "Warning", "reason": "BackOff", "message": "restarting", "involvedObject": {"name": "d-1"}}
    api.write("v1", "events", "default", {"metadata": {"name": "e"}, **event})
    with pytest.raises(Timeout) as error:
        go(fake, workload, wait_timeout=1)
    assert error.value.msg.startswith(
        "cluster1: Deployment default/d: its controller has not reconciled it yet; Pod d-1: container sds: CrashLoop"
    )
    assert "Pod d-1: container sds: CrashLoopBackOff back-off, last exit code 1" in error.value.msg
    assert "event BackOff: restarting" in error.value.msg
    assert error.value.facts["objects"][0]["ready"] == "waiting" and error.value.facts["changed"] is True


@pytest.mark.usefixtures("fast")
def test_kinds_nobody_serves_end_before_the_first_write(fake: Any) -> None:
    gateway = {**thing(), "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"}
    for unserved in ({**thing(), "apiVersion": "gone.example/v1"}, gateway):
        with pytest.raises(NotServed, match="does not serve"):
            go(fake, BOOKINFO, unserved)
    assert fake[0].writes() == []


def test_a_missing_namespace_says_what_to_add(fake: Any) -> None:
    with pytest.raises(NotFound, match="add the Namespace bookinfo to definitions"):
        go(fake, config())


@pytest.mark.parametrize(
    ("definitions", "says"),
    [
        ([], "definitions is empty"),
        ([{"apiVersion": "v1"}], "kind is missing"),
        ([config("under_score")], "no '_'"),
        ([config(), config()], "Remove one"),
        ([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}], "metadata.namespace is missing"),
    ],
)
def test_bad_input_ends_before_the_first_write(fake: Any, definitions: list[Json], says: str) -> None:
    with pytest.raises(Invalid, match=says) as error:
        go(fake, BOOKINFO, *definitions) if definitions else go(fake)
    assert error.value.msg.startswith("cluster1: ")
    assert fake[0].writes() == []


def test_a_namespace_on_a_cluster_scoped_kind_is_dropped(fake: Any) -> None:
    odd = {**BOOKINFO, "metadata": {"name": "bookinfo", "namespace": "default"}}
    assert actions(go(fake, odd)) == ["created"]
    assert go(fake, odd)["objects"][0]["namespace"] == ""


def test_an_unknown_context_is_told_before_any_request(fake: Any) -> None:
    with pytest.raises(BadKubeconfig, match="contexts: fake, other"):
        go(fake, config(), context="nope")
    assert fake[0].log == []


def test_secret_values_stay_out_of_results(fake: Any) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default"},
        "stringData": {"k": "hunter2"},
    }
    results = [go(fake, secret, check=True), go(fake, secret), go(fake, secret, state="absent")]
    assert "hunter2" not in json.dumps(results) and "aHVudGVyMg" not in json.dumps(results)


def test_a_write_of_ours_that_was_no_apply_is_no_conflict(fake: Any) -> None:
    go(fake, BOOKINFO, config(k="1"))
    live = fake[0].get("v1", "configmaps", "bookinfo", "a")
    fields: Json = {"f:data": {"f:k": {}}}
    live["metadata"]["managedFields"].append(
        {"manager": "multicluster.gloo", "operation": "Update", "fieldsV1": fields}
    )
    live["data"]["k"] = "2"
    assert actions(go(fake, BOOKINFO, config(k="1"))) == ["unchanged", "changed"]


def test_the_server_going_away_skips_what_is_left(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Cluster.apply

    def breaks(self: Cluster, obj: Json, **options: Any) -> Json:
        if obj["kind"] == "ConfigMap":
            raise Unreachable("fake: the API server does not respond: connection refused")
        return original(self, obj, **options)

    monkeypatch.setattr(Cluster, "apply", breaks)
    with pytest.raises(ClusterError, match="connection refused") as error:
        go(fake, BOOKINFO, config("a"), config("b"))
    assert actions(error.value.facts) == ["created", "failed", "skipped"]


# -- YAML in ConfigMaps


THEIRS = "# by the platform team\npilot:\n  env: {A: a, TOKEN: hunter2}\nglobal: {password: hunter3}\n"
OURS = "pilot: {env: {B: b}}"


def theirs(fake: Any, **data: str) -> None:
    go(fake, BOOKINFO)
    fake[0].write("v1", "configmaps", "bookinfo", config(**data))


def test_values_are_added_to_those_of_others_which_no_output_shows_and_removal_gives_back(fake: Any) -> None:
    theirs(fake, values=THEIRS, other="x")
    for check in (True, False):
        result = go(fake, config(values=OURS), merge_yaml=True, on_conflict="force", check=check)
        assert actions(result) == ["changed"]
        assert "hunter" not in json.dumps(result)
        assert "B:" in result["diff"][0]["after"] and "B:" not in result["diff"][0]["before"]
    data = fake[0].get("v1", "configmaps", "bookinfo", "a")["data"]
    assert yaml.safe_load(data["values"]) == {
        "pilot": {"env": {"A": "a", "TOKEN": "hunter2", "B": "b"}},
        "global": {"password": "hunter3"},
    }
    assert data["other"] == "x"
    del fake[0].log[:]
    again = go(fake, config(values=OURS), merge_yaml=True, on_conflict="force")
    assert actions(again) == ["unchanged"] and fake[0].writes() == []
    go(fake, config(values=OURS), state="absent")
    assert fake[0].get("v1", "configmaps", "bookinfo", "a")["data"] == {"values": THEIRS, "other": "x"}


def test_values_that_others_have_set_need_no_write(fake: Any) -> None:
    theirs(fake, values=THEIRS)
    del fake[0].log[:]
    result = go(fake, config(values="pilot: {env: {A: a}}"), merge_yaml=True, on_conflict="force")
    assert actions(result) == ["unchanged"] and fake[0].writes() == []


def test_a_value_that_is_no_mapping_is_named_and_kept(fake: Any) -> None:
    theirs(fake, values="- hunter2")
    with pytest.raises(Invalid, match=r"^cluster1: ConfigMap bookinfo/a: values is not a YAML mapping, so nothing can"):
        go(fake, config(values=OURS), merge_yaml=True, on_conflict="force")
    assert fake[0].get("v1", "configmaps", "bookinfo", "a")["data"] == {"values": "- hunter2"}
