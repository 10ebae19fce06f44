"""A gateway proxy Pod's status: who gets a certificate, and what is seen when nobody does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab import kubelet
from lab.istiod import Running

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
ISTIOD = Running(1, "uid-istiod", "istiod", "istio-system", "cluster1", "http://x/ready", 1, 2)
ADDRESS = "istiod-gloo.istio-system.svc:15012"


def proxy(made: Any, address: Any = ADDRESS, cluster_id: Any = "cluster1", mesh: Any = True) -> Any:
    env = [{"name": "CA_ADDR", "value": address}, {"name": "ISTIO_META_CLUSTER_ID", "value": cluster_id}]
    sidecars = [{"name": "sds"}, {"name": "istio-proxy", "env": env}] if mesh else []
    return made.pod(
        "http-1", namespace="gloo-system", sidecar=False, containers=[{"name": "kgateway-proxy"}, *sidecars]
    )


def cluster(made: Any, *more: Any, root: Any = True) -> Any:
    istiod = made.pod("istiod", namespace="istio-system", sidecar=False)
    objects = [istiod, *made.service("istiod-gloo", 15012, [istiod]), *more]
    return made.Cluster(
        "cluster1", *objects, *([made.obj("ConfigMap", "istio-ca-root-cert", "gloo-system")] if root else [])
    )


@pytest.mark.parametrize(
    ("address", "cluster_id", "outcome"),
    [
        (ADDRESS, "cluster1", "ok"),
        (ADDRESS, "", "ok"),
        ("istiod-gloo.istio-system.svc.cluster.local:15012", "cluster1", "ok"),
        (ADDRESS, "Kubernetes", "refused"),
        ("istiod.istio-system.svc:15012", "cluster1", "refused"),
        ("istiod-gloo.istio-system.svc:15010", "cluster1", "refused"),
        ("istiod-gloo.elsewhere.svc:15012", "cluster1", "refused"),
        ("istiod-gloo.istio-system.svc", "cluster1", "exits"),
        ("", "cluster1", "exits"),
    ],
)
def test_who_gets_a_certificate(made: Any, address: Any, cluster_id: Any, outcome: Any) -> None:
    assert kubelet.certificate(cluster(made), proxy(made, address, cluster_id), ISTIOD).outcome == outcome


def test_no_living_istiod_no_certificate(made: Any) -> None:
    assert kubelet.certificate(cluster(made), proxy(made), None).outcome == "refused"
    other = Running(**{**ISTIOD.__dict__, "pod_uid": "uid-of-another"})
    assert kubelet.certificate(cluster(made), proxy(made), other).outcome == "refused"


def test_no_trust_root_in_the_namespace_keeps_the_pod_from_starting(made: Any) -> None:
    verdict = kubelet.certificate(cluster(made, root=False), proxy(made), ISTIOD)
    assert verdict.outcome == "creating"
    status = kubelet.status_of(proxy(made), verdict, False, 0, "10.0.0.1", NOW)
    assert status["phase"] == "Pending"
    assert {c["state"]["waiting"]["reason"] for c in status["containerStatuses"]} == {"ContainerCreating"}


def test_without_istio_containers_nobody_is_asked(made: Any) -> None:
    assert kubelet.certificate(cluster(made, root=False), proxy(made, mesh=False), None).outcome == "ok"


def test_a_certificate_once_issued_stays(made: Any) -> None:
    pod = proxy(made)
    pod["status"]["containerStatuses"] = [{"name": name, "ready": True} for name in ("sds", "istio-proxy")]
    assert kubelet.certificate(cluster(made), pod, None).outcome == "ok"


def later(made: Any, pod: Any, verdict: Any, seconds: Any, serving: Any = True) -> Any:
    """The status after `seconds`, having been looked at once at the start."""
    pod["status"] = kubelet.status_of(pod, verdict, serving, 0, "10.0.0.1", NOW)
    return kubelet.status_of(pod, verdict, serving, 0, "10.0.0.1", NOW + timedelta(seconds=seconds))


def by_name(status: Any) -> Any:
    return {told["name"]: told for told in status["containerStatuses"]}


def conditions(status: Any) -> Any:
    return {told["type"]: told["status"] for told in status["conditions"]}


def test_all_well(made: Any) -> None:
    status = later(made, proxy(made), kubelet.Verdict("ok"), 5)
    assert [told["ready"] for told in status["containerStatuses"]] == [True, True, True]
    assert conditions(status)["Ready"] == "True"
    assert status["podIP"].startswith("10.")


def test_envoy_not_serving_is_not_ready(made: Any) -> None:
    status = later(made, proxy(made), kubelet.Verdict("ok"), 5, serving=False)
    assert not by_name(status)["kgateway-proxy"]["ready"]
    assert conditions(status)["Ready"] == "False"


def test_refused_certificate_makes_sds_crash_and_leaves_the_agent_running(made: Any) -> None:
    status = later(made, proxy(made), kubelet.Verdict("refused", "why"), 2 * kubelet.SDS_PATIENCE + 1)
    told = by_name(status)
    assert told["sds"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert told["sds"]["restartCount"] == 1
    assert told["sds"]["lastState"]["terminated"]["exitCode"] == 1
    assert told["istio-proxy"]["ready"] and "running" in told["istio-proxy"]["state"]
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False" and "[sds]" in ready["message"]


def test_an_address_without_port_makes_both_crash(made: Any) -> None:
    told = by_name(later(made, proxy(made), kubelet.Verdict("exits", "why"), 2 * kubelet.SDS_PATIENCE + 1))
    assert told["istio-proxy"]["lastState"]["terminated"]["exitCode"] == 255
    assert told["istio-proxy"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert told["sds"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_it_heals_when_sds_is_started_again(made: Any) -> None:
    pod = proxy(made)
    pod["status"] = later(made, pod, kubelet.Verdict("refused"), 5)
    waiting = kubelet.status_of(pod, kubelet.Verdict("ok"), True, 0, "10.0.0.1", NOW + timedelta(seconds=6))
    assert not by_name(waiting)["sds"]["ready"]
    healed = kubelet.status_of(pod, kubelet.Verdict("ok"), True, 0, "10.0.0.1", NOW + timedelta(seconds=14.5))
    assert by_name(healed)["sds"]["ready"]
    assert conditions(healed)["Ready"] == "True"


def test_nothing_changes_by_itself(made: Any) -> None:
    """A status that would differ at every look would be written at every look."""
    pod = proxy(made)
    for verdict, moments in ((kubelet.Verdict("ok"), (1, 100)), (kubelet.Verdict("refused"), (5, 6))):
        first, second = (later(made, {**pod, "status": {}}, verdict, seconds) for seconds in moments)
        pod["status"] = first
        assert kubelet.status_of(pod, verdict, True, 0, "10.0.0.1", NOW + timedelta(seconds=moments[1])) == first
        assert {c["status"] for c in second["conditions"]} == {c["status"] for c in first["conditions"]}


@pytest.mark.parametrize(
    ("elapsed", "restarts", "waiting"),
    [
        (0, 0, False),
        (1.9, 0, False),
        (2.1, 1, False),
        (4.1, 1, True),
        (13.9, 1, True),
        (14.1, 2, False),
        (16.1, 2, True),
    ],
)
def test_crash_loop_of_sds(elapsed: Any, restarts: Any, waiting: Any) -> None:
    turn = kubelet.crash_loop(elapsed, 2.0)
    assert (turn.restarts, turn.waiting) == (restarts, waiting)


def test_crash_loop_of_what_dies_at_once() -> None:
    assert [kubelet.crash_loop(t, 0.0).waiting for t in (0, 5, 11, 40)] == [True] * 4
    assert kubelet.crash_loop(11, 0.0).restarts == 2
