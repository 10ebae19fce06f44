# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scale Deployments and StatefulSets to 0 and restore them, even after a killed run.

One write scales to 0 and records the former replicas and their field managers in an annotation, so the number is never
only in the process. An autoscaler pauses while a workload has 0 replicas.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterable

from ..apply.manifests import ref_of
from ..k8s.client import Cluster
from ..k8s.errors import ClusterError, Conflict, NotFound
from ..k8s.fields import Json, from_json, mapping, mappings

ANNOTATION = "multicluster.gloo/failover-replicas"
MANAGER = "multicluster.gloo-failover"

_REPLICAS = "f:replicas"
_MERGE = "application/merge-patch+json"
_TRIES = 20


class Scaled:
    """A Deployment or StatefulSet that is being scaled to 0.

    ``replicas``: its former number. ``uncertain``: whether the write was processed is unknown.
    """

    def __init__(self, workload: Json, replicas: int | None = None) -> None:
        self.workload = workload
        self.replicas: int = workload["spec"].get("replicas", 1) if replicas is None else replicas
        self.uncertain = False

    @property
    def title(self) -> str:
        return ref_of(self.workload).title


def former(workload: Json) -> Json | None:
    """{replicas, owners} recorded when it was scaled to 0; None when not scaled down."""
    text = (workload["metadata"].get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    try:
        noted = mapping(from_json(str(text)))
    except ValueError:
        noted = {}
    # Where it is not as this module writes it: 1 is the API's default.
    replicas = noted.get("replicas")
    if not isinstance(replicas, int) or not 0 <= replicas < 2**31:
        replicas = 1
    return {"replicas": replicas, "owners": mappings(noted.get("owners"))}


def note(workload: Json) -> str:
    """The annotation for a workload that is about to be scaled to 0."""
    replicas = workload["spec"].get("replicas", 1)
    owners = [
        {key: entry[key] for key in ("manager", "operation", "apiVersion", "subresource") if key in entry}
        for entry in workload["metadata"].get("managedFields") or ()
        if _REPLICAS in (entry.get("fieldsV1") or {}).get("f:spec", {})
    ]
    return json.dumps({"replicas": replicas, "owners": owners}, separators=(",", ":"))


def handed_back(entries: Iterable[Json], owners: Iterable[Json]) -> list[Json]:
    """managedFields without this manager: replicas returns to its former managers unless another one has set it."""
    ours = [entry for entry in entries if entry.get("manager") == MANAGER]
    others = [copy.deepcopy(entry) for entry in entries if entry.get("manager") != MANAGER]
    if not any(_REPLICAS in (entry.get("fieldsV1") or {}).get("f:spec", {}) for entry in ours):
        return others
    for owner in owners:
        identity = ("manager", "operation", "subresource")
        entry = next((each for each in others if all(each.get(k) == owner.get(k) for k in identity)), None)
        if entry is None:
            entry = {**owner, "fieldsType": "FieldsV1", "fieldsV1": {}}
            others.append(entry)
        entry["fieldsV1"].setdefault("f:spec", {})[_REPLICAS] = {}
    return others


def scale_down(cluster: Cluster, scaled: Scaled) -> None:
    """Scale to 0 and record the replicas it has at this moment, also in ``scaled``.

    A workload that another run has scaled down in the meantime keeps its record.
    """
    ref = ref_of(scaled.workload)
    for attempt in range(_TRIES):
        live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
        if live is None or former(live) is not None:
            return
        meta = {"annotations": {ANNOTATION: note(live)}, "resourceVersion": live["metadata"]["resourceVersion"]}
        scaled.replicas, scaled.uncertain = live["spec"].get("replicas", 1), True
        try:
            _patch(cluster, live, {"metadata": meta, "spec": {"replicas": 0}})
        except ClusterError as exc:
            scaled.uncertain = exc.outcome_unknown
            if not isinstance(exc, Conflict) or attempt == _TRIES - 1:
                raise
        else:
            scaled.uncertain = False
            return


def restore(cluster: Cluster, scaled: Scaled) -> Json | None:
    """The restored workload; None when it was deleted. Idempotent.

    A workload that was scaled up in the meantime keeps its replicas.
    """
    ref = ref_of(scaled.workload)
    live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
    if live is not None and former(live) is None and scaled.uncertain:
        # The write may still arrive: it is refused once the object has another resourceVersion.
        meta = {"annotations": {ANNOTATION: note(live)}, "resourceVersion": live["metadata"]["resourceVersion"]}
        live = _patch(cluster, live, {"metadata": meta})
    noted = former(live) if live else None
    if live is None or noted is None:
        return live
    if not live["spec"].get("replicas", 1):
        live = _patch(cluster, live, {"spec": {"replicas": noted["replicas"]}})
    for attempt in range(_TRIES):
        if live is None or former(live) is None:
            return live
        after = copy.deepcopy(live)
        del after["metadata"]["annotations"][ANNOTATION]
        after["metadata"]["managedFields"] = handed_back(live["metadata"].get("managedFields") or [], noted["owners"])
        try:
            return cluster.replace(after, manager=MANAGER)
        except Conflict:
            # Its controller writes the status concurrently.
            if attempt == _TRIES - 1:
                raise
            live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
    return live


def command_to_restore(cluster: Cluster, scaled: Scaled) -> str:
    """The kubectl command that does the same, except for the managers of the field."""
    ref = ref_of(scaled.workload)
    change = {"metadata": {"annotations": {ANNOTATION: None}}, "spec": {"replicas": scaled.replicas}}
    command = [
        "kubectl",
        "--context",
        cluster.context,
        "--namespace",
        ref.namespace,
        "patch",
        ref.kind.lower(),
        ref.name,
    ]
    command += ["--type", "merge", "--patch", json.dumps(change, separators=(",", ":"))]
    return f"KUBECONFIG={shlex.quote(cluster.kubeconfig)} {shlex.join(command)}"


def _patch(cluster: Cluster, workload: Json, change: Json) -> Json | None:
    ref = ref_of(workload)
    where = cluster.kind(ref.api_version, ref.kind)
    try:
        return cluster.request(
            "PATCH",
            where.url(ref.namespace, ref.name),
            {"fieldManager": MANAGER},
            change,
            content_type=_MERGE,
            what=ref.title,
            kind=where,
        )
    except NotFound:
        return None


def left_scaled_down(workloads: Iterable[Json]) -> list[Scaled]:
    """Workloads that a run scaled down and did not restore."""
    recorded = [(workload, former(workload)) for workload in workloads]
    return [Scaled(workload, noted["replicas"]) for workload, noted in recorded if noted is not None]
