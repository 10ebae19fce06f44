"""The real kgateway controller: both variables or none, one chart of each name."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.programs import kgateway


@pytest.fixture(autouse=True)
def _not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kgateway.PROGRAM, raising=False)
    monkeypatch.delenv(kgateway.CHARTS, raising=False)


def program(folder: Path, mode: int = 0o755) -> str:
    (folder / "program").write_text("")
    (folder / "program").chmod(mode)
    return str(folder / "program")


def charts(folder: Path, *names: str) -> str:
    """A folder with charts: those without .tgz are folders."""
    for name in names:
        file = folder / "charts" / name if name.endswith(".tgz") else folder / "charts" / name / "Chart.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return str(folder / "charts")


def test_it_is_optional() -> None:
    assert kgateway.at_hand() is None


@pytest.mark.parametrize(
    "names",
    [
        ("kgateway", "kgateway-crds"),
        ("kgateway-v2.4.0.tgz", "kgateway-crds-v2.4.0.tgz"),
        ("kgateway-2.4.0-rc.1.tgz", "kgateway-crds"),
        ("kgateway", "kgateway-crds", "agentgateway", "kgateway-index-1.tgz"),
    ],
)
def test_charts_are_folders_or_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv(kgateway.PROGRAM, program(tmp_path))
    monkeypatch.setenv(kgateway.CHARTS, charts(tmp_path, *names))
    expected = {name: tmp_path / "charts" / found for name, found in zip(kgateway.NAMES, names, strict=False)}
    assert kgateway.at_hand() == (tmp_path / "program", expected)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "no chart kgateway."),
        (("kgateway-crds-2.4.0.tgz",), "no chart kgateway."),
        (("kgateway",), "no chart kgateway-crds."),
        (("kgateway", "kgateway-2.4.0.tgz", "kgateway-crds"), "2 charts kgateway."),
        (("kgateway-2.3.0.tgz", "kgateway-2.4.0.tgz", "kgateway-crds"), "2 charts kgateway."),
    ],
)
def test_there_is_one_chart_of_each_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setenv(kgateway.PROGRAM, program(tmp_path))
    monkeypatch.setenv(kgateway.CHARTS, charts(tmp_path, *names) if names else str(tmp_path / "none"))
    with pytest.raises(LabError, match=f"LAB_KGATEWAY_CHARTS=.* {reason}"):
        kgateway.at_hand()


@pytest.mark.parametrize(
    ("given", "missing"), [(kgateway.PROGRAM, kgateway.CHARTS), (kgateway.CHARTS, kgateway.PROGRAM)]
)
def test_one_without_the_other_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, missing: str
) -> None:
    monkeypatch.setenv(given, str(tmp_path))
    with pytest.raises(LabError, match=f"{given} is set without {missing}"):
        kgateway.at_hand()


@pytest.mark.parametrize("mode", [None, 0o644])
def test_the_program_must_be_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int | None) -> None:
    monkeypatch.setenv(kgateway.PROGRAM, program(tmp_path, mode) if mode else str(tmp_path / "none"))
    monkeypatch.setenv(kgateway.CHARTS, charts(tmp_path, *kgateway.NAMES))
    with pytest.raises(LabError, match=r"LAB_KGATEWAY=.*: file not found or not executable"):
        kgateway.at_hand()
