# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream of requests that goes on while things are switched, and what can be said of it afterwards."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..k8s.fields import Json
from .sampling import Answer, Expected, missing

# Seconds between two requests: steady, and no burden to anybody.
_PACE = 0.02


@dataclass(frozen=True)
class Sample:
    """One request: when it was answered (seconds of a monotonic clock) and how."""

    at: float
    answer: Answer


class Stream:
    """Sends one request after the other in a thread, from entering to leaving."""

    def __init__(self, ask: Callable[[], Answer], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._samples: list[Sample] = []
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True, name="requests")

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=15.0)

    def samples(self) -> list[Sample]:
        """Everything so far."""
        with self._news:
            return list(self._samples)

    def wait(self, seconds: float) -> None:
        """Until the next answer, at most so long."""
        with self._news:
            self._news.wait(seconds)

    def _send(self) -> None:
        while not self._stop.wait(_PACE):
            try:
                answer = self._ask()
            except Exception as exc:
                # No request may end the stream: that it stopped would look like a switch without failures.
                answer = Answer(None, type(exc).__name__)
            with self._news:
                self._samples.append(Sample(self._clock(), answer))
                self._news.notify_all()


def longest_gap(samples: Iterable[Sample], start: float, end: float) -> float:
    """The longest time between two good answers, from ``start`` to ``end``."""
    good = [start, *(sample.at for sample in samples if sample.answer.instance is not None), end]
    return max(later - earlier for earlier, later in pairwise(good))


def failures(samples: Iterable[Sample]) -> list[Json]:
    """Failed requests: [{status, count}]."""
    counted = Counter(sample.answer.status for sample in samples if sample.answer.instance is None)
    return [{"status": status, "count": count} for status, count in sorted(counted.items())]


def answers(samples: Iterable[Sample], expected: Sequence[Expected]) -> list[Json]:
    """Who answered how often: [{instance, cluster, workload, count}]."""
    counted = Counter(sample.answer.instance for sample in samples if sample.answer.instance is not None)
    rows = []
    for name, count in counted.items():
        known = next((each for each in expected if each.fits(name)), Expected(name))
        rows.append({"instance": name, "cluster": known.cluster, "workload": known.workload, "count": count})
    return sorted(rows, key=lambda row: (row["cluster"], row["workload"], row["instance"]))


def settled(samples: Sequence[Sample], others: Sequence[Expected]) -> Sequence[Sample]:
    """What came after the last answer of anybody else: a Pod may still answer when it is listed no more."""
    for place, sample in reversed(list(enumerate(samples))):
        name = sample.answer.instance
        if name is not None and not any(each.fits(name) for each in others):
            return samples[place + 1 :]
    return samples


def still_wrong(samples: Sequence[Sample], others: Sequence[Expected], enough: int) -> str:
    """What the answers since the switch still lack; "" when the last ``enough`` are good and all others answered."""
    last, alone = samples[-enough:], settled(samples, others)
    bad = failures(last)
    if bad:
        return f"requests fail: {', '.join(row['status'] for row in bad)}"
    if len(alone) < len(last):
        return f"{samples[-len(alone) - 1].answer.instance} still answers"
    silent = missing(others, [sample.answer.instance or "" for sample in alone])
    if silent:
        return f"no answer yet from {', '.join(each.title for each in silent)}"
    return "" if len(last) >= enough else f"{len(last)} of {enough} answers"
