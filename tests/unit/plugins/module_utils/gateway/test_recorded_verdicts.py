"""Verdict and first cause in situations of kgateway 2.1 and 2.3, whatever the tag of the controller's image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import AUTO_MTLS, INTEGRATION
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import GATEWAY_PARAMETERS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_checks import check_proxy
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import (
    GATEWAY_LABEL,
    Want,
    proxy_models,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_record import record
from proxy_stage import ISTIOD, THREE, Stage, deployment, obj

Json = dict[str, Any]
Change = Callable[[Stage], None]

IMAGES = (
    "registry.example/controller:v2.1.3",
    "registry.example/controller:v2.3.0",
    "registry.example/controller:latest",
    "registry.example/controller",
    "registry.example/mirror/one@sha256:" + "0" * 64,
)
OLD, NEW = "2.1", "2.3"


def stage_of(version: str) -> Stage:
    """A healthy Gateway of open-source kgateway, with the conditions that this version writes."""
    stage = Stage()
    stage.controller["metadata"]["name"] = "kgateway"
    stage.gateway_class["metadata"]["name"] = stage.gateway["spec"]["gatewayClassName"] = "kgateway"
    stage.gateway_class["spec"]["controllerName"] = "kgateway.dev/kgateway"
    extra = (
        {"type": "AttachedListenerSets", "status": "Unknown", "reason": "ListenerSetsNotAllowed"}
        if version == OLD
        else {"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs"}
    )
    stage.gateway["status"]["conditions"][2:] = [{**extra, "observedGeneration": 1}]
    assert stage.proxy
    assert stage.service
    for child in (stage.proxy, stage.service):
        child["metadata"]["ownerReferences"] = [{"kind": "Gateway", "name": "http", "uid": "Gateway-http"}]
    return stage


# -- what happens ------------------------------------------------------------------------------------------------------


def both(*changes: Change) -> Change:
    def change(stage: Stage) -> None:
        for each in changes:
            each(stage)

    return change


def condition(kind: str, status: str, reason: str, message: str = "") -> Change:
    def change(stage: Stage) -> None:
        found = next(each for each in stage.gateway["status"]["conditions"] if each["type"] == kind)
        found.update(status=status, reason=reason, message=message)

    return change


def never_deployed(stage: Stage) -> None:
    stage.proxy, stage.service, stage.replica_sets = None, None, []
    del stage.gateway["status"]["addresses"]


def invalid(message: str) -> Change:
    return condition("Accepted", "False", "InvalidParameters", message)


def ref(name: str, group: str = "gateway.kgateway.dev", kind: str = "GatewayParameters") -> Change:
    def change(stage: Stage) -> None:
        found = {"group": group, "kind": kind, "name": name}
        stage.gateway["spec"]["infrastructure"] = {"parametersRef": found}
        stage.want = Want(expect=THREE, istiod=ISTIOD)

    return change


def kube(stage: Stage) -> Json:
    found = stage.parameters[GATEWAY_PARAMETERS]
    assert found
    spec: Json = found[0]["spec"]["kube"]
    return spec


def replicas(wanted: int, deployed: int) -> Change:
    def change(stage: Stage) -> None:
        kube(stage)["deployment"] = {"replicas": wanted}
        scaled(deployed)(stage)

    return change


def scaled(count: int) -> Change:
    def change(stage: Stage) -> None:
        assert stage.proxy
        stage.proxy["spec"]["replicas"] = count
        stage.proxy["status"] = {"observedGeneration": 1}
        if count:
            names = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
            stage.proxy["status"].update(dict.fromkeys(names, count))
        stage.pods_made = count > 0

    return change


def listener(name: str, port: int, **false: tuple[str, str]) -> Change:
    """A listener with conditions of these reasons and messages."""

    def change(stage: Stage) -> None:
        types = ("Accepted", "Programmed", "ResolvedRefs", "Conflicted")
        found = [{"type": t, "status": str(t != "Conflicted"), "reason": t, "observedGeneration": 1} for t in types]
        for each in found:
            if each["type"] in false:
                reason, message = false[str(each["type"])]
                status = str(each["type"] == "Conflicted")
                each.update(status=status, reason=reason, message=message)
        spec, status = stage.gateway["spec"]["listeners"], stage.gateway["status"]["listeners"]
        spec[:] = [each for each in spec if each["name"] != name]
        status[:] = [each for each in status if each["name"] != name]
        spec.insert(0, {"name": name, "port": port, "protocol": "HTTP"})
        status.insert(0, {"name": name, "conditions": found})

    return change


RESERVED = "invalid port 8082 in listener: port is reserved"
reserved = both(
    listener("bad", 8082, Accepted=("Invalid", RESERVED), Programmed=("Invalid", RESERVED), Conflicted=("Invalid", "")),
    condition("Accepted", "True", "ListenersNotValid"),
)
NO_SECRET = "Secret gloo-system/missing not found."


def only_listener(name: str) -> Change:
    def change(stage: Stage) -> None:
        for found in (stage.gateway["spec"]["listeners"], stage.gateway["status"]["listeners"]):
            found[:] = [each for each in found if each["name"] == name]

    return change


def certificate_missing(stage: Stage) -> None:
    wrong = ("Invalid", NO_SECRET)
    is_new = any(each["type"] == "ResolvedRefs" for each in stage.gateway["status"]["conditions"])
    more = {"Accepted": wrong} if is_new else {}
    listener("https", 8443, Programmed=wrong, ResolvedRefs=("InvalidCertificateRef", NO_SECRET), **more)(stage)
    condition("Accepted", "True", "ListenersNotValid")(stage)
    if is_new:
        condition("ResolvedRefs", "False", "ListenersNotResolved", "One or more listeners have unresolved")(stage)


def of_class(name: str, controller: str = "") -> Change:
    """The Gateway was moved to another class; its conditions are those of before, its proxy runs on."""

    def change(stage: Stage) -> None:
        stage.gateway["metadata"]["generation"] = 2
        stage.gateway["spec"]["gatewayClassName"] = name
        if controller:
            meta, spec = {"name": name}, {"controllerName": controller}
            stage.classes = [{"kind": "GatewayClass", "metadata": meta, "spec": spec}]

    return change


def with_istios_own_proxy(stage: Stage) -> None:
    """The other controller has deployed its proxy, with Pods that have the same label."""
    owner = [{"kind": "Gateway", "name": "http", "uid": "Gateway-http"}]
    other = deployment("a-http-istio", [{"name": "istio-proxy"}], metadata={"ownerReferences": owner})
    service = obj("Service", "a-http-istio", metadata={"ownerReferences": owner}, spec={"type": "ClusterIP"})
    stage.deployments.append(other)
    stage.services.append(service)
    meta = {"ownerReferences": [{"kind": "ReplicaSet", "name": "a-http-istio-1"}], "labels": {GATEWAY_LABEL: "http"}}
    stage.old_pods.append(obj("Pod", "a-http-istio-1-x", metadata=meta, spec={"containers": [{"name": "istio-proxy"}]}))


def class_parameters(stage: Stage) -> None:
    """The class refers to existing parameters by a wrong group and kind, which kgateway ignores."""
    del stage.gateway["spec"]["infrastructure"]
    found = {"group": "example.com", "kind": "Whatever", "namespace": "gloo-system", "name": "params"}
    stage.gateway_class["spec"]["parametersRef"] = found
    stage.settings["istioMetaMeshId"] = stage.env["ISTIO_META_MESH_ID"] = "classmesh"
    stage.want = Want(expect=THREE, istiod=ISTIOD)


def setting(option: str, value: str) -> Change:
    return lambda stage: stage.settings.update({option: value})


def rendered(env: str, value: str) -> Change:
    return lambda stage: stage.env.update({env: value})


def switched_off(name: str) -> Change:
    return lambda stage: stage.switches.update({name: "false"})


def containers(*names: str) -> Change:
    def change(stage: Stage) -> None:
        stage.containers[:] = names

    return change


def patched(**overlays: Any) -> Change:
    return lambda stage: kube(stage).update(overlays)


def pod_patch(*patches: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": list(patches)}}}}


# -- situations -------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A situation of these versions; the expected state, failed check and words of the cause."""

    situation: str
    change: Change
    state: str = "ready"
    check: str = ""
    words: str = ""
    versions: Sequence[str] = (OLD, NEW)


IPV6 = "YAML parse error on kgateway-proxy/templates/gateway/deployment.yaml"
MISSING = "GatewayParameters gloo-system/nobody, referenced by Gateway gloo-system/http, does not exist"
LOGGER = {"name": "logger", "image": "busybox"}
AUTOSCALER = {"spec": {"minReplicas": 1, "maxReplicas": 3}}
OVERLAY = "deploymentOverlay of GatewayParameters gloo-system/params"

ROWS = (
    Row("healthy", lambda stage: None),
    Row(
        "istiod's address is an IPv6 address in brackets",
        both(
            setting("istioDiscoveryAddress", "[fd00::10]:15012"),
            invalid(f"failed to get objects to deploy gloo-system.http: failed to render helm chart: {IPV6}"),
            never_deployed,
        ),
        "failed",
        "parameters",
        "Set the DNS name of istiod's Service",
    ),
    Row("replicas 0 is ignored", replicas(0, 1), versions=(OLD,)),
    Row(
        "replicas 0 is applied",
        replicas(0, 0),
        "failed",
        "rollout",
        "GatewayParameters gloo-system/params sets deployment.replicas to 0. Change it there",
        versions=(NEW,),
    ),
    Row("scaled to 0 by hand", scaled(0), "failed", "rollout", "Scale it up"),
    Row("scaled to 3 by hand", scaled(3)),
    Row(
        "only listener on a reserved port",
        both(reserved, only_listener("bad"), condition("Programmed", "False", "Invalid"), never_deployed),
        "failed",
        "deployment",
        "port is reserved",
    ),
    Row(
        "only listener of a protocol that is not supported",
        both(
            listener(
                "udp", 53, Accepted=("UnsupportedProtocol", "Protocol UDP is unsupported."), Programmed=("Invalid", "")
            ),
            only_listener("udp"),
            condition("Accepted", "False", "ListenersNotValid", "No valid listeners"),
            condition("Programmed", "False", "Invalid"),
            never_deployed,
        ),
        "failed",
        "generation",
        "Protocol UDP is unsupported",
    ),
    Row("a listener on a reserved port beside a good one", reserved, "failed", "listeners", "port is reserved"),
    Row(
        "the parameters of the class have a wrong group and kind",
        class_parameters,
    ),
    Row(
        "selfManaged",
        both(lambda stage: stage.parameters[GATEWAY_PARAMETERS][0].update(spec={"selfManaged": {}}), never_deployed),  # type: ignore[index]
        "failed",
        "self-managed",
        "sets selfManaged",
    ),
    Row(
        "moved to a class that does not exist", of_class("nope"), "failed", "class", "GatewayClass nope does not exist"
    ),
    Row(
        "moved to a class of Istio",
        of_class("istio", "istio.io/gateway-controller"),
        "failed",
        "class",
        "belongs to the controller istio.io/gateway-controller",
    ),
    Row(
        "moved to a class of Istio, which deployed its own proxy",
        both(of_class("istio", "istio.io/gateway-controller"), with_istios_own_proxy),
        "failed",
        "class",
        "the running proxy keeps its current settings",
    ),
    Row(
        "a setting changed and was rolled out",
        both(setting("istioMetaMeshId", "m"), rendered("ISTIO_META_MESH_ID", "m")),
    ),
    Row(
        "a cluster ID that istiod does not accept",
        both(setting("istioMetaClusterId", "cluster-1"), rendered("ISTIO_META_CLUSTER_ID", "cluster-1")),
        "failed",
        "cluster-id",
        "Set istioMetaClusterId to cluster1",
    ),
    Row(
        "the controller hangs and the Gateway was edited",
        lambda stage: stage.gateway["metadata"].update(generation=2),
        "waiting",
        "generation",
        "the controller has observed generation 1, not yet 2",
    ),
    Row(
        "auto mTLS is off",
        both(switched_off(AUTO_MTLS), containers(THREE[0])),
        "failed",
        "switch",
        f"{AUTO_MTLS} is off",
    ),
    Row("the integration is off", switched_off(INTEGRATION)),
    Row(
        "a new Gateway refers to missing parameters",
        both(ref("nobody"), invalid("could not retrieve GatewayParameters"), never_deployed),
        "failed",
        "parameters",
        MISSING,
    ),
    Row(
        "the parameters were deleted while in use",
        both(ref("nobody"), invalid("could not retrieve GatewayParameters")),
        "failed",
        "parameters",
        f"{MISSING}; the running proxy keeps its current settings",
    ),
    Row(
        "parameters of another product",
        both(ref("params", "enterprisekgateway.solo.io", "EnterpriseKgatewayParameters"), invalid("invalid group")),
        "failed",
        "parameters",
        "the controller accepts GatewayParameters of gateway.kgateway.dev",
    ),
    Row(
        "parameters of an old group",
        both(ref("params", "gateway.gloo.solo.io"), invalid("invalid group gateway.gloo.solo.io")),
        "failed",
        "parameters",
        "the controller accepts GatewayParameters of gateway.kgateway.dev",
    ),
    Row(
        "a ConfigMap as parameters",
        both(ref("params", "", "ConfigMap"), invalid("invalid group  for GatewayParameters")),
        "failed",
        "parameters",
        "the controller accepts GatewayParameters of gateway.kgateway.dev",
    ),
    Row(
        "only an HTTPS listener without its certificate",
        both(certificate_missing, only_listener("https")),
        "failed",
        "listeners",
        NO_SECRET,
    ),
    Row("an HTTPS listener without its certificate", certificate_missing, "failed", "listeners", NO_SECRET),
    # overlays
    Row(
        "an overlay adds a container, with autoscaler and disruption budget",
        both(
            patched(deploymentOverlay=pod_patch(LOGGER), horizontalPodAutoscaler=AUTOSCALER, podDisruptionBudget={}),
            containers("logger", *THREE),
            scaled(3),
        ),
        versions=(NEW,),
    ),
    Row(
        "an overlay removes sds",
        both(
            patched(deploymentOverlay=pod_patch({"name": "sds", "$patch": "delete"})),
            containers("kgateway-proxy", "istio-proxy"),
        ),
        "failed",
        "deployment",
        f"lacks sds, which {OVERLAY} removes",
        versions=(NEW,),
    ),
    Row(
        "an overlay replaces all containers",
        both(
            patched(deploymentOverlay=pod_patch({"$patch": "replace"}, {"name": "kgateway-proxy"})),
            containers("kgateway-proxy"),
        ),
        "failed",
        "deployment",
        f"lacks sds, istio-proxy, which {OVERLAY} removes",
        versions=(NEW,),
    ),
    Row(
        "an overlay corrects the cluster ID of the parameters",
        both(
            setting("istioMetaClusterId", "wrong"),
            patched(
                deploymentOverlay=pod_patch(
                    {"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "cluster1"}]}
                )
            ),
        ),
        versions=(NEW,),
    ),
    Row(
        "an overlay sets a wrong cluster ID, and there is no certificate",
        both(
            patched(
                deploymentOverlay=pod_patch(
                    {"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "wrong"}]}
                )
            ),
            rendered("ISTIO_META_CLUSTER_ID", "wrong"),
            lambda stage: stage.statuses.update(sds={"ready": False}),
            lambda stage: setattr(stage, "pod_ready", False),
        ),
        "failed",
        "cluster-id",
        f"istioMetaClusterId in {OVERLAY} is wrong",
        versions=(NEW,),
    ),
    Row(
        "an overlay sets a cluster ID that istiod accepts for a reason of its own",
        both(
            patched(
                deploymentOverlay=pod_patch(
                    {"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "alias"}]}
                )
            ),
            rendered("ISTIO_META_CLUSTER_ID", "alias"),
        ),
        versions=(NEW,),
    ),
    Row(
        "an overlay sets replicas to 0",
        both(patched(deploymentOverlay={"spec": {"replicas": 0}}), scaled(0)),
        "failed",
        "rollout",
        f"{OVERLAY} sets replicas to 0. Change it there",
        versions=(NEW,),
    ),
    Row(
        "an autoscaler, and scaled to 0",
        both(patched(horizontalPodAutoscaler=AUTOSCALER), scaled(0)),
        "failed",
        "rollout",
        "does not scale it up from 0. Scale it to 1",
        versions=(NEW,),
    ),
    Row(
        "an overlay that changes no container, and a setting that is not rolled out",
        both(patched(deploymentOverlay={"spec": {"replicas": 1}}), rendered("ISTIO_META_MESH_ID", "old")),
        "waiting",
        "deployment",
        "has ISTIO_META_MESH_ID old",
        versions=(NEW,),
    ),
    Row(
        "an overlay makes the Service one of type ClusterIP",
        both(
            patched(serviceOverlay={"spec": {"type": "ClusterIP"}}),
            lambda stage: stage.service.update(spec={"type": "ClusterIP"}, status={}),  # type: ignore[union-attr]
        ),
        versions=(NEW,),
    ),
    Row(
        "a field of a newer version adds a container",
        both(patched(sidecars=[LOGGER]), containers(*THREE, "logger")),
        versions=(NEW,),
    ),
)
CELLS = [pytest.param(row, version, id=f"{row.situation}-{version}") for row in ROWS for version in row.versions]


@pytest.mark.parametrize(("row", "version"), CELLS)
def test_verdict_and_first_cause(row: Row, version: str) -> None:
    seen = set()
    for image in IMAGES:
        stage = stage_of(version)
        row.change(stage)
        stage.image = image
        model = stage.model()
        verdict = check_proxy(model)
        seen.add((verdict.state, verdict.check, verdict.reason))
        assert (verdict.state, verdict.check) == (row.state, row.check), verdict
        assert row.words in verdict.reason
        assert record("c1", model, verdict)["verdict"] == row.state
    assert len(seen) == 1  # whatever the tag


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_gateway_that_was_moved_to_another_class_is_still_checked(version: str) -> None:
    stage = stage_of(version)
    of_class("istio", "istio.io/gateway-controller")(stage)
    with_istios_own_proxy(stage)
    model = stage.model()
    [found] = proxy_models(model.objects)
    assert found.deployment is not None
    assert (found.deployment["metadata"]["name"], found.serving) == ("http", "current")
    assert [pod["metadata"]["name"] for pod in found.pods] == ["http-new-a"]
    assert found.service is not None
    assert found.service["metadata"]["name"] == "http"


def test_a_gateway_named_like_a_number_has_its_name_as_the_cause() -> None:
    stage = stage_of(NEW)
    never_deployed(stage)
    stage.gateway["metadata"]["name"] = "123"
    [model] = proxy_models(stage.model().objects, stage.want)
    verdict = check_proxy(model)
    assert (verdict.state, verdict.check) == ("failed", "deployment")
    assert "the controller writes the name unquoted" in verdict.reason


def test_what_overlays_do_is_in_the_record_and_in_the_reason() -> None:
    stage = stage_of(NEW)
    patched(deploymentOverlay=pod_patch(LOGGER), horizontalPodAutoscaler=AUTOSCALER)(stage)
    containers("logger", *THREE)(stage)
    kube(stage)["deployment"] = {"replicas": 2}
    model = stage.model()
    verdict = check_proxy(model)
    assert f"changed by {OVERLAY}" in verdict.reason
    found = record("c1", model, verdict)
    assert found["overlays"] == [OVERLAY, "horizontalPodAutoscaler of GatewayParameters gloo-system/params"]
    assert any("the controller resets what the autoscaler sets" in text for text in found["problems"])


def test_an_ignored_replicas_0_is_a_problem_that_does_not_prevent_serving() -> None:
    stage = stage_of(OLD)
    replicas(0, 1)(stage)
    model = stage.model()
    [problem] = record("c1", model, check_proxy(model))["problems"]
    assert "sets deployment.replicas to 0" in problem.replace("set ", "sets ")
    assert "kgateway before 2.3 ignores 0" in problem


LONG = "gateway-" + "x" * 70


@pytest.mark.parametrize("objects", ["gateway-" + "x" * 42 + "-59ed7bfa9a43", "gateway-" + "x" * 55])
def test_objects_of_a_gateway_with_a_long_name_are_found_by_their_owner(objects: str) -> None:
    """Newer versions shorten the name and add a hash; the label of the Pods has the short one."""
    stage = stage_of(NEW)
    stage.gateway["metadata"]["name"] = LONG
    assert stage.proxy
    assert stage.service
    for child in (stage.proxy, stage.service):
        child["metadata"]["name"] = objects
    owner = {"kind": "Deployment", "uid": stage.proxy["metadata"]["uid"]}
    for one in stage.replica_sets:
        one["metadata"]["ownerReferences"] = [owner]
    stage.want = Want(expect=THREE, istiod=ISTIOD, parameters="params")
    built = stage.model().objects
    for pod in built.pods:
        pod["metadata"]["labels"] = {GATEWAY_LABEL: objects}
    # A Pod of another Gateway whose short name is its whole name.
    other = obj("Pod", "other", metadata={"labels": {GATEWAY_LABEL: LONG[:63]}, "ownerReferences": [{"name": "z"}]})
    built.pods = [*built.pods, other]
    [model] = proxy_models(built, stage.want)
    assert check_proxy(model).ready, check_proxy(model)
    assert [pod["metadata"]["name"] for pod in model.pods] == ["http-new-a"]
