# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options every module of the collection has: which cluster."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment multicluster.gloo.cluster."""

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
requirements:
  - kubernetes (Python package) where the module runs; with a local connection that is the controller.
notes:
  - With a local connection the work is done inside the controller process; with another connection, with C(async) or
    with C(become) the module is sent to the host. The result is the same.
"""
