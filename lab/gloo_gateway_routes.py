"""What the played Gloo Gateway makes of HTTPRoutes: which listener takes them, where their backends are.

Pure: reads a cluster's caches (`list`, `get`), writes nothing. `routes` is what the data plane turns into Envoy's
configuration; the verdicts behind it are what the controller writes into HTTPRoute status. Both come from the same
functions, so status and traffic cannot disagree by accident. Behaviour: kgateway 2.1, as recorded.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from lab.world import selects

Object = dict[str, Any]

GATEWAY_GROUP = "gateway.networking.k8s.io"
ISTIO_GROUP = "networking.istio.io"


class Reader(Protocol):
    """The part of `lab.world.Cluster` these functions need."""

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]: ...

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None: ...


class Attachment(NamedTuple):
    """One parentRef's verdict: `reason` is empty when listeners took the route."""

    parent_ref: Object
    reason: str
    listeners: list[Object]


class Backend(NamedTuple):
    """A backendRef's verdict: `reason` and `message` are empty when it resolves."""

    kind: str
    namespace: str
    name: str
    port: int
    weight: int
    reason: str = ""
    message: str = ""


def routes(cluster: Reader, gateway: Object) -> list[dict[str, Any]]:
    """Traffic rules of a Gateway, oldest HTTPRoute first.

    One entry per listener and HTTPRoute rule:
      {"route": "<namespace>/<name>", "listener": "http", "port": 8080, "hostnames": ["*"],
       "matches": [{"type": "Exact" | "PathPrefix" | "RegularExpression", "value": "/reviews",
                    "method": "GET" | None, "headers": {"name": "value"}}],
       "backends": [{"kind": "Service" | "Hostname", "namespace": "bookinfo", "name": "reviews", "port": 9080,
                     "weight": 1, "ok": True, "reason": ""}]}
    kind Service: namespace, name and port of a Service of this cluster. kind Hostname: name is the host, namespace
    and port are those of the ServiceEntry it resolves to; the port asked for is ignored (kgateway before #14212).
    ok False: the share of this backend answers 500. An empty `backends` answers 500 too. No entry matches: 404.
    """
    rules: list[dict[str, Any]] = []
    for route in sorted(cluster.list("HTTPRoute"), key=_age):
        for attachment in attachments(cluster, gateway, route):
            for listener in attachment.listeners:
                rules += [
                    {
                        "route": f"{route['metadata']['namespace']}/{route['metadata']['name']}",
                        "listener": listener["name"],
                        "port": listener["port"],
                        "hostnames": _common_hosts(listener, route) or ["*"],
                        "matches": [_match(match) for match in rule.get("matches") or [{}]],
                        "backends": [_told(resolve(cluster, route, ref)) for ref in rule.get("backendRefs") or []],
                    }
                    for rule in route["spec"].get("rules") or []
                ]
    return rules


def attachments(cluster: Reader, gateway: Object, route: Object) -> list[Attachment]:
    """Verdicts for those parentRefs of the route that name this Gateway."""
    found = []
    for ref in route["spec"].get("parentRefs") or []:
        if not _names(ref, route, gateway):
            continue
        listeners = [
            listener
            for listener in gateway["spec"].get("listeners") or []
            if ref.get("sectionName") in (None, listener["name"]) and ref.get("port") in (None, listener["port"])
        ]
        allowed = [listener for listener in listeners if _allows(cluster, gateway, listener, route)]
        matching = [listener for listener in allowed if _common_hosts(listener, route) is not None]
        if not listeners:
            reason = "NoMatchingParent"
        elif not allowed:
            reason = "NotAllowedByListeners"
        else:
            reason = "" if matching else "NoMatchingListenerHostname"
        found.append(Attachment(ref, reason, matching))
    return found


def resolve(cluster: Reader, route: Object, ref: Object) -> Backend:
    """Where a backendRef leads, or why it leads nowhere (reason and message as kgateway words them)."""
    group, kind, name = ref.get("group") or "", ref.get("kind") or "Service", ref["name"]
    home = route["metadata"]["namespace"]
    port, weight = int(ref.get("port") or 0), int(ref.get("weight", 1))
    if (group, kind) == (ISTIO_GROUP, "Hostname"):
        # A namespace is taken literally: hosts have none, so it can only demand a grant or find nothing.
        explicit = ref.get("namespace") or ""
        if explicit and explicit != home and not _granted(cluster, route, explicit, group, kind, name):
            return Backend(kind, explicit, name, port, weight, "RefNotPermitted", "missing reference grant")
        entry = None if explicit else service_entry(cluster, name)
        if entry is None:
            return Backend(kind, explicit, name, port, weight, "BackendNotFound", f'Hostname "{name}" not found')
        taken = min((int(p["number"]) for p in entry["spec"]["ports"]), key=str)
        return Backend(kind, entry["metadata"]["namespace"], name, taken, weight)
    namespace = ref.get("namespace") or home
    if (group, kind) != ("", "Service"):
        return Backend(kind, namespace, name, port, weight, "InvalidKind", "unknown backend kind")
    if namespace != home and not _granted(cluster, route, namespace, group, kind, name):
        return Backend(kind, namespace, name, port, weight, "RefNotPermitted", "missing reference grant")
    service = cluster.get("Service", name, namespace)
    if service is None or port not in [p["port"] for p in service["spec"].get("ports") or []]:
        return Backend(kind, namespace, name, port, weight, "BackendNotFound", f'Service "{name}" not found')
    return Backend(kind, namespace, name, port, weight)


def service_entry(cluster: Reader, host: str) -> Object | None:
    """The ServiceEntry kgateway takes for a host: listed literally, any namespace, not NONE, the oldest."""
    fitting = [
        entry
        for entry in cluster.list("ServiceEntry")
        if host in (entry["spec"].get("hosts") or [])
        and entry["spec"].get("ports")
        and entry["spec"].get("resolution", "NONE") != "NONE"
    ]
    return min(fitting, key=_age, default=None)


def _told(backend: Backend) -> dict[str, Any]:
    return {
        "kind": backend.kind,
        "namespace": backend.namespace,
        "name": backend.name,
        "port": backend.port,
        "weight": backend.weight,
        "ok": not backend.reason,
        "reason": backend.reason,
    }


def _match(match: Object) -> dict[str, Any]:
    path = match.get("path") or {}
    return {
        "type": path.get("type", "PathPrefix"),
        "value": path.get("value", "/"),
        "method": match.get("method"),
        "headers": {header["name"].lower(): header["value"] for header in match.get("headers") or []},
    }


def _names(ref: Object, route: Object, gateway: Object) -> bool:
    return (
        ref.get("group", GATEWAY_GROUP) == GATEWAY_GROUP
        and ref.get("kind", "Gateway") == "Gateway"
        and ref["name"] == gateway["metadata"]["name"]
        and (ref.get("namespace") or route["metadata"]["namespace"]) == gateway["metadata"]["namespace"]
    )


def _allows(cluster: Reader, gateway: Object, listener: Object, route: Object) -> bool:
    if listener.get("protocol") not in ("HTTP", "HTTPS"):
        return False
    allowed = listener.get("allowedRoutes") or {}
    kinds = allowed.get("kinds") or [{"kind": "HTTPRoute"}]
    if not any(k["kind"] == "HTTPRoute" and k.get("group", GATEWAY_GROUP) == GATEWAY_GROUP for k in kinds):
        return False
    namespaces = allowed.get("namespaces") or {}
    where = route["metadata"]["namespace"]
    if namespaces.get("from", "Same") == "All":
        return True
    if namespaces.get("from", "Same") == "Selector":
        namespace = cluster.get("Namespace", where) or {"metadata": {}}
        return selects(namespaces.get("selector"), namespace["metadata"].get("labels"))
    return namespaces.get("from", "Same") == "Same" and bool(where == gateway["metadata"]["namespace"])


def _common_hosts(listener: Object, route: Object) -> list[str] | None:
    """Hosts of the route that the listener serves; [] means any; None means no host in common."""
    of_listener, of_route = listener.get("hostname") or "", route["spec"].get("hostnames") or []
    if not of_listener or not of_route:
        return list(of_route) or ([of_listener] if of_listener else [])
    common = [host if _covers(of_listener, host) else of_listener for host in of_route if _meet(of_listener, host)]
    return common or None


def _meet(one: str, other: str) -> bool:
    return _covers(one, other) or _covers(other, one)


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _granted(cluster: Reader, route: Object, namespace: str, group: str, kind: str, name: str) -> bool:
    home = route["metadata"]["namespace"]
    for grant in cluster.list("ReferenceGrant", namespace):
        source = any(
            f["group"] == GATEWAY_GROUP and f["kind"] == "HTTPRoute" and f["namespace"] == home
            for f in grant["spec"].get("from") or []
        )
        target = any(
            t.get("group", "") == group and t["kind"] == kind and t.get("name") in (None, "", name)
            for t in grant["spec"].get("to") or []
        )
        if source and target:
            return True
    return False


def _age(obj: Object) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return metadata.get("creationTimestamp") or "", metadata.get("namespace") or "", metadata["name"]
