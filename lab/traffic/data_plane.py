"""The data plane: from API objects to listeners on loopback and to Envoy's configuration.

- A Bookinfo Pod gets a real HTTP server, and a proxy that resolves names as its sidecar would (for `kubectl exec`).
- A Service with a load balancer's address or node ports gets listeners there while one of its Pods is ready: Envoy's
  for gateway proxies, the simulated east-west gateway's, a TCP relay for all others.
- The Envoy of a gateway proxy Pod (started by pods/kubelet.py) gets new files when its configuration changes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Hashable, Iterator
from typing import Any

from aiohttp import web

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import (
    Object,
    Reader,
    deleting,
    is_loopback,
    labels_of,
    outside_addresses,
    pods_behind,
    ready,
    resolve,
    uid_of,
)
from lab.pods import envoy_files
from lab.pods.kubelet import is_gateway_proxy, issued, pod_folder
from lab.pods.listeners import Http, Listeners, Tcp
from lab.pods.pod_logs import logs_of, remove_others
from lab.pods.pod_ports import ENVOY_ADMIN_PORT, POD_PORTS, SIDECAR_PORT, PodPorts
from lab.traffic import bookinfo, envoy_config
from lab.traffic.endpoints import EAST_WEST, Endpoint, for_gateway, injected
from lab.traffic.kubectl_access import kubectl_access
from lab.traffic.sidecar import Sidecar, forwarded
from lab.traffic.trust import from_certificates
from lab.vendor.gloo_gateway.certificates import by_port
from lab.vendor.gloo_gateway.controllers import serving
from lab.vendor.gloo_gateway.listeners import valid
from lab.vendor.gloo_gateway.proxy import FULL_NAME
from lab.vendor.gloo_gateway.routes import routes

log = logging.getLogger("lab.dataplane")

MANAGER = "lab-dataplane"
ENVOY_TIMEOUT = 2.0  # seconds
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


class DataPlane:
    name = "dataplane"
    kinds = (
        "Pod",
        "Service",
        "Node",
        "EndpointSlice",
        "ServiceEntry",
        "WorkloadEntry",
        "Gateway",
        "HTTPRoute",
        "ReferenceGrant",
        "Namespace",
        "Secret",
    )

    def __init__(self, pod_ports: PodPorts = POD_PORTS) -> None:
        self._pod_ports = pod_ports
        self._listeners: Listeners | None = None
        self._sidecar = Sidecar(pod_ports)

    def reconcile(self, lab: Lab) -> None:
        if self._listeners is None:
            self._listeners = Listeners()
        # Envoy first: its endpoints must be updated before the listener of a deleted Pod closes.
        for cluster in lab.clusters.values():
            self._configure_gateways(lab, cluster)
        wanted: dict[Hashable, Http | Tcp] = {}
        for cluster in lab.clusters.values():
            self._sidecar.started(cluster, [pod for pod in cluster.list("Pod") if ready(pod) and injected(pod)])
            wanted.update(self._bookinfo(cluster))
            wanted.update(self._services(cluster))
        changed = self._update_ports(self._listeners.update(wanted))
        if changed:
            for cluster in lab.clusters.values():
                self._configure_gateways(lab, cluster)
        for cluster in lab.clusters.values():
            self._allow_kubectl(lab, cluster)

    def stop(self) -> None:
        if self._listeners is not None:
            self._listeners.run(self._sidecar.close())
            self._listeners.stop()
            self._listeners = None

    def _bookinfo(self, cluster: Cluster) -> Iterator[tuple[Hashable, Http | Tcp]]:
        """Listeners of Bookinfo Pods: one for each port, one for the outbound proxy."""
        for pod in cluster.list("Pod"):
            if bookinfo.from_pod(pod) is None or not ready(pod):
                continue
            handler = functools.partial(self._serve, cluster, pod)
            for port in bookinfo.ports_of(pod):
                yield ("pod", cluster.name, uid_of(pod), port), Http("127.0.0.1", 0, handler)
            proxy = functools.partial(self._proxy, cluster, pod)
            yield ("pod", cluster.name, uid_of(pod), SIDECAR_PORT), Http("127.0.0.1", 0, proxy)

    def _update_ports(self, opened: dict[Hashable, int]) -> bool:
        """Record the Pods' listeners; returns whether any changed."""
        changed = False
        ours: set[tuple[str, str]] = set()
        for key, port in opened.items():
            if isinstance(key, tuple) and key[0] == "pod":
                _, cluster, uid, pod_port = key
                ours.add((cluster, uid))
                if self._pod_ports.local(cluster, uid, pod_port) != port:
                    self._pod_ports.put(cluster, uid, pod_port, port)
                    changed = True
        for cluster, uid in self._pod_ports.pods() - ours:
            if SIDECAR_PORT in self._pod_ports.of_pod(cluster, uid):  # the others are the kubelet's
                self._pod_ports.drop(cluster, uid)
                changed = True
        return changed

    async def _serve(self, cluster: Reader, pod: Object, request: web.BaseRequest) -> web.StreamResponse:
        pod = _current(cluster, pod)
        app = bookinfo.from_pod(pod)
        if app is None:
            return web.Response(status=404)
        return await bookinfo.serve(app, request, functools.partial(self._sidecar.send, cluster, pod))

    async def _proxy(self, cluster: Reader, pod: Object, request: web.BaseRequest) -> web.StreamResponse:
        """An HTTP proxy that resolves names as the Pod does; localhost is the Pod itself."""
        url = request.url  # the destination, from a request line in absolute form
        if request.method == "CONNECT" or not url.host:
            return web.Response(status=501, text="plain HTTP through the sidecar only\n")
        outgoing = await forwarded(request, url.host, url.port or 80)
        if url.host in ("localhost", "127.0.0.1"):
            if outgoing.port not in bookinfo.ports_of(pod):
                return web.Response(status=502, text=f"connection refused: {url.host}:{outgoing.port}\n")
            return await self._serve(cluster, pod, request)
        return (await self._sidecar.send(cluster, _current(cluster, pod), outgoing)).to_web()

    def _allow_kubectl(self, lab: Lab, cluster: Cluster) -> None:
        """Write the objects for kubectl port-forward, exec and logs."""
        pods = [pod for pod in cluster.list("Pod") if not deleting(pod)]
        for pod in pods:
            uid = uid_of(pod)
            for obj in kubectl_access(
                pod, self._pod_ports.of_pod(cluster.name, uid), logs_of(lab.home, cluster.name, uid)
            ):
                if cluster.served(obj["kind"]):
                    cluster.apply(obj, MANAGER)
        remove_others(lab.home, cluster.name, map(uid_of, pods))

    def _services(self, cluster: Cluster) -> Iterator[tuple[Hashable, Http | Tcp]]:
        """Listeners at the outside addresses of Services except those of gateway proxies, which Envoy binds."""
        for service, address, outside, port in outside_services(cluster):
            namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
            behind = [(p, t) for p, t in pods_behind(cluster, namespace, name, port) if ready(p)]
            if not behind or any(is_gateway_proxy(pod) for pod, _ in behind):
                continue
            pod, target = behind[0]
            key = ("service", cluster.name, address, outside)
            if labels_of(pod).get("istio") == "eastwestgateway" and target == EAST_WEST:
                handler = functools.partial(self._sidecar.east_west, cluster, namespace)
                yield (*key, "east-west", namespace), Http(address, outside, handler)
            else:
                relay = functools.partial(self._relay, cluster, namespace, name, port)
                yield (*key, "relay", namespace, name), Tcp(address, outside, relay)

    def _relay(self, cluster: Reader, namespace: str, name: str, port: int) -> tuple[str, int] | None:
        for pod, target in pods_behind(cluster, namespace, name, port):
            local = self._pod_ports.local(cluster.name, uid_of(pod), target)
            if local and ready(pod):
                return "127.0.0.1", local
        return None

    def _configure_gateways(self, lab: Lab, cluster: Cluster) -> None:
        pods = [pod for pod in cluster.list("Pod") if is_gateway_proxy(pod) and not deleting(pod)]
        for pod in pods:
            gateway = cluster.get("Gateway", gateway_name(pod), pod["metadata"]["namespace"])
            if gateway is not None:
                self._configure(lab, cluster, pod, gateway)

    def _configure(self, lab: Lab, cluster: Cluster, pod: Object, gateway: Object) -> None:
        """Write one Envoy's files: clusters, then routes, then the listeners that use them."""
        # Its start changes the Pod's status, which wakes this part; but after a restart of the lab no status changes.
        if not self._pod_ports.wait(
            (cluster.name, uid_of(pod), ENVOY_ADMIN_PORT), ENVOY_TIMEOUT if ready(pod) else 0.0
        ):
            return
        folder = pod_folder(lab, cluster.name, uid_of(pod)) / "envoy"
        controller = serving(cluster, gateway)
        rules = routes(cluster, gateway, controller)
        trust = from_certificates(*issued(lab, cluster, pod))
        header = trust.header if trust else None
        backends = {
            envoy_config.cluster_name(backend): self._endpoints(cluster, backend)
            for rule in rules
            for backend in rule["backends"]
            if backend["ok"]
        }
        # Requests get 500 when their cluster is removed first, and Envoy reads each file when it notices it.
        clusters = envoy_config.with_former(envoy_config.clusters(backends), envoy_files.read(folder / "cds.json"))
        envoy_files.write(folder / "cds.json", clusters)
        ports = sorted({int(listener["port"]) for listener in valid(gateway, controller)})
        for port in ports:
            envoy_files.write(folder / f"rds-{port}.json", envoy_config.route_config(port, rules, header))
        envoy_files.write(
            folder / "lds.json",
            envoy_config.listeners(folder, self._addresses(lab, cluster, pod, ports), by_port(cluster, gateway)),
        )

    def _endpoints(self, cluster: Reader, backend: dict[str, Any]) -> list[Endpoint]:
        return for_gateway(cluster, self._pod_ports.local, backend)

    def _addresses(self, lab: Lab, cluster: Cluster, pod: Object, ports: list[int]) -> Iterator[tuple[str, int, int]]:
        """Where a proxy listens: a free port for port-forward, and its Service's address once it is ready."""
        uid = uid_of(pod)
        for port in ports:
            if self._pod_ports.local(cluster.name, uid, port) is None:
                self._pod_ports.put(cluster.name, uid, port, lab.free_port())
            yield "127.0.0.1", self._pod_ports.local(cluster.name, uid, port) or 0, port
        if not ready(pod):
            return
        for service, address, outside, port in outside_services(cluster, pod["metadata"]["namespace"]):
            metadata = service["metadata"]
            for behind, target in pods_behind(cluster, metadata["namespace"], metadata["name"], port):
                if uid_of(behind) == uid and target in ports:
                    yield address, outside, target


def gateway_name(pod: Object) -> str:
    """The Gateway of a proxy Pod; its label is a hash when the name is too long for one."""
    full = (pod["metadata"].get("annotations") or {}).get(FULL_NAME)
    return full or labels_of(pod).get(GATEWAY_NAME, "")


def outside_services(cluster: Reader, namespace: str | None = None) -> Iterator[tuple[Object, str, int, int]]:
    """(Service, loopback address, port there, port of the Service) of every Service that is reached from outside."""
    for service in cluster.list("Service", namespace):
        if deleting(service):
            continue
        for host, outside, port in outside_addresses(cluster, service):
            address = resolve(host)
            if is_loopback(address):
                yield service, address, outside, port


def _current(cluster: Reader, pod: Object) -> Object:
    """The Pod as it is now: labels may change while it runs."""
    return cluster.get("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"]) or pod
