"""Reading API objects: plain dicts, no requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

Object = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-scoped), name
Condition = tuple[str, str, str]  # status, reason, message

DOMAIN = "svc.cluster.local"
BALANCERS = ".elb.lab.invalid"  # domain of the load balancers' host names


class Reader(Protocol):
    """The reading half of a cluster (control_plane/cluster.py); all that decisions need."""

    name: str

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]: ...

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None: ...


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def uid_of(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def status_of(obj: Object) -> Object:
    return obj.get("status") or {}


def deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def age(obj: Object) -> tuple[str, str, str]:
    """Sort key: oldest first."""
    return obj["metadata"].get("creationTimestamp") or "", *key_of(obj)


def ready(pod: Object) -> bool:
    """The Pod is Ready and not being deleted."""
    return condition_is_true(pod, "Ready") and not deleting(pod)


def condition_is_true(obj: Object, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in status_of(obj).get("conditions") or [])


def newest_ready(pods: list[Object]) -> Object | None:
    return max((pod for pod in pods if ready(pod)), key=age, default=None)


def containers(pod: Object) -> list[Object]:
    """Init containers and containers."""
    return [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]


def load_balancer_ingress(service: Object) -> list[Object]:
    return (status_of(service).get("loadBalancer") or {}).get("ingress") or []


def outside_addresses(cluster: Reader, service: Object) -> Iterator[tuple[str, int, int]]:
    """(address or host name, port there, port of the Service) under which a Service is reached from other clusters.

    Those of its load balancer and, for ports that have a node port, the nodes' external addresses.
    """
    ports = service["spec"].get("ports") or []
    balanced = service["spec"].get("type") == "LoadBalancer"
    for ingress in load_balancer_ingress(service) if balanced else []:
        for port in ports:
            yield ingress.get("ip") or ingress["hostname"], int(port["port"]), int(port["port"])
    nodes = [address for node in cluster.list("Node") for address in status_of(node).get("addresses") or []]
    for address in nodes:
        for port in ports:
            if address["type"] == "ExternalIP" and port.get("nodePort"):
                yield address["address"], int(port["nodePort"]), int(port["port"])


def pods_behind(cluster: Reader, namespace: str, name: str, port: int) -> Iterator[tuple[Object, int]]:
    """(Pod, its port) for every endpoint in the EndpointSlices of a Service's port."""
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
            if target and pod is not None and not deleting(pod):
                yield pod, int(target)


def contains(live: Any, desired: Any) -> bool:
    """Whether `live` has every field of `desired` with the same value; lists must agree in length and order."""
    if isinstance(desired, dict):
        if not isinstance(live, dict):
            return not desired and live is None
        return all(contains(live.get(key), value) for key, value in desired.items())
    if isinstance(desired, list):
        if not isinstance(live, list):
            return not desired and live is None
        return len(live) == len(desired) and all(map(contains, live, desired))
    return bool(live == desired)


def selects(selector: Object | None, labels: dict[str, str] | None) -> bool:
    """A LabelSelector (matchLabels, matchExpressions) against labels; an empty selector selects all, None nothing."""
    if selector is None:
        return False
    labels = labels or {}
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for term in selector.get("matchExpressions") or []:
        value, values = labels.get(term["key"]), term.get("values") or []
        matches = {
            "In": value is not None and value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not matches[term["operator"]]:
            return False
    return True


def is_ip(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def host_name(address: str) -> str:
    """The name of a load balancer with this address; nothing outside of the lab resolves it (RFC 2606)."""
    return f"{address.replace('.', '-')}{BALANCERS}"


def resolve(host: object) -> str:
    """The address of a host name that a load balancer of the lab has; others are returned unchanged."""
    name = str(host)
    return name.removesuffix(BALANCERS).replace("-", ".") if name.endswith(BALANCERS) else name


def is_loopback(text: object) -> bool:
    return is_ip(text) and ipaddress.ip_address(str(text)).is_loopback


def timestamp(moment: datetime | None = None) -> str:
    """A time (default: now) as the API writes it."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(
    defaults: dict[str, Condition], overrides: dict[str, Condition], generation: int, before: list[Object] | None
) -> list[Object]:
    """All conditions of `defaults` with `overrides` applied; lastTransitionTime changes with the status only."""
    previous = {condition["type"]: condition for condition in before or []}
    result = []
    for kind, default in defaults.items():
        status, reason, message = overrides.get(kind, default)
        old = previous.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        result.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": generation,
                "lastTransitionTime": since or timestamp(),
            }
        )
    return result
