"""Which line of kgateway a chart has."""

from __future__ import annotations

import pytest

from lab import settings
from lab.vendor.gloo_gateway.lines import LINES, line_of


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("2.0.1", "2.1"),  # Gloo Gateway
        ("v2.1.3", "2.1"),
        ("v2.2.9", "2.1"),
        ("2.3.0", "2.3"),
        ("v2.3.0-rc.1", "2.3"),
        ("v2.10.0", "2.3"),
        ("3.0.0", "2.3"),
        ("", "2.1"),
    ],
)
def test_the_line_of_a_version_is_the_newest_that_is_not_newer(version: str, line: str) -> None:
    assert line_of(version).name == line


def test_every_version_that_can_be_set_is_a_line() -> None:
    assert set(settings.SETTINGS["kgateway"].values) == set(LINES)


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("2.1", "a" * 60, "a" * 60),
        ("2.3", "a" * 63, "a" * 63),
        ("2.3", "a" * 64, f"{'a' * 50}-ffe054fe7ae0"),
        ("2.3", f"{'a' * 49}-{'b' * 20}", f"{'a' * 49}-0517873f1a55"),
    ],
)
def test_long_names_are_hashed_from_2_3_on(line: str, name: str, expected: str) -> None:
    assert LINES[line].proxy_name({"metadata": {"name": name}}) == expected
