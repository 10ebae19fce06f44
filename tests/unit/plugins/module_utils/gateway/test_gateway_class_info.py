"""The engine of the module gateway_class_info: which GatewayClass belongs to the controller."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.gateway_class_info import choose, run
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Timeout

API = "gateway.networking.k8s.io/v1"
SOLO, KGATEWAY = "solo.io/gloo-gateway-v2", "kgateway.dev/kgateway"


def gateway_class(name: str, controller: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"controllerName": controller}}


FOUND = [
    gateway_class("istio", "istio.io/gateway-controller"),
    gateway_class("kgateway-waypoint", KGATEWAY),
    gateway_class("kgateway", KGATEWAY),
    gateway_class("house", SOLO),
    {"metadata": {"name": "damaged"}},
]


@pytest.mark.parametrize(
    ("controllers", "expected"),
    [
        ([SOLO, KGATEWAY], (SOLO, "house", ["house"])),
        ([KGATEWAY, SOLO], (KGATEWAY, "kgateway", ["kgateway", "kgateway-waypoint"])),
        (["solo.io/enterprise-kgateway", SOLO], (SOLO, "house", ["house"])),
        (["solo.io/enterprise-kgateway"], ("", "", [])),
        ([], ("", "", [])),
    ],
)
def test_the_class_is_found_by_its_controller(controllers: list[str], expected: tuple[str, str, list[str]]) -> None:
    assert choose(FOUND, controllers) == expected


def test_two_classes_of_one_controller_are_not_guessed() -> None:
    assert choose([gateway_class("two", SOLO), gateway_class("one", SOLO)], [SOLO]) == (SOLO, "", ["one", "two"])


def go(fake: Any, *classes: dict[str, Any], **options: Any) -> dict[str, Any]:
    fake[0].kinds[API] = {"gatewayclasses": ("GatewayClass", False)}
    for each in classes:
        fake[0].write(API, "gatewayclasses", "", each)
    params = {"kubeconfig": fake[1], "context": "fake", "cluster": "cluster1", "controller_names": [SOLO, KGATEWAY]}
    return run({**params, "wait_timeout": 0, **options}, False, lambda line: None)


def test_one_request_finds_the_class(fake: Any) -> None:
    result = go(fake, *FOUND)
    assert result["gateway_class"] == {"cluster": "cluster1", "name": "house", "controller_name": SOLO}
    assert result["msg"] == f"cluster1: GatewayClass house of controller {SOLO}"
    assert (result["requests"], result["changed"]) == (1, False)


def test_no_class_is_an_error_unless_it_may_be_absent(fake: Any) -> None:
    with pytest.raises(Timeout, match=f"cluster1: GatewayClass: none has controllerName {SOLO} or {KGATEWAY}"):
        go(fake)
    result = go(fake, strict=False, wait_timeout=60)
    assert result["gateway_class"] is None and "controller is running" in result["msg"]


@pytest.mark.parametrize("strict", [True, False])
def test_several_classes_are_named(fake: Any, strict: bool) -> None:
    with pytest.raises(ClusterError, match="cluster1: GatewayClasses one, two all belong to controller") as told:
        go(fake, gateway_class("one", SOLO), gateway_class("two", SOLO), strict=strict)
    assert told.value.facts["candidates"] == ["one", "two"]
