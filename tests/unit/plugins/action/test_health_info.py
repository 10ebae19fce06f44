"""doctor.yml where no cluster answers: a table, the first cause at the end, and the exit status that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[4]
INVENTORY = """
[management]
hq
[workload]
east
[gateway]
east
[all:vars]
kubeconfig=/nowhere/kubeconfig
kube_context=x
"""


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Plays playbooks/doctor.yml on two clusters whose kubeconfig does not exist."""
    inventory = folder / "hosts.ini"
    inventory.write_text(INVENTORY)
    told = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
        **environment,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory)]
    command += [
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        *arguments,
        str(REPO / "playbooks" / "doctor.yml"),
    ]
    return subprocess.run(command, env=told, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("colour", [False, True])
def test_the_table_and_the_exit_status(tmp_path: Path, colour: bool) -> None:
    fail_on, environment = ("never", {"ANSIBLE_FORCE_COLOR": "1"}) if colour else ("failed", {"ANSIBLE_NOCOLOR": "1"})
    run = doctor(tmp_path, "-e", f"doctor_fail_on={fail_on}", **environment)
    output = run.stdout + run.stderr
    assert "Traceback" not in output
    assert ("\x1b[" in output) is colour
    assert run.returncode == (0 if colour else 2)
    assert "hq (management)" in output
    assert "API server answers" in output
    assert "the kubeconfig /nowhere/kubeconfig does not exist" in output
    assert "skipped because reach (east)" in output
    assert "docs/doctor.md#reach" in output
    table, failure = output.find("first: hq"), output.find("fatal:")
    assert table > 0
    assert failure == -1 if colour else table < failure, "the table comes before the failure"
