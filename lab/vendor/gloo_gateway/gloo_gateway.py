"""The gateway controllers (products.py), simulated after recordings of kgateway 2.1.

One acts in every cluster where its Deployment has a ready Pod, with that Pod's environment. It serves all
GatewayClasses with its controllerName, renders proxies (proxy.py), evaluates routes (routes.py) and writes status.
Gateways of other classes are not changed, HTTPRoutes without a Gateway keep their last status.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import (
    Key,
    Object,
    Reader,
    conditions,
    deleting,
    key_of,
    load_balancer_ingress,
    newest_ready,
    status_of,
)
from lab.pods.pod_logs import SimulatedLogs
from lab.vendor.gloo_gateway.certificates import refusals
from lab.vendor.gloo_gateway.delegation import parent_ref, parents, refusal
from lab.vendor.gloo_gateway.products import PRODUCTS, Product, runs
from lab.vendor.gloo_gateway.proxy import deployment, render
from lab.vendor.gloo_gateway.proxy_containers import RenderError
from lab.vendor.gloo_gateway.proxy_defaults import merged
from lab.vendor.gloo_gateway.routes import Attachment, attachments, resolve

SUPPORTED_KINDS = [{"group": "gateway.networking.k8s.io", "kind": kind} for kind in ("HTTPRoute", "GRPCRoute")]

# Conditions without a problem: type -> status, reason, message.
GATEWAY_CONDITIONS = {
    "AttachedListenerSets": ("Unknown", "ListenerSetsNotAllowed", ""),
    "Accepted": ("True", "Accepted", "Successfully accepted Gateway"),
    "Programmed": ("True", "Programmed", "Successfully programmed Gateway"),
}
LISTENER_CONDITIONS = {
    "Accepted": ("True", "Accepted", "Successfully accepted Listener"),
    "Conflicted": ("False", "NoConflicts", "Successfully verified that Listener has no conflicts"),
    "ResolvedRefs": ("True", "ResolvedRefs", "Successfully resolved all references"),
    "Programmed": ("True", "Programmed", "Successfully programmed Listener"),
}
ROUTE_CONDITIONS = {
    "Accepted": ("True", "Accepted", "Successfully accepted Route"),
    "ResolvedRefs": ("True", "ResolvedRefs", "Successfully resolved all references"),
}
LICENCES = ("LICENSE_KEY",)

# Seconds for which a new Gateway with invalid parameters was Accepted=True in recordings: of two writers the
# slower one has the correct status.
ACCEPTED_FIRST = 0.4


class Parameters(NamedTuple):
    """kube: merged spec.kube, None when self-managed or in error; error: what makes the Gateway InvalidParameters."""

    kube: Object | None
    error: str = ""


class GlooGateway:
    """The controllers of all products in all clusters; see the module's docstring."""

    name = "gloo-gateway"
    kinds = (
        "Deployment",
        "Pod",
        "Service",
        "ServiceAccount",
        "ConfigMap",
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
            self._serve(lab, cluster, product, pod)

    def _serve(self, lab: Lab, cluster: Cluster, product: Product, pod: Object) -> None:
        for new in new_classes(product):
            if cluster.get("GatewayClass", new["metadata"]["name"]) is None:
                cluster.apply(new, product.name)
        served = {}
        names = {controller for _name, controller, _text in product.classes}
        for gateway_class in cluster.list("GatewayClass"):
            if gateway_class["spec"].get("controllerName") in names:
                cluster.set_status(gateway_class, class_status(gateway_class, product), product.name)
            if gateway_class["spec"].get("controllerName") == product.controller:
                served[gateway_class["metadata"]["name"]] = gateway_class
        gateways = [
            g for g in cluster.list("Gateway") if g["spec"].get("gatewayClassName") in served and not deleting(g)
        ]
        for route in cluster.list("HTTPRoute"):
            status = route_status(cluster, route, gateways, product.controller)
            if status is not None:
                cluster.set_status(route, status, product.name)
        for gateway in gateways:
            found = parameters(cluster, gateway, served[gateway["spec"]["gatewayClassName"]], product)
            self._status(cluster, gateway, found.error, product.name)
            error = found.error
            if found.kube:
                error = error or self._deploy(cluster, gateway, found.kube, environment(pod), product.controller)
            self._log(lab, cluster, pod, gateway, error)

    def _status(self, cluster: Cluster, gateway: Object, error: str, manager: str) -> None:
        uid = gateway["metadata"]["uid"]
        if error and uid not in self._written and not _observed(gateway):
            gateway = cluster.set_status(gateway, gateway_status(cluster, gateway, ""), manager) or gateway
            self._stopped.wait(ACCEPTED_FIRST)
        self._written.add(uid)
        cluster.set_status(gateway, gateway_status(cluster, gateway, error), manager)

    def _deploy(self, cluster: Cluster, gateway: Object, kube: Object, env: dict[str, str], manager: str) -> str:
        """Apply the proxy's objects; returns an error for the log: the Gateway stays Accepted and Programmed."""
        objects = render(gateway, kube, env)
        for obj in objects:
            cluster.apply(obj, manager)
        if not objects:
            return "no valid ports"
        try:
            cluster.apply(deployment(gateway, kube, env), manager)
        except RenderError as error:
            return f"failed to apply object apps/v1, Kind=Deployment: {error}"
        return ""

    def _log(self, lab: Lab, cluster: Cluster, pod: Object, gateway: Object, error: str) -> None:
        metadata = gateway["metadata"]
        topic = f"Gateway {metadata['namespace']}/{metadata['name']}"
        message = f"{topic}: error reconciling: {error}" if error else f"{topic}: reconciled"
        self._logs.write(lab.home, cluster.name, pod, "error" if error else "info", message, topic)


def controller_pod(cluster: Cluster, product: Product) -> Object | None:
    """The newest ready Pod of a product's controller, None without one."""
    return newest_ready([pod for pod in cluster.list("Pod", labels={"kgateway": "kgateway"}) if runs(product, pod)])


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


def new_classes(product: Product) -> list[Object]:
    """The GatewayClasses that the controller creates; they stay when the controller is uninstalled."""
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "spec": {"controllerName": controller, "description": text},
        }
        for name, controller, text in product.classes
    ]


def parameters(cluster: Reader, gateway: Object, gateway_class: Object, product: Product) -> Parameters:
    """Merged parameters: defaults, then those of the class, then those of the Gateway."""
    metadata = gateway["metadata"]
    gateway_name = f"{metadata['namespace']}.{metadata['name']}"
    layers: list[Object | None] = []
    class_ref = gateway_class["spec"].get("parametersRef")
    own_ref = (gateway["spec"].get("infrastructure") or {}).get("parametersRef")
    class_name = f"GatewayClass ({gateway_class['metadata']['name']})"
    for ref, namespace, owner in (
        (class_ref, (class_ref or {}).get("namespace"), class_name),
        (own_ref, metadata["namespace"], f"Gateway ({gateway_name})"),
    ):
        if ref is None:
            continue
        problem, found = "", None
        group, kind = ref.get("group"), ref.get("kind")
        if group not in [accepted for accepted, _kind in product.parameters]:
            problem = f"invalid group {group} for GatewayParameters"
        elif (group, kind) not in product.parameters:
            problem = f"invalid kind {kind} for GatewayParameters"
        else:
            found = cluster.get(kind, ref["name"], namespace)
            if found is None:
                problem = (
                    f"({namespace}.{ref['name']}) for {owner}: could not retrieve {kind}: "
                    f'{kind}.{group} "{ref["name"]}" not found'
                )
        if found is None:
            return Parameters(None, f"failed to get helm values {gateway_name}: {problem}")
        if (found.get("spec") or {}).get("selfManaged") is not None:
            return Parameters(None)
        layers.append((found.get("spec") or {}).get("kube"))
    return Parameters(merged(*layers))


def class_status(gateway_class: Object, product: Product) -> Object:
    """Status of a GatewayClass with a controllerName of the product."""
    generation = gateway_class["metadata"].get("generation", 1)
    accepted = {"Accepted": ("True", "Accepted", f"GatewayClass accepted by {product.name} controller")}
    return {"conditions": conditions(accepted, {}, generation, status_of(gateway_class).get("conditions"))}


def gateway_status(cluster: Reader, gateway: Object, error: str) -> Object:
    """Status of a Gateway. An error in its parameters changes Accepted only."""
    generation, before = gateway["metadata"].get("generation", 1), status_of(gateway)
    overrides = {"Accepted": ("False", "InvalidParameters", error)} if error else {}
    status: Object = {
        "conditions": conditions(GATEWAY_CONDITIONS, overrides, generation, before.get("conditions")),
        "listeners": [],
    }
    previous = {listener["name"]: listener for listener in before.get("listeners") or []}
    attached = attached_routes(cluster, gateway)
    for listener in gateway["spec"].get("listeners") or []:
        name = listener["name"]
        old = previous.get(name, {}).get("conditions")
        status["listeners"].append(
            {
                "name": name,
                "attachedRoutes": attached.get(name, 0),
                "supportedKinds": SUPPORTED_KINDS,
                "conditions": conditions(LISTENER_CONDITIONS, refusals(cluster, gateway, listener), generation, old),
            }
        )
    found = addresses(cluster.get("Service", gateway["metadata"]["name"], gateway["metadata"]["namespace"]))
    if found:
        status["addresses"] = found
    return status


def addresses(service: Object | None) -> list[Object]:
    """A Gateway's addresses: the load balancer's (a hostname before its IP), else the ClusterIPs."""
    if service is None:
        return []
    if service["spec"].get("type") != "LoadBalancer":
        return [{"type": "IPAddress", "value": ip} for ip in service["spec"].get("clusterIPs") or [] if ip != "None"]
    found = []
    for ingress in load_balancer_ingress(service):
        if ingress.get("hostname"):
            found.append({"type": "Hostname", "value": ingress["hostname"]})
        elif ingress.get("ip"):
            found.append({"type": "IPAddress", "value": ingress["ip"]})
    return found


def attached_routes(cluster: Reader, gateway: Object) -> dict[str, int]:
    """Number of HTTPRoutes by listener name; a route counts when the listener accepts it, whatever its backends are."""
    counts: dict[str, int] = {}
    for route in cluster.list("HTTPRoute"):
        accepted = {li["name"] for attachment in attachments(cluster, gateway, route) for li in attachment.listeners}
        for name in accepted:
            counts[name] = counts.get(name, 0) + 1
    return counts


def route_status(cluster: Reader, route: Object, gateways: list[Object], controller: str) -> Object | None:
    """Status of an HTTPRoute with the entries of a controllerName; None when none of its parents is among the Gateways.

    Then the status is not changed. Routes that delegate to it are parents too.
    """
    found: list[Attachment] = [a for gateway in gateways for a in attachments(cluster, gateway, route)]
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
            backend = resolve(cluster, route, ref)
            if backend.reason:
                broken["ResolvedRefs"] = ("False", backend.reason, backend.message)
    ours = []
    for attachment in found:
        text = refused_child if attachment.reason == "UnsupportedValue" else ""
        refused = {"Accepted": ("False", attachment.reason, text)} if attachment.reason else {}
        old: Object = next(
            (p for p in before if p["controllerName"] == controller and p["parentRef"] == attachment[0]), {}
        )
        ours.append(
            {
                "controllerName": controller,
                "parentRef": attachment.parent_ref,
                "conditions": conditions(ROUTE_CONDITIONS, {**broken, **refused}, generation, old.get("conditions")),
            }
        )
    return {"parents": [p for p in before if p["controllerName"] != controller] + ours}


def is_served(cluster: Reader, route: Object, gateways: list[Object], path: Sequence[Key] = ()) -> bool:
    """Whether a listener of the Gateways accepts the route, or one that delegates to it."""
    if any(attachment.listeners for gateway in gateways for attachment in attachments(cluster, gateway, route)):
        return True
    seen = [*path, key_of(route)]
    return any(
        is_served(cluster, parent, gateways, seen) for parent in parents(cluster, route) if key_of(parent) not in seen
    )


def _observed(gateway: Object) -> bool:
    """Whether the controller has written this Gateway's status before (the API server's default has no generation)."""
    return any(c.get("observedGeneration") for c in status_of(gateway).get("conditions") or [])
