# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Termination signals and the end of the parent process, deferred until the cleanup is done."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

# SIGALRM: the keyword ``timeout`` of a task raises an exception in its handler.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class Interrupted(BaseException):
    """The work has to end early. Not an Exception: error handlers must not catch it."""


class Interrupts:
    """Defers SIGINT, SIGTERM, SIGHUP and SIGALRM while it is entered; at exit they are delivered again.

    A signal is only recorded, and ``check`` raises Interrupted: an asynchronous exception could hit the cleanup itself.
    Outside the main thread Python accepts no handlers; nothing is deferred there. ``check`` raises also when the parent
    process has ended: the workers of a killed Ansible get no signal.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}
        self._parent = os.getppid()

    def __enter__(self) -> Interrupts:
        for number in _ENDING:
            try:
                self._before[number] = signal.signal(number, self._record)
            except ValueError:
                break
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self._number is not None:
            os.kill(os.getpid(), self._number)

    def check(self) -> None:
        """Raise Interrupted when a signal has arrived or the parent process has ended."""
        if self._number is not None:
            raise Interrupted(signal.Signals(self._number).name)
        if os.getppid() != self._parent:
            raise Interrupted("Ansible has ended")

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._number = self._number or number
