# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the changes to a Helm release (pure).

The plan depends on ownership: ours (the release did not exist before our note), adopted (it did), foreign (no note).
Values set by others are always kept; an adopted release keeps its chart version unless an upgrade is requested.
One that has everything already gets no step and no note, even if its newest revision failed: the owner decides on that.
One of others is never uninstalled, even if no revision of it was deployed: its objects may work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from .releases import DEPLOYED, PENDING, SUPERSEDED, UNINSTALLED, UNINSTALLING, Note, Record, Release, ReleaseHistory
from .values import Json, Path, at, leaf_paths, merged, restored, same, value_at
from .versions import Version, completed

# Seconds Helm works on a release by default (--timeout 5m0s). Younger pending records may be in progress.
HELM_TIMEOUT = 300

_FLUX = re.compile(r"helm\.toolkit\.fluxcd\.io/name: *[\"']?([^\s\"']+)")


class Refused(ValueError):
    """The requested change is refused. The message has reason and remedy, without the release's name."""


@dataclass(frozen=True)
class Wanted:
    """The requested state. ``chart``: the chart's name, "" when unknown; ``version``: "" keeps the present one.

    ``initial``: values below ``values`` for a release that is ours; an adopted one does not get them.
    ``keep``: places at which values that we set before stay, where ``values`` and ``initial`` have nothing.
    """

    chart: str = ""
    version: str = ""
    values: Json = field(default_factory=dict, repr=False)
    initial: Json = field(default_factory=dict, repr=False)
    keep: tuple[Path, ...] = ()
    allow_downgrade: bool = False
    upgrade_adopted: bool = False


@dataclass(frozen=True)
class Step:
    """One Helm command and the resulting release: chart version ("" when not known in advance) and user values.

    ``revision``: target of a rollback; for install and upgrade the revision whose chart is used, 0: the caller's chart.
    ``keep_history``: for uninstall.
    """

    action: Literal["install", "upgrade", "rollback", "uninstall"]
    version: str = ""
    values: Json = field(default_factory=dict, repr=False)
    revision: int = 0
    keep_history: bool = False

    def __str__(self) -> str:
        with_version = f" chart version {self.version}" if self.version else ""
        words = {
            "install": f"install{with_version}",
            "upgrade": f"upgrade to{with_version}" if self.version else "upgrade",
            "rollback": f"roll back to revision {self.revision}",
            "uninstall": "uninstall",
        }
        return words[self.action]


@dataclass(frozen=True)
class Plan:
    """Steps in order; none when the release is up to date.

    ``note``: the note to write before the first step, None: no note is needed. ``former``: values to store for the
    owner, None: nothing to store. ``remarks``: decisions, for the message.
    """

    whose: Literal["ours", "adopted", "foreign"]
    steps: tuple[Step, ...] = ()
    note: Note | None = None
    former: Json | None = field(default=None, repr=False)
    remarks: tuple[str, ...] = ()


# -- the release as it is


def present_record(history: ReleaseHistory) -> Record | None:
    """The newest record; None when the release is not installed (its history may be kept)."""
    newest = history.records[-1] if history.records else None
    return None if newest is None or newest.status == UNINSTALLED else newest


def base_release(history: ReleaseHistory) -> Release | None:
    """The release whose chart and values are the base: the last good one, else the newest. None: not installed."""
    newest = present_record(history)
    if newest is None:
        return None
    return _last_good(history.records) or newest.release


def _last_good(records: tuple[Record, ...]) -> Release | None:
    """The last deployed release, else the last superseded one. Helm marks an uninstalled one superseded, too, when it
    installs again."""
    for status in (DEPLOYED, SUPERSEDED):
        for record in reversed(records):
            if record.status == status and not record.release.deleted:
                return record.release
    return None


def trouble(record: Record) -> str:
    """The problem of the newest record, for messages; "" when it is deployed."""
    if record.status == DEPLOYED:
        return ""
    return f"revision {record.revision} has status {record.status}" + (
        f" since {record.updated}" if record.updated else ""
    )


def seconds_held(record: Record, now: float, timeout: float, writer_gone: bool) -> float:
    """Seconds for which another Helm operation may still be in progress; 0: none is.

    A record stays pending while Helm runs, at most for Helm's timeout. The record does not contain the timeout, so the
    longer of Helm's default and ours is assumed. ``writer_gone``: we wrote the record, and that process has ended.
    """
    if record.status not in (*PENDING, UNINSTALLING) or writer_gone:
        return 0.0
    longest = max(HELM_TIMEOUT, timeout)
    # Helm's times are those of its machine. One far in the future is wrong: then the API server's counts.
    ages = [now - datetime.fromisoformat(text).timestamp() for text in (record.updated, record.created) if text]
    age = next((each for each in ages if each >= -HELM_TIMEOUT), longest)
    return max(0.0, longest - age)


# -- state present


def plan_present(history: ReleaseHistory, wanted: Wanted, former: Json | None = None) -> Plan:
    """Steps that bring the release to the wanted state. Raises Refused.

    ``former``: the values an adopted release had before us; None: not known.
    """
    record, base = present_record(history), base_release(history)
    note, former = _note(history, base, former)
    whose: Literal["ours", "adopted"] = "ours" if note.ours else "adopted"
    ours = merged(wanted.initial, wanted.values) if note.ours else wanted.values
    ours = _with_kept(ours, wanted.keep, history.note, base)
    note = replace(note, paths=leaf_paths(ours))
    if record is None or base is None:
        return Plan(whose, (Step("install", wanted.version, ours),), note)
    if wanted.chart and base.chart != wanted.chart:
        raise Refused(
            f"chart {base.chart} {base.chart_version} is installed, not {wanted.chart}. "
            "Choose another release name, or uninstall the release first"
        )
    remarks = [text] if (text := trouble(record)) else []
    version = _version(base, wanted, whose, remarks)
    values = merged(_their_values(history.note, base, former), ours)
    if whose == "adopted" and history.note is None and version == base.chart_version and same(values, base.values):
        return Plan(whose, remarks=tuple(remarks))
    chart = base.revision if version == base.chart_version != wanted.version else 0
    steps = _steps(record, base, version, values, chart)
    if history.note is None and any(step.action == "uninstall" for step in steps):
        raise Refused(
            f"{trouble(record)}, so it can only be replaced, and it was not installed by this collection. "
            "Its objects may work nevertheless: complete the release, or uninstall it first"
        )
    if steps and whose == "adopted":
        if owner := _FLUX.search(base.manifest):
            raise Refused(f"Flux manages it (HelmRelease {owner[1]}) and would revert the change. Change it in Flux")
        if version != base.chart_version:
            note = replace(note, our_version=version)
    return Plan(whose, steps, note, former, tuple(remarks))


def _with_kept(ours: Json, keep: tuple[Path, ...], noted: Note | None, base: Release | None) -> Json:
    """Our values, with those that we set before at the places to keep where we now have nothing."""
    places = [place for place in keep if value_at(place, ours) == ()]
    paths = [path for path in (noted.paths if noted else None) or () if any(path[: len(p)] == p for p in places)]
    for path in paths:
        if base is not None and (value := value_at(path, base.values)) != ():
            ours = merged(ours, at(path, value))
    return ours


def _steps(record: Record, base: Release, version: str, values: Json, chart: int) -> tuple[Step, ...]:
    """Repair first, as Helm recommends: roll back to the last good revision, else reinstall. Then upgrade."""
    if record.status == DEPLOYED:
        first = None
    elif base.status in (DEPLOYED, SUPERSEDED) and record.status != UNINSTALLING:
        first = Step("rollback", base.chart_version, base.values, base.revision)
    else:
        first = Step("uninstall")
    if first and first.action == "uninstall":
        return first, Step("install", version, values, chart)
    changed = version != base.chart_version or not same(values, base.values)
    second = Step("upgrade", version, values, chart) if changed else None
    return tuple(step for step in (first, second) if step)


def _note(history: ReleaseHistory, base: Release | None, former: Json | None) -> tuple[Note, Json | None]:
    """(our note, values to keep for the owner)."""
    note, former = _noted(history, base, former)
    return replace(note, installed=base.installed if base else ""), former


def _noted(history: ReleaseHistory, base: Release | None, former: Json | None) -> tuple[Note, Json | None]:
    note = history.note
    if note is not None and (note.ours or base is not None):
        return note, None if note.ours else former
    note = note or Note(history.name, history.namespace)
    if base is None:
        return replace(note, former_revision=0, former_version=""), None
    return replace(note, former_revision=base.revision, former_version=base.chart_version), base.values


def note_while_helm_runs(history: ReleaseHistory, note: Note) -> Note:
    """The note with the previous paths as well: when Helm is interrupted, the release may still have those values."""
    base, noted = base_release(history), history.note
    if base is None or noted is None:
        return note
    before = leaf_paths(base.values) if noted.paths is None else noted.paths
    return replace(note, paths=tuple(sorted({*before, *(note.paths or ())})))


def _their_values(note: Note | None, base: Release, former: Json | None) -> Json:
    """The values of the release that others set."""
    if note is None:
        return base.values
    if note.paths is None:
        # Older versions of this collection replaced all values.
        return {} if note.ours else base.values if former is None else former
    return restored(base.values, note.paths, former or {})


def _version(base: Release, wanted: Wanted, whose: str, remarks: list[str]) -> str:
    """The chart version to install. Raises Refused for a downgrade without allow_downgrade."""
    present = base.chart_version
    if not wanted.version or _same_version(wanted.version, present):
        return present
    if whose == "adopted" and not wanted.upgrade_adopted:
        remarks.append(
            f"chart version {present} is kept, because the release existed before (requested: {wanted.version})"
        )
        return present
    if not wanted.allow_downgrade and not _newer(wanted.version, present):
        raise Refused(
            f"chart version {present} is installed, which is newer than {wanted.version}. "
            f"Set version to {present} or newer, or set allow_downgrade to true"
        )
    return wanted.version


def _same_version(given: str, present: str) -> bool:
    """Whether the present version is the given one; one without build metadata, as 1.2.3, stands for any build."""
    given, present = given.removeprefix("v"), present.removeprefix("v")
    return given in (present, present.partition("+")[0])


def _newer(one: str, other: str) -> bool:
    """Whether the first version is not older; a present version that cannot be read is older than any."""
    try:
        return Version(one) >= Version(completed(other))
    except ValueError:
        return True


# -- state absent


def plan_absent(history: ReleaseHistory, former: Json | None = None) -> Plan:
    """Steps that remove our part. ``history`` includes superseded revisions; ``former`` as for plan_present.

    An adopted release is rolled back to its last good revision before our changes. When its owner changed it since, or
    Helm no longer has that revision, only our values are removed.
    """
    record, base, note = present_record(history), base_release(history), history.note
    if note is None:
        return Plan("foreign", remarks=("it was not installed by this collection",) if record else ())
    if record is None or base is None:
        return Plan("ours" if note.ours else "adopted")
    if note.ours:
        older = any(each.created < note.created for each in history.records if each.created)
        return Plan("ours", (Step("uninstall", keep_history=older),), note)
    if record.status == DEPLOYED and record.revision <= note.former_revision:
        return Plan("adopted")
    before = _last_good(tuple(each for each in history.records if each.revision <= note.former_revision))
    if former is None and before is not None:
        former = before.values
    if former is None or (note.paths is None and before is None):
        remark = f"revision {note.former_revision} is no longer in Helm's history: nothing is changed"
        return Plan("adopted", remarks=(remark,))
    values = former if note.paths is None else restored(base.values, _still_ours(history, base), former)
    version = base.chart_version
    if before is not None and note.paths is None:
        version = before.chart_version
    elif note.our_version and _same_version(note.our_version, version):
        version = note.former_version
    if before is not None and same(values, before.values) and version == before.chart_version:
        if record.status == DEPLOYED and version == base.chart_version and same(values, base.values):
            return Plan("adopted")
        return Plan("adopted", (Step("rollback", version, values, before.revision),), note)
    chart = next((each.revision for each in (base, before) if each and each.chart_version == version), 0)
    return Plan("adopted", _steps(record, base, version, values, chart), note)


def _still_ours(history: ReleaseHistory, base: Release) -> list[Path]:
    """The noted paths without those whose value others changed or removed since.

    All of them when Helm has forgotten the revision that we made, or it failed.
    """
    note = history.note
    made = [
        each.release.values
        for each in history.records
        if note and each.revision == note.last_revision and each.status in (DEPLOYED, SUPERSEDED)
    ]
    paths = (note.paths if note else None) or ()
    return [path for path in paths if not made or same(value_at(path, made[0]), value_at(path, base.values))]
