"""The connection: kubeconfig faults, refusals, retries, lists, watches; against an API server on loopback."""

from __future__ import annotations

import functools
import json
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import (
    BadKubeconfig,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    MissingLibrary,
    NotFound,
    NotServed,
    Unreachable,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.kinds import Kind, known
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.progress import Progress
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.status_errors import explain

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}


def connect(fake: Any, **options: Any) -> Cluster:
    return Cluster(fake[1], "fake", "cluster1", **options)


def test_an_unknown_context_lists_the_known_ones(fake: Any) -> None:
    with pytest.raises(BadKubeconfig, match=re.escape("has no context 'nope' (contexts: fake, other)")) as error:
        Cluster(fake[1], "nope", "cluster1")
    assert error.value.facts["contexts"] == ["fake", "other"]
    assert error.value.msg.startswith("cluster1: ")


@pytest.mark.parametrize("text", [None, "", "[]", "a: [", "contexts: 1", "contexts: [1]"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(BadKubeconfig) as error:
        Cluster(str(path), "c", "cluster1")
    assert str(path) in error.value.msg and "Traceback" not in error.value.msg


CANARY = "eyJhbGciOiJSUzI1NiJ9"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"users:\n- user:\n    token: 'x {CANARY}\n", "line 4: found unexpected end of stream"),
        (f"users:\n- user:\n    token: {CANARY}: {CANARY}\n", "line 3: mapping values are not allowed"),
        (f"users:\n- token: !{CANARY} x\n", "line 2: could not determine a constructor for the tag ..."),
        (f"users:\n- token: *{CANARY}\n", "line 2: found undefined alias"),
        (f"users: [{CANARY}: a, b\n", "expected ',' or ']'"),
        (f"users: !{CANARY}!x y\n", "line 1: found undefined tag handle"),
        (f"users: {CANARY}\x07\n", "a character that is not allowed"),
        (f"users: !!int {CANARY}\n", "it has a value that cannot be parsed"),
        (f"users: !!bool {CANARY}\n", "it has a value that cannot be parsed"),
        (f"users: {CANARY}\na: " + "[" * 2000, "it has a value that cannot be parsed"),
        (f'users: "{CANARY}\\q"\n', "line 1: found unknown escape character"),
    ],
)
def test_a_broken_kubeconfig_is_not_quoted(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadKubeconfig) as error:
        Cluster(str(path), "c", "cluster1")
    assert f"{path} cannot be read: it is not valid YAML" in error.value.msg and says in error.value.msg
    assert CANARY not in error.value.msg and CANARY not in str(error.value.facts)
    assert error.value.__suppress_context__


def test_an_unreachable_server_is_awaited_and_named_with_the_reason(tmp_path: Path, fake: Any) -> None:
    """As long as one that responds 503: a restart of the API server must not end a run."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    content = Path(fake[1]).read_text(encoding="utf-8")
    path = tmp_path / "gone"
    path.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", content), encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(Unreachable) as error:
        Cluster(str(path), "fake", "cluster1", patience=1.5).uid()
    assert 1 < time.monotonic() - started < 3
    assert f"http://127.0.0.1:{port} (context fake) does not respond: connection refused (tried for" in error.value.msg


def test_expired_credentials_are_explained(fake: Any) -> None:
    fake[0].refuse("GET", "kube-system", 401, {"reason": "Unauthorized", "message": "Unauthorized"})
    with pytest.raises(Forbidden, match="expired"):
        connect(fake).uid()


def test_without_the_library_the_error_says_what_to_install(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IMPORT_ERROR", "Traceback ...\nModuleNotFoundError: No module named 'kubernetes'")
    with pytest.raises(MissingLibrary, match=r"No module named 'kubernetes'.*pip install kubernetes"):
        connect(fake)


def test_known_kinds_need_no_discovery_unknown_ones_one_request(fake: Any) -> None:
    api, _kubeconfig = fake
    api.kinds["x.example/v1"] = {"things": ("Thing", False), "things/status": ("Thing", False)}
    with connect(fake) as cluster:
        assert cluster.get("v1", "ConfigMap", "a", "default") is None
        assert cluster.get("x.example/v1", "Thing", "a") is None
        assert cluster.get("x.example/v1", "Thing", "b", "ignored") is None
        assert cluster.requests == 4
    assert [path for _method, path, _dry in api.log] == [
        "/api/v1/namespaces/default/configmaps/a",
        "/apis/x.example/v1",
        "/apis/x.example/v1/things/a",
        "/apis/x.example/v1/things/b",
    ]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("x.example/v1", "Thing"), ("gateway.networking.k8s.io/v1", "Gateway"), ("v1", "NoSuchKind")],
)
def test_a_kind_that_is_not_served_is_told_from_an_object_that_is_not_there(
    fake: Any, api_version: str, kind: str
) -> None:
    with connect(fake) as cluster, pytest.raises(NotServed, match=f"does not serve {api_version} {kind}"):
        cluster.get(api_version, kind, "a", "default")


def test_a_kind_served_later_is_found(fake: Any) -> None:
    api, _kubeconfig = fake
    with connect(fake) as cluster:
        for present in ({}, {"others": ("Other", True)}):
            api.kinds["x.example/v1"] = present
            with pytest.raises(NotServed):
                cluster.kind("x.example/v1", "Thing")
        api.kinds["x.example/v1"] = {"things": ("Thing", True)}
        assert cluster.kind("x.example/v1", "Thing") == Kind("x.example/v1", "Thing", "things", True)


def test_long_lists_are_read_to_the_end(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        None: {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}},
        "more": {"items": [{"metadata": {"name": "b"}}], "metadata": {"resourceVersion": "7"}},
    }
    with connect(fake) as cluster:
        monkeypatch.setattr(
            cluster, "request", lambda method, path, query, **more: json.loads(json.dumps(pages[query.get("continue")]))
        )
        items, version = cluster.list_at("v1", "ConfigMap", "default")
    assert [item["metadata"]["name"] for item in items] == ["a", "b"] and version == "7"
    assert items[0]["kind"] == "ConfigMap"


BUSY = {"reason": "TooManyRequests", "message": "too many"}
WEBHOOK = {"message": 'failed calling webhook "x": Post "https://x": dial tcp: connect: connection refused'}


@pytest.mark.parametrize(("code", "status"), [(429, BUSY), (503, BUSY), (500, WEBHOOK)])
def test_transient_refusals_are_tried_again(fake: Any, code: int, status: dict[str, Any]) -> None:
    fake[0].refuse("PATCH", "configmaps", code, status, times=2)
    with connect(fake) as cluster:
        assert cluster.apply(CONFIG_MAP)["metadata"]["name"] == "a"
        assert cluster.requests == 3


def test_patience_ends(fake: Any) -> None:
    fake[0].refuse("PATCH", "configmaps", 500, WEBHOOK, times=50)
    started = time.monotonic()
    with (
        connect(fake, patience=1.0) as cluster,
        pytest.raises(ClusterError, match="Check that the server of the admission webhook"),
    ):
        cluster.apply(CONFIG_MAP)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        (404, {"message": 'namespaces "x" not found'}, NotFound, 'namespaces "x"'),
        (403, {"reason": "Forbidden", "message": 'pods is forbidden: User "u" cannot'}, Forbidden, "another context"),
        (403, {"reason": "Forbidden", "message": 'admission webhook "w" denied the request: no'}, Invalid, "denied"),
        (422, {"reason": "Invalid", "message": "spec.x: Required"}, Invalid, "spec.x: Required"),
        (500, {"message": "failed to create typed patch object: .spec.y: not declared"}, Invalid, ".spec.y"),
        (503, {"message": "starting"}, Unreachable, "cannot respond"),
        (418, {}, ClusterError, "HTTP 418"),
    ],
)
def test_refusals_name_object_reason_and_cluster(code: int, status: Any, kind: type, says: str) -> None:
    error = explain("cluster1", "https://s", "Pod ns/a", status, code)
    assert type(error) is kind
    assert error.msg.startswith("cluster1: Pod ns/a: ") and says in error.msg


def test_a_conflict_names_fields_and_managers(fake: Any) -> None:
    api, _kubeconfig = fake
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "theirs"}}, "kubectl")
    wanted = {**CONFIG_MAP, "data": {"k": "ours"}}
    with connect(fake) as cluster:
        with pytest.raises(Conflict, match=r"\.data\.k \(kubectl\).*on_conflict: force") as error:
            cluster.apply(wanted)
        assert error.value.fields == {".data.k": ["kubectl"]}
        assert cluster.apply(wanted, force=True)["data"] == {"k": "ours"}


def test_a_dry_run_writes_nothing_and_is_counted_apart(fake: Any) -> None:
    with connect(fake) as cluster:
        cluster.apply(CONFIG_MAP, dry_run=True)
        assert (cluster.requests, cluster.writes, cluster.dry_runs) == (1, 0, 1)
    assert fake[0].get("v1", "configmaps", "default", "a") is None


def test_deleting_what_is_not_there_is_no_error(fake: Any) -> None:
    with connect(fake) as cluster:
        assert cluster.delete("v1", "ConfigMap", "a", "default") is False
        assert cluster.delete("gone.example/v1", "Thing", "a") is False


DAMAGED = [
    b"x",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    b'{"type": "ADDED"}',
    b'{"type": "ADDED", "object": null}',
    b'{"type": "ADDED", "object": [1]}',
    b'{"type": "ADDED", "object": {"kind": "ConfigMap"}}',
    b'{"type": "MODIFIED", "object": {"metadata": []}}',
    b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": null}}}',
    b'{"type": ["DELETED"], "object": {"metadata": {"resourceVersion": "1"}}}',
    b'{"type": "ERROR", "object": "expired"}',
    b'{"type": "ERROR", "object": {"code": {}, "message": [], "details": 5}}',
]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_ends_a_watch(fake: Any, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    """What came before it counts; whoever watches lists again."""
    good = {"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "7"}}}
    lines = [json.dumps(good).encode(), b" ", line, json.dumps(good).encode()]
    with Cluster(fake[1], "fake", "cluster1") as cluster:
        monkeypatch.setattr(cluster, "_stream", lambda *_args: Lines(lines))
        seen: list[Any] = []
        with suppress(ClusterError):
            seen.extend(cluster.watch("v1", "ConfigMap", "default"))
        assert seen == [("ADDED", good["object"])]


class Lines(list[bytes]):
    """A stream."""

    def close(self) -> None:
        """Nothing."""


def test_a_watch_tells_changes_and_can_be_ended_from_outside(fake: Any) -> None:
    api, _kubeconfig = fake
    opened: list[Any] = []
    with connect(fake) as cluster:
        _items, version = cluster.list_at("v1", "ConfigMap", "default")
        events = cluster.watch("v1", "ConfigMap", "default", resource_version=version, timeout=30, opened=opened.append)
        later = threading.Timer(
            0.1, api.write, ("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {}})
        )
        later.start()
        kind, obj = next(events)
        assert (kind, obj["metadata"]["name"]) == ("ADDED", "a")
        threading.Timer(0.1, opened[0].shutdown).start()
        started = time.monotonic()
        assert list(events) == []
        assert time.monotonic() - started < 5


def test_a_refused_port_forward_says_what_the_api_server_said(fake: Any) -> None:
    api, _kubeconfig = fake
    with connect(fake) as cluster:
        api.refuse(
            "GET", "portforward", 403, {"reason": "Forbidden", "message": 'User "u" cannot get pods/portforward'}
        )
        with pytest.raises(Forbidden, match=r'cluster1: Pod ns/a: .*User "u" cannot get pods/portforward'):
            cluster.pod_socket("ns", "a", 9080)
    assert api.log[-1][1].startswith("/api/v1/namespaces/ns/pods/a/portforward")


def test_addresses_of_kinds() -> None:
    deployment, namespace = known("apps/v1", "Deployment"), known("v1", "Namespace")
    assert deployment is not None and namespace is not None
    assert deployment.url("ns", "d") == "/apis/apps/v1/namespaces/ns/deployments/d"
    assert deployment.url() == "/apis/apps/v1/deployments"
    assert namespace.url("ignored", "x") == "/api/v1/namespaces/x"
    assert known("networking.gloo.solo.io/v2", "VirtualDestination") is None


def test_the_last_lines_of_a_container_are_read(fake: Any) -> None:
    api, kubeconfig = fake
    api.write("v1", "pods", "default", {"metadata": {"name": "p"}})
    api.logs[("default", "p", "c", False)] = "one\ntwo\nthree\n"
    api.logs[("default", "p", "c", True)] = "before\n"
    with Cluster(kubeconfig, "fake", "cluster1") as cluster:
        assert cluster.logs("default", "p", "c", 2) == "two\nthree\n"
        assert cluster.logs("default", "p", "c", 2, previous=True) == "before\n"
        with pytest.raises(ClusterError, match=r"cluster1: Pod default/p: log of container other: .*waiting to start"):
            cluster.logs("default", "p", "other", 2)


def test_what_is_tried_again_is_told(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api, kubeconfig = fake
    api.refuse("GET", "configmaps", 503, {"message": "etcdserver: leader changed"}, times=2)
    monkeypatch.setattr(transport, "Progress", functools.partial(Progress, every=0.0))
    told: list[str] = []
    with Cluster(kubeconfig, "fake", "cluster1", progress=told.append) as cluster:
        cluster.list("v1", "ConfigMap", "default")
    assert [line.partition(" (waited")[0] for line in told] == [
        "cluster1: ConfigMap in default: etcdserver: leader changed"
    ]
