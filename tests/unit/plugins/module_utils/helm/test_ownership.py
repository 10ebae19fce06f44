"""Owners of existing objects, and the switches that leave out CRDs of others."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.ownership import (
    CRD,
    Owned,
    left_out,
    owner_of,
    switched_off,
)

SWITCHES = {
    "crds.auth": ["authconfigs.extauth.solo.io"],
    "crds.sets": ["enterpriselistenersets.enterprise.solo.io"],
    "crds.enterprise": ["enterpriselistenersets.enterprise.solo.io"],
    "pair": ["a.example.com", "b.example.com"],
}


def owned(name: str, kind: str = CRD) -> Owned:
    return Owned(kind, name, "", "Helm release a/b")


@pytest.mark.parametrize(
    ("found", "missing", "switches"),
    [
        ([], [], []),
        (["authconfigs.extauth.solo.io"], ["b.example.com"], ["crds.auth"]),
        # Versions of a chart name the switch differently: all are turned off.
        (["enterpriselistenersets.enterprise.solo.io"], [], ["crds.sets", "crds.enterprise"]),
        (["a.example.com", "b.example.com"], [], ["pair"]),
    ],
)
def test_every_switch_with_a_crd_of_others_is_turned_off(
    found: list[str], missing: list[str], switches: list[str]
) -> None:
    assert left_out(map(owned, found), missing, SWITCHES) == switches


@pytest.mark.parametrize(
    ("found", "missing", "error"),
    [
        (owned("gatewayparameters.gateway.kgateway.dev"), [], "gatewayparameters.gateway.kgateway.dev belongs to"),
        (owned("a.example.com"), ["b.example.com"], "pair=false would leave out b.example.com as well"),
        (owned("authconfigs.extauth.solo.io", "ConfigMap"), [], "ConfigMap authconfigs.extauth.solo.io belongs to"),
    ],
)
def test_without_a_fitting_switch_the_object_is_named(found: Owned, missing: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        left_out([found], missing, SWITCHES)


def test_switches_are_paths_in_the_values() -> None:
    assert switched_off(["crds.auth", "pair"]) == {"crds": {"auth": False}, "pair": False}


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        (
            {
                "annotations": {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "team"},
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
            },
            "",
        ),
        (
            {"annotations": {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "other"}},
            "Helm release other/edge",
        ),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "app:x"}}, "Argo CD application app"),
        ({"labels": {"app.kubernetes.io/instance": "x"}}, "an installer without Helm records (instance x)"),
        ({"labels": {"operator.istio.io/component": "Pilot"}}, "istioctl"),
        ({"managedFields": [{"manager": "kubectl-create"}]}, "field manager kubectl-create"),
        ({"managedFields": [{"manager": "a"}, {"manager": "b"}, {"manager": "a"}]}, "field managers a and b"),
        # Only managers of the object itself, without ours.
        (
            {
                "managedFields": [
                    {"manager": "a"},
                    {"manager": "b", "subresource": "status"},
                    {"manager": "multicluster.gloo"},
                ]
            },
            "field manager a",
        ),
        ({"managedFields": [{"manager": "multicluster.gloo"}]}, "this collection (multicluster.gloo)"),
        # An API server may leave out managedFields.
        ({"labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}, "this collection (multicluster.gloo)"),
        ({}, "an unknown owner"),
        ({"annotations": "text", "labels": ["x"], "managedFields": {"manager": "a"}}, "an unknown owner"),
    ],
)
def test_the_owner_of_an_object(metadata: dict[str, Any], owner: str) -> None:
    assert owner_of({"metadata": metadata}, "edge", "team") == owner
