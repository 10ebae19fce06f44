#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module traffic_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_check
short_description: Ask until every expected instance has answered, or surely does not
version_added: 0.1.0
description:
  - Sends HTTP GET requests, one after the other, from the machine where it runs to a URL, or through a port-forward
    to a Pod.
  - Ends as soon as every instance of O(expect) has answered. Fails naming who is missing once the chance of having
    missed
    a live one is below one in a million.
  - With n instances an instance is taken to get at least the share 1/(n*k) of the requests, where k is the number of
    expected
    instances of its own cluster. With three instances in two clusters this means 35 answers without the remote one.
  - While nobody has answered well, failures are waited out, since what was just written takes time to arrive. Later
    ones
    are counted, and everybody has to answer again after them.
  - Redirects are not followed, they count as failures. Only status 200 with an instance in the body counts as an
    answer.
  - In check mode nothing is sent.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.requests
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  url:
    description:
      - URL that O(path) is added to. Every request makes a new connection.
      - Give this or O(from_pod).
    type: str
  from_pod:
    description: A Pod to ask through the API server's port-forward, so that it asks the rest of the mesh.
    type: dict
    suboptions:
      namespace:
        description: Its namespace.
        type: str
        required: true
      label_selector:
        description: Labels; the first ready Pod by name is asked.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
  expect:
    description: Who has to answer.
    type: list
    elements: dict
    required: true
    suboptions:
      instance:
        description: The instance's name as it stands in the answer, or a regular expression that matches it whole.
        type: str
        required: true
      cluster:
        description: The cluster it is in, for messages and counts.
        type: str
        default: ""
      workload:
        description: What it belongs to, for messages, such as V(Deployment bookinfo/reviews-v3).
        type: str
        default: ""
  min_requests:
    description: Good answers to collect at least.
    type: int
    default: 0
  timeout:
    description: Seconds to wait for a first good answer, and to take in all.
    type: int
    default: 60
  patience:
    description: Seconds after the first good answer in which a missing instance may still turn up.
    type: int
    default: 10
seealso:
  - module: multicluster.gloo.virtual_destination_info
"""

EXAMPLES = r"""
- name: Everybody answers through the gateway
  multicluster.gloo.traffic_check:
    kubeconfig: ~/.kube/config
    context: cluster1
    url: http://192.0.2.10:8080
    path: /reviews/0
    expect:
      - instance: reviews-v1-.*
        cluster: cluster1
        workload: Deployment bookinfo/reviews-v1
      - instance: reviews-v2-.*
        cluster: cluster1
        workload: Deployment bookinfo/reviews-v2
      - instance: reviews-v3-.*
        cluster: cluster2
        workload: Deployment bookinfo/reviews-v3

- name: Everybody answers the product page from inside the mesh
  multicluster.gloo.traffic_check:
    kubeconfig: ~/.kube/config
    context: cluster1
    from_pod:
      namespace: bookinfo
      label_selector: app=productpage
      port: 9080
    path: /productpage
    expect:
      - instance: reviews-v1-.*
        cluster: cluster1
      - instance: reviews-v2-.*
        cluster: cluster1
      - instance: reviews-v3-.*
        cluster: cluster2
"""

RETURN = r"""
msg:
  description: One sentence for a person; when it fails, who is missing.
  returned: always
  type: str
  sample: >-
    cluster2: no answer from Deployment bookinfo/reviews-v3 (instance reviews-v3-.*) in 37 requests from cluster1 to
    http://192.0.2.10:8080/reviews/0; seen: reviews-v1-5d8f6b-abcde (cluster1) 37x
answers:
  description: Who answered how often.
  returned: always, once requests were sent
  type: list
  elements: dict
  contains:
    instance:
      description: Name as it stands in the answers.
      type: str
      returned: success
    cluster:
      description: Its cluster by the answer, else by O(expect).
      type: str
      returned: success
    workload:
      description: What it belongs to by O(expect).
      type: str
      returned: success
    expected:
      description: Whether it is one of O(expect).
      type: bool
      returned: success
    count:
      description: Number of answers.
      type: int
      returned: success
  sample:
    - instance: reviews-v1-5d8f6b-abcde
      cluster: cluster1
      workload: Deployment bookinfo/reviews-v1
      expected: true
      count: 4
missing:
  description: The entries of O(expect) that nobody answered for.
  returned: always, once requests were sent
  type: list
  elements: dict
failures:
  description: Failed requests by C(status) with C(count), a C(body_excerpt), and whether they came C(early), before
    any good answer.
  returned: always, once requests were sent
  type: list
  elements: dict
requests_sent:
  description: Number of requests to the URL or Pod.
  returned: always, once requests were sent
  type: int
  sample: 9
requests:
  description: Number of HTTP requests made to the API server.
  returned: success
  type: int
  sample: 2
"""

from ..module_utils.engine.module import run_module
from ..module_utils.traffic.traffic_check import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
