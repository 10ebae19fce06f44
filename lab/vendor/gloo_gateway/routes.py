"""How the simulated Gloo Gateway evaluates HTTPRoutes: which listener accepts them, where their backends are. Pure.

The data plane writes Envoy's configuration from `routes`; the controller writes HTTPRoute status from the same
functions, so that status and traffic agree. Behaviour: that of the controller's line (lines.py), as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lab.control_plane.objects import Key, Object, Reader, age, key_of, selects
from lab.vendor.gloo_gateway.controllers import Controller
from lab.vendor.gloo_gateway.delegation import GATEWAY_GROUP, children, delegates, matches_below, refusal
from lab.vendor.gloo_gateway.listeners import valid

ISTIO_GROUP = "networking.istio.io"


class Attachment(NamedTuple):
    """Result for one parentRef; `reason` is empty when listeners accept the route."""

    parent_ref: Object
    reason: str
    listeners: list[Object]


class Backend(NamedTuple):
    """Result for one backendRef; `reason` and `message` are empty when it resolves."""

    kind: str
    namespace: str
    name: str
    port: int
    weight: int
    reason: str = ""
    message: str = ""


def routes(cluster: Reader, gateway: Object, controller: Controller) -> list[dict[str, Any]]:
    """Traffic rules of a Gateway, oldest HTTPRoute first.

    One entry per valid listener and HTTPRoute rule; a rule that delegates has those of its children instead:
      {"route": "<namespace>/<name>", "listener": "http", "port": 8080, "hostnames": ["*"],
       "matches": [{"type": "Exact" | "PathPrefix" | "RegularExpression", "value": "/reviews",
                    "method": "GET" | None, "headers": {"name": "value"}}],
       "backends": [{"kind": "Service" | "Hostname", "namespace": "bookinfo", "name": "reviews", "port": 9080,
                     "weight": 1, "ok": True, "reason": ""}]}
    kind Service: namespace, name and port of a Service of this cluster. kind Hostname: name is the host, namespace
    and port are those of the ServiceEntry it resolves to; the port asked for is ignored (kgateway before #14212).
    ok False: requests to this backend get 500, as with empty `backends`. Without a matching entry: 404.
    """
    rules: list[dict[str, Any]] = []
    good = valid(gateway, controller)
    for route in sorted(cluster.list("HTTPRoute"), key=age):
        for attachment in attachments(cluster, gateway, route):
            for listener in (each for each in attachment.listeners if each in good):
                place = {
                    "listener": listener["name"],
                    "port": listener["port"],
                    "hostnames": _common_hosts(listener, route) or ["*"],
                }
                for rule in route["spec"].get("rules") or []:
                    matches = rule.get("matches") or [{}]
                    entries = _entries(cluster, route, rule, matches, [key_of(route)], controller)
                    rules += [{**entry, **place} for entry in entries]
    return rules


def _entries(
    cluster: Reader, route: Object, rule: Object, matches: list[Object], path: Sequence[Key], controller: Controller
) -> Iterator[dict[str, Any]]:
    """Entries of a rule and of those that it delegates to; path: the routes that lead to it."""
    refs = rule.get("backendRefs") or []
    own = [ref for ref in refs if not delegates(ref)]
    if own or not refs:
        yield {
            "route": f"{route['metadata']['namespace']}/{route['metadata']['name']}",
            "matches": [_match(match) for match in matches],
            "backends": [_as_dict(resolve(cluster, route, ref, controller)) for ref in own],
        }
    for ref in refs:
        for child in children(cluster, route, ref) if delegates(ref) else []:
            if key_of(child) in path or refusal(child):
                continue
            for inner in child["spec"].get("rules") or []:
                below = [match for parents_match in matches for match in matches_below(parents_match, child, inner)]
                if below:
                    yield from _entries(cluster, child, inner, below, [*path, key_of(child)], controller)


def attachments(cluster: Reader, gateway: Object, route: Object) -> list[Attachment]:
    """Results for the parentRefs of the route that refer to this Gateway.

    A Gateway without any listener that allows the route comes before a section that it does not have.
    """
    found = []
    for ref in route["spec"].get("parentRefs") or []:
        if not _refers_to(ref, route, gateway):
            continue
        listeners = gateway["spec"].get("listeners") or []
        allowed = [listener for listener in listeners if _allows(cluster, gateway, listener, route)]
        named = [
            listener
            for listener in allowed
            if ref.get("sectionName") in (None, listener["name"]) and ref.get("port") in (None, listener["port"])
        ]
        matching = [listener for listener in named if _common_hosts(listener, route) is not None]
        if not allowed:
            reason = "NotAllowedByListeners"
        elif not named:
            reason = "NoMatchingParent"
        else:
            reason = "" if matching else "NoMatchingListenerHostname"
        found.append(Attachment(ref, reason, matching))
    return found


def resolve(cluster: Reader, route: Object, ref: Object, controller: Controller) -> Backend:
    """The backend of a backendRef, or why it does not resolve (reason and message are kgateway's)."""
    group, kind, name = ref.get("group") or "", ref.get("kind") or "Service", ref["name"]
    home = route["metadata"]["namespace"]
    port, weight = int(ref.get("port") or 0), int(ref.get("weight", 1))
    missing = controller.line.backend_missing.format(kind=kind, namespace=ref.get("namespace") or home, name=name)
    if (group, kind) == (ISTIO_GROUP, "Hostname") and controller.reads_service_entries:
        # A host has no namespace: with one, the reference needs a grant and then resolves to nothing.
        explicit = ref.get("namespace") or ""
        if explicit and explicit != home and not _granted(cluster, route, explicit, group, kind, name):
            return Backend(kind, explicit, name, port, weight, "RefNotPermitted", "missing reference grant")
        entry = None if explicit else service_entry(cluster, name)
        if entry is None:
            return Backend(kind, explicit, name, port, weight, "BackendNotFound", missing)
        used_port = min((int(p["number"]) for p in entry["spec"]["ports"]), key=str)
        return Backend(kind, entry["metadata"]["namespace"], name, used_port, weight)
    namespace = ref.get("namespace") or home
    if delegates(ref):
        unresolved = () if children(cluster, route, ref) else ("BackendNotFound", "unresolved reference")
        return Backend(kind, namespace, name, port, weight, *unresolved)
    if (group, kind) != ("", "Service"):
        return Backend(kind, namespace, name, port, weight, "InvalidKind", "unknown backend kind")
    if namespace != home and not _granted(cluster, route, namespace, group, kind, name):
        return Backend(kind, namespace, name, port, weight, "RefNotPermitted", "missing reference grant")
    service = cluster.get("Service", name, namespace)
    if service is None or port not in [p["port"] for p in service["spec"].get("ports") or []]:
        return Backend(kind, namespace, name, port, weight, "BackendNotFound", missing)
    return Backend(kind, namespace, name, port, weight)


def service_entry(cluster: Reader, host: str) -> Object | None:
    """The ServiceEntry that kgateway uses for a host: exact match, any namespace, resolution not NONE, the oldest."""
    matching = [
        entry
        for entry in cluster.list("ServiceEntry")
        if host in (entry["spec"].get("hosts") or [])
        and entry["spec"].get("ports")
        and entry["spec"].get("resolution", "NONE") != "NONE"
    ]
    return min(matching, key=age, default=None)


def _as_dict(backend: Backend) -> dict[str, Any]:
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


def _refers_to(ref: Object, route: Object, gateway: Object) -> bool:
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
    """Hosts of the route that the listener serves; [] means any; None: no host in common."""
    of_listener, of_route = listener.get("hostname") or "", route["spec"].get("hostnames") or []
    if not of_listener or not of_route:
        return list(of_route) or ([of_listener] if of_listener else [])
    common = [host if _covers(of_listener, host) else of_listener for host in of_route if _overlap(of_listener, host)]
    return common or None


def _overlap(one: str, other: str) -> bool:
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
