"""Cleanup with cleanup_vendor_crds restores the state of the clusters before the first run."""

from __future__ import annotations

import pytest

from acceptance import edge, snapshot
from acceptance.audit import Mark
from acceptance.edge import Edge
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


@pytest.mark.share
def test_cleanup_of_empty_clusters_writes_nothing(empty: Site) -> None:
    mark = Mark(empty)

    run = empty.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}


@pytest.mark.share
def test_what_a_gateway_of_others_needs_is_kept_until_it_is_gone(
    deployed: Site, before: dict[str, snapshot.Snapshot]
) -> None:
    with_crds = ("--extra-vars", "cleanup_vendor_crds=true")
    theirs = Edge(deployed)
    theirs.create()
    theirs.at_rest()
    look = {path: deployed.get(theirs.cluster, path) for path in (edge.DEPLOYMENT, f"{edge.GATEWAYS}/{edge.NAME}")}
    uids = {path: live["metadata"]["uid"] for path, live in look.items() if live}

    run = deployed.play("cleanup", *with_crds).ok()

    warning = f"{theirs.cluster}: Helm release gloo-system/gloo-gateway is kept: needed by Gateway edge/edge"
    assert warning in run.text.partition("Delete HTTPRoutes")[0]
    assert {path: (deployed.get(theirs.cluster, path) or {})["metadata"]["uid"] for path in uids} == uids
    assert len(uids) == len(look)
    theirs.at_rest()

    theirs.delete()
    deployed.play("cleanup", *with_crds).ok()
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(deployed)))
