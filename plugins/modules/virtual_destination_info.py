#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module virtual_destination_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: virtual_destination_info
short_description: Check how VirtualDestinations are translated in a cluster
version_added: 0.1.0
description:
  - Finds the ServiceEntries and WorkloadEntries that Gloo Mesh wrote into a workload cluster, by labels and host,
    never by name.
  - Compares what gateways ignore without an error - ports of C(Hostname) backendRefs, labels and addresses of
    WorkloadEntries, resolution - and returns what to do.
  - In the management cluster it waits until VirtualDestinations are accepted, with O(wait_for=accepted).
  - In check mode it reports, but neither waits nor fails.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  host:
    description: A host of the VirtualDestination. Needed unless O(name) or O(destinations) is given.
    type: str
  port:
    description: The port that clients use. Without it only the ports of HTTPRoutes are checked.
    type: int
  name:
    description: Name of the VirtualDestination in the management cluster.
    type: str
  namespace:
    description: Its namespace.
    type: str
  destinations:
    description: VirtualDestinations, of which every host with every port is checked, instead of O(host) and O(name).
    type: list
    elements: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
      spec:
        description: Its spec, with C(hosts) and C(ports).
        type: dict
        required: true
  check_routes:
    description:
      - Whether problems of HTTPRoutes to the host are failures, such as a wrong port. RV(destinations) has them in any
        case.
      - If an HTTPRoute leads to the host, problems that only gateways have are failures as well. For example, gateways
        ignore endpoints with host names, which sidecars use.
    type: bool
    default: true
  wait:
    description:
      - Wait until O(wait_for) holds. Fails after O(wait_timeout), or when a permanent problem
        persists.
    type: bool
    default: false
  wait_for:
    description:
      - V(accepted) - in the management cluster, the VirtualDestination is accepted and selects a Service.
      - V(translated) - the ServiceEntry exists with its port, has a usable endpoint, and routes reference it correctly.
      - V(absent) - no translated object is left.
    type: str
    choices: [accepted, translated, absent]
    default: translated
  wait_timeout:
    description: Maximum number of seconds to wait.
    type: int
    default: 300
  agent_namespace:
    description: Namespace of the agent, whose state is in the message when nothing was translated.
    type: str
    default: gloo-mesh
seealso:
  - module: multicluster.gloo.traffic_check
"""

EXAMPLES = r"""
- name: Wait until the destination is usable here
  multicluster.gloo.virtual_destination_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: reviews-vd
    namespace: bookinfo
    host: reviews.mesh.internal.com
    port: 9080
    wait: true

- name: Wait until every host and port of these is usable
  multicluster.gloo.virtual_destination_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    destinations:
      - name: reviews-vd
        namespace: bookinfo
        spec:
          hosts: [reviews.mesh.internal.com]
          ports:
            - number: 9080
    wait: true
"""

RETURN = r"""
msg:
  description: One sentence.
  returned: always
  type: str
  sample: "cluster1: host reviews.mesh.internal.com:9080 of VirtualDestination bookinfo/reviews-vd: 2 local and 1 remote
    endpoints"
destinations:
  description: One record for each host and port.
  returned: always, once the cluster was read
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    host:
      description: The host.
      type: str
      returned: success
    port:
      description: Its port, null when none is given.
      type: int
      returned: success
    translated:
      description: Whether there is a ServiceEntry.
      type: bool
      returned: success
    namespace:
      description: Namespace of the ServiceEntry.
      type: str
      returned: success
    service_entry:
      description: Name of the ServiceEntry, or null.
      type: str
      returned: success
    ports:
      description: Its ports with C(name), C(number), C(protocol).
      type: list
      elements: dict
      returned: success
    resolution:
      description: Its resolution.
      type: str
      returned: success
    location:
      description: Its location.
      type: str
      returned: success
    endpoints_local:
      description: Pods it selects, with C(pod), C(ip), C(ready), C(workload), C(version).
      type: list
      elements: dict
      returned: success
    endpoints_remote:
      description: WorkloadEntries it selects, with C(name), C(address), C(port), C(tls), C(network), C(locality).
      type: list
      elements: dict
      returned: success
    http_routes:
      description: HTTPRoutes of this cluster with the host as backend.
      type: list
      elements: str
      returned: success
    problems:
      description: Problems with their remedies.
      type: list
      elements: str
      returned: success
  sample:
    - cluster: cluster1
      host: reviews.mesh.internal.com
      port: 9080
      translated: true
      namespace: bookinfo
      service_entry: vd-reviews-mesh-internal-com-mgmt
      ports:
        - name: http-9080
          number: 9080
          protocol: HTTP
      resolution: STATIC
      location: MESH_INTERNAL
      endpoints_local:
        - pod: reviews-v1-5d8f6b-abcde
          ip: 10.0.0.7
          ready: true
          workload: reviews-v1
          version: v1
      endpoints_remote:
        - name: vd-reviews-mesh-internal-com-mgmt-0a1b2c
          address: 192.0.2.50
          port: 15443
          tls: istio
          network: ""
          locality: ""
      http_routes: [gloo-system/reviews]
      problems: []
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 4
"""

from ..module_utils.engine.module import run_module
from ..module_utils.mesh.virtual_destination_info import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
