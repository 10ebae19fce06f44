"""The changing share of long tests: over all shares every cell runs exactly once, and named cells always run."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable

import pytest

import shares
from shares import PARTS, Share

Run = Callable[..., tuple[list[str], str]]

CELLS = """
import pytest

@pytest.mark.share
@pytest.mark.parametrize("row", range(7))
@pytest.mark.parametrize("column", "ab")
def test_long(row, column):
    pass

@pytest.mark.share
@pytest.mark.parametrize("row", range(3))
def test_few(row):
    pass

@pytest.mark.parametrize("row", range(4))
def test_whole(row):
    pass
"""


@pytest.fixture
def ran(pytester: pytest.Pytester) -> Run:
    """``ran(*arguments)``: (names of the tests that ran, the output) of a small file in a folder of its own."""
    pytester.makepyfile(test_cells=CELLS)
    pytester.makeini("[pytest]\nmarkers =\n    share: x\n")

    def run(*arguments: str) -> tuple[list[str], str]:
        result = pytester.runpytest_inprocess("-v", "-p", "no:cacheprovider", "-p", "shares", *arguments)
        assert result.ret == 0
        lines = result.outlines
        return [line.split(" ")[0].partition("::")[2] for line in lines if " PASSED" in line], "\n".join(lines)

    return run


def test_over_all_shares_every_cell_runs_exactly_once(ran: Run) -> None:
    everything, _output = ran("--full")
    counted = Counter(name for number in range(1, PARTS + 1) for name in ran(f"--share={number}/{PARTS}")[0])
    assert len(everything) == 14 + 3 + 4
    assert counted == {name: PARTS if name.startswith("test_whole") else 1 for name in everything}


def test_what_is_left_out_is_counted_and_the_share_can_be_repeated(ran: Run) -> None:
    names, output = ran("--share=2/5")
    left = 21 - len(names)
    assert f"{left} deselected" in output
    assert f"share 2/5: {left} cells of 2 tests are left out" in output
    assert "repeat it with SHARE=2/5; all with --full" in output


def test_a_cell_named_on_the_command_line_runs_whatever_the_share(ran: Run) -> None:
    for number in range(1, PARTS + 1):
        assert ran(f"--share={number}/{PARTS}", "test_cells.py::test_few[1]")[0] == ["test_few[1]"]


def test_the_share_changes_with_the_day_and_comes_round() -> None:
    first = datetime.date(2026, 2, 26)
    days = [shares.of_day(first + datetime.timedelta(days=after)) for after in range(PARTS)]
    assert {share.number for share in days} == set(range(1, PARTS + 1))
    assert shares.chosen(False, "", first) == days[0]
    assert shares.chosen(False, "3/4", first) == Share(3, 4)
    assert shares.chosen(True, "3/4", first) is None


@pytest.mark.parametrize("text", ["0/5", "6/5", "5", "a/b", "1/0", "-1/5"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(pytest.UsageError, match="expected a number of parts"):
        shares.parsed(text)


@pytest.mark.parametrize("cells", [1, 2, 5, 39, 300])
def test_shares_of_one_test_differ_by_one_cell_at_most(cells: int) -> None:
    ids = [f"tests/test_x.py::test_y[{index}]" for index in range(cells)]
    sizes = [len(shares.split(ids, Share(number, PARTS))) for number in range(1, PARTS + 1)]
    assert sum(sizes) == cells and max(sizes) - min(sizes) <= 1
