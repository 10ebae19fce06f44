"""The Gloo Gateway controller, simulated after recordings of kgateway 2.1.

It acts in every cluster where the controller's Deployment has a ready Pod, with that Pod's environment. It serves all
GatewayClasses with its controllerName, renders proxies (proxy.py), evaluates routes (routes.py) and writes status.
Gateways of other classes are not changed, HTTPRoutes without a Gateway keep their last status.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import (
    Object,
    Reader,
    conditions,
    deleting,
    load_balancer_ingress,
    newest_ready,
    status_of,
)
from lab.pods.pod_logs import SimulatedLogs
from lab.vendor.gloo_gateway.proxy import deployment, render
from lab.vendor.gloo_gateway.proxy_containers import RenderError
from lab.vendor.gloo_gateway.proxy_defaults import merged
from lab.vendor.gloo_gateway.routes import Attachment, attachments, resolve

CONTROLLER = "solo.io/gloo-gateway-v2"
CLASS = "gloo-gateway-v2"
STATUS_MANAGER = "gloo-gateway"
PARAMETERS_GROUP = "gateway.kgateway.dev"
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
CLASS_CONDITIONS = {"Accepted": ("True", "Accepted", "GatewayClass accepted by gloo-gateway controller")}

# Seconds for which a new Gateway with invalid parameters was Accepted=True in recordings: of two writers the
# slower one has the correct status.
ACCEPTED_FIRST = 0.4


class Parameters(NamedTuple):
    """kube: merged spec.kube, None when self-managed or in error; error: what makes the Gateway InvalidParameters."""

    kube: Object | None
    error: str = ""


class GlooGateway:
    """The controller, one for all clusters; see the module's docstring."""

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
        pod = controller_pod(cluster)
        if pod is None or not cluster.served("Gateway") or not cluster.served("GatewayParameters"):
            return
        if cluster.get("GatewayClass", CLASS) is None:
            cluster.apply(new_class(), STATUS_MANAGER)
        served = {}
        for gateway_class in cluster.list("GatewayClass"):
            if gateway_class["spec"].get("controllerName") == CONTROLLER:
                served[gateway_class["metadata"]["name"]] = gateway_class
                cluster.set_status(gateway_class, class_status(gateway_class), STATUS_MANAGER)
        gateways = [
            g for g in cluster.list("Gateway") if g["spec"].get("gatewayClassName") in served and not deleting(g)
        ]
        for route in cluster.list("HTTPRoute"):
            status = route_status(cluster, route, gateways)
            if status is not None:
                cluster.set_status(route, status, STATUS_MANAGER)
        for gateway in gateways:
            found = parameters(cluster, gateway, served[gateway["spec"]["gatewayClassName"]])
            self._status(cluster, gateway, found.error)
            error = found.error or (self._deploy(cluster, gateway, found.kube, environment(pod)) if found.kube else "")
            self._log(lab, cluster, pod, gateway, error)

    def _status(self, cluster: Cluster, gateway: Object, error: str) -> None:
        uid = gateway["metadata"]["uid"]
        if error and uid not in self._written and not _observed(gateway):
            gateway = cluster.set_status(gateway, gateway_status(cluster, gateway, ""), STATUS_MANAGER) or gateway
            self._stopped.wait(ACCEPTED_FIRST)
        self._written.add(uid)
        cluster.set_status(gateway, gateway_status(cluster, gateway, error), STATUS_MANAGER)

    def _deploy(self, cluster: Cluster, gateway: Object, kube: Object, env: dict[str, str]) -> str:
        """Apply the proxy's objects; returns an error for the log: the Gateway stays Accepted and Programmed."""
        objects = render(gateway, kube, env)
        for obj in objects:
            cluster.apply(obj, CONTROLLER)
        if not objects:
            return "no valid ports"
        try:
            cluster.apply(deployment(gateway, kube, env), CONTROLLER)
        except RenderError as error:
            return f"failed to apply object apps/v1, Kind=Deployment: {error}"
        return ""

    def _log(self, lab: Lab, cluster: Cluster, pod: Object, gateway: Object, error: str) -> None:
        metadata = gateway["metadata"]
        topic = f"Gateway {metadata['namespace']}/{metadata['name']}"
        message = f"{topic}: error reconciling: {error}" if error else f"{topic}: reconciled"
        self._logs.write(lab.home, cluster.name, pod, "error" if error else "info", message, topic)


def controller_pod(cluster: Cluster) -> Object | None:
    """The newest ready Pod of the controller, None without one."""
    return newest_ready(cluster.list("Pod", labels={"app.kubernetes.io/name": "gloo-gateway"}))


def environment(pod: Object) -> dict[str, str]:
    """The controller's environment."""
    return {entry["name"]: entry.get("value") or "" for entry in pod["spec"]["containers"][0].get("env") or []}


def new_class() -> Object:
    """The GatewayClass that the controller creates; it stays when the controller is uninstalled."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {
            "controllerName": CONTROLLER,
            "description": "Standard class for managing Gateway API ingress traffic.",
        },
    }


def parameters(cluster: Reader, gateway: Object, gateway_class: Object) -> Parameters:
    """Merged GatewayParameters: defaults, then those of the class, then those of the Gateway."""
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
        if ref.get("group") != PARAMETERS_GROUP:
            problem = f"invalid group {ref.get('group')} for GatewayParameters"
        elif ref.get("kind") != "GatewayParameters":
            problem = f"invalid kind {ref.get('kind')} for GatewayParameters"
        else:
            found = cluster.get("GatewayParameters", ref["name"], namespace)
            if found is None:
                problem = (
                    f"({namespace}.{ref['name']}) for {owner}: could not retrieve GatewayParameters: "
                    f'GatewayParameters.{PARAMETERS_GROUP} "{ref["name"]}" not found'
                )
        if found is None:
            return Parameters(None, f"failed to get helm values {gateway_name}: {problem}")
        if (found.get("spec") or {}).get("selfManaged") is not None:
            return Parameters(None)
        layers.append((found.get("spec") or {}).get("kube"))
    return Parameters(merged(*layers))


def class_status(gateway_class: Object) -> Object:
    """Status of a GatewayClass with our controllerName."""
    generation = gateway_class["metadata"].get("generation", 1)
    return {"conditions": conditions(CLASS_CONDITIONS, {}, generation, status_of(gateway_class).get("conditions"))}


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
                "conditions": conditions(LISTENER_CONDITIONS, {}, generation, old),
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


def route_status(cluster: Reader, route: Object, gateways: list[Object]) -> Object | None:
    """Status of an HTTPRoute; None when none of its parents is ours: then the status is not changed."""
    found: list[Attachment] = [a for gateway in gateways for a in attachments(cluster, gateway, route)]
    if not found:
        return None
    generation, before = route["metadata"].get("generation", 1), status_of(route).get("parents") or []
    broken: dict[str, tuple[str, str, str]] = {}
    for rule in route["spec"].get("rules") or []:
        for ref in rule.get("backendRefs") or []:
            backend = resolve(cluster, route, ref)
            if backend.reason:
                broken["ResolvedRefs"] = ("False", backend.reason, backend.message)
    order = {id(ref): place for place, ref in enumerate(route["spec"]["parentRefs"])}
    ours = []
    for attachment in sorted(found, key=lambda a: order[id(a.parent_ref)]):
        refused = {"Accepted": ("False", attachment.reason, "")} if attachment.reason else {}
        old: Object = next(
            (p for p in before if p["controllerName"] == CONTROLLER and p["parentRef"] == attachment[0]), {}
        )
        ours.append(
            {
                "controllerName": CONTROLLER,
                "parentRef": attachment.parent_ref,
                "conditions": conditions(ROUTE_CONDITIONS, {**broken, **refused}, generation, old.get("conditions")),
            }
        )
    return {"parents": [p for p in before if p["controllerName"] != CONTROLLER] + ours}


def _observed(gateway: Object) -> bool:
    """Whether the controller has written this Gateway's status before (the API server's default has no generation)."""
    return any(c.get("observedGeneration") for c in status_of(gateway).get("conditions") or [])
