"""site.yml and cleanup.yml, killed at each of their tasks: the next run goes on without help."""

from __future__ import annotations

import pytest

from acceptance import snapshot
from acceptance.eyes import reviews_seen
from acceptance.kills import walk
from acceptance.site import Site, nothing_left

# Walks that together kill the playbook at each of its tasks. Each number and that of WAYS have no common divisor, so
# that every walk uses every way.
SITE, CLEANUP = 6, 3
WITH_CRDS = {"cleanup_vendor_crds": True}


@pytest.mark.share
@pytest.mark.parametrize("first", range(1, SITE + 1))
def test_site_goes_on_after_it_was_killed_at_any_task(
    empty: Site, before: dict[str, snapshot.Snapshot], first: int
) -> None:
    site = empty
    killed = walk(site, "site", first, SITE)
    assert len(killed) > 60 // SITE, killed
    assert site.play("site").ok().changed == {}
    assert {pod.rsplit("-", 2)[0] for pod in reviews_seen(site, 60)} == {"reviews-v1", "reviews-v2", "reviews-v3"}
    site.play("cleanup", variables=WITH_CRDS).ok()
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


@pytest.mark.share
@pytest.mark.parametrize("first", range(1, CLEANUP + 1))
def test_cleanup_goes_on_after_it_was_killed_at_any_task(
    deployed: Site, before: dict[str, snapshot.Snapshot], first: int
) -> None:
    site = deployed
    killed = walk(site, "cleanup", first, CLEANUP, WITH_CRDS)
    assert len(killed) > 20 // CLEANUP, killed
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))
    assert site.play("cleanup", variables=WITH_CRDS).ok().changed == {}
