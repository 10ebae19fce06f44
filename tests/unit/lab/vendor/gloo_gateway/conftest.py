"""A Gateway and the controllers that serve it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.controllers import Controller
from lab.vendor.gloo_gateway.lines import LINES
from lab.vendor.gloo_gateway.products import PRODUCTS, Product

SWITCHES = {
    "KGW_ENABLE_ISTIO_AUTO_MTLS": "true",
    "KGW_ENABLE_ISTIO_INTEGRATION": "true",
    "KGW_DEFAULT_IMAGE_REGISTRY": "reg",
    "KGW_DEFAULT_IMAGE_TAG": "1.2",
}


@pytest.fixture
def gateway(made: Any) -> Any:
    listener = {"name": "http", "port": 8080, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    result = made.obj("Gateway", "http", "gloo-system", spec={"gatewayClassName": "kgateway", "listeners": [listener]})
    result["metadata"]["generation"] = 7
    return result


class Controllers:
    """Controllers by line, product and environment; by default open source with both Istio switches on."""

    def __call__(self, line: str = "2.1", product: Product = PRODUCTS[-1], name: str = "", **env: str) -> Controller:
        return Controller(product, LINES[line], {**SWITCHES, **env}, name or product.controller)


@pytest.fixture
def controllers() -> Controllers:
    return Controllers()


@pytest.fixture(params=list(LINES))
def either(request: pytest.FixtureRequest, controllers: Controllers) -> Controller:
    """The controller of each line."""
    return controllers(request.param)
