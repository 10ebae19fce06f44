# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When has enough been asked to say who answers and who does not (pure).

Sampling can miss a live instance. With n instances (those seen and those still missing), each gets at least the share
s = 1 / (n * k) of the requests, where k is the number of expected instances in its own cluster: an instance behind an
east-west gateway shares the one place its cluster has among n. The chance that N answers missed it is at most
(1 - s)^N, that any of the missing ones was missed at most the sum of these. Below 1e-6 the missing are taken for
silent. With three instances in two clusters this takes 35 answers when the remote one is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..k8s.fields import Json
from ..k8s.progress import one_line
from ..k8s.readiness import Verdict, together, waiting

MISS_CHANCE = 1e-6
#: Bookinfo: the reviews service's JSON, or the product page, which names one reviews Pod (markup differs by version)
DEFAULT_PATTERN = r'(?:"podname"\s*:\s*"|Reviews served by:(?:\s|<[^>]*>)*)(?P<instance>[a-z0-9][a-z0-9.-]*)'
EXCERPT = 200


@dataclass(frozen=True)
class Expected:
    """One instance that has to answer: its name or a regular expression for it, and where it is."""

    instance: str
    cluster: str = ""
    workload: str = ""

    def fits(self, name: str) -> bool:
        return self.instance == name or re.fullmatch(self.instance, name) is not None

    @property
    def title(self) -> str:
        detail = f"instance {self.instance}"
        return f"{self.workload} ({detail})" if self.workload else detail


@dataclass(frozen=True)
class Answer:
    """What one request brought: an instance, or a failure with its status and the beginning of the body."""

    instance: str | None
    status: str
    excerpt: str = ""
    cluster: str = ""


@dataclass
class Tally:
    """Everything that came back. A window is what was seen since the last failure or restart."""

    expected: Sequence[Expected]
    seen: Counter[str] = field(default_factory=Counter)
    clusters: dict[str, str] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    excerpts: dict[str, str] = field(default_factory=dict)
    early: Counter[str] = field(default_factory=Counter)
    window: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    last_failure: str = ""  # status of the last request; "" when it was answered well

    def add(self, answer: Answer) -> None:
        """Count an answer. Failures before the first success are kept apart: the way was still being built."""
        self.sent += 1
        self.last_failure = answer.status if answer.instance is None else ""
        if answer.instance is None:
            (self.failures if self.seen else self.early)[answer.status] += 1
            self.excerpts.setdefault(answer.status, answer.excerpt)
            self.window.clear()
            return
        self.seen[answer.instance] += 1
        self.window[answer.instance] += 1
        if answer.cluster:
            self.clusters[answer.instance] = answer.cluster

    def restart(self) -> None:
        """Begin a new window."""
        self.window.clear()

    @property
    def missing(self) -> list[Expected]:
        """Who has not answered in this window."""
        return missing(self.expected, self.window)

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def answers(self) -> int:
        return sum(self.window.values())

    @property
    def exhausted(self) -> bool:
        """True when more answers are not worth asking for: a live missing one would have shown up."""
        return miss_chance(self.expected, self.window, self.answers) < MISS_CHANCE

    def records(self) -> list[Json]:
        """Who answered how often, flat, by cluster, workload and name."""
        rows = []
        for name, count in self.seen.items():
            known = next((e for e in self.expected if e.fits(name)), None)
            rows.append(
                {
                    "instance": name,
                    "cluster": self.clusters.get(name) or (known.cluster if known else ""),
                    "workload": known.workload if known else "",
                    "expected": known is not None,
                    "count": count,
                }
            )
        return sorted(rows, key=lambda r: (r["cluster"], r["workload"], r["instance"]))

    def failure_records(self) -> list[Json]:
        """Failed requests by status; `early` ones came before the first success."""
        return [
            {"status": status, "count": count, "body_excerpt": self.excerpts.get(status, ""), "early": early}
            for counter, early in ((self.failures, False), (self.early, True))
            for status, count in sorted(counter.items())
        ]


def missing(expected: Iterable[Expected], seen: Iterable[str]) -> list[Expected]:
    """Those of the expected that none of the seen names fits."""
    names = list(seen)
    return [e for e in expected if not any(e.fits(name) for name in names)]


def miss_chance(expected: Sequence[Expected], seen: Iterable[str], answers: int) -> float:
    """Upper bound of the chance that any missing instance is alive and was not met in so many answers."""
    names = set(seen)
    absent = missing(expected, names)
    total = len(names) + len(absent)
    per_cluster = Counter(e.cluster for e in expected if e.cluster)
    chance = 0.0
    for entry in absent:
        share = 1.0 / (total * max(1, per_cluster.get(entry.cluster, 1)))
        chance += (1.0 - share) ** answers
    return chance


def excerpt(body: str) -> str:
    """The beginning of a body on one line."""
    text = one_line(body[: 4 * EXCERPT])
    return text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."


def read_answer(status: int, body: str, pattern: re.Pattern[str], location: str = "") -> Answer:
    """What an HTTP answer says. Only 200 with an instance in it counts: an error page may come as 200 too."""
    if 300 <= status < 400:
        return Answer(None, str(status), f"redirect to {excerpt(location)}")
    if status != 200:
        return Answer(None, str(status), excerpt(body))
    match = pattern.search(body)
    if not match:
        return Answer(None, "200 without an instance", excerpt(body))
    groups = match.groupdict()
    name = groups.get("instance") or (match.group(1) if match.re.groups else match.group(0))
    cluster = groups.get("cluster") or ""
    return Answer(str(name), "200", cluster="" if cluster == "null" else cluster)


@dataclass(frozen=True)
class Limits:
    """How long and how much: seconds to wait for a first answer and in all, seconds to believe a silent instance in,
    answers at least."""

    timeout: float = 60.0
    patience: float = 10.0
    min_requests: int = 0


def sample(
    tally: Tally,
    ask: Callable[[], Answer],
    limits: Limits,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    progress: Callable[[Verdict], None] = lambda awaited: None,
) -> str:
    """Ask until it is clear: "complete", "missing" (silent ones remain), "failing" (failures do not stop) or
    "unreachable" (never a good answer).

    After the first good answer, what was just built may still spread: a silent instance is believed only `patience`
    seconds later, and failures start a new window, in which everybody has to answer again.
    """
    start = clock()
    first: float | None = None
    wait = 0.1
    while True:
        failed_before = sum(tally.failures.values()) + sum(tally.early.values())
        tally.add(ask())
        now = clock()
        if tally.seen and first is None:
            first = now
        enough = tally.answers >= limits.min_requests
        if tally.answers and tally.complete and enough:
            return "complete"
        if tally.answers and not tally.complete and enough and tally.exhausted:
            if first is not None and now - first >= limits.patience:
                return "missing"
            progress(awaited(tally))
            tally.restart()
            pause(0.5)
        if now - start >= limits.timeout:
            if not tally.seen:
                return "unreachable"
            return "missing" if missing(tally.expected, tally.seen) else "failing"
        if sum(tally.failures.values()) + sum(tally.early.values()) > failed_before:
            progress(awaited(tally))
            pause(wait)
            wait = min(wait * 1.5, 1.0)
        else:
            wait = 0.1


def awaited(tally: Tally) -> Verdict:
    """Who has to answer still, and what came last instead."""
    why = "no answer yet" + (f", the last request failed: {tally.last_failure}" if tally.last_failure else "")
    names = {f"{e.title}{' in ' + e.cluster if e.cluster else ''}": waiting(why) for e in tally.missing}
    return together(names) if names else waiting(f"requests fail: {tally.last_failure}")


def verdict_text(outcome: str, tally: Tally, target: str, origin: str) -> str:
    """The sentence that says how it went; of a failure, with the cluster at fault first."""
    seen = ", ".join(
        f"{r['instance']}{' (' + r['cluster'] + ')' if r['cluster'] else ''} {r['count']}x" for r in tally.records()
    )
    failures = ", ".join(
        f"{r['count']}x {r['status']}" + (f" ({r['body_excerpt']})" if r["body_excerpt"] else "")
        for r in tally.failure_records()
        if not r["early"] or not tally.seen
    )
    also = f"; failed: {failures}" if failures else ""
    if outcome == "complete":
        return f"{origin}: {sum(tally.seen.values())} answers of {target} from {seen}{also}"
    if outcome == "unreachable":
        return f"{origin}: no good answer of {target} in {tally.sent} requests{also}"
    if outcome == "failing":
        return f"{origin}: requests to {target} keep failing in {tally.sent} requests{also}; seen: {seen}"
    absent = tally.missing or missing(tally.expected, tally.seen)
    parts = [f"{e.cluster + ': ' if e.cluster else ''}no answer from {e.title}" for e in absent]
    return f"{'; '.join(parts)} in {tally.sent} requests from {origin} to {target}; seen: {seen or 'nobody'}{also}"
