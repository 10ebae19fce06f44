# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module health_info: reads all clusters in parallel, runs the checks, returns the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from ..gateway import proxy_checks
from ..gateway.proxy_record import record
from ..k8s import redaction
from ..k8s.client import CLUSTERS_SPEC, Cluster
from ..k8s.errors import BadKubeconfig, ClusterError
from ..k8s.fields import Json, dig, key_of, listed, name_of, spec_of, status_of
from ..k8s.printable import one_line
from ..mesh import virtual_destination
from ..traffic import routes as http_routes
from . import (
    checks_gateway,
    checks_istio,
    checks_mesh,
    checks_routing,
    checks_traffic,
    checks_workspaces,
    east_west,
    runner,
    table,
)
from .facts import Facts, SiteFacts, read_facts
from .probes import LiveProbes

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    "data": {"type": "dict"},
    "fail_on": {"type": "str", "choices": ["never", "failed", "warning"], "default": "never"},
    "show": {"type": "str", "choices": ["all", "problems"], "default": "all"},
    "logs": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 15},
}

#: all checks in order, from the API servers to requests through the gateway
CHECKS: tuple[runner.Check, ...] = (
    *checks_mesh.CHECKS,
    *checks_workspaces.CHECKS,
    *checks_istio.CHECKS,
    *checks_routing.CHECKS,
    *checks_gateway.CHECKS,
    *checks_traffic.CHECKS,
)
#: every check of a cluster depends on these
PREREQUISITES = ("reach", "distinct")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: health, msg, table, requests. Raises ClusterError with the first problem according to `fail_on`.

    Requests are GETs, so they are also sent in check mode.
    """
    rows = _validate(params["clusters"])
    _validate_data(params.get("data") or {})
    begin = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(max_workers=max(1, len(rows))) as pool:
        clusters: dict[str, Cluster] = {}
        members = [row["name"] for row in rows if row["role"] != "management"]
        facts = list(pool.map(lambda row: _read(row, members, clusters, stack), rows))
        probes = LiveProbes(
            clusters, facts, logs=params.get("logs", True), timeout=int(params.get("timeout") or 15), progress=progress
        )
        site = SiteFacts(facts, probes, params.get("data") or None)
        records = runner.run_checks(CHECKS, site, site.management.name, PREREQUISITES)
        health = {
            **runner.summary(records),
            "seconds": round(time.monotonic() - begin, 2),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "clusters": [_cluster(site, each) for each in facts],
            "destinations": _known(lambda: _destinations(site), []),
            "routes": _known(lambda: _routes(site), []),
            "answers": site.answers,
        }
        requests = sum(each.requests for each in clusters.values())
    result: dict[str, Any] = {
        "changed": False,
        "msg": table.sentence(health),
        "health": health,
        "table": [line.text for line in table.lines(health, show=params.get("show") or "all")],
        "requests": requests,
    }
    failing = {"never": (), "failed": ("failed",), "warning": ("failed", "warning")}[params.get("fail_on") or "never"]
    if health["verdict"] in failing:
        raise ClusterError(result.pop("msg"), **result)
    return result


def _validate(rows: Sequence[Json]) -> list[Json]:
    names = [row["name"] for row in rows]
    managements = [row["name"] for row in rows if row["role"] == "management"]
    if len(managements) != 1:
        raise ClusterError(
            f"health_info: 'clusters' has {len(managements)} entries of role management. Give exactly one",
            option="clusters",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ClusterError(
            f"health_info: 'clusters' has several entries named {', '.join(twice)}. Give each a unique name",
            option="clusters",
        )
    return list(rows)


#: keys that every entry of a list of `data` must have
_REQUIRED = {
    "virtual_destinations": ("name", "namespace"),
    "route_tables": ("name", "namespace"),
    "http_routes": ("name", "namespace"),
    "proofs": ("name", "path", "answered_by"),
}


def _validate_data(data: Json) -> None:
    for key, needed in _REQUIRED.items():
        for entry in data.get(key) or ():
            lacking = [name for name in needed if not entry.get(name)]
            if lacking:
                text = f"an entry of {key!r} in 'data' has no {', '.join(lacking)}: {entry.get('name') or entry}"
                raise ClusterError(f"health_info: {text}. Add it", option="data")


def _read(row: Json, members: Sequence[str], clusters: dict[str, Cluster], stack: ExitStack) -> Facts:
    try:
        cluster = Cluster(row["kubeconfig"], row["context"], row["name"], patience=5.0)
    except BadKubeconfig as exc:
        return Facts(row["name"], row["role"], bool(row.get("gateway")), unreachable=exc.msg)
    stack.callback(cluster.close)
    clusters[row["name"]] = cluster
    return read_facts(cluster, row["role"], bool(row.get("gateway")), members)


# -- records of clusters for the report -----------------------------------------------------------------------------


def _cluster(site: SiteFacts, facts: Facts) -> Json:
    """The record of one cluster."""
    management = facts.role == "management"
    record: Json = {
        "cluster": facts.name,
        "role": facts.role,
        "gateway": facts.gateway,
        "server": facts.server,
        "version": facts.version,
        "uid": facts.uid,
        "relay_address": "",
        "telemetry_address": "",
        "istiod": None,
        "east_west": [],
        "agent": None,
        "gateways": [],
    }
    if facts.unreachable:
        return record
    if management:
        record["relay_address"] = _known(lambda: checks_mesh.relay_addresses(facts)[0][0], "")
        record["telemetry_address"] = _known(lambda: checks_mesh.telemetry_addresses(facts)[0][0], "")
        return record
    record["istiod"] = {"cluster": facts.name, **facts.istiod} if facts.istiod else None
    record["east_west"] = _known(lambda: east_west.addresses_in(site, facts), [])
    connected = _known(lambda: site.is_connected(checks_mesh.registered_name(facts)))
    record["agent"] = "unknown" if connected is None else "connected" if connected else "disconnected"
    if facts.gateway:
        record["gateways"] = _known(lambda: _gateways(site, facts), [])
    return record


def _gateways(site: SiteFacts, facts: Facts) -> list[Json]:
    models = [checks_gateway.proxy_model(site, facts, *found) for found in checks_gateway.gateways_of(site, facts)]
    return [_redacted(record(facts.name, found, proxy_checks.check_proxy(found))) for found in models]


def _redacted(row: Json) -> Json:
    """The record; conditions and messages in it are redacted, each on one line."""
    shown = [one_line(redaction.text(each)) for each in (row["cause"] or "", *row["problems"])]
    return {**row, "cause": shown[0], "problems": shown[1:]}


def _destinations(site: SiteFacts) -> list[Json]:
    records = []
    for destination in checks_routing.destinations(site):
        found = _known(partial(site.management.find, "VirtualDestination", destination.name, destination.namespace))
        for host_port in destination.host_ports():
            records.append(
                {
                    "host": host_port.host,
                    "port": host_port.port,
                    "namespace": destination.namespace,
                    "name": destination.name,
                    "state": _state(found),
                    "instances": [
                        row for facts in site.workloads for row in _known(partial(_instances, facts, host_port), [])
                    ],
                }
            )
    return records


def _state(obj: Json | None) -> str:
    """The approval of a Gloo object, "missing" or "unknown"."""
    if obj is None:
        return "missing"
    return str(dig(status_of(obj), "common", "State", "approval") or "unknown")


def _instances(facts: Facts, host_port: virtual_destination.Target) -> list[Json]:
    objects = checks_routing.objects_of(facts)
    entry, _problems = virtual_destination.find_entry(objects, host_port)
    rows = virtual_destination.local_endpoints(entry, objects.pods) if entry else []
    return [
        {"cluster": facts.name, "pod": row["pod"], "workload": row["workload"], "ready": row["ready"]} for row in rows
    ]


def _routes(site: SiteFacts) -> list[Json]:
    return [
        {
            "cluster": facts.name,
            "namespace": key_of(route)[0],
            "name": name_of(route),
            "gateway": ", ".join("/".join(parent.key) for parent in http_routes.parents(route)),
            "hostnames": list(map(str, listed(spec_of(route).get("hostnames")))),
            "backends": [f"{ref.get('name')}:{ref.get('port')}" for ref in http_routes.backend_refs(route)],
        }
        for facts in site.gateways
        for route in checks_gateway.routes_of(site, facts)
    ]


def _known(read: Callable[[], Any], otherwise: Any = None) -> Any:
    try:
        return read()
    except Exception:
        # Not readable, or an unexpected object: the checks report it; the rest of the result is still useful.
        return otherwise
