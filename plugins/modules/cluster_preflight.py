#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cluster_preflight."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_preflight
short_description: Find everything in one cluster that will fail or needs attention, before the first write
version_added: 0.1.0
description:
  - Checks that the cluster is the one that is registered under its name, versions of Kubernetes, Istio and Gateway API,
    load balancers, webhooks without endpoints, quotas, Pod Security and requirements of platforms, and returns all
    findings at once.
  - A finding is C(failed) only if the failure is certain. All others are C(warning), and are shown.
  - Writes nothing. O(definitions) are sent as dry runs.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  planned:
    description: What will be installed in the cluster. Rules that need an empty value are skipped.
    type: dict
    default: {}
    suboptions:
      istio_version:
        description: Version of Istio.
        type: str
        default: ""
      istiod_env:
        description: Environment variables of istiod.
        type: dict
        default: {}
      gloo_version:
        description: Version of Gloo Mesh.
        type: str
        default: ""
      operator_version:
        description: Version of the Gloo Operator.
        type: str
        default: ""
      server_namespace:
        description: Namespace of the management server.
        type: str
        default: ""
      gateway_api_min_version:
        description: Oldest version of Gateway API that the gateway needs.
        type: str
        default: ""
      services:
        description: Titles of LoadBalancer Services, each with the variables that make a load balancer unnecessary.
        type: dict
        default: {}
      hostname_steps:
        description:
          - Steps whose routes reach this cluster through a gateway of another cluster. Steps that O(tags) and
            O(skip_tags) exclude are ignored.
        type: list
        elements: str
        default: []
      overrides:
        description: Whether the WorkspaceSettings to write have addresses of east-west gateways (C(hostInfoOverrides)).
        type: bool
        default: false
      namespaces:
        description: Namespaces in which objects are created.
        type: list
        elements: str
        default: []
      istio_namespace:
        description: Namespace of Istio.
        type: str
        default: ""
      name:
        description: Name of the cluster in Gloo Mesh.
        type: str
        default: ""
      config_namespaces:
        description: Namespaces of VirtualDestinations and RouteTables that an existing Workspace has to include.
        type: list
        elements: str
        default: []
  management_kubeconfig:
    description:
      - Path of the kubeconfig of the management cluster, which has the registration of this cluster's name and the
        addresses in existing WorkspaceSettings.
    type: path
  management_context:
    description: Name of the context of the management cluster.
    type: str
  management_name:
    description: Name of the management cluster in messages, and in O(replaced).
    type: str
  registered_name:
    description:
      - Name under which a workload cluster is registered or will be. By default O(planned.name), else O(cluster).
      - A cluster is refused if another one is registered under this name, or if the cluster itself is registered under
        another name. The mesh role records the UID of the cluster's namespace V(kube-system) in the annotation
        V(multicluster.gloo/cluster-uid) of its KubernetesCluster.
    type: str
  replaced:
    description:
      - Names of clusters that were rebuilt and may differ from those registered.
      - With O(management_name), agents that belong to another management cluster are accepted.
    type: list
    elements: str
    default: []
  role:
    description: Role of the cluster.
    type: str
    choices: [management, workload]
    default: workload
  gateway:
    description: Whether the cluster gets a gateway.
    type: bool
    default: false
  tags:
    description:
      - Tags of a run of C(site.yml). What its steps need from steps that are not selected has to exist.
      - Checked only with O(planned).
    type: list
    elements: str
    default: []
  skip_tags:
    description: Tags that the run skips.
    type: list
    elements: str
    default: []
  definitions:
    description: Objects to create in a dry run, such as CRDs that an admission policy may refuse.
    type: list
    elements: dict
    default: []
  problems:
    description: Failures that other tasks have found, to be reported with the findings.
    type: list
    elements: str
    default: []
  clusters:
    description:
      - Names of all clusters of the inventory. A problem that begins with one of them and a colon is reported for that
        cluster, any other for this one.
    type: list
    elements: str
    default: []
  helm:
    description: Whether the program C(helm) is needed.
    type: bool
    default: false
  binary_path:
    description: Path of the program C(helm), or its name in C(PATH).
    type: str
    default: helm
  fail_on:
    description: Verdict from which the module fails.
    type: str
    choices: [failed, warning]
    default: failed
seealso:
  - module: multicluster.gloo.preflight_check
"""

EXAMPLES = r"""
- name: Check a cluster before Istio is installed
  multicluster.gloo.cluster_preflight:
    kubeconfig: ~/.kube/config
    context: cluster1
    planned:
      istio_version: 1.27.0
      istio_namespace: istio-system
"""

RETURN = r"""
msg:
  description: All findings in one line.
  returned: always
  type: str
  sample: "cluster1: no problem found"
preflight:
  description: The findings.
  returned: always
  type: dict
  contains:
    verdict:
      description: The worst verdict, C(ok), C(warning) or C(failed).
      type: str
      returned: always
    findings:
      description: All findings, failures first.
      type: list
      elements: dict
      returned: always
      contains:
        cluster: {description: Name of the cluster., type: str, returned: always}
        verdict: {description: C(warning) or C(failed)., type: str, returned: always}
        message: {description: What is wrong and what to do., type: str, returned: always}
  sample:
    verdict: warning
    findings:
      - cluster: cluster1
        verdict: warning
        message: "Kubernetes v1.28.2: Istio 1.27.0 supports 1.29 and newer. Upgrade the cluster"
requests:
  description: Number of HTTP requests made.
  returned: always
  type: int
  sample: 12
"""

from ..module_utils.engine.module import run_module
from ..module_utils.site.cluster_preflight import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
