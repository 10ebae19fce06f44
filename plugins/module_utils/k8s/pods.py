# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments and their Pods: ownership, readiness with reasons, and mesh membership (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .fields import (
    Json,
    conditions_of,
    is_true,
    labels_match,
    labels_of,
    mapping,
    mappings,
    meta,
    parse_selector,
    selector_matches,
    spec_of,
    status_of,
)


def living(pods: Iterable[Json], namespace: str, labels: Mapping[str, str]) -> list[Json]:
    """Pods of a namespace with these labels that are not being deleted."""
    return [
        pod
        for pod in pods
        if pod["metadata"].get("namespace") == namespace
        and labels_match(labels, pod["metadata"].get("labels") or {})
        and not pod["metadata"].get("deletionTimestamp")
    ]


def pods_of(workload: Json, pods: Iterable[Json]) -> list[Json]:
    """Pods that the workload's selector matches and that are not being deleted."""
    selector = mapping(spec_of(workload).get("selector"))
    return [
        pod for pod in living(pods, workload["metadata"]["namespace"], {}) if selector_matches(selector, labels_of(pod))
    ]


def is_ready(pod: Json) -> bool:
    """Whether the Pod receives requests: condition Ready is True and it is not being deleted."""
    return is_true(pod, "Ready") and not meta(pod).get("deletionTimestamp")


def pod_trouble(pod: Json) -> str:
    """What prevents a Pod from being ready, per container; "" when it is ready."""
    status = status_of(pod)
    found: list[str] = []
    for kind, field in (("init container", "initContainerStatuses"), ("container", "containerStatuses")):
        for container in mappings(status.get(field)):
            if (
                container.get("ready")
                or mapping(mapping(container.get("state")).get("terminated")).get("reason") == "Completed"
            ):
                continue
            if found and mapping(mapping(container.get("state")).get("waiting")).get("reason") == "PodInitializing":
                continue  # waits for the init containers, which are listed
            found.append(f"{kind} {container.get('name')}: {_container_state(container)}")
    if found:
        return "; ".join(found)
    for each in conditions_of(pod):
        if each.get("status") != "True" and each.get("type") in ("PodScheduled", "Initialized", "Ready"):
            text = each.get("message") or each.get("reason")
            if text:
                return f"{each['type']}: {text}"
    return "" if is_true(pod, "Ready") else f"phase {status.get('phase', 'unknown')}"


def _container_state(container: Json) -> str:
    state = mapping(container.get("state"))
    last = mapping(mapping(container.get("lastState")).get("terminated"))
    parts = []
    if "waiting" in state:
        reported = mapping(state["waiting"])
        parts.append(" ".join(filter(None, [reported.get("reason"), reported.get("message")])) or "waiting")
    elif "terminated" in state:
        ended = mapping(state["terminated"])
        parts.append(
            f"exited with code {ended.get('exitCode')} {ended.get('reason', '')} {ended.get('message', '')}".strip()
        )
    else:
        parts.append("running, not ready")
    if last:
        parts.append(f"last exit code {last.get('exitCode')}")
    if container.get("restartCount"):
        parts.append(f"{container['restartCount']} restarts")
    return ", ".join(parts)


def has_sidecar(pod: Mapping[str, Any]) -> bool:
    """Whether the Pod has istio-proxy, as a container or, from Istio 1.27 on, as a native sidecar."""
    spec = pod.get("spec") or {}
    return any(
        each["name"] == "istio-proxy" for part in ("containers", "initContainers") for each in spec.get(part) or ()
    )


@dataclass(frozen=True)
class Backends:
    """The instances that have to respond in one cluster.

    ``instances``: ready Pods, each ``{instance, cluster, workload}``. ``problems``: a sentence for every Deployment
    that has none.
    """

    instances: list[Json]
    problems: list[str]


def backends(cluster: str, deployments: Iterable[Json], pods: Iterable[Json], selection: Mapping[str, str]) -> Backends:
    """Instances of the Deployments of *selection* ({namespace, label_selector}) in one cluster."""
    found, everyone = Backends([], []), list(pods)
    for deployment in selected(deployments, selection):
        name = deployment["metadata"]["name"]
        own = pods_of(deployment, everyone)
        ready = [pod["metadata"]["name"] for pod in own if is_ready(pod)]
        found.instances.extend({"instance": pod, "cluster": cluster, "workload": name} for pod in ready)
        if not ready:
            found.problems.append(
                f"{cluster}: Deployment {selection['namespace']}/{name} {_why_silent(deployment, own)}"
            )
    return found


def selected(objects: Iterable[Json], selection: Mapping[str, str]) -> list[Json]:
    """Objects in the namespace of *selection* that have its labels."""
    wanted = parse_selector(selection["label_selector"])
    return [
        each
        for each in objects
        if each["metadata"].get("namespace") == selection["namespace"]
        and labels_match(wanted, each["metadata"].get("labels") or {})
    ]


def _why_silent(deployment: Json, pods: Iterable[Json]) -> str:
    if (deployment.get("spec") or {}).get("replicas", 1) == 0:
        return "is scaled to 0 replicas, so no instance can respond. Scale it up"
    troubles = [f"{pod['metadata']['name']}: {pod_trouble(pod)}" for pod in pods]
    return "has no ready Pod" + (f": {'; '.join(troubles[:3])}" if troubles else "")
