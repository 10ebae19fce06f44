# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for given objects of one cluster: until they are ready, until they are gone, and what blocks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from .cluster import Cluster, Json
from .errors import ClusterError, Timeout
from .objects import Ref, ref_of
from .readiness import Verdict, describe_deletion, judge, pod_trouble, settle_seconds
from .watching import Collection, View, Watcher

_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet", "Job")

# A status untouched for so long has settled; younger ones are looked at twice.
_SETTLED_AFTER = 5.0


def verdicts_when_ready(
    cluster: Cluster,
    objects: Sequence[Json],
    timeout: float,
    progress: Callable[[str], None],
    *,
    just_written: bool,
) -> dict[Ref, Verdict]:
    """Verdicts after everything is ready, or nothing more can be waited for. ``objects`` as last read or written.

    Costs no request when all of them are ready already. ``just_written``: something in this cluster changed a moment
    ago, so that a status of Gateway API objects may still flip.
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
            verdicts[ref] = judge(live) if live else Verdict("waiting", "it does not exist any more")
        return _together(verdicts, len(verdicts))

    with Watcher(cluster, list(places.values())) as watcher:
        watcher.until(look, timeout, lambda line: progress(f"{cluster.name}: waiting for {line}"), settle)
    return verdicts


def wait_until_gone(
    cluster: Cluster, refs: Sequence[tuple[Ref, str]], timeout: float, progress: Callable[[str], None]
) -> None:
    """Return when none of the objects (with the UID they had) exists any more; Timeout names finalizers."""
    places = {ref: Collection(ref.api_version, ref.kind, ref.namespace or None, name=ref.name) for ref, _uid in refs}
    left: dict[Ref, Json] = {}

    def look(view: View) -> Verdict:
        left.clear()
        for ref, uid in refs:
            live = view.get(places[ref], ref.name, ref.namespace)
            if live and live["metadata"].get("uid") == uid:
                left[ref] = live
        if not left:
            return Verdict("ready")
        ref, live = next(iter(left.items()))
        return Verdict("waiting", f"{ref.title} ({len(left)} of {len(refs)} left): {describe_deletion(live)}")

    with Watcher(cluster, list(places.values())) as watcher:
        verdict = watcher.until(look, timeout, lambda line: progress(f"{cluster.name}: waiting for the end of {line}"))
    if verdict.ready:
        return
    ref, live = next(iter(left.items()))
    also = f"; also still there: {', '.join(other.title for other in list(left)[1:])}" if len(left) > 1 else ""
    raise Timeout(
        f"{cluster.name}: {ref.title}: still there {timeout:g} s after its deletion: {describe_deletion(live)}{also}",
        cluster=cluster.name,
        kind=ref.kind,
        namespace=ref.namespace,
        name=ref.name,
        finalizers=live["metadata"].get("finalizers") or [],
    )


def blockers(cluster: Cluster, ref: Ref) -> str:
    """More about an object that is not ready: its Pods' containers, its latest warnings. "" if there is nothing."""
    found: list[str] = []
    try:
        live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace or None)
        if live is None:
            return ""
        names = [ref.name]
        if ref.kind in _WORKLOADS:
            for pod in _pods_of(cluster, live):
                trouble = pod_trouble(pod)
                if trouble:
                    found.append(f"Pod {pod['metadata']['name']}: {trouble}")
                    names.append(pod["metadata"]["name"])
        found = found[:3]
        found += _warnings(cluster, ref, names)
    except ClusterError as exc:
        found.append(f"no more could be read: {exc.msg}")
    return "; ".join(found)


def _pods_of(cluster: Cluster, workload: Json) -> list[Json]:
    labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not labels:
        return []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return cluster.list("v1", "Pod", workload["metadata"]["namespace"], selector)


def _warnings(cluster: Cluster, ref: Ref, names: list[str]) -> list[str]:
    events = cluster.list("v1", "Event", ref.namespace or "default", fields="type=Warning")
    about = [event for event in events if (event.get("involvedObject") or {}).get("name") in names]
    about.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    lines = [f"event {event.get('reason')}: {' '.join(str(event.get('message')).split())[:300]}" for event in about]
    return list(dict.fromkeys(lines))[-3:]


def _together(verdicts: dict[Ref, Verdict], total: int) -> Verdict:
    open_ones = [(ref, verdict) for ref, verdict in verdicts.items() if not verdict.ready]
    if not open_ones:
        return Verdict("ready")
    ref, verdict = open_ones[0]
    state = verdict.state if all(one.state == "failed" for _ref, one in open_ones) else "waiting"
    return Verdict(state, f"{ref.title} ({total - len(open_ones)} of {total} ready): {verdict.reason}")


def _collection(obj: Json, pending: Sequence[Json]) -> Collection:
    """One watch per kind and namespace; by name when only one object of them is waited for."""
    ref = ref_of(obj)
    same = [one for one in map(ref_of, pending) if one.place == ref.place]
    return Collection(ref.api_version, ref.kind, ref.namespace or None, name=ref.name if len(same) == 1 else None)


def settled(cluster: Cluster, obj: Json) -> bool:
    """True when no condition changed lately, by the API server's clock."""
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
