"""Which processes belong to a lab, and how they are ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.control_plane import processes


def test_a_reused_process_id_is_not_recognised() -> None:
    assert processes.running(os.getpid(), "python") or processes.running(os.getpid(), "pytest")
    assert not processes.running(os.getpid(), "/no/such/lab")
    assert not processes.running(0, "")


def test_marked_processes_are_found_and_ended_and_others_are_not(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "60"], env=processes.environment(tmp_path))
    other = subprocess.Popen(["sleep", "60"], env=processes.environment(tmp_path / "other"))
    try:
        assert processes.of_lab(tmp_path) == [ours.pid]
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
    processes.end([child.pid], timeout=0.3)
    assert not processes.running(child.pid, "")
    assert time.monotonic() - began < 5
    child.stdout.close()
    child.wait()


def test_the_users_own_cluster_settings_reach_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/somebody/.kube/config")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HELM_NAMESPACE", "theirs")
    environment = processes.environment(tmp_path)
    assert environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert environment["HOME"].startswith(str(tmp_path))
    assert not {"KUBERNETES_SERVICE_HOST", "HELM_NAMESPACE"} & environment.keys()
