"""Which listeners of a Gateway are valid, and the conditions of listeners and Gateway that follow. Pure.

A listener is bad for its protocol, its kinds of routes, a port that the proxy uses itself, or what is beside it:
another protocol or the same host name on its port. An HTTPS listener also needs its certificate.
"""

from __future__ import annotations

from lab.control_plane.objects import Condition, Object, Reader, conditions, status_of
from lab.vendor.gloo_gateway.certificates import Refused, certificate
from lab.vendor.gloo_gateway.controllers import Controller

GATEWAY_GROUP = "gateway.networking.k8s.io"

# Conditions without a problem: type -> status, reason, message.
GATEWAY_CONDITIONS: dict[str, Condition] = {
    "AttachedListenerSets": ("Unknown", "ListenerSetsNotAllowed", ""),
    "Accepted": ("True", "Accepted", "Successfully accepted Gateway"),
    "Programmed": ("True", "Programmed", "Successfully programmed Gateway"),
    "ResolvedRefs": ("True", "ResolvedRefs", "Successfully resolved all Gateway references"),
}
LISTENER_CONDITIONS: dict[str, Condition] = {
    "Accepted": ("True", "Accepted", "Successfully accepted Listener"),
    "Conflicted": ("False", "NoConflicts", "Successfully verified that Listener has no conflicts"),
    "ResolvedRefs": ("True", "ResolvedRefs", "Successfully resolved all references"),
    "Programmed": ("True", "Programmed", "Successfully programmed Listener"),
}
PROTOCOL_CONFLICT = (
    "Found conflicting protocols on listeners, a single port can only contain listeners with compatible protocols"
)
HOSTNAME_CONFLICT = (
    "Found conflicting hostnames on listeners, all listeners on a single port must have unique hostnames"
)
ROUTE_KINDS = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TCP": ("TCPRoute",),
    "TLS": ("TLSRoute",),
}
Overrides = dict[str, Condition]  # of a listener's conditions, those with a problem


def verdicts(gateway: Object, controller: Controller) -> dict[str, Overrides]:
    """Problems of each listener by name, apart from certificates; a listener is valid unless `rejected`."""
    listed = gateway["spec"].get("listeners") or []
    found = {listener["name"]: _kinds(listener) for listener in listed}
    candidates = [each for each in listed if not _unsupported(each, found[each["name"]], controller)]
    for listener in candidates:
        beside = [other for other in candidates if other["port"] == listener["port"]]
        reason, message = (
            "Invalid",
            _reserved(gateway, listener, controller) if listener["port"] in controller.reserved_ports else "",
        )
        if any(_on_wire(other) != _on_wire(listener) for other in beside):
            first = beside[0]["protocol"] == listener["protocol"]
            reason, message = ("Invalid", message) if first else ("ProtocolConflict", PROTOCOL_CONFLICT)
        same_host = [other for other in beside if (other.get("hostname") or "") == (listener.get("hostname") or "")]
        if reason == "Invalid" and same_host[0] is not listener:
            reason, message = "HostnameConflict", HOSTNAME_CONFLICT
        if message:
            found[listener["name"]] |= {
                "Conflicted": ("True", reason, message),
                "Accepted": ("False", reason, message),
                "Programmed": ("False", reason, message),
            }
    return found


def valid(gateway: Object, controller: Controller) -> list[Object]:
    """The listeners that are valid, whether or not they have their certificate."""
    problems = verdicts(gateway, controller)
    return [
        listener
        for listener in gateway["spec"].get("listeners") or []
        if not _unsupported(listener, problems[listener["name"]], controller)
        and "Conflicted" not in problems[listener["name"]]
    ]


def conditions_of(
    cluster: Reader, gateway: Object, controller: Controller, error: str
) -> tuple[list[Object], dict[str, list[Object]]]:
    """Conditions of the Gateway, and of its listeners by name. error: in its parameters, changes Accepted only."""
    generation, before = gateway["metadata"].get("generation", 1), status_of(gateway)
    former = {listener["name"]: listener.get("conditions") for listener in before.get("listeners") or []}
    good = [listener["name"] for listener in valid(gateway, controller)]
    problems = verdicts(gateway, controller)
    for listener in gateway["spec"].get("listeners") or []:
        if listener["name"] in good:
            problems[listener["name"]] |= without_certificate(cluster, gateway, listener, controller)
    overrides = _of_gateway(problems, good, controller)
    if error:
        overrides["Accepted"] = ("False", "InvalidParameters", error)
    wanted = {kind: GATEWAY_CONDITIONS[kind] for kind in controller.line.gateway_conditions}
    return (
        conditions(wanted, overrides, generation, before.get("conditions")),
        {
            name: conditions(LISTENER_CONDITIONS, problem, generation, former.get(name))
            for name, problem in problems.items()
        },
    )


def supported_kinds(listener: Object) -> list[Object]:
    """The kinds of routes that a listener takes."""
    supported = ROUTE_KINDS.get(listener.get("protocol", ""), ())
    wanted = (listener.get("allowedRoutes") or {}).get("kinds") or [{"kind": kind} for kind in supported]
    return [{"group": GATEWAY_GROUP, "kind": each["kind"]} for each in wanted if _is_supported(each, supported)]


def without_certificate(cluster: Reader, gateway: Object, listener: Object, controller: Controller) -> Overrides:
    """The conditions that the missing certificate of an HTTPS listener makes False."""
    if listener.get("protocol") != "HTTPS":
        return {}
    try:
        certificate(cluster, gateway, listener)
    except Refused as refused:
        text = str(refused)
        found = {"ResolvedRefs": ("False", refused.reason, text), "Programmed": ("False", "Invalid", text)}
        return found if controller.line.accepts_without_certificate else {**found, "Accepted": found["Programmed"]}
    return {}


def _of_gateway(problems: dict[str, Overrides], good: list[str], controller: Controller) -> Overrides:
    """Problems of the Gateway: with all of its listeners bad it is not programmed."""
    found: Overrides = {}
    conflicted = [name for name, problem in problems.items() if "Conflicted" in problem]
    bad = [name for name in problems if name not in good]
    if not good:
        found["Accepted"] = ("False", "ListenersNotValid", "No valid listeners")
        found["Programmed"] = ("False", "Invalid", "")
    elif conflicted or (bad and controller.line.counts_listeners):
        found["Accepted"] = ("True", "ListenersNotValid", "")
    if good and conflicted:
        reason = controller.line.partly_programmed
        text = GATEWAY_CONDITIONS["Programmed"][2] if reason == "Programmed" else ""
        found["Programmed"] = ("True", reason, text)
    texts = [f"{name}: {each['Programmed'][2]}" for name, each in problems.items() if "Programmed" in each]
    if texts:
        found["Accepted"] = ("True", "ListenersNotValid", f"Some listeners are not programmed: {'; '.join(texts)}")
    if any("ResolvedRefs" in problem for problem in problems.values()):
        found["ResolvedRefs"] = ("False", "ListenersNotResolved", "One or more listeners have unresolved references")
    return found


def _kinds(listener: Object) -> Overrides:
    """The problems of a listener's protocol and allowed kinds of routes."""
    protocol = listener.get("protocol", "")
    if protocol not in ROUTE_KINDS:
        return {"Accepted": ("False", "UnsupportedProtocol", f"Protocol {protocol} is unsupported.")}
    wanted = (listener.get("allowedRoutes") or {}).get("kinds") or []
    wrong = [each["kind"] for each in wanted if not _is_supported(each, ROUTE_KINDS[protocol])]
    if wrong:
        return {"ResolvedRefs": ("False", "InvalidRouteKinds", f"Found invalid route kinds: [{', '.join(wrong)}]")}
    return {}


def _unsupported(listener: Object, problem: Overrides, controller: Controller) -> bool:
    """Whether protocol or kinds of routes make a listener invalid; the rest of it is not looked at then."""
    if problem.get("Accepted", ("", "", ""))[1] == "UnsupportedProtocol":
        return True
    if problem.get("ResolvedRefs", ("", "", ""))[1] != "InvalidRouteKinds":
        return False
    return not (controller.line.some_route_kinds_suffice and supported_kinds(listener))


def _is_supported(kind: Object, supported: tuple[str, ...]) -> bool:
    return kind.get("group", GATEWAY_GROUP) == GATEWAY_GROUP and kind["kind"] in supported


def _on_wire(listener: Object) -> str:
    return "TLS" if listener["protocol"] in ("HTTPS", "TLS") else str(listener["protocol"])


def _reserved(gateway: Object, listener: Object, controller: Controller) -> str:
    metadata = gateway["metadata"]
    return controller.line.reserved_port.format(
        port=listener["port"], namespace=metadata["namespace"], gateway=metadata["name"], listener=listener["name"]
    )
