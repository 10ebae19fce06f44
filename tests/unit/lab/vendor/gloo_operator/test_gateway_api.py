"""When the operator writes its Gateway API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.vendor.gloo_operator.gateway_api import BUNDLE, GatewayApi, outdated


def crd(version: Any) -> Any:
    metadata = {"name": "gateways.gateway.networking.k8s.io", "annotations": {BUNDLE: version} if version else {}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, True),
        (crd("v1.4.0"), True),
        (crd("v1.5.0"), True),
        (crd(""), True),
        (crd("v1.5.1"), False),
        (crd("v1.10.0"), False),
        (crd("v2.0.0"), False),
    ],
)
def test_missing_and_older_crds_are_replaced_newer_ones_are_not(live: Any, expected: Any) -> None:
    assert outdated(live, crd("v1.5.1")) is expected


class Cluster:
    name = "c1"

    def __init__(self, live: Any) -> None:
        self.live = live
        self.applied: list[str] = []

    def get(self, kind: str, name: str) -> Any:
        return self.live

    def apply(self, obj: Any, manager: str) -> None:
        self.applied.append(obj["kind"])


@pytest.mark.parametrize(("version", "expected"), [("v1.4.0", True), ("v1.5.1", False)])
def test_the_policy_comes_with_the_crds_after_them(tmp_path: Path, version: Any, expected: Any) -> None:
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {}}
    file = tmp_path / "bundle.yaml"
    file.write_text(yaml.safe_dump_all([policy, crd("v1.5.1")]))
    cluster: Any = Cluster(crd(version))
    GatewayApi().bring(cluster, file)
    assert cluster.applied == (["CustomResourceDefinition", "ValidatingAdmissionPolicy"] if expected else [])
