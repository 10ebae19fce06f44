"""The record of a Gateway's proxy, and when its Deployment has to be restarted."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks as proxy
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import AUTO_MTLS, INTEGRATION
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import ProxyModel, Want
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_record import record
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_restart import (
    RESTARTED_AT,
    restart_patch,
    restart_reason,
)

Json = dict[str, Any]

THREE = ["kgateway-proxy", "sds", "istio-proxy"]


def row(s: ProxyModel) -> Json:
    return record("cluster1", s, proxy.check_proxy(s))


def test_a_healthy_proxy(stage: Any) -> None:
    found = row(stage.model())
    assert (found["verdict"], found["cause"], found["check"], found["serving"]) == ("ready", "", "", "current")
    assert (found["containers"], found["url"], found["problems"]) == (THREE, "http://192.0.2.10:8080", [])
    assert found["controller"] == {
        "controller_name": "solo.io/gloo-gateway-v2",
        "namespace": "gloo-system",
        "name": "gloo-gateway",
        "image": "registry.example/controller:2.0.0",
        "version": "2.0.0",
        "ready": True,
        "auto_mtls": True,
        "integration": True,
    }
    assert [c["name"] for c in found["pods"][0]["containers"]] == THREE
    assert [(s["env"], s["pod"], s["wanted"], s["istiod"], s["fits"]) for s in found["settings"]] == [
        ("CA_ADDR", *["istiod-gloo.istio-system.svc:15012"] * 3, True),
        ("ISTIO_META_CLUSTER_ID", *["cluster1"] * 3, True),
        ("ISTIO_META_MESH_ID", *["cluster.local"] * 3, True),
    ]
    assert found["deployment"] == {
        "name": "http",
        "generation": 1,
        "observed_generation": 1,
        "wanted": 1,
        "updated": 1,
        "ready": 1,
        "available": 1,
        "rollout": "ready",
        "reason": "1 of 1 replicas",
    }
    assert found["service_ports"] == [{"name": "", "port": 8080, "node_port": None}]
    assert [c["type"] for c in found["conditions"]] == ["Accepted", "AttachedListenerSets", "Programmed"]
    assert (found["generation"], found["observed_generation"], found["parameters"]) == (1, 1, "gloo-system/params")


def test_the_record_of_nothing_has_the_same_keys(stage: Any) -> None:
    full = row(stage.model())
    stage.gateway = stage.proxy = stage.service = stage.istiod = None
    empty = row(stage.model())
    assert empty["verdict"] == "failed" and empty["check"] == "gateway"
    for one, other in (
        (full, empty),
        (full["controller"], empty["controller"]),
        (full["deployment"], empty["deployment"]),
    ):
        assert set(one) == set(other)
    assert {key for key in full if isinstance(full[key], list)} == {k for k in empty if isinstance(empty[k], list)}
    assert (empty["url"], empty["pods"], empty["containers"], empty["addresses"]) == (None, [], [], [])


@pytest.mark.parametrize(
    ("current", "former", "serving"),
    [(True, False, "current"), (True, True, "both"), (False, True, "former"), (False, False, "none")],
)
def test_who_serves(stage: Any, current: bool, former: bool, serving: str) -> None:
    stage.pod_ready = current
    stage.old_pods = [stage.pod("http-old-a", "http-old", former)]
    found = row(stage.model())
    assert found["serving"] == serving
    assert [(p["name"], p["current"]) for p in found["pods"]] == [("http-new-a", True), ("http-old-a", False)]


def test_settings_that_do_not_fit(stage: Any) -> None:
    stage.settings["istioMetaClusterId"] = "cluster2"
    del stage.settings["istioMetaMeshId"]
    stage.env["ISTIO_META_MESH_ID"] = "other"
    stage.want = Want(expect=tuple(THREE))
    address, cluster_id, mesh_id = row(stage.model())["settings"]
    assert address["fits"] is True
    assert cluster_id == {
        "env": "ISTIO_META_CLUSTER_ID",
        "option": "istioMetaClusterId",
        "pod": "cluster1",
        "wanted": "cluster2",
        "default": False,
        "istiod": "cluster1",
        "fits": False,
    }
    assert (mesh_id["default"], mesh_id["wanted"], mesh_id["pod"], mesh_id["fits"]) == (
        True,
        "cluster.local",
        "other",
        False,
    )


def test_a_proxy_outside_the_mesh_has_no_settings_to_fit(stage: Any) -> None:
    stage.switches[AUTO_MTLS], stage.want, stage.containers = "false", Want(), ["kgateway-proxy"]
    stage.settings.clear()
    found = row(stage.model())
    assert found["verdict"] == "ready" and [s["fits"] for s in found["settings"]] == [None] * 3


def test_a_container_tells_how_it_is(stage: Any) -> None:
    ended = {"exitCode": 1, "reason": "Error"}
    stage.statuses = {
        "sds": {
            "ready": False,
            "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": ended},
        }
    }
    stage.pod_ready = False
    [pod] = row(stage.model())["pods"]
    assert pod["containers"][1] == {
        "name": "sds",
        "image": "sds:1",
        "ready": False,
        "state": "waiting",
        "reason": "CrashLoopBackOff, last ended with code 1",
        "restarts": 4,
    }


def test_problems_are_no_cause(stage: Any) -> None:
    stage.settings["istioMetaMeshId"] = stage.env["ISTIO_META_MESH_ID"] = "other"
    stage.switches.pop(INTEGRATION)
    stage.namespace_labels = {"istio-injection": "enabled"}
    found = row(stage.model())
    assert found["verdict"] == "ready"
    expected = ("istioMetaMeshId", INTEGRATION, "Istio's injector will modify the proxy's next Pods")
    assert [words in problem for words, problem in zip(expected, found["problems"], strict=True)] == [True] * 3


@pytest.mark.parametrize(
    "opt_out", [{"labels": {"sidecar.istio.io/inject": "false"}}, {"annotations": {"sidecar.istio.io/inject": "false"}}]
)
def test_a_proxy_that_refuses_sidecars_is_fine_in_a_labelled_namespace(stage: Any, opt_out: Json) -> None:
    stage.namespace_labels = {"istio-injection": "enabled"}
    stage.proxy["spec"]["template"]["metadata"] = opt_out
    assert row(stage.model())["problems"] == []


def test_url_of_ipv6_and_without_load_balancer(stage: Any) -> None:
    stage.service["status"]["loadBalancer"]["ingress"] = [{"ip": "2001:db8::1"}]
    assert row(stage.model())["url"] == "http://[2001:db8::1]:8080"
    stage.service["spec"]["type"] = "ClusterIP"
    assert row(stage.model())["url"] == "http://192.0.2.10:8080"


# -- restart ---------------------------------------------------------------------------------------------------------


def bootstrap(stage: Any, written: str, *, other: str = "") -> None:
    """The Envoy bootstrap, its data written at that time of the day the Pod was made at 10:00:00."""
    entries = [{"manager": "kgateway", "time": f"2026-01-01T{written}Z", "fieldsV1": {"f:data": {"f:envoy.yaml": {}}}}]
    if other:
        entries.append({"manager": "x", "time": f"2026-01-01T{other}Z", "fieldsV1": {"f:metadata": {"f:labels": {}}}})
    meta = {"namespace": "gloo-system", "name": "http", "managedFields": entries}
    stage.config_maps = [{"kind": "ConfigMap", "metadata": meta}]


def started(stage: Any, moment: str) -> None:
    running = {"running": {"startedAt": f"2026-01-01T{moment}Z"}}
    stage.statuses = {"kgateway-proxy": {"ready": True, "state": running}}


@pytest.mark.parametrize(
    ("written", "start", "needed"),
    [
        ("09:59:59", "10:00:01", False),  # a normal rollout: first the ConfigMap, then the Deployment
        ("10:00:00", "10:00:01", False),  # the same, within one second
        ("10:00:01", "10:00:01", True),
        ("11:00:00", "10:00:01", True),
        ("11:00:00", "11:00:30", True),  # Envoy was restarted in its Pod, before the kubelet had surely brought it
        ("11:00:00", "11:02:01", False),
    ],
)
def test_restart_when_the_bootstrap_is_newer_than_envoy(stage: Any, written: str, start: str, needed: bool) -> None:
    bootstrap(stage, written)
    started(stage, start)
    s = stage.model()
    assert bool(restart_reason(s)) is needed
    assert any("restart: if_needed" in problem for problem in row(s)["problems"]) is needed
    assert proxy.check_proxy(s).ready  # the proxy serves, with what it has


def test_no_restart_where_only_labels_changed_or_nothing_is_known(stage: Any) -> None:
    bootstrap(stage, "09:00:00", other="11:00:00")
    assert restart_reason(stage.model()) == ""
    stage.config_maps[0]["metadata"]["managedFields"] = []
    assert restart_reason(stage.model()) == ""
    stage.config_maps = []
    assert restart_reason(stage.model()) == ""


def test_no_restart_while_it_rolls_by_itself(stage: Any) -> None:
    bootstrap(stage, "11:00:00")
    stage.proxy["status"]["updatedReplicas"] = 0
    assert restart_reason(stage.model()) == ""


def test_pods_of_the_former_template_are_none_of_a_restart(stage: Any) -> None:
    bootstrap(stage, "09:30:00")
    stage.old_pods = [stage.pod("http-old-a", "http-old", True)]
    stage.old_pods[0]["metadata"]["creationTimestamp"] = "2026-01-01T09:00:00Z"
    assert restart_reason(stage.model()) == ""


def test_a_restart_says_why_and_touches_one_annotation(stage: Any) -> None:
    bootstrap(stage, "11:00:00")
    s = stage.model()
    before = copy.deepcopy(s.deployment)
    assert restart_reason(s) == (
        "the Envoy bootstrap in ConfigMap gloo-system/http changed after http-new-a had started, and Deployment "
        "gloo-system/http did not"
    )
    patch = restart_patch(s, "2026-01-01T12:00:00Z")
    assert patch["metadata"] == {"namespace": "gloo-system", "name": "http"}
    assert patch["spec"] == {"template": {"metadata": {"annotations": {RESTARTED_AT: "2026-01-01T12:00:00Z"}}}}
    assert s.deployment == before
