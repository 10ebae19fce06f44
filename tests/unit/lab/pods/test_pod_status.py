"""A Pod's status from the runs of its containers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.pods import pod_status
from lab.pods.pod_status import Run

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def proxy(made: Any, **images: str) -> Any:
    names = ("kgateway-proxy", "sds", "istio-proxy")
    result = [{"name": name, "image": images.get(name.replace("-", "_"), f"registry.test/{name}")} for name in names]
    pod = made.pod("http-1", namespace="gloo-system", sidecar=False, containers=result)
    pod["status"] = {}
    return pod


def running(**runs: Run) -> dict[str, Run]:
    up = replace(pod_status.started(Run(), NOW), ready=True)
    return {"kgateway-proxy": up, "sds": runs.get("sds", up), "istio-proxy": runs.get("agent", up)}


def by_name(status: Any) -> Any:
    return {result["name"]: result for result in status["containerStatuses"]}


def conditions(status: Any) -> Any:
    return {result["type"]: result["status"] for result in status["conditions"]}


def test_three_ready_containers(made: Any) -> None:
    status = pod_status.status(proxy(made), running(), True, "10.0.0.1", NOW, "10.200.1.1")
    assert [result["ready"] for result in status["containerStatuses"]] == [True, True, True]
    assert (status["phase"], conditions(status)["Ready"], status["podIP"]) == ("Running", "True", "10.200.1.1")


def test_with_a_missing_volume_no_container_starts(made: Any) -> None:
    status = pod_status.status(proxy(made), {}, False, "10.0.0.1", NOW, "10.200.1.1")
    assert status["phase"] == "Pending" and "podIP" not in status
    assert {c["state"]["waiting"]["reason"] for c in status["containerStatuses"]} == {"ContainerCreating"}


def test_sds_in_a_crash_loop(made: Any) -> None:
    sds = pod_status.ended(pod_status.started(Run(), NOW), 1, at(3))
    assert not pod_status.pause(sds, at(3))  # the first restart comes at once
    sds = pod_status.started(sds, at(3))
    result = by_name(pod_status.status(proxy(made), running(sds=sds), True, "", at(3)))["sds"]
    assert (result["restartCount"], "running" in result["state"]) == (1, True)
    assert result["lastState"]["terminated"] == {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-01-01T12:00:00Z",
        "finishedAt": "2026-01-01T12:00:03Z",
    }

    sds = pod_status.ended(sds, 1, at(6))
    status = pod_status.status(proxy(made), running(sds=sds), True, "", at(6))
    result = by_name(status)["sds"]
    assert result["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert result["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=sds pod=http-1_")
    assert (result["restartCount"], result["lastState"]["terminated"]["exitCode"], result["ready"]) == (1, 1, False)
    assert by_name(status)["istio-proxy"]["ready"] and status["phase"] == "Running"
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False" and "[sds]" in ready["message"]


@pytest.mark.parametrize(
    ("lasted", "failures", "waits"),
    [(3, 0, 0), (3, 1, 10), (3, 2, 20), (3, 9, 20), (pod_status.RECOVERED + 1, 9, 0)],
)
def test_pauses_grow_and_start_over_after_a_long_run(lasted: float, failures: int, waits: float) -> None:
    life = pod_status.ended(Run(failures=failures, started=NOW), 1, at(lasted))
    assert pod_status.pause(life, at(lasted)) == waits
    assert pod_status.pause(life, at(lasted + waits)) == 0


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=8))
def test_restarts_are_counted_whatever_the_runs(runs: list[float]) -> None:
    life, now = Run(), NOW
    for seconds in runs:
        life = pod_status.started(life, now)
        now += timedelta(seconds=seconds)
        life = pod_status.ended(life, 1, now)
        now += timedelta(seconds=pod_status.pause(life, now))
        assert not pod_status.pause(life, now)
    assert life.restarts == len(runs) - 1


def test_a_new_kubelet_continues_the_restart_count(made: Any) -> None:
    pod = proxy(made)
    sds = pod_status.started(pod_status.ended(pod_status.started(Run(), NOW), 1, at(3)), at(3))
    pod["status"] = pod_status.status(pod, running(sds=sds), True, "", at(3))
    assert pod_status.resumed(pod, "sds") == Run(restarts=1, last=sds.last)
    assert pod_status.resumed(pod, "kgateway-proxy") == Run()


def test_nothing_changes_by_itself(made: Any) -> None:
    """A status that would differ at every look would be written at every look."""
    pod = proxy(made)
    for runs in (running(), running(sds=pod_status.ended(pod_status.started(Run(failures=1), NOW), 1, at(1)))):
        pod["status"] = pod_status.status(pod, runs, True, "10.0.0.1", at(2), "10.200.1.1")
        assert pod_status.status(pod, runs, True, "10.0.0.1", at(9), "10.200.1.1") == pod["status"]


@pytest.mark.parametrize(
    ("image", "refused"),
    [
        ("registry.invalid/istio/proxyv2:1", True),
        ("registry.invalid:5000/proxyv2", True),
        ("registry.test/invalid/proxyv2", False),
        ("example.invalid.test/proxyv2", False),
        ("proxyv2.invalid", False),
        ("", False),
        # The vendor's registries lack sds, and nothing else.
        ("us-docker.pkg.dev/solo-public/gloo-gateway/sds:2.0.1", True),
        ("us-docker.pkg.dev/solo-public/enterprise-kgateway/sds@sha256:0", True),
        ("us-docker.pkg.dev/solo-public/gloo-gateway/envoy-wrapper:2.0.1", False),
        ("cr.kgateway.dev/kgateway-dev/sds:v2.1.3", False),
        ("registry.example.com/solo-public/gloo-gateway/sds:2.0.1", False),
    ],
)
def test_images_that_no_registry_has_are_not_pulled(image: str, refused: bool) -> None:
    assert pod_status.cannot_be_pulled(image) is refused


def test_an_image_that_the_registry_lacks(made: Any) -> None:
    image = "us-docker.pkg.dev/solo-public/gloo-gateway/sds:2.0.1"
    status = pod_status.status(proxy(made, sds=image), running(sds=Run(pulled=False)), True, "", NOW)
    waiting = by_name(status)["sds"]["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff" and waiting["message"].endswith(f"{image}: not found")


def test_an_image_that_cannot_be_pulled(made: Any) -> None:
    pod = proxy(made, sds="registry.invalid:5000/sds:1")
    status = pod_status.status(pod, running(sds=Run(pulled=False)), True, "", NOW)
    waiting = by_name(status)["sds"]["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert 'Back-off pulling image "registry.invalid:5000/sds:1": ErrImagePull' in waiting["message"]
    assert "lookup registry.invalid: no such host" in waiting["message"]
    assert (status["phase"], conditions(status)["Ready"]) == ("Pending", "False")
