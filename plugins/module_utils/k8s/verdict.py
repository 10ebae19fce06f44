# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts: the states of an object.

``ready``, ``waiting`` (may become ready by itself) and ``failed`` (needs a change) are the states of objects in the
results of modules. The doctor's checks have ``ok``, ``warning`` and ``failed``, which correspond to them in this order,
and ``skipped``: not evaluated, because something it needs could not be read or an earlier check failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """The state of an object. ``reason`` is for messages; a ready object may have a remark ("0 replicas")."""

    state: Literal["ready", "waiting", "failed"]
    reason: str = ""
    # For several objects: (title, what blocks it) of each that is not ready.
    awaited: tuple[tuple[str, str], ...] = ()
    # Whether the object's controller has processed its current generation; until then it may be correct.
    processed: bool = True

    @property
    def ready(self) -> bool:
        return self.state == "ready"


def ready(reason: str = "") -> Verdict:
    return Verdict("ready", reason)


def waiting(reason: str) -> Verdict:
    return Verdict("waiting", reason)


def unprocessed(reason: str) -> Verdict:
    """Waiting for the object's controller."""
    return Verdict("waiting", reason, processed=False)


def failed(reason: str) -> Verdict:
    return Verdict("failed", reason)


def together(verdicts: Mapping[str, Verdict]) -> Verdict:
    """One verdict for several objects by title: failed only when no object is still waiting."""
    pending = {title: verdict for title, verdict in verdicts.items() if not verdict.ready}
    if not pending:
        return ready()
    state: Literal["waiting", "failed"] = (
        "failed" if {one.state for one in pending.values()} == {"failed"} else "waiting"
    )
    awaited = tuple((title, verdict.reason) for title, verdict in pending.items())
    return Verdict(state, "; ".join(f"{title}: {reason}" for title, reason in awaited), awaited)
