#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module istiod_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: istiod_info
short_description: Istio control planes of a cluster and what proxies have to know of them
version_added: 0.1.0
description:
  - Finds every istiod of a cluster in any namespace, by its Deployment and the Services that lead to its Pods or stand
    for an istiod elsewhere; one outside the cluster also by mesh config and injection webhooks. Revisions, tags,
    several control planes side by side, local injectors, aliases, dead and half-removed ones are understood.
  - Tells for every value where it was read and how sure that is, and in words what is wrong.
  - Chooses the one that is meant. It never picks one of several by their order.
  - Makes at most six requests, reads no Secrets, and says what it could not read. Of ConfigMaps it returns only the few
    values below.
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
      - Its labels are compared with the selectors of the injection webhooks, so C(istio.io/rev) is followed as a
        revision or a tag, and C(istio-injection=enabled) leads to the default injector, wherever that was moved.
      - A namespace that asks for no injection narrows nothing.
    type: str
  revision:
    description:
      - Choose the istiod of this revision. One without a revision is V(default).
      - Where no istiod has this revision, it is taken for a tag.
    type: str
  namespace:
    description:
      - Choose the istiod of this namespace.
      - Also the only namespace that is searched when the Services of all namespaces may not be listed.
    type: str
  strict:
    description:
      - Fail unless exactly one istiod is left. With V(false), RV(istiod) is null then and RV(msg) tells why.
    type: bool
    default: true
seealso:
  - module: multicluster.gloo.gateway_parameters
  - module: multicluster.gloo.gateway_proxy_info
"""

EXAMPLES = r"""
- name: The istiod that injects the namespace bookinfo
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    for_namespace: bookinfo
  register: istio

- name: All istiods, without failing where there are none or several
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    strict: false
  register: istio

- name: The istiod of a revision or tag in one namespace
  multicluster.gloo.istiod_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    namespace: istio-system
    revision: gloo
  register: istio
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: "cluster1: istiod istio-system/istiod-gloo (revision gloo, ready) at istiod-gloo.istio-system.svc:15012,
    cluster ID cluster1"
istiod:
  description: The chosen one, a record as in RV(istiods), or null.
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
  description: One record per control plane. A value that the cluster does not tell is null.
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
      description: C(host:port) that proxies of this cluster must use. Null when no Service leads to the istiod.
      type: str
      returned: success
    cluster_id:
      description: The cluster ID it accepts from proxies. Null where only the cluster that runs it could tell.
      type: str
      returned: success
    mesh_id:
      description: The effective mesh ID, which is the trust domain unless another was set.
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
      description: Version by the tag of its image; by the chart's labels where the image has none.
      type: str
      returned: success
    ready:
      description: Whether a Pod is ready and the Service has a ready endpoint. Null when that cannot be known here.
      type: bool
      returned: success
sources:
  description: For each value of each record where it was read and how sure that is.
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
        - V(certain) when read from what binds, V(likely) when from a second-hand place, V(guess) when inferred,
          V(unknown) when it is not to be had.
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
  description: What is wrong or could not be read, in words.
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
