"""The load balancers of a cloud, simulated, and the external addresses of its nodes.

Each LoadBalancer Service gets a loopback address, or a host name instead (setting load-balancers). The node ports of
all Services are served at the external address of the cluster's node.
"""

from __future__ import annotations

import logging

from lab.control_plane.api import ApiError
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, deleting, host_name

MANAGER = "lab-cloud"

log = logging.getLogger("lab.cloud")


class CloudLoadBalancers:
    """Assigns every LoadBalancer Service a stable address; releases it when the Service is deleted."""

    name = "cloud"
    kinds = ("Service", "Node")

    def __init__(self) -> None:
        self._assigned: dict[tuple[str, str], str] = {}

    def reconcile(self, lab: Lab) -> None:
        seen = set()
        provider = lab.setting("load-balancers")
        for cluster in lab.clusters.values():
            for node in cluster.list("Node"):
                address = lab.address(cluster.name, f"node {node['metadata']['name']}", [])
                cluster.set_status(node, {"addresses": [{"type": "ExternalIP", "address": address}]}, MANAGER)
            for service in cluster.list("Service"):
                metadata = service["metadata"]
                key = f"{metadata['namespace']}/{metadata['name']}"
                seen.add((cluster.name, key))  # the address survives a change of type, as a reserved one
                if not wants_address(service) or provider == "none":
                    continue
                address = lab.address(cluster.name, key, [port["port"] for port in service["spec"]["ports"]])
                try:
                    cluster.set_status(service, status(address, provider), MANAGER)
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


def status(address: str, provider: str) -> Object:
    """The status that a cloud writes: an address, or the host name of its load balancer."""
    entry = {"hostname": host_name(address)} if provider == "hostname" else {"ip": address, "ipMode": "VIP"}
    return {"loadBalancer": {"ingress": [entry]}}
