"""Conditions to wait for until a change of the site has taken effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acceptance.breakages import DESTINATION
from acceptance.changes import Path, at, named, there
from acceptance.eyes import GATEWAY_PODS
from acceptance.site import Site

MESH_CONTROLLER = "/apis/operator.gloo.solo.io/v1/servicemeshcontrollers/managed-istio"

Json = dict[str, Any]
Effect = Callable[[Site], bool]


def workspace(site: Site) -> str:
    """API path of the one Workspace."""
    return f"/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh/workspaces/{site.management}"


def at_once(site: Site) -> bool:
    """The change itself is what the doctor has to see."""
    return True


def connected(count: int) -> Effect:
    """As many agents hold their connection."""

    def shows(site: Site) -> bool:
        return _status(site, site.management, workspace(site)).get("numSelectedClusters") == count

    return shows


def state(path: Path, wanted: str) -> Effect:
    """A Gloo object of the management cluster is in this state at its current generation."""

    def shows(site: Site) -> bool:
        obj = there(site, site.management, at(site, path))
        told = obj["status"]["common"]["State"]
        return bool(told["approval"] == wanted and told["observedGeneration"] == obj["metadata"]["generation"])

    return shows


def condition(path: str, kind: str, status: str) -> Effect:
    """A Gateway or HTTPRoute of the gateway's cluster has this condition at its current generation."""

    def shows(site: Site) -> bool:
        obj = there(site, site.gateway_cluster, path)
        told = obj["status"]
        found = [c for holder in (told, *told.get("parents", [])) for c in holder.get("conditions", [])]
        generation = obj["metadata"]["generation"]
        return any((c["type"], c["status"], c["observedGeneration"]) == (kind, status, generation) for c in found)

    return shows


def no_replica(cluster: str, path: str) -> Effect:
    def shows(site: Site) -> bool:
        return not _status(site, named(site, cluster), path).get("replicas")

    return shows


def rolled_out(cluster: str, path: str) -> Effect:
    """Every Pod of a Deployment is of its current template."""

    def shows(site: Site) -> bool:
        obj = there(site, named(site, cluster), path)
        told, wanted = obj.get("status") or {}, obj["spec"]["replicas"]
        counts = (told.get("replicas"), told.get("updatedReplicas"), told.get("readyReplicas"))
        return bool(told.get("observedGeneration") == obj["metadata"]["generation"] and set(counts) == {wanted})

    return shows


def proxy_containers(count: int) -> Effect:
    """The one gateway Pod has so many containers."""

    def shows(site: Site) -> bool:
        pods = (site.get(site.gateway_cluster, GATEWAY_PODS) or {}).get("items") or []
        return [len(pod["spec"]["containers"]) for pod in pods] == [count]

    return shows


def proxy_stuck(site: Site) -> bool:
    """A gateway Pod beside the old one has no certificate: its sds has ended at least once."""
    return any(told["name"] == "sds" and not told["ready"] and told.get("lastState") for told in _proxy(site))


def proxy_waits(reason: str) -> Effect:
    """A container of a gateway Pod waits for this reason."""

    def shows(site: Site) -> bool:
        return any(told["state"].get("waiting", {}).get("reason") == reason for told in _proxy(site))

    return shows


def _proxy(site: Site) -> list[Json]:
    """Statuses of the containers of all gateway Pods."""
    pods = (site.get(site.gateway_cluster, GATEWAY_PODS) or {}).get("items") or []
    return [status for pod in pods for status in pod["status"].get("containerStatuses") or []]


def _status(site: Site, cluster: str, path: str) -> Json:
    return dict(there(site, cluster, path).get("status") or {})


def phase(cluster: str, wanted: str) -> Effect:
    """The ServiceMeshController is in this phase."""

    def shows(site: Site) -> bool:
        return _status(site, named(site, cluster), MESH_CONTROLLER).get("phase") == wanted

    return shows


def gone(cluster: str, path: str) -> Effect:
    def shows(site: Site) -> bool:
        return site.get(named(site, cluster), path) is None

    return shows


def selected_services(count: int) -> Effect:
    """So many clusters have a Service of the VirtualDestination."""

    def shows(site: Site) -> bool:
        return _status(site, site.management, DESTINATION).get("numSelectedBackingServices") == count

    return shows


def resolves_by_dns(site: Site) -> bool:
    """What the VirtualDestination became in the gateway's cluster."""
    found = site.get(site.gateway_cluster, "/apis/networking.istio.io/v1/namespaces/bookinfo/serviceentries")
    return [entry["spec"]["resolution"] for entry in (found or {}).get("items", [])] == ["DNS"]


def bootstrap_has(text: str) -> Effect:
    """What Envoy of the gateway's Pods reads at its start."""

    def shows(site: Site) -> bool:
        config = there(site, site.gateway_cluster, "/api/v1/namespaces/gloo-system/configmaps/http")
        return any(text in value for value in config["data"].values())

    return shows
