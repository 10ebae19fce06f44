# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module gateway_proxy_info: read what concerns the Gateways, judge, wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import proxy
from .cluster import CLUSTER_SPEC, Cluster, Json, connect
from .errors import ClusterError
from .readiness import Verdict, together
from .watching import Collection, View, Watcher

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "namespace": {"type": "str"},
    "gateway": {"type": "str"},
    "expect": {"type": "list", "elements": "str"},
    "istiod": {"type": "dict"},
    "parameters": {"type": "str"},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
}

GATEWAY_API = "gateway.networking.k8s.io/v1"

#: Two writers race on a Gateway's status; what changed within this time has to be seen unchanged for so long.
FRESH, SETTLE = 10.0, 2.0
#: A failure that stays for so long is one; the causes judged here do not heal by themselves.
FAILED_AFTER = 8.0


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: proxies, msg, requests. Raises ClusterError with the first cause when `expect` or `wait` is not met."""
    if params.get("gateway") and not params.get("namespace"):
        raise ClusterError("gateway_proxy_info: 'gateway' needs 'namespace'", option="namespace")
    with connect(params) as cluster:
        reader = _Reader(cluster, params)
        with Watcher(cluster, reader.collections) as watcher:
            if params.get("wait") and not check:
                watcher.until(
                    reader.judge,
                    float(params.get("wait_timeout") or 0),
                    progress,
                    settle=reader.settle(watcher.view),
                    failed_after=FAILED_AFTER,
                )
            records = reader.records(watcher.view)
        facts = {"proxies": records, "requests": cluster.requests}
        bad = [r for r in records if r["verdict"] != "ready"]
        if bad and not check and (params.get("wait") or params.get("expect")):
            waited = (
                f" within {params['wait_timeout']} s" if params.get("wait") and bad[0]["verdict"] == "waiting" else ""
            )
            text = "; ".join(f"{r['cause']}" for r in bad)
            raise ClusterError(
                f"{cluster.name}: Gateway {bad[0]['namespace']}/{bad[0]['gateway']} not ready{waited}: {text}",
                cluster=cluster.name,
                **facts,
            )
        return {"changed": False, "msg": _sentence(cluster.name, records), **facts}


def _sentence(cluster: str, records: list[Json]) -> str:
    if not records:
        return f"{cluster}: there is no Gateway"
    parts = [
        f"Gateway {r['namespace']}/{r['gateway']} "
        + (
            f"ready with {', '.join(r['containers'])} at {r['url']}"
            if r["verdict"] == "ready"
            else f"{r['verdict']}: {r['cause']}"
        )
        for r in records
    ]
    return f"{cluster}: {'; '.join(parts)}"


class _Reader:
    """Turns the watched collections into situations and verdicts."""

    def __init__(self, cluster: Cluster, params: dict[str, Any]) -> None:
        self.cluster = cluster
        self.namespace: str | None = params.get("namespace")
        self.gateway: str | None = params.get("gateway")
        expect = params.get("expect")
        self.want = proxy.Want(
            expect=tuple(expect) if expect else None,
            istiod=params.get("istiod") or None,
            parameters=params.get("parameters"),
        )
        here = self.namespace
        self.gateways = Collection(GATEWAY_API, "Gateway", here, name=self.gateway)
        self.classes = Collection(GATEWAY_API, "GatewayClass")
        # of all namespaces: parameters in the wrong one are to be found
        self.parameters = Collection("gateway.kgateway.dev/v1alpha1", "GatewayParameters")
        # of all namespaces: the proxies, the controller and the istiods
        self.deployments = Collection("apps/v1", "Deployment")
        self.services = Collection("v1", "Service")
        self.replica_sets = Collection("apps/v1", "ReplicaSet", here, proxy.GATEWAY_LABEL)
        self.pods = Collection("v1", "Pod", here, proxy.GATEWAY_LABEL)
        self.root_certs = Collection("v1", "ConfigMap", here, name=proxy.ROOT_CERT)
        self.collections = [
            self.gateways,
            self.classes,
            self.parameters,
            self.deployments,
            self.services,
            self.replica_sets,
            self.pods,
            self.root_certs,
        ]

    def situations(self, view: View) -> list[proxy.Situation]:
        named = [(str(self.namespace), self.gateway)] if self.gateway else []
        found = {(g["metadata"]["namespace"], g["metadata"]["name"]): g for g in view.items(self.gateways)}
        return [self._situation(view, ns, name, found.get((ns, name))) for ns, name in named or sorted(found)]

    def _situation(self, view: View, namespace: str, name: str, gateway: Json | None) -> proxy.Situation:
        def children(collection: Collection) -> list[Json]:
            return [
                o
                for o in view.items(collection)
                if o["metadata"]["namespace"] == namespace
                and (o["metadata"].get("labels") or {}).get(proxy.GATEWAY_LABEL) == name
            ]

        return proxy.Situation(
            namespace=namespace,
            name=name,
            gateway=gateway,
            classes=view.items(self.classes),
            parameters=view.items(self.parameters) if view.served(self.parameters) else None,
            deployments=view.items(self.deployments),
            services=view.items(self.services),
            replica_sets=children(self.replica_sets),
            pods=children(self.pods),
            root_cert=any(c["metadata"]["namespace"] == namespace for c in view.items(self.root_certs)),
            want=self.want,
        )

    def judge(self, view: View) -> Verdict:
        """One verdict on all Gateways."""
        verdicts = {f"Gateway {s.namespace}/{s.name}": proxy.judge(s) for s in self.situations(view)}
        return together(verdicts) if verdicts else Verdict("waiting", "there is no Gateway")

    def records(self, view: View) -> list[Json]:
        return [proxy.record(self.cluster.name, s, proxy.judge(s)) for s in self.situations(view)]

    def settle(self, view: View) -> float:
        """How long a ready verdict has to hold: not at all where nothing was written lately."""
        objects = [*view.items(self.gateways), *view.items(self.parameters)]
        objects += [s.deployment for s in self.situations(view) if s.deployment]
        newest = max((_last_write(o) for o in objects), default=0.0)
        now = self.cluster.server_time
        return SETTLE if now is None or now - newest < FRESH else 0.0


def _last_write(obj: Json) -> float:
    meta = obj["metadata"]
    times = [meta.get("creationTimestamp"), *(f.get("time") for f in meta.get("managedFields") or ())]
    return max((datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp() for t in times if t), default=0.0)
