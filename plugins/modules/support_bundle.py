#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module support_bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
module: support_bundle
short_description: Collect a redacted support bundle
version_added: 0.1.0
description:
  - Reads objects with their status, events and logs of all components of multicluster routing from all clusters in
    parallel, and writes them into one C(tar.gz) that only its owner can read.
  - Contains Gloo, Istio, Gateway API and kgateway objects of all namespaces; workloads, Pods, Services, EndpointSlices,
    ConfigMaps, Secrets and events of the namespaces involved; chart, version and status of Helm releases; the versions
    of the CRDs; all logs of the components, and the sidecar's logs of other Pods.
  - Redacted are the values of Secrets and ConfigMaps (keys are kept), of environment variables, headers, query
    parameters and annotations unless known to be harmless, Helm values, and anything that looks like a key, token or
    credential. A value that is redacted in one place is redacted everywhere, including in logs.
  - Unreachable clusters, and everything that cannot be read or does not fit, are recorded in the archive's
    C(index.json) and in the result. The archive is written nevertheless.
  - Does not write to any cluster.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: Reads no cluster and writes no file; returns the path of the archive.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: none
    details: Each run creates a new archive.
options:
  dest:
    description:
      - Path of the archive, replaced if it exists, or a folder to create it in.
      - By default V(multicluster-gloo-bundle-<time>.tar.gz) in the working directory.
    type: path
  namespaces:
    description: Additional namespaces to read besides those found to take part in multicluster routing.
    type: list
    elements: str
    default: []
  log_lines:
    description: Number of lines to read from the end of each container's log.
    type: int
    default: 1000
  max_size:
    description:
      - Maximum size of all files in MiB, uncompressed. Logs and events are cut first.
    type: int
    default: 50
  max_file_size:
    description: Maximum size of one file in MiB. The newest lines of logs and events are kept.
    type: int
    default: 5
notes:
  - Redaction is based on patterns and locations. Review the archive before you share it.
seealso:
  - module: multicluster.gloo.health_info
"""

EXAMPLES = r"""
- name: Collect a bundle of two clusters
  multicluster.gloo.support_bundle:
    clusters:
      - name: mgmt
        kubeconfig: ~/.kube/config
        context: mgmt
        role: management
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
        gateway: true
    dest: ~/bundle.tar.gz
  register: bundle

- name: Collect one cluster with an additional namespace and short logs
  multicluster.gloo.support_bundle:
    clusters:
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
    namespaces:
      - default
    log_lines: 100
    dest: ~/small.tar.gz
"""

RETURN = r"""
msg:
  description: One sentence that summarizes the result.
  returned: always
  type: str
  sample: "/home/me/b.tar.gz: 214 files of mgmt, cluster1; unreachable: cluster2; 3 items omitted, see index.json"
archive:
  description: Path of the archive, also in check mode.
  returned: success
  type: str
  sample: /home/me/bundle.tar.gz
size:
  description: Size of the archive in bytes; 0 in check mode.
  returned: success
  type: int
  sample: 48213
files:
  description: Number of files in the archive; 0 in check mode.
  returned: success
  type: int
  sample: 216
clusters:
  description: One record for each cluster.
  returned: success
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    role:
      description: Role of the cluster.
      type: str
      returned: success
    gateway:
      description: Whether it has a gateway.
      type: bool
      returned: success
    reached:
      description: Whether its API server responded. False in check mode.
      type: bool
      returned: success
    error:
      description: Why the cluster is unreachable.
      type: str
      returned: success
    server:
      description: URL of its API server.
      type: str
      returned: success
    version:
      description: Version of its API server.
      type: str
      returned: success
    uid:
      description: UID of its C(kube-system) namespace.
      type: str
      returned: success
    namespaces:
      description: The namespaces that were read.
      type: list
      elements: str
      returned: success
    requests:
      description: Number of HTTP requests sent to its API server.
      type: int
      returned: success
not_ready:
  description: Objects that are not ready, each with C(cluster), C(object) and C(reason).
  returned: success
  type: list
  elements: dict
  sample:
    - cluster: cluster1
      object: Deployment bookinfo/reviews-v1
      reason: 0 of 1 replicas available
left_out:
  description: What is missing in the archive, each with C(what) and C(reason).
  returned: success
  type: list
  elements: dict
  sample:
    - what: cluster1/istio-system/logs/istiod-gloo-5d8f6b-abcde/discovery.log
      reason: "the first 312 of 1000 entries: larger than max_file_size"
"""

from ..module_utils.bundle.support_bundle import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
