# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster has of a layer, its owner, and whether the roles may write it (pure).

A layer is absent, ours (installed by this collection), adopted (a Helm release that existed before: its values and
version are kept) or external (no Helm release that may be changed: Argo CD, Flux, istioctl, kubectl).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..apply.manifests import is_ours
from ..helm.ownership import has_gitops, owner_of, program_of
from ..helm.plan import base_release, present_record
from ..helm.releases import ReleaseHistory
from ..k8s.fields import Json, key_of, meta, name_of, texts, title_of

ABSENT, OURS, ADOPTED, EXTERNAL = "absent", "ours", "adopted", "external"
AUTO, MANAGE, USE = "auto", "manage", "use"
MODES = (AUTO, MANAGE, USE)


@dataclass(frozen=True)
class ClusterObjects:
    """The objects of one cluster. Kinds that the API server does not serve are empty.

    ``role``: management or workload. ``in_run``: whether roles run in it; ``unreachable``: why it could not be read, in
    which case everything else is empty. ``istiods``: records of istiod_info; ``istiod_deployments``: their Deployments.
    ``roots``: digests of the root certificates that proxies trust. ``cacerts``, ``licences``: Secrets without values;
    ``data`` of a licence has its keys that are not empty. ``namespaces``: None if they may not be listed.
    ``extensions``: the ConfigMap with Helm values for charts of the operator; ``operator_values``: those that the user
    adds, by chart.
    ``uid``: of the namespace kube-system of a workload cluster, "" if unknown.
    ``unread``: a sentence for each list that is forbidden; ``trust_unread``: those about roots, cacerts.
    """

    host: str
    name: str
    role: str
    modes: Mapping[str, str] = field(default_factory=dict)
    in_run: bool = True
    unreachable: str = ""
    deployments: Sequence[Json] = ()
    services: Sequence[Json] = ()
    crds: Sequence[Json] = ()
    controllers: Sequence[Json] = ()
    namespaces: Sequence[Json] | None = ()
    workspaces: Sequence[Json] = ()
    settings: Sequence[Json] = ()
    registrations: Sequence[Json] = ()
    policies: Sequence[Json] = ()
    releases: Sequence[ReleaseHistory] = ()
    istiods: Sequence[Json] = ()
    istiod_deployments: Sequence[Json] = ()
    cacerts: Sequence[Json] = ()
    roots: frozenset[str] = frozenset()
    licences: Sequence[Json] = ()
    extensions: Json | None = None
    operator_values: Mapping[str, Any] = field(default_factory=dict)
    unread: Sequence[str] = ()
    trust_unread: Sequence[str] = ()
    uid: str = ""

    def mode(self, layer: str) -> str:
        return self.modes.get(layer) or AUTO


@dataclass(frozen=True)
class Planned:
    """A release that a role installs for a layer. ``chart``: the chart's name, "" when it is not known.

    ``main``: name of the layer's main object in it.
    """

    name: str = ""
    namespace: str = ""
    chart: str = ""
    main: str = ""

    def __str__(self) -> str:
        return f"Helm release {self.namespace}/{self.name}"


def helm_layer(
    cluster: ClusterObjects, layer: str, objects: Sequence[Json], planned: Mapping[str, Planned], facts: Json
) -> Json:
    """The record of a layer that a Helm release contains. objects: what was found, the one in use first."""
    plan = planned.get(layer, Planned())
    main = objects[0] if objects else None
    history = release_of(main, cluster.releases) if main is not None else _release_named(plan, cluster.releases)
    base = base_release(history) if history else None
    ours = history is not None and history.note is not None and history.note.ours
    release: Json = {"name": plan.name, "namespace": plan.namespace, "chart": plan.chart, "version": ""}
    owner = problem = ""
    if base is not None and history is not None:
        owner = f"Helm release {history.title} (chart {base.chart} {base.chart_version})"
    is_reverted = main is not None and has_gitops(main)
    if main is not None and (is_reverted or (not ours and (base is None or plan.chart not in ("", base.chart)))):
        owner = owner if base is not None and not is_reverted else owner_of(main, "", "")
        state, reason = EXTERNAL, f"{title_of(main)} belongs to {owner} and is used unchanged"
    elif ours:
        state, reason = OURS, f"{owner} was installed by this collection"
    elif main is not None:
        state, reason = ADOPTED, f"{owner} existed before: its version and values are kept"
    else:
        state, reason = ABSENT, f"it does not exist: {plan} will be installed"
        if base is not None:
            problem = (
                f"{owner}: does not contain {plan.main or layer}. Enable it in the values of this release "
                "or, if nothing uses the release, uninstall it"
            )
    if base is not None and history is not None and state in (OURS, ADOPTED):
        release = {"name": history.name, "namespace": history.namespace}
        release |= {"chart": base.chart, "version": base.chart_version}
    row = record(cluster, layer, state, reason, main=main, owner=owner, release=release, facts=facts, problem=problem)
    return row if main is not None else {**row, "namespace": release["namespace"], "name": plan.main}


def record(
    cluster: ClusterObjects,
    layer: str,
    state: str,
    reason: str,
    *,
    main: Json | None = None,
    owner: str = "",
    release: Json | None = None,
    facts: Json | None = None,
    problem: str = "",
) -> Json:
    """A record; the mode decides whether the layer is managed."""
    mode = cluster.mode(layer)
    manage = state != EXTERNAL
    if mode == USE:
        manage, problem = False, ""
        what = title_of(main) if main is not None else "it"
        verb = "is used unchanged" if main is not None else "does not exist and is not created"
        reason = f"{what} {verb}, because mesh_layers.{layer} is use"
    elif mode == MANAGE and state == EXTERNAL and not problem:
        problem = (
            f"{title_of(main)} belongs to {owner}, so it cannot be changed here, but mesh_layers.{layer} is manage. "
            "Set it to use or, if this collection is to replace it, remove the object where it is managed"
        )
    namespace, name = key_of(main)
    return {
        "cluster": cluster.name,
        "layer": layer,
        "state": state,
        "mode": mode,
        "manage": manage,
        "install": manage and state in (ABSENT, OURS),
        "reason": reason,
        "problem": problem,
        "owner": owner,
        "object": title_of(main) if main is not None else "",
        "namespace": namespace,
        "name": name,
        "release": release or {},
        "facts": facts or {},
    }


def objects_layer(
    cluster: ClusterObjects, layer: str, objects: Sequence[Json], absent: str, facts: Json, problem: str = ""
) -> Json:
    """The record of a layer of single objects, ours first. absent: the sentence when there are none."""
    ours = [each for each in objects if is_ours(each)]
    if ours:
        reason = f"{title_of(ours[0])} was created by this collection"
        return record(cluster, layer, OURS, reason, main=ours[0], facts=facts)
    if not objects:
        return record(cluster, layer, ABSENT, absent, facts=facts, problem=problem)
    main, owner = objects[0], owner_of(objects[0], "", "")
    if cluster.mode(layer) == MANAGE and not program_of(main):
        reason = f"{title_of(main)} existed before and is changed, because mesh_layers.{layer} is manage"
        return record(cluster, layer, ADOPTED, reason, main=main, owner=owner, facts=facts)
    reason = f"{title_of(main)} belongs to {owner} and is used unchanged"
    return record(cluster, layer, EXTERNAL, reason, main=main, owner=owner, facts=facts, problem=problem)


def release_of(obj: Json, releases: Iterable[ReleaseHistory]) -> ReleaseHistory | None:
    """The installed release that contains the object: named by its annotations, else the one whose manifest has it."""
    installed = [each for each in releases if present_record(each) is not None]
    notes = texts(meta(obj).get("annotations"))
    name = notes.get("meta.helm.sh/release-name")
    if name:
        namespace = notes.get("meta.helm.sh/release-namespace")
        return next((each for each in installed if (each.namespace, each.name) == (namespace, name)), None)
    for history in installed:
        base = base_release(history)
        for each in base.objects if base else ():
            where = meta(each).get("namespace") or (history.namespace if meta(obj).get("namespace") else None)
            if (each["kind"], name_of(each), where) == (obj.get("kind"), name_of(obj), meta(obj).get("namespace")):
                return history
    return None


def _release_named(plan: Planned, releases: Iterable[ReleaseHistory]) -> ReleaseHistory | None:
    """The installed release of the planned name."""
    for each in releases:
        if (each.namespace, each.name) == (plan.namespace, plan.name) and present_record(each) is not None:
            return each
    return None
