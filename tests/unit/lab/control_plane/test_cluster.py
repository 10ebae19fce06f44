"""Watch caches and writes of a cluster, with a small API server that expires versions and closes watches."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lab.control_plane import api
from lab.control_plane.api import ApiError
from lab.control_plane.cluster import CRD, Cluster
from lab.control_plane.kinds import kind_of
from lab.control_plane.watch_cache import WatchCache


def config_map(name: str, version: int, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "resourceVersion": str(version), "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class HttpServer(ThreadingHTTPServer):
    request_queue_size = 64  # a client opens a connection for each kind; one that does not fit waits for a second


class Server:
    """Serves ConfigMaps; every other kind is an empty list whose watch stays silent."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 10
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.lists = 0
        self.writes: list[tuple[str, str]] = []
        self.gone_once = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if "watch" in parse_qs(url.query):
                    self._watch(url.path)
                    return
                items = []
                if url.path.endswith("/configmaps"):
                    server.lists += 1
                    items = [dict(obj) for obj in server.objects.values()]
                self._answer(200, {"metadata": {"resourceVersion": str(server.version)}, "items": items})

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.writes.append(("PATCH", urlsplit(self.path).path))
                server.version += 1
                body["metadata"].update(resourceVersion=str(server.version), uid="uid-" + body["metadata"]["name"])
                self._answer(200, body)

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.writes.append(("DELETE", urlsplit(self.path).path))
                self._answer(404, {"reason": "NotFound", "message": "not found"})

            def _watch(self, path: str) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if not path.endswith("/configmaps"):
                    self.connection.settimeout(10)
                    self.connection.recv(1)  # until the client hangs up
                    self.close_connection = True
                    return
                while (event := server.events.get()) is not None:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = HttpServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def event(self, what: str, obj: dict[str, Any]) -> None:
        self.events.put({"type": what, "object": obj})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(api, "_connection", lambda kubeconfig, context: (server.url, None))
    yield server
    server.events.put(None)
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def watched(server: Server) -> Iterator[tuple[Cluster, queue.Queue[str]]]:
    cluster = Cluster("c1", Path("unused"))
    changes: queue.Queue[str] = queue.Queue()
    server.objects["a"] = config_map("a", 5, key="1")
    cluster.start(lambda kind: changes.put(kind) if kind == "ConfigMap" else None)
    assert cluster.wait_synced(10)
    assert changes.get(timeout=5) == "ConfigMap"
    yield cluster, changes
    cluster.stop()


def test_the_cache_follows_the_watch(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, changes = watched
    assert cluster.get("ConfigMap", "a", "default") == config_map("a", 5, key="1")
    server.event("MODIFIED", config_map("a", 11, key="2"))
    changes.get(timeout=5)
    found = cluster.get("ConfigMap", "a", "default")
    assert found is not None and found["data"] == {"key": "2"}
    server.event("DELETED", config_map("a", 12))
    changes.get(timeout=5)
    assert cluster.list("ConfigMap") == []


def test_an_expired_version_leads_to_a_new_list(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, changes = watched
    server.objects["b"] = config_map("b", 20)
    server.events.put({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "metadata": {}}})
    changes.get(timeout=5)
    assert [obj["metadata"]["name"] for obj in cluster.list("ConfigMap")] == ["a", "b"]
    assert server.lists == 2


def test_a_watch_that_ends_continues_without_a_new_list(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, changes = watched
    server.events.put(None)
    server.event("ADDED", config_map("c", 13))
    changes.get(timeout=5)
    assert cluster.get("ConfigMap", "c", "default") is not None
    assert server.lists == 1


def test_an_equal_second_apply_sends_nothing(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, _ = watched
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
    for _round in range(3):
        cluster.apply({**wanted, "data": {"a": "1"}}, "tester")
    assert server.writes == [("PATCH", "/api/v1/namespaces/default/configmaps/x")]
    cluster.apply({**wanted, "data": {"a": "2"}}, "tester")
    assert len(server.writes) == 2


def test_a_write_is_in_the_cache_at_once_and_repeated_after_another_change(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, changes = watched
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
    cluster.apply({**wanted, "data": {"a": "1"}}, "tester")
    changes.get(timeout=5)
    assert cluster.get("ConfigMap", "x", "default") is not None
    server.event("MODIFIED", config_map("x", server.version + 1, a="foreign"))
    changes.get(timeout=5)
    cluster.apply({**wanted, "data": {"a": "1"}}, "tester")
    assert len(server.writes) == 2


def test_the_response_to_a_write_does_not_restore_a_deleted_object(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, changes = watched
    server.event("DELETED", config_map("a", 50))  # the watch is past the version the write will get
    changes.get(timeout=5)
    cluster.apply(config_map("a", 5), "tester")
    assert cluster.get("ConfigMap", "a", "default") is None


def test_status_of_a_recreated_object_is_not_written(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, _ = watched
    old = config_map("a", 1)
    old["metadata"]["uid"] = "another"
    assert cluster.set_status(old, {"ready": True}, "tester") is None
    assert server.writes == []


def test_deleting_a_missing_object_is_no_error(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, _ = watched
    cluster.delete("ConfigMap", "nobody", "default")
    assert server.writes == [("DELETE", "/api/v1/namespaces/default/configmaps/nobody")]


def test_prune_deletes_only_labelled_objects_that_are_not_kept(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, changes = watched
    for number, name in enumerate(("keep", "drop"), start=30):
        obj = config_map(name, number)
        obj["metadata"]["labels"] = {"of": "me", "more": "yes"}
        server.event("ADDED", obj)
        changes.get(timeout=5)
    cluster.prune("ConfigMap", {"of": "me"}, {("default", "keep")})
    assert server.writes == [("DELETE", "/api/v1/namespaces/default/configmaps/drop")]


def test_an_unserved_kind_is_empty_and_an_unknown_kind_is_an_error(watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, _ = watched
    assert not cluster.served("Gateway") and cluster.list("Gateway") == []
    with pytest.raises(KeyError, match=r"lab/control_plane/kinds\.py"):
        cluster.served("Nonsense")


def test_an_unreachable_server_is_one_short_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_connection", lambda kubeconfig, context: ("http://127.0.0.1:1", None))
    with pytest.raises(ApiError) as caught:
        Cluster("c1", Path("unused")).delete("Pod", "p", "default")
    assert caught.value.status == 0
    assert str(caught.value).endswith("Connection refused")


def test_a_kind_whose_crd_is_listed_during_the_start_is_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway = kind_of("Gateway")
    crd = {
        "metadata": {"name": gateway.crd, "resourceVersion": "1"},
        "spec": {"versions": [{"name": gateway.version, "served": True}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }

    def start(cache: WatchCache, _name: str) -> None:
        if cache.kind.kind == CRD:  # its thread lists before the next cache is started
            cache._replace([crd], 1)
            cache._changed()

    monkeypatch.setattr(WatchCache, "start", start)
    cluster = Cluster("one", tmp_path / "kubeconfig")
    cluster.start(lambda kind: None)
    assert cluster.served("Gateway") and cluster._caches["Gateway"]._served.is_set()
