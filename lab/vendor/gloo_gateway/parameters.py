"""The parameters of a Gateway, from its GatewayClass and from the Gateway itself. Pure."""

from __future__ import annotations

from typing import NamedTuple

from lab.control_plane.objects import Object, Reader
from lab.vendor.gloo_gateway.controllers import Controller
from lab.vendor.gloo_gateway.products import OPEN_SOURCE_PARAMETERS
from lab.vendor.gloo_gateway.proxy_defaults import merged


class Parameters(NamedTuple):
    """kube: merged spec.kube over the defaults, None when self-managed or in error.

    overlays: each layer's spec.kube whose overlays apply, the class first. error: makes the Gateway InvalidParameters.
    """

    kube: Object | None
    overlays: tuple[Object, ...] = ()
    error: str = ""


class _Invalid(Exception):
    """Parameters that cannot be used; the text is the problem."""


def parameters(cluster: Reader, gateway: Object, gateway_class: Object, controller: Controller) -> Parameters:
    """Merged parameters: defaults, then those of the class, then those of the Gateway."""
    try:
        own = _of_gateway(cluster, gateway, controller)
        of_class = _of_class(cluster, gateway_class, controller)
    except _Invalid as problem:
        return Parameters(None, error=values_error(gateway, controller, str(problem)))
    if any((each.get("spec") or {}).get("selfManaged") is not None for each in (of_class, own)):
        return Parameters(None)
    layers = [(each.get("spec") or {}).get("kube") or {} for each in (of_class, own)]
    # Group and kind of a class's reference count for its overlays alone.
    with_overlays = [_accepted(gateway_class["spec"].get("parametersRef"), controller), True]
    overlays = tuple(layer for layer, used in zip(layers, with_overlays, strict=True) if used)
    return Parameters(merged(*layers), overlays if controller.line.overlays else ())


def values_error(gateway: Object, controller: Controller, problem: str) -> str:
    """Message of a Gateway whose settings cannot be put together."""
    metadata = gateway["metadata"]
    place = {"namespace": metadata["namespace"], "gateway": metadata["name"]}
    return controller.line.values_error.format(**place, problem=problem)


def _of_gateway(cluster: Reader, gateway: Object, controller: Controller) -> Object:
    """Parameters of the Gateway itself, {} without a reference."""
    ref = (gateway["spec"].get("infrastructure") or {}).get("parametersRef")
    if ref is None:
        return {}
    group, kind = ref.get("group"), ref.get("kind")
    if group not in [accepted for accepted, _kind in controller.product.parameters]:
        raise _Invalid(f"invalid group {group} for GatewayParameters")
    if not _accepted(ref, controller):
        raise _Invalid(f"invalid kind {kind} for GatewayParameters")
    namespace, name = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
    return _found(cluster, (group, kind), ref["name"], namespace, f"Gateway ({namespace}.{name})", controller)


def _of_class(cluster: Reader, gateway_class: Object, controller: Controller) -> Object:
    """Parameters of the class, {} without a reference; a reference of a foreign kind is read as the open-source one."""
    ref = gateway_class["spec"].get("parametersRef")
    if ref is None:
        return {}
    kind = (ref["group"], ref["kind"]) if _accepted(ref, controller) else OPEN_SOURCE_PARAMETERS
    owner = f"GatewayClass ({gateway_class['metadata']['name']})"
    return _found(cluster, kind, ref["name"], ref.get("namespace") or "", owner, controller)


def _found(
    cluster: Reader, kind: tuple[str, str], name: str, namespace: str, owner: str, controller: Controller
) -> Object:
    found = cluster.get(kind[1], name, namespace)
    if found is None:
        missing = controller.line.parameters_missing.format(group=kind[0], kind=kind[1], name=name)
        raise _Invalid(f"({namespace}.{name}) for {owner}: could not retrieve {kind[1]}: {missing}")
    return found


def _accepted(ref: Object | None, controller: Controller) -> bool:
    return ref is not None and (ref.get("group"), ref.get("kind")) in controller.product.parameters
