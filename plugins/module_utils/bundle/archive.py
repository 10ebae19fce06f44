# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A support bundle as one archive: no larger than wanted, complete or not there, readable by its owner alone."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from ..k8s.errors import Invalid
from ..k8s.fields import Json
from .content import File

_DOCUMENT = re.compile(r"^(?=---$)", re.MULTILINE)

README = """\
Support bundle of multicluster.gloo, made {time}.

index.json            clusters with version, namespaces and what could not be read; objects that are not ready; every
                      file with its size; what was left out and why
<cluster>/crds.json   versions of the chain's custom resource definitions
<cluster>/helm.json   Helm releases: chart, version, revision, status. Never values
<cluster>/_cluster/   objects without namespace
<cluster>/<namespace>/<Kind>.<group>.yaml   objects with their status, JSON documents separated by ---
<cluster>/<namespace>/events.txt            events, the newest last
<cluster>/<namespace>/logs/<pod>/<container>[.previous].log

Redacted: values of Secrets and ConfigMaps (their keys stay), environment variables and annotations except a few known
to be harmless, headers, query parameters, and what looks like a key, a token or a credential anywhere, logs included.
Look through it before you give it away all the same.
"""


def bounded(files: Iterable[File], max_file: int, max_total: int) -> tuple[dict[str, bytes], list[Json]]:
    """Content by path within the limits (bytes), in the order given, and what was left out: [{what, reason}]."""
    kept: dict[str, bytes] = {}
    left_out: list[Json] = []
    room = max_total
    for file in files:
        content, missing, total = _fitting(file, min(max_file, room))
        if missing:
            limit = "max_file_size" if max_file <= room else "max_size"
            which = "first" if file.newest_last else "last"
            what = f"the {which} {missing} of {total} entries" if content else "all of it"
            left_out.append({"what": file.path, "reason": f"{what}: larger than {limit} allows"})
        if content:
            kept[file.path] = content
            room -= len(content)
    return kept, left_out


def _fitting(file: File, limit: int) -> tuple[bytes, int, int]:
    """The documents or lines that fit, how many do not, and how many there are."""
    parts = _DOCUMENT.split(file.content) if file.path.endswith(".yaml") else file.content.splitlines(keepends=True)
    pieces = [part.encode("utf-8", "replace") for part in parts if part]
    if file.newest_last:
        pieces.reverse()
    fitting: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            break
        fitting.append(piece)
    missing = len(pieces) - len(fitting)
    if file.newest_last:
        fitting.reverse()
    return b"".join(fitting), missing, len(pieces)


def destination(dest: str | None, stamp: str) -> Path:
    """Where the archive goes: ``dest``, a file in it when it is a folder, a file in the working directory without it.

    Raises Invalid when the folder does not exist or is not writable.
    """
    name = f"multicluster-gloo-bundle-{stamp}.tar.gz"
    path = Path(dest or name).expanduser()
    if path.is_dir() or str(dest).endswith("/"):
        path = path / name
    path = path.absolute()
    if not path.parent.is_dir():
        raise Invalid(f"dest {path}: the folder {path.parent} does not exist: make it, or name another dest")
    if not os.access(path.parent, os.W_OK):
        raise Invalid(f"dest {path}: the folder {path.parent} is not writable: name another dest")
    return path


def packed(folder: str, files: dict[str, bytes], seconds: float) -> bytes:
    """The files below one folder as tar.gz; of nobody in particular, so that it tells nothing of who made it."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=int(seconds)) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{path}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(seconds)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def write(path: Path, content: bytes) -> None:
    """The whole file or none, readable by its owner alone from the first byte on."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as exc:
        raise Invalid(f"dest {path}: cannot be written: {exc.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
