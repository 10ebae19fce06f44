#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cleanup_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cleanup_info
short_description: Plan the cleanup of one cluster
version_added: 0.1.0
description:
  - Reads the objects that this collection created or adopted in a cluster and returns ordered steps with reasons.
  - Objects are found by the label C(app.kubernetes.io/managed-by=multicluster.gloo), adopted ones by the field manager
    C(multicluster.gloo), Helm releases by the notes (ConfigMaps) that were written before Helm first ran.
  - Unlabelled objects left behind by programs are deleted only if they are not older than the note about the release.
  - Objects of others are never deleted. CRDs of which others have objects are kept.
  - A program that this collection installed is kept while objects of others need it, with everything that it needs. A
    warning names it and these objects.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  vendor_crds:
    description:
      - Whether the vendors' CRDs that this collection installed may be removed, with the Helm releases that consist of
        them. Otherwise they are kept, with the notes about them and the namespaces of the notes.
    type: bool
    default: false
  istio_namespace:
    description: Namespace of Istio when its ServiceMeshController is already gone.
    type: str
    default: istio-system
  istio_revision:
    description: Revision (label C(istio.io/rev)) of the istiod that is removed with the ServiceMeshController.
    type: str
    default: gloo
  steps:
    description:
      - Steps of an earlier plan, RV(steps). Those of O(phases) are planned again from the current state of the cluster.
      - In check mode they are returned unchanged.
    type: list
    elements: dict
  phases:
    description: Phases to plan again when O(steps) is given. Without it all of them.
    type: list
    elements: str
    choices:
      [routes, gateway, destinations, translation, application, istio, agents, platform, leftovers, crds, namespaces]
seealso:
  - module: multicluster.gloo.cleanup
"""

EXAMPLES = r"""
- name: Show what cleanup would do, CRDs included
  multicluster.gloo.cleanup_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    vendor_crds: true
  register: plan
"""

RETURN = r"""
msg:
  description: The summary in one line.
  returned: always
  type: str
  sample: "cluster1: would remove 14 objects: 2 HTTPRoutes, Gateway gloo-system/http, 6 Deployments, 5 Services"
steps:
  description: The steps in order, including objects that are kept.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    phase:
      description: Phase of the step. All clusters finish a phase before the next one starts.
      type: str
      returned: success
    action:
      description:
        - C(delete) an object, C(give back) an adopted object or release, C(uninstall) a release, C(switch off) the
          Istio integration of a gateway controller, C(wait), or C(keep).
      type: str
      returned: success
    api_version:
      description: apiVersion of the object, empty for a Helm release.
      type: str
      returned: success
    kind:
      description: Kind of the object, or C(Helm release).
      type: str
      returned: success
    namespace:
      description: Namespace, empty for cluster-scoped objects.
      type: str
      returned: success
    name:
      description: Name. For Pods that are waited for, a label selector.
      type: str
      returned: success
    reason:
      description: Reason for the step.
      type: str
      returned: success
    ours:
      description: Whether the object has the label of this collection.
      type: bool
      returned: success
  sample:
    - cluster: cluster1
      phase: gateway
      action: give back
      api_version: gateway.networking.k8s.io/v1
      kind: Gateway
      namespace: gloo-system
      name: http
      reason: "existed before: its former values are restored"
      ours: false
summary:
  description: At most nine lines, grouped by action and kind.
  returned: success
  type: list
  elements: str
  sample:
    - "would remove 14 objects: 2 HTTPRoutes, Gateway gloo-system/http, 6 Deployments, 5 Services"
    - "would uninstall 4 Helm releases: gloo-mesh/gloo-operator, gloo-mesh/gloo-platform"
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 30
"""

from ..module_utils.cleanup.cleanup_info import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
