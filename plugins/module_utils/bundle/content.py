# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contents of a support bundle for one cluster: objects, events, Helm releases and logs of multicluster routing."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..apply.manifests import ref_of
from ..gateway.products import KNOWN, product_of
from ..gateway.proxy_objects import containers, template_of
from ..istiod.objects import command_of, discovery_container
from ..k8s.client import Cluster
from ..k8s.errors import ClusterError, NotServed, Unreachable
from ..k8s.fields import Json, labels_of, mapping, meta, spec_of
from ..k8s.kinds import group_of
from ..k8s.pods import owner_of
from ..k8s.printable import one_line
from ..k8s.readiness import judge
from ..k8s.redaction import Redaction, text
from ..mesh import parts

# API groups of which all objects are collected, including subgroups (admin.gloo.solo.io).
GROUPS = tuple(
    {"gloo.solo.io", "istio.io", "gateway.networking.k8s.io", *(k.group for p in KNOWN for k in p.parameters)}
)

# Kinds collected from related namespaces.
NAMESPACED = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("v1", "ServiceAccount"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
)

# Default namespaces of the products.
USUAL_NAMESPACES = (
    "gloo-mesh",
    "gloo-mesh-addons",
    "gloo-mesh-config",
    "istio-eastwest",
    "istio-system",
    *sorted({product.namespace for product in KNOWN}),
)
# Kinds whose namespaces are related.
_ROUTING_KINDS = (
    "VirtualDestination",
    "RouteTable",
    "Gateway",
    "HTTPRoute",
    *sorted({kind.kind for product in KNOWN for kind in product.parameters}),
)
_TRANSLATED = "gloo.solo.io/parent_kind"
_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"

_SIDECAR = "istio-proxy"
# Annotation of Pods that istiod turns into gateways.
_TEMPLATES = "inject.istio.io/templates"


@dataclass(frozen=True)
class File:
    """A file of the bundle. If too large, its last documents or lines are omitted; with ``newest_last`` the first."""

    path: str
    content: str
    newest_last: bool = False


@dataclass
class Content:
    """The data read from one cluster. ``left_out``: [{path, reason}]; ``not_ready``: [{object, reason}]."""

    facts: Json = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    left_out: list[Json] = field(default_factory=list)
    not_ready: list[Json] = field(default_factory=list)


def collect(
    cluster: Cluster,
    redaction: Redaction,
    namespaces: Iterable[str],
    log_lines: int,
    progress: Callable[[str], None],
) -> Content:
    """Everything readable in the cluster, redacted; what cannot be read is recorded. The first request may raise."""
    return _Reader(cluster, redaction, set(namespaces), log_lines).read(progress)


class _Reader:
    def __init__(self, cluster: Cluster, redaction: Redaction, namespaces: set[str], log_lines: int) -> None:
        self.cluster, self.redaction, self.log_lines = cluster, redaction, log_lines
        self.namespaces = namespaces
        self.content = Content()

    def read(self, progress: Callable[[str], None]) -> Content:
        name = self.cluster.name
        self.content.facts = {
            "server": self.cluster.server,
            "version": self.cluster.version(),
            "uid": self._attempt("uid", self.cluster.uid) or "",
        }
        try:
            related = self._related_objects()
            everywhere = self._list("v1", "Namespace", None)
            known = {obj["metadata"]["name"] for obj in everywhere}
            self.namespaces = self.namespaces & known if known else self.namespaces | set(USUAL_NAMESPACES)
            self.namespaces |= related_namespaces([*everywhere, *related, *self._list("apps/v1", "Deployment", None)])
            self.content.facts["namespaces"] = sorted(self.namespaces)
            progress(f"{name}: reading namespaces {', '.join(sorted(self.namespaces))}")
            here = [obj for obj in everywhere if obj["metadata"]["name"] in self.namespaces]
            here += [obj for namespace in sorted(self.namespaces) for obj in self._of_namespace(namespace)]
            self.redaction.publish(obj["metadata"]["name"] for obj in [*everywhere, *related, *here])
            self._objects([*related, *here])
            self._releases(here)
            self._definitions()
            for namespace in sorted(self.namespaces):
                self._events(namespace)
            progress(f"{name}: reading logs")
            self._logs([obj for obj in here if obj["kind"] == "Pod"])
        except Unreachable as exc:
            self._omit(name, exc.msg)
        self.content.facts["requests"] = self.cluster.requests
        return self.content

    # -- objects

    def _related_objects(self) -> list[Json]:
        """The objects of every listable kind in GROUPS."""
        found: list[Json] = []
        for api_version in self._attempt("API groups", self.cluster.api_versions) or ():
            if not _is_related(group_of(api_version)):
                continue
            for kind in self._attempt(api_version, functools.partial(self._listable, api_version)) or ():
                found += self._list(api_version, kind, None)
        return found

    def _listable(self, api_version: str) -> list[str]:
        return [kind.kind for kind, verbs in self.cluster.resources(api_version) if "list" in verbs]

    def _of_namespace(self, namespace: str) -> Iterator[Json]:
        for api_version, kind in NAMESPACED:
            yield from self._list(api_version, kind, namespace)

    def _list(self, api_version: str, kind: str, namespace: str | None) -> list[Json]:
        what = f"{kind}{f' in {namespace}' if namespace else ''}"
        try:
            return self._attempt(what, lambda: self.cluster.list(api_version, kind, namespace)) or []
        except NotServed:
            return []

    def _objects(self, objects: list[Json]) -> None:
        files: dict[str, list[str]] = {}
        for obj in objects:
            if _is_release(obj):
                continue
            meta, group = obj["metadata"], group_of(obj["apiVersion"])
            kind = f"{obj['kind']}.{group}" if group else obj["kind"]
            path = f"{self.cluster.name}/{meta.get('namespace') or '_cluster'}/{kind}.yaml"
            shown = json.dumps(self.redaction.object(obj), indent=2, sort_keys=True)
            files.setdefault(path, []).append(f"---\n{shown}\n")
            verdict = judge(obj)
            if not verdict.ready:
                row = {"cluster": self.cluster.name, "object": ref_of(obj).title, "reason": text(verdict.reason)}
                self.content.not_ready.append(row)
        self.content.files += [File(path, "".join(pieces)) for path, pieces in files.items()]

    def _releases(self, objects: list[Json]) -> None:
        rows = [self.redaction.release(obj) for obj in objects if _is_release(obj)]
        self._table("helm.json", sorted(rows, key=lambda row: (row["namespace"], row["name"], row["revision"])))

    def _definitions(self) -> None:
        """Versions of the related CRDs; their schemas are large and public."""
        rows = [
            {
                "name": crd["metadata"]["name"],
                "versions": [version["name"] for version in crd["spec"]["versions"] if version.get("served")],
                **{
                    name.rpartition("/")[2]: value
                    for name, value in (crd["metadata"].get("annotations") or {}).items()
                    if name in ("gateway.networking.k8s.io/bundle-version", "gateway.networking.k8s.io/channel")
                },
            }
            for crd in self._list("apiextensions.k8s.io/v1", "CustomResourceDefinition", None)
            if _is_related(crd["spec"]["group"])
        ]
        self._table("crds.json", rows)

    def _table(self, name: str, rows: list[Json]) -> None:
        if rows:
            self.content.files.append(
                File(f"{self.cluster.name}/{name}", "".join(f"{json.dumps(row)}\n" for row in rows))
            )

    def _events(self, namespace: str) -> None:
        events = sorted(self._list("v1", "Event", namespace), key=_time)
        if events:
            path = f"{self.cluster.name}/{namespace}/events.txt"
            self.content.files.append(File(path, "".join(map(_event, events)), newest_last=True))

    # -- logs

    def _logs(self, pods: list[Json]) -> None:
        for pod in sorted(pods, key=lambda pod: (judge(pod).ready, not is_component(pod))):
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            for container, previous in containers_with_logs(pod):
                path = f"{self.cluster.name}/{namespace}/logs/{name}/{container}{'.previous' if previous else ''}.log"
                written = self._attempt(
                    path, functools.partial(self.cluster.logs, namespace, name, container, self.log_lines, previous)
                )
                if written:
                    self.content.files.append(File(path, text(written), newest_last=True))

    # -- omissions

    def _attempt(self, what: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (Unreachable, NotServed):
            raise
        except ClusterError as exc:
            self._omit(what, exc.msg)
            return None

    def _omit(self, what: str, reason: str) -> None:
        path = what if what.startswith(self.cluster.name) else f"{self.cluster.name}: {what}"
        self.content.left_out.append({"what": path, "reason": text(reason)})


# -- decisions


def related_namespaces(objects: Iterable[Json]) -> set[str]:
    """Namespaces that take part in multicluster routing: the usual ones that exist, those of its components, of
    destinations, routes and gateways, and of objects that Gloo Mesh translated."""
    found = set()
    for obj in objects:
        meta, labels = obj["metadata"], obj["metadata"].get("labels") or {}
        if obj["kind"] == "Namespace" and meta["name"] in USUAL_NAMESPACES:
            found.add(meta["name"])
        elif meta.get("namespace") and (obj["kind"] in _ROUTING_KINDS or _TRANSLATED in labels or is_component(obj)):
            found.add(meta["namespace"])
    return found


def is_component(obj: Json) -> bool:
    """Whether a Pod or workload is a component of multicluster routing, by what it runs, whatever its name."""
    workload = _workload_of(obj) if obj["kind"] == "Pod" else obj
    return (
        _GATEWAY_NAME in labels_of(obj)
        or parts.is_part(workload)
        or product_of(workload) is not None
        or _is_of_istio(workload)
    )


def _workload_of(pod: Json) -> Json:
    """The Pod as a workload with its containers."""
    return {
        "kind": "Pod",
        "metadata": {**pod["metadata"], "name": owner_of(pod)[1]},
        "spec": {"template": {"metadata": pod["metadata"], "spec": spec_of(pod)}},
    }


def _is_of_istio(workload: Json) -> bool:
    """Whether it is an istiod or a gateway of Istio, such as an east-west gateway."""
    if discovery_container(workload) is not None or labels_of(workload).get("app") == "istiod":
        return True
    template = template_of(workload)
    annotations = mapping(meta(template).get("annotations"))
    return "gateway" in str(annotations.get(_TEMPLATES) or "").split(",") or any(
        "router" in command_of(container)[:3] for container in containers(workload)
    )


def containers_with_logs(pod: Json) -> list[tuple[str, bool]]:
    """(container, previous instance?) of the logs to read: all of a component, only the sidecar of other Pods."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    found = []
    for specs, statuses in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        restarts = {row.get("name"): row.get("restartCount") for row in status.get(statuses) or ()}
        for container in spec.get(specs) or ():
            name = container["name"]
            if not is_component(pod) and name != _SIDECAR:
                continue
            found.append((name, False))
            if restarts.get(name):
                found.append((name, True))
    return found


def _is_related(group: str) -> bool:
    return any(group == one or group.endswith(f".{one}") for one in GROUPS)


def _is_release(obj: Json) -> bool:
    return obj["kind"] == "Secret" and obj.get("type") == "helm.sh/release.v1"


def _time(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _event(event: Json) -> str:
    about = event.get("involvedObject") or {}
    times = f" ({event['count']} times)" if int(event.get("count") or 1) > 1 else ""
    what = f"{_time(event)} {event.get('type')} {event.get('reason')} {about.get('kind')}/{about.get('name')}"
    return text(one_line(f"{what}: {event.get('message') or ''}{times}")) + "\n"
