"""The data plane: turns API objects into listeners on this machine's loopback and into Envoy's configuration.

- A Pod of Bookinfo gets a real HTTP server, and a proxy that resolves names as its sidecar would (for `kubectl exec`).
- A LoadBalancer Service with an address gets listeners there: Envoy's for gateway proxies, the played east-west
  gateway's, a TCP relay for anything else; only while one of its Pods is ready.
- A gateway proxy Pod's Envoy (started by lab/kubelet.py) gets its files rewritten when they would change.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Hashable, Iterator
from typing import Any

from aiohttp import web

from lab import bookinfo, envoy
from lab.board import ADMIN, BOARD, SIDECAR, Board
from lab.doors import doors
from lab.endpoints import EAST_WEST, Endpoint, Object, Objects, for_gateway, labels_of, pods_behind, ready, uid_of
from lab.gloo_gateway import routes
from lab.kubelet import is_gateway_proxy, issued_root, pod_folder
from lab.loopback import Http, Loopback, Tcp
from lab.pod_logs import forget, logs_of
from lab.sidecar import Sidecar, as_call, fingerprint
from lab.world import Cluster, World

log = logging.getLogger("lab.dataplane")

MANAGER = "lab-dataplane"
ENVOY_PATIENCE = 2.0
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


class Dataplane:
    name = "dataplane"
    kinds = (
        "Pod",
        "Service",
        "EndpointSlice",
        "ServiceEntry",
        "WorkloadEntry",
        "Gateway",
        "HTTPRoute",
        "ReferenceGrant",
        "Namespace",
    )

    def __init__(self, board: Board = BOARD) -> None:
        self._board = board
        self._loopback: Loopback | None = None
        self._sidecar = Sidecar(board)

    def reconcile(self, world: World) -> None:
        if self._loopback is None:
            self._loopback = Loopback()
        # Envoy first: it should know of a Pod's end before the Pod's listener closes.
        for cluster in world.clusters.values():
            self._configure_gateways(world, cluster)
        wanted: dict[Hashable, Http | Tcp] = {}
        for cluster in world.clusters.values():
            wanted.update(self._programs(cluster))
            wanted.update(self._balancers(cluster))
        changed = self._note(wanted, self._loopback.keep(wanted))
        if changed:
            for cluster in world.clusters.values():
                self._configure_gateways(world, cluster)
        for cluster in world.clusters.values():
            self._open_doors(world, cluster)

    def stop(self) -> None:
        if self._loopback is not None:
            self._loopback.run(self._sidecar.close())
            self._loopback.stop()
            self._loopback = None

    def _programs(self, cluster: Cluster) -> Iterator[tuple[Hashable, Http | Tcp]]:
        """Listeners of Bookinfo's Pods: one per port, one for the Pod's outbound proxy."""
        for pod in cluster.list("Pod"):
            if bookinfo.from_pod(pod) is None or not ready(pod):
                continue
            serve = functools.partial(self._answer, cluster, pod)
            for port in bookinfo.ports_of(pod):
                yield ("pod", cluster.name, uid_of(pod), port), Http("127.0.0.1", 0, serve)
            proxy = functools.partial(self._proxy, cluster, pod)
            yield ("pod", cluster.name, uid_of(pod), SIDECAR), Http("127.0.0.1", 0, proxy)

    def _note(self, wanted: dict[Hashable, Http | Tcp], opened: dict[Hashable, int]) -> bool:
        """Write the Pods' listeners to the board; tells whether the board changed."""
        changed = False
        ours: set[tuple[str, str]] = set()
        for key, port in opened.items():
            if isinstance(key, tuple) and key[0] == "pod":
                _, cluster, uid, pod_port = key
                ours.add((cluster, uid))
                if self._board.local(cluster, uid, pod_port) != port:
                    self._board.put(cluster, uid, pod_port, port)
                    changed = True
        for cluster, uid in self._board.pods() - ours:
            if SIDECAR in self._board.ports(cluster, uid):  # other Pods on the board are the kubelet's
                self._board.drop(cluster, uid)
                changed = True
        return changed

    async def _answer(self, cluster: Objects, pod: Object, request: web.BaseRequest) -> web.StreamResponse:
        pod = _current(cluster, pod)
        app = bookinfo.from_pod(pod)
        if app is None:
            return web.Response(status=404)
        return await bookinfo.answer(app, request, functools.partial(self._sidecar.send, cluster, pod))

    async def _proxy(self, cluster: Objects, pod: Object, request: web.BaseRequest) -> web.StreamResponse:
        """An HTTP proxy that sees the world as the Pod does; localhost is the Pod itself."""
        url = request.url  # of an absolute-form request line: the URL that is meant
        if request.method == "CONNECT" or not url.host:
            return web.Response(status=501, text="plain HTTP through the sidecar only\n")
        call = await as_call(request, url.host, url.port or 80)
        if url.host in ("localhost", "127.0.0.1"):
            if call.port not in bookinfo.ports_of(pod):
                return web.Response(status=502, text=f"connection refused: {url.host}:{call.port}\n")
            return await self._answer(cluster, pod, request)
        return (await self._sidecar.send(cluster, _current(cluster, pod), call)).response()

    def _open_doors(self, world: World, cluster: Cluster) -> None:
        """Let port-forward and exec into every Pod that is served here, and logs out of all that say something."""
        pods = [pod for pod in cluster.list("Pod") if not _leaving(pod)]
        for pod in pods:
            uid = uid_of(pod)
            for obj in doors(pod, self._board.ports(cluster.name, uid), logs_of(world.home, cluster.name, uid)):
                if cluster.served(obj["kind"]):
                    cluster.apply(obj, MANAGER)
        forget(world.home, cluster.name, map(uid_of, pods))

    def _balancers(self, cluster: Cluster) -> Iterator[tuple[Hashable, Http | Tcp]]:
        """Listeners at the addresses of LoadBalancer Services, gateway proxies excepted (Envoy binds those)."""
        for service, address, port in balanced(cluster):
            namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
            behind = [(p, t) for p, t in pods_behind(cluster, namespace, name, port) if ready(p)]
            if not behind or any(is_gateway_proxy(pod) for pod, _ in behind):
                continue
            pod, target = behind[0]
            key = ("balancer", cluster.name, address, port)
            if labels_of(pod).get("istio") == "eastwestgateway" and target == EAST_WEST:
                serve = functools.partial(self._sidecar.east_west, cluster, namespace)
                yield (*key, "east-west", namespace), Http(address, port, serve)
            else:
                relay = functools.partial(self._relay, cluster, namespace, name, port)
                yield (*key, "relay", namespace, name), Tcp(address, port, relay)

    def _relay(self, cluster: Objects, namespace: str, name: str, port: int) -> tuple[str, int] | None:
        for pod, target in pods_behind(cluster, namespace, name, port):
            place = self._board.local(cluster.name, uid_of(pod), target)
            if place and ready(pod):
                return "127.0.0.1", place
        return None

    def _configure_gateways(self, world: World, cluster: Cluster) -> None:
        pods = [pod for pod in cluster.list("Pod") if is_gateway_proxy(pod) and not _leaving(pod)]
        for pod in pods:
            gateway = cluster.get("Gateway", labels_of(pod).get(GATEWAY_NAME, ""), pod["metadata"]["namespace"])
            if gateway is not None:
                self._configure(world, cluster, pod, gateway)

    def _configure(self, world: World, cluster: Cluster, pod: Object, gateway: Object) -> None:
        """Write one Envoy's files: clusters, then routes, then the listeners that use them."""
        # No Envoy yet: its start changes the Pod's status, which wakes us; after a restart of the lab nothing changes.
        if not self._board.wait((cluster.name, uid_of(pod), ADMIN), ENVOY_PATIENCE if ready(pod) else 0.0):
            return
        folder = pod_folder(world, cluster.name, uid_of(pod)) / "envoy"
        rules = routes(cluster, gateway)
        root = fingerprint(issued_root(world, cluster, pod))
        backends = {
            envoy.cluster_name(backend): self._endpoints(cluster, backend)
            for rule in rules
            for backend in rule["backends"]
            if backend["ok"]
        }
        envoy.write(folder / "cds.json", envoy.clusters(backends))
        ports = sorted({int(listener["port"]) for listener in gateway["spec"].get("listeners") or []})
        for port in ports:
            envoy.write(folder / f"rds-{port}.json", envoy.route_config(port, rules, root))
        envoy.write(folder / "lds.json", envoy.listeners(folder, self._places(world, cluster, pod, ports)))

    def _endpoints(self, cluster: Objects, backend: dict[str, Any]) -> list[Endpoint]:
        return for_gateway(cluster, self._board.local, backend)

    def _places(self, world: World, cluster: Cluster, pod: Object, ports: list[int]) -> Iterator[tuple[str, int, int]]:
        """Where a proxy listens: a port of its own for port-forward, and its Service's address once it is ready."""
        uid = uid_of(pod)
        for port in ports:
            if self._board.local(cluster.name, uid, port) is None:
                self._board.put(cluster.name, uid, port, world.free_port())
            yield "127.0.0.1", self._board.local(cluster.name, uid, port) or 0, port
        if not ready(pod):
            return
        for service, address, port in balanced(cluster, pod["metadata"]["namespace"]):
            metadata = service["metadata"]
            for behind, target in pods_behind(cluster, metadata["namespace"], metadata["name"], port):
                if uid_of(behind) == uid and target in ports:
                    yield address, port, target


def balanced(cluster: Objects, namespace: str | None = None) -> Iterator[tuple[Object, str, int]]:
    """(Service, loopback address, port) of every LoadBalancer Service that was given an address."""
    for service in cluster.list("Service", namespace):
        if service["spec"].get("type") != "LoadBalancer" or _leaving(service):
            continue
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
            address = ingress.get("ip") or ""
            if not _is_loopback(address):
                continue
            for port in service["spec"].get("ports") or []:
                yield service, address, int(port["port"])


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _current(cluster: Objects, pod: Object) -> Object:
    """The Pod as it is now: labels may change while it runs."""
    return cluster.get("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"]) or pod


def _leaving(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))
