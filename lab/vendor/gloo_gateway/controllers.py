"""The controllers that run in a cluster: their Pods, settings, licences, GatewayClasses and Secret."""

from __future__ import annotations

import base64
import re
import secrets
from typing import NamedTuple

from lab.control_plane.objects import Object, Reader, conditions, labels_of, newest_ready, selects, status_of
from lab.vendor.gloo_gateway.lines import OLDEST, Line, line_of
from lab.vendor.gloo_gateway.products import AGENTGATEWAY, PRODUCTS, Product, runs

LICENCES = ("LICENSE_KEY",)
AUTO_MTLS, INTEGRATION = "KGW_ENABLE_ISTIO_AUTO_MTLS", "KGW_ENABLE_ISTIO_INTEGRATION"
CHART = "helm.sh/chart"
OAUTH2_SECRET = "oauth2-hmac-secret"


# What the proxies themselves listen on.
ENVOY_PORTS = frozenset({8082, 9091, 19000})
AGENTGATEWAY_PORTS = frozenset({15000, 15020, 15021})


class Controller(NamedTuple):
    """What decides about a controller's behaviour.

    line: of its chart; env: its environment; name: the controllerName of the classes that it serves in this role.
    """

    product: Product
    line: Line
    env: dict[str, str]
    name: str

    @property
    def reads_service_entries(self) -> bool:
        return self.line.reads_service_entries_always or is_on(self.env, INTEGRATION)

    @property
    def is_agentgateway(self) -> bool:
        return self.name == AGENTGATEWAY

    @property
    def reserved_ports(self) -> frozenset[int]:
        return AGENTGATEWAY_PORTS if self.is_agentgateway else ENVOY_PORTS


# Where no controller is found, Envoy keeps a configuration with all routes.
NOBODY = Controller(PRODUCTS[0], OLDEST, {}, PRODUCTS[0].controller)


def is_on(env: dict[str, str], switch: str) -> bool:
    """Whether a switch is on (as Go parses booleans)."""
    return env.get(switch, "").strip() in ("1", "t", "T", "true", "TRUE", "True")


def oauth2_secret(pod: Object) -> Object:
    """The Secret that a controller creates in its namespace, without labels: a key for the cookies of OAuth2."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": OAUTH2_SECRET, "namespace": pod["metadata"]["namespace"]},
        "data": {"hmac-secret": base64.b64encode(secrets.token_bytes(32)).decode()},
    }


def controller_pod(cluster: Reader, product: Product) -> Object | None:
    """The newest ready Pod of a product's controller, None without one."""
    return newest_ready([pod for pod in cluster.list("Pod", labels={"kgateway": "kgateway"}) if runs(product, pod)])


def controller(cluster: Reader, product: Product, pod: Object) -> Controller:
    """A Pod's controller. The line is that of the chart that its Deployment is labelled with, whatever its image."""
    mine = [
        deployment
        for deployment in cluster.list("Deployment", pod["metadata"]["namespace"])
        if selects(deployment["spec"].get("selector"), labels_of(pod))
    ]
    return Controller(product, _line(mine[0]) if mine else OLDEST, environment(pod), product.controller)


def serving(cluster: Reader, gateway: Object) -> Controller:
    """The controller of a Gateway by the Deployment that should run it, also while that has no Pod."""
    gateway_class = cluster.get("GatewayClass", gateway["spec"]["gatewayClassName"])
    name = gateway_class["spec"].get("controllerName") if gateway_class else None
    for product in PRODUCTS:
        if name in product.controllers:
            for deployment in cluster.list("Deployment"):
                template = deployment["spec"]["template"]
                if runs(product, template):
                    return Controller(product, _line(deployment), environment(template), name)
    return NOBODY


def environment(pod: Object) -> dict[str, str]:
    """The controller's environment."""
    return {entry["name"]: entry.get("value") or "" for entry in pod["spec"]["containers"][0].get("env") or []}


def has_licence(cluster: Reader, pod: Object) -> bool:
    """Whether the controller has a licence, as text or from a Secret; any text that is not empty is valid here."""
    for entry in pod["spec"]["containers"][0].get("env") or []:
        if entry["name"] not in LICENCES:
            continue
        reference = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
        secret = cluster.get("Secret", reference.get("name", ""), pod["metadata"]["namespace"]) or {}
        if entry.get("value") or (secret.get("data") or {}).get(reference.get("key")):
            return True
    return False


def new_classes(product: Product, line: Line) -> list[Object]:
    """The GatewayClasses that the controller creates; they stay when the controller is uninstalled."""
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "spec": {"controllerName": name_of_controller, "description": text},
        }
        for name, name_of_controller, text in product.classes
        if name_of_controller in served_names(product, line)
    ]


def served_names(product: Product, line: Line) -> list[str]:
    """The controllerNames whose classes a product serves."""
    return [name for name in product.controllers if name == product.controller or line.agentgateway]


def class_status(gateway_class: Object, product: Product) -> Object:
    """Status of a GatewayClass with a controllerName of the product."""
    generation = gateway_class["metadata"].get("generation", 1)
    accepted = {"Accepted": ("True", "Accepted", f"GatewayClass accepted by {product.name} controller")}
    return {"conditions": conditions(accepted, {}, generation, status_of(gateway_class).get("conditions"))}


def _line(deployment: Object) -> Line:
    version = re.search(r"-(v?\d+\.\d+.*)", labels_of(deployment).get(CHART, ""))
    return line_of(version[1] if version else "")
