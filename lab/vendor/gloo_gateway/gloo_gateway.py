"""The gateway controllers (products.py), simulated after recordings of kgateway 2.1 and 2.3 (lines.py).

One acts in every cluster where its Deployment has a ready Pod, with that Pod's environment and its chart's line. It
serves all GatewayClasses with its controllerName, renders proxies (proxy.py), evaluates routes (routes.py) and writes
status. Gateways of other classes are not changed, HTTPRoutes without a Gateway keep their last status.
"""

from __future__ import annotations

import threading

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, deleting
from lab.pods.pod_logs import SimulatedLogs
from lab.vendor.gloo_gateway.controllers import (
    OAUTH2_SECRET,
    Controller,
    class_status,
    controller,
    controller_pod,
    has_licence,
    new_classes,
    oauth2_secret,
    served_names,
)
from lab.vendor.gloo_gateway.gateway_status import gateway_status, observed
from lab.vendor.gloo_gateway.parameters import parameters
from lab.vendor.gloo_gateway.products import PRODUCTS, Product
from lab.vendor.gloo_gateway.proxy import Rendered, RenderError, render
from lab.vendor.gloo_gateway.route_status import route_status

# Seconds for which a new Gateway with invalid parameters was Accepted=True in recordings: of two writers the
# slower one has the correct status.
ACCEPTED_FIRST = 0.4
NO_SUCH_KIND = "the server could not find the requested resource"


class GlooGateway:
    """The controllers of all products in all clusters; see the module's docstring."""

    name = "gloo-gateway"
    kinds = (
        "Deployment",
        "Pod",
        "Service",
        "ServiceAccount",
        "ConfigMap",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Namespace",
        "GatewayClass",
        "Gateway",
        "HTTPRoute",
        "ReferenceGrant",
        "GatewayParameters",
        "GlooGatewayParameters",
        "EnterpriseKgatewayParameters",
        "Secret",
        "ServiceEntry",
        "CustomResourceDefinition",
    )

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._written: set[str] = set()  # uids of Gateways with a status from this process
        self._logs = SimulatedLogs()

    def reconcile(self, lab: Lab) -> None:
        """One round over all clusters; an error in one does not stop the others."""
        failed: list[ApiError] = []
        for cluster in lab.clusters.values():
            try:
                self._cluster(lab, cluster)
            except ApiError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        self._stopped.set()

    def _cluster(self, lab: Lab, cluster: Cluster) -> None:
        if not cluster.served("Gateway") or not cluster.served("GatewayParameters"):
            return
        for product in PRODUCTS:
            if product.name in lab.programs:  # its Pods run the real controller
                continue
            pod = controller_pod(cluster, product)
            if pod is None:
                continue
            if product.licensed and not has_licence(cluster, pod):
                self._logs.write(lab.home, cluster.name, pod, "error", "no valid license key found", topic="license")
                continue
            self._product(lab, cluster, product, pod)

    def _product(self, lab: Lab, cluster: Cluster, product: Product, pod: Object) -> None:
        """The classes of one product, and its controllers' Gateways."""
        running = controller(cluster, product, pod)
        if cluster.get("Secret", OAUTH2_SECRET, pod["metadata"]["namespace"]) is None:
            cluster.apply(oauth2_secret(pod), product.name)
        for new in new_classes(product, running.line):
            if cluster.get("GatewayClass", new["metadata"]["name"]) is None:
                cluster.apply(new, product.name)
        for name in served_names(product, running.line):
            self._serve(lab, cluster, running._replace(name=name), pod)

    def _serve(self, lab: Lab, cluster: Cluster, running: Controller, pod: Object) -> None:
        """The classes, routes and Gateways of one controllerName."""
        manager, served = running.product.name, {}
        for gateway_class in cluster.list("GatewayClass"):
            if gateway_class["spec"].get("controllerName") == running.name:
                cluster.set_status(gateway_class, class_status(gateway_class, running.product), manager)
                served[gateway_class["metadata"]["name"]] = gateway_class
        gateways = [
            g for g in cluster.list("Gateway") if g["spec"].get("gatewayClassName") in served and not deleting(g)
        ]
        for route in cluster.list("HTTPRoute"):
            status = route_status(cluster, route, gateways, running)
            if status is not None:
                cluster.set_status(route, status, manager)
        for gateway in gateways:
            error, rendered = _rendered(cluster, gateway, served[gateway["spec"]["gatewayClassName"]], running)
            self._status(cluster, gateway, running, error, self_managed=rendered is None and not error)
            self._log(lab, cluster, pod, gateway, error or self._deploy(cluster, gateway, rendered, running))

    def _status(self, cluster: Cluster, gateway: Object, running: Controller, error: str, self_managed: bool) -> None:
        uid, manager = gateway["metadata"]["uid"], running.product.name
        if error and uid not in self._written and not observed(gateway):
            gateway = cluster.set_status(gateway, gateway_status(cluster, gateway, running), manager) or gateway
            self._stopped.wait(ACCEPTED_FIRST)
        self._written.add(uid)
        cluster.set_status(gateway, gateway_status(cluster, gateway, running, error, self_managed), manager)

    def _deploy(self, cluster: Cluster, gateway: Object, rendered: Rendered | None, running: Controller) -> str:
        """Apply the proxy's objects; returns an error for the log: the Gateway stays Accepted and Programmed."""
        if rendered is None:
            return ""
        for obj in rendered.objects:
            try:
                cluster.apply(obj, running.name)
            except (ApiError, KeyError) as error:
                # A kind that the lab does not know is none of its API servers.
                refusal = ApiError(cluster.name, 404, "", NO_SUCH_KIND) if isinstance(error, KeyError) else error
                if not 400 <= refusal.status < 500:
                    raise
                group = obj["apiVersion"] if "/" in obj["apiVersion"] else f"/{obj['apiVersion']}"
                place = f"{group}, Kind={obj['kind']} {obj['metadata']['namespace']}/{obj['metadata']['name']}"
                return f"failed to apply object {place}: {refusal.message}"
        if rendered.objects and not rendered.refused:
            _prune(cluster, gateway, rendered)
        return rendered.refused

    def _log(self, lab: Lab, cluster: Cluster, pod: Object, gateway: Object, error: str) -> None:
        metadata = gateway["metadata"]
        topic = f"Gateway {metadata['namespace']}/{metadata['name']}"
        message = f"{topic}: error reconciling: {error}" if error else f"{topic}: reconciled"
        self._logs.write(lab.home, cluster.name, pod, "error" if error else "info", message, topic)


def _rendered(
    cluster: Cluster, gateway: Object, gateway_class: Object, running: Controller
) -> tuple[str, Rendered | None]:
    """What makes the Gateway's parameters invalid, and what is to be deployed: None for one that is self-managed."""
    found = parameters(cluster, gateway, gateway_class, running)
    if found.kube is None:
        return found.error, None
    try:
        return "", render(gateway, found.kube, running, found.overlays)
    except RenderError as error:
        return str(error), None


def _prune(cluster: Cluster, gateway: Object, rendered: Rendered) -> None:
    """Delete what overlays had added that the parameters have no more."""
    wanted = {obj["kind"] for obj in rendered.objects}
    for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
        name, namespace = rendered.objects[0]["metadata"]["name"], gateway["metadata"]["namespace"]
        found = cluster.get(kind, name, namespace)
        owners = (found or {"metadata": {}})["metadata"].get("ownerReferences") or []
        if kind not in wanted and gateway["metadata"]["uid"] in [owner.get("uid") for owner in owners]:
            cluster.delete(kind, name, namespace)
