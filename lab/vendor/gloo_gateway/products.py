"""The gateway products that the lab simulates: what differs between their controllers. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from lab.control_plane.objects import Object

INGRESS = "Standard class for managing Gateway API ingress traffic."
WAYPOINT = "Specialized class for Istio ambient mesh waypoint proxies."
AGENT = "Specialized class for agentgateway."
AGENTGATEWAY = "kgateway.dev/agentgateway"  # the controllerName


class Product(NamedTuple):
    """name: of the chart; image: repository of the controller's image.

    classes: (name, controllerName, description) of the GatewayClasses that the controller creates; which of them it has
    depends on its line (lines.py). parameters: (group, kind) that it accepts. licensed: without a licence it does
    nothing.
    """

    name: str
    image: str
    controller: str
    classes: tuple[tuple[str, str, str], ...]
    parameters: tuple[tuple[str, str], ...]
    licensed: bool = True

    @property
    def controllers(self) -> list[str]:
        """The controllerNames of its classes."""
        return list(dict.fromkeys(name for _class, name, _text in self.classes))


OPEN_SOURCE_PARAMETERS = ("gateway.kgateway.dev", "GatewayParameters")

PRODUCTS = (
    Product(
        "gloo-gateway",
        "gloo-gateway-controller",
        "solo.io/gloo-gateway-v2",
        (("gloo-gateway-v2", "solo.io/gloo-gateway-v2", INGRESS),),
        (OPEN_SOURCE_PARAMETERS, ("gloo.solo.io", "GlooGatewayParameters")),
    ),
    Product(
        "enterprise-kgateway",
        "enterprise-kgateway-controller",
        "solo.io/enterprise-kgateway",
        (
            ("enterprise-kgateway", "solo.io/enterprise-kgateway", INGRESS),
            ("enterprise-kgateway-waypoint", "solo.io/enterprise-kgateway", WAYPOINT),
        ),
        (OPEN_SOURCE_PARAMETERS, ("enterprisekgateway.solo.io", "EnterpriseKgatewayParameters")),
    ),
    Product(
        "kgateway",
        "kgateway",
        "kgateway.dev/kgateway",
        (
            ("kgateway", "kgateway.dev/kgateway", INGRESS),
            ("kgateway-waypoint", "kgateway.dev/kgateway", WAYPOINT),
            ("agentgateway", AGENTGATEWAY, AGENT),
        ),
        (OPEN_SOURCE_PARAMETERS,),
        licensed=False,
    ),
)


def runs(product: Product, pod: Object) -> bool:
    """Whether the Pod is this product's controller, by the repository of its image."""
    images = [str(container.get("image", "")) for container in pod["spec"]["containers"]]
    return any(re.split("[:@]", image.rpartition("/")[2])[0] == product.image for image in images)
