# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads from all workload clusters which instances have to respond to a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from ..k8s.client import Cluster, connect
from ..k8s.errors import ClusterError, Forbidden
from ..k8s.fields import Json
from ..k8s.pods import Backends, backends
from .sampling import Expected

DEPLOYMENT, STATEFUL_SET, POD = ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "Pod")

#: Option that selects the Pods that have to respond
SELECTION_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        "namespace": {"type": "str", "required": True},
        "label_selector": {"type": "str", "required": True},
    },
}


@contextmanager
def workload_clusters(
    rows: Sequence[Json], timeout: float, report: Callable[[str], None] = lambda line: None
) -> Iterator[dict[str, Cluster]]:
    """Connections to the workload clusters of the option ``clusters``, by name; no request outlives the timeout."""
    with ExitStack() as stack:
        yield {
            row["name"]: stack.enter_context(connect({**row, "cluster": row["name"], "timeout": timeout}, report))
            for row in rows
            if row.get("role", "workload") == "workload"
        }


def workloads(cluster: Cluster, namespace: str | None = None) -> list[Json]:
    """Deployments and StatefulSets; a user who may not list StatefulSets has none."""
    found = cluster.list(*DEPLOYMENT, namespace)
    try:
        found += cluster.list(*STATEFUL_SET, namespace)
    except Forbidden:
        pass
    return found


def read(clusters: Mapping[str, Cluster], selection: Mapping[str, str]) -> list[Backends]:
    """The backends of every cluster."""

    def one(cluster: Cluster) -> Backends:
        namespace = selection["namespace"]
        return backends(cluster.name, workloads(cluster, namespace), cluster.list(*POD, namespace), selection)

    with ThreadPoolExecutor(max_workers=max(1, len(clusters))) as pool:
        return list(pool.map(one, clusters.values()))


def expected(found: Sequence[Backends]) -> list[Expected]:
    """Their ready instances."""
    return [Expected(**row) for each in found for row in each.instances]


def required(clusters: Mapping[str, Cluster], selection: Mapping[str, str]) -> list[Expected]:
    """Instances that have to respond; ClusterError when a workload has no ready instance or none is found."""
    found = read(clusters, selection)
    problems = [text for each in found for text in each.problems]
    instances = expected(found)
    if not instances and not problems:
        problems = [
            f"{', '.join(clusters) or 'no cluster'}: no Pod in namespace {selection['namespace']} has labels "
            f"{selection['label_selector']}, so no instance can respond. Deploy one, or correct answered_by"
        ]
    if problems:
        raise ClusterError("; ".join(problems), namespace=selection["namespace"])
    return instances
