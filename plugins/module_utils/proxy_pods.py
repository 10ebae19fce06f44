# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why Pods of a proxy are not made or not ready, the cause before what follows from it (pure)."""

from __future__ import annotations

from . import readiness
from .proxy_objects import (
    Json,
    by_name,
    condition,
    container_names,
    container_status,
    is_ready,
    name_of,
    spec_of,
    title_of,
)
from .proxy_situation import Situation
from .readiness import Verdict, failed, waiting

_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def pods_refused(s: Situation) -> Verdict | None:
    """The API server takes no Pod of the newest template: quota, admission, an invalid Pod."""
    newest = by_name(s.objects.replica_sets, s.namespace, s.replica_set) if s.replica_set else None
    for owner in (newest, s.deployment):
        failure = condition(owner, "ReplicaFailure")
        if failure.get("status") != "True":
            continue
        message = str(failure.get("message") or failure.get("reason"))
        if "istio-proxy" in message and s.injected_by:
            return failed(f"{_injection(s)}: {message}")
        return failed(f"{title_of(s.deployment)}: its Pods are refused: {message}")
    return None


def pod_cause(s: Situation, pod: Json) -> Verdict | None:
    """Why the Pod is not ready, None when it is."""
    if is_ready(pod):
        return None
    name = f"Pod {s.namespace}/{name_of(pod)}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return waiting(f"{name} cannot be scheduled: {scheduled.get('message') or scheduled.get('reason')}")
    names = [str(c.get("name")) for c in spec_of(pod).get("containers") or ()]
    for container in names:
        verdict = _not_started(name, container, container_status(pod, container) or {})
        if verdict:
            return verdict
    if injected_names(s, pod):
        return failed(f"{name} has {', '.join(injected_names(s, pod))} too: {_injection(s)}")
    agent, sds = container_status(pod, "istio-proxy") or {}, container_status(pod, "sds") or {}
    if _ended(agent) and not agent.get("ready"):
        return waiting(f"{name}: istio-proxy ended {_how(agent)}, so there is no certificate; read its log")
    if _ended(sds) and not sds.get("ready"):
        settings = s.settings()
        return waiting(
            f"{name}: sds ends again and again because istio-proxy gets no certificate: it asks {settings['CA_ADDR']} "
            f"as cluster {settings['ISTIO_META_CLUSTER_ID']}; the reason stands in the logs of istiod and of the "
            "container istio-proxy"
        )
    for container in names:
        status = container_status(pod, container) or {}
        if _waiting(status).get("reason") == "CrashLoopBackOff":
            return failed(f"{name}: container {container} ended {_how(status)} again and again; read its log")
    return waiting(f"{name}: {readiness.pod_trouble(pod) or 'not ready'}")


def injected_names(s: Situation, pod: Json) -> list[str]:
    """Containers of the Pod that its Deployment does not have: somebody's webhook put them in."""
    template = [
        *container_names(s.deployment),
        *(str(c.get("name")) for c in _template_spec(s).get("initContainers") or ()),
    ]
    spec = spec_of(pod)
    have = [str(c.get("name")) for c in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]]
    return sorted(
        have[place] for place in range(len(have)) if have[: place + 1].count(have[place]) > template.count(have[place])
    )


def _template_spec(s: Situation) -> Json:
    return (spec_of(s.deployment).get("template") or {}).get("spec") or {}


def _injection(s: Situation) -> str:
    if not s.injected_by:
        return "a webhook of this cluster changes the proxy's Pods"
    return (
        f"Namespace {s.namespace} is labelled {s.injected_by}, so Istio injects its own istio-proxy into the proxy's "
        "Pods; take the label off, or set podTemplate.extraLabels sidecar.istio.io/inject to 'false' in the parameters"
    )


def _not_started(pod: str, container: str, status: Json) -> Verdict | None:
    state = _waiting(status)
    reason, message = str(state.get("reason") or ""), str(state.get("message") or "")
    if reason in _NO_IMAGE:
        text = f"{pod}: image {status.get('image')} of container {container}: {reason}: {message}".rstrip(": ")
        return waiting(text) if reason == "ErrImagePull" else failed(text)
    if reason in _NO_CONTAINER:
        return failed(f"{pod}: container {container}: {reason}: {message}".rstrip(": "))
    return None


def _waiting(status: Json) -> Json:
    return (status.get("state") or {}).get("waiting") or {}


def _last_end(status: Json) -> Json:
    for state in ("state", "lastState"):
        ended = (status.get(state) or {}).get("terminated")
        if ended:
            return ended
    return {}


def _ended(status: Json) -> bool:
    return bool(_last_end(status)) or _waiting(status).get("reason") == "CrashLoopBackOff"


def _how(status: Json) -> str:
    """ "with code 1 (OOMKilled): last words"."""
    ended = _last_end(status)
    if not ended:
        return "early"
    reason = f" ({ended['reason']})" if ended.get("reason") not in (None, "", "Error") else ""
    words = str(ended.get("message") or "").strip()
    return f"with code {ended.get('exitCode')}{reason}" + (f": {words[-300:]}" if words else "")
