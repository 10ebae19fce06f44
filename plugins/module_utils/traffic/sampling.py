# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides by the number of requests which instances respond and which do not (pure).

Sampling can miss a live instance. With n instances (those that responded and those still missing), each gets at least
the share s = 1 / (n * k) of the requests, where k is the number of expected instances in the same cluster: an instance
behind an east-west gateway shares the one endpoint its cluster has among n. The probability that N responses missed it
is at most (1 - s)^N, that any of the missing ones was missed at most the sum of these. Below 1e-6 the missing instances
are reported. With three instances in two clusters this takes 35 responses when the remote one is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..k8s.fields import Json
from ..k8s.printable import one_line
from ..k8s.verdict import Verdict, together, waiting

MISS_PROBABILITY = 1e-6
#: Bookinfo: the reviews service's JSON, or the product page, which names one reviews Pod (markup differs by version)
DEFAULT_PATTERN = r'(?:"podname"\s*:\s*"|Reviews served by:(?:\s|<[^>]*>)*)(?P<instance>[a-z0-9][a-z0-9.-]*)'
EXCERPT = 200

#: complete: every expected instance responded; missing: some did not; failing: requests keep failing;
#: unreachable: no request succeeded
Outcome = Literal["complete", "missing", "failing", "unreachable"]


@dataclass(frozen=True)
class Expected:
    """One instance that has to respond: its name or a regular expression for it, and where it runs."""

    instance: str
    cluster: str = ""
    workload: str = ""

    def matches(self, name: str) -> bool:
        return self.instance == name or re.fullmatch(self.instance, name) is not None

    @property
    def title(self) -> str:
        detail = f"instance {self.instance}"
        return f"{self.workload} ({detail})" if self.workload else detail


@dataclass(frozen=True)
class Response:
    """The result of one request: an instance, or a failure with its status and an excerpt of the body."""

    instance: str | None
    status: str
    excerpt: str = ""
    cluster: str = ""


@dataclass
class Tally:
    """All responses so far. A window contains those since the last failure or restart."""

    expected: Sequence[Expected]
    instances: Counter[str] = field(default_factory=Counter)
    clusters: dict[str, str] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    excerpts: dict[str, str] = field(default_factory=dict)
    early: Counter[str] = field(default_factory=Counter)
    window: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    last_failure: str = ""  # status of the last request; "" when it succeeded

    @classmethod
    def of(cls, responses: Iterable[Response], expected: Sequence[Expected] = ()) -> Tally:
        """The tally of these responses."""
        tally = cls(expected)
        for response in responses:
            tally.add(response)
        return tally

    def add(self, response: Response) -> None:
        """Count a response. Failures before the first success are counted separately."""
        self.sent += 1
        self.last_failure = response.status if response.instance is None else ""
        if response.instance is None:
            (self.failures if self.instances else self.early)[response.status] += 1
            self.excerpts.setdefault(response.status, response.excerpt)
            self.window.clear()
            return
        self.instances[response.instance] += 1
        self.window[response.instance] += 1
        if response.cluster:
            self.clusters[response.instance] = response.cluster

    def restart(self) -> None:
        """Begin a new window."""
        self.window.clear()

    @property
    def missing(self) -> list[Expected]:
        """Expected instances that have not responded in this window."""
        return missing(self.expected, self.window)

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def responses(self) -> int:
        return sum(self.window.values())

    @property
    def exhausted(self) -> bool:
        """Whether further requests are unnecessary: a live missing instance would have responded."""
        return miss_probability(self.expected, self.window, self.responses) < MISS_PROBABILITY

    def records(self) -> list[Json]:
        """Responses by instance, flat, sorted by cluster, workload and name."""
        rows = []
        for name, count in self.instances.items():
            known = next((e for e in self.expected if e.matches(name)), None)
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


def missing(expected: Iterable[Expected], responded: Iterable[str]) -> list[Expected]:
    """Expected instances that match none of the names."""
    names = list(responded)
    return [e for e in expected if not any(e.matches(name) for name in names)]


def miss_probability(expected: Sequence[Expected], responded: Iterable[str], responses: int) -> float:
    """Upper bound of the probability that a missing instance is alive but sent none of ``responses`` responses."""
    names = set(responded)
    absent = missing(expected, names)
    total = len(names) + len(absent)
    per_cluster = Counter(e.cluster for e in expected if e.cluster)
    probability = 0.0
    for entry in absent:
        share = 1.0 / (total * max(1, per_cluster.get(entry.cluster, 1)))
        probability += (1.0 - share) ** responses
    return probability


def excerpt(body: str) -> str:
    """The beginning of a body on one line."""
    text = one_line(body[: 4 * EXCERPT])
    return text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."


def read_response(status: int, body: str, pattern: re.Pattern[str], location: str = "") -> Response:
    """Read an HTTP response. Only 200 with an instance in the body is a success: error pages may also be 200."""
    if 300 <= status < 400:
        return Response(None, str(status), f"redirect to {excerpt(location)}")
    if status != 200:
        return Response(None, str(status), excerpt(body))
    match = pattern.search(body)
    if not match:
        return Response(None, "200 without an instance", excerpt(body))
    groups = match.groupdict()
    name = groups.get("instance") or (match.group(1) if match.re.groups else match.group(0))
    cluster = groups.get("cluster") or ""
    return Response(str(name), "200", cluster="" if cluster == "null" else cluster)


@dataclass(frozen=True)
class Limits:
    """Seconds to wait for a first success and in all, seconds after which a missing instance is final, and the minimum
    number of successful responses."""

    timeout: float = 60.0
    patience: float = 10.0
    min_requests: int = 0


def send_requests(
    tally: Tally,
    send: Callable[[], Response],
    limits: Limits,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    progress: Callable[[Verdict], None] = lambda awaited: None,
) -> Outcome:
    """Send requests until the outcome is certain.

    New configuration may still propagate after the first success: a missing instance is reported only `patience`
    seconds later, and a failure starts a new window, in which every instance has to respond again.
    """
    start = clock()
    first: float | None = None
    wait = 0.1
    while True:
        failed_before = sum(tally.failures.values()) + sum(tally.early.values())
        tally.add(send())
        now = clock()
        if tally.instances and first is None:
            first = now
        enough = tally.responses >= limits.min_requests
        if tally.responses and tally.complete and enough:
            return "complete"
        if tally.responses and not tally.complete and enough and tally.exhausted:
            if first is not None and now - first >= limits.patience:
                return "missing"
            progress(awaited(tally))
            tally.restart()
            pause(0.5)
        if now - start >= limits.timeout:
            if not tally.instances:
                return "unreachable"
            return "missing" if missing(tally.expected, tally.instances) else "failing"
        if sum(tally.failures.values()) + sum(tally.early.values()) > failed_before:
            progress(awaited(tally))
            pause(wait)
            wait = min(wait * 1.5, 1.0)
        else:
            wait = 0.1


def awaited(tally: Tally) -> Verdict:
    """Which instances have not responded yet, and how the last request failed."""
    why = "no response yet" + (f", the last request failed: {tally.last_failure}" if tally.last_failure else "")
    names = {f"{e.title}{' in ' + e.cluster if e.cluster else ''}": waiting(why) for e in tally.missing}
    return together(names) if names else waiting(f"requests fail: {tally.last_failure}")


def describe(outcome: Outcome, tally: Tally, target: str, origin: str) -> str:
    """One sentence on the outcome; a failure starts with the cluster at fault."""
    responded = ", ".join(
        f"{r['instance']}{' (' + r['cluster'] + ')' if r['cluster'] else ''} {r['count']}x" for r in tally.records()
    )
    failures = ", ".join(
        f"{r['count']}x {r['status']}" + (f" ({r['body_excerpt']})" if r["body_excerpt"] else "")
        for r in tally.failure_records()
        if not r["early"] or not tally.instances
    )
    also = f"; failed: {failures}" if failures else ""
    if outcome == "complete":
        return f"{origin}: {sum(tally.instances.values())} responses of {target} from {responded}{also}"
    if outcome == "unreachable":
        return f"{origin}: no successful response from {target} in {tally.sent} requests{also}"
    if outcome == "failing":
        return f"{origin}: requests to {target} keep failing ({tally.sent} sent){also}; responses from {responded}"
    absent = tally.missing or missing(tally.expected, tally.instances)
    parts = [f"{e.cluster + ': ' if e.cluster else ''}no response from {e.title}" for e in absent]
    return (
        f"{'; '.join(parts)} in {tally.sent} requests from {origin} to {target}; "
        f"responses from {responded or 'no instance'}{also}"
    )
