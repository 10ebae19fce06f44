# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Desired objects: identity, checks before the first write, order, comparison, diff (pure)."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..k8s.fields import Json, labels_of, without_nulls
from ..k8s.fields import meta as meta_of
from ..k8s.kinds import group_of
from ..k8s.names import dns_label
from ..k8s.redaction import redact
from .managed_fields import applied_fields, project, union

try:
    import yaml
except ImportError:  # remote host: PyYAML is a dependency of the package kubernetes; reported on use
    yaml = None  # type: ignore[assignment]

MANAGER = "multicluster.gloo"
OWNER_LABEL = "app.kubernetes.io/managed-by"
FORMER_ANNOTATION = "multicluster.gloo/former"


@dataclass(frozen=True)
class Ref:
    """Identity of an object within a cluster; ``namespace`` is "" for cluster-scoped ones."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def place(self) -> tuple[str, str, str]:
        """The scope of one LIST: apiVersion, kind, namespace."""
        return self.api_version, self.kind, self.namespace

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ref_of(obj: Json) -> Ref:
    meta = obj["metadata"]
    return Ref(obj["apiVersion"], obj["kind"], meta.get("namespace") or "", meta["name"])


# -- checks


_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def flatten(definitions: Iterable[Any]) -> list[Json]:
    """Copies of the definitions, a ``kind: List`` replaced by its items."""
    flat: list[Json] = []
    for definition in definitions:
        if (
            isinstance(definition, dict)
            and definition.get("kind") == "List"
            and isinstance(definition.get("items"), list)
        ):
            flat.extend(flatten(definition["items"]))
        elif definition is not None:
            flat.append(copy.deepcopy(definition))
    return flat


def problems(objects: list[Any]) -> list[str]:
    """Problems of desired objects, one sentence each with field and hint."""
    found: list[str] = []
    first: dict[Ref, int] = {}
    for index, obj in enumerate(objects):
        where = f"definitions[{index}]"
        if not isinstance(obj, dict):
            found.append(f"{where}: is {type(obj).__name__}. Set an object with apiVersion, kind and metadata")
            continue
        shape = _shape_problem(obj)
        if shape:
            found.append(f"{where}{_hint_of(obj)}: {shape}")
            continue
        ref = ref_of(obj)
        if ref in first:
            found.append(f"{where}: {ref.title} is also definitions[{first[ref]}]. Remove one")
        first.setdefault(ref, index)
    return found


def _shape_problem(obj: Json) -> str:
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            return f"{field} is missing. Set it"
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        return "metadata is missing. Set it"
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        return "metadata.name is missing. Set it (generateName is not idempotent and not supported)"
    rbac = group_of(obj["apiVersion"]) == "rbac.authorization.k8s.io"
    is_label = obj["kind"] in ("Namespace", "Service")
    accepted = dns_label(name) if is_label else len(name) <= 253 and _SUBDOMAIN.fullmatch(name)
    if not rbac and not accepted:
        return (
            f"metadata.name {name!r} is not a valid Kubernetes name. Use lower case letters, digits and '-', "
            f"at most {63 if is_label else 253} characters, no '_'"
        )
    namespace = meta.get("namespace")
    if namespace and not dns_label(namespace):
        return (
            f"metadata.namespace {namespace!r} is not a valid namespace name. Use lower case letters, digits and '-', "
            "no '_'"
        )
    for field in ("labels", "annotations"):
        values = meta.get(field)
        if values is None:
            continue
        if not isinstance(values, dict):
            return f"metadata.{field} is not a map. Set a map"
        wrong = [str(key) for key, value in values.items() if not isinstance(value, str)]
        if wrong:
            return f"metadata.{field}.{wrong[0]} is not a string. Quote it"
    return ""


def _hint_of(obj: Json) -> str:
    meta = obj.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    return f" ({obj.get('kind') or 'no kind'} {name})" if name else ""


# -- order

# Lower ranks are written earlier and deleted later, so that the targets of routes and policies exist before them.
_RANKS: dict[str, int] = {
    "Namespace": 0,
    "CustomResourceDefinition": 1,
    "ServiceAccount": 2,
    "Secret": 2,
    "ConfigMap": 2,
    "PersistentVolumeClaim": 2,
    "ClusterRole": 3,
    "Role": 3,
    "ClusterRoleBinding": 3,
    "RoleBinding": 3,
    "Service": 4,
    "Deployment": 5,
    "DaemonSet": 5,
    "StatefulSet": 5,
    "Job": 5,
    "CronJob": 5,
    "Pod": 5,
    "GatewayClass": 6,
    "GatewayParameters": 6,
    "ReferenceGrant": 6,
    "Gateway": 7,
    "VirtualGateway": 7,
    "VirtualDestination": 7,
    "HTTPRoute": 8,
    "GRPCRoute": 8,
    "RouteTable": 8,
    "VirtualService": 8,
    "MutatingWebhookConfiguration": 9,
    "ValidatingWebhookConfiguration": 9,
}


def rank(obj: Json) -> int:
    """Position in the order of writes; kinds without a rank (policies, settings) come between workloads and routes."""
    return _RANKS.get(str(obj.get("kind")), 6)


# -- comparison

_SERVER_SIDE = (
    "creationTimestamp",
    "resourceVersion",
    "uid",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
)


def desired(definition: Json, *, owned: bool) -> Json:
    """The object to apply: no status, nulls or server-set metadata, stringData as data, our label when owned."""
    obj: Json = without_nulls(definition)
    obj.pop("status", None)
    meta = obj["metadata"]
    for field in _SERVER_SIDE:
        meta.pop(field, None)
    if obj["kind"] == "Secret" and group_of(obj["apiVersion"]) == "" and obj.get("stringData"):
        data = dict(obj.get("data") or {})
        for key, text in obj.pop("stringData").items():
            data[key] = base64.b64encode(str(text).encode()).decode()
        obj["data"] = data
    if owned:
        meta["labels"] = {**meta.get("labels", {}), OWNER_LABEL: MANAGER}
    return obj


def is_ours(live: Json) -> bool:
    """True for objects that this collection created and may delete.

    The label decides alone: an object restored from a backup has it, and other field managers.
    """
    return labels_of(live).get(OWNER_LABEL) == MANAGER


def is_adopted(live: Json) -> bool:
    """True for objects not created by this collection in which it owns fields."""
    return not is_ours(live) and applied_fields(live, MANAGER) is not None


def is_up_to_date(live: Json, wanted: Json) -> bool:
    """True when the fields we own in the live object have the wanted values.

    False is not final: the API server may normalize the value (1000m and 1). A dry run decides.
    """
    fields = applied_fields(live, MANAGER)
    return fields is not None and _body(project(live, fields)) == _body(wanted)


def same_content(before: Json, after: Json) -> bool:
    """True when two responses of the API server have the same content and we own the same fields in both."""
    return same_values(before, after) and applied_fields(before, MANAGER) == applied_fields(after, MANAGER)


def same_values(before: Json, after: Json) -> bool:
    """True when two responses of the API server have the same content, whatever the owners of its fields."""
    return _content(before) == _content(after)


def _content(obj: Json) -> Json:
    body = {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind", "status")}
    ignored = ("managedFields", "resourceVersion", "generation")
    body["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in ignored}
    return body


def _body(obj: Json) -> Json:
    body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    meta = {
        key: value
        for key, value in meta_of(obj).items()
        if key not in ("name", "namespace") and not (key in ("labels", "annotations") and value == {})
    }
    if meta:
        body["metadata"] = meta
    return body


# -- diff


def difference(title: str, before: Json | None, after: Json | None, *, fields: Json | None = None) -> Json:
    """One entry of Ansible's diff: only fields we own (before or after), as YAML, secrets as fingerprints.

    ``fields`` are the owned ones when ``after`` is not a response of the API server.
    """
    owned = fields or {}
    for obj in (before, after):
        if obj is not None:
            owned = union(owned, applied_fields(obj, MANAGER) or {})
    sides = []
    for obj in (before, after):
        if obj is None:
            sides.append("")
            continue
        # Without owned fields (an object not yet sent to the API server) everything in it is ours.
        part = project(obj, owned) if owned and meta_of(obj).get("managedFields") else obj
        sides.append(to_yaml(_body(redact({"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **part}))))
    return {"before_header": title, "after_header": title, "before": sides[0], "after": sides[1]}


def to_yaml(value: Any) -> str:
    """Text for a diff."""
    if yaml is None:
        return json.dumps(value, indent=2, sort_keys=True) + "\n"
    return str(yaml.safe_dump(value, sort_keys=True, default_flow_style=False, width=200))
