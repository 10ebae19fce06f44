"""Cluster DNS and kube-proxy for the programs of this machine that simulate containers: an HTTP proxy.

A program that connects to `istiod.istio-system.svc:15012` gets this proxy in HTTPS_PROXY, with cluster and namespace
as user and password. gRPC sends it CONNECT with the name from its settings; the proxy resolves the name to a Service
of that cluster, its ready endpoints, and the port of this machine that serves the Pod. TLS passes unchanged. For a
name that cannot be resolved the response has the message that a Pod would get.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable

from lab.control_plane.objects import DOMAIN, Object, Reader, is_ip, pods_behind, ready, uid_of
from lab.pods.forwarding import join
from lab.pods.listeners import Listeners
from lab.pods.pod_ports import LocalPort

Resolve = Callable[[str, str, str, int], int]  # (cluster, namespace, host, port) -> port of 127.0.0.1


class Unreachable(Exception):
    """Why a name and port cannot be reached, as Go's dialer reports it."""


class Network:
    """The proxy; one listener for all clusters."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._listeners = Listeners()
        self._server = self._listeners.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = int(self._server.sockets[0].getsockname()[1])

    def proxy(self, cluster: str, namespace: str) -> str:
        """HTTPS_PROXY for a program of this cluster and namespace."""
        return f"http://{cluster}:{namespace}@127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._listeners.run(self._close())
        self._listeners.stop()

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
            try:
                far = await self._dial(request)
            except Unreachable as error:
                writer.write(_refusal(str(error)))
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await join(reader, writer, *far)

    async def _dial(self, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection("127.0.0.1", self._resolve(*destination(request)))
        except ConnectionError as error:
            raise Unreachable("dial tcp: connect: connection refused") from error


def find(cluster: Reader, local: LocalPort, namespace: str, host: str, port: int) -> int:
    """The port of 127.0.0.1 for a name and port as a Pod of this namespace resolves them. Raises Unreachable."""
    service = service_of(cluster, namespace, host)
    if service is None:
        raise Unreachable(f"dial tcp {host}:{port}: i/o timeout" if is_ip(host) else _unknown(host))
    metadata = service["metadata"]
    for pod, target in pods_behind(cluster, metadata["namespace"], metadata["name"], port):
        found = local(cluster.name, uid_of(pod), target)
        if found is not None and ready(pod):
            return found
    raise Unreachable(f"dial tcp {service['spec'].get('clusterIP') or host}:{port}: connect: connection refused")


def service_of(cluster: Reader, namespace: str, host: str) -> Object | None:
    """The Service of a name or cluster IP, by the search domains of a Pod's resolv.conf."""
    if is_ip(host):
        return next((s for s in cluster.list("Service") if s["spec"].get("clusterIP") == host), None)
    domains = (f"{namespace}.{DOMAIN}", DOMAIN, DOMAIN.partition(".")[2])
    names = [host.rstrip(".")] if host.endswith(".") else [*(f"{host}.{domain}" for domain in domains), host]
    for full in names:
        name, _, rest = full.partition(".")
        where, _, domain = rest.partition(".")
        service = cluster.get("Service", name, where) if domain == DOMAIN else None
        if service is not None:
            alias = service["spec"].get("externalName")
            return service_of(cluster, namespace, f"{alias.rstrip('.')}.") if alias else service
    return None


def destination(request: str) -> tuple[str, str, str, int]:
    """(cluster, namespace, host, port) of a CONNECT request; raises Unreachable for anything else."""
    line, _, rest = request.partition("\r\n")
    headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest.split("\r\n"))}
    method, _, target = line.rpartition(" ")[0].partition(" ")
    host, _, port = target.rpartition(":")
    user = base64.b64decode(headers.get("proxy-authorization", "").removeprefix("Basic ")).decode(errors="replace")
    cluster, _, namespace = user.partition(":")
    if method != "CONNECT" or not port.isdigit() or not namespace:
        raise Unreachable("this proxy accepts CONNECT host:port from the lab's own containers only")
    return cluster, namespace, host.strip("[]"), int(port)


def _refusal(why: str) -> bytes:
    return f"HTTP/1.1 502 Bad Gateway\r\nContent-Length: {len(why)}\r\nConnection: close\r\n\r\n{why}".encode()


def _unknown(host: str) -> str:
    return f"dial tcp: lookup {host}: no such host"
