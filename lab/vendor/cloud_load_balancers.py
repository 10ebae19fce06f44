"""The load balancers of a cloud, simulated. Each LoadBalancer Service gets a loopback address."""

from __future__ import annotations

import logging

from lab.control_plane.api import ApiError
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, deleting

MANAGER = "lab-cloud"

log = logging.getLogger("lab.cloud")


class CloudLoadBalancers:
    """Assigns every LoadBalancer Service a stable address; releases it when the Service is deleted."""

    name = "cloud"
    kinds = ("Service",)

    def __init__(self) -> None:
        self._assigned: dict[tuple[str, str], str] = {}

    def reconcile(self, lab: Lab) -> None:
        seen = set()
        for cluster in lab.clusters.values():
            for service in cluster.list("Service"):
                metadata = service["metadata"]
                key = f"{metadata['namespace']}/{metadata['name']}"
                seen.add((cluster.name, key))  # the address survives a change of type, as a reserved one
                if not wants_address(service):
                    continue
                address = lab.address(cluster.name, key, [port["port"] for port in service["spec"]["ports"]])
                try:
                    cluster.set_status(service, status(address), MANAGER)
                except ApiError as error:
                    if error.status != 422:  # the Service was deleted meanwhile
                        raise
                    continue
                if self._assigned.get((cluster.name, key)) != address:
                    self._assigned[cluster.name, key] = address
                    log.info("%s: Service %s has address %s", cluster.name, key, address)
        for name, key in set(self._assigned) - seen:
            lab.release_address(name, key)
            del self._assigned[name, key]

    def stop(self) -> None:
        pass


def wants_address(service: Object) -> bool:
    """Whether the cloud has to assign an address."""
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass"):
        return False
    return not deleting(service)


def status(address: str) -> Object:
    """The status that a cloud writes."""
    return {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
