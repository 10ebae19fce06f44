"""Decisions of the playbooks: groups, clusters, destinations."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.filter import clusters, destinations

SOUND = {"management": ["mgmt"], "workload": ["a", "b", "c"], "gateway": ["b"]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"management": []}, ["management needs exactly one host, it has none"]),
        ({"management": ["m", "n"]}, ["it has 2 (m, n)"]),
        ({"workload": [], "gateway": []}, ["group workload is empty", "group gateway is empty"]),
        ({"gateway": ["z"]}, ["z: is in inventory group gateway but not in workload"]),
        ({"management": ["a"]}, ["a: is in inventory groups management and workload"]),
    ],
)
def test_groups(change: dict[str, list[str]], told: list[str]) -> None:
    problems = clusters.group_problems({**SOUND, **change})
    assert len(problems) == len(told)
    assert all(text in problem for text, problem in zip(told, problems, strict=True))


def test_the_same_cluster_twice_names_both() -> None:
    infos = [
        {"cluster": name, "uid": uid, "server": f"https://{name}"} for name, uid in (("a", "1"), ("b", "2"), ("c", "1"))
    ]
    [problem] = clusters.same_clusters(infos)
    assert "a and c are the same cluster" in problem
    assert "https://a" in problem and "https://c" in problem


def destination(**status: Any) -> dict[str, Any]:
    meta = {"name": "reviews-vd", "namespace": "bookinfo"}
    spec = {"services": [{"labels": {"app": "reviews"}}]}
    return {"kind": "VirtualDestination", "object": {"metadata": meta, "spec": spec, "status": status}}


def test_destinations_that_lead_nowhere() -> None:
    assert destinations.idle_destinations([destination(numSelectedBackingServices=2, ownedByWorkspace="w")], "m") == []
    [nothing] = destinations.idle_destinations([destination(ownedByWorkspace="w")], "m")
    assert "m: VirtualDestination bookinfo/reviews-vd selects no Service" in nothing
    [nobody] = destinations.idle_destinations([destination(numSelectedBackingServices=2, ownedByWorkspace="")], "m")
    assert "is in no workspace" in nobody


def test_hosts_and_ports_of_destinations() -> None:
    spec = {"hosts": ["a.internal", "b.internal"], "ports": [{"number": 80}, {"number": "81"}]}
    pairs = destinations.destination_hosts([{"name": "x", "namespace": "y", "spec": spec}])
    assert [(each["host"], each["port"]) for each in pairs] == [
        ("a.internal", 80),
        ("a.internal", 81),
        ("b.internal", 80),
        ("b.internal", 81),
    ]
    assert destinations.destination_hosts([{"name": "x", "namespace": "y", "spec": {}}]) == []
