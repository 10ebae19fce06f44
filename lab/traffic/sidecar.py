"""The traffic of istio-proxy in Bookinfo's Pods and of the east-west gateways, simulated over real HTTP on loopback.

Mutual TLS between clusters is simulated by two headers: x-lab-sni is the SNI that Istio would send (host and port),
x-lab-root the digest of the trust root of the caller's certificate.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from lab.control_plane.objects import Reader, uid_of
from lab.pods.pod_ports import PodPorts
from lab.traffic.endpoints import Endpoint, from_sni, injected, inside, outbound, sni
from lab.traffic.envoy_config import ROOT_HEADER, SNI_HEADER

ATTEMPTS = 3  # Istio's default: after a refused connection two more endpoints are tried
TIMEOUT = aiohttp.ClientTimeout(total=15, connect=2)
NOT_FORWARDED = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "content-length", "content-encoding", "accept-encoding"),
        *(SNI_HEADER, ROOT_HEADER),
    }
)


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def to_web(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@dataclass(frozen=True)
class Request:
    """One request of a program in a Pod."""

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def trust_root(cluster: Reader, namespace: str) -> str | None:
    """Fingerprint of the root that istiod wrote to a namespace; None without one."""
    config = cluster.get("ConfigMap", "istio-ca-root-cert", namespace)
    return fingerprint(((config or {}).get("data") or {}).get("root-cert.pem", ""))


def fingerprint(pem: str) -> str | None:
    """Digest of a trust root, None without one; white space is ignored."""
    text = "".join(pem.split())
    return hashlib.sha256(text.encode()).hexdigest() if text else None


class Sidecar:
    """Outbound and east-west traffic; all coroutines run in the thread of the listeners."""

    def __init__(self, pod_ports: PodPorts) -> None:
        self._pod_ports = pod_ports
        self._round_robin: dict[Any, Iterator[int]] = defaultdict(itertools.count)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, cluster: Reader, pod: dict[str, Any], outgoing: Request) -> Response:
        """Send a Pod's request to the destination in its cluster's objects. Failures are responses in Envoy's words."""
        destinations = outbound(cluster, self._pod_ports.local, pod, outgoing.host, outgoing.port, outgoing.path)
        if destinations is None:
            return Response(502, f"could not resolve host: {outgoing.host}\n".encode())
        weights = [destination.weight for destination in destinations]
        if not sum(weights):
            return Response(404, b"")
        destination = random.choices(destinations, weights)[0] if len(destinations) > 1 else destinations[0]
        headers: dict[str, str] = {}
        root = trust_root(cluster, pod["metadata"]["namespace"]) if injected(pod) else None
        if root:
            headers = {SNI_HEADER: sni(destination.host, destination.port), ROOT_HEADER: root}
        return await self._balance(
            destination.endpoints, (uid_of(pod), destination.host, destination.port), outgoing, headers
        )

    async def east_west(self, cluster: Reader, namespace: str, request: web.BaseRequest) -> web.StreamResponse:
        """The east-west gateway: without SNI, with another root or an unknown host the connection is closed."""
        target = from_sni(request.headers.get(SNI_HEADER, ""))
        root = trust_root(cluster, namespace)
        found = inside(cluster, self._pod_ports.local, *target) if target else []
        if not target or not root or request.headers.get(ROOT_HEADER) != root or not found:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        outgoing = await forwarded(request, target[0], target[1])
        response = await self._balance(found, (cluster.name, "east-west", *target), outgoing, {})
        return response.to_web()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _balance(
        self, endpoints: list[Endpoint], counter: Any, outgoing: Request, headers: dict[str, str]
    ) -> Response:
        if not endpoints:
            return Response(503, b"no healthy upstream")
        reason = ""
        for _ in range(min(ATTEMPTS, len(endpoints))):
            endpoint = endpoints[next(self._round_robin[counter]) % len(endpoints)]
            try:
                return await self._to(endpoint, outgoing, headers if endpoint.tls else {})
            except aiohttp.ClientConnectorError:
                reason = "remote connection failure"
            except (aiohttp.ClientError, TimeoutError):
                reason = "connection termination"
                break
        text = "upstream connect error or disconnect/reset before headers. reset reason: "
        return Response(503, (text + reason).encode())

    async def _to(self, endpoint: Endpoint, outgoing: Request, added: dict[str, str]) -> Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(force_close=True), trust_env=False
            )
        kept = {key: value for key, value in outgoing.headers.items() if key.lower() not in NOT_FORWARDED}
        url = f"http://{endpoint.address}:{endpoint.port}{outgoing.path}"
        async with self._session.request(
            outgoing.method,
            url,
            headers={**kept, **added, "Host": f"{outgoing.host}:{outgoing.port}"},
            data=outgoing.body or None,
            allow_redirects=False,
        ) as response:
            body = await response.read()
            headers = {key: value for key, value in response.headers.items() if key.lower() not in NOT_FORWARDED}
            return Response(response.status, body, headers)


async def forwarded(request: web.BaseRequest, host: str, port: int) -> Request:
    """A received request as one to be sent to host and port."""
    return Request(host, port, request.rel_url.path_qs, request.method, dict(request.headers), await request.read())
