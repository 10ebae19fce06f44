"""Helm in the roles: values of releases hold licences, and Helm's module returns them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
HELM = ("kubernetes.core.helm", "ansible.builtin.command")


def blocks(tasks: list[dict[str, Any]], rescued: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every task that runs Helm, and whether it stands in a block with a rescue."""
    for task in tasks:
        if "block" in task:
            yield from blocks(task["block"], rescued or "rescue" in task)
        elif any(module in task for module in HELM):
            yield task, rescued


FOUND = [
    pytest.param(task, rescued, id=f"{file.relative_to(ROLES)}: {task['name']}")
    for file in sorted(ROLES.glob("*/tasks/*.yml"))
    for task, rescued in blocks(yaml.safe_load(file.read_text()))
]


def test_three_roles_run_helm() -> None:
    assert len(FOUND) >= 4


@pytest.mark.parametrize(("task", "rescued"), FOUND)
def test_a_task_that_runs_helm_shows_nothing_and_a_rescue_tells_why(task: dict[str, Any], rescued: bool) -> None:
    assert task.get("no_log") is True
    assert rescued
