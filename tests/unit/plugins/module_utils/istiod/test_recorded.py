"""Every field of the table of recorded Istio installations, where such recordings are at hand."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance import istio_shapes
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod

REPO = Path(__file__).resolve().parents[5]
RECORDED = Path(os.environ.get("MULTICLUSTER_RECORDED", REPO.parent / "shared" / "recorded")) / "istio"

if not RECORDED.is_dir():
    reason = "no recordings here (MULTICLUSTER_RECORDED); test_chart_situations proves the same on objects made there"
    pytest.skip(reason, allow_module_level=True)

LISTS = ("deployments", "services", "endpointslices", "configmaps", "mutatingwebhookconfigurations", "namespaces")


row = functools.partial(istio_shapes.row, version="1.27.0")


NO_DEFAULT = "no default injector: label istio-injection=enabled has no effect in this cluster. Use istio.io/rev"
PROBLEMS: dict[str, tuple[str, ...]] = {
    "broken-crashloop-1.27": ("Deployment istio-system/istiod has no ready Pod",),
    "broken-pending-1.27": ("Deployment istio-system/istiod has no ready Pod",),
    "broken-service-without-deployment-1.27": ("Service istio-system/istiod selects no istiod Deployment",),
    "duplicate-env-1.27": ("sets CLUSTER_ID 2 times; the last value is effective: from-global",),
    "gloo-like-alias-1.27": (NO_DEFAULT,),
    "gloo-like-sidecar-1.27": (NO_DEFAULT,),
    "other-namespace-revision-1.27": (NO_DEFAULT,),
    "other-namespace-unset-1.27": (
        'no ready Pod: pods "istiod-54ff466bc4-" is forbidden: error looking up service account',
    ),
    "remote-revision-1.27": (
        "istiod.istio-system.svc:15012 refers to a Service that does not exist. Use istiod-1-27.istio-system.svc:15012",
        NO_DEFAULT,
    ),
    "revision-1.25": (NO_DEFAULT,),
}

UNREADABLE: dict[str, Any] = {"mesh_id": None, "trust_domain": None, "version": None}

TABLE: dict[str, list[dict[str, Any]]] = {
    "defaults-1.25": [row(version="1.25.0")],
    "defaults-1.27": [row()],
    "multicluster-1.27": [
        row(cluster_id="cluster1", mesh_id="mesh1", network="network1", trust_domain="cluster1.example")
    ],
    "revision-1.25": [row("1-25", version="1.25.0")],
    "revision-tags-1.25": [row("1-25", version="1.25.0", tags=["default", "prod"])],
    "revision-tags-1.27": [row("1-27", tags=["default", "prod"])],
    "two-revisions": [
        row("1-25", version="1.25.0", tags=["default"]),
        row("1-27", tags=["canary"], cluster_id="cluster1", mesh_id="mesh1"),
    ],
    "other-namespace-unset-1.27": [row(namespace="mesh-control", cluster_id="cluster1", ready=False)],
    "other-namespace-revision-1.27": [row("main", "gloo-mesh", cluster_id="cluster1", mesh_id="cluster1")],
    "remote-ip-1.25": [row(cluster_id="cluster2", network="network2", **UNREADABLE)],
    "remote-hostname-1.27": [row(cluster_id="cluster2", network="network2", ready=None, **UNREADABLE)],
    "remote-revision-1.27": [row("1-27", cluster_id="cluster2", network="network2", version=None)],
    "remote-local-injector-1.32": [row(name="istiod-remote", cluster_id="cluster2", version="1.32.0")],
    "duplicate-env-1.27": [row(cluster_id="from-global")],
    "gloo-like-sidecar-1.27": [row("gloo", cluster_id="cluster1", version="1.27.0-solo")],
    "gloo-like-alias-1.27": [row("gloo", cluster_id="cluster1", version="1.27.0-solo")],
    "running-istiod-1.25": [row(cluster_id="cluster1", network="network1", version="1.25.0")],
    "broken-pending-1.27": [row(ready=False)],
    "broken-crashloop-1.27": [row(ready=False)],
    "broken-service-without-deployment-1.27": [row(cluster_id=None, ready=False)],
}


def recorded(folder: str) -> dict[str, list[dict[str, Any]]]:
    return {
        name: yaml.load((RECORDED / folder / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)["items"] or []
        for name in LISTS
    }


def test_no_folder_is_left_out() -> None:
    assert {p.name for p in RECORDED.iterdir() if p.is_dir()} == set(TABLE)


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_truth(folder: str) -> None:
    found = istiod.discover(recorded(folder))
    assert found["istiods"] == TABLE[folder]


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_list_order_does_not_matter(folder: str) -> None:
    objects = recorded(folder)
    backwards = {name: [*reversed(items)] for name, items in objects.items()}
    assert istiod.discover(backwards) == istiod.discover(objects)


@pytest.mark.parametrize(
    ("folder", "revision"),
    [
        ("revision-tags-1.25", "1-25"),
        ("revision-tags-1.27", "1-27"),
        ("two-revisions", "1-27"),
        ("gloo-like-sidecar-1.27", "gloo"),
        ("gloo-like-alias-1.27", "gloo"),
        ("running-istiod-1.25", "default"),
    ],
)
def test_choice_for_bookinfo(folder: str, revision: str) -> None:
    objects = recorded(folder)
    labels = next(n["metadata"]["labels"] for n in objects["namespaces"] if n["metadata"]["name"] == "bookinfo")
    chosen = istiod.choose(istiod.discover(objects), for_namespace="bookinfo", namespace_labels=labels)
    assert chosen["revision"] == revision


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_problems(folder: str) -> None:
    """Exactly these problems; no folder but those of PROBLEMS has any."""
    words, problems = PROBLEMS.get(folder, ()), istiod.discover(recorded(folder))["problems"]
    assert len(words) == len(problems) and all(w in p for w, p in zip(words, problems, strict=True)), problems


@pytest.mark.parametrize("folder", sorted(TABLE))
def test_every_value_has_a_source(folder: str) -> None:
    """One per key and istiod; unknown exactly where the value is null for want of knowledge."""
    found = istiod.discover(recorded(folder))
    assert [s["key"] for s in found["sources"]] == [*istiod.KEYS] * len(found["istiods"])
    for record, key in zip(TABLE[folder] * len(istiod.KEYS), istiod.KEYS, strict=False):
        told = next(s for s in found["sources"] if s["name"] == record["name"] and s["key"] == key)
        assert told["source"] and (told["certainty"] == "unknown") is (record[key] is None and key != "network")
