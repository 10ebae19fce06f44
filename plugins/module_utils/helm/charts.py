# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source of a chart, its name and version, and the arguments that pass it to helm."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ..k8s.yaml_documents import document
from .releases import Release
from .versions import Version

_ARCHIVE = re.compile(r"(?P<name>[\w.-]+?)-(?P<version>v?\d+\.\d+\.\d+[\w.+-]*)\.tgz")


@dataclass(frozen=True)
class Chart:
    """The chart that the caller passes. ``name`` and ``version`` are "" when only the repository has them."""

    ref: str
    repo_url: str = ""
    name: str = ""
    version: str = ""
    local: bool = False

    def arguments(self, version: str = "") -> list[str]:
        """Arguments of helm for the chart, in that version."""
        result = [self.ref]
        if self.repo_url:
            result += ["--repo", self.repo_url]
        if version and not self.local:
            result += ["--version", version]
        return result


def chart_source(ref: str, repo_url: str = "", version: str = "") -> Chart:
    """The chart at a path, an oci:// or https:// URL, or of that name in ``repo_url``.

    Raises ValueError, naming the option, for anything else.
    """
    if ref.startswith("-") or repo_url.startswith("-"):
        raise ValueError(f"chart is {ref!r}: set a path, an oci:// URL, or the name of a chart with repo_url")
    if version:
        try:
            Version(version)
        except ValueError as exc:
            raise ValueError(f"version: {exc}. Give one exact version") from None
    path = Path(ref).expanduser()
    if not repo_url and "://" not in ref and (path.exists() or ref.startswith(("/", ".", "~"))):
        name, found = _local(path)
        if version and found.removeprefix("v") != version.removeprefix("v"):
            raise ValueError(f"version is {version}, but the chart at {path} has version {found}")
        return Chart(str(path.absolute()), "", name, found, True)
    last = ref.rstrip("/").rpartition("/")[2]
    archive = _ARCHIVE.fullmatch(last)
    if archive:
        return Chart(ref, repo_url, archive["name"], version or archive["version"])
    if "/" not in ref and not repo_url:
        raise ValueError(f"chart is {ref!r}: the path does not exist. Correct it; for the name of a chart set repo_url")
    return Chart(ref, repo_url, "" if ref.startswith("http") else last.partition(":")[0], version)


def _local(path: Path) -> tuple[str, str]:
    """(name, version) of the chart in a folder or an archive. Raises ValueError."""
    try:
        if path.is_dir():
            text = (path / "Chart.yaml").read_bytes()
        else:
            with tarfile.open(path) as archive:
                member = next(each for each in archive if re.fullmatch(r"[^/]+/Chart\.yaml", each.name))
                file = archive.extractfile(member)
                text = file.read() if file else b""
        found = document(text.decode())
        return str(found["name"]), str(found["version"])
    except (OSError, tarfile.TarError, StopIteration, ValueError, KeyError, TypeError):
        raise ValueError(f"chart: {path} has no Chart.yaml with name and version. Set the path of a chart") from None


def is_complete(release: Release) -> bool:
    """Whether Helm's record contains the complete chart: it never contains subcharts."""
    named = (release.stored_chart.get("metadata") or {}).get("dependencies")
    return not named and not re.search(r"(?m)^# Source: [^/\n]+/charts/", release.manifest)


def packed_chart(release: Release) -> bytes:
    """The chart of a release as an archive, from Helm's record."""
    chart = release.stored_chart
    files = {
        "Chart.yaml": json.dumps(chart.get("metadata") or {}).encode(),
        "values.yaml": json.dumps(chart.get("values") or {}).encode(),
    }
    if chart.get("schema"):
        files["values.schema.json"] = base64.b64decode(chart["schema"])
    for entry in [*(chart.get("templates") or ()), *(chart.get("files") or ())]:
        files[str(entry["name"])] = base64.b64decode(entry.get("data") or "")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{release.chart}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(target.getvalue(), mtime=0)
