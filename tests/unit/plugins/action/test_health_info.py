"""doctor.yml with unreachable clusters: the table, the first failure at its end, and the exit status."""

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
    assert "API server is reachable" in output
    assert "the kubeconfig /nowhere/kubeconfig does not exist" in output
    assert "skipped because reach failed in east" in output
    assert "docs/doctor.md#reach" in output
    table, failure = output.find("first failure: hq"), output.find("fatal:")
    assert table > 0
    assert failure == -1 if colour else table < failure, "the table comes before the failure"


@pytest.mark.slow
def test_a_former_value_of_show_is_refused_with_the_present_ones(tmp_path: Path) -> None:
    run = doctor(tmp_path, "-e", "doctor_show=wrong")
    assert run.returncode == 2
    assert "doctor_show is 'wrong': not one of the choices. Set all or problems" in run.stdout + run.stderr
