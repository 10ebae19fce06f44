# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that say which cluster, or which clusters."""

from __future__ import annotations

_WORK = r"""
requirements:
  - kubernetes (Python package) where the module runs; with a local connection that is the controller.
notes:
  - With a local connection the work is done inside the controller process; with another connection, with C(async) or
    with C(become) the module is sent to the host. The result is the same.
"""


class ModuleDocFragment:
    """Fragments multicluster.gloo.cluster, for one, and multicluster.gloo.cluster.all, for all at once."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig that has the O(context).
      - The ambient E(KUBECONFIG) is never used.
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
        description: Its name in messages and results, and the one it is registered under.
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
        description: What the cluster is for.
        type: str
        choices: [management, workload]
        default: workload
      gateway:
        description: Whether requests come in through a gateway of this cluster.
        type: bool
        default: false
"""
    ALL += _WORK
