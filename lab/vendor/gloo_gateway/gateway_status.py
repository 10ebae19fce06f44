"""The status of Gateways. Pure."""

from __future__ import annotations

from lab.control_plane.objects import Object, Reader, load_balancer_ingress, status_of
from lab.vendor.gloo_gateway.controllers import Controller
from lab.vendor.gloo_gateway.listeners import conditions_of, supported_kinds
from lab.vendor.gloo_gateway.route_status import attached_routes


def gateway_status(
    cluster: Reader, gateway: Object, controller: Controller, error: str = "", self_managed: bool = False
) -> Object:
    """Status of a Gateway; error: what makes its parameters invalid. One that is self-managed has no addresses."""
    conditions, of_listeners = conditions_of(cluster, gateway, controller, error)
    attached = attached_routes(cluster, gateway)
    status: Object = {
        "conditions": conditions,
        "listeners": [
            {
                "name": listener["name"],
                "attachedRoutes": attached.get(listener["name"], 0),
                "supportedKinds": supported_kinds(listener),
                "conditions": of_listeners[listener["name"]],
            }
            for listener in gateway["spec"].get("listeners") or []
        ],
    }
    found = [] if self_managed else addresses(_service(cluster, gateway, controller))
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


def observed(gateway: Object) -> bool:
    """Whether a controller has written this Gateway's status before (the API server's default has no generation)."""
    return any(c.get("observedGeneration") for c in status_of(gateway).get("conditions") or [])


def _service(cluster: Reader, gateway: Object, controller: Controller) -> Object | None:
    """The Service that the Gateway owns."""
    service = cluster.get("Service", controller.line.proxy_name(gateway), gateway["metadata"]["namespace"])
    owners = [owner.get("uid") for owner in (service or {"metadata": {}})["metadata"].get("ownerReferences") or []]
    return service if gateway["metadata"]["uid"] in owners else None
