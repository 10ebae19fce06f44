"""Workspaces of the simulated Gloo Mesh: which namespaces, clusters, Services and gateways they select. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from lab.control_plane.objects import Object, Reader, age, load_balancer_ingress

GLOBAL = "global"  # WorkspaceSettings of this name in the management server's namespace are defaults for all Workspaces


class Mesh(NamedTuple):
    """What is translated from: the management cluster and the connected clusters by registered name."""

    management: str
    config: Reader
    clusters: dict[str, Reader]

    def workspace_of(self, cluster: str, namespace: str, config: bool = False) -> Object | None:
        """The oldest Workspace that selects this namespace (config: and reads Gloo objects from it)."""
        reader = self.config if cluster == self.management else self.clusters.get(cluster, self.config)
        labels = (reader.get("Namespace", namespace) or {"metadata": {}})["metadata"].get("labels") or {}
        for workspace in sorted(self.config.list("Workspace"), key=age):
            if in_workspace(workspace, cluster, namespace, labels, config):
                return workspace
        return None

    def members(self, workspace: Object) -> dict[str, Reader]:
        """The connected clusters of a Workspace."""
        patterns = [entry.get("name", "*") for entry in workspace["spec"].get("workloadClusters") or []]
        return {
            name: reader
            for name, reader in self.clusters.items()
            if any(_matches(pattern, name) for pattern in patterns)
        }

    def settings_of(self, workspace: Object) -> Object:
        """options of the WorkspaceSettings in a namespace of the Workspace, over those of the global ones."""
        everywhere = self.config.get("WorkspaceSettings", GLOBAL, workspace["metadata"]["namespace"]) or {"spec": {}}
        defaults: Object = everywhere["spec"].get("options") or {}
        for settings in sorted(self.config.list("WorkspaceSettings"), key=age):
            if self.are_global(settings):
                continue
            owner = self.workspace_of(self.management, settings["metadata"]["namespace"])
            if owner is not None and owner["metadata"]["uid"] == workspace["metadata"]["uid"]:
                return {**defaults, **(settings["spec"].get("options") or {})}
        return defaults

    def are_global(self, settings: Object) -> bool:
        """Whether these WorkspaceSettings are the defaults of all Workspaces of their namespace."""
        namespace = settings["metadata"]["namespace"]
        homes = [workspace["metadata"]["namespace"] for workspace in self.config.list("Workspace")]
        return settings["metadata"]["name"] == GLOBAL and namespace in (homes or [namespace])


class GatewayAddress(NamedTuple):
    """An address of an east-west gateway."""

    address: str
    port: int


def in_workspace(workspace: Object, cluster: str, namespace: str, labels: dict[str, str], config: bool) -> bool:
    """Whether a Workspace selects this namespace of this cluster."""
    for cluster_entry in workspace["spec"].get("workloadClusters") or []:
        if not _matches(cluster_entry.get("name", "*"), cluster) or (
            config and not cluster_entry.get("configEnabled", True)
        ):
            continue
        for entry in cluster_entry.get("namespaces") or []:
            wanted = entry.get("labels") or {}
            selected = _matches(entry.get("name", "*"), namespace) and wanted.items() <= labels.items()
            if selected and not (config and not entry.get("configEnabled", True)):
                return True
    return False


def east_west_gateways(options: Object, cluster: str, reader: Reader) -> list[tuple[Object, list[GatewayAddress]]]:
    """Services of a cluster that WorkspaceSettings select, each with its addresses ([] while pending)."""
    selectors = options.get("eastWestGateways") or [{"selector": {"labels": {"istio": "eastwestgateway"}}}]
    found: dict[str, tuple[Object, list[GatewayAddress]]] = {}
    for entry in selectors:
        selector = entry.get("selector") or {"labels": {"istio": "eastwestgateway"}}
        for service in select([selector], cluster, reader):
            ports = {p.get("name"): int(p["port"]) for p in service["spec"].get("ports") or []}
            wanted = entry.get("port") or {}
            named = ports.get("tls") or ports.get("https")
            port = (ports.get(wanted.get("name")) or wanted.get("number")) if wanted else named
            if port not in ports.values() or port is None:
                continue
            overrides = [
                GatewayAddress(o["addr"], int(o.get("port") or port))
                for o in entry.get("hostInfoOverrides") or []
                if o.get("addr")
            ]
            ingress = load_balancer_ingress(service)
            assigned = [GatewayAddress(i.get("ip") or i.get("hostname") or "", port) for i in ingress]
            found.setdefault(service["metadata"]["uid"], (service, overrides or [g for g in assigned if g.address]))
    return list(found.values())


def select(selectors: Iterable[Object], cluster: str, reader: Reader) -> list[Object]:
    """Services of a cluster that match one of the ObjectSelectors, oldest first; an empty field matches everything."""
    found = []
    for service in reader.list("Service"):
        metadata = service["metadata"]
        labels = metadata.get("labels") or {}
        for selector in selectors:
            matches = (
                selector.get("cluster") in (None, "", cluster)
                and selector.get("namespace") in (None, "", metadata["namespace"])
                and selector.get("name") in (None, "", metadata["name"])
                and (selector.get("labels") or {}).items() <= labels.items()
            )
            if matches:
                found.append(service)
                break
    return sorted(found, key=age)


def exported_to(workspace: Object) -> list[str]:
    names = {
        entry.get("name", "*")
        for cluster_entry in workspace["spec"].get("workloadClusters") or []
        for entry in cluster_entry.get("namespaces") or []
    }
    return ["*"] if not names or any("*" in name for name in names) else sorted(names)


def _matches(pattern: str, name: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern or "*").replace(r"\*", ".*"), name))
