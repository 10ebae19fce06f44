#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_proxy_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_proxy_info
short_description: Whether a Gateway's proxy runs as it should, and the first cause when not
version_added: 0.1.0
description:
  - Reads what concerns a Gateway of Gloo Gateway or kgateway - class, controller and its switches, GatewayParameters,
    Deployment, Pods, Service, istiod - and gives one verdict with the first cause, not the last symptom.
  - The Gateway's conditions alone are not believed, because the controller says True where it knows nothing bad.
  - In check mode it reports, but neither waits nor fails on what earlier tasks would have made.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  namespace:
    description:
      - Namespace of the Gateway. Without it all Gateways of the cluster are looked at.
    type: str
  gateway:
    description:
      - Name of the Gateway. Without it all Gateways of O(namespace) are looked at.
    type: str
  expect:
    description:
      - Names of the containers that every Pod of the proxy must have, no more and no less.
      - Fails with the first cause unless they are there and ready. V(sds) and V(istio-proxy) stand for the Istio
        integration.
      - Without it, what the controller's switch C(KGW_ENABLE_ISTIO_AUTO_MTLS) means is expected, and nothing fails.
    type: list
    elements: str
  istiod:
    description:
      - What M(multicluster.gloo.istiod_info) returned in C(istiod). The proxy's settings are compared with it.
      - Without it they are compared with the istiod that the settings lead to.
    type: dict
  parameters:
    description:
      - Name of the GatewayParameters that the Gateway must refer to.
    type: str
  wait:
    description:
      - Follow the changes until all is ready and stays so for a moment, or the same failure stays for some seconds.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 300
seealso:
  - module: multicluster.gloo.gateway_parameters
  - module: multicluster.gloo.istiod_info
"""

EXAMPLES = r"""
- name: Wait until the proxy has its three containers
  multicluster.gloo.gateway_proxy_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    namespace: gloo-system
    gateway: http
    expect:
      - kgateway-proxy
      - sds
      - istio-proxy
    wait: true

- name: How are all Gateways of the cluster?
  multicluster.gloo.gateway_proxy_info:
    kubeconfig: ~/.kube/config
    context: cluster1
  register: gateways
"""

RETURN = r"""
msg:
  description: One sentence for a person; when it fails, the first cause.
  returned: always
  type: str
  sample: "cluster1: Gateway gloo-system/http ready with kgateway-proxy, sds, istio-proxy at http://192.0.2.10:8080"
proxies:
  description: One record per Gateway.
  returned: always, once the cluster was read
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    namespace:
      description: Namespace of the Gateway.
      type: str
      returned: success
    gateway:
      description: Name of the Gateway.
      type: str
      returned: success
    verdict:
      description: V(ready), V(waiting) or V(failed). What failed does not get well by waiting.
      type: str
      returned: success
    cause:
      description: The first cause and what to do; empty when ready.
      type: str
      returned: success
    gateway_class:
      description: Name of its GatewayClass.
      type: str
      returned: success
    generation:
      description: Generation of the Gateway.
      type: int
      returned: success
    observed_generation:
      description: Generation its controller has seen.
      type: int
      returned: success
    parameters:
      description: C(namespace/name) of the parameters it refers to, or null.
      type: str
      returned: success
    containers:
      description: Container names of the current Pod.
      type: list
      elements: str
      returned: success
    env:
      description: C(CA_ADDR), C(ISTIO_META_CLUSTER_ID) and C(ISTIO_META_MESH_ID) of its container istio-proxy.
      type: dict
      returned: success
    pods:
      description: The proxy's Pods, current ones first.
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description: Name of the Pod.
          type: str
          returned: success
        phase:
          description: Its phase.
          type: str
          returned: success
        ready:
          description: Whether it is ready.
          type: bool
          returned: success
        current:
          description: Whether it belongs to the newest ReplicaSet.
          type: bool
          returned: success
        containers:
          description: Its containers with C(name), C(image), C(ready), C(state), C(reason), C(restarts).
          type: list
          elements: dict
          returned: success
    replicas:
      description: Replicas of the Deployment that are C(wanted), C(updated), C(available).
      type: dict
      returned: success
    service_type:
      description: Type of the proxy's Service.
      type: str
      returned: success
    addresses:
      description: Addresses for clients.
      type: list
      elements: str
      returned: success
    url:
      description: URL of the first HTTP listener, or null.
      type: str
      returned: success
    controller:
      description: C(namespace) and C(name) of the controller's Deployment and its switches C(auto_mtls),
        C(integration).
      type: dict
      returned: success
    problems:
      description: What is wrong, but does not keep the proxy from serving.
      type: list
      elements: str
      returned: success
  sample:
    - cluster: cluster1
      namespace: gloo-system
      gateway: http
      verdict: ready
      cause: ""
      gateway_class: gloo-gateway-v2
      generation: 2
      observed_generation: 2
      parameters: gloo-system/custom-gw-params
      containers: [kgateway-proxy, sds, istio-proxy]
      env:
        CA_ADDR: istiod-gloo.istio-system.svc:15012
        ISTIO_META_CLUSTER_ID: cluster1
        ISTIO_META_MESH_ID: cluster.local
      pods:
        - name: http-77f979f794-4jdhs
          phase: Running
          ready: true
          current: true
          containers:
            - name: sds
              image: registry.example/sds:2.1.0
              ready: true
              state: running
              reason: ""
              restarts: 0
      replicas:
        wanted: 1
        updated: 1
        available: 1
      service_type: LoadBalancer
      addresses: [192.0.2.10]
      url: http://192.0.2.10:8080
      controller:
        namespace: gloo-system
        name: gloo-gateway
        auto_mtls: true
        integration: true
      problems: []
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 8
"""

from ..module_utils.gateway_proxy_info import ARGUMENT_SPEC, run
from ..module_utils.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
