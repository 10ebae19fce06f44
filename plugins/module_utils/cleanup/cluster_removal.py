# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module cluster_removal: takes one workload cluster out of a site while the others serve.

Other clusters stop using it before anything in it is removed. First Gloo Mesh itself removes the endpoints, because the
agent reports that the cluster has no east-west gateway; what the management server still stores about the cluster after
its registration is deleted then has no endpoints. Endpoints that Gloo Mesh leaves behind are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from ..apply.manifests import MANAGER, difference
from ..apply.objects import converge
from ..apply.wait import verdicts_when_ready
from ..k8s.client import CLUSTERS_SPEC, Cluster
from ..k8s.errors import ClusterError, Conflict, Forbidden, Invalid, NotServed
from ..k8s.fields import Json, key_of, name_of, title_of
from ..k8s.pods import pods_of
from ..k8s.progress import Progress
from ..k8s.readiness import judge
from ..k8s.verdict import waiting
from ..mesh import parts
from .cleanup_info import translated_objects
from .plan import DELETE, KEEP, Step, of_object
from .removal import Lead, Member, Request, Site, hidden, refusals, selected_in, shown, shown_again
from .summary import summary

PHASES = ("check", "drain", "deregister", "finish")

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    "cluster": {"type": "str", "required": True},
    "phase": {"type": "str", "choices": list(PHASES), "default": "check"},
    "unreachable": {"type": "bool", "default": False},
    "gateway": {"type": "bool", "default": False},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "drain_timeout": {"type": "int", "default": 60},
    "grace": {"type": "int", "default": 10},
    "wait_timeout": {"type": "int", "default": 300},
}

ADMIN, NETWORKING = "admin.gloo.solo.io/v2", "networking.gloo.solo.io/v2"
GATEWAY_API, ISTIO = "gateway.networking.k8s.io/v1", "networking.istio.io/v1"
_KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "management": (
        (ADMIN, "KubernetesCluster"),
        (ADMIN, "Workspace"),
        (ADMIN, "WorkspaceSettings"),
        (NETWORKING, "VirtualDestination"),
        (NETWORKING, "RouteTable"),
        ("apps/v1", "Deployment"),
    ),
    "workload": (
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        (ISTIO, "WorkloadEntry"),
        (ISTIO, "ServiceEntry"),
        (GATEWAY_API, "Gateway"),
        (GATEWAY_API, "HTTPRoute"),
    ),
}
_MANAGER = f"{MANAGER}-removal"
_TRIES = 5
# Seconds to wait for an API server that may be gone, and between two reads of the endpoints.
_PATIENCE, _PAUSE = 5.0, 0.5


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: removal {cluster, host, registered, reachable, endpoints, uses}, lines, changed, msg, diff, requests,
    writes. Raises Invalid with every reason against the removal, before the first write."""
    with _connections(params["clusters"], params["wait_timeout"], progress) as connections:
        work = _Work(connections, params, check, progress)
        site = work.read()
        problems = refusals(site, started=params["phase"] != "check")
        if problems:
            raise Invalid("; ".join(problems), cluster=params["cluster"], problems=problems)
        before = site
        getattr(work, f"_{params['phase']}")(site)
        return work.result(before)


@contextmanager
def _connections(
    rows: Sequence[Json], timeout: float, progress: Callable[[str], None]
) -> Iterator[list[tuple[Json, Cluster | str]]]:
    """Every entry of ``clusters`` with its connection, or the reason why there is none.

    No request outlives the timeout.
    """
    if [row["role"] for row in rows].count("management") != 1:
        raise Invalid("cluster_removal: 'clusters' needs exactly one entry of role management", option="clusters")
    with ExitStack() as stack:
        found: list[tuple[Json, Cluster | str]] = []
        for row in rows:
            try:
                cluster = Cluster(
                    row["kubeconfig"],
                    row["context"],
                    row["name"],
                    patience=_PATIENCE,
                    request_within=timeout or float("inf"),
                    progress=progress,
                )
            except ClusterError as exc:
                found.append((row, exc.msg))
                continue
            stack.callback(cluster.close)
            found.append((row, cluster))
        yield found


class _Work:
    """One phase of the removal, and its results."""

    def __init__(
        self,
        connections: Sequence[tuple[Json, Cluster | str]],
        params: dict[str, Any],
        check: bool,
        progress: Callable[[str], None],
    ) -> None:
        self.connections, self.params, self.check, self.progress = connections, params, check, progress
        self.clusters = {row["name"]: each for row, each in connections if isinstance(each, Cluster)}
        self.name = str(params["cluster"])
        self.request = Request(
            self.name, bool(params["unreachable"]), bool(params["gateway"]), tuple(params["addresses"] or ())
        )
        self.changed = False
        self.lines: list[str] = []
        self.diff: list[Json] = []

    # -- phases

    def _check(self, site: Site) -> None:
        if site.registration is not None:
            self.lines.append(f"{site.management.name}: {title_of(site.registration)} will be deleted")
        leads = site.leads()
        if leads:
            self.lines.append(f"{self.name}: other clusters have endpoints in it: {shown(leads)}")
        self.lines += site.uses()

    def _drain(self, site: Site) -> None:
        """Let Gloo Mesh remove the endpoints while the agent is connected."""
        member = site.reachable
        leads = [lead for lead in site.leads() if lead.translated]
        if member is None or not leads or not _runs(member.agent):
            return
        for service in selected_in(member, site.selectors):
            if shown_again(service):
                continue
            self._rewrite(self.name, service, lambda live: (hidden(live, site.selectors, self.name), _MANAGER))
            self.lines.append(f"{self.name}: {self._did('hidden')} from Gloo Mesh: {title_of(service)}")
        if not self.check:
            left = self._until_gone()
            if left:
                self.lines.append(f"{site.management.name}: Gloo Mesh has not removed {shown(left)}")
            self._grace()

    def _deregister(self, site: Site) -> None:
        """Delete the registration; then delete endpoints that Gloo Mesh leaves behind."""
        found = bool(site.leads())
        if site.registration is not None:
            self._delete(site.management.name, [site.registration])
            self.lines.append(f"{site.management.name}: {self._did('deleted')} {title_of(site.registration)}")
        if self.check:
            self._delete_leads(site.leads())
            return
        left = self._until_gone() if found else []
        if left and self._restart_server(site):
            left = self._until_gone()
        self._delete_leads(left)
        if found and site.reachable:
            self._grace()

    def _restart_server(self, site: Site) -> bool:
        """Restart the management server that still translates the cluster: it then drops clusters without registration.

        An agent that is still connected is refused from then on. Requests do not pass through the server. The Pods are
        deleted, which changes nothing in a Deployment that may have another owner.
        """
        cluster = self.clusters[site.management.name]
        homes = {key_of(each)[0] for each in site.registrations.values()}
        found = filter(_runs, parts.servers(site.management.of("Deployment")))
        running = [each for each in found if not homes or key_of(each)[0] in homes]
        for server in running:
            self._delete(cluster.name, pods_of(server, cluster.list("v1", "Pod", key_of(server)[0])))
            self.lines.append(f"{cluster.name}: restarted {title_of(server)}, which still translated {self.name}")
            verdicts_when_ready(cluster, [server], float(self.params["wait_timeout"]), self.progress, just_written=True)
        return bool(running)

    def _finish(self, site: Site) -> None:
        """Delete what is still translated, and restore what belongs to others."""
        leads = site.leads()
        if not self.check and any(lead.translated for lead in leads):
            self._delete_leads(leads)
            raise ClusterError(
                f"{site.management.name}: {shown(leads)}: reappeared after the deletion, so the management "
                f"server still translates {self.name}. Check that no agent is connected under this name, and repeat "
                "the removal",
                cluster=site.management.name,
            )
        kept = [lead for lead in leads if not lead.translated]
        if kept:
            self.lines.append(
                f"kept, because Gloo Mesh did not create them: {shown(kept)}. They lead to {self.name}: unless they "
                "are still needed, delete them"
            )
        if site.reachable is None:
            return
        for service in site.reachable.of("Service"):
            if shown_again(service):
                self._rewrite(self.name, service, lambda live: shown_again(live) or (live, _MANAGER))
                self.lines.append(f"{self.name}: {self._did('restored')} {title_of(service)}")
        translated = list(translated_objects(self.clusters[self.name]))
        agent = site.reachable.agent
        steps = [of_object("leftovers", DELETE, obj, "translated by Gloo Mesh") for obj in translated]
        if agent is not None and not self.check:
            reason = f"{title_of(agent)}, which translated them, does not belong to this collection"
            steps = [Step(**{**vars(step), "action": KEEP, "reason": reason}) for step in steps]
        elif translated:
            self._delete(self.name, translated)
        if steps:
            self.lines += [f"{self.name}: {line}" for line in summary(steps, self.check)]

    # -- reading

    def read(self) -> Site:
        """The current state of all clusters, read in parallel."""
        with ThreadPoolExecutor(max_workers=len(self.connections)) as pool:
            return Site(list(pool.map(self._member, self.connections)), self.request)

    def _member(self, connection: tuple[Json, Cluster | str]) -> Member:
        row, cluster = connection
        name, role, gateway = row["name"], row["role"], bool(row["gateway"])
        if isinstance(cluster, str):
            return Member(name, role, gateway, unreachable=cluster)
        try:
            objects = {kind: _listed(cluster, api_version, kind) for api_version, kind in _KINDS[role]}
            return Member(name, role, gateway, uid=_uid(cluster), objects=objects)
        except ClusterError as exc:
            return Member(name, role, gateway, unreachable=exc.msg)

    # -- waiting

    def _until_gone(self) -> list[Lead]:
        """Wait until Gloo Mesh has removed the endpoints that it translated; those left at the end of the wait."""
        report = Progress(self.name, self.progress)
        while True:
            site = self.read()
            left = [lead for lead in site.leads() if lead.translated]
            running = any(map(_runs, parts.servers(site.management.of("Deployment"))))
            if not left or not running or report.seconds > float(self.params["drain_timeout"]):
                return left
            report(waiting(f"Gloo Mesh still has {shown(left)}"))
            time.sleep(_PAUSE)

    def _grace(self) -> None:
        """Proxies apply the change, and requests that they have already sent are answered. Neither can be observed."""
        self.progress(
            f"{self.name}: waiting {self.params['grace']} s for proxies to apply the change and requests to finish"
        )
        time.sleep(float(self.params["grace"]))

    # -- writing

    def _did(self, past: str) -> str:
        return f"would be {past}" if self.check else past

    def _delete_leads(self, leads: Sequence[Lead]) -> None:
        for lead in [each for each in leads if each.translated]:
            if lead.rest is None:
                self._delete(lead.cluster, [lead.obj])
            else:
                self._rewrite(lead.cluster, lead.obj, partial(_with_endpoints, rest=lead.rest))
            self.lines.append(f"{self._did('deleted')} {shown([lead])}")

    def _delete(self, name: str, objects: Sequence[Json]) -> None:
        definitions = [_definition(obj) for obj in objects]
        options: dict[str, Any] = {"check": self.check, "progress": self.progress, "only_ours": False}
        result = converge(
            self.clusters[name], definitions, absent=True, timeout=float(self.params["wait_timeout"]), **options
        )
        self.changed = self.changed or result["changed"]
        self.diff += result["diff"]

    def _rewrite(self, name: str, obj: Json, change: Callable[[Json], tuple[Json, str]]) -> None:
        """Replace the object by its changed self; ``change`` also returns the field manager."""
        cluster = self.clusters[name]
        live: Json | None = obj
        for attempt in range(_TRIES):
            if live is None:
                return
            after, manager = change(live)
            if attempt == 0:
                self.diff.append(difference(f"{name}: {title_of(obj)}", live, after))
            self.changed = True
            if self.check:
                return
            try:
                cluster.replace(after, manager=manager or _MANAGER)
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
                namespace, own = key_of(obj)
                live = cluster.get(obj["apiVersion"], obj["kind"], own, namespace)

    # -- result

    def result(self, site: Site) -> dict[str, Any]:
        leads = site.leads()
        removal = {
            "cluster": self.name,
            "registered": site.registration is not None,
            "reachable": site.reachable is not None,
            "endpoints": [
                {
                    "cluster": lead.cluster,
                    "kind": lead.obj["kind"],
                    "namespace": key_of(lead.obj)[0],
                    "name": name_of(lead.obj),
                    "addresses": list(lead.addresses),
                    "translated": lead.translated,
                }
                for lead in leads
            ],
            "uses": site.uses(),
        }
        return {
            "changed": self.changed,
            "msg": f"{self.name}: {'; '.join(self.lines) or 'nothing to do'}",
            "removal": removal,
            "lines": self.lines,
            "diff": self.diff,
            "requests": sum(cluster.requests for cluster in self.clusters.values()),
            "writes": sum(cluster.writes for cluster in self.clusters.values()),
        }


def _listed(cluster: Cluster, api_version: str, kind: str) -> list[Json]:
    try:
        return cluster.list(api_version, kind)
    except NotServed:
        return []


def _uid(cluster: Cluster) -> str:
    """The cluster's UID, "" if this user may not read it."""
    try:
        return cluster.uid()
    except Forbidden:
        return ""


def _runs(deployment: Json | None) -> bool:
    return deployment is not None and judge(deployment).ready


def _with_endpoints(live: Json, rest: Json) -> tuple[Json, str]:
    return {**live, "spec": {**live["spec"], "endpoints": rest["spec"]["endpoints"]}}, _MANAGER


def _definition(obj: Json) -> Json:
    namespace, name = key_of(obj)
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {"name": name, **place}}
