"""A kubeconfig's credentials: used over TLS, and in no file afterwards; against a server that wants certificates."""

from __future__ import annotations

import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from authority import Authority, pem_of
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import (
    BadKubeconfig,
    Unreachable,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.kubeconfig import Access, context_alone

Json = dict[str, Any]

COLLECTIONS = Path(transport.__file__).parents[6]


class _Handler(http.server.BaseHTTPRequestHandler):
    """Says who asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        shown = self.connection.getpeercert(binary_form=True)
        [name] = x509.load_der_x509_certificate(shown).subject if shown else [None]
        text = json.dumps({"user": name.value if name else self.headers.get("Authorization")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@dataclass
class Server:
    """An API server that asks for a client certificate of its CA, and a kubeconfig that has one."""

    authority: Authority
    url: str
    folder: Path
    certificate: bytes
    key: bytes

    def kubeconfig(self, cluster: Json | None = None, user: Json | None = None) -> str:
        content = {
            "contexts": [{"name": "c", "context": {"cluster": "a", "user": "b"}}],
            "clusters": [
                {"name": "a", "cluster": {"server": self.url, **(self.trust if cluster is None else cluster)}}
            ],
            "users": [{"name": "b", "user": self.identity if user is None else user}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return str(path)

    @property
    def trust(self) -> Json:
        return {"certificate-authority-data": _data(self.authority.certificate)}

    @property
    def identity(self) -> Json:
        return {"client-certificate-data": _data(self.certificate), "client-key-data": _data(self.key)}


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority = Authority("test-ca")
    names = (x509.DNSName("localhost"), x509.DNSName("api.example"))
    (tmp_path / "server.pem").write_bytes(b"".join(authority.issue("server", *names)))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    tls.load_verify_locations(tmp_path / "ca.pem")
    tls.verify_mode = ssl.CERT_OPTIONAL
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        certificate, key = authority.issue("somebody")
        url = f"https://localhost:{listening.server_address[1]}"
        yield Server(authority, url, tmp_path, certificate, key)
        listening.shutdown()
        thread.join()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def who(kubeconfig: str) -> str:
    with Cluster(kubeconfig, "c") as cluster:
        return str(cluster.request("GET", "/", key="user")["user"])


def test_certificates_of_a_kubeconfig_are_used_and_in_no_file(server: Server, temporary: Path) -> None:
    with Cluster(server.kubeconfig(), "c") as cluster:
        assert list(temporary.iterdir()) == []
        assert cluster.request("GET", "/", key="user") == {"user": "somebody"}
        cluster._access.close()  # a connection made later needs them again
        assert cluster.request("GET", "/", key="user") == {"user": "somebody"}
        assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_worker_that_ends_without_python_s_goodbye_leaves_nothing(server: Server, temporary: Path) -> None:
    program = f"""
        import os
        from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
        print(Cluster({server.kubeconfig()!r}, "c").request("GET", "/", key="user")["user"], flush=True)
        os._exit(0)
    """
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(COLLECTIONS)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "somebody\n", "")
    assert list(temporary.iterdir()) == []


def test_files_of_the_user_are_found_beside_the_kubeconfig(server: Server, temporary: Path) -> None:
    (server.folder / "user.crt").write_bytes(server.certificate)
    (server.folder / "user.key").write_bytes(server.key)
    cluster = {"certificate-authority": "ca.pem"}
    assert who(server.kubeconfig(cluster, {"client-certificate": "user.crt", "client-key": "user.key"})) == "somebody"
    # data counts before a file, which may be gone
    user = {**server.identity, "client-certificate": "gone.crt", "client-key": "gone.key"}
    assert who(server.kubeconfig(cluster, user)) == "somebody"
    assert (server.folder / "user.key").read_bytes() == server.key


def test_a_token_needs_no_certificate(server: Server, temporary: Path) -> None:
    assert who(server.kubeconfig(user={"token": "abc"})) == "Bearer abc"


ALL = {"as": "jane", "as-groups": ["team", "other"], "as-uid": "7", "as-user-extra": {"a/b": ["x", "y"], "c": ["z"]}}


def test_requests_are_made_as_the_user_that_the_kubeconfig_impersonates(server: Server, temporary: Path) -> None:
    """As helm, which gets the same kubeconfig."""
    kubeconfig = server.kubeconfig(user={"token": "abc", **ALL})
    assert Access("c", kubeconfig, "c").headers() == [
        ("Authorization", "Bearer abc"),
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "team"),
        ("Impersonate-Group", "other"),
        ("Impersonate-Extra-a%2Fb", "x"),
        ("Impersonate-Extra-a%2Fb", "y"),
        ("Impersonate-Extra-c", "z"),
    ]
    assert context_alone("c", kubeconfig, "c")["users"][0]["user"] == {"token": "abc", **ALL}
    assert Access("c", server.kubeconfig(user={"token": "abc"}), "c").headers() == [("Authorization", "Bearer abc")]


@pytest.mark.parametrize("field", ["as-groups", "as-uid", "as-user-extra"])
def test_an_impersonation_of_nobody_is_refused(server: Server, temporary: Path, field: str) -> None:
    with pytest.raises(BadKubeconfig, match="require 'as'"):
        Access("c", server.kubeconfig(user={"token": "abc", field: ALL[field]}), "c")


def test_a_token_in_a_file_is_read_again(server: Server, temporary: Path) -> None:
    token = server.folder / "token"
    token.write_text("one\n")
    with Cluster(server.kubeconfig(user={"tokenFile": "token", "token": "old"}), "c") as cluster:
        assert cluster.request("GET", "/", key="user") == {"user": "Bearer one"}
        token.write_text("two\n")
        assert cluster.request("GET", "/", key="user") == {"user": "Bearer two"}
        token.unlink()
        assert cluster.request("GET", "/", key="user") == {"user": "Bearer old"}


def plugin(server: Server, status: str) -> Json:
    """A user whose credentials a program gives."""
    program = server.folder / "plugin.py"
    head = '"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1"'
    told = '__import__("json").loads(__import__("os").environ["KUBERNETES_EXEC_INFO"])["spec"]["cluster"]'
    program.write_text(f"import json\ntold = {told}\nprint(json.dumps({{{head}, 'status': {status}}}))\n")
    command = {"command": sys.executable, "args": [str(program)], "provideClusterInfo": True}
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **command}}


def test_certificates_of_an_exec_plugin_are_in_no_file(server: Server, temporary: Path) -> None:
    status = {"clientCertificateData": server.certificate.decode(), "clientKeyData": server.key.decode()}
    with Cluster(server.kubeconfig(user=plugin(server, repr(status))), "c") as cluster:
        assert list(temporary.iterdir()) == []
        assert cluster.request("GET", "/", key="user") == {"user": "somebody"}
    assert list(temporary.iterdir()) == []


def test_an_exec_plugin_is_told_the_cluster_s_ca(server: Server, temporary: Path) -> None:
    user = plugin(server, "{'token': told['certificate-authority-data'][-8:]}")
    assert who(server.kubeconfig(user=user)) == f"Bearer {_data(server.authority.certificate)[-8:]}"
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_clusters_with_the_same_certificates_load_side_by_side(server: Server, temporary: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(who, [server.kubeconfig()] * 20)) == {"somebody"}
    assert list(temporary.iterdir()) == []


def test_the_server_has_to_be_of_the_ca(server: Server, temporary: Path) -> None:
    other = {"certificate-authority-data": _data(Authority("other-ca").certificate)}
    with pytest.raises(Unreachable, match="certificate is not signed by the kubeconfig's CA"):
        who(server.kubeconfig(other))
    with pytest.raises(Unreachable, match="certificate is not signed by the kubeconfig's CA"):
        who(server.kubeconfig({}))  # the machine's own CAs
    assert who(server.kubeconfig({"insecure-skip-tls-verify": True})) == "somebody"


def test_the_server_s_name_may_be_another(server: Server, temporary: Path) -> None:
    address = {**server.trust, "server": server.url.replace("localhost", "127.0.0.1")}
    with pytest.raises(Unreachable):
        who(server.kubeconfig(address))
    assert who(server.kubeconfig({**address, "tls-server-name": "api.example"})) == "somebody"


def _encrypted(server: Server) -> Json:
    key = serialization.load_pem_private_key(server.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return {"client-key-data": _data(pem_of(key, serialization.BestAvailableEncryption(b"secret")))}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda server: {"client-key-data": "not base64, a-canary"}, "client-key-data is not valid base64"),
        (lambda server: {"client-certificate-data": _data(b"a-canary")}, "client certificate with its key is invalid"),
        (lambda server: {"client-key-data": _data(Authority("x").issue("x")[1])}, "KEY_VALUES_MISMATCH"),
        (_encrypted, "client certificate with its key is invalid or encrypted"),
        (lambda server: {"client-certificate": "gone.crt", "client-certificate-data": None}, "gone.crt"),
    ],
    ids=["no base64", "no PEM", "another key", "encrypted", "no file"],
)
def test_a_credential_that_cannot_be_used_is_named_before_the_first_request(
    server: Server, temporary: Path, change: Callable[[Server], Json], says: str
) -> None:
    with pytest.raises(BadKubeconfig, match=says) as error:
        user = {**server.identity, **change(server)}
        who(server.kubeconfig(user={key: value for key, value in user.items() if value is not None}))
    assert "context 'c' of the kubeconfig" in error.value.msg and "a-canary" not in error.value.msg
    assert list(temporary.iterdir()) == []
