# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module gateway_product_info: the product line that a cluster has, or will get, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ..helm.ownership import has_gitops, owner_of
from ..helm.plan import base_release
from ..helm.releases import NOTE_LABEL, Note, ReleaseHistory, read_release, read_releases
from ..helm.shown import secret_texts
from ..helm.values import merged
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden, Invalid, NotServed
from ..k8s.fields import Json, dig, key_of, labels_of, mapping, meta, name_of, spec_of, texts, title, title_of
from . import gateway_api
from .controller import AUTO_MTLS, INTEGRATION, controller_container, controllers, switch
from .gateway_parameters import spec_of_others
from .products import GLOO_GATEWAY, PRODUCTS, ParameterKind, Product, product_of
from .proxy_objects import containers, env_of
from .versions import Version, name_limit, of_labels

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "product": {"type": "str", "default": ""},
    "namespace": {"type": "str", "default": ""},
    "release": {"type": "str", "default": ""},
    "values": {"type": "dict", "default": {}},
    "chart_ref": {"type": "str", "default": ""},
    "chart_version": {"type": "str", "default": ""},
    # The name of a Secret, not a secret.
    "license_secret": {"type": "str", "default": "", "no_log": False},
    "parameters_name": {"type": "str", "default": ""},
    "gateways": {"type": "list", "elements": "str", "default": []},
    "gateway_namespaces": {"type": "list", "elements": "str", "default": []},
    "layer": {"type": "str", "default": "auto"},
    "gateway_api_layer": {"type": "str", "default": "auto"},
    "strict": {"type": "bool", "default": True},
}

GATEWAY_CLASS = ParameterKind("gateway.networking.k8s.io/v1", "GatewayClass")
CRD = ParameterKind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_RELEASE, _RELEASE_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"


@dataclass(frozen=True)
class Controller:
    """A gateway controller in a cluster. ``deployment``: {} when only its Helm release is there.

    ``history``: its Helm release; None for one of another chart, without Helm, or whose records cannot be read.
    """

    product: Product
    deployment: Json
    release: str = ""
    namespace: str = ""
    history: ReleaseHistory | None = None

    @property
    def title(self) -> str:
        return f"Deployment {meta(self.deployment).get('namespace')}/{name_of(self.deployment)} ({self.product.name})"


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: product, msg, warnings, requests. Raises Invalid for an unknown product and for several that fit.

    Without strict, errors of the cluster are not raised.
    """
    _check(params)
    try:
        with connect(params, progress) as cluster:
            controller = _find(cluster, params)
            product = _record(cluster, params, controller)
            warnings = list(_warnings(cluster, product, controller, params))
            crd = _object(cluster, CRD, gateway_api.CRD)
            requests = cluster.requests
    except ClusterError:
        if params.get("strict", True):
            raise
        named = next((each for each in PRODUCTS if each.name == params.get("product")), GLOO_GATEWAY)
        product, warnings, crd, requests = facts(named, None, params), [], None, 0
    product["gateway_api"] = gateway_api.gateway_api(crd, str(params.get("gateway_api_layer") or "auto"))
    name = params.get("cluster") or params["context"]
    where = f"Deployment {product['release_namespace']}/{product['deployment']}"
    state = f"controller is {where}" if product["installed"] else "no controller is installed"
    return {
        "changed": False,
        "msg": f"{name}: product line {product['name']}, {state}",
        "product": {"cluster": name, **product},
        **({"warnings": warnings} if warnings else {}),
        "requests": requests,
    }


def _check(params: Json) -> None:
    """Raises Invalid with the name of the role's variable."""
    names, cluster = [product.name for product in PRODUCTS], params.get("cluster") or params["context"]
    if params.get("product") not in ("", None, *names):
        raise Invalid(
            f"{cluster}: gateway_product is '{params['product']}': not a product line. Set one of {', '.join(names)}"
        )
    for variable, option in (("controller", "layer"), ("gateway_api", "gateway_api_layer")):
        if params.get(option) not in ("", None, "auto", "use", "manage"):
            raise Invalid(f"{cluster}: gateway_layers.{variable} is '{params[option]}'. Set auto, use or manage")


def secrets(params: dict[str, Any]) -> set[str]:
    """Texts of the parameters that must not be shown anywhere."""
    values = params.get("values")
    return secret_texts(values) if isinstance(values, dict) else set()


def facts(
    product: Product,
    controller: Controller | None,
    params: Json,
    crds: tuple[str, str] | None = None,
    licensed: bool = False,
) -> Json:
    """The record of a product line (pure). ``crds``: name and namespace of the Helm release of its CRDs."""
    release = base_release(controller.history) if controller and controller.history else None
    given = mapping(params.get("values"))
    values = merged(release.values if release else {}, given)
    namespace = params.get("namespace") or (controller.namespace if controller else product.namespace)
    place = controller.namespace if controller else namespace
    name = (controller.release if controller else "") or params.get("release") or product.name
    deployment = controller.deployment if controller else {}
    # Unknown, as with envFrom, is not a reason to refuse it: the proxy's containers are verified.
    integrated = bool(deployment) and all(switch(deployment, each) is not False for each in (AUTO_MTLS, INTEGRATION))
    registry, tag = _images(product, deployment, given, values, release.chart_version if release else "")
    unmanaged = bool(deployment) and (release is None or has_gitops(deployment))
    used_unchanged = {"use": True, "manage": False}.get(str(params.get("layer")), unmanaged)
    return {
        "name": product.name,
        "installed": bool(deployment),
        "namespace": namespace,
        "release": name,
        "release_namespace": place,
        "crds_release": crds[0] if crds else f"{product.name}-crds",
        "crds_namespace": crds[1] if crds else place,
        "chart": {"ref": f"{product.charts}/{product.name}", "version": product.version},
        "crds_chart": {"ref": f"{product.charts}/{product.name}-crds", "version": product.version},
        "crd_switches": {switch: list(names) for switch, names in product.crd_switches.items()},
        "deployment": name_of(deployment) or product.deployment(name, values),
        "controller_name": product.controllers[0],
        "gateway_class": product.gateway_class,
        "parameters": {"api_version": product.parameters[0].api_version, "kind": product.parameters[0].kind},
        "license_key": list(product.license_key),
        "license_secret": list(product.license_secret),
        "license_secret_values": product.license_secret_values,
        "licensed": licensed or not product.license_key or product.has_license(values),
        "sds_image": product.sds_image(registry, tag),
        "used_unchanged": used_unchanged,
        # CRDs of an existing controller fit it, whatever installed them.
        "crds_used_unchanged": used_unchanged or (bool(deployment) and crds is None),
        "gateway_name_limit": name_limit(
            _newest(
                product,
                of_labels(deployment),
                release.chart_version if release else "",
                "" if used_unchanged else _version_to_install(params, product),
            )
        ),
        "owner": owner_of(deployment, "", "") if unmanaged else "",
        "integrated": integrated,
    }


def _version_to_install(params: Json, product: Product) -> str:
    """The chart version that will be installed; a chart of the user without a version has any."""
    return str(params.get("chart_version") or ("any" if params.get("chart_ref") else product.version))


def _newest(product: Product, *versions: str) -> Version | None:
    """The newest kgateway in these versions of the product; None when one of them is unknown, or all are."""
    found = [product.kgateway_version(text) for text in versions if text]
    return None if None in found else max(filter(None, found), default=None)


def _images(product: Product, deployment: Json, given: Json, values: Json, version: str) -> tuple[str, str]:
    """Registry and tag of the proxy's images: as the controller will get them, as it has them, as its chart says."""
    env = {str(entry.get("name")): str(entry.get("value") or "") for entry in env_of(controller_container(deployment))}
    sources = (
        (dig(given, "image", "registry"), dig(given, "image", "tag")),
        (env.get("KGW_DEFAULT_IMAGE_REGISTRY"), env.get("KGW_DEFAULT_IMAGE_TAG")),
        (dig(values, "image", "registry"), dig(values, "image", "tag")),
        (product.registry, version or product.version),
    )
    registry, tag = (next(str(source[index]) for source in sources if source[index]) for index in (0, 1))
    return registry, tag


# -- reading the cluster


def _find(cluster: Cluster, params: Json) -> Controller | None:
    return _choose(cluster, params, _controllers(cluster)) or _choose(cluster, params, _released(cluster))


def _record(cluster: Cluster, params: Json, found: Controller | None) -> Json:
    product = found.product if found else _unused(cluster, params)
    record = facts(product, found, params, _crds(cluster, product), _licensed(cluster, found))
    if record["sds_image"] and _has_sds_image(cluster, product, record["namespace"], params):
        record["sds_image"] = {}
    _check_secret(cluster, product, str(params.get("license_secret") or ""), record["release_namespace"])
    return record


def _controllers(cluster: Cluster) -> list[Controller]:
    """The controllers that are deployed, in the order of products."""
    deployments = controllers(_listed(cluster, "apps/v1", "Deployment"))
    found = [_controller(each, product) for each in deployments if (product := product_of(each)) in PRODUCTS]
    renamed = [each for each in deployments if product_of(each) is None and not _is_agentgateway(each)]
    if renamed:
        found += _renamed(cluster, renamed, {each.product.name for each in found})
    return sorted(found, key=lambda each: PRODUCTS.index(each.product))


def _controller(deployment: Json, product: Product) -> Controller:
    notes = texts(meta(deployment).get("annotations"))
    namespace = notes.get(_RELEASE_NAMESPACE) or str(meta(deployment).get("namespace"))
    return Controller(product, deployment, notes.get(_RELEASE, ""), namespace)


def _renamed(cluster: Cluster, deployments: Sequence[Json], known: Collection[str]) -> Iterator[Controller]:
    """Controllers with names and images of their own: by the chart of their Helm release, else by the GatewayClass.

    A second controller of the same controllerName would reconcile the same Gateways. ``known``: products of others.
    """
    charts = {product.name: product for product in PRODUCTS}
    classes = _listed(cluster, GATEWAY_CLASS.api_version, GATEWAY_CLASS.kind)
    names = {spec_of(each).get("controllerName") for each in classes}
    left = [each for each in PRODUCTS if each.controllers[0] in names and each.name not in known]
    for deployment in deployments:
        notes = texts(meta(deployment).get("annotations"))
        name, namespace = notes.get(_RELEASE, ""), notes.get(_RELEASE_NAMESPACE, "")
        release = base_release(read_release(cluster, name, namespace)) if name and namespace else None
        product = charts.get(release.chart) if release else None
        if product is None and len(left) == len(deployments) == 1:
            product = left[0]
        if product is not None:
            yield _controller(deployment, product)


def _is_agentgateway(deployment: Json) -> bool:
    """Whether it is a controller of agentgateway, which may have the same settings."""
    images = [str(each.get("image") or "") for each in containers(deployment)]
    return any("agentgateway" in text for text in (name_of(deployment), *labels_of(deployment).values(), *images))


def _released(cluster: Cluster) -> list[Controller]:
    """The Helm releases of controllers: needed only where a Deployment is missing."""
    charts = {product.name: product for product in PRODUCTS}
    found = []
    for history in read_releases(cluster):
        release = base_release(history)
        if release is not None and release.chart in charts:
            found.append(Controller(charts[release.chart], {}, history.name, history.namespace, history))
    return sorted(found, key=lambda each: PRODUCTS.index(each.product))


def _choose(cluster: Cluster, params: Json, found: Sequence[Controller]) -> Controller | None:
    """The one that the parameters name, else the one that this collection uses already. Raises Invalid for several."""
    wanted = [each for each in found if params.get("product") in (None, "", each.product.name)]
    if release := params.get("release"):
        wanted = _narrowed(wanted, lambda each: each.release == release)
    if namespace := params.get("namespace"):
        wanted = _narrowed(wanted, lambda each: each.namespace == namespace)
    if len(wanted) > 1:
        notes = [Note.from_object(each) for each in cluster.list("v1", "ConfigMap", labels=NOTE_LABEL)]
        noted = {(note.namespace, note.name) for note in notes}
        wanted = _narrowed(wanted, lambda each: (each.namespace, each.release) in noted)
    if len(wanted) > 1:
        several = len({each.product.name for each in wanted}) > 1
        option = "gateway_product" if several else "gateway_release or gateway_namespace"
        raise Invalid(
            f"{cluster.name}: several gateway controllers: {', '.join(each.title for each in wanted)}. "
            f"Set {option} to the one to use",
            cluster=cluster.name,
        )
    if not wanted:
        return None
    chosen = wanted[0]
    history = chosen.history
    if history is None and chosen.release:
        history = read_release(cluster, chosen.release, chosen.namespace)
        release = base_release(history)
        # A release of another chart, such as one of a whole platform, is not ours to change.
        history = history if release and release.chart == chosen.product.name else None
    return Controller(chosen.product, chosen.deployment, chosen.release, chosen.namespace, history)


def _narrowed(found: Sequence[Controller], fits: Callable[[Controller], bool]) -> list[Controller]:
    return [each for each in found if fits(each)] or list(found)


def _unused(cluster: Cluster, params: Json) -> Product:
    """The product without a controller: the named one, else that of the Gateways or CRDs, else the default.

    A class that no Gateway uses may be left over. A class that is missing is known by its name.
    """
    for product in PRODUCTS:
        if product.name == params.get("product"):
            return product
    existing = _listed(cluster, GATEWAY_CLASS.api_version, GATEWAY_CLASS.kind)
    of_class = {product.gateway_class: product.controllers[0] for product in PRODUCTS}
    of_class |= {name_of(each): str(spec_of(each).get("controllerName")) for each in existing}
    gateways = _listed(cluster, GATEWAY_CLASS.api_version, "Gateway")
    used = {of_class.get(str(spec_of(each).get("gatewayClassName"))) for each in gateways}
    for product in PRODUCTS:
        if product.controllers[0] in used:
            return product
    return next((product for product in PRODUCTS if _crd(cluster, product.parameters[-1])), GLOO_GATEWAY)


def _crds(cluster: Cluster, product: Product) -> tuple[str, str] | None:
    """(name, namespace) of the Helm release with the product's CRDs; None when there is none."""
    for kind in reversed(product.parameters):
        notes = texts(meta(_crd(cluster, kind)).get("annotations"))
        name, namespace = notes.get(_RELEASE, ""), notes.get(_RELEASE_NAMESPACE, "")
        release = base_release(read_release(cluster, name, namespace)) if name and namespace else None
        if release and release.chart == f"{product.name}-crds":
            return name, namespace
    return None


def _crd(cluster: Cluster, kind: ParameterKind) -> Json | None:
    return _object(cluster, CRD, f"{kind.kind.lower()}.{kind.group}")  # the plural of these kinds is the singular


def _licensed(cluster: Cluster, controller: Controller | None) -> bool:
    """Whether the controller reads a licence from a Secret."""
    return controller is not None and any(
        (_secret(cluster, str(meta(controller.deployment).get("namespace")), name) or {}).get(key)
        for name, key in _license_references(controller.deployment)
    )


def _warnings(cluster: Cluster, product: Json, found: Controller | None, params: Json) -> Iterable[str]:
    """Proxies of all Gateways of the controller get the containers of the integration when it is enabled."""
    if found is None or product["used_unchanged"] or switch(found.deployment, AUTO_MTLS) is not False:
        return
    classes = {
        name_of(each)
        for each in _listed(cluster, GATEWAY_CLASS.api_version, GATEWAY_CLASS.kind)
        if spec_of(each).get("controllerName") == product["controller_name"]
    }
    names, namespaces = params.get("gateways") or (), params.get("gateway_namespaces") or ()
    ours = {(where or product["namespace"], name) for name, where in zip_longest(names, namespaces[: len(names)])}
    others = [
        title_of(each)
        for each in _listed(cluster, GATEWAY_CLASS.api_version, "Gateway")
        if spec_of(each).get("gatewayClassName") in classes and key_of(each) not in ours
    ]
    if others:
        controller = title("Deployment", product["deployment"], product["release_namespace"])
        effect = f"the Istio integration also adds sds and istio-proxy to {', '.join(others)}, whose Pods are restarted"
        without_image = (
            ". The controller's registry has no image sds: set sdsContainer.image in their parameters first, otherwise "
            "their new Pods cannot start"
        )
        without_change = ". Unless that is intended, use another controller, or run again when a restart is acceptable"
        yield f"{cluster.name}: {controller}: {effect}{without_image if product['sds_image'] else without_change}"


def _has_sds_image(cluster: Cluster, product: Product, namespace: str, params: Json) -> bool:
    """Whether others set an image of sds, in the parameters of the Gateway or in those of its class."""
    found = [_object(cluster, kind, params.get("parameters_name"), namespace) for kind in product.parameters]
    specs = [spec_of_others(each) for each in found]
    gateway_class = _object(cluster, GATEWAY_CLASS, product.gateway_class)
    reference = mapping(spec_of(gateway_class).get("parametersRef"))
    # kgateway ignores group and kind in the reference of a class.
    specs += [
        spec_of(_object(cluster, kind, reference.get("name"), reference.get("namespace")))
        for kind in product.parameters
    ]
    return any(dig(spec, "kube", "sdsContainer", "image") for spec in specs)


def _object(cluster: Cluster, kind: ParameterKind, name: str | None, namespace: str | None = None) -> Json | None:
    try:
        return cluster.get(kind.api_version, kind.kind, name, namespace) if name else None
    except (Forbidden, NotServed):
        return None


def _check_secret(cluster: Cluster, product: Product, name: str, namespace: str) -> None:
    """Raises Invalid for a given Secret that does not exist, or that the product's chart cannot use."""
    if name and product.license_key and not product.license_secret:
        raise Invalid(
            f"{cluster.name}: gateway_license_secret is set, but the chart of {product.name} has no value for it. "
            "Set gateway_license_key",
            cluster=cluster.name,
        )
    if name and product.license_key and _secret(cluster, namespace, name) is None:
        raise Invalid(
            f"{cluster.name}: Secret {namespace}/{name}: does not exist, but gateway_license_secret names it. "
            "Create it, or set gateway_license_key",
            cluster=cluster.name,
        )


def _license_references(deployment: Json) -> Iterable[tuple[str, str]]:
    """(Secret, key) of the environment variables with a licence."""
    for container in containers(deployment):
        for entry in env_of(container):
            reference = mapping(dig(entry, "valueFrom", "secretKeyRef"))
            if "LICENSE" in str(entry.get("name")).upper() and reference.get("name"):
                yield str(reference["name"]), str(reference.get("key"))


def _secret(cluster: Cluster, namespace: str, name: str) -> Json | None:
    """The data of a Secret; None when it does not exist."""
    found = cluster.get("v1", "Secret", name, namespace)
    return None if found is None else mapping(found.get("data"))


def _listed(cluster: Cluster, api_version: str, kind: str) -> list[Json]:
    try:
        return cluster.list(api_version, kind)
    except (Forbidden, NotServed):
        return []
