"""Every field of the table of recorded Istio installations, where such recordings are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils import istiod

REPO = Path(__file__).resolve().parents[4]
RECORDED = Path(os.environ.get("MULTICLUSTER_RECORDED", REPO.parent / "shared" / "recorded")) / "istio"

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recordings here (MULTICLUSTER_RECORDED)")

LISTS = ("deployments", "services", "endpointslices", "configmaps", "mutatingwebhookconfigurations", "namespaces")


def row(
    revision: str = "default", namespace: str = "istio-system", name: str | None = None, **facts: Any
) -> dict[str, Any]:
    service = name or ("istiod" if revision == "default" else f"istiod-{revision}")
    return {
        "namespace": namespace,
        "name": service,
        "revision": revision,
        "tags": [],
        "address": f"{service}.{namespace}.svc:15012",
        "cluster_id": "Kubernetes",
        "mesh_id": "cluster.local",
        "network": None,
        "trust_domain": "cluster.local",
        "version": "1.27.0",
        "ready": True,
        **facts,
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


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("broken-pending-1.27", "no ready Pod"),
        ("broken-crashloop-1.27", "no ready Pod"),
        ("broken-service-without-deployment-1.27", "selects no istiod Deployment"),
        ("other-namespace-unset-1.27", "no ready Pod: "),
        ("remote-revision-1.27", "names a Service that does not exist; use istiod-1-27.istio-system.svc:15012"),
        ("revision-1.25", "no default injector"),
        ("duplicate-env-1.27", "the last one counts: from-global"),
    ],
)
def test_problem_is_named(folder: str, words: str) -> None:
    problems = istiod.discover(recorded(folder))["problems"]
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize("folder", ["defaults-1.27", "revision-tags-1.27", "multicluster-1.27", "running-istiod-1.25"])
def test_healthy_means_no_problem(folder: str) -> None:
    assert istiod.discover(recorded(folder))["problems"] == []
