# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walk over a chain of checks that need each other, so that one cause stands out (pure).

A check looks at places (a cluster, a Gateway of it, a VirtualDestination, ...) and finds something at each. Where one
that it needs has failed before, nothing is looked at: what it would find is a symptom of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..k8s import redaction
from ..k8s.fields import Json
from ..k8s.progress import one_line

DOCS = "docs/doctor.md"
#: what is seen where a check cannot deal with what it finds
BROKEN = "the check itself failed"


class Unread(Exception):
    """What a check has to know could not be read; the text says what and why."""


@dataclass(frozen=True)
class Finding:
    """What was found at one place. ``unknown``: it could not be read, so nothing is claimed."""

    verdict: Literal["ok", "warning", "failed", "unknown"]
    seen: str
    hint: str = ""
    object: str = ""


def ok(seen: str, object: str = "") -> Finding:
    return Finding("ok", seen, "", object)


def warning(seen: str, hint: str = "", object: str = "") -> Finding:
    return Finding("warning", seen, hint, object)


def failed(seen: str, hint: str = "", object: str = "") -> Finding:
    return Finding("failed", seen, hint, object)


@dataclass(frozen=True)
class Place:
    """Where a check looks: the facts of all clusters, the one it is about, and perhaps one object of it."""

    world: Any
    facts: Any
    subject: Any = None
    object: str = ""

    @property
    def cluster(self) -> str:
        return str(self.facts.name)


@dataclass(frozen=True)
class Check:
    """One link of the chain.

    ``places`` lists where it looks, ``look`` raises Unread where it cannot tell. ``needs``: checks that must not have
    failed in the same cluster or in the management cluster; ``needs_all``: in no cluster at all.
    """

    id: str
    title: str
    places: Callable[[Any], Iterable[Place]]
    look: Callable[[Place], Finding]
    hint: str = ""
    needs: tuple[str, ...] = ()
    needs_all: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What became of one check at one place. ``because``: the failed record it was skipped for."""

    check: Check
    cluster: str
    finding: Finding
    because: Record | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        return "skipped" if self.because or self.finding.verdict == "unknown" else self.finding.verdict

    def as_dict(self) -> Json:
        """The record as modules return it."""
        finding, wrong = self.finding, self.verdict in ("warning", "failed")
        return {
            "id": self.check.id,
            "cluster": self.cluster,
            "check": self.check.title,
            "verdict": self.verdict,
            # It quotes what others wrote: conditions, messages, events.
            "seen": one_line(redaction.text(finding.seen)),
            "hint": (finding.hint or self.check.hint) if wrong else "",
            "doc": f"{DOCS}#{self.check.id}",
            "object": finding.object,
        }


def walk(checks: Sequence[Check], world: Any, management: str, ground: Sequence[str] = ()) -> list[Record]:
    """Look at every place of every check in their order, skipping what stands on something failed.

    ``ground``: checks that everything in the same cluster needs.
    """
    records: list[Record] = []
    for check in checks:
        found = [_at(check, place, records, management, ground) for place in check.places(world)]
        records += found
    return records


def _at(check: Check, place: Place, before: Sequence[Record], management: str, ground: Sequence[str]) -> Record:
    because = _cause(check, place.cluster, before, management, ground)
    if because is not None:
        text = f"because {because.check.id} ({because.cluster})"
        return Record(check, place.cluster, Finding("unknown", text, "", place.object), because)
    try:
        found = check.look(place)
    except Unread as exc:
        found = Finding("unknown", f"not known: {exc}")
    except Exception as exc:
        # A fault of ours in one check is no reason to tell nothing of the others.
        found = warning(
            f"{BROKEN}: {type(exc).__name__}: {exc}", "please report it with a support bundle: playbooks/bundle.yml"
        )
    if not found.object and place.object:
        found = Finding(found.verdict, found.seen, found.hint, place.object)
    return Record(check, place.cluster, found)


def _cause(
    check: Check, cluster: str, before: Sequence[Record], management: str, ground: Sequence[str]
) -> Record | None:
    """The first failed record that the check stands on, directly or through skipped ones; its own ground before all."""

    def carries(record: Record) -> bool:
        near = record.cluster in (cluster, management)
        return (near and record.check.id in check.needs) or record.check.id in check.needs_all

    own = [record for record in before if record.cluster == cluster and record.check.id in ground]
    for record in [*own, *filter(carries, before)]:
        if record.because is not None:
            return record.because
        if record.finding.verdict == "failed":
            return record
    return None


def summary(records: Sequence[Record]) -> Json:
    """verdict, counts, first, checks of the result."""
    counts = Counter(record.verdict for record in records)
    worst = "failed" if counts["failed"] else "warning" if counts["warning"] else "ok"
    first = next((record for record in records if worst != "ok" and record.verdict == worst), None)
    return {
        "verdict": worst,
        "counts": {name: counts[name] for name in ("ok", "warning", "failed", "skipped")},
        "first": first.as_dict() if first else None,
        "checks": [record.as_dict() for record in records],
    }
