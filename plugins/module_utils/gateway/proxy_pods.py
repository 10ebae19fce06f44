# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why Pods of a proxy are not made or not ready, the cause before what follows from it (pure)."""

from __future__ import annotations

from collections.abc import Callable

from ..k8s import readiness
from ..k8s.fields import Json, condition, mapping, meta, name_of, status_of, title_of
from ..k8s.pods import is_ready
from ..k8s.verdict import Verdict, failed, waiting
from .proxy_model import Situation
from .proxy_objects import by_name, container_status, init_containers, running_containers, template_of

_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_NO_FILES = 1  # how sds exits after it has looked for the certificate's files in vain
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


def pods_ended(s: Situation) -> Verdict | None:
    """No Pod of the newest template is left, because one was evicted or its node shut down."""
    for pod in s.ended_pods if not s.current_pods else ():
        told = ": ".join(str(status_of(pod)[key]) for key in ("reason", "message") if status_of(pod).get(key))
        return waiting(f"Pod {s.namespace}/{name_of(pod)} ended" + (f": {told}" if told else ""))
    return None


def pod_cause(s: Situation, pod: Json) -> Verdict | None:
    """Why the Pod is not as it should be, None when it is."""
    if is_ready(pod):
        return _not_wanted(s, pod)
    name = f"Pod {s.namespace}/{name_of(pod)}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return waiting(f"{name} cannot be scheduled: {scheduled.get('message') or scheduled.get('reason')}")
    # init containers first: nothing else starts before they are done
    listed = [*init_containers(pod), *running_containers(pod)]
    for container in listed:
        verdict = _not_started(name, container, container_status(pod, str(container.get("name"))) or {})
        if verdict:
            return verdict
    unwanted = _not_wanted(s, pod)
    if unwanted:
        return unwanted
    agent, sds = container_status(pod, "istio-proxy") or {}, container_status(pod, "sds") or {}
    if s.in_mesh and _ended(agent) and not agent.get("ready"):
        return waiting(f"{name}: istio-proxy ended {_how(agent)}, so there is no certificate; read its log")
    if s.in_mesh and _ended(sds) and not sds.get("ready") and _last_end(sds).get("exitCode", _NO_FILES) == _NO_FILES:
        settings = s.settings()
        outside = "" if s.target() else f" (which is no Service; {s.istiod_hint})"
        return waiting(
            f"{name}: sds ends again and again because istio-proxy gets no certificate: it asks {settings['CA_ADDR']}"
            f"{outside} as cluster {settings['ISTIO_META_CLUSTER_ID']}; the reason stands in the logs of istiod and of "
            "the container istio-proxy"
        )
    for container in listed:
        status = container_status(pod, str(container.get("name"))) or {}
        if _waiting(status).get("reason") == "CrashLoopBackOff":
            return failed(
                f"{name}: container {container.get('name')} ended {_how(status)} again and again; read its log"
            )
    return waiting(f"{name}: {readiness.pod_trouble(pod) or 'not ready'}")


def added(s: Situation, pod: Json, read: Callable[[Json], list[Json]] = running_containers) -> list[str]:
    """Names of the Pod's containers that its Deployment does not have: a webhook put them in."""
    if s.deployment is None:
        return []
    left = [str(c.get("name")) for c in read(pod)]
    for name in (str(c.get("name")) for c in read(template_of(s.deployment))):
        if name in left:
            left.remove(name)
    return sorted(left)


def by_istio(pod: Json) -> bool:
    """Whether Istio's injector has been at the Pod."""
    return "sidecar.istio.io/status" in mapping(meta(pod).get("annotations"))


def _not_wanted(s: Situation, pod: Json) -> Verdict | None:
    """A ready Pod is wrong with Istio's injection beside its own istio-proxy, or with containers nobody expects."""
    more = added(s, pod)
    if (by_istio(pod) and s.in_mesh) or (more and s.want.expect is not None):
        names = ", ".join(dict.fromkeys([*added(s, pod, init_containers), *more]))
        return failed(f"Pod {s.namespace}/{name_of(pod)} has {names or 'an injected istio-proxy'} too: {_injection(s)}")
    return None


def _injection(s: Situation) -> str:
    if not s.injected_by:
        return "a webhook of this cluster changes the proxy's Pods"
    effect = "rewrites their istio-proxy and takes their traffic" if s.in_mesh else "gives them a sidecar"
    return (
        f"Namespace {s.namespace} is labelled {s.injected_by}, so Istio's injector changes the proxy's Pods: it "
        f"{effect}; take the label off, or set podTemplate.extraLabels sidecar.istio.io/inject to 'false' in the "
        "parameters"
    )


def _not_started(pod: str, spec: Json, status: Json) -> Verdict | None:
    state, container = _waiting(status), spec.get("name")
    reason, message = str(state.get("reason") or ""), str(state.get("message") or "")
    if reason in _NO_IMAGE:
        image = status.get("image") or spec.get("image")
        text = f"{pod}: image {image} of container {container}: {reason}: {message}".rstrip(": ")
        return waiting(text) if reason == "ErrImagePull" else failed(text)
    if reason in _NO_CONTAINER:
        return failed(f"{pod}: container {container}: {reason}: {message}".rstrip(": "))
    return None


def _waiting(status: Json) -> Json:
    return mapping(mapping(status.get("state")).get("waiting"))


def _last_end(status: Json) -> Json:
    for state in ("state", "lastState"):
        ended = mapping(mapping(status.get(state)).get("terminated"))
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
