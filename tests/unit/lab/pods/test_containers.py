"""A container's environment, arguments and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.pods import containers

POD = {
    "metadata": {"name": "http-1", "namespace": "gloo-system", "uid": "u", "labels": {"app": "http"}},
    "spec": {"serviceAccountName": "http", "nodeName": "node"},
    "status": {"podIP": "10.1.2.3"},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "http-1"),
        ("metadata.labels['app']", "http"),
        ("metadata.labels['other']", ""),
        ("metadata.annotations['none']", ""),
        ("spec.serviceAccountName", "http"),
        ("status.podIP", "10.1.2.3"),
        ("status.hostIP", ""),
        ("limits.cpu", ""),
    ],
)
def test_downward_api(path: str, value: str) -> None:
    assert containers.field(POD, path) == value


def test_environment_in_order_the_last_of_a_name_counts() -> None:
    env: list[Any] = [
        {"name": "ID", "value": "first"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NAME", "value": "$(POD).$(LATER)"},
        {"name": "LATER", "value": "x"},
        {"name": "ID", "value": "second"},
        {"name": "EMPTY"},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    result = containers.environment(POD, {"env": env})
    assert result == {"ID": "second", "POD": "http-1", "NAME": "http-1.$(LATER)", "LATER": "x", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("a$(A)b$(A)", "a1b1"), ("$A $", "$A $"), ("$()", "$()")],
)
def test_references(text: str, expanded: str) -> None:
    assert containers.expand(text, {"A": "1"}) == expanded


@given(st.text(alphabet="ab(){}-. ", max_size=20))
def test_text_without_a_dollar_stays(text: str) -> None:
    assert containers.expand(text, {"a": "1"}) == text


def test_values_below_a_mount_path_are_moved_and_no_others() -> None:
    mounted = containers.mounts(
        {
            "volumeMounts": [
                {"name": "istio-certs", "mountPath": "/etc/istio-certs/"},
                {"name": "token", "mountPath": "/var/run/secrets/tokens"},
            ]
        }
    )
    assert mounted == {"/etc/istio-certs": "istio-certs", "/var/run/secrets/tokens": "token"}
    root = Path("/lab/root")
    for text, moved in {
        "/etc/istio-certs": "/lab/root/etc/istio-certs",
        "/etc/istio-certs/": "/lab/root/etc/istio-certs",
        "/var/run/secrets/tokens/istio-token": "/lab/root/var/run/secrets/tokens/istio-token",
        "/etc/istio-certs-of-others": "/etc/istio-certs-of-others",
        "istiod.istio-system.svc:15012": "istiod.istio-system.svc:15012",
        "--flag=/etc/istio-certs": "--flag=/etc/istio-certs",
    }.items():
        assert containers.relocated(text, mounted, root) == moved
