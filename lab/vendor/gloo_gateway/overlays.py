"""The overlays of GatewayParameters: patches of the rendered objects, and objects that exist only with them. Pure."""

from __future__ import annotations

import copy

from lab.control_plane.objects import Object, labels_of
from lab.vendor.gloo_gateway.strategic_merge import PatchError, merged

# Field of spec.kube -> the kind of the rendered object that it patches.
PATCHED = {"deploymentOverlay": "Deployment", "serviceOverlay": "Service", "serviceAccountOverlay": "ServiceAccount"}
# Field of spec.kube -> the kind that it adds to the Deployment.
ADDED = {
    "podDisruptionBudget": ("policy/v1", "PodDisruptionBudget"),
    "horizontalPodAutoscaler": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "verticalPodAutoscaler": ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler"),
}


class OverlayError(Exception):
    """An overlay cannot be applied."""


def applied(objects: list[Object], layers: tuple[Object, ...]) -> list[Object]:
    """The objects with the overlays of each layer's spec.kube, and those that they add. Raises OverlayError."""
    result = list(objects)
    for layer in layers:
        deployment = next((obj for obj in result if obj["kind"] == "Deployment"), None)
        patches = {kind: layer[field] for field, kind in PATCHED.items() if layer.get(field)}
        result = [_patched(obj, patches.get(obj["kind"])) for obj in result]
        if deployment is not None:
            for field, (api_version, kind) in ADDED.items():
                if layer.get(field) is not None:
                    result = [obj for obj in result if obj["kind"] != kind]
                    result.append(_patched(_beside(deployment, api_version, kind), layer[field]))
    return result


def _beside(deployment: Object, api_version: str, kind: str) -> Object:
    """An object that the Deployment gets with an overlay, before that overlay."""
    target = {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
    spec: Object = {
        "PodDisruptionBudget": {"selector": deployment["spec"]["selector"]},
        "HorizontalPodAutoscaler": {"scaleTargetRef": target},
        "VerticalPodAutoscaler": {"targetRef": target},
    }[kind]
    metadata = {key: deployment["metadata"][key] for key in ("name", "namespace", "ownerReferences")}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {**metadata, "labels": dict(labels_of(deployment))},
        "spec": spec,
    }


def _patched(obj: Object, overlay: Object | None) -> Object:
    if not overlay:
        return obj
    result, given = copy.deepcopy(obj), overlay.get("metadata") or {}
    for key in ("labels", "annotations"):
        if given.get(key):
            result["metadata"][key] = {**(result["metadata"].get(key) or {}), **given[key]}
    if overlay.get("spec") and "spec" in result:
        try:
            result["spec"] = merged(obj["kind"], result["spec"], overlay["spec"])
        except PatchError as error:
            place = f"{obj['kind']}/{obj['metadata']['name']}"
            raise OverlayError(
                f"failed to apply overlay to {place}: failed to apply strategic merge patch: {error}"
            ) from error
    return result
