"""Ends Ansible with a signal at one of its tasks, else prints how many there were. A callback plugin of the tests.

KILL_AT: number of the task, from 1. KILL_WITH: a signal, of the process or, after "group ", of its process group.
KILL_WHEN: "start", before the task is given to any host, or "result", after the first result of a host.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Ansible's entry point."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        os.setpgid(0, 0)  # a group without the test

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self.started += 1
        self._kill("start", task)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._kill("result", result.task if hasattr(result, "task") else result._task)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self.v2_runner_on_ok(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        os.write(1, f"\ntasks: {self.started}\n".encode())

    def _kill(self, when: str, task: Any) -> None:
        if self.started != int(os.environ["KILL_AT"]) or when != os.environ["KILL_WHEN"]:
            return
        target, _space, name = os.environ["KILL_WITH"].rpartition(" ")
        # Not through a buffer, which the signal would lose.
        os.write(1, f"\nkilled with {os.environ['KILL_WITH']} at {when} of: {task.get_name()}\n".encode())
        if target:
            os.killpg(0, signal.Signals[name])
        else:
            os.kill(os.getpid(), signal.Signals[name])
