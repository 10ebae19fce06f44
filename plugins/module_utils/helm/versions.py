# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chart versions: semantic versions with an optional leading v (semver.org 2.0.0) (pure)."""

from __future__ import annotations

import re
from functools import total_ordering

# Helm also installs charts with fewer numbers or leading zeros, such as 2.15-beta and 2026.01.1.
_LOOSE = re.compile(r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?((?:[-+].*)?)")
_VERSION = re.compile(
    r"v?(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,17})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)


@total_ordering
class Version:
    """One version; compares by precedence, so that build metadata does not count. Raises ValueError."""

    def __init__(self, text: str) -> None:
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a version such as 1.2.3 or 1.2.3-rc.1")
        major, minor, patch, before, self.build = match.groups()
        self._numbers = (int(major), int(minor), int(patch))
        # A release comes after its pre-releases; a number before a word.
        parts = before.split(".") if before else []
        self._before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)

    @property
    def _key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]:
        return self._numbers, not self._before, self._before

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


def completed(text: str) -> str:
    """The version of an installed chart with three numbers without leading zeros; any other text unchanged."""
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    *numbers, rest = match.groups()
    return ".".join(str(int(each or 0)) for each in numbers) + rest
