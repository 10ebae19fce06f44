# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects that Gloo Mesh translated from VirtualDestinations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def translation_queries(origins: Iterable[Record]) -> list[dict[str, str]]:
    """Questions for objects_info that find what agents made from *origins* (records with kind, namespace, name)."""
    return [
        {
            "api_version": "networking.istio.io/v1",
            "kind": kind,
            "label_selector": ",".join(
                f"gloo.solo.io/parent_{key}={each[key]}" for key in ("kind", "namespace", "name")
            ),
        }
        for each in origins
        for kind in ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService")
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "translation_queries": translation_queries,
        }
