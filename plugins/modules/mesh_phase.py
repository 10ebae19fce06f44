#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module mesh_phase."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_phase
short_description: Bring one cluster of a site through a phase of the installation of Gloo Mesh
version_added: 0.1.0
description:
  - Does in one cluster what the role P(multicluster.gloo.mesh#role) does in a phase. Its variables are the
    O(settings), and the decisions of M(multicluster.gloo.layers_info) the O(layers). Use the role, unless you need a
    single phase.
  - "In a phase a cluster does everything for which it has to wait for no other cluster: objects, Helm releases, and
    waits. Layers that are not managed are never written."
  - A run without changes writes nothing and starts no process.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  phase:
    description:
      - V(plan) refuses decisions that cannot be carried out, such as a management server without a licence.
      - V(check) checks the Helm releases, and writes nothing. All problems are reported at once.
      - V(install) creates namespaces, installs Gloo's CRDs, and in the management cluster the management server.
      - V(register) registers a workload cluster, copies the relay certificate and token, and installs the agent. In the
        management cluster it creates the Workspace with its settings.
      - V(istio) installs the Gloo Operator and Istio in a workload cluster.
      - V(trust) creates the RootTrustPolicy in the management cluster.
      - V(eastwest) waits for the shared root CA in a workload cluster, restarts what is older, and installs the
        east-west gateway.
      - A phase that has nothing to do in a cluster of this kind does nothing.
    type: str
    choices: [plan, check, install, register, istio, trust, eastwest]
    required: true
  host:
    description: The cluster's host in O(layers).
    type: str
    required: true
  layers:
    description: What M(multicluster.gloo.layers_info) returns as RV(multicluster.gloo.layers_info#module:layers).
    type: dict
    required: true
  platform:
    description: The record of the management server in O(layers), read again after it was installed.
    type: dict
    default: {}
  settings:
    description: Variables of the role P(multicluster.gloo.mesh#role) without their prefix C(mesh_).
    type: dict
    required: true
  management:
    description: The management cluster.
    type: dict
    required: true
    suboptions:
      host:
        description: Its host in O(layers).
        type: str
        required: true
      kubeconfig:
        description: Path of the kubeconfig.
        type: path
        required: true
      context:
        description: Context in the kubeconfig.
        type: str
        required: true
      cluster:
        description: Name of the cluster in messages. The context by default.
        type: str
      runs:
        description: Whether its host is part of this run. Without it nothing can be installed there.
        type: bool
        default: true
  binary_path:
    description: Path or name of the helm program. It is started only for changes.
    type: str
    default: helm
seealso:
  - module: multicluster.gloo.layers_info
  - module: multicluster.gloo.helm_release
  - module: multicluster.gloo.objects
"""

EXAMPLES = r"""
- name: Find the layers of the site
  multicluster.gloo.layers_info:
    clusters:
      - host: mgmt
        name: mgmt
        kubeconfig: ~/.kube/config
        context: mgmt
        role: management
        layers: {crds: use, platform: use, workspace: use, trust: use}
  register: site

- name: Check the Helm releases of a management cluster that others manage
  multicluster.gloo.mesh_phase:
    kubeconfig: ~/.kube/config
    context: mgmt
    phase: check
    host: mgmt
    layers: "{{ site.layers }}"
    settings: {relay_address: "", telemetry_address: "", wait_timeout: 60}
    management:
      host: mgmt
      kubeconfig: ~/.kube/config
      context: mgmt
"""

RETURN = r"""
msg:
  description: What was changed, one line for each step.
  returned: always
  type: str
  sample: "cluster1: Helm release gloo-mesh/gloo-platform: install version 2.11.0"
steps:
  description: One record for each step that was done, in order.
  returned: always, except when the plan is refused
  type: list
  elements: dict
  contains:
    changed:
      description: Whether it changed something.
      type: bool
      sample: false
    msg:
      description: What the step found or did.
      type: str
      sample: "cluster1: 1 unchanged"
facts:
  description:
    - What later steps need. Of a management cluster C(namespace), C(relay_address) and C(telemetry_address); of a
      workload cluster C(istiod) and C(eastwest_address).
  returned: success
  type: dict
  sample: {namespace: gloo-mesh, relay_address: "192.0.2.1:9900", telemetry_address: "192.0.2.3:4317"}
requests:
  description: Number of HTTP requests made to the clusters.
  returned: success
  type: int
  sample: 9
writes:
  description: Number of write requests.
  returned: success
  type: int
  sample: 0
"""

from ..module_utils.engine.module import run_module
from ..module_utils.site.mesh_phase import ARGUMENT_SPEC, run, secrets


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC, secrets)


if __name__ == "__main__":
    main()
