# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of other people is in a namespace that is about to go: deleting it would delete that, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..k8s.client import Cluster
from ..k8s.errors import Forbidden, NotServed
from ..k8s.fields import Json
from ..k8s.kinds import Kind
from .manifests import Ref, is_ours, ref_of

# Kubernetes and Istio put these into every namespace.
_IN_EVERY_NAMESPACE = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
}
# Records of what happened or where Pods are, and the same object under a second API group.
_NOBODYS_KINDS = {"Event", "Lease", "Endpoints", "EndpointSlice", "PodMetrics"}


def occupants(cluster: Cluster, namespace: str, going: Iterable[Ref]) -> list[Ref]:
    """Objects in the namespace that neither we nor Kubernetes put there, without those already *going*.

    Kinds we may not list are passed over: whoever may delete a namespace without seeing into it has decided so.
    """
    leaving = set(going)
    found: list[Ref] = []
    for kind in _namespaced_kinds(cluster):
        try:
            objects = cluster.list(kind.api_version, kind.kind, namespace)
        except (Forbidden, NotServed):
            continue
        found += [ref for ref in map(ref_of, others(objects)) if ref not in leaving]
    return found


def others(objects: Iterable[Json]) -> Iterator[Json]:
    """Those objects that somebody else made on purpose: not ours, not derived from another object, not on their way."""
    for found in objects:
        meta = found["metadata"]
        if is_ours(found) or meta.get("ownerReferences") or meta.get("deletionTimestamp"):
            continue
        if found["kind"] in _NOBODYS_KINDS or (found["kind"], meta["name"]) in _IN_EVERY_NAMESPACE:
            continue
        if "kubernetes.io/service-account.name" in (meta.get("annotations") or {}):
            continue
        yield found


def _namespaced_kinds(cluster: Cluster) -> Iterator[Kind]:
    for api_version in cluster.api_versions():
        for kind, verbs in cluster.resources(api_version):
            if kind.namespaced and kind.kind not in _NOBODYS_KINDS and {"list", "delete"} <= verbs:
                yield kind
