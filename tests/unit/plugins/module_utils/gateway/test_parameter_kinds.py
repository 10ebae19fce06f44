"""Which kind of parameters a cluster uses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import parameter_kinds
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.parameter_kinds import (
    CONTROLLERS,
    PARAMETER_KINDS,
    choose,
    kind_to_use,
    unserved,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    ENTERPRISE_PARAMETERS,
    GATEWAY_PARAMETERS,
    GLOO_GATEWAY_PARAMETERS,
    V1_PARAMETERS,
    ParameterKind,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid, NotServed

NEWER = ParameterKind("gateway.kgateway.dev/v1", "GatewayParameters")


@pytest.mark.parametrize(
    ("served", "controllers", "chosen"),
    [
        ([], [], []),
        ([V1_PARAMETERS], ["kgateway.dev/kgateway"], [V1_PARAMETERS]),
        ([NEWER, GATEWAY_PARAMETERS], [], [NEWER]),
        ([GATEWAY_PARAMETERS, GLOO_GATEWAY_PARAMETERS, ENTERPRISE_PARAMETERS], [], [GATEWAY_PARAMETERS]),
        ([NEWER, GLOO_GATEWAY_PARAMETERS], ["solo.io/gloo-gateway-v2"], [NEWER]),
        ([GLOO_GATEWAY_PARAMETERS, V1_PARAMETERS], ["solo.io/gloo-gateway-v2"], [GLOO_GATEWAY_PARAMETERS]),
        ([GATEWAY_PARAMETERS, V1_PARAMETERS], [], [GATEWAY_PARAMETERS, V1_PARAMETERS]),
        ([GATEWAY_PARAMETERS, V1_PARAMETERS], ["example.com/other"], [GATEWAY_PARAMETERS, V1_PARAMETERS]),
        ([GATEWAY_PARAMETERS, V1_PARAMETERS], ["solo.io/gloo-gateway"], [V1_PARAMETERS]),
        (
            [GATEWAY_PARAMETERS, V1_PARAMETERS],
            ["solo.io/gloo-gateway", "kgateway.dev/kgateway"],
            [GATEWAY_PARAMETERS, V1_PARAMETERS],
        ),
        (PARAMETER_KINDS, ["solo.io/enterprise-kgateway", "solo.io/gloo-gateway-v2"], [GATEWAY_PARAMETERS]),
    ],
)
def test_chosen(served: list[ParameterKind], controllers: list[str], chosen: list[ParameterKind]) -> None:
    assert choose(served, controllers) == chosen


class Classes:
    """A cluster of which only its GatewayClasses are asked."""

    name = "c1"

    def __init__(self, *controllers: str) -> None:
        self.classes = [{"metadata": {"name": c.partition("/")[2]}, "spec": {"controllerName": c}} for c in controllers]

    def list(self, _api_version: str, _kind: str) -> Any:
        return self.classes


@pytest.mark.parametrize(
    ("controllers", "words"),
    [
        ((), "no GatewayClass determines which one is used"),
        (("example.com/other",), "no GatewayClass determines which one is used"),
        (("solo.io/gloo-gateway",), "its GatewayClasses do not determine which one is used: gloo-gateway"),
        (
            ("solo.io/gloo-gateway-v2", "solo.io/enterprise-kgateway"),
            "do not determine which one is used: enterprise-kg",
        ),
    ],
)
def test_what_the_cluster_does_not_tell_is_asked_of_the_user(
    monkeypatch: pytest.MonkeyPatch, controllers: tuple[str, ...], words: str
) -> None:
    both = [GLOO_GATEWAY_PARAMETERS, ENTERPRISE_PARAMETERS]
    monkeypatch.setattr(parameter_kinds, "served_kinds", lambda _cluster: both)
    cluster: Any = Classes(*controllers)
    with pytest.raises(Invalid, match=f"c1: the cluster serves gloo.solo.io.*{words}.*. Set api_version and kind"):
        kind_to_use(cluster)
    assert kind_to_use(cluster, kind="EnterpriseKgatewayParameters") == ENTERPRISE_PARAMETERS
    with pytest.raises(NotServed, match="c1: the API server does not serve GatewayParameters; it serves"):
        kind_to_use(cluster, kind="GatewayParameters")


def test_what_is_named_while_nothing_is_served() -> None:
    assert unserved(None, None) == GATEWAY_PARAMETERS
    assert unserved(None, "EnterpriseKgatewayParameters") == ENTERPRISE_PARAMETERS
    assert unserved("gateway.gloo.solo.io/v1alpha1", None) == V1_PARAMETERS
    assert unserved("example.com/v1", "Other") == ParameterKind("example.com/v1", "Other")


def test_every_controller_prefers_a_kind_of_the_table() -> None:
    assert {kind for kinds in CONTROLLERS.values() for kind in kinds} == set(PARAMETER_KINDS)
