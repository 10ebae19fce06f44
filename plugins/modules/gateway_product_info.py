#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_product_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_product_info
short_description: Find the product line of the gateway in a cluster
version_added: 0.1.0
description:
  - Finds the gateway controller of a cluster by its image, labels and settings, its Helm release, and the release of
    its CRDs.
  - Without a controller, the product line is that of the classes of existing Gateways, or of existing CRDs, otherwise
    V(gloo-gateway).
  - Returns what differs between the product lines, such as charts, namespace, GatewayClass, the Helm values for the
    licence, and the image of sds.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  product:
    description: Name of the product line (C(gateway_product)). By default the one that the cluster has.
    type: str
    default: ''
  namespace:
    description:
      - Namespace of the Gateway, and of a new controller. By default that of the existing controller, or the usual one
        of the product line.
      - Also selects one of several controllers.
    type: str
    default: ''
  release:
    description: Helm release of the controller. By default the existing one. Also selects one of several controllers.
    type: str
    default: ''
  values:
    description: Helm values that will be set, for the controller's name, images and licence. Secrets are not shown.
    type: dict
    default: {}
  chart_ref:
    description: Chart of the controller that will be installed. By default that of the product line.
    type: str
    default: ''
  chart_version:
    description:
      - Version of the chart that will be installed. By default that of the product line.
      - With O(chart_ref) and no version, RV(product.gateway_name_limit) is that of Kubernetes.
    type: str
    default: ''
  license_secret:
    description: Name of an existing Secret with the licence, in the namespace of the controller.
    type: str
    default: ''
  parameters_name:
    description:
      - Name of the parameters of the Gateway, in its namespace.
      - If others set an image of sds in them, or in the parameters of the GatewayClass, RV(product.sds_image) is empty.
    type: str
    default: ''
  gateways:
    description:
      - Names of Gateways that get parameters with an image of sds. Other Gateways of the controller may cause a
        warning.
    type: list
    elements: str
    default: []
  gateway_namespaces:
    description: Namespaces of O(gateways), in the same order. RV(product.namespace) for an empty or missing one.
    type: list
    elements: str
    default: []
  layer:
    description:
      - Mode of the controller, one of V(auto), V(use) and V(manage).
      - With V(auto) a controller without a Helm release, or one that Argo CD or Flux manages, is used unchanged. With
        V(use) every controller is, with V(manage) none.
    type: str
    default: auto
  gateway_api_layer:
    description:
      - Mode of the CRDs of Gateway API, one of V(auto), V(use) and V(manage).
      - With V(auto) missing CRDs are installed and existing ones are not changed. With V(use) they are never written.
      - With V(manage) existing ones are replaced, unless another program manages them.
    type: str
    default: auto
  strict:
    description:
      - With V(false), the result for a cluster that cannot be read is the record of O(product) without a controller
        instead of an error.
    type: bool
    default: true
seealso:
  - module: multicluster.gloo.gateway_class_info
"""

EXAMPLES = r"""
- name: Find the product line of the gateway
  multicluster.gloo.gateway_product_info:
    kubeconfig: ~/.kube/config
    context: cluster1
  register: line

- name: Show the controller
  ansible.builtin.debug:
    msg: "{{ line.product.name }}: {{ line.product.release_namespace }}/{{ line.product.deployment }}"
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: product line kgateway, controller is Deployment kgateway-system/kgateway"
product:
  description: The product line.
  returned: success
  type: dict
  contains:
    cluster:
      description: The cluster.
      type: str
      returned: always
    name:
      description: Name of the product line.
      type: str
      returned: always
    installed:
      description: Whether its controller is deployed.
      type: bool
      returned: always
    namespace:
      description: Namespace of the Gateway.
      type: str
      returned: always
    release:
      description: Helm release of the controller.
      type: str
      returned: always
    release_namespace:
      description: Namespace of the controller.
      type: str
      returned: always
    crds_release:
      description: Helm release of the CRDs.
      type: str
      returned: always
    crds_namespace:
      description: Namespace of that release.
      type: str
      returned: always
    chart:
      description: Default chart of the controller, with ref and version.
      type: dict
      returned: always
    crds_chart:
      description: Default chart of the CRDs, with ref and version.
      type: dict
      returned: always
    crd_switches:
      description: Switches in the values of the CRD chart, with the CRDs of each.
      type: dict
      returned: always
    deployment:
      description: The controller's Deployment.
      type: str
      returned: always
    controller_name:
      description: C(spec.controllerName) of its GatewayClass.
      type: str
      returned: always
    gateway_class:
      description: Name of the GatewayClass that the controller creates.
      type: str
      returned: always
    gateway_name_limit:
      description: The longest name of a Gateway that its controller can deploy, if its version is known.
      type: int
      returned: always
    parameters:
      description: The preferred kind of parameters, with api_version and kind.
      type: dict
      returned: always
    license_key:
      description: Keys that lead to the licence key in the Helm values. Empty if no licence is required.
      type: list
      elements: str
      returned: always
    license_secret:
      description: Keys that lead to the name of a Secret with the licence. Empty if the chart has no such value.
      type: list
      elements: str
      returned: always
    license_secret_values:
      description: Further values that are set with the name of a Secret.
      type: dict
      returned: always
    licensed:
      description: Whether the controller has a licence, in its values or in a Secret, or requires none.
      type: bool
      returned: always
    sds_image:
      description: The image of sds to set in parameters. Empty if the controller's registry has one, or others set one.
      type: dict
      returned: always
    used_unchanged:
      description: Whether the controller is used unchanged.
      type: bool
      returned: always
    crds_used_unchanged:
      description: Whether its CRDs are used unchanged.
      type: bool
      returned: always
    owner:
      description: The owner of a controller without a Helm release.
      type: str
      returned: always
    gateway_api:
      description:
        - The CRDs of Gateway API.
        - C(state) is C(absent), C(ours) (installed by this collection) or C(external); C(mode) is the one of
          O(gateway_api_layer).
        - C(install) is whether the role writes them, C(version) their version (empty when unknown), C(owner) their
          owner, and C(problem) a contradiction with what to do (empty when there is none).
      type: dict
      returned: always
    integrated:
      description: Whether both settings of the Istio integration are enabled in the controller.
      type: bool
      returned: always
  sample:
    cluster: cluster1
    name: kgateway
    installed: true
    namespace: kgateway-system
    release: kgateway
    release_namespace: kgateway-system
    crds_release: kgateway-crds
    crds_namespace: kgateway-system
    chart: {ref: "oci://cr.kgateway.dev/kgateway-dev/charts/kgateway", version: v2.3.0}
    crds_chart: {ref: "oci://cr.kgateway.dev/kgateway-dev/charts/kgateway-crds", version: v2.3.0}
    crd_switches: {}
    deployment: kgateway
    controller_name: kgateway.dev/kgateway
    gateway_class: kgateway
    gateway_name_limit: 253
    parameters: {api_version: gateway.kgateway.dev/v1alpha1, kind: GatewayParameters}
    license_key: []
    license_secret: []
    license_secret_values: {}
    licensed: true
    sds_image: {}
    used_unchanged: false
    crds_used_unchanged: false
    owner: ''
    gateway_api:
      state: external
      mode: auto
      install: false
      version: 1.4.0
      owner: field manager kubectl
      problem: ''
    integrated: true
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 6
"""

from ..module_utils.engine.module import run_module
from ..module_utils.gateway.gateway_product_info import ARGUMENT_SPEC, run, secrets


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC, secrets)


if __name__ == "__main__":
    main()
