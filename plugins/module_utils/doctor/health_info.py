# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module health_info: read all clusters side by side, walk, put the result together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from ..gateway import proxy_checks as proxy
from ..gateway.proxy_record import record
from ..k8s import redaction
from ..k8s.client import CLUSTERS_SPEC, Cluster
from ..k8s.errors import BadKubeconfig, ClusterError
from ..k8s.fields import Json, status_of
from ..k8s.progress import one_line
from ..mesh import virtual_destination as translation
from . import checks_gateway as health_gateway
from . import checks_istio as health_istio
from . import checks_mesh as health_mesh
from . import checks_routing as health_routing
from . import checks_traffic as health_traffic
from . import facts as health_facts
from . import runner as health
from . import table as health_table
from .facts import SERVER, Facts, World
from .probes import LiveProbes

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    "data": {"type": "dict"},
    "fail_on": {"type": "str", "choices": ["never", "failed", "warning"], "default": "never"},
    "show": {"type": "str", "choices": ["all", "wrong"], "default": "all"},
    "logs": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 15},
}

#: the whole chain, from the API servers to the last request
CHECKS: tuple[health.Check, ...] = (
    *health_mesh.CHECKS,
    *health_istio.CHECKS,
    *health_routing.CHECKS,
    *health_gateway.CHECKS,
    *health_traffic.CHECKS,
)
#: without these nothing can be said of a cluster
GROUND = ("reach", "distinct")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: health, msg, table, requests. Raises ClusterError with the first cause when `fail_on` asks for it.

    Requests are GETs, so check mode sends them too.
    """
    rows = _validate(params["clusters"])
    _validate_data(params.get("data") or {})
    begin = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(max_workers=max(1, len(rows))) as pool:
        clusters: dict[str, Cluster] = {}
        facts = list(pool.map(lambda row: _read(row, clusters, stack), rows))
        probes = LiveProbes(
            clusters, facts, logs=params.get("logs", True), timeout=int(params.get("timeout") or 15), progress=progress
        )
        world = World(facts, probes, params.get("data") or None)
        records = health.walk(CHECKS, world, world.management.name, GROUND)
        told = {
            **health.summary(records),
            "seconds": round(time.monotonic() - begin, 2),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "clusters": [_cluster(world, each) for each in facts],
            "destinations": _known(lambda: _destinations(world), []),
            "routes": _known(lambda: _routes(world), []),
            "answers": world.answers,
        }
        requests = sum(each.requests for each in clusters.values())
    result: dict[str, Any] = {
        "changed": False,
        "msg": health_table.sentence(told),
        "health": told,
        "table": [line.text for line in health_table.lines(told, show=params.get("show") or "all")],
        "requests": requests,
    }
    bad = {"never": (), "failed": ("failed",), "warning": ("failed", "warning")}[params.get("fail_on") or "never"]
    if told["verdict"] in bad:
        raise ClusterError(result.pop("msg"), **result)
    return result


def _validate(rows: Sequence[Json]) -> list[Json]:
    names = [row["name"] for row in rows]
    managements = [row["name"] for row in rows if row["role"] == "management"]
    if len(managements) != 1:
        raise ClusterError(
            f"health_info: 'clusters' needs exactly one of role management, it has {len(managements)}",
            option="clusters",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ClusterError(f"health_info: 'clusters' names {', '.join(twice)} more than once", option="clusters")
    return list(rows)


#: what a list of `data` has to say of each of its entries
_NEEDED = {
    "virtual_destinations": ("name", "namespace"),
    "route_tables": ("name", "namespace"),
    "http_routes": ("name", "namespace"),
    "proofs": ("name", "path", "answered_by"),
}


def _validate_data(data: Json) -> None:
    for key, needed in _NEEDED.items():
        for entry in data.get(key) or ():
            lacking = [name for name in needed if not entry.get(name)]
            if lacking:
                named = f"an entry of {key!r} in 'data' has no {', '.join(lacking)}: {entry.get('name') or entry}"
                raise ClusterError(f"health_info: {named}", option="data")


def _read(row: Json, clusters: dict[str, Cluster], stack: ExitStack) -> Facts:
    try:
        cluster = Cluster(row["kubeconfig"], row["context"], row["name"], patience=5.0)
    except BadKubeconfig as exc:
        return Facts(row["name"], row["role"], bool(row.get("gateway")), unreachable=exc.msg)
    stack.callback(cluster.close)
    clusters[row["name"]] = cluster
    return health_facts.read(cluster, row["role"], bool(row.get("gateway")))


# -- the picture of the clusters, as far as it could be read -----------------------------------------------------------


def _cluster(world: World, facts: Facts) -> Json:
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
        record["relay_address"] = _known(lambda: health_mesh.outside_address(facts, SERVER, "grpc")[0], "")
        record["telemetry_address"] = _known(
            lambda: health_mesh.outside_address(facts, health_mesh.TELEMETRY, "otlp")[0], ""
        )
        return record
    record["istiod"] = {"cluster": facts.name, **facts.istiod} if facts.istiod else None
    record["east_west"] = _known(lambda: health_istio.east_west_addresses(world, facts), [])
    connected = _known(lambda: world.is_connected(health_mesh.own_name(facts)))
    record["agent"] = "unknown" if connected is None else "connected" if connected else "disconnected"
    if facts.gateway:
        record["gateways"] = _known(lambda: _gateways(world, facts), [])
    return record


def _gateways(world: World, facts: Facts) -> list[Json]:
    situations = [health_gateway.situation(world, facts, *found) for found in health_gateway.gateways_of(world, facts)]
    return [_redacted(record(facts.name, found, proxy.check_proxy(found))) for found in situations]


def _redacted(row: Json) -> Json:
    """What the record quotes of conditions and messages without secrets, each on one line."""
    shown = [one_line(redaction.text(each)) for each in (row["cause"] or "", *row["problems"])]
    return {**row, "cause": shown[0], "problems": shown[1:]}


def _destinations(world: World) -> list[Json]:
    records = []
    for destination in health_routing.destinations(world):
        found = _known(partial(world.management.find, "VirtualDestination", destination.name, destination.namespace))
        for target in destination.targets():
            records.append(
                {
                    "host": target.host,
                    "port": target.port,
                    "namespace": destination.namespace,
                    "name": destination.name,
                    "state": _state(found),
                    "instances": [
                        row for facts in world.workloads for row in _known(partial(_instances, facts, target), [])
                    ],
                }
            )
    return records


def _state(obj: Json | None) -> str:
    """The approval of a Gloo object, "missing" or "unknown"."""
    if obj is None:
        return "missing"
    return str(((status_of(obj).get("common") or {}).get("State") or {}).get("approval") or "unknown")


def _instances(facts: Facts, target: translation.Target) -> list[Json]:
    objects = health_routing.objects_of(facts)
    entry, _problems = translation.find_entry(objects, target)
    rows = translation.local_endpoints(entry, objects.pods) if entry else []
    return [
        {"cluster": facts.name, "pod": row["pod"], "workload": row["workload"], "ready": row["ready"]} for row in rows
    ]


def _routes(world: World) -> list[Json]:
    return [
        {
            "cluster": facts.name,
            "namespace": route.namespace,
            "name": route.name,
            "gateway": ", ".join("/".join(parent) for parent in route.parents()),
            "hostnames": list(route.spec.get("hostnames") or ()),
            "backends": [f"{ref.get('name')}:{ref.get('port')}" for ref in route.backends()],
        }
        for facts in world.gateways
        for route in health_gateway.routes_of(world, facts)
    ]


def _known(read: Callable[[], Any], otherwise: Any = None) -> Any:
    try:
        return read()
    except Exception:
        # Unread, or an object we cannot deal with: no reason to tell nothing of the checks, which say so themselves.
        return otherwise
