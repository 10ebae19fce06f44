# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A support bundle as one archive: bounded in size, written atomically, readable by its owner only."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from ..engine import private_file
from ..k8s.errors import Invalid
from ..k8s.fields import Json
from ..k8s.printable import printable
from .content import File

_DOCUMENT = re.compile(r"^(?=---$)", re.MULTILINE)

README = """\
Support bundle of multicluster.gloo, created {time}.

index.json            clusters with version and namespaces; objects that are not ready; every file with its size; what
                      was omitted and why
<cluster>/crds.json   versions of the related custom resource definitions
<cluster>/helm.json   Helm releases: chart, version, revision, status; no values
<cluster>/_cluster/   cluster-scoped objects
<cluster>/<namespace>/<Kind>.<group>.yaml   objects with their status, JSON documents separated by ---
<cluster>/<namespace>/events.txt            events, newest last
<cluster>/<namespace>/logs/<pod>/<container>[.previous].log

Redacted: values of Secrets and ConfigMaps (keys are kept), environment variables and annotations except a few known to
be harmless, headers, query parameters, and anything that looks like a key, token or credential, including in logs.
Review the contents before you share the bundle.
"""


def bounded(files: Iterable[File], max_file: int, max_total: int) -> tuple[dict[str, bytes], list[Json]]:
    """Content by path within the limits (bytes), in the given order, and what was omitted: [{what, reason}]."""
    kept: dict[str, bytes] = {}
    left_out: list[Json] = []
    room = max_total
    for file in files:
        content, missing, total = _fitting(file, min(max_file, room))
        if missing:
            limit = "max_file_size" if max_file <= room else "max_size"
            which = "first" if file.newest_last else "last"
            what = f"the {which} {missing} of {total} entries" if content else "all entries"
            left_out.append({"what": file.path, "reason": f"{what}: larger than {limit}"})
        if content:
            kept[file.path] = content
            room -= len(content)
    return kept, left_out


def _fitting(file: File, limit: int) -> tuple[bytes, int, int]:
    """The documents or lines that fit, the number that do not, and the total number."""
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
    """Path of the archive: ``dest``, or a file in it if it is a folder; by default a file in the working directory.

    Raises Invalid when the folder does not exist or is not writable.
    """
    name = f"multicluster-gloo-bundle-{stamp}.tar.gz"
    path = Path(dest or name).expanduser()
    if path.is_dir() or str(dest).endswith("/"):
        path = path / name
    path = path.absolute()
    if not path.parent.is_dir():
        raise Invalid(f"dest {path}: folder {path.parent} does not exist. Create it, or set another dest")
    if not os.access(path.parent, os.W_OK):
        raise Invalid(f"dest {path}: folder {path.parent} is not writable. Set another dest")
    return path


def pack(folder: str, files: dict[str, bytes], seconds: float) -> bytes:
    """The files below one folder as tar.gz, without owner, so that the archive does not reveal who created it.

    Names of a cluster are parts of the paths: none leaves the folder.
    """
    out = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=int(seconds)) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, content in files.items():
            below = "/".join(part for part in printable(path).split("/") if part not in ("", ".", ".."))
            member = tarfile.TarInfo(f"{folder}/{below}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(seconds)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write the archive. Raises Invalid with the reason."""
    try:
        private_file.write(path, content)
    except OSError as exc:
        raise Invalid(f"dest {path}: cannot be written: {exc.strerror}. Set another dest") from None
