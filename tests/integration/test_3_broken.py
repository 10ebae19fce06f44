"""One fault at a time: verify.yml finds it, names cluster, object and cause, and changes nothing.

The two faults of the inventory (context missing, one cluster twice) end before the first write: see test_1.
"""

from __future__ import annotations

import pytest

from acceptance.audit import Mark
from acceptance.breakages import BREAKAGES, Breakage
from acceptance.eyes import healthy
from acceptance.site import Site, missing, wait_until


@pytest.mark.share
@pytest.mark.parametrize("breakage", BREAKAGES, ids=str)
def test_verify_names_cluster_object_and_cause(deployed: Site, breakage: Breakage) -> None:
    wait_until(lambda: healthy(deployed), "the site at rest before it is broken", 90)

    undo = breakage.break_it(deployed)
    try:
        mark = Mark(deployed)
        run = deployed.play("verify", timeout=300)
        written = [str(write) for write in mark.writes()]
    finally:
        undo()

    wait_until(lambda: healthy(deployed), f"the site at rest after the repair of: {breakage}", 120)
    deployed.note(f"verify.yml finds: {breakage}", run.seconds)
    assert run.code != 0, run.output
    assert "Traceback" not in run.output
    assert missing(breakage.patterns(deployed), run.errors) == []
    assert written == []


def test_the_site_is_proven_again_after_all_repairs(deployed: Site) -> None:
    deployed.play("verify").ok()
