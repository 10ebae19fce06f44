"""Where the real controller of a product runs, the simulated one does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.vendor.gloo_gateway.gloo_gateway import GlooGateway
from lab.vendor.gloo_gateway.products import PRODUCTS


@pytest.mark.parametrize("real", [False, True])
def test_a_real_controller_replaces_the_simulated_one_of_its_product(made: Any, tmp_path: Path, real: bool) -> None:
    licence = [{"name": "LICENSE_KEY", "value": "any"}]
    pods = [
        made.pod(
            product.name,
            {"kgateway": "kgateway"},
            product.name,
            containers=[{"name": "controller", "image": f"registry.example.com/{product.image}:v1", "env": licence}],
        )
        for product in PRODUCTS
    ]
    cluster = made.Cluster("cluster1", *pods)
    applied: list[tuple[str, str]] = []
    cluster.served = lambda kind: True
    cluster.apply = lambda obj, manager: applied.append((manager, obj["kind"]))
    lab: Any = type("Lab", (), {"home": tmp_path, "clusters": {"cluster1": cluster}})
    lab.programs = {"envoy": Path("/envoy"), **({"kgateway": Path("/kgateway")} if real else {})}

    GlooGateway().reconcile(lab)

    served = {product.name: len(product.classes) for product in PRODUCTS if not (real and product.name == "kgateway")}
    assert {name: applied.count((name, "GatewayClass")) for name in {m for m, _ in applied}} == served
    assert {name: applied.count((name, "Secret")) for name in served} == dict.fromkeys(served, 1)
