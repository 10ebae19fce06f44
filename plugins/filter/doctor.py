# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts of an inventory as health_info wants its clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def doctor_clusters(hosts: Mapping[str, Record], groups: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    """``{name, kubeconfig, context, role, gateway}`` of every host of the groups management and workload.

    *hosts*: hostvars. What a host lacks is left empty: that its cluster is not reached is then a check's result.
    """
    management, workload, gateway = (list(groups.get(name) or ()) for name in ("management", "workload", "gateway"))
    return [
        {
            "name": hosts[host].get("mesh_cluster_name") or host,
            "kubeconfig": hosts[host].get("kubeconfig") or "",
            "context": hosts[host].get("kube_context") or "",
            "role": "management" if host in management else "workload",
            "gateway": host in gateway,
        }
        for host in [*management, *workload]
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"doctor_clusters": doctor_clusters}
