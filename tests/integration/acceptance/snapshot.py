"""Comparable snapshots of a cluster: all objects of all served kinds."""

from __future__ import annotations

import time
from typing import Any

from acceptance.site import Site

Snapshot = dict[str, dict[str, Any]]  # "apps/Deployment bookinfo/reviews-v1" -> normalised object

# What every cluster changes by itself. Each is left out by its name, and for the reason beside it.
LEFT_OUT_KINDS = {
    ("", "Event"): "things that happened, kept for an hour",
    ("events.k8s.io", "Event"): "the same",
    ("coordination.k8s.io", "Lease"): "heartbeats of nodes and of elected leaders",
    ("", "ComponentStatus"): "computed, never stored",
    ("", "Binding"): "not listable",
}
LEFT_OUT_METADATA = {
    "resourceVersion": "counts writes, also those that were taken back",
    "generation": "the same, for the spec",
    "managedFields": "times and order; owners are compared by name, see OWNERS",
}
LEFT_OUT_ANNOTATIONS = {
    "control-plane.alpha.kubernetes.io/leader": "heartbeat of istiod's leader elections, kept in ConfigMaps",
}
LEFT_OUT_STATUS = {
    ("autoscaling", "HorizontalPodAutoscaler"): "measured anew every few seconds",
}
# Heartbeat fields, wherever they stand in a status.
LEFT_OUT_TIMES = {"lastHeartbeatTime", "lastTransitionTime", "lastProbeTime", "lastUpdateTime", "renewTime"}
# Stands in a normalised object for managedFields: who owns anything in it but its status.
OWNERS = "field managers"


def take(site: Site) -> dict[str, Snapshot]:
    """Snapshots of all clusters of a lab, by cluster."""
    return {cluster: take_cluster(site, cluster) for cluster in site.clusters}


def at_rest(site: Site, seconds: float = 60) -> dict[str, Snapshot]:
    """Snapshots of clusters whose controllers have done what they do by themselves: two in a row are equal."""
    end = time.monotonic() + seconds
    last = take(site)
    while True:
        time.sleep(2.0)
        now = take(site)
        changes = all_differences(last, now)
        if not changes:
            return now
        assert time.monotonic() < end, "\n".join(["the clusters come to no rest:", *changes])
        last = now


def take_cluster(site: Site, cluster: str) -> Snapshot:
    """All objects of one cluster, each kind once per group, in the group's preferred version where it serves it."""
    found: Snapshot = {}
    for group, version, resource in _listable(site, cluster):
        if (group, resource["kind"]) in LEFT_OUT_KINDS:
            continue
        prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
        items = (site.get(cluster, f"{prefix}/{resource['name']}") or {}).get("items") or []
        for item in items:
            if (group, resource["kind"]) in LEFT_OUT_STATUS:
                item.pop("status", None)
            metadata = item["metadata"]
            where = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
            found[f"{group or 'core'}/{resource['kind']} {where}"] = normalised(item)
    return found


def normalised(obj: dict[str, Any]) -> dict[str, Any]:
    """The object without what LEFT_OUT_* names; with the names of its field managers instead of managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in LEFT_OUT_METADATA}
    if "annotations" in metadata:
        annotations = {k: v for k, v in metadata["annotations"].items() if k not in LEFT_OUT_ANNOTATIONS}
        metadata["annotations"] = annotations
    entries = obj["metadata"].get("managedFields") or []
    owners = sorted({entry.get("manager", "") for entry in entries if entry.get("subresource") != "status"})
    rest = {key: _without_times(value) for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind")}
    return {"metadata": metadata, OWNERS: owners, **rest}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """One line per object that came, went or changed; a changed one with the paths that differ."""
    lines = [f"+ {key}" for key in sorted(after.keys() - before.keys())]
    lines += [f"- {key}" for key in sorted(before.keys() - after.keys())]
    for key in sorted(before.keys() & after.keys()):
        lines += [f"~ {key} {path}" for path in differing(before[key], after[key], "")]
    return lines


def all_differences(before: dict[str, Snapshot], after: dict[str, Snapshot]) -> list[str]:
    """`differences` of every cluster, each line with the cluster in front."""
    return [f"{cluster}: {line}" for cluster in before for line in differences(before[cluster], after[cluster])]


def _listable(site: Site, cluster: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(group, version, resource) of everything that can be listed, each kind of a group once."""
    versions = [("", "v1", "/api/v1")]
    for group in (site.get(cluster, "/apis") or {})["groups"]:
        preferred = group["preferredVersion"]["version"]
        others = [entry["version"] for entry in group["versions"] if entry["version"] != preferred]
        versions += [(group["name"], version, f"/apis/{group['name']}/{version}") for version in (preferred, *others)]
    seen: set[tuple[str, str]] = set()
    found = []
    for group_name, version, path in versions:
        resources = (site.get(cluster, path) or {}).get("resources") or []
        for resource in resources:
            key = (group_name, resource["kind"])
            if "/" not in resource["name"] and "list" in resource["verbs"] and key not in seen:
                seen.add(key)
                found.append((group_name, version, resource))
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(inner) for key, inner in value.items() if key not in LEFT_OUT_TIMES}
    if isinstance(value, list):
        items = [_without_times(inner) for inner in value]
        if all(isinstance(item, dict) and "type" in item and "status" in item for item in items):
            items.sort(key=lambda condition: str(condition["type"]))  # conditions come in any order
        return items
    return value


def differing(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differing(old.get(key), new.get(key), f"{path}.{key}")
        ]
    return [] if old == new else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
