"""The real controller of open-source kgateway, where the user has built it: the program and its charts.

LAB_KGATEWAY is the program (cmd/kgateway), LAB_KGATEWAY_CHARTS a folder with the charts `kgateway` and `kgateway-crds`
of the same release, as folders or as packages (.tgz). The lab neither builds nor downloads them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.errors import LabError

PROGRAM, CHARTS = "LAB_KGATEWAY", "LAB_KGATEWAY_CHARTS"
NAMES = ("kgateway", "kgateway-crds")


def at_hand() -> tuple[Path, dict[str, Path]] | None:
    """(program, its charts by name), None when neither variable is set; raises LabError when that is incomplete."""
    program, charts = os.environ.get(PROGRAM), os.environ.get(CHARTS)
    if not program and not charts:
        return None
    if not program or not charts:
        given, other = (PROGRAM, CHARTS) if program else (CHARTS, PROGRAM)
        raise LabError(f"{given} is set without {other}: the controller needs the charts of its own release. Set both")
    place = Path(program).expanduser().resolve()
    if not place.is_file() or not os.access(place, os.X_OK):
        raise LabError(f"{PROGRAM}={program}: file not found or not executable")
    folder = Path(charts).expanduser().resolve()
    return place, {name: _chart(folder, name) for name in NAMES}


def _chart(folder: Path, name: str) -> Path:
    packages = [file for file in folder.glob("*.tgz") if re.match(rf"{name}-v?\d", file.name)]
    found = [*packages, *([folder / name] if (folder / name / "Chart.yaml").is_file() else [])]
    if len(found) != 1:
        problem = f"has {len(found)} charts" if found else "has no chart"
        raise LabError(f"{CHARTS}={folder} {problem} {name}. It must have one, as a folder or as {name}-VERSION.tgz")
    return found[0]
