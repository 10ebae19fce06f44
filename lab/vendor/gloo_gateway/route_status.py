"""The status of HTTPRoutes, and how many of them a Gateway's listeners have. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.control_plane.objects import Key, Object, Reader, conditions, key_of, status_of
from lab.vendor.gloo_gateway.controllers import Controller
from lab.vendor.gloo_gateway.delegation import parent_ref, parents, refusal
from lab.vendor.gloo_gateway.listeners import valid
from lab.vendor.gloo_gateway.routes import Attachment, attachments, resolve

ROUTE_CONDITIONS = {
    "Accepted": ("True", "Accepted", "Successfully accepted Route"),
    "ResolvedRefs": ("True", "ResolvedRefs", "Successfully resolved all references"),
}


def attached_routes(cluster: Reader, gateway: Object) -> dict[str, int]:
    """Number of HTTPRoutes by listener name; a route counts when the listener accepts it, whatever its backends are."""
    counts: dict[str, int] = {}
    for route in cluster.list("HTTPRoute"):
        accepted = {li["name"] for attachment in attachments(cluster, gateway, route) for li in attachment.listeners}
        for name in accepted:
            counts[name] = counts.get(name, 0) + 1
    return counts


def route_status(cluster: Reader, route: Object, gateways: list[Object], controller: Controller) -> Object | None:
    """Status of an HTTPRoute with the controller's entries; None when none of its parents is among the Gateways.

    Then the status is not changed. Routes that delegate to it are parents too; listeners that are not valid are none.
    """
    name = controller.name
    found = [
        attachment
        for gateway in gateways
        for attachment in attachments(cluster, gateway, route)
        if attachment.reason or any(each in valid(gateway, controller) for each in attachment.listeners)
    ]
    order = {id(ref): place for place, ref in enumerate(route["spec"].get("parentRefs") or [])}
    found.sort(key=lambda attachment: order[id(attachment.parent_ref)])
    refused_child = refusal(route)
    for parent in parents(cluster, route):
        ref = parent_ref(route, parent)
        if ref is not None and is_served(cluster, parent, gateways):
            found.append(Attachment(ref, "UnsupportedValue" if refused_child else "", []))
    if not found:
        return None
    generation, before = route["metadata"].get("generation", 1), status_of(route).get("parents") or []
    broken: dict[str, tuple[str, str, str]] = {}
    for rule in route["spec"].get("rules") or []:
        for ref in rule.get("backendRefs") or []:
            backend = resolve(cluster, route, ref, controller)
            if backend.reason:
                broken["ResolvedRefs"] = ("False", backend.reason, backend.message)
    ours = []
    for attachment in found:
        text = refused_child if attachment.reason == "UnsupportedValue" else ""
        refused = {"Accepted": ("False", attachment.reason, text)} if attachment.reason else {}
        # Backends are looked at only where a listener takes the route.
        problems = refused if attachment.reason and attachment.reason != "UnsupportedValue" else {**broken, **refused}
        old: Object = next((p for p in before if p["controllerName"] == name and p["parentRef"] == attachment[0]), {})
        ours.append(
            {
                "controllerName": name,
                "parentRef": attachment.parent_ref,
                "conditions": conditions(ROUTE_CONDITIONS, problems, generation, old.get("conditions")),
            }
        )
    others = [p for p in before if p["controllerName"] != name]
    return {"parents": sorted([*others, *ours], key=lambda parent: parent["controllerName"])}


def is_served(cluster: Reader, route: Object, gateways: list[Object], path: Sequence[Key] = ()) -> bool:
    """Whether a listener of the Gateways accepts the route, or one that delegates to it."""
    if any(attachment.listeners for gateway in gateways for attachment in attachments(cluster, gateway, route)):
        return True
    seen = [*path, key_of(route)]
    return any(
        is_served(cluster, parent, gateways, seen) for parent in parents(cluster, route) if key_of(parent) not in seen
    )
