# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deployments and their Pods: which belong together, which can answer, which are in the mesh (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .fields import Json, is_true, labels_match, meta, parse_selector


def living(pods: Iterable[Json], namespace: str, labels: Mapping[str, str]) -> list[Json]:
    """Pods of a namespace with these labels that are not being deleted."""
    return [
        pod
        for pod in pods
        if pod["metadata"].get("namespace") == namespace
        and labels_match(labels, pod["metadata"].get("labels") or {})
        and not pod["metadata"].get("deletionTimestamp")
    ]


def pods_of(deployment: Mapping[str, Any], pods: Iterable[Json]) -> list[Json]:
    """Living Pods that the Deployment's selector takes in."""
    labels = ((deployment.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return living(pods, deployment["metadata"]["namespace"], labels)


def is_ready(pod: Json) -> bool:
    """Whether the Pod takes requests: condition Ready is True and it is not being deleted."""
    return is_true(pod, "Ready") and not meta(pod).get("deletionTimestamp")


def has_sidecar(pod: Mapping[str, Any]) -> bool:
    """Whether istio-proxy is there, as a container or, from Istio 1.27 on, as a native sidecar."""
    spec = pod.get("spec") or {}
    return any(
        each["name"] == "istio-proxy" for part in ("containers", "initContainers") for each in spec.get(part) or ()
    )


def instances(
    cluster: str, deployments: Iterable[Json], pods: Iterable[Json], selection: Mapping[str, str]
) -> list[Json]:
    """Ready Pods of the Deployments of *selection* ({namespace, label_selector}): ``{instance, cluster, workload}``."""
    wanted, everyone = parse_selector(selection["label_selector"]), list(pods)
    return [
        {"instance": pod["metadata"]["name"], "cluster": cluster, "workload": deployment["metadata"]["name"]}
        for deployment in deployments
        if deployment["metadata"].get("namespace") == selection["namespace"]
        and labels_match(wanted, deployment["metadata"].get("labels") or {})
        for pod in pods_of(deployment, everyone)
        if is_ready(pod)
    ]
