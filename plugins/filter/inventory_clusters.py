# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter inventory_clusters."""

from __future__ import annotations

DOCUMENTATION = r"""
name: inventory_clusters
author: The multicluster.gloo authors (!UNKNOWN)
version_added: 0.1.0
short_description: Clusters of an inventory in the format of the option clusters
description:
  - Returns one entry for every host of the groups C(management) and C(workload), with its host variables
    C(kubeconfig) and C(kube_context). Missing variables are left empty.
  - The entry's name is C(mesh_cluster_name) if the host has it, else the host's name.
positional: groups
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  groups:
    description: Host names by group.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check all clusters of the inventory
  multicluster.gloo.health_info:
    clusters: "{{ hostvars | multicluster.gloo.inventory_clusters(groups) }}"

- name: Show the workload clusters
  ansible.builtin.debug:
    msg: "{{ hosts | multicluster.gloo.inventory_clusters({'workload': ['east', 'west']}) }}"
  vars:
    hosts:
      east: {kubeconfig: ~/.kube/config, kube_context: east}
      west: {kubeconfig: ~/.kube/config, kube_context: west}
"""

RETURN = r"""
_value:
  description: Dicts with name, kubeconfig, context, role and gateway.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def inventory_clusters(
    hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Iterable[str]]
) -> list[dict[str, Any]]:
    """``{name, kubeconfig, context, role, gateway}`` of every management and workload host."""
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
        return {"inventory_clusters": inventory_clusters}
