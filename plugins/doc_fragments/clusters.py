# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option of the modules that look at all clusters at once."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment multicluster.gloo.clusters."""

    DOCUMENTATION = r"""
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
requirements:
  - kubernetes (Python package) where the module runs; with a local connection that is the controller.
notes:
  - With a local connection the work is done inside the controller process; with another connection, with C(async) or
    with C(become) the module is sent to the host. The result is the same.
"""
