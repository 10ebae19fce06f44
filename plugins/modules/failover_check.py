#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module failover_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: failover_check
short_description: Scale down one cluster's backends, check that traffic continues, restore them
version_added: 0.1.0
description:
  - Scales the Deployments and StatefulSets behind a destination in one workload cluster to 0 while requests are sent
    through the gateway, checks that the other clusters respond, restores them, and checks that all instances respond
    again.
  - Backends of another kind, such as Argo Rollouts or DaemonSets, are refused, because they would still respond.
  - The backends are restored in every case, also when the check fails or the run is interrupted. If the API server
    does not accept it for two minutes, the message has the kubectl command for each workload. The write that
    scales a workload to 0 records its replicas in an annotation, so that a later run first restores workloads left
    scaled down by a killed run; with O(state=restored) it does only that.
  - A restored workload has its former replicas and field managers. A HorizontalPodAutoscaler pauses while its
    workload has 0 replicas and continues afterwards.
  - Nothing is scaled down unless every expected instance responds first and another cluster can take over.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.requests
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: Returns what would be scaled, sends no request through the gateway.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: partial
    details: Idempotent with O(state=restored). A check scales workloads down and up each time.
options:
  state:
    description:
      - V(checked) runs the whole check.
      - V(restored) only restores workloads left scaled down by an earlier run, in all workload clusters.
    type: str
    choices: [checked, restored]
    default: checked
  cluster:
    description: The workload cluster whose backends are scaled down.
    type: str
  backends:
    description: The Pods that have to respond, in each workload cluster.
    type: dict
    suboptions:
      namespace:
        description: Their namespace.
        type: str
        required: true
      label_selector:
        description: Their labels, such as V(app=reviews).
        type: str
        required: true
  url:
    description: URL of the gateway that O(path) is added to. Give this or O(gateway).
    type: str
  gateway:
    description:
      - A Gateway of one of O(clusters), instead of O(url). Requests are sent to its address.
      - Of its listeners for HTTP and HTTPS one is used that serves O(host), preferably with a matching HTTPRoute
        attached, HTTP before HTTPS. A listener's hostname is used as O(host) if none is given.
    type: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      namespace:
        description: Its namespace. Not needed if only one Gateway of the cluster has this name.
        type: str
      cluster:
        description: Its cluster, one of O(clusters).
        type: str
        required: true
      listener:
        description: Name of the listener to use.
        type: str
      port:
        description: Port of the listener to use.
        type: int
      scheme:
        description: Protocol of the listener to use.
        type: str
        choices: [http, https]
  max_gap:
    description: Seconds without a successful response that are allowed.
    type: float
    default: 30.0
  min_requests:
    description: Consecutive successful responses of other clusters that prove failover.
    type: int
    default: 20
  patience:
    description: Seconds after the last Pod is gone within which requests may still fail.
    type: int
    default: 30
  timeout:
    description: Seconds to wait for each other step.
    type: int
    default: 120
notes:
  - Requests of users fail during the check if the other clusters cannot take over.
  - The east-west gateway of a cluster stays an endpoint until outlier detection removes it. Without an
    OutlierDetectionPolicy the loss of a cluster other than the gateway's fails this check, with the share of requests
    that fails.
seealso:
  - module: multicluster.gloo.traffic_check
"""

EXAMPLES = r"""
- name: Check that cluster2 takes over when cluster1 has no reviews
  multicluster.gloo.failover_check:
    clusters:
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
      - name: cluster2
        kubeconfig: ~/.kube/config
        context: cluster2
    cluster: cluster1
    backends:
      namespace: bookinfo
      label_selector: app=reviews
    gateway:
      cluster: cluster1
      namespace: gloo-system
      name: http
    path: /reviews/0

- name: Restore workloads left scaled down by a killed run
  multicluster.gloo.failover_check:
    state: restored
    clusters:
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
"""

RETURN = r"""
msg:
  description: One sentence.
  returned: always
  type: str
  sample: >-
    cluster1: without Deployment bookinfo/reviews-v1 the other clusters responded: 312 requests, 2 failed, longest gap
    0.4 s; all backends are restored and respond
taken:
  description: The workloads that were scaled down and restored; in check mode those that would be.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: Their cluster.
      type: str
      returned: success
    namespace:
      description: Their namespace.
      type: str
      returned: success
    name:
      description: Their name.
      type: str
      returned: success
    replicas:
      description: Their replicas before and after.
      type: int
      returned: success
  sample:
    - cluster: cluster1
      namespace: bookinfo
      name: reviews-v1
      replicas: 1
healed:
  description: Workloads that an earlier run left scaled down, as RV(taken), with the C(replicas) at that time.
  returned: success
  type: list
  elements: dict
not_restored:
  description: Workloads that could not be restored, as RV(taken), with their kind.
  returned: when some could not be restored
  type: list
  elements: dict
  contains:
    kind:
      description: Their kind.
      type: str
      returned: failure
    command:
      description: The kubectl command that restores the replicas.
      type: str
      returned: failure
sent:
  description: Requests sent from before the first workload was scaled down until all were ready again.
  returned: success
  type: int
  sample: 312
failed_requests:
  description: Number of failed requests.
  returned: success
  type: int
  sample: 2
failures:
  description: Failed requests as RV(multicluster.gloo.traffic_check#module:failures).
  returned: success
  type: list
  elements: dict
longest_gap:
  description: The longest time between two successful responses, in seconds.
  returned: success
  type: float
  sample: 0.41
answers_before:
  description: Responses before the switch, as RV(multicluster.gloo.traffic_check#module:answers).
  returned: success
  type: list
  elements: dict
  sample:
    - instance: reviews-v1-5d8f6b-abcde
      cluster: cluster1
      workload: reviews-v1
      expected: true
      count: 4
answers_during:
  description: Responses while the backends were scaled down, without those of terminating Pods.
  returned: success
  type: list
  elements: dict
answers_after:
  description: Responses after the restore.
  returned: success
  type: list
  elements: dict
requests:
  description: Number of HTTP requests made to API servers.
  returned: success
  type: int
  sample: 41
"""

from ..module_utils.engine.module import run_module
from ..module_utils.traffic.failover_check import ARGUMENT_SPEC, RULES, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC, **RULES)


if __name__ == "__main__":
    main()
