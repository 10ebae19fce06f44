# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions about the clusters of an inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def group_problems(groups: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for every rule the inventory's groups break: one management host, workloads, gateways among them."""
    management, workload, gateway = (list(groups.get(name) or ()) for name in ("management", "workload", "gateway"))
    problems = []
    if len(management) != 1:
        listed = f"{len(management)} ({', '.join(management)})" if management else "none"
        problems.append(f"inventory group management needs exactly one host, it has {listed}")
    if not workload:
        problems.append("inventory group workload is empty: add at least one workload cluster")
    if not gateway:
        problems.append("inventory group gateway is empty: add at least one host of group workload")
    for host in gateway:
        if host not in workload:
            problems.append(
                f"{host}: is in inventory group gateway but not in workload. A gateway needs a cluster with Istio"
            )
    for host in workload:
        if host in management:
            problems.append(f"{host}: is in inventory groups management and workload. One cluster has one part")
    return problems


def same_clusters(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for every two records of cluster_info (``{cluster, uid, server}``) that are the same cluster."""
    first: dict[str, Mapping[str, Any]] = {}
    problems = []
    for record in records:
        other = first.setdefault(record["uid"], record)
        if other is not record:
            problems.append(
                f"{other['cluster']} and {record['cluster']} are the same cluster: kube-system has UID {record['uid']} "
                f"at {other['server']} and at {record['server']}. Correct kube_context or kubeconfig of one of them"
            )
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"group_problems": group_problems, "same_clusters": same_clusters}
