"""The vendor's charts in their versions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab import charts, settings


def version(folder: str) -> str:
    return str(yaml.safe_load(Path(folder, "Chart.yaml").read_text())["version"])


@pytest.mark.parametrize("chart", charts.VERSIONED)
def test_the_inventorys_chart_has_the_version_of_its_setting(tmp_path: Path, chart: str) -> None:
    charts.write(tmp_path)
    key = charts.VERSIONED[chart]
    for value in settings.SETTINGS[key].values:
        settings.change(tmp_path, [(key, value)])
        folder = charts.references(tmp_path)[chart]
        assert version(folder).removeprefix("v") == f"{value}.0"
        files = {file.relative_to(charts.SOURCES / chart) for file in (charts.SOURCES / chart).rglob("*")}
        assert {file.relative_to(folder) for file in Path(folder).rglob("*")} == files


def test_charts_without_a_setting_are_used_where_they_are(tmp_path: Path) -> None:
    references = charts.references(tmp_path)
    assert set(references) == {folder.name for folder in charts.SOURCES.iterdir()}
    for chart in references.keys() - charts.VERSIONED.keys():
        assert references[chart] == str(charts.SOURCES / chart)
