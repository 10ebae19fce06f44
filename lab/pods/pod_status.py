"""A Pod's status from the runs of its containers, as a kubelet writes it. Pure.

Times that the Pod's status has already are kept, so that nothing changes by itself.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.control_plane.objects import Object, status_of, timestamp, uid_of

PAUSES = (0, 10, 20)  # seconds before each restart of a failing container, the last one repeated; a real kubelet: 300
RECOVERED = 600.0  # seconds a run must last for the next failure to count as the first

_NO_REGISTRY = re.compile(r"[^/]*\.invalid(:\d+)?/")
# The vendor's registries have no image sds.
_NOT_PUBLISHED = re.compile(r"us-docker\.pkg\.dev/solo-public/[^/:@]+/sds([:@]|$)")


@dataclass(frozen=True)
class Run:
    """A container's current or last run, and how the one before it ended."""

    restarts: int = 0
    failures: int = 0  # in a row; the next pause follows from it
    started: datetime | None = None
    ended: datetime | None = None  # None while it runs
    last: Object | None = None  # `terminated` of the last finished run
    ready: bool = False
    pulled: bool = True


def started(run: Run, now: datetime) -> Run:
    """The container is started, for the first time or again."""
    again = run.ended is not None
    return Run(run.restarts + again, run.failures, started=now, last=run.last)


def ended(run: Run, code: int, now: datetime) -> Run:
    """The run has ended with this exit code."""
    since = run.started or now
    terminated = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": timestamp(since),
        "finishedAt": timestamp(now),
    }
    failures = 1 if (now - since).total_seconds() > RECOVERED else run.failures + 1
    return Run(run.restarts, failures, since, ended=now, last=terminated)


def pause(run: Run, now: datetime) -> float:
    """Seconds until an ended container may be started again."""
    if run.ended is None:
        return 0.0
    return max(0.0, _back_off(run) - (now - run.ended).total_seconds())


def resumed(pod: Object, name: str) -> Run:
    """The state of a container from the Pod's status, for a kubelet that did not start it."""
    status: Object = next((s for s in status_of(pod).get("containerStatuses") or [] if s["name"] == name), {})
    last = (status.get("lastState") or {}).get("terminated")
    return Run(restarts=int(status.get("restartCount") or 0), last=last)


def cannot_be_pulled(image: str) -> bool:
    """Whether the registry lacks the image, or its domain is reserved for names that never exist (RFC 2606)."""
    return _NO_REGISTRY.match(image) is not None or _NOT_PUBLISHED.match(image) is not None


def status(
    pod: Object, runs: dict[str, Run], mounted: bool, node: str, now: datetime, address: str = ""
) -> dict[str, Any]:
    """The status of a Pod whose containers have these runs; not mounted: none was started."""
    old = status_of(pod)
    facts = {"PodReadyToStartContainers": mounted, "Initialized": True, "PodScheduled": True}
    conditions = [_condition(old, kind, holds, {}, now) for kind, holds in facts.items()]
    statuses = [
        _container(pod, container, runs.get(container["name"], Run())) for container in pod["spec"]["containers"]
    ]
    unready = [s["name"] for s in statuses if not s["ready"]]
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    conditions += [
        _condition(old, kind, not unready, why if unready else {}, now) for kind in ("ContainersReady", "Ready")
    ]
    began = all("waiting" not in s["state"] or s["restartCount"] or s.get("lastState") for s in statuses)
    return {
        "phase": "Running" if began else "Pending",
        "startTime": old.get("startTime") or timestamp(now),
        "conditions": conditions,
        "containerStatuses": statuses,
        **({"hostIP": node, "hostIPs": [{"ip": node}]} if node else {}),
        **({"podIP": address, "podIPs": [{"ip": address}]} if address and mounted else {}),
    }


def pod_ip(pod: Object) -> str:
    """An address outside of the ranges that kwok uses; kept once it is in the status."""
    current = status_of(pod).get("podIP")
    digest = hashlib.sha256(uid_of(pod).encode()).digest()
    return str(current or f"10.{200 + digest[0] % 50}.{digest[1]}.{1 + digest[2] % 254}")


def _container(pod: Object, container: Object, run: Run) -> dict[str, Any]:
    name, image = container["name"], container.get("image", "")
    last = {"lastState": {"terminated": run.last}} if run.last and run.ended is None else {}
    base: dict[str, Any] = {"name": name, "image": image, "imageID": "", "restartCount": run.restarts, **last}
    if not run.pulled:
        return {**base, "ready": False, "started": False, "state": {"waiting": _not_pulled(image)}}
    if run.started is None:
        return {**base, "ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    if run.ended is None:
        running = {"running": {"startedAt": timestamp(run.started)}}
        return {**base, "ready": run.ready, "started": True, "state": running}
    metadata = pod["metadata"]
    text = (
        f"back-off {_back_off(run)}s restarting failed container={name} "
        f"pod={metadata['name']}_{metadata['namespace']}({uid_of(pod)})"
    )
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    return {**base, "lastState": {"terminated": run.last}, "ready": False, "started": False, "state": waiting}


def _not_pulled(image: str) -> dict[str, str]:
    if _NOT_PUBLISHED.match(image):
        failed = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": ErrImagePull: {failed}'}
    registry, _, path = image.partition("/")
    repository, _, tag = path.partition(":")
    why = f"dial tcp: lookup {registry.partition(':')[0]}: no such host"
    failed = (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
        f'Head "https://{registry}/v2/{repository}/manifests/{tag or "latest"}": {why}'
    )
    return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": ErrImagePull: {failed}'}


def _back_off(run: Run) -> int:
    return PAUSES[min(max(run.failures, 1), len(PAUSES)) - 1]


def _condition(old: dict[str, Any], kind: str, holds: bool, why: dict[str, str], now: datetime) -> dict[str, Any]:
    status = "True" if holds else "False"
    before: dict[str, Any] = next((c for c in old.get("conditions") or [] if c["type"] == kind), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {"type": kind, "status": status, "lastTransitionTime": since or timestamp(now), **why}
