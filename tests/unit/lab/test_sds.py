"""The program in sds' place: what it waits for, how it gives up."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab import sds


def started(folder: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", sds.__file__, str(folder), str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_real_one_waits_almost_13_seconds() -> None:
    assert sds.patience(0.1) == pytest.approx(12.7)
    assert sds.patience() == pytest.approx(12.7 / 4)


@pytest.mark.parametrize("there", [[], ["key.pem"], ["key.pem", "cert-chain.pem"]])
def test_it_gives_up_over_the_first_file_that_is_missing(there: list[str], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).touch()
    with started(tmp_path, 0) as process:
        said, _ = process.communicate(timeout=30)
    missing = sds.FILES[len(there)]
    assert (process.returncode, said) == (
        1,
        f"secrets check failed: could not find file '/etc/istio-certs/{missing}'\n",
    )


def test_it_serves_once_the_files_are_there_and_ends_when_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with started(tmp_path, port) as process:
        for name in sds.FILES:
            (tmp_path / name).touch()
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.terminate()
        assert process.wait(10) == 0
