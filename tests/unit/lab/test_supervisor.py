"""How played parts are run, how processes of a lab are told from others, what the command line refuses."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import __main__ as cli
from lab import inventory, processes, supervisor
from lab.clusters import ControlPlane, write_kubeconfig
from lab.errors import LabError


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.01)


class Clumsy:
    """A part that fails until it works."""

    name = "clumsy"
    kinds = ("Pod",)
    works = False

    def __init__(self) -> None:
        self.runs = 0
        self.stopped = False

    def reconcile(self, world: Any) -> None:
        self.runs += 1
        if not self.works:
            raise ValueError("not yet")

    def stop(self) -> None:
        self.stopped = True


def test_a_failing_part_is_reported_tried_again_and_woken_by_its_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN", 600.0)
    part = Clumsy()
    report = supervisor.Report(tmp_path / "status.json", [part.name], {"absent": "cannot be loaded"})
    told = lambda: json.loads((tmp_path / "status.json").read_text())["parts"]  # noqa: E731
    assert told() == {"clumsy": None, "absent": "cannot be loaded"}
    runner = supervisor.Runner(part, None, report)  # type: ignore[arg-type]
    runner.start()
    until(lambda: told()["clumsy"] == "ValueError: not yet")
    until(lambda: part.runs >= 2)
    part.works = True
    until(lambda: told()["clumsy"] == "")
    runs = part.runs
    runner.notify("Service")
    runner.notify("Pod")
    until(lambda: part.runs == runs + 1)  # not by the regular look, which is far away
    runner.stop()
    assert part.stopped
    until(lambda: not any(thread.name == part.name for thread in threading.enumerate()))


def test_every_played_part_can_be_loaded() -> None:
    parts, missing = supervisor.load_parts()
    assert missing == {}
    assert len({part.name for part in parts}) == len(supervisor.PARTS)


def test_only_one_supervisor_and_the_lock_tells_that_it_lives(tmp_path: Path) -> None:
    assert not supervisor.is_running(tmp_path)
    with supervisor._only_one(tmp_path) as alone:
        assert alone
        assert supervisor.is_running(tmp_path)
        with supervisor._only_one(tmp_path) as second:
            assert not second
    assert not supervisor.is_running(tmp_path)  # the file stays, the lock does not


def test_who_only_looks_whether_a_supervisor_runs_keeps_none_from_starting(tmp_path: Path) -> None:
    with (tmp_path / "supervisor.pid").open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with supervisor._only_one(tmp_path) as alone:
            assert alone


def test_a_reused_process_id_is_not_ours() -> None:
    assert processes.running(os.getpid(), "python") or processes.running(os.getpid(), "pytest")
    assert not processes.running(os.getpid(), "/no/such/lab")
    assert not processes.running(0, "")


def test_marked_processes_are_found_and_ended_and_others_are_not(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], env=processes.marked(tmp_path))
    other = subprocess.Popen(["sleep", "60"], env=processes.marked(tmp_path / "other"))
    try:
        until(lambda: processes.of_lab(tmp_path) == [ours.pid])
        processes.end(processes.of_lab(tmp_path))
        assert processes.of_lab(tmp_path) == []
        assert other.poll() is None
    finally:
        for child in (ours, other):
            child.kill()
            child.wait()


def test_a_process_that_ignores_the_request_is_killed() -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    began = time.monotonic()
    processes.end([child.pid], patience=0.3)
    assert not processes.running(child.pid, "")
    assert time.monotonic() - began < 5
    child.stdout.close()
    child.wait()


def test_the_users_own_cluster_settings_reach_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/somebody/.kube/config")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HELM_NAMESPACE", "theirs")
    environment = processes.marked(tmp_path)
    assert environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert environment["HOME"].startswith(str(tmp_path))
    assert not {"KUBERNETES_SERVICE_HOST", "HELM_NAMESPACE"} & environment.keys()


def test_kubeconfig_has_contexts_named_like_the_clusters(tmp_path: Path) -> None:
    planes = [ControlPlane(tmp_path, name, number) for number, name in enumerate(("mgmt", "cluster1"))]
    for plane in planes:
        (plane.folder / "pki").mkdir(parents=True)
        for file in ("ca.crt", "admin.crt", "admin.key"):
            (plane.folder / "pki" / file).write_text(f"{plane.name} {file}")
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, planes)
    assert path.stat().st_mode & 0o077 == 0
    written = path.stat().st_mtime_ns
    write_kubeconfig(path, planes)
    assert path.stat().st_mtime_ns == written
    text = path.read_text()
    assert "current-context: mgmt" in text and "name: cluster1" in text
    assert planes[0].server() != planes[1].server()


def test_inventory_has_the_contract_shape(tmp_path: Path) -> None:
    supplies: Any = SimpleNamespace(
        programs={"helm": Path("/x/helm")}, istio_charts=Path("/x/istio"), gateway_api_crds=Path("/x/crds.yaml")
    )
    data = inventory.inventory(tmp_path, "mgmt", ["cluster1", "cluster2", "cluster3"], supplies, Path("/x/charts"))[
        "all"
    ]
    assert data["children"]["management"]["hosts"] == {"mgmt": {"kube_context": "mgmt"}}
    assert list(data["children"]["workload"]["hosts"]) == ["cluster1", "cluster2", "cluster3"]
    assert data["children"]["gateway"]["hosts"] == {"cluster1": {}}
    assert data["vars"]["kubeconfig"] == str(tmp_path / "kubeconfig")
    assert data["vars"]["mesh_eastwest_chart"] == {"ref": "/x/istio/gateway"}


def test_charts_of_the_inventory_are_there(tmp_path: Path) -> None:
    supplies: Any = SimpleNamespace(programs={"helm": Path("/x")}, istio_charts=Path("/x"), gateway_api_crds=Path("/x"))
    charts = Path(cli.__file__).parent / "charts"
    variables = inventory.inventory(tmp_path, "mgmt", ["cluster1"], supplies, charts)["all"]["vars"]
    local = [value["ref"] for value in variables.values() if isinstance(value, dict) and str(charts) in value["ref"]]
    assert len(local) == 5
    assert all(Path(ref, "Chart.yaml").is_file() for ref in local)


def test_fewer_clusters_than_there_are_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"clusters": ["mgmt", "cluster1", "cluster2", "cluster3"]}))
    assert cli._wanted(tmp_path, None) == ["mgmt", "cluster1", "cluster2", "cluster3"]
    assert cli._wanted(tmp_path, 4)[-1] == "cluster4"
    with pytest.raises(LabError, match="lab down"):
        cli._wanted(tmp_path, 2)


def test_a_folder_that_is_no_lab_is_neither_used_nor_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    assert cli.main(["up"]) == 1
    assert cli.main(["down"]) == 1
    assert "LAB_HOME" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("argv", [["status"], ["exec", "--", "kubectl", "version"], ["exec"]])
def test_without_a_lab_commands_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "none"))
    assert cli.main(argv) == 1
    told = capsys.readouterr()
    assert "python -m lab" in told.out + told.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("count", ["0", "10", "two"])
def test_impossible_cluster_counts_are_refused(count: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--workloads", count])
