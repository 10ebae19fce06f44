"""How the simulated Gloo Gateway evaluates HTTPRoutes that delegate to other HTTPRoutes. Pure.

A backendRef of kind HTTPRoute (`*`: all of the namespace), or one with a label, delegates to child routes. No
ReferenceGrant is needed. A child has no parentRefs, or one to the delegating route; with hostnames it is refused. Its
matches have to be below the parent's, or are relative to them with an annotation. Behaviour: kgateway 2.1.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from lab.control_plane.objects import Object, Reader, age, key_of, labels_of

GATEWAY_GROUP = "gateway.networking.k8s.io"
LABEL_GROUP, LABEL = "delegation.kgateway.dev", "delegation.kgateway.dev/label"
INHERIT = "delegation.kgateway.dev/inherit-parent-matcher"
EVERYWHERE = "all"  # as namespace of a reference by label


def delegates(ref: Object) -> bool:
    """Whether a backendRef leads to HTTPRoutes."""
    return (ref.get("group"), ref.get("kind")) in ((GATEWAY_GROUP, "HTTPRoute"), (LABEL_GROUP, "label"))


def children(cluster: Reader, route: Object, ref: Object) -> list[Object]:
    """HTTPRoutes that a delegating backendRef of the route selects, the oldest first."""
    where, name = ref.get("namespace") or route["metadata"]["namespace"], ref["name"]
    return [
        child
        for child in sorted(cluster.list("HTTPRoute"), key=age)
        if _selected(ref, where, name, child)
        and parent_ref(child, route) is not None
        and key_of(child) != key_of(route)
    ]


def parents(cluster: Reader, route: Object) -> list[Object]:
    """HTTPRoutes that delegate to this one."""
    return [
        parent
        for parent in cluster.list("HTTPRoute")
        for rule in parent["spec"].get("rules") or []
        if any(
            key_of(child) == key_of(route)
            for ref in rule.get("backendRefs") or []
            if delegates(ref)
            for child in children(cluster, parent, ref)
        )
    ]


def parent_ref(child: Object, parent: Object) -> Object | None:
    """The child's parentRef to a delegating route, one made for a child without any, None when it has others only."""
    refs, (namespace, name) = child["spec"].get("parentRefs") or [], key_of(parent)
    if not refs:
        return {"group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": namespace, "name": name}
    for ref in refs:
        place = ref.get("namespace") or child["metadata"]["namespace"], ref["name"]
        if (ref.get("group"), ref.get("kind")) == (GATEWAY_GROUP, "HTTPRoute") and place == (namespace, name):
            return dict(ref)
    return None


def refusal(child: Object) -> str:
    """Why a child is not accepted; empty when it is."""
    return "spec.hostnames must be unset on a delegatee route" if child["spec"].get("hostnames") else ""


def matches_below(parents_match: Object, child: Object, rule: Object) -> Iterator[Object]:
    """The matches of a child's rule that apply below one match of its parent."""
    inherits = (child["metadata"].get("annotations") or {}).get(INHERIT, "").lower() in ("true", "yes", "enabled")
    above = parents_match.get("path") or {}
    for match in rule.get("matches") or [{}]:
        path = match.get("path") or {}
        value = path.get("value", "/")
        if inherits:
            joined = posixpath.join(above.get("value", "/"), value.lstrip("/")).rstrip("/") or "/"
            headers = [*(parents_match.get("headers") or []), *(match.get("headers") or [])]
            method = parents_match.get("method") or match.get("method")
            yield {
                "path": {"type": path.get("type", "PathPrefix"), "value": joined},
                "headers": headers,
                **({"method": method} if method else {}),
            }
        elif (
            above.get("type", "PathPrefix") == "PathPrefix"
            and value.startswith(above.get("value", "/"))
            and all(header in (match.get("headers") or []) for header in parents_match.get("headers") or [])
            and parents_match.get("method") in (None, match.get("method"))
        ):
            yield match


def _selected(ref: Object, where: str, name: str, child: Object) -> bool:
    metadata = child["metadata"]
    if ref["kind"] == "HTTPRoute":
        return metadata["namespace"] == where and name in ("*", metadata["name"])
    return where in (EVERYWHERE, metadata["namespace"]) and labels_of(child).get(LABEL) == name
