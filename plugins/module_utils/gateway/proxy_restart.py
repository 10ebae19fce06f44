# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides when a proxy needs a restart: Envoy reads its bootstrap only on start; a change restarts no Pod (pure).

kgateway writes the bootstrap into a ConfigMap; the Pod template has no checksum of it, so the Deployment does not
change with it.
"""

from __future__ import annotations

from ..k8s import readiness
from ..k8s.fields import Json, mapping, mappings, meta, name_of, seconds, texts, title_of
from .proxy_model import ProxyModel
from .proxy_objects import container_status, template_of

#: annotation of `kubectl rollout restart`
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
#: Seconds until a kubelet has certainly updated a ConfigMap in a running Pod (sync period and cache).
SYNC = 120.0


def bootstrap_changed(model: ProxyModel) -> float | None:
    """When the bootstrap was last written, in seconds since 1970; None when unknown."""
    entries = mappings(meta(model.bootstrap).get("managedFields"))
    times = [seconds(e.get("time")) for e in entries if "f:data" in mapping(e.get("fieldsV1"))]
    return max((t for t in times if t is not None), default=None)


def outdated_pods(model: ProxyModel) -> list[str]:
    """Names of current Pods whose Envoy started with an older bootstrap.

    Times are whole seconds and the controller writes the ConfigMap just before the Deployment, so the same second
    counts as up to date. A restarted container read the new bootstrap only if the kubelet had updated the file.
    """
    changed = bootstrap_changed(model)
    if changed is None:
        return []
    found = []
    for pod in model.current_pods:
        created = seconds(meta(pod).get("creationTimestamp"))
        running = mapping(mapping((container_status(pod, "kgateway-proxy") or {}).get("state")).get("running"))
        started = seconds(running.get("startedAt"))
        if created is not None and created < changed and (started is None or started < changed + SYNC):
            found.append(name_of(pod))
    return found


def restart_reason(model: ProxyModel) -> str:
    """Why the Deployment needs a restart, "" if it does not. A rollout in progress applies the bootstrap anyway."""
    outdated = outdated_pods(model)
    if not outdated or model.deployment is None or not readiness.judge(model.deployment).ready:
        return ""
    return (
        f"the Envoy bootstrap in {title_of(model.bootstrap)} changed after {', '.join(outdated)} had started, and "
        f"{title_of(model.deployment)} did not"
    )


def restart_patch(model: ProxyModel, stamp: str) -> Json:
    """The object for server-side apply equivalent to `kubectl rollout restart`. stamp: RFC 3339."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": model.namespace, "name": name_of(model.deployment)},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}},
    }


def restarted_at(deployment: Json | None) -> str | None:
    """The restart annotation of the Pod template."""
    return texts(meta(template_of(deployment)).get("annotations")).get(RESTARTED_AT)
