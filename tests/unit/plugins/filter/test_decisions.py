"""Decisions of the playbooks: classes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.multicluster.gloo.plugins.filter import gateways


def a_class(name: str, controller: str) -> dict[str, Any]:
    return {"kind": "GatewayClass", "object": {"metadata": {"name": name}, "spec": {"controllerName": controller}}}


def test_the_class_is_found_by_its_controller() -> None:
    found = [
        a_class("istio", "istio.io/gateway-controller"),
        a_class("kgateway-waypoint", "kgateway.dev/kgateway"),
        a_class("kgateway", "kgateway.dev/kgateway"),
        a_class("house", "solo.io/gloo-gateway-v2"),
    ]
    assert gateways.gateway_class(found, ["solo.io/gloo-gateway-v2", "kgateway.dev/kgateway"]) == "house"
    assert gateways.gateway_class(found, ["kgateway.dev/kgateway", "solo.io/gloo-gateway-v2"]) == "kgateway"
    assert gateways.gateway_class(found, ["solo.io/enterprise-kgateway"]) == ""


def test_two_classes_of_one_controller_are_not_guessed() -> None:
    found = [a_class("one", "kgateway.dev/kgateway"), a_class("two", "kgateway.dev/kgateway")]
    with pytest.raises(AnsibleFilterError, match="one, two"):
        gateways.gateway_class(found, ["kgateway.dev/kgateway"])
