"""Building, checking and comparing GatewayParameters."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils import gateway_parameters as gp
from ansible_collections.multicluster.gloo.plugins.module_utils.proxy_settings import yaml_changes

ISTIOD = {"address": "istiod-gloo.istio-system.svc:15012", "cluster_id": "cluster1", "mesh_id": "cluster.local"}


def built(**options: Any) -> dict[str, Any]:
    return gp.build({"name": "custom-gw-params", "namespace": "gloo-system", **options})


def container(**fields: Any) -> dict[str, Any]:
    return built(spec={"kube": {"istio": {"istioProxyContainer": fields}}})


def test_options_become_fields() -> None:
    obj = built(
        istio={
            "discovery_address": "istiod-gloo.istio-system.svc:15012",
            "meta_cluster_id": "cluster1",
            "meta_mesh_id": "",
            "image": {"repository": "proxyv2", "tag": None, "pull_policy": "Never"},
            "log_level": None,
        },
        sds={"image": {"tag": "v2.1.0"}},
        spec={"kube": {"deployment": {"replicas": 2}, "sdsContainer": {"bootstrap": {"logLevel": "debug"}}}},
    )
    assert obj["spec"] == {
        "kube": {
            "istio": {
                "istioProxyContainer": {
                    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
                    "istioMetaClusterId": "cluster1",
                    "image": {"repository": "proxyv2", "pullPolicy": "Never"},
                }
            },
            "sdsContainer": {"image": {"tag": "v2.1.0"}, "bootstrap": {"logLevel": "debug"}},
            "deployment": {"replicas": 2},
        }
    }
    assert gp.validate(obj) == []


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (built(), "is empty"),
        (built(spec={"kube": {}, "selfManaged": {}}), "exactly one of kube and selfManaged"),
        (container(istioDiscoveryAddress="istiod.istio-system.svc"), "without a port"),
        (container(istioDiscoveryAddress="https://istiod:15012"), "a URL"),
        (container(istioDiscoveryAddress="istiod:99999"), "port 99999"),
        (container(istioDiscoveryAddress="istiod_x.svc:15012"), "no host name"),
        (container(istioDiscoveryAddress="fd00::1:15012"), "brackets"),
        (container(istioMetaClusterId=123), "it has to be text"),
        (container(istioMetaClusterId="123"), "unquoted"),
        (container(istioMetaClusterId="on"), "unquoted"),
        (container(istioMetaMeshId="1e3"), "unquoted"),
        (container(istioMetaMeshId="a: b"), "letters, digits"),
        (container(image={"tag": "v1 2"}), "istioProxyContainer.image.tag 'v1 2'"),
        (built(spec={"kube": {"sdsContainer": {"image": {"repository": "sds:v1"}}}}), "the tag goes into tag"),
        (built(spec={"kube": {"sdsContainer": {"image": {"tag": 2.1}}}}), "put it in quotes"),
        (built(spec={"kube": {"deployment": {"replicas": -1}}}), "at least 0"),
    ],
)
def test_refused(obj: dict[str, Any], words: str) -> None:
    problems = gp.validate(obj)
    assert len(problems) == 1 and words in problems[0], problems


@pytest.mark.parametrize(
    "address", ["istiod.istio-system.svc:15012", "192.0.2.1:15012", "[fd00::1]:15012", "istiod.example.test.:443"]
)
def test_good_addresses(address: str) -> None:
    assert gp.address_problems(address) == []


@given(st.text(alphabet="0123456789abcdefonx.-_+:~ytrulsN", max_size=10))
def test_whatever_yaml_would_turn_into_something_else_is_refused(text: str) -> None:
    try:
        same = yaml.safe_load(f"value: {text}")["value"] == text
    except yaml.YAMLError:
        same = False
    if not same:
        assert gp.id_problems(text), text


@pytest.mark.parametrize("text", ["cluster1", "cluster.local", "east-1", "c1", "k8s_eu", "n0", "1a"])
def test_plain_ids_pass(text: str) -> None:
    assert not yaml_changes(text) and gp.id_problems(text) == []


def test_contradictions_name_both_values() -> None:
    found = gp.contradictions(container(istioDiscoveryAddress="istiod.istio-system.svc:15012")["spec"], ISTIOD)
    assert "istiod.istio-system.svc:15012" in found[0] and "istiod-gloo.istio-system.svc:15012" in found[0]
    assert "Kubernetes" in found[1] and "cluster1" in found[1]


def test_the_same_address_in_full_is_no_contradiction() -> None:
    spec = container(
        istioDiscoveryAddress="istiod-gloo.istio-system.svc.cluster.local:15012", istioMetaClusterId="cluster1"
    )
    assert gp.contradictions(spec["spec"], ISTIOD) == []
    assert gp.remarks(spec["spec"], {**ISTIOD, "mesh_id": "mesh1"}) != []


def gateway(name: str, namespace: str, kind: str = "GatewayParameters") -> dict[str, Any]:
    ref = {"group": "gateway.kgateway.dev", "kind": kind, "name": "custom-gw-params"}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"infrastructure": {"parametersRef": ref}},
    }


def test_references_are_found() -> None:
    gateways = [gateway("http", "gloo-system"), gateway("far", "other"), gateway("x", "gloo-system", "Other")]
    gateways.append({"metadata": {"name": "plain", "namespace": "gloo-system"}, "spec": {}})
    ref = {**gateway("", "")["spec"]["infrastructure"]["parametersRef"], "namespace": "gloo-system"}
    classes: list[dict[str, Any]] = [
        {"metadata": {"name": "mine"}, "spec": {"parametersRef": ref}},
        {"metadata": {"name": "bare"}, "spec": {}},
    ]
    assert gp.references(built(spec={"kube": {}}), gateways, classes) == [
        "Gateway gloo-system/http",
        "GatewayClass mine",
    ]
