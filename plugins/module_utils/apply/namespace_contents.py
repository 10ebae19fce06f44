# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a namespace must not be deleted: objects of others in it, or nobody can know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..k8s.client import Cluster
from ..k8s.errors import ApiUnavailable, Forbidden, NotServed
from ..k8s.fields import Json
from ..k8s.kinds import Kind
from .manifests import Ref, is_ours, ref_of

# Kubernetes and Istio create these in every namespace.
_IN_EVERY_NAMESPACE = {
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
}
# Events, endpoints, and objects that are also served under a second API group.
_DERIVED_KINDS = {"Event", "Lease", "Endpoints", "EndpointSlice", "PodMetrics"}


def reason_to_keep(
    cluster: Cluster, namespace: str, going: Iterable[Ref], leaves: Callable[[Json], bool] = lambda obj: False
) -> str:
    """Why the namespace stays: it contains objects that neither this collection nor Kubernetes created, except those in
    *going*, or an aggregated API does not respond; else "".

    ``leaves``: whether an object is deleted together with another one.
    Kinds that the user may not list are skipped: permission to delete a namespace without permission to list its
    objects is taken as intended.
    """
    leaving = set(going)
    found: list[Ref] = []
    try:
        kinds = list(_namespaced_kinds(cluster))
    except ApiUnavailable as exc:
        return (
            f"its deletion could not end, and its contents are not known: {exc.msg.removeprefix(f'{cluster.name}: ')}"
        )
    for kind in kinds:
        try:
            objects = cluster.list(kind.api_version, kind.kind, namespace)
        except (Forbidden, NotServed):
            continue
        found += [ref for obj in others(objects) if (ref := ref_of(obj)) not in leaving and not leaves(obj)]
    return _contents(found) if found else ""


def others(objects: Iterable[Json]) -> Iterator[Json]:
    """Objects created by others: not ours, not derived from another object, not being deleted."""
    for found in objects:
        meta = found["metadata"]
        if is_ours(found) or meta.get("ownerReferences") or meta.get("deletionTimestamp"):
            continue
        if found["kind"] in _DERIVED_KINDS or (found["kind"], meta["name"]) in _IN_EVERY_NAMESPACE:
            continue
        if "kubernetes.io/service-account.name" in (meta.get("annotations") or {}):
            continue
        yield found


def _namespaced_kinds(cluster: Cluster) -> Iterator[Kind]:
    """Raises ApiUnavailable."""
    cluster.require_aggregated_apis()
    for api_version in cluster.api_versions():
        for kind, verbs in cluster.resources(api_version):
            if kind.namespaced and kind.kind not in _DERIVED_KINDS and {"list", "delete"} <= verbs:
                yield kind


def _contents(refs: Sequence[Ref]) -> str:
    more = f" and {len(refs) - 5} more" if len(refs) > 5 else ""
    return f"contains objects not managed by this collection: {', '.join(ref.title for ref in refs[:5])}{more}"
