"""Which kind of parameters a cluster uses."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.parameter_kinds import (
    CONTROLLERS,
    ENTERPRISE_PARAMETERS,
    GATEWAY_PARAMETERS,
    GLOO_GATEWAY_PARAMETERS,
    PARAMETER_KINDS,
    V1_PARAMETERS,
    ParameterKind,
    choose,
    unserved,
)

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


def test_what_is_named_while_nothing_is_served() -> None:
    assert unserved(None, None) == GATEWAY_PARAMETERS
    assert unserved(None, "EnterpriseKgatewayParameters") == ENTERPRISE_PARAMETERS
    assert unserved("gateway.gloo.solo.io/v1alpha1", None) == V1_PARAMETERS
    assert unserved("example.com/v1", "Other") == ParameterKind("example.com/v1", "Other")


def test_every_controller_prefers_a_kind_of_the_table() -> None:
    assert {kind for kinds in CONTROLLERS.values() for kind in kinds} == set(PARAMETER_KINDS)
