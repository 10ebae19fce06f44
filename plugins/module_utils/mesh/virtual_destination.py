# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Istio objects translated from a VirtualDestination in a workload cluster, and their problems (pure).

Gloo Mesh writes a ServiceEntry and, for each remote gateway, a WorkloadEntry. Their names are generated, so they are
found by labels and hosts. kgateway handles them differently from Istio without reporting it: it ignores the port of a
Hostname backendRef, and it selects WorkloadEntries by metadata labels. These differences are checked here.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..k8s.fields import (
    Json,
    dig,
    full_name,
    labels_of,
    listed,
    mapping,
    mappings,
    meta,
    name_of,
    namespace_of,
    number,
    selects,
    spec_of,
    status_of,
    texts,
)
from ..k8s.pods import is_ready, owner_of
from ..k8s.verdict import Verdict, failed, ready, waiting

PARENT = "gloo.solo.io/parent_"
TLS_MODE = "security.istio.io/tlsMode"
HOSTNAME_GROUP = "networking.istio.io"


@dataclass(frozen=True)
class Target:
    """A destination: host and port as clients use them, name and namespace of the VirtualDestination."""

    host: str | None = None
    port: int | None = None
    name: str | None = None
    namespace: str | None = None

    @property
    def title(self) -> str:
        parts = [f"host {self.host}{f':{self.port}' if self.port else ''}"] if self.host else []
        if self.name:
            parts.append(f"VirtualDestination {self.namespace + '/' if self.namespace else ''}{self.name}")
        return " of ".join(parts)


def targets_of(definition: Json) -> list[Target]:
    """Every host with every port of a VirtualDestination ({name, namespace, spec})."""
    spec = spec_of(definition)
    return [
        Target(str(host), number(port.get("number")), definition["name"], definition["namespace"])
        for host in listed(spec.get("hosts"))
        for port in mappings(spec.get("ports"))
    ]


@dataclass(frozen=True)
class RoutingObjects:
    """The lists of one cluster; http_routes is empty where Gateway API is not installed."""

    service_entries: Sequence[Json]
    workload_entries: Sequence[Json]
    pods: Sequence[Json]
    http_routes: Sequence[Json] = ()
    destination_rules: Sequence[Json] = ()


@dataclass(frozen=True)
class Problem:
    """A problem with its remedy. A ``passing`` one may disappear while translation is in progress.

    ``gateways``: it concerns gateways alone; sidecars use the destination all the same.
    """

    text: str
    passing: bool = False
    gateways: bool = False


#: what to do until gateways can use endpoints with host names
_BY_SIDECAR = "Until then, route to a Service whose Pods have a sidecar and call this host: sidecars resolve names"


# -- small readers ---------------------------------------------------------------------------------------------------


def _selector(entry: Json) -> dict[str, str]:
    return texts(dig(spec_of(entry), "workloadSelector", "labels"))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_translated_from(obj: Json, target: Target) -> bool:
    """Whether the object was translated from the target's VirtualDestination, by Gloo's labels."""
    labels = labels_of(obj)
    return (
        target.name is not None
        and labels.get(f"{PARENT}name") == target.name
        and labels.get(f"{PARENT}kind", "VirtualDestination") == "VirtualDestination"
        and (target.namespace is None or labels.get(f"{PARENT}namespace", target.namespace) == target.namespace)
    )


def is_translated(obj: Json) -> bool:
    """Whether Gloo Mesh wrote the object, by its labels."""
    return f"{PARENT}name" in labels_of(obj) or labels_of(obj).get("owner.gloo.solo.io/name") == "gloo-mesh"


# -- the VirtualDestination -------------------------------------------------------------------------------------------


def idle_reason(destination: Json) -> str:
    """Why a VirtualDestination has no backends although it may be ACCEPTED; "" when it has some."""
    status = status_of(destination)
    if "ownedByWorkspace" in status and not status["ownedByWorkspace"]:
        return "is in no workspace: no Workspace selects its namespace"
    if not status.get("numSelectedBackingServices"):
        selectors = "; ".join(str(part) for part in listed(spec_of(destination).get("services"))) or "none"
        return (
            f"selects no Service in any cluster. Compare its service selectors with the labels of Services: {selectors}"
        )
    return ""


# -- the ServiceEntry ------------------------------------------------------------------------------------------------


def find_entry(objects: RoutingObjects, target: Target) -> tuple[Json | None, list[Problem]]:
    """The ServiceEntry that a gateway uses for the target, and problems of that choice."""
    entries = sorted(objects.service_entries, key=lambda e: (str(meta(e).get("creationTimestamp") or ""), full_name(e)))
    ours = [e for e in entries if is_translated_from(e, target)]
    if target.host:
        having = [e for e in entries if target.host in _hosts(e)]
    else:
        having = ours
    if not having:
        return None, [_nothing(objects, target, ours)]
    chosen, problems = having[0], []
    if len(having) > 1 and len({_port_numbers(e) for e in having}) < len(having):
        others = ", ".join(full_name(e) for e in having[1:])
        problems.append(
            Problem(
                f"several ServiceEntries have host {target.host}: the oldest, {full_name(chosen)}, is used, "
                f"not {others}"
            )
        )
    if target.name and target.host and chosen not in ours:
        problems.append(
            Problem(
                f"ServiceEntry {full_name(chosen)} has host {target.host} but was not translated from "
                f"{target.title.split(' of ')[-1]}: "
                "if nothing else uses it, delete it; otherwise use another host",
                passing=bool(ours),
            )
        )
    return chosen, problems


def _hosts(entry: Json | None) -> list[str]:
    return list(map(str, listed(spec_of(entry).get("hosts"))))


def _ports(entry: Json | None) -> list[Json]:
    return mappings(spec_of(entry).get("ports"))


def _port_numbers(entry: Json) -> tuple[int, ...]:
    return tuple(sorted(number(port.get("number")) for port in _ports(entry)))


def _nothing(objects: RoutingObjects, target: Target, ours: list[Json]) -> Problem:
    """Why there is no ServiceEntry, if known."""
    if ours:
        hosts = sorted({host for e in ours for host in _hosts(e)})
        return Problem(
            f"ServiceEntry {full_name(ours[0])} was translated from it but has hosts {', '.join(hosts)}", passing=True
        )
    known = sorted({host for e in objects.service_entries for host in _hosts(e)})
    close = difflib.get_close_matches(target.host or "", known, n=1, cutoff=0.85)
    if close:
        return Problem(f"no ServiceEntry has that host, but one has {close[0]}. Compare the spelling", passing=True)
    others = [e for e in objects.service_entries if is_translated(e)]
    if others:
        text = f"no ServiceEntry has that host, but Gloo Mesh has translated others into this cluster ({len(others)})"
        hint = (
            "Check that the VirtualDestination is ACCEPTED, a Workspace selects its namespace and it selects a Service"
        )
    else:
        text = "no ServiceEntry has that host, and Gloo Mesh has translated nothing into this cluster"
        hint = "Check that the agent is connected, the VirtualDestination ACCEPTED and its namespace in a workspace"
    return Problem(f"{text}. {hint}", passing=True)


def entry_problems(entry: Json, target: Target) -> list[Problem]:
    """What prevents a gateway from using the ServiceEntry for the target."""
    spec, where = spec_of(entry), f"ServiceEntry {full_name(entry)}"
    found = []
    numbers = _port_numbers(entry)
    if target.port and target.port not in numbers:
        ports = ", ".join(str(n) for n in numbers) or "none"
        found.append(Problem(f"{where} has no port {target.port} (ports: {ports})"))
    resolution = str(spec.get("resolution") or "NONE")
    if resolution == "NONE":
        found.append(Problem(f"{where} has resolution NONE: gateways ignore it"))
    elif resolution.startswith("DNS") and not spec.get("endpoints"):
        found.append(
            Problem(
                f"{where} has resolution {resolution} and no inline endpoints: a gateway resolves the host by DNS, "
                "which has no record for it. Give the east-west gateways IP addresses instead of host names, or set "
                f"hostInfoOverrides in WorkspaceSettings. {_BY_SIDECAR}",
                gateways=True,
            )
        )
    if spec.get("location") != "MESH_INTERNAL":
        found.append(Problem(f"{where} has location {spec.get('location')}: gateways connect to it without mTLS"))
    return found


# -- endpoints -------------------------------------------------------------------------------------------------------


def local_endpoints(entry: Json, pods: Iterable[Json]) -> list[Json]:
    """Pods of the ServiceEntry's namespace that it selects."""
    selector, namespace = _selector(entry), namespace_of(entry)
    rows = [
        {
            "pod": name_of(p),
            "ip": str(status_of(p).get("podIP") or ""),
            "ready": is_ready(p),
            "workload": owner_of(p)[1],
            "version": labels_of(p).get("version", ""),
        }
        for p in pods
        if namespace_of(p) == namespace and selects(selector, labels_of(p))
    ]
    return sorted(rows, key=lambda r: (r["workload"], r["pod"]))


def remote_endpoints(entry: Json, entries: Iterable[Json], target: Target) -> tuple[list[Json], list[Problem]]:
    """WorkloadEntries that the ServiceEntry selects by metadata labels, its inline endpoints, and their problems."""
    rows: list[Json] = []
    problems: list[Problem] = []
    selector, namespace = _selector(entry), namespace_of(entry)
    ports = [p for p in _ports(entry) if not target.port or p.get("number") == target.port]
    here = [w for w in entries if namespace_of(w) == namespace]
    for workload in sorted(here, key=full_name):
        spec, where = spec_of(workload), f"WorkloadEntry {full_name(workload)}"
        if not selects(selector, labels_of(workload)):
            if is_translated_from(workload, target) or selects(selector, texts(spec.get("labels"))):
                wanted = ",".join(f"{k}={v}" for k, v in sorted(selector.items()))
                problems.append(
                    Problem(
                        f"{where} lacks the labels {wanted} in its metadata: gateways ignore it, all responses "
                        "are local"
                    )
                )
            continue
        rows.append(_remote(name_of(workload), spec, {**texts(spec.get("labels")), **labels_of(workload)}, ports))
        problems += _remote_problems(where, spec, rows[-1], ports)
    for place, endpoint in enumerate(mappings(spec_of(entry).get("endpoints"))):
        name = f"{meta(entry).get('name')}[{place}]"
        rows.append(_remote(name, endpoint, texts(endpoint.get("labels")), ports))
        if spec_of(entry).get("resolution") == "STATIC":
            problems += _remote_problems(
                f"endpoint {place} of ServiceEntry {full_name(entry)}", endpoint, rows[-1], ports
            )
    return rows, problems


def _remote(name: str, spec: Json, labels: Mapping[str, str], ports: Sequence[Json]) -> Json:
    mapped = mapping(spec.get("ports"))
    first = ports[0] if ports else {}
    return {
        "name": name,
        "address": str(spec.get("address") or ""),
        "port": mapped.get(str(first.get("name")), first.get("number")),
        "tls": labels.get(TLS_MODE, ""),
        "network": str(spec.get("network") or ""),
        "locality": str(spec.get("locality") or ""),
    }


def _remote_problems(where: str, spec: Json, row: Json, ports: Sequence[Json]) -> list[Problem]:
    found = []
    address = row["address"]
    if not address and not row["network"]:
        found.append(
            Problem(f"{where} has no address, because the remote east-west gateway has none yet", passing=True)
        )
    elif address and not _is_ip(address):
        found.append(
            Problem(
                f"{where} has the address {address}, which is not an IP: gateways ignore it silently. Give the "
                "east-west gateway's Service an IP address, or set hostInfoOverrides in WorkspaceSettings. "
                f"{_BY_SIDECAR}",
                gateways=True,
            )
        )
    if not row["tls"]:
        found.append(
            Problem(
                f"{where} lacks the label {TLS_MODE}: gateways connect in plain text, which the east-west "
                "gateway rejects"
            )
        )
    unmapped = [name for p in ports if (name := str(p.get("name"))) not in mapping(spec.get("ports"))]
    if unmapped and address:
        found.append(
            Problem(
                f"{where} maps no port for {', '.join(unmapped)}, but the east-west gateway listens on another port"
            )
        )
    return found


def gateway_problems(entry: Json, objects: RoutingObjects, target: Target) -> list[Problem]:
    """What prevents gateways, but not sidecars, from using the ServiceEntry and its endpoints."""
    remote = remote_endpoints(entry, objects.workload_entries, target)[1]
    return [problem for problem in (*entry_problems(entry, target), *remote) if problem.gateways]


# -- routes ----------------------------------------------------------------------------------------------------------


def route_problems(
    routes: Iterable[Json], target: Target, numbers: Sequence[int] | None
) -> tuple[list[str], list[Problem]]:
    """(HTTPRoutes to the host, problems of their backendRefs). numbers: the ServiceEntry's ports."""
    users: list[str] = []
    problems: list[Problem] = []
    for route in sorted(routes, key=full_name):
        where = f"HTTPRoute {full_name(route)}"
        for place, rule in enumerate(mappings(spec_of(route).get("rules"))):
            for ref in mappings(rule.get("backendRefs")):
                group, kind, name = ref.get("group") or "", ref.get("kind") or "Service", ref.get("name")
                at = f"{where} rule {place}: backendRef {name}"
                if kind == "VirtualDestination" and name == target.name:
                    problems.append(
                        Problem(
                            f"{at} has kind VirtualDestination, which gateways do not support. Use kind Hostname of "
                            f"group {HOSTNAME_GROUP} with the host"
                        )
                    )
                if kind != "Hostname" or name != target.host:
                    continue
                users.append(full_name(route))
                if group != HOSTNAME_GROUP:
                    problems.append(
                        Problem(f"{at} has group {group!r}: kind Hostname requires group {HOSTNAME_GROUP}. Set it")
                    )
                if ref.get("namespace"):
                    problems.append(
                        Problem(
                            f"{at} has namespace {ref['namespace']}: kind Hostname is not resolved with a "
                            "namespace. Remove it"
                        )
                    )
                if numbers is not None and ref.get("port") not in numbers:
                    right = " or ".join(str(n) for n in numbers) or "none"
                    has = f"port {ref['port']}" if ref.get("port") else "no port"
                    problems.append(
                        Problem(
                            f"{at} has {has}, the ServiceEntry has {right}: the controller reports no error, and "
                            f"versions differ in handling it. Set port {right}"
                        )
                    )
    return list(dict.fromkeys(users)), problems


# -- verdicts --------------------------------------------------------------------------------------------------------


def examine(cluster: str, objects: RoutingObjects, target: Target, check_routes: bool = True) -> tuple[Json, Verdict]:
    """(record, verdict) of the target in one cluster.

    check_routes: whether problems of HTTPRoutes count and, where one leads to the host, those of gateways.
    """
    entry, problems = find_entry(objects, target)
    local: list[Json] = []
    remote: list[Json] = []
    if entry is not None:
        problems += entry_problems(entry, target)
        local = local_endpoints(entry, objects.pods)
        remote, wrong = remote_endpoints(entry, objects.workload_entries, target)
        problems += wrong
        if not any(row["ready"] for row in local) and not any(row["address"] or row["network"] for row in remote):
            problems.append(
                Problem(
                    f"ServiceEntry {full_name(entry)} has no ready endpoint: requests fail with 503 no "
                    "healthy upstream",
                    passing=True,
                )
            )
    spec = spec_of(entry or {})
    named = Target(target.host or next(iter(_hosts(entry)), None), target.port, target.name, target.namespace)
    routes, wrong = route_problems(objects.http_routes, named, _port_numbers(entry) if entry else None)
    counted = [problem for problem in problems if not problem.gateways or (routes and check_routes)]
    counted += wrong if check_routes else []
    problems += wrong
    record = {
        "cluster": cluster,
        "host": named.host,
        "port": target.port,
        "translated": entry is not None,
        "namespace": meta(entry or {}).get("namespace"),
        "service_entry": meta(entry or {}).get("name"),
        "ports": [
            {"name": str(p.get("name") or ""), "number": p.get("number"), "protocol": str(p.get("protocol") or "")}
            for p in _ports(entry)
        ],
        "resolution": spec.get("resolution"),
        "location": spec.get("location"),
        "endpoints_local": local,
        "endpoints_remote": remote,
        "http_routes": routes,
        "problems": [p.text for p in problems],
    }
    if not counted:
        return record, ready(f"{len(local)} local and {len(remote)} remote endpoints")
    # Permanent problems come first.
    counted.sort(key=lambda p: p.passing)
    text = "; ".join(p.text for p in counted)
    return record, waiting(text) if counted[0].passing else failed(text)


def leftovers(objects: RoutingObjects, target: Target) -> list[str]:
    """Titles of the translated objects of the target that still exist."""
    found = []
    for kind, items in (
        ("ServiceEntry", objects.service_entries),
        ("WorkloadEntry", objects.workload_entries),
        ("DestinationRule", objects.destination_rules),
    ):
        for item in items:
            by_host = kind == "ServiceEntry" and target.host in _hosts(item) and is_translated(item)
            if is_translated_from(item, target) or by_host:
                found.append(f"{kind} {full_name(item)}")
    return sorted(found)


def judge_absent(objects: RoutingObjects, target: Target) -> Verdict:
    """Ready when no translated object of the target exists."""
    left = leftovers(objects, target)
    if not left:
        return ready("no translated object is left")
    return waiting(
        f"not deleted yet: {', '.join(left)}. Check that the agent is connected: it deletes translated objects"
    )
