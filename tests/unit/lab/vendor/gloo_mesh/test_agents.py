"""The status of agents' Pods."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.agents import crash_status
from lab.vendor.gloo_mesh.relay import Problem


def pod(made: Any, *, waiting: Any = False) -> Any:
    result = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh")
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if waiting else {"running": {}}
    result["status"]["containerStatuses"] = [{"name": "agent", "image": "i", "imageID": "", "restartCount": 2}]
    result["status"]["containerStatuses"][0]["state"] = state
    return result


def test_a_fatal_agent_is_crash_looping_with_the_reason(made: Any) -> None:
    status = crash_status(pod(made), Problem("no token", fatal=True))
    assert status is not None
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "no token"
    assert container["restartCount"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "ContainersReady": "False"}


def test_it_recovers_once_the_secret_exists(made: Any) -> None:
    status = crash_status(pod(made, waiting=True), None)
    assert status is not None
    assert status["containerStatuses"][0]["ready"] is True
    assert status["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize("why", [None, Problem("connection refused")])
def test_other_problems_do_not_change_the_pod(made: Any, why: Any) -> None:
    assert crash_status(pod(made), why) is None


def test_a_crash_looping_pod_is_not_changed_again(made: Any) -> None:
    assert crash_status(pod(made, waiting=True), Problem("no token", fatal=True)) is None
