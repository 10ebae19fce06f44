"""Cleanup with cleanup_vendor_crds restores the state of the clusters before the first run."""

from __future__ import annotations

from acceptance import snapshot
from acceptance.audit import Mark
from acceptance.site import Site, nothing_left


def test_check_mode_prints_the_plan_and_writes_nothing(deployed: Site) -> None:
    mark = Mark(deployed)

    run = deployed.play("cleanup", "--check", "--extra-vars", "cleanup_vendor_crds=true").ok()

    assert [str(write) for write in mark.writes()] == []
    clusters = deployed.clusters
    assert run.output.count("would remove") == run.output.count("would uninstall") == len(clusters)
    assert set(run.changed) == set(clusters)


def test_cleanup_leaves_the_clusters_as_they_were(deployed: Site, before: dict[str, snapshot.Snapshot]) -> None:
    run = deployed.molecule("cleanup").ok()
    deployed.note("cleanup.yml, molecule's start included", run.seconds)

    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(deployed)))


def test_cleanup_of_empty_clusters_writes_nothing(empty: Site) -> None:
    mark = Mark(empty)

    run = empty.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}
