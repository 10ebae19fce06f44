#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module objects."""

from __future__ import annotations

DOCUMENTATION = r"""
module: objects
short_description: A whole set of Kubernetes objects in one cluster
version_added: 0.1.0
description:
  - Brings a set of objects into a cluster with server-side apply, or takes it away.
  - What is there is listed once for each kind in a namespace, and compared by the fields this collection owns. A PATCH
    is sent only for objects that differ in them.
  - Namespaces and CRDs are written first and routes last, with configuration and workloads between. Waiting begins when
    all are written.
  - What this module creates carries the label C(app.kubernetes.io/managed-by=multicluster.gloo). What existed before is
    adopted field by field and given back with O(state=absent); it is never deleted.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  definitions:
    description:
      - The objects, each with C(apiVersion), C(kind) and C(metadata). A C(kind=List) stands for its items.
      - Unknown fields are refused by the API server.
    type: list
    elements: dict
    required: true
  state:
    description:
      - V(present) creates or changes.
      - V(absent) deletes what this collection made, gives adopted objects back (former values restored, own fields
        dropped) and keeps all others. A kind that is not served counts as absent.
      - A namespace that this collection made is kept while something of others is in it; the reason of its record names
        what.
    type: str
    choices: [present, absent]
    default: present
  on_conflict:
    description:
      - What to do when another field manager owns a field with another value.
      - V(fail) fails and names the fields and their managers.
      - V(force) takes the fields over. On an object that existed before, the former values are kept in the annotation
        C(multicluster.gloo/former) so that O(state=absent) can give them back.
    type: str
    choices: [fail, force]
    default: fail
  wait:
    description:
      - With O(state=present), wait until every object is ready, by what readiness means for its kind.
      - With O(state=absent), wait until the deleted objects are gone, in the order in which they need each other.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 300
  delete_only_ours:
    description:
      - With V(false), O(state=absent) deletes the given objects whoever made them.
    type: bool
    default: true
notes:
  - In check mode an object is sent to the API server as a dry run where its kind and namespace exist already; otherwise
    RV(objects[].reason) says what is not there yet.
seealso:
  - module: multicluster.gloo.objects_info
"""

EXAMPLES = r"""
- name: Apply a namespace and a route
  multicluster.gloo.objects:
    kubeconfig: ~/.kube/config
    context: cluster1
    definitions:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: bookinfo
          labels:
            istio.io/rev: gloo
      - apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata:
          name: details
          namespace: bookinfo
        spec:
          parentRefs:
            - name: http
              namespace: gloo-system
          rules:
            - backendRefs:
                - name: details
                  port: 9080

- name: Take the route away again
  multicluster.gloo.objects:
    kubeconfig: ~/.kube/config
    context: cluster1
    state: absent
    definitions:
      - apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata:
          name: details
          namespace: bookinfo
"""

RETURN = r"""
msg:
  description: One sentence for a person.
  returned: always
  type: str
  sample: "cluster1: 2 created, 5 unchanged"
objects:
  description: One record per object, in the order given; also when the module fails after it has begun to write.
  returned: always, except when the input is refused before the first request
  type: list
  elements: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: always
    api_version:
      description: apiVersion of the object.
      type: str
      returned: always
    kind:
      description: Kind of the object.
      type: str
      returned: always
    namespace:
      description: Namespace, empty for cluster-scoped objects.
      type: str
      returned: always
    name:
      description: Name of the object.
      type: str
      returned: always
    action:
      description:
        - What was done, or in check mode would be done.
        - C(created), C(changed), C(unchanged), C(deleted), C(released) (adopted before, given back), C(absent) (was not
          there), C(kept) (belongs to others), C(failed), or C(skipped) (not tried after an error).
      type: str
      returned: always
    ready:
      description: C(ready), C(waiting) or C(failed); empty when there is nothing to be ready.
      type: str
      returned: always
    reason:
      description: Why it is not ready, was kept, or failed; or a remark.
      type: str
      returned: always
  sample:
    - cluster: cluster1
      api_version: v1
      kind: Namespace
      namespace: ""
      name: bookinfo
      action: created
      ready: ready
      reason: ""
conflicts:
  description: The fields other managers own with other values, with their managers.
  returned: on failure because of a conflict
  type: dict
  sample:
    .spec.replicas: [kubectl]
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 7
writes:
  description: Number of HTTP requests that were to change something; dry runs do not count.
  returned: success
  type: int
  sample: 2
"""

from ..module_utils.apply.objects import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
