# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream of requests during a failover, and its evaluation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .sampling import Expected, Response, Tally, missing

# Seconds between two requests: a steady rate and a low load.
_PACE = 0.02


@dataclass(frozen=True)
class Sample:
    """One response and its time in seconds of a monotonic clock."""

    at: float
    response: Response


class Stream:
    """Sends one request after the other in a thread, from enter to exit."""

    def __init__(self, send: Callable[[], Response], clock: Callable[[], float] = time.monotonic) -> None:
        self._send, self._clock = send, clock
        self._samples: list[Sample] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="requests")

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=15.0)

    def samples(self) -> list[Sample]:
        """All samples so far."""
        with self._news:
            return list(self._samples)

    def wait(self, seconds: float) -> None:
        """Wait for the next sample, at most ``seconds``."""
        with self._news:
            self._news.wait(seconds)

    def _run(self) -> None:
        while not self._stop.wait(_PACE):
            try:
                response = self._send()
            except Exception as exc:
                # A stopped stream would look like a failover without failures.
                response = Response(None, type(exc).__name__)
            with self._news:
                self._samples.append(Sample(self._clock(), response))
                self._news.notify_all()


def tally_of(samples: Iterable[Sample], expected: Sequence[Expected] = ()) -> Tally:
    """The tally of the samples' responses."""
    return Tally.of((sample.response for sample in samples), expected)


def longest_gap(samples: Iterable[Sample], start: float, end: float) -> float:
    """The longest time without a successful response, in seconds, from ``start`` to ``end``."""
    good = [start, *(sample.at for sample in samples if sample.response.instance is not None), end]
    return max(later - earlier for earlier, later in pairwise(good))


def settled(samples: Sequence[Sample], remaining: Sequence[Expected]) -> Sequence[Sample]:
    """Samples after the last response of another instance: a terminating Pod may still respond."""
    for index, sample in reversed(list(enumerate(samples))):
        name = sample.response.instance
        if name is not None and not any(each.matches(name) for each in remaining):
            return samples[index + 1 :]
    return samples


def unproven(samples: Sequence[Sample], remaining: Sequence[Expected], enough: int) -> str:
    """What the samples since the failover do not prove yet; "" when the last ``enough`` are successes of the remaining
    instances and all of these have responded."""
    last, alone = samples[-enough:], settled(samples, remaining)
    failures = tally_of(last).failure_records()
    if failures:
        return f"requests fail: {', '.join(sorted({row['status'] for row in failures}))}"
    if len(alone) < len(last):
        return f"{samples[-len(alone) - 1].response.instance} still responds"
    silent = missing(remaining, [sample.response.instance or "" for sample in alone])
    if silent:
        return f"no response yet from {', '.join(each.title for each in silent)}"
    return "" if len(last) >= enough else f"{len(last)} of {enough} responses"
