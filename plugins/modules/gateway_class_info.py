#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module gateway_class_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_class_info
short_description: Find the GatewayClass of a gateway controller
version_added: 0.1.0
description:
  - Finds the GatewayClass by its C(spec.controllerName), and waits until the controller has created it.
  - If a controller has several classes, for example for waypoints, the one named like the controller is chosen. If none
    has that name, the module fails and lists them.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.info
options:
  controller_names:
    description: Controller names in order of preference. The first one that has a class decides.
    type: list
    elements: str
    required: true
  strict:
    description: Wait for a class and fail when there is none. With V(false), RV(gateway_class) is null instead.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 60
seealso:
  - module: multicluster.gloo.gateway_parameters
"""

EXAMPLES = r"""
- name: Find the class of Gloo Gateway or kgateway
  multicluster.gloo.gateway_class_info:
    kubeconfig: ~/.kube/config
    context: cluster1
    controller_names:
      - solo.io/gloo-gateway-v2
      - kgateway.dev/kgateway
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: GatewayClass gloo-gateway-v2 of controller solo.io/gloo-gateway-v2"
gateway_class:
  description: The class, or null when there is none.
  returned: success
  type: dict
  contains:
    cluster:
      description: Name of the cluster.
      type: str
      returned: success
    name:
      description: Name of the GatewayClass.
      type: str
      returned: success
    controller_name:
      description: Its controller, one of O(controller_names).
      type: str
      returned: success
  sample:
    cluster: cluster1
    name: gloo-gateway-v2
    controller_name: solo.io/gloo-gateway-v2
candidates:
  description: The matching classes.
  returned: on failure because there are several
  type: list
  elements: str
  sample: [one, two]
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 1
"""

from ..module_utils.engine.module import run_module
from ..module_utils.gateway.gateway_class_info import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
