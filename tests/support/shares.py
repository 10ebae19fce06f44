"""A pytest plugin: a changing share of the cells of tests with many.

Of a test marked ``share`` a run takes every twentieth cell, on the next day the next ones, so that twenty days take
all. ``--share=2/5`` (or SHARE=2/5) takes the second of five parts whatever the day, ``--full`` takes all cells. A cell
named on the command line always runs.
"""

from __future__ import annotations

import datetime
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

PARTS = 20


@dataclass(frozen=True)
class Share:
    """The ``number``-th (from 1) of ``of`` parts."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, position: int) -> bool:
        return position % self.of == self.number - 1


def parsed(text: str) -> Share:
    """ "2/5" as a Share. Raises pytest.UsageError."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    share = Share(int(found[1]), int(found[2])) if found else None
    if share is None or not 1 <= share.number <= share.of:
        raise pytest.UsageError(f"share {text!r}: expected a number of parts as in 2/5, from 1/5 to 5/5")
    return share


def of_day(day: datetime.date) -> Share:
    """The share of a day."""
    return Share(day.toordinal() % PARTS + 1, PARTS)


def chosen(full: bool, told: str, day: datetime.date) -> Share | None:
    """The share of a run; None for all cells."""
    if full:
        return None
    return parsed(told) if told else of_day(day)


def split(ids: Sequence[str], share: Share) -> set[str]:
    """Those of the node IDs that belong to the share: of each test every n-th cell.

    Tests begin at different cells, so that many tests with few cells fill all shares alike.
    """
    seen: Counter[str] = Counter()
    kept = set()
    for node in ids:
        test = node.partition("[")[0]
        if share.has(zlib.crc32(test.encode()) + seen[test]):
            kept.add(node)
        seen[test] += 1
    return kept


# -- pytest ------------------------------------------------------------------------------------------------------------

_SHARE = pytest.StashKey[Share | None]()
_LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("share", "share of the cells of tests with many")
    group.addoption("--full", action="store_true", help="run every cell of every test")
    group.addoption(
        "--share", default=os.environ.get("SHARE", ""), metavar="N/M", help="the N-th of M shares of the cells"
    )


def pytest_configure(config: pytest.Config) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    config.stash[_SHARE] = chosen(config.getoption("--full"), config.getoption("--share"), today)
    config.stash[_LEFT_OUT] = Counter()


def pytest_report_header(config: pytest.Config) -> str:
    share = config.stash[_SHARE]
    if share is None:
        return "share: all cells of every test"
    return f"share: {share} of the cells of tests with many (repeat it with SHARE={share}; all with --full)"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share = config.stash[_SHARE]
    if share is None:
        return
    named = [argument for argument in config.args if argument.endswith("]")]
    shared = [item for item in items if item.get_closest_marker("share")]
    kept = split([item.nodeid for item in shared], share)
    left = [item for item in shared if item.nodeid not in kept and not any(arg.endswith(item.nodeid) for arg in named)]
    config.stash[_LEFT_OUT] = Counter(item.nodeid.partition("[")[0] for item in left)
    if left:
        out = set(left)
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    share, left = terminalreporter.config.stash[_SHARE], terminalreporter.config.stash[_LEFT_OUT]
    if left:
        terminalreporter.write_line(f"share {share}: {left.total()} cells of {len(left)} tests are left out")
