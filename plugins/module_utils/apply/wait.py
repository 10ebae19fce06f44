# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until given objects of one cluster are ready or gone, and reports what blocks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..k8s.client import Cluster
from ..k8s.errors import ClusterError, Timeout
from ..k8s.fields import Json
from ..k8s.pods import pod_trouble
from ..k8s.progress import blocked, lines
from ..k8s.readiness import describe_deletion, judge, settle_seconds
from ..k8s.transport import GRACE
from ..k8s.verdict import Verdict, together, waiting
from ..k8s.watch import Collection, View, Watcher
from .manifests import Ref, ref_of


class NotDeleted(Timeout):
    """Deleted objects still exist at the end of the wait; ``left`` identifies them."""

    def __init__(self, msg: str, left: Sequence[Ref], **facts: Any) -> None:
        super().__init__(msg, **facts)
        self.left = left


_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet", "Job")

# Seconds after which an unchanged status counts as settled; a younger one is confirmed once more.
_SETTLED_AFTER = 5.0


def verdicts_when_ready(
    cluster: Cluster,
    objects: Sequence[Json],
    timeout: float,
    progress: Callable[[str], None],
    *,
    just_written: bool,
) -> dict[Ref, Verdict]:
    """Verdicts when everything is ready, or at the end of the wait. ``objects`` as last read or written.

    Sends no request when all of them are ready. ``just_written``: the cluster has just been changed, so the status of
    Gateway API objects may still flip.
    """
    verdicts = {ref_of(obj): judge(obj) for obj in objects}
    pending = [
        obj
        for obj in objects
        if not verdicts[ref_of(obj)].ready or (settle_seconds(obj) and (just_written or not settled(cluster, obj)))
    ]
    if not pending:
        return verdicts
    places = {ref_of(obj): _collection(obj, pending) for obj in pending}
    settle = max(settle_seconds(obj) for obj in pending)

    def look(view: View) -> Verdict:
        for ref, place in places.items():
            live = view.get(place, ref.name, ref.namespace)
            verdicts[ref] = judge_with_pods(live, view) if live else Verdict("waiting", "no longer exists")
        return together({ref.title: verdict for ref, verdict in verdicts.items()})

    with cluster.within(timeout + GRACE), Watcher(cluster, [*places.values(), *pods_of(pending)]) as watcher:
        watcher.until(look, timeout, progress, settle)
    return verdicts


def pods_of(objects: Iterable[Json]) -> list[Collection]:
    """The Pods of these workloads."""
    return [Collection("v1", "Pod", obj["metadata"]["namespace"], _selector(obj)) for obj in objects if _selector(obj)]


def judge_with_pods(obj: Json, view: View) -> Verdict:
    """The verdict for an object; for a workload including problems of its Pods, if they are watched."""
    verdict = judge(obj)
    if verdict.ready:
        return verdict
    troubles = [
        f"Pod {pod['metadata']['name']}: {trouble}"
        for place in pods_of([obj])
        for pod in view.items(place)
        if (trouble := pod_trouble(pod))
    ]
    return replace(verdict, reason="; ".join([verdict.reason, *troubles[:3]]))


def _selector(obj: Json) -> str:
    """The label selector of a workload; "" for other objects."""
    if obj.get("kind") not in _WORKLOADS:
        return ""
    labels = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def wait_until_gone(
    cluster: Cluster, refs: Sequence[tuple[Ref, str]], timeout: float, progress: Callable[[str], None]
) -> None:
    """Return when none of the objects, identified by their UIDs, exists. Raises NotDeleted."""
    places = {ref: Collection(ref.api_version, ref.kind, ref.namespace or None, name=ref.name) for ref, _uid in refs}
    left: dict[Ref, Json] = {}

    def look(view: View) -> Verdict:
        left.clear()
        for ref, uid in refs:
            live = view.get(places[ref], ref.name, ref.namespace)
            if live and live["metadata"].get("uid") == uid:
                left[ref] = live
        return together({ref.title: awaiting_deletion(live) for ref, live in left.items()})

    with cluster.within(timeout + GRACE), Watcher(cluster, list(places.values())) as watcher:
        verdict = watcher.until(look, timeout, progress)
    if verdict.ready:
        return
    ref, live = next(iter(left.items()))
    raise NotDeleted(
        "\n".join(lines(cluster.name, blocked(verdict), watcher.waited)),
        list(left),
        cluster=cluster.name,
        kind=ref.kind,
        namespace=ref.namespace,
        name=ref.name,
        finalizers=live["metadata"].get("finalizers") or [],
    )


def awaiting_deletion(obj: Json) -> Verdict:
    """The verdict for an object whose deletion is awaited."""
    deleting = obj["metadata"].get("deletionTimestamp")
    return waiting(f"not deleted yet: {describe_deletion(obj)}" if deleting else "not deleted yet")


def blockers(cluster: Cluster, ref: Ref) -> str:
    """The latest warnings about an object that is not ready and about its Pods. "" if there are none.

    They are read after the end of a wait, so within GRACE seconds.
    """
    try:
        with cluster.within(GRACE):
            live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace or None)
            if live is None:
                return ""
            selector = _selector(live)
            pods = cluster.list("v1", "Pod", ref.namespace, selector) if selector else []
            return "; ".join(_warnings(cluster, ref, [ref.name, *(pod["metadata"]["name"] for pod in pods)]))
    except ClusterError as exc:
        return f"events could not be read: {exc.msg}"


def _warnings(cluster: Cluster, ref: Ref, names: list[str]) -> list[str]:
    events = cluster.list("v1", "Event", ref.namespace or "default", fields="type=Warning")
    about = [event for event in events if (event.get("involvedObject") or {}).get("name") in names]
    about.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    lines = [f"event {event.get('reason')}: {' '.join(str(event.get('message')).split())[:300]}" for event in about]
    return list(dict.fromkeys(lines))[-3:]


def _collection(obj: Json, pending: Sequence[Json]) -> Collection:
    """One watch per kind and namespace; by name when for a single object."""
    ref = ref_of(obj)
    same = [one for one in map(ref_of, pending) if one.place == ref.place]
    return Collection(ref.api_version, ref.kind, ref.namespace or None, name=ref.name if len(same) == 1 else None)


def settled(cluster: Cluster, obj: Json) -> bool:
    """Whether no condition has changed recently, by the API server's clock."""
    if cluster.server_time is None:
        return False
    status = obj.get("status") or {}
    groups = [status, *(status.get("parents") or ()), *(status.get("listeners") or ())]
    for condition in [condition for group in groups for condition in group.get("conditions") or ()]:
        try:
            changed = datetime.fromisoformat(str(condition.get("lastTransitionTime"))).timestamp()
        except ValueError:
            return False
        if cluster.server_time - changed < _SETTLED_AFTER:
            return False
    return True
