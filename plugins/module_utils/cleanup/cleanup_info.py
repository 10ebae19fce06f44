# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module cleanup_info: reads one cluster and plans its cleanup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..apply.manifests import MANAGER, OWNER_LABEL
from ..helm.releases import NOTE_LABEL
from ..k8s.client import CLUSTER_SPEC, Cluster, Json, connect
from ..k8s.errors import NotServed
from ..k8s.fields import mapping, mappings, spec_of
from ..k8s.kinds import Kind, group_of
from ..mesh.parts import EXTENSIONS
from .leftovers import CLASS_LABEL, CONTROLLER_SECRET, ROOT_CERTIFICATE
from .needs import ATTACHED_GROUPS, is_attached_kind
from .plan import KEEP, PHASES, POLICIES, WRITTEN, Options, Step, is_translated, plan, step_of, vendor_crds
from .releases import NotedRelease, noted_releases
from .summary import summary

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "vendor_crds": {"type": "bool", "default": False},
    "istio_namespace": {"type": "str", "default": "istio-system"},
    "istio_revision": {"type": "str", "default": "gloo"},
    "steps": {"type": "list", "elements": "dict"},
    "phases": {"type": "list", "elements": "str", "choices": list(PHASES)},
}

_GATEWAY_API = "gateway.networking.k8s.io"
#: objects of proxies by overlays in their parameters
SCALERS = (("policy", "PodDisruptionBudget"), ("autoscaling", "HorizontalPodAutoscaler"))
#: groups of the objects that Gloo Mesh translates into workload clusters
_TRANSLATED = ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
Groups = dict[str, list[str]]


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: steps [record], summary, msg, requests, and warnings about what is kept for others.

    With ``steps`` of an earlier plan those of ``phases`` are planned again, except in check mode.
    """
    earlier = [step_of(record) for record in params.get("steps") or ()]
    if earlier and check:
        return _result(params, earlier, 0)
    options = Options(
        bool(params.get("vendor_crds")),
        params.get("istio_namespace") or Options.istio_namespace,
        params.get("istio_revision") or Options.istio_revision,
    )
    with connect(params, progress) as cluster:
        releases = noted_releases(cluster)
        objects = list(read(cluster, releases, options.istio_namespace, users=options.vendor_crds))
        steps = plan(objects, releases, options)
        if earlier:
            again = params.get("phases") or list(PHASES)
            both = {False: earlier, True: steps}
            steps = [step for phase in PHASES for step in both[phase in again] if step.phase == phase]
        return _result(params, steps, cluster.requests)


def _result(params: dict[str, Any], steps: Sequence[Step], requests: int) -> dict[str, Any]:
    name = params.get("cluster") or params["context"]
    lines = summary(steps, True)
    # Named before the first phase, not only in the summary at the end.
    kept = [step for step in steps if step.action == KEEP and step.phase not in ("crds", "namespaces")]
    warnings = [f"{name}: {step.ref.title} is kept: {step.reason}" for step in kept if not params.get("steps")]
    return {
        **({"warnings": warnings} if warnings else {}),
        "changed": False,
        "msg": f"{name}: {'; '.join(lines)}",
        "steps": [step.record(name) for step in steps],
        "summary": lines,
        "requests": requests,
    }


def read(
    cluster: Cluster, releases: Sequence[NotedRelease], istio_namespace: str, users: bool = False
) -> Iterator[Json]:
    """The objects for the planner, with about one LIST per kind.

    ``users``: also objects of the kinds of CRDs that we installed, one LIST per CRD.
    """
    groups = _groups(cluster)
    istio = {istio_namespace}
    for group, kind in WRITTEN:
        # Secrets without our label are not read: they are never adopted. There are many ConfigMaps, and one is written.
        labels = f"{OWNER_LABEL}={MANAGER}" if kind == "Secret" else None
        fields = f"metadata.name={EXTENSIONS}" if kind == "ConfigMap" else None
        for obj in _listed(cluster, groups, group, kind, labels, fields):
            if kind == "ServiceMeshController":
                istio.add(str(spec_of(obj).get("installNamespace") or istio_namespace))
            yield obj
    yield from _parameters(cluster, groups)
    yield from _listed(cluster, groups, _GATEWAY_API, "GatewayClass")
    yield from _attached(cluster, groups)
    if not releases:
        return
    for kind in ("ConfigMap", "Secret"):
        yield from cluster.list("v1", kind, labels=NOTE_LABEL)
    yield from _left(cluster, groups, releases, istio)
    for kind in POLICIES:
        yield from _listed(cluster, groups, "admissionregistration.k8s.io", kind)
    crds = cluster.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    yield from crds
    if users:
        for crd in vendor_crds(crds, releases):
            yield from _objects_of(cluster, crd)


def _left(cluster: Cluster, groups: Groups, releases: Sequence[NotedRelease], istio: set[str]) -> Iterator[Json]:
    """Candidates for leftovers of programs that a release of ours installed."""
    made = {each.purpose: each.namespace for each in releases if each.ours}
    places = {made[purpose] for purpose in ("agent", "server") if purpose in made}
    if "agent" in made:
        yield from translated_objects(cluster)
    if "operator" in made:
        places |= istio
        yield from cluster.list("v1", "Pod", labels="app=istiod")
        yield from cluster.list("v1", "ConfigMap", fields=f"metadata.name={ROOT_CERTIFICATE}")
        for namespace in sorted(istio):
            yield from cluster.list("v1", "ConfigMap", namespace)
    if "controller" in made:
        yield from cluster.list("v1", "ConfigMap", labels=CLASS_LABEL)
        for group, kind in SCALERS:
            yield from _listed(cluster, groups, group, kind, CLASS_LABEL)
    for namespace in sorted(places):
        yield from cluster.list("v1", "Secret", namespace)
    controllers = {each.namespace for each in releases if each.ours and each.purpose == "controller"}
    for namespace in sorted(controllers - places):
        yield from cluster.list("v1", "Secret", namespace, fields=f"metadata.name={CONTROLLER_SECRET}")


def translated_objects(cluster: Cluster) -> Iterator[Json]:
    """Objects that Gloo Mesh translated into the cluster."""
    for group in _TRANSLATED:
        for version in cluster.served_versions(group)[:1]:
            for kind, verbs in list(cluster.resources(f"{group}/{version}")):
                if "list" in verbs:
                    yield from filter(is_translated, cluster.list(kind.api_version, kind.kind))


def _parameters(cluster: Cluster, groups: Groups) -> Iterator[Json]:
    """Parameters of Gateways, of every kind: each product has its kind in a separate group."""
    for group in groups:
        if group == _GATEWAY_API or not ("gateway" in group or group == "gloo.solo.io"):
            continue
        found: set[str] = set()
        for version in groups[group]:
            for kind, verbs in list(cluster.resources(version)):
                if kind.kind.endswith("Parameters") and kind.kind not in found and "list" in verbs:
                    found.add(kind.kind)
                    yield from cluster.list(version, kind.kind)


def _attached(cluster: Cluster, groups: Groups) -> Iterator[Json]:
    """Routes and sets of listeners of Gateway API, except HTTPRoutes, which are in WRITTEN."""
    for group in ATTACHED_GROUPS:
        found = {"HTTPRoute"}
        for version in groups.get(group, ()):
            for kind, verbs in list(cluster.resources(version)):
                if is_attached_kind(kind.kind) and kind.kind not in found and "list" in verbs:
                    found.add(kind.kind)
                    yield from cluster.list(version, kind.kind)


def _groups(cluster: Cluster) -> Groups:
    """API group -> its versions as "group/version", the preferred one first."""
    found: Groups = {"": ["v1"]}
    for row in cluster.api_groups():
        rows = [mapping(row.get("preferredVersion")), *mappings(row.get("versions"))]
        versions = list(dict.fromkeys(str(each["groupVersion"]) for each in rows if each.get("groupVersion")))
        found[group_of(versions[0])] = versions
    return found


def _listed(
    cluster: Cluster, groups: Groups, group: str, kind: str, labels: str | None = None, fields: str | None = None
) -> list[Json]:
    """All objects of a kind in the first version that serves it; none where it is not served."""
    for api_version in groups.get(group, ()):
        try:
            return cluster.list(api_version, kind, labels=labels, fields=fields)
        except NotServed:
            continue
    return []


def _objects_of(cluster: Cluster, crd: Json) -> list[Json]:
    """The objects of a CRD's kind."""
    spec, names = spec_of(crd), mapping(spec_of(crd).get("names"))
    versions = [each for each in mappings(spec.get("versions")) if each.get("served")]
    versions.sort(key=lambda version: not version.get("storage"))
    for version in versions[:1]:
        api_version = f"{spec.get('group')}/{version.get('name')}"
        kind = Kind(api_version, str(names.get("kind")), str(names.get("plural")), spec.get("scope") == "Namespaced")
        cluster.learn(kind)
        try:
            return cluster.list(api_version, kind.kind)
        except NotServed:
            break
    return []
