# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VirtualDestinations as role variables and as the management server sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..module_utils.mesh.virtual_destination import idle_reason

Record = Mapping[str, Any]


def destination_hosts(destinations: Iterable[Record]) -> list[dict[str, Any]]:
    """Every hostname with every port of *destinations* ({name, namespace, spec}): ``{name, namespace, host, port}``."""
    return [
        {"name": each["name"], "namespace": each["namespace"], "host": host, "port": int(port["number"])}
        for each in destinations
        for host in each["spec"].get("hosts") or ()
        for port in each["spec"].get("ports") or ()
    ]


def idle_destinations(found: Iterable[Record], cluster: str) -> list[str]:
    """A sentence for every VirtualDestination (records of objects_info) that nobody owns or that selects no Service.

    Such a VirtualDestination may well be ACCEPTED; it only leads nowhere.
    """
    result = []
    for record in found:
        each = record.get("object")
        if record.get("kind") != "VirtualDestination" or not each:
            continue
        reason = idle_reason(each)
        if reason:
            result.append(
                f"{cluster}: VirtualDestination {each['metadata']['namespace']}/{each['metadata']['name']} {reason}"
            )
    return result


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "destination_hosts": destination_hosts,
            "idle_destinations": idle_destinations,
        }
