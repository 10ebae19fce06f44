#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module health_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_info
short_description: Check multicluster routing over all clusters and find the first failure
version_added: 0.1.0
description:
  - Checks API servers, licence, relay, istiod, east-west gateways, destinations, the gateway's proxy and the responses
    to HTTP requests, in all clusters at once.
  - A check that depends on a failed one is skipped with a reference to it, so that only the cause is reported.
  - Reads only. Each kind of object is listed once; of Secrets only digests and certificates are used. Logs are read if
    no object has the cause, at most 200 lines of a container, and are redacted.
  - Chains of certificates are verified with the Python package cryptography (40 or newer), which ansible-core requires
    as well. Without it, clusters that trust different roots are a warning.
  - A check whose objects may not be read is skipped with the reason; an unreachable cluster is a result, not an error.
  - The collection's docs/doctor.md explains every check under its ID.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  data:
    description:
      - Objects and proofs of the site, as the variables of the collection's playbooks define them. These objects have
        to exist; others are not checked.
      - V(virtual_destinations), V(route_tables) and V(http_routes) are lists of dicts with C(name), C(namespace) and
        C(spec).
      - V(proofs) is a list of dicts with C(name), C(path), C(answered_by) (C(namespace) and C(label_selector) of the
        Pods that have to respond). With C(from_pod) (C(namespace), C(label_selector), C(port)) requests are sent inside
        the mesh, else to C(url) or through the Gateways that have a matching route. C(gateway) (C(name),
        C(namespace), C(listener), C(port), C(scheme)) chooses among them and their listeners. C(host), C(headers),
        C(ca_cert), C(validate_certs) and C(pattern) are those of M(multicluster.gloo.traffic_check).
      - With C(clusters), names of clusters, an entry of V(http_routes) or V(proofs) is for these clusters only.
      - V(istiod) may have C(namespace) and C(revision) of the istiod that the gateways are meant to use. If they use
        another one that works, the result is a warning.
      - Without O(data) every destination and route in the clusters is checked and no request is sent.
    type: dict
  fail_on:
    description: Minimum verdict for which the module fails, with the first problem as its message.
    type: str
    choices: [never, failed, warning]
    default: never
  show:
    description:
      - Lines of RV(table), which is also printed. With V(problems) checks that are ok are left out.
    type: str
    choices: [all, problems]
    default: all
  logs:
    description: Whether logs may be read.
    type: bool
    default: true
  timeout:
    description: Maximum number of seconds to send requests for each proof.
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
- name: Check all objects of two clusters
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

- name: Check the objects of a site and send requests
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
  description: One sentence, with the first problem if there is one.
  returned: always
  type: str
  sample: "cluster2: Secret gloo-mesh/relay-identity-token-secret does not exist. Unless certificates are user-supplied,
    copy the Secret with site.yml --tags mesh. See docs/doctor.md#relay-token"
health:
  description: Result of all checks.
  returned: when the checks were run
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
      description: The first failed check, else the first warning, or null.
      type: dict
      returned: always
    seconds:
      description: Duration of the checks in seconds.
      type: float
      returned: always
      sample: 0.6
    time:
      description: Time of the result.
      type: str
      returned: always
      sample: "2026-01-31T15:30:00Z"
    checks:
      description: All checks for all their targets, in order.
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
          description: Name of the cluster.
          type: str
          returned: always
          sample: cluster2
        check:
          description: The statement that is true when the check is ok.
          type: str
          returned: always
          sample: relay token matches the management cluster
        verdict:
          description: One of V(ok), V(warning), V(failed) and V(skipped).
          type: str
          returned: always
          sample: failed
        message:
          description: What was found, or which failed check it was skipped for.
          type: str
          returned: always
          sample: Secret gloo-mesh/relay-identity-token-secret does not exist
        hint:
          description: What to do about a warning or failure, else empty.
          type: str
          returned: always
          sample: unless certificates are user-supplied, copy the Secret with site.yml --tags mesh
        doc:
          description: Reference to the explanation of the check.
          type: str
          returned: always
          sample: docs/doctor.md#relay-token
        object:
          description: The object it is about, or empty.
          type: str
          returned: always
          sample: Secret gloo-mesh/relay-identity-token-secret
    clusters:
      description: Versions, addresses and components of the clusters.
      type: list
      elements: dict
      returned: always
      contains:
        cluster:
          description: Name of the cluster.
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
          description: Kubernetes version, empty if the cluster cannot be reached.
          type: str
          returned: always
          sample: v1.34.4
        uid:
          description: UID of the namespace kube-system.
          type: str
          returned: always
          sample: 377262ec-dbfb-428a-bec7-d0df7bd5e0e3
        relay_address:
          description: External address of the relay in the management cluster.
          type: str
          returned: always
          sample: 192.0.2.20:9900
        telemetry_address:
          description: External address of the telemetry gateway in the management cluster.
          type: str
          returned: always
          sample: 192.0.2.21:4317
        istiod:
          description: The istiod as in RV(multicluster.gloo.istiod_info#module:istiod), or null.
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
          description: Its Gateways as in RV(multicluster.gloo.gateway_proxy_info#module:proxies).
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
      description: HTTPRoutes that were checked.
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
      description: Responses to the requests of each proof.
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
  description: The result as lines of text.
  returned: when the checks were run
  type: list
  elements: str
requests:
  description: Number of HTTP requests made to API servers.
  returned: when the checks were run
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
