# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contents of a report from the ``health`` of health_info, the same for every format (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..k8s.printable import each_text, printable

Record = Mapping[str, Any]

TIMES = "\u00d7"

# Worst first. A cluster with only skipped checks is not known to be healthy.
VERDICTS = ("failed", "warning", "ok", "skipped")
GATEWAY_VERDICTS = {"ready": "ok", "waiting": "warning", "failed": "failed"}
# States of Gloo's objects; in every other state the object has no effect.
STATE_VERDICTS = {"ACCEPTED": "ok", "WARNING": "warning", "PENDING": "warning", "unknown": "skipped"}

_USER_IN_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#]*@")


def shown(value: Any) -> Any:
    """*value* as a report shows it: printable texts, URLs without user and password."""
    return each_text(value, lambda text: _USER_IN_URL.sub(r"\1", printable(text)))


def view(health: Record, docs_url: str = "") -> dict[str, Any]:
    """The data of all formats.

    ``{verdict, headline, summary, time, seconds, counts, first, clusters, destinations, routes, proofs}``. A cluster is
    ``{cluster, role, verdict, agent, counts, checks, facts: [{term, value}], gateways}``, in the order of *health*;
    clusters that occur only in checks are last. A check has a ``link``: its ``doc`` below *docs_url*, else empty.
    """
    data = shown(health)
    checks = [{**each, "link": _link(docs_url, each)} for each in data.get("checks") or ()]
    clusters = _clusters(data.get("clusters") or (), checks)
    first = data.get("first")
    checked = f"{_number(len(checks), 'check')} in {_number(len(clusters), 'cluster')}"
    return {
        "verdict": data["verdict"],
        "headline": _headline(data["verdict"], first, _counts(checks)),
        "summary": f"{checked}, took {data['seconds']:.1f} s",
        "time": data["time"],
        "seconds": data["seconds"],
        "counts": _counts(checks),
        "first": {**first, "link": _link(docs_url, first)} if first else None,
        "clusters": clusters,
        "destinations": [_destination(each) for each in data.get("destinations") or ()],
        "routes": list(data.get("routes") or ()),
        "proofs": [_proof(each) for each in data.get("answers") or ()],
    }


def _headline(verdict: str, first: Record | None, counts: Mapping[str, int]) -> str:
    if not any(counts.values()):
        return "No checks were run"
    if verdict == "failed":
        return f"Unhealthy: first failure in {first['cluster']}" if first and first["cluster"] else "Unhealthy"
    if verdict == "warning":
        return "Healthy with warnings"
    if not counts["skipped"]:
        return "Healthy"
    return f"Healthy ({_number(counts['skipped'], 'check')} could not be evaluated)"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _link(docs_url: str, check: Record) -> str:
    return f"{docs_url.rstrip('/')}/{check['doc']}" if docs_url and check.get("doc") else ""


def _counts(checks: Iterable[Record]) -> dict[str, int]:
    verdicts = [each["verdict"] for each in checks]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def _worst(checks: Iterable[Record]) -> str:
    found = {each["verdict"] for each in checks}
    return next((verdict for verdict in VERDICTS if verdict in found), "skipped")


def _clusters(records: Iterable[Record], checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {each["cluster"]: each for each in records}
    result = []
    for name in dict.fromkeys([*known, *(each["cluster"] for each in checks)]):
        record = known.get(name) or {}
        mine = [each for each in checks if each["cluster"] == name]
        result.append(
            {
                "cluster": name,
                "role": record.get("role") or "",
                "verdict": _worst(mine),
                "agent": record.get("agent") or "",
                "counts": _counts(mine),
                "checks": mine,
                "facts": _facts(record),
                "gateways": [_gateway(each) for each in record.get("gateways") or ()],
            }
        )
    return result


def _facts(cluster: Record) -> list[dict[str, str]]:
    """Facts of a cluster; unknown ones are left out."""
    istiod = cluster.get("istiod") or {}
    return _known(
        {
            "Kubernetes": cluster.get("version"),
            "API server": cluster.get("server"),
            "relay": cluster.get("relay_address"),
            "telemetry": cluster.get("telemetry_address"),
            "agent": cluster.get("agent"),
            "istiod": f"{istiod.get('version') or ''}{' (not ready)' if istiod.get('ready') is False else ''}".strip(),
            "istiod address": istiod.get("address"),
            "revision": ", ".join(filter(None, (istiod.get("revision"), *(istiod.get("tags") or ())))),
            "cluster ID": istiod.get("cluster_id"),
            "trust domain": istiod.get("trust_domain"),
            "mesh ID": istiod.get("mesh_id"),
            "network": istiod.get("network"),
            "east-west gateway": ", ".join(cluster.get("east_west") or ()),
            "UID": cluster.get("uid"),
        }
    )


def _gateway(record: Record) -> dict[str, Any]:
    controller = record.get("controller") or {}
    observed, written = record.get("observed_generation"), record.get("generation")
    return {
        "name": f"{record['namespace']}/{record['gateway']}",
        "cluster": record["cluster"],
        "verdict": GATEWAY_VERDICTS.get(record.get("verdict") or "", "skipped"),
        "state": record.get("verdict") or "unknown",
        "url": record.get("url") or "",
        "containers": list(record.get("containers") or ()),
        "problems": [each for each in (record.get("cause"), *(record.get("problems") or ())) if each],
        "facts": _known(
            {
                "address": record.get("url") or ", ".join(record.get("addresses") or ()),
                "Service type": record.get("service_type"),
                "GatewayClass": record.get("gateway_class"),
                "parameters": record.get("parameters"),
                "generation": f"{written} (observed: {observed})" if observed != written else None,
                "controller": "/".join(filter(None, (controller.get("namespace"), controller.get("name")))),
                "auto mTLS": _switch(controller.get("auto_mtls")),
                "Istio integration": _switch(controller.get("integration")),
                **(record.get("env") or {}),
            }
        ),
        "pods": list(record.get("pods") or ()),
    }


def _switch(on: bool | None) -> str:
    return "" if on is None else "on" if on else "off"


def _known(facts: Mapping[str, str | None]) -> list[dict[str, str]]:
    return [{"term": term, "value": value} for term, value in facts.items() if value]


def _destination(record: Record) -> dict[str, Any]:
    return {
        "title": f"{record['host']}:{record['port']}",
        "object": f"VirtualDestination {record['namespace']}/{record['name']}",
        "state": record.get("state") or "unknown",
        "verdict": STATE_VERDICTS.get(record.get("state") or "unknown", "failed"),
        "instances": list(record.get("instances") or ()),
    }


def _proof(record: Record) -> dict[str, Any]:
    sent = record.get("sent") or 0
    answers = sorted(record.get("answers") or (), key=lambda each: (each["cluster"] or "", each["instance"]))
    return {
        "proof": record["proof"],
        "cluster": record["cluster"],
        "path": record["path"],
        "url": record.get("url") or "",
        "sent": sent,
        "answers": [{**each, "percent": _percent(each["count"], sent)} for each in answers],
        "failures": [{**each, "percent": _percent(each["count"], sent)} for each in record.get("failures") or ()],
    }


def _percent(count: int, sent: int) -> int:
    return min(100, round(100 * count / sent)) if sent else 0
