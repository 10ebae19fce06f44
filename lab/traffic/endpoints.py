"""Which endpoints serve a host and port: from API objects to ports on this machine. Pure.

The rules are those of Kubernetes (EndpointSlices), of Istio's sidecars (VirtualService, ServiceEntry by spec.labels)
and of kgateway 2.1 (ServiceEntry by metadata labels, the route's port is ignored), as far as the guide needs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.control_plane.objects import (
    DOMAIN,
    Object,
    Reader,
    age,
    containers,
    is_ip,
    is_loopback,
    labels_of,
    pods_behind,
    ready,
    resolve,
    uid_of,
)
from lab.pods.pod_ports import LocalPort

REFUSED = 1  # a port of 127.0.0.1 that refuses connections
EAST_WEST = 15443
TLS_MODE = "security.istio.io/tlsMode"
SELECT_WORKLOADS = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"


@dataclass(frozen=True)
class Endpoint:
    """Where a request can be sent; tls: with (simulated) mutual TLS, remote: not a Pod of this cluster.

    namespace, uid: of the Pod, if it is one of this cluster.
    """

    address: str
    port: int
    name: str
    tls: bool = False
    remote: bool = False
    weight: int = 1
    namespace: str = ""
    uid: str = ""


def injected(pod: Object) -> bool:
    return any(container["name"] == "istio-proxy" for container in containers(pod))


def for_pods(cluster: Reader, local_port: LocalPort, namespace: str, name: str, port: int) -> list[Endpoint] | None:
    """Endpoints of a Service's port, None when there is no such Service or port."""
    service = cluster.get("Service", name, namespace)
    if service is None or not any(p["port"] == port for p in service["spec"].get("ports") or []):
        return None
    found = pods_behind(cluster, namespace, name, port)
    return [_pod_endpoint(cluster, local_port, pod, target) for pod, target in found if ready(pod)]


def service_entry(cluster: Reader, host: str) -> Object | None:
    """The ServiceEntry for a host: the oldest one with this host and a resolution."""
    matching = [
        entry
        for entry in cluster.list("ServiceEntry")
        if host in (entry["spec"].get("hosts") or []) and entry["spec"].get("resolution", "NONE") != "NONE"
    ]
    return min(matching, key=age, default=None)


def behind_entry(
    cluster: Reader,
    local_port: LocalPort,
    entry: Object,
    port: Object,
    by_metadata: bool = False,
    local_only: bool = False,
) -> list[Endpoint]:
    """Endpoints of one port of a ServiceEntry.

    by_metadata: WorkloadEntries are selected by metadata.labels (kgateway) instead of spec.labels (Istio);
    local_only: only Pods of this cluster (east-west gateway). With resolution DNS sidecars resolve the host names of
    the lab's load balancers; kgateway ignores the selector and would resolve the entry's own hosts, which no DNS has.
    """
    spec, namespace = entry["spec"], entry["metadata"]["namespace"]
    mesh = spec.get("location", "MESH_EXTERNAL") == "MESH_INTERNAL"
    by_name = spec.get("resolution") == "DNS"
    if spec.get("resolution") not in ("STATIC", "DNS") or (by_name and by_metadata):
        return []
    selector = (spec.get("workloadSelector") or {}).get("labels")
    if not selector:
        inline = [] if local_only else spec.get("endpoints") or []
        return [_workload(f"{host['address']}", host, {}, port, mesh) for host in inline if _usable(host, by_name)]
    found = [
        _pod_endpoint(cluster, local_port, pod, int(port.get("targetPort") or port["number"]), mesh)
        for pod in cluster.list("Pod", namespace, selector)
        if ready(pod)
    ]
    if local_only:
        return found
    for workload in cluster.list("WorkloadEntry", namespace):
        spec = workload["spec"]
        labels = labels_of(workload) if by_metadata else spec.get("labels") or {}
        if selector.items() <= labels.items() and _usable(spec, by_name):
            found.append(_workload(workload["metadata"]["name"], spec, labels_of(workload), port, mesh))
    return found


def for_gateway(cluster: Reader, local_port: LocalPort, backend: Object) -> list[Endpoint]:
    """Endpoints of a route's resolved backend (vendor/gloo_gateway/routes.py), by kgateway's rules."""
    if backend["kind"] == "Service":
        return for_pods(cluster, local_port, backend["namespace"], backend["name"], backend["port"]) or []
    entry = service_entry(cluster, backend["name"])
    port = entry_port(entry, backend["port"])
    return behind_entry(cluster, local_port, entry, port, by_metadata=True) if entry and port else []


def entry_port(entry: Object | None, number: int) -> Object | None:
    """The ServiceEntry's port with this number."""
    ports = (entry or {"spec": {}})["spec"].get("ports") or []
    return next((port for port in ports if port["number"] == number), None)


def inside(cluster: Reader, local_port: LocalPort, host: str, port: int) -> list[Endpoint]:
    """Pods of this cluster for a host and port, by the east-west gateway's rules."""
    entry = service_entry(cluster, host)
    if entry is not None:
        port_of_entry = entry_port(entry, port)
        return behind_entry(cluster, local_port, entry, port_of_entry, local_only=True) if port_of_entry else []
    name, _, rest = host.partition(".")
    namespace, _, domain = rest.partition(".")
    return (for_pods(cluster, local_port, namespace, name, port) or []) if domain == DOMAIN else []


@dataclass(frozen=True)
class Destination:
    """One destination of a request: host, endpoints, weight."""

    host: str
    port: int
    endpoints: list[Endpoint]
    weight: int = 1


def outbound(
    cluster: Reader, local_port: LocalPort, pod: Object, host: str, port: int, path: str
) -> list[Destination] | None:
    """Where a request of this Pod goes; None when the name does not resolve.

    VirtualServices and ServiceEntries apply to injected Pods only; the others resolve their cluster's Services.
    """
    namespace = pod["metadata"]["namespace"]
    if not injected(pod):
        found = _plain(cluster, local_port, namespace, host, port)
        return None if found is None else [Destination(host, port, found)]
    full = _full_name(cluster, namespace, host)
    destinations = _routed(cluster, pod, full, path)
    if destinations is None:
        destinations = [(full, port, 1)]
    found_destinations = []
    for name, number, weight in destinations:
        found = _in_mesh(cluster, local_port, namespace, name, number or port)
        if found is not None:
            found_destinations.append(Destination(name, number or port, found, weight))
    return found_destinations or None


def sni(host: str, port: int) -> str:
    """The SNI that Istio sends to an east-west gateway for a host and port."""
    return f"outbound_.{port}_._.{host}"


def from_sni(name: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"outbound_\.(\d+)_\.[^_]*_\.(.+)", name)
    return (found[2], int(found[1])) if found else None


def _pod_endpoint(cluster: Reader, local_port: LocalPort, pod: Object, port: int, mesh: bool = True) -> Endpoint:
    local = local_port(cluster.name, uid_of(pod), port)
    tls = mesh and labels_of(pod).get(TLS_MODE) == "istio"
    metadata = pod["metadata"]
    where = {"namespace": metadata["namespace"], "uid": uid_of(pod)}
    return Endpoint("127.0.0.1", local or REFUSED, metadata["name"], tls=tls, **where)


def _workload(name: str, spec: Object, labels: dict[str, str], port: Object, mesh: bool) -> Endpoint:
    """A WorkloadEntry or inline endpoint; an address that is not on loopback is refused."""
    number = int((spec.get("ports") or {}).get(port["name"]) or port.get("targetPort") or port["number"])
    tls = mesh and {**labels, **(spec.get("labels") or {})}.get(TLS_MODE) == "istio"
    address = resolve(spec["address"])
    address, number = (address, number) if is_loopback(address) else ("127.0.0.1", REFUSED)
    return Endpoint(address, number, name, tls=tls, remote=True, weight=int(spec.get("weight") or 1))


def _usable(workload: Object, by_name: bool) -> bool:
    """Whether a WorkloadEntry or inline endpoint has an address; by_name: one that can be resolved is enough."""
    address = workload.get("address")
    return is_ip(resolve(address) if by_name else address)


def _selected_workloads(cluster: Reader, namespace: str, name: str, number: int) -> list[Endpoint]:
    """WorkloadEntries that istiod adds to a Service's Pods, unless its environment forbids it."""
    service = cluster.get("Service", name, namespace)
    port = next((p for p in (service or {"spec": {}})["spec"].get("ports") or [] if p["port"] == number), None)
    selector = (service or {"spec": {}})["spec"].get("selector")
    if port is None or not selector or not _selects_workloads(cluster):
        return []
    target = port.get("targetPort") if isinstance(port.get("targetPort"), int) else number
    described = {"name": port.get("name"), "number": number, "targetPort": target}
    return [
        _workload(workload["metadata"]["name"], workload["spec"], labels_of(workload), described, True)
        for workload in cluster.list("WorkloadEntry", namespace)
        if selector.items() <= (workload["spec"].get("labels") or {}).items() and _usable(workload["spec"], False)
    ]


def _selects_workloads(cluster: Reader) -> bool:
    """Whether an istiod of the cluster lets Services select WorkloadEntries, which is its default."""
    for pod in cluster.list("Pod", labels={"app": "istiod"}):
        env = {e["name"]: e.get("value") for c in pod["spec"]["containers"] for e in c.get("env") or []}
        if ready(pod) and env.get(SELECT_WORKLOADS, "true") != "false":
            return True
    return False


def _full_name(cluster: Reader, namespace: str, host: str) -> str:
    """A Service's short name completed as by the Pod's resolver; other names unchanged."""
    parts = host.split(".")
    if len(parts) == 1:
        return f"{host}.{namespace}.{DOMAIN}"
    if len(parts) == 2 or (len(parts) == 3 and parts[2] == "svc"):
        return f"{parts[0]}.{parts[1]}.{DOMAIN}" if cluster.get("Service", parts[0], parts[1]) else host
    return host


def _plain(cluster: Reader, local_port: LocalPort, namespace: str, host: str, port: int) -> list[Endpoint] | None:
    full = _full_name(cluster, namespace, host)
    name, _, rest = full.partition(".")
    where, _, domain = rest.partition(".")
    return for_pods(cluster, local_port, where, name, port) if domain == DOMAIN else None


def _in_mesh(cluster: Reader, local_port: LocalPort, namespace: str, host: str, port: int) -> list[Endpoint] | None:
    entry = service_entry(cluster, host)
    if entry is None:
        found = _plain(cluster, local_port, namespace, host, port)
        if found is None:
            return None
        name, where = _full_name(cluster, namespace, host).split(".")[:2]
        return [*found, *_selected_workloads(cluster, where, name, port)]
    port_of_entry = entry_port(entry, port)
    return behind_entry(cluster, local_port, entry, port_of_entry) if port_of_entry else None


def _routed(cluster: Reader, pod: Object, host: str, path: str) -> list[tuple[str, int, int]] | None:
    """(host, port or 0, weight) of the first matching HTTP route of a VirtualService for the mesh, if any."""
    namespace = pod["metadata"]["namespace"]
    for service in cluster.list("VirtualService"):
        spec = service["spec"]
        home = service["metadata"]["namespace"]
        exported = spec.get("exportTo") or ["*"]
        if "mesh" not in (spec.get("gateways") or ["mesh"]):
            continue
        if not ({"*", namespace} & set(exported) or ("." in exported and home == namespace)):
            continue
        if host not in [_full_name(cluster, home, host_) for host_ in spec.get("hosts") or []]:
            continue
        for route in spec.get("http") or []:
            matches = route.get("match") or [{}]
            if any(_matches(match, pod, path) for match in matches):
                return [
                    (
                        _full_name(cluster, home, to["destination"]["host"]),
                        int((to["destination"].get("port") or {}).get("number") or 0),
                        int(to.get("weight") or (1 if len(route["route"]) == 1 else 0)),
                    )
                    for to in route.get("route") or []
                ]
        return []  # a VirtualService without a matching route: 404
    return None


def _matches(match: Object, pod: Object, path: str) -> bool:
    """A VirtualService's HTTP match; evaluated are uri, sourceLabels, sourceNamespace, gateways."""
    uri = match.get("uri") or {}
    conditions = (
        "exact" not in uri or path == uri["exact"],
        "prefix" not in uri or path.startswith(uri["prefix"]),
        "regex" not in uri or re.fullmatch(uri["regex"], path) is not None,
        (match.get("sourceLabels") or {}).items() <= labels_of(pod).items(),
        match.get("sourceNamespace") in (None, "", pod["metadata"]["namespace"]),
        "mesh" in (match.get("gateways") or ["mesh"]),
    )
    return all(conditions)
