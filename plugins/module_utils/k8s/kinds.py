# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API paths of kinds: a table of known kinds, which require no discovery request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One served kind. ``path`` is the collection's parent ("/api/v1", "/apis/apps/v1")."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def path(self) -> str:
        return api_path(self.api_version)

    def url(self, namespace: str | None = None, name: str | None = None) -> str:
        """Path of the collection or, with a name, of the object. A namespace of a cluster-scoped kind is ignored."""
        parts = [self.path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


def api_path(api_version: str) -> str:
    """ "/api/v1" for the core group, "/apis/<group>/<version>" for the others."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def group_of(api_version: str) -> str:
    """ "apps" of "apps/v1", "" of "v1"."""
    return api_version.split("/", 1)[0] if "/" in api_version else ""


# group -> (kind, plural, namespaced). Only kinds whose published API fixes their scope; other CRDs are discovered once
# per connection.
_TABLE: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "": (
        ("Namespace", "namespaces", False),
        ("Node", "nodes", False),
        ("Pod", "pods", True),
        ("Service", "services", True),
        ("ServiceAccount", "serviceaccounts", True),
        ("ConfigMap", "configmaps", True),
        ("Secret", "secrets", True),
        ("Event", "events", True),
        ("Endpoints", "endpoints", True),
        ("PersistentVolumeClaim", "persistentvolumeclaims", True),
    ),
    "apps": (
        ("Deployment", "deployments", True),
        ("DaemonSet", "daemonsets", True),
        ("StatefulSet", "statefulsets", True),
        ("ReplicaSet", "replicasets", True),
    ),
    "batch": (("Job", "jobs", True), ("CronJob", "cronjobs", True)),
    "rbac.authorization.k8s.io": (
        ("ClusterRole", "clusterroles", False),
        ("ClusterRoleBinding", "clusterrolebindings", False),
        ("Role", "roles", True),
        ("RoleBinding", "rolebindings", True),
    ),
    "apiextensions.k8s.io": (("CustomResourceDefinition", "customresourcedefinitions", False),),
    "admissionregistration.k8s.io": (
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False),
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False),
    ),
    "apiregistration.k8s.io": (("APIService", "apiservices", False),),
    "discovery.k8s.io": (("EndpointSlice", "endpointslices", True),),
    "policy": (("PodDisruptionBudget", "poddisruptionbudgets", True),),
    "networking.k8s.io": (("NetworkPolicy", "networkpolicies", True), ("Ingress", "ingresses", True)),
    "gateway.networking.k8s.io": (
        ("GatewayClass", "gatewayclasses", False),
        ("Gateway", "gateways", True),
        ("HTTPRoute", "httproutes", True),
        ("GRPCRoute", "grpcroutes", True),
        ("ReferenceGrant", "referencegrants", True),
    ),
    "gateway.kgateway.dev": (("GatewayParameters", "gatewayparameters", True),),
    "networking.istio.io": (
        ("ServiceEntry", "serviceentries", True),
        ("WorkloadEntry", "workloadentries", True),
        ("DestinationRule", "destinationrules", True),
        ("VirtualService", "virtualservices", True),
        ("Gateway", "gateways", True),
        ("Sidecar", "sidecars", True),
        ("EnvoyFilter", "envoyfilters", True),
    ),
}

_KNOWN: dict[tuple[str, str], tuple[str, bool]] = {
    (group, kind): (plural, namespaced) for group, rows in _TABLE.items() for kind, plural, namespaced in rows
}


def known(api_version: str, kind: str) -> Kind | None:
    """The kind if it is in the table, for any version of its group, else None."""
    row = _KNOWN.get((group_of(api_version), kind))
    return Kind(api_version, kind, row[0], row[1]) if row else None
