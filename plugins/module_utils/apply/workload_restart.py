# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module workload_restart: restart workloads whose Pods are outdated, each once for the same reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Invalid
from ..k8s.fields import Json, meta, name_of, seconds, title_of
from ..k8s.pods import has_sidecar, pods_of
from .objects import converge

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
#: Annotation of the Pod template. Its value is the reason, so that applying it again restarts nothing.
RESTARTED_FOR = "multicluster.gloo/restarted-for"

_SELECTION_SPEC: dict[str, Any] = {
    "namespace": {"type": "str", "required": True},
    "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": list(KINDS)},
    "names": {"type": "list", "elements": "str"},
    "label_selector": {"type": "str"},
    "with_sidecar": {"type": "bool", "default": False},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "workloads": {"type": "list", "elements": "dict", "required": True, "options": _SELECTION_SPEC},
    "older_than_secret": {
        "type": "dict",
        "no_log": False,  # the Secret's name
        "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "missing_sidecar": {"type": "bool", "default": False},
    "on_conflict": {"type": "str", "choices": ["fail", "force"], "default": "fail"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
}


def outdated(workload: Json, pods: Iterable[Json], secret: Json | None, sidecar: bool) -> tuple[str, str]:
    """(value of the annotation, sentence) when a Pod of the workload is outdated, else two empty texts.

    *secret*: Pods created before it or in the same second (times have whole seconds) are outdated, unless they have
    the annotation, which they get only by a restart for this Secret.
    *sidecar*: Pods without istio-proxy are outdated.
    """
    own = pods_of(workload, pods)
    if secret:
        reason = f"{name_of(secret)}.{meta(secret).get('uid')}"
        written = seconds(meta(secret).get("creationTimestamp")) or 0
        for pod in own:
            created = seconds(meta(pod).get("creationTimestamp")) or written + 1
            if created <= written and (meta(pod).get("annotations") or {}).get(RESTARTED_FOR) != reason:
                return reason, f"Pod {name_of(pod)} is older than {title_of(secret)}"
    bare = [pod for pod in own if not has_sidecar(pod)] if sidecar else []
    return ("sidecar", f"Pod {name_of(bare[0])} has no istio-proxy") if bare else ("", "")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: workloads [record], changed, msg, diff, requests, writes. ClusterError when any is still outdated."""
    name = params.get("cluster") or params["context"]
    if not params.get("older_than_secret") and not params.get("missing_sidecar"):
        raise Invalid(
            f"{name}: neither older_than_secret nor missing_sidecar is set. Set one of them or both", cluster=name
        )
    wait = params.get("wait", True)
    with connect(params, progress) as cluster:
        found = _read(cluster, params)
        definitions = [_definition(workload, reason) for workload, reason, _text in found if reason]
        done: dict[str, Any] = {"objects": [], "changed": False, "diff": []}
        if definitions:
            try:
                done = converge(
                    cluster,
                    definitions,
                    check=check,
                    progress=progress,
                    force=params.get("on_conflict") == "force",
                    wait=wait,
                    timeout=float(params.get("wait_timeout") or 0),
                )
            except ClusterError as exc:
                exc.facts["workloads"] = _records(cluster.name, found, exc.facts.pop("objects", []))
                raise
        result = {
            "changed": done["changed"],
            "msg": _summary(cluster.name, done, check),
            "workloads": _records(cluster.name, found, done["objects"]),
            "diff": done["diff"],
        }
        if definitions and wait and not check:
            _refuse_outdated(cluster, params, result["workloads"])
        return {**result, "requests": cluster.requests, "writes": cluster.writes}


def _read(cluster: Cluster, params: dict[str, Any]) -> list[tuple[Json, str, str]]:
    """Every selected workload once, with the annotation's value and the sentence of outdated()."""
    older_than = params.get("older_than_secret")
    secret = cluster.get("v1", "Secret", older_than["name"], older_than["namespace"]) if older_than else None
    pods: dict[str, list[Json]] = {}
    found: dict[tuple[str, ...], tuple[Json, str, str]] = {}
    for selection in params["workloads"]:
        namespace, names = selection["namespace"], selection.get("names")
        for kind in selection.get("kinds") or KINDS:
            for workload in cluster.list("apps/v1", kind, namespace, selection.get("label_selector")):
                if names is not None and name_of(workload) not in names:
                    continue
                if namespace not in pods:
                    pods[namespace] = cluster.list("v1", "Pod", namespace)
                if selection.get("with_sidecar") and not any(map(has_sidecar, pods_of(workload, pods[namespace]))):
                    continue
                verdict = outdated(workload, pods[namespace], secret, bool(params.get("missing_sidecar")))
                found[kind, namespace, name_of(workload)] = (workload, *verdict)
    return list(found.values())


def _definition(workload: Json, reason: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": workload["kind"],
        "metadata": {key: workload["metadata"][key] for key in ("name", "namespace")},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_FOR: reason}}}},
    }


def _records(cluster: str, found: Iterable[tuple[Json, str, str]], objects: Iterable[Json]) -> list[Json]:
    actions = {(each["kind"], each["namespace"], each["name"]): each["action"] for each in objects}
    result = []
    for workload, _reason, text in found:
        kind, namespace, name = workload["kind"], workload["metadata"]["namespace"], name_of(workload)
        action = actions.get((kind, namespace, name), "unchanged")
        result.append(
            {
                "cluster": cluster,
                "kind": kind,
                "namespace": namespace,
                "name": name,
                "action": "restarted" if action == "changed" else action,
                "reason": text,
            }
        )
    return result


def _summary(cluster: str, done: dict[str, Any], check: bool) -> str:
    number = sum(each["action"] == "changed" for each in done["objects"])
    if not number:
        return f"{cluster}: no workload {'would be' if check else 'was'} restarted"
    noun = "workload" if number == 1 else "workloads"
    return f"{cluster}: {number} {noun} {'would be ' if check else ''}restarted"


def _refuse_outdated(cluster: Cluster, params: dict[str, Any], records: list[Json]) -> None:
    """Outdated Pods after a restart are an error: the same annotation does not restart a second time."""
    left = [
        f"{cluster.name}: {title_of(workload)}: {text}" for workload, _reason, text in _read(cluster, params) if text
    ]
    if left:
        raise ClusterError(
            f"{'; '.join(left)}, although the workload was restarted. Check the injection labels of namespace and "
            "Pods, spec.paused of a Deployment, and updateStrategy of a StatefulSet or DaemonSet",
            cluster=cluster.name,
            changed=any(record["action"] == "restarted" for record in records),
            workloads=records,
        )
