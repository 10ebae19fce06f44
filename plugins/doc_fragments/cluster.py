# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that identify one or several clusters."""

from __future__ import annotations

_WORK = r"""
requirements:
  - kubernetes (Python package) on the host that runs the module; with a local connection that is the controller.
notes:
  - With a local connection the module runs in the controller process. With another connection, C(async) or C(become) it
    runs on the host. The result is the same.
"""


class ModuleDocFragment:
    """Fragments multicluster.gloo.cluster, for one, and multicluster.gloo.cluster.all, for all at once."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig that has the O(context).
      - Several paths separated by C(:) are merged as by kubectl. The first entry of a name is used, missing files are
        skipped.
      - The environment variable E(KUBECONFIG) is never used.
    type: path
    required: true
  context:
    description:
      - Name of the context in O(kubeconfig). The kubeconfig's current context is never used.
    type: str
    required: true
  cluster:
    description:
      - Name of the cluster in messages and results.
      - The O(context) by default.
    type: str
attributes:
  action_group:
    description: Use C(group/multicluster.gloo.cluster) in C(module_defaults) to set the cluster options once.
    support: full
    membership:
      - multicluster.gloo.cluster
"""
    DOCUMENTATION += _WORK

    ALL = r"""
options:
  clusters:
    description: All clusters.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the cluster in messages and results, under which it is registered.
        type: str
        required: true
      kubeconfig:
        description: Path of the kubeconfig that has the context.
        type: path
        required: true
      context:
        description: Name of the context.
        type: str
        required: true
      role:
        description: Role of the cluster.
        type: str
        choices: [management, workload]
        default: workload
      gateway:
        description: Whether the cluster has a gateway for incoming requests.
        type: bool
        default: false
"""
    ALL += _WORK
