# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a proxy has to know of a control plane, each value with where it was read (pure).

One fact often stands in several places that disagree. Each place is asked in the order in which it binds: what the
running process was told (its container) before what the installer noted (ConfigMaps, webhooks) before names and labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..k8s.fields import Json, dig, full_name, key_of, labels_of, listed, mappings, number
from .control_planes import CERTAIN, GUESS, LIKELY, UNKNOWN, Fact, Plane, Seen
from .objects import (
    discovery_address,
    env,
    external_name,
    flag,
    image_version,
    injected_settings,
    split_host_port,
    suffixed,
)
from .objects import service_of_address as service_of

_DEFAULT_CLUSTER_ID = "Kubernetes"


def facts_of(plane: Plane, seen: Seen) -> dict[str, Fact]:
    """The record of a control plane: key -> value with its source."""
    carrier = plane.service or plane.deployment
    kind = "Service" if plane.service is not None else "Deployment"
    origin = f"{kind} {full_name(carrier)}" if carrier is not None else plane.address.source
    trust_domain = _trust_domain(plane)
    return {
        "namespace": Fact(plane.namespace, origin, CERTAIN if carrier else LIKELY),
        "name": Fact(plane.name, origin, CERTAIN if carrier else LIKELY if plane.name else UNKNOWN),
        "revision": plane.revision,
        "tags": _tags(plane, seen),
        "address": plane.address,
        "cluster_id": cluster_id(plane, seen),
        "mesh_id": _mesh_id(plane, trust_domain),
        "network": _network(plane, seen),
        "trust_domain": trust_domain,
        "version": _version(plane),
        "ready": _ready(plane, seen),
    }


def _tags(plane: Plane, seen: Seen) -> Fact:
    tagged = [*plane.webhooks]
    for service in seen.services:
        same = key_of(service)[0] == plane.namespace and labels_of(service).get("istio.io/rev") == plane.revision.value
        tagged += [service] if same else []
    tags = sorted({labels_of(obj)["istio.io/tag"] for obj in tagged if "istio.io/tag" in labels_of(obj)})
    if "mutatingwebhookconfigurations" in seen.unread:
        return Fact(tags, "label istio.io/tag of Services; MutatingWebhookConfigurations could not be read", GUESS)
    return Fact(tags, "label istio.io/tag of MutatingWebhookConfigurations and Services", CERTAIN)


def _injected(plane: Plane, name: str) -> str:
    return next(filter(None, (injected_settings(webhook).get(name) for webhook in plane.webhooks)), "")


def cluster_id(plane: Plane, seen: Seen) -> Fact:
    """The cluster ID istiod accepts: argument, else the last env, else Istio's default; second-hand: the injector."""
    noted = dig(plane.values, "cluster")
    from_values = Fact(noted, f"ConfigMap {plane.values_name}, global.multiCluster.clusterName", LIKELY)
    sent = _injected(plane, "cluster")
    second_hand = from_values if noted else Fact(sent, "injection webhook, path", LIKELY) if sent else None
    container = plane.container
    if container is not None and plane.deployment is not None:
        title = f"Deployment {full_name(plane.deployment)}"
        # Set to nothing is set: an empty argument hides the env, and istiod then takes its default.
        for place, (is_set, value) in (
            ("argument --clusterID", flag(container, "clusterID")),
            ("env CLUSTER_ID", env(container, "CLUSTER_ID")),
        ):
            if is_set and value is None:
                return second_hand or Fact(None, f"{title}, {place} comes from elsewhere (valueFrom)", UNKNOWN)
            if is_set:
                empty = "" if value else " is empty: istiod's default"
                return Fact(value or _DEFAULT_CLUSTER_ID, f"{title}, {place}{empty}", CERTAIN)
        if container.get("envFrom"):
            return second_hand or Fact(
                _DEFAULT_CLUSTER_ID, f"{title} sets no CLUSTER_ID, unless its envFrom does", GUESS
            )
        return Fact(_DEFAULT_CLUSTER_ID, f"{title} sets no CLUSTER_ID: istiod's default", CERTAIN)
    if second_hand:
        return second_hand
    if plane.values is None:
        return Fact(None, "neither Deployment nor injector tell", UNKNOWN)
    empty = f"ConfigMap {plane.values_name} names none, which means {_DEFAULT_CLUSTER_ID}"
    if plane.dead and "deployments" in seen.unread:
        return Fact(_DEFAULT_CLUSTER_ID, f"{empty}; Deployments could not be read", LIKELY)
    return Fact(None, f"no Deployment; {empty}", UNKNOWN)


def certificate_hosts(plane: Plane) -> list[str]:
    """Names that istiod's certificate is for, by getDNSNames in Istio's pilot/pkg/bootstrap/server.go.

    The names of Services made for an istiod elsewhere are believed: what its certificate says is not known here.
    """
    known = ("istiod", suffixed("istiod", str(plane.revision.value)), "istiod-remote", "istio-pilot")
    names = [*known, *(key_of(service)[1] for service in plane.remotes)]
    custom = env(plane.container or {}, "ISTIOD_CUSTOM_HOST")[1] or ""
    told = [split_host_port(discovery_address(plane.mesh))[0], *custom.split(",")]
    return list(dict.fromkeys([*(f"{name}.{plane.namespace}.svc" for name in names), *filter(None, told)]))


def _trust_domain(plane: Plane) -> Fact:
    if plane.mesh is None:
        return Fact(None, "no mesh ConfigMap to read", UNKNOWN)
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
        return Fact(None, "neither injector values nor mesh config to read", UNKNOWN)
    if plane.shared_mesh:
        unless = f"the trust domain, unless ConfigMap {_shared_mesh(plane)} sets one"
        return Fact(trust_domain.value, unless, GUESS)
    sure = CERTAIN if plane.values is not None else LIKELY
    return Fact(trust_domain.value, f"no mesh ID is set: the trust domain, {trust_domain.source}", sure)


def network_label(plane: Plane, seen: Seen) -> str:
    """The network that the label of the plane's namespace names."""
    for namespace in seen.namespaces:
        if key_of(namespace)[1] == plane.namespace:
            return labels_of(namespace).get("topology.istio.io/network") or ""
    return ""


def _network(plane: Plane, seen: Seen) -> Fact:
    noted, label, sent = dig(plane.values, "network"), network_label(plane, seen), _injected(plane, "net")
    if noted:
        return Fact(noted, f"ConfigMap {plane.values_name}, global.network", CERTAIN)
    if label:
        return Fact(label, f"Namespace {plane.namespace}, label topology.istio.io/network", LIKELY)
    if sent:
        return Fact(sent, "injection webhook, path", LIKELY)
    if plane.values is None:
        return Fact(None, "no injector values to read, no label of the namespace", UNKNOWN)
    label_read = any(key_of(namespace)[1] == plane.namespace for namespace in seen.namespaces)
    none = f"ConfigMap {plane.values_name} sets none"
    return Fact(
        None, none if label_read else f"{none}; the namespace's label was not read", CERTAIN if label_read else LIKELY
    )


def _version(plane: Plane) -> Fact:
    noted = dig(plane.values, "tag")
    if plane.deployment is None:
        if plane.dead and noted:
            return Fact(noted, f"ConfigMap {plane.values_name}, global.tag; no Deployment was seen", GUESS)
        return Fact(None, "istiod runs elsewhere; labels here tell the chart's version only", UNKNOWN)
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
    """Number of addresses that answer, by the EndpointSlices of a Service."""
    namespace, name = key_of(service)
    return sum(
        len(listed(endpoint.get("addresses")))
        for piece in slices
        if key_of(piece)[0] == namespace and labels_of(piece).get("kubernetes.io/service-name") == name
        for endpoint in mappings(piece.get("endpoints"))
        # the API says: no value means ready
        if dig(endpoint, "conditions", "ready") is not False
    )


def _ready(plane: Plane, seen: Seen) -> Fact:
    """Whether proxies get an answer at the address. A Deployment beside a remote Service only injects."""
    parts, service = [], plane.service
    if plane.deployment is not None and not plane.is_remote:
        pods = number(dig(plane.deployment, "status", "readyReplicas"))
        parts.append(f"Deployment {full_name(plane.deployment)}: {pods} ready")
        if pods < 1:
            return Fact(False, parts[0], CERTAIN)
    if service is None:
        if parts and "services" in seen.unread:
            return Fact(True, f"{parts[0]}; Services could not be read", LIKELY)
        if plane.address.value:
            return Fact(None, "no Service stands for it: whether the address answers is not known here", UNKNOWN)
        return Fact(False, "no Service: proxies cannot reach it", CERTAIN)
    host = external_name(service)
    if host is not None:
        if service_of(host) and service_of(host) not in seen.service_keys:
            return Fact(False, f"Service {full_name(service)} is another name for {host}, which does not exist", LIKELY)
        return Fact(
            None, f"Service {full_name(service)} stands for {host}: whether it answers is not known here", UNKNOWN
        )
    if "endpointslices" in seen.unread:
        if parts:
            return Fact(True, f"{parts[0]}; EndpointSlices could not be read", LIKELY)
        return Fact(None, "EndpointSlices could not be read", UNKNOWN)
    endpoints = ready_endpoints(service, seen.slices)
    parts.append(f"EndpointSlices of Service {full_name(service)}: {endpoints} ready")
    sure = LIKELY if plane.is_remote or plane.deployment is None else CERTAIN
    return Fact(endpoints > 0, "; ".join(parts), sure)
