"""Connections to an API server with TLS, direct and through proxies: requests and port-forwards alike."""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography import x509
from forward_proxies import proxy

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import connection, transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.connection import proxy_from
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import (
    BadKubeconfig,
    ClusterError,
    Unreachable,
)

Json = dict[str, Any]
PASSWORD = "p@ss:w/rd"
QUOTED = "p%40ss%3Aw%2Frd"


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET; a port-forward leads to a Pod that answers every line with itself."""

    protocol_version = "HTTP/1.1"
    silent = False

    def do_GET(self) -> None:
        if "/portforward" in self.path:
            return self._forward()
        body = json.dumps({"gitVersion": "v1.36.3", "seen": dict(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def _forward(self) -> None:
        port = int(self.path.rpartition("=")[2]).to_bytes(2, "little")
        accept = hashlib.sha1(
            f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
        ).digest()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        # Both at once with the head: what follows it must not be lost.
        self.wfile.write(_frame(b"\x00" + port) + _frame(b"\x01" + port))
        while not self.silent and (data := self._message()):
            self.wfile.write(_frame(data))

    def _message(self) -> bytes:
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 15 != 2:
            return b""
        mask, length = self.rfile.read(4), head[1] & 127
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def _frame(data: bytes) -> bytes:
    return bytes([0x82, len(data)]) + data


Written = Callable[..., str]


@pytest.fixture
def authority() -> Authority:
    """As clusters have it that were made long ago: without key identifiers."""
    return Authority("old-ca", plain=True)


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    names = x509.DNSName("localhost"), x509.DNSName("api.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    (tmp_path / "server.pem").write_bytes(b"".join(authority.issue("server", *names)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


@pytest.fixture
def port(tls: ssl.SSLContext) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        listening.daemon_threads = True
        listening.socket = tls.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield int(listening.server_address[1])
        listening.shutdown()
        thread.join()


@pytest.fixture
def written(port: int, authority: Authority, tmp_path: Path) -> Written:
    """``written(**cluster)``: a kubeconfig with these fields of the cluster."""

    def write(**cluster: Any) -> str:
        ca = base64.b64encode(authority.certificate).decode()
        found = {"server": f"https://localhost:{port}", "certificate-authority-data": ca, **cluster}
        content = {
            "clusters": [{"name": "a", "cluster": {key: value for key, value in found.items() if value is not None}}],
            "users": [{"name": "b", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "a", "user": "b"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def both(kubeconfig: str) -> None:
    """A request and a port-forward by this kubeconfig."""
    with Cluster(kubeconfig, "c", "cluster1", patience=0.1) as cluster:
        assert cluster.request("GET", "/version", key="seen")["seen"]["Authorization"] == "Bearer t"
        cluster._access.close()
        sock = cluster.pod_socket("ns", "pod", 9080)
        sock.settimeout(20)
        for text in (b"hello", b"again"):
            sock.sendall(text)
            assert sock.recv(100) == text
        sock.close()


def test_requests_and_port_forwards_of_an_old_ca(written: Written) -> None:
    both(written())


def test_tls_requires_no_more_of_certificates_than_kubectl(written: Written) -> None:
    """Python 3.13 would require key identifiers of every CA."""
    with Cluster(written(), "c") as cluster:
        tls = cluster._access.connections.to.tls
        assert tls is not None and not tls.verify_flags & ssl.VERIFY_X509_STRICT
        assert tls.verify_mode == ssl.CERT_REQUIRED and tls.check_hostname


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_with_user_and_password(written: Written, port: int, scheme: str) -> None:
    with proxy(scheme, "user", PASSWORD) as used:
        both(written(**{"proxy-url": used.url(f"user:{QUOTED}")}))
        assert used.targets == [f"localhost:{port}"] * 2
        for wrong in ("", "user:wrong"):
            with pytest.raises(Unreachable) as error:
                both(written(**{"proxy-url": used.url(wrong)}))
            assert (
                f"proxy {scheme}://127.0.0.1:" in error.value.msg and "cannot be reached: the proxy" in error.value.msg
            )
            assert "wrong" not in error.value.msg and QUOTED not in error.value.msg
        assert len(used.targets) == 2


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_without_password_and_an_address_instead_of_a_name(written: Written, port: int, scheme: str) -> None:
    with proxy(scheme) as used:
        both(written(server=f"https://127.0.0.1:{port}", **{"proxy-url": used.url()}))
        assert used.targets == [f"127.0.0.1:{port}"] * 2


def test_a_proxy_with_tls(written: Written, port: int, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    monkeypatch.setattr(connection.ssl, "create_default_context", lambda: trusting)
    with proxy("https", "user", PASSWORD, tls) as used:
        both(written(**{"proxy-url": used.url(f"user:{QUOTED}")}))
        assert used.targets == [f"localhost:{port}"] * 2


@pytest.mark.parametrize(
    ("scheme", "refusal", "tries", "says"),
    [
        ("http", 403, 1, "403 Refused"),
        ("http", 503, 2, "503 Refused"),
        ("socks5", 2, 1, "not allowed by its rules"),
        ("socks5", 5, 2, "connection refused"),
    ],
)
def test_what_a_proxy_refuses_is_told(written: Written, scheme: str, refusal: int, tries: int, says: str) -> None:
    with proxy(scheme) as used:
        used.refusal = refusal
        kubeconfig = written(**{"proxy-url": used.url()})
        with Cluster(kubeconfig, "c", "cluster1", patience=0.3) as cluster, pytest.raises(Unreachable, match=says):
            cluster.version()
        assert cluster.requests == tries


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_none_is_named(written: Written, port: int, scheme: str, monkeypatch: Any) -> None:
    """The API server itself, which speaks TLS only."""
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 0.5)
    kubeconfig = written(**{"proxy-url": f"{scheme}://127.0.0.1:{port}"})
    with (
        Cluster(kubeconfig, "c", "cluster1", patience=0.1) as cluster,
        pytest.raises(Unreachable, match=f"proxy {scheme}://127.0.0.1:{port}"),
    ):
        cluster.version()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"ftp://user:{QUOTED}@proxy:1", "scheme 'ftp' is not http, https or socks5"),
        (f"http://user:{QUOTED}@proxy:99999", "port is not a number"),
        (f"socks5://user:{QUOTED}@", "no host name"),
        (f"http://user:{QUOTED}@[::1", "the proxy is not a URL"),
        # Python would show all of it.
        (f"http://user:{QUOTED}\u2100@proxy:1", "the proxy is not a URL"),
    ],
)
def test_an_invalid_proxy_is_refused_without_its_password(written: Written, url: str, says: str) -> None:
    with pytest.raises(BadKubeconfig, match=says) as error:
        Cluster(written(**{"proxy-url": url}), "c", "cluster1")
    assert QUOTED not in error.value.msg and PASSWORD not in error.value.msg


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("10.0.0.1:6443", "Write for example https://10.0.0.1:6443"),
        ("api.example.com", "Write for example https://api.example.com"),
        ("ftp://api.example.com", "Write for example https://api.example.com"),
        ("https://", "is not a URL"),
        ("https://api:port", "invalid port"),
        ("https://api:0", "is not a URL"),
        ("https://[::1", "invalid port or address"),
        (f"https://user:{QUOTED}@api", "contains a user or password"),
        (f"https:user:{QUOTED}@api", "contains a user or password"),
        (f"user:{QUOTED}@api:6443", "contains a user or password"),
        (f"https://api:6443/?token={QUOTED}", "Write for example https://api:6443/$"),
        ("https://a..b:6443", "is not a URL"),
        (f"https://{'a' * 64}.b", "is not a URL"),
        (f"https://{'a.' * 130}b", "is not a URL"),
        ("https://ho st", "is not a URL"),
        ("https://api:6443\n", "is not a URL"),
        ("https://api\x01:6443", "is not a URL"),
        (8080, "server of its cluster is not text"),
        (None, "has no server"),
    ],
)
def test_a_server_that_is_no_url_is_refused(written: Written, server: str | None, says: str) -> None:
    with pytest.raises(BadKubeconfig, match=says) as error:
        Cluster(written(server=server), "c", "cluster1")
    assert QUOTED not in error.value.msg


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        *(({"tls-server-name": name}, "is not a host name") for name in (".a", "a..b", "a" * 64, "a b", "a\0b")),
        ({"tls-server-name": ["a"]}, "tls-server-name of its cluster is not text"),
        ({"insecure-skip-tls-verify": "false"}, "insecure-skip-tls-verify of its cluster is neither true nor false"),
        ({"insecure-skip-tls-verify": 1}, "is neither true nor false"),
        ({"insecure-skip-tls-verify": True}, "has a CA and insecure-skip-tls-verify, which exclude each other"),
        ({"disable-compression": "true"}, "is neither true nor false"),
        ({"proxy-url": ["http://a"]}, "proxy-url of its cluster is not text"),
        ({"certificate-authority-data": 5}, "certificate-authority-data of its cluster is not text"),
    ],
)
def test_what_kubectl_and_helm_refuse_is_refused(written: Written, fields: Json, says: str) -> None:
    with pytest.raises(BadKubeconfig, match=says):
        Cluster(written(**fields), "c", "cluster1")


@pytest.mark.parametrize(("path", "sent"), [("/a b", "/a%20b"), ("/é", "/%C3%A9"), ("/a%20b", "/a%20b")])
def test_the_path_of_a_server_is_sent_as_kubectl_does(written: Written, port: int, path: str, sent: str) -> None:
    with Cluster(written(server=f"https://localhost:{port}{path}"), "c") as cluster:
        assert cluster._target("/version", None) == f"{sent}/version"
        assert cluster.version() == "v1.36.3"


def test_a_server_below_a_path(written: Written, port: int) -> None:
    with Cluster(written(server=f"https://localhost:{port}/k8s/clusters/c-1/"), "c") as cluster:
        assert cluster._target("/version", {"a": "b"}) == "/k8s/clusters/c-1/version?a=b"
        assert cluster.version() == "v1.36.3"


def test_a_port_forward_to_a_silent_pod_ends_by_its_own_limit(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "silent", True)
    with Cluster(written(), "c", "cluster1") as cluster:
        sock = cluster.pod_socket("ns", "pod", 9080)
        sock.settimeout(0.2)
        pod = http.client.HTTPConnection("pod", 9080)
        pod.sock = sock
        begin = time.monotonic()
        with pytest.raises((TimeoutError, ConnectionError, http.client.HTTPException)):
            pod.request("GET", "/")
            pod.getresponse()
        assert time.monotonic() - begin < 10


def test_a_server_that_accepts_and_is_silent(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within TLS's handshake."""
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 0.5)
    with connection.socket.create_server(("127.0.0.1", 0)) as silent:
        kubeconfig = written(server=f"https://127.0.0.1:{silent.getsockname()[1]}")
        with Cluster(kubeconfig, "c", "cluster1", patience=0.1) as cluster:
            for call in (cluster.version, partial(cluster.pod_socket, "ns", "p", 1)):
                begin = time.monotonic()
                with pytest.raises(ClusterError, match="does not respond: timed out"):
                    call()
                assert time.monotonic() - begin < 10


def test_all_addresses_together_have_one_limit(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a host with many addresses, none of which accepts."""
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 1.0)
    with connection.socket.create_server(("127.0.0.1", 0), backlog=0) as full, connection.socket.socket() as first:
        first.connect(full.getsockname())
        address = (connection.socket.AF_INET, connection.socket.SOCK_STREAM, 6, "", full.getsockname())
        monkeypatch.setattr(connection.socket, "getaddrinfo", lambda *args, **options: [address] * 100)
        begin = time.monotonic()
        with (
            Cluster(written(), "c", "cluster1", patience=0.1) as cluster,
            pytest.raises(Unreachable, match="timed out"),
        ):
            cluster.version()
        assert time.monotonic() - begin < 10


def test_a_host_name_that_is_never_resolved(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 0.5)
    answered = threading.Event()
    monkeypatch.setattr(connection.socket, "getaddrinfo", lambda *args, **options: answered.wait(60))
    with (
        Cluster(written(), "c", "cluster1", patience=0.1) as cluster,
        pytest.raises(Unreachable, match="host name cannot be resolved"),
    ):
        cluster.version()
    answered.set()


@pytest.mark.parametrize(
    ("variables", "host", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, "api.example.com", "http://p:3128"),
        ({"https_proxy": "p:3128"}, "api.example.com", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "api.example.com", None),
        ({"HTTPS_PROXY": "socks5://p"}, "10.0.0.1", "socks5://p:1080"),
        ({"HTTPS_PROXY": "http://p"}, "127.0.0.1", None),
        ({"HTTPS_PROXY": "http://p"}, "::1", None),
        ({"HTTPS_PROXY": "http://p"}, "localhost", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, "api.example.com", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, "api.example.com", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.com"}, "api.example.com", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*.example.com"}, "API.example.com", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "ample.com"}, "api.example.com", "http://p:80"),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "10.0.0.0/8, other"}, "10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3:6443"}, "10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.2.3:1"}, "10.1.2.3", "http://p:80"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "2001:db8::/32"}, "2001:db8::1", None),
    ],
)
def test_the_environment_sets_proxies_as_for_kubectl(variables: Json, host: str, expected: str | None) -> None:
    found = proxy_from(variables, "https", host, 6443)
    assert (str(found) if found else None) == expected
