"""The kinds the lab's played parts read and write, in one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Where a kind lives in the API."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def crd(self) -> str:
        """Name of the CustomResourceDefinition that would serve this kind."""
        return f"{self.plural}.{self.group}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """API path of the collection, of one object, or of its subresource."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


# Groups every kube-apiserver serves; all other groups come from CustomResourceDefinitions.
BUILT_IN_GROUPS = frozenset(
    {
        "",
        "apps",
        "batch",
        "rbac.authorization.k8s.io",
        "discovery.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "coordination.k8s.io",
    }
)

KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("v1", "namespaces", "Namespace", namespaced=False),
        Kind("v1", "nodes", "Node", namespaced=False),
        Kind("v1", "pods", "Pod"),
        Kind("v1", "services", "Service"),
        Kind("v1", "secrets", "Secret"),
        Kind("v1", "configmaps", "ConfigMap"),
        Kind("v1", "serviceaccounts", "ServiceAccount"),
        Kind("apps/v1", "deployments", "Deployment"),
        Kind("apps/v1", "replicasets", "ReplicaSet"),
        Kind("apps/v1", "daemonsets", "DaemonSet"),
        Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
        Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
        Kind(
            "admissionregistration.k8s.io/v1",
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            namespaced=False,
        ),
        Kind(
            "admissionregistration.k8s.io/v1",
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            namespaced=False,
        ),
        Kind("gateway.networking.k8s.io/v1", "gatewayclasses", "GatewayClass", namespaced=False),
        Kind("gateway.networking.k8s.io/v1", "gateways", "Gateway"),
        Kind("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
        Kind("gateway.networking.k8s.io/v1beta1", "referencegrants", "ReferenceGrant"),
        Kind("gateway.kgateway.dev/v1alpha1", "gatewayparameters", "GatewayParameters"),
        Kind("networking.istio.io/v1", "serviceentries", "ServiceEntry"),
        Kind("networking.istio.io/v1", "workloadentries", "WorkloadEntry"),
        Kind("networking.istio.io/v1", "destinationrules", "DestinationRule"),
        Kind("networking.istio.io/v1", "virtualservices", "VirtualService"),
        Kind("operator.gloo.solo.io/v1", "servicemeshcontrollers", "ServiceMeshController", namespaced=False),
        Kind("admin.gloo.solo.io/v2", "kubernetesclusters", "KubernetesCluster"),
        Kind("admin.gloo.solo.io/v2", "workspaces", "Workspace"),
        Kind("admin.gloo.solo.io/v2", "workspacesettings", "WorkspaceSettings"),
        Kind("admin.gloo.solo.io/v2", "roottrustpolicies", "RootTrustPolicy"),
        Kind("networking.gloo.solo.io/v2", "virtualdestinations", "VirtualDestination"),
        Kind("networking.gloo.solo.io/v2", "routetables", "RouteTable"),
        Kind("kwok.x-k8s.io/v1alpha1", "clusterportforwards", "ClusterPortForward", namespaced=False),
        Kind("kwok.x-k8s.io/v1alpha1", "clusterexecs", "ClusterExec", namespaced=False),
        Kind("kwok.x-k8s.io/v1alpha1", "portforwards", "PortForward"),
        Kind("kwok.x-k8s.io/v1alpha1", "execs", "Exec"),
        Kind("kwok.x-k8s.io/v1alpha1", "logs", "Logs"),
    )
}

# Written by parts, never watched: nobody reacts to them and they are many.
UNWATCHED: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("v1", "events", "Event"),
        Kind("v1", "endpoints", "Endpoints"),
        Kind("rbac.authorization.k8s.io/v1", "roles", "Role"),
        Kind("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
        Kind("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
        Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    )
}


def kind_of(name: str) -> Kind:
    """The table's entry; KeyError names the file to extend."""
    found = KINDS.get(name) or UNWATCHED.get(name)
    if found is None:
        raise KeyError(f"kind {name} is not in lab/kinds.py")
    return found
