"""What the played Gloo Operator installs and reports."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.vendor.gloo_operator.gloo_operator import conditions, licensed, operator_pod
from lab.vendor.gloo_operator.istio_release import injector, leftovers, values
from lab.vendor.gloo_operator.status import CONDITIONS, Observed, verdict

SPEC = {"cluster": "cluster1", "dataplaneMode": "Sidecar", "installNamespace": "istio-system", "version": "1.27.0"}
DONE = Observed(SPEC, licensed=True, deployed=True, available=True, responds=True, injects=True)


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


def test_values_leave_out_what_is_not_told() -> None:
    _, istiod = values({"version": "1.27.0"}, 1)
    assert "network" not in istiod["global"]
    assert "meshConfig" not in istiod
    assert istiod["global"]["multiCluster"]["clusterName"] == "Kubernetes"


@pytest.mark.parametrize(
    ("seen", "phase", "wrong"),
    [
        (DONE, "SUCCEEDED", {}),
        (DONE._replace(licensed=False), "FAILED", {"Initialized": "SOLO_ISTIO_LICENSE_KEY", "Ready": "licence"}),
        (
            DONE._replace(spec={**SPEC, "version": "9.9.9"}),
            "FAILED",
            {"Initialized": 'version "9.9.9" not found', "Ready": "not found"},
        ),
        (DONE._replace(spec={**SPEC, "dataplaneMode": "Ambient"}), "FAILED", {"Initialized": "Ambient", "Ready": ""}),
        (DONE._replace(helm_error="boom"), "FAILED", {"ControlPlaneDeployed": "boom", "Ready": "boom"}),
        (DONE._replace(available=False), "INSTALLED", {"ControlPlaneDeployed": "no ready Pod", "Ready": "no ready"}),
        (DONE._replace(responds=False), "INSTALLED", {"ControlPlaneDeployed": "does not respond", "Ready": "respond"}),
        (DONE._replace(injects=False), "INSTALLED", {"WebhookDeployed": "CA bundle", "Ready": "CA bundle"}),
    ],
)
def test_verdicts(seen: Any, phase: Any, wrong: Any) -> None:
    told_phase, told = verdict(seen)
    assert (told_phase, told.keys()) == (phase, wrong.keys())
    assert all(text in told[kind] for kind, text in wrong.items())


def test_charts_not_installed_yet() -> None:
    phase, wrong = verdict(DONE._replace(deployed=False))
    assert phase == "INSTALLING"
    assert set(wrong) == set(CONDITIONS) - {"Initialized"}


def test_conditions_are_complete_and_keep_their_times() -> None:
    before = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
    told = {c["type"]: c for c in conditions({}, "SUCCEEDED", 4, before)}
    assert list(told) == list(CONDITIONS)
    assert told["Ready"]["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert {c["status"] for c in told.values()} == {"True"}
    changed = {c["type"]: c for c in conditions({"Ready": "why"}, "FAILED", 4, before)}
    assert changed["Ready"]["message"] == "why"
    assert changed["Ready"]["lastTransitionTime"] != "2020-01-01T00:00:00Z"


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
