#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module traffic_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_check
short_description: Send requests until every expected instance has responded
version_added: 0.1.0
description:
  - Sends HTTP GET requests, one after the other, from the machine where it runs to a URL or a Gateway, or through a
    port-forward to a Pod.
  - With O(answered_by) it finds the expected instances. Every ready Pod with these labels in all workload clusters of
    O(clusters) has to respond, whatever owns it. It fails before the first request when a workload has no ready Pod or
    is scaled to 0, or when there is none.
  - Ends as soon as every expected instance has responded. Fails with the missing instances once the probability that a
    live one was missed is below one in a million.
  - With n instances an instance is assumed to get at least the share 1/(n*k) of the requests, where k is the number of
    expected instances in the same cluster. With three instances in two clusters this means 35 responses without the
    remote one.
  - Failures before the first successful response are tolerated, since new configuration takes time to propagate. Later
    ones are counted, and every instance has to respond again after them.
  - A redirect of the same resource to another scheme or port of the same host is followed, except from C(https) to
    C(http); any other counts as a failure. Only a response with status 200 and an instance in the body counts.
  - In check mode nothing is sent.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.requests
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  name:
    description: Name of the proof in RV(proof). The path by default.
    type: str
  url:
    description:
      - URL that O(path) is added to. Every request makes a new connection.
      - Give this, O(gateway) or O(from_pod).
    type: str
  gateway:
    description:
      - A Gateway of this cluster, instead of O(url). Requests are sent to its address.
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
  from_pod:
    description:
      - A Pod of this cluster that receives the requests through a port-forward of the API server and calls the mesh.
      - Where O(clusters) are given and only other clusters have a ready one, the result is skipped.
    type: dict
    suboptions:
      namespace:
        description: Its namespace.
        type: str
        required: true
      label_selector:
        description: Its labels. The first ready Pod by name is used.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
  answered_by:
    description: Pods that have to respond. Needs O(clusters).
    type: dict
    suboptions:
      namespace:
        description: Their namespace.
        type: str
        required: true
      label_selector:
        description: Their labels, such as V(app=reviews), or labels of their Deployments and StatefulSets.
        type: str
        required: true
  clusters:
    description: The clusters in which O(answered_by) is read. Those of role V(management) are left out.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name in messages and results.
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
        description: The role of the cluster.
        type: str
        choices: [management, workload]
        default: workload
      gateway:
        description: Whether it has a gateway. Not used here.
        type: bool
        default: false
  expect:
    description: Expected instances, instead of O(answered_by).
    type: list
    elements: dict
    default: []
    suboptions:
      instance:
        description: Name of the instance in the response, or a regular expression that matches the whole name.
        type: str
        required: true
      cluster:
        description: Its cluster, for messages and counts.
        type: str
        default: ""
      workload:
        description: Its workload, for messages, such as V(Deployment bookinfo/reviews-v3).
        type: str
        default: ""
  min_requests:
    description: Minimum number of successful responses.
    type: int
    default: 0
  timeout:
    description: Seconds to wait for a first successful response, and in all.
    type: int
    default: 60
  patience:
    description: Seconds after the first successful response within which a missing instance may still respond.
    type: int
    default: 10
seealso:
  - module: multicluster.gloo.virtual_destination_info
"""

EXAMPLES = r"""
- name: All reviews respond through the gateway
  multicluster.gloo.traffic_check:
    kubeconfig: ~/.kube/config
    context: cluster1
    gateway:
      namespace: gloo-system
      name: http
    path: /reviews/0
    answered_by:
      namespace: bookinfo
      label_selector: app=reviews
    clusters:
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
      - name: cluster2
        kubeconfig: ~/.kube/config
        context: cluster2

- name: All reviews respond to the product page inside the mesh
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
  description: One sentence; the missing instances when it fails.
  returned: always
  type: str
  sample: >-
    cluster2: no response from reviews-v3 (instance reviews-v3-5d49dc8496-tfxtz) in 37 requests from cluster1 to
    http://192.0.2.10:8080/reviews/0; responses from reviews-v1-5d8f6b-abcde (cluster1) 37x
answers:
  description: Responses by instance.
  returned: always, once requests were sent
  type: list
  elements: dict
  contains:
    instance:
      description: Name of the instance in the response.
      type: str
      returned: success
    cluster:
      description: Its cluster according to the response, else to the expectation.
      type: str
      returned: success
    workload:
      description: Its workload according to the expectation.
      type: str
      returned: success
    expected:
      description: Whether it was expected.
      type: bool
      returned: success
    count:
      description: Number of responses.
      type: int
      returned: success
  sample:
    - instance: reviews-v1-5d8f6b-abcde
      cluster: cluster1
      workload: reviews-v1
      expected: true
      count: 4
missing:
  description: Expected instances without a response, each with C(instance), C(cluster) and C(workload).
  returned: always, once requests were sent
  type: list
  elements: dict
failures:
  description: Failed requests by C(status) with C(count), a C(body_excerpt), and whether they came C(early), before
    any successful response.
  returned: always, once requests were sent
  type: list
  elements: dict
requests_sent:
  description: Number of requests to the URL or Pod.
  returned: always, once requests were sent
  type: int
  sample: 9
proof:
  description: The same in short, as in C(answers) of RV(multicluster.gloo.health_info#module:health).
  returned: always, once requests were sent
  type: dict
  sample:
    proof: reviews through the gateway
    cluster: cluster1
    path: /reviews/0
    url: http://192.0.2.10:8080
    sent: 3
    answers:
      - {instance: reviews-v1-5d8f6b-abcde, cluster: cluster1, count: 3}
    failures: []
requests:
  description: Number of HTTP requests made to API servers.
  returned: success
  type: int
  sample: 4
"""

from ..module_utils.engine.module import run_module
from ..module_utils.traffic.traffic_check import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
