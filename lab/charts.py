"""The stand-ins for the vendor's charts, in every version that a setting allows.

`lab up` writes them to `charts/<version>/<chart>` of the lab's folder: the same templates with another version in
Chart.yaml. What differs between versions is decided in the templates by `.Chart.Version`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab import settings

SOURCES = Path(__file__).parent / "vendor" / "charts"

# Chart -> the setting with its versions; the others have one version.
VERSIONED = {
    "gloo-platform-crds": "gloo",
    "gloo-platform": "gloo",
    "gloo-operator": "operator",
    "enterprise-kgateway-crds": "kgateway",
    "enterprise-kgateway": "kgateway",
    "kgateway-crds": "kgateway",
    "kgateway": "kgateway",
}

_VERSION = re.compile(r"^(version: |appVersion: )(v?).*$", re.MULTILINE)


def folder(home: Path, chart: str, version: str) -> Path:
    """Folder of a chart in one of its versions, for example 2.14."""
    return home / "charts" / version / chart


def references(home: Path) -> dict[str, str]:
    """Chart -> its folder, in the version that the settings name."""
    chosen = settings.values(home)
    return {
        source.name: str(folder(home, source.name, chosen[VERSIONED[source.name]]))
        if source.name in VERSIONED
        else str(source)
        for source in sorted(SOURCES.iterdir())
    }


def write(home: Path) -> None:
    """Write all charts that have more than one version."""
    for chart, setting in VERSIONED.items():
        for version in settings.SETTINGS[setting].values:
            place = folder(home, chart, version)
            shutil.copytree(SOURCES / chart, place, dirs_exist_ok=True)
            text = (place / "Chart.yaml").read_text()
            (place / "Chart.yaml").write_text(_VERSION.sub(rf"\g<1>\g<2>{version}.0", text))
