#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_parameters."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_parameters
short_description: Manage GatewayParameters, validated beyond the CRD schema and against istiod
version_added: 0.1.0
description:
  - Creates, updates and deletes GatewayParameters, or the equivalent kind of the cluster's product, by server-side
    apply. Fields owned by other managers are kept.
  - Rejects, before the first write, values that pass the CRD schema but result in a proxy that never starts - an
    address without a port, IDs that YAML reads as numbers or booleans, requests above their limits, a cluster ID that
    istiod does not accept.
  - Fields set by an earlier run and no longer given are removed. Empty options are left to other managers and to the
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
    description: Namespace of the object. Must be the namespace of the Gateway.
    type: str
    required: true
  state:
    description:
      - With V(absent), an object created by this collection is deleted, and the fields of one that existed before are
        restored.
      - Rejected while a Gateway or GatewayClass references an object that would be deleted.
    type: str
    choices: [present, absent]
    default: present
  api_version:
    description:
      - API version of the kind. By default the version that the cluster prefers.
      - Needed, like O(kind), only where several products with different kinds are installed.
    type: str
  kind:
    description:
      - C(GatewayParameters), C(GlooGatewayParameters) or C(EnterpriseKgatewayParameters). By default the one the
        cluster serves.
      - Where it serves several, the one accepted by the controllers of its GatewayClasses; C(GatewayParameters) of
        C(gateway.kgateway.dev) where they accept it. If several remain, the module fails and lists them.
    type: str
  istio:
    description: Settings of the container C(istio-proxy). Empty values are left to the controller's defaults.
    type: dict
    suboptions:
      discovery_address:
        description: C(host:port) of istiod, such as V(istiod-gloo.istio-system.svc:15012).
        type: str
      meta_cluster_id:
        description: The cluster ID that istiod accepts. The controller's default V(Kubernetes) is wrong for a mesh of
          several clusters.
        type: str
      meta_mesh_id:
        description: The mesh ID.
        type: str
      image: &image
        description: Parts of the container's image. Omitted parts use the controller's default.
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
    description: Settings of the container C(sds), which serves the certificates to Envoy.
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
      - Log levels are part of the bootstrap, which a running proxy reads only after a restart.
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
        description: Additional environment variables, as in a Pod.
        type: list
        elements: dict
      security_context: *security_context
      extra_volume_mounts:
        description: Additional volume mounts, as in a Pod, for example of O(pod_template.extra_volumes).
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
        description: Whether traffic may be forwarded to other nodes. Not for type V(ClusterIP).
        type: str
        choices: [Cluster, Local]
      ports:
        description:
          - Fixed node ports of listener ports, for type V(NodePort). kgateway 2.3 and newer uses them with type
            V(LoadBalancer) too.
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
        description: Additional labels.
        type: dict
      extra_annotations: &extra_annotations
        description: Additional annotations.
        type: dict
      load_balancer_class:
        description: Load balancer class of the Service; requires kgateway 2.3 or later.
        type: str
      load_balancer_source_ranges:
        description: Allowed client address ranges; requires kgateway 2.3 or later.
        type: list
        elements: str
  pod_template:
    description: The proxy's Pods.
    type: dict
    suboptions:
      extra_labels: *extra_labels
      extra_annotations: *extra_annotations
      node_selector:
        description: Node labels required for scheduling.
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
        description: "Image pull secrets, as in a Pod - V({name: ...})."
        type: list
        elements: dict
      security_context:
        description: The Pod's security context, as in a Pod.
        type: dict
      graceful_shutdown:
        description: Behaviour before Envoy shuts down.
        type: dict
        suboptions:
          enabled:
            description: Whether the Pod delays its shutdown so that clients can drain.
            type: bool
          sleep_time_seconds:
            description: Duration of the delay, in seconds.
            type: int
      termination_grace_period_seconds:
        description: Termination grace period of the Pods, in seconds.
        type: int
      startup_probe: &probe
        description: A probe of Envoy, as in a Pod.
        type: dict
      readiness_probe: *probe
      liveness_probe: *probe
      priority_class_name:
        description: PriorityClass of the Pods; requires kgateway 2.2 or later.
        type: str
      extra_volumes:
        description: Additional volumes, as in a Pod.
        type: list
        elements: dict
  service_account:
    description: The proxy's ServiceAccount.
    type: dict
    suboptions:
      extra_labels: *extra_labels
      extra_annotations: *extra_annotations
  stats:
    description: The metrics listener.
    type: dict
    suboptions:
      enabled:
        description: Whether the listener is enabled.
        type: bool
      enable_stats_route:
        description: Whether it also serves a human-readable stats route.
        type: bool
      route_prefix_rewrite:
        description: Path of Envoy's admin interface that the metrics route is rewritten to.
        type: str
      stats_route_prefix_rewrite:
        description: Path of Envoy's admin interface that the stats route is rewritten to.
        type: str
  deployment:
    description: The proxy's Deployment.
    type: dict
    suboptions:
      replicas:
        description:
          - Number of Pods. Omit it if an autoscaler sets the number. kgateway before 2.3 ignores V(0).
        type: int
      strategy:
        description: Rollout strategy, as in a Deployment.
        type: dict
  self_managed:
    description:
      - The controller deploys no proxy for Gateways that reference the object. Excludes all of the options above.
    type: bool
    default: false
  spec:
    description:
      - Any other fields of the object's C(spec), merged with the result of the options above. For example, overlays
        (C(kube.deploymentOverlay) and others, kgateway 2.3 and newer), which override all other fields.
      - A field that is also set by an option must have the same value.
    type: dict
    default: {}
  istiod:
    description:
      - Value of C(istiod) returned by M(multicluster.gloo.istiod_info). Settings that contradict it are an error that
        shows both.
    type: dict
  strict:
    description: With V(false), a contradiction to O(istiod) is only a warning.
    type: bool
    default: true
  on_conflict:
    description:
      - What to do when another field manager owns a field with a different value.
      - V(fail) fails and lists every such field with its manager. V(force) takes ownership; with O(state=absent)
        ownership is returned.
    type: str
    choices: [fail, force]
    default: fail
  ignore_references:
    description:
      - With O(state=absent), delete the object even if Gateways reference it. They become C(InvalidParameters).
    type: bool
    default: false
  wait_timeout:
    description: Maximum time to wait for a deletion, in seconds.
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

- name: Configure the proxies for this istiod
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: custom-gw-params
    namespace: gloo-system
    istio:
      discovery_address: "{{ istio.istiod.address }}"
      meta_cluster_id: "{{ istio.istiod.cluster_id }}"
      meta_mesh_id: "{{ istio.istiod.mesh_id }}"
    # The image registry of Gloo Gateway 2.0 has no sds.
    sds:
      image:
        registry: cr.kgateway.dev/kgateway-dev
        repository: sds
        tag: v2.1.3
    istiod: "{{ istio.istiod }}"

- name: Three proxies behind a NodePort, with debug logging of upstreams
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

- name: Delete them unless a Gateway still references them
  multicluster.gloo.gateway_parameters:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: internal-gw-params
    namespace: gloo-system
    state: absent

- name: Delete those of another product, which may not be installed
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
  description: One sentence that summarizes the result.
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
      description: The reason for the action, where there is one to give.
      type: str
      returned: success
    discovery_address:
      description: The address proxies will use, including fields of other managers and the controller's default; null
        where there is none.
      type: str
      returned: success
    meta_cluster_id:
      description: The cluster ID proxies will use, determined like C(discovery_address).
      type: str
      returned: success
    meta_mesh_id:
      description: The mesh ID proxies will use, determined like C(discovery_address).
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
  description: Contradictions with O(strict=false), and mismatches that only affect telemetry.
  returned: when there are any
  type: list
  elements: str
problems:
  description: Problems with the options, one sentence each.
  returned: when options are rejected
  type: list
  elements: str
contradictions:
  description: Settings that contradict O(istiod), one sentence each.
  returned: when they do and O(strict=true)
  type: list
  elements: str
conflicts:
  description: Fields that other managers own with different values, with their managers.
  returned: on failure because of a conflict
  type: dict
  sample:
    .spec.kube.deployment.replicas: [kubectl]
unknown_fields:
  description: Fields missing in the cluster's version of the kind.
  returned: on failure because of such a field
  type: list
  elements: str
  sample: [spec.kube.service.loadBalancerClass]
references:
  description: Gateways and GatewayClasses that still reference the object.
  returned: when O(state=absent) is rejected
  type: list
  elements: str
  sample: [Gateway gloo-system/http]
candidates:
  description: The kinds that are equally possible in this cluster.
  returned: on failure because O(kind) has to be chosen
  type: list
  elements: str
served:
  description: The kinds of parameters that the cluster serves.
  returned: on failure because O(api_version) or O(kind) is not served
  type: list
  elements: str
requests:
  description: Number of HTTP requests sent.
  returned: success
  type: int
  sample: 3
writes:
  description: Number of write requests among them.
  returned: success
  type: int
  sample: 1
dry_runs:
  description:
    - Number of write requests that the API server only evaluates. They are sent in check mode, and for objects with
      values that may be defaults of the API server.
  returned: success
  type: int
  sample: 0
"""

from ..module_utils.engine.module import run_module
from ..module_utils.gateway.gateway_parameters import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
