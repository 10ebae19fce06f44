#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_parameters."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_parameters
short_description: Settings of Gateway proxies (GatewayParameters), checked against the CRD's gaps and against istiod
version_added: 0.1.0
description:
  - Creates, changes and removes GatewayParameters, or the kind that the cluster's product has instead of it, by
    server-side apply. Fields that others own stay.
  - Refuses before the first write what would only show up as a proxy that never starts - an address without a port, IDs
    that YAML reads as numbers or booleans, requests above their limits, a cluster ID istiod does not accept.
  - What this module set before and is not told again is taken away; what is empty is left to others and to the
    controller's defaults.
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
    description:
      - API version of the kind. By default the version that the cluster prefers.
      - Needed, like O(kind), only where products side by side take different kinds.
    type: str
  kind:
    description:
      - C(GatewayParameters), C(GlooGatewayParameters) or C(EnterpriseKgatewayParameters). By default the one the
        cluster serves.
      - Where it serves several, the one that the controllers of its GatewayClasses take; C(GatewayParameters) of
        C(gateway.kgateway.dev), where they take it. If that leaves several, the module fails and names them.
    type: str
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
      image: &image
        description: Parts of the container's image. What is left out is the controller's default.
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
        description: Its log level - V(trace), V(debug), V(info), V(warning), V(error), V(critical) or V(off).
        type: str
      resources: &resources
        description: The container's C(requests) and C(limits), as in a Pod.
        type: dict
      security_context: &security_context
        description: The container's security context, as in a Pod.
        type: dict
  sds:
    description: Settings of the container C(sds), which hands the certificates to Envoy.
    type: dict
    suboptions:
      image: *image
      log_level:
        description: Its log level - V(debug), V(info), V(warn) or V(error).
        type: str
      resources: *resources
      security_context: *security_context
  envoy:
    description:
      - Settings of the container C(kgateway-proxy), Envoy.
      - Log levels are part of its bootstrap, and a running proxy takes a new bootstrap only after a restart.
    type: dict
    suboptions:
      image: *image
      log_level:
        description: Its log level - V(trace), V(debug), V(info), V(warning), V(error), V(critical) or V(off).
        type: str
      component_log_levels:
        description: "Log levels of components of Envoy, such as V({upstream: debug, connection: trace})."
        type: dict
      resources: *resources
      env:
        description: Further environment, as in a Pod.
        type: list
        elements: dict
      security_context: *security_context
      extra_volume_mounts:
        description: Further mounts, as in a Pod, of volumes such as those of O(pod_template.extra_volumes).
        type: list
        elements: dict
  service:
    description: The Service in front of the proxy.
    type: dict
    suboptions:
      type:
        description: Its type. The controller's default is V(LoadBalancer).
        type: str
        choices: [ClusterIP, NodePort, LoadBalancer, ExternalName]
      cluster_ip:
        description: A fixed IP address in the cluster.
        type: str
      external_traffic_policy:
        description: Whether traffic may be passed on to other nodes. Not for type V(ClusterIP).
        type: str
        choices: [Cluster, Local]
      ports:
        description: Fixed node ports of listener ports, for type V(NodePort).
        type: list
        elements: dict
        suboptions:
          port:
            description: Port of a listener.
            type: int
            required: true
          node_port:
            description: Port on every node.
            type: int
      extra_labels: &extra_labels
        description: Further labels.
        type: dict
      extra_annotations: &extra_annotations
        description: Further annotations.
        type: dict
      load_balancer_class:
        description: Which load balancer provider is to serve it, in kgateway 2.3 or newer.
        type: str
      load_balancer_source_ranges:
        description: Ranges of client addresses that may reach it, in kgateway 2.3 or newer.
        type: list
        elements: str
  pod_template:
    description: The proxy's Pods.
    type: dict
    suboptions:
      extra_labels: *extra_labels
      extra_annotations: *extra_annotations
      node_selector:
        description: Labels of the nodes to run on.
        type: dict
      tolerations:
        description: Tolerations, as in a Pod.
        type: list
        elements: dict
      affinity:
        description: Affinity, as in a Pod.
        type: dict
      topology_spread_constraints:
        description: Topology spread constraints, as in a Pod.
        type: list
        elements: dict
      image_pull_secrets:
        description: "Secrets for the registries, as in a Pod - V({name: ...})."
        type: list
        elements: dict
      security_context:
        description: The Pod's security context, as in a Pod.
        type: dict
      graceful_shutdown:
        description: What happens before Envoy ends.
        type: dict
        suboptions:
          enabled:
            description: Whether the Pod waits before it ends, so that clients can be told.
            type: bool
          sleep_time_seconds:
            description: How long.
            type: int
      termination_grace_period_seconds:
        description: Seconds that a Pod has to end.
        type: int
      startup_probe: &probe
        description: A probe of Envoy, as in a Pod.
        type: dict
      readiness_probe: *probe
      liveness_probe: *probe
      priority_class_name:
        description: PriorityClass of the Pods, in kgateway 2.2 or newer.
        type: str
      extra_volumes:
        description: Further volumes, as in a Pod.
        type: list
        elements: dict
  service_account:
    description: The proxy's ServiceAccount.
    type: dict
    suboptions:
      extra_labels: *extra_labels
      extra_annotations: *extra_annotations
  stats:
    description: The listener for metrics.
    type: dict
    suboptions:
      enabled:
        description: Whether there is one.
        type: bool
      enable_stats_route:
        description: Whether it has a route for people, too.
        type: bool
      route_prefix_rewrite:
        description: Path of Envoy's admin interface that metrics come from.
        type: str
      stats_route_prefix_rewrite:
        description: Path of Envoy's admin interface that the route for people leads to.
        type: str
  deployment:
    description: The proxy's Deployment.
    type: dict
    suboptions:
      replicas:
        description: Number of Pods.
        type: int
      strategy:
        description: Strategy of a rollout, as in a Deployment.
        type: dict
  self_managed:
    description: The controller deploys no proxy for Gateways that refer to the object; excludes all of the above.
    type: bool
    default: false
  spec:
    description:
      - Any other field of the object's C(spec), as the API has it, merged with what the options above make.
      - A field that an option sets, too, must have the same value.
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
    description:
      - What to do when another field manager owns a field with another value.
      - V(fail) fails and names every such field and its manager. V(force) takes them over; with O(state=absent) they
        are given back.
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

- name: Three proxies behind a port of every node, with more to say
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: internal-gw-params
    namespace: gloo-system
    deployment:
      replicas: 3
    service:
      type: NodePort
      ports:
        - port: 8080
          node_port: 30080
    envoy:
      log_level: info
      component_log_levels:
        upstream: debug
      resources:
        requests:
          cpu: 100m
          memory: 128Mi
    spec:
      kube:
        omitDefaultSecurityContext: false

- name: Remove them, unless a Gateway still refers to them
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: internal-gw-params
    namespace: gloo-system
    state: absent

- name: Remove those of another product, which may not be installed at all
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: internal-gw-params
    namespace: gloo-system
    api_version: enterprisekgateway.solo.io/v1alpha1
    kind: EnterpriseKgatewayParameters
    state: absent
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
      description: The address proxies will use, fields of others and the controller's default included; null where
        there will be none.
      type: str
      returned: success
    meta_cluster_id:
      description: The cluster ID they will use, likewise.
      type: str
      returned: success
    meta_mesh_id:
      description: The mesh ID they will use, likewise.
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
problems:
  description: What is wrong with the options, a sentence each.
  returned: when options are refused
  type: list
  elements: str
contradictions:
  description: Where the settings contradict O(istiod), a sentence each.
  returned: when they do and O(strict=true)
  type: list
  elements: str
conflicts:
  description: The fields that other managers own with other values, with their managers.
  returned: on failure because of a conflict
  type: dict
  sample:
    .spec.kube.deployment.replicas: [kubectl]
unknown_fields:
  description: Fields that the cluster's version of the kind does not have.
  returned: on failure because of such a field
  type: list
  elements: str
  sample: [spec.kube.service.loadBalancerClass]
references:
  description: Gateways and GatewayClasses that still refer to the object.
  returned: when O(state=absent) is refused
  type: list
  elements: str
  sample: [Gateway gloo-system/http]
candidates:
  description: The kinds among which the cluster does not decide.
  returned: on failure because O(kind) has to be chosen
  type: list
  elements: str
served:
  description: The kinds of parameters that the cluster serves.
  returned: on failure because O(api_version) or O(kind) is not served
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

from ..module_utils.engine.module import run_module
from ..module_utils.gateway.gateway_parameters import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
