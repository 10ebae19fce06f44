"""Overlays of GatewayParameters."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.overlays import OverlayError, applied
from lab.vendor.gloo_gateway.proxy import RenderError, render
from lab.vendor.gloo_gateway.proxy_defaults import merged


@pytest.fixture
def objects(gateway: Any, controllers: Any) -> Any:
    return render(gateway, merged(), controllers("2.3")).objects


def by_kind(objects: Any) -> Any:
    return {obj["kind"]: obj for obj in objects}


def test_each_overlay_changes_its_own_object(objects: Any) -> None:
    layer = {
        "deploymentOverlay": {"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 4}},
        "serviceOverlay": {"metadata": {"annotations": {"b": "2"}}, "spec": {"type": "ClusterIP"}},
        "serviceAccountOverlay": {"metadata": {"labels": {"c": "3"}}, "spec": {"ignored": True}},
    }
    before, after = by_kind(objects), by_kind(applied(objects, (layer,)))
    assert after["Deployment"]["spec"]["replicas"] == 4 and after["Deployment"]["metadata"]["labels"]["a"] == "1"
    assert after["Service"]["spec"]["type"] == "ClusterIP" and after["Service"]["metadata"]["annotations"] == {"b": "2"}
    assert after["ServiceAccount"]["metadata"]["labels"]["c"] == "3" and "spec" not in after["ServiceAccount"]
    assert after["ConfigMap"] == before["ConfigMap"]
    assert "replicas" not in before["Deployment"]["spec"] and len(after) == len(before)


def test_the_gateways_overlay_is_applied_after_the_classs(objects: Any) -> None:
    layers = (
        {"deploymentOverlay": {"spec": {"replicas": 2, "paused": True}}},
        {"deploymentOverlay": {"spec": {"replicas": 5}}},
    )
    spec = by_kind(applied(objects, layers))["Deployment"]["spec"]
    assert (spec["replicas"], spec["paused"]) == (5, True)


def test_autoscalers_and_budgets_are_made_for_the_deployment(objects: Any) -> None:
    layer = {
        "horizontalPodAutoscaler": {"metadata": {"labels": {"a": "b"}}, "spec": {"maxReplicas": 3}},
        "podDisruptionBudget": {"spec": {"minAvailable": 1}},
        "verticalPodAutoscaler": {},
    }
    deployment, found = by_kind(objects)["Deployment"], by_kind(applied(objects, (layer,)))
    assert found["HorizontalPodAutoscaler"]["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "http"},
        "maxReplicas": 3,
    }
    assert found["HorizontalPodAutoscaler"]["metadata"]["labels"] == {**deployment["metadata"]["labels"], "a": "b"}
    assert found["PodDisruptionBudget"]["spec"] == {"selector": deployment["spec"]["selector"], "minAvailable": 1}
    assert found["VerticalPodAutoscaler"]["spec"]["targetRef"]["name"] == "http"
    for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget", "VerticalPodAutoscaler"):
        assert found[kind]["metadata"]["ownerReferences"] == deployment["metadata"]["ownerReferences"]


def test_without_a_deployment_there_is_nothing_to_scale(gateway: Any, controllers: Any) -> None:
    """A Deployment that the API server refuses gets neither overlay nor autoscaler."""
    kube: Any = {
        "istio": {"istioProxyContainer": {"istioMetaClusterId": "123"}},
        "horizontalPodAutoscaler": {"spec": {"maxReplicas": 3}},
    }
    rendered = render(gateway, merged(kube), controllers("2.3"), (kube,))
    assert set(by_kind(rendered.objects)) == {"ServiceAccount", "ConfigMap", "Service"} and rendered.refused


def test_an_overlay_that_cannot_be_applied_makes_the_parameters_invalid(
    objects: Any, gateway: Any, controllers: Any
) -> None:
    layer: Any = {"deploymentOverlay": {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}}
    with pytest.raises(OverlayError, match="Deployment/http: failed to apply strategic merge patch"):
        applied(objects, (layer,))
    with pytest.raises(
        RenderError, match=r"^failed to post-process objects for gloo-system\.http: failed to apply overlay"
    ):
        render(gateway, merged(layer), controllers("2.3"), (layer,))
