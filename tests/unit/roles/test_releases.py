"""Helm in the roles: only through helm_release, whose values contain licence keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[3]
ROLES = REPO / "roles"
MODULE = "multicluster.gloo.helm_release"


def tasks(node: Any) -> list[dict[str, Any]]:
    """All tasks, those in blocks too."""
    return [
        found for task in node for found in (task, *tasks(task.get("block") or []), *tasks(task.get("rescue") or []))
    ]


FILES = {file: tasks(yaml.safe_load(file.read_text())) for file in sorted(ROLES.glob("*/tasks/*.yml"))}
HELM = [
    pytest.param(task, id=f"{file.relative_to(ROLES)}: {task['name']}")
    for file, found in FILES.items()
    for task in found
    if MODULE in task
]


def test_the_roles_use_one_module_for_helm() -> None:
    assert HELM  # mesh_phase and cleanup call its engine
    text = "\n".join(file.read_text() for folder in (ROLES, REPO / "playbooks") for file in folder.rglob("*.yml"))
    assert "kubernetes.core" not in text


@pytest.mark.parametrize("task", HELM)
def test_a_task_that_manages_a_release_hides_no_decision_and_loops_over_no_values(task: dict[str, Any]) -> None:
    assert "no_log" not in task and "failed_when" not in task
    assert "values" not in str(task.get("loop", ""))


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROLES)) for file in FILES])
def test_no_task_is_tried_again_and_again(file: Path) -> None:
    """Ansible's own retries tell neither what blocks nor when it changes."""
    assert [task["name"] for task in FILES[file] if "until" in task] == []
