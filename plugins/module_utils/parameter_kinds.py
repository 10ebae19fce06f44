# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds that hold a proxy's settings, one per product, and which controller takes which of them."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import group_of


@dataclass(frozen=True)
class ParameterKind:
    """A kind a Gateway's parametersRef may name. ``api_version`` is the published one; a cluster may serve another."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        return group_of(self.api_version)

    @property
    def title(self) -> str:
        return f"{self.kind} of {self.group}"


GATEWAY_PARAMETERS = ParameterKind("gateway.kgateway.dev/v1alpha1", "GatewayParameters")
GLOO_GATEWAY_PARAMETERS = ParameterKind("gloo.solo.io/v1alpha1", "GlooGatewayParameters")
ENTERPRISE_PARAMETERS = ParameterKind("enterprisekgateway.solo.io/v1alpha1", "EnterpriseKgatewayParameters")
# Gloo Gateway 1.x; of the same name as kgateway's, in a group of its own
V1_PARAMETERS = ParameterKind("gateway.gloo.solo.io/v1alpha1", "GatewayParameters")

PARAMETER_KINDS: tuple[ParameterKind, ...] = (
    GATEWAY_PARAMETERS,
    GLOO_GATEWAY_PARAMETERS,
    ENTERPRISE_PARAMETERS,
    V1_PARAMETERS,
)

#: controllerName of a GatewayClass -> the kinds its controller takes
CONTROLLERS: dict[str, tuple[ParameterKind, ...]] = {
    "kgateway.dev/kgateway": (GATEWAY_PARAMETERS,),
    "solo.io/gloo-gateway-v2": (GATEWAY_PARAMETERS, GLOO_GATEWAY_PARAMETERS),
    "solo.io/enterprise-kgateway": (GATEWAY_PARAMETERS, ENTERPRISE_PARAMETERS),
    "solo.io/gloo-gateway": (V1_PARAMETERS,),
}
