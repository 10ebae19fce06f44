"""Watch caches and writes of lab.world, against a small API server that forgets, deletes and hangs up."""

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

import lab.api
from lab.world import KINDS, ApiError, Cluster, Places, World, contains, selects


def config_map(name: str, version: int, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "resourceVersion": str(version), "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


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

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def event(self, what: str, obj: dict[str, Any]) -> None:
        self.events.put({"type": what, "object": obj})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(lab.api, "_connection", lambda kubeconfig, context: (server.url, None))
    yield server
    server.events.put(None)
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def watched(server: Server) -> Iterator[tuple[Cluster, queue.Queue[str]]]:
    cluster = Cluster("c1", Path("unused"), "c1")
    changes: queue.Queue[str] = queue.Queue()
    server.objects["a"] = config_map("a", 5, key="1")
    cluster.start(lambda name, kind: changes.put(kind) if kind == "ConfigMap" else None)
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


def test_a_forgotten_version_leads_to_a_new_list(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, changes = watched
    server.objects["b"] = config_map("b", 20)
    server.events.put({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "metadata": {}}})
    changes.get(timeout=5)
    assert [obj["metadata"]["name"] for obj in cluster.list("ConfigMap")] == ["a", "b"]
    assert server.lists == 2


def test_a_watch_that_ends_goes_on_without_a_new_list(
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


def test_a_write_is_seen_at_once_and_undone_by_a_foreign_change(
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


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted_since(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, changes = watched
    server.event("DELETED", config_map("a", 50))  # the watch is past the version the write will get
    changes.get(timeout=5)
    cluster.apply(config_map("a", 5), "tester")
    assert cluster.get("ConfigMap", "a", "default") is None


def test_status_of_an_object_made_anew_is_not_written(
    server: Server, watched: tuple[Cluster, queue.Queue[str]]
) -> None:
    cluster, _ = watched
    old = config_map("a", 1)
    old["metadata"]["uid"] = "another"
    assert cluster.set_status(old, {"ready": True}, "tester") is None
    assert server.writes == []


def test_deleting_what_is_not_there_is_fine(server: Server, watched: tuple[Cluster, queue.Queue[str]]) -> None:
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


def test_an_unserved_kind_is_empty_and_unknown_kinds_are_named(watched: tuple[Cluster, queue.Queue[str]]) -> None:
    cluster, _ = watched
    assert not cluster.served("Gateway") and cluster.list("Gateway") == []
    with pytest.raises(KeyError, match=r"lab/kinds\.py"):
        cluster.served("Nonsense")


def test_an_unreachable_server_is_one_short_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.api, "_connection", lambda kubeconfig, context: ("http://127.0.0.1:1", None))
    with pytest.raises(ApiError) as caught:
        Cluster("c1", Path("unused"), "c1").delete("Pod", "p", "default")
    assert caught.value.status == 0
    assert str(caught.value).endswith("Connection refused")


@pytest.mark.parametrize(
    ("live", "desired", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": {}, "b": []}, True),
        ({}, {"a": ""}, False),
        ({"a": True}, {"a": "true"}, False),
    ],
)
def test_contains(live: Any, desired: Any, expected: bool) -> None:
    assert contains(live, desired) is expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "reviews"}}, True),
        ({"matchLabels": {"app": "ratings"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["reviews", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["reviews"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selects(selector: dict[str, Any] | None, expected: bool) -> None:
    assert selects(selector, {"app": "reviews"}) is expected


def test_paths_of_kinds() -> None:
    assert KINDS["Pod"].path("ns", "p", "status") == "/api/v1/namespaces/ns/pods/p/status"
    assert KINDS["Node"].path("ignored", "n") == "/api/v1/nodes/n"
    assert KINDS["Gateway"].path() == "/apis/gateway.networking.k8s.io/v1/gateways"
    assert KINDS["Gateway"].crd == "gateways.gateway.networking.k8s.io"


def test_places_are_kept_and_distinct(tmp_path: Path) -> None:
    first = Places(tmp_path / "places.json")
    ports = [first.port(f"p{number}") for number in range(20)]
    assert len(set(ports)) == 20
    address = first.address("cluster1 bookinfo/http", [8080])
    assert address.startswith("127.") and address != "127.0.0.1"
    again = Places(tmp_path / "places.json")
    assert [again.port(f"p{number}") for number in range(20)] == ports
    assert again.address("cluster1 bookinfo/http", [8080]) == address
    again.drop("address cluster1 bookinfo/http")
    assert "cluster1" not in (tmp_path / "places.json").read_text()


def test_two_labs_get_different_ports(tmp_path: Path) -> None:
    one, two = (Places(tmp_path / name / "places.json") for name in ("one", "two"))
    one.path.parent.mkdir()
    two.path.parent.mkdir()
    # One and the same port once in 11000 times, three of them never.
    names = ("mgmt", "cluster1", "cluster2")
    assert [one.port(name) for name in names] != [two.port(name) for name in names]


def test_a_released_address_is_given_back(tmp_path: Path) -> None:
    world = World(
        home=tmp_path,
        clusters={"mgmt": Cluster("mgmt", tmp_path / "kubeconfig", "mgmt")},
        management="mgmt",
        programs={},
        istio_charts=tmp_path,
        charts=tmp_path,
    )
    address = world.address("mgmt", "ns/one", [9900])
    assert world.address("mgmt", "ns/one", [9900]) == address
    assert world.address("mgmt", "ns/two", [9900]) != address
    world.release_address("mgmt", "ns/one")
    assert "ns/one" not in (tmp_path / "places.json").read_text()
    assert world.istiod_port("cluster1") == world.istiod_port("cluster1")
    assert len({world.free_port() for _ in range(10)}) == 10
