# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions about Deployments and their Pods: which have to respond, and which cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..module_utils.k8s.fields import labels_match, parse_selector
from ..module_utils.k8s.pods import instances, is_ready, pods_of

Record = Mapping[str, Any]


def workload_queries(selections: Iterable[Record]) -> list[dict[str, str]]:
    """Questions for objects_info that find Deployments and Pods of all *selections* (namespace, label_selector)."""
    unique = {(each["namespace"], each["label_selector"]) for each in selections}
    return [
        {"api_version": api_version, "kind": kind, "namespace": namespace, "label_selector": selector}
        for namespace, selector in sorted(unique)
        for api_version, kind in (("apps/v1", "Deployment"), ("v1", "Pod"))
    ]


def ready_pods(found: Iterable[Record], selection: Record) -> list[str]:
    """Names of the ready Pods of *selection*."""
    return [pod["metadata"]["name"] for pod in _objects(list(found), "Pod", selection) if is_ready(pod)]


def expected_instances(found: Iterable[Record], selection: Record) -> list[dict[str, str]]:
    """Ready Pods of the Deployments of *selection* in all clusters of *found*: ``{instance, cluster, workload}``."""
    return [
        row
        for cluster, records in _by_cluster(found)
        for row in instances(cluster, _objects(records, "Deployment", {}), _objects(records, "Pod", {}), selection)
    ]


def silent_workloads(found: Iterable[Record], selections: Iterable[Record]) -> list[str]:
    """A sentence for every Deployment of *selections* none of whose Pods can answer."""
    wanted = list(selections)
    deployments = {
        (cluster, each["metadata"]["namespace"], each["metadata"]["name"]): (each, _pods(records, each))
        for cluster, records in _by_cluster(found)
        for selection in wanted
        for each in _objects(records, "Deployment", selection)
    }
    result = []
    for (cluster, namespace, name), (deployment, pods) in deployments.items():
        title = f"{cluster}: Deployment {namespace}/{name}"
        if any(is_ready(pod) for pod in pods):
            continue
        if not (deployment.get("spec") or {}).get("replicas", 1):
            result.append(f"{title} is scaled to 0 replicas: nothing of it can answer. Scale it up")
        else:
            result.append(f"{title} has no ready Pod{_why(pods)}")
    return result


def _by_cluster(found: Iterable[Record]) -> list[tuple[str, list[Record]]]:
    clusters: dict[str, list[Record]] = {}
    for record in found:
        clusters.setdefault(record["cluster"], []).append(record)
    return list(clusters.items())


def _objects(records: Iterable[Record], kind: str, selection: Record) -> list[dict[str, Any]]:
    wanted = parse_selector(selection.get("label_selector") or "")
    namespace = selection.get("namespace")
    result = []
    for record in records:
        found = record.get("object")
        if record.get("kind") != kind or not found:
            continue
        meta = found["metadata"]
        has = meta.get("labels") or {}
        if (not namespace or meta.get("namespace") == namespace) and labels_match(wanted, has):
            result.append(found)
    return result


def _pods(records: Iterable[Record], deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Living Pods that the Deployment's selector takes in."""
    return pods_of(deployment, _objects(records, "Pod", {}))


def _why(pods: Iterable[Mapping[str, Any]]) -> str:
    """Why Pods are not ready, by their waiting containers."""
    reasons = []
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason"):
                reasons.append(f"{container['name']}: {waiting['reason']}")
    return f" ({', '.join(dict.fromkeys(reasons))})" if reasons else ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "workload_queries": workload_queries,
            "ready_pods": ready_pods,
            "expected_instances": expected_instances,
            "silent_workloads": silent_workloads,
        }
