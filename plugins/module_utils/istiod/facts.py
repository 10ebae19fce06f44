# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a control plane that proxies need, each value with its source (pure).

Sources may disagree. They are read in order of precedence: the configuration of the running process (its container),
then the installer's (ConfigMaps, webhooks), then names and labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..k8s.fields import Json, dig, full_name, key_of, labels_of, listed, mappings, number
from ..k8s.names import split_host_port
from .control_planes import CERTAIN, GUESS, LIKELY, UNKNOWN, Fact, Plane, Snapshot
from .objects import (
    discovery_address,
    env,
    external_name,
    flag,
    image_version,
    injected_settings,
    suffixed,
)
from .objects import service_of_address as service_of

_DEFAULT_CLUSTER_ID = "Kubernetes"


def facts_of(plane: Plane, snapshot: Snapshot) -> dict[str, Fact]:
    """The record of a control plane: value and source by key."""
    carrier = plane.service or plane.deployment
    kind = "Service" if plane.service is not None else "Deployment"
    origin = f"{kind} {full_name(carrier)}" if carrier is not None else plane.address.source
    trust_domain = _trust_domain(plane)
    return {
        "namespace": Fact(plane.namespace, origin, CERTAIN if carrier else LIKELY),
        "name": Fact(plane.name, origin, CERTAIN if carrier else LIKELY if plane.name else UNKNOWN),
        "revision": plane.revision,
        "tags": _tags(plane, snapshot),
        "address": plane.address,
        "cluster_id": cluster_id(plane, snapshot),
        "mesh_id": _mesh_id(plane, trust_domain),
        "network": _network(plane, snapshot),
        "trust_domain": trust_domain,
        "version": _version(plane),
        "ready": _ready(plane, snapshot),
    }


def _tags(plane: Plane, snapshot: Snapshot) -> Fact:
    tagged = [*plane.webhooks]
    for service in snapshot.services:
        same = key_of(service)[0] == plane.namespace and labels_of(service).get("istio.io/rev") == plane.revision.value
        tagged += [service] if same else []
    tags = sorted({labels_of(obj)["istio.io/tag"] for obj in tagged if "istio.io/tag" in labels_of(obj)})
    if "mutatingwebhookconfigurations" in snapshot.unread:
        return Fact(tags, "label istio.io/tag of Services; MutatingWebhookConfigurations could not be read", GUESS)
    return Fact(tags, "label istio.io/tag of MutatingWebhookConfigurations and Services", CERTAIN)


def _injected(plane: Plane, name: str) -> str:
    return next(filter(None, (injected_settings(webhook).get(name) for webhook in plane.webhooks)), "")


def cluster_id(plane: Plane, snapshot: Snapshot) -> Fact:
    """The cluster ID istiod accepts: argument, else the last env, else Istio's default; secondary: the injector's."""
    noted = dig(plane.values, "cluster")
    from_values = Fact(noted, f"ConfigMap {plane.values_name}, global.multiCluster.clusterName", LIKELY)
    sent = _injected(plane, "cluster")
    secondary = from_values if noted else Fact(sent, "injection webhook, path", LIKELY) if sent else None
    container = plane.container
    if container is not None and plane.deployment is not None:
        title = f"Deployment {full_name(plane.deployment)}"
        # An empty argument is set: it overrides the env, and istiod uses its default.
        for place, (is_set, value) in (
            ("argument --clusterID", flag(container, "clusterID")),
            ("env CLUSTER_ID", env(container, "CLUSTER_ID")),
        ):
            if is_set and value is None:
                return secondary or Fact(None, f"{title}, {place} comes from another object (valueFrom)", UNKNOWN)
            if is_set:
                empty = "" if value else " is empty: istiod's default"
                return Fact(value or _DEFAULT_CLUSTER_ID, f"{title}, {place}{empty}", CERTAIN)
        if container.get("envFrom"):
            return secondary or Fact(_DEFAULT_CLUSTER_ID, f"{title} sets no CLUSTER_ID, unless its envFrom does", GUESS)
        return Fact(_DEFAULT_CLUSTER_ID, f"{title} sets no CLUSTER_ID: istiod's default", CERTAIN)
    if secondary:
        return secondary
    if plane.values is None:
        return Fact(None, "no Deployment and no injector values readable", UNKNOWN)
    empty = f"ConfigMap {plane.values_name} sets none, so the default {_DEFAULT_CLUSTER_ID} applies"
    if plane.dead and "deployments" in snapshot.unread:
        return Fact(_DEFAULT_CLUSTER_ID, f"{empty}; Deployments could not be read", LIKELY)
    return Fact(None, f"no Deployment; {empty}", UNKNOWN)


def certificate_hosts(plane: Plane) -> list[str]:
    """Names in istiod's certificate, as in getDNSNames of Istio's pilot/pkg/bootstrap/server.go.

    The names of Services of a remote istiod are assumed to be in its certificate, which cannot be read here.
    """
    known = ("istiod", suffixed("istiod", str(plane.revision.value)), "istiod-remote", "istio-pilot")
    names = [*known, *(key_of(service)[1] for service in plane.remotes)]
    custom = env(plane.container or {}, "ISTIOD_CUSTOM_HOST")[1] or ""
    configured = [split_host_port(discovery_address(plane.mesh))[0], *custom.split(",")]
    return list(dict.fromkeys([*(f"{name}.{plane.namespace}.svc" for name in names), *filter(None, configured)]))


def _trust_domain(plane: Plane) -> Fact:
    if plane.mesh is None:
        return Fact(None, "no mesh ConfigMap readable", UNKNOWN)
    if plane.mesh.get("trustDomain"):
        return Fact(str(plane.mesh["trustDomain"]), f"ConfigMap {plane.mesh_name}, trustDomain", CERTAIN)
    default = f"ConfigMap {plane.mesh_name} sets none: Istio's default"
    if plane.shared_mesh:
        return Fact("cluster.local", f"{default}, unless ConfigMap {_shared_mesh(plane)} sets one", GUESS)
    return Fact("cluster.local", default, LIKELY)


def _shared_mesh(plane: Plane) -> str:
    return f"{plane.namespace}/{plane.shared_mesh} (SHARED_MESH_CONFIG)"


def _mesh_id(plane: Plane, trust_domain: Fact) -> Fact:
    noted = dig(plane.values, "mesh_id")
    if noted:
        return Fact(noted, f"ConfigMap {plane.values_name}, global.meshID", CERTAIN)
    configured = dig(plane.mesh, "defaultConfig", "meshId")
    if configured:
        return Fact(str(configured), f"ConfigMap {plane.mesh_name}, defaultConfig.meshId", CERTAIN)
    if trust_domain.value is None:
        return Fact(None, "no injector values and no mesh config readable", UNKNOWN)
    if plane.shared_mesh:
        unless = f"the trust domain, unless ConfigMap {_shared_mesh(plane)} sets one"
        return Fact(trust_domain.value, unless, GUESS)
    sure = CERTAIN if plane.values is not None else LIKELY
    return Fact(trust_domain.value, f"no mesh ID is set: the trust domain, {trust_domain.source}", sure)


def network_label(plane: Plane, snapshot: Snapshot) -> str:
    """The network in the label of the plane's namespace."""
    for namespace in snapshot.namespaces:
        if key_of(namespace)[1] == plane.namespace:
            return labels_of(namespace).get("topology.istio.io/network") or ""
    return ""


def _network(plane: Plane, snapshot: Snapshot) -> Fact:
    noted, label, sent = dig(plane.values, "network"), network_label(plane, snapshot), _injected(plane, "net")
    if noted:
        return Fact(noted, f"ConfigMap {plane.values_name}, global.network", CERTAIN)
    if label:
        return Fact(label, f"Namespace {plane.namespace}, label topology.istio.io/network", LIKELY)
    if sent:
        return Fact(sent, "injection webhook, path", LIKELY)
    if plane.values is None:
        return Fact(None, "no injector values readable, and the namespace has no label", UNKNOWN)
    label_read = any(key_of(namespace)[1] == plane.namespace for namespace in snapshot.namespaces)
    none = f"ConfigMap {plane.values_name} sets none"
    return Fact(
        None, none if label_read else f"{none}; the namespace's label was not read", CERTAIN if label_read else LIKELY
    )


def _version(plane: Plane) -> Fact:
    noted = dig(plane.values, "tag")
    if plane.deployment is None:
        if plane.dead and noted:
            return Fact(noted, f"ConfigMap {plane.values_name}, global.tag; no Deployment was found", GUESS)
        return Fact(None, "istiod is remote; labels in this cluster have only the chart's version", UNKNOWN)
    title, labels = f"Deployment {full_name(plane.deployment)}", labels_of(plane.deployment)
    tag = image_version(str((plane.container or {}).get("image") or ""))
    if tag:
        return Fact(tag, f"{title}, image tag", CERTAIN)
    if labels.get("app.kubernetes.io/version"):
        return Fact(
            labels["app.kubernetes.io/version"], f"{title}, label app.kubernetes.io/version (the chart's)", LIKELY
        )
    chart = re.search(r"-(v?\d+\.\d+.*)$", labels.get("helm.sh/chart", ""))
    if chart:
        return Fact(chart[1], f"{title}, label helm.sh/chart", LIKELY)
    if noted:
        return Fact(noted, f"ConfigMap {plane.values_name}, global.tag", LIKELY)
    return Fact(None, f"{title}: image by digest, no version label", UNKNOWN)


def ready_endpoints(service: Json, slices: Iterable[Json]) -> int:
    """Number of ready addresses in the EndpointSlices of a Service."""
    namespace, name = key_of(service)
    return sum(
        len(listed(endpoint.get("addresses")))
        for piece in slices
        if key_of(piece)[0] == namespace and labels_of(piece).get("kubernetes.io/service-name") == name
        for endpoint in mappings(piece.get("endpoints"))
        # API convention: no value means ready
        if dig(endpoint, "conditions", "ready") is not False
    )


def _ready(plane: Plane, snapshot: Snapshot) -> Fact:
    """Whether proxies reach istiod at the address. With a remote Service, a local Deployment only injects."""
    parts, service = [], plane.service
    if plane.deployment is not None and not plane.is_remote:
        pods = number(dig(plane.deployment, "status", "readyReplicas"))
        parts.append(f"Deployment {full_name(plane.deployment)}: {pods} ready")
        if pods < 1:
            return Fact(False, parts[0], CERTAIN)
    if service is None:
        if parts and "services" in snapshot.unread:
            return Fact(True, f"{parts[0]}; Services could not be read", LIKELY)
        if plane.address.value:
            return Fact(None, "no Service has the address: readiness is unknown in this cluster", UNKNOWN)
        return Fact(False, "no Service: proxies cannot reach it", CERTAIN)
    host = external_name(service)
    if host is not None:
        if service_of(host) and service_of(host) not in snapshot.service_keys:
            return Fact(False, f"Service {full_name(service)} is an alias of {host}, which does not exist", LIKELY)
        return Fact(
            None, f"Service {full_name(service)} is an alias of {host}: readiness is unknown in this cluster", UNKNOWN
        )
    if "endpointslices" in snapshot.unread:
        if parts:
            return Fact(True, f"{parts[0]}; EndpointSlices could not be read", LIKELY)
        return Fact(None, "EndpointSlices could not be read", UNKNOWN)
    endpoints = ready_endpoints(service, snapshot.slices)
    parts.append(f"EndpointSlices of Service {full_name(service)}: {endpoints} ready")
    sure = LIKELY if plane.is_remote or plane.deployment is None else CERTAIN
    return Fact(endpoints > 0, "; ".join(parts), sure)
