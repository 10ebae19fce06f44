#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module cluster_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Identity, version and reachability of a cluster
version_added: 0.1.0
description:
  - Connects to a cluster and returns its identity and version.
  - Fails with the reason and what to do when the context is unknown, the API server does not respond, the credentials
    have expired, or the cluster is not the one expected.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  expected_uid:
    description:
      - UID that the cluster's namespace V(kube-system) must have. Protects against writing to the wrong cluster.
    type: str
  kinds:
    description:
      - Kinds to look up, each as C(<API group>/<Kind>).
      - RV(info[].served) lists the versions in which they are served.
    type: list
    elements: str
    default: []
seealso:
  - module: multicluster.gloo.objects_info
"""

EXAMPLES = r"""
- name: Check the identity of the cluster and whether the Gateway API is served
  multicluster.gloo.cluster_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    expected_uid: 2902ddb8-246e-4230-8eb2-85bf9fe89255
    kinds:
      - gateway.networking.k8s.io/Gateway
  register: cluster
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: Kubernetes v1.36.3 responds at https://127.0.0.1:6443"
info:
  description: One record of the cluster.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    uid:
      description: UID of the namespace C(kube-system).
      type: str
      returned: success
    version:
      description: Version of the API server.
      type: str
      returned: success
    server:
      description: URL of the API server.
      type: str
      returned: success
    served:
      description: The kinds of O(kinds) that are served, as C(group/version/Kind), the preferred version first.
      type: list
      elements: str
      returned: success
  sample:
    - cluster: cluster1
      uid: 2902ddb8-246e-4230-8eb2-85bf9fe89255
      version: v1.36.3
      server: https://127.0.0.1:6443
      served:
        - gateway.networking.k8s.io/v1/Gateway
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 4
"""

from ..module_utils.apply.cluster_info import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
