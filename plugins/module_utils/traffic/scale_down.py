# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take Deployments away and bring them back as they were, even after a run that was killed in between.

One write scales to 0 and notes in an annotation how many replicas there were and whose field that was; so there is no
moment in which the number is known to a process alone. An autoscaler pauses while a Deployment wants 0 replicas.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable

from ..apply.manifests import ref_of
from ..k8s.client import Cluster
from ..k8s.errors import Conflict, NotFound
from ..k8s.fields import Json

ANNOTATION = "multicluster.gloo/failover-replicas"
MANAGER = "multicluster.gloo-failover"

_REPLICAS = "f:replicas"
_MERGE = "application/merge-patch+json"
_TRIES = 20


def former(deployment: Json) -> Json | None:
    """{replicas, owners} as noted when it was taken away; None when it was not."""
    text = (deployment["metadata"].get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    try:
        noted = json.loads(text)
        return {"replicas": int(noted["replicas"]), "owners": list(noted["owners"])}
    except (ValueError, KeyError, TypeError):
        # Written by somebody else: one replica is the API's own default, and better than none.
        return {"replicas": 1, "owners": []}


def note(deployment: Json) -> str:
    """The annotation for a Deployment about to be taken away."""
    replicas = deployment["spec"].get("replicas", 1)
    owners = [
        {key: entry[key] for key in ("manager", "operation", "apiVersion", "subresource") if key in entry}
        for entry in deployment["metadata"].get("managedFields") or ()
        if _REPLICAS in (entry.get("fieldsV1") or {}).get("f:spec", {})
    ]
    return json.dumps({"replicas": replicas, "owners": owners}, separators=(",", ":"))


def handed_back(entries: Iterable[Json], owners: Iterable[Json]) -> list[Json]:
    """managedFields without us: the field goes back to those who owned it, unless somebody has taken it since."""
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


def take_away(cluster: Cluster, deployment: Json) -> None:
    """Scale to 0, and note how it was: just now, not when the check began.

    What another run has taken away meanwhile keeps its note.
    """
    ref = ref_of(deployment)
    for attempt in range(_TRIES):
        live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
        if live is None or former(live) is not None:
            return
        meta = {"annotations": {ANNOTATION: note(live)}, "resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            _patch(cluster, live, {"metadata": meta, "spec": {"replicas": 0}})
            return
        except Conflict:
            if attempt == _TRIES - 1:
                raise


def bring_back(cluster: Cluster, deployment: Json) -> Json | None:
    """The Deployment as it was before it was taken away; None when somebody deleted it. Safe to repeat.

    What somebody scaled up in the meantime stays as it is.
    """
    ref = ref_of(deployment)
    live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
    noted = former(live) if live else None
    if live is None or noted is None:
        return live
    if not live["spec"].get("replicas", 1):
        live = _patch(cluster, deployment, {"spec": {"replicas": noted["replicas"]}})
    for attempt in range(_TRIES):
        if live is None or former(live) is None:
            return live
        after = copy.deepcopy(live)
        del after["metadata"]["annotations"][ANNOTATION]
        after["metadata"]["managedFields"] = handed_back(live["metadata"].get("managedFields") or [], noted["owners"])
        try:
            return cluster.replace(after, manager=MANAGER)
        except Conflict:
            # Its controller writes the status all the while.
            if attempt == _TRIES - 1:
                raise
            live = cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace)
    return live


def _patch(cluster: Cluster, deployment: Json, change: Json) -> Json | None:
    ref = ref_of(deployment)
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


def left_away(deployments: Iterable[Json]) -> list[Json]:
    """Those that a run took away and did not bring back."""
    return [deployment for deployment in deployments if former(deployment) is not None]


def titles(cluster: str, deployments: Iterable[Json]) -> str:
    """For messages."""
    return ", ".join(f"{cluster}: {ref_of(each).title}" for each in deployments)
