# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module virtual_destination_info: the objects of a VirtualDestination in one workload cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..k8s import readiness
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden, NotServed
from ..k8s.readiness import Verdict
from ..k8s.watch import Collection, View, Watcher
from .virtual_destination import RoutingObjects, Target, examine, judge_absent

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "host": {"type": "str"},
    "port": {"type": "int"},
    "name": {"type": "str"},
    "namespace": {"type": "str"},
    "wait": {"type": "bool", "default": False},
    "wait_for": {"type": "str", "choices": ["translated", "absent"], "default": "translated"},
    "wait_timeout": {"type": "int", "default": 300},
    "agent_namespace": {"type": "str", "default": "gloo-mesh"},
}

ISTIO_API = "networking.istio.io/v1"
SERVICE_ENTRIES = Collection(ISTIO_API, "ServiceEntry")
WORKLOAD_ENTRIES = Collection(ISTIO_API, "WorkloadEntry")
DESTINATION_RULES = Collection(ISTIO_API, "DestinationRule")
HTTP_ROUTES = Collection("gateway.networking.k8s.io/v1", "HTTPRoute")

AGENT = "gloo-mesh-agent"
#: Seconds after which a problem that does not pass by itself ends the wait.
FAILED_AFTER = 8.0


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: destinations, msg, requests. Raises ClusterError with what is wrong when `wait` ends without success."""
    name = params.get("cluster") or params["context"]
    if not params.get("host") and not params.get("name"):
        raise ClusterError(
            f"{name}: neither 'host' nor 'name' of the VirtualDestination is given. Set one of them", option="host"
        )
    target = Target(params.get("host"), params.get("port"), params.get("name"), params.get("namespace"))
    absent = params.get("wait_for") == "absent"
    with connect(params, progress) as cluster:
        pods = Collection("v1", "Pod", params.get("namespace"))
        collections = [SERVICE_ENTRIES, WORKLOAD_ENTRIES, *([DESTINATION_RULES] if absent else [HTTP_ROUTES, pods])]

        def objects(view: View) -> RoutingObjects:
            return RoutingObjects(
                service_entries=view.items(SERVICE_ENTRIES),
                workload_entries=view.items(WORKLOAD_ENTRIES),
                pods=view.items(pods),
                http_routes=view.items(HTTP_ROUTES),
                destination_rules=view.items(DESTINATION_RULES),
            )

        def judge(view: View) -> Verdict:
            if absent:
                return judge_absent(objects(view), target)
            if not view.served(SERVICE_ENTRIES):
                return Verdict(
                    "waiting", f"{target.title}: {ISTIO_API} ServiceEntry is not served. Install Istio's CRDs"
                )
            return examine(cluster.name, objects(view), target)[1]

        with Watcher(cluster, collections) as watcher:
            if params.get("wait") and not check:
                verdict = watcher.until(
                    judge,
                    float(params.get("wait_timeout") or 0),
                    progress,
                    failed_after=FAILED_AFTER,
                )
            else:
                verdict = judge(watcher.view)
            record, _verdict = examine(cluster.name, objects(watcher.view), target)
        if absent:
            record["problems"] = []
        facts: dict[str, Any] = {"destinations": [record], "requests": cluster.requests}
        if params.get("wait") and not check and not verdict.ready:
            waited = f" (waited {watcher.waited:.0f} s)"
            hint = _agent_state(cluster, params["agent_namespace"]) if not record["translated"] or absent else ""
            facts["requests"] = cluster.requests
            raise ClusterError(f"{cluster.name}: {verdict.reason}{hint}{waited}", cluster=cluster.name, **facts)
        return {"changed": False, "msg": f"{cluster.name}: {_sentence(target, verdict)}", **facts}


def _sentence(target: Target, verdict: Verdict) -> str:
    return f"{target.title}: {verdict.reason}" if verdict.ready else verdict.reason


def _agent_state(cluster: Cluster, namespace: str) -> str:
    """The state of the agent, without which nothing is translated into this cluster."""
    try:
        agent = cluster.get("apps/v1", "Deployment", AGENT, namespace)
    except (Forbidden, NotServed):
        return ""
    if agent is None:
        return f"; Deployment {namespace}/{AGENT} does not exist: the cluster is not registered"
    verdict = readiness.judge(agent)
    return f"; Deployment {namespace}/{AGENT} is {'ready' if verdict.ready else 'not ready: ' + verdict.reason}"
