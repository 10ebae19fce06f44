"""Who serves a name: from API objects to places on this machine. Pure: reads objects, opens nothing.

The rules are those of Kubernetes (EndpointSlices), of Istio's sidecars (VirtualService, ServiceEntry by spec.labels)
and of kgateway 2.1 (ServiceEntry by metadata labels, the route's port not looked at), as far as the guide needs them.
`Objects` is what lab.world.Cluster offers for reading.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Object = dict[str, Any]
Local = Callable[[str, str, int], "int | None"]  # (cluster, Pod uid, port) -> port of 127.0.0.1

NOBODY = 1  # a port of 127.0.0.1 that refuses connections
EAST_WEST = 15443
TLS_MODE = "security.istio.io/tlsMode"
DOMAIN = "svc.cluster.local"


class Objects(Protocol):
    name: str

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]: ...

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None: ...


@dataclass(frozen=True)
class Endpoint:
    """One place to send a request to; `tls` = it asks for (played) mutual TLS, `remote` = not a Pod of this cluster."""

    address: str
    port: int
    name: str
    tls: bool = False
    remote: bool = False
    weight: int = 1


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def uid_of(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")


def ready(pod: Object) -> bool:
    """Ready and not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    says = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return says and not pod["metadata"].get("deletionTimestamp")


def containers(pod: Object) -> list[Object]:
    spec = pod["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def injected(pod: Object) -> bool:
    return any(container["name"] == "istio-proxy" for container in containers(pod))


def for_pods(cluster: Objects, local: Local, namespace: str, name: str, port: int) -> list[Endpoint] | None:
    """Endpoints of a Service's port, None when there is no such Service or port."""
    service = cluster.get("Service", name, namespace)
    if service is None or not any(p["port"] == port for p in service["spec"].get("ports") or []):
        return None
    found = pods_behind(cluster, namespace, name, port)
    return [_pod_endpoint(cluster, local, pod, target) for pod, target in found if ready(pod)]


def pods_behind(cluster: Objects, namespace: str, name: str, port: int) -> Iterator[tuple[Object, int]]:
    """(Pod, its port) for every endpoint the cluster's EndpointSlices give to a Service's port."""
    service = cluster.get("Service", name, namespace)
    if service is None:
        return
    port_name = next((p.get("name") or "" for p in service["spec"].get("ports") or [] if p["port"] == port), None)
    if port_name is None:
        return
    pods = {uid_of(pod): pod for pod in cluster.list("Pod", namespace)}
    for slice_ in cluster.list("EndpointSlice", namespace, {"kubernetes.io/service-name": name}):
        target = next((p["port"] for p in slice_.get("ports") or [] if (p.get("name") or "") == port_name), None)
        for endpoint in slice_.get("endpoints") or []:
            pod = pods.get(str((endpoint.get("targetRef") or {}).get("uid")))
            if target and pod is not None and not pod["metadata"].get("deletionTimestamp"):
                yield pod, int(target)


def service_entry(cluster: Objects, host: str) -> Object | None:
    """The ServiceEntry for a host: the oldest one that names it and resolves at all."""
    named = [
        entry
        for entry in cluster.list("ServiceEntry")
        if host in (entry["spec"].get("hosts") or []) and entry["spec"].get("resolution", "NONE") != "NONE"
    ]
    return min(named, key=lambda e: (e["metadata"].get("creationTimestamp") or "", e["metadata"]["name"]), default=None)


def behind_entry(
    cluster: Objects,
    local: Local,
    entry: Object,
    port: Object,
    by_metadata: bool = False,
    local_only: bool = False,
) -> list[Endpoint]:
    """Endpoints of one port of a ServiceEntry.

    by_metadata: WorkloadEntries are picked by metadata.labels (kgateway) instead of spec.labels (Istio);
    local_only: Pods of this cluster alone (east-west gateway). With resolution DNS nothing resolves here: no endpoints.
    """
    spec, namespace = entry["spec"], entry["metadata"]["namespace"]
    mesh = spec.get("location", "MESH_EXTERNAL") == "MESH_INTERNAL"
    if spec.get("resolution") != "STATIC":
        return []
    selector = (spec.get("workloadSelector") or {}).get("labels")
    if not selector:
        inline = [] if local_only else spec.get("endpoints") or []
        return [_workload(f"{host['address']}", host, {}, port, mesh) for host in inline if host.get("address")]
    found = [
        _pod_endpoint(cluster, local, pod, int(port.get("targetPort") or port["number"]), mesh)
        for pod in cluster.list("Pod", namespace, selector)
        if ready(pod)
    ]
    if local_only:
        return found
    for workload in cluster.list("WorkloadEntry", namespace):
        told = workload["spec"]
        chosen_by = labels_of(workload) if by_metadata else told.get("labels") or {}
        if selector.items() <= chosen_by.items() and _is_ip(told.get("address")):
            found.append(_workload(workload["metadata"]["name"], told, labels_of(workload), port, mesh))
    return found


def for_gateway(cluster: Objects, local: Local, backend: Object) -> list[Endpoint]:
    """Endpoints of a route's resolved backend (see lab.gloo_gateway.routes), found the way kgateway finds them."""
    if backend["kind"] == "Service":
        return for_pods(cluster, local, backend["namespace"], backend["name"], backend["port"]) or []
    entry = service_entry(cluster, backend["name"])
    port = entry_port(entry, backend["port"])
    return behind_entry(cluster, local, entry, port, by_metadata=True) if entry and port else []


def entry_port(entry: Object | None, number: int) -> Object | None:
    """The ServiceEntry's port of this number."""
    ports = (entry or {"spec": {}})["spec"].get("ports") or []
    return next((port for port in ports if port["number"] == number), None)


def inside(cluster: Objects, local: Local, host: str, port: int) -> list[Endpoint]:
    """Pods of this cluster for a host and port, as the east-west gateway finds them; remote ones never."""
    entry = service_entry(cluster, host)
    if entry is not None:
        told = entry_port(entry, port)
        return behind_entry(cluster, local, entry, told, local_only=True) if told else []
    name, _, rest = host.partition(".")
    namespace, _, domain = rest.partition(".")
    return (for_pods(cluster, local, namespace, name, port) or []) if domain == DOMAIN else []


@dataclass(frozen=True)
class Choice:
    """One answer of `outbound`: the name requests go to, its endpoints, its share."""

    host: str
    port: int
    endpoints: list[Endpoint]
    weight: int = 1


def outbound(cluster: Objects, local: Local, pod: Object, host: str, port: int, path: str) -> list[Choice] | None:
    """Where a request of this Pod goes; None when the name does not resolve.

    An injected Pod obeys VirtualServices and knows ServiceEntries; any other sees its cluster's Services only.
    """
    namespace = pod["metadata"]["namespace"]
    if not injected(pod):
        found = _plain(cluster, local, namespace, host, port)
        return None if found is None else [Choice(host, port, found)]
    full = _full_name(cluster, namespace, host)
    destinations = _routed(cluster, pod, full, path)
    if destinations is None:
        destinations = [(full, port, 1)]
    choices = []
    for name, number, weight in destinations:
        found = _in_mesh(cluster, local, namespace, name, number or port)
        if found is not None:
            choices.append(Choice(name, number or port, found, weight))
    return choices or None


def sni(host: str, port: int) -> str:
    """How Istio names a host and port in the TLS greeting to an east-west gateway."""
    return f"outbound_.{port}_._.{host}"


def from_sni(name: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"outbound_\.(\d+)_\.[^_]*_\.(.+)", name)
    return (found[2], int(found[1])) if found else None


def _pod_endpoint(cluster: Objects, local: Local, pod: Object, port: int, mesh: bool = True) -> Endpoint:
    place = local(cluster.name, uid_of(pod), port)
    tls = mesh and labels_of(pod).get(TLS_MODE) == "istio"
    return Endpoint("127.0.0.1", place or NOBODY, pod["metadata"]["name"], tls=tls)


def _workload(name: str, told: Object, labels: dict[str, str], port: Object, mesh: bool) -> Endpoint:
    """A WorkloadEntry or inline endpoint. What is not on this machine's loopback is not reached for."""
    number = int((told.get("ports") or {}).get(port["name"]) or port.get("targetPort") or port["number"])
    tls = mesh and {**labels, **(told.get("labels") or {})}.get(TLS_MODE) == "istio"
    here = _is_ip(told["address"]) and ipaddress.ip_address(told["address"]).is_loopback
    address, number = (told["address"], number) if here else ("127.0.0.1", NOBODY)
    return Endpoint(address, number, name, tls=tls, remote=True, weight=int(told.get("weight") or 1))


def _is_ip(address: object) -> bool:
    try:
        ipaddress.ip_address(str(address))
    except ValueError:
        return False
    return True


def _full_name(cluster: Objects, namespace: str, host: str) -> str:
    """A Service's short name completed as the Pod's resolver does; other names as they are."""
    parts = host.split(".")
    if len(parts) == 1:
        return f"{host}.{namespace}.{DOMAIN}"
    if len(parts) == 2 or (len(parts) == 3 and parts[2] == "svc"):
        return f"{parts[0]}.{parts[1]}.{DOMAIN}" if cluster.get("Service", parts[0], parts[1]) else host
    return host


def _plain(cluster: Objects, local: Local, namespace: str, host: str, port: int) -> list[Endpoint] | None:
    full = _full_name(cluster, namespace, host)
    name, _, rest = full.partition(".")
    where, _, domain = rest.partition(".")
    return for_pods(cluster, local, where, name, port) if domain == DOMAIN else None


def _in_mesh(cluster: Objects, local: Local, namespace: str, host: str, port: int) -> list[Endpoint] | None:
    entry = service_entry(cluster, host)
    if entry is None:
        return _plain(cluster, local, namespace, host, port)
    told = entry_port(entry, port)
    return behind_entry(cluster, local, entry, told) if told else None


def _routed(cluster: Objects, pod: Object, host: str, path: str) -> list[tuple[str, int, int]] | None:
    """(host, port or 0, weight) by the first fitting HTTP route of a VirtualService for the mesh; None = no such."""
    namespace = pod["metadata"]["namespace"]
    for service in cluster.list("VirtualService"):
        spec = service["spec"]
        own = service["metadata"]["namespace"]
        exported = spec.get("exportTo") or ["*"]
        if "mesh" not in (spec.get("gateways") or ["mesh"]):
            continue
        if not ({"*", namespace} & set(exported) or ("." in exported and own == namespace)):
            continue
        if host not in [_full_name(cluster, own, named) for named in spec.get("hosts") or []]:
            continue
        for route in spec.get("http") or []:
            matches = route.get("match") or [{}]
            if any(_fits(match, pod, path) for match in matches):
                return [
                    (
                        _full_name(cluster, own, to["destination"]["host"]),
                        int((to["destination"].get("port") or {}).get("number") or 0),
                        int(to.get("weight") or (1 if len(route["route"]) == 1 else 0)),
                    )
                    for to in route.get("route") or []
                ]
        return []  # a VirtualService without a fitting route: Envoy has no route, 404
    return None


def _fits(match: Object, pod: Object, path: str) -> bool:
    """A VirtualService's HTTP match, as far as this lab looks: uri, sourceLabels, sourceNamespace, gateways."""
    uri = match.get("uri") or {}
    checks = (
        "exact" not in uri or path == uri["exact"],
        "prefix" not in uri or path.startswith(uri["prefix"]),
        "regex" not in uri or re.fullmatch(uri["regex"], path) is not None,
        (match.get("sourceLabels") or {}).items() <= labels_of(pod).items(),
        match.get("sourceNamespace") in (None, "", pod["metadata"]["namespace"]),
        "mesh" in (match.get("gateways") or ["mesh"]),
    )
    return all(checks)
