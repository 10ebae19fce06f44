"""The list of simulated parts."""

from __future__ import annotations

from lab import supervise


def test_every_played_part_can_be_loaded() -> None:
    parts, missing = supervise.load_parts()
    assert missing == {}
    assert len({part.name for part in parts}) == len(supervise.PARTS)
