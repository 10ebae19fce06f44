"""Statuses and proxies of the simulated Gloo Gateway controller."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.gloo_gateway import (
    addresses,
    class_status,
    controller_pod,
    environment,
    gateway_status,
    has_licence,
    new_classes,
    parameters,
    route_status,
)
from lab.vendor.gloo_gateway.products import PRODUCTS
from lab.vendor.gloo_gateway.proxy import deployment, render, service
from lab.vendor.gloo_gateway.proxy_containers import RenderError
from lab.vendor.gloo_gateway.proxy_defaults import merged

GLOO_GATEWAY, ENTERPRISE, OPEN_SOURCE = PRODUCTS
CONTROLLER = GLOO_GATEWAY.controller
ON = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_DEFAULT_IMAGE_REGISTRY": "reg", "KGW_DEFAULT_IMAGE_TAG": "1.2"}
ISTIO = {
    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
    "istioMetaClusterId": "cluster1",
    "istioMetaMeshId": "mesh1",
}


@pytest.fixture
def gateway(made: Any) -> Any:
    listener = {"name": "http", "port": 8080, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    result = made.obj(
        "Gateway", "http", "gloo-system", spec={"gatewayClassName": "gloo-gateway-v2", "listeners": [listener]}
    )
    result["metadata"]["generation"] = 7
    return result


def refers(gateway: Any, name: Any = "p", group: Any = "gateway.kgateway.dev", kind: Any = "GatewayParameters") -> Any:
    gateway["spec"]["infrastructure"] = {"parametersRef": {"group": group, "kind": kind, "name": name}}
    return gateway


def conditions(status: Any) -> Any:
    return {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in status["conditions"]}


def containers(obj: Any) -> Any:
    return {c["name"]: c for c in obj["spec"]["template"]["spec"]["containers"]}


def env(container: Any) -> Any:
    return {e["name"]: e.get("value") for e in container["env"]}


def test_three_containers_with_the_values_of_the_parameters(gateway: Any) -> None:
    proxy = deployment(gateway, merged({"istio": {"istioProxyContainer": ISTIO}}), ON)
    found = containers(proxy)
    assert list(found) == ["kgateway-proxy", "sds", "istio-proxy"]
    result = env(found["istio-proxy"])
    assert (result["CA_ADDR"], result["ISTIO_META_CLUSTER_ID"], result["ISTIO_META_MESH_ID"]) == (
        "istiod-gloo.istio-system.svc:15012",
        "cluster1",
        "mesh1",
    )
    assert result["PROXY_CONFIG"] == '{"discoveryAddress": istiod-gloo.istio-system.svc:15012 }\n'
    assert found["sds"]["image"] == "reg/sds:1.2"
    assert found["istio-proxy"]["image"] == "docker.io/istio/proxyv2:1.22.0"
    assert proxy["metadata"]["ownerReferences"][0]["uid"] == gateway["metadata"]["uid"]
    volumes = {v["name"] for v in proxy["spec"]["template"]["spec"]["volumes"]}
    mounted = {m["name"] for c in found.values() for m in c["volumeMounts"]}
    assert mounted == volumes


def test_without_parameters_the_defaults_name_an_istiod_without_revision(gateway: Any) -> None:
    result = env(containers(deployment(gateway, merged(), ON))["istio-proxy"])
    assert (result["CA_ADDR"], result["ISTIO_META_CLUSTER_ID"]) == ("istiod.istio-system.svc:15012", "Kubernetes")


@pytest.mark.parametrize("switch", [{}, {"KGW_ENABLE_ISTIO_INTEGRATION": "true"}, {"KGW_ENABLE_ISTIO_AUTO_MTLS": "no"}])
def test_with_the_switch_off_there_is_one_container_and_no_error(gateway: Any, switch: Any) -> None:
    proxy = deployment(gateway, merged({"istio": {"istioProxyContainer": ISTIO}}), switch)
    assert list(containers(proxy)) == ["kgateway-proxy"]
    assert [v["name"] for v in proxy["spec"]["template"]["spec"]["volumes"]] == ["xds-token", "envoy-config"]


@pytest.mark.parametrize("y", ["123", "true", "on", "a: b", "1.5"])
def test_values_that_yaml_parses_as_another_type_make_no_deployment(gateway: Any, y: Any) -> None:
    kube = merged({"istio": {"istioProxyContainer": {"istioMetaClusterId": y}}})
    with pytest.raises(RenderError, match="istioMetaClusterId"):
        deployment(gateway, kube, ON)
    assert [obj["kind"] for obj in render(gateway, kube, ON)] == ["ServiceAccount", "ConfigMap", "Service"]


def test_sds_is_in_the_bootstrap_only(gateway: Any) -> None:
    (_, with_sds, _), (_, without, _) = render(gateway, merged(), ON), render(gateway, merged(), {})
    assert "gateway_proxy_sds" in with_sds["data"]["envoy.yaml"]
    assert "gateway_proxy_sds" not in without["data"]["envoy.yaml"]


def test_a_change_of_the_bootstrap_alone_leaves_the_deployment(gateway: Any) -> None:
    before, after = merged(), merged({"stats": {"statsRoutePrefixRewrite": "/stats?filter=x"}})
    assert "/stats?filter=x" in render(gateway, after, ON)[1]["data"]["envoy.yaml"]
    assert render(gateway, before, ON)[1]["data"] != render(gateway, after, ON)[1]["data"]
    assert deployment(gateway, before, ON) == deployment(gateway, after, ON)


def test_statistics_switched_off_are_in_neither(gateway: Any) -> None:
    kube = merged({"stats": {"enabled": False}})
    assert "prometheus" not in render(gateway, kube, ON)[1]["data"]["envoy.yaml"]
    assert deployment(gateway, kube, ON)["spec"]["template"]["metadata"]["annotations"] == {}


def test_no_listener_no_objects(gateway: Any) -> None:
    gateway["spec"]["listeners"] = []
    assert render(gateway, merged(), ON) == []


def test_replicas_are_set_only_by_parameters(gateway: Any) -> None:
    assert "replicas" not in deployment(gateway, merged(), ON)["spec"]
    assert deployment(gateway, merged({"deployment": {"replicas": 3}}), ON)["spec"]["replicas"] == 3


def test_service_follows_listeners_and_parameters(gateway: Any) -> None:
    result = {"service": {"type": "NodePort", "ports": [{"port": 8080, "nodePort": 30080}], "extraLabels": {"a": "b"}}}
    made = service(gateway, merged(result))
    assert made["spec"]["ports"] == [
        {"name": "listener-8080", "port": 8080, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080}
    ]
    assert made["metadata"]["labels"]["a"] == "b"
    assert service(gateway, merged())["spec"]["type"] == "LoadBalancer"


def test_parameters_merge_class_then_gateway(made: Any, gateway: Any) -> None:
    of_class = made.obj("GatewayParameters", "c", "gloo-system")
    of_class["spec"] = {"kube": {"service": {"type": "ClusterIP"}, "istio": {"istioProxyContainer": {"logLevel": "x"}}}}
    own = made.obj("GatewayParameters", "p", "gloo-system", spec={"kube": {"istio": {"istioProxyContainer": ISTIO}}})
    [gateway_class] = new_classes(GLOO_GATEWAY)
    gateway_class["spec"]["parametersRef"] = {
        "group": "gateway.kgateway.dev",
        "kind": "GatewayParameters",
        "name": "c",
        "namespace": "gloo-system",
    }
    result = parameters(made.Cluster("c", of_class, own), refers(gateway), gateway_class, GLOO_GATEWAY)
    assert result.kube is not None
    assert result.kube["service"]["type"] == "ClusterIP"
    assert result.kube["istio"]["istioProxyContainer"]["logLevel"] == "x"
    assert result.kube["istio"]["istioProxyContainer"]["istioMetaMeshId"] == "mesh1"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (
            {},
            "failed to get helm values gloo-system.http: (gloo-system.p) for Gateway (gloo-system.http): could not "
            'retrieve GatewayParameters: GatewayParameters.gateway.kgateway.dev "p" not found',
        ),
        (
            {"group": "gateway.gloo.solo.io"},
            "failed to get helm values gloo-system.http: invalid group gateway.gloo.solo.io for GatewayParameters",
        ),
        (
            {"kind": "EnterpriseKgatewayParameters"},
            "failed to get helm values gloo-system.http: "
            "invalid kind EnterpriseKgatewayParameters for GatewayParameters",
        ),
    ],
)
def test_invalid_parameters_change_accepted_only(made: Any, gateway: Any, ref: Any, message: Any) -> None:
    elsewhere = made.obj("GatewayParameters", "p", "other", spec={"kube": {}})
    cluster = made.Cluster("c", elsewhere)
    result = parameters(cluster, refers(gateway, **ref), new_classes(GLOO_GATEWAY)[0], GLOO_GATEWAY)
    assert (result.kube, result.error) == (None, message)
    status = gateway_status(cluster, gateway, result.error)
    assert conditions(status) == {
        "AttachedListenerSets": ("Unknown", "ListenerSetsNotAllowed", 7),
        "Accepted": ("False", "InvalidParameters", 7),
        "Programmed": ("True", "Programmed", 7),
    }
    assert conditions(status["listeners"][0])["Programmed"] == ("True", "Programmed", 7)


def test_self_managed_deploys_nothing_and_is_no_error(made: Any, gateway: Any) -> None:
    own = made.obj("GatewayParameters", "p", "gloo-system", spec={"selfManaged": {}})
    assert parameters(made.Cluster("c", own), refers(gateway), new_classes(GLOO_GATEWAY)[0], GLOO_GATEWAY) == (None, "")


def test_transition_times_change_with_the_status_only(made: Any, gateway: Any) -> None:
    cluster = made.Cluster("c")
    old = gateway_status(cluster, gateway, "")
    for condition in old["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    gateway["status"] = old
    times = {c["type"]: c["lastTransitionTime"] for c in gateway_status(cluster, gateway, "wrong")["conditions"]}
    assert times["Programmed"] == "2020-01-01T00:00:00Z"
    assert times["Accepted"] != "2020-01-01T00:00:00Z"
    assert gateway_status(cluster, gateway, "")["conditions"] == old["conditions"]


@pytest.mark.parametrize(
    ("kind", "ingress", "expected"),
    [
        ("LoadBalancer", [], []),
        ("LoadBalancer", [{"ip": "1.2.3.4"}], [("IPAddress", "1.2.3.4")]),
        (
            "LoadBalancer",
            [{"hostname": "lb", "ip": "1.2.3.4"}, {"ip": "1.2.3.5"}],
            [("Hostname", "lb"), ("IPAddress", "1.2.3.5")],
        ),
        ("ClusterIP", [], [("IPAddress", "10.0.0.9")]),
    ],
)
def test_addresses_are_the_services(made: Any, kind: Any, ingress: Any, expected: Any) -> None:
    result = made.obj("Service", "http", spec={"type": kind, "clusterIPs": ["10.0.0.9"]})
    result["status"] = {"loadBalancer": {"ingress": ingress}}
    assert [(a["type"], a["value"]) for a in addresses(result)] == expected
    assert addresses(None) == []


def a_route(made: Any, *parents: Any) -> Any:
    result = made.obj(
        "HTTPRoute",
        "r",
        spec={"parentRefs": list(parents), "rules": [{"backendRefs": [{"name": "nosuch", "port": 1}]}]},
    )
    result["metadata"]["generation"] = 3
    return result


def test_a_route_with_a_missing_backend_is_counted(made: Any, gateway: Any) -> None:
    route = a_route(made, {"name": "http", "namespace": "gloo-system"})
    cluster = made.Cluster("c", route)
    (listener,) = gateway_status(cluster, gateway, "")["listeners"]
    assert listener["attachedRoutes"] == 1
    status = route_status(cluster, route, [gateway], CONTROLLER)
    assert status is not None
    (parent,) = status["parents"]
    assert parent["controllerName"] == CONTROLLER
    assert conditions(parent) == {
        "Accepted": ("True", "Accepted", 3),
        "ResolvedRefs": ("False", "BackendNotFound", 3),
    }


def test_a_route_without_gateway_keeps_its_status(made: Any, gateway: Any) -> None:
    route = a_route(made, {"name": "gone", "namespace": "gloo-system"})
    route["status"] = {"parents": [{"controllerName": CONTROLLER, "parentRef": {"name": "http"}, "conditions": []}]}
    assert route_status(made.Cluster("c", route), route, [gateway], CONTROLLER) is None


@pytest.mark.parametrize(
    ("child", "accepted"),
    [({}, ("True", "Accepted", 3)), ({"hostnames": ["shop.example.com"]}, ("False", "UnsupportedValue", 3))],
    ids=["accepted", "with hostnames"],
)
def test_a_route_that_another_delegates_to_has_that_route_as_parent(
    made: Any, gateway: Any, child: Any, accepted: Any
) -> None:
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "team"}
    parent = a_route(made, {"name": "http", "namespace": "gloo-system"})
    parent["spec"]["rules"] = [{"backendRefs": [ref]}]
    found = made.obj("HTTPRoute", "child", "team", spec={"rules": [], **child})
    found["metadata"]["generation"] = 3
    assert route_status(made.Cluster("c", found), found, [gateway], CONTROLLER) is None
    status = route_status(made.Cluster("c", parent, found), found, [gateway], CONTROLLER)
    assert status is not None
    [entry] = status["parents"]
    parent_key = {"namespace": parent["metadata"]["namespace"], "name": parent["metadata"]["name"]}
    assert entry["parentRef"] == {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", **parent_key}
    assert conditions(entry)["Accepted"] == accepted


def test_other_controllers_entries_stay(made: Any, gateway: Any) -> None:
    route = a_route(made, {"name": "http", "namespace": "gloo-system"})
    foreign = {"controllerName": "example.com/other", "parentRef": {"name": "x"}, "conditions": []}
    route["status"] = {"parents": [foreign]}
    status = route_status(made.Cluster("c", route), route, [gateway], CONTROLLER)
    assert status is not None
    assert [p["controllerName"] for p in status["parents"]] == ["example.com/other", CONTROLLER]


def test_the_newest_ready_controller_pod_sets_the_switches(made: Any) -> Any:
    labels = {"kgateway": "kgateway"}
    image = f"registry.example/{GLOO_GATEWAY.image}:1"

    def pod(name: Any, value: Any, ready: Any, born: Any) -> Any:
        container = {"name": "c", "image": image, "env": [{"name": "KGW_X", "value": value}]}
        result = made.pod(name, labels, "gloo-system", ready=ready, sidecar=False, containers=[container])
        result["metadata"]["creationTimestamp"] = born
        return result

    old, new = pod("old", "1", True, "2026-01-01T00:00:00Z"), pod("new", "2", False, "2026-01-02T00:00:00Z")
    assert environment(controller_pod(made.Cluster("c", old, new), GLOO_GATEWAY) or {}) == {"KGW_X": "1"}
    new["status"]["conditions"][0]["status"] = "True"
    assert environment(controller_pod(made.Cluster("c", old, new), GLOO_GATEWAY) or {}) == {"KGW_X": "2"}
    assert controller_pod(made.Cluster("c"), GLOO_GATEWAY) is None
    assert controller_pod(made.Cluster("c", old, new), OPEN_SOURCE) is None


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_the_classes_of_a_product_are_accepted(product: Any) -> None:
    assert len(new_classes(product)) == len(product.classes)
    for gateway_class in new_classes(product):
        assert conditions(class_status(gateway_class, product)) == {"Accepted": ("True", "Accepted", 1)}


def test_each_product_accepts_its_kinds_of_parameters(made: Any, gateway: Any) -> None:
    kind = "EnterpriseKgatewayParameters"
    own = made.obj(kind, "p", "gloo-system", spec={"kube": {"istio": {"istioProxyContainer": ISTIO}}})
    refers(gateway, kind=kind, group="enterprisekgateway.solo.io")
    for product in PRODUCTS:
        found = parameters(made.Cluster("c", own), gateway, new_classes(product)[0], product)
        assert (found.error == "") is (product is ENTERPRISE), product.name


@pytest.mark.parametrize(
    ("entry", "data", "licensed"),
    [
        ({"value": "key"}, {}, True),
        ({"value": ""}, {}, False),
        ({"valueFrom": {"secretKeyRef": {"name": "license-key", "key": "k"}}}, {"k": "a2V5"}, True),
        ({"valueFrom": {"secretKeyRef": {"name": "license-key", "key": "k"}}}, {"k": ""}, False),
        ({"valueFrom": {"secretKeyRef": {"name": "another", "key": "k"}}}, {"k": "a2V5"}, False),
    ],
)
def test_a_licence_is_a_text_or_comes_from_a_secret(made: Any, entry: Any, data: Any, licensed: Any) -> None:
    container = {"name": "c", "image": "x", "env": [{"name": "LICENSE_KEY", **entry}]}
    pod = made.pod("p", {}, "gloo-system", sidecar=False, containers=[container])
    secret = made.obj("Secret", "license-key", "gloo-system")
    secret["data"] = data
    assert has_licence(made.Cluster("c", secret), pod) is licensed


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}}, ""),
        ({"type": "Opaque", "data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}}, "is not a valid TLS secret"),
        (None, "not found"),
    ],
)
def test_an_https_listener_needs_its_secret(made: Any, gateway: Any, secret: Any, reason: str) -> None:
    tls = {"certificateRefs": [{"name": "shop"}]}
    listener = {"name": "https", "port": 8443, "protocol": "HTTPS", "hostname": "shop.example.com", "tls": tls}
    gateway["spec"]["listeners"].append(listener)
    objects = [{**made.obj("Secret", "shop", "gloo-system"), **secret}] if secret else []
    _plain, secure = gateway_status(made.Cluster("cluster1", *objects), gateway, "")["listeners"]
    resolved = next(c for c in secure["conditions"] if c["type"] == "ResolvedRefs")
    assert (resolved["status"], reason in resolved["message"]) == ("False" if reason else "True", True)
