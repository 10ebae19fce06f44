"""HTTPS requests ask for the certificate of the host that they are for, as browsers do; against real TLS servers."""

from __future__ import annotations

import http.server
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography import x509

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.sampling import DEFAULT_PATTERN, Response
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.url_client import UrlClient

Json = dict[str, Any]
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
PATTERN = re.compile(DEFAULT_PATTERN, re.DOTALL)


class Edge:
    """A server as a gateway's HTTPS listeners are: it knows a certificate by name and ends all other handshakes."""

    def __init__(self, folder: Path, authority: Authority, *names: str) -> None:
        self.asked: list[str | None] = []
        self.hosts: list[str | None] = []
        self.contexts: dict[str, ssl.SSLContext] = {}
        for name in names:
            path = folder / f"{len(self.contexts)}.pem"
            path.write_bytes(b"".join(authority.issue("edge", _name(name))))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            self.contexts[name] = context

    def context(self) -> ssl.SSLContext:
        fallback = next(iter(self.contexts.values()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def choose(sock: ssl.SSLObject, name: str | None, _context: Any) -> int | None:
            self.asked.append(name)
            fitting = [c for key, c in self.contexts.items() if name == key or (name or "").endswith(key.lstrip("*"))]
            if name is None and not any(isinstance(_name(key), x509.DNSName) for key in self.contexts):
                fitting = [fallback]
            if not fitting:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            sock.context = fitting[0]
            return None

        context.sni_callback = choose
        return context


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def serving(answer: Answer, edge: Edge | None = None, family: int = socket.AF_INET) -> Iterator[int]:
    """The port of a server on the loopback address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if edge:
                edge.hosts.append(self.headers.get("Host"))
            answer(self)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A refused handshake is no error here."""

    with Server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), Handler) as server:
        if edge:
            server.socket = edge.context().wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def answered(handler: http.server.BaseHTTPRequestHandler) -> None:
    _reply(handler, 200, '{"podname": "reviews-v1-abc"}')


def redirected(location: str) -> Answer:
    return lambda handler: _reply(handler, 301, "", Location=location)


def _reply(handler: http.server.BaseHTTPRequestHandler, status: int, body: str, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body.encode())


def sent(url: str, *others: str, **given: Any) -> Response:
    params = {"url": url, "path": "/reviews/0", "headers": {}, "validate_certs": True, **given}
    return UrlClient("cluster1", params, PATTERN, others).send()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Authority, str]:
    made = Authority("site-ca")
    path = tmp_path / "ca.pem"
    path.write_bytes(made.certificate)
    return made, str(path)


@pytest.mark.parametrize(
    ("names", "host", "asked", "port"),
    [
        pytest.param(["shop.example.com"], "shop.example.com", "shop.example.com", "", id="name"),
        pytest.param(["shop.example.com"], "Shop.Example.com.", "shop.example.com", "", id="spelling"),
        pytest.param(["shop.example.com"], "shop.example.com:8443", "shop.example.com", ":8443", id="port"),
        pytest.param(["*.example.com"], "shop.example.com", "shop.example.com", "", id="wildcard"),
        pytest.param(["a.example.com", "b.example.com"], "b.example.com", "b.example.com", "", id="several listeners"),
        pytest.param(["xn--bcher-kva.example"], "bücher.example", "xn--bcher-kva.example", "", id="other scripts"),
    ],
)
def test_the_certificate_of_the_requests_host_is_asked_for_and_compared(
    tmp_path: Path, authority: tuple[Authority, str], names: list[str], host: str, asked: str, port: str
) -> None:
    edge = Edge(tmp_path, authority[0], *names)
    with serving(answered, edge) as number:
        found = sent(f"https://127.0.0.1:{number}", host=host, ca_cert=authority[1])
    assert (found.instance, found.status) == ("reviews-v1-abc", "200")
    assert (edge.asked, edge.hosts) == ([asked], [f"{asked}{port}"])


def test_a_host_in_the_headers_counts_as_the_host(tmp_path: Path, authority: tuple[Authority, str]) -> None:
    edge = Edge(tmp_path, authority[0], "shop.example.com")
    with serving(answered, edge) as port:
        found = sent(f"https://127.0.0.1:{port}", headers={"host": "shop.example.com"}, ca_cert=authority[1])
    assert (found.instance, edge.hosts) == ("reviews-v1-abc", ["shop.example.com"])


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6"))],
)
def test_without_a_host_the_certificate_is_compared_with_the_address(
    tmp_path: Path, authority: tuple[Authority, str], address: str
) -> None:
    edge = Edge(tmp_path, authority[0], address)
    family, shown = (socket.AF_INET6, "[::1]") if ":" in address else (socket.AF_INET, address)
    with serving(answered, edge, family) as port:
        found = sent(f"https://{shown}:{port}", ca_cert=authority[1])
    assert (found.instance, found.excerpt) == ("reviews-v1-abc", "")
    assert edge.hosts == [f"{shown}:{port}"]


def test_a_name_without_a_listener_and_a_bad_certificate_are_distinguished(
    tmp_path: Path, authority: tuple[Authority, str]
) -> None:
    edge = Edge(tmp_path, authority[0], "shop.example.com")
    with serving(answered, edge) as port:
        url = f"https://127.0.0.1:{port}"
        unknown = sent(url, host="news.example.com", validate_certs=False)
        untrusted = sent(url, host="shop.example.com")
        unchecked = sent(url, host="shop.example.com", validate_certs=False)
    assert unknown.status == "TLS handshake failed"
    assert "server name news.example.com" in unknown.excerpt
    assert untrusted.status == "certificate refused"
    assert "for shop.example.com" in untrusted.excerpt
    assert unchecked.instance == "reviews-v1-abc"


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, authority: tuple[Authority, str]) -> None:
    edge = Edge(tmp_path, authority[0], "other.example.com")
    edge.contexts["shop.example.com"] = edge.contexts["other.example.com"]
    with serving(answered, edge) as port:
        found = sent(f"https://127.0.0.1:{port}", host="shop.example.com", ca_cert=authority[1])
    assert found.status == "certificate refused"
    assert "shop.example.com" in found.excerpt


def test_certificates_without_optional_extensions_are_accepted(tmp_path: Path) -> None:
    plain = Authority("old-ca", plain=True)
    (tmp_path / "ca.pem").write_bytes(plain.certificate)
    with serving(answered, Edge(tmp_path, plain, "shop.example.com")) as port:
        found = sent(f"https://127.0.0.1:{port}", host="shop.example.com", ca_cert=str(tmp_path / "ca.pem"))
    assert found.instance == "reviews-v1-abc"


def test_a_plain_http_port_is_reported(tmp_path: Path) -> None:
    with serving(answered) as port:
        found = sent(f"https://127.0.0.1:{port}", host="shop.example.com", validate_certs=False)
    assert found.status == "TLS handshake failed"


def test_a_redirect_to_https_is_followed_to_the_same_address(tmp_path: Path, authority: tuple[Authority, str]) -> None:
    edge = Edge(tmp_path, authority[0], "shop.example.com")
    with (
        serving(answered, edge) as secure,
        serving(redirected(f"https://shop.example.com:{secure}/reviews/0")) as plain,
    ):
        found = sent(f"http://127.0.0.1:{plain}", host="shop.example.com", ca_cert=authority[1])
    assert found.instance == "reviews-v1-abc"
    assert (edge.asked, edge.hosts) == (["shop.example.com"], [f"shop.example.com:{secure}"])


@pytest.mark.parametrize(
    "location",
    [
        "https://login.example.com/reviews/0",
        "/login",
        "https://shop.example.com/login",
        "ftp://shop.example.com/",
        "//[",
    ],
)
def test_any_other_redirect_counts_as_a_failure(location: str) -> None:
    with serving(redirected(location)) as port:
        found = sent(f"http://127.0.0.1:{port}", host="shop.example.com")
    assert (found.instance, found.status) == (None, "301")
    assert found.excerpt == f"redirect to {location}"


def test_redirects_in_a_circle_end() -> None:
    asked: list[str] = []

    def circling(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        port = int(handler.connection.getsockname()[1])
        other = ports[0] if port == ports[1] else ports[1]
        redirected(f"http://shop.example.com:{other}/reviews/0")(handler)

    with serving(circling) as one, serving(circling) as two:
        ports = (one, two)
        found = sent(f"http://127.0.0.1:{one}", host="shop.example.com")
    assert found.instance is None
    assert len(asked) < 10


def test_the_next_address_is_tried_where_no_connection_is_possible() -> None:
    with serving(answered) as port:
        found = sent(f"http://[::1]:{port}", "127.0.0.1", host="shop.example.com")
        refused = sent(f"http://[::1]:{port}")
    assert found.instance == "reviews-v1-abc"
    assert refused.instance is None


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_invalid_ca_file_is_refused_before_the_first_request(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ClusterError, match=r"cluster1: 'ca_cert' .* Set a file of PEM certificates"):
        sent("https://127.0.0.1:1", ca_cert=str(path))


def test_any_path_and_header_text_can_be_sent() -> None:
    seen: list[tuple[str, str | None]] = []

    def record(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, handler.headers.get("X-Team")))
        answered(handler)

    with serving(record) as port:
        found = sent(f"http://127.0.0.1:{port}", path="/bücher und/a%20b?q=[1]&r=ü", headers={"X-Team": "東"})
    assert found.status == "200"
    assert seen == [("/b%C3%BCcher%20und/a%20b?q=[1]&r=%C3%BC", "東".encode().decode("latin-1"))]


def test_a_header_with_a_line_break_is_not_sent_and_its_value_not_shown() -> None:
    with serving(answered) as port:
        found = sent(f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer canary\nX: y"})
    assert found.instance is None and "Authorization" in found.excerpt
    assert "canary" not in str(found)


def test_an_address_without_its_second_bracket_is_refused() -> None:
    with pytest.raises(ClusterError, match="invalid port or address"):
        sent("http://[::1")


@pytest.mark.parametrize("url", ["http://me:canary@host:99999", "ftp://me:canary@host/x", "http://me:canary@[::1"])
def test_a_refused_url_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(ClusterError, match="'url'") as refused:
        sent(url)
    assert "canary" not in refused.value.msg and "host" in refused.value.msg


CREDENTIALS = {
    "Authorization": "Bearer canary",
    "authorization": "Basic canary",
    "Proxy-Authorization": "Basic canary",
    "Cookie": "session=canary",
    "X-Api-Key": "canary",
    "X-Auth": "canary",
    "X-Access-Token": "canary",
    "X-Session-Id": "canary",
}


class Seen:
    """A server of the host shop.example.com, the headers that it received, and its answer."""

    def __init__(self, answer: Answer = answered) -> None:
        self.headers: list[dict[str, str]] = []
        self.reply = answer

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.headers.append({key.lower(): value for key, value in handler.headers.items()})
        self.reply(handler)


@pytest.fixture
def edge(tmp_path: Path, authority: tuple[Authority, str]) -> Edge:
    return Edge(tmp_path, authority[0], "shop.example.com")


@pytest.mark.parametrize("header", CREDENTIALS)
@pytest.mark.parametrize(("first", "second"), [("http", "https"), ("http", "http"), ("https", "https")])
def test_credentials_are_not_sent_to_another_origin(
    edge: Edge, authority: tuple[Authority, str], first: str, second: str, header: str
) -> None:
    target = Seen()
    with serving(target, edge if second == "https" else None) as there:
        origin = Seen(redirected(f"{second}://shop.example.com:{there}/reviews/0"))
        with serving(origin, edge if first == "https" else None) as here:
            found = sent(
                f"{first}://127.0.0.1:{here}",
                host="shop.example.com",
                headers={header: CREDENTIALS[header], "X-Team": "a"},
                ca_cert=authority[1],
            )
    assert found.instance == "reviews-v1-abc"
    assert [seen.get(header.lower()) for seen in (*origin.headers, *target.headers)] == [CREDENTIALS[header], None]
    assert [seen["x-team"] for seen in (*origin.headers, *target.headers)] == ["a", "a"]


def test_credentials_are_sent_again_to_the_first_origin() -> None:
    target, steps = Seen(), iter([0, 1])

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        (redirected(f"http://shop.example.com:{there}/reviews/0") if next(steps) == 0 else answered)(handler)

    origin = Seen(reply)
    with serving(origin) as here, serving(target) as there:
        target.reply = redirected(f"http://shop.example.com:{here}/reviews/0")
        found = sent(f"http://127.0.0.1:{here}", host="shop.example.com", headers={"Cookie": "canary"})
    assert found.instance == "reviews-v1-abc"
    assert [seen.get("cookie") for seen in origin.headers] == ["canary", "canary"]
    assert [seen.get("cookie") for seen in target.headers] == [None]


@pytest.mark.parametrize("before", [0, 1])
def test_a_redirect_from_https_to_http_is_the_response(
    edge: Edge, authority: tuple[Authority, str], before: int
) -> None:
    """Also after a redirect that is followed."""
    plain = Seen()
    with serving(plain) as http_port:
        secure = Seen(redirected(f"http://shop.example.com:{http_port}/reviews/0"))
        with serving(secure, edge) as port, serving(redirected(f"https://shop.example.com:{port}/reviews/0")) as first:
            url = f"http://127.0.0.1:{first}" if before else f"https://127.0.0.1:{port}"
            found = sent(url, host="shop.example.com", headers={"Cookie": "canary"}, ca_cert=authority[1])
    assert plain.headers == []
    assert len(secure.headers) == 1
    assert (found.instance, found.status) == (None, "301")
    assert found.excerpt.startswith("not followed, because it leads from https to http: redirect to http://shop.")
