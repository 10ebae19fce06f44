"""Private files in folders where others write."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.engine import private_file

STRANGER = 4711
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create links of another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    place = tmp_path / "one" / "two" / "report"
    private_file.write(place, b"content")
    assert place.read_bytes() == b"content"
    assert [mode(each) for each in (place, place.parent, place.parent.parent)] == [0o600, 0o700, 0o700]
    assert os.umask(umask) == umask


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    private_file.write(tmp_path / "report", b"")
    assert mode(tmp_path) == 0o750


def symbolic(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def hard(place: Path, victim: Path) -> None:
    place.hardlink_to(victim)


def dangling(place: Path, victim: Path) -> None:
    place.symlink_to(victim.with_name("created"))


def pipe(place: Path, _victim: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("plant", [symbolic, hard, dangling, pipe])
def test_what_has_the_name_of_the_file_is_replaced(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "shared"
    victim.write_text("precious")
    folder.mkdir()
    plant(folder / "report", victim)
    private_file.write(folder / "report", b"content")
    assert victim.read_text() == "precious" and not victim.with_name("created").exists()
    assert stat.S_ISREG((folder / "report").lstat().st_mode) and mode(folder / "report") == 0o600
    assert names(folder) == ["report"]


@pytest.mark.parametrize("plant", [symbolic, hard, dangling, pipe])
def test_what_has_the_name_of_the_draft_is_an_error(
    tmp_path: Path, plant: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda _length: "guessed")
    plant(tmp_path / ".guessed.unfinished", victim)
    with pytest.raises(FileExistsError):
        private_file.write(tmp_path / "report", b"content")
    assert names(tmp_path) == [".guessed.unfinished", "victim"]
    assert victim.read_text() == "precious" and not victim.with_name("created").exists()


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        private_file.write(tmp_path / "report", b"content")
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", ["../real", "{tmp}/real", "step/../../real", "again"])
def test_links_of_the_user_are_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "real").mkdir()
    folder = tmp_path / "folder"
    (folder / "step").mkdir(parents=True)
    (folder / "again").symlink_to("../real")
    (folder / "link").symlink_to(target.format(tmp=tmp_path))
    private_file.write(folder / "link" / "new" / "report", b"content")
    assert (tmp_path / "real" / "new" / "report").read_bytes() == b"content"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        private_file.write(tmp_path / "a" / "report", b"content")


@as_root
@pytest.mark.parametrize("folder_mode", [0o1777, 0o777, 0o770])
@pytest.mark.parametrize("below", ["", "deep/er"])
def test_links_of_others_in_a_shared_folder_are_not_followed(tmp_path: Path, folder_mode: int, below: str) -> None:
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    victim.mkdir()
    shared.mkdir()
    shared.chmod(folder_mode)
    (shared / "reports").symlink_to(victim)
    os.lchown(shared / "reports", STRANGER, STRANGER)
    with pytest.raises(OSError, match=r"reports in .* is a symbolic link of another user"):
        private_file.write(shared / "reports" / below / "report", b"content")
    assert names(victim) == []


USER, ROOT, OWNER = 1000, 0, 1001


@pytest.mark.parametrize(
    ("owner", "folder_owner", "folder_mode", "planted"),
    [
        (STRANGER, ROOT, 0o1777, True),
        (STRANGER, USER, 0o775, True),
        (STRANGER, OWNER, 0o2770, True),
        (USER, ROOT, 0o1777, False),
        (ROOT, OWNER, 0o777, False),
        (OWNER, OWNER, 0o777, False),
        (STRANGER, OWNER, 0o755, False),
    ],
)
def test_whether_a_link_may_be_planted(owner: int, folder_owner: int, folder_mode: int, planted: bool) -> None:
    link = os.stat_result((stat.S_IFLNK | 0o777, 1, 1, 1, owner, owner, 0, 0, 0, 0))
    folder = os.stat_result((stat.S_IFDIR | folder_mode, 1, 1, 2, folder_owner, folder_owner, 0, 0, 0, 0))
    assert private_file.is_planted(link, folder, USER) is planted
