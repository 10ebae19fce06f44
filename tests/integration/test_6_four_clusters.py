"""Three workload clusters: nothing but the inventory differs."""

from __future__ import annotations

from acceptance.audit import Mark
from acceptance.eyes import reviews_seen
from acceptance.site import Site


def test_the_guide_works_with_three_workload_clusters(four_clusters: Site) -> None:
    site = four_clusters
    assert len(site.group("workload")) == 3

    run = site.play("site").ok()
    site.note("site.yml on four clusters", run.seconds)

    seen = reviews_seen(site, requests=100)
    assert set(seen.values()) == set(site.group("workload"))
    assert {pod.rsplit("-", 2)[0] for pod in seen} == {"reviews-v1", "reviews-v2", "reviews-v3"}


def test_the_second_run_writes_nothing_there_either(four_clusters: Site) -> None:
    four_clusters.ensure_deployed()
    mark = Mark(four_clusters)

    run = four_clusters.play("site").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}
