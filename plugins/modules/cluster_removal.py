#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cluster_removal."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_removal
short_description: Take one workload cluster out of a site while the others serve
version_added: 0.1.0
description:
  - Deregisters a workload cluster from Gloo Mesh. The other clusters stop sending requests to it before anything that
    serves them is removed.
  - Run the phases in the order of O(phase). Between V(deregister) and V(finish) the playbook C(remove_cluster.yml) runs
    the role P(multicluster.gloo.cleanup#role) on the cluster.
  - Every phase reads all clusters again, so an interrupted removal can be repeated.
  - Fails before the first write if the cluster is unknown, the management cluster, the last workload cluster or the
    only one with a gateway, if another cluster is unreachable, if two entries of O(clusters) are the same cluster, or
    if the context leads to a cluster that is not the registered one.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  cluster:
    description: Name under which the cluster is registered. With O(unreachable=true) it may be missing in O(clusters).
    type: str
    required: true
  phase:
    description:
      - V(check) only reads, and returns the endpoints that lead to the cluster and the objects that name it.
      - V(drain) hides the east-west gateway of the cluster from Gloo Mesh, which then removes the endpoints in the
        other clusters, and waits until they are gone. The gateway itself continues to serve.
      - V(deregister) deletes the KubernetesCluster. If Gloo Mesh still has endpoints of the cluster afterwards, the
        Pods of the management server are restarted once. Endpoints that are then left in other clusters are deleted.
      - V(finish) deletes objects that Gloo Mesh has translated into the cluster if no agent is left in it, restores an
        east-west gateway that does not belong to this collection, and verifies that no endpoint reappeared.
    type: str
    choices: [check, drain, deregister, finish]
    default: check
  unreachable:
    description:
      - Accept that the cluster does not respond, is missing in O(clusters), or is not the registered one. Only the
        management cluster and the others are then changed.
    type: bool
    default: false
  gateway:
    description: Accept that no cluster with a gateway is left.
    type: bool
    default: false
  addresses:
    description:
      - Further addresses of the cluster's east-west gateways. Endpoints with these addresses are removed, too.
      - Addresses of its Services and in WorkspaceSettings are found.
    type: list
    elements: str
    default: []
  drain_timeout:
    description: Seconds to wait until Gloo Mesh has removed endpoints. The remaining ones are deleted in V(deregister).
    type: int
    default: 60
  grace:
    description:
      - Seconds between the removal of endpoints and the next phase, in which proxies apply the change and requests in
        progress finish.
    type: int
    default: 10
  wait_timeout:
    description: Seconds to wait for each deletion.
    type: int
    default: 300
seealso:
  - module: multicluster.gloo.cleanup
"""

EXAMPLES = r"""
- name: Show the endpoints that lead to cluster2 and the objects that name it
  multicluster.gloo.cluster_removal:
    clusters:
      - {name: mgmt, kubeconfig: ~/.kube/config, context: mgmt, role: management}
      - {name: cluster1, kubeconfig: ~/.kube/config, context: cluster1, gateway: true}
      - {name: cluster2, kubeconfig: ~/.kube/config, context: cluster2}
    cluster: cluster2
"""

RETURN = r"""
msg:
  description: What was done, in one line.
  returned: always
  type: str
  sample: "cluster2: mgmt: deleted KubernetesCluster gloo-mesh/cluster2"
lines:
  description: What was or would be done and what remains, one line each.
  returned: success
  type: list
  elements: str
  sample:
    - "mgmt: deleted KubernetesCluster gloo-mesh/cluster2"
removal:
  description: The state before the phase.
  returned: success
  type: dict
  contains:
    cluster:
      description: Name under which the cluster is or was registered.
      type: str
      returned: success
    registered:
      description: Whether its KubernetesCluster exists.
      type: bool
      returned: success
    reachable:
      description: Whether it is in O(clusters) and its API server responds.
      type: bool
      returned: success
    endpoints:
      description: Objects of other clusters with endpoints that lead to it.
      type: list
      elements: dict
      returned: success
      contains:
        cluster: {description: Cluster of the object., type: str, returned: success}
        kind: {description: WorkloadEntry or ServiceEntry., type: str, returned: success}
        namespace: {description: Namespace of the object., type: str, returned: success}
        name: {description: Name of the object., type: str, returned: success}
        addresses: {description: Addresses of the endpoints., type: list, elements: str, returned: success}
        translated:
          description: Whether Gloo Mesh created it. An object of another owner is kept.
          type: bool
          returned: success
    uses:
      description: Objects that name the cluster or run only in it, as sentences.
      type: list
      elements: str
      returned: success
  sample:
    cluster: cluster2
    registered: true
    reachable: true
    endpoints:
      - cluster: cluster1
        kind: WorkloadEntry
        namespace: bookinfo
        name: vd-reviews-mesh-internal-com
        addresses: ["192.0.2.7"]
        translated: true
    uses:
      - "mgmt: Workspace gloo-mesh/bookinfo names it in spec.workloadClusters[1].name"
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 30
writes:
  description: Number of write requests.
  returned: success
  type: int
  sample: 1
diff:
  description: What was or would be changed, field by field.
  returned: in diff mode
  type: list
  elements: dict
  sample:
    - before_header: "mgmt: KubernetesCluster gloo-mesh/cluster2"
      after_header: "mgmt: KubernetesCluster gloo-mesh/cluster2"
      before: "spec: {clusterDomain: cluster.local}"
      after: ""
"""

from ..module_utils.cleanup.cluster_removal import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
