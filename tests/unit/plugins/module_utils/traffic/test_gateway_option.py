"""traffic_check and failover_check find the address of a Gateway and its listener themselves."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.gateway_target import Target
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.traffic_check import target_of

Json = dict[str, Any]
GATEWAY_API = "gateway.networking.k8s.io/v1"


@pytest.fixture
def edge(fake: Any) -> Any:
    """An API server with the Gateway edge/http: HTTP on 8080, HTTPS for shop.example.com on 8443."""
    api, kubeconfig = fake
    api.kinds[GATEWAY_API] = {"gateways": ("Gateway", True), "httproutes": ("HTTPRoute", True)}
    listeners = [
        {"name": "http", "protocol": "HTTP", "port": 8080},
        {"name": "https", "protocol": "HTTPS", "port": 8443, "hostname": "shop.example.com"},
    ]
    add(api, "edge", listeners)
    return api, kubeconfig


def add(api: Any, namespace: str, listeners: list[Json], **service: Any) -> None:
    api.write("v1", "namespaces", "", {"metadata": {"name": namespace}})
    spec = {"gatewayClassName": "kgateway", "listeners": listeners}
    api.write(GATEWAY_API, "gateways", namespace, {"metadata": {"name": "http"}, "spec": spec})
    balancer = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    api.write("v1", "services", namespace, {"metadata": {"name": "http"}, **balancer, **service})


def found(kubeconfig: str, gateway: Json, **params: Any) -> Target:
    with Cluster(kubeconfig, "fake", "east") as cluster:
        return target_of(cluster, {"gateway": gateway, "path": "/", "host": None, **params})


@pytest.mark.parametrize(
    ("gateway", "params", "expected"),
    [
        ({"name": "http", "namespace": "edge"}, {}, Target("http://192.0.2.1:8080")),
        ({"name": "http"}, {}, Target("http://192.0.2.1:8080")),
        ({"name": "http", "scheme": "https"}, {}, Target("https://192.0.2.1:8443", "shop.example.com")),
        ({"name": "http", "listener": "http"}, {"host": "a.example"}, Target("http://192.0.2.1:8080", "a.example")),
    ],
)
def test_a_gateway_is_found_by_its_name(edge: Any, gateway: Json, params: Json, expected: Target) -> None:
    assert found(edge[1], gateway, **params) == expected


def test_a_route_chooses_the_listener(edge: Any) -> None:
    parent = {"name": "http", "namespace": "edge", "sectionName": "https"}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/shop"}}]}
    edge[0].write("v1", "namespaces", "", {"metadata": {"name": "app"}})
    spec = {"parentRefs": [parent], "rules": [rule]}
    edge[0].write(GATEWAY_API, "httproutes", "app", {"metadata": {"name": "shop"}, "spec": spec})
    assert found(edge[1], {"name": "http"}, path="/shop/1").url == "https://192.0.2.1:8443"
    assert found(edge[1], {"name": "http"}, path="/other").url == "http://192.0.2.1:8080"


def test_routes_that_may_not_be_listed_are_not_needed(edge: Any) -> None:
    edge[0].refuse("GET", "/httproutes", 403, {"reason": "Forbidden", "message": "no", "code": 403}, times=9)
    assert found(edge[1], {"name": "http"}).url == "http://192.0.2.1:8080"


def test_a_missing_gateway_and_one_of_several_are_refused(edge: Any) -> None:
    with pytest.raises(ClusterError, match="east: Gateway edge/none does not exist"):
        found(edge[1], {"name": "none", "namespace": "edge"})
    add(edge[0], "internal", [{"name": "http", "protocol": "HTTP", "port": 80}])
    with pytest.raises(ClusterError, match="several Gateways have the name http: edge/http, internal/http"):
        found(edge[1], {"name": "http"})
    assert found(edge[1], {"name": "http", "namespace": "internal"}).url == "http://192.0.2.1:80"


@pytest.mark.parametrize(
    ("ingress", "url", "others"),
    [
        ([{"hostname": "lb.example.com"}], "http://lb.example.com:80", ()),
        ([{"ip": "2001:db8::1"}, {"ip": "192.0.2.1"}], "http://[2001:db8::1]:80", ("192.0.2.1",)),
    ],
)
def test_addresses_of_load_balancers(edge: Any, ingress: list[Json], url: str, others: tuple[str, ...]) -> None:
    status = {"loadBalancer": {"ingress": ingress}}
    add(edge[0], "internal", [{"name": "http", "protocol": "HTTP", "port": 80}], status=status)
    target = found(edge[1], {"name": "http", "namespace": "internal"})
    assert (target.url, target.others) == (url, others)


def test_a_gateway_without_an_address_is_refused(edge: Any) -> None:
    add(edge[0], "internal", [{"name": "http", "protocol": "HTTP", "port": 80}], status={})
    with pytest.raises(ClusterError, match="east: Gateway internal/http has no address"):
        found(edge[1], {"name": "http", "namespace": "internal"})
