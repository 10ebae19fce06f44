# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module virtual_destination_info: the state of VirtualDestinations in one cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..k8s import readiness
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden, NotServed
from ..k8s.fields import Json
from ..k8s.transport import GRACE
from ..k8s.verdict import Verdict, failed, together, waiting
from ..k8s.watch import Collection, View, Watcher
from .virtual_destination import RoutingObjects, Target, examine, idle_reason, judge_absent, targets_of

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "host": {"type": "str"},
    "port": {"type": "int"},
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "destinations": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "spec": {"type": "dict", "required": True},
        },
    },
    "check_routes": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": False},
    "wait_for": {"type": "str", "choices": ["accepted", "translated", "absent"], "default": "translated"},
    "wait_timeout": {"type": "int", "default": 300},
    "agent_namespace": {"type": "str", "default": "gloo-mesh"},
}

ISTIO_API = "networking.istio.io/v1"
VIRTUAL_DESTINATIONS = Collection("networking.gloo.solo.io/v2", "VirtualDestination")
SERVICE_ENTRIES = Collection(ISTIO_API, "ServiceEntry")
WORKLOAD_ENTRIES = Collection(ISTIO_API, "WorkloadEntry")
DESTINATION_RULES = Collection(ISTIO_API, "DestinationRule")
HTTP_ROUTES = Collection("gateway.networking.k8s.io/v1", "HTTPRoute")

AGENT = "gloo-mesh-agent"
#: Seconds after which a permanent problem is final.
FAILED_AFTER = 8.0


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: destinations, msg, requests. Raises ClusterError with the problems when `wait` ends without success."""
    targets = _targets(params)
    wait_for = params.get("wait_for") or "translated"
    waits = params.get("wait") and not check
    timeout = float(params.get("wait_timeout") or 0)
    with connect(params, progress) as cluster, cluster.within(timeout + GRACE if waits else float("inf")):
        collections = _collections(wait_for, targets)

        def judge(view: View) -> Verdict:
            check_routes = params.get("check_routes", True)
            return together(
                {target.title: _judge(cluster.name, view, target, wait_for, check_routes) for target in targets}
            )

        with Watcher(cluster, collections) as watcher:
            if waits:
                verdict = watcher.until(judge, timeout, progress, failed_after=FAILED_AFTER)
            else:
                verdict = judge(watcher.view)
            records = [_record(cluster.name, watcher.view, target, wait_for) for target in targets]
        facts: dict[str, Any] = {"destinations": records, "requests": cluster.requests}
        if not waits or verdict.ready:
            return {
                "changed": False,
                "msg": f"{cluster.name}: {_sentence(targets, records, verdict, wait_for)}",
                **facts,
            }
        unfinished = wait_for == "absent" or (
            wait_for == "translated" and not all(row["translated"] for row in records)
        )
        hint = _agent_state(cluster, params["agent_namespace"]) if unfinished else ""
        facts["requests"] = cluster.requests
        waited = f" (waited {watcher.waited:.0f} s)"
        raise ClusterError(f"{cluster.name}: {verdict.reason}{hint}{waited}", cluster=cluster.name, **facts)


def _targets(params: dict[str, Any]) -> list[Target]:
    """Every host with every port of the option ``destinations``, or the one given by the other options."""
    cluster = params.get("cluster") or params["context"]
    single = params.get("host") or params.get("name")
    if params.get("destinations") is None:
        if not single:
            raise ClusterError(
                f"{cluster}: no VirtualDestination is given. Set 'destinations', 'host' or 'name'", option="host"
            )
        return [Target(params.get("host"), params.get("port"), params.get("name"), params.get("namespace"))]
    if single:
        raise ClusterError(
            f"{cluster}: 'destinations' is set with 'host' or 'name'. Set only one of them", option="destinations"
        )
    if params.get("wait_for") == "accepted":
        return [Target(name=each["name"], namespace=each["namespace"]) for each in params["destinations"]]
    return [target for each in params["destinations"] for target in targets_of(each)]


def _collections(wait_for: str, targets: list[Target]) -> list[Collection]:
    if wait_for == "accepted":
        return [VIRTUAL_DESTINATIONS]
    if wait_for == "absent":
        return [SERVICE_ENTRIES, WORKLOAD_ENTRIES, DESTINATION_RULES]
    return [SERVICE_ENTRIES, WORKLOAD_ENTRIES, HTTP_ROUTES, *dict.fromkeys(map(_pods, targets))]


def _pods(target: Target) -> Collection:
    return Collection("v1", "Pod", target.namespace)


def _objects(view: View, target: Target) -> RoutingObjects:
    return RoutingObjects(
        service_entries=view.items(SERVICE_ENTRIES),
        workload_entries=view.items(WORKLOAD_ENTRIES),
        pods=view.items(_pods(target)),
        http_routes=view.items(HTTP_ROUTES),
        destination_rules=view.items(DESTINATION_RULES),
    )


def _judge(cluster: str, view: View, target: Target, wait_for: str, check_routes: bool) -> Verdict:
    if wait_for == "accepted":
        return _accepted(view.get(VIRTUAL_DESTINATIONS, target.name or "", target.namespace or ""))
    if wait_for == "absent":
        return judge_absent(_objects(view, target), target)
    if not view.served(SERVICE_ENTRIES):
        return waiting(f"{ISTIO_API} ServiceEntry is not served. Install Istio's CRDs")
    return examine(cluster, _objects(view, target), target, check_routes)[1]


def _accepted(found: Json | None) -> Verdict:
    """Whether the management server has accepted the VirtualDestination and it selects a Service."""
    if found is None:
        return waiting("does not exist")
    verdict = readiness.judge(found)
    reason = idle_reason(found) if verdict.ready else ""
    return failed(reason) if reason else verdict


def _record(cluster: str, view: View, target: Target, wait_for: str) -> Json:
    record = examine(cluster, _objects(view, target), target)[0]
    if wait_for != "translated":
        record["problems"] = []
    return record


def _sentence(targets: list[Target], records: list[Json], verdict: Verdict, wait_for: str) -> str:
    if not verdict.ready:
        return verdict.reason
    if wait_for != "translated":
        state = "accepted" if wait_for == "accepted" else "no translated object is left"
        return f"{', '.join(target.title for target in targets)}: {state}"
    return "; ".join(
        f"{target.title}: {len(row['endpoints_local'])} local and {len(row['endpoints_remote'])} remote endpoints"
        for target, row in zip(targets, records, strict=True)
    )


def _agent_state(cluster: Cluster, namespace: str) -> str:
    """The state of the agent, which writes all translated objects of this cluster."""
    try:
        agent = cluster.get("apps/v1", "Deployment", AGENT, namespace)
    except (Forbidden, NotServed):
        return ""
    if agent is None:
        return f"; Deployment {namespace}/{AGENT} does not exist. Register the cluster"
    verdict = readiness.judge(agent)
    return f"; Deployment {namespace}/{AGENT} is {'ready' if verdict.ready else 'not ready: ' + verdict.reason}"
