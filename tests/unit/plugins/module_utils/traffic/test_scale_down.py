"""Scaling down and restoring, against an API server that tracks field ownership."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Conflict
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.scale_down import (
    ANNOTATION,
    MANAGER,
    Scaled,
    former,
    handed_back,
    left_scaled_down,
    note,
    restore,
    scale_down,
)

Json = dict[str, Any]

REPLICAS: Json = {"f:spec": {"f:replicas": {}}}
APPLY = {"manager": "helm", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:paused": {}}}}
SCALER = {"manager": "hpa", "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale"}


def deployment(replicas: int | None = 2, **meta: Any) -> Json:
    spec = {"paused": False} if replicas is None else {"paused": False, "replicas": replicas}
    return {"metadata": {"name": "d", **meta}, "spec": spec}


def content(live: Json | None) -> Json:
    assert live is not None
    meta = {
        key: value for key, value in live["metadata"].items() if key not in ("resourceVersion", "generation", "uid")
    }
    meta["managedFields"] = [entry for entry in meta["managedFields"] if entry["fieldsV1"]]
    return {"spec": live["spec"], "metadata": meta}


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "{}", "[" * 100_000, '{"replicas": -1}', '{"replicas": 4294967296}', '{"replicas": Infinity}'),
        *('{"replicas": null, "owners": 5}', '{"replicas": "3", "owners": ["x", null, 7]}'),
    ],
)
def test_a_record_that_somebody_else_has_written_is_restored_to_the_default(fake: Any, text: str) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(0, annotations={ANNOTATION: text}))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        [scaled] = left_scaled_down([live])
        assert scaled.replicas == 1
        restore(cluster, scaled)
    after = api.get("apps/v1", "deployments", "default", "d")
    assert after["spec"]["replicas"] == 1 and former(after) is None


@pytest.mark.parametrize("replicas", [1, 2, 7])
def test_a_deployment_comes_back_as_it_was(fake: Any, replicas: int) -> None:
    api, kubeconfig = fake
    made = api.write("apps/v1", "deployments", "default", deployment(replicas, annotations={"a": "b"}))
    before = copy.deepcopy(content(made))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        scale_down(cluster, Scaled(live))
        away = api.get("apps/v1", "deployments", "default", "d")
        noted = former(away)
        assert noted is not None
        assert (away["spec"]["replicas"], noted["replicas"]) == (0, replicas)
        assert [(each.title, each.replicas) for each in left_scaled_down([live, away])] == [
            ("Deployment default/d", replicas)
        ]
        # one write, so that there is no moment in which only a process knows the number
        assert [method for method, _path in api.writes()] == ["PATCH"]
        restore(cluster, Scaled(live))
        assert content(api.get("apps/v1", "deployments", "default", "d")) == before
        written = len(api.writes())
        restore(cluster, Scaled(live))
        assert len(api.writes()) == written


def test_it_comes_back_although_its_controller_writes_all_the_while(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        scale_down(cluster, Scaled(live))
        api.refuse("PUT", "/deployments/d", 409, {"reason": "Conflict", "message": "has been modified"}, times=5)
        restore(cluster, Scaled(live))
    back = api.get("apps/v1", "deployments", "default", "d")
    assert (back["spec"]["replicas"], former(back)) == (3, None)


def test_what_somebody_scaled_up_in_the_meantime_stays(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        scale_down(cluster, Scaled(live))
        away = copy.deepcopy(api.get("apps/v1", "deployments", "default", "d"))
        away["spec"]["replicas"] = 9
        api.store(("apps/v1", "deployments", "default", "d"), away)
        restore(cluster, Scaled(live))
    back = api.get("apps/v1", "deployments", "default", "d")
    assert (back["spec"]["replicas"], former(back)) == (9, None)


def test_it_comes_back_as_it_was_when_it_went_not_when_it_was_first_read(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        scaled = copy.deepcopy(api.get("apps/v1", "deployments", "default", "d"))
        scaled["spec"]["replicas"] = 9
        api.store(("apps/v1", "deployments", "default", "d"), scaled)
        api.refuse("PATCH", "/deployments/d", 409, {"reason": "Conflict", "message": "has been modified"}, times=2)
        scale_down(cluster, Scaled(live))
        away = api.get("apps/v1", "deployments", "default", "d")
        scale_down(cluster, Scaled(live))  # as a second run does
        assert api.get("apps/v1", "deployments", "default", "d") == away
        restore(cluster, Scaled(live))
    assert api.get("apps/v1", "deployments", "default", "d")["spec"]["replicas"] == 9


def test_a_deleted_one_does_not_come_back(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        api.remove(("apps/v1", "deployments", "default", "d"))
        scale_down(cluster, Scaled(live))
        assert restore(cluster, Scaled(live)) is None


@pytest.mark.parametrize(
    ("text", "replicas"),
    [('{"replicas":4,"owners":[]}', 4), ("", 1), ("3", 1), ('{"owners":[]}', 1), ("[]", 1)],
)
def test_an_annotation_that_cannot_be_read_means_one_replica(text: str, replicas: int) -> None:
    found = former(deployment(0, annotations={ANNOTATION: text}))
    assert found is not None
    assert found["replicas"] == replicas


def test_who_owned_the_number_is_noted() -> None:
    entries = [APPLY, {**SCALER, "fieldsV1": REPLICAS}]
    noted = json.loads(note(deployment(5, managedFields=entries)))
    assert noted == {"replicas": 5, "owners": [SCALER]}
    assert json.loads(note(deployment(None))) == {"replicas": 1, "owners": []}


def ours(**fields: Any) -> Json:
    annotation: Json = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}
    return {"manager": MANAGER, "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {**annotation, **fields}}


@pytest.mark.parametrize(
    ("entries", "owners", "after"),
    [
        # it goes back into the owner's entry, beside what is there
        (
            [APPLY, ours(**REPLICAS)],
            [{"manager": "helm", "operation": "Apply", "apiVersion": "apps/v1"}],
            [{**APPLY, "fieldsV1": {"f:spec": {"f:paused": {}, "f:replicas": {}}}}],
        ),
        # an entry that held nothing else is there again
        (
            [APPLY, ours(**REPLICAS)],
            [SCALER],
            [APPLY, {**SCALER, "fieldsType": "FieldsV1", "fieldsV1": REPLICAS}],
        ),
        # the API's default had no owner
        ([APPLY, ours(**REPLICAS)], [], [APPLY]),
        # somebody else has taken it since
        ([{**SCALER, "fieldsV1": REPLICAS}, ours()], [APPLY], [{**SCALER, "fieldsV1": REPLICAS}]),
    ],
)
def test_the_field_goes_back_to_its_owner(entries: list[Json], owners: list[Json], after: list[Json]) -> None:
    given = copy.deepcopy(entries)
    assert handed_back(entries, owners) == after
    assert entries == given


MERGE = "application/merge-patch+json"
GATEWAY_TIMEOUT = {"message": "upstream request timeout"}


@pytest.mark.parametrize("processed", ["never", "before the response", "after the restore"])
def test_a_scale_down_without_a_response_scales_nothing_down_later(fake: Any, processed: str) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    place = ("apps/v1", "deployments", "default", "d")
    before = copy.deepcopy(api.get(*place))
    with Cluster(kubeconfig, "fake", "c1", patience=0.0) as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        meta = {"annotations": {ANNOTATION: note(live)}, "resourceVersion": live["metadata"]["resourceVersion"]}

        def arrive() -> None:
            where, change = (
                "/apis/apps/v1/namespaces/default/deployments/d",
                {"metadata": meta, "spec": {"replicas": 0}},
            )
            cluster.request(
                "PATCH", where, {"fieldManager": MANAGER}, change, content_type="application/merge-patch+json"
            )

        scaled = Scaled(live)
        api.refuse("PATCH", "/deployments/d", 504, GATEWAY_TIMEOUT)
        with pytest.raises(ClusterError, match="may have been written"):
            scale_down(cluster, scaled)
        if processed == "before the response":
            arrive()
        restore(cluster, scaled)
        if processed == "after the restore":
            with pytest.raises(Conflict):
                arrive()
    after = api.get(*place)
    assert after["spec"] == before["spec"] and not (after["metadata"].get("annotations") or {})
    owners = [[entry for entry in each["metadata"]["managedFields"] if entry["fieldsV1"]] for each in (before, after)]
    assert owners[0] == owners[1]


def test_a_scale_down_that_was_refused_needs_no_further_write(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("apps/v1", "deployments", "default", deployment(3))
    with Cluster(kubeconfig, "fake", "c1") as cluster:
        live = cluster.get("apps/v1", "Deployment", "d", "default")
        assert live is not None
        api.refuse("PATCH", "/deployments/d", 403, {"reason": "Forbidden", "message": "no right"})
        scaled = Scaled(live)
        with pytest.raises(ClusterError, match="no right"):
            scale_down(cluster, scaled)
        written = len(api.writes())
        restore(cluster, scaled)
    assert len(api.writes()) == written
