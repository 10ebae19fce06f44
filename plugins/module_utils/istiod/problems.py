# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems of the Istio control planes of a cluster, with remedies (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..k8s.fields import dig, full_name, key_of, labels_of, mappings, selector_matches, status_of
from ..k8s.names import split_host_port
from .control_planes import CERTAIN, Fact, Plane, Snapshot
from .facts import certificate_hosts, network_label, ready_endpoints
from .objects import (
    XDS_PORT,
    called_services,
    discovery_address,
    env,
    flag,
    injected_settings,
    named_as_istiod,
    namespace_selectors,
    selector_of,
    service_of_address,
    suffixed,
)

INJECTION_ENABLED = {"istio-injection": "enabled"}


def problems_of(planes: list[Plane], facts: Sequence[Mapping[str, Fact]], snapshot: Snapshot) -> list[str]:
    """Distinct sentences. Objects that could not be read are not reported here."""
    found: list[str] = []
    for plane, record in zip(planes, facts, strict=True):
        found += _of_deployment(plane, snapshot)
        found += _of_service(plane, snapshot)
        found += _of_name(plane, snapshot)
        found += _of_config(plane, record, snapshot)
    found += _of_services(planes, snapshot)
    # These require all namespaces: an istiod in a namespace that was not searched is not missing.
    if snapshot.everywhere and "mutatingwebhookconfigurations" not in snapshot.unread:
        found += _of_injection(planes, facts, snapshot)
    if snapshot.everywhere and not {"services", "deployments"} & snapshot.unread:
        found += _left_over(planes, snapshot)
    return list(dict.fromkeys(found))


def injects(plane: Plane, labels: Mapping[str, str]) -> bool:
    """Whether an injector of the plane selects Pods of a namespace with these labels."""
    return any(
        selector_matches(selector, labels) for webhook in plane.webhooks for selector in namespace_selectors(webhook)
    )


def _of_deployment(plane: Plane, snapshot: Snapshot) -> Iterator[str]:
    deployment = plane.deployment
    if deployment is None:
        return
    title, status = f"Deployment {full_name(deployment)}", status_of(deployment)
    conditions = {str(c.get("type")): c for c in mappings(status.get("conditions"))}
    if dig(deployment, "metadata", "deletionTimestamp"):
        yield f"{title} is being deleted"
    elif dig(deployment, "spec", "replicas") == 0:
        though = dig(conditions, "Available", "status") == "True"
        yield f"{title} has 0 replicas: no istiod runs" + (" (its condition Available is still True)" if though else "")
    elif not status.get("readyReplicas"):
        failure = conditions.get("ReplicaFailure") or {}
        why = f": {failure.get('message')}" if failure.get("status") == "True" else ""
        yield f"{title} has no ready Pod{why}"
    if not plane.own_services and "services" not in snapshot.unread:
        yield f"{title} has no Service with port {XDS_PORT}: proxies cannot reach it. Reinstall its Service"
    entries = [e for e in mappings((plane.container or {}).get("env")) if e.get("name") == "CLUSTER_ID"]
    if len({str(entry) for entry in entries}) > 1 and not flag(plane.container or {}, "clusterID")[0]:
        value = env(plane.container or {}, "CLUSTER_ID")[1]
        counts = value if value is not None else "one from another object (valueFrom)"
        yield f"{title} sets CLUSTER_ID {len(entries)} times; the last value is effective: {counts}. Remove the others"


def _of_service(plane: Plane, snapshot: Snapshot) -> Iterator[str]:
    service = plane.service
    if service is None or "endpointslices" in snapshot.unread or dig(service, "spec", "type") == "ExternalName":
        return
    if ready_endpoints(service, snapshot.slices):
        return
    if plane.is_remote:
        yield (
            f"Service {full_name(service)} represents a remote istiod and has no ready endpoint. "
            "Set the address of the remote istiod"
        )
    elif service in plane.services and dig(plane.deployment, "status", "readyReplicas"):
        yield (
            f"Service {full_name(service)} has no ready endpoint, but its Deployment is ready. Compare its "
            "selector and ports with the Pods"
        )


def _of_name(plane: Plane, snapshot: Snapshot) -> Iterator[str]:
    """A Service with another name routes to istiod, but TLS fails."""
    service, hosts = plane.service, certificate_hosts(plane)
    host = split_host_port(plane.address.value or "")[0]
    if service in plane.services and host not in hosts and "configmaps" not in snapshot.unread:
        yield (
            f"Service {full_name(service or {})} routes to istiod, but its certificate is not valid "
            f"for {host}, so TLS fails. If proxies are to use it, create an additional Service "
            f"{suffixed('istiod', str(plane.revision.value))}"
        )


def _of_services(planes: list[Plane], snapshot: Snapshot) -> Iterator[str]:
    for service in snapshot.services:
        serving = [plane for plane in planes if service in plane.services]
        if len(serving) > 1:
            names = ", ".join(full_name(plane.deployment or {}) for plane in serving)
            yield f"Service {full_name(service)} selects several istiods ({names}). Use the Service of one of them"
        dead = not serving and selector_of(service) and named_as_istiod(service)
        if not dead or "deployments" in snapshot.unread:
            continue
        unreached = [p.deployment for p in planes if service in p.dead and p.deployment and not p.services]
        if unreached:
            yield (
                f"Service {full_name(service)} selects none of the Pods of Deployment {full_name(unreached[0])}: "
                "connections fail. Make its selector match their labels"
            )
        else:
            yield (
                f"Service {full_name(service)} selects no istiod Deployment: connections fail. Unless its istiod is to "
                "return, remove the Service"
            )


def _of_config(plane: Plane, record: Mapping[str, Fact], snapshot: Snapshot) -> Iterator[str]:
    configured = discovery_address(plane.mesh)
    target = service_of_address(configured, plane.namespace)
    if target and target not in snapshot.service_keys and "services" not in snapshot.unread:
        use = f". Use {plane.address.value}" if plane.address.value else ""
        yield f"ConfigMap {plane.mesh_name}: discoveryAddress {configured} refers to a Service that does not exist{use}"
    if plane.mesh_name and plane.mesh is None:
        yield f"ConfigMap {plane.mesh_name}: key mesh is not a YAML mapping, so istiod cannot read it. Correct it"
    label, noted = network_label(plane, snapshot), dig(plane.values, "network")
    if label and noted and label != noted:
        yield (
            f"Namespace {plane.namespace} has network {label} in its label, but ConfigMap "
            f"{plane.values_name} sets {noted}. Set both to the same network"
        )
    accepted, noted = record["cluster_id"], dig(plane.values, "cluster") or "Kubernetes"
    overridden = any(injected_settings(webhook).get("cluster") for webhook in plane.webhooks)
    known = plane.values is not None and accepted.certainty == CERTAIN and not overridden and not plane.is_remote
    if known and accepted.value != noted:
        yield (
            f"ConfigMap {plane.values_name} gives injected Pods the cluster ID {noted}, but istiod accepts "
            f"{accepted.value} ({accepted.source}). Set both with global.multiCluster.clusterName"
        )


def _of_injection(planes: list[Plane], facts: Sequence[Mapping[str, Fact]], snapshot: Snapshot) -> Iterator[str]:
    default = [plane for plane in planes if injects(plane, INJECTION_ENABLED)]
    revisions = sorted({str(plane.revision.value) for plane in planes})
    if planes and not default:
        asking = [full_name(n) for n in snapshot.namespaces if labels_of(n).get("istio-injection") == "enabled"]
        carried = f"; Namespaces with that label: {', '.join(asking)}" if asking else ""
        injecting = sorted({str(plane.revision.value) for plane in planes if plane.webhooks})
        instead = f". Use istio.io/rev (revisions: {', '.join(injecting)})" if injecting else ", nor has istio.io/rev"
        yield f"no default injector: label istio-injection=enabled has no effect in this cluster{instead}{carried}"
    if len(default) > 1:
        names = ", ".join(map(_title, default))
        yield (
            f"several injectors match label istio-injection=enabled ({names}), so the injecting one is "
            "undefined. Keep one of them"
        )
    tagged = [tag for record in facts for tag in record["tags"].value]
    for tag in sorted({tag for tag in tagged if tagged.count(tag) > 1}):
        names = ", ".join(_title(p) for p, record in zip(planes, facts, strict=True) if tag in record["tags"].value)
        yield f"tag {tag} refers to several istiods ({names}). Make its webhooks and Services refer to one revision"
    served = {*revisions, *tagged}
    for webhook in snapshot.webhooks:
        tag, revision = labels_of(webhook).get("istio.io/tag"), labels_of(webhook).get("istio.io/rev")
        if tag and revision not in revisions:
            yield (
                f"tag {tag} refers to revision {revision}, which no istiod serves. Unless an istiod of that revision "
                "is to be installed, set it to an existing revision"
            )
    for namespace in snapshot.namespaces:
        labels = labels_of(namespace)
        wanted = "" if "istio-injection" in labels else labels.get("istio.io/rev")
        if wanted and planes and wanted not in served and not any(injects(plane, labels) for plane in planes):
            yield (
                f"Namespace {full_name(namespace)} requests revision {wanted}, which no istiod serves. "
                "Unless an istiod of that revision is to be installed, correct its label istio.io/rev"
            )


def _title(plane: Plane) -> str:
    return "/".join(filter(None, (plane.namespace, plane.name)))


def _left_over(planes: list[Plane], snapshot: Snapshot) -> Iterator[str]:
    """Leftovers of a removed istiod; call it only where Services and Deployments were read."""
    serving = {key_of(service) for plane in planes for service in plane.own_services}
    answering = serving | {key_of(s) for s in snapshot.services if not selector_of(s)}  # aliases as well
    for webhook in snapshot.webhooks:
        called = called_services(webhook)
        if called and not called & answering:
            yield (
                f"webhook {full_name(webhook)} calls Service {'/'.join(sorted(called)[0])}, which "
                "belongs to no istiod: "
                "new Pods in the namespaces it selects are rejected. Unless its istiod is to return, remove the webhook"
            )
    known = {plane.id for plane in planes}
    shared = {(p.namespace, env(p.container or {}, "SHARED_MESH_CONFIG")[1]) for p in planes}
    for key, revision, _mesh in snapshot.mesh_configs:
        if (key[0], revision) not in known and key not in shared:
            yield (
                f"ConfigMap {'/'.join(key)} is a leftover: namespace {key[0]} has no istiod of revision "
                f"{revision}. Unless that istiod is to return, remove it"
            )
