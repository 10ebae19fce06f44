#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module istiod_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: istiod_info
short_description: Discover the Istio control planes of a cluster and the settings that proxies need
version_added: 0.1.0
description:
  - Finds every istiod of a cluster in any namespace, by its Deployment and by the Services that select its Pods or
    represent a remote istiod; a remote istiod also by mesh config and injection webhooks. Handles revisions, tags,
    several control planes side by side, local injectors, aliases, broken and partly removed control planes.
  - Returns the source of every value, how certain it is, and the problems that were found.
  - Chooses the istiod that matches the given criteria, and fails if several match.
  - Makes at most six requests, reads no Secrets, and reports what it could not read. Of ConfigMaps it returns only the
    few values below.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  for_namespace:
    description:
      - Choose the istiod that injects this namespace.
      - Its labels are compared with the selectors of the injection webhooks, so C(istio.io/rev) is resolved as a
        revision or a tag, and C(istio-injection=enabled) to the current default injector.
      - A namespace without injection labels does not narrow the choice.
    type: str
  revision:
    description:
      - Choose the istiod of this revision; without a revision label it is V(default).
      - Where no istiod has this revision, it is resolved as a tag.
    type: str
  namespace:
    description:
      - Choose the istiod of this namespace.
      - Also the only namespace that is searched when listing the Services of all namespaces is forbidden.
    type: str
  strict:
    description:
      - Fail unless exactly one istiod matches. With V(false), RV(istiod) is then null and RV(msg) has the reason.
    type: bool
    default: true
seealso:
  - module: multicluster.gloo.gateway_parameters
  - module: multicluster.gloo.gateway_proxy_info
"""

EXAMPLES = r"""
- name: Find the istiod that injects the namespace bookinfo
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    for_namespace: bookinfo
  register: istio

- name: List all istiods without failing when there are none or several
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    strict: false
  register: istio

- name: Find the istiod of a revision or tag in one namespace
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    namespace: istio-system
    revision: gloo
  register: istio
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: istiod istio-system/istiod-gloo (revision gloo, ready) at istiod-gloo.istio-system.svc:15012,
    cluster ID cluster1"
istiod:
  description: The chosen istiod, a record as in RV(istiods), or null.
  returned: success
  type: dict
  sample:
    cluster: cluster1
    namespace: istio-system
    name: istiod-gloo
    revision: gloo
    tags: []
    address: istiod-gloo.istio-system.svc:15012
    cluster_id: cluster1
    mesh_id: cluster.local
    network: null
    trust_domain: cluster.local
    version: 1.27.0-solo
    ready: true
istiods:
  description: One record per control plane. A value that cannot be determined is null.
  returned: always, once the cluster was read
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    namespace:
      description: Namespace of the istiod.
      type: str
      returned: success
    name:
      description: Name of its Service, or of its Deployment when no Service has port 15012. Null for one outside the
        cluster.
      type: str
      returned: success
    revision:
      description: Its revision; V(default) when it has none.
      type: str
      returned: success
    tags:
      description: Tags that point to this revision, by label C(istio.io/tag) of webhooks and Services.
      type: list
      elements: str
      returned: success
    address:
      description: C(host:port) that proxies of this cluster must use. Null when the istiod has no Service.
      type: str
      returned: success
    cluster_id:
      description: The cluster ID it accepts from proxies. Null when known only in the cluster of the istiod.
      type: str
      returned: success
    mesh_id:
      description: The effective mesh ID; the trust domain unless set otherwise.
      type: str
      returned: success
    network:
      description: The network of this cluster, null when none is set.
      type: str
      returned: success
    trust_domain:
      description: The trust domain.
      type: str
      returned: success
    version:
      description: Version from the tag of its image, else from the chart's labels.
      type: str
      returned: success
    ready:
      description: Whether a Pod is ready and the Service has a ready endpoint. Null when unknown in this cluster.
      type: bool
      returned: success
sources:
  description: Source and certainty of each value of each record.
  returned: always, once the cluster was read
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the istiod.
      type: str
      returned: success
    name:
      description: Name as in RV(istiods).
      type: str
      returned: success
    revision:
      description: Its revision.
      type: str
      returned: success
    key:
      description: The key of the record, one of those of RV(istiods).
      type: str
      returned: success
    source:
      description: Where the value was read.
      type: str
      returned: success
    certainty:
      description:
        - V(certain) when read where it takes effect, V(likely) when read from a secondary source, V(guess) when
          inferred, V(unknown) when it cannot be determined.
      type: str
      returned: success
  sample:
    - namespace: istio-system
      name: istiod-gloo
      revision: gloo
      key: cluster_id
      source: Deployment istio-system/istiod-gloo, env CLUSTER_ID
      certainty: certain
problems:
  description: Problems that were found, and what could not be read.
  returned: always, once the cluster was read
  type: list
  elements: str
  sample:
    - Deployment istio-system/istiod-gloo has no ready Pod
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 6
"""

from ..module_utils.engine.module import run_module
from ..module_utils.istiod.istiod_info import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
