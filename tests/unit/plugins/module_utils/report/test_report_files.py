"""Reports as files."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.report.report_files import ARGUMENT_SPEC, run

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
HEALTH = json.loads((FIXTURES / "health_ok.json").read_text())
DEFAULTS = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}


def write(path: Path, check: bool = False, **more: Any) -> dict[str, Any]:
    return run({**DEFAULTS, "health": HEALTH, "path": str(path), **more}, check, lambda _line: None)


def test_each_format_becomes_a_file_of_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    result = write(folder, formats=["json", "markdown", "json"])
    assert result["files"] == [str(folder / "report.json"), str(folder / "report.md")]
    assert sorted(each.name for each in folder.iterdir()) == ["report.json", "report.md"]
    assert json.loads((folder / "report.json").read_text()) == HEALTH
    assert result["msg"] == f"report: file://{folder}/report.json (also report.md)"
    assert result["changed"] is False


def test_only_the_user_may_read_a_report(tmp_path: Path) -> None:
    write(tmp_path / "new")
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "new").iterdir()}
    assert (modes, stat.S_IMODE((tmp_path / "new").stat().st_mode)) == ({0o600}, 0o700)


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("an older report")
    write(tmp_path, formats=["json"])
    assert json.loads((tmp_path / "report.json").read_text()) == HEALTH
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("name", ["report.json", ".report.json.new"])
def test_a_planted_link_is_not_followed(tmp_path: Path, name: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "reports"
    victim.write_text("precious")
    folder.mkdir()
    (folder / name).symlink_to(victim)
    write(folder, formats=["json"])
    assert victim.read_text() == "precious"
    report = folder / "report.json"
    assert not report.is_symlink()
    assert json.loads(report.read_text()) == HEALTH


def test_check_mode_writes_nothing_and_names_the_files(tmp_path: Path) -> None:
    result = write(tmp_path / "new", check=True, formats=["html"])
    assert result["msg"] == f"report would be written to: file://{tmp_path}/new/report.html"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["../out", "deep/er", "/etc/out", "", ".."])
def test_no_file_leaves_the_folder(tmp_path: Path, name: str, check: bool) -> None:
    with pytest.raises(ClusterError, match=r"'name' is .*\. Set a file name without a folder"):
        write(tmp_path / "in", check, name=name)
    assert list(tmp_path.iterdir()) == []


def test_data_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"'health' has no seconds, time, verdict. Pass the health of a result"):
        write(tmp_path, health={"checks": []})


def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match=r"report .*/file/below/report.json cannot be written: Not a directory"):
        write(tmp_path / "file" / "below", formats=["json"])


def test_a_failed_write_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(ClusterError, match="cannot be written: Is a directory"):
        write(tmp_path, formats=["json"])
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_without_formats_nothing_is_written(tmp_path: Path) -> None:
    assert write(tmp_path / "new", formats=[])["msg"] == "no report is written: 'formats' is empty"
    assert not (tmp_path / "new").exists()
