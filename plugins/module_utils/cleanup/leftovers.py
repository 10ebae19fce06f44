# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects without our label that programs we installed leave behind (pure).

One rule decides: our note about a release is written before Helm first runs, so objects older than the note existed
before and are kept (``since``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from ..apply.manifests import Ref, is_adopted, is_ours
from ..gateway.products import PRODUCTS, product_of
from ..k8s.fields import Json, key_of, labels_of, mappings, meta, name_of, spec_of
from .releases import NotedRelease

# Objects that istiod writes in its namespace; the root certificate is in every namespace.
_ISTIO_CONFIG_MAPS = re.compile(
    r"istio-(leader|namespace-controller-election|gateway-status-leader|gateway-deployment-.*|ip-autoallocate|gateway-class-.*)"
)
ROOT_CERTIFICATE = "istio-ca-root-cert"

CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name"
_PROXY_KINDS = (
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Deployment",
    "Service",
    "ServiceAccount",
    "ConfigMap",
)

# Secrets of the relay that the management server and agents create.
_RELAY_SECRETS = (
    "relay-client-tls-secret",
    "relay-root-tls-secret",
    "relay-server-tls-secret",
    "relay-tls-signing-secret",
    "relay-identity-token-secret",
)

#: Secret with a key for cookies that a gateway controller of kgateway creates in its namespace, without a label
CONTROLLER_SECRET = "oauth2-hmac-secret"


def since(objects: Iterable[Json], releases: Iterable[NotedRelease]) -> list[Json]:
    """Objects not older than the earliest note about our releases; none without such a note.

    Both times are the API server's, in UTC with seconds, so they compare as text.
    """
    start = min((each.created for each in releases if each.created and each.ours), default="")
    return [obj for obj in objects if start and str(meta(obj).get("creationTimestamp") or "") >= start]


def _secrets_since(objects: Iterable[Json], releases: Iterable[NotedRelease], places: Collection[str]) -> list[Json]:
    """Like since(), only the Secrets in some namespaces."""
    young = since(objects, releases)
    return [obj for obj in young if obj["kind"] == "Secret" and meta(obj).get("namespace") in places]


def istio_leftovers(
    objects: Iterable[Json], releases: Iterable[NotedRelease], namespace: str, leaving: Mapping[str, str] | None = None
) -> list[Json]:
    """Objects that istiod created since our releases: root certificates, leases and keys in its namespace, classes.

    With another istiod in the namespace everything is kept, with one elsewhere the shared objects. ``leaving``:
    namespace -> revision of istiods that are removed. Secret ``cacerts`` is deleted only when Gloo Mesh issued it,
    because users store their own CA there.
    """
    known = list(objects)
    going = set((leaving or {}).items())
    staying = {
        str(meta(obj).get("namespace"))
        for obj in known
        if is_istiod(obj) and (meta(obj).get("namespace"), labels_of(obj).get("istio.io/rev")) not in going
    }
    if namespace in staying:
        return []
    left = [obj for obj in since(known, releases) if _left_by_istio(obj, namespace)]
    return [obj for obj in left if not staying or meta(obj).get("namespace") == namespace]


def is_istiod(obj: Json) -> bool:
    """Whether the object is a Pod of an istiod."""
    return obj["kind"] == "Pod" and labels_of(obj).get("app") == "istiod"


def _left_by_istio(obj: Json, namespace: str) -> bool:
    kind, name, same_namespace = obj["kind"], name_of(obj), meta(obj).get("namespace") == namespace
    if kind == "ConfigMap":
        return name == ROOT_CERTIFICATE or (same_namespace and _ISTIO_CONFIG_MAPS.fullmatch(name) is not None)
    if kind == "Secret":
        return same_namespace and (name == "istio-ca-secret" or (name == "cacerts" and _issued_by_gloo(obj)))
    return is_class_of_istio(obj)


def is_class_of_istio(obj: Json) -> bool:
    """Whether the object is a GatewayClass that istiod creates."""
    return obj["kind"] == "GatewayClass" and _controller(obj).startswith("istio.io/")


def _issued_by_gloo(secret: Json) -> bool:
    found = meta(secret)
    notes = [str(secret.get("type", "")), *(found.get("annotations") or {}), *(found.get("labels") or {})]
    return any("gloo.solo.io" in note for note in notes)


def relay_secrets(objects: Iterable[Json], releases: Iterable[NotedRelease], policies: Collection[str]) -> list[Json]:
    """Secrets that the management server and agents of our releases created in their namespaces.

    ``policies``: names of RootTrustPolicies; the server stores a generated root in a Secret.
    """
    ours = list(releases)
    places = {each.namespace for each in ours if each.ours}
    roots = {f"{name}-root-ca" for name in policies}
    return [
        obj
        for obj in _secrets_since(objects, ours, places)
        if (name_of(obj) in (*_RELAY_SECRETS, *roots) or (name_of(obj).endswith("-root-ca") and _issued_by_gloo(obj)))
    ]


def controller_leftovers(
    objects: Iterable[Json], releases: Iterable[NotedRelease], going: Iterable[Ref], kept: Collection[str] = ()
) -> list[Json]:
    """Objects of gateway controllers of our releases: GatewayClasses, a Secret, proxies of Gateways that we adopted.

    ``going``: objects that are deleted; a proxy goes with its Gateway, and one of a Gateway of others is theirs.
    ``kept``: controllerNames whose classes stay. Our controllers are those of the classes of
    Gateways that we wrote or, without such a Gateway, the preferred one among classes created since our note. A
    controller may create classes under several controllerNames, such as kgateway.dev/agentgateway.
    """
    known = list(objects)
    young = since(known, releases)
    classes = [obj for obj in young if obj["kind"] == "GatewayClass" and _controller(obj) not in ("", *kept)]
    ours = _our_controllers(known, classes)
    makers = {maker for obj in classes if _controller(obj) in ours for maker in _makers(obj)}
    mine = [
        obj
        for obj in classes
        if _controller(obj) in ours or (_is_sibling(_controller(obj), ours) and makers.intersection(_makers(obj)))
    ]
    names = {name_of(obj) for obj in mine}
    gateways = {(ref.namespace, ref.name) for ref in going if ref.kind == "Gateway"}
    gateways |= {key_of(obj) for obj in known if obj["kind"] == "Gateway" and not is_adopted(obj)}
    proxies = [
        obj
        for obj in young
        if obj["kind"] in _PROXY_KINDS
        and labels_of(obj).get(CLASS_LABEL) in names
        and (owner := _gateway_of(obj))
        and owner not in gateways
    ]
    return [*proxies, *mine, *_controller_secrets(known, releases)]


def _controller_secrets(objects: Iterable[Json], releases: Iterable[NotedRelease]) -> list[Json]:
    """Secrets of controllers of our releases; kept where another controller in the namespace uses the same one."""
    known, ours = list(objects), [each for each in releases if each.ours]
    deployments = {each.deployment for each in ours}
    others = {
        meta(obj).get("namespace")
        for obj in known
        if obj["kind"] == "Deployment" and key_of(obj) not in deployments and product_of(obj)
    }
    places = {each.namespace for each in ours if each.purpose == "controller"} - others
    return [obj for obj in _secrets_since(known, ours, places) if name_of(obj) == CONTROLLER_SECRET]


def _our_controllers(objects: Iterable[Json], classes: Iterable[Json]) -> set[str]:
    """controllerNames of the classes of the Gateways that we wrote."""
    gateways = [obj for obj in objects if obj["kind"] == "Gateway" and (is_ours(obj) or is_adopted(obj))]
    names = {spec_of(obj).get("gatewayClassName") for obj in gateways} - {None}
    found = {_controller(obj) for obj in classes if not names or name_of(obj) in names}
    preferred = [name for product in PRODUCTS for name in product.controllers if name in found]
    return found if names else set(preferred[:1])


def _controller(gateway_class: Json) -> str:
    return str(spec_of(gateway_class).get("controllerName") or "")


def _is_sibling(controller: str, ours: Collection[str]) -> bool:
    """Whether a controllerName is of the same product or domain as one of ours."""
    products = [product for product in PRODUCTS if set(ours).intersection(product.controllers)]
    domains = {name.partition("/")[0] for name in ours}
    return controller.partition("/")[0] in domains or any(controller in each.controllers for each in products)


def _makers(obj: Json) -> set[str]:
    """Field managers of the object without those of its status."""
    entries = mappings(meta(obj).get("managedFields"))
    return {str(entry.get("manager")) for entry in entries if entry.get("manager") and not entry.get("subresource")}


def _gateway_of(obj: Json) -> tuple[str, str] | None:
    """(namespace, name) of the Gateway that owns the object."""
    for owner in mappings(meta(obj).get("ownerReferences")):
        if owner.get("kind") == "Gateway":
            return str(meta(obj).get("namespace") or ""), str(owner.get("name") or "")
    return None
