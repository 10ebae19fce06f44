"""Reports as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.report.report_files import run


def write(path: Path, files: dict[str, str], check: bool = False) -> dict[str, Any]:
    return run({"path": str(path), "files": files}, check, lambda _line: None)


def test_texts_become_files_of_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    result = write(folder, {"a.html": "é雨\n", "b.md": ""})
    assert {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()} == {"a.html": "é雨\n", "b.md": ""}
    assert result["files"] == [str(folder / "a.html"), str(folder / "b.md")]
    assert result["msg"] == f"report: file://{folder}/a.html (beside it b.md)"
    assert result["changed"] is False


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, {"a": "a long one"})
    write(tmp_path, {"a": "new"})
    assert (tmp_path / "a").read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_check_mode_writes_nothing_and_tells_where_it_would(tmp_path: Path) -> None:
    result = write(tmp_path / "new", {"a": "text"}, check=True)
    assert result["msg"] == f"report would be: file://{tmp_path}/new/a"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["../out", "deep/er", "/etc/out"])
def test_no_file_leaves_the_folder(tmp_path: Path, name: str, check: bool) -> None:
    with pytest.raises(ClusterError, match="name files without folders"):
        write(tmp_path / "in", {name: "text"}, check)
    assert list(tmp_path.rglob("*out*")) == []


def test_what_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match=r"report .*/file/below/a cannot be written: Not a directory"):
        write(tmp_path / "file" / "below", {"a": "text"})


def test_what_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ClusterError, match="cannot be written: Is a directory"):
        write(tmp_path, {"a": "text"})
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_nothing_wanted_is_nothing_written(tmp_path: Path) -> None:
    assert write(tmp_path / "new", {})["msg"] == "report: none is wanted"
