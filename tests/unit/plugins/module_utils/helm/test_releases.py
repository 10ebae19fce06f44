"""Helm's records and our notes, as the API server returns them."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest
from helm_records import encoded, record

from ansible_collections.multicluster.gloo.plugins.module_utils.helm import releases
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid

Json = dict[str, Any]

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    note: "a: b"
  name: {name}
spec:
  group: example.com
"""
DEPLOYMENT = "kind: Deployment\nmetadata:\n  name: edge\n"


class Cluster:
    """Lists and gets from a list of objects, as an API server does with labels."""

    name = "east"

    def __init__(self, *objects: Json) -> None:
        self.objects = objects
        self.asked: list[str] = []

    def list(self, api_version: str, kind: str, namespace: str | None = None, labels: str = "") -> list[Json]:
        self.asked.append(f"LIST {kind} {namespace or '*'} {labels}")
        return [
            each
            for each in self.objects
            if each["kind"] == kind
            and namespace in (None, each["metadata"]["namespace"])
            and all(_fits(each["metadata"].get("labels") or {}, term) for term in labels.split(",") if term)
        ]

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Json | None:
        self.asked.append(f"GET {kind} {namespace}/{name}")
        found = [each for each in self.list(api_version, kind, namespace) if each["metadata"]["name"] == name]
        self.asked.pop()
        return found[0] if found else None


def _fits(labels: Json, term: str) -> bool:
    if "!=" in term:
        key, value = term.split("!=")
        return bool(labels.get(key) != value)
    key, _equals, value = term.partition("=")
    return key in labels and value in ("", labels[key])


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_a_record_of_either_driver_is_decoded(kind: str) -> None:
    stored = record(values={"a": {"b": [1, True, None]}}, kind=kind, version="2.0.5", manifest=DEPLOYMENT)
    release = releases.decode(stored)
    assert (release.chart, release.chart_version, release.app_version) == ("edge", "2.0.5", "7")
    assert (release.revision, release.status, release.values) == (1, "deployed", {"a": {"b": [1, True, None]}})
    assert [each["kind"] for each in release.objects] == ["Deployment"]
    assert release.updated.startswith("2026-01-02T03:04:05")


def test_a_release_without_values_has_none() -> None:
    assert releases.decode(record(values=None)).values == {}


def packed(data: bytes) -> Json:
    return {"release": encoded(base64.b64encode(data).decode())}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "it does not contain JSON"),
        ({"release": "%%%"}, "it is not base64"),
        ({"release": encoded("%%%")}, "it is not base64"),
        ({"release": encoded(encoded("no JSON"))}, "it does not contain JSON"),
        ({"release": encoded(encoded("[]"))}, "it does not contain a release"),
        ({"release": encoded(encoded('{"info": "x", "chart": []}'))}, "it does not contain a release"),
        (packed(b"\x1f\x8bxx"), "it is not gzip"),
        (packed(gzip.compress(b"{}")[:-6]), "it is truncated"),
        (packed(gzip.compress(b"\xff\xfe{")), "it does not contain JSON"),
        (packed(gzip.compress(b"[" * 200_000)), "it does not contain JSON"),
        (packed(gzip.compress(b" " * (65 * 1024 * 1024))), "it is truncated or exceeds 64 MiB uncompressed"),
    ],
)
def test_a_record_that_is_none_is_named(data: Json, reason: str) -> None:
    stored = {**record(), "data": data}
    [history] = releases.read_releases(Cluster(stored))  # type: ignore[arg-type]
    assert history.revisions == ((1, "deployed", "2026-01-02T03:04:05Z"),)
    with pytest.raises(
        Invalid, match=rf"east: Secret team/sh.helm.release.v1.edge.v1: this record of Helm release edge.*: {reason}"
    ):
        assert history.newest


@pytest.mark.parametrize("seconds", ["999999999999999999", "99999999999999", "x", "-1"])
def test_a_time_that_is_none_counts_as_absent(seconds: str) -> None:
    stored = record()
    stored["metadata"]["labels"]["modifiedAt"] = seconds
    assert releases.Record("east", stored).updated == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_a_release_of_superseded_revisions_is_found(kind: str) -> None:
    """As after someone deleted the record of a stuck revision."""
    stored = [record("edge", number, "superseded", kind=kind) for number in (1, 2)]
    found = releases.read_release(Cluster(*stored), "edge", "team")  # type: ignore[arg-type]
    assert found.revisions == tuple((number, "superseded", "2026-01-02T03:04:05Z") for number in (1, 2))


def test_crds_of_the_folder_and_of_the_manifest_are_found() -> None:
    files = {"crds/a.yaml": CRD.format(name="a.example.com"), "README.md": CRD.format(name="readme.example.com")}
    manifest = f"---\n# Source: x\n{CRD.format(name='b.example.com')}---\n{DEPLOYMENT}"
    release = releases.decode(record(manifest=manifest, files=files))
    assert release.crds == ("a.example.com", "b.example.com")
    assert not release.only_crds
    assert releases.decode(record(manifest=CRD.format(name="c.example.com"))).only_crds
    assert not releases.decode(record(manifest="")).only_crds


@pytest.mark.parametrize(
    "text",
    [
        CRD.format(name="a.example.com"),
        CRD.format(name="'a.example.com'"),
        "kind: CustomResourceDefinition\nmetadata: {name: a.example.com}\n",
        '{"kind": "CustomResourceDefinition",\n "metadata": {"name": "a.example.com"}}',
        'metadata:\n    labels: {name: wrong}\n    name: "a.example.com"\nkind: "CustomResourceDefinition"\n',
        "metadata:\n  labels:\n    name: wrong\n\n  # comment\n  name: a.example.com\nkind: CustomResourceDefinition\n",
    ],
)
def test_the_name_of_a_crd_is_read_however_it_is_written(text: str) -> None:
    assert list(releases.crd_names(f"# comment\n---\n{text}\n---\n{DEPLOYMENT}")) == ["a.example.com"]


def test_releases_of_a_cluster_are_read_in_three_requests_and_decoded_on_demand() -> None:
    broken = {**record("broken"), "data": {}}
    note = releases.Note("edge", "team", former_revision=2).to_object()
    cluster = Cluster(
        record(revision=1, status="superseded"),
        record(revision=3, status="deployed", values={"x": 3}),
        record(revision=10, status="failed", modified=1767323045),
        record("other", kind="ConfigMap"),
        broken,
        note,
        releases.Note("gone", "team").to_object(),
    )
    found = releases.read_releases(cluster)  # type: ignore[arg-type]
    assert len(cluster.asked) == 3
    assert [(each.title, each.driver) for each in found] == [
        ("team/broken", "secret"),
        ("team/edge", "secret"),
        ("team/gone", ""),
        ("team/other", "configmap"),
    ]
    edge = found[1]
    assert edge.revisions == ((3, "deployed", "2026-01-02T03:04:05Z"), (10, "failed", "2026-01-02T03:04:05Z"))
    assert edge.newest and edge.newest.revision == 10
    assert edge.deployed and edge.deployed.values == {"x": 3}
    assert edge.note and edge.note.former_revision == 2
    assert found[2].note and found[2].note.ours and found[2].newest is None


@pytest.mark.parametrize(
    ("kind", "driver", "requests"), [("Secret", "", 2), ("ConfigMap", "", 3), ("ConfigMap", "configmap", 2)]
)
def test_one_release_costs_two_requests(kind: str, driver: str, requests: int) -> None:
    cluster = Cluster(record(kind=kind), record("edge-crds", kind=kind))
    history = releases.read_release(cluster, "edge", "team", driver)  # type: ignore[arg-type]
    assert (history.name, history.driver, len(cluster.asked)) == ("edge", kind.lower(), requests)


def test_a_release_that_does_not_exist_has_no_records() -> None:
    history = releases.read_release(Cluster(), "edge", "team")  # type: ignore[arg-type]
    assert (history.newest, history.deployed, history.note, history.revisions) == (None, None, None, ())


def test_superseded_revisions_are_read_when_asked_for() -> None:
    cluster = Cluster(record(revision=1, status="superseded"), record(revision=2))
    history = releases.read_release(cluster, "edge", "team")  # type: ignore[arg-type]
    assert [each[0] for each in history.revisions] == [2]
    assert [each[0] for each in releases.read_all_revisions(cluster, history).revisions] == [1, 2]  # type: ignore[arg-type]


def test_a_note_survives_the_way_to_the_cluster_and_back() -> None:
    note = releases.Note(
        "edge",
        "team",
        former_revision=3,
        former_version="2.0.5",
        brings_groups=("a.example.com", "b.example.com"),
        only_crds=True,
        paths=(("licensing", "key"), ("a.b/c", "d")),
        our_version="2.1.0",
        left_out=("installExtAuthCRDs",),
        writer="here",
    )
    assert releases.Note.from_object(note.to_object()) == note


def test_a_note_of_an_older_version_is_understood() -> None:
    """As the collection wrote them before paths were noted."""
    old = {
        "kind": "ConfigMap",
        "metadata": {
            "name": "multicluster.gloo.edge",
            "namespace": "team",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"multicluster.gloo/release": "edge"},
            "annotations": {
                "multicluster.gloo/former-revision": "7",
                "multicluster.gloo/groups": "admin.gloo.solo.io,install.istio.io",
                "multicluster.gloo/only-crds": "true",
            },
        },
    }
    note = releases.Note.from_object(old)
    assert (note.former_revision, note.only_crds, note.paths) == (7, True, None)
    assert note.brings_groups == ("admin.gloo.solo.io", "install.istio.io")
    assert note.created == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["{", "7", '"a"', "null", ""])
def test_paths_that_cannot_be_read_count_as_not_noted(text: str) -> None:
    note = releases.Note("edge", "team").to_object()
    note["metadata"]["annotations"][releases.VALUE_PATHS] = text
    assert releases.Note.from_object(note).paths is None


def test_former_values_are_kept_in_a_secret() -> None:
    note = releases.Note("edge", "team", former_revision=1)
    secret = note.former_values_object({"licensing": {"key": "canary"}})
    assert secret["kind"] == "Secret"
    assert releases.read_former_values(Cluster(secret), note) == {"licensing": {"key": "canary"}}  # type: ignore[arg-type]
    assert releases.read_former_values(Cluster(), note) is None  # type: ignore[arg-type]
