"""Shared trust of the played Gloo Mesh: RootTrustPolicies, the mesh's root, `cacerts` of every cluster."""

from __future__ import annotations

import logging
from typing import Any

from lab.gloo_mesh_relay import cacerts, mesh_root
from lab.gloo_mesh_secrets import MANAGER, put_secret, secret_data
from lab.gloo_mesh_translation import Outcome, age
from lab.world import Cluster

Object = dict[str, Any]

ISSUED = "certificates.mesh.gloo.solo.io/issued_certificate"

log = logging.getLogger("lab.gloo-mesh")


def apply_trust(management: Cluster, connected: dict[str, Cluster]) -> None:
    """Bring the oldest policy's root into every connected cluster, and tell each policy its state."""
    policies = sorted(management.list("RootTrustPolicy"), key=age)
    for place, policy in enumerate(policies):
        if place:
            told = f"RootTrustPolicy {policies[0]['metadata']['name']} is older and wins"
            management.set_status(policy, trust_status(Outcome("WARNING", told, {}, {}), policy), MANAGER)
            continue
        config = (policy.get("spec") or {}).get("config") or {}
        root = _root(management, policy, config.get("mgmtServerCa") or {})
        if root is None:
            told = "mgmtServerCa.secretRef names no Secret with tls.crt and tls.key"
            management.set_status(policy, trust_status(Outcome("INVALID", told, {}, {}), policy), MANAGER)
            continue
        days = int((config.get("intermediateCertOptions") or {}).get("ttlDays") or 365)
        for name, cluster in connected.items():
            _issue(name, cluster, root, days)
        management.set_status(policy, trust_status(Outcome("ACCEPTED", "", {}, {}), policy), MANAGER)


def _root(management: Cluster, policy: Object, told: Object) -> dict[str, bytes] | None:
    """The policy's root: the one its Secret ref names, else one that is made once and kept."""
    namespace = policy["metadata"]["namespace"]
    ref = told.get("secretRef")
    name = ref["name"] if ref else f"{policy['metadata']['name']}-root-ca"
    where = (ref or {}).get("namespace") or namespace
    found = secret_data(management, name, where)
    if found is None and not ref:
        generated = told.get("generated") or {}
        found = mesh_root(generated.get("orgName") or "gloo-mesh", int(generated.get("ttlDays") or 365))
        put_secret(management, name, where, found)
        log.info("made a mesh root for RootTrustPolicy %s", policy["metadata"]["name"])
    return found if found and {"tls.crt", "tls.key"} <= found.keys() else None


def trust_status(outcome: Outcome, policy: Object) -> Object:
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
    """Where istiod stands, else istio-system when it is there."""
    for deployment in cluster.list("Deployment", labels={"app": "istiod"}):
        return str(deployment["metadata"]["namespace"])
    return "istio-system" if cluster.get("Namespace", "istio-system") else None


def _issue(name: str, cluster: Cluster, root: dict[str, bytes], days: int) -> None:
    """Bring `cacerts` into a cluster; one made by hand is left alone."""
    namespace = _istio_namespace(cluster)
    found_namespace = cluster.get("Namespace", namespace) if namespace else None
    if namespace is None or found_namespace is None or found_namespace["metadata"].get("deletionTimestamp"):
        return
    secret = cluster.get("Secret", "cacerts", namespace)
    if secret is not None:
        current = (secret_data(cluster, "cacerts", namespace) or {}).get("root-cert.pem", b"")
        if secret.get("type") != ISSUED or current.strip() == root["tls.crt"].strip():
            return
        cluster.delete("Secret", "cacerts", namespace)
    log.info("issuing cacerts of %s", name)
    put_secret(cluster, "cacerts", namespace, cacerts(name, root, days), ISSUED)
