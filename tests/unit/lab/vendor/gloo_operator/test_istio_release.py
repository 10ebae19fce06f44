"""Helm values of Istio's charts, and the objects that istiod leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_operator.istio_release import PRESET, extensions, injector, leftovers, values

SPEC = {"cluster": "cluster1", "dataplaneMode": "Sidecar", "installNamespace": "istio-system", "version": "1.27.0"}


def test_values_name_cluster_revision_and_webhooks() -> None:
    base, istiod = values({**SPEC, "network": "net1", "trustDomain": "td"}, 20001, {}, {})
    assert base["base"]["validationURL"] == "https://localhost:20001/validate"
    assert istiod["istiodRemote"]["injectionURL"] == "https://localhost:20001/inject"
    assert istiod["revision"] == base["defaultRevision"] == "gloo"
    assert istiod["global"]["multiCluster"] == {"clusterName": "cluster1"}
    assert istiod["global"]["tag"] == "1.27.0-solo"
    assert istiod["global"]["network"] == "net1"
    assert istiod["meshConfig"] == {"trustDomain": "td"}
    assert "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES" not in istiod["env"]


def test_values_without_the_optional_fields() -> None:
    _, istiod = values({"version": "1.27.0"}, 1, {}, {})
    assert "network" not in istiod["global"]
    assert "meshConfig" not in istiod
    assert istiod["global"]["multiCluster"]["clusterName"] == "Kubernetes"


def config(text: Any) -> Any:
    return {"data": {"values.istiod": text, "values.istio-ztunnel": "env: {L7_ENABLED: true}"}}


def test_the_users_values_win_and_keep_the_others() -> None:
    text = "env: {PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES: 'false'}\nglobal: {tag: mine}\nresources: null\n"
    _, istiod = values(SPEC, 1, extensions(config(text)), {})
    assert istiod["env"] == {
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ALPN_FILTER": "false",
        "PILOT_SKIP_VALIDATE_TRUST_DOMAIN": "true",
        "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES": "false",
    }
    assert (istiod["global"]["tag"], istiod["global"]["multiCluster"]) == ("mine", {"clusterName": "cluster1"})
    assert istiod["resources"] is None
    assert values(SPEC, 1, {}, PRESET)[1]["env"]["PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"] == "false"


@pytest.mark.parametrize("found", [None, {}, {"data": {}}, config(""), {"data": {"values.gloo": "a: b"}}])
def test_no_values_change_nothing(found: Any) -> None:
    assert extensions(found) == {}


@pytest.mark.parametrize("text", ["a: [", "- a", "text"])
def test_values_that_are_no_map_are_an_error(text: Any) -> None:
    with pytest.raises(ValueError, match=r"ConfigMap gloo-extensions-config, key values\.istiod"):
        extensions(config(text))


def test_leftovers_are_istiods_own(made: Any) -> None:
    objects = [
        made.obj("ConfigMap", "istio-ca-root-cert", "bookinfo"),
        made.obj("ConfigMap", "istio-leader", "istio-system"),
        made.obj("ConfigMap", "istio-leader", "elsewhere"),
        made.obj("ConfigMap", "mine", "istio-system"),
        made.obj("Secret", "istio-ca-secret", "istio-system"),
        made.obj("Secret", "cacerts", "istio-system"),
        made.obj("GatewayClass", "istio", "", spec={"controllerName": "istio.io/gateway-controller"}),
        made.obj("GatewayClass", "istio-remote", "", spec={"controllerName": "example.com/mine"}),
        made.obj("GatewayClass", "mine", "", spec={"controllerName": "istio.io/gateway-controller"}),
    ]
    assert leftovers(objects, "istio-system") == [
        ("ConfigMap", "istio-ca-root-cert", "bookinfo"),
        ("ConfigMap", "istio-leader", "istio-system"),
        ("Secret", "istio-ca-secret", "istio-system"),
        ("GatewayClass", "istio", ""),
    ]


def test_injector_of_another_namespace_has_it_in_its_name() -> None:
    assert injector("istio-system") == "istio-sidecar-injector-gloo"
    assert injector("mesh") == "istio-sidecar-injector-gloo-mesh"
