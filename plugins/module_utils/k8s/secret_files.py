# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with secrets for what reads only files: the ssl module, and programs.

They are in memory where the system supports it (Linux), so that nothing is left when Ansible is killed; else in a
private folder that is removed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class SecretFile(NamedTuple):
    """A path that can be read in this process; in a child, too, if it inherits ``descriptor`` (None: always)."""

    path: str
    descriptor: int | None = None


@contextlib.contextmanager
def secret_files(contents: Mapping[str, bytes]) -> Iterator[dict[str, SecretFile]]:
    """Files with the contents, by name; readable only by the user, and gone afterwards."""
    with contextlib.ExitStack() as stack:
        if hasattr(os, "memfd_create"):
            found = {}
            for name, data in contents.items():
                number = os.memfd_create(name)
                stack.callback(os.close, number)
                os.fchmod(number, 0o600)
                with os.fdopen(number, "wb", closefd=False) as file:
                    file.write(data)
                found[name] = SecretFile(f"/proc/self/fd/{number}", number)
            yield found
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="multicluster-gloo-")))
        for name, data in contents.items():
            with open(folder / name, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(data)
        yield {name: SecretFile(str(folder / name)) for name in contents}


def lasting_file(name: str, data: bytes) -> str:
    """Path of such a file for this process and every other one of the user, until this process ends."""
    file = _lasting.enter_context(secret_files({name: data}))[name]
    return file.path if file.descriptor is None else f"/proc/{os.getpid()}/fd/{file.descriptor}"


_lasting = contextlib.ExitStack()
atexit.register(_lasting.close)
