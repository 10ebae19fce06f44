# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module report_files: texts become files of one folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..k8s.errors import ClusterError

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "files": {"type": "dict", "required": True},
}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: files (their paths), msg with the URL of the first. Raises ClusterError with the file and the reason."""
    del progress
    folder = Path(params["path"]).resolve()
    places = {folder / name: str(content) for name, content in params["files"].items()}
    for place, content in places.items():
        if place.parent != folder:
            raise ClusterError(f"report {place} would not be in {folder}: name files without folders")
        if not check:
            _write(place, content)
    return {"changed": False, "msg": _sentence(list(places), check), "files": [str(place) for place in places]}


def _sentence(places: list[Path], check: bool) -> str:
    if not places:
        return "report: none is wanted"
    beside = f" (beside it {', '.join(place.name for place in places[1:])})" if len(places) > 1 else ""
    return f"{'report would be' if check else 'report'}: {places[0].as_uri()}{beside}"


def _write(place: Path, content: str) -> None:
    """Whole or not at all: who reads the file while it is written anew sees the one before."""
    unfinished = place.with_name(f".{place.name}.new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(place)
    except OSError as exc:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise ClusterError(f"report {place} cannot be written: {exc.strerror}. Name a folder that can be") from None
