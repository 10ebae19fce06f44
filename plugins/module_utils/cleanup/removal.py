# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decisions about the removal of one workload cluster from a site (pure).

Other clusters reach it through endpoints that Gloo Mesh translates: WorkloadEntries, and endpoints of ServiceEntries.
An endpoint leads to the cluster if it has an address of its east-west gateways or, where the address belongs to no
other cluster, names it as network or locality.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..istiod.objects import compared, service_of_address
from ..k8s.fields import (
    Json,
    dig,
    from_json,
    key_of,
    labels_match,
    labels_of,
    listed,
    mapping,
    mappings,
    meta,
    name_of,
    spec_of,
    status_of,
    texts,
    title_of,
)
from ..mesh import parts
from ..mesh.east_west import DEFAULT, LABELS, PORTS, cluster_in, entries_of, select, selects, wanted_labels
from ..site.identity import recorded_uid
from .plan import is_translated

#: annotation of an east-west gateway's Service that is hidden from Gloo Mesh: the fields to restore, as JSON
HIDDEN = "multicluster.gloo/hidden"
_NAMES = ("topology.istio.io/cluster", "topology.istio.io/network")


@dataclass(frozen=True)
class Member:
    """Facts of one cluster. ``name``: under which it is registered; ``objects``: by kind; ``unreachable``: why."""

    name: str
    role: str
    gateway: bool = False
    unreachable: str = ""
    uid: str = ""
    objects: Mapping[str, Sequence[Json]] = field(default_factory=dict)

    def of(self, kind: str) -> Sequence[Json]:
        return self.objects.get(kind, ())

    @property
    def agent(self) -> Json | None:
        return next(iter(parts.agents(self.of("Deployment"), self.name)), None)


@dataclass(frozen=True)
class Request:
    """The options of the removal. ``addresses``: further addresses of the cluster's east-west gateways."""

    name: str
    unreachable: bool = False
    gateway: bool = False
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lead:
    """An object in another cluster with endpoints in the removed one. ``rest``: it without them, None to delete it.

    ``translated``: Gloo Mesh created it. An object of another owner is kept.
    """

    cluster: str
    obj: Json
    rest: Json | None
    addresses: tuple[str, ...]
    translated: bool

    @property
    def title(self) -> str:
        return f"{self.cluster}: {title_of(self.obj)}"


@dataclass(frozen=True)
class Site:
    """All clusters of the inventory, and the request."""

    members: Sequence[Member]
    request: Request

    @property
    def management(self) -> Member:
        return next(each for each in self.members if each.role == "management")

    @property
    def removed(self) -> Member | None:
        """The cluster to remove if it is in the inventory."""
        return next((each for each in self.members if each.name == self.request.name), None)

    @property
    def reachable(self) -> Member | None:
        """The cluster to remove if its API server responds. The one that has replaced it stays as it is."""
        found = self.removed
        return None if found is None or found.unreachable or self.is_replaced else found

    @property
    def is_replaced(self) -> bool:
        """Whether the host leads to a different cluster than the registered one."""
        recorded = recorded_uid(self.registration)
        return self.removed is not None and bool(recorded and self.removed.uid) and recorded != self.removed.uid

    @property
    def others(self) -> list[Member]:
        """Workload clusters that stay."""
        return [each for each in self.members if each.role != "management" and each.name != self.request.name]

    @property
    def is_only_gateway(self) -> bool:
        """Whether no other host of the inventory has a gateway."""
        return self.removed is not None and self.removed.gateway and not any(each.gateway for each in self.others)

    @property
    def registrations(self) -> dict[str, Json]:
        """KubernetesClusters by name."""
        return {name_of(obj): obj for obj in self.management.of("KubernetesCluster")}

    @property
    def registration(self) -> Json | None:
        return self.registrations.get(self.request.name)

    @property
    def selectors(self) -> list[Json]:
        """Entries of eastWestGateways in all WorkspaceSettings; Gloo Mesh's default if there is none."""
        return entries_of(self.management.of("WorkspaceSettings")) or [DEFAULT]

    def east_west(self, member: Member) -> list[Json]:
        """Services through which other clusters reach a cluster; hidden ones included."""
        selected = {key_of(each) for each in selected_in(member, self.selectors)}
        return [
            service
            for service in member.of("Service")
            if HIDDEN in _annotations(service)
            or labels_match(LABELS, labels_of(service))
            or key_of(service) in selected
        ]

    def addresses(self, member: Member) -> set[str]:
        """Addresses at which other clusters reach a cluster, each in one spelling."""
        found = [address for service in self.east_west(member) for address in _addresses(service)]
        return set(map(host_of, [*found, *self._overrides(member.name, member)]))

    def _overrides(self, name: str, member: Member | None) -> Iterator[str]:
        for entry in self.selectors:
            cluster = mapping(entry.get("selector")).get("cluster")
            matched = member is not None and bool(selected_in(member, [entry]))
            if cluster == name or (matched and cluster in (None, "", "*")):
                yield from (str(each["addr"]) for each in mappings(entry.get("hostInfoOverrides")) if each.get("addr"))

    @cached_property
    def _their_addresses(self) -> set[str]:
        return {address for each in self.others for address in self.addresses(each)}

    @cached_property
    def _its_addresses(self) -> set[str]:
        known = set(map(host_of, [*self.request.addresses, *self._overrides(self.request.name, self.removed)]))
        if self.reachable:
            known |= self.addresses(self.reachable)
        return known - self._their_addresses

    @cached_property
    def _by_elimination(self) -> bool:
        """Whether an address of no other cluster is one of the removed cluster.

        That takes the addresses of all other registered clusters. VirtualDestinations with endpoints outside of all
        clusters are excluded where this is used.
        """
        names = {each.name for each in self.others if self.addresses(each)}
        return set(self.registrations) - {self.request.name} <= names

    @cached_property
    def _external(self) -> set[tuple[str, str]]:
        """(namespace, name) of VirtualDestinations with endpoints outside of all clusters."""
        return {
            (str(meta(obj).get("namespace")), name_of(obj))
            for obj in self.management.of("VirtualDestination")
            if spec_of(obj).get("externalServices") or spec_of(obj).get("externalWorkloads")
        }

    def leads(self) -> list[Lead]:
        """Objects of the other clusters with endpoints in the removed one."""
        return [lead for member in self.others for lead in self._leads(member)]

    def _leads(self, member: Member) -> Iterator[Lead]:
        for obj in member.of("WorkloadEntry"):
            if self._is_its(spec_of(obj), obj):
                yield Lead(member.name, obj, None, _address(spec_of(obj)), is_translated(obj))
        for obj in member.of("ServiceEntry"):
            endpoints = mappings(spec_of(obj).get("endpoints"))
            its = [each for each in endpoints if self._is_its(each, obj)]
            if its:
                rest = copy.deepcopy(obj)
                rest["spec"]["endpoints"] = [each for each in endpoints if each not in its]
                left = rest if rest["spec"]["endpoints"] else None
                addresses = tuple(address for each in its for address in _address(each))
                yield Lead(member.name, obj, left, addresses, is_translated(obj))

    def _is_its(self, endpoint: Json, obj: Json) -> bool:
        address = host_of(str(endpoint.get("address") or ""))
        if address in self._their_addresses or service_of_address(address, key_of(obj)[0]):
            return False
        labels = {**labels_of(obj), **texts(endpoint.get("labels"))}
        names = [endpoint.get("network"), cluster_in(endpoint.get("locality")), *(labels.get(key) for key in _NAMES)]
        if address in self._its_addresses or self.request.name in names:
            return True
        labels = labels_of(obj)
        parent = labels.get("gloo.solo.io/parent_namespace", ""), labels.get("gloo.solo.io/parent_name", "")
        from_destination = labels.get("gloo.solo.io/parent_kind") == "VirtualDestination"
        return bool(address) and from_destination and parent not in self._external and self._by_elimination

    def uses(self) -> list[str]:
        """Objects that name the cluster or run only in it, as sentences."""
        return [*self._named(), *self._only_there(), *self._traffic()]

    def _named(self) -> Iterator[str]:
        for kind in ("Workspace", "WorkspaceSettings", "VirtualDestination", "RouteTable"):
            for obj in self.management.of(kind):
                for path in paths_of(spec_of(obj), self.request.name, "spec"):
                    yield f"{self.management.name}: {title_of(obj)} names it in {path}"

    def _only_there(self) -> Iterator[str]:
        for obj in self.management.of("VirtualDestination"):
            services = mappings(status_of(obj).get("selectedBackingServices"))
            clusters = {str(each.get("cluster")) for each in services}
            if clusters == {self.request.name}:
                yield f"{self.management.name}: {title_of(obj)} has backends only in it, so requests for its hosts fail"

    def _traffic(self) -> Iterator[str]:
        for kind in ("Gateway", "HTTPRoute"):
            for obj in self.reachable.of(kind) if self.reachable else ():
                yield f"{self.request.name}: {title_of(obj)} no longer serves requests"


def host_of(address: str) -> str:
    """An IP address or host name in one spelling."""
    return compared(address)[0]


def refusals(site: Site, started: bool = False) -> list[str]:
    """Why the removal must not start, one sentence each. ``started``: it may already be deregistered."""
    name, management = site.request.name, site.management
    if management.unreachable:
        return [management.unreachable]
    if name == management.name:
        return [f"{name}: is the management cluster. To remove the whole site, run cleanup.yml"]
    if site.removed is None and site.registration is None and not started:
        registered = ", ".join(sorted(site.registrations)) or "none"
        return [
            f"{name}: is not registered in {management.name} (registered: {registered}) and is no workload host of the "
            "inventory. Set remove_cluster to the name of a workload cluster"
        ]
    found = []
    if not site.others:
        found.append(f"{name}: is the last workload cluster. To remove the whole site, run cleanup.yml")
    elif site.is_only_gateway and not site.request.gateway:
        found.append(
            f"{name}: is the only host of inventory group gateway, so no gateway is left after its removal. Add "
            "another host to the group and run site.yml, or accept it with -e remove_gateway=true"
        )
    found += [
        f"{each.unreachable.rstrip('.')}. Endpoints in it that lead to {name} cannot be removed"
        for each in site.others
        if each.unreachable
    ]
    return found + _mistaken(site)


def _mistaken(site: Site) -> list[str]:
    """Reasons why the cluster may not be the one that is meant."""
    name, removed = site.request.name, site.removed
    only_rest = "-e remove_unreachable=true changes only the management cluster and the other clusters"
    if removed is None:
        if not site.request.unreachable:
            return [
                f"{name}: is registered in {site.management.name} but is no workload host of the inventory, so nothing "
                f"can be removed from it. Add the host, or, if the cluster is gone for good, {only_rest}"
            ]
        return []
    if removed.unreachable:
        text = f"{removed.unreachable.rstrip('.')}. If the cluster is gone for good, {only_rest}"
        return [] if site.request.unreachable else [text]
    same = [
        f"{name} and {each.name} are the same cluster (UID {removed.uid} of Namespace kube-system). Correct "
        "kube_context or kubeconfig of one of them"
        for each in site.members
        if each is not removed and removed.uid and each.uid == removed.uid
    ]
    if same:
        return same
    if site.is_replaced and site.registration is not None:
        text = (
            f"{name}: its context leads to a different cluster than the registered one: Namespace kube-system has "
            f"UID {removed.uid}, {title_of(site.registration)} was created for {recorded_uid(site.registration)}. "
            f"Correct kube_context or kubeconfig. If the registered cluster is gone for good, {only_rest}"
        )
        return [] if site.request.unreachable else [text]
    registered = parts.argument(removed.agent, "cluster")
    if registered not in ("", name):
        return [
            f"{name}: {title_of(removed.agent)}: is registered as {registered}. Correct kube_context, or set "
            f"mesh_cluster_name of the host to {registered}"
        ]
    return []


def paths_of(value: Any, text: str, path: str) -> list[str]:
    """Paths of a text in nested values, such as spec.workloadClusters[1].name."""
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in paths_of(item, text, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in paths_of(item, text, f"{path}[{index}]")]
    return [path] if value == text else []


# -- the east-west gateway's Service ----------------------------------------------------------------------------------


def hidden(service: Json, selectors: Iterable[Json], cluster: str) -> Json:
    """The Service as Gloo Mesh does not select it, with an annotation of what to restore.

    It loses the labels by which it is selected and, if it is still selected, the name of its port. Requests through it
    continue: neither the selector of its Pods nor its ports change.
    """
    result, known = copy.deepcopy(service), list(selectors)
    labels = result["metadata"].get("labels") or {}
    keys = {key for entry in known if selects(entry, service, cluster) for key in wanted_labels(entry)}
    removed = {key: labels.pop(key) for key in sorted(keys) if key in labels}
    renamed = {}
    if any(selects(entry, result, cluster) for entry in known):
        for port in mappings(spec_of(result).get("ports")):
            if port.get("name") in PORTS:
                renamed[f"hidden-{port['name']}"] = port["name"]
                port["name"] = f"hidden-{port['name']}"
    record = json.dumps({"labels": removed, "ports": renamed, "manager": _manager(service)}, separators=(",", ":"))
    result["metadata"].setdefault("annotations", {})[HIDDEN] = record
    return result


def shown_again(service: Json) -> tuple[Json, str] | None:
    """The Service with its former labels and port names, and the field manager that had set them; None: not hidden."""
    text = _annotations(service).get(HIDDEN)
    if text is None:
        return None
    result = copy.deepcopy(service)
    del result["metadata"]["annotations"][HIDDEN]
    if not result["metadata"]["annotations"]:
        del result["metadata"]["annotations"]
    try:
        record = mapping(from_json(str(text)))
    except ValueError:
        record = {}
    labels, ports = texts(record.get("labels")), texts(record.get("ports"))
    if labels:
        result["metadata"]["labels"] = {**labels, **labels_of(service)}
    for port in mappings(spec_of(result).get("ports")):
        port["name"] = ports.get(str(port.get("name")), port.get("name"))
    return result, str(record.get("manager") or "")


def selected_in(member: Member, selectors: Iterable[Json]) -> list[Json]:
    """The Services of a cluster that entries of eastWestGateways select; hidden ones as they were before."""
    before = [found[0] if (found := shown_again(each)) else each for each in member.of("Service")]
    selected = {key_of(each.service) for each in select(before, selectors, member.name)}
    return [each for each in member.of("Service") if key_of(each) in selected]


def _manager(service: Json) -> str:
    """The field manager of the labels, "" if unknown."""
    for entry in mappings(meta(service).get("managedFields")):
        if "f:labels" in mapping(dig(entry.get("fieldsV1"), "f:metadata")):
            return str(entry.get("manager") or "")
    return ""


def _addresses(service: Json) -> Iterator[str]:
    for ingress in mappings(mapping(status_of(service).get("loadBalancer")).get("ingress")):
        yield from (str(ingress[key]) for key in ("ip", "hostname") if ingress.get(key))
    yield from map(str, listed(spec_of(service).get("externalIPs")))


def _address(endpoint: Json) -> tuple[str, ...]:
    return (str(endpoint["address"]),) if endpoint.get("address") else ()


def _annotations(obj: Json) -> Json:
    return mapping(meta(obj).get("annotations"))


def shown(leads: Sequence[Lead], most: int = 3) -> str:
    """ "cluster1: WorkloadEntry bookinfo/a (192.0.2.7) and 2 more"."""
    named = [lead.title + (f" ({', '.join(lead.addresses)})" if lead.addresses else "") for lead in leads[:most]]
    return ", ".join(named) + (f" and {len(leads) - most} more" if len(leads) > most else "")
