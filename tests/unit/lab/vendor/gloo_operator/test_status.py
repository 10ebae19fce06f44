"""A ServiceMeshController's status."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_operator.status import CONDITIONS, Observed, conditions, verdict

SPEC = {"cluster": "cluster1", "dataplaneMode": "Sidecar", "installNamespace": "istio-system", "version": "1.27.0"}


DONE = Observed(SPEC, deployed=True, available=True, responds=True, injects=True)


@pytest.mark.parametrize(
    ("seen", "phase", "expected_false"),
    [
        (DONE, "SUCCEEDED", {}),
        (DONE._replace(old=True), "INSTALLED", {}),
        (DONE._replace(bad_values="no map"), "FAILED", {"Initialized": "no map", "Ready": "no map"}),
        (
            DONE._replace(spec={**SPEC, "version": "9.9.9"}),
            "FAILED",
            {"Initialized": 'version "9.9.9" not found', "Ready": "not found"},
        ),
        (DONE._replace(spec={**SPEC, "dataplaneMode": "Ambient"}), "FAILED", {"Initialized": "Ambient", "Ready": ""}),
        (DONE._replace(helm_error="boom"), "FAILED", {"ControlPlaneDeployed": "boom", "Ready": "boom"}),
        (DONE._replace(available=False), "INSTALLED", {"ControlPlaneDeployed": "no ready Pod", "Ready": "no ready"}),
        (DONE._replace(responds=False), "INSTALLED", {"ControlPlaneDeployed": "does not respond", "Ready": "respond"}),
        (
            DONE._replace(available=False, old=True),
            "PENDING",
            {"ControlPlaneDeployed": "no ready Pod", "Ready": "no ready"},
        ),
        (DONE._replace(injects=False), "INSTALLED", {"WebhookDeployed": "CA bundle", "Ready": "CA bundle"}),
    ],
)
def test_verdicts(seen: Any, phase: Any, expected_false: Any) -> None:
    told_phase, result = verdict(seen)
    assert (told_phase, result.keys()) == (phase, expected_false.keys())
    assert all(text in result[kind] for kind, text in expected_false.items())


def test_charts_not_installed_yet() -> None:
    phase, expected_false = verdict(DONE._replace(deployed=False))
    assert phase == "PENDING"
    assert set(expected_false) == set(CONDITIONS) - {"Initialized"}


def test_conditions_are_complete_and_keep_their_transition_times() -> None:
    before = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
    result = {c["type"]: c for c in conditions({}, "SUCCEEDED", 4, before)}
    assert list(result) == list(CONDITIONS)
    assert result["Ready"]["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert {c["status"] for c in result.values()} == {"True"}
    changed = {c["type"]: c for c in conditions({"Ready": "why"}, "FAILED", 4, before)}
    assert changed["Ready"]["message"] == "why"
    assert changed["Ready"]["lastTransitionTime"] != "2020-01-01T00:00:00Z"
