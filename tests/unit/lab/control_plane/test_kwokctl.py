"""What kwok is told to do with Pods."""

from __future__ import annotations

from typing import Any

import yaml

from lab.control_plane import kwokctl


def stages(*programs: str) -> dict[str, Any]:
    return {stage["metadata"]["name"]: stage for stage in yaml.safe_load_all(kwokctl.stages(programs))}


def test_pods_of_a_real_controller_are_not_made_ready_at_once() -> None:
    simulated, real = stages("etcd"), stages("etcd", "kgateway")
    added = real["pod-ready"]["spec"]["selector"]["matchExpressions"].pop()
    assert added["operator"] == "DoesNotExist" and kwokctl.REAL_CONTROLLER in added["key"]
    assert real == simulated
