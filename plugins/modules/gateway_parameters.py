#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_parameters."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_parameters
short_description: GatewayParameters, checked against what the CRD does not check and against istiod
version_added: 0.1.0
description:
  - Creates, changes and removes GatewayParameters by server-side apply. Fields that others own stay.
  - Refuses before the first write what would only show up as a proxy that never starts - an address without a port, IDs
    that YAML reads as numbers or booleans, a cluster ID istiod does not accept.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  name:
    description: Name of the object.
    type: str
    required: true
  namespace:
    description: Its namespace, which has to be the Gateway's.
    type: str
    required: true
  state:
    description:
      - With V(absent) an object made by this collection is deleted, one that existed before is given back.
      - Refused while a Gateway or GatewayClass refers to an object that would be deleted.
    type: str
    choices: [present, absent]
    default: present
  api_version:
    description: API version of the kind that the cluster's product uses.
    type: str
    default: gateway.kgateway.dev/v1alpha1
  kind:
    description: The kind that the cluster's product uses.
    type: str
    default: GatewayParameters
  istio:
    description: Settings of the container C(istio-proxy). An empty one is left to the controller's default.
    type: dict
    suboptions:
      discovery_address:
        description: C(host:port) of istiod, such as V(istiod-gloo.istio-system.svc:15012).
        type: str
      meta_cluster_id:
        description: The cluster ID that istiod accepts. The controller's default V(Kubernetes) does not fit a mesh
          of several clusters.
        type: str
      meta_mesh_id:
        description: The mesh ID.
        type: str
      image:
        description:
          - Image of the container istio-proxy. Without it the controller's default.
        type: dict
        suboptions:
          registry:
            description: Registry, such as V(registry.example/team).
            type: str
          repository:
            description: Repository within it.
            type: str
          tag:
            description: Tag.
            type: str
          digest:
            description: Digest, such as V(sha256:...).
            type: str
          pull_policy:
            description: When the image is pulled.
            type: str
            choices: [Always, IfNotPresent, Never]
            aliases: [pullPolicy]
      log_level:
        description: Its log level.
        type: str
  sds:
    description: Settings of the container C(sds).
    type: dict
    suboptions:
      image:
        description:
          - Image of the container sds. Without it the controller's default.
        type: dict
        suboptions:
          registry:
            description: Registry, such as V(registry.example/team).
            type: str
          repository:
            description: Repository within it.
            type: str
          tag:
            description: Tag.
            type: str
          digest:
            description: Digest, such as V(sha256:...).
            type: str
          pull_policy:
            description: When the image is pulled.
            type: str
            choices: [Always, IfNotPresent, Never]
            aliases: [pullPolicy]
  spec:
    description: Anything else of the object's C(spec), merged over what the options above make.
    type: dict
    default: {}
  istiod:
    description:
      - What M(multicluster.gloo.istiod_info) returned in C(istiod). Settings that contradict it are an error that
        shows both.
    type: dict
  strict:
    description: With V(false) a contradiction to O(istiod) is a warning.
    type: bool
    default: true
  on_conflict:
    description: What to do when another field manager owns a field with another value.
    type: str
    choices: [fail, force]
    default: fail
  ignore_references:
    description: With O(state=absent), delete although Gateways refer to it. They turn C(InvalidParameters).
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for a deletion at most.
    type: int
    default: 60
seealso:
  - module: multicluster.gloo.istiod_info
  - module: multicluster.gloo.gateway_proxy_info
"""

EXAMPLES = r"""
- name: Find istiod
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    for_namespace: bookinfo
  register: istio

- name: Tell the proxies where it is and who they are
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: custom-gw-params
    namespace: gloo-system
    istio:
      discovery_address: "{{ istio.istiod.address }}"
      meta_cluster_id: "{{ istio.istiod.cluster_id }}"
      meta_mesh_id: "{{ istio.istiod.mesh_id }}"
    istiod: "{{ istio.istiod }}"
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: "cluster1: GatewayParameters gloo-system/custom-gw-params: created"
gateway_parameters:
  description: One record.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    api_version:
      description: API version of the object.
      type: str
      returned: success
    kind:
      description: Kind of the object.
      type: str
      returned: success
    namespace:
      description: Namespace of the object.
      type: str
      returned: success
    name:
      description: Name of the object.
      type: str
      returned: success
    action:
      description: V(created), V(changed), V(unchanged), V(deleted), V(released), V(absent) or V(kept).
      type: str
      returned: success
    reason:
      description: Why, where that is not plain.
      type: str
      returned: success
    discovery_address:
      description: The address proxies will use, the controller's default included.
      type: str
      returned: success
    meta_cluster_id:
      description: The cluster ID they will use.
      type: str
      returned: success
    meta_mesh_id:
      description: The mesh ID they will use.
      type: str
      returned: success
  sample:
    - cluster: cluster1
      api_version: gateway.kgateway.dev/v1alpha1
      kind: GatewayParameters
      namespace: gloo-system
      name: custom-gw-params
      action: created
      reason: ""
      discovery_address: istiod-gloo.istio-system.svc:15012
      meta_cluster_id: cluster1
      meta_mesh_id: cluster.local
warnings:
  description: Contradictions with O(strict=false), and what only telemetry will notice.
  returned: when there are any
  type: list
  elements: str
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 3
writes:
  description: Number of those that wrote.
  returned: success
  type: int
  sample: 1
"""

from ..module_utils.gateway_parameters import ARGUMENT_SPEC, run
from ..module_utils.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
