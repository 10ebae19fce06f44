"""A ServiceMeshController's status. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from lab.control_plane import objects
from lab.control_plane.objects import Object
from lab.vendor.gloo_operator.istio_release import ISTIOD

Verdict = tuple[str, dict[str, str]]  # phase; message by type of the conditions that are False

LICENCES = ("SOLO_ISTIO_LICENSE_KEY", "ENTERPRISE_ISTIO_LICENSE")

CONDITIONS = ("Initialized", "CRDInstalled", "ControlPlaneDeployed", "WebhookDeployed", "Ready")


class Observed(NamedTuple):
    """One ServiceMeshController and the state of its installation."""

    spec: Object
    old: bool = False  # the operator is older than 0.5
    bad_values: str = ""  # what is wrong with the user's values
    helm_error: str = ""
    deployed: bool = False  # both charts, with these values
    available: bool = False  # Deployment istiod-gloo has a ready Pod
    responds: bool = False  # the istiod process is ready
    injects: bool = False  # its webhook has a CA bundle


def refusal(observed: Observed) -> str:
    """Why the operator does not install anything; empty when it does."""
    version = observed.spec.get("version") or ""
    if observed.bad_values:
        return observed.bad_values
    if not re.fullmatch(r"1\.(2[0-9]|3[0-9])\.\d+(-[a-z0-9.-]+)?", version):
        return f'chart "istiod" version "{version}" not found in the Istio chart repository'
    if observed.spec.get("dataplaneMode", "Ambient") != "Sidecar":
        return "dataplaneMode Ambient cannot be simulated in the lab, only Sidecar"
    return ""


def verdict(observed: Observed) -> Verdict:
    """The status. A condition that is waited for is False.

    The phase is INSTALLED when everything is ready (operator before 0.5), or until it is (0.5, then SUCCEEDED).
    """
    message = refusal(observed)
    if message:
        return "FAILED", {"Initialized": message, "Ready": message}
    if observed.helm_error:
        return "FAILED", {"ControlPlaneDeployed": observed.helm_error, "Ready": observed.helm_error}
    if not observed.deployed:
        return "PENDING", {kind: "installing charts" for kind in CONDITIONS if kind != "Initialized"}
    waiting = []
    if not observed.available:
        waiting.append(("ControlPlaneDeployed", f"Deployment {ISTIOD} has no ready Pod"))
    elif not observed.responds:
        waiting.append(("ControlPlaneDeployed", f"{ISTIOD} does not respond"))
    if not observed.injects:
        waiting.append(("WebhookDeployed", "the injection webhook has no CA bundle yet"))
    if waiting:
        return "PENDING" if observed.old else "INSTALLED", {
            **dict(waiting),
            "Ready": "; ".join(text for _, text in waiting),
        }
    return "INSTALLED" if observed.old else "SUCCEEDED", {}


def conditions(false: dict[str, str], phase: str, generation: int, before: list[Object]) -> list[Object]:
    """All conditions. false: messages by type of those that are False."""
    defaults = dict.fromkeys(CONDITIONS, ("True", "Succeeded", ""))
    overrides = {kind: ("False", phase.capitalize(), message) for kind, message in false.items()}
    return objects.conditions(defaults, overrides, generation, before)
