# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a file that only the user may read to a folder in which others may write (/tmp, a CI workspace)."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath

# O_PATH requires only search permission.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40


def write(path: Path, content: bytes) -> None:
    """Replace the file as a whole: mode 0600; missing folders are created with mode 0700, whatever the umask.

    Readers see the old content or the new one. No link or pipe at this name is followed or written to, and no link
    that others planted on the way to it. Raises OSError with the reason as ``strerror``.
    """
    draft = f".{secrets.token_hex(8)}.unfinished"
    with _umask(0o077), _opened(path.absolute().parent) as folder:
        number = os.open(draft, _DRAFT, 0o600, dir_fd=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
            os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise


def is_planted(link: os.stat_result, folder: os.stat_result, user: int) -> bool:
    """Whether a symbolic link may have been created by an attacker, by the rule of Linux (fs.protected_symlinks).

    That is a link in a folder in which others may write, unless it belongs to the user, root or the folder's owner.
    """
    return bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and link.st_uid not in (user, 0, folder.st_uid)


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Descriptor of the folder, opened name by name, so that nobody can exchange a part of the path meanwhile."""
    waiting = list(reversed(path.parts))
    links, folder = 0, -1
    try:
        while waiting:
            name = waiting.pop()
            target = _target(name, folder, path)
            if target is None:
                below = _open(name, folder)
                if folder != -1:
                    os.close(folder)
                folder = below
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            waiting += reversed(PurePath(target).parts)
        yield folder
    finally:
        if folder != -1:
            os.close(folder)


def _open(name: str, folder: int) -> int:
    if name == os.sep:
        return os.open(name, _FOLDER)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _target(name: str, folder: int, path: Path) -> str | None:
    """The target of a symbolic link, None for anything else. Raises OSError for a planted one."""
    if name == os.sep:
        return None
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    if is_planted(found, os.fstat(folder), os.geteuid()):
        raise OSError(errno.EPERM, f"{name} in {path} is a symbolic link of another user")
    return os.readlink(name, dir_fd=folder)
