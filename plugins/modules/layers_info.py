#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module layers_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: layers_info
short_description: Find the layers of a site and their owners, and decide which of them the roles manage
version_added: 0.1.0
description:
  - Reads all clusters once and finds the layers of Gloo Mesh and Istio by what they are (arguments, images, labels,
    ports and kinds), not by names of releases, namespaces or objects.
  - A layer is C(absent), C(ours) (installed by this collection), C(adopted) (a Helm release that existed before, which
    keeps its version and values) or C(external) (of Argo CD, Flux, istioctl or kubectl, and used unchanged).
  - Layers of the management cluster are C(crds), C(platform) (the management server), C(workspace) and C(trust) (the
    RootTrustPolicy). Those of workload clusters are C(crds), C(agent), C(operator), C(istio) and C(eastwest).
  - Reads only. Values of Secrets and of Helm releases are not returned.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
requirements:
  - kubernetes (Python package) on the host that runs the module; with a local connection that is the controller.
options:
  clusters:
    description: The management cluster and workload clusters.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Key of the cluster in RV(layers), such as the inventory host.
        type: str
        required: true
      name:
        description: Name under which the cluster is registered in Gloo Mesh; also its name in messages.
        type: str
        required: true
      kubeconfig:
        description: Path of the kubeconfig that has the context.
        type: path
        required: true
      context:
        description: Name of the context.
        type: str
        required: true
      role:
        description: Role of the cluster.
        type: str
        choices: [management, workload]
        default: workload
      layers:
        description:
          - Mode of each layer, by name. With V(auto) a layer is managed unless it is C(external).
          - With V(use) it is never managed. V(manage) fails if it cannot be changed.
        type: dict
        default: {}
      required:
        description:
          - Whether the cluster is part of the run. The module fails if such a cluster cannot be read.
          - Any other cluster that cannot be read is left out of the result. It is a contradiction if a decision depends
            on such a cluster, or if workloads of a cluster that is not part of the run would have to be restarted.
        type: bool
        default: true
      operator_values:
        description:
          - Helm values for the charts that the Gloo Operator installs, by chart, to be added to those in the ConfigMap
            C(gloo-extensions-config). It is a contradiction if others set the same key to another value there.
        type: dict
        default: {}
  planned:
    description:
      - The Helm releases to install, by layer, as dicts with C(name), C(namespace), C(chart) and C(repo_url).
      - For C(istio), C(name) and C(namespace) of the Deployment that the Gloo Operator would create.
    type: dict
    default: {}
  workspace:
    description: The Workspace to create.
    type: dict
    default: {}
    suboptions:
      spec:
        description:
          - Spec of the Workspace. By default it includes every namespace of every cluster.
          - Beside Workspaces of others it includes O(workspace.namespaces), and those of O(workspace.more) that no
            other Workspace includes, in every cluster, or in those of O(clusters) if further clusters are registered.
        type: dict
        default: {}
      namespaces:
        description:
          - Namespaces of workload clusters that have to be in a Workspace.
          - No Workspace is created if Workspaces of others include all of them. One is created beside them if they
            include none of them. It is a contradiction if they include only some.
          - Without namespaces, Workspaces of others have to include every workload cluster.
        type: list
        elements: str
        default: []
      more:
        description: Further namespaces of a Workspace that is created beside others.
        type: list
        elements: str
        default: []
  license_secrets:
    description: Names of Secrets with licence keys, in the namespace of the management server.
    type: list
    elements: str
    default: [license-keys]
  strict:
    description: Fail if there are contradictions. With V(false) they are only returned in RV(problems).
    type: bool
    default: true
notes:
  - With a local connection the module runs in the controller process. With another connection, C(async) or C(become) it
    runs on the host. The result is the same.
seealso:
  - module: multicluster.gloo.helm_release
  - module: multicluster.gloo.istiod_info
"""

EXAMPLES = r"""
- name: Find the layers of a site and leave Istio of cluster1 unchanged
  multicluster.gloo.layers_info:
    clusters:
      - {host: mgmt, name: mgmt, kubeconfig: ~/.kube/config, context: mgmt, role: management}
      - {host: cluster1, name: cluster1, kubeconfig: ~/.kube/config, context: cluster1, layers: {istio: use}}
  register: site

- name: Show the decisions
  ansible.builtin.debug:
    var: site.decisions
"""

RETURN = r"""
msg:
  description: A one-line summary, or the contradictions.
  returned: always
  type: str
  sample: 3 clusters read
layers:
  description: A record for each layer, by host and layer.
  returned: always, once the clusters were read
  type: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: always
    layer:
      description: Name of the layer.
      type: str
      returned: always
    state:
      description: C(absent), C(ours), C(adopted) or C(external).
      type: str
      returned: always
    mode:
      description: C(auto), C(manage) or C(use).
      type: str
      returned: always
    manage:
      description: Whether the roles write the layer.
      type: bool
      returned: always
    install:
      description: Whether the roles install the layer or have installed it. V(false) for one that existed before.
      type: bool
      returned: always
    reason:
      description: The decision as a sentence.
      type: str
      returned: always
    problem:
      description: A contradiction, with what to do; empty when there is none.
      type: str
      returned: always
    owner:
      description: Owner of the layer, if it exists.
      type: str
      returned: always
    object:
      description: Kind, namespace and name of the layer's main object; empty when there is none.
      type: str
      returned: always
    namespace:
      description: Namespace of the main object. If a Helm release will install it, the planned one.
      type: str
      returned: always
    name:
      description: Name of the main object. If a Helm release will install it, the planned one.
      type: str
      returned: always
    release:
      description:
        - The Helm release with C(name), C(namespace), C(chart) and C(version).
        - The planned one, with an empty version, if no release exists that may be changed.
      type: dict
      returned: always
    facts:
      description:
        - Values that other layers need.
        - C(platform) has C(relay_service), C(relay_address) (host:port, empty when unknown), C(authority),
          C(telemetry_service), C(telemetry_address), C(registered) (names of KubernetesClusters),
          C(own_relay_certificates) and C(licence) (why, or where it is; empty when there are none).
        - C(agent) has C(cluster) (its registered name), C(relay_address), C(authority), C(registered),
          C(registration_ours).
        - C(operator) has C(debug_namespaces), those in C(DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES) in the values for
          istiod of its ConfigMap.
        - C(istio) has C(istiods) (records of M(multicluster.gloo.istiod_info)) and C(deployments); C(eastwest) has
          C(address), C(services), C(deployments) and C(revision).
        - C(workspace) has C(missing) (namespaces or clusters that no Workspace of others includes) and C(spec).
        - C(trust) has C(own_certificates) and C(governs).
      type: dict
      returned: always
  sample:
    mgmt:
      platform:
        cluster: mgmt
        layer: platform
        state: adopted
        mode: auto
        manage: true
        install: false
        reason: "Helm release gloo/mesh (chart gloo-platform 2.9.1) existed before: its version and values are kept"
        problem: ""
        owner: Helm release gloo/mesh (chart gloo-platform 2.9.1)
        object: Deployment gloo/gloo-mesh-mgmt-server
        namespace: gloo
        name: gloo-mesh-mgmt-server
        release: {name: mesh, namespace: gloo, chart: gloo-platform, version: 2.9.1}
        facts: {relay_address: "203.0.113.7:9900"}
decisions:
  description: For each host the decisions as sentences, each with its layer.
  returned: always, once the clusters were read
  type: dict
  sample: {cluster1: ["istio: no istiod exists: the Gloo Operator will install it"]}
problems:
  description: Contradictions, with cluster.
  returned: always, once the clusters were read
  type: list
  elements: str
  sample: []
unread:
  description: What could not be read, so that the decisions do not consider it.
  returned: always, once the clusters were read
  type: list
  elements: str
  sample: []
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 36
"""

from ..module_utils.engine.module import run_module
from ..module_utils.site.layers_info import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
