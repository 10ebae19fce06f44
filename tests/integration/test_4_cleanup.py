"""Cleanup with the explicit yes leaves the clusters as they were before anything was played."""

from __future__ import annotations

from acceptance import snapshot
from acceptance.audit import Mark
from acceptance.site import Site, wait_until


def test_cleanup_leaves_the_clusters_as_they_were(deployed: Site, before: dict[str, snapshot.Snapshot]) -> None:
    run = deployed.molecule("cleanup").ok()
    deployed.note("cleanup.yml, molecule's start included", run.seconds)

    _await_nothing_left(deployed, before)


def test_cleanup_of_empty_clusters_writes_nothing(empty: Site) -> None:
    mark = Mark(empty)

    run = empty.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}


def _await_nothing_left(site: Site, before: dict[str, snapshot.Snapshot]) -> None:
    """The garbage collector may still be at work when the playbook ends; nothing else may."""
    left: list[str] = []

    def as_before() -> bool:
        left[:] = snapshot.all_differences(before, snapshot.take(site))
        return not left

    try:
        wait_until(as_before, "as before", 20)
    except AssertionError:
        assert left == []
