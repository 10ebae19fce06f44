"""Errors of the command line."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from lab import __main__ as cli
from lab.errors import LabError
from lab.pods import network_namespace


def test_fewer_clusters_than_existing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"clusters": ["mgmt", "cluster1", "cluster2", "cluster3"]}))
    assert cli._cluster_names(tmp_path, None) == ["mgmt", "cluster1", "cluster2", "cluster3"]
    assert cli._cluster_names(tmp_path, 4)[-1] == "cluster4"
    with pytest.raises(LabError, match="lab down"):
        cli._cluster_names(tmp_path, 2)


def test_a_lab_keeps_the_controller_that_it_was_created_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network_namespace, "problem", lambda: "")
    one, other = Path("/programs/one"), Path("/programs/other")
    for program in (None, one):
        cli._check_controller(tmp_path, program)  # a new lab
    for before, now in ((None, one), (one, None), (one, other)):
        programs = {"kgateway": str(before)} if before else {}
        (tmp_path / "lab.json").write_text(json.dumps({"clusters": ["mgmt"], "programs": programs}))
        cli._check_controller(tmp_path, before)
        with pytest.raises(LabError, match="lab down"):
            cli._check_controller(tmp_path, now)


def test_a_real_controller_that_cannot_be_isolated_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network_namespace, "problem", lambda: "unshare: Operation not permitted")
    cli._check_controller(tmp_path, None)
    with pytest.raises(LabError, match=r"LAB_KGATEWAY: .* all addresses .*Operation not permitted"):
        cli._check_controller(tmp_path, Path("/programs/kgateway"))


def test_a_folder_that_is_no_lab_is_not_used_and_not_deleted(
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
def test_commands_without_a_lab_end_with_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "none"))
    assert cli.main(argv) == 1
    result = capsys.readouterr()
    assert "python -m lab" in result.out + result.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("count", ["0", "10", "two"])
def test_impossible_cluster_counts_are_refused(count: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--workloads", count])


def new_lab(home: Path) -> Path:
    """A lab without processes."""
    (home / "clusters" / "clusters").mkdir(parents=True)
    (home / "lab.json").write_text(json.dumps({"clusters": ["mgmt"]}))
    (home / cli.LOCK).touch()
    return home


@pytest.mark.slow
def test_several_downs_at_once_all_succeed(tmp_path: Path) -> None:
    home = new_lab(tmp_path / "lab")
    with (home / cli.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        downs = [
            subprocess.Popen(
                [sys.executable, "-m", "lab", "down"],
                env={**os.environ, "LAB_HOME": str(home)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=cli.paths.REPOSITORY,
            )
            for _number in range(3)
        ]
        # All of them wait for the lock.
        printed = [down.stderr.readline() for down in downs if down.stderr]
    assert [line.startswith("waiting for another") for line in printed] == [True] * 3
    ended = [(*down.communicate(timeout=60), down.returncode) for down in downs]
    assert [(err, code) for _out, err, code in ended] == [("", 0)] * 3
    assert sorted(out.split(":")[0].split(" in ")[0] for out, _err, _code in ended) == [
        "lab is down", "no lab", "no lab",
    ]  # fmt: skip
    assert not home.exists()


@pytest.mark.parametrize("again", [False, True], ids=["stays deleted", "is created again"])
@pytest.mark.parametrize("create", [True, False])
def test_a_lab_that_is_deleted_while_a_command_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, create: bool, again: bool
) -> None:
    home = new_lab(tmp_path / "lab")
    waits = threading.Event()
    wait_for = cli._wait_for

    def watched(lock: IO[str], folder: Path) -> None:
        waits.set()
        wait_for(lock, folder)

    def is_locked() -> bool:
        """Whether there is a lab, and its lock is held."""
        with cli._exclusive(home, create=create) as exists:
            if exists:
                with (home / cli.LOCK).open() as lock, pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return exists

    monkeypatch.setattr(cli, "_wait_for", watched)
    with ThreadPoolExecutor(1) as pool:
        with (home / cli.LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = pool.submit(is_locked)
            assert waits.wait(10)
            cli._delete(home)
            if again:
                new_lab(home)
        assert found.result(10) is (create or again)


def test_a_folder_is_a_lab_until_everything_else_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_lab(tmp_path / "lab")
    seen: list[bool] = []
    remove = cli.shutil.rmtree

    def watched(path: Path) -> None:
        seen.append(cli._is_foreign(home))
        remove(path)
        seen.append(cli._is_foreign(home))

    monkeypatch.setattr(cli.shutil, "rmtree", watched)
    cli._delete(home)
    assert seen == [False, False]
    assert not home.exists()
