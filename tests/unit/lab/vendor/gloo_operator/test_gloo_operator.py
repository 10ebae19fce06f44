"""The simulated Gloo Operator: licence and Pod."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.vendor.gloo_operator.gloo_operator import licensed, old, operator_pod


@pytest.mark.parametrize("text", ["key", ""])
@pytest.mark.parametrize("by_secret", [True, False])
def test_licence_from_text_or_secret(made: Any, text: Any, by_secret: Any) -> None:
    ref = {"secretKeyRef": {"name": "s", "key": "k"}}
    entry = {"name": "SOLO_ISTIO_LICENSE_KEY", **({"valueFrom": ref} if by_secret else {"value": text})}
    pod = made.pod("op", namespace="gloo-mesh", sidecar=False, containers=[{"name": "manager", "env": [entry]}])
    secret = made.obj("Secret", "s", "gloo-mesh", data={"k": base64.b64encode(text.encode()).decode()})
    assert licensed(made.Cluster("c", secret), pod) is bool(text)


def test_only_a_ready_operator_acts(made: Any) -> None:
    labels = {"app.kubernetes.io/name": "gloo-operator"}
    assert operator_pod([made.pod("p", labels, ready=False), made.pod("q")]) is None
    ready = made.pod("p", labels)
    assert operator_pod([ready]) is ready


@pytest.mark.parametrize(
    ("tag", "expected"), [("0.4.2", True), ("v0.2.3", True), ("0.5.0", False), ("0.10.1", False), ("latest", False)]
)
def test_operators_before_0_5_are_old(made: Any, tag: Any, expected: Any) -> None:
    image = f"registry.example:5000/gloo-operator/gloo-operator:{tag}"
    assert old(made.pod("op", sidecar=False, containers=[{"name": "manager", "image": image}])) is expected
