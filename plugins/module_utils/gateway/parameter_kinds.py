# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameter kinds, one per product, with the controllers that accept them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..k8s.client import Cluster
from ..k8s.errors import Forbidden, Invalid, NotServed
from ..k8s.fields import name_of, spec_of
from .products import BY_CONTROLLER, GATEWAY_PARAMETERS, KNOWN, ParameterKind

#: alternative to parametersRef for Gateways of Gloo Gateway 1.x
V1_ANNOTATION = "gateway.gloo.solo.io/gateway-parameters-name"

PARAMETER_KINDS: tuple[ParameterKind, ...] = tuple(
    dict.fromkeys(kind for product in KNOWN for kind in product.parameters)
)

#: controllerName of a GatewayClass -> the kinds its controller accepts, preferred first
CONTROLLERS: dict[str, tuple[ParameterKind, ...]] = {
    name: product.parameters for name, product in BY_CONTROLLER.items()
}


def served_kinds(cluster: Cluster) -> list[ParameterKind]:
    """The kinds of the table that the API server serves, in every version, a group's preferred version first.

    One request, and one per version of each group that is there.
    """
    groups = {row["name"]: row for row in cluster.api_groups()}
    found = []
    for published in PARAMETER_KINDS:
        group = groups.get(published.group, {})
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        versions = [row["groupVersion"] for row in group.get("versions") or ()]
        for api_version in sorted(versions, key=lambda version: version != preferred):
            if any(row.kind == published.kind for row, _verbs in cluster.resources(api_version)):
                found.append(ParameterKind(api_version, published.kind))
    return found


def choose(served: Sequence[ParameterKind], controllers: Iterable[str]) -> list[ParameterKind]:
    """The kinds that controllers prefer among the served ones; exactly one when unambiguous (pure).

    ``controllers``: controllerNames of the GatewayClasses. Where none is known, every product is possible.
    """
    kinds = {(kind.group, kind.kind): kind for kind in reversed(served)}  # the first version of each
    if len(kinds) == 1:
        return list(kinds.values())
    candidates = [CONTROLLERS[name] for name in sorted(set(controllers)) if name in CONTROLLERS] or CONTROLLERS.values()
    chosen = []
    for accepted in candidates:
        best = next((kinds[key] for kind in accepted if (key := (kind.group, kind.kind)) in kinds), None)
        if best and best not in chosen:
            chosen.append(best)
    return chosen


def kind_to_use(cluster: Cluster, api_version: str | None = None, kind: str | None = None) -> ParameterKind | None:
    """The kind for this cluster, narrowed by the caller's options; None when it serves none of the table.

    Raises NotServed for a requested kind that is not served, Invalid when several match; both list what is served.
    """
    if api_version and kind and cluster.served(api_version, kind):
        return ParameterKind(api_version, kind)
    served = served_kinds(cluster)
    if not served:
        return None
    fitting = [each for each in served if api_version in (None, each.api_version) and kind in (None, each.kind)]
    if not fitting:
        wanted = " ".join(filter(None, (api_version, kind)))
        raise NotServed(
            f"{cluster.name}: the API server does not serve {wanted}; it serves {_listed(served)}. Correct "
            "api_version and kind, or omit them",
            cluster=cluster.name,
            served=[f"{each.api_version} {each.kind}" for each in served],
        )
    chosen = choose(fitting, ())
    if len({(each.group, each.kind) for each in fitting}) > 1:
        classes, why = _controllers(cluster)
        chosen = choose(fitting, classes)
        if len(chosen) != 1:
            raise Invalid(
                f"{cluster.name}: the cluster serves {_listed(fitting)} and {why}. Set api_version and kind to the one "
                "that your Gateway's controller accepts",
                cluster=cluster.name,
                candidates=[f"{each.api_version} {each.kind}" for each in chosen or fitting],
            )
    return chosen[0]


def unserved(api_version: str | None, kind: str | None) -> ParameterKind:
    """The kind to name while none is served: the published one that matches the caller's options."""
    for each in PARAMETER_KINDS:
        if api_version in (None, each.api_version) and kind in (None, each.kind):
            return each
    return ParameterKind(api_version or GATEWAY_PARAMETERS.api_version, kind or GATEWAY_PARAMETERS.kind)


def _controllers(cluster: Cluster) -> tuple[list[str], str]:
    """The controllerNames of the GatewayClasses, and a phrase about them for error messages."""
    try:
        classes = cluster.list("gateway.networking.k8s.io/v1", "GatewayClass")
    except NotServed:
        return [], "no GatewayClass determines which one is used"
    except Forbidden:
        return [], "GatewayClasses, which determine the one in use, cannot be listed"
    known = {
        f"{name_of(each)} ({name})": name
        for each in classes
        if (name := str(spec_of(each).get("controllerName"))) in CONTROLLERS
    }
    if not known:
        return [], "no GatewayClass determines which one is used"
    known_classes = ", ".join(sorted(known))
    return list(known.values()), f"its GatewayClasses do not determine which one is used: {known_classes}"


def _listed(kinds: Sequence[ParameterKind]) -> str:
    return ", ".join(f"{each.api_version} {each.kind}" for each in kinds)
