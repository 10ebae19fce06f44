#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module relay_secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: relay_secrets
short_description: Copy the relay root certificate and token from the management cluster
version_added: 0.1.0
description:
  - Copies the root certificate (key C(ca.crt) of Secret C(relay-root-tls-secret)) and the identity token (key C(token)
    of Secret C(relay-identity-token-secret)) from the management cluster to this cluster. An agent needs both to
    connect. No other key is copied.
  - Waits until the management server has created them.
  - The values never appear in variables, results, diffs or files.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  management_kubeconfig:
    description: Path of the kubeconfig that has the O(management_context).
    type: path
    required: true
  management_context:
    description: Context of the management cluster.
    type: str
    required: true
  management_cluster:
    description: Name of the management cluster in messages. The O(management_context) by default.
    type: str
  namespace:
    description: Namespace of the Secrets in this cluster. It must exist.
    type: str
    default: gloo-mesh
  management_namespace:
    description: Namespace of the Secrets in the management cluster. The O(namespace) by default.
    type: str
  state:
    description: With V(absent) the copies in this cluster are deleted; the management cluster is not contacted.
    type: str
    choices: [present, absent]
    default: present
  on_conflict:
    description: What to do when another field manager owns a Secret of that name with other values.
    type: str
    choices: [fail, force]
    default: fail
  wait_timeout:
    description: Seconds to wait for the Secrets in the management cluster.
    type: int
    default: 180
seealso:
  - module: multicluster.gloo.objects
"""

EXAMPLES = r"""
- name: Copy the relay certificate and token for the agent of cluster1
  multicluster.gloo.relay_secrets:
    kubeconfig: ~/.kube/config
    context: cluster1
    management_kubeconfig: ~/.kube/config
    management_context: mgmt
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: 2 created"
objects:
  description: One record per Secret, as returned by M(multicluster.gloo.objects).
  returned: always, except when the values cannot be read
  type: list
  elements: dict
  sample:
    - cluster: cluster1
      api_version: v1
      kind: Secret
      namespace: gloo-mesh
      name: relay-root-tls-secret
      action: created
      ready: ready
      reason: ""
requests:
  description: Number of HTTP requests made to both clusters.
  returned: success
  type: int
  sample: 6
writes:
  description: Number of write requests to this cluster.
  returned: success
  type: int
  sample: 2
dry_runs:
  description:
    - Number of write requests that the API server only evaluates. They are sent in check mode, and for objects with
      values that may be defaults of the API server.
  returned: success
  type: int
  sample: 0
"""

from ..module_utils.engine.module import run_module
from ..module_utils.mesh.relay_secrets import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
