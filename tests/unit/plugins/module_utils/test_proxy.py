"""Verdict and first cause of a Gateway's proxy: one healthy situation, then one thing broken at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils import proxy

Json = dict[str, Any]

THREE = ("kgateway-proxy", "sds", "istio-proxy")
SETTINGS = {
    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
    "istioMetaClusterId": "cluster1",
    "istioMetaMeshId": "cluster.local",
}
ISTIOD = {
    "namespace": "istio-system",
    "name": "istiod-gloo",
    "address": "istiod-gloo.istio-system.svc:15012",
    "cluster_id": "cluster1",
    "mesh_id": "cluster.local",
}


def obj(kind: str, name: str, namespace: str | None = "gloo-system", **rest: Any) -> Json:
    meta = {"name": name, "generation": 1, "uid": f"{kind}-{name}", **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": {**meta, **rest.pop("metadata", {})}, **rest}


def conditions(*types: str, **extra: Any) -> list[Json]:
    return [{"type": t, "status": "True", "reason": t, "observedGeneration": 1, **extra} for t in types]


def deployment(name: str, containers: list[Json], namespace: str = "gloo-system", **rest: Any) -> Json:
    return obj(
        "Deployment",
        name,
        namespace,
        spec={
            "replicas": 1,
            "template": {"metadata": {"labels": rest.pop("labels", {})}, "spec": {"containers": containers}},
        },
        status={
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
            "readyReplicas": 1,
        },
        **rest,
    )


class Stage:
    """All objects of a healthy Gateway; a test breaks one of them."""

    def __init__(self) -> None:
        listeners = [{"name": "http", "protocol": "HTTP", "port": 8080}]
        ref = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "name": "params"}
        self.gateway: Json = obj(
            "Gateway",
            "http",
            apiVersion="gateway.networking.k8s.io/v1",
            spec={
                "gatewayClassName": "gloo-gateway-v2",
                "listeners": listeners,
                "infrastructure": {"parametersRef": ref},
            },
            status={
                "conditions": [
                    *conditions("Accepted", "Programmed"),
                    {"type": "AttachedListenerSets", "status": "Unknown"},
                ],
                "listeners": [{"name": "http", "conditions": conditions("Accepted", "Programmed", "ResolvedRefs")}],
                "addresses": [{"type": "IPAddress", "value": "192.0.2.10"}],
            },
        )
        self.gateway_class: Json = obj(
            "GatewayClass",
            "gloo-gateway-v2",
            None,
            apiVersion="gateway.networking.k8s.io/v1",
            spec={"controllerName": "solo.io/gloo-gateway-v2"},
            status={"conditions": conditions("Accepted")},
        )
        self.settings = dict(SETTINGS)
        self.parameters: Json | None = obj("GatewayParameters", "params")
        self.switches = {proxy.AUTO_MTLS: "true", proxy.INTEGRATION: "true"}
        self.env = {proxy.SETTINGS[option][0]: value for option, value in SETTINGS.items()}
        self.containers = list(THREE)
        self.controller = deployment("gloo-gateway", [], apiVersion="apps/v1")
        self.proxy: Json | None = deployment(
            "http", [], apiVersion="apps/v1", metadata={"annotations": {"deployment.kubernetes.io/revision": "2"}}
        )
        labels = {"app": "istiod", "istio.io/rev": "gloo"}
        discovery = {"name": "discovery", "image": "pilot:1.27.0", "env": [{"name": "CLUSTER_ID", "value": "cluster1"}]}
        self.istiod: Json | None = deployment("istiod-gloo", [discovery], "istio-system", labels=labels)
        self.istiod["metadata"]["labels"] = labels
        self.istiod_service = obj(
            "Service",
            "istiod-gloo",
            "istio-system",
            metadata={"labels": labels},
            spec={"selector": labels, "ports": [{"port": 15012}]},
        )
        self.service: Json | None = obj(
            "Service",
            "http",
            spec={"type": "LoadBalancer", "ports": [{"port": 8080}]},
            status={"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
        )
        self.replica_sets = [self.replica_set("http-new", "2"), self.replica_set("http-old", "1")]
        self.statuses: dict[str, Json] = {}
        self.pod_ready = True
        self.old_pods: list[Json] = []
        self.root_cert = True
        self.want = proxy.Want(expect=THREE, istiod=ISTIOD, parameters="params")

    @staticmethod
    def replica_set(name: str, revision: str) -> Json:
        return obj(
            "ReplicaSet",
            name,
            metadata={
                "ownerReferences": [{"uid": "Deployment-http"}],
                "annotations": {"deployment.kubernetes.io/revision": revision},
            },
        )

    def pod(self, name: str, replica_set: str, ready: bool, statuses: dict[str, Json] | None = None) -> Json:
        running = {"ready": True, "state": {"running": {}}}
        return obj(
            "Pod",
            name,
            metadata={"ownerReferences": [{"kind": "ReplicaSet", "name": replica_set}]},
            spec={"containers": self.specs()},
            status={
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{"name": c, **running, **(statuses or {}).get(c, {})} for c in self.containers],
            },
        )

    def specs(self) -> list[Json]:
        env = [{"name": name, "value": value} for name, value in self.env.items()]
        return [{"name": c, "image": f"{c}:1", **({"env": env} if c == "istio-proxy" else {})} for c in self.containers]

    def situation(self) -> proxy.Situation:
        env = [{"name": name, "value": value} for name, value in self.switches.items()]
        kgw = {"name": "kgateway", "env": [{"name": "KGW_LOG_LEVEL", "value": "info"}, *env]}
        self.controller["spec"]["template"]["spec"]["containers"] = [kgw]
        if self.proxy:
            self.proxy["spec"]["template"]["spec"]["containers"] = self.specs()
        if self.parameters:
            self.parameters["spec"] = {"kube": {"istio": {"istioProxyContainer": self.settings}}}
        return proxy.Situation(
            namespace="gloo-system",
            name="http",
            gateway=self.gateway,
            classes=[self.gateway_class],
            parameters=[self.parameters] if self.parameters else [],
            deployments=[d for d in (self.controller, self.proxy, self.istiod) if d],
            services=[s for s in (self.service, self.istiod_service) if s],
            replica_sets=self.replica_sets,
            pods=[*self.old_pods, self.pod("http-new-a", "http-new", self.pod_ready, self.statuses)]
            if self.proxy
            else [],
            root_cert=self.root_cert,
            want=self.want,
        )


def test_healthy() -> None:
    s = Stage().situation()
    verdict = proxy.judge(s)
    record = proxy.record("cluster1", s, verdict)
    assert verdict.ready and record["cause"] == ""
    assert (record["containers"], record["url"]) == (list(THREE), "http://192.0.2.10:8080")
    assert record["env"]["CA_ADDR"] == "istiod-gloo.istio-system.svc:15012"
    assert record["controller"] == {
        "namespace": "gloo-system",
        "name": "gloo-gateway",
        "auto_mtls": True,
        "integration": True,
    }
    assert [c["name"] for c in record["pods"][0]["containers"]] == list(THREE)


CRASH = {
    "sds": {
        "ready": False,
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1}},
    }
}


def crash(stage: Stage) -> None:
    stage.statuses, stage.pod_ready = copy.deepcopy(CRASH), False
    assert stage.proxy
    stage.proxy["status"].update(availableReplicas=0)


def agent_ended(stage: Stage) -> None:
    crash(stage)
    stage.statuses["istio-proxy"] = {"ready": False, "state": {"terminated": {"exitCode": 255}}}


def crash_with_wrong_id(stage: Stage) -> None:
    crash(stage)
    stage.settings["istioMetaClusterId"] = stage.env["ISTIO_META_CLUSTER_ID"] = "Kubernetes"


def crash_beside_old_pod(stage: Stage) -> None:
    crash(stage)
    stage.old_pods = [stage.pod("http-old-a", "http-old", True)]


def image(stage: Stage) -> None:
    stage.statuses = {
        "sds": {"ready": False, "image": "sds:nope", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    }
    stage.pod_ready = False


def switch_off(stage: Stage) -> None:
    stage.switches.pop(proxy.AUTO_MTLS)
    stage.containers = ["kgateway-proxy"]


def invalid(message: str) -> Callable[[Stage], None]:
    def change(stage: Stage) -> None:
        stage.gateway["status"]["conditions"][0].update(status="False", reason="InvalidParameters", message=message)

    return change


def no_ref(stage: Stage) -> None:
    stage.gateway["spec"].pop("infrastructure")
    stage.want = proxy.Want(expect=THREE)


def wrong_kind(stage: Stage) -> None:
    stage.gateway["spec"]["infrastructure"]["parametersRef"]["group"] = "gateway.gloo.solo.io"


def elsewhere(stage: Stage) -> None:
    assert stage.parameters
    stage.parameters["metadata"]["namespace"] = "default"


def istiod_down(stage: Stage) -> None:
    assert stage.istiod
    stage.istiod["spec"]["replicas"], stage.istiod["status"] = 0, {}


def istiod_starting(stage: Stage) -> None:
    assert stage.istiod
    stage.istiod["status"] = {}


def stale(stage: Stage) -> None:
    stage.gateway["metadata"]["generation"] = 2


def moved(stage: Stage) -> None:
    stale(stage)
    stage.gateway["spec"]["gatewayClassName"] = "nobody"


def controller_down(stage: Stage) -> None:
    stage.controller["spec"]["replicas"] = 0


def controller_rolling(stage: Stage) -> None:
    stage.controller["status"].update(updatedReplicas=0)


def self_managed(stage: Stage) -> None:
    s = stage.parameters
    assert s
    stage.parameters = _Fixed(s, {"selfManaged": {}})


class _Fixed(dict[str, Any]):
    """Parameters whose spec stays what it is."""

    def __init__(self, base: Json, spec: Json) -> None:
        super().__init__(base)
        super().__setitem__("spec", spec)

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "spec":
            super().__setitem__(key, value)


def setting(option: str, value: str) -> Callable[[Stage], None]:
    return lambda stage: stage.settings.update({option: value})


@pytest.mark.parametrize(
    ("break_it", "state", "words"),
    [
        (lambda s: s.__setattr__("gateway", None), "failed", "Gateway gloo-system/http does not exist"),
        (
            moved,
            "failed",
            "GatewayClass nobody does not exist, so nobody serves Gateway gloo-system/http; use one of: "
            "gloo-gateway-v2",
        ),
        (
            lambda s: s.gateway_class.update(status={}),
            "waiting",
            "GatewayClass gloo-gateway-v2 of solo.io/gloo-gateway-v2 is not served",
        ),
        (controller_down, "failed", "the gateway controller Deployment gloo-system/gloo-gateway is scaled to 0"),
        (controller_rolling, "waiting", "is not ready: 0 of 1 replicas updated"),
        (
            lambda s: s.__setattr__("parameters", None),
            "failed",
            "GatewayParameters gloo-system/params, which Gateway gloo-system/http refers to, does not exist",
        ),
        (elsewhere, "failed", "it exists in default, but has to be in the Gateway's namespace"),
        (wrong_kind, "failed", "its controller takes GatewayParameters of gateway.kgateway.dev"),
        (
            lambda s: s.__setattr__("want", proxy.Want(parameters="other")),
            "failed",
            "refers to parameters params, not to other",
        ),
        (
            invalid("failed to get helm values gloo-system.http: boom"),
            "failed",
            "InvalidParameters: failed to get helm values",
        ),
        (invalid('GatewayParameters "params" not found'), "waiting", "InvalidParameters"),
        (switch_off, "failed", "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment gloo-system/gloo-gateway"),
        (stale, "waiting", "the controller has seen generation 1, not yet 2"),
        (self_managed, "failed", "selfManaged"),
        (
            setting("istioMetaClusterId", "123"),
            "failed",
            "istioMetaClusterId of GatewayParameters gloo-system/params is '123'",
        ),
        (setting("istioDiscoveryAddress", "istiod-gloo.istio-system.svc"), "failed", "has no port"),
        (
            setting("istioDiscoveryAddress", "istiod.istio-system.svc:15012"),
            "failed",
            "names a Service that does not exist; istiod is at istiod-gloo",
        ),
        (setting("istioDiscoveryAddress", "istiod-gloo.istio-system.svc:15010"), "failed", "has no port 15010"),
        (
            setting("istioMetaClusterId", "cluster2"),
            "failed",
            "is cluster2, but istiod istiod-gloo.istio-system.svc only issues certificates to cluster1",
        ),
        (
            no_ref,
            "failed",
            "istiod.istio-system.svc:15012 of Gateway gloo-system/http (no parametersRef: kgateway's defaults)",
        ),
        (
            istiod_down,
            "failed",
            "istiod istio-system/istiod-gloo is not ready, nobody issues certificates: Deployment "
            "istio-system/istiod-gloo has 0 replicas",
        ),
        (istiod_starting, "waiting", "Deployment istio-system/istiod-gloo has no ready Pod"),
        (lambda s: s.__setattr__("root_cert", False), "waiting", "ConfigMap gloo-system/istio-ca-root-cert is missing"),
        (lambda s: s.__setattr__("proxy", None), "waiting", "Deployment gloo-system/http does not exist although"),
        (lambda s: s.containers.remove("sds"), "waiting", "lacks sds"),
        (
            lambda s: s.env.update(CA_ADDR="old:15012"),
            "waiting",
            "has CA_ADDR old:15012, GatewayParameters gloo-system/params says istiod-gloo",
        ),
        *(
            (
                lambda s, name=name: s.env.pop(name),
                "waiting",
                f"Deployment gloo-system/http has no {name} in container istio-proxy, "
                f"GatewayParameters gloo-system/params says {SETTINGS[option]}",
            )
            for option, (name, _default) in proxy.SETTINGS.items()
        ),
        (lambda s: s.proxy["spec"].update(replicas=0), "failed", "is scaled to 0: no proxy runs"),
        (crash, "waiting", "sds ends again and again because istio-proxy gets no certificate: it asks istiod-gloo"),
        (agent_ended, "waiting", "istio-proxy itself ended with code 255"),
        (crash_with_wrong_id, "failed", "istioMetaClusterId of GatewayParameters gloo-system/params is Kubernetes"),
        (crash_beside_old_pod, "waiting", "1 Pod of the former settings keeps serving"),
        (image, "failed", "image sds:nope of container sds: ImagePullBackOff"),
        (lambda s: s.proxy["status"].update(updatedReplicas=0), "waiting", "0 of 1 replicas updated"),
        (lambda s: s.service["status"].clear(), "waiting", "of type LoadBalancer has no address"),
        (lambda s: s.__setattr__("service", None), "waiting", "Service gloo-system/http does not exist yet"),
        (
            lambda s: s.gateway["status"]["listeners"][0]["conditions"][1].update(status="False", reason="Invalid"),
            "failed",
            "listener http",
        ),
    ],
)
def test_first_cause(break_it: Callable[[Stage], Any], state: str, words: str) -> None:
    stage = Stage()
    break_it(stage)
    s = stage.situation()
    verdict = proxy.judge(s)
    assert (verdict.state, words in verdict.reason) == (state, True), verdict
    record = proxy.record("cluster1", s, verdict)
    assert record["verdict"] == state and words in record["cause"]


def test_one_container_when_the_switch_is_on() -> None:
    stage = Stage()
    stage.want = proxy.Want(expect=("kgateway-proxy",))
    verdict = proxy.judge(stage.situation())
    assert verdict.state == "failed" and "is on in Deployment gloo-system/gloo-gateway" in verdict.reason


def test_one_container_when_the_switch_is_off() -> None:
    stage = Stage()
    switch_off(stage)
    stage.want, stage.istiod = proxy.Want(expect=("kgateway-proxy",)), None
    assert proxy.judge(stage.situation()).ready


def test_without_expectation_the_switch_says_what_is_right() -> None:
    stage = Stage()
    stage.want = proxy.Want()
    assert proxy.judge(stage.situation()).ready
    stage.containers = ["kgateway-proxy"]
    assert "lacks sds, istio-proxy" in proxy.judge(stage.situation()).reason
    switch_off(stage)
    assert proxy.judge(stage.situation()).ready


def test_an_alias_of_istiod_is_no_contradiction() -> None:
    stage = Stage()
    alias = copy.deepcopy(stage.istiod_service)
    alias["metadata"].update(name="istiod", labels={"app": "istiod"})
    stage.settings["istioDiscoveryAddress"] = stage.env["CA_ADDR"] = "istiod.istio-system.svc:15012"
    s = stage.situation()
    s = proxy.Situation(**{**{f: getattr(s, f) for f in s.__dataclass_fields__}, "services": [*s.services, alias]})
    assert proxy.judge(s).ready


def test_a_default_that_nobody_set_may_be_missing() -> None:
    stage = Stage()
    del stage.settings["istioMetaMeshId"], stage.env["ISTIO_META_MESH_ID"]
    assert proxy.judge(stage.situation()).ready
    stage.env["ISTIO_META_MESH_ID"] = "other"
    assert "has ISTIO_META_MESH_ID other" in proxy.judge(stage.situation()).reason


def test_mesh_id_is_a_remark() -> None:
    stage = Stage()
    stage.settings["istioMetaMeshId"] = stage.env["ISTIO_META_MESH_ID"] = "other"
    stage.switches.pop(proxy.INTEGRATION)
    s = stage.situation()
    verdict = proxy.judge(s)
    assert verdict.ready
    assert len(proxy.record("cluster1", s, verdict)["problems"]) == 2


@pytest.mark.parametrize(
    ("value", "on"), [("true", True), ("1", True), ("T", True), ("yes", False), ("", False), ("tRUE", False)]
)
def test_switch_is_read_as_the_controller_reads_it(value: str, on: bool) -> None:
    stage = Stage()
    stage.switches[proxy.AUTO_MTLS] = value
    assert stage.situation().auto_mtls is on


def test_url_of_ipv6_and_node_port() -> None:
    stage = Stage()
    assert stage.service
    stage.service["status"]["loadBalancer"]["ingress"] = [{"ip": "2001:db8::1"}]
    assert proxy.url(stage.situation()) == "http://[2001:db8::1]:8080"
    stage.service["spec"]["type"] = "ClusterIP"
    assert proxy.url(stage.situation()) == "http://192.0.2.10:8080"
