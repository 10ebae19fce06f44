"""A TLS proxy in front of an API server that damages responses, for tests of what the product makes of them.

It authenticates to the server by the kubeconfig that it replaces, as the kubernetes package reads it.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authority import Authority
from cryptography import x509
from kubernetes import config as kubernetes_config

Json = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What becomes of a request. ``says``: what an error of it has to say; ``forwarded``: the server processes it;
    ``answer``: what is sent for its response."""

    name: str
    says: str
    forwarded: bool
    answer: Callable[[Any, bytes], None]

    def __str__(self) -> str:
        return self.name


def _bytes(make: Callable[[bytes], bytes]) -> Callable[[Any, bytes], None]:
    return lambda client, response: client.sendall(make(response))


def _reset(client: Any, response: bytes) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _silence(client: Any, response: bytes) -> None:
    client.settimeout(20)
    with suppress(OSError):
        client.recv(1)


def _drip(client: Any, response: bytes) -> None:
    """A few bytes from time to time: no pause is long, all together take for ever."""
    with suppress(OSError):
        for index in range(0, 800, 2):
            client.sendall(response[index : index + 2] or b" ")
            time.sleep(0.05)


def _whole(status: str, kind: str, body: str, *more: str) -> Callable[[bytes], bytes]:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return lambda response: ("\r\n".join(head) + f"\r\n\r\n{body}").encode()


def _failure(code: int, message: str, reason: str | None = None, **details: Any) -> Callable[[bytes], bytes]:
    return _failure_of(f"{code} Failure", code, message, reason, **details)


def _failure_of(
    line: str, code: int, message: str, reason: str | None = None, **details: Any
) -> Callable[[bytes], bytes]:
    status: Json = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    status |= {"reason": reason} if reason else {}
    return _whole(line, "application/json", json.dumps(status | details))


def _page(status: str) -> Callable[[bytes], bytes]:
    return _whole(
        status, "text/html", f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
    )


_HOOK = 'Internal error occurred: failed calling webhook "v.example": failed to call webhook: Post "https://v.ns.svc": '
_DIAL = f"{_HOOK}dial tcp 10.0.0.1:443: connect: "
_X509 = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
_JSON = "application/json"

#: how a connection ends or stays
CONNECTION = (
    Fault(
        "closed before the request is processed",
        "before its response is complete",
        False,
        lambda client, response: None,
    ),
    Fault("reset before the request is processed", "before its response is complete", False, _reset),
    Fault("closed without a response", "before its response is complete", True, lambda client, response: None),
    Fault("reset without a response", "before its response is complete", True, _reset),
    Fault("closed within the status line", "HTTP", True, _bytes(lambda response: response[:6])),
    Fault(
        "closed within headers",
        "before its response is complete",
        True,
        _bytes(lambda response: response[: response.index(b"\r\n") + 12]),
    ),
    Fault("closed within the body", "before its response is complete", True, _bytes(lambda response: response[:-5])),
    Fault("never answered", "does not respond: timed out", True, _silence),
    Fault("answered a few bytes at a time", "does not respond: timed out", True, _drip),
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_ENDLESS = _HEAD + b"Content-Length: 100000000000000\r\n\r\n{}"
_CHUNK = _HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\n{}"
_NEGATIVE = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}"
#: bodies that are no answer
BODIES = (
    Fault("empty 200", "responds with an empty body", True, _bytes(_whole("200 OK", _JSON, ""))),
    Fault(
        "200 HTML",
        "other than JSON: Log in",
        True,
        _bytes(_whole("200 OK", "text/html", "<html><body>Log in</body></html>")),
    ),
    Fault(
        "200 list",
        "responds with something other than what was requested: []",
        True,
        _bytes(_whole("200 OK", _JSON, "[]")),
    ),
    Fault(
        "200 empty object",
        "responds with something other than what was requested: {}",
        True,
        _bytes(_whole("200 OK", _JSON, "{}")),
    ),
    Fault(
        "200 null",
        "responds with something other than what was requested: null",
        True,
        _bytes(_whole("200 OK", _JSON, "null")),
    ),
    Fault(
        "200 of a login page",
        "responds with something other than what was requested: {",
        True,
        _bytes(_whole("200 OK", _JSON, '{"error": "login required"}')),
    ),
    Fault(
        "200 with a failure",
        "responds with something other than what was requested: {",
        True,
        _bytes(_failure_of("200 OK", 401, "login required", "Unauthorized", metadata={})),
    ),
    Fault("200 nested without end", "other than JSON: [[", True, _bytes(_whole("200 OK", _JSON, "[" * 100_000))),
    Fault(
        "200 of another shape",
        "responds with something other than what was requested: {",
        True,
        _bytes(
            _whole(
                "200 OK",
                _JSON,
                json.dumps(
                    {"kind": 5, "metadata": [], "items": [5], "groups": {}, "resources": "a", "versions": 5}
                    | {"gitVersion": []}
                ),
            )
        ),
    ),
    Fault("200 of endless length", "HTTP: its length", True, lambda client, response: client.sendall(_ENDLESS)),
    Fault("200 of an endless chunk", "HTTP: its length", True, lambda client, response: client.sendall(_CHUNK)),
    Fault("200 of a negative chunk", "HTTP: its length", True, lambda client, response: client.sendall(_NEGATIVE)),
    Fault("200 half JSON", "other than JSON: {", True, _bytes(_whole("200 OK", _JSON, '{"kind": "Gatew'))),
    Fault(
        "not HTTP", "responds with something other than HTTP", True, _bytes(lambda response: b"SSH-2.0-OpenSSH_9.2\r\n")
    ),
)
#: errors of which the API server has certainly written nothing
REFUSALS = (
    Fault(
        "503 of a load balancer",
        "no backend",
        False,
        _bytes(_whole("503 Service Unavailable", "text/plain", "no backend")),
    ),
    Fault("429", "too many requests", False, _bytes(_failure(429, "too many requests", "TooManyRequests"))),
    Fault(
        "503 initializing",
        "initializing",
        False,
        _bytes(_failure(503, "storage is (re)initializing", "ServiceUnavailable")),
    ),
    Fault("webhook: x509", "x509", False, _bytes(_failure(500, _HOOK + _X509))),
    Fault("webhook: no route", "no route to host", False, _bytes(_failure(500, f"{_DIAL}no route to host"))),
    Fault("webhook: refused", "connection refused", False, _bytes(_failure(500, f"{_DIAL}connection refused"))),
    Fault(
        "webhook: no endpoints",
        "no endpoints",
        False,
        _bytes(_failure(500, f'{_HOOK}no endpoints available for service "v"')),
    ),
    Fault(
        "webhook: late",
        "deadline exceeded",
        False,
        _bytes(_failure(500, f"{_HOOK}context deadline exceeded", "InternalError")),
    ),
)
#: errors after which nobody knows
UNCERTAIN = (
    Fault("etcd: leader changed", "leader changed", True, _bytes(_failure(500, "etcdserver: leader changed"))),
    Fault("etcd: timed out", "request timed out", True, _bytes(_failure(500, "etcdserver: request timed out"))),
    Fault(
        "etcd: unavailable", "Unavailable", True, _bytes(_failure(500, "rpc error: code = Unavailable desc = closing"))
    ),
    Fault(
        "504 Timeout",
        "did not complete",
        True,
        _bytes(_failure(504, "request did not complete within the timeout", "Timeout")),
    ),
    Fault(
        "conversion webhook",
        "conversion webhook",
        True,
        _bytes(_failure(500, 'conversion webhook for a/v1, Kind=B failed: Post "https://c": x509: unknown authority')),
    ),
    Fault("502 of a load balancer", "502 Bad Gateway", True, _bytes(_page("502 Bad Gateway"))),
    Fault("504 of a load balancer", "504 Gateway Timeout", True, _bytes(_page("504 Gateway Timeout"))),
)
FAULTS = (*CONNECTION, *BODIES, *REFUSALS, *UNCERTAIN)
BY_NAME = {fault.name: fault for fault in FAULTS}


class FaultProxy:
    """``log``: (method, path, name of the fault or "") of every request."""

    def __init__(self, kubeconfig: str, context: str, folder: Path) -> None:
        upstream = kubernetes_config.new_client_from_config(kubeconfig, context).configuration
        parts = urlsplit(upstream.host)
        self._upstream = (parts.hostname or "", parts.port or 443)
        self._tls = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=upstream.ssl_ca_cert)
            self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if upstream.cert_file:
                self._tls.load_cert_chain(upstream.cert_file, upstream.key_file)
        self._headers = [f"{row['key']}: {row['value']}" for row in upstream.auth_settings().values() if row["value"]]
        self.log: list[tuple[str, str, str]] = []
        self._fault: Fault | None = None
        self._where = re.compile("")
        self._method = ""
        self._times: float = 0
        self._after = 0
        self._seen: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._listen()
        self._write(folder, context)

    # -- for tests

    def breaks(
        self, fault: Fault | None, where: str = "", method: str = "", times: float = float("inf"), after: int = 0
    ) -> None:
        """From now on the first ``times`` requests of each method and path that match have the fault; the first
        ``after`` requests of all have none."""
        with self._lock:
            self._fault, self._where, self._method, self._times = fault, re.compile(where), method, times
            self._after = after
            self._seen.clear()
            self.log.clear()

    def faults(self) -> list[tuple[str, str]]:
        """(method, path) of the requests that had a fault."""
        return [(method, path) for method, path, name in self.log if name]

    @contextmanager
    def down(self) -> Iterator[None]:
        """Inside the context connections are refused."""
        self._stop()
        try:
            yield
        finally:
            self._listen()

    def close(self) -> None:
        self._ended = True
        self._stop()

    # -- connections

    def _write(self, folder: Path, context: str) -> None:
        authority = Authority("fault-proxy")
        names = x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        pair = folder / "fault-proxy.pem"
        pair.write_bytes(b"".join(authority.issue("fault-proxy", *names)))
        (folder / "fault-proxy-ca.pem").write_bytes(authority.certificate)
        self._front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._front.load_cert_chain(pair)
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": "fault-proxy-ca.pem"}
        content = {
            "clusters": [{"name": "proxy", "cluster": cluster}],
            "users": [{"name": "proxy", "user": {"token": "of-the-proxy"}}],
            "contexts": [{"name": context, "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        self.kubeconfig = str(folder / "through-the-proxy")
        Path(self.kubeconfig).write_text(json.dumps(content), encoding="utf-8")

    def _listen(self) -> None:
        port = getattr(self, "port", 0)
        self._server = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _stop(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _address = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.settimeout(60)
            with self._front.wrap_socket(client, server_side=True) as secured:
                self._request(secured)
        except (OSError, ValueError):
            pass
        finally:
            client.close()

    def _request(self, client: ssl.SSLSocket) -> None:
        head, body = _message(client)
        if not head:
            return
        line, *headers = head.decode("latin-1").split("\r\n")
        method, target, _version = line.split(" ")
        fault = self._chosen(method, target.partition("?")[0])
        kept = [each for each in headers if not each.lower().startswith(("authorization:", "connection:", "host:"))]
        upgrades = any(each.lower().startswith("upgrade:") for each in headers)
        ended = "Connection: Upgrade" if upgrades else "Connection: close"
        host = f"Host: {self._upstream[0]}:{self._upstream[1]}"
        request = "\r\n".join([line, host, *kept, *self._headers, ended]).encode("latin-1") + b"\r\n\r\n" + body
        if fault is None:
            with self._connected(request) as upstream:
                _relay(client, upstream, both=upgrades)
            return
        response = b""
        if fault.forwarded and "watch=" not in target:
            with self._connected(request) as upstream:
                while data := upstream.recv(65536):
                    response += data
        fault.answer(client, response or _whole("200 OK", _JSON, '{"kind": "Status"}')(b""))

    def _chosen(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = self._fault
            matches = (
                fault and len(self.log) >= self._after and self._method in ("", method) and self._where.search(path)
            )
            seen = self._seen[method, path] = self._seen.get((method, path), 0) + 1
            fault = fault if matches and seen <= self._times else None
            self.log.append((method, path, fault.name if fault else ""))
            return fault

    @contextmanager
    def _connected(self, request: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(self._upstream, 20) as plain:
            upstream = self._tls.wrap_socket(plain, server_hostname=self._upstream[0]) if self._tls else plain
            with upstream:
                upstream.sendall(request)
                yield upstream


def _message(client: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(65536)
    return head, body


def _relay(client: socket.socket, upstream: socket.socket, *, both: bool) -> None:
    """Copy what the server sends, or in both directions, until one of them ends."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    client.settimeout(None)
    upstream.settimeout(None)
    if both:
        threading.Thread(target=copy, args=(client, upstream), daemon=True).start()
    copy(upstream, client)


@contextmanager
def in_front_of(kubeconfig: str, context: str, folder: Path) -> Iterator[FaultProxy]:
    """A proxy in front of the context's API server, which has a context of the same name."""
    proxy = FaultProxy(kubeconfig, context, folder)
    try:
        yield proxy
    finally:
        proxy.close()
