"""A Pod's status from what its containers do, as a kubelet writes it. Pure.

Times that are in the Pod's status already are kept, so that nothing changes by itself.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.endpoints import Object, uid_of

PAUSES = (0, 10, 20)  # before each restart of a failing container, the last one repeated; up to 300 in production
RECOVERED = 600.0  # seconds a run must last for the next failure to count as the first

_NO_REGISTRY = re.compile(r"[^/]*\.invalid(:\d+)?/")


@dataclass(frozen=True)
class Life:
    """A container's runs: the present or last one, and how the one before it ended."""

    restarts: int = 0
    failures: int = 0  # in a row; the next pause follows from it
    started: datetime | None = None
    ended: datetime | None = None  # None while it runs
    last: Object | None = None  # `terminated` of the last finished run
    ready: bool = False
    pulled: bool = True


def begun(life: Life, now: datetime) -> Life:
    """The container is started, for the first time or again."""
    again = life.ended is not None
    return Life(life.restarts + again, life.failures, started=now, last=life.last)


def died(life: Life, code: int, now: datetime) -> Life:
    """The run has ended with this exit code."""
    started = life.started or now
    lasted = (now - started).total_seconds()
    terminated = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": stamp(started),
        "finishedAt": stamp(now),
    }
    failures = 1 if lasted > RECOVERED else life.failures + 1
    return Life(life.restarts, failures, started, ended=now, last=terminated)


def pause(life: Life, now: datetime) -> float:
    """Seconds until an ended container may be started again."""
    if life.ended is None:
        return 0.0
    return max(0.0, _back_off(life) - (now - life.ended).total_seconds())


def resumed(pod: Object, name: str) -> Life:
    """What the Pod's status remembers of a container whose process this kubelet has not seen."""
    told = next((s for s in _statuses(pod) if s["name"] == name), {})
    last = (told.get("lastState") or {}).get("terminated")
    return Life(restarts=int(told.get("restartCount") or 0), last=last)


def cannot_be_pulled(image: str) -> bool:
    """Whether an image's registry is one of a domain that is reserved for names that never exist (RFC 2606)."""
    return _NO_REGISTRY.match(image) is not None


def status(
    pod: Object, lives: dict[str, Life], mounted: bool, node: str, now: datetime, address: str = ""
) -> dict[str, Any]:
    """The status of a Pod whose containers have these lives; not mounted: none was started."""
    old = pod.get("status") or {}
    told = {"PodReadyToStartContainers": mounted, "Initialized": True, "PodScheduled": True}
    conditions = [_condition(old, kind, holds, {}, now) for kind, holds in told.items()]
    statuses = [_container(pod, told, lives.get(told["name"], Life())) for told in pod["spec"]["containers"]]
    unready = [status["name"] for status in statuses if not status["ready"]]
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    conditions += [
        _condition(old, kind, not unready, why if unready else {}, now) for kind in ("ContainersReady", "Ready")
    ]
    began = all("waiting" not in s["state"] or s["restartCount"] or s.get("lastState") for s in statuses)
    return {
        "phase": "Running" if began else "Pending",
        "startTime": old.get("startTime") or stamp(now),
        "conditions": conditions,
        "containerStatuses": statuses,
        **({"hostIP": node, "hostIPs": [{"ip": node}]} if node else {}),
        **({"podIP": address, "podIPs": [{"ip": address}]} if address and mounted else {}),
    }


def pod_ip(pod: Object) -> str:
    """An address apart from those kwok gives; kept once given."""
    given = (pod.get("status") or {}).get("podIP")
    digest = hashlib.sha256(uid_of(pod).encode()).digest()
    return str(given or f"10.{200 + digest[0] % 50}.{digest[1]}.{1 + digest[2] % 254}")


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _container(pod: Object, told: Object, life: Life) -> dict[str, Any]:
    name, image = told["name"], told.get("image", "")
    last = {"lastState": {"terminated": life.last}} if life.last and life.ended is None else {}
    base: dict[str, Any] = {"name": name, "image": image, "imageID": "", "restartCount": life.restarts, **last}
    if not life.pulled:
        return {**base, "ready": False, "started": False, "state": {"waiting": _not_pulled(image)}}
    if life.started is None:
        return {**base, "ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    if life.ended is None:
        running = {"running": {"startedAt": stamp(life.started)}}
        return {**base, "ready": life.ready, "started": True, "state": running}
    metadata = pod["metadata"]
    text = (
        f"back-off {_back_off(life)}s restarting failed container={name} "
        f"pod={metadata['name']}_{metadata['namespace']}({uid_of(pod)})"
    )
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    return {**base, "lastState": {"terminated": life.last}, "ready": False, "started": False, "state": waiting}


def _not_pulled(image: str) -> dict[str, str]:
    registry, _, path = image.partition("/")
    repository, _, tag = path.partition(":")
    why = f"dial tcp: lookup {registry.partition(':')[0]}: no such host"
    failed = (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
        f'Head "https://{registry}/v2/{repository}/manifests/{tag or "latest"}": {why}'
    )
    return {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}": ErrImagePull: {failed}'}


def _back_off(life: Life) -> int:
    return PAUSES[min(max(life.failures, 1), len(PAUSES)) - 1]


def _condition(old: dict[str, Any], kind: str, holds: bool, why: dict[str, str], now: datetime) -> dict[str, Any]:
    status = "True" if holds else "False"
    before: dict[str, Any] = next((c for c in old.get("conditions") or [] if c["type"] == kind), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {"type": kind, "status": status, "lastTransitionTime": since or stamp(now), **why}


def _statuses(pod: Object) -> list[Object]:
    return (pod.get("status") or {}).get("containerStatuses") or []
