# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decisions about Deployments and their Pods: which have to restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..module_utils.k8s.fields import labels_match, parse_selector
from ..module_utils.k8s.pods import has_sidecar, pods_of

RESTARTED_FOR = "multicluster.gloo/restarted-for"

Record = Mapping[str, Any]


def of_workloads(found: Iterable[Record], names: Iterable[str]) -> list[Record]:
    """Records of the Deployments *names* and of their Pods; what others run beside them is left out."""
    wanted = set(names)
    result = []
    for _cluster, records in _by_cluster(found):
        mine = [each for each in records if each.get("kind") == "Deployment" and each.get("name") in wanted]
        taken = [pod for each in _objects(mine, "Deployment", {}) for pod in _pods(records, each)]
        result += mine + [each for each in records if each.get("object") in taken]
    return result


def stale_workloads(found: Iterable[Record], secret: Record, sidecar: bool = False) -> list[dict[str, Any]]:
    """Deployments with a Pod older than *secret* (a record of objects_info), as definitions that make them start again.

    With *sidecar* also those with a Pod that has none. The definition is one annotation of the Pod template that names
    the reason, so applying it twice restarts once.
    """
    records = list(found)
    meta = (secret.get("object") or {}).get("metadata")
    result = []
    for deployment in _objects(records, "Deployment", {}):
        pods = _pods(records, deployment)
        reason = ""
        # RFC 3339 in UTC: text order is time order.
        if meta and any(pod["metadata"]["creationTimestamp"] < meta["creationTimestamp"] for pod in pods):
            reason = f"{meta['name']}.{meta['uid']}"
        elif sidecar and not all(has_sidecar(pod) for pod in pods):
            reason = "sidecar"
        if reason:
            result.append(
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {name: deployment["metadata"][name] for name in ("name", "namespace")},
                    "spec": {"template": {"metadata": {"annotations": {RESTARTED_FOR: reason}}}},
                }
            )
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


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "of_workloads": of_workloads,
            "stale_workloads": stale_workloads,
        }
