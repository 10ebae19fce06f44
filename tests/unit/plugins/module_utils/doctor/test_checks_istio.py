"""Checks of Istio: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

from typing import Any

import pytest

import authorities
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_istio
from health_changes import (
    Broken,
    Change,
    Json,
    add,
    assert_first_problem,
    both,
    drop,
    set_field,
    set_secret,
    trusts,
)
from health_site import secret


def _asleep(site: Any) -> None:
    site.one("c2", "Deployment", "istiod-gloo").update(
        spec={**site.one("c2", "Deployment", "istiod-gloo")["spec"], "replicas": 0}, status={}
    )
    site.clusters["c2"]["EndpointSlice"].clear()


def _older(cluster: str, pod: str) -> Change:
    return set_field(cluster, "Pod", pod, "metadata.creationTimestamp", "2026-01-01T09:00:00Z")


def _changed(site: Any) -> None:
    """istiod of c2 has changed the root that it distributes, five minutes after the Pods of 10:00 and before others."""
    written = {"manager": "pilot-discovery", "time": "2026-01-01T10:05:00Z", "fieldsV1": {"f:data": {}}}
    site.one("c2", "ConfigMap", "istio-ca-root-cert")["metadata"].update(
        creationTimestamp="2026-01-01T08:00:00Z", managedFields=[written]
    )


def _was_self_signed(site: Any) -> None:
    _changed(site)
    site.secrets["c2"]["istio-ca-secret"] = secret({"ca-cert.pem": authorities.root("self-signed").pem})


def _renamed_port(site: Any) -> None:
    site.one("c2", "Service", "ew")["spec"]["ports"][0]["name"] = "tcp"


_NO_GATEWAY = {"selector": {"labels": {"istio": "none"}}}


_FALSE = [
    {"type": "Ready", "status": "False", "reason": "Licence", "message": "no licence given", "observedGeneration": 1}
]


SECOND_MESH: Json = {
    "apiVersion": "operator.gloo.solo.io/v1",
    "kind": "ServiceMeshController",
    "metadata": {"name": "second", "generation": 1},
    "status": {"phase": "FAILED", "conditions": _FALSE},
}


BROKEN = [
    Broken(
        "operator", "c2", "warning", drop("c2", "Deployment", "gloo-operator"), ("does not exist; istiod is ready",)
    ),
    Broken("operator", "c2", "failed", both(_asleep, drop("c2", "Deployment", "gloo-operator")), ("does not exist",)),
    Broken(
        "service-mesh-controller",
        "c2",
        "failed",
        both(
            _asleep,
            set_field(
                "c2", "ServiceMeshController", "managed-istio", "status", {"phase": "FAILED", "conditions": _FALSE}
            ),
        ),
        ("no licence given",),
    ),
    Broken(
        "service-mesh-controller",
        "c2",
        "warning",
        add("c2", "ServiceMeshController", SECOND_MESH),
        ("ServiceMeshController second", "no licence given", "istiod is ready"),
    ),
    Broken("istiod", "c2", "failed", _asleep, ("0 replicas",)),
    Broken(
        "istiod",
        "c2",
        "failed",
        both(_asleep, set_field("c2", "ServiceMeshController", "managed-istio", "status", {"phase": "INSTALLED"})),
        ("0 replicas",),
    ),
    Broken(
        "istiod",
        "c2",
        "failed",
        both(drop("c2", "Deployment", "istiod-gloo"), drop("c2", "Service", "istiod-gloo")),
        ("no istiod found",),
    ),
    Broken(
        "cluster-id",
        "c2",
        "warning",
        set_field("c2", "Deployment", "istiod-gloo", "spec.template.spec.containers.0.env.0.name", "NOT_THIS"),
        ("Kubernetes", "registered as c2"),
    ),
    Broken(
        "cacerts",
        "c2",
        "failed",
        both(trusts("c2", "other"), set_secret("c2", "cacerts", None)),
        ("self-signed root CA",),
    ),
    Broken(
        "root-shared",
        "c2",
        "failed",
        both(trusts("c2", "other"), drop("mgmt", "RootTrustPolicy", "root"), set_secret("c2", "cacerts", None)),
        ("c2 does not accept certificates of c1", "CN=other", "CN=mesh"),
    ),
    Broken(
        "root-shared",
        "c2",
        "failed",
        trusts("c2", "other"),
        ("has not loaded Secret cacerts in c2", "Unless", "restart istiod"),
    ),
    Broken(
        "certificates-fresh",
        "c2",
        "failed",
        both(_older("c2", "reviews-1"), _was_self_signed),
        ("app/reviews-1", "CN=self-signed"),
    ),
    Broken("certificates-fresh", "c2", "warning", both(_older("c2", "reviews-1"), _changed), ("app/reviews-1",)),
    Broken("east-west-gateway", "c2", "failed", drop("c2", "Service", "ew"), ("no Service has the labels",)),
    Broken("east-west-gateway", "c2", "failed", lambda s: s.unready("c2", "ew"), ("no ready Pod",)),
    Broken(
        "east-west-gateway",
        "c2",
        "failed",
        set_field("c2", "Pod", "ew-1", "metadata.labels", {"istio": "eastwestgateway", "istio.io/rev": "old"}),
        ("revision old", "gloo"),
    ),
    Broken("east-west-port", "c2", "failed", _renamed_port, ("lacks a port named tls", "15443")),
    Broken(
        "east-west-address",
        "c2",
        "failed",
        both(set_field("c2", "Service", "ew", "status", {}), lambda s: s.clusters["c1"]["WorkloadEntry"].clear()),
        ("no load balancer address",),
    ),
    Broken(
        "east-west-address",
        "c2",
        "warning",
        set_field("c2", "Service", "ew", "status.loadBalancer", {"ingress": [{"hostname": "ew.example"}]}),
        ("ew.example", "gateways in c1", "hostInfoOverrides"),
    ),
    Broken(
        "east-west-address",
        "c2",
        "warning",
        set_field("c1", "WorkloadEntry", "we", "spec.address", "192.0.2.99"),
        ("192.0.2.99:15443", "192.0.2.2:15443"),
    ),
    Broken(
        "east-west-selected",
        "mgmt",
        "failed",
        set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 0),
        ("0 east-west gateways for 2 clusters",),
    ),
    Broken(
        "east-west-selected",
        "mgmt",
        "failed",
        both(
            set_field(
                "mgmt",
                "WorkspaceSettings",
                "ws",
                "spec.options",
                {"eastWestGateways": [_NO_GATEWAY]},
            ),
            set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 0),
        ),
        ("no east-west gateway in c1, c2", "options.eastWestGateways"),
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{n}-{row.id}" for n, row in enumerate(BROKEN)])
def test_the_first_problem(broken: Broken) -> None:
    assert_first_problem(broken)


def test_every_check_is_broken_at_least_once() -> None:
    assert {row.id for row in BROKEN} == {check.id for check in checks_istio.CHECKS}
