"""Verb x fault: what is sent again, and what the error says; through a TLS proxy that damages responses."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fault_proxy
import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.connection import ProxyRefused
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Conflict, Unreachable
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.faults import (
    Fault,
    json_object,
    of_exception,
    of_response,
    pause_before_retry,
    repeatable,
)

Json = dict[str, Any]
OBJECT: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
PATH = "/api/v1/namespaces/default/configmaps/a"


@pytest.fixture
def site(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, fault_proxy.FaultProxy]]:
    """(FakeApi with ConfigMap default/a, proxy in front of it)."""
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 2.0)
    api, kubeconfig = fake
    api.kinds["example.org/v1"] = {"things": ("Thing", True)}
    api.write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    api.write("v1", "pods", "default", {"metadata": {"name": "p"}})
    api.logs["default", "p", "c", False] = "one\ntwo\n"
    with fault_proxy.in_front_of(kubeconfig, "fake", tmp_path) as proxy:
        yield api, proxy


def cluster(proxy: fault_proxy.FaultProxy, **options: Any) -> Cluster:
    return Cluster(proxy.kubeconfig, "fake", "cluster1", **{"patience": 8.0, **options})


def live(api: Any) -> Json:
    found: Json = api.get("v1", "configmaps", "default", "a")
    return found


def _merge(api: Any, connection: Cluster) -> Any:
    content = "application/merge-patch+json"
    where = connection.kind("v1", "ConfigMap")
    change = {"data": {"k": "w"}}
    found = connection.request(
        "PATCH", PATH, None, change, content_type=content, what="ConfigMap default/a", kind=where
    )
    return found["data"]


Step = Callable[[Any, Cluster], Any]
READS: dict[str, Step] = {
    "GET": lambda api, c: c.get("v1", "ConfigMap", "a", "default")["data"],  # type: ignore[index]
    "LIST": lambda api, c: [each["metadata"]["name"] for each in c.list("v1", "ConfigMap", "default")],
    "discovery": lambda api, c: c.served("example.org/v1", "Thing"),
    "groups": lambda api, c: c.api_versions(),
    "version": lambda api, c: c.version(),
}
SAFE: dict[str, Step] = {
    "apply": lambda api, c: c.apply({**OBJECT, "data": {"k": "w"}}, force=True)["data"],
    "apply, dry run": lambda api, c: c.apply({**OBJECT, "data": {"k": "w"}}, force=True, dry_run=True)["data"],
    "DELETE with UID": lambda api, c: (
        c.delete("v1", "ConfigMap", "a", "default", uid=live(api)["metadata"]["uid"] if live(api) else "gone")
        in (True, False)
    ),
}
ONCE: dict[str, Step] = {
    "PUT": lambda api, c: c.replace({**live(api), "data": {"k": "w"}})["data"],
    "merge PATCH": _merge,
    "DELETE": lambda api, c: c.delete("v1", "ConfigMap", "a", "default"),
}
WRITTEN = re.compile(r"The object may have been (written|deleted)\. Run the task again")


def cells(faults: tuple[fault_proxy.Fault, ...], verbs: dict[str, Step]) -> Any:
    rows = [pytest.param(fault, step, id=f"{verb}-{fault}") for fault in faults for verb, step in verbs.items()]
    return pytest.mark.parametrize(("fault", "step"), rows)


@pytest.mark.share
@cells(fault_proxy.FAULTS, {**READS, **SAFE})
def test_what_can_be_sent_twice_is_sent_again(site: Any, fault: fault_proxy.Fault, step: Step) -> None:
    api, proxy = site
    with cluster(proxy) as connection:
        expected = step(api, connection) if step in READS.values() else None
        proxy.breaks(fault, times=1)
        found = step(api, connection)
        assert expected in (None, found)
        assert len(proxy.faults()) == 1 and len(proxy.log) == 2


@cells(fault_proxy.REFUSALS, ONCE)
def test_a_refusal_is_repeated_for_every_verb(site: Any, fault: fault_proxy.Fault, step: Step) -> None:
    api, proxy = site
    proxy.breaks(fault, times=1)
    with cluster(proxy) as connection:
        assert step(api, connection) in ({"k": "w"}, True)
    assert len(proxy.log) == 2


@pytest.mark.share
@cells((*fault_proxy.CONNECTION, *fault_proxy.BODIES, *fault_proxy.UNCERTAIN), ONCE)
def test_a_write_that_must_not_be_repeated_fails_and_says_that_it_may_be_done(
    site: Any, fault: fault_proxy.Fault, step: Step
) -> None:
    api, proxy = site
    proxy.breaks(fault)
    with cluster(proxy) as connection, pytest.raises(ClusterError) as error:
        step(api, connection)
    assert error.value.msg.startswith("cluster1: ConfigMap default/a: ") and WRITTEN.search(error.value.msg)
    assert len(proxy.log) == 1


@pytest.mark.share
@cells(fault_proxy.FAULTS, {"GET": READS["GET"], "apply": SAFE["apply"]})
def test_a_fault_that_stays_ends_in_an_error_in_time(site: Any, fault: fault_proxy.Fault, step: Step) -> None:
    api, proxy = site
    proxy.breaks(fault)
    begin = time.monotonic()
    with cluster(proxy, patience=0.5) as connection, pytest.raises(ClusterError) as error:
        step(api, connection)
    assert time.monotonic() - begin < 10
    uncertain = fault not in fault_proxy.REFUSALS and step is SAFE["apply"]
    assert (
        error.value.msg.startswith("cluster1: ConfigMap default/a: ")
        and bool(WRITTEN.search(error.value.msg)) is uncertain
    )
    assert fault.says in error.value.msg and "<" not in error.value.msg


LOG = [fault for fault in fault_proxy.CONNECTION if "reset before" not in fault.name]


@pytest.mark.parametrize("fault", [*LOG, fault_proxy.BY_NAME["200 HTML"]], ids=str)
def test_a_cut_log_is_read_again(site: Any, fault: fault_proxy.Fault) -> None:
    _api, proxy = site
    proxy.breaks(fault, times=1)
    with cluster(proxy) as connection:
        assert connection.logs("default", "p", "c", 10) == "one\ntwo\n"


def test_a_restart_of_the_api_server_is_awaited(site: Any) -> None:
    api, proxy = site
    told: list[str] = []
    with cluster(proxy, patience=20, progress=told.append) as connection:
        assert connection.get("v1", "ConfigMap", "a", "default")
        ended = threading.Event()
        with proxy.down():

            def apply() -> None:
                SAFE["apply"](api, connection)
                ended.set()

            thread = threading.Thread(target=apply)
            thread.start()
            assert not ended.wait(3.3)
        assert ended.wait(30)
        thread.join()
    assert live(api)["data"]["k"] == "w"
    assert [line.partition(" (waited")[0] for line in told] == [
        "cluster1: ConfigMap default/a: the API server does not respond: connection refused"
    ]


def test_patience_counts_from_the_first_fault(site: Any) -> None:
    """However long the first attempt takes, another one follows."""
    _api, proxy = site
    silent = fault_proxy.BY_NAME["never answered"]
    with cluster(proxy, patience=0.5) as connection:
        proxy.breaks(silent, times=1)
        assert connection.get("v1", "ConfigMap", "a", "default")
        assert [name for _method, _path, name in proxy.log] == [silent.name, ""]
        proxy.breaks(silent)
        with pytest.raises(Unreachable, match=r"timed out \(tried for"):
            connection.get("v1", "ConfigMap", "a", "default")
        assert len(proxy.log) == 2


def test_no_request_outlives_the_time_of_its_task(site: Any) -> None:
    _api, proxy = site
    for fault in ("never answered", "answered a few bytes at a time", "503 of a load balancer"):
        proxy.breaks(fault_proxy.BY_NAME[fault])
        begin = time.monotonic()
        with cluster(proxy, patience=60) as connection, connection.within(1.0), pytest.raises(Unreachable):
            connection.get("v1", "ConfigMap", "a", "default")
        assert time.monotonic() - begin < 10


def test_a_port_forward_that_is_never_answered_ends(site: Any) -> None:
    _api, proxy = site
    for fault in (
        "never answered",
        "answered a few bytes at a time",
        "closed within headers",
        "502 of a load balancer",
    ):
        proxy.breaks(fault_proxy.BY_NAME[fault])
        begin = time.monotonic()
        with cluster(proxy, patience=0.5) as connection, pytest.raises(ClusterError) as error:
            connection.pod_socket("default", "p", 9080)
        assert time.monotonic() - begin < 10 and "cluster1: Pod default/p: port-forward to 9080" in error.value.msg


def test_a_connection_that_was_closed_meanwhile_is_not_used(site: Any) -> None:
    """A write is not lost to a connection that the server has just given up."""
    api, _proxy = site
    with Cluster(_kubeconfig(api, site), "fake", "cluster1") as connection:
        assert connection.get("v1", "ConfigMap", "a", "default")
        [kept] = connection._access.connections._idle
        kept.wire.shutdown()
        assert connection.get("v1", "ConfigMap", "a", "default")


def _kubeconfig(api: Any, site: Any) -> str:
    return str(Path(site[1].kubeconfig).with_name("kubeconfig"))


def test_a_conflict_with_another_writer_is_repeated_only_for_an_apply(site: Any) -> None:
    api, proxy = site
    status = {"reason": "Conflict", "message": "Operation cannot be fulfilled on x: the object has been modified; try"}
    with cluster(proxy) as connection:
        api.refuse("PATCH", "configmaps", 409, status)
        assert SAFE["apply"](api, connection) == {"k": "w"}
        api.refuse("PUT", "configmaps", 409, status)
        with pytest.raises(Conflict):
            ONCE["PUT"](api, connection)


# -- decisions


@pytest.mark.parametrize(
    ("method", "content", "body", "dry", "expected"),
    [
        ("GET", "", None, False, True),
        ("PATCH", "application/apply-patch+yaml", OBJECT, False, True),
        ("PATCH", "application/apply-patch+yaml", {"metadata": {"resourceVersion": "1"}}, False, False),
        ("PATCH", "application/merge-patch+json", {}, False, False),
        ("PATCH", "application/json-patch+json", None, False, False),
        ("DELETE", "application/json", {"preconditions": {"uid": "u"}}, False, True),
        ("DELETE", "application/json", {"preconditions": {}}, False, False),
        ("DELETE", "application/json", None, False, False),
        ("PUT", "application/json", OBJECT, False, False),
        ("POST", "application/json", OBJECT, False, False),
        ("POST", "application/json", OBJECT, True, True),
    ],
)
def test_which_requests_can_be_sent_twice(method: str, content: str, body: Any, dry: bool, expected: bool) -> None:
    assert repeatable(method, content, body, dry_run=dry) is expected


@pytest.mark.parametrize(
    ("code", "message", "passing"),
    [
        (500, "etcdserver: leader changed", True),
        (500, "etcdserver: request timed out, possibly due to previous leader failure", True),
        (500, "etcdserver: request is too large", False),
        (500, "etcdserver: mvcc: database space exceeded", False),
        (500, "context deadline exceeded", True),
        (500, "http2: client connection lost", True),
        (500, "Internal error occurred: resource quota evaluation timed out", True),
        (500, "runtime error: invalid memory address", False),
        (400, "connection refused", False),
        (403, "connection refused", False),
        (404, "not found", False),
        (409, "already exists", False),
        (422, "spec.x: Invalid value: connection refused", False),
        (429, "", True),
        (503, "service unavailable", True),
    ],
)
def test_which_errors_may_pass(code: int, message: str, passing: bool) -> None:
    assert of_response(code, {}, b'{"message": "%s", "reason": ""}' % message.encode()).passing is passing


SECRET = "canary-7f3c9a51d2e4"


@pytest.mark.parametrize(
    ("code", "headers", "body"),
    [
        (302, {"Location": f"https://sso.example/login?state={SECRET}"}, b""),
        (307, {"Location": f"https://user:{SECRET}@sso.example/"}, b""),
        (500, {}, f"<b>your token={SECRET} has expired</b>".encode()),
        (401, {}, f'{{"access_token": "{SECRET}"}}'.encode()),
    ],
)
def test_what_a_program_in_between_writes_is_shown_without_secrets(code: int, headers: Json, body: bytes) -> None:
    fault = of_response(code, headers, body)
    assert SECRET not in fault.text and SECRET not in str(fault.status) and fault.text


@pytest.mark.parametrize("body", [f'{{"access_token": "{SECRET}"}}', f"<p>token={SECRET}", f"password: {SECRET}"])
def test_an_answer_that_is_none_is_shown_without_secrets(body: str) -> None:
    with pytest.raises(Fault) as fault:
        json_object(body.encode(), "metadata")
    assert SECRET not in fault.value.text


def test_what_a_proxy_says_is_shown_short_and_without_secrets() -> None:
    refused = ProxyRefused(f"it responds 407 \x1b[2Jtoken={SECRET} {'x ' * 9000}", lasting=True)
    text = of_exception(refused, sent=False).text
    assert SECRET not in text and "\x1b" not in text and len(text) < 300


def test_a_redirect_to_nowhere_is_told_by_its_code() -> None:
    assert of_response(304, {}, b"").text == "responds with HTTP 304"


def test_a_huge_page_takes_no_time() -> None:
    begin = time.process_time()
    of_response(500, {}, b"<script" * 300_000)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("details", [None, [], "causes", 5, {"causes": "text"}, {"causes": {"a": 1}}, {"causes": [1]}])
@pytest.mark.parametrize("code", [403, 404, 409, 422, 500])
def test_details_of_other_types_are_none(site: Any, code: int, details: Any) -> None:
    api, proxy = site
    api.refuse("GET", PATH, code, {"message": "no", "reason": "Odd", "details": details})
    with cluster(proxy) as connection, pytest.raises(ClusterError, match="no"):
        connection.request("GET", PATH, what="ConfigMap default/a", kind=connection.kind("v1", "ConfigMap"))


@pytest.mark.parametrize("date", ["Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 99 Jan 0 99:99:99 +9", "x"])
def test_a_date_of_no_calendar_is_none(site: Any, date: str) -> None:
    with cluster(site[1]) as connection:
        connection._note_time(date)
        assert connection.server_time is None


def test_a_message_of_a_namespace_that_ends_passes() -> None:
    body = b'{"message": "forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}'
    fault = of_response(403, {}, body)
    assert fault.passing and not fault.sent


def test_the_pause_before_a_retry_grows_and_honours_retry_after() -> None:
    def pause(after: str | None, attempt: int = 1) -> float | None:
        return pause_before_retry(of_response(429, {"Retry-After": after} if after else {}, b""), attempt, safe=False)

    assert [pause(None, attempt) for attempt in (1, 2, 9, 5000)] == [0.2, 0.4, 3.0, 3.0]
    assert (pause("4"), pause("4000"), pause("soon")) == (4.0, 10.0, 0.2)
    assert pause_before_retry(Fault("x", sent=True, passing=True), 1, safe=False) is None
    assert pause_before_retry(Fault("x", sent=False, passing=False), 1, safe=True) is None


def test_a_redirect_is_no_answer(site: Any) -> None:
    _api, proxy = site
    page = fault_proxy._whole("302 Found", "text/html", "<html>moved</html>", "Location: https://login.example")
    proxy.breaks(fault_proxy.Fault("redirect", "", False, fault_proxy._bytes(page)))
    with (
        cluster(proxy) as connection,
        pytest.raises(Unreachable, match=r"redirects to https://login.example \(HTTP 302"),
    ):
        connection.get("v1", "ConfigMap", "a", "default")
    assert len(proxy.log) == 1
