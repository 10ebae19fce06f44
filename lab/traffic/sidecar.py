"""The traffic of istio-proxy in Bookinfo's Pods and of the east-west gateways, simulated over real HTTP on loopback.

Mutual TLS between clusters is simulated by two headers: x-lab-sni is the SNI that Istio would send (host and port),
x-lab-root the caller's trust (traffic/trust.py). East-west gateways pass TLS through, so that callers and the Pods
behind the gateway have to accept each other.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from lab.control_plane.objects import Object, Reader, uid_of
from lab.pods.pod_ports import PodPorts
from lab.traffic.endpoints import Endpoint, from_sni, injected, inside, outbound, sni
from lab.traffic.envoy_config import ROOT_HEADER, SNI_HEADER
from lab.traffic.trust import Trust, from_header, of_namespace

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


class Sidecar:
    """Outbound and east-west traffic; all coroutines run in the thread of the listeners."""

    def __init__(self, pod_ports: PodPorts) -> None:
        self._pod_ports = pod_ports
        self._round_robin: dict[Any, Iterator[int]] = defaultdict(itertools.count)
        self._session: aiohttp.ClientSession | None = None
        self._trust: dict[tuple[str, str], Trust] = {}  # (cluster, Pod uid) -> since its start

    def started(self, cluster: Reader, pods: list[Object]) -> None:
        """Record what the ready Pods of a cluster trust, as of the first call with them; forget the others."""
        alive = {(cluster.name, uid_of(pod)) for pod in pods}
        for place in [place for place in self._trust if place[0] == cluster.name and place not in alive]:
            del self._trust[place]
        for pod in pods:
            self.trust_of(cluster, pod["metadata"]["namespace"], uid_of(pod))

    def trust_of(self, cluster: Reader, namespace: str, uid: str) -> Trust | None:
        """What a Pod trusts; None while its namespace has no root."""
        if (cluster.name, uid) not in self._trust:
            now = of_namespace(cluster, namespace)
            if now is None:
                return None
            self._trust[cluster.name, uid] = now
        return self._trust[cluster.name, uid]

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
        trust = self.trust_of(cluster, pod["metadata"]["namespace"], uid_of(pod)) if injected(pod) else None
        if trust:
            headers = {SNI_HEADER: sni(destination.host, destination.port), ROOT_HEADER: trust.header}
        return await self._balance(
            destination.endpoints, (uid_of(pod), destination.host, destination.port), outgoing, headers
        )

    async def east_west(self, cluster: Reader, namespace: str, request: web.BaseRequest) -> web.StreamResponse:
        """The east-west gateway: without SNI, with another root or an unknown host the connection is closed."""
        target = from_sni(request.headers.get(SNI_HEADER, ""))
        caller = from_header(request.headers.get(ROOT_HEADER, ""))
        found = inside(cluster, self._pod_ports.local, *target) if target and of_namespace(cluster, namespace) else []
        if target and caller and found:
            endpoint = found[next(self._round_robin[cluster.name, "east-west", *target]) % len(found)]
            trust = self.trust_of(cluster, endpoint.namespace, endpoint.uid)
            if trust and trust.accepts(caller):
                outgoing = await forwarded(request, target[0], target[1])
                return (await self._balance([endpoint], (), outgoing, {})).to_web()
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

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
