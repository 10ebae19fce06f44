"""What istio-proxy does for Bookinfo's Pods and at the east-west gateways, played over real loopback HTTP.

Mutual TLS between clusters is played by two headers: x-lab-sni says which host and port are meant (the SNI of Istio's
TLS greeting), x-lab-root which trust root the caller's certificate comes from.
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

from lab.board import Board
from lab.endpoints import Endpoint, Objects, from_sni, injected, inside, outbound, sni, uid_of
from lab.envoy import ROOT_HEADER, SNI_HEADER

TRIES = 3  # Istio's default: a refused connection is tried at two more endpoints
TIMEOUT = aiohttp.ClientTimeout(total=15, connect=2)
NOT_PASSED_ON = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "content-length", "content-encoding", "accept-encoding"),
        *(SNI_HEADER, ROOT_HEADER),
    }
)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@dataclass(frozen=True)
class Call:
    """One request as a program in a Pod makes it."""

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def trust_root(cluster: Objects, namespace: str) -> str | None:
    """Fingerprint of the root istiod gave to a namespace; None when no istiod ever served it."""
    given = cluster.get("ConfigMap", "istio-ca-root-cert", namespace)
    return fingerprint(((given or {}).get("data") or {}).get("root-cert.pem", ""))


def fingerprint(pem: str) -> str | None:
    """Digest of a trust root, None without one; blanks around certificates do not count."""
    text = "".join(pem.split())
    return hashlib.sha256(text.encode()).hexdigest() if text else None


class Sidecar:
    """Outbound and east-west traffic; all coroutines run on the loopback thread."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._turns: dict[Any, Iterator[int]] = defaultdict(itertools.count)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, cluster: Objects, pod: dict[str, Any], call: Call) -> Answer:
        """Send a Pod's request where its cluster's objects say. Failures are answers, as Envoy words them."""
        choices = outbound(cluster, self._board.local, pod, call.host, call.port, call.path)
        if choices is None:
            return Answer(502, f"could not resolve host: {call.host}\n".encode())
        weights = [choice.weight for choice in choices]
        if not sum(weights):
            return Answer(404, b"")
        choice = random.choices(choices, weights)[0] if len(choices) > 1 else choices[0]
        headers: dict[str, str] = {}
        root = trust_root(cluster, pod["metadata"]["namespace"]) if injected(pod) else None
        if root:
            headers = {SNI_HEADER: sni(choice.host, choice.port), ROOT_HEADER: root}
        return await self._to_one_of(choice.endpoints, (uid_of(pod), choice.host, choice.port), call, headers)

    async def east_west(self, cluster: Objects, namespace: str, request: web.BaseRequest) -> web.StreamResponse:
        """The east-west gateway: no SNI, a foreign root or an unknown host end the connection without an answer."""
        meant = from_sni(request.headers.get(SNI_HEADER, ""))
        root = trust_root(cluster, namespace)
        found = inside(cluster, self._board.local, *meant) if meant else []
        if not meant or not root or request.headers.get(ROOT_HEADER) != root or not found:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        call = await as_call(request, meant[0], meant[1])
        answer = await self._to_one_of(found, (cluster.name, "east-west", *meant), call, {})
        return answer.response()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _to_one_of(self, endpoints: list[Endpoint], turn: Any, call: Call, headers: dict[str, str]) -> Answer:
        if not endpoints:
            return Answer(503, b"no healthy upstream")
        reason = ""
        for _ in range(min(TRIES, len(endpoints))):
            endpoint = endpoints[next(self._turns[turn]) % len(endpoints)]
            try:
                return await self._to(endpoint, call, headers if endpoint.tls else {})
            except aiohttp.ClientConnectorError:
                reason = "remote connection failure"
            except (aiohttp.ClientError, TimeoutError):
                reason = "connection termination"
                break
        text = "upstream connect error or disconnect/reset before headers. reset reason: "
        return Answer(503, (text + reason).encode())

    async def _to(self, endpoint: Endpoint, call: Call, added: dict[str, str]) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(force_close=True), trust_env=False
            )
        kept = {key: value for key, value in call.headers.items() if key.lower() not in NOT_PASSED_ON}
        url = f"http://{endpoint.address}:{endpoint.port}{call.path}"
        async with self._session.request(
            call.method,
            url,
            headers={**kept, **added, "Host": f"{call.host}:{call.port}"},
            data=call.body or None,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            headers = {key: value for key, value in answer.headers.items() if key.lower() not in NOT_PASSED_ON}
            return Answer(answer.status, body, headers)


async def as_call(request: web.BaseRequest, host: str, port: int) -> Call:
    """A received request as one to be sent on to host and port."""
    return Call(host, port, request.rel_url.path_qs, request.method, dict(request.headers), await request.read())
