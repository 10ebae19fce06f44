"""The kinds that the lab's simulated parts read and write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Where a kind is found in the API."""

    api_version: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def plural(self) -> str:
        """The resource name; all kinds below follow the English plural."""
        name = self.kind.lower()
        if name.endswith("y") and name[-2] not in "aeiou":
            return f"{name[:-1]}ies"
        if name.endswith("ss"):
            return f"{name}es"
        return name if name.endswith("s") else f"{name}s"

    @property
    def crd(self) -> str:
        """Name of the CustomResourceDefinition that would serve this kind."""
        return f"{self.plural}.{self.group}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """API path of the collection, of one object, or of its subresource."""
        scope = ("namespaces", namespace) if namespace and self.namespaced else ()
        parts = ("/apis" if self.group else "/api", self.api_version, *scope, self.plural, name, subresource)
        return "/".join(part for part in parts if part)


# Groups that every kube-apiserver serves; all other groups come from CustomResourceDefinitions.
BUILT_IN_GROUPS = frozenset(
    {
        "",
        "apps",
        "discovery.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "autoscaling",
        "policy",
    }
)

CLUSTER_SCOPED = frozenset(
    {
        *("Namespace", "Node", "CustomResourceDefinition", "MutatingWebhookConfiguration"),
        *("GatewayClass", "ServiceMeshController"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
)


def _kinds(table: dict[str, str]) -> dict[str, Kind]:
    return {
        kind: Kind(api_version, kind, kind not in CLUSTER_SCOPED)
        for api_version, kinds in table.items()
        for kind in kinds.split()
    }


KINDS = _kinds(
    {
        "v1": "Namespace Node Pod Service Secret ConfigMap ServiceAccount",
        "apps/v1": "Deployment",
        "autoscaling/v2": "HorizontalPodAutoscaler",
        "policy/v1": "PodDisruptionBudget",
        "discovery.k8s.io/v1": "EndpointSlice",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration",
        "gateway.networking.k8s.io/v1": "GatewayClass Gateway HTTPRoute",
        "gateway.networking.k8s.io/v1beta1": "ReferenceGrant",
        "gateway.kgateway.dev/v1alpha1": "GatewayParameters",
        "gloo.solo.io/v1alpha1": "GlooGatewayParameters",
        "enterprisekgateway.solo.io/v1alpha1": "EnterpriseKgatewayParameters",
        "networking.istio.io/v1": "ServiceEntry WorkloadEntry DestinationRule VirtualService",
        "operator.gloo.solo.io/v1": "ServiceMeshController",
        "admin.gloo.solo.io/v2": "KubernetesCluster Workspace WorkspaceSettings RootTrustPolicy",
        "networking.gloo.solo.io/v2": "VirtualDestination RouteTable",
        "kwok.x-k8s.io/v1alpha1": "PortForward Exec Logs",
    }
)

# Written but not watched: no part reads them.
UNWATCHED = _kinds(
    {
        "v1": "Event",
        "admissionregistration.k8s.io/v1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    }
)


def kind_of(name: str) -> Kind:
    """The entry for a kind; raises KeyError for one that is not listed here."""
    found = KINDS.get(name) or UNWATCHED.get(name)
    if found is None:
        raise KeyError(f"kind {name} is not listed in lab/control_plane/kinds.py")
    return found
