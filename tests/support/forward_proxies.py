"""HTTP and SOCKS 5 proxies on loopback, for tests of connections that go through one."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class ForwardProxy:
    """``targets``: host:port of every connection. With ``user`` it wants these credentials; ``refusal``: the status of
    an HTTP proxy, the code of a SOCKS proxy, that it gives instead of a connection."""

    def __init__(self, scheme: str, user: str = "", password: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.scheme, self.user, self.password, self.tls = scheme, user, password, tls
        self.targets: list[str] = []
        self.refusal = 0
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, credentials: str = "") -> str:
        return f"{self.scheme}://{credentials}{'@' if credentials else ''}127.0.0.1:{self.server.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, IndexError):
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            target = self._socks(client) if self.scheme.startswith("socks") else self._connect(client)
            if target:
                self.targets.append(f"{target[0]}:{target[1]}")
                with socket.create_connection(("127.0.0.1", target[1]), 10) as upstream:
                    _relay(client, upstream)
        client.close()

    def _connect(self, client: socket.socket) -> tuple[str, int] | None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        line, *headers = head.decode().split("\r\n")
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user and f"Proxy-Authorization: Basic {pair}" not in headers:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return None
        if self.refusal:
            client.sendall(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % self.refusal)
            return None
        host, _colon, port = line.split(" ")[1].rpartition(":")
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return host, int(port)

    def _socks(self, client: socket.socket) -> tuple[str, int] | None:
        methods = client.recv(2)[1]
        offered = client.recv(methods)
        wanted = 2 if self.user else 0
        client.sendall(bytes([5, wanted if wanted in offered else 255]))
        if wanted not in offered:
            return None
        if self.user:
            client.recv(1)
            given = [client.recv(client.recv(1)[0]).decode() for _field in ("user", "password")]
            client.sendall(bytes([1, given != [self.user, self.password]]))
            if given != [self.user, self.password]:
                return None
        kind = client.recv(4)[3]
        if kind == 3:
            host = client.recv(client.recv(1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, client.recv(4)) if kind == 1 else (socket.AF_INET6, client.recv(16)))
            )
        port = int.from_bytes(client.recv(2), "big")
        client.sendall(bytes([5, self.refusal, 0, 1, 0, 0, 0, 0, 0, 0]))
        return None if self.refusal else (host, port)


def _relay(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    threading.Thread(target=copy, args=(one, other), daemon=True).start()
    copy(other, one)


@contextmanager
def proxy(scheme: str, user: str = "", password: str = "", tls: ssl.SSLContext | None = None) -> Iterator[ForwardProxy]:
    made = ForwardProxy(scheme, user, password, tls)
    try:
        yield made
    finally:
        with suppress(OSError):
            made.server.shutdown(socket.SHUT_RDWR)
        made.server.close()
