"""The program in the place of sds: what it waits for, how it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab.pods import sds


def started(folder: Path, port: int, pause: float = sds.FIRST_PAUSE) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", sds.__file__, str(folder), str(port), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_with_the_pause_of_the_real_one_it_waits_almost_13_seconds() -> None:
    assert sum(sds.pauses(0.1)) == pytest.approx(12.7)
    assert sum(sds.pauses()) == pytest.approx(12.7 / 4)


@pytest.mark.parametrize("there", [[], ["key.pem"], ["key.pem", "cert-chain.pem"]])
def test_it_ends_with_the_first_missing_file_in_its_message(there: list[str], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).touch()
    with started(tmp_path, 0, pause=0.001) as process:
        output, _ = process.communicate(timeout=30)
    missing = sds.FILES[len(there)]
    assert (process.returncode, output) == (
        1,
        f"secrets check failed: could not find file '/etc/istio-certs/{missing}'\n",
    )


def test_it_serves_once_the_files_exist_and_ends_with_sigterm(tmp_path: Path) -> None:
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
