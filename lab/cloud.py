"""Played: the cloud's load balancers. Services of type LoadBalancer get a loopback address of their own."""

from __future__ import annotations

import logging
from typing import Any

from lab.world import ApiError, World

Object = dict[str, Any]

MANAGER = "lab-cloud"

log = logging.getLogger("lab.cloud")


class Cloud:
    """Gives every LoadBalancer Service a stable address; takes it back when the Service is gone."""

    name = "cloud"
    kinds = ("Service",)

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}

    def reconcile(self, world: World) -> None:
        seen = set()
        for cluster in world.clusters.values():
            for service in cluster.list("Service"):
                metadata = service["metadata"]
                key = f"{metadata['namespace']}/{metadata['name']}"
                seen.add((cluster.name, key))  # a change of type and back finds the same address, as a reserved one
                if not wants_address(service):
                    continue
                address = world.address(cluster.name, key, [port["port"] for port in service["spec"]["ports"]])
                try:
                    cluster.set_status(service, status(address), MANAGER)
                except ApiError as error:
                    if error.status != 422:  # what the API server says when the Service is gone meanwhile
                        raise
                    continue
                if self._given.get((cluster.name, key)) != address:
                    self._given[cluster.name, key] = address
                    log.info("%s: Service %s has address %s", cluster.name, key, address)
        for name, key in set(self._given) - seen:
            world.release_address(name, key)
            del self._given[name, key]

    def stop(self) -> None:
        pass


def wants_address(service: Object) -> bool:
    """Whether this Service is the cloud's business."""
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass"):
        return False
    return not service["metadata"].get("deletionTimestamp")


def status(address: str) -> Object:
    """What a cloud writes into the Service."""
    return {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
