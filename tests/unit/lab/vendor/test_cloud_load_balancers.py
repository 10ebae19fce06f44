"""Which Services get an address."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor import cloud_load_balancers


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"type": "LoadBalancer"}, True),
        ({"type": "ClusterIP"}, False),
        ({"type": "LoadBalancer", "loadBalancerClass": "x/y"}, False),
    ],
)
def test_only_load_balancers_get_addresses(made: Any, spec: Any, wanted: Any) -> None:
    assert cloud_load_balancers.wants_address(made.obj("Service", "s", spec=spec)) is wanted
