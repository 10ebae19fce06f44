"""Played: the Gloo Gateway controller, as kgateway 2.1 behaved in recordings.

Acts in every cluster where a ready Pod of the controller's Deployment stands, with that Pod's environment. It serves
any GatewayClass of its controllerName, renders proxies (`gloo_gateway_proxy`), judges routes (`gloo_gateway_routes`)
and fills every condition it has nothing against with True. Gateways of other classes are not touched, HTTPRoutes
without a Gateway keep what was last written on them.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lab.gloo_gateway_proxy import RenderError, deployment, merged, render
from lab.gloo_gateway_routes import Attachment, Reader, attachments, resolve, routes
from lab.pod_logs import Played
from lab.world import ApiError, Cluster, World

__all__ = ["CONTROLLER", "GlooGateway", "class_status", "gateway_status", "parameters", "route_status", "routes"]

Object = dict[str, Any]

CONTROLLER = "solo.io/gloo-gateway-v2"
CLASS = "gloo-gateway-v2"
STATUS_MANAGER = "gloo-gateway"
PARAMETERS_GROUP = "gateway.kgateway.dev"
SUPPORTED_KINDS = [{"group": "gateway.networking.k8s.io", "kind": kind} for kind in ("HTTPRoute", "GRPCRoute")]

# What a condition says when nothing speaks against it: type -> status, reason, message.
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

# How long a new Gateway with wrong parameters was Accepted=True in recordings: two writers, the slower one is right.
FIRST_IMPRESSION = 0.4


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
        self._met: set[str] = set()  # uids of Gateways whose first status was written
        self._logs = Played()

    def reconcile(self, world: World) -> None:
        """One round over all clusters; one cluster's error does not keep the others waiting."""
        failed: list[ApiError] = []
        for cluster in world.clusters.values():
            try:
                self._cluster(world, cluster)
            except ApiError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        self._stopped.set()

    def _cluster(self, world: World, cluster: Cluster) -> None:
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
        gateways = [g for g in cluster.list("Gateway") if g["spec"].get("gatewayClassName") in served]
        gateways = [g for g in gateways if not g["metadata"].get("deletionTimestamp")]
        for route in cluster.list("HTTPRoute"):
            status = route_status(cluster, route, gateways)
            if status is not None:
                cluster.set_status(route, status, STATUS_MANAGER)
        for gateway in gateways:
            told = parameters(cluster, gateway, served[gateway["spec"]["gatewayClassName"]])
            self._status(cluster, gateway, told.error)
            error = told.error or (self._deploy(cluster, gateway, told.kube, environment(pod)) if told.kube else "")
            self._say(world, cluster, pod, gateway, error)

    def _status(self, cluster: Cluster, gateway: Object, error: str) -> None:
        uid = gateway["metadata"]["uid"]
        if error and uid not in self._met and not _observed(gateway):
            gateway = cluster.set_status(gateway, gateway_status(cluster, gateway, ""), STATUS_MANAGER) or gateway
            self._stopped.wait(FIRST_IMPRESSION)
        self._met.add(uid)
        cluster.set_status(gateway, gateway_status(cluster, gateway, error), STATUS_MANAGER)

    def _deploy(self, cluster: Cluster, gateway: Object, kube: Object, env: dict[str, str]) -> str:
        """Apply the proxy's objects; returns what only the log tells: the Gateway stays Accepted and Programmed."""
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

    def _say(self, world: World, cluster: Cluster, pod: Object, gateway: Object, error: str) -> None:
        metadata = gateway["metadata"]
        about = f"Gateway {metadata['namespace']}/{metadata['name']}"
        told = f"{about}: error reconciling: {error}" if error else f"{about}: reconciled"
        self._logs.say(world.home, cluster.name, pod, "error" if error else "info", told, about)


def controller_pod(cluster: Cluster) -> Object | None:
    """The newest ready Pod of the controller; None when no controller works here."""
    pods = [pod for pod in cluster.list("Pod", labels={"app.kubernetes.io/name": "gloo-gateway"}) if _ready(pod)]
    return max(pods, key=lambda p: (p["metadata"].get("creationTimestamp") or "", p["metadata"]["name"]), default=None)


def environment(pod: Object) -> dict[str, str]:
    """What the controller was started with."""
    return {entry["name"]: entry.get("value") or "" for entry in pod["spec"]["containers"][0].get("env") or []}


def new_class() -> Object:
    """The GatewayClass the controller makes; it stays when the controller goes."""
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
    who = f"{metadata['namespace']}.{metadata['name']}"
    layers: list[Object | None] = []
    class_ref = gateway_class["spec"].get("parametersRef")
    own_ref = (gateway["spec"].get("infrastructure") or {}).get("parametersRef")
    class_name = f"GatewayClass ({gateway_class['metadata']['name']})"
    for ref, namespace, owner in (
        (class_ref, (class_ref or {}).get("namespace"), class_name),
        (own_ref, metadata["namespace"], f"Gateway ({who})"),
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
            return Parameters(None, f"failed to get helm values {who}: {problem}")
        if (found.get("spec") or {}).get("selfManaged") is not None:
            return Parameters(None)
        layers.append((found.get("spec") or {}).get("kube"))
    return Parameters(merged(*layers))


def class_status(gateway_class: Object) -> Object:
    """Status of a GatewayClass of ours."""
    generation = gateway_class["metadata"].get("generation", 1)
    return {"conditions": _conditions(CLASS_CONDITIONS, {}, generation, _status(gateway_class).get("conditions"))}


def gateway_status(cluster: Reader, gateway: Object, error: str) -> Object:
    """Status of a Gateway of ours. An error of its parameters touches nothing but Accepted."""
    generation, before = gateway["metadata"].get("generation", 1), _status(gateway)
    wrong = {"Accepted": ("False", "InvalidParameters", error)} if error else {}
    status: Object = {
        "conditions": _conditions(GATEWAY_CONDITIONS, wrong, generation, before.get("conditions")),
        "listeners": [],
    }
    former = {listener["name"]: listener for listener in before.get("listeners") or []}
    attached = attached_routes(cluster, gateway)
    for listener in gateway["spec"].get("listeners") or []:
        name = listener["name"]
        had = former.get(name, {}).get("conditions")
        status["listeners"].append(
            {
                "name": name,
                "attachedRoutes": attached.get(name, 0),
                "supportedKinds": SUPPORTED_KINDS,
                "conditions": _conditions(LISTENER_CONDITIONS, {}, generation, had),
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
    told = []
    for ingress in (_status(service).get("loadBalancer") or {}).get("ingress") or []:
        if ingress.get("hostname"):
            told.append({"type": "Hostname", "value": ingress["hostname"]})
        elif ingress.get("ip"):
            told.append({"type": "IPAddress", "value": ingress["ip"]})
    return told


def attached_routes(cluster: Reader, gateway: Object) -> dict[str, int]:
    """HTTPRoutes per listener name; a route counts when the listener takes it, whatever its backends are."""
    counts: dict[str, int] = {}
    for route in cluster.list("HTTPRoute"):
        taken = {li["name"] for attachment in attachments(cluster, gateway, route) for li in attachment.listeners}
        for name in taken:
            counts[name] = counts.get(name, 0) + 1
    return counts


def route_status(cluster: Reader, route: Object, gateways: list[Object]) -> Object | None:
    """Status of an HTTPRoute, None when none of its parents is ours: then whatever stands there stays."""
    found: list[Attachment] = [a for gateway in gateways for a in attachments(cluster, gateway, route)]
    if not found:
        return None
    generation, before = route["metadata"].get("generation", 1), _status(route).get("parents") or []
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
        had: Object = next(
            (p for p in before if p["controllerName"] == CONTROLLER and p["parentRef"] == attachment[0]), {}
        )
        ours.append(
            {
                "controllerName": CONTROLLER,
                "parentRef": attachment.parent_ref,
                "conditions": _conditions(ROUTE_CONDITIONS, {**broken, **refused}, generation, had.get("conditions")),
            }
        )
    return {"parents": [p for p in before if p["controllerName"] != CONTROLLER] + ours}


def _conditions(
    defaults: dict[str, tuple[str, str, str]],
    wrong: dict[str, tuple[str, str, str]],
    generation: int,
    before: list[Object] | None,
) -> list[Object]:
    """All conditions of `defaults`, those in `wrong` overridden; a time of transition lives as long as its status."""
    former = {condition["type"]: condition for condition in before or []}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = []
    for kind in defaults:
        status, reason, message = wrong.get(kind, defaults[kind])
        had = former.get(kind, {})
        since = had.get("lastTransitionTime", now) if had.get("status") == status else now
        result.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return result


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _observed(gateway: Object) -> bool:
    """Whether the controller has written on this Gateway before (the API server's default has no generation)."""
    return any(c.get("observedGeneration") for c in _status(gateway).get("conditions") or [])


def _ready(pod: Object) -> bool:
    conditions = _status(pod).get("conditions") or []
    alive = not pod["metadata"].get("deletionTimestamp")
    return alive and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
