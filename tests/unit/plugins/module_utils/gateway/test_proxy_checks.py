"""Verdict and first cause of a Gateway's proxy: one healthy model, then one thing broken at a time."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks as proxy
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import AUTO_MTLS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    ENTERPRISE_PARAMETERS,
    GATEWAY_PARAMETERS,
    GLOO_GATEWAY_PARAMETERS,
    V1_PARAMETERS,
    ParameterKind,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import (
    Objects,
    ProxyModel,
    Want,
    proxy_models,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_record import record
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_restart import restart_reason
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import SETTINGS

Json = dict[str, Any]
Break = Callable[[Any], Any]

THREE = ("kgateway-proxy", "sds", "istio-proxy")


# -- ways to break it ------------------------------------------------------------------------------------------------


def put(name: str, value: Any) -> Break:
    return lambda stage: setattr(stage, name, value)


def setting(option: str, value: str) -> Break:
    return lambda stage: stage.settings.update({option: value})


def crash(stage: Any) -> None:
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "could not find file key.pem"}}
    stage.statuses = {"sds": {"ready": False, "restartCount": 3, "state": waits, "lastState": ended}}
    stage.pod_ready = False
    stage.proxy["status"].update(availableReplicas=0)


def reserved_port(stage: Any) -> None:
    wrong = {"status": "False", "reason": "Invalid", "message": "reserved"}
    stage.gateway["status"].update(
        conditions=[{"type": "Accepted", "status": "True"}, {"type": "Programmed", **wrong, "message": ""}],
        listeners=[{"name": "http", "conditions": [{"type": "Accepted", **wrong}, {"type": "Programmed", **wrong}]}],
    )


def both(*breaks: Break) -> Break:
    def all_of_them(stage: Any) -> None:
        for one in breaks:
            one(stage)

    return all_of_them


def wrong_id(stage: Any) -> None:
    stage.settings["istioMetaClusterId"] = stage.env["ISTIO_META_CLUSTER_ID"] = "Kubernetes"


def old_pod(stage: Any) -> None:
    stage.old_pods = [stage.pod("http-old-a", "http-old", True)]


def container(name: str, **status: Any) -> Break:
    def change(stage: Any) -> None:
        stage.statuses, stage.pod_ready = {name: {"ready": False, **status}}, False

    return change


def waits(name: str, reason: str, message: str = "", image: str = "") -> Break:
    return container(name, image=image, state={"waiting": {"reason": reason, "message": message}})


def unscheduled(stage: Any) -> None:
    def pod(*args: Any) -> Json:
        made: Json = make(*args)
        text = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
        conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}]
        made["status"] = {"phase": "Pending", "conditions": conditions}
        return made

    make, stage.pod = stage.pod, pod


def changed_pods(change: Callable[[Json], None]) -> Break:
    """Every Pod that is made afterwards is changed so."""

    def set_it(stage: Any) -> None:
        def pod(*args: Any) -> Json:
            made: Json = make(*args)
            change(made)
            return made

        make, stage.pod = stage.pod, pod

    return set_it


def init_container(name: str, status: Json, **spec: Any) -> Break:
    """A webhook put it in; all others wait for it."""

    def change(pod: Json) -> None:
        pod["spec"]["initContainers"] = [{"name": name, "image": f"{name}:1", **spec}]
        pod["status"]["initContainerStatuses"] = [{"name": name, **status}]
        if not status.get("ready"):
            behind = {"ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
            pod["status"]["containerStatuses"] = [{"name": c["name"], **behind} for c in pod["spec"]["containers"]]

    return both(put("pod_ready", bool(status.get("ready"))), changed_pods(change))


CRASHING = {
    "ready": False,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 255}},
}


def outside_the_mesh(stage: Any) -> None:
    stage.switches[AUTO_MTLS], stage.containers = "false", ["kgateway-proxy"]
    stage.settings.clear()
    stage.want, stage.namespace_labels = Want(), {"istio-injection": "enabled"}


def evicted(stage: Any) -> None:
    """And no other Pod could be made yet."""
    gone = stage.pod("http-new-b", "http-new", False)
    gone["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    stage.old_pods, stage.pods_made = [gone], False
    stage.proxy["status"].update(availableReplicas=0)


def parameters_of_the_class(**ref: str) -> Break:
    def change(stage: Any) -> None:
        own = stage.gateway["spec"].pop("infrastructure")["parametersRef"]
        stage.gateway_class["spec"]["parametersRef"] = {**own, **ref}
        stage.want = Want(expect=THREE)

    return change


def deployment_of_somebody_else(stage: Any) -> None:
    stage.proxy["metadata"]["ownerReferences"] = [{"uid": "other", "kind": "Shop", "name": "front"}]


def refused(message: str) -> Break:
    def change(stage: Any) -> None:
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
        stage.proxy["status"].update(updatedReplicas=0, availableReplicas=0, conditions=[late, failure])
        stage.pods_made = False

    return change


def injected(stage: Any) -> None:
    stage.namespace_labels = {"istio.io/rev": "gloo"}
    refused('Pod "http-x" is invalid: spec.initContainers[1].name: Duplicate value: "istio-proxy"')(stage)


def injected_and_ready(stage: Any) -> None:
    """As Istio 1.27 does it: its injector merges into the container istio-proxy that is there."""
    stage.namespace_labels = {"istio.io/rev": "gloo"}

    def pod(*args: Any) -> Json:
        made: Json = make(*args)
        made["metadata"]["annotations"] = {"sidecar.istio.io/status": "{}"}
        made["spec"]["initContainers"] = [{"name": "istio-init"}]
        return made

    make, stage.pod = stage.pod, pod


def sidecar_in_one_container_proxy(stage: Any) -> None:
    """Nobody wants sds and istio-proxy, but the namespace's label brings a sidecar."""
    stage.switches[AUTO_MTLS], stage.want = "false", Want(expect=("kgateway-proxy",))
    stage.containers, stage.namespace_labels = ["kgateway-proxy"], {"istio-injection": "enabled"}

    def pod(*args: Any) -> Json:
        made: Json = make(*args)
        made["spec"]["containers"] = [*made["spec"]["containers"], {"name": "istio-proxy"}]
        return made

    make, stage.pod = stage.pod, pod
    stage.pod_ready = False


def switch_off(stage: Any) -> None:
    stage.switches.pop(AUTO_MTLS)
    stage.containers = ["kgateway-proxy"]


def invalid(message: str) -> Break:
    def change(stage: Any) -> None:
        stage.gateway["status"]["conditions"][0].update(status="False", reason="InvalidParameters", message=message)

    return change


def no_ref(stage: Any) -> None:
    stage.gateway["spec"].pop("infrastructure")
    stage.want = Want(expect=THREE)


def ref(**changes: str) -> Break:
    return lambda stage: stage.gateway["spec"]["infrastructure"]["parametersRef"].update(changes)


def elsewhere(stage: Any) -> None:
    stage.parameters[GATEWAY_PARAMETERS][0]["metadata"]["namespace"] = "default"


def set_by_the_class(stage: Any) -> None:
    """The Gateway's own parameters leave the cluster ID to those of its class."""
    stage.settings.pop("istioMetaClusterId")
    name = {"name": "of-class", "namespace": "gloo-system"}
    spec = {"kube": {"istio": {"istioProxyContainer": {"istioMetaClusterId": "cluster2"}}}}
    stage.parameters[GATEWAY_PARAMETERS].append({"metadata": name, "spec": spec})
    own = stage.gateway["spec"]["infrastructure"]["parametersRef"]
    stage.gateway_class["spec"]["parametersRef"] = {**own, **name}


def injector_says(cluster: str) -> Break:
    """Another problem of the same istiod, which is no reason for it not to run."""
    values = json.dumps({"global": {"multiCluster": {"clusterName": cluster}}})
    meta = {"namespace": "istio-system", "name": "istio-sidecar-injector-gloo", "labels": {"istio.io/rev": "gloo"}}
    return put("config_maps", [{"metadata": meta, "data": {"values": values}}])


def istiod_down(stage: Any) -> None:
    stage.istiod["spec"]["replicas"], stage.istiod["status"] = 0, {}


def istiod_gone(stage: Any) -> None:
    stage.istiod = None


def stale(stage: Any) -> None:
    stage.gateway["metadata"]["generation"] = 2


def moved(stage: Any) -> None:
    stale(stage)
    stage.gateway["spec"]["gatewayClassName"] = "nobody"


def foreign(stage: Any) -> None:
    """Its class is another controller's, which has not reconciled it; kgateway's Deployment stays."""
    stale(stage)
    stage.gateway_class["spec"]["controllerName"] = "example.com/other"
    stage.proxy["metadata"]["labels"] = {"gateway.networking.k8s.io/gateway-class-name": "former"}


def controller_gone(stage: Any) -> None:
    stale(stage)
    stage.controller["metadata"]["name"] = "kgateway"  # another product's


def class_untouched(stage: Any) -> None:
    stage.gateway_class["status"] = {}


def other_service(stage: Any) -> None:
    """Port 15012 of a Service that is no istiod, and no certificate."""
    crash(stage)
    stage.settings["istioDiscoveryAddress"] = stage.env["CA_ADDR"] = "eastwest.istio-eastwest.svc:15012"
    stage.services = [
        {
            "kind": "Service",
            "metadata": {"namespace": "istio-eastwest", "name": "eastwest"},
            "spec": {"selector": {"istio": "eastwest"}, "ports": [{"port": 15012}]},
        }
    ]


def plain_port(stage: Any) -> None:
    stage.istiod_service["spec"]["ports"].append({"port": 15010})
    stage.settings["istioDiscoveryAddress"] = "istiod-gloo.istio-system.svc:15010"


def paused(stage: Any) -> None:
    stage.proxy["spec"]["paused"] = True
    stage.proxy["status"]["updatedReplicas"] = 0


AT_OLD = "; http-old-a still serve clients with the previous settings"
KEEPS = "; the running proxy keeps its current settings"

CAUSES: list[tuple[Break, str, str, str]] = [
    (
        put("want", Want(expect=(*THREE, "waf"))),
        "failed",
        "switch",
        "the controller does not deploy container waf; Deployment",
    ),
    (put("want", Want(expect=THREE[1:])), "failed", "switch", "expect: kgateway-proxy is part of every proxy. Add it"),
    (
        put("want", Want(expect=THREE[:2])),
        "failed",
        "switch",
        "sds and istio-proxy are deployed only together. Set both or none",
    ),
    (put("gateway", None), "failed", "gateway", "Gateway gloo-system/http does not exist"),
    (
        moved,
        "failed",
        "class",
        "GatewayClass nobody does not exist, so no controller serves Gateway gloo-system/http; use one of: "
        "gloo-gateway-v2" + KEEPS,
    ),
    (foreign, "failed", "class", "GatewayClass gloo-gateway-v2 belongs to the controller example.com/other, which is"),
    (
        class_untouched,
        "waiting",
        "class-served",
        "GatewayClass gloo-gateway-v2 of solo.io/gloo-gateway-v2 is not served",
    ),
    (both(controller_gone, class_untouched), "failed", "class-served", "its controller has no Deployment in this"),
    (
        lambda s: s.controller["spec"].update(replicas=0),
        "failed",
        "controller",
        "the gateway controller Deployment gloo-system/gloo-gateway is scaled to 0",
    ),
    (
        lambda s: s.controller["status"].update(updatedReplicas=0),
        "waiting",
        "controller",
        "is not ready: 0 of 1 replicas updated",
    ),
    (
        ref(name="gone"),
        "failed",
        "parameters",
        "Gateway gloo-system/http references parameters gone, not params",
    ),
    (
        lambda s: s.parameters[GATEWAY_PARAMETERS].clear(),
        "failed",
        "parameters",
        "GatewayParameters gloo-system/params, referenced by Gateway gloo-system/http, does not exist" + KEEPS,
    ),
    (elsewhere, "failed", "parameters", "it exists in default, but must be in the Gateway's namespace"),
    (
        ref(group=V1_PARAMETERS.group),
        "failed",
        "parameters",
        "accepts GatewayParameters of gateway.kgateway.dev or Gloo",
    ),
    (
        ref(kind="EnterpriseKgatewayParameters"),
        "failed",
        "parameters",
        "parametersRef has kind EnterpriseKgatewayParam",
    ),
    (
        lambda s: s.parameters.update({GATEWAY_PARAMETERS: None}),
        "failed",
        "parameters",
        "this kind is not served. Install its CRD",
    ),
    (put("want", Want(parameters="other")), "failed", "parameters", "references parameters params, not other"),
    (
        parameters_of_the_class(namespace="elsewhere"),
        "failed",
        "parameters",
        "GatewayParameters elsewhere/params, referenced by GatewayClass gloo-gateway-v2, does not exist; it exists "
        "in gloo-system, but must be in the namespace in the class's parametersRef",
    ),
    (
        parameters_of_the_class(),
        "failed",
        "parameters",
        "GatewayClass gloo-gateway-v2: parametersRef has no namespace, so GatewayParameters params is not found",
    ),
    (
        both(parameters_of_the_class(kind="EnterpriseKgatewayParameters"), invalid("no parameters")),
        "failed",
        "parameters",
        "GatewayClass gloo-gateway-v2: parametersRef has kind EnterpriseKgatewayParameters",
    ),
    (invalid("failed to get helm values gloo-system.http: boom"), "failed", "parameters", "InvalidParameters: failed"),
    (invalid('GatewayParameters "params" not found'), "waiting", "parameters", "InvalidParameters"),
    (switch_off, "failed", "switch", "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment gloo-system/gloo-gateway"),
    (both(switch_off, put("want", Want())), "failed", "switch", "the controller omits sds, istio-proxy"),
    (stale, "waiting", "generation", "the controller has observed generation 1, not yet 2" + KEEPS),
    (controller_gone, "failed", "generation", "controller solo.io/gloo-gateway-v2 has no Deployment in this"),
    (
        lambda s: s.parameters[GATEWAY_PARAMETERS][0].update(spec={"selfManaged": {}}),
        "failed",
        "self-managed",
        "GatewayParameters gloo-system/params sets selfManaged",
    ),
    (
        both(setting("istioMetaClusterId", "123"), put("proxy", None)),
        "failed",
        "settings",
        "istioMetaClusterId in GatewayParameters gloo-system/params is '123'",
    ),
    (setting("istioMetaMeshId", "on"), "failed", "settings", "istioMetaMeshId in GatewayParameters gloo-system/params"),
    (setting("istioDiscoveryAddress", "istiod-gloo.istio-system.svc"), "failed", "settings", "has no port"),
    (setting("istioDiscoveryAddress", "https://istiod-gloo:15012"), "failed", "settings", "is not host:port: istio-pr"),
    (
        setting("istioDiscoveryAddress", "istiod.istio-system.svc:15012"),
        "failed",
        "istiod-address",
        "the Service does not exist; istiod is at istiod-gloo",
    ),
    (
        setting("istioDiscoveryAddress", "istiod.istio-system:15012"),
        "failed",
        "istiod-address",
        "the Service does not exist",
    ),
    (
        setting("istioDiscoveryAddress", "istiod-gloo.istio-system.svc:15014"),
        "failed",
        "istiod-address",
        "has no port 15014",
    ),
    *(
        (
            both(crash, setting("istioDiscoveryAddress", f"{host}:15012")),
            "failed",
            "istiod-address",
            "names ending in .svc, so TLS fails. Use istiod-gloo.istio-system.svc:15012",
        )
        for host in ("istiod-gloo.istio-system.svc.cluster.local", "istiod-gloo.istio-system")
    ),
    (plain_port, "failed", "istiod-address", "istiod issues certificates on port 15012 only; istiod is at istiod-gloo"),
    (other_service, "failed", "istiod-address", "Service istio-eastwest/eastwest does not select an istiod"),
    (
        set_by_the_class,
        "failed",
        "cluster-id",
        "istioMetaClusterId in GatewayParameters gloo-system/of-class is cluster2, but istiod",
    ),
    (
        lambda s: s.settings.pop("istioMetaClusterId"),
        "failed",
        "cluster-id",
        "istioMetaClusterId in GatewayParameters gloo-system/params (kgateway's default) is Kubernetes, but istiod",
    ),
    (
        setting("istioMetaClusterId", "cluster2"),
        "failed",
        "cluster-id",
        "is cluster2, but istiod istiod-gloo.istio-system.svc issues certificates only for cluster1",
    ),
    (
        both(
            wrong_id,
            lambda s: s.istiod["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="1234"),
            put("want", Want()),
        ),
        "failed",
        "cluster-id",
        "issues certificates only for 1234. kgateway cannot render that ID as a string. Set a cluster ID such as",
    ),
    (both(crash, wrong_id), "failed", "cluster-id", "istioMetaClusterId in GatewayParameters gloo-system/params is Ku"),
    (
        both(crash, wrong_id, old_pod),
        "failed",
        "cluster-id",
        "Set istioMetaClusterId to cluster1" + AT_OLD,
    ),
    (
        no_ref,
        "failed",
        "istiod-address",
        "istiod.istio-system.svc:15012 in Gateway gloo-system/http (no parametersRef, kgateway's defaults apply)",
    ),
    (
        both(crash, istiod_down),
        "failed",
        "istiod",
        "istiod istio-system/istiod-gloo is not ready, so no certificates are issued: Deployment "
        "istio-system/istiod-gloo has 0 replicas",
    ),
    (
        istiod_gone,
        "failed",
        "istiod",
        "Service istio-system/istiod-gloo of istiod does not select the Pods of any Deployment",
    ),
    (
        lambda s: s.istiod.update(status={}),
        "waiting",
        "istiod",
        "Deployment istio-system/istiod-gloo has no ready Pod",
    ),
    (
        both(injector_says("cluster2"), lambda s: s.istiod.update(status={})),
        "waiting",
        "istiod",
        "so no certificates are issued: Deployment istio-system/istiod-gloo has no ready Pod",
    ),
    (put("root_cert", False), "failed", "istiod", "ConfigMap gloo-system/istio-ca-root-cert is missing"),
    (put("proxy", None), "waiting", "deployment", "Deployment gloo-system/http does not exist although"),
    (
        both(put("proxy", None), reserved_port),
        "failed",
        "deployment",
        "listener http: Accepted=False/Invalid: reserved",
    ),
    (
        both(put("proxy", None), setting("istioDiscoveryAddress", "[fd00::1]:15012")),
        "failed",
        "settings",
        "cannot be rendered by the controller",
    ),
    (
        deployment_of_somebody_else,
        "waiting",
        "deployment",
        "Deployment gloo-system/http is not owned by the Gateway but by Shop front",
    ),
    (lambda s: s.containers.remove("sds"), "waiting", "deployment", "lacks sds"),
    (
        lambda s: s.env.update(CA_ADDR="old:15012"),
        "waiting",
        "deployment",
        "has CA_ADDR old:15012, GatewayParameters gloo-system/params sets istiod-gloo",
    ),
    *(
        (
            lambda s, name=name: s.env.pop(name),
            "waiting",
            "deployment",
            f"Deployment gloo-system/http has no {name} in container istio-proxy, GatewayParameters gloo-system/params",
        )
        for name, _default in SETTINGS.values()
    ),
    (lambda s: s.proxy["spec"].update(replicas=0), "failed", "rollout", "is scaled to 0, so no proxy runs"),
    (
        both(
            lambda s: s.proxy["spec"].update(replicas=0),
            lambda s: s.parameters[GATEWAY_PARAMETERS][0]["spec"]["kube"].update(deployment={"replicas": 0}),
        ),
        "failed",
        "rollout",
        "GatewayParameters gloo-system/params sets deployment.replicas to 0. Change it there unless this is intended",
    ),
    (paused, "failed", "rollout", "Deployment gloo-system/http is paused"),
    (crash, "waiting", "rollout", "sds is crash-looping because istio-proxy gets no certificate from istiod-g"),
    (both(crash, old_pod), "waiting", "rollout", AT_OLD),
    (
        both(
            crash,
            setting("istioDiscoveryAddress", "10.96.3.4:15012"),
            lambda s: s.env.update(CA_ADDR="10.96.3.4:15012"),
        ),
        "waiting",
        "rollout",
        "no certificate from 10.96.3.4:15012 (not a Service; istiod is at istiod-gloo.istio-system.svc:15012) as "
        "cluster",
    ),
    (evicted, "waiting", "rollout", "http-new-b ended: Evicted: The node was low on resource: memory."),
    (
        init_container("waf-init", CRASHING),
        "failed",
        "rollout",
        "container waf-init is crash-looping, it exited with code 255",
    ),
    (
        init_container("waf", {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff"}}}),
        "failed",
        "rollout",
        "image waf:1 of container waf: ImagePullBackOff",
    ),
    (
        both(outside_the_mesh, init_container("istio-proxy", CRASHING, restartPolicy="Always")),
        "failed",
        "rollout",
        "container istio-proxy is crash-looping, it exited with code 255",
    ),
    (
        both(
            outside_the_mesh,
            init_container("istio-proxy", {"ready": True, "state": {"running": {}}}, restartPolicy="Always"),
            put("want", Want(expect=("kgateway-proxy",))),
        ),
        "failed",
        "rollout",
        "http-new-a has istio-proxy in addition: Namespace gloo-system is labelled istio-injection=enabled",
    ),
    (
        container("istio-proxy", state={"terminated": {"exitCode": 255}}),
        "waiting",
        "rollout",
        "istio-proxy exited with code 255, so there is no certificate",
    ),
    (
        container(
            "kgateway-proxy",
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        ),
        "failed",
        "rollout",
        "container kgateway-proxy is crash-looping, it exited with code 137 (OOMKilled)",
    ),
    (
        container(
            "sds",
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        ),
        "failed",
        "rollout",
        "container sds is crash-looping, it exited with code 137 (OOMKilled)",
    ),
    (
        waits("sds", "ImagePullBackOff", "back-off", "sds:nope"),
        "failed",
        "rollout",
        "image sds:nope of container sds: ImagePullBackOff: back-off",
    ),
    (waits("sds", "ErrImagePull", image="sds:nope"), "waiting", "rollout", "sds: ErrImagePull"),
    (
        waits("istio-proxy", "CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        "failed",
        "rollout",
        "container istio-proxy: CreateContainerConfigError: container has runAsNonRoot",
    ),
    (unscheduled, "waiting", "rollout", "cannot be scheduled: 0/3 nodes are available"),
    (
        refused('pods "http-x" is forbidden: exceeded quota: small'),
        "failed",
        "rollout",
        'its Pods are rejected: pods "http-x" is forbidden: exceeded quota: small',
    ),
    (injected, "failed", "rollout", "Namespace gloo-system is labelled istio.io/rev=gloo, so Istio's injector"),
    (
        injected_and_ready,
        "failed",
        "rollout",
        "http-new-a has istio-init in addition: Namespace gloo-system is labelled istio.io/rev=gloo",
    ),
    (
        sidecar_in_one_container_proxy,
        "failed",
        "rollout",
        "http-new-a has istio-proxy in addition: Namespace gloo-system is labelled istio-injection=enabled",
    ),
    (lambda s: s.proxy["status"].update(updatedReplicas=0), "waiting", "rollout", "0 of 1 replicas updated"),
    (
        lambda s: s.gateway["status"]["listeners"][0]["conditions"][1].update(status="False", reason="Invalid"),
        "failed",
        "listeners",
        "listener http",
    ),
    (lambda s: s.service["status"].clear(), "waiting", "address", "of type LoadBalancer has no address"),
    (put("service", None), "waiting", "address", "Service gloo-system/http does not exist yet"),
]


@pytest.mark.parametrize(("break_it", "state", "check", "words"), CAUSES)
def test_first_cause(stage: Any, break_it: Break, state: str, check: str, words: str) -> None:
    break_it(stage)
    finding = proxy.check_proxy(stage.model())
    assert (finding.state, finding.check, words in finding.reason) == (state, check, True), finding


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(range(len(CAUSES))), seed=st.integers(0, 2**32))
def test_the_verdict_does_not_depend_on_the_order_of_lists(stage: Any, place: int, seed: int) -> None:
    stage = type(stage)()  # the fixture is one for all examples
    CAUSES[place][0](stage)
    old_pod(stage)
    stage.old_pods.append(stage.pod("http-new-b", "http-new", stage.pod_ready, stage.statuses))
    stage.deployments = [copy.deepcopy(stage.controller), copy.deepcopy(stage.controller)]
    for number, deployment in enumerate(stage.deployments):
        deployment["metadata"].update(name=f"other-{number}", namespace=f"other-{number}")
    for namesakes in filter(None, stage.parameters.values()):
        namesakes += [{"metadata": {"namespace": namespace, "name": "params"}} for namespace in ("a", "b")]
    s = stage.model()
    objects, shuffle = copy.deepcopy(s.objects), random.Random(seed).shuffle
    lists = [*vars(objects).values(), *objects.parameters.values()]
    for one in (found for found in lists if isinstance(found, list)):
        shuffle(one)
        for obj in one:
            shuffle((obj.get("status") or {}).get("conditions") or [])
            shuffle((obj.get("spec") or {}).get("ports") or [])
    assert proxy.check_proxy(ProxyModel(objects, s.namespace, s.name, s.want)) == proxy.check_proxy(s)


# -- what is right ---------------------------------------------------------------------------------------------------


def test_a_gateway_that_is_no_envoy_has_no_mesh_containers(stage: Any) -> None:
    """AUTO_MTLS is for the proxies of kgateway; a class agentgateway may have the same controller."""
    stage.containers, stage.want = ["agentgateway"], Want()
    assert proxy.check_proxy(stage.model()).ready


@pytest.mark.parametrize("address", ["ISTIOD-gloo.istio-system.svc:15012", "istiod-gloo.istio-system.svc.:15012"])
def test_names_are_compared_as_dns_compares_them(stage: Any, address: str) -> None:
    stage.settings["istioDiscoveryAddress"] = stage.env["CA_ADDR"] = address
    model = stage.model()
    assert model.plane and proxy.check_proxy(model).ready


@pytest.mark.share
@pytest.mark.slow
@pytest.mark.parametrize("want", [Want(expect=THREE), Want()])
def test_damaged_objects_are_no_reason_to_break_off(stage: Any, damaged: Any, want: Want) -> None:
    crash(stage)
    objects = {**vars(stage.model().objects), "parameters": stage.parameters[GATEWAY_PARAMETERS]}
    for way, lists in damaged(copy.deepcopy(objects)):
        if way.count("/") > 1:  # the lists themselves are never damaged
            changed = Objects(**{**lists, "parameters": {GATEWAY_PARAMETERS: lists["parameters"]}})
            s = ProxyModel(changed, "gloo-system", "http", want)
            assert record("cluster1", s, proxy.check_proxy(s))["verdict"] in ("ready", "waiting", "failed"), way
            restart_reason(s)


def test_one_container_when_the_switch_is_on(stage: Any) -> None:
    stage.want = Want(expect=("kgateway-proxy",))
    verdict = proxy.check_proxy(stage.model())
    assert verdict.state == "failed" and "is on in Deployment gloo-system/gloo-gateway" in verdict.reason


def test_one_container_when_the_switch_is_off(stage: Any) -> None:
    switch_off(stage)
    stage.want, stage.istiod = Want(expect=("kgateway-proxy",)), None
    assert proxy.check_proxy(stage.model()).ready


def test_without_expectation_the_switch_says_what_is_right(stage: Any) -> None:
    stage.want = Want()
    assert proxy.check_proxy(stage.model()).ready
    stage.containers = ["kgateway-proxy"]
    assert "lacks sds, istio-proxy" in proxy.check_proxy(stage.model()).reason
    stage.settings.clear()  # nobody asks for a place in the mesh
    switch_off(stage)
    assert proxy.check_proxy(stage.model()).ready


def test_an_alias_of_istiod_is_no_contradiction(stage: Any) -> None:
    alias = copy.deepcopy(stage.istiod_service)
    alias["metadata"].update(name="istiod", labels={"app": "istiod"})
    stage.settings["istioDiscoveryAddress"] = stage.env["CA_ADDR"] = "istiod.istio-system.svc:15012"
    stage.services = [alias]
    assert proxy.check_proxy(stage.model()).ready


@pytest.mark.parametrize(("image", "ready"), [("pilot:1.27.3", True), ("pilot:1.26.1", False)])
def test_an_alias_of_the_cluster_counts_from_1_27_on(stage: Any, image: str, ready: bool) -> None:
    container = stage.istiod["spec"]["template"]["spec"]["containers"][0]
    container.update(image=image, args=["discovery", "--clusterAliases=Kubernetes=cluster1,x=other"])
    wrong_id(stage)
    assert proxy.check_proxy(stage.model()).ready is ready


def test_istiods_deployment_may_have_another_name_than_its_service(stage: Any) -> None:
    stage.istiod["metadata"]["name"] = "discovery"
    container = stage.istiod["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["discovery", "--clusterAliases=Kubernetes=cluster1"]
    wrong_id(stage)
    assert proxy.check_proxy(stage.model()).ready
    stage.istiod["status"] = {}
    finding = proxy.check_proxy(stage.model())
    assert finding.state == "waiting" and "Deployment istio-system/discovery has no ready Pod" in finding.reason


@pytest.mark.parametrize("name", ["istiod", "pilot"])
def test_an_alias_that_istiods_certificate_does_not_name(stage: Any, name: str) -> None:
    """It leads to istiod, but TLS fails; a certificate that is there all the same proves otherwise."""
    alias = copy.deepcopy(stage.istiod_service)
    alias["metadata"].update(name=name, labels={"istio.io/tag": "prod"})
    stage.settings["istioDiscoveryAddress"] = stage.env["CA_ADDR"] = f"{name}.istio-system.svc:15012"
    stage.services = [alias]
    assert proxy.check_proxy(stage.model()).ready
    crash(stage)
    finding = proxy.check_proxy(stage.model())
    assert (finding.check == "istiod-address") is (name == "pilot"), finding
    stage.istiod["spec"]["template"]["spec"]["containers"][0]["env"].append(
        {"name": "ISTIOD_CUSTOM_HOST", "value": "a.example,pilot.istio-system.svc"}
    )
    assert proxy.check_proxy(stage.model()).check == "rollout"


def test_a_way_to_istiod_that_gave_a_certificate_is_one(stage: Any) -> None:
    other_service(stage)
    stage.statuses, stage.pod_ready = {}, True
    stage.proxy["status"].update(availableReplicas=1)
    assert proxy.check_proxy(stage.model()).ready


def test_a_default_that_nobody_set_may_be_missing(stage: Any) -> None:
    del stage.settings["istioMetaMeshId"], stage.env["ISTIO_META_MESH_ID"]
    assert proxy.check_proxy(stage.model()).ready
    stage.env["ISTIO_META_MESH_ID"] = "other"
    assert "has ISTIO_META_MESH_ID other" in proxy.check_proxy(stage.model()).reason


@pytest.mark.parametrize(
    ("controller", "kind", "deployment"),
    [
        ("solo.io/gloo-gateway-v2", GLOO_GATEWAY_PARAMETERS, "gloo-gateway"),
        ("solo.io/enterprise-kgateway", ENTERPRISE_PARAMETERS, "enterprise-kgateway"),
    ],
)
def test_other_products_parameters_are_read_too(
    stage: Any, controller: str, kind: ParameterKind, deployment: str
) -> None:
    stage.gateway_class["spec"]["controllerName"] = controller
    stage.controller["metadata"]["name"] = deployment
    ref(group=kind.group, kind=kind.kind)(stage)
    stage.parameters[kind] = stage.parameters.pop(GATEWAY_PARAMETERS)
    assert proxy.check_proxy(stage.model()).ready
    wrong_id(stage)
    assert f"istioMetaClusterId in {kind.kind} gloo-system/params" in proxy.check_proxy(stage.model()).reason


def test_version_1_names_parameters_by_an_annotation(stage: Any) -> None:
    no_ref(stage)
    stage.gateway_class["spec"]["controllerName"] = "solo.io/gloo-gateway"
    stage.gateway["metadata"]["annotations"] = {"gateway.gloo.solo.io/gateway-parameters-name": "params"}
    stage.parameters = {V1_PARAMETERS: stage.parameters[GATEWAY_PARAMETERS]}
    assert proxy.check_proxy(stage.model()).ready


def test_parameters_of_the_class_come_first_those_of_the_gateway_win(stage: Any) -> None:
    group, kind = GATEWAY_PARAMETERS.group, GATEWAY_PARAMETERS.kind
    of_class = {"group": group, "kind": kind, "namespace": "default", "name": "for-all"}
    stage.gateway_class["spec"]["parametersRef"] = of_class
    values = {"istioMetaClusterId": "other", "istioMetaMeshId": "mesh1"}
    stage.parameters[GATEWAY_PARAMETERS].append(
        {
            "metadata": {"namespace": "default", "name": "for-all"},
            "spec": {"kube": {"istio": {"istioProxyContainer": values}}},
        }
    )
    del stage.settings["istioMetaMeshId"]
    stage.env["ISTIO_META_MESH_ID"] = "mesh1"
    s = stage.model()
    assert proxy.check_proxy(s).ready
    assert s.explicit_settings() == {
        "CA_ADDR": "istiod-gloo.istio-system.svc:15012",
        "ISTIO_META_CLUSTER_ID": "cluster1",
        "ISTIO_META_MESH_ID": "mesh1",
    }


def test_a_controller_of_a_name_nobody_knows_may_serve_it(stage: Any) -> None:
    stage.gateway_class["spec"]["controllerName"] = "solo.io/renamed"
    stage.proxy["metadata"]["labels"] = {"gateway.networking.k8s.io/gateway-class-name": "gloo-gateway-v2"}
    assert proxy.check_proxy(stage.model()).ready


@pytest.mark.parametrize(
    ("value", "on"), [("true", True), ("1", True), ("T", True), ("yes", False), ("", False), ("tRUE", False)]
)
def test_switch_is_read_as_the_controller_reads_it(stage: Any, value: str, on: bool) -> None:
    stage.switches[AUTO_MTLS] = value
    assert stage.model().auto_mtls is on


def test_every_gateway_of_the_cluster_or_of_a_namespace(stage: Any) -> None:
    other = copy.deepcopy(stage.gateway)
    other["metadata"].update(namespace="apps", name="web", uid="other")
    istios = copy.deepcopy(other)
    istios["metadata"].update(name="istios", uid="istios")
    istios["spec"]["gatewayClassName"] = "istio"
    stage.gateways = [other, istios]
    stage.classes = [
        {"kind": "GatewayClass", "metadata": {"name": "istio"}, "spec": {"controllerName": "istio.io/gateway"}}
    ]
    objects = stage.model().objects
    assert [s.title for s in proxy_models(objects)] == ["Gateway apps/web", "Gateway gloo-system/http"]
    assert [s.title for s in proxy_models(objects, namespace="apps")] == ["Gateway apps/web"]
    [absent] = proxy_models(objects, namespace="apps", name="http")
    assert (
        proxy.check_proxy(absent).reason
        == "Gateway apps/http does not exist; a Gateway of this name exists in gloo-system"
    )


def test_a_value_that_was_rendered_is_no_fault(stage: Any) -> None:
    stage.settings["istioMetaMeshId"] = stage.env["ISTIO_META_MESH_ID"] = "1e3"
    assert proxy.check_proxy(stage.model()).check != "settings"
    stage.env["ISTIO_META_MESH_ID"] = "mesh1"
    assert proxy.check_proxy(stage.model()).check == "settings"


@pytest.mark.parametrize("name", ["123", "on", "1e3"])
def test_a_gateway_with_a_name_that_yaml_changes_gets_no_deployment(stage: Any, name: str) -> None:
    stage.gateway["metadata"]["name"] = name
    stage.proxy = None
    found = proxy.check_proxy(ProxyModel(stage.model().objects, "gloo-system", name))
    assert (found.state, found.check) == ("failed", "deployment") and "under another name" in found.reason, found
