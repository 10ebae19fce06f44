"""Waiting on watches."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import watch as watching
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.progress import Progress
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.verdict import Verdict, together
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.watch import Collection, View, Watcher

MAPS = Collection("v1", "ConfigMap", "default")
THINGS = Collection("x.example/v1", "Thing")


@pytest.fixture
def cluster(fake: Any) -> Iterator[Cluster]:
    with Cluster(fake[1], "fake", "cluster1") as connection:
        yield connection


def there(view: View) -> Verdict:
    return Verdict("ready") if view.get(MAPS, "a") else Verdict("waiting", "a is not there")


def write(fake: Any, **data: str) -> None:
    fake[0].write("v1", "configmaps", "default", {"metadata": {"name": "a"}, "data": data})


def after(seconds: float, action: Any, *args: Any, **options: Any) -> None:
    threading.Timer(seconds, action, args, options).start()


def test_what_holds_already_costs_one_list(fake: Any, cluster: Cluster) -> None:
    write(fake)
    before = set(threading.enumerate())  # other tests may have left some
    with Watcher(cluster, [MAPS, MAPS]) as watcher:
        assert watcher.until(there, 5).ready
    assert cluster.requests == 1
    assert len(set(threading.enumerate()) - before) < 10


def test_a_change_ends_the_wait_at_once(fake: Any, cluster: Cluster) -> None:
    with Watcher(cluster, [MAPS]) as watcher:
        started = time.monotonic()
        after(0.3, write, fake)
        assert watcher.until(there, 10).ready
    assert 0.2 < time.monotonic() - started < 2


def test_a_deletion_is_seen(fake: Any, cluster: Cluster) -> None:
    write(fake)
    with Watcher(cluster, [MAPS]) as watcher:
        after(0.2, fake[0].remove, ("v1", "configmaps", "default", "a"))
        gone = watcher.until(lambda view: Verdict("waiting", "there") if view.items(MAPS) else Verdict("ready"), 10)
    assert gone.ready


def test_the_last_verdict_comes_back_after_the_timeout(cluster: Cluster) -> None:
    with Watcher(cluster, [MAPS]) as watcher:
        assert watcher.until(there, 0.5) == Verdict("waiting", "a is not there")


def test_a_failure_ends_the_wait_only_when_it_stays(cluster: Cluster) -> None:
    with Watcher(cluster, [MAPS]) as watcher:
        started = time.monotonic()
        assert watcher.until(lambda view: Verdict("failed", "no"), 30, failed_after=0.5).state == "failed"
        assert 0.4 < time.monotonic() - started < 5


@pytest.mark.slow
def test_a_verdict_that_flips_does_not_count_until_it_settles(fake: Any, cluster: Cluster) -> None:
    looked, flipped = threading.Event(), threading.Event()
    right_since: list[float] = []

    def right(view: View) -> Verdict:
        found = view.get(MAPS, "a") or {}
        if found.get("data") == {"state": "True"}:
            looked.set()
            return Verdict("ready")
        flipped.set()
        return Verdict("waiting", "not True")

    def flip() -> None:
        assert looked.wait(10)
        write(fake, state="False")
        assert flipped.wait(10)
        right_since.append(time.monotonic())
        write(fake, state="True")

    write(fake, state="True")
    with Watcher(cluster, [MAPS]) as watcher:
        after(0, flip)
        assert watcher.until(right, 30, settle=2.0).ready
    assert time.monotonic() - right_since[0] >= 2.0


@pytest.mark.slow
def test_while_nothing_changes_the_judge_is_asked_once_a_second(cluster: Cluster) -> None:
    looks: list[float] = []

    def never(view: View) -> Verdict:
        looks.append(time.monotonic())
        return Verdict("waiting", "never")

    with Watcher(cluster, [MAPS]) as watcher:
        watcher.until(never, 2.5)
    assert len(looks) < 10


@pytest.mark.slow
def test_a_kind_served_only_later_is_followed(fake: Any, cluster: Cluster) -> None:
    api, _kubeconfig = fake

    def arrive() -> None:
        api.kinds["x.example/v1"] = {"things": ("Thing", True)}
        api.write("x.example/v1", "things", "default", {"metadata": {"name": "t"}})

    with Watcher(cluster, [THINGS]) as watcher:
        assert not watcher.view.served(THINGS)
        after(0.2, arrive)
        verdict = watcher.until(lambda view: Verdict("ready" if view.items(THINGS) else "waiting", "none"), 10)
    assert verdict.ready


@pytest.mark.slow
def test_a_server_that_goes_away_is_told_at_the_end(fake: Any, cluster: Cluster) -> None:
    with Watcher(cluster, [MAPS]) as watcher:
        fake[0].refuse("GET", "configmaps", 403, {"reason": "Forbidden", "message": "is forbidden: User x"}, times=99)
        verdict = watcher.until(there, 1.5)
    assert "a is not there; watch failed: cluster1: ConfigMap in default" in verdict.reason


def test_no_thread_outlives_its_wait(fake: Any, cluster: Cluster) -> None:
    before = threading.active_count()
    with Watcher(cluster, [MAPS, Collection("v1", "Secret")]) as watcher:
        watcher.until(there, 0.5)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("watch ")] == []
    assert threading.active_count() <= before + 2  # the server's own


def test_a_wait_tells_of_its_cluster_and_of_every_object(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "Progress", functools.partial(Progress, every=0.0))
    lines: list[str] = []
    missing = together({"ConfigMap default/a": Verdict("waiting", "gone"), "Pod default/b": Verdict("failed", "ill")})
    with Watcher(cluster, [MAPS]) as watcher:
        assert watcher.until(lambda view: missing, 0.5, lines.append) == missing
        assert watcher.waited >= 0.5
    assert [line.rpartition(" (waited ")[0] for line in lines] == [
        "cluster1: ConfigMap default/a: gone",
        "cluster1: Pod default/b: ill",
    ]


def test_collections_can_join_before_the_waiting(fake: Any, cluster: Cluster) -> None:
    fake[0].write("v1", "pods", "default", {"metadata": {"name": "p"}})
    pods = Collection("v1", "Pod", "default")
    with Watcher(cluster, [MAPS]) as watcher:
        watcher.add([pods, pods, MAPS])
        assert [pod["metadata"]["name"] for pod in watcher.view.items(pods)] == ["p"]
    assert cluster.requests == 2


def test_objects_are_chosen_by_values_of_fields(fake: Any, cluster: Cluster) -> None:
    for name, data in (("a", {"owner": "x", "size": 1}), ("b", {"owner": "y"}), ("c", {})):
        fake[0].write("v1", "configmaps", "default", {"metadata": {"name": name}, "data": data})

    def names(*where: tuple[str, tuple[str, ...]]) -> list[str]:
        chosen = Collection("v1", "ConfigMap", "default", where=where)
        with Watcher(cluster, [chosen]) as watcher:
            return [item["metadata"]["name"] for item in watcher.view.items(chosen)]

    assert names(("data.owner", ("x", "y"))) == ["a", "b"]
    assert names(("data.owner", ("x", "y")), ("data.size", ("1",))) == ["a"]
    assert names(("data.owner.deeper", ("x",))) == []
