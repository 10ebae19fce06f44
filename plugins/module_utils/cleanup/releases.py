# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of Helm releases with our note that cleanup uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..apply.manifests import Ref
from ..gateway.controller import controller_of
from ..gateway.products import PRODUCTS
from ..helm.plan import plan_absent, present_record
from ..helm.releases import ReleaseHistory, note_name, read_all_revisions, read_former_values, read_releases
from ..k8s.client import Cluster
from ..k8s.fields import Json, meta, name_of

#: the kind in records of releases
HELM = "Helm release"

Purpose = Literal["crds", "server", "agent", "operator", "controller", "other"]


@dataclass(frozen=True)
class NotedRelease:
    """A release with our note.

    ``created``: when the note was written, before the release was first touched (RFC 3339). ``ours``: it did not exist
    before. ``present``: it is installed.
    ``due``: it has to be uninstalled or restored. ``groups``: API groups whose CRDs it installs, ``crds``: CRDs
    in its chart. ``deployment``: (namespace, name) of a gateway controller's Deployment.
    ``kept``: why it is kept although it has our note, "" if it is not.
    """

    name: str
    namespace: str
    created: str = ""
    ours: bool = True
    present: bool = True
    due: bool = True
    purpose: Purpose = "other"
    groups: tuple[str, ...] = ()
    crds: tuple[str, ...] = ()
    deployment: tuple[str, str] | None = None
    kept: str = ""

    def brought(self, obj: Json) -> bool:
        """Whether the release installs the CRD or, named like one, the admission policy for CRDs of a group."""
        return name_of(obj) in self.crds or name_of(obj).partition(".")[2] in self.groups


def note_ref(release: NotedRelease) -> Ref:
    """The ConfigMap of our note."""
    return Ref("v1", "ConfigMap", release.namespace, note_name(release.name))


def noted_releases(cluster: Cluster) -> list[NotedRelease]:
    """Every release of the cluster with our note. Three requests, and two for each release that existed before."""
    return list(_noted(cluster))


def _noted(cluster: Cluster) -> Iterator[NotedRelease]:
    for history in read_releases(cluster):
        note = history.note
        if history.reinstalled:
            reason = "was uninstalled and installed again by another owner"
            yield NotedRelease(history.name, history.namespace, ours=False, due=False, kept=reason)
        if note is None:
            continue
        present = due = present_record(history) is not None
        if not note.ours:
            due = bool(plan_absent(read_all_revisions(cluster, history), read_former_values(cluster, note)).steps)
        controller = _controller(history)
        yield NotedRelease(
            name=note.name,
            namespace=note.namespace,
            created=note.created,
            ours=note.ours,
            present=present,
            due=due,
            purpose="crds" if note.only_crds else "controller" if controller else _purpose(history),
            groups=note.brings_groups,
            crds=history.newest.crds if history.newest else (),
            deployment=controller,
        )


def _purpose(history: ReleaseHistory) -> Purpose:
    release = history.newest
    chart = release.chart if release else history.name
    if chart == "gloo-operator":
        return "operator"
    if chart == "gloo-platform":
        server = (release.values if release else {}).get("glooMgmtServer")
        return "server" if isinstance(server, dict) and server.get("enabled") is True else "agent"
    # Of an uninstalled release only the note is left, and its name is usually that of the chart.
    return "controller" if release is None and chart in {product.name for product in PRODUCTS} else "other"


def _controller(history: ReleaseHistory) -> tuple[str, str] | None:
    """(namespace, name) of the gateway controller's Deployment in a release, recognised by its settings."""
    release = history.newest
    if release is None or "KGW_" not in release.manifest:
        return None
    deployments = [obj for obj in release.objects if obj["kind"] == "Deployment"]
    found = controller_of(deployments, "", release.namespace)
    return (str(meta(found).get("namespace") or release.namespace), name_of(found)) if found else None
