"""The Lease of a site: one run holds it while it writes, a second is told who, and a run that ended holds nothing."""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.apply import objects
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import lease, processes
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.site import site_lease

Json = dict[str, Any]
PLACE = ("coordination.k8s.io/v1", "leases", "default", "multicluster.gloo")
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "data": {"k": "v"}}
ELSEWHERE = "another-boot:pid:[1]/77:1"


@pytest.fixture
def site(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, lease.Run]]:
    """(API server of the management cluster, this process as a run)."""
    api, kubeconfig = fake
    api.kinds["coordination.k8s.io/v1"] = {"leases": ("Lease", True)}
    run = lease.Run(kubeconfig, "fake", "mgmt", "default", "alice on build7 (site.yml)", processes.this_process())
    monkeypatch.setenv(lease.VARIABLE, run.environment)
    monkeypatch.setattr(lease._Process, "known", float("-inf"))
    monkeypatch.setattr(lease, "_start_renewal", lambda run: None)
    yield api, run


def stamp(seconds: float) -> str:
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def of_others(api: Any, renewed: float = 0.0, process: str = ELSEWHERE, **spec: Any) -> None:
    """The Lease of another run, renewed that many seconds ago."""
    labels = {"app.kubernetes.io/managed-by": "multicluster.gloo"}
    meta = {"name": "multicluster.gloo", "labels": labels, "annotations": {"multicluster.gloo/process": process}}
    given = {"holderIdentity": "bob on build8 (cleanup.yml)", "leaseDurationSeconds": 60}
    given |= {"acquireTime": "2026-11-28T12:03:11.000000Z", "renewTime": stamp(-renewed)}
    api.write(*PLACE[:2], "default", {"metadata": meta, "spec": {**given, **spec}})


def write(run: lease.Run, check: bool = False) -> Json:
    params = {name: row.get("default") for name, row in objects.ARGUMENT_SPEC.items()}
    params |= {"kubeconfig": run.kubeconfig, "context": "fake", "cluster": "c1", "definitions": [MAP], "wait": False}
    return objects.run(params, check, lambda line: None)


def test_it_is_taken_before_the_first_write_and_only_then(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    assert write(run)["changed"] is True
    assert [path.rpartition("/")[2] for _verb, path in api.writes()] == ["leases", "m"]
    held = api.get(*PLACE)
    assert held["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "multicluster.gloo"}
    assert held["spec"]["holderIdentity"] == "alice on build7 (site.yml)"
    assert held["spec"]["leaseDurationSeconds"] == 60
    assert lease.release(run) is True
    assert api.get(*PLACE) is None and lease.release(run) is False
    written = api.writes()
    lease._Process.known = float("-inf")
    assert write(run)["changed"] is False  # nothing to do: no Lease
    assert write(run, check=True)["changed"] is False
    assert api.writes() == written


def test_what_only_reads_or_predicts_does_not_read_the_lease(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    of_others(api)
    assert write(run, check=True)["changed"] is True
    with Cluster(run.kubeconfig, "fake") as cluster:
        cluster.list("v1", "ConfigMap")
    assert not [path for _verb, path, _dry in api.log if "leases" in path]


def test_without_the_variable_there_is_no_lease(site: tuple[Any, lease.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    api, run = site
    of_others(api)
    for value in (None, ""):
        monkeypatch.delenv(lease.VARIABLE) if value is None else monkeypatch.setenv(lease.VARIABLE, value)
        assert site_lease.run({"state": "free", "wait_timeout": 0}, False, print)["msg"].startswith("no Lease is used")
    assert write(run)["changed"] is True
    assert not [path for _verb, path, _dry in api.log if "leases" in path]


def test_a_second_run_is_refused_with_who_holds_it_and_writes_nothing(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    of_others(api, renewed=20)
    with pytest.raises(lease.Held) as refused:
        write(run)
    until = stamp(40)[:15]
    assert refused.value.msg.startswith(
        "mgmt: Lease default/multicluster.gloo: bob on build8 (cleanup.yml) has been changing this site since "
        f"2026-11-28T12:03:11Z. Wait until that run has ended. If it was killed, the Lease expires at {until}"
    )
    assert api.writes() == []
    with pytest.raises(lease.Held, match="bob on build8"):
        site_lease.run({"state": "free", "wait_timeout": 0}, False, print)
    assert site_lease.run({"state": "released", "wait_timeout": 0}, False, print)["msg"].endswith("by this run")
    assert api.get(*PLACE) is not None


@pytest.mark.parametrize(
    "gone",
    [
        {"renewed": 61},
        {"renewed": 5, "leaseDurationSeconds": 3},
        {"renewTime": None},
        {"renewTime": "yesterday", "leaseDurationSeconds": "x"},
        {"process": processes.this_process().rpartition(":")[0] + ":1"},
    ],
    ids=str,
)
def test_a_run_that_has_ended_holds_nothing(site: tuple[Any, lease.Run], gone: Json) -> None:
    api, run = site
    of_others(api, **gone)
    assert "no other run holds" in site_lease.run({"state": "free", "wait_timeout": 0}, False, print)["msg"]
    assert write(run)["changed"] is True
    assert api.get(*PLACE)["spec"]["holderIdentity"] == run.holder
    assert api.get(*PLACE)["spec"]["acquireTime"][:4] != "2026-11-28T12:03"


@pytest.mark.parametrize(
    "odd",
    [
        {"renewTime": "9999-12-31T23:59:59.000000Z", "leaseDurationSeconds": 2**31 - 1},
        {"holderIdentity": "x\x1b[2J\nPLAY RECAP", "acquireTime": "9999-12-31T23:59:59Z"},
        {"process": "[" * 100_000},
        {"process": f"x/{'9' * 5000}:1"},
    ],
    ids=["late", "text", "nested", "number"],
)
def test_a_lease_with_odd_content_is_held(site: tuple[Any, lease.Run], odd: Json) -> None:
    api, run = site
    of_others(api, **odd)
    with pytest.raises(
        lease.Held, match=r"has been changing this site since .*expires at [0-9-]+T[0-9:]+Z$"
    ) as refused:
        write(run)
    assert "\n" not in refused.value.msg and "\x1b" not in refused.value.msg and api.writes() == []


def test_of_many_tasks_at_once_one_writes_it(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    wrote: list[bool] = []
    start = threading.Barrier(8)

    def task() -> None:
        start.wait()
        wrote.append(lease.hold(run))

    threads = [threading.Thread(target=task) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrote) == 8 and True in wrote
    assert api.get(*PLACE)["spec"]["holderIdentity"] == run.holder


def test_of_two_runs_at_once_one_gets_it(site: tuple[Any, lease.Run]) -> None:
    _api, run = site
    runs = [run, lease.Run(run.kubeconfig, "fake", "mgmt", "default", "bob on build8 (site.yml)", ELSEWHERE)]
    results: list[Any] = []
    start = threading.Barrier(2)

    def attempt(each: lease.Run) -> None:
        start.wait()
        try:
            results.append(lease.hold(each))
        except lease.Held as exc:
            results.append(exc.facts["holder"])

    threads = [threading.Thread(target=attempt, args=[each]) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert True in results and {*results} - {True} <= {each.holder for each in runs} and len(results) == 2


def test_a_write_without_a_response_is_looked_up(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    api.refuse("POST", "/leases", 504, {"message": "upstream request timeout"})
    assert lease.hold(run) is True
    assert api.get(*PLACE)["spec"]["holderIdentity"] == run.holder


@pytest.mark.parametrize(
    ("verb", "status", "says"),
    [
        ("GET", {"reason": "Forbidden", "message": "leases is forbidden: User x"}, "site_lease_namespace"),
        ("POST", {"reason": "Forbidden", "message": "leases is forbidden: User x"}, "site_lease_namespace"),
        ("POST", {"reason": "NotFound", "message": 'namespaces "n" not found', "details": {"name": "n"}}, "namespace"),
    ],
)
def test_a_lease_that_cannot_be_taken_stops_the_write_with_the_remedy(
    site: tuple[Any, lease.Run], verb: str, status: Json, says: str
) -> None:
    api, run = site
    api.refuse(verb, "/leases", 404 if status["reason"] == "NotFound" else 403, status, times=2)
    if verb == "GET":  # no error before the first write
        assert says in site_lease.run({"state": "free", "wait_timeout": 0}, False, print)["msg"]
    with pytest.raises(ClusterError, match=says):
        write(run)
    assert api.get("v1", "configmaps", "default", "m") is None


def test_a_lease_of_somebody_else_is_left_alone(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    api.write(*PLACE[:2], "default", {"metadata": {"name": "multicluster.gloo"}, "spec": {}})
    with pytest.raises(ClusterError, match="does not belong to this collection"):
        write(run)
    assert api.writes() == []


def test_it_waits_for_the_other_run(site: tuple[Any, lease.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    api, _run = site
    of_others(api)
    shown: list[str] = []

    def pause(seconds: float) -> None:
        if len([1 for _verb, path, _dry in api.log if "leases" in path]) == 3:
            api.remove(PLACE)

    monkeypatch.setattr(site_lease.time, "sleep", pause)
    monkeypatch.setattr(site_lease, "Progress", Watch)
    site_lease.run({"state": "free", "wait_timeout": 60}, False, shown.append)
    assert shown and all("bob on build8 (cleanup.yml) has been changing this site" in line for line in shown)


class Watch(site_lease.Progress):
    """Reports at once."""

    def __init__(self, name: str, report: Any) -> None:
        super().__init__(name, report, every=0.0)


def test_check_mode_does_not_wait(site: tuple[Any, lease.Run]) -> None:
    api, _run = site
    of_others(api)
    assert "check mode" in site_lease.run({"state": "free", "wait_timeout": 60}, True, print)["msg"]
    assert api.log == []


def test_what_brings_back_needs_no_lease(site: tuple[Any, lease.Run]) -> None:
    api, run = site
    of_others(api)
    with lease.finishing():
        assert write(run)["changed"] is True
    with pytest.raises(lease.Held):
        lease.before_write()


@pytest.mark.parametrize("value", ["{", "[]", "{}", '{"kubeconfig": "k"}'])
def test_a_damaged_variable_stops_the_write(
    site: tuple[Any, lease.Run], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    api, run = site
    monkeypatch.setenv(lease.VARIABLE, value)
    with pytest.raises(ClusterError, match=f"{lease.VARIABLE} is not valid"):
        write(run)
    assert api.writes() == []


# -- the process that renews it, and the end of Ansible


def wait_until(condition: Any, what: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextlib.contextmanager
def holding(run: lease.Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process that stands for Ansible, with its identity; its run holds the Lease for 2 seconds at a time."""
    monkeypatch.undo()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ansible:
        of_ansible = processes.identity(ansible.pid)
        played = lease.Run(run.kubeconfig, "fake", "mgmt", "default", run.holder, of_ansible, duration=2)
        monkeypatch.setenv(lease.VARIABLE, played.environment)
        monkeypatch.setenv("GLOO_MESH_LICENSE_KEY", "canary")
        monkeypatch.setattr(lease._Process, "known", float("-inf"))
        lease.before_write()
        yield ansible, of_ansible


@pytest.mark.slow
def test_it_is_renewed_while_ansible_runs_and_deleted_when_it_was_killed(
    site: tuple[Any, lease.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, run = site
    with holding(run, monkeypatch) as (ansible, of_ansible):
        first = api.get(*PLACE)["spec"]
        wait_until(lambda: api.get(*PLACE)["spec"]["renewTime"] > first["renewTime"], "renewed")
        assert api.get(*PLACE)["spec"]["acquireTime"] == first["acquireTime"]
        [renewal] = renewals(of_ansible)
        assert b"canary" not in Path(f"/proc/{renewal}/environ").read_bytes()
        ansible.kill()
    wait_until(lambda: api.get(*PLACE) is None, "deleted")
    wait_until(lambda: not renewals(of_ansible), "ended")
    with pytest.raises(ClusterError, match="Ansible has ended"):
        lease.before_write()


@pytest.mark.slow
def test_the_renewal_ends_when_another_run_has_taken_the_lease(
    site: tuple[Any, lease.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, run = site
    with holding(run, monkeypatch) as (ansible, of_ansible):
        of_others(api)
        wait_until(lambda: not renewals(of_ansible), "ended")
        ansible.kill()
    assert api.get(*PLACE)["spec"]["holderIdentity"].startswith("bob")


def renewals(of_ansible: str) -> list[int]:
    """The processes that renew the Lease of a run."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            renews = folder.name.isdigit() and b"lease.renew" in (folder / "cmdline").read_bytes()
            if renews and of_ansible.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


# -- processes


def test_a_process_is_known_again_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = processes.identity(process.pid)
        assert processes.is_here(known) and not processes.is_gone(known)
        process.kill()
        wait_until(lambda: processes.is_gone(known), "a zombie has ended")
    assert processes.is_gone(known) and not processes.is_here(known)


@pytest.mark.parametrize(
    "text", ["", "x", "a/b", ELSEWHERE, "/1:2", "None", "a/-1:2", "a/\u0663:2", f"a/{'9' * 5000}:2"]
)
def test_a_process_of_another_machine_is_not_known_to_have_ended(text: str) -> None:
    assert not processes.is_gone(text) and not processes.is_here(text)


def test_without_proc_the_number_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes.is_here(processes.this_process()) and not processes.is_gone(processes.this_process())
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    ended = processes.this_process().replace(str(os.getpid()), str(process.pid))
    assert processes.is_gone(ended)


# -- playbooks

REPO = Path(__file__).resolve().parents[5]
WRITING = ("site", "cleanup", "remove_cluster", "failover")
READING = ("verify", "doctor", "bundle", "preflight", "all_clusters")


def plays(name: str) -> list[Json]:
    return list(yaml.safe_load((REPO / f"playbooks/{name}.yml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", WRITING)
def test_a_playbook_that_writes_takes_the_lease_in_every_play(name: str) -> None:
    found = plays(name)
    imported = [play["ansible.builtin.import_playbook"] for play in found if "ansible.builtin.import_playbook" in play]
    assert "lease.yml" in imported
    own = [play for play in found if "tasks" in play and _writes(play)]
    assert own
    for play in own:
        assert set(play["environment"]) == {lease.VARIABLE}, play["name"]


def _writes(play: Json) -> bool:
    """Whether it has a task that is none of the builtin ones, which write to no cluster."""
    modules = [key for task in play["tasks"] for key in task if key.count(".") == 2]
    reads = ("ansible.builtin.debug", "ansible.builtin.assert", "ansible.builtin.fail")
    return any(module not in reads for module in modules)


@pytest.mark.parametrize("name", READING)
def test_a_playbook_that_reads_needs_no_lease(name: str) -> None:
    text = (REPO / f"playbooks/{name}.yml").read_text(encoding="utf-8")
    assert not [word for word in (lease.VARIABLE, "lease.yml", "site_lease") if word in text]


def test_the_lookup_imports_little() -> None:
    """It may be evaluated in the process of every task."""
    root = Path(lease.__file__).parents[6]
    heavy = ("kubernetes", "websocket", "yaml", "ssl", "http.client")
    text = (
        f"import sys; sys.path.insert(0, {str(root)!r}); "
        "from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import lease_run, processes; "
        f"print([each for each in {heavy!r} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
