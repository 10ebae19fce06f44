"""Helm in the roles: values of releases hold licences, and Helm's module returns them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
HELM = ("kubernetes.core.helm", "ansible.builtin.command")


def tasks(node: Any) -> list[dict[str, Any]]:
    """All tasks, those in blocks too."""
    return [
        found for task in node for found in (task, *tasks(task.get("block") or []), *tasks(task.get("rescue") or []))
    ]


FILES = {file: tasks(yaml.safe_load(file.read_text())) for file in sorted(ROLES.glob("*/tasks/*.yml"))}
RUN_HELM = [
    pytest.param(file, task, id=f"{file.relative_to(ROLES)}: {task['name']}")
    for file, found in FILES.items()
    for task in found
    if any(module in task for module in HELM)
]


def test_three_roles_run_helm() -> None:
    assert len(RUN_HELM) >= 4


@pytest.mark.parametrize(("file", "task"), RUN_HELM)
def test_a_task_that_runs_helm_shows_nothing_and_a_later_one_tells_why_it_failed(
    file: Path, task: dict[str, Any]
) -> None:
    assert task.get("no_log") is True
    # Ansible shows the message of a failure in spite of no_log, so the task itself must not fail.
    assert task.get("failed_when") is False
    later = FILES[file][FILES[file].index(task) + 1 :]
    [tells] = [each for each in later if "ansible.builtin.fail" in each]
    assert "helm_error" in tells["ansible.builtin.fail"]["msg"]
    assert "helm_failed" in tells["when"]


@pytest.mark.parametrize(("file", "task"), RUN_HELM)
def test_helm_does_not_wait_in_silence(file: Path, task: dict[str, Any]) -> None:
    assert not task.get("kubernetes.core.helm", {}).get("wait")
    assert "--wait" not in task.get("ansible.builtin.command", {}).get("argv", [])


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROLES)) for file in FILES])
def test_no_task_is_tried_again_and_again(file: Path) -> None:
    """Ansible's own retries tell neither what blocks nor when it changes."""
    assert [task["name"] for task in FILES[file] if "until" in task] == []
