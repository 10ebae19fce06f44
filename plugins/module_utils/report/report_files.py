# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module report_files: writes a result of health_info as files to one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..engine import private_file
from ..k8s.errors import ClusterError
from . import html, junit, markdown
from .view import shown, view

#: format -> (file extension, function that renders it)
FORMATS: Mapping[str, tuple[str, Callable[[Any, Mapping[str, Any], str], str]]] = {
    "html": ("html", lambda _health, view, title: html.document(view, title)),
    "markdown": ("md", lambda _health, view, title: markdown.document(view, title)),
    "json": ("json", lambda health, _view, _title: f"{json.dumps(health, indent=2, sort_keys=True)}\n"),
    "junit": ("xml", lambda _health, view, title: junit.document(view, title)),
}

ARGUMENT_SPEC: dict[str, Any] = {
    "health": {"type": "dict", "required": True},
    "path": {"type": "path", "required": True},
    "name": {"type": "str", "default": "report"},
    "title": {"type": "str", "default": "Multicluster routing"},
    "formats": {"type": "list", "elements": "str", "choices": [*FORMATS], "default": [*FORMATS]},
    "docs_url": {"type": "str", "default": ""},
}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: files (their paths), msg with the URL of the first. Raises ClusterError with the file and the reason."""
    del progress
    folder, name = Path(params["path"]).absolute(), params["name"]
    if Path(name).name != name or name in ("", ".."):
        raise ClusterError(f"report_files: 'name' is {name!r}. Set a file name without a folder", option="name")
    texts = {folder / f"{name}.{ending}": text for ending, text in render(params).items()}
    for place, text in () if check else texts.items():
        _write(place, text)
    return {"changed": False, "msg": _sentence(list(texts), check), "files": [str(place) for place in texts]}


def render(params: Mapping[str, Any]) -> dict[str, str]:
    """The text of each requested format by file extension. Raises ClusterError for invalid health."""
    health, title = shown(params["health"]), shown(params["title"])
    lacking = sorted({"verdict", "seconds", "time"} - set(health))
    if lacking:
        raise ClusterError(
            f"report_files: 'health' has no {', '.join(lacking)}. Pass the health of a result of health_info",
            option="health",
        )
    content = view(health, params["docs_url"])
    wanted = [FORMATS[each] for each in dict.fromkeys(params["formats"])]
    return {ending: write(health, content, title) for ending, write in wanted}


def _sentence(places: list[Path], check: bool) -> str:
    if not places:
        return "no report is written: 'formats' is empty"
    others = f" (also {', '.join(place.name for place in places[1:])})" if len(places) > 1 else ""
    return f"{'report would be written to' if check else 'report'}: {places[0].as_uri()}{others}"


def _write(place: Path, text: str) -> None:
    try:
        private_file.write(place, text.encode())
    except OSError as exc:
        raise ClusterError(
            f"report {place} cannot be written: {exc.strerror}. Set 'path' to a writable folder"
        ) from None
