# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module failover_check: scale down one cluster's backends, check the traffic, restore the backends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..apply.manifests import ref_of
from ..apply.wait import verdicts_when_ready
from ..k8s.client import CLUSTERS_SPEC, Cluster
from ..k8s.errors import ClusterError, Invalid, Timeout
from ..k8s.fields import Json, title
from ..k8s.lease import finishing
from ..k8s.pods import pods_of, selected
from ..k8s.progress import Progress, blocked, lines
from ..k8s.signals import Interrupted, Interrupts
from ..k8s.verdict import Verdict, together, waiting
from ..k8s.watch import Collection, View, Watcher
from . import backends
from . import sampling as traffic
from .gateway_target import GATEWAY_SPEC
from .request_stream import Sample, Stream, longest_gap, settled, tally_of, unproven
from .sampling import Expected
from .scale_down import Scaled, command_to_restore, left_scaled_down, restore, scale_down
from .traffic_check import send_requests, target_of
from .url_client import REQUEST_SPEC, UrlClient

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    **REQUEST_SPEC,
    "state": {"type": "str", "choices": ["checked", "restored"], "default": "checked"},
    "cluster": {"type": "str"},
    "backends": backends.SELECTION_SPEC,
    "url": {"type": "str"},
    "gateway": {"type": "dict", "options": {**GATEWAY_SPEC["options"], "cluster": {"type": "str", "required": True}}},
    "max_gap": {"type": "float", "default": 30.0},
    "min_requests": {"type": "int", "default": 20},
    "patience": {"type": "int", "default": 30},
    "timeout": {"type": "int", "default": 120},
}
RULES: dict[str, Any] = {
    "required_if": [("state", "checked", ["cluster", "backends"]), ("state", "checked", ["url", "gateway"], True)],
    "mutually_exclusive": [("url", "gateway")],
}

# Seconds within which the API server of the scaled-down cluster has to be reachable again.
_RESTORE_WITHIN = 120.0

#: kinds with a number of replicas that this check may set
SCALABLE = ("Deployment", "StatefulSet")

Report = Callable[[str], None]


def run(params: dict[str, Any], check: bool, progress: Report) -> dict[str, Any]:
    """Result: taken, restored, sent, failed, failures, longest_gap, answers_before, answers_during, answers_after.

    Raises ClusterError when traffic failed, with the same facts; the backends are restored in that case as well.
    """
    if not params["clusters"]:
        raise Invalid("failover_check: 'clusters' is empty. Give at least one cluster", option="clusters")
    with backends.workload_clusters(params["clusters"], params["timeout"], _safely(progress)) as clusters:
        site = _Site(clusters, params, _safely(progress))
        healed = site.heal(check)
        if params["state"] == "restored":
            number = f"{len(healed)} workload{'' if len(healed) == 1 else 's'}"
            return _result(site, healed, f"{number} restored" if healed else "no workload to restore")
        for cluster in (params["cluster"], (params.get("gateway") or params)["cluster"]):
            if cluster not in clusters:
                names = ", ".join(clusters) or "none"
                raise Invalid(f"failover_check: cluster {cluster!r} is not a workload cluster. Set one of: {names}")
        return site.check(check, healed)


@dataclass
class _Facts:
    """The measurements, filled in step by step, so that a failure reports those made so far."""

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
    """The workload clusters and the requests through their gateway."""

    def __init__(self, clusters: dict[str, Cluster], params: dict[str, Any], report: Report) -> None:
        self.clusters, self.params, self.report = clusters, params, report
        self.timeout = float(params["timeout"])
        self.facts = _Facts()
        self.taken: list[Json] = []

    # -- workloads left scaled down by a killed run

    def heal(self, check: bool) -> list[Json]:
        """Restore workloads left scaled down by an earlier run, in every cluster; returns their records.

        An error in one cluster or with one workload does not stop the others; all are raised at the end.
        """
        healed: list[Json] = []
        failures: list[Json] = []
        errors: list[ClusterError] = []
        for name, cluster in self.clusters.items():
            try:
                left = left_scaled_down(backends.workloads(cluster))
                for each in left:
                    self.report(f"{name}: {each.title} was left scaled down by a killed run: restoring it")
                failed = [] if check else self._restore(cluster, left, within=0.0)
                stuck = [each for each, _why in failed]
                healed += [_record(name, each.workload) for each in left if each not in stuck]
                if failed:
                    errors.append(_not_restored(cluster, failed))
                    failures += errors[-1].facts["not_restored"]
            except ClusterError as exc:
                errors.append(exc)
        if errors:
            facts = {**errors[0].facts, "healed": healed, "not_restored": failures or None}
            raise ClusterError("\n".join(exc.msg for exc in errors), **facts)
        return healed

    # -- the check

    def check(self, check: bool, healed: list[Json]) -> dict[str, Any]:
        name, target = self.params["cluster"], self.clusters[self.params["cluster"]]
        if not check:
            self._await_ready(self._backends(target), target)
        going = [each for each in self._backends(target) if each["spec"].get("replicas", 1)]
        found = backends.read(self.clusters, self.params["backends"])
        expected = backends.expected(found)
        here = next(each for each, cluster in zip(found, self.clusters, strict=True) if cluster == name)
        problem = refusal(name, self.params["backends"], going, expected, here.workloads)
        if problem and not (check and healed):
            raise ClusterError(problem, cluster=name)
        titles = ", ".join(ref_of(each).title for each in going)
        where = target_of(self.clusters[(self.params.get("gateway") or self.params)["cluster"]], self.params)
        if check:
            self.taken = [_record(name, each) for each in going]
            text = f"{name}: {titles} would be scaled to 0 and restored while requests are sent to {where.url}"
            return {**_result(self, healed, text), "changed": True}
        params = {**self.params, "url": where.url, "host": where.host}
        client = UrlClient(name, params, re.compile(self.params["pattern"], re.DOTALL), where.others)
        self.facts.answers_before = self._responses(client, expected, "before")
        others = [each for each in expected if each.cluster != name]
        try:
            self._switch(target, going, others, client)
            self.facts.answers_after = self._responses(client, self._expected(), "after")
        except ClusterError as exc:
            exc.facts = {**exc.facts, **_result(self, healed, exc.msg)}
            raise
        gap = self.facts.longest_gap
        text = (
            f"{name}: without {titles} the other clusters responded: {self.facts.sent} requests, {self.facts.failed} "
            f"failed, longest gap {gap:.1f} s; all backends are restored and respond"
        )
        if gap > self.params["max_gap"]:
            text = (
                f"{name}: no successful response for {gap:.1f} s, which exceeds max_gap (failover_max_gap, "
                f"{self.params['max_gap']:g} s): {text}"
            )
            facts = _result(self, healed, text)
            raise ClusterError(facts.pop("msg"), cluster=name, **facts)
        return _result(self, healed, text)

    def _switch(self, target: Cluster, going: list[Json], others: list[Expected], client: UrlClient) -> None:
        """Scale down, wait until the others respond, restore; requests are sent throughout."""
        with Stream(client.send) as stream:
            begin = time.monotonic()
            try:
                with self._scaled_down(target, going) as interrupts:
                    self._await_gone(target, going, interrupts)
                    since = len(stream.samples())
                    samples = self._await_others(stream, since, others, interrupts)
                    self.facts.answers_during = tally_of(settled(samples, others), others).records()
                self._await_ready(going, target)
            finally:
                end, samples = time.monotonic(), stream.samples()
                self.facts.sent = len(samples)
                self.facts.failures = tally_of(samples).failure_records()
                self.facts.longest_gap = round(longest_gap(samples, begin, end), 2)

    @contextmanager
    def _scaled_down(self, target: Cluster, going: list[Json]) -> Iterator[Interrupts]:
        """Inside the context the workloads have 0 replicas; at exit they are always restored."""
        scaled: list[Scaled] = []
        with Interrupts() as interrupts:
            before: BaseException | None = None
            try:
                for deployment in going:
                    interrupts.check()
                    self.report(f"{target.name}: scaling {ref_of(deployment).title} to 0")
                    self.taken.append(_record(target.name, deployment))
                    scaled.append(Scaled(deployment))
                    scale_down(target, scaled[-1])
                yield interrupts
            except BaseException as exc:
                before = exc
                if isinstance(exc, Interrupted):
                    self.report(f"{target.name}: {exc}; restoring the backends first")
                raise
            finally:
                failed = self._restore(target, scaled, _RESTORE_WITHIN)
                if failed:
                    error = _not_restored(target, failed, before)
                    self.report(error.msg)  # the process may end before its result is shown
                    raise error

    def _restore(self, target: Cluster, scaled: Sequence[Scaled], within: float) -> list[tuple[Scaled, BaseException]]:
        """Those that could not be restored within this time, with the reasons. An unreachable API server is retried,
        and no exception of one workload stops the others."""
        report = Progress(target.name, self.report)
        left, ended = list(scaled), None
        while True:
            failed: list[tuple[Scaled, BaseException]] = []
            for each in left:
                try:
                    with finishing():
                        restore(target, each)
                    self.report(f"{target.name}: {each.title} is restored")
                except BaseException as exc:
                    failed.append((each, exc))
                    ended = ended if isinstance(exc, Exception) else exc
            if failed and report.seconds < within:
                report(together({each.title: waiting(f"not restored yet: {_reason(exc)}") for each, exc in failed}))
                left = [each for each, _why in failed]
                time.sleep(0.5)
                continue
            if ended and not failed:
                raise ended
            return failed

    # -- waits

    def _await_gone(self, target: Cluster, going: list[Json], interrupts: Interrupts) -> None:
        namespace = self.params["backends"]["namespace"]
        pods = Collection("v1", "Pod", namespace)
        kinds = {each["kind"]: Collection(each["apiVersion"], each["kind"], namespace) for each in going}

        def look(view: View) -> Verdict:
            interrupts.check()
            verdicts = {}
            for each in going:
                live = view.get(kinds[each["kind"]], each["metadata"]["name"], namespace) or each
                running = pods_of(each, view.items(pods))
                if running:
                    back = (
                        f"; another client scaled it to {live['spec']['replicas']}" if live["spec"]["replicas"] else ""
                    )
                    names = ", ".join(pod["metadata"]["name"] for pod in running[:3])
                    verdicts[ref_of(each).title] = waiting(f"{len(running)} Pods still run: {names}{back}")
            return together(verdicts)

        with Watcher(target, [pods, *kinds.values()]) as watcher:
            verdict = watcher.until(look, self.timeout, self.report)
        if not verdict.ready:
            raise Timeout("\n".join(lines(target.name, blocked(verdict), watcher.waited)), cluster=target.name)

    def _await_others(
        self, stream: Stream, since: int, others: list[Expected], interrupts: Interrupts
    ) -> Sequence[Sample]:
        """The samples since ``since``, once they prove that the other clusters respond."""
        name = self.params["cluster"]
        report = Progress(name, self.report)
        while True:
            interrupts.check()
            samples = stream.samples()[since:]
            wrong = unproven(samples, others, self.params["min_requests"])
            if not wrong:
                return samples
            if report.seconds >= self.params["patience"]:
                entry = f"traffic fails without this cluster: {wrong}{advice(samples)}"
                raise Timeout("\n".join(lines(name, [entry], report.seconds)), cluster=name)
            report(waiting(f"traffic without this cluster: {wrong}"))
            stream.wait(1.0)

    def _await_ready(self, deployments: list[Json], target: Cluster) -> None:
        current = {ref_of(each): each for each in self._backends(target)}
        wanted = [current[ref] for ref in map(ref_of, deployments) if ref in current]
        verdicts = verdicts_when_ready(target, wanted, self.timeout, self.report, just_written=True)
        late = together({ref.title: verdict for ref, verdict in verdicts.items()})
        if not late.ready:
            raise Timeout("\n".join(lines(target.name, blocked(late), self.timeout)), cluster=target.name)

    # -- responses

    def _backends(self, cluster: Cluster) -> list[Json]:
        selection = self.params["backends"]
        return selected(backends.workloads(cluster, selection["namespace"]), selection)

    def _expected(self) -> list[Expected]:
        return backends.expected(backends.read(self.clusters, self.params["backends"]))

    def _responses(self, client: UrlClient, expected: list[Expected], when: str) -> list[Json]:
        """Send requests until all expected instances have responded; responses by instance."""
        name = self.params["cluster"]
        limits = traffic.Limits(timeout=self.timeout, patience=10.0)
        outcome, tally = send_requests(name, client, expected, limits, self.report)
        if outcome != "complete":
            raise ClusterError(
                f"{traffic.describe(outcome, tally, client.target, name)} ({when} the switch)", cluster=name
            )
        return tally.records()


def refusal(
    cluster: str,
    selection: Json,
    going: Sequence[Json],
    expected: Sequence[Expected],
    workloads: Sequence[tuple[str, str]] = (),
) -> str:
    """Why the check cannot prove failover; "" when it can. workloads: (kind, name) of all backends in the cluster."""
    where = f"namespace {selection['namespace']} with labels {selection['label_selector']}"
    others = [title(kind, name, selection["namespace"]) for kind, name in workloads if kind not in SCALABLE]
    if others:
        text = f"{', '.join(others)} would still respond: only {' and '.join(SCALABLE)} are scaled down here"
        return f"{cluster}: {text}. Select other backends, or test failover with the tools of these workloads"
    if not going:
        text = f"no Deployment or StatefulSet to scale down in {where}: none exists, or all are scaled to 0"
        return f"{cluster}: {text}. Correct backends, or deploy one"
    if not any(each.cluster == cluster for each in expected):
        text = f"no ready Pod in {where}, so the check would not interrupt traffic"
        return f"{cluster}: {text}. Correct backends, or check why the Pods are not ready"
    if not any(each.cluster != cluster for each in expected):
        text = f"no other cluster has a ready Pod in {where}, so no cluster can take over"
        return f"{cluster}: {text}. Deploy it in another cluster"
    return ""


def advice(samples: Sequence[Sample]) -> str:
    """Advice when only some requests fail: the lost endpoint is still used by load balancing."""
    failed = sum(row["count"] for row in tally_of(samples).failure_records())
    if not 0 < failed < len(samples):
        return ""
    return (
        f"; {failed} of {len(samples)} requests failed: the cluster's east-west gateway stays an endpoint until "
        "outlier detection removes it. Apply an OutlierDetectionPolicy, and a FailoverPolicy or retries, to the "
        "VirtualDestination"
    )


def _not_restored(
    target: Cluster, failed: Sequence[tuple[Scaled, BaseException]], before: BaseException | None = None
) -> ClusterError:
    """Names each workload that may still have 0 replicas, with the command that restores it."""
    rows = [
        {**_record(target.name, each.workload), "kind": each.workload["kind"], "replicas": each.replicas}
        | {"command": command_to_restore(target, each)}
        for each, _why in failed
    ]
    titles = ", ".join(each.title for each, _why in failed)
    text = (
        f"{target.name}: {titles} could not be restored: {_reason(failed[0][1])}. "
        "Run failover.yml with -e failover_restore=true: it restores the recorded replicas. Without it, run"
    )
    commands = [f"  {row['command']}" for row in rows]
    first = [f"{target.name}: the check had failed before: {_reason(before)}"] if isinstance(before, Exception) else []
    return ClusterError("\n".join([text, *commands, *first]), cluster=target.name, not_restored=rows)


def _reason(exc: BaseException) -> str:
    return exc.msg if isinstance(exc, ClusterError) else f"unexpected {type(exc).__name__}: {exc}"


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


def _safely(progress: Report) -> Report:
    """Progress that ignores a closed output, which must not prevent the restore."""

    def report(line: str) -> None:
        try:
            progress(line)
        except Exception:
            return

    return report
