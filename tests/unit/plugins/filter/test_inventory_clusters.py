"""The clusters of an inventory."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.filter.inventory_clusters import inventory_clusters

GROUPS = {"management": ["hq"], "workload": ["east", "west"], "gateway": ["west"], "other": ["printer"]}
HOSTS: dict[str, dict[str, Any]] = {
    "hq": {"kubeconfig": "a", "kube_context": "x"},
    "east": {"kubeconfig": "a", "kube_context": "y", "mesh_cluster_name": "cluster-east"},
    "west": {"kubeconfig": "b", "kube_context": "z"},
    "printer": {},
}


def test_every_cluster_with_its_role_and_the_name_it_is_registered_under() -> None:
    assert inventory_clusters(HOSTS, GROUPS) == [
        {"name": "hq", "kubeconfig": "a", "context": "x", "role": "management", "gateway": False},
        {"name": "cluster-east", "kubeconfig": "a", "context": "y", "role": "workload", "gateway": False},
        {"name": "west", "kubeconfig": "b", "context": "z", "role": "workload", "gateway": True},
    ]


def test_what_a_host_lacks_is_left_empty() -> None:
    [row] = inventory_clusters({"hq": {}}, {"management": ["hq"]})
    assert (row["kubeconfig"], row["context"]) == ("", "")
