# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why Pods of a proxy are not created or not ready, causes before symptoms (pure)."""

from __future__ import annotations

from collections.abc import Callable

from ..k8s import readiness
from ..k8s.fields import Json, condition, mapping, meta, name_of, status_of, title_of
from ..k8s.pods import is_ready
from ..k8s.verdict import Verdict, failed, waiting
from .proxy_model import ProxyModel
from .proxy_objects import by_name, container_status, init_containers, running_containers, template_of

_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_NO_FILES = 1  # exit code of sds when the certificate's files do not appear
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
#: what to do about the injection label of the proxy's namespace
NOT_INJECTED = (
    "Set label sidecar.istio.io/inject to 'false' in podTemplate.extraLabels of the parameters or, if no other Pod of "
    "the namespace needs a sidecar, remove the label of the namespace"
)


def pods_refused(model: ProxyModel) -> Verdict | None:
    """The API server rejects Pods of the newest template: quota, admission, invalid Pod."""
    newest = by_name(model.objects.replica_sets, model.namespace, model.replica_set) if model.replica_set else None
    for owner in (newest, model.deployment):
        failure = condition(owner, "ReplicaFailure")
        if failure.get("status") != "True":
            continue
        message = str(failure.get("message") or failure.get("reason"))
        if "istio-proxy" in message and model.injected_by:
            return failed(f"{_injection(model)}: {message}")
        return failed(f"{title_of(model.deployment)}: its Pods are rejected: {message}")
    return None


def pods_ended(model: ProxyModel) -> Verdict | None:
    """All Pods of the newest template ended, by eviction or node shutdown."""
    for pod in model.ended_pods if not model.current_pods else ():
        reason = ": ".join(str(status_of(pod)[key]) for key in ("reason", "message") if status_of(pod).get(key))
        return waiting(f"Pod {model.namespace}/{name_of(pod)} ended" + (f": {reason}" if reason else ""))
    return None


def pod_cause(model: ProxyModel, pod: Json) -> Verdict | None:
    """Why the Pod is not ready or not as expected; None when it is."""
    if is_ready(pod):
        return _not_wanted(model, pod)
    name = f"Pod {model.namespace}/{name_of(pod)}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return waiting(f"{name} cannot be scheduled: {scheduled.get('message') or scheduled.get('reason')}")
    # init containers first: the others start only after they complete
    listed = [*init_containers(pod), *running_containers(pod)]
    for container in listed:
        verdict = _not_started(name, container, container_status(pod, str(container.get("name"))) or {})
        if verdict:
            return verdict
    unwanted = _not_wanted(model, pod)
    if unwanted:
        return unwanted
    agent, sds = container_status(pod, "istio-proxy") or {}, container_status(pod, "sds") or {}
    if model.in_mesh and _ended(agent) and not agent.get("ready"):
        return waiting(f"{name}: istio-proxy exited {_how(agent)}, so there is no certificate. Check its log")
    if (
        model.in_mesh
        and _ended(sds)
        and not sds.get("ready")
        and _last_end(sds).get("exitCode", _NO_FILES) == _NO_FILES
    ):
        settings = model.settings()
        outside = "" if model.target() else f" (not a Service; {model.istiod_hint})"
        return waiting(
            f"{name}: sds is crash-looping because istio-proxy gets no certificate from {settings['CA_ADDR']}"
            f"{outside} as cluster {settings['ISTIO_META_CLUSTER_ID']}; check the logs of istiod and of container "
            "istio-proxy"
        )
    for container in listed:
        status = container_status(pod, str(container.get("name"))) or {}
        if _waiting(status).get("reason") == "CrashLoopBackOff":
            return failed(
                f"{name}: container {container.get('name')} is crash-looping, it exited {_how(status)}. Check its log"
            )
    return waiting(f"{name}: {readiness.pod_trouble(pod) or 'not ready'}")


def added(model: ProxyModel, pod: Json, read: Callable[[Json], list[Json]] = running_containers) -> list[str]:
    """Names of the Pod's containers that its Deployment does not have: added by a webhook."""
    if model.deployment is None:
        return []
    left = [str(c.get("name")) for c in read(pod)]
    for name in (str(c.get("name")) for c in read(template_of(model.deployment))):
        if name in left:
            left.remove(name)
    return sorted(left)


def by_istio(pod: Json) -> bool:
    """Whether Istio's injector modified the Pod."""
    return "sidecar.istio.io/status" in mapping(meta(pod).get("annotations"))


def _not_wanted(model: ProxyModel, pod: Json) -> Verdict | None:
    """A ready Pod is wrong if Istio injected it in addition to its istio-proxy, or if it has unexpected containers."""
    more = added(model, pod)
    if (by_istio(pod) and model.in_mesh) or (more and model.want.expect is not None):
        names = ", ".join(dict.fromkeys([*added(model, pod, init_containers), *more]))
        return failed(
            f"Pod {model.namespace}/{name_of(pod)} has {names or 'an injected istio-proxy'} in addition: "
            f"{_injection(model)}"
        )
    return None


def _injection(model: ProxyModel) -> str:
    if not model.injected_by:
        return "a webhook in this cluster modifies the proxy's Pods"
    effect = "replaces their istio-proxy and intercepts their traffic" if model.in_mesh else "adds a sidecar"
    return (
        f"Namespace {model.namespace} is labelled {model.injected_by}, so Istio's injector modifies the proxy's Pods: "
        f"it {effect}. {NOT_INJECTED}"
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
