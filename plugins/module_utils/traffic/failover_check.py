# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module failover_check: one cluster's backends go, traffic goes on, the backends come back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..apply.manifests import ref_of
from ..apply.wait import verdicts_when_ready
from ..k8s.client import CLUSTERS_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Invalid, Timeout
from ..k8s.fields import Json, labels_match, parse_selector
from ..k8s.pods import instances, pods_of
from ..k8s.progress import Progress, blocked, lines
from ..k8s.readiness import Verdict, together, waiting
from ..k8s.signals import Interrupted, Interrupts
from ..k8s.watch import Collection, View, Watcher
from . import sampling as traffic
from .request_stream import Sample, Stream, answers, failures, longest_gap, settled, still_wrong
from .sampling import Expected
from .scale_down import bring_back, left_away, take_away
from .traffic_check import REQUEST_SPEC, UrlClient

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    **REQUEST_SPEC,
    "state": {"type": "str", "choices": ["checked", "restored"], "default": "checked"},
    "cluster": {"type": "str"},
    "backends": {
        "type": "dict",
        "options": {
            "namespace": {"type": "str", "required": True},
            "label_selector": {"type": "str", "required": True},
        },
    },
    "url": {"type": "str"},
    "max_gap": {"type": "float", "default": 30.0},
    "min_requests": {"type": "int", "default": 20},
    "patience": {"type": "int", "default": 30},
    "timeout": {"type": "int", "default": 120},
}
RULES: dict[str, Any] = {"required_if": [("state", "checked", ["cluster", "backends", "url"])]}

DEPLOYMENT = ("apps/v1", "Deployment")
# Seconds in which the API server of a cluster whose backends are away has to be reached again.
_RESTORE_WITHIN = 120.0

Tell = Callable[[str], None]


def run(params: dict[str, Any], check: bool, progress: Tell) -> dict[str, Any]:
    """Result: taken, restored, sent, failed, failures, longest_gap, answers_before, answers_during, answers_after.

    Raises ClusterError when traffic did not go on, with the same facts; what was taken away is back then, too.
    """
    if not params["clusters"]:
        raise Invalid("failover_check: 'clusters' is empty: name the clusters", option="clusters")
    with ExitStack() as stack:
        clusters = {
            each["name"]: stack.enter_context(connect({**each, "cluster": each["name"]}, _safely(progress)))
            for each in params["clusters"]
            if each["role"] == "workload"
        }
        site = _Site(clusters, params, _safely(progress))
        healed = site.heal(check)
        if params["state"] == "restored":
            return _result(
                site, healed, f"{len(healed)} Deployments brought back" if healed else "nothing to bring back"
            )
        if params["cluster"] not in clusters:
            names = ", ".join(clusters) or "none"
            raise Invalid(f"failover_check: cluster {params['cluster']!r} is no workload cluster; there are: {names}")
        return site.check(check, healed)


@dataclass
class _Facts:
    """What was measured; filled on the way, so that a failure has what was known by then."""

    sent: int = 0
    longest_gap: float = 0.0
    failures: list[Json] = field(default_factory=list)
    answers_before: list[Json] = field(default_factory=list)
    answers_during: list[Json] = field(default_factory=list)
    answers_after: list[Json] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(row["count"] for row in self.failures)


class _Site:
    """The workload clusters, and the way through their gateway."""

    def __init__(self, clusters: dict[str, Cluster], params: dict[str, Any], tell: Tell) -> None:
        self.clusters, self.params, self.tell = clusters, params, tell
        self.timeout = float(params["timeout"])
        self.facts = _Facts()
        self.taken: list[Json] = []

    # -- what a killed run left

    def heal(self, check: bool) -> list[Json]:
        """Bring back what an earlier run left away, in every cluster; records of it.

        One cluster that refuses keeps nothing of the others away; what it says comes at the end.
        """
        healed: list[Json] = []
        errors: list[ClusterError] = []
        for name, cluster in self.clusters.items():
            try:
                self._heal(name, cluster, check, healed)
            except ClusterError as exc:
                errors.append(exc)
        if errors:
            errors[0].facts = {**errors[0].facts, "healed": healed}
            raise errors[0]
        return healed

    def _heal(self, name: str, cluster: Cluster, check: bool, healed: list[Json]) -> None:
        for deployment in left_away(cluster.list(*DEPLOYMENT)):
            self.tell(f"{name}: {ref_of(deployment).title} was left away by a run that did not end: bringing it back")
            if not check:
                bring_back(cluster, deployment)
            healed.append(_record(name, deployment))

    # -- the check

    def check(self, check: bool, healed: list[Json]) -> dict[str, Any]:
        name, target = self.params["cluster"], self.clusters[self.params["cluster"]]
        if not check:
            self._await_ready(self._backends(target), target)
        going = [each for each in self._backends(target) if each["spec"].get("replicas", 1)]
        expected = self._expected()
        problem = refusal(name, self.params["backends"], going, expected)
        if problem and not (check and healed):
            raise ClusterError(problem, cluster=name)
        titles = ", ".join(ref_of(each).title for each in going)
        if check:
            self.taken = [_record(name, each) for each in going]
            text = f"{name}: {titles} would be scaled to 0 and back while requests are sent to {self.params['url']}"
            return {**_result(self, healed, text), "changed": True}
        client = UrlClient(name, self.params, re.compile(self.params["pattern"], re.DOTALL))
        self.facts.answers_before = self._everybody(client, expected, "before")
        others = [each for each in expected if each.cluster != name]
        try:
            self._switch(target, going, others, client)
            self.facts.answers_after = self._everybody(client, self._expected(), "after")
        except ClusterError as exc:
            exc.facts = {**exc.facts, **_result(self, healed, exc.msg)}
            raise
        gap = self.facts.longest_gap
        text = (
            f"{name}: without {titles} the others answered: {self.facts.sent} requests, {self.facts.failed} failed, "
            f"longest time without an answer {gap:.1f} s; all are back and answer"
        )
        if gap > self.params["max_gap"]:
            text = (
                f"{name}: no answer for {gap:.1f} s during the switch, allowed are {self.params['max_gap']:g} s: {text}"
            )
            raise ClusterError(text, cluster=name, **_result(self, healed, text))
        return _result(self, healed, text)

    def _switch(self, target: Cluster, going: list[Json], others: list[Expected], client: UrlClient) -> None:
        """Take away, see the others answer, bring back; requests are sent from before to after."""
        with Stream(client.ask) as stream:
            begin = time.monotonic()
            try:
                with self._away(target, going) as interrupts:
                    self._await_gone(target, going, interrupts)
                    since = len(stream.samples())
                    samples = self._await_others(stream, since, others, interrupts)
                    self.facts.answers_during = answers(settled(samples, others), others)
                self._await_ready(going, target)
            finally:
                end, samples = time.monotonic(), stream.samples()
                self.facts.sent = len(samples)
                self.facts.failures = failures(samples)
                self.facts.longest_gap = round(longest_gap(samples, begin, end), 2)

    @contextmanager
    def _away(self, target: Cluster, going: list[Json]) -> Iterator[Interrupts]:
        """Within it the Deployments want 0 replicas; after it what they wanted before, whatever happens within."""
        with Interrupts() as interrupts:
            try:
                for deployment in going:
                    interrupts.check()
                    self.tell(f"{target.name}: scaling {ref_of(deployment).title} to 0")
                    self.taken.append(_record(target.name, deployment))
                    take_away(target, deployment)
                yield interrupts
            except Interrupted as exc:
                self.tell(f"{target.name}: {exc}: bringing back first")
                raise
            finally:
                self._bring_back(target, going)

    def _bring_back(self, target: Cluster, going: list[Json]) -> None:
        """One Deployment's failure does not keep the others away; an API server that is away is asked again."""
        report = Progress(target.name, self.tell)
        left = list(going)
        while left:
            errors: dict[str, ClusterError] = {}
            for deployment in list(left):
                try:
                    bring_back(target, deployment)
                    self.tell(f"{target.name}: {ref_of(deployment).title} is brought back")
                    left.remove(deployment)
                except ClusterError as exc:
                    errors[ref_of(deployment).title] = exc
            if left and report.seconds >= _RESTORE_WITHIN:
                names = ", ".join(ref_of(each).title for each in left)
                raise ClusterError(
                    f"{target.name}: {names} could not be brought back: {next(iter(errors.values())).msg}. "
                    "Play failover.yml with -e failover_restore=true: the former replicas are noted in the objects",
                    cluster=target.name,
                )
            if left:
                report(together({title: waiting(f"not brought back yet: {exc.msg}") for title, exc in errors.items()}))
                time.sleep(0.5)

    # -- waits

    def _await_gone(self, target: Cluster, going: list[Json], interrupts: Interrupts) -> None:
        namespace = self.params["backends"]["namespace"]
        pods, deployments = Collection("v1", "Pod", namespace), Collection(*DEPLOYMENT, namespace)

        def look(view: View) -> Verdict:
            interrupts.check()
            verdicts = {}
            for each in going:
                live = view.get(deployments, each["metadata"]["name"], namespace) or each
                running = pods_of(each, view.items(pods))
                if running:
                    back = (
                        f"; somebody scales it to {live['spec']['replicas']} again" if live["spec"]["replicas"] else ""
                    )
                    names = ", ".join(pod["metadata"]["name"] for pod in running[:3])
                    verdicts[ref_of(each).title] = waiting(f"{len(running)} Pods still run: {names}{back}")
            return together(verdicts)

        with Watcher(target, [pods, deployments]) as watcher:
            verdict = watcher.until(look, self.timeout, self.tell)
        if not verdict.ready:
            raise Timeout("\n".join(lines(target.name, blocked(verdict), watcher.waited)), cluster=target.name)

    def _await_others(
        self, stream: Stream, since: int, others: list[Expected], interrupts: Interrupts
    ) -> Sequence[Sample]:
        """The samples from ``since`` on, as soon as they prove that traffic goes on."""
        name = self.params["cluster"]
        report = Progress(name, self.tell)
        while True:
            interrupts.check()
            samples = stream.samples()[since:]
            wrong = still_wrong(samples, others, self.params["min_requests"])
            if not wrong:
                return samples
            if report.seconds >= self.params["patience"]:
                entry = f"traffic does not go on without this cluster: {wrong}{advice(samples)}"
                raise Timeout("\n".join(lines(name, [entry], report.seconds)), cluster=name)
            report(waiting(f"traffic without this cluster: {wrong}"))
            stream.wait(1.0)

    def _await_ready(self, deployments: list[Json], target: Cluster) -> None:
        current = {ref_of(each): each for each in self._backends(target)}
        wanted = [current[ref] for ref in map(ref_of, deployments) if ref in current]
        verdicts = verdicts_when_ready(target, wanted, self.timeout, self.tell, just_written=True)
        late = together({ref.title: verdict for ref, verdict in verdicts.items()})
        if not late.ready:
            raise Timeout("\n".join(lines(target.name, blocked(late), self.timeout)), cluster=target.name)

    # -- who answers

    def _backends(self, cluster: Cluster) -> list[Json]:
        wanted = self.params["backends"]
        found = cluster.list(*DEPLOYMENT, wanted["namespace"])
        labels = parse_selector(wanted["label_selector"])
        return [each for each in found if labels_match(labels, each["metadata"].get("labels") or {})]

    def _expected(self) -> list[Expected]:
        wanted = self.params["backends"]
        return [
            Expected(row["instance"], row["cluster"], row["workload"])
            for name, cluster in self.clusters.items()
            for row in instances(name, self._backends(cluster), cluster.list("v1", "Pod", wanted["namespace"]), wanted)
        ]

    def _everybody(self, client: UrlClient, expected: list[Expected], when: str) -> list[Json]:
        """Ask until all have answered; who answered how often."""
        name = self.params["cluster"]
        tally = traffic.Tally(expected)
        limits = traffic.Limits(timeout=self.timeout, patience=10.0)
        report = Progress(name, self.tell)
        outcome = traffic.sample(tally, client.ask, limits, time.monotonic, time.sleep, report)
        if outcome != "complete":
            text = traffic.verdict_text(outcome, tally, client.target, name)
            raise ClusterError(f"{text} ({when} the switch)", cluster=name)
        return [{key: row[key] for key in ("instance", "cluster", "workload", "count")} for row in tally.records()]


def refusal(cluster: str, backends: Json, going: Sequence[Json], expected: Sequence[Expected]) -> str:
    """Why the check would prove nothing; "" when it would."""
    where = f"namespace {backends['namespace']} with labels {backends['label_selector']}"
    if not going:
        return f"{cluster}: there is no Deployment to take away in {where}: it runs none, or they are scaled to 0"
    if not any(each.cluster == cluster for each in expected):
        return f"{cluster}: no ready Pod of a Deployment in {where}: nothing would be lost"
    if not any(each.cluster != cluster for each in expected):
        return f"{cluster}: no other cluster has a ready Pod of a Deployment in {where}: nobody could take over"
    return ""


def advice(since: Sequence[Sample]) -> str:
    """What to do when some requests fail and others do not: the lost endpoint is still one among others."""
    bad = sum(row["count"] for row in failures(since))
    if not 0 < bad < len(since):
        return ""
    return (
        f"; {bad} of {len(since)} requests failed: what is behind the cluster's east-west gateway is asked as long as "
        "nothing tells that it is gone. Apply an OutlierDetectionPolicy, and a FailoverPolicy or retries, to the "
        "VirtualDestination"
    )


def _record(cluster: str, deployment: Json) -> Json:
    meta = deployment["metadata"]
    replicas = deployment["spec"].get("replicas", 1)
    return {"cluster": cluster, "namespace": meta["namespace"], "name": meta["name"], "replicas": replicas}


def _result(site: _Site, healed: list[Json], msg: str) -> dict[str, Any]:
    facts = site.facts
    return {
        "changed": bool(site.taken or healed),
        "msg": msg,
        "taken": site.taken,
        "healed": healed,
        "sent": facts.sent,
        "failed_requests": facts.failed,
        "failures": facts.failures,
        "longest_gap": facts.longest_gap,
        "answers_before": facts.answers_before,
        "answers_during": facts.answers_during,
        "answers_after": facts.answers_after,
        "requests": sum(cluster.requests for cluster in site.clusters.values()),
    }


def _safely(progress: Tell) -> Tell:
    """Progress nobody may be there to read: that must not keep anything from being brought back."""

    def tell(line: str) -> None:
        try:
            progress(line)
        except Exception:
            return

    return tell
