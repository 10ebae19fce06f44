# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress lines of a wait, which are also the error when it times out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .printable import one_line
from .verdict import Verdict


def blocked(verdict: Verdict) -> list[str]:
    """Objects that are not ready with their reasons, one entry each."""
    return [f"{title}: {reason}" for title, reason in verdict.awaited] or [verdict.reason]


def lines(cluster: str, entries: Iterable[str], seconds: float) -> list[str]:
    """Entries with cluster and time: "cluster1: Deployment bookinfo/ratings-v1: 0 of 1 replicas (waited 12 s)"."""
    return [f"{cluster}: {one_line(entry)} (waited {seconds:.0f} s)" for entry in entries]


class Progress:
    """Reports one wait, at most every ``every`` seconds: each object once, and again when what blocks it changes."""

    def __init__(
        self,
        cluster: str,
        report: Callable[[str], None],
        *,
        every: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._report, self._every, self._clock = cluster, report, every, clock
        self._start = clock()
        # Most waits end before the first report is due.
        self._next = self._start + every
        self._reported: list[str] = []

    @property
    def seconds(self) -> float:
        """Duration of the wait so far."""
        return self._clock() - self._start

    def __call__(self, verdict: Verdict) -> None:
        now = self._clock()
        if now < self._next:
            return
        entries = blocked(verdict)
        news = [entry for entry in entries if entry not in self._reported]
        self._reported = entries
        if news:
            self._next = now + self._every
        for line in lines(self._cluster, news, self.seconds):
            self._report(line)
