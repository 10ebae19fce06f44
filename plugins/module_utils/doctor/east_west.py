# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The east-west gateways of a site, and the endpoints in other clusters that lead to them (pure).

The addresses of some are seen only in the WorkloadEntries that Gloo Mesh writes in other clusters, as with NodePorts,
whose node addresses Gloo Mesh finds itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..istiod.objects import compared
from ..k8s.fields import mappings, spec_of, texts, title_of
from ..mesh.east_west import Address, EastWestGateway, cluster_in, gateways
from ..mesh.virtual_destination import is_translated
from .checks_mesh import known_name
from .facts import Facts, SiteFacts


def gateways_in(site: SiteFacts, facts: Facts) -> list[EastWestGateway]:
    """The east-west gateways of a cluster."""
    settings = site.management.lists.get("WorkspaceSettings") or ()
    return gateways(facts.of("Service"), settings, known_name(facts))


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
            place = cluster_in(locality)
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
                        yield (
                            title_of(obj),
                            str(spec.get("locality") or ""),
                            Address.read(str(spec["address"]), int(port)),
                        )
