"""How simulated parts are run, and that a lab has one supervisor."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.control_plane import supervisor


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

    def reconcile(self, lab: Any) -> None:
        self.runs += 1
        if not self.works:
            raise ValueError("not yet")

    def stop(self) -> None:
        self.stopped = True


def test_a_failing_part_is_reported_tried_again_and_woken_by_its_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESYNC", 600.0)
    monkeypatch.setattr(supervisor, "BACKOFF", (0.01,))
    part = Clumsy()
    report = supervisor.Report(tmp_path / "status.json", [part.name], {"absent": "cannot be loaded"})
    result = lambda: json.loads((tmp_path / "status.json").read_text())["parts"]  # noqa: E731
    assert result() == {"clumsy": None, "absent": "cannot be loaded"}
    runner = supervisor.Runner(part, None, report)  # type: ignore[arg-type]
    runner.start()
    until(lambda: result()["clumsy"] == "ValueError: not yet")
    until(lambda: part.runs >= 2)
    part.works = True
    until(lambda: result()["clumsy"] == "")
    runs = part.runs
    runner.notify("Service")
    runner.notify("Pod")
    until(lambda: part.runs == runs + 1)  # not by the regular look, which is far away
    runner.stop()
    assert part.stopped
    until(lambda: not any(thread.name == part.name for thread in threading.enumerate()))


def test_there_is_one_supervisor_and_its_lock_shows_that_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "LOCK_TIMEOUT", 0.05)
    assert not supervisor.is_running(tmp_path)
    with supervisor._only_one(tmp_path) as alone:
        assert alone
        assert supervisor.is_running(tmp_path)
        with supervisor._only_one(tmp_path) as second:
            assert not second
    assert not supervisor.is_running(tmp_path)  # the file stays, the lock does not


def test_checking_whether_a_supervisor_runs_does_not_prevent_its_start(tmp_path: Path) -> None:
    with (tmp_path / "supervisor.pid").open("a+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with supervisor._only_one(tmp_path) as alone:
            assert alone
