"""The result of translating a Gloo object, and the Istio objects it consists of. Pure.

Names, labels and contents of the Istio objects are those of live installations; exact names differ between Gloo
versions, so tests must not select by them.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from lab.control_plane.objects import Object
from lab.vendor.gloo_mesh.workspaces import Mesh

ISTIO = "networking.istio.io/v1"
OUTPUT_LABELS = {
    "owner.gloo.solo.io/name": "gloo-mesh",
    "reconciler.mesh.gloo.solo.io/name": "translator",
    "agent.gloo.solo.io": "gloo-mesh",
}
OUTPUT_KINDS = ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService")


class Translation(NamedTuple):
    """state and message of a Gloo object, other fields of its status, Istio objects by cluster name."""

    state: str
    message: str
    extra: Object
    objects: dict[str, list[Object]]
    keep: bool = False  # keep the existing Istio objects: the new version cannot be translated now


def common_status(translation: Translation, generation: int) -> Object:
    """Status of all Gloo kinds except RootTrustPolicy; the capital S is the vendor's."""
    state: Object = {"approval": translation.state, "observedGeneration": generation}
    if translation.message:
        state["message"] = translation.message
    return {"common": {"State": state}, **translation.extra}


def istio_object(
    kind: str,
    name: str,
    spec: Object,
    cluster: str,
    mesh: Mesh,
    parent: Object,
    parent_kind: str,
    workspace: str,
    labels: dict[str, str] | None = None,
) -> Object:
    namespace = parent["metadata"]["namespace"]
    extra = {**(labels or {}), "security.istio.io/tlsMode": "istio"} if kind == "WorkloadEntry" else {}
    return {
        "apiVersion": ISTIO,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                **extra,
                **OUTPUT_LABELS,
                "gloo.solo.io/parent_kind": parent_kind,
                "gloo.solo.io/parent_name": parent["metadata"]["name"],
                "gloo.solo.io/parent_namespace": namespace,
                "gloo.solo.io/parent_cluster": mesh.management,
                "gloo.solo.io/parent_group": "networking.gloo.solo.io",
                "gloo.solo.io/parent_version": "v2",
                "context.mesh.gloo.solo.io/cluster": mesh.management,
                "context.mesh.gloo.solo.io/namespace": namespace,
                "context.mesh.gloo.solo.io/workspace": workspace,
                "relay.solo.io/cluster": cluster,
            },
            "annotations": {"cluster.solo.io/cluster": cluster},
        },
        "spec": spec,
    }


def object_name(*parts: str) -> str:
    """Parts joined to a DNS label; a long name is cut and ends with a hash."""
    full = re.sub(r"[^a-z0-9-]+", "-", "-".join(parts).lower()).strip("-")
    return full if len(full) <= 63 else f"{full[:52].rstrip('-')}-{digest(full)}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def reference(obj: Object) -> Object:
    return {key: obj["metadata"][key] for key in ("name", "namespace")}
