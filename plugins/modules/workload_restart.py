#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module workload_restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: workload_restart
short_description: Restart workloads whose Pods are outdated
version_added: 0.1.0
description:
  - Restarts Deployments, StatefulSets and DaemonSets with Pods that were created before a Secret, such as Istio's root
    CA in C(cacerts), or that have no C(istio-proxy). Other workloads are not changed.
  - A restart sets the annotation C(multicluster.gloo/restarted-for) of the Pod template to the reason, so the same
    reason never restarts a workload twice.
  - Fails when Pods are still outdated after the restart.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  workloads:
    description: The workloads to check. A workload selected by several entries counts once.
    type: list
    elements: dict
    required: true
    suboptions:
      namespace:
        description: Namespace of the workloads.
        type: str
        required: true
      kinds:
        description: Kinds of the workloads.
        type: list
        elements: str
        choices: [Deployment, StatefulSet, DaemonSet]
        default: [Deployment, StatefulSet, DaemonSet]
      names:
        description: Names of the workloads. All in the namespace when omitted.
        type: list
        elements: str
      label_selector:
        description: Label selector of the workloads, such as V(app=reviews,version!=v1).
        type: str
      with_sidecar:
        description: Select only workloads with a Pod that has C(istio-proxy).
        type: bool
        default: false
  older_than_secret:
    description: Restart workloads with Pods created before this Secret. A Secret that does not exist restarts nothing.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the Secret.
        type: str
        required: true
      name:
        description: Name of the Secret.
        type: str
        required: true
  missing_sidecar:
    description:
      - Restart workloads with Pods that have no C(istio-proxy), neither as a container nor as a native sidecar.
      - At least one of O(older_than_secret) and O(missing_sidecar) is required.
    type: bool
    default: false
  on_conflict:
    description: What to do when another field manager owns the annotation with another value.
    type: str
    choices: [fail, force]
    default: fail
  wait:
    description: Wait until the restarted workloads are ready, and check that no Pod is still outdated.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 300
seealso:
  - module: multicluster.gloo.objects
"""

EXAMPLES = r"""
- name: Restart reviews where Pods have no sidecar or are older than the shared root CA
  multicluster.gloo.workload_restart:
    kubeconfig: ~/.kube/config
    context: cluster1
    workloads:
      - namespace: bookinfo
        kinds: [Deployment]
        label_selector: app=reviews
    older_than_secret:
      namespace: istio-system
      name: cacerts
    missing_sidecar: true
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: 1 workload restarted"
workloads:
  description: One record per selected workload.
  returned: always, except when the cluster cannot be read
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: always
    kind:
      description: Kind of the workload.
      type: str
      returned: always
    namespace:
      description: Namespace of the workload.
      type: str
      returned: always
    name:
      description: Name of the workload.
      type: str
      returned: always
    action:
      description: C(restarted) (in check mode, would be), C(unchanged), C(failed), or C(skipped) after an error.
      type: str
      returned: always
    reason:
      description: Why it is or was restarted; empty when no Pod was outdated.
      type: str
      returned: always
  sample:
    - cluster: cluster1
      kind: Deployment
      namespace: bookinfo
      name: reviews-v1
      action: restarted
      reason: Pod reviews-v1-6c9d-x2k7p is older than Secret istio-system/cacerts
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 4
writes:
  description: Number of write requests, without dry runs.
  returned: success
  type: int
  sample: 1
"""

from ..module_utils.apply.workload_restart import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
