"""Playbooks that are killed at their tasks, one after the other, and go on in the next run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acceptance.site import Site

PLUGINS = Path(__file__).parent / "callback"

# How a run ends: the signal, of the process or of its group, and where in the task. Taken in turn from task to task.
WAYS = (
    ("SIGKILL", "start"),
    ("SIGKILL", "result"),
    ("SIGTERM", "start"),
    ("group SIGKILL", "result"),
    ("SIGINT", "result"),
)


def walk(site: Site, playbook: str, first: int, step: int, variables: Mapping[str, Any] | None = None) -> list[str]:
    """Play the playbook again and again; kill it at task `first`, then `step` tasks later, until a run comes through.

    Each run starts where the one before was killed. Returns how and where runs were killed.
    """
    killed: list[str] = []
    while True:
        number = first + step * len(killed)
        how, when = WAYS[number % len(WAYS)]
        run = site.play(
            playbook,
            variables=variables,
            environment={
                "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS),
                "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
                "KILL_AT": str(number),
                "KILL_WITH": how,
                "KILL_WHEN": when,
            },
        )
        if run.code == 0:
            tasks = re.search(r"^tasks: (\d+)$", run.output, re.MULTILINE)
            assert tasks and first <= int(tasks[1]) < number, f"not killed at task {number}: {tasks and tasks[0]}"
            site.figures.append(f"{len(killed):7d}    runs of {playbook}.yml killed, at task {first} + {step}n")
            return killed
        told = re.search(r"^killed with .*", run.output, re.MULTILINE)
        assert told, f"run {len(killed) + 1} failed by itself, after {killed or 'none'}:\n{run.output[-3000:]}"
        site.deployed = True  # or a part of it
        killed.append(f"{playbook}.yml, task {number}: {told[0]}")
