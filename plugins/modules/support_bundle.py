#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module support_bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
module: support_bundle
short_description: What tells of multicluster routing in all clusters, as one redacted archive
version_added: 0.1.0
description:
  - Reads objects with their status, events and logs of the parts of the chain from all clusters at once, and writes
    them into one C(tar.gz) that only its owner can read.
  - Holds Gloo, Istio, Gateway API and kgateway objects of all namespaces; workloads, Pods, Services, EndpointSlices,
    ConfigMaps, Secrets and events of the namespaces that belong to the chain; charts, versions and states of Helm
    releases; the versions of the CRDs. Of the parts of the chain all logs, of other Pods those of their sidecar.
  - Redacted are values of Secrets and ConfigMaps (their keys stay), of environment variables, headers, query parameters
    and annotations unless they are known to be harmless, values of Helm, and what looks like a key, a token or a
    credential anywhere. A value that was hidden in one place is hidden in every other, logs included.
  - A cluster that cannot be reached, and everything that may not be read or does not fit, is noted in the archive's
    C(index.json) and in the result; the bundle is made all the same.
  - Writes nothing to any cluster.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster.all
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell the truth without changing anything.
    support: full
    details: Reads no cluster and writes no file; says where the archive would be.
  diff_mode:
    description: Tells what was or would be changed, in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: none
    details: Each run makes an archive of what is then.
options:
  dest:
    description:
      - The archive to write, replaced when it is there, or a folder to write one into.
      - By default V(multicluster-gloo-bundle-<time>.tar.gz) in the working directory.
    type: path
  namespaces:
    description: Namespaces to read beside those that are found to belong to the chain.
    type: list
    elements: str
    default: []
  log_lines:
    description: Last lines to read of each container's log.
    type: int
    default: 1000
  max_size:
    description:
      - MiB of all files together, before they are packed. Logs and events go first when not everything fits.
    type: int
    default: 50
  max_file_size:
    description: MiB of one file. Of logs and events the newest lines stay.
    type: int
    default: 5
notes:
  - Redaction knows shapes and places, not meanings. Look through the archive before you give it away.
seealso:
  - module: multicluster.gloo.health_info
"""

EXAMPLES = r"""
- name: Everything that tells of two clusters
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

- name: One cluster with a namespace of its own, and few logs
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
  description: One sentence for a person.
  returned: always
  type: str
  sample: "/home/me/b.tar.gz: 214 files of mgmt, cluster1; not reached: cluster2; 1 things left out, see index.json"
archive:
  description: Path of the archive; in check mode where it would be.
  returned: success
  type: str
  sample: /home/me/bundle.tar.gz
size:
  description: Its bytes; 0 in check mode.
  returned: success
  type: int
  sample: 48213
files:
  description: Number of files in it; 0 in check mode.
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
      description: Its name.
      type: str
      returned: success
    role:
      description: What it is for.
      type: str
      returned: success
    gateway:
      description: Whether it has a gateway.
      type: bool
      returned: success
    reached:
      description: Whether its API server answered. In check mode nobody is asked.
      type: bool
      returned: success
    error:
      description: Why it was not reached.
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
      description: UID of its namespace C(kube-system).
      type: str
      returned: success
    namespaces:
      description: The namespaces that were read.
      type: list
      elements: str
      returned: success
    requests:
      description: Number of HTTP requests made to its API server.
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
  description: What is not in the archive, each with C(what) and C(reason).
  returned: success
  type: list
  elements: dict
  sample:
    - what: cluster1/istio-system/logs/istiod-gloo-5d8f6b-abcde/discovery.log
      reason: "the first 312 of 1000 entries: larger than max_file_size allows"
"""

from ..module_utils.bundle.support_bundle import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
