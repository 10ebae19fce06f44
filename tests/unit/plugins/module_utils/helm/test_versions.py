"""Order of chart versions."""

from __future__ import annotations

from itertools import combinations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.versions import Version

# The order of semver.org, §11, and numbers that differ as texts.
ASCENDING = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.9.0",
    "1.10.0-patch0",
    "1.10.0",
    "2.0.0",
]


@pytest.mark.parametrize(("lower", "higher"), list(combinations(ASCENDING, 2)))
def test_versions_are_ordered(lower: str, higher: str) -> None:
    assert Version(lower) < Version(higher)
    assert not Version(higher) < Version(lower)
    assert Version(lower) != Version(higher)


@pytest.mark.parametrize(
    ("one", "other"), [("v1.2.3", "1.2.3"), ("1.2.3+a", "1.2.3+b"), ("1.0.0-rc.1+x", "1.0.0-rc.1")]
)
def test_versions_of_the_same_precedence_are_equal(one: str, other: str) -> None:
    assert Version(one) == Version(other)


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.x", "^1.2.3", ">=1.0.0", "latest", "01.2.3", "1.2.3-", "1.2.3 "])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        Version(text)
