# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The east-west gateways of a cluster, and the addresses at which other clusters reach them (pure).

WorkspaceSettings select Services by labels, name, namespace and cluster, by default those with label
istio=eastwestgateway. An address is given there (hostInfoOverrides), or is the Service's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..k8s.fields import (
    Json,
    Key,
    dig,
    key_of,
    labels_match,
    labels_of,
    listed,
    mapping,
    mappings,
    spec_of,
    texts,
    title_of,
)
from ..k8s.names import join_host_port, split_host_port

#: labels of east-west gateways unless WorkspaceSettings select others, and names of the port that Gloo Mesh uses
LABELS: Mapping[str, str] = {"istio": "eastwestgateway"}
PORTS = ("tls", "https")
#: the entry of eastWestGateways that applies if WorkspaceSettings have none
DEFAULT: Json = {"selector": {"labels": {**LABELS}}}


class Address(NamedTuple):
    """Host name or IP address and port of an east-west gateway."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str, port: int | None, default: int = 0) -> Address:
        """The address as users write it: an IPv6 address with or without brackets, perhaps with a port of its own.

        ``port``: the one that is given beside it, None for none; ``default``: where there is no port at all.
        """
        host, own = split_host_port(text)
        return cls(host, port or own or default)

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
    """A Service that the settings select. ``entry``: the one of options.eastWestGateways that does."""

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
        wanted = _reference(self.entry.get("port"))
        for found in mappings(spec_of(self.service).get("ports")):
            number, name = found.get("port"), found.get("name")
            if isinstance(number, int) and (wanted in (number, name) if wanted else name in PORTS):
                return number
        return None

    def addresses(self) -> list[Address]:
        """Those that are known without looking at other clusters."""
        port = self.port or 0
        given = [
            Address.read(
                str(each["addr"]), number if isinstance(number := _reference(each.get("port")), int) else None, port
            )
            for each in mappings(self.entry.get("hostInfoOverrides"))
            if isinstance(each.get("addr"), str) and each["addr"]
        ]
        if given or not port:
            return given
        return [Address(host, port) for host in external_hosts(self.service)]


def cluster_in(locality: Any) -> str:
    """The cluster that an endpoint's locality (region/zone/subzone) names: Gloo Mesh writes it as the region."""
    return str(locality or "").split("/", maxsplit=1)[0]


def _reference(port: Any) -> Any:
    """Number or name of a port that is written as one of them, or as ``{number}`` or ``{name}``."""
    if isinstance(port, dict):
        return port.get("number") or port.get("name")
    return int(port) if isinstance(port, str) and port.isdecimal() and len(port) < 6 else port


def external_hosts(service: Json) -> list[str]:
    """Host names and IP addresses of a Service outside its cluster: of its load balancer, and externalIPs."""
    assigned = mappings(dig(service, "status", "loadBalancer", "ingress"))
    hosts = [str(each.get("ip") or each.get("hostname") or "") for each in assigned]
    own = hosts if spec_of(service).get("type") == "LoadBalancer" else []
    return list(dict.fromkeys(filter(None, [*own, *map(str, listed(spec_of(service).get("externalIPs")))])))


def entries_of(settings: Iterable[Json]) -> list[Json]:
    """The entries of eastWestGateways; DEFAULT for WorkspaceSettings without any."""
    return [
        entry for each in settings for entry in mappings(dig(each, "spec", "options", "eastWestGateways")) or [DEFAULT]
    ]


def wanted_labels(entry: Json) -> Mapping[str, str]:
    """The labels by which an entry selects Services; without any field in its selector the default ones."""
    selector = mapping(entry.get("selector"))
    named = any(selector.get(key) for key in ("name", "namespace", "cluster"))
    return texts(selector.get("labels")) or ({} if named else LABELS)


def selects(entry: Json, service: Json, cluster: str) -> bool:
    """Whether an entry selects a Service of the cluster, which is given by its registered name."""
    selector, (namespace, name) = mapping(entry.get("selector")), key_of(service)
    places = (("name", name), ("namespace", namespace), ("cluster", cluster))
    return labels_match(wanted_labels(entry), labels_of(service)) and all(
        selector.get(key) in (None, "", "*", value) for key, value in places
    )


def select(services: Iterable[Json], entries: Iterable[Json], cluster: str) -> list[EastWestGateway]:
    """The Services of the cluster that entries of the settings select, each by the first entry that does."""
    present, found = list(services), dict[Key, EastWestGateway]()
    for entry in entries:
        selected = [service for service in present if selects(entry, service, cluster)]
        if not wanted_labels(entry) and mapping(entry.get("selector")).get("name") in (None, "", "*"):
            # A cluster or namespace alone selects every Service in it, of which few are east-west gateways.
            selected = [each for each in selected if labels_match(LABELS, labels_of(each))] or selected
        for service in selected:
            found.setdefault(key_of(service), EastWestGateway(service, entry))
    return list(found.values())


def gateways(services: Iterable[Json], settings: Iterable[Json], cluster: str) -> list[EastWestGateway]:
    """The east-west gateways of the cluster: those that the settings select, else those with the default labels."""
    present = list(services)
    return select(present, entries_of(settings), cluster) or select(present, [DEFAULT], cluster)
