# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that starts another one and ends it, with all its children, when the process that needs it has ended.

It is run in a separate session as ``python -c <this file> LIFELINE GRACE COMMAND...``, so it imports nothing of the
collection. LIFELINE is the descriptor of a pipe: closed at the other end, also by the system when that process is
killed, it ends the command. GRACE: seconds between SIGTERM and SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main(lifeline: int, grace: float, command: list[str]) -> None:
    """Become the command, and watch the lifeline in a child process."""
    if os.fork():
        os.set_inheritable(lifeline, False)
        try:
            os.execv(command[0], command)
        except OSError as exc:
            raise SystemExit(f"{command[0]} cannot be started: {exc.strerror}") from None
    _watch(lifeline, grace, os.getpgrp())


def _watch(lifeline: int, grace: float, leader: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(0, 3)  # else the output of the command would not end
    os.read(lifeline, 1)
    os.killpg(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while os.getppid() == leader and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(leader, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
