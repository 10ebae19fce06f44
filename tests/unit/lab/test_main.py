"""Errors of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import __main__ as cli
from lab.errors import LabError


def test_fewer_clusters_than_existing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(json.dumps({"clusters": ["mgmt", "cluster1", "cluster2", "cluster3"]}))
    assert cli._cluster_names(tmp_path, None) == ["mgmt", "cluster1", "cluster2", "cluster3"]
    assert cli._cluster_names(tmp_path, 4)[-1] == "cluster4"
    with pytest.raises(LabError, match="lab down"):
        cli._cluster_names(tmp_path, 2)


def test_a_folder_that_is_no_lab_is_not_used_and_not_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    assert cli.main(["up"]) == 1
    assert cli.main(["down"]) == 1
    assert "LAB_HOME" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("argv", [["status"], ["exec", "--", "kubectl", "version"], ["exec"]])
def test_commands_without_a_lab_end_with_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "none"))
    assert cli.main(argv) == 1
    result = capsys.readouterr()
    assert "python -m lab" in result.out + result.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("count", ["0", "10", "two"])
def test_impossible_cluster_counts_are_refused(count: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--workloads", count])
