"""Shared trust of the simulated Gloo Mesh: RootTrustPolicies, the mesh's root, `cacerts` of every cluster."""

from __future__ import annotations

import logging

from lab.control_plane.cluster import Cluster
from lab.control_plane.objects import Object, age, deleting
from lab.vendor.gloo_mesh.certificates import cacerts, mesh_root
from lab.vendor.gloo_mesh.secrets import MANAGER, put_secret, secret_data
from lab.vendor.gloo_mesh.translation import Translation

ISSUED = "certificates.mesh.gloo.solo.io/issued_certificate"

log = logging.getLogger("lab.gloo-mesh")


def apply_trust(management: Cluster, connected: dict[str, Cluster]) -> None:
    """Write the oldest policy's root to every connected cluster, and the status of each policy."""
    policies = sorted(management.list("RootTrustPolicy"), key=age)
    for place, policy in enumerate(policies):
        if place:
            message = f"RootTrustPolicy {policies[0]['metadata']['name']} is older and is used"
            management.set_status(policy, trust_status(Translation("WARNING", message, {}, {}), policy), MANAGER)
            continue
        config = (policy.get("spec") or {}).get("config") or {}
        root = _root(management, policy, config.get("mgmtServerCa") or {})
        if root is None:
            message = "mgmtServerCa.secretRef names no Secret with tls.crt and tls.key"
            management.set_status(policy, trust_status(Translation("INVALID", message, {}, {}), policy), MANAGER)
            continue
        days = int((config.get("intermediateCertOptions") or {}).get("ttlDays") or 365)
        for name, cluster in connected.items():
            _issue_cacerts(name, cluster, root, days)
        management.set_status(policy, trust_status(Translation("ACCEPTED", "", {}, {}), policy), MANAGER)


def _root(management: Cluster, policy: Object, authority: Object) -> dict[str, bytes] | None:
    """The policy's root: from the Secret it refers to, otherwise one that is generated once."""
    namespace = policy["metadata"]["namespace"]
    ref = authority.get("secretRef")
    name = ref["name"] if ref else f"{policy['metadata']['name']}-root-ca"
    where = (ref or {}).get("namespace") or namespace
    found = secret_data(management, name, where)
    if found is None and not ref:
        generated = authority.get("generated") or {}
        found = mesh_root(generated.get("orgName") or "gloo-mesh", int(generated.get("ttlDays") or 365))
        put_secret(management, name, where, found)
        log.info("generated a mesh root for RootTrustPolicy %s", policy["metadata"]["name"])
    return found if found and {"tls.crt", "tls.key"} <= found.keys() else None


def trust_status(outcome: Translation, policy: Object) -> Object:
    """RootTrustPolicy's status is flat."""
    status: Object = {"state": outcome.state, "observedGeneration": policy["metadata"].get("generation", 1)}
    return {**status, "message": outcome.message} if outcome.message else status


def roots_differ(connected: dict[str, Cluster]) -> str:
    """Why the clusters do not trust each other; empty when all `cacerts` have one root."""
    roots = {}
    for name, cluster in connected.items():
        found = secret_data(cluster, "cacerts", _istio_namespace(cluster) or "")
        roots[name] = (found or {}).get("root-cert.pem")
    missing = sorted(name for name, root in roots.items() if root is None)
    if missing:
        return f"no shared root of trust: no secret cacerts in cluster {', '.join(missing)}"
    if len({root.strip() for root in roots.values() if root}) > 1:
        return f"no shared root of trust: cacerts of clusters {', '.join(sorted(roots))} have different roots"
    return ""


def _istio_namespace(cluster: Cluster) -> str | None:
    """Namespace of istiod, otherwise istio-system if it exists."""
    for deployment in cluster.list("Deployment", labels={"app": "istiod"}):
        return str(deployment["metadata"]["namespace"])
    return "istio-system" if cluster.get("Namespace", "istio-system") else None


def _issue_cacerts(name: str, cluster: Cluster, root: dict[str, bytes], days: int) -> None:
    """Write `cacerts` to a cluster; one that the user created is not changed."""
    namespace = _istio_namespace(cluster)
    found_namespace = cluster.get("Namespace", namespace) if namespace else None
    if namespace is None or found_namespace is None or deleting(found_namespace):
        return
    secret = cluster.get("Secret", "cacerts", namespace)
    if secret is not None:
        current = (secret_data(cluster, "cacerts", namespace) or {}).get("root-cert.pem", b"")
        if secret.get("type") != ISSUED or current.strip() == root["tls.crt"].strip():
            return
        cluster.delete("Secret", "cacerts", namespace)
    log.info("issuing cacerts of %s", name)
    put_secret(cluster, "cacerts", namespace, cacerts(name, root, days), ISSUED)
