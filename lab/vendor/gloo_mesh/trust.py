"""Shared trust of the simulated Gloo Mesh: RootTrustPolicies, the mesh's root, `cacerts` of every cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import NamedTuple

from lab.control_plane.cluster import Cluster
from lab.control_plane.objects import Object, Reader, age, deleting, ready
from lab.vendor.gloo_mesh.certificates import cacerts, mesh_root, trusted
from lab.vendor.gloo_mesh.secrets import MANAGER, put_secret, secret_data
from lab.vendor.gloo_mesh.translation import Translation

ISSUED = "certificates.mesh.gloo.solo.io/issued_certificate"
ALLOWED_NAMESPACES = "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"
RESTRICTED_FROM = {27: 7, 28: 4}  # minor version -> patch; later ones from their first release on

log = logging.getLogger("lab.gloo-mesh")


class Rules(NamedTuple):
    """early, replaces: the settings roots=early, foreign-cacerts=replaced; server: namespace of the management server,
    which must be allowed to read an istiod's debug endpoints before its mesh is discovered.
    """

    early: bool = False
    replaces: bool = True
    server: str = "gloo-mesh"


def apply_trust(management: Cluster, connected: dict[str, Cluster], rules: Rules) -> None:
    """Write the oldest policy's root to the meshes of the connected clusters, and the status of each policy."""
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
            for namespace in sorted(meshes(cluster, rules)):
                _issue_cacerts(name, cluster, namespace, root, days, rules.replaces)
        management.set_status(policy, trust_status(Translation("ACCEPTED", "", {}, {}), policy), MANAGER)


def meshes(cluster: Reader, rules: Rules) -> set[str]:
    """Namespaces of the meshes that Gloo Mesh has discovered in a cluster: those with a running istiod.

    With rules.early also the namespace where istiod will run.
    """
    running = {
        pod["metadata"]["namespace"]
        for pod in cluster.list("Pod", labels={"app": "istiod"})
        if ready(pod) and may_read(pod, rules.server)
    }
    planned = _istio_namespace(cluster) if rules.early else None
    return running | ({planned} if planned else set())


def may_read(istiod: Object, namespace: str) -> bool:
    """Whether Pods of this namespace may read an istiod's debug endpoints, where Gloo Mesh reads what a mesh is.

    Istio restricts them from 1.27.7, 1.28.4 and 1.29 on; a version that the image does not tell counts as restricted.
    """
    container = istiod["spec"]["containers"][0]
    found = re.search(r":v?1\.(\d+)\.(\d+)", container.get("image") or "")
    minor, patch = (int(found[1]), int(found[2])) if found else (99, 0)
    if patch < RESTRICTED_FROM.get(minor, 0 if minor > 28 else 99):
        return True
    allowed = next((e.get("value") or "" for e in container.get("env") or [] if e["name"] == ALLOWED_NAMESPACES), "")
    return namespace in {"gloo-mesh", *allowed.replace(" ", "").split(",")}


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


def roots_differ(clusters: Mapping[str, Reader]) -> str:
    """Why the clusters do not trust each other; empty when each one's signer is among the roots of all others."""
    found = {}
    for name, cluster in clusters.items():
        cacerts = secret_data(cluster, "cacerts", _istio_namespace(cluster) or "") or {}
        if "root-cert.pem" in cacerts:
            found[name] = (
                cacerts.get("ca-cert.pem", b"") + cacerts.get("cert-chain.pem", b""),
                cacerts["root-cert.pem"],
            )
    missing = sorted(clusters.keys() - found.keys())
    if missing:
        return f"no shared root of trust: no secret cacerts in cluster {', '.join(missing)}"
    if not all(trusted(chain, roots) for chain, _ in found.values() for _, roots in found.values()):
        return f"no shared root of trust: cacerts of clusters {', '.join(sorted(found))} have different roots"
    return ""


def _istio_namespace(cluster: Reader) -> str | None:
    """Namespace of istiod, otherwise istio-system if it exists."""
    for deployment in cluster.list("Deployment", labels={"app": "istiod"}):
        return str(deployment["metadata"]["namespace"])
    return "istio-system" if cluster.get("Namespace", "istio-system") else None


def _issue_cacerts(
    name: str, cluster: Cluster, namespace: str, root: dict[str, bytes], days: int, replaces: bool
) -> None:
    """Write `cacerts` to a mesh; replaces: also one of another owner."""
    found_namespace = cluster.get("Namespace", namespace)
    if found_namespace is None or deleting(found_namespace):
        return
    secret = cluster.get("Secret", "cacerts", namespace)
    if secret is not None:
        current = (secret_data(cluster, "cacerts", namespace) or {}).get("root-cert.pem", b"")
        foreign = secret.get("type") != ISSUED
        if current.strip() == root["tls.crt"].strip() or (foreign and not replaces):
            return
        cluster.delete("Secret", "cacerts", namespace)
    log.info("issuing cacerts of %s", name)
    put_secret(cluster, "cacerts", namespace, cacerts(name, root, days), ISSUED)
