"""The status of agents' Pods."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.agents import crash_status
from lab.vendor.gloo_mesh.relay import Problem


def pod(made: Any, *, waiting: Any = False) -> Any:
    told = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh")
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if waiting else {"running": {}}
    told["status"]["containerStatuses"] = [{"name": "agent", "image": "i", "imageID": "", "restartCount": 2}]
    told["status"]["containerStatuses"][0]["state"] = state
    return told


def test_a_fatal_agent_crash_loops_and_says_why(made: Any) -> None:
    status = crash_status(pod(made), Problem("no token", fatal=True))
    assert status is not None
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "no token"
    assert container["restartCount"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "ContainersReady": "False"}


def test_it_recovers_once_the_secret_is_there(made: Any) -> None:
    status = crash_status(pod(made, waiting=True), None)
    assert status is not None
    assert status["containerStatuses"][0]["ready"] is True
    assert status["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize("why", [None, Problem("connection refused")])
def test_what_is_not_fatal_leaves_the_pod_alone(made: Any, why: Any) -> None:
    assert crash_status(pod(made), why) is None


def test_a_crash_status_pod_is_not_crash_status_twice(made: Any) -> None:
    assert crash_status(pod(made, waiting=True), Problem("no token", fatal=True)) is None
