"""Among other people's objects: `make site` works, nothing of theirs changes, cleanup gives back what it adopted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance import foreign, snapshot
from acceptance.site import Site, nothing_left, wait_until

Theirs = dict[str, dict[str, Any] | None]


@pytest.fixture(scope="module")
def planted(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Iterator[tuple[Site, Theirs]]:
    """The empty lab with all but the LATER objects of other people, and how those looked."""
    site = three_clusters
    site.ensure_empty()
    foreign.plant_gateway_api(site)
    wait_until(lambda: site.get(site.gateway_cluster, foreign.GATEWAY_HTTP.collection) is not None, "Gateway API")
    foreign.plant(site, foreign.BEFORE)
    foreign.plant_release(site)
    yield site, foreign.look(site, (*foreign.BEFORE, foreign.RELEASE))
    site.ensure_empty()
    foreign.pull_up(site)


def test_at_least_twenty_objects_are_in_the_way() -> None:
    assert len((*foreign.BEFORE, *foreign.LATER, foreign.RELEASE)) >= 20


def test_site_and_cleanup_leave_other_peoples_objects_alone(planted: tuple[Site, Theirs]) -> None:
    site, theirs = planted
    earlier = snapshot.take(site)

    run = site.make("site").ok()
    site.note("make site among other people's objects, lab running", run.seconds)
    foreign.plant(site, foreign.LATER)
    later = foreign.look(site, foreign.LATER)

    # Without the explicit yes: the vendors' CRDs stay, and with them objects of their kinds.
    partly = site.play("cleanup").ok()
    assert foreign.look(site, (*foreign.BEFORE, foreign.RELEASE)) == theirs
    assert foreign.look(site, foreign.LATER) == later
    unnamed = _unnamed_leftovers(partly.text, earlier, snapshot.take(site))
    assert not unnamed, "\n".join(unnamed)

    site.make("cleanup").ok()
    assert foreign.look(site, (*foreign.BEFORE, foreign.RELEASE)) == theirs
    nothing_left(lambda: _left(earlier, snapshot.take(site)))


def _unnamed_leftovers(
    summary: str, earlier: dict[str, snapshot.Snapshot], now: dict[str, snapshot.Snapshot]
) -> list[str]:
    """What came, stayed, and is neither theirs nor a vendor CRD nor named by cleanup's summary."""
    kept = ("CustomResourceDefinition", "APIService")  # an API server makes and removes the second with the first
    lines = []
    for line in _left(earlier, now):
        name = line.rsplit(" ", 1)[1].rsplit("/", 1)[-1]
        if any(kind in line for kind in kept):
            continue
        if not re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", summary):
            lines.append(line)
    return lines


def _left(earlier: dict[str, snapshot.Snapshot], now: dict[str, snapshot.Snapshot]) -> list[str]:
    """What is there and was not, except LATER and the proxy that the former Gateway got from a controller meanwhile."""
    stays = {other.body["metadata"]["name"] for other in foreign.LATER}
    lines = []
    for cluster, objects in now.items():
        uids = {content["metadata"]["uid"] for content in earlier[cluster].values()}
        for key in objects.keys() - earlier[cluster].keys():
            owners = [owner["uid"] for owner in objects[key]["metadata"].get("ownerReferences") or []]
            if owners and uids.issuperset(owners):
                uids.add(objects[key]["metadata"]["uid"])
        for key in objects.keys() - earlier[cluster].keys():
            if objects[key]["metadata"]["uid"] not in uids and objects[key]["metadata"]["name"] not in stays:
                lines.append(f"{cluster}: + {key}")
        lines += [f"{cluster}: - {key}" for key in earlier[cluster].keys() - objects.keys()]
    return sorted(lines)
