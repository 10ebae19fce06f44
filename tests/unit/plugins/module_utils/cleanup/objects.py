"""Objects of a cluster as cleanup reads them, built from scratch."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

Json = dict[str, Any]

EARLIER, NOTED, LATER = "2026-01-01T09:59:59Z", "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"
OURS = {"app.kubernetes.io/managed-by": "multicluster.gloo"}
API_VERSIONS = {
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "GatewayClass": "gateway.networking.k8s.io/v1",
    "GatewayParameters": "gateway.kgateway.dev/v1alpha1",
    "GlooGatewayParameters": "gloo.solo.io/v1alpha1",
    "EnterpriseKgatewayParameters": "enterprisekgateway.solo.io/v1alpha1",
    "AgentgatewayParameters": "agentgateway.dev/v1alpha1",
    "VirtualDestination": "networking.gloo.solo.io/v2",
    "RouteTable": "networking.gloo.solo.io/v2",
    "Workspace": "admin.gloo.solo.io/v2",
    "WorkspaceSettings": "admin.gloo.solo.io/v2",
    "RootTrustPolicy": "admin.gloo.solo.io/v2",
    "KubernetesCluster": "admin.gloo.solo.io/v2",
    "ServiceMeshController": "operator.gloo.solo.io/v1",
    "Deployment": "apps/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1",
}


def build(
    kind: str,
    name: str,
    namespace: str = "",
    labels: dict[str, str] | None = None,
    created: str = LATER,
    *,
    manager: str = "someone",
    metadata: Json | None = None,
    **body: Any,
) -> Json:
    """An object; ``manager`` owns its fields."""
    meta: Json = {"name": name, "labels": dict(labels or {}), "creationTimestamp": created}
    if namespace:
        meta["namespace"] = namespace
    meta["managedFields"] = [
        {
            "manager": manager,
            "operation": "Apply" if manager == "multicluster.gloo" else "Update",
            "fieldsV1": {"f:a": {}, "f:metadata": {"f:labels": {f"f:{label}": {} for label in meta["labels"]}}},
        }
    ]
    return {"apiVersion": API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": {**meta, **(metadata or {})}, **body}


def ours(kind: str, name: str, namespace: str = "", **more: Any) -> Json:
    """An object that this collection made."""
    return build(kind, name, namespace, OURS, manager="multicluster.gloo", **more)


def adopted(kind: str, name: str, namespace: str = "", **more: Any) -> Json:
    """An object of others in which this collection owns a field."""
    return build(kind, name, namespace, created=EARLIER, manager="multicluster.gloo", **more)


def crd(kind: str, group: str, created: str = LATER, labels: dict[str, str] | None = None) -> Json:
    """A CustomResourceDefinition."""
    spec = {"group": group, "names": {"kind": kind, "plural": f"{kind.lower()}s"}, "scope": "Namespaced"}
    manager = "multicluster.gloo" if labels == OURS else "someone"
    name = f"{kind.lower()}s.{group}"
    return build("CustomResourceDefinition", name, labels=labels, created=created, manager=manager, spec=spec)


def note(release: str, namespace: str) -> Json:
    """The note about a release."""
    return build("ConfigMap", f"multicluster.gloo.{release}", namespace, {"multicluster.gloo/release": release}, NOTED)


def helm_record(
    name: str,
    revision: int = 1,
    *,
    chart: str = "x",
    values: Json | None = None,
    manifest: str = "",
    crds: str = "",
    installed: str = "",
) -> Json:
    """A deployed revision as Helm stores it in a Secret; ``crds``: a file of the chart's folder crds/."""
    files = [{"name": "crds/crds.yaml", "data": base64.b64encode(crds.encode()).decode()}]
    body = {
        "name": name,
        "namespace": "team",
        "version": revision,
        "info": {"status": "deployed", "first_deployed": installed},
        "chart": {"metadata": {"name": chart, "version": "1.0.0"}, "files": files},
        "config": values,
        "manifest": manifest,
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(body).encode()))).decode()
    labels = {"owner": "helm", "name": name, "version": str(revision), "status": "deployed"}
    return build("Secret", f"sh.helm.release.v1.{name}.v{revision}", "team", labels, data={"release": packed})
