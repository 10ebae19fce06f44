"""Failover: the backends are restored whatever happens, and the traffic in the meantime is reported."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport as transport_module
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.progress import Progress
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.signals import Interrupted, Interrupts
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.transport import Transport
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import failover_check
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import request_stream as failover_traffic
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.request_stream import Sample, Stream
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.sampling import Expected, Response
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.scale_down import ANNOTATION

Json = dict[str, Any]

COLLECTIONS = Path(failover_check.__file__).parents[6]
KEY = ("apps/v1", "deployments", "bookinfo")


class World:
    """Two clusters with a controller each: as many ready Pods as their Deployments want. Requests go to all of them."""

    def __init__(self, **apis: tuple[Any, str]) -> None:
        self.apis = {name: api for name, (api, _kubeconfig) in apis.items()}
        self.kubeconfigs = {name: kubeconfig for name, (_api, kubeconfig) in apis.items()}
        self.failing: Callable[[], bool] = lambda: False
        self._turn = itertools.count()
        self._serial = itertools.count(1)
        self._lock = threading.RLock()
        for name, api in self.apis.items():
            api.write("v1", "namespaces", "", {"metadata": {"name": "bookinfo"}})
            self._control(name)

    def _control(self, name: str) -> None:
        """Pods follow the Deployment whenever it is stored."""
        api = self.apis[name]
        store = api.store

        def following(key: Any, obj: Json) -> Json:
            if key[1] not in ("deployments", "statefulsets"):
                return store(key, obj)
            obj = copy.deepcopy(obj)
            obj["status"] = dict.fromkeys(
                ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), obj["spec"]["replicas"]
            )
            stored = store(key, obj)
            stored["status"]["observedGeneration"] = stored["metadata"]["generation"]
            self._scale(api, stored)
            return stored

        api.store = following

    def _scale(self, api: Any, deployment: Json) -> None:
        name, wanted = deployment["metadata"]["name"], deployment["spec"]["replicas"]
        mine = [key for key in list(api.objects) if key[1] == "pods" and key[3].startswith(f"{name}-")]
        for key in mine[wanted:]:
            api.remove(key)
        for _number in range(wanted - len(mine)):
            meta = {"name": f"{name}-{next(self._serial)}", "labels": {"app": "reviews", "deployment": name}}
            pod = {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
            api.write("v1", "pods", "bookinfo", pod)

    def deploy(
        self, cluster: str, name: str, replicas: int = 1, plural: str = "deployments", **annotations: str
    ) -> None:
        labels = {"app": "reviews", "deployment": name}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"deployment": name}}}
        meta = {"name": name, "labels": labels, "annotations": {"kept": "yes", **annotations}}
        self.apis[cluster].write("apps/v1", plural, "bookinfo", {"metadata": meta, "spec": spec})

    def ask(self) -> Response:
        if self.failing():
            return Response(None, "503")
        pods = [key[3] for api in self.apis.values() for key in sorted(api.objects) if key[1] == "pods"]
        return Response(pods[next(self._turn) % len(pods)], "200") if pods else Response(None, "503")

    def state(self, cluster: str) -> dict[str, Json]:
        """What must be as before: spec, annotations and who owns what."""
        return {
            key[3]: copy.deepcopy(
                {
                    "spec": obj["spec"],
                    "annotations": obj["metadata"].get("annotations"),
                    "owners": [entry for entry in obj["metadata"]["managedFields"] if entry["fieldsV1"]],
                }
            )
            for key, obj in list(self.apis[cluster].objects.items())  # its server goes on writing
            if key[1] in ("deployments", "statefulsets")
        }

    def params(self, **changes: Any) -> Json:
        clusters = [
            {"name": name, "kubeconfig": kubeconfig, "context": "fake", "role": "workload", "gateway": False}
            for name, kubeconfig in self.kubeconfigs.items()
        ]
        given: Json = {
            "clusters": clusters,
            "state": "checked",
            "cluster": "c1",
            "backends": {"namespace": "bookinfo", "label_selector": "app=reviews"},
            "url": "http://127.0.0.1:9",
            "path": "/",
            "host": None,
            "headers": {},
            "validate_certs": True,
            "pattern": "x",
            "max_gap": 30.0,
            "min_requests": 20,
            "patience": 25,
            "timeout": 50,
        }
        return {**given, **changes}

    def check(self, progress: Callable[[str], None] = lambda line: None, **changes: Any) -> Json:
        return failover_check.run(self.params(**changes), False, progress)


@pytest.fixture
def world(serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: None) -> Iterator[World]:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with serving(tmp_path / "one", "fake") as one, serving(tmp_path / "two", "fake") as two:
        made = World(c1=one, c2=two)
        made.deploy("c1", "reviews-v1", 2)
        made.deploy("c1", "reviews-v2")
        made.deploy("c2", "reviews-v3")

        class Client:
            target = "the gateway"

            def __init__(self, *args: Any) -> None:
                self.send = made.ask

            def close(self) -> None:
                pass

        monkeypatch.setattr(failover_check, "UrlClient", Client)
        clock = failover_check.time.monotonic  # the fast one, for all who measure
        monkeypatch.setattr(failover_check, "Stream", functools.partial(Stream, clock=clock))
        yield made


def test_the_others_answer_and_all_come_back(world: World) -> None:
    before = world.state("c1")
    result = world.check()
    assert world.state("c1") == before
    assert result["changed"] is True
    assert [(row["name"], row["replicas"]) for row in result["taken"]] == [("reviews-v1", 2), ("reviews-v2", 1)]
    assert {row["cluster"] for row in result["answers_before"]} == {"c1", "c2"}
    assert {row["workload"] for row in result["answers_during"]} == {"reviews-v3"}
    assert {row["cluster"] for row in result["answers_after"]} == {"c1", "c2"}
    assert result["sent"] >= 20
    assert "all backends are restored and respond" in result["msg"]


def test_a_gap_longer_than_allowed_is_an_error_with_all_facts(world: World) -> None:
    before = world.state("c1")
    with pytest.raises(ClusterError, match=r"no successful response for [\d.]+ s, which exceeds max_gap") as error:
        world.check(max_gap=0.0)
    assert error.value.facts["longest_gap"] > 0 and error.value.facts["sent"] >= 20
    assert world.state("c1") == before


def test_a_pod_on_its_way_out_is_not_among_those_who_answered_without_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, judge, judged = world.ask, failover_check.unproven, [0]

    def unproven(samples: Any, *rest: Any) -> str:
        judged.append(len(samples))
        return judge(samples, *rest)

    def answer() -> Response:
        gone = not any(key[1] == "pods" for key in list(world.apis["c1"].objects))
        return Response("reviews-v2-3", "200") if gone and not max(judged) else ask()

    monkeypatch.setattr(failover_check, "unproven", unproven)
    monkeypatch.setattr(world, "ask", answer)
    result = world.check()
    assert [row["cluster"] for row in result["answers_during"]] == ["c2"]


class Boom(Exception):
    """Something nobody thought of."""


@pytest.mark.parametrize("error", [ClusterError("broken"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize(
    "step", ["second take", "answer of the first take", "gone", "others", "statistics", "ready", "after"]
)
def test_whatever_happens_at_any_step_all_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    before = world.state("c1")
    calls = itertools.count(1)
    site, taking = failover_check._Site, failover_check.scale_down

    def fail(*args: Any) -> Any:
        raise error

    def take(cluster: Any, scaled: Any) -> None:
        if step == "second take" and next(calls) == 2:
            raise error
        taking(cluster, scaled)
        if step == "answer of the first take":
            raise error

    def later(times: int, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: fail() if next(calls) > times else real(*args)

    monkeypatch.setattr(failover_check, "scale_down", take)
    match step:
        case "gone":
            monkeypatch.setattr(site, "_await_gone", fail)
        case "others":
            monkeypatch.setattr(failover_check, "unproven", fail)
        case "statistics":
            monkeypatch.setattr(failover_check, "tally_of", fail)
        case "ready":
            monkeypatch.setattr(site, "_await_ready", later(1, site._await_ready))
        case "after":
            monkeypatch.setattr(site, "_responses", later(1, site._responses))
    with pytest.raises(type(error)):
        world.check()
    assert world.state("c1") == before


@pytest.mark.slow
def test_traffic_that_does_not_go_on_is_told_with_what_was_measured(world: World) -> None:
    before = world.state("c1")
    away = lambda: any(not each["spec"]["replicas"] for each in world.state("c1").values())  # noqa: E731
    count = itertools.count()
    world.failing = lambda: away() and next(count) % 2 == 0
    with pytest.raises(
        ClusterError, match=r"requests fail: 503; \d+ of \d+ requests failed.*OutlierDetectionPolicy"
    ) as e:
        world.check(patience=1)
    assert world.state("c1") == before
    assert e.value.facts["failed_requests"] > 0
    assert e.value.facts["failures"][0]["status"] == "503"
    assert e.value.facts["changed"] is True


def test_nobody_who_reads_progress_keeps_anything_away(world: World) -> None:
    before = world.state("c1")

    def gone(line: str) -> None:
        raise BrokenPipeError(line)

    world.check(gone)
    assert world.state("c1") == before


def test_an_api_server_that_refuses_at_first_gets_them_back_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.state("c1")
    refusal = {"reason": "InternalError", "message": "etcdserver: no leader"}
    real = failover_check._Site._await_gone

    def refusing(*args: Any) -> None:
        real(*args)
        world.apis["c1"].refuse("PATCH", "/deployments/", 500, refusal, times=3)
        world.apis["c1"].refuse("PUT", "/deployments/", 409, {"reason": "Conflict", "message": "modified"}, times=3)

    monkeypatch.setattr(failover_check._Site, "_await_gone", refusing)
    world.check()
    assert world.state("c1") == before


def test_what_keeps_them_away_is_told_while_it_lasts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover_check, "Progress", functools.partial(Progress, every=0.0))
    refusal = {"reason": "Forbidden", "message": "somebody took the right away"}
    world.apis["c1"].refuse("PUT", "/deployments/reviews-v1", 403, refusal, times=2)
    told: list[str] = []
    world.check(told.append)
    [line] = [each for each in told if "not restored yet" in each]
    assert line.startswith("c1: Deployment bookinfo/reviews-v1: not restored yet: ")
    assert "somebody took the right away" in line


def test_what_never_comes_back_is_told_with_the_way_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover_check, "_RESTORE_WITHIN", 0.0)
    refusal = {"reason": "Forbidden", "message": "somebody took the right away"}
    world.apis["c1"].refuse("PUT", "/deployments/reviews-v1", 403, refusal, times=99)
    with pytest.raises(ClusterError, match=r"Deployment bookinfo/reviews-v1 could not be.*failover_restore=true"):
        world.check()
    world.apis["c1"].refusals.clear()
    healed = world.check(state="restored")["healed"]
    assert [row["name"] for row in healed] == ["reviews-v1"]
    assert all(ANNOTATION not in each["annotations"] for each in world.state("c1").values())


def test_check_mode_writes_nothing(world: World) -> None:
    before = world.state("c1"), [len(api.writes()) for api in world.apis.values()]
    result = failover_check.run(world.params(), True, lambda line: None)
    assert result["changed"] is True
    assert "Deployment bookinfo/reviews-v1, Deployment bookinfo/reviews-v2 would be scaled to 0" in result["msg"]
    assert (world.state("c1"), [len(api.writes()) for api in world.apis.values()]) == before


def test_stateful_sets_are_scaled_down_and_restored_as_well(world: World) -> None:
    world.deploy("c1", "reviews-v4", 2, plural="statefulsets")
    before = world.state("c1")
    result = world.check()
    assert world.state("c1") == before
    assert ("reviews-v4", 2) in [(row["name"], row["replicas"]) for row in result["taken"]]
    assert {row["workload"] for row in result["answers_during"]} == {"reviews-v3"}


@pytest.mark.parametrize("kind", ["Rollout", "DaemonSet", "Pod"])
def test_backends_that_cannot_be_scaled_down_are_refused(world: World, kind: str) -> None:
    owners = [{"kind": kind, "name": "reviews-v5", "controller": True}] if kind in ("DaemonSet",) else []
    labels = {"app": "reviews"}
    if kind == "Rollout":
        owners = [{"kind": "ReplicaSet", "name": "reviews-v5-77", "controller": True}]
        labels |= {"rollouts-pod-template-hash": "77"}
    meta = {"name": "reviews-v5", "labels": labels, "ownerReferences": owners}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    world.apis["c1"].write("v1", "pods", "bookinfo", {"metadata": meta, "status": ready})
    with pytest.raises(ClusterError) as refusal:
        world.check()
    assert f"c1: {kind} bookinfo/reviews-v5 would still respond" in refusal.value.msg
    assert world.apis["c1"].writes() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cluster": "c9"}, "'c9' is not a workload cluster. Set one of: c1, c2"),
        ({"clusters": []}, "'clusters' is empty"),
        (
            {"backends": {"namespace": "bookinfo", "label_selector": "app=nobody"}},
            "no Deployment or StatefulSet to scale down",
        ),
        (
            {"backends": {"namespace": "bookinfo", "label_selector": "deployment=reviews-v1"}},
            "no cluster can take over",
        ),
    ],
)
def test_what_would_prove_nothing_is_refused_before_anything_goes(world: World, change: Json, says: str) -> None:
    with pytest.raises((ClusterError, Invalid), match=says):
        world.check(**change)
    assert [api.writes() for api in world.apis.values()] == [[], []]


def test_nothing_goes_unless_everybody_answers_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.failing = lambda: True
    with pytest.raises(ClusterError, match=r"no successful response from the gateway.*before the switch"):
        world.check(timeout=10)
    assert world.apis["c1"].writes() == []


# -- killed


SCRIPT = """
import json, sys
sys.path.insert(0, {collections!r})
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import failover_check
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.sampling import Response

class Client:
    target = "the gateway"
    def __init__(self, *args): pass
    turn = 0
    def close(self): pass
    def send(self):
        Client.turn += 1
        return Response({names!r}[Client.turn % {count}], "200")

failover_check.UrlClient = Client
# As many answers as are wanted never come, so the run never gets beyond its middle.
failover_check.run(json.loads(sys.stdin.read()), False, lambda line: print(line, flush=True))
"""


@contextmanager
def in_the_middle(world: World) -> Iterator[subprocess.Popen[str]]:
    """A process that has taken c1's backends away and waits for traffic to go on."""
    names = sorted(key[3] for api in world.apis.values() for key in api.objects if key[1] == "pods")
    text = textwrap.dedent(SCRIPT).format(collections=str(COLLECTIONS), names=names, count=len(names))
    params = world.params(timeout=60, patience=60, min_requests=10**6)
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdin is not None and run.stdout is not None
            run.stdin.write(json.dumps(params))
            run.stdin.close()
            end = time.monotonic() + 120
            while any(each["spec"]["replicas"] for each in world.state("c1").values()):
                assert run.poll() is None and time.monotonic() < end
                time.sleep(0.05)
            yield run
        finally:
            run.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM])
def test_who_is_asked_to_end_brings_all_back_first(world: World, number: signal.Signals) -> None:
    before = world.state("c1")
    with in_the_middle(world) as run:
        os.kill(run.pid, number)
        os.kill(run.pid, signal.SIGTERM)  # and is asked again while it does
        code = run.wait(timeout=30)
    assert world.state("c1") == before
    # It has ended by the signal, as if nothing had kept it; by the second one where that came when all was done.
    assert code in (-number, -signal.SIGTERM, 1)


@pytest.mark.slow
def test_what_a_killed_run_left_is_brought_back_by_the_next(world: World) -> None:
    before = world.state("c1")
    with in_the_middle(world) as run:
        run.kill()
        run.wait(timeout=30)
    assert {name: each["spec"]["replicas"] for name, each in world.state("c1").items()} == {
        "reviews-v1": 0,
        "reviews-v2": 0,
    }
    preview = failover_check.run(world.params(state="restored"), True, lambda line: None)
    assert (preview["changed"], len(preview["healed"])) == (True, 2)
    result = world.check(state="restored")
    assert (result["changed"], world.state("c1")) == (True, before)
    assert world.check(state="restored")["changed"] is False


@pytest.mark.slow
def test_a_cluster_that_refuses_keeps_nothing_of_the_others_away(world: World) -> None:
    before = world.state("c1")
    with in_the_middle(world) as run:
        run.kill()
        run.wait(timeout=30)
    world.apis["c2"].refuse("GET", "/deployments", 403, {"reason": "Forbidden", "message": "no right"}, times=99)
    clusters = world.params()["clusters"][::-1]
    with pytest.raises(ClusterError, match="no right") as caught:
        world.check(state="restored", clusters=clusters)
    assert world.state("c1") == before
    assert [row["name"] for row in caught.value.facts["healed"]] == ["reviews-v1", "reviews-v2"]


@pytest.mark.slow
def test_a_check_first_brings_back_what_a_killed_run_left(world: World) -> None:
    before = world.state("c1")
    with in_the_middle(world) as run:
        run.kill()
        run.wait(timeout=30)
    result = world.check()
    assert [row["name"] for row in result["healed"]] == ["reviews-v1", "reviews-v2"]
    assert [row["replicas"] for row in result["taken"]] == [2, 1]
    assert world.state("c1") == before


def test_signals_wait_for_the_end_and_then_do_what_they_would_have_done() -> None:
    seen: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with Interrupts() as interrupts:
            interrupts.check()
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Interrupted, match="SIGTERM"):
                interrupts.check()
            assert seen == []
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, former)


# -- an exception at every request


def lost() -> ClusterError:
    error = ClusterError("no response. It may have been written")
    error.outcome_unknown = True
    return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "refused": lambda: ClusterError("refused"),
    "lost": lost,
    "bug": lambda: KeyError("replicas"),
    "text": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "system": lambda: OSError(24, "Too many open files"),
    "memory": MemoryError,
    "depth": RecursionError,
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(1),
    "unknown": lambda: Boom("nobody thought of it"),
}


class Breaking:
    """Raises ``error`` at the ``at``-th request, or from it on: before it is sent, or after it was processed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException], when: str) -> None:
        self.error, self.when, self.lasting = error, when, False
        self.at, self.seen = 10**9, 0
        lock, send = threading.Lock(), Transport._send

        def sending(transport: Any, call: Any, read: Any) -> Any:
            with lock:
                self.seen += 1
                broken = self.seen >= self.at if self.lasting else self.seen == self.at
            if broken and self.when == "before":
                raise self.error()
            result = send(transport, call, read)
            if broken:
                if isinstance(result, transport_module.Stream):
                    result.close()
                raise self.error()
            return result

        monkeypatch.setattr(Transport, "_send", sending)

    def begin(self, at: int) -> None:
        self.at, self.seen = at, 0


def given(world: World, message: str) -> dict[str, int]:
    """The replicas of c1 once the kubectl commands of the message have been executed."""
    replicas = {name: each["spec"]["replicas"] for name, each in world.state("c1").items()}
    for line in re.findall(r"KUBECONFIG=.*", message):
        words = shlex.split(line)
        assert words[0] == f"KUBECONFIG={world.kubeconfigs['c1']}"
        assert words[1:7] == ["kubectl", "--context", "fake", "--namespace", "bookinfo", "patch"]
        assert words[7] == "deployment" and words[9:12] == ["--type", "merge", "--patch"]
        change = json.loads(words[12])
        assert change["metadata"] == {"annotations": {ANNOTATION: None}}
        replicas[words[8]] = change["spec"]["replicas"]
    return replicas


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_exception_at_any_request_leaves_nothing_scaled_down(
    world: World, monkeypatch: pytest.MonkeyPatch, error: str, when: str
) -> None:
    before = world.state("c1")
    breaking = Breaking(monkeypatch, ERRORS[error], when)
    monkeypatch.setattr(failover_check.Progress, "__call__", lambda *args: None)
    breaking.begin(10**9)
    world.check(min_requests=2)
    failed = 0
    for at in range(1, breaking.seen + 1):
        breaking.begin(at)
        try:
            world.check(min_requests=2)
        except BaseException as exc:
            failed += 1
            assert isinstance(exc, type(ERRORS[error]())), at
        assert world.state("c1") == before, at
    assert failed > 10


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
def test_exceptions_from_any_request_on_name_what_is_left_with_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch, error: str, when: str
) -> None:
    before = world.state("c1")
    replicas = {name: each["spec"]["replicas"] for name, each in before.items()}
    monkeypatch.setattr(failover_check, "_RESTORE_WITHIN", 0.0)
    breaking = Breaking(monkeypatch, ERRORS[error], when)
    breaking.begin(10**9)
    world.check(min_requests=2)
    total, left = breaking.seen, 0
    for at in range(1, total + 1):
        breaking.begin(at)
        breaking.lasting = True
        shown: list[str] = []
        try:
            world.check(shown.append, min_requests=2)
        except BaseException as exc:
            message = str(exc)
        else:
            message = ""
        breaking.lasting = False
        breaking.begin(10**9)
        now = world.state("c1")
        for name in now:
            if now[name] != before[name]:
                left += 1
                assert f"Deployment bookinfo/{name}" in message.partition(" could not be restored")[0], (at, message)
                assert "failover_restore=true" in message and message in shown, at
        assert given(world, message) == replicas, (at, message)
        world.check(state="restored")
        assert world.state("c1") == before, at
    assert left > 3


# -- what is said of the traffic

GOOD, BAD = Response("reviews-v3-1", "200"), Response(None, "503")
OTHERS = [Expected("reviews-v3-1", "c2", "reviews-v3"), Expected("reviews-v4-1", "c3", "reviews-v4")]


@pytest.mark.parametrize(
    ("samples", "gap"),
    [
        ([], 10.0),
        ([(1, GOOD), (2, GOOD), (9, GOOD)], 7.0),
        ([(4, GOOD), (5, BAD), (6, BAD)], 6.0),
        ([(0, BAD), (8, GOOD), (9, GOOD)], 8.0),
    ],
)
def test_the_longest_gap_is_between_good_answers(samples: list[tuple[float, Response]], gap: float) -> None:
    assert failover_traffic.longest_gap([Sample(at, answer) for at, answer in samples], 0.0, 10.0) == gap


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no response yet from reviews-v3 (instance reviews-v3-1), reviews-v4 (instance reviews-v4-1)"),
        (["reviews-v3-1"] * 5, "no response yet from reviews-v4 (instance reviews-v4-1)"),
        (["reviews-v3-1", "reviews-v4-1"], "2 of 4 responses"),
        (["reviews-v3-1", "reviews-v4-1", None, "reviews-v3-1"], "requests fail: 503"),
        (["reviews-v3-1", "reviews-v4-1", "reviews-v1-1", "reviews-v3-1"], "reviews-v1-1 still responds"),
        ([None, "reviews-v1-1", *["reviews-v3-1", "reviews-v4-1"] * 2], ""),
        (
            ["reviews-v4-1", "reviews-v1-1", *["reviews-v3-1"] * 4],
            "no response yet from reviews-v4 (instance reviews-v4-1)",
        ),
    ],
)
def test_when_traffic_goes_on_without_the_lost(names: list[str | None], says: str) -> None:
    samples = [Sample(0.0, BAD if name is None else Response(name, "200")) for name in names]
    assert failover_traffic.unproven(samples, OTHERS, 4) == says


def test_who_answered_and_what_failed_is_counted() -> None:
    samples = [Sample(0.0, answer) for answer in (GOOD, BAD, GOOD, Response(None, "timed out"), BAD)]
    tally = failover_traffic.tally_of(samples, OTHERS)
    assert [(row["status"], row["count"]) for row in tally.failure_records()] == [("503", 2), ("timed out", 1)]
    [row] = tally.records()
    assert (row["instance"], row["cluster"], row["workload"], row["count"]) == ("reviews-v3-1", "c2", "reviews-v3", 2)


def test_no_request_ends_the_stream() -> None:
    def ask() -> Response:
        raise Boom

    with Stream(ask) as stream:
        while len(stream.samples()) < 3:
            stream.wait(1.0)
    assert {sample.response.status for sample in stream.samples()} == {"Boom"}
