# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module gateway_proxy_info: read the Gateways with their proxies, check, wait, restart when needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..istiod.discovery import facts_problems
from ..k8s import log_causes
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError
from ..k8s.fields import Json, mappings, meta, seconds, spec_of
from ..k8s.verdict import Verdict, together, waiting
from ..k8s.watch import Collection, View, Watcher
from . import proxy_logs, proxy_restart
from .controller import controller_container
from .parameter_kinds import PARAMETER_KINDS
from .proxy_checks import ProxyVerdict, check_proxy
from .proxy_model import GATEWAY_LABEL, ROOT_CERT, Objects, ProxyModel, Want, proxy_models
from .proxy_objects import container_status
from .proxy_record import record

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "namespace": {"type": "str"},
    "gateway": {"type": "str"},
    "expect": {"type": "list", "elements": "str"},
    "istiod": {"type": "dict"},
    "parameters": {"type": "str"},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
    "restart": {"type": "str", "choices": ["never", "if_needed"], "default": "never"},
}

GATEWAY_API = "gateway.networking.k8s.io/v1"

#: Seconds. Two writers race on a Gateway's status: what changed within FRESH must stay unchanged for SETTLE.
FRESH, SETTLE = 10.0, 2.0
#: Seconds. What changed within FRESH may be repaired by the next write, so a failure must last this long.
FAILED_AFTER = 8.0


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: proxies, restarted, msg, requests. Raises ClusterError with the first cause when `expect` or `wait` is
    not met."""
    if params.get("gateway") and not params.get("namespace"):
        raise ClusterError("gateway_proxy_info: 'gateway' is set without 'namespace'. Set both", option="namespace")
    for text in facts_problems(params.get("istiod") or {}):
        raise ClusterError(f"gateway_proxy_info: {text}", option="istiod")
    waits = bool(params.get("wait")) and not check
    with connect(params, progress) as cluster:
        reader = _Reader(cluster, params)
        with Watcher(cluster, reader.collections) as watcher:
            if waits:
                _wait(watcher, reader, params, progress)
            restarted = _restart(reader, watcher.view, check) if params.get("restart") == "if_needed" else []
            if waits and restarted:
                _wait(watcher, reader, params, progress)
            records = reader.records(watcher.view)
        facts = {
            "changed": bool(restarted),
            "proxies": records,
            "restarted": restarted,
            "requests": cluster.requests,
        }
        bad = [r for r in records if r["verdict"] != "ready"]
        if bad and not check and (params.get("wait") or params.get("expect")):
            late = f" within {params['wait_timeout']} s" if waits and bad[0]["verdict"] == "waiting" else ""
            text = "; ".join(f"Gateway {r['namespace']}/{r['gateway']} not ready{late}: {r['cause']}" for r in bad)
            raise ClusterError(f"{cluster.name}: {text}", cluster=cluster.name, **facts)
        return {"msg": _sentence(cluster.name, records, restarted, check), **facts}


def _wait(watcher: Watcher, reader: _Reader, params: dict[str, Any], progress: Callable[[str], None]) -> None:
    fresh = reader.fresh(watcher.view)
    watcher.until(
        reader.judge,
        float(params.get("wait_timeout") or 0),
        progress,
        settle=SETTLE if fresh else 0.0,
        failed_after=FAILED_AFTER if fresh else 0.0,
    )


def _restart(reader: _Reader, view: View, check: bool) -> list[Json]:
    """Restart the Deployments whose Pods would not read a new bootstrap otherwise; records with the reason."""
    rows = []
    stamp = datetime.fromtimestamp(reader.cluster.server_time or time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for model in reader.proxy_models(view):
        reason = proxy_restart.restart_reason(model)
        if not reason:
            continue
        patch = proxy_restart.restart_patch(model, stamp)
        # Force: kubectl may have set the same annotation. The dry run of check mode verifies the permission.
        reader.cluster.apply(patch, force=True, dry_run=check)
        reader.stamps[model.namespace, model.name] = stamp
        rows.append(
            {
                "namespace": model.namespace,
                "gateway": model.name,
                "deployment": patch["metadata"]["name"],
                "reason": reason,
            }
        )
    return rows


def _sentence(cluster: str, records: list[Json], restarted: list[Json], check: bool) -> str:
    if not records:
        return f"{cluster}: no Gateway exists"
    parts = [
        f"Gateway {r['namespace']}/{r['gateway']} "
        + (
            f"ready with {', '.join(r['containers'])} at {r['url']}"
            if r["verdict"] == "ready"
            else f"{r['verdict']}: {r['cause']}"
        )
        for r in records
    ]
    done = "would be restarted" if check else "restarted"
    parts += [f"Deployment {r['namespace']}/{r['deployment']} {done}: {r['reason']}" for r in restarted]
    return f"{cluster}: {'; '.join(parts)}"


class _Reader:
    """Turns the watched collections into models and verdicts."""

    def __init__(self, cluster: Cluster, params: dict[str, Any]) -> None:
        self.cluster = cluster
        self.namespace: str | None = params.get("namespace")
        self.gateway: str | None = params.get("gateway")
        self.stamps: dict[tuple[str, str], str] = {}  # our restarts, by Gateway
        expect = params.get("expect")
        self.want = Want(
            expect=tuple(expect) if expect else None,
            istiod=params.get("istiod") or None,
            parameters=params.get("parameters"),
        )
        here = self.namespace
        # all namespaces: a missing Gateway may exist elsewhere
        self.gateways = Collection(GATEWAY_API, "Gateway")
        self.classes = Collection(GATEWAY_API, "GatewayClass")
        # all namespaces: finds parameters in the wrong one
        self.parameters = {kind: Collection(kind.api_version, kind.kind) for kind in PARAMETER_KINDS}
        # all namespaces: proxies, controller and istiods
        self.deployments = Collection("apps/v1", "Deployment")
        self.services = Collection("v1", "Service")
        self.replica_sets = Collection("apps/v1", "ReplicaSet", here, GATEWAY_LABEL)
        self.pods = Collection("v1", "Pod", here, GATEWAY_LABEL)
        self.bootstraps = Collection("v1", "ConfigMap", here, GATEWAY_LABEL)
        self.root_certs = Collection("v1", "ConfigMap", here, name=ROOT_CERT)
        # of the istiods: the mesh ID is only in their mesh config
        self.meshes = Collection("v1", "ConfigMap", labels="istio.io/rev")
        self.namespaces = Collection("v1", "Namespace", name=here)
        self.collections = [
            self.gateways,
            self.classes,
            *self.parameters.values(),
            self.deployments,
            self.services,
            self.replica_sets,
            self.pods,
            self.bootstraps,
            self.root_certs,
            self.meshes,
            self.namespaces,
        ]

    def proxy_models(self, view: View) -> list[ProxyModel]:
        objects = Objects(
            gateways=view.items(self.gateways),
            classes=view.items(self.classes),
            parameters={k: view.items(c) if view.served(c) else None for k, c in self.parameters.items()},
            deployments=view.items(self.deployments),
            services=view.items(self.services),
            replica_sets=view.items(self.replica_sets),
            pods=view.items(self.pods),
            config_maps=[o for c in (self.bootstraps, self.root_certs, self.meshes) for o in view.items(c)],
            namespaces=view.items(self.namespaces),
        )
        return proxy_models(objects, self.want, self.namespace, self.gateway)

    def judge(self, view: View) -> Verdict:
        """One verdict on all Gateways."""
        verdicts = {model.title: self._judge(model) for model in self.proxy_models(view)}
        return together(verdicts) if verdicts else waiting("no Gateway exists")

    def _judge(self, model: ProxyModel) -> Verdict:
        stamp = self.stamps.get((model.namespace, model.name))
        if stamp and proxy_restart.restarted_at(model.deployment) != stamp:
            return waiting(f"{model.title}: its restart is not visible yet")
        return check_proxy(model)

    def records(self, view: View) -> list[Json]:
        models = self.proxy_models(view)
        return [record(self.cluster.name, each, self._with_log(each, check_proxy(each))) for each in models]

    def _with_log(self, model: ProxyModel, verdict: ProxyVerdict) -> ProxyVerdict:
        """The verdict with the log line that explains it, if no object does."""
        for pod, container, patterns in self._logs(model, verdict):
            try:
                text = self.cluster.logs(
                    pod["metadata"]["namespace"], pod["metadata"]["name"], container, log_causes.LINES
                )
            except ClusterError:  # not readable, or not created yet
                continue
            cause = log_causes.cause(text, patterns)
            if cause:
                return replace(verdict, reason=f"{verdict.reason}; log of {container}: {cause.line}. {cause.hint}")
        return verdict

    def _logs(
        self, model: ProxyModel, verdict: ProxyVerdict
    ) -> Iterator[tuple[Json, str, Sequence[log_causes.Pattern]]]:
        """(Pod, container, patterns) of the logs that may explain the verdict."""
        if verdict.check == "rollout":
            for pod in model.current_pods:
                if not (container_status(pod, "sds") or {"ready": True}).get("ready"):
                    yield pod, "istio-proxy", proxy_logs.CERTIFICATES
        if verdict.check == "deployment" and model.deployment is None and model.controller is not None:
            labels = spec_of(model.controller)["selector"]["matchLabels"]
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            for pod in self.cluster.list("v1", "Pod", model.controller["metadata"]["namespace"], selector):
                yield pod, str(controller_container(model.controller).get("name")), proxy_logs.CONTROLLER

    def fresh(self, view: View) -> bool:
        """Whether any relevant object was written recently, by the API server's clock."""
        objects = [o for c in (self.classes, *self.parameters.values()) for o in view.items(c)]
        objects += [*view.items(self.pods), *view.items(self.bootstraps)]
        for model in self.proxy_models(view):
            objects += [o for o in (model.gateway, model.deployment, model.controller, model.service) if o]
            planes = {(r["namespace"], r["name"]) for r in model.objects.istiods["istiods"]}
            objects += [
                d for d in model.objects.deployments if (d["metadata"]["namespace"], d["metadata"]["name"]) in planes
            ]
        now = self.cluster.server_time
        return now is None or now - max(map(_last_write, objects), default=0.0) < FRESH


def _last_write(obj: Json) -> float:
    written = [meta(obj).get("creationTimestamp"), *(f.get("time") for f in mappings(meta(obj).get("managedFields")))]
    return max((seconds(time) or 0.0 for time in written), default=0.0)
