# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The east-west gateways of a cluster, and the addresses at which other clusters reach them (pure).

WorkspaceSettings select Services, by default those with label istio=eastwestgateway. An address is given there
(hostInfoOverrides), or is the Service's own (load balancer, externalIPs), or is only seen in the WorkloadEntries that
Gloo Mesh writes in other clusters, as with NodePorts, whose node addresses Gloo Mesh finds itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..istiod.objects import compared, join_host_port
from ..k8s.fields import (
    Json,
    labels_match,
    labels_of,
    mapping,
    mappings,
    name_of,
    spec_of,
    texts,
    title_of,
)
from ..k8s.fields import meta as meta_of
from ..mesh.parts import EAST_WEST_LABELS, EAST_WEST_PORTS
from ..mesh.virtual_destination import is_translated
from .checks_mesh import external_hosts, known_name
from .facts import Facts, SiteFacts


class Address(NamedTuple):
    """Host name or IP address and port of an east-west gateway."""

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


@dataclass(frozen=True)
class EastWestGateway:
    """A Service that the settings select. ``entry``: the one of options.eastWestGateways that does, {} by default."""

    service: Json
    entry: Json

    @property
    def title(self) -> str:
        return title_of(self.service)

    @property
    def kind(self) -> str:
        return str(spec_of(self.service).get("type") or "ClusterIP")

    @property
    def port(self) -> int | None:
        """Number of the port with mTLS passthrough: the one of the settings, else by name; None without one."""
        ports = mappings(spec_of(self.service).get("ports"))
        wanted = self.entry.get("port")
        for found in ports:
            names = (found.get("port"), found.get("name"))
            if (_reference(wanted) in names) if wanted else (found.get("name") in EAST_WEST_PORTS):
                return found.get("port")
        return None

    def addresses(self) -> list[Address]:
        """Those that are known without looking at other clusters."""
        port = self.port or 0
        given = [
            Address(str(each["addr"]), number if isinstance(number := _reference(each.get("port")), int) else port)
            for each in mappings(self.entry.get("hostInfoOverrides"))
            if each.get("addr")
        ]
        if given or not port:
            return given
        return [Address(host, port) for host in external_hosts(self.service)]


def _reference(port: Any) -> Any:
    """Number or name of a port that is written as one of them, or as ``{number}`` or ``{name}``."""
    if isinstance(port, dict):
        return port.get("number") or port.get("name")
    return int(port) if isinstance(port, str) and port.isdecimal() else port


def entries_of(settings: Iterable[Json]) -> list[Json]:
    """All entries of options.eastWestGateways; [{}], which stands for the default labels, when there are none."""
    return [
        entry
        for each in settings
        for entry in mappings(mapping(spec_of(each).get("options")).get("eastWestGateways")) or [{}]
    ]


def select(facts: Facts, entries: Iterable[Json]) -> list[EastWestGateway]:
    """The Services of a cluster that entries of the settings select, each by the first entry that does."""
    found: dict[tuple[Any, ...], EastWestGateway] = {}
    for entry in entries:
        selector = mapping(entry.get("selector"))
        selected = [service for service in facts.of("Service") if _selects(selector, service, facts)]
        if not selector.get("name") and not selector.get("labels"):
            # A cluster or namespace alone selects every Service in it, of which few are east-west gateways.
            selected = [each for each in selected if labels_match(EAST_WEST_LABELS, labels_of(each))] or selected
        for service in selected:
            key = (meta_of(service).get("namespace"), name_of(service))
            found.setdefault(key, EastWestGateway(service, entry))
    return list(found.values())


def _selects(selector: Json, service: Json, facts: Facts) -> bool:
    """Whether an ObjectSelector selects a Service; without any field the default labels count."""
    named = [selector.get(key) for key in ("name", "namespace", "cluster")]
    labels = texts(selector.get("labels")) or ({} if any(named) else EAST_WEST_LABELS)
    return (
        labels_match(labels, labels_of(service))
        and selector.get("name") in (None, "", name_of(service))
        and selector.get("namespace") in (None, "", meta_of(service).get("namespace"))
        and selector.get("cluster") in (None, "", known_name(facts))
    )


def gateways_in(site: SiteFacts, facts: Facts) -> list[EastWestGateway]:
    """The east-west gateways of a cluster: those that the settings select, else those with the default labels."""
    settings = site.management.lists.get("WorkspaceSettings") or ()
    return select(facts, entries_of(settings)) or select(facts, [{}])


def addresses_in(site: SiteFacts, facts: Facts) -> list[str]:
    """ "address:port" of every east-west gateway of the cluster that is known."""
    return list(dict.fromkeys(str(each) for found in gateways_in(site, facts) for each in found.addresses()))


class Endpoint(NamedTuple):
    """An endpoint in another cluster that Gloo Mesh wrote for this cluster's east-west gateway."""

    cluster: str
    object: str
    address: Address


def written_elsewhere(site: SiteFacts, facts: Facts) -> list[Endpoint]:
    """The endpoints of other clusters that lead to this one.

    Their locality may name the cluster. Without it, with several other clusters, those at the known address of one of
    the others do not count.
    """
    others = [each for each in site.workloads if each is not facts and not each.unreachable]
    elsewhere = {
        compared(str(address)) for other in others for found in _known(site, other) for address in found.addresses()
    }
    names = {known_name(each) for each in site.workloads}
    found = []
    for other in others:
        for title, locality, address in _endpoints(other):
            place = locality.split("/")[0]
            if place in names and place != known_name(facts):
                continue
            if place != known_name(facts) and compared(str(address)) in elsewhere:
                continue
            found.append(Endpoint(other.name, title, address))
    return found


def _known(site: SiteFacts, facts: Facts) -> list[EastWestGateway]:
    return [] if "Service" in facts.unreadable else gateways_in(site, facts)


def _endpoints(facts: Facts) -> Iterator[tuple[str, str, Address]]:
    """(title, locality, address) of every endpoint that Gloo Mesh translated in a cluster."""
    for kind in ("WorkloadEntry", "ServiceEntry"):
        for obj in facts.lists.get(kind) or ():
            if not is_translated(obj):
                continue
            specs = [spec_of(obj)] if kind == "WorkloadEntry" else mappings(spec_of(obj).get("endpoints"))
            for spec in specs:
                for port in texts(spec.get("ports")).values():
                    if spec.get("address") and port.isdecimal():
                        yield title_of(obj), str(spec.get("locality") or ""), Address(str(spec["address"]), int(port))
