# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarizes the steps of one cluster in a few lines (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .plan import DELETE, GIVE_BACK, KEEP, UNINSTALL, Step
from .releases import HELM

_NAMES = 6  # further ones are counted
_REASONS = 5  # further ones are only in the list of steps


def summary(steps: Iterable[Step], check: bool) -> list[str]:
    """At most nine lines: what was (in check mode would be) removed, uninstalled, restored and kept."""
    by_action: dict[str, list[Step]] = {}
    for step in steps:
        by_action.setdefault(step.action, []).append(step)
    removed, uninstalled = by_action.get(DELETE, []), by_action.get(UNINSTALL, [])
    back, kept = by_action.get(GIVE_BACK, []), by_action.get(KEEP, [])
    lines = []
    if removed:
        count = f"{len(removed)} object{'' if len(removed) == 1 else 's'}"
        lines.append(f"{'would remove' if check else 'removed'} {count}: {_counted(removed)}")
    if uninstalled:
        names = _limited([f"{step.namespace}/{step.name}" for step in uninstalled])
        plural = HELM if len(uninstalled) == 1 else f"{len(uninstalled)} {HELM}s"
        lines.append(f"{'would uninstall' if check else 'uninstalled'} {plural}: {names}")
    if back:
        lines.append(f"{'would restore' if check else 'restored'}: {_limited([step.ref.title for step in back])}")
    lines += _kept(kept, "would keep" if check else "kept")
    return lines or ["nothing to remove"]


def _kept(steps: Sequence[Step], word: str) -> list[str]:
    by_reason: dict[str, list[Step]] = {}
    for step in steps:
        by_reason.setdefault(step.reason, []).append(step)
    lines = [f"{word}: {_counted(each, names=_NAMES)} ({reason})" for reason, each in by_reason.items()]
    if len(lines) > _REASONS:
        left = [step for each in list(by_reason.values())[_REASONS:] for step in each]
        lines[_REASONS:] = [f"{word}: {_counted(left)} (run with -v to see the reasons)"]
    return lines


def _counted(steps: Sequence[Step], names: int = 1) -> str:
    """ "HTTPRoute bookinfo/productpage, 3 Services": up to ``names`` of a kind by name, else their number."""
    kinds: dict[str, list[str]] = {}
    for step in steps:
        kinds.setdefault(step.kind, []).append(f"{step.namespace}/{step.name}" if step.namespace else step.name)
    return ", ".join(_of_kind(kind, found, names) for kind, found in kinds.items())


def _of_kind(kind: str, found: Sequence[str], names: int) -> str:
    if len(found) > names:
        return f"{len(found)} {_plural(kind)}"
    return f"{kind if len(found) == 1 else _plural(kind)} {', '.join(found)}"


def _plural(kind: str) -> str:
    if kind.endswith("ss"):
        return f"{kind}es"
    if kind.endswith("s"):
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _limited(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
