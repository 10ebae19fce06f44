# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs checks in order of their dependencies, so that only the cause is reported as failed (pure).

A check is evaluated for targets: a cluster, a Gateway of it, a VirtualDestination, ... It is skipped if a check that it
depends on has failed, because it would only find a symptom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..k8s import redaction
from ..k8s.fields import Json
from ..k8s.printable import one_line

DOCS = "docs/doctor.md"
#: object of a check that is for a cluster as a whole
CLUSTER = ""
#: message of a check that raises an unexpected exception
INTERNAL_ERROR = "internal error in this check"


class NotReadable(Exception):
    """A fact that a check needs could not be read; the text has the fact and the reason."""


@dataclass(frozen=True)
class Finding:
    """Result of a check for one target. ``unknown``: a fact could not be read, so there is no verdict."""

    verdict: Literal["ok", "warning", "failed", "unknown"]
    message: str
    hint: str = ""
    object: str = ""


def ok(message: str, object: str = "") -> Finding:
    return Finding("ok", message, "", object)


def warning(message: str, hint: str = "", object: str = "") -> Finding:
    return Finding("warning", message, hint, object)


def failed(message: str, hint: str = "", object: str = "") -> Finding:
    return Finding("failed", message, hint, object)


@dataclass(frozen=True)
class CheckTarget:
    """What a check is evaluated for: a cluster, and perhaps one object of it. ``related``: objects that it uses."""

    site: Any  # SiteFacts and Facts: facts.py needs this file
    facts: Any
    subject: Any = None
    object: str = ""
    related: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        return str(self.facts.name)


@dataclass(frozen=True)
class Check:
    """One check. ``title``: the statement that is true when it is ok.

    ``evaluate`` raises NotReadable where a fact is missing. ``needs``: checks that must not have failed in the same
    cluster or in the management cluster; ``needs_all``: in any cluster; ``needs_own``: in the same cluster for the same
    object or one that is related to it.
    """

    id: str
    title: str
    targets: Callable[[Any], Iterable[CheckTarget]]
    evaluate: Callable[[CheckTarget], Finding]
    hint: str = ""
    needs: tuple[str, ...] = ()
    needs_all: tuple[str, ...] = ()
    needs_own: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """A check's finding for one target, by its object. ``because``: the failed record it was skipped for."""

    check: Check
    cluster: str
    finding: Finding
    object: str = ""
    because: Record | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        return "skipped" if self.because or self.finding.verdict == "unknown" else self.finding.verdict

    def as_dict(self) -> Json:
        """The record as modules return it."""
        finding, is_problem = self.finding, self.verdict in ("warning", "failed")
        return {
            "id": self.check.id,
            "cluster": self.cluster,
            "check": self.check.title,
            "verdict": self.verdict,
            # It contains conditions, messages and events of the clusters.
            "message": one_line(redaction.text(finding.message)),
            "hint": (finding.hint or self.check.hint) if is_problem else "",
            "doc": f"{DOCS}#{self.check.id}",
            "object": finding.object,
        }


def run_checks(checks: Sequence[Check], site: Any, management: str, prerequisites: Sequence[str] = ()) -> list[Record]:
    """Evaluate every check for each of its targets in order, skipping what depends on a failure.

    ``prerequisites``: checks that every other check of the same cluster depends on.
    """
    records: list[Record] = []
    for check in checks:
        try:
            targets = list(check.targets(site))
        except Exception as exc:
            records.append(Record(check, management, _internal_error(exc)))
            continue
        records += [_record(check, target, records, management, prerequisites) for target in targets]
    return records


def _internal_error(exc: Exception) -> Finding:
    """A bug in one check must not hide the results of the others."""
    text = f"{INTERNAL_ERROR}: {type(exc).__name__}: {exc}"
    return warning(text, "report it with a support bundle (playbooks/bundle.yml)")


def _record(
    check: Check, target: CheckTarget, before: Sequence[Record], management: str, prerequisites: Sequence[str]
) -> Record:
    because = _failed_dependency(check, target, before, management, prerequisites)
    if because is not None:
        text = f"because {because.check.id} failed in {because.cluster}"
        return Record(check, target.cluster, Finding("unknown", text, "", target.object), target.object, because)
    try:
        found = check.evaluate(target)
    except NotReadable as exc:
        found = Finding("unknown", f"not evaluated: {exc}")
    except Exception as exc:
        found = _internal_error(exc)
    found = found if found.object else replace(found, object=target.object)
    return Record(check, target.cluster, found, target.object)


def _failed_dependency(
    check: Check, target: CheckTarget, before: Sequence[Record], management: str, prerequisites: Sequence[str]
) -> Record | None:
    """The first failed record that the check depends on, directly or through skipped ones; prerequisites first."""

    objects = (target.object, *target.related)

    def is_dependency(record: Record) -> bool:
        near = record.cluster in (target.cluster, management)
        own = record.cluster == target.cluster and record.object in objects
        id = record.check.id
        return (near and id in check.needs) or id in check.needs_all or (own and id in check.needs_own)

    first = [record for record in before if record.cluster == target.cluster and record.check.id in prerequisites]
    for record in [*first, *filter(is_dependency, before)]:
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
