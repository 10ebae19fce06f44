# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup of the Lease that a run has to hold while it writes to a site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_lease
author: The multicluster.gloo authors (!UNKNOWN)
version_added: 0.1.0
short_description: The Lease that keeps two runs from writing to a site at once
description:
  - Returns the value of the environment variable E(MULTICLUSTER_GLOO_LEASE) for a play that writes to the clusters of a
    site. Its tasks then take the Lease C(multicluster.gloo) in the management cluster before their first write, and
    fail while another run holds it. A run without a write takes no Lease.
  - The Lease contains the user, the host, the playbooks and the process ID of the run, and the time since which it has
    been held. It is renewed while Ansible runs, deleted when Ansible ends, and expires after 60 seconds if it cannot be
    deleted.
  - Without a management cluster, and with an empty O(namespace), the value is empty and no Lease is used.
options:
  _terms:
    description: The clusters of the site, as the filter P(multicluster.gloo.inventory_clusters#filter) returns them.
    type: list
    elements: dict
    required: true
  namespace:
    description: Namespace of the Lease in the management cluster.
    type: str
    default: default
    vars:
      - name: site_lease_namespace
seealso:
  - plugin: multicluster.gloo.site_lease
    plugin_type: module
"""

EXAMPLES = r"""
- name: Show the value
  ansible.builtin.debug:
    msg: "{{ lookup('multicluster.gloo.site_lease', clusters) }}"
  vars:
    clusters:
      - name: mgmt
        role: management
        kubeconfig: ~/.kube/config
        context: mgmt

- name: Write to the clusters of a site
  hosts: management:workload
  gather_facts: false
  environment:
    MULTICLUSTER_GLOO_LEASE: >-
      {{ lookup('multicluster.gloo.site_lease', hostvars | multicluster.gloo.inventory_clusters(groups)) }}
  tasks:
    - name: Apply an object
      multicluster.gloo.objects:
        kubeconfig: "{{ kubeconfig }}"
        context: "{{ kube_context }}"
        definitions:
          - apiVersion: v1
            kind: Namespace
            metadata:
              name: bookinfo
"""

RETURN = r"""
_raw:
  description: The value, as JSON.
  type: str
"""

import getpass
import multiprocessing
import os
import socket
from pathlib import PurePath
from typing import Any

from ansible import context
from ansible.module_utils.common.validation import check_type_path
from ansible.plugins.lookup import LookupBase

from ..module_utils.k8s.lease_run import Run
from ..module_utils.k8s.processes import identity


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The value of the environment variable."""
        self.set_options(var_options=variables, direct=kwargs)
        rows = [row for term in terms for row in (term if isinstance(term, list) else [term])]
        namespace = str(self.get_option("namespace") or "")
        managing = [row for row in rows if row.get("role") == "management" and row["kubeconfig"] and row["context"]]
        if not managing or not namespace:
            return [""]
        # Ansible itself, not the process that runs the task.
        parent = multiprocessing.parent_process()
        ansible = parent.pid if parent is not None and parent.pid else os.getpid()
        row = managing[0]
        run = Run(
            kubeconfig=check_type_path(str(row["kubeconfig"])),
            context=str(row["context"]),
            cluster=str(row["name"]),
            namespace=namespace,
            holder=f"{_user()} on {socket.gethostname()} ({_playbooks()})",
            process=identity(ansible),
        )
        return [run.environment]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _playbooks() -> str:
    """Their names only: other words of the command line may be secret."""
    names = [PurePath(str(each)).name for each in context.CLIARGS.get("args") or ()]
    return " ".join(names) or "ansible"
