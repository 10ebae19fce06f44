# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cluster is the one that was registered under its name, by what the clusters themselves have (pure).

The mesh role records the UID of a cluster's namespace kube-system in an annotation of its KubernetesCluster. For
clusters that others have registered, only the name that their agent uses is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..apply.manifests import is_ours
from ..k8s.fields import Json, mapping, meta, name_of, number, status_of, title_of
from ..mesh.parts import agents, argument

#: annotation of a KubernetesCluster
UID = "multicluster.gloo/cluster-uid"


@dataclass(frozen=True)
class Identity:
    """A cluster of the inventory as it was found.

    ``name``: under which it is to be registered; ``uid``: of its namespace kube-system, "" if unknown; ``context``: its
    context; ``deployments``, ``registered``: its Deployments and KubernetesClusters.
    """

    name: str
    uid: str
    context: str
    deployments: Sequence[Json] = ()
    registered: Sequence[Json] = ()

    @property
    def agent(self) -> Json | None:
        return next(iter(agents(self.deployments, self.name)), None)


def recorded_uid(registration: Json | None) -> str:
    """UID of the cluster for which a KubernetesCluster was created, "" if unknown."""
    return str(mapping(meta(registration).get("annotations")).get(UID) or "")


def registered_as(uid: str, registered: Sequence[Json]) -> Json | None:
    """The KubernetesCluster that was created for the cluster with this UID."""
    return next((each for each in registered if uid and recorded_uid(each) == uid), None)


@dataclass(frozen=True)
class Management:
    """The management cluster. ``registered``: its KubernetesClusters; ``serves``: it has any, or a server."""

    name: str
    registered: Sequence[Json]
    serves: bool = True

    def registration(self, name: str) -> Json | None:
        return next((each for each in self.registered if name_of(each) == name), None)


def mistaken(here: Identity, management: Management, accepted: Collection[str]) -> Iterator[str]:
    """Why a workload cluster is not the one that its name stands for. ``accepted``: names of replaced clusters."""
    context = f"context {here.context}"
    own, other = management.registration(here.name), registered_as(here.uid, management.registered)
    agent, used = here.agent, argument(here.agent, "cluster")
    used_by = management.registration(used)
    correct = "Correct kube_context or kubeconfig"
    if any(map(is_ours, here.registered)):
        names = ", ".join(map(name_of, here.registered))
        yield f"{context} leads to the management cluster of a site (registered: {names}). {correct}"
    elif other is not None and name_of(other) != here.name:
        yield (
            f"{context} leads to the cluster that is registered as {name_of(other)} (UID {here.uid} of Namespace "
            f"kube-system). {correct}. To rename a cluster, take it out with remove_cluster.yml first"
        )
    elif own is not None and here.uid and recorded_uid(own) not in ("", here.uid):
        if here.name not in accepted:
            yield (
                f"{context} leads to another cluster than the one that is registered as {here.name}: Namespace "
                f"kube-system has UID {here.uid}, {title_of(own)} was created for {recorded_uid(own)}. {correct}. If "
                "the cluster was rebuilt, first take the former one out with remove_cluster.yml "
                f"-e remove_cluster={here.name} -e remove_unreachable=true, or accept the new one with "
                f"-e replaced_clusters={here.name}"
            )
    elif used_by is not None and is_ours(used_by) and used != here.name:
        yield (
            f"{context} leads to the cluster that is registered as {used}: {title_of(agent)} uses this name. "
            f"{correct}. To rename a cluster, take it out with remove_cluster.yml first"
        )
    elif not management.serves and _is_ready(agent) and management.name not in accepted:
        yield (
            f"{title_of(agent)} is ready, although {management.name} has no management server: it belongs to another "
            f"management cluster. {correct} of {management.name}. If {management.name} was rebuilt, accept it with "
            f"-e replaced_clusters={management.name}"
        )


def _is_ready(agent: Json | None) -> bool:
    return number(status_of(agent).get("readyReplicas")) > 0


def left_out(here: Identity, known: Collection[str]) -> list[str]:
    """Names of clusters that are registered in this management cluster, but are not hosts of the inventory."""
    own = {argument(each, "cluster") for each in agents(here.deployments)}
    return sorted({name_of(each) for each in here.registered} - {*known, *own, here.name})
