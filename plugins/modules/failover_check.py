#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module failover_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: failover_check
short_description: Take one cluster's backends away, see traffic go on, bring them back
version_added: 0.1.0
description:
  - Scales the Deployments that back a destination in one workload cluster to 0 while requests are sent through the
    gateway, sees that the other clusters answer, brings the Deployments back, and sees that all answer again.
  - They come back in every case. When something fails or the run is interrupted, they are brought back first. How many
    replicas there were is noted in each Deployment by the same write that takes it away, so that a later run brings
    back what a killed one left, before anything else and also with O(state=restored) alone.
  - A Deployment that is back is as before, to the owners of its fields. A HorizontalPodAutoscaler pauses while its
    Deployment wants 0 replicas and goes on afterwards.
  - Nothing is taken away when not everybody answers before, or when no other cluster could take over.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.requests
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell the truth without changing anything.
    support: full
    details: Says what would be scaled, sends no request through the gateway.
  diff_mode:
    description: Tells what was or would be changed, in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: partial
    details: With O(state=restored) it is. A check changes each time, and undoes it.
options:
  state:
    description:
      - V(checked) does all of it.
      - V(restored) brings back what an earlier run left away, in all workload clusters, and nothing else.
    type: str
    choices: [checked, restored]
    default: checked
  cluster:
    description: The workload cluster whose backends are taken away.
    type: str
  backends:
    description: The Deployments that answer, in each workload cluster.
    type: dict
    suboptions:
      namespace:
        description: Their namespace.
        type: str
        required: true
      label_selector:
        description: Labels they have, such as V(app=reviews).
        type: str
        required: true
  url:
    description: URL of the gateway that O(path) is added to.
    type: str
  max_gap:
    description: Seconds without a good answer that are taken for traffic that goes on.
    type: float
    default: 30.0
  min_requests:
    description: Good answers in a row, all of other clusters, that prove that traffic goes on.
    type: int
    default: 20
  patience:
    description: Seconds after the last Pod has gone in which requests may still fail.
    type: int
    default: 30
  timeout:
    description: Seconds to wait for each step.
    type: int
    default: 120
notes:
  - Whoever uses the service meanwhile will notice when the other clusters cannot take over.
  - Endpoints behind the east-west gateway of a cluster are given up only where an OutlierDetectionPolicy says so.
    Without one, the loss of a cluster other than the gateway's fails this check, with the share of requests that fails.
seealso:
  - module: multicluster.gloo.traffic_check
"""

EXAMPLES = r"""
- name: Does cluster2 take over when cluster1 has no reviews?
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
    url: http://192.0.2.10:8080
    path: /reviews/0

- name: Bring back what a killed run left away
  multicluster.gloo.failover_check:
    state: restored
    clusters:
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: >-
    cluster1: without Deployment bookinfo/reviews-v1 the others answered: 312 requests, 2 failed, longest time without
    an answer 0.4 s; all are back and answer
taken:
  description: The Deployments that were taken away and brought back; in check mode those that would be.
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
      description: How many replicas they wanted, before and after.
      type: int
      returned: success
  sample:
    - cluster: cluster1
      namespace: bookinfo
      name: reviews-v1
      replicas: 1
healed:
  description: Deployments that an earlier run had left away, as RV(taken). C(replicas) is what they wanted when found.
  returned: success
  type: list
  elements: dict
sent:
  description: Requests sent from before the first Deployment went until all were ready again.
  returned: success
  type: int
  sample: 312
failed_requests:
  description: Those of them that failed.
  returned: success
  type: int
  sample: 2
failures:
  description: Failed requests by C(status) with C(count).
  returned: success
  type: list
  elements: dict
longest_gap:
  description: The longest time between two good answers, in seconds.
  returned: success
  type: float
  sample: 0.41
answers_before:
  description: Who answered before, each with C(instance), C(cluster), C(workload) and C(count).
  returned: success
  type: list
  elements: dict
  sample:
    - instance: reviews-v1-5d8f6b-abcde
      cluster: cluster1
      workload: reviews-v1
      count: 4
answers_during:
  description: Who answered while the backends were away, from the last answer of a Pod on its way out on.
  returned: success
  type: list
  elements: dict
answers_after:
  description: Who answered after they came back.
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
