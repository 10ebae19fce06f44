#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module objects_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: objects_info
short_description: Read Kubernetes objects of one cluster, or wait for them
version_added: 0.1.0
description:
  - Returns objects with their readiness and their external addresses.
  - Optionally waits, using watches, until they are present, ready or gone.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  objects:
    description: What to read.
    type: list
    elements: dict
    required: true
    suboptions:
      api_version:
        description: apiVersion of the objects.
        type: str
        required: true
      kind:
        description: Kind of the objects.
        type: str
        required: true
      namespace:
        description: Namespace; without it all namespaces.
        type: str
      name:
        description: Name; without it all objects of the kind.
        type: str
      label_selector:
        description: Label selector, such as V(app=reviews,version!=v1).
        type: str
      where:
        description:
          - Required values of fields by path, such as C(spec.controllerName). A value is a string or a list of strings.
          - The API server filters custom resources by labels only, so all objects of the kind are read.
        type: dict
  wait_for:
    description:
      - V(present) waits until every entry of O(objects) finds at least one object.
      - V(ready) waits until the found objects are ready as well.
      - V(absent) waits until none is found.
      - A wait of more than two seconds prints, on changes, a line for each object that is not ready, with cluster,
        object, what blocks it (for a workload also the state of its containers) and the seconds waited. These lines are
        the error when the wait times out.
    type: str
    choices: [none, present, ready, absent]
    default: none
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 300
notes:
  - Values of Secrets and ConfigMaps are replaced by a fingerprint.
seealso:
  - module: multicluster.gloo.objects
"""

EXAMPLES = r"""
- name: Wait for the relay address
  multicluster.gloo.objects_info:
    kubeconfig: ~/.kube/config
    context: mgmt
    wait_for: ready
    objects:
      - api_version: v1
        kind: Service
        namespace: gloo-mesh
        name: gloo-mesh-mgmt-server
  register: relay
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "mgmt: 1 object found"
objects:
  description: One record per object found.
  returned: always, except when the cluster cannot be read
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: always
    api_version:
      description: apiVersion of the object.
      type: str
      returned: always
    kind:
      description: Kind of the object.
      type: str
      returned: always
    namespace:
      description: Namespace, empty for cluster-scoped objects.
      type: str
      returned: always
    name:
      description: Name of the object.
      type: str
      returned: always
    generation:
      description: metadata.generation, 0 for kinds without one.
      type: int
      returned: always
    ready:
      description: C(ready), C(waiting) or C(failed).
      type: str
      returned: always
    reason:
      description: Why it is not ready, or a remark.
      type: str
      returned: always
    address:
      description: First external address of a LoadBalancer Service or a Gateway, hostname before IP; empty for others.
      type: str
      returned: always
    ports:
      description: Name and port of a Service's ports or a Gateway's listeners.
      type: list
      elements: dict
      returned: always
    object:
      description: The object without managedFields and without secret values.
      type: dict
      returned: always
  sample:
    - cluster: mgmt
      api_version: v1
      kind: Service
      namespace: gloo-mesh
      name: gloo-mesh-mgmt-server
      generation: 0
      ready: ready
      reason: address 203.0.113.7
      address: 203.0.113.7
      ports:
        - name: grpc
          port: 9900
      object: {}
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 1
"""

from ..module_utils.apply.objects_info import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
