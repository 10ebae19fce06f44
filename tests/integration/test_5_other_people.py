"""With objects of others in the clusters: `make site` works and changes none of them; cleanup restores adopted ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from acceptance import foreign, snapshot
from acceptance.site import Site, nothing_left, wait_until


@dataclass(frozen=True)
class Planted:
    """What other people have on the clusters of a site, and how it looked (see foreign.look)."""

    site: Site
    objects: tuple[foreign.Foreign, ...]
    looks: dict[str, dict[str, Any] | None]

    def changes(self, but: tuple[foreign.Foreign, ...] = ()) -> list[str]:
        """One line for every field that is not as it was."""
        now = foreign.look(self.site, tuple(other for other in self.objects if other not in but))
        return [
            f"{name} {line}" for name, live in now.items() for line in snapshot.differing(self.looks[name], live, "")
        ]


@pytest.fixture(scope="module")
def planted(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Iterator[Planted]:
    """The empty lab with the objects of other people, their CRDs among them, and how those looked."""
    site = three_clusters
    site.ensure_empty()
    objects = (*foreign.crds(site), *foreign.BEFORE)
    foreign.plant(site, objects)
    foreign.plant_release(site)
    theirs = (*objects, foreign.RELEASE)
    wait_until(lambda: foreign.at_rest(site, theirs), "what was planted at rest")
    yield Planted(site, theirs, foreign.look(site, theirs))
    site.ensure_empty()
    foreign.pull_up(site, objects)
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


def test_at_least_twenty_objects_are_in_the_way(planted: Planted) -> None:
    assert all(planted.looks.values())
    kinds = Counter(other.body["kind"] for other in planted.objects)
    assert kinds.total() - kinds["CustomResourceDefinition"] >= 20
    assert set(kinds) >= {"HTTPRoute", "Gateway", "GatewayParameters", "VirtualDestination", "Namespace", "Secret"}


def test_site_and_cleanup_leave_other_peoples_objects_alone(planted: Planted) -> None:
    site = planted.site
    earlier = snapshot.at_rest(site)

    run = site.make("site").ok()
    site.note("make site among other people's objects, lab running", run.seconds)
    assert planted.changes(but=foreign.ADOPTED) == []

    # Without the explicit yes: the vendors' CRDs stay, and with them objects of their kinds.
    partly = site.play("cleanup", "-v").ok()
    assert planted.changes() == []
    nothing_left(lambda: _unnamed_leftovers(partly.text, earlier, snapshot.take(site)))
    summary = partly.output.rpartition("TASK [Show what was removed, restored and kept]")[2]
    assert "restored: " in summary and "cleanup_vendor_crds=true" in summary
    assert max(part.count("\n    - ") for part in summary.split("ok: [")) <= 10

    site.make("cleanup").ok()
    assert planted.changes() == []
    nothing_left(lambda: _left(earlier, snapshot.take(site)))


def _unnamed_leftovers(
    summary: str, earlier: dict[str, snapshot.Snapshot], now: dict[str, snapshot.Snapshot]
) -> list[str]:
    """What came, stayed, and is neither theirs nor a vendor CRD nor named by cleanup with -v.

    A record of Helm is named by its release, what Kubernetes puts into every namespace by the namespace.
    """
    kept = ("CustomResourceDefinition", "APIService")  # an API server makes and removes the second with the first
    lines = []
    for line in _left(earlier, now):
        if any(kind in line for kind in kept):
            continue
        place, _slash, name = line.rsplit(" ", 1)[1].rpartition("/")
        name = re.sub(r"^sh\.helm\.release\.v1\.(.+)\.v\d+$", r"\1", name)
        if name in ("default", "kube-root-ca.crt"):
            name = place
        if not re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", summary):
            lines.append(line)
    return lines


def _left(earlier: dict[str, snapshot.Snapshot], now: dict[str, snapshot.Snapshot]) -> list[str]:
    """What is there and was not, except the proxy that the former Gateway got from a controller meanwhile."""
    lines = []
    for cluster, objects in now.items():
        uids = {content["metadata"]["uid"] for content in earlier[cluster].values()}
        for key in objects.keys() - earlier[cluster].keys():
            owners = [owner["uid"] for owner in objects[key]["metadata"].get("ownerReferences") or []]
            if owners and uids.issuperset(owners):
                uids.add(objects[key]["metadata"]["uid"])
        for key in objects.keys() - earlier[cluster].keys():
            if objects[key]["metadata"]["uid"] not in uids:
                lines.append(f"{cluster}: + {key}")
        lines += [f"{cluster}: - {key}" for key in earlier[cluster].keys() - objects.keys()]
    return sorted(lines)
