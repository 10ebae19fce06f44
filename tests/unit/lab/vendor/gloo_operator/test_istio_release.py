"""Helm values of Istio's charts, and the objects that istiod leaves behind."""

from __future__ import annotations

from typing import Any

from lab.vendor.gloo_operator.istio_release import injector, leftovers, values

SPEC = {"cluster": "cluster1", "dataplaneMode": "Sidecar", "installNamespace": "istio-system", "version": "1.27.0"}


def test_values_name_cluster_revision_and_webhooks() -> None:
    base, istiod = values({**SPEC, "network": "net1", "trustDomain": "td"}, 20001)
    assert base["base"]["validationURL"] == "https://localhost:20001/validate"
    assert istiod["istiodRemote"]["injectionURL"] == "https://localhost:20001/inject"
    assert istiod["revision"] == base["defaultRevision"] == "gloo"
    assert istiod["global"]["multiCluster"] == {"clusterName": "cluster1"}
    assert istiod["global"]["tag"] == "1.27.0-solo"
    assert istiod["global"]["network"] == "net1"
    assert istiod["meshConfig"] == {"trustDomain": "td"}
    assert istiod["env"]["PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"] == "false"


def test_values_without_the_optional_fields() -> None:
    _, istiod = values({"version": "1.27.0"}, 1)
    assert "network" not in istiod["global"]
    assert "meshConfig" not in istiod
    assert istiod["global"]["multiCluster"]["clusterName"] == "Kubernetes"


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
