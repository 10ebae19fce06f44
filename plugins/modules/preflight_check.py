#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module preflight_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_check
short_description: Check inventory groups and variables before anything is written
version_added: 0.1.0
description:
  - Checks the groups of an inventory, and the variables of the collection's roles and playbooks for values that cannot
    work, such as wrong types, invalid names, hosts and ports, HTTPRoutes without a Gateway, and a port that the
    VirtualDestination of a host does not offer.
  - Sends no request, and always runs in the controller. Fails with every problem, each with the variable, its value,
    what is wrong and what to do. Values that may be secret are not shown.
  - If there are many problems, the message shows the first ones, and the variables of the others.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  groups:
    description:
      - Host names by group. Exactly one host is required in C(management), at least one in C(workload), and in
        C(gateway) at least one of these.
    type: dict
  cluster:
    description: Name of the cluster at the beginning of each message.
    type: str
  variables_of:
    description:
      - Whose variables are checked. These are the roles, C(hosts) for those of a host, such as C(kubeconfig), and
        C(playbooks) for those of the playbooks, such as C(site_data). Variables that are not set are checked only if
        they have no default.
      - Names of earlier versions of this collection are refused with the name that replaces them. With O(collect) there
        is a warning for a variable whose name is nearly that of another one.
    type: list
    elements: str
    choices: [bookinfo, cleanup, gateway, hosts, mesh, playbooks, report, routing]
    default: []
  pending:
    description: Names of facts that may not be known yet. A variable that refers to an unknown one is not checked.
    type: list
    elements: str
    default: []
  collect:
    description: Return the problems instead of failing, for a later task with O(found).
    type: bool
    default: false
  found:
    description: Problems by host, as RV(problems) of this module. Those of several hosts are reported once.
    type: dict
    default: {}
  names:
    description: Names of clusters by host, as RV(name) of this module, each of which must be different.
    type: dict
    default: {}
  required:
    description: Whether destinations, routes and proofs must not be empty, and the routes of every step need a proof.
    type: bool
    default: false
  destination_steps:
    description: Steps of a playbook that write destinations and send requests inside the mesh.
    type: list
    elements: str
    default: []
  route_steps:
    description:
      - Steps of a playbook that write HTTPRoutes and send requests. An entry without C(step) belongs to the last one.
      - Without any steps an entry may carry any C(step).
    type: list
    elements: str
    default: []
  tags:
    description: Tags of the run, which must not select steps that have no entry.
    type: list
    elements: str
    default: []
seealso:
  - module: multicluster.gloo.traffic_check
"""

EXAMPLES = r"""
- name: Check the inventory
  multicluster.gloo.preflight_check:
    groups:
      management: [mgmt]
      workload: [cluster1, cluster2]
      gateway: [cluster1]

- name: Check the variables of a role
  multicluster.gloo.preflight_check:
    cluster: "{{ inventory_hostname }}"
    variables_of: [routing]
  vars:
    routing_virtual_destinations:
      - name: reviews-vd
        namespace: bookinfo
        spec:
          hosts: [reviews.mesh.internal.com]
          ports:
            - number: 9080
          services:
            - labels:
                app: reviews
"""

RETURN = r"""
msg:
  description: One sentence; the problems when there are any.
  returned: always
  type: str
  sample: "cluster1: routing_proofs[0].path is 'reviews/0': not a path. Set the path of a request, beginning with /"
problems:
  description: The problems, without the name of the cluster.
  returned: success
  type: list
  elements: str
name:
  description: Name of the cluster in Gloo Mesh, if O(variables_of) contains C(mesh).
  returned: if O(collect) is set
  type: str
  sample: cluster1
"""

from ..module_utils.engine.module import run_module
from ..module_utils.traffic.preflight_check import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
