"""Cluster DNS and kube-proxy for the programs of this machine that stand for containers.

A program that is to reach `istiod.istio-system.svc:15012` gets this HTTP proxy in HTTPS_PROXY, with cluster and
namespace as user and password. gRPC then asks it to CONNECT to the name as it stands in its settings; the name leads to
a Service of that cluster, its ready endpoints, and the place on this machine where the Pod is served. TLS goes through
untouched. Names that lead nowhere are refused in the words a Pod would read.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import Callable

from lab.endpoints import DOMAIN, Local, Object, Objects, pods_behind, ready, uid_of
from lab.loopback import Loopback, join

Find = Callable[[str, str, str, int], int]  # (cluster, namespace, host, port) -> port of 127.0.0.1


class Unreachable(Exception):
    """Why a name and port cannot be reached, as Go's dialer says it."""


class Network:
    """The proxy; one listener serves all clusters."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._loopback = Loopback()
        self._server = self._loopback.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = int(self._server.sockets[0].getsockname()[1])

    def proxy(self, cluster: str, namespace: str) -> str:
        """HTTPS_PROXY for a program of this cluster and namespace."""
        return f"http://{cluster}:{namespace}@127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._loopback.run(self._close())
        self._loopback.stop()

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
            return await asyncio.open_connection("127.0.0.1", self._find(*asked(request)))
        except ConnectionError as error:
            raise Unreachable("dial tcp: connect: connection refused") from error


def find(cluster: Objects, local: Local, namespace: str, host: str, port: int) -> int:
    """The port of 127.0.0.1 behind a name and port as a Pod of this namespace sees them. Raises Unreachable."""
    service = service_of(cluster, namespace, host)
    if service is None:
        raise Unreachable(f"dial tcp {host}:{port}: i/o timeout" if _is_ip(host) else _unknown(host))
    metadata = service["metadata"]
    for pod, target in pods_behind(cluster, metadata["namespace"], metadata["name"], port):
        place = local(cluster.name, uid_of(pod), target)
        if place is not None and ready(pod):
            return place
    raise Unreachable(f"dial tcp {service['spec'].get('clusterIP') or host}:{port}: connect: connection refused")


def service_of(cluster: Objects, namespace: str, host: str) -> Object | None:
    """The Service a name or cluster address leads to, by the search domains of a Pod's resolv.conf."""
    if _is_ip(host):
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


def asked(request: str) -> tuple[str, str, str, int]:
    """(cluster, namespace, host, port) of a CONNECT request; raises Unreachable for anything else."""
    line, _, rest = request.partition("\r\n")
    headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest.split("\r\n"))}
    method, _, target = line.rpartition(" ")[0].partition(" ")
    host, _, port = target.rpartition(":")
    user = base64.b64decode(headers.get("proxy-authorization", "").removeprefix("Basic ")).decode(errors="replace")
    cluster, _, namespace = user.partition(":")
    if method != "CONNECT" or not port.isdigit() or not namespace:
        raise Unreachable("this proxy takes CONNECT host:port from the lab's own containers only")
    return cluster, namespace, host.strip("[]"), int(port)


def _refusal(why: str) -> bytes:
    return f"HTTP/1.1 502 Bad Gateway\r\nContent-Length: {len(why)}\r\nConnection: close\r\n\r\n{why}".encode()


def _unknown(host: str) -> str:
    return f"dial tcp: lookup {host}: no such host"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
