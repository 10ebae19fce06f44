# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods and the workloads that own them: readiness with reasons, mesh membership, backends of requests (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .fields import (
    Json,
    conditions_of,
    is_true,
    labels_match,
    labels_of,
    mapping,
    mappings,
    meta,
    name_of,
    namespace_of,
    parse_selector,
    selector_matches,
    spec_of,
    status_of,
    texts,
)


def living(pods: Iterable[Json], namespace: str, labels: Mapping[str, str]) -> list[Json]:
    """Pods of a namespace with these labels that are not being deleted."""
    return [
        pod
        for pod in pods
        if namespace_of(pod) == namespace
        and labels_match(labels, labels_of(pod))
        and not meta(pod).get("deletionTimestamp")
    ]


def pods_of(workload: Json, pods: Iterable[Json]) -> list[Json]:
    """Pods that the workload's selector matches and that are not being deleted."""
    selector = mapping(spec_of(workload).get("selector"))
    return [pod for pod in living(pods, namespace_of(workload), {}) if selector_matches(selector, labels_of(pod))]


def pods_behind(service: Json, pods: Iterable[Json]) -> list[Json]:
    """Pods that the Service selects and that are not being deleted; none without a selector."""
    selector = texts(spec_of(service).get("selector"))
    return living(pods, namespace_of(service), selector) if selector else []


def is_ready(pod: Json) -> bool:
    """Whether the Pod receives requests: condition Ready is True and it is not being deleted."""
    return is_true(pod, "Ready") and not meta(pod).get("deletionTimestamp")


def pod_trouble(pod: Json) -> str:
    """What prevents a Pod from being ready, per container; "" when it is ready."""
    status = status_of(pod)
    found: list[str] = []
    for kind, key in (("init container", "initContainerStatuses"), ("container", "containerStatuses")):
        for container in mappings(status.get(key)):
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
        parts.append(" ".join(str(reported[key]) for key in ("reason", "message") if reported.get(key)) or "waiting")
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


def has_sidecar(pod: Json) -> bool:
    """Whether the Pod has istio-proxy, as a container or, from Istio 1.27 on, as a native sidecar."""
    spec = spec_of(pod)
    return any(
        each.get("name") == "istio-proxy"
        for part in ("containers", "initContainers")
        for each in mappings(spec.get(part))
    )


def owner_of(pod: Json) -> tuple[str, str]:
    """(kind, name) of the workload that runs the Pod: of its ReplicaSet's owner, derived from names; else its own."""
    owners = mappings(meta(pod).get("ownerReferences"))
    owner = next((each for each in owners if each.get("controller")), next(iter(owners), None))
    if owner is None:
        return "Pod", name_of(pod)
    kind, name = str(owner.get("kind")), str(owner.get("name"))
    if kind == "ReplicaSet":
        for label, by in (("rollouts-pod-template-hash", "Rollout"), ("pod-template-hash", "Deployment")):
            if suffix := labels_of(pod).get(label):
                return by, name.removesuffix(f"-{suffix}")
    return kind, name


@dataclass(frozen=True)
class Backends:
    """The instances that have to respond in one cluster.

    ``instances``: ready Pods, each ``{instance, cluster, workload}``. ``problems``: a sentence for every workload that
    has none. ``workloads``: (kind, name) of all of them.
    """

    instances: list[Json]
    problems: list[str]
    workloads: list[tuple[str, str]] = field(default_factory=list)


def backends(cluster: str, workloads: Iterable[Json], pods: Iterable[Json], selection: Mapping[str, str]) -> Backends:
    """Instances of *selection* ({namespace, label_selector}) in one cluster.

    These are the Pods with the labels, whatever owns them, and the Pods of those *workloads* (Deployments and
    StatefulSets) that have the labels themselves. Pods of Jobs do not serve requests.
    """
    found, namespace, wanted = Backends([], []), selection["namespace"], parse_selector(selection["label_selector"])
    alive = [pod for pod in living(pods, namespace, {}) if status_of(pod).get("phase") not in ("Succeeded", "Failed")]
    groups: dict[tuple[str, str], list[Json]] = {}
    rest = {name_of(pod): pod for pod in alive if labels_match(wanted, labels_of(pod)) and owner_of(pod)[0] != "Job"}
    scaled_to_0 = set()
    for workload in selected(workloads, selection):
        key = str(workload.get("kind") or "Deployment"), name_of(workload)
        groups[key] = pods_of(workload, alive) if spec_of(workload).get("selector") else []
        for pod in groups[key]:
            rest.pop(name_of(pod), None)
        if spec_of(workload).get("replicas", 1) == 0:
            scaled_to_0.add(key)
    for pod in rest.values():
        groups.setdefault(owner_of(pod), []).append(pod)
    for (kind, name), own in groups.items():
        ready = [name_of(pod) for pod in own if is_ready(pod)]
        found.workloads.append((kind, name))
        found.instances.extend({"instance": pod, "cluster": cluster, "workload": name} for pod in ready)
        if not ready:
            why = _why_silent((kind, name) in scaled_to_0, own)
            found.problems.append(f"{cluster}: {kind} {namespace}/{name} {why}")
    return found


def selected(workloads: Iterable[Json], selection: Mapping[str, str]) -> list[Json]:
    """Workloads in the namespace of *selection* that have its labels, themselves or in their Pod template."""
    wanted = parse_selector(selection["label_selector"])
    return [
        each
        for each in workloads
        if namespace_of(each) == selection["namespace"]
        and (
            labels_match(wanted, labels_of(each))
            or labels_match(wanted, labels_of(mapping(spec_of(each).get("template"))))
        )
    ]


def _why_silent(scaled_to_0: bool, pods: Iterable[Json]) -> str:
    if scaled_to_0:
        return (
            "is scaled to 0 replicas, so no instance can respond. Scale it up or, if this is intended, select "
            "other workloads"
        )
    troubles = [f"{name_of(pod)}: {pod_trouble(pod)}" for pod in pods]
    return "has no ready Pod" + (f": {'; '.join(troubles[:3])}" if troubles else "")
