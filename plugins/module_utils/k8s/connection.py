# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to a server, direct or through a proxy; everything on them ends at a deadline."""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from .names import join_host_port, split_host_port

# Seconds for one address to accept a connection.
CONNECT_WITHIN = 5.0

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SOCKS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "no route to host",
    5: "connection refused",
    6: "timed out",
}


class ProxyRefused(OSError):
    """The proxy did not connect. ``lasting``: a retry cannot succeed."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


@dataclass(frozen=True)
class Proxy:
    """A proxy; its text has no password."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{join_host_port(self.host, self.port)}"


@dataclass(frozen=True)
class Endpoint:
    """Where connections lead. ``tls``: None for plain HTTP; ``server_name``: expected in the server's certificate."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    proxy: Proxy | None = None


def proxy_of(url: str) -> Proxy:
    """The proxy of a URL. Raises ValueError; the text does not repeat the URL, which may have a password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:  # its text may have the password
        raise ValueError("the proxy is not a URL") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"the proxy's scheme {parts.scheme!r} is not http, https or socks5")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("the proxy's port is not a number from 1 to 65535") from None
    if not parts.hostname:
        raise ValueError("the proxy has no host name")
    return Proxy(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


def proxy_from(environment: Mapping[str, str], scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy that the environment sets for a server, by the rules of kubectl."""

    def variable(name: str) -> str:
        return environment.get(name.upper()) or environment.get(name) or ""

    url = variable(f"{scheme}_proxy")
    return proxy_of(url) if url and not _is_direct(variable("no_proxy"), host.lower(), port) else None


def _is_direct(rules: str, host: str, port: int) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address and address.is_loopback):
        return True
    for rule in filter(None, (each.strip().lower() for each in rules.split(","))):
        try:
            if rule == "*" or (address and address in ipaddress.ip_network(rule, strict=False)):
                return True
        except ValueError:
            pass
        name, wanted = split_host_port(rule)
        below = not address and f".{host}".endswith("." + name.removeprefix("*").removeprefix("."))
        if wanted in (None, port) and (host == name or below):
            return True
    return False


class Socket:
    """A connected socket on which every operation ends at ``deadline`` (time.monotonic) with TimeoutError.

    ``read_ahead``: whether files of it may read more than was asked for.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.plain = sock
        self.deadline = deadline
        self.read_ahead = True
        self._files = 0
        self._closing = False

    def _timed(self) -> socket.socket:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.plain.settimeout(left)
        return self.plain

    def sendall(self, data: Any) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._timed().send(rest[:65536]) :]

    def recv_into(self, buffer: Any) -> int:
        return self._timed().recv_into(buffer)

    def take(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises ConnectionError when the stream ends before."""
        data = b""
        while len(data) < size:
            more = self._timed().recv(size - len(data))
            if not more:
                raise ConnectionResetError("connection closed")
            data += more
        return data

    def start_tls(self, tls: ssl.SSLContext, name: str) -> None:
        """Continue with TLS."""
        self.plain = tls.wrap_socket(self._timed(), server_hostname=name)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """A file to read from, which keeps the socket open as those of plain sockets do."""
        self._files += 1
        return io.BufferedReader(_Raw(self), 65536 if self.read_ahead else 1)

    def shutdown(self) -> None:
        """End the connection for every thread that uses it; a blocked read returns."""
        try:
            socket.socket.shutdown(self.plain, socket.SHUT_RDWR)
        except OSError:
            pass

    def idle(self) -> bool:
        """False when the peer has sent or ended something that nobody asked for."""
        poll = select.poll()
        try:
            poll.register(self.plain, select.POLLIN)
        except (OSError, ValueError):
            return False
        return not poll.poll(0)

    def close(self) -> None:
        self._closing = True
        if not self._files:
            self.plain.close()

    def file_closed(self) -> None:
        self._files -= 1
        if self._closing:
            self.close()


class _Raw(io.RawIOBase):
    """Reads from a Socket."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._sock.file_closed()


def dial(to: Endpoint, deadline: float) -> Socket:
    """A new connection. Raises OSError; ssl.SSLError for TLS; ProxyRefused."""
    proxy = to.proxy
    sock = Socket(_tcp((proxy or to).host, (proxy or to).port, deadline), deadline)
    sock.read_ahead = False
    try:
        if proxy:
            if proxy.scheme == "https":
                sock.start_tls(ssl.create_default_context(), proxy.host)
                sock.plain = _piped(sock.plain)
            try:
                (_socks if proxy.scheme.startswith("socks") else _tunnel)(sock, proxy, to.host, to.port)
            except (ConnectionError, http.client.HTTPException) as exc:
                raise ProxyRefused("it closed the connection", lasting=False) from exc
        if to.tls:
            sock.start_tls(to.tls, to.server_name)
    except BaseException:
        sock.close()
        raise
    sock.read_ahead = True
    return sock


def _tcp(host: str, port: int, deadline: float) -> socket.socket:
    """Connected to the first address that accepts; all addresses together end at the deadline."""
    fault: OSError = TimeoutError("timed out")
    for family, kind, protocol, _name, address in _addresses(host, port, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(min(left, CONNECT_WITHIN))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as exc:
            sock.close()
            fault = exc
    raise fault


def _addresses(host: str, port: int, deadline: float) -> list[Any]:
    """As of getaddrinfo, which has no time limit of its own and so runs in a thread."""
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            found.put(exc if isinstance(exc, OSError) else socket.gaierror(socket.EAI_NONAME, str(exc)))

    threading.Thread(target=resolve, daemon=True).start()
    try:
        result = found.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "timed out") from None
    if isinstance(result, OSError):
        raise result
    return result


def _tunnel(sock: Socket, proxy: Proxy, host: str, port: int) -> None:
    """HTTP CONNECT."""
    target = join_host_port(host, port)
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.user:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        head += f"Proxy-Authorization: Basic {pair}\r\n"
    sock.sendall(f"{head}\r\n".encode())
    answer = http.client.HTTPResponse(sock, method="CONNECT")  # type: ignore[arg-type]
    answer.begin()
    if answer.status != 200:
        text = f"it responds {answer.status} {answer.reason}".strip()
        raise ProxyRefused(text, lasting=answer.status not in (429, 502, 503, 504))


def _socks(sock: Socket, proxy: Proxy, host: str, port: int) -> None:
    """SOCKS 5; the proxy resolves host names."""
    methods = b"\x00\x02" if proxy.user else b"\x00"
    sock.sendall(b"\x05%c%s" % (len(methods), methods))
    version, method = sock.take(2)
    if version != 5 or method not in methods:
        text = "it is not a SOCKS 5 proxy" if version != 5 else "it requires other credentials"
        raise ProxyRefused(text, lasting=True)
    if method == 2:
        user, password = proxy.user.encode()[:255], proxy.password.encode()[:255]
        sock.sendall(b"\x01%c%s%c%s" % (len(user), user, len(password), password))
        if sock.take(2)[1]:
            raise ProxyRefused("it rejects user and password", lasting=True)
    sock.sendall(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    _version, code, _reserved, kind = sock.take(4)
    if code:
        raise ProxyRefused(f"it reports: {_SOCKS.get(code, f'error {code}')}", lasting=code in (2, 7, 8))
    sock.take({1: 4, 4: 16}.get(kind) or sock.take(1)[0])
    sock.take(2)


def _socks_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna")
        return b"\x03%c%s" % (len(name), name)
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


def _piped(sock: socket.socket) -> socket.socket:
    """A plain socket for a TLS connection, because Python cannot start TLS in TLS; two threads copy."""
    sock.settimeout(None)
    near, far = socket.socketpair()

    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                pass

    for pair in ((sock, far), (far, sock)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
    return near


class Connection(http.client.HTTPConnection):
    """An HTTP connection to an endpoint. ``wire``: its Socket, also after a response has taken it over."""

    sock: Any
    auto_open = 0

    def __init__(self, to: Endpoint, deadline: float) -> None:
        super().__init__(to.host, to.port)
        self.default_port = _PORTS["https" if to.tls else "http"]
        self.sock = self.wire = dial(to, deadline)

    def end(self) -> None:
        """Close at once, whoever reads from it."""
        self.wire.shutdown()
        self.wire.plain.close()
        self.close()


class Connections:
    """HTTP connections to one endpoint, kept for the next request. Thread-safe."""

    def __init__(self, to: Endpoint) -> None:
        self.to = to
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def take(self, deadline: float, *, fresh: bool = False) -> Connection:
        """A connection for one request until the deadline; with ``fresh`` no kept one, which may just be closed."""
        while not fresh:
            with self._lock:
                if not self._idle:
                    break
                kept = self._idle.pop()
            if kept.wire.idle():
                kept.wire.deadline = deadline
                return kept
            kept.end()
        return Connection(self.to, deadline)

    def give_back(self, connection: Connection) -> None:
        """Keep the connection, whose response has been read completely."""
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Close every kept connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.end()
