# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assigns the objects of a cluster to Istio control planes, and finds the address for proxies (pure).

A control plane is identified by namespace and revision. It is found by its Deployment, else by a Service (of a remote
or removed istiod), else by an injector or mesh config with a host outside the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..k8s.fields import Json, Key, dig, full_name, key_of, labels_of, mappings
from ..k8s.names import join_host_port, split_host_port
from .objects import (
    XDS_PORT,
    called_host,
    called_services,
    discovery_address,
    discovery_container,
    env,
    external_name,
    injection_hooks,
    injector_values,
    made_for_remote,
    mesh_config,
    named_as_istiod,
    revision_label,
    revision_of_name,
    selector_of,
    selects_pods_of,
    service_of_address,
    suffixed,
    template_labels,
    webhook_namespace,
    xds_port,
)

#: certainty of a value: read where it takes effect; read from a secondary source; inferred; unknown
CERTAIN, LIKELY, GUESS, UNKNOWN = "certain", "likely", "guess", "unknown"


class Fact(NamedTuple):
    """A value, its source and its certainty."""

    value: Any
    source: str
    certainty: str


class Snapshot:
    """The objects of a cluster that may be related to an istiod, sorted."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.everywhere = not objects.get("only_namespace")
        self.unread = frozenset(kind for kind in LISTS if objects.get(kind) is None)

        def listed(kind: str) -> list[Json]:
            return sorted(mappings(objects.get(kind)), key=key_of)

        services = listed("services")
        self.service_keys = {key_of(s) for s in services}
        self.services = [s for s in services if xds_port(s)]
        self.deployments = [d for d in listed("deployments") if discovery_container(d)]
        self.webhooks = [w for w in listed("mutatingwebhookconfigurations") if injection_hooks(w)]
        self.configmaps = listed("configmaps")
        self.slices = listed("endpointslices")
        self.namespaces = listed("namespaces")
        self.mesh_configs = self._mesh_configs()

    def _mesh_configs(self) -> list[tuple[Key, str, Json]]:
        """((namespace, name), revision, mesh config) of every ConfigMap of an istiod that has one."""
        found = []
        for configmap in self.configmaps:
            key, mesh = key_of(configmap), mesh_config(configmap)
            revision = labels_of(configmap).get("istio.io/rev") or key[1].removeprefix("istio").lstrip("-") or "default"
            if mesh is not None and key[1] == suffixed("istio", revision):
                found.append((key, revision, mesh))
        return found


LISTS = ("deployments", "services", "endpointslices", "configmaps", "mutatingwebhookconfigurations", "namespaces")


NO_ADDRESS = Fact(None, f"no Service with port {XDS_PORT}", UNKNOWN)


@dataclass(eq=False)
class Plane:
    """One control plane and the objects that belong to it."""

    namespace: str
    revision: Fact
    deployment: Json | None = None
    services: list[Json] = field(default_factory=list)  # they select the Deployment's Pods
    remotes: list[Json] = field(default_factory=list)  # without selector: the istiod is remote
    dead: list[Json] = field(default_factory=list)  # named like istiod's, but they select no Pods
    webhooks: list[Json] = field(default_factory=list)
    mesh: Json | None = None
    mesh_name: str = ""  # namespace/name of the ConfigMap
    shared_mesh: str = ""  # a ConfigMap with additional mesh config, not read
    values: Json | None = None
    values_name: str = ""
    service: Json | None = None  # the Service that proxies must use
    address: Fact = NO_ADDRESS

    @property
    def id(self) -> Key:
        return self.namespace, str(self.revision.value)

    @property
    def name(self) -> str | None:
        """Name of the Service, else of the Deployment, else of the Service in the address."""
        obj = self.service or self.deployment
        if obj is not None:
            return key_of(obj)[1]
        service = service_of_address(self.address.value, self.namespace)
        return service[1] if service else None

    @property
    def container(self) -> Json | None:
        return discovery_container(self.deployment) if self.deployment is not None else None

    @property
    def own_services(self) -> list[Json]:
        return [*self.services, *self.remotes, *self.dead]

    @property
    def is_remote(self) -> bool:
        """Whether proxies use a remote istiod; an istiod in the cluster then only injects."""
        return self.service is not None and self.service in self.remotes


def control_planes(snapshot: Snapshot) -> list[Plane]:
    """Every control plane of the cluster with its objects."""
    planes = [Plane(key_of(d)[0], _deployment_revision(d), deployment=d) for d in snapshot.deployments]
    _assign_services(planes, snapshot)
    for plane in planes:
        _attach_config(plane, snapshot)
    for plane in planes:
        _pick_service(plane, planes, snapshot)
    _add_inferred(planes, snapshot)
    for webhook in snapshot.webhooks:
        for plane in planes:
            if _belongs(webhook, plane, planes):
                plane.webhooks.append(webhook)
    return sorted(planes, key=lambda p: (p.namespace, p.name or "", p.revision.value))


# --- revisions ------------------------------------------------------------


def _deployment_revision(deployment: Json) -> Fact:
    title = f"Deployment {full_name(deployment)}"
    for place, labels in (("label", labels_of(deployment)), ("Pods' label", template_labels(deployment))):
        if labels.get("istio.io/rev"):
            return Fact(labels["istio.io/rev"], f"{title}, {place} istio.io/rev", CERTAIN)
    configured = env(discovery_container(deployment) or {}, "REVISION")[1]
    if configured:
        return Fact(configured, f"{title}, env REVISION", CERTAIN)
    return Fact("default", f"{title} has none: Istio's default", LIKELY)


def _service_revision(service: Json, snapshot: Snapshot) -> Fact:
    """By the Service's label, else by objects that reference it, else by its selector or name."""
    key, title = key_of(service), f"Service {full_name(service)}"
    if labels_of(service).get("istio.io/rev"):
        return Fact(labels_of(service)["istio.io/rev"], f"{title}, label istio.io/rev", CERTAIN)
    calling = {labels_of(w).get("istio.io/rev") for w in snapshot.webhooks if key in called_services(w)}
    naming = {
        rev for (ns, _cm), rev, mesh in snapshot.mesh_configs if service_of_address(discovery_address(mesh), ns) == key
    }
    for source, revisions in (
        ("label of the injection webhook that calls it", calling),
        ("revision of the mesh config that references it", naming),
    ):
        if len(revisions) == 1 and None not in revisions:
            return Fact(revisions.pop(), f"{title}: {source}", LIKELY)
    if selector_of(service).get("istio.io/rev"):
        return Fact(selector_of(service)["istio.io/rev"], f"{title}, selector", LIKELY)
    return Fact(revision_of_name(service), f"{title}: its name", GUESS)


# --- Services and the address ------------------------------------------------------------


def _assign_services(planes: list[Plane], snapshot: Snapshot) -> None:
    """Assign each Service to the planes it selects; a Service without one becomes a separate plane."""

    def plane_of(service: Json) -> Plane:
        revision = _service_revision(service, snapshot)
        for plane in planes:
            if plane.id == (key_of(service)[0], revision.value):
                return plane
        planes.append(Plane(key_of(service)[0], revision))
        return planes[-1]

    referenced = {key for webhook in snapshot.webhooks for key in called_services(webhook)}
    referenced |= {
        service_of_address(discovery_address(mesh), ns) or ("", "") for (ns, _cm), _rev, mesh in snapshot.mesh_configs
    }
    unassigned = []
    for service in snapshot.services:
        serving = [p for p in planes if p.deployment is not None and selects_pods_of(service, p.deployment)]
        for plane in serving:
            plane.services.append(service)
        if not serving and "istio.io/tag" not in labels_of(service):
            unassigned.append(service)
    # Aliases last, after their target Services are assigned.
    for service in sorted(unassigned, key=lambda s: external_name(s) is not None):
        if selector_of(service):
            if named_as_istiod(service):
                plane_of(service).dead.append(service)
            continue
        known = {key_of(s) for plane in planes for s in plane.own_services}
        is_alias = service_of_address(external_name(service)) in known
        if not is_alias and (made_for_remote(service) or key_of(service) in referenced):
            plane_of(service).remotes.append(service)


def _pick_service(plane: Plane, planes: list[Plane], snapshot: Snapshot) -> None:
    """Choose the Service that proxies must use; without one, infer the address."""
    named = service_of_address(discovery_address(plane.mesh), plane.namespace)

    def is_shared(service: Json) -> bool:
        return sum(service in p.services for p in planes) > 1

    def rank(service: Json) -> tuple[bool, ...]:
        labels, key = labels_of(service), key_of(service)
        return (
            "istio.io/tag" in labels,
            is_shared(service),
            labels.get("istio.io/rev") != plane.revision.value,
            key[1] != suffixed("istiod", plane.revision.value),
            key != named,
        )

    def is_remote_name(service: Json) -> bool:
        return key_of(service) == named or key_of(service)[1].endswith("-remote")

    remotes = sorted(plane.remotes, key=lambda s: (not is_remote_name(s), rank(s)))
    only_injects = bool(remotes) and is_remote_name(remotes[0]) and named not in [key_of(s) for s in plane.services]
    if remotes and (not plane.services or only_injects):
        fitting, text = remotes, "for a remote istiod"
        text += "; the one in this cluster only injects" if plane.services else ""
    elif plane.services:
        fitting, text = sorted(plane.services, key=rank), "selects istiod's Pods"
    elif plane.dead:
        fitting = sorted(plane.dead, key=rank)
        unread = "deployments" in snapshot.unread
        text = "named like istiod's; Deployments were not read" if unread else "named like istiod's; selects no istiod"
    else:
        plane.address = _inferred_address(plane, [], snapshot) or NO_ADDRESS
        return
    best = plane.service = fitting[0]
    doubtful = (
        best in plane.dead or rank(best)[:2] != (False, False) or [rank(s) for s in fitting[:2]].count(rank(best)) > 1
    )
    host = ".".join((*reversed(key_of(best)), "svc"))
    source = f"Service {full_name(best)} with port {xds_port(best)}: {text}"
    plane.address = Fact(f"{host}:{xds_port(best)}", source, LIKELY if doubtful else CERTAIN)


def _inferred_address(plane: Plane, webhooks: Iterable[Json], snapshot: Snapshot) -> Fact | None:
    """The address from mesh config or injectors, when no Service has it or Services could not be read."""
    address = discovery_address(plane.mesh)
    host, port = split_host_port(address)
    inside = service_of_address(address, plane.namespace)
    source = f"ConfigMap {plane.mesh_name}, discoveryAddress"
    if host and not inside:
        return Fact(join_host_port(host, port or XDS_PORT), source, CERTAIN)
    if "services" in snapshot.unread:
        if host:
            return Fact(join_host_port(host, port or XDS_PORT), f"{source}; Services could not be read", LIKELY)
        for namespace, name in sorted(key for webhook in webhooks for key in called_services(webhook)):
            return Fact(f"{name}.{namespace}.svc:{XDS_PORT}", "Service that the injection webhook calls", GUESS)
    for outside in filter(None, map(called_host, webhooks)):
        return Fact(join_host_port(outside, XDS_PORT), "host of the injection webhook's URL", GUESS)
    return None


def _add_inferred(planes: list[Plane], snapshot: Snapshot) -> None:
    """Add control planes found only by an injector or mesh config."""
    candidates: dict[Key, list[Json]] = {(ns, revision): [] for (ns, _name), revision, _mesh in snapshot.mesh_configs}
    for webhook in snapshot.webhooks:
        if "istio.io/tag" not in labels_of(webhook):
            key = webhook_namespace(webhook), revision_label(webhook)
            candidates.setdefault(key, []).append(webhook)
    known = {plane.id for plane in planes}
    for (namespace, revision), webhooks in sorted(candidates.items(), key=lambda item: item[0]):
        source = f"label istio.io/rev of {'the injection webhook' if webhooks else 'the mesh ConfigMap'}"
        plane = Plane(namespace, Fact(revision, source, LIKELY))
        _attach_config(plane, snapshot)
        address = _inferred_address(plane, webhooks, snapshot)
        if address and plane.id not in known:
            plane.address = address
            planes.append(plane)


# --- ConfigMaps and webhooks ------------------------------------------------------------


def _attach_config(plane: Plane, snapshot: Snapshot) -> None:
    here = [c for c in snapshot.configmaps if key_of(c)[0] == plane.namespace]
    revision = str(plane.revision.value)

    def of_plane(key: str, prefix: str) -> Json | None:
        having = [c for c in here if dig(c, "data", key) is not None]
        named = [c for c in having if key_of(c)[1] == suffixed(prefix, revision)]
        same = [c for c in having if labels_of(c).get("istio.io/rev") == revision and key_of(c)[1].startswith(prefix)]
        return named[0] if named else same[0] if len(same) == 1 else None

    mesh, values = of_plane("mesh", "istio"), of_plane("values", "istio-sidecar-injector")
    if mesh is not None:
        plane.mesh, plane.mesh_name = mesh_config(mesh), full_name(mesh)
    if values is not None:
        plane.values, plane.values_name = injector_values(values), full_name(values)
    plane.shared_mesh = (plane.container and env(plane.container, "SHARED_MESH_CONFIG")[1]) or ""
    for shared in here:
        if key_of(shared)[1] == plane.shared_mesh:
            plane.mesh, plane.shared_mesh = _merged(mesh_config(shared) or {}, plane.mesh or {}), ""
            plane.mesh_name = plane.mesh_name or full_name(shared)
            break


def _merged(first: Json, then: Json) -> Json:
    proxies = [proxy for mesh in (first, then) if isinstance(proxy := mesh.get("defaultConfig"), dict)]
    return {**first, **then, "defaultConfig": {key: value for proxy in proxies for key, value in proxy.items()}}


def _belongs(webhook: Json, plane: Plane, planes: list[Plane]) -> bool:
    """Whether the injector belongs to the plane: same revision, and it calls its Service or is in its namespace."""
    if revision_label(webhook) != plane.revision.value:
        return False
    called, rivals = called_services(webhook), sum(p.revision.value == plane.revision.value for p in planes)
    if called & {key_of(service) for service in plane.own_services}:
        return True
    if called:
        return rivals == 1 and {namespace for namespace, _name in called} == {plane.namespace}
    return rivals == 1 or webhook_namespace(webhook) == plane.namespace
