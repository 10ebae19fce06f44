"""The labs of the acceptance tests.

Most files share a lab of three clusters; others use a lab of four, or one for each site of other people. Only one lab
runs at a time, and fixtures start the lab that a file needs and bring the clusters into the initial state of each
test, so every file can run alone and in any order. The numbered order is the fastest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.capture import CaptureManager

from acceptance import snapshot
from acceptance.site import REPO, Site

pytest.register_assert_rewrite("recorded_gateway")

# Not the lab of `make site`: that one stays as its owner left it.
LABS = Path(os.environ.get("ACCEPTANCE_LABS", REPO / ".cache" / "labs"))
FIGURES: list[str] = []
_ENDS: list[Callable[[], None]] = []  # of the lab that runs
_SHARED: list[tuple[Site, dict[str, snapshot.Snapshot]]] = []  # the lab of three clusters while it runs


def _end_labs() -> None:
    _SHARED.clear()
    while _ENDS:
        _ENDS.pop()()


def _started(name: str, workloads: int, config: pytest.Config) -> Site:
    _end_labs()  # two labs at once would be slow on two cores
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


@pytest.fixture(scope="module")
def three_clusters(request: pytest.FixtureRequest) -> Site:
    """The shared lab; `molecule create` takes it over once its programs are there, `molecule destroy` ends it."""
    if not _SHARED:
        site = _started("three", 2, request.config)
        site.molecule("reset").ok()
        site.molecule("create").ok()
        _ENDS[:] = [lambda: _destroy(site)]
        _SHARED.append((site, snapshot.at_rest(site)))
    return _SHARED[0][0]


@pytest.fixture(scope="module")
def four_clusters(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A lab with three workload clusters, of its own."""
    yield _started("four", 3, request.config)
    _end_labs()


@pytest.fixture
def lived_in(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Site]]:
    """A lab of its own on which other people have installed a site of lab/sites."""

    def installed(name: str) -> Site:
        site = _started("lived-in", 2, request.config)
        run = site.lab("site", name, timeout=600).ok()
        site.note(f"lab site {name}", run.seconds)
        return site

    yield installed
    _end_labs()


@pytest.fixture(scope="module")
def before(three_clusters: Site) -> dict[str, snapshot.Snapshot]:
    """Everything the clusters of the shared lab held before anything was played on them."""
    return _SHARED[0][1]


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
    _end_labs()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
