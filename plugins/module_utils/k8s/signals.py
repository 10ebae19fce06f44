# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that ask a process to end, kept until what must not be left half done is done."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked the run to end. Not an Exception: nobody shall take it for a failure and go on."""


class Interrupts:
    """Keeps SIGINT, SIGTERM and SIGHUP while it is entered; at its end they do what they would have done.

    A signal only leaves a note, which ``check`` turns into Interrupted: an exception out of nowhere could hit the very
    lines that undo things. Outside the main thread Python takes no handlers; nothing is kept there.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in _ENDING:
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:
                break
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self._number is not None:
            os.kill(os.getpid(), self._number)

    def check(self) -> None:
        """Raise Interrupted when a signal has come."""
        if self._number is not None:
            raise Interrupted(signal.Signals(self._number).name)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = self._number or number
