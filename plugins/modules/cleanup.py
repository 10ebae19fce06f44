#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cleanup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cleanup
short_description: Execute one phase of a cleanup plan in one cluster
version_added: 0.1.0
description:
  - Deletes objects, restores adopted ones, and uninstalls or restores Helm releases according to the plan of
    M(multicluster.gloo.cleanup_info), and waits until deleted objects are gone.
  - One task per phase keeps several clusters in step.
  - Objects without the label of this collection are kept, and so are namespaces that contain objects not managed by
    this collection.
author:
  - The multicluster.gloo authors (!UNKNOWN)
requirements:
  - Helm 3.12 or newer, if a release is uninstalled or restored.
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  phase:
    description: The phase to execute.
    type: str
    required: true
    choices:
      [routes, gateway, destinations, translation, application, istio, agents, platform, leftovers, crds, namespaces]
  steps:
    description: Steps of the plan, including all phases, which are needed for the summary.
    type: list
    elements: dict
    required: true
  destinations:
    description:
      - Steps of the management cluster's plan. In phase V(translation) a workload cluster with a ready agent waits
        until the objects translated from the deleted destinations are gone.
    type: list
    elements: dict
    default: []
  wait_timeout:
    description: Seconds to wait for each object or group of objects to be gone.
    type: int
    default: 600
  binary_path:
    description: Path of the program C(helm), or its name in C(PATH).
    type: str
    default: helm
seealso:
  - module: multicluster.gloo.cleanup_info
"""

EXAMPLES = r"""
- name: Plan the cleanup
  multicluster.gloo.cleanup_info:
    kubeconfig: ~/.kube/config
    context: mgmt
  register: plan

- name: Delete the routes
  multicluster.gloo.cleanup:
    kubeconfig: ~/.kube/config
    context: mgmt
    phase: routes
    steps: "{{ plan.steps }}"
"""

RETURN = r"""
msg:
  description: What was done in this phase, in one line.
  returned: always
  type: str
  sample: "cluster1: removed 2 objects: 2 HTTPRoutes"
steps:
  description: The steps of this phase as executed, with the fields that M(multicluster.gloo.cleanup_info) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - cluster: cluster1
      phase: namespaces
      action: keep
      api_version: v1
      kind: Namespace
      namespace: ""
      name: bookinfo
      reason: "contains objects not managed by this collection: ConfigMap bookinfo/settings"
      ours: true
summary:
  description: At most nine lines about all phases, grouped by action and kind.
  returned: success
  type: list
  elements: str
  sample:
    - "removed 14 objects: 2 HTTPRoutes, Gateway gloo-system/http, 6 Deployments, 5 Services"
    - "kept: Namespace bookinfo (contains objects not managed by this collection: ConfigMap bookinfo/settings)"
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 12
writes:
  description: Number of write requests.
  returned: success
  type: int
  sample: 2
dry_runs:
  description:
    - Number of write requests that the API server only evaluates. They are sent in check mode, and for objects with
      values that may be defaults of the API server.
  returned: success
  type: int
  sample: 0
diff:
  description: What was or would be removed, field by field.
  returned: in diff mode
  type: list
  elements: dict
  sample:
    - before_header: "cluster1: HTTPRoute bookinfo/productpage"
      after_header: "cluster1: HTTPRoute bookinfo/productpage"
      before: "spec: {}"
      after: ""
"""

from ..module_utils.cleanup.cleanup import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
