"""The objects that a controller renders for a Gateway."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.products import AGENTGATEWAY
from lab.vendor.gloo_gateway.proxy import FULL_NAME, RenderError, render
from lab.vendor.gloo_gateway.proxy_defaults import merged

ISTIO = {
    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
    "istioMetaClusterId": "cluster1",
    "istioMetaMeshId": "mesh1",
}
OFF = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "false"}


def of_kind(kind: str, gateway: Any, controller: Any, **kube: Any) -> Any:
    [found] = [obj for obj in render(gateway, merged(kube), controller).objects if obj["kind"] == kind]
    return found


def containers(obj: Any) -> Any:
    return {c["name"]: c for c in obj["spec"]["template"]["spec"]["containers"]}


def env(container: Any) -> Any:
    return {e["name"]: e.get("value") for e in container["env"]}


def test_three_containers_with_the_values_of_the_parameters(gateway: Any, either: Any) -> None:
    proxy = of_kind("Deployment", gateway, either, istio={"istioProxyContainer": ISTIO})
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


def test_without_parameters_the_defaults_name_an_istiod_without_revision(gateway: Any, either: Any) -> None:
    result = env(containers(of_kind("Deployment", gateway, either))["istio-proxy"])
    assert (result["CA_ADDR"], result["ISTIO_META_CLUSTER_ID"]) == ("istiod.istio-system.svc:15012", "Kubernetes")


@pytest.mark.parametrize("switch", ["", "false", "no", "yes"])
def test_with_the_switch_off_there_is_one_container_and_no_error(gateway: Any, controllers: Any, switch: str) -> None:
    controller = controllers(KGW_ENABLE_ISTIO_AUTO_MTLS=switch)
    proxy = of_kind("Deployment", gateway, controller, istio={"istioProxyContainer": ISTIO})
    assert list(containers(proxy)) == ["kgateway-proxy"]
    assert [v["name"] for v in proxy["spec"]["template"]["spec"]["volumes"]] == ["xds-token", "envoy-config"]


NOT_TEXT: list[Any] = [
    *({"istio": {"istioProxyContainer": {"istioMetaClusterId": value}}} for value in ("123", "true", "No", "12e_3")),
    {"istio": {"istioProxyContainer": {"istioMetaMeshId": "1.5"}}},
    {"sdsContainer": {"bootstrap": {"logLevel": "off"}}},
    {"sdsContainer": {"image": {"pullPolicy": "no"}}},
]


@pytest.mark.parametrize("kube", NOT_TEXT, ids=str)
def test_values_that_yaml_reads_as_another_type_make_no_deployment(gateway: Any, either: Any, kube: Any) -> None:
    rendered = render(gateway, merged(kube), either)
    assert [obj["kind"] for obj in rendered.objects] == ["ServiceAccount", "ConfigMap", "Service"]
    assert rendered.refused.startswith(
        "failed to apply object apps/v1, Kind=Deployment gloo-system/http: expected string"
    )


@pytest.mark.parametrize("value", ["12:30:45", "2026-01-01", "oN", "yEs", "8e557", "cluster-1"])
def test_values_that_only_look_like_another_type_are_text(gateway: Any, either: Any, value: str) -> None:
    proxy = of_kind("Deployment", gateway, either, istio={"istioProxyContainer": {"istioMetaClusterId": value}})
    assert env(containers(proxy)["istio-proxy"])["ISTIO_META_CLUSTER_ID"] == value


NOT_YAML: list[Any] = [
    *({"istio": {"istioProxyContainer": {"istioDiscoveryAddress": value}}} for value in ("[::1]:15012", "a: b", "*x")),
    {"istio": {"istioProxyContainer": {"istioMetaMeshId": "@mesh"}}},
    {"sdsContainer": {"image": {"tag": 'a"b'}}},
    {"envoyContainer": {"bootstrap": {"logLevel": '"'}}},
    {"service": {"clusterIP": "fd00::"}},
]


@pytest.mark.parametrize("kube", NOT_YAML, ids=str)
@pytest.mark.parametrize(
    ("line", "release", "folder"), [("2.1", "gloo-system.http", "/gateway/"), ("2.3", "gloo-system.release-name", "/")]
)
def test_values_that_are_no_yaml_render_nothing(
    gateway: Any, controllers: Any, kube: Any, line: str, release: str, folder: str
) -> None:
    with pytest.raises(RenderError) as error:
        render(gateway, merged(kube), controllers(line))
    template = "service" if "service" in kube else "deployment"
    assert str(error.value).startswith(
        f"failed to get objects to deploy gloo-system.http: failed to render helm chart for {release}"
    )
    assert f"kgateway-proxy/templates{folder}{template}.yaml: error converting YAML to JSON: yaml: " in str(error.value)


@pytest.mark.parametrize("name", ["123", "on", "true", "null", "1.5", "1e3", "0x10"])
def test_a_gateway_with_a_name_that_is_no_text_has_nothing(gateway: Any, either: Any, name: str) -> None:
    gateway["metadata"]["name"] = name
    rendered = render(gateway, merged(), either)
    assert rendered.objects == []
    assert rendered.refused == f"failed to apply object /v1, Kind=ServiceAccount gloo-system/{name}: name is required"


@pytest.mark.parametrize("name", ["1.2.3", "a123", "2026-01-01", "1-2"])
def test_a_gateway_with_a_name_that_only_looks_like_a_number_is_deployed(gateway: Any, either: Any, name: str) -> None:
    gateway["metadata"]["name"] = name
    assert len(render(gateway, merged(), either).objects) == 4


def test_a_class_with_a_name_that_is_no_text(gateway: Any, controllers: Any) -> None:
    gateway["spec"]["gatewayClassName"] = "123"
    assert render(gateway, merged(), controllers("2.1")).objects == []
    assert len(render(gateway, merged(), controllers("2.3")).objects) == 4


def test_a_name_too_long_for_a_release(gateway: Any, controllers: Any) -> None:
    gateway["metadata"]["name"] = "a" * 54
    with pytest.raises(RenderError, match="release name check failed"):
        render(gateway, merged(), controllers("2.1"))
    gateway["metadata"]["name"] = "a" * 53
    assert len(render(gateway, merged(), controllers("2.1")).objects) == 4


def test_a_name_too_long_for_a_label_is_hashed_everywhere(gateway: Any, controllers: Any) -> None:
    gateway["metadata"]["name"] = "a" * 64
    controller = controllers("2.3")
    objects = render(gateway, merged(), controller).objects
    [hashed] = {obj["metadata"]["name"] for obj in objects}
    assert hashed == controller.line.proxy_name(gateway)
    deployment = objects[-1]
    assert set(deployment["spec"]["selector"]["matchLabels"].values()) == {hashed}
    template = deployment["spec"]["template"]
    assert template["metadata"]["annotations"][FULL_NAME] == "a" * 64
    assert template["spec"]["serviceAccountName"] == hashed
    assert deployment["metadata"]["ownerReferences"][0]["name"] == "a" * 64


def test_sds_is_in_the_bootstrap_only(gateway: Any, controllers: Any) -> None:
    assert "gateway_proxy_sds" in of_kind("ConfigMap", gateway, controllers())["data"]["envoy.yaml"]
    assert "gateway_proxy_sds" not in of_kind("ConfigMap", gateway, controllers(**OFF))["data"]["envoy.yaml"]


def test_a_change_of_the_bootstrap_alone_leaves_the_deployment(gateway: Any, either: Any) -> None:
    changed = {"stats": {"statsRoutePrefixRewrite": "/stats?filter=x"}}
    before, after = (of_kind("ConfigMap", gateway, either, **kube)["data"]["envoy.yaml"] for kube in ({}, changed))
    assert "/stats?filter=x" in after and before != after
    assert of_kind("Deployment", gateway, either) == of_kind("Deployment", gateway, either, **changed)


def test_statistics_switched_off_are_in_neither(gateway: Any, controllers: Any) -> None:
    kube: Any = {"stats": {"enabled": False}}
    assert "prometheus" not in of_kind("ConfigMap", gateway, controllers(), **kube)["data"]["envoy.yaml"]
    assert of_kind("Deployment", gateway, controllers(), **kube)["spec"]["template"]["metadata"]["annotations"] == {}


@pytest.mark.parametrize(
    ("line", "given", "replicas"),
    [("2.1", None, None), ("2.1", 3, 3), ("2.1", 0, None), ("2.3", None, None), ("2.3", 0, 0)],
)
def test_replicas_are_set_only_by_parameters(
    gateway: Any, controllers: Any, line: str, given: Any, replicas: Any
) -> None:
    kube = {} if given is None else {"deployment": {"replicas": given}}
    assert of_kind("Deployment", gateway, controllers(line), **kube)["spec"].get("replicas") == replicas


@pytest.mark.parametrize(
    ("ports", "expected"), [([8082], []), ([8082, 9091, 8080], [8080]), ([15021, 80, 80], [15021, 80])]
)
def test_reserved_ports_are_not_rendered(gateway: Any, either: Any, ports: list[int], expected: list[int]) -> None:
    gateway["spec"]["listeners"] = [{"name": str(port), "port": port, "protocol": "HTTP"} for port in ports]
    if not expected:
        assert render(gateway, merged(), either) == ([], "no valid ports")
        # A port of the parameters is enough.
        expected, kube = [9000], {"service": {"ports": [{"port": 9000}]}}
    else:
        kube = {}
    assert [each["port"] for each in of_kind("Service", gateway, either, **kube)["spec"]["ports"]] == expected
    of_envoy = containers(of_kind("Deployment", gateway, either, **kube))["kgateway-proxy"]["ports"]
    assert [each["containerPort"] for each in of_envoy] == [*expected, 9091]


@pytest.mark.parametrize(
    ("line", "kind", "fixed"),
    [
        ("2.1", "NodePort", 30080),
        ("2.1", "LoadBalancer", None),
        ("2.3", "LoadBalancer", 30080),
        ("2.3", "ClusterIP", None),
    ],
)
def test_node_ports_depend_on_the_type_of_the_service(
    gateway: Any, controllers: Any, line: str, kind: str, fixed: int | None
) -> None:
    ports = [{"port": 8080, "nodePort": 30080}, {"port": 9000}]
    made = of_kind(
        "Service", gateway, controllers(line), service={"type": kind, "ports": ports, "extraLabels": {"a": "b"}}
    )
    assert [(each["port"], each.get("nodePort")) for each in made["spec"]["ports"]] == [(8080, fixed), (9000, None)]
    assert made["metadata"]["labels"]["a"] == "b"


def test_fields_of_2_3_are_unknown_to_2_1(gateway: Any, controllers: Any) -> None:
    kube: Any = {
        "service": {"loadBalancerClass": "internal", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
        "envoyContainer": {"extraArgs": ["--x"]},
        "podTemplate": {"priorityClassName": "high"},
        "deploymentOverlay": {"metadata": {"labels": {"a": "b"}}},
    }

    def found(line: str) -> Any:
        objects = {
            obj["kind"]: obj
            for obj in render(gateway, merged(kube), controllers(line), (kube,)[: line == "2.3"]).objects
        }
        pod = objects["Deployment"]["spec"]["template"]["spec"]
        service = objects["Service"]["spec"]
        return (
            [service.get(key) for key in ("loadBalancerClass", "loadBalancerSourceRanges")],
            pod["containers"][0]["args"][-1] == "--x",
            pod.get("priorityClassName"),
            objects["Deployment"]["metadata"]["labels"].get("a"),
        )

    assert found("2.1") == ([None, None], False, None, None)
    assert found("2.3") == (["internal", ["10.0.0.0/8"]], True, "high", "b")


def test_labels_and_annotations_for_the_infrastructure(gateway: Any, controllers: Any) -> None:
    given = {"labels": {"team": "edge", "kgateway": "mine"}, "annotations": {"note": "ours"}}
    gateway["spec"]["infrastructure"] = given
    for line, copied in (("2.1", False), ("2.3", True)):
        objects = render(gateway, merged(), controllers(line)).objects
        metadata = [*(obj["metadata"] for obj in objects), objects[-1]["spec"]["template"]["metadata"]]
        assert {("team" in each["labels"], each["labels"]["kgateway"]) for each in metadata} == {
            (copied, "kube-gateway")
        }
        assert {"note" in (each.get("annotations") or {}) for each in metadata} == {copied}


def test_an_agentgateway_has_one_container_and_other_reserved_ports(gateway: Any, controllers: Any) -> None:
    controller = controllers(name=AGENTGATEWAY)
    gateway["spec"]["listeners"] += [{"name": "b", "port": 15021}, {"name": "c", "port": 8082}]
    deployment = of_kind("Deployment", gateway, controller)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "agentgateway" and container["image"] == "reg/agentgateway:1.2"
    assert [each["port"] for each in of_kind("Service", gateway, controller)["spec"]["ports"]] == [8080, 8082]
