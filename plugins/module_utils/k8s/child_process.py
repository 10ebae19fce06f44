# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that Ansible starts: they end with it, however it ends (guard.py), and know no licence keys."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping

from . import guard

_LICENCE = re.compile(r"(?i)licen[cs]e")


def without_licences(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a program that does not need the licence keys."""
    return {key: value for key, value in environment.items() if not _LICENCE.search(key)}


@contextlib.contextmanager
def guarded(
    command: list[str], environment: Mapping[str, str], grace: float, kept: Iterable[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a command, with pipes. It and its children end with the context, and with this process.

    ``command``: the first word is a path; ``grace``: seconds between SIGTERM and SIGKILL; ``kept``: descriptors that
    it inherits. The process leads a session and process group.
    """
    watched, lifeline = os.pipe()
    program = [sys.executable, "-I", "-S", "-c", inspect.getsource(guard), str(watched), str(grace)]
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, lifeline)
        try:
            process = subprocess.Popen(
                [*program, *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[watched, *kept],
                start_new_session=True,
            )
        finally:
            os.close(watched)
        try:
            yield process
        finally:
            stack.close()
            _await_end(process, grace)


def _await_end(process: subprocess.Popen[bytes], grace: float) -> None:
    try:
        process.wait(2 * grace)
    except subprocess.TimeoutExpired:  # somebody ended the guard
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
