"""The labs of the acceptance tests.

All files but the last share one lab of three clusters, in the order of their numbers: empty, built, broken, cleaned up,
built among other people's objects. The last one brings a lab of four clusters up, after the first is gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.capture import CaptureManager

from acceptance import snapshot
from acceptance.site import REPO, Site

# Not the lab of `make site`: that one stays as its owner left it.
LABS = Path(os.environ.get("ACCEPTANCE_LABS", REPO / ".cache" / "labs"))
FIGURES: list[str] = []
_ENDS: list[Callable[[], None]] = []  # of labs that run


def _end_labs() -> None:
    while _ENDS:
        _ENDS.pop()()


def _started(name: str, workloads: int, config: pytest.Config) -> Site:
    site = Site(LABS / name, workloads)
    site.figures = FIGURES
    site.down().ok()  # an interrupted run may have left it
    capture = config.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    _ENDS.append(site.end)
    with capture.global_and_fixture_disabled():
        site.up()
    return site


def _destroy(site: Site) -> None:
    try:
        site.molecule("destroy").ok()
    finally:
        site.down()


@pytest.fixture(scope="session")
def three_clusters(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The shared lab; `molecule create` takes it over once its programs are there, `molecule destroy` ends it."""
    site = _started("three", 2, request.config)
    site.molecule("reset").ok()
    site.molecule("create").ok()
    _ENDS[:] = [lambda: _destroy(site)]
    yield site
    _end_labs()


@pytest.fixture(scope="module")
def four_clusters(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A lab with three workload clusters, of its own; two labs at once would be slow on two cores."""
    _end_labs()
    yield _started("four", 3, request.config)
    _end_labs()


@pytest.fixture(scope="session")
def before(three_clusters: Site) -> dict[str, snapshot.Snapshot]:
    """Everything the clusters of the shared lab held before anything was played on them."""
    assert not three_clusters.deployed
    return snapshot.at_rest(three_clusters)


@pytest.fixture
def empty(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Site:
    """The shared lab with nothing installed."""
    three_clusters.ensure_empty()
    return three_clusters


@pytest.fixture
def deployed(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Site:
    """The shared lab with everything the guide builds."""
    three_clusters.ensure_deployed()
    return three_clusters


def pytest_sessionfinish() -> None:
    _end_labs()  # where a fixture failed half way


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
