"""The parameters of a Gateway, from its class and from itself."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.parameters import Parameters, parameters
from lab.vendor.gloo_gateway.products import PRODUCTS

GLOO_GATEWAY, ENTERPRISE, OPEN_SOURCE = PRODUCTS
GROUP, KIND = "gateway.kgateway.dev", "GatewayParameters"


def refers(gateway: Any, name: Any = "p", group: Any = GROUP, kind: Any = KIND) -> Any:
    gateway["spec"]["infrastructure"] = {"parametersRef": {"group": group, "kind": kind, "name": name}}
    return gateway


def a_class(name: str = "", **ref: Any) -> Any:
    spec = {"parametersRef": {"group": GROUP, "kind": KIND, "name": name, "namespace": "gloo-system", **ref}}
    return {"metadata": {"name": "c"}, "spec": spec if name else {}}


def spec_of(made: Any, name: str, kube: Any, **more: Any) -> Any:
    return made.obj(more.pop("kind", KIND), name, "gloo-system", spec={"kube": kube, **more})


def test_parameters_merge_class_then_gateway(made: Any, gateway: Any, either: Any) -> None:
    service = {"type": "ClusterIP", "ports": [{"port": 9000}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    of_class = spec_of(made, "c", {"service": service, "istio": {"istioProxyContainer": {"logLevel": "x"}}})
    kube = {
        "istio": {"istioProxyContainer": {"istioMetaMeshId": "mesh1"}},
        "service": {"ports": [{"port": 9001}], "loadBalancerSourceRanges": ["192.0.2.0/24"]},
    }
    cluster = made.Cluster("c", of_class, spec_of(made, "p", kube))
    result = parameters(cluster, refers(gateway), a_class("c"), either)
    assert result.kube is not None and result.error == ""
    container = result.kube["istio"]["istioProxyContainer"]
    assert (container["logLevel"], container["istioMetaMeshId"]) == ("x", "mesh1")
    assert result.kube["service"] == {
        "type": "ClusterIP",
        "ports": [{"port": 9000}, {"port": 9001}],
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
    }


@pytest.mark.parametrize(
    ("ref", "old", "new"),
    [
        (
            {},
            "(gloo-system.p) for Gateway (gloo-system.http): could not retrieve GatewayParameters: "
            'GatewayParameters.gateway.kgateway.dev "p" not found',
            "(gloo-system.p) for Gateway (gloo-system.http): could not retrieve GatewayParameters: resource not found",
        ),
        ({"group": "gateway.gloo.solo.io"}, "invalid group gateway.gloo.solo.io for GatewayParameters", ""),
        ({"kind": "Other"}, "invalid kind Other for GatewayParameters", ""),
    ],
)
def test_parameters_that_cannot_be_used_have_a_message(
    made: Any, gateway: Any, controllers: Any, ref: Any, old: str, new: str
) -> None:
    cluster = made.Cluster("c", made.obj(KIND, "p", "other", spec={"kube": {}}))
    refers(gateway, **ref)
    # The Gateway's own reference comes first.
    expected = (
        ("2.1", f"failed to get helm values gloo-system.http: {old}"),
        ("2.3", f"failed to get helm values for object /, Kind= gloo-system/http: {new or old}"),
    )
    for line, message in expected:
        assert parameters(cluster, gateway, a_class("nobody"), controllers(line)) == Parameters(None, error=message)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({}, 'GatewayClass (c): could not retrieve GatewayParameters: GatewayParameters.gateway.kgateway.dev "nobody"'),
        ({"group": "a.example.com", "kind": "Other"}, 'GatewayParameters.gateway.kgateway.dev "nobody" not found'),
    ],
)
def test_parameters_of_a_class_have_to_exist(
    made: Any, gateway: Any, controllers: Any, reference: Any, text: str
) -> None:
    found = parameters(made.Cluster("c"), gateway, a_class("nobody", **reference), controllers())
    assert found.kube is None and text in found.error


@pytest.mark.parametrize(("given", "layers"), [({}, 2), ({"group": "a.example.com"}, 1), ({"kind": "Other"}, 1)])
def test_group_and_kind_of_a_classs_reference_count_for_overlays_only(
    made: Any, gateway: Any, controllers: Any, given: Any, layers: int
) -> None:
    of_class = spec_of(made, "c", {"service": {"type": "ClusterIP"}, "serviceOverlay": {"spec": {}}})
    cluster = made.Cluster("c", of_class, spec_of(made, "p", {}))
    found = parameters(cluster, refers(gateway), a_class("c", **given), controllers("2.3"))
    assert found.kube is not None and found.kube["service"]["type"] == "ClusterIP"
    assert len(found.overlays) == layers
    assert parameters(cluster, gateway, a_class("c", **given), controllers("2.1")).overlays == ()


@pytest.mark.parametrize("managed", ["c", "p"])
def test_self_managed_is_no_error_and_has_no_parameters(made: Any, gateway: Any, either: Any, managed: str) -> None:
    specs: Any = {name: {"selfManaged": {}} if name == managed else {"kube": {}} for name in ("c", "p")}
    cluster = made.Cluster("c", *(made.obj(KIND, name, "gloo-system", spec=spec) for name, spec in specs.items()))
    assert parameters(cluster, refers(gateway), a_class("c"), either) == Parameters(None)


def test_each_product_accepts_its_kinds_of_parameters(made: Any, gateway: Any, controllers: Any) -> None:
    kind = "EnterpriseKgatewayParameters"
    refers(gateway, kind=kind, group="enterprisekgateway.solo.io")
    for product in PRODUCTS:
        cluster = made.Cluster("c", spec_of(made, "p", {}, kind=kind))
        found = parameters(cluster, gateway, a_class(), controllers(product=product))
        assert (found.error == "") is (product is ENTERPRISE), product.name
