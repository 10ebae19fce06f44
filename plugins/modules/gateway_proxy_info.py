#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_proxy_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_proxy_info
short_description: Check a Gateway's proxy and report the first cause when it is not ready
version_added: 0.1.0
description:
  - Reads everything that determines the proxy of a Gateway of Gloo Gateway or kgateway - class, controller and its
    switches, parameters, Deployment, Pods, Service, istiod - and returns one verdict with the first cause instead of
    the last symptom.
  - The Gateway's conditions are not sufficient, because the controller reports True unless it detects an error.
  - Parameters of every product are read - C(GatewayParameters), C(GlooGatewayParameters),
    C(EnterpriseKgatewayParameters) - and merged as the controller does, with the Gateway's over those of its class.
  - Without O(wait) the state is read once. With O(wait) the module watches for changes and reports progress.
  - In check mode it reports the state, but does not wait or fail for objects that earlier tasks would have created.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: Reports what O(restart) would restart.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: none
    details: The only change is a restart annotation, reported in RV(restarted).
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
    details: Reads only, unless O(restart) finds a reason to restart. Restarted Pods are up to date.
options:
  namespace:
    description:
      - Namespace of the Gateway. Without it all Gateways of the cluster are checked, except those of other
        controllers, such as Istio's own.
    type: str
  gateway:
    description:
      - Name of the Gateway. Without it all Gateways of O(namespace) are checked.
    type: str
  expect:
    description:
      - Exact list of container names that every Pod of the proxy must have.
      - The module fails with the first cause unless all are present and ready. V(sds) and V(istio-proxy) come with the
        Istio integration.
      - Without it, the expected containers follow the controller's switch C(KGW_ENABLE_ISTIO_AUTO_MTLS), and the module
        does not fail. Istio settings in the parameters while the switch is off are still reported as a failure.
    type: list
    elements: str
  istiod:
    description:
      - Value of C(istiod) returned by M(multicluster.gloo.istiod_info). The proxy's settings are compared with it.
      - Without it they are compared with the istiod that the settings point to.
    type: dict
  parameters:
    description:
      - Name of the parameters that the Gateway or its class must reference.
    type: str
  wait:
    description:
      - Wait until every proxy is ready or has failed permanently. Recent changes must remain stable for a few seconds
        before they count.
    type: bool
    default: false
  wait_timeout:
    description:
      - Maximum time to wait, in seconds.
    type: int
    default: 300
  restart:
    description:
      - V(if_needed) restarts the Deployment when the Envoy bootstrap in the Gateway's ConfigMap is newer than the
        running Pods and no rollout is in progress. Envoy reads its bootstrap only on start, and the controller does not
        restart the Pods when only the bootstrap changes (statistics, DNS resolver, log format).
      - The restart sets the annotation C(kubectl.kubernetes.io/restartedAt), as C(kubectl rollout restart) does. The
        reason is reported in RV(restarted).
      - The decision is based on timestamps, so a change that was reverted also counts.
      - With O(wait) the module also waits for the rollout.
    type: str
    choices: [never, if_needed]
    default: never
seealso:
  - module: multicluster.gloo.gateway_parameters
  - module: multicluster.gloo.istiod_info
"""

EXAMPLES = r"""
- name: Find istiod
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
  register: found

- name: Wait until the proxy has its three containers, with settings that match istiod
  multicluster.gloo.gateway_proxy_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    namespace: gloo-system
    gateway: http
    istiod: "{{ found.istiod }}"
    expect:
      - kgateway-proxy
      - sds
      - istio-proxy
    wait: true
    restart: if_needed

- name: Check all Gateways of the cluster
  multicluster.gloo.gateway_proxy_info:
    kubeconfig: ~/.kube/config
    context: cluster1
  register: gateways
"""

RETURN = r"""
msg:
  description: One sentence that summarizes the result; on failure, the first cause.
  returned: always
  type: str
  sample: "cluster1: Gateway gloo-system/http ready with kgateway-proxy, sds, istio-proxy at http://192.0.2.10:8080"
proxies:
  description: One record per Gateway, always with all keys. Unknown or absent values are null.
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
      description: V(ready), V(waiting) or V(failed). V(failed) does not resolve by waiting.
      type: str
      returned: success
    cause:
      description: The first cause, what to do, and which Pods serve clients meanwhile; empty when ready.
      type: str
      returned: success
    check:
      description:
        - The first check that failed, in this order; empty when ready.
        - V(gateway), V(class), V(controller), V(class-served), V(parameters), V(self-managed), V(switch),
          V(generation), V(settings), V(istiod-address), V(cluster-id), V(istiod), V(deployment), V(rollout),
          V(listeners), V(address).
      type: str
      returned: success
    serving:
      description: Which Pods are ready - V(current), V(former) (of an older template), V(both) or V(none).
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
      description: Generation observed by its controller.
      type: int
      returned: success
    conditions:
      description: The Gateway's conditions with C(type), C(status), C(reason), C(message), C(observed_generation).
      type: list
      elements: dict
      returned: success
    controller:
      description:
        - C(controller_name) of the class; C(namespace), C(name), C(image) of the controller's Deployment; its
          C(version), by the labels of its chart, else by the tag of its image; whether it is C(ready); its switches
          C(auto_mtls) and C(integration), null where they cannot be read.
      type: dict
      returned: success
    parameters:
      description: C(namespace/name) of the parameters it references, or null.
      type: str
      returned: success
    overlays:
      description:
        - Patches in the parameters that are applied after all other fields, such as C(deploymentOverlay), with the
          parameters that have them. Where one changes containers or their environment, the Deployment is compared with
          istiod, not with the fields that it overrides.
      type: list
      elements: str
      returned: success
    deployment:
      description:
        - C(name), C(generation), C(observed_generation) of the proxy's Deployment; replicas C(wanted), C(updated),
          C(ready), C(available); its C(rollout) (V(ready), V(waiting), V(failed)) and the C(reason).
      type: dict
      returned: success
    containers:
      description: Container names of the current Pod, of the Deployment when there is no Pod.
      type: list
      elements: str
      returned: success
    env:
      description: C(CA_ADDR), C(ISTIO_META_CLUSTER_ID) and C(ISTIO_META_MESH_ID) of its container istio-proxy.
      type: dict
      returned: success
    settings:
      description:
        - The same three, compared. C(env) and the C(option) of the parameters that sets it; C(pod), the value in the
          Pod; C(wanted), the value in the parameters, C(default) whether that is the controller's default; C(istiod),
          the value istiod expects; C(fits), whether all agree, null for a proxy without istio-proxy.
      type: list
      elements: dict
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
    service_type:
      description: Type of the proxy's Service.
      type: str
      returned: success
    service_ports:
      description: Its ports with C(name), C(port), C(node_port).
      type: list
      elements: dict
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
    problems:
      description: Problems that do not prevent the proxy from serving.
      type: list
      elements: str
      returned: success
  sample:
    - cluster: cluster1
      namespace: gloo-system
      gateway: http
      verdict: ready
      cause: ""
      check: ""
      serving: current
      gateway_class: gloo-gateway-v2
      generation: 2
      observed_generation: 2
      conditions:
        - type: Accepted
          status: "True"
          reason: Accepted
          message: Successfully accepted Gateway
          observed_generation: 2
      controller:
        controller_name: solo.io/gloo-gateway-v2
        namespace: gloo-system
        name: gloo-gateway
        image: registry.example/gloo-gateway-controller:2.0.0
        version: 2.0.0
        ready: true
        auto_mtls: true
        integration: true
      parameters: gloo-system/custom-gw-params
      overlays: []
      deployment:
        name: http
        generation: 2
        observed_generation: 2
        wanted: 1
        updated: 1
        ready: 1
        available: 1
        rollout: ready
        reason: 1 of 1 replicas
      containers: [kgateway-proxy, sds, istio-proxy]
      env:
        CA_ADDR: istiod-gloo.istio-system.svc:15012
        ISTIO_META_CLUSTER_ID: cluster1
        ISTIO_META_MESH_ID: cluster.local
      settings:
        - env: ISTIO_META_CLUSTER_ID
          option: istioMetaClusterId
          pod: cluster1
          wanted: cluster1
          default: false
          istiod: cluster1
          fits: true
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
      service_type: LoadBalancer
      service_ports:
        - name: listener-8080
          port: 8080
          node_port: 31725
      addresses: [192.0.2.10]
      url: http://192.0.2.10:8080
      problems: []
restarted:
  description: Deployments that were restarted, or would be in check mode.
  returned: always, once the cluster was read
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the Gateway and its Deployment.
      type: str
      returned: success
    gateway:
      description: Name of the Gateway.
      type: str
      returned: success
    deployment:
      description: Name of the Deployment.
      type: str
      returned: success
    reason:
      description: Why the restart is needed.
      type: str
      returned: success
requests:
  description: Number of HTTP requests sent.
  returned: success
  type: int
  sample: 14
"""

from ..module_utils.engine.module import run_module
from ..module_utils.gateway.gateway_proxy_info import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
