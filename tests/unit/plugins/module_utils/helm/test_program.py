"""The helm program ends with the process that started it, and gets no more than it needs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_helm import FakeHelm

from ansible_collections.multicluster.gloo.plugins.module_utils.helm import program

Json = dict[str, Any]
CANARY = "canary-8d21"
KEY = base64.b64encode(f"{CANARY}-key".encode()).decode()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    content = {
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1"}}],
        "users": [{"name": "u", "user": {"token": f"{CANARY}-token", "client-key-data": KEY}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


def forked(work: Callable[[], None]) -> int:
    """Process id of a child that does the work; its exit code is 0 when the work ended without an exception."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


class Run:
    """A run of helm in processes like those of Ansible: ``main`` waits for ``worker``, which runs helm."""

    def __init__(self, tmp_path: Path, kubeconfig: Path, behaviour: str) -> None:
        self.temporary = tmp_path / "temporary"
        self.temporary.mkdir()
        self.helm = FakeHelm(tmp_path / "helm", behaviour, self.temporary)
        self.cluster: Any = SimpleNamespace(name="c1", kubeconfig=str(kubeconfig), context="one")
        reading, self.writing = os.pipe()
        self.main = forked(self._main)
        os.close(self.writing)
        with os.fdopen(reading) as told:
            self.worker = int(told.readline())

    def _main(self) -> None:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.environ.update({"TMPDIR": str(self.temporary), "GLOO_MESH_LICENSE_KEY": CANARY, "X_API_KEY": CANARY})
        tempfile.tempdir, program._GRACE = None, 1.0
        worker = forked(self._work)
        os.write(self.writing, f"{worker}\n".encode())
        os.close(self.writing)
        assert os.waitpid(worker, 0)[1] == 0

    def _work(self) -> None:
        os.close(self.writing)
        helm = program.Helm(self.cluster, str(self.helm.path), "", 600.0, str, lambda line: None)
        helm.run(
            "Helm release ns/edge", "upgrade", ["upgrade", "edge", "{chart}"], {"licence": f"{CANARY}-value"}, b"packed"
        )

    def wait(self) -> int:
        """Exit code of ``main``."""
        return os.waitstatus_to_exitcode(os.waitpid(self.main, 0)[1])

    def end(self) -> None:
        for pid in (*self.helm.living(), self.worker, self.main):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.main, 0)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def started(tmp_path: Path, kubeconfig: Path) -> Iterator[Callable[[str], Run]]:
    """``started(behaviour)``: a run whose helm has recorded how it was started."""
    runs: list[Run] = []

    def start(behaviour: str) -> Run:
        run = Run(tmp_path, kubeconfig, behaviour)
        runs.append(run)
        wait_until(lambda: bool(run.helm.records()), "helm was not started")
        return run

    yield start
    for run in runs:
        run.end()


def kill_main(run: Run) -> None:
    os.kill(run.main, signal.SIGKILL)


def kill_worker(run: Run) -> None:
    os.kill(run.worker, signal.SIGKILL)


def kill_group(run: Run) -> None:
    os.killpg(run.main, signal.SIGKILL)


def end_worker(run: Run) -> None:
    os.kill(run.worker, signal.SIGTERM)


def interrupt_group(run: Run) -> None:
    os.killpg(run.main, signal.SIGINT)


ENDS = (kill_main, kill_worker, kill_group, end_worker, interrupt_group)
BEHAVIOURS = ("lives on", "ignores SIGTERM", "has a child", "is stopped")


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_helm_and_its_children_end_with_ansible_and_leave_nothing(
    started: Callable[[str], Run], behaviour: str, end: Callable[[Run], None]
) -> None:
    run = started(behaviour)
    assert list(run.helm.living()) != []
    end(run)
    wait_until(lambda: not list(run.helm.living()), "helm lives on")
    wait_until(lambda: not is_running(run.worker), "the worker lives on")
    assert list(run.temporary.rglob("*")) == []


def test_children_of_a_helm_that_ended_end(started: Callable[[str], Run]) -> None:
    run = started("has a child")
    [record] = run.helm.records()
    os.kill(record["pid"], signal.SIGKILL)
    wait_until(lambda: not list(run.helm.living()), "the child lives on")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are a feature of Linux")
def test_secrets_are_in_no_file_argument_or_environment(started: Callable[[str], Run]) -> None:
    run = started("ends")
    assert run.wait() == 0
    [record] = run.helm.records()
    assert json.loads(record["values"]) == {"licence": f"{CANARY}-value"}
    [user] = json.loads(record["kubeconfig"])["users"]
    assert user["user"] == {"token": f"{CANARY}-token", "client-key-data": KEY}
    assert record["files"] == []
    assert [each for each in record["open"] if each.startswith(str(run.temporary))] == []
    shown = [" ".join(each) for each in record["commands"].values()]
    started_by_us = [pid for pid, words in record["commands"].items() if str(run.helm.path) in words]
    family = set(started_by_us) - {str(run.main), str(run.worker)}
    shown += [each for pid in family for each in record["environments"][pid]]
    assert len(family) == 2 and str(record["pid"]) in family  # helm and its guard
    assert [each for each in shown if CANARY in each] == []
    assert "HELM_NO_PLUGINS" in record["environment"] and "PATH" in record["environment"]


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, kubeconfig: Path) -> None:
    broken = tmp_path / "helm"
    broken.write_bytes(b"\x7fELF not")
    broken.chmod(0o755)
    cluster: Any = type("Cluster", (), {"name": "c1", "kubeconfig": str(kubeconfig), "context": "one"})()
    helm = program.Helm(cluster, str(broken), "", 5.0, str, lambda line: None)
    with pytest.raises(program.ClusterError, match=r"does not report a version of Helm 3 or 4 \(.*Exec format error\)"):
        helm.check()


def test_a_helm_that_does_not_end_is_waited_for_and_then_ended(
    tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_GRACE", 2.5)
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\ncase $1 in version) echo v3.16.0 ;; *) exec sleep 600 ;; esac\n")
    helm.chmod(0o755)
    cluster: Any = type("Cluster", (), {"name": "c1", "kubeconfig": str(kubeconfig), "context": "one"})()
    progress: list[str] = []
    with pytest.raises(program.HelmFailed, match=r"^c1: Helm release a/b: helm could not upgrade within 0 s\. Check"):
        program.Helm(cluster, str(helm), "", 0.0, str, progress.append).run(
            "Helm release a/b", "upgrade", ["upgrade", "b"]
        )
    assert progress == ["c1: Helm release a/b: waiting for helm to upgrade (waited 2 s)"]


KEPT = {
    "PATH": "/bin", "HOME": "/h", "LANG": "C", "HTTPS_PROXY": "p", "no_proxy": "n", "HELM_CACHE_HOME": "c",
    "AWS_PROFILE": "a", "KRB5CCNAME": "k", "XDG_CONFIG_HOME": "x", "SSL_CERT_FILE": "s",
}  # fmt: skip
REMOVED = (
    "GLOO_MESH_LICENSE_KEY", "GLOO_GATEWAY_LICENSE_KEY", "SOLO_ISTIO_LICENSE_KEY", "HELM_LICENCE", "AWS_LICENSE_KEY",
    "HELM_KUBETOKEN", "HELM_KUBECONTEXT", "HELM_NAMESPACE", "HELM_DEBUG", "KUBECONFIG", "ANSIBLE_VAULT_PASSWORD_FILE",
    "GITHUB_TOKEN", "VAULT_TOKEN", "LD_PRELOAD", "PYTHONPATH", "license", "MY_PASSWORD",
)  # fmt: skip


def test_the_environment_of_helm_is_minimal() -> None:
    found = program.environment({**KEPT, **dict.fromkeys(REMOVED, CANARY)}, "configmap")
    assert found == {**KEPT, "HELM_NO_PLUGINS": "1", "HELM_DRIVER": "configmap"}
