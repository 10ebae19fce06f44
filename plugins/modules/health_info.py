#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module health_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_info
short_description: The first broken link of multicluster routing, over all clusters
version_added: 0.1.0
description:
  - Walks the chain from the API servers, the licence and the relay over istiod, east-west gateways, destinations and
    the gateway's proxy to the answer of the last HTTP request, in all clusters at once.
  - A check that stands on one that failed is skipped and says because of which, so that one cause stands out.
  - Reads only. Objects are listed, each kind once; of Secrets only digests are compared. Logs are read where nothing
    else holds the cause, at most 200 lines of a container, and what is quoted of them is redacted.
  - What may not be read is skipped and said; a cluster that does not answer is a result, not an error.
  - Every check is explained in the collection's docs/doctor.md, under its ID.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  data:
    description:
      - What the site wants, as the variables of the collection's playbooks have it. What it names has to be there,
        nothing else is looked at.
      - V(virtual_destinations), V(route_tables) and V(http_routes) are lists of dicts with C(name), C(namespace) and
        C(spec).
      - V(proofs) is a list of dicts with C(name), C(path), C(answered_by) (C(namespace) and C(label_selector) of the
        Deployments whose Pods have to answer), optionally C(host) and C(headers). With C(from_pod) (C(namespace),
        C(label_selector), C(port)) requests are sent inside the mesh, else through the Gateways.
      - Without it every destination and route found is checked and no request is sent.
    type: dict
  fail_on:
    description: From which verdict on the module fails, with the first cause as its message.
    type: str
    choices: [never, failed, warning]
    default: never
  show:
    description:
      - What RV(table), which the terminal shows too, has a line for. With V(wrong) the checks that are ok are left out.
    type: str
    choices: [all, wrong]
    default: all
  logs:
    description: Whether logs may be read.
    type: bool
    default: true
  timeout:
    description: Seconds to ask for each proof at most.
    type: int
    default: 15
notes:
  - With a local connection the table of checks is printed.
seealso:
  - module: multicluster.gloo.gateway_proxy_info
  - module: multicluster.gloo.istiod_info
  - module: multicluster.gloo.virtual_destination_info
  - module: multicluster.gloo.traffic_check
"""

EXAMPLES = r"""
- name: Everything that is found in two clusters
  multicluster.gloo.health_info:
    clusters:
      - name: mgmt
        kubeconfig: ~/.kube/config
        context: mgmt
        role: management
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
        role: workload
        gateway: true
  register: doctor

- name: What this site wants, up to the answers
  multicluster.gloo.health_info:
    clusters:
      - name: mgmt
        kubeconfig: ~/.kube/config
        context: mgmt
        role: management
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
        role: workload
        gateway: true
      - name: cluster2
        kubeconfig: ~/.kube/config
        context: cluster2
        role: workload
    data:
      virtual_destinations:
        - name: reviews-vd
          namespace: bookinfo
          spec:
            hosts: [reviews.mesh.internal.com]
            ports:
              - number: 9080
            services:
              - labels:
                  app: reviews
      http_routes:
        - name: reviews
          namespace: gloo-system
          spec:
            parentRefs:
              - name: http
            rules:
              - backendRefs:
                  - group: networking.istio.io
                    kind: Hostname
                    name: reviews.mesh.internal.com
                    port: 9080
      proofs:
        - name: reviews through the gateway
          path: /reviews/0
          answered_by:
            namespace: bookinfo
            label_selector: app=reviews
    fail_on: failed
"""

RETURN = r"""
msg:
  description: One sentence, with the first cause when there is one.
  returned: always
  type: str
  sample: "cluster2: relay-token: Secret gloo-mesh/relay-identity-token-secret does not exist. Copy it with site.yml
    --tags mesh. See docs/doctor.md#relay-token"
health:
  description: What was found.
  returned: when the clusters could be asked
  type: dict
  contains:
    verdict:
      description: The worst verdict, one of V(ok), V(warning) and V(failed).
      type: str
      returned: always
      sample: failed
    counts:
      description: Number of checks by verdict (ok, warning, failed, skipped).
      type: dict
      returned: always
      sample: {ok: 61, warning: 0, failed: 1, skipped: 36}
    first:
      description: The first failed check in the order of the walk, else the first warning, or null.
      type: dict
      returned: always
    seconds:
      description: How long the walk took.
      type: float
      returned: always
      sample: 0.6
    time:
      description: When it was finished.
      type: str
      returned: always
      sample: "2026-01-31T15:30:00Z"
    checks:
      description: All checks at all places, in the order of the walk.
      type: list
      elements: dict
      returned: always
      contains:
        id:
          description: ID of the check.
          type: str
          returned: always
          sample: relay-token
        cluster:
          description: Where.
          type: str
          returned: always
          sample: cluster2
        check:
          description: What holds when it is ok.
          type: str
          returned: always
          sample: relay token is that of the management cluster
        verdict:
          description: One of V(ok), V(warning), V(failed) and V(skipped).
          type: str
          returned: always
          sample: failed
        seen:
          description: What was seen, or because of which check nothing was looked at.
          type: str
          returned: always
          sample: Secret gloo-mesh/relay-identity-token-secret does not exist
        hint:
          description: What to do about a warning or failure.
          type: str
          returned: always
          sample: copy it with site.yml --tags mesh
        doc:
          description: Where the check is explained.
          type: str
          returned: always
          sample: docs/doctor.md#relay-token
        object:
          description: The object it is about, if it is about one.
          type: str
          returned: always
          sample: Secret gloo-mesh/relay-identity-token-secret
    clusters:
      description: The clusters as they are.
      type: list
      elements: dict
      returned: always
      contains:
        cluster:
          description: Its name.
          type: str
          returned: always
          sample: cluster1
        role:
          description: V(management) or V(workload).
          type: str
          returned: always
          sample: workload
        gateway:
          description: Whether it has a gateway.
          type: bool
          returned: always
          sample: true
        server:
          description: URL of its API server.
          type: str
          returned: always
          sample: https://192.0.2.10:6443
        version:
          description: Kubernetes version, empty when it could not be reached.
          type: str
          returned: always
          sample: v1.34.4
        uid:
          description: UID of the namespace kube-system.
          type: str
          returned: always
          sample: 377262ec-dbfb-428a-bec7-d0df7bd5e0e3
        relay_address:
          description: Of the management cluster, where agents reach it.
          type: str
          returned: always
          sample: 192.0.2.20:9900
        telemetry_address:
          description: Of the management cluster, where telemetry goes.
          type: str
          returned: always
          sample: 192.0.2.21:4317
        istiod:
          description: Its istiod as RV(multicluster.gloo.istiod_info#module:istiod) has it, or null.
          type: dict
          returned: always
        east_west:
          description: Addresses of its east-west gateways.
          type: list
          elements: str
          returned: always
          sample: ["192.0.2.50:15443"]
        agent:
          description: V(connected), V(disconnected), V(unknown), or null in the management cluster.
          type: str
          returned: always
          sample: connected
        gateways:
          description: Its Gateways as RV(multicluster.gloo.gateway_proxy_info#module:proxies) has them.
          type: list
          elements: dict
          returned: always
    destinations:
      description: Hosts and ports of VirtualDestinations with the Pods behind them, in all clusters.
      type: list
      elements: dict
      returned: always
      sample:
        - host: reviews.mesh.internal.com
          port: 9080
          namespace: bookinfo
          name: reviews-vd
          state: ACCEPTED
          instances:
            - {cluster: cluster2, pod: reviews-v3-5d49dc8496-tfxtz, workload: reviews-v3, ready: true}
    routes:
      description: HTTPRoutes that were looked at.
      type: list
      elements: dict
      returned: always
      sample:
        - cluster: cluster1
          namespace: gloo-system
          name: reviews
          gateway: gloo-system/http
          hostnames: []
          backends: ["reviews.mesh.internal.com:9080"]
    answers:
      description: Who answered the proofs how often.
      type: list
      elements: dict
      returned: always
      sample:
        - proof: reviews through the gateway
          cluster: cluster1
          path: /reviews/0
          url: http://192.0.2.60:8080
          sent: 3
          answers:
            - {instance: reviews-v3-5d49dc8496-tfxtz, cluster: cluster2, count: 1}
          failures: []
table:
  description: The same as lines a person can read.
  returned: when the clusters could be asked
  type: list
  elements: str
requests:
  description: Number of HTTP requests made to API servers.
  returned: when the clusters could be asked
  type: int
  sample: 74
"""

from ..module_utils.doctor.health_info import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
