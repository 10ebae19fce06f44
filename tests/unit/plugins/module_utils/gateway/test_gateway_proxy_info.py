"""Engine of gateway_proxy_info against an API server on loopback: what it reads, awaits and restarts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import gateway_proxy_info
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_restart import restarted_at
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Forbidden

Json = dict[str, Any]

THREE = ["kgateway-proxy", "sds", "istio-proxy"]
KINDS = {
    "gateway.networking.k8s.io/v1": {"gateways": ("Gateway", True), "gatewayclasses": ("GatewayClass", False)},
    "gateway.kgateway.dev/v1alpha1": {"gatewayparameters": ("GatewayParameters", True)},
    "apps/v1": {"deployments": ("Deployment", True), "replicasets": ("ReplicaSet", True)},
}
PLACES = {kind: (api, plural) for api, kinds in KINDS.items() for plural, (kind, _namespaced) in kinds.items()}
PLACES |= {"Service": ("v1", "services"), "Pod": ("v1", "pods"), "ConfigMap": ("v1", "configmaps")}


def write(api: Any, obj: Json) -> None:
    api.write(*PLACES[obj["kind"]], obj["metadata"].get("namespace", ""), obj)


@pytest.fixture
def gateway(fake: Any, stage: Any) -> Any:
    """(FakeApi, options): a healthy Gateway on the server. `stage` may be broken and written again."""
    api, kubeconfig = fake
    api.kinds.update({version: {**api.kinds.get(version, {}), **kinds} for version, kinds in KINDS.items()})
    for name in ("gloo-system", "istio-system"):
        api.write("v1", "namespaces", "", {"metadata": {"name": name}})
    entry = {"manager": "kgateway", "operation": "Apply", "time": "2026-01-01T11:00:00Z", "fieldsV1": {"f:data": {}}}
    meta: Json = {"namespace": "gloo-system", "name": "http", "managedFields": [entry]}
    meta["labels"] = {"gateway.networking.k8s.io/gateway-name": "http"}
    stage.config_maps = [{"kind": "ConfigMap", "metadata": meta}]
    for obj in objects(stage):
        write(api, obj)
    defaults = {name: rule.get("default") for name, rule in gateway_proxy_info.ARGUMENT_SPEC.items()}
    here = {"kubeconfig": kubeconfig, "context": "fake", "namespace": "gloo-system", "gateway": "http"}
    return api, {**defaults, **here}


def objects(stage: Any) -> list[Json]:
    read = stage.model().objects
    lists = [read.gateways, read.classes, read.deployments, read.services, read.pods, read.config_maps]
    return [obj for one in (*lists, *read.parameters.values()) for obj in one]


def run(gateway: Any, check: bool = False, **more: Any) -> Json:
    told: list[str] = []
    result = gateway_proxy_info.run({**gateway[1], **more}, check, told.append)
    return {**result, "told": told}


def test_one_look_reads_each_list_once_and_writes_nothing(gateway: Any) -> None:
    api, _options = gateway
    result = run(gateway, expect=THREE, wait=True)
    assert result["proxies"][0]["verdict"] == "ready" and result["changed"] is False
    assert result["msg"] == (
        "fake: Gateway gloo-system/http ready with kgateway-proxy, sds, istio-proxy at http://192.0.2.10:8080"
    )
    paths = [path for _method, path, _dry in api.log]
    # ConfigMaps twice: the bootstrap and the root certificate
    assert len(paths) == len(set(paths)) + 1 and api.writes() == []


@pytest.mark.usefixtures("fast")
def test_what_is_not_met_fails_with_the_record(gateway: Any, stage: Any) -> None:
    stage.settings["istioMetaClusterId"] = "cluster2"
    for parameters in stage.parameters.values():
        write(gateway[0], parameters[0])
    # Nothing was written lately by the server's clock: no need to see it stay so.
    for options in ({"expect": THREE}, {"expect": THREE, "wait": True, "wait_timeout": 3600}):
        with pytest.raises(ClusterError, match="istioMetaClusterId in GatewayParameters gloo-system/params") as error:
            run(gateway, **options)
        assert error.value.facts["proxies"][0]["check"] == "cluster-id"
    assert run(gateway)["proxies"][0]["verdict"] == "failed"
    assert run(gateway, check=True, expect=THREE, wait=True)["proxies"][0]["verdict"] == "failed"


@pytest.mark.slow
def test_a_wait_ends_with_the_last_change(gateway: Any, stage: Any) -> None:
    [service] = [s for s in stage.model().objects.services if s["metadata"]["name"] == "http"]
    write(gateway[0], {**service, "status": {}})
    threading.Timer(0.3, write, (gateway[0], service)).start()
    result = run(gateway, expect=THREE, wait=True, wait_timeout=60)
    assert result["proxies"][0]["addresses"] == ["192.0.2.10"]


@pytest.mark.usefixtures("fast")
def test_a_wait_that_ends_too_late_says_so(gateway: Any, stage: Any) -> None:
    [service] = [s for s in stage.model().objects.services if s["metadata"]["name"] == "http"]
    write(gateway[0], {**service, "status": {}})
    with pytest.raises(ClusterError, match=r"Gateway gloo-system/http not ready within 1 s: Service gloo-system/http"):
        run(gateway, wait=True, wait_timeout=1)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "dial tcp: lookup istiod.example: no such host",
            "log of istio-proxy: dial tcp: lookup istiod.example: no such h",
        ),
        ("all is well", "check the logs of istiod"),
        (None, "check the logs of istiod"),
    ],
)
def test_a_log_tells_where_no_object_does(
    gateway: Any, stage: Any, monkeypatch: pytest.MonkeyPatch, log: str | None, words: str
) -> None:
    def logs(_cluster: Cluster, *place: Any) -> str:
        assert place[:3] == ("gloo-system", "http-new-a", "istio-proxy")
        if log is None:
            raise Forbidden("fake: Pod gloo-system/http-new-a: may not be read")
        return log

    monkeypatch.setattr(Cluster, "logs", logs)
    ended = {"terminated": {"exitCode": 1}}
    stage.statuses = {"sds": {"ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}}
    stage.pod_ready = False
    for obj in objects(stage):
        write(gateway[0], obj)
    [found] = run(gateway)["proxies"]
    assert (found["check"], words in found["cause"]) == ("rollout", True), found["cause"]


def test_a_gateway_needs_its_namespace(gateway: Any) -> None:
    with pytest.raises(ClusterError, match="'gateway' is set without 'namespace'"):
        run(gateway, namespace=None)


def test_a_restart_is_foretold_and_done_once(gateway: Any) -> None:
    api, _options = gateway
    assert run(gateway)["changed"] is False
    foretold = run(gateway, check=True, restart="if_needed")
    assert foretold["changed"] and "Deployment gloo-system/http would be restarted: the Envoy boot" in foretold["msg"]
    assert api.writes() == []

    done = run(gateway, restart="if_needed")
    assert done["restarted"] == foretold["restarted"]
    assert "Deployment gloo-system/http restarted" in done["msg"]
    live = api.get("apps/v1", "deployments", "gloo-system", "http")
    assert restarted_at(live) and [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == THREE
    assert api.writes() == [("PATCH", "/apis/apps/v1/namespaces/gloo-system/deployments/http")]
    # It is rolling now: observedGeneration is behind.
    assert run(gateway, restart="if_needed")["restarted"] == []


@pytest.mark.slow
def test_a_wait_with_a_restart_waits_for_the_rollout(gateway: Any) -> None:
    api, _options = gateway
    with pytest.raises(
        ClusterError, match=r"not ready within 1 s: Deployment gloo-system/http: its controller has observed"
    ):
        run(gateway, restart="if_needed", wait=True, wait_timeout=1)
    assert len(api.writes()) == 1
