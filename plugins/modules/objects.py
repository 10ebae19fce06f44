#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module objects."""

from __future__ import annotations

DOCUMENTATION = r"""
module: objects
short_description: Apply or remove a set of Kubernetes objects in one cluster
version_added: 0.1.0
description:
  - Applies a set of objects to a cluster with server-side apply, or removes it.
  - Live objects are listed once for each kind and namespace and compared by the fields that this collection owns. A
    PATCH is sent only for objects that differ in them.
  - Namespaces and CRDs are written first and routes last, configuration and workloads in between. Waiting begins when
    all objects are written.
  - Objects that this module creates have the label C(app.kubernetes.io/managed-by=multicluster.gloo). Objects that
    existed before are adopted field by field. O(state=absent) restores them and never deletes them.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  definitions:
    description:
      - The objects, each with C(apiVersion), C(kind) and C(metadata). A C(kind=List) is replaced by its items.
      - The API server rejects unknown fields.
    type: list
    elements: dict
    required: true
  state:
    description:
      - V(present) creates or changes objects.
      - V(absent) deletes objects that this collection created, restores adopted ones (former values are written back,
        fields that only this collection owns are removed) and keeps all others. A kind that is not served counts as
        absent.
      - A namespace that this collection created is kept while it contains objects not managed by this collection;
        RV(objects[].reason) lists them.
    type: str
    choices: [present, absent]
    default: present
  on_conflict:
    description:
      - What to do when another field manager owns a field with another value.
      - V(fail) fails and names the fields and their managers.
      - V(force) takes over the fields. The former values of an object that existed before are stored in the annotation
        C(multicluster.gloo/former), from which O(state=absent) restores them.
      - V(keep) leaves every object that existed before unchanged, even if its fields differ.
    type: str
    choices: [fail, force, keep]
    default: fail
  wait:
    description:
      - With O(state=present), wait until every object is ready, as defined for its kind.
      - With O(state=absent), wait until the deleted objects are gone, in the reverse order of writes.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 300
  delete_only_ours:
    description:
      - With V(false), O(state=absent) also deletes given objects that this collection did not create.
    type: bool
    default: true
  merge_yaml:
    description:
      - Whether values in the data of ConfigMaps are YAML mappings that are added to those that are present, map by map.
        Other values there are kept. Diffs have fingerprints instead of secrets in them.
      - It is an error if a present value is not a YAML mapping.
    type: bool
    default: false
notes:
  - In check mode an object is sent to the API server as a dry run where its kind and namespace exist already; otherwise
    RV(objects[].reason) has the missing one.
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

- name: Remove the route
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
  description: A one-line summary.
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
        - C(created), C(changed), C(unchanged), C(deleted), C(released) (adopted before, now restored), C(absent)
          (did not exist), C(kept) (not created by this collection), C(failed), or C(skipped) (not attempted after an
          error).
      type: str
      returned: always
    ready:
      description: C(ready), C(waiting) or C(failed); empty when readiness does not apply.
      type: str
      returned: always
    reason:
      description: Why it is not ready, was kept or has failed; or a remark.
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
  description: The fields that other managers own with other values, and their managers.
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
  description: Number of write requests, without dry runs.
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

from ..module_utils.apply.objects import ARGUMENT_SPEC, run
from ..module_utils.engine.module import run_module


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
