# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module objects_info: read objects with their readiness, or wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import Invalid, Timeout
from ..k8s.fields import Json
from ..k8s.progress import blocked, lines
from ..k8s.readiness import judge, load_balancer_address, settle_seconds
from ..k8s.redaction import redact
from ..k8s.transport import GRACE
from ..k8s.verdict import Verdict, together, waiting
from ..k8s.watch import Collection, View, Watcher
from .manifests import ref_of
from .wait import awaiting_deletion, blockers, judge_with_pods, pods_of, settled

_QUERY_SPEC: dict[str, Any] = {
    "api_version": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "name": {"type": "str"},
    "label_selector": {"type": "str"},
    "where": {"type": "dict"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "objects": {"type": "list", "elements": "dict", "required": True, "options": _QUERY_SPEC},
    "wait_for": {"type": "str", "choices": ["none", "present", "ready", "absent"], "default": "none"},
    "wait_timeout": {"type": "int", "default": 300},
}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: objects [record], msg, requests. With wait_for, raises Timeout with what blocks."""
    name = params.get("cluster") or params["context"]
    if not params["objects"]:
        raise Invalid(f"{name}: objects is empty. Give at least one kind to read", cluster=name)
    queries = [_collection(row) for row in params["objects"]]
    wanted = params.get("wait_for") or "none"
    timeout = float(params.get("wait_timeout") or 0)
    within = timeout + GRACE if wanted != "none" else float("inf")
    with connect(params, progress) as cluster, cluster.within(within), Watcher(cluster, queries) as watcher:
        verdict = Verdict("ready")
        if wanted != "none":

            def look(view: View) -> Verdict:
                return _judge(wanted, view, queries)

            settle = _settle(cluster, watcher.view, queries) if wanted == "ready" else 0.0
            if wanted == "ready":
                watcher.add(pods_of(obj for obj in _found(watcher.view, queries) if not judge(obj).ready))
            verdict = watcher.until(look, timeout, progress, settle)
        found = _found(watcher.view, queries)
        records = [_record(cluster, obj) for obj in found]
        if not verdict.ready:
            text = _late(cluster, wanted, verdict, found, watcher.waited)
            raise Timeout(text, cluster=cluster.name, objects=records)
        return {
            "changed": False,
            "msg": f"{cluster.name}: {len(records)} object{'' if len(records) == 1 else 's'} found",
            "objects": records,
            "requests": cluster.requests,
        }


def _collection(row: dict[str, Any]) -> Collection:
    return Collection(
        row["api_version"],
        row["kind"],
        row.get("namespace") or None,
        row.get("label_selector") or None,
        row.get("name") or None,
        tuple((path, _texts(value)) for path, value in sorted((row.get("where") or {}).items())),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in (value if isinstance(value, list) else [value]))


def _settle(cluster: Cluster, view: View, queries: list[Collection]) -> float:
    """Seconds for which a ready verdict must be stable: 0 when no status has changed recently."""
    objects = [obj for query in queries for obj in view.items(query)]
    if objects and all(view.items(query) for query in queries) and all(settled(cluster, obj) for obj in objects):
        return 0.0
    return max(settle_seconds({"apiVersion": query.api_version, "kind": query.kind}) for query in queries)


def _title(query: Collection) -> str:
    place = f"{query.namespace}/" if query.namespace else ""
    if query.name:
        return f"{query.kind} {place}{query.name}"
    title = query.kind + (f" in {query.namespace}" if query.namespace else "")
    title += f" with labels {query.labels}" if query.labels else ""
    return title + "".join(f" with {path} {' or '.join(texts)}" for path, texts in query.where)


def _judge(wanted: str, view: View, queries: list[Collection]) -> Verdict:
    """Ready when every query has the wanted result."""
    verdicts: dict[str, Verdict] = {}
    for query in queries:
        items = view.items(query)
        if wanted == "absent":
            for obj in items:
                verdicts[ref_of(obj).title] = awaiting_deletion(obj)
        elif not items:
            served = "" if view.served(query) else f"; the API server does not serve {query.api_version} {query.kind}"
            verdicts[_title(query)] = waiting(f"does not exist{served}")
        elif wanted == "ready":
            verdicts |= {ref_of(obj).title: judge_with_pods(obj, view) for obj in items}
    return together(verdicts)


def _found(view: View, queries: list[Collection]) -> list[Json]:
    """Every object once, in the order of the queries."""
    found = {ref_of(obj): obj for query in queries for obj in view.items(query)}
    return list(found.values())


def _late(cluster: Cluster, wanted: str, verdict: Verdict, found: list[Json], seconds: float) -> str:
    blocking = [obj for obj in found if not judge(obj).ready] if wanted == "ready" else []
    warnings = [f"{ref_of(obj).title}: {text}" for obj in blocking[:3] if (text := blockers(cluster, ref_of(obj)))]
    entries = lines(cluster.name, blocked(verdict), seconds)
    return "\n".join([*entries, *(f"{cluster.name}: {text}" for text in warnings)])


def _record(cluster: Cluster, obj: Json) -> Json:
    ref = ref_of(obj)
    verdict = judge(obj)
    shown = redact(obj, config_maps=True)
    shown["metadata"].pop("managedFields", None)
    return {
        "cluster": cluster.name,
        "api_version": ref.api_version,
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "generation": obj["metadata"].get("generation", 0),
        "ready": verdict.state,
        "reason": verdict.reason,
        "address": _address(obj),
        "ports": _ports(obj),
        "object": shown,
    }


def _address(obj: Json) -> str:
    """The first external address of a LoadBalancer Service or a Gateway."""
    if obj.get("kind") == "Service":
        return load_balancer_address(obj)
    if obj.get("kind") == "Gateway":
        for address in (obj.get("status") or {}).get("addresses") or ():
            if address.get("value"):
                return str(address["value"])
    return ""


def _ports(obj: Json) -> list[Json]:
    spec = obj.get("spec") or {}
    if obj.get("kind") == "Service":
        return [{"name": port.get("name", ""), "port": port.get("port")} for port in spec.get("ports") or ()]
    if obj.get("kind") == "Gateway":
        return [{"name": port.get("name", ""), "port": port.get("port")} for port in spec.get("listeners") or ()]
    return []
