"""Verdict and first cause in situations that a kgateway controller creates, each a change of a healthy Stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import proxy_checks as proxy
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import AUTO_MTLS, INTEGRATION
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import GATEWAY_PARAMETERS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_model import ProxyModel, Want
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_record import record
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_restart import restart_reason
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import SETTINGS
from proxy_stage import ISTIOD, THREE, Stage

Json = dict[str, Any]
Change = Callable[[Stage], None]

DEFAULTS = ("istiod.istio-system.svc:15012", "Kubernetes", "cluster.local")  # what kgateway takes without a setting
GROUP = GATEWAY_PARAMETERS.group


# -- what happens to a healthy Gateway --------------------------------------------------------------------------------


def conditions(stage: Stage, generation: int, accepted: bool = True) -> None:
    """What the controller last wrote: about this generation, parameters accepted or not."""
    stage.gateway["metadata"]["generation"] = generation
    status = stage.gateway["status"]
    for condition in [*status["conditions"], *status["listeners"][0]["conditions"]]:
        condition["observedGeneration"] = generation
    if not accepted:
        status["conditions"][0].update(status="False", reason="InvalidParameters")


def refers_to(name: str, group: str = GROUP) -> Change:
    def change(stage: Stage) -> None:
        ref = {"group": group, "kind": "GatewayParameters", "name": name}
        stage.gateway["spec"]["infrastructure"] = {"parametersRef": ref}

    return change


def never_made(stage: Stage) -> None:
    """The controller made neither Deployment nor Service."""
    stage.proxy, stage.service, stage.replica_sets = None, None, []
    del stage.gateway["status"]["addresses"]


def refused(stage: Stage) -> None:
    conditions(stage, 1, accepted=False)
    never_made(stage)


def refused_later(stage: Stage) -> None:
    conditions(stage, 7, accepted=False)


def without_address(stage: Stage) -> None:
    assert stage.service
    stage.service["status"] = {"loadBalancer": {}}
    del stage.gateway["status"]["addresses"]


def switched(auto_mtls: bool, integration: bool) -> Change:
    def change(stage: Stage) -> None:
        stage.switches = {AUTO_MTLS: str(auto_mtls).lower(), INTEGRATION: str(integration).lower()}
        stage.containers = list(THREE if auto_mtls else THREE[:1])
        without_address(stage)

    return change


def runs_with(address: str, cluster_id: str, mesh_id: str) -> Change:
    """What the Pods have in their environment."""

    def change(stage: Stage) -> None:
        stage.env = {
            SETTINGS[option][0]: value for option, value in zip(SETTINGS, (address, cluster_id, mesh_id), strict=True)
        }

    return change


def says(**istio: str) -> Change:
    """What the parameters say for istio-proxy, and nothing else."""

    def change(stage: Stage) -> None:
        stage.settings.clear()
        stage.settings.update(istio)

    return change


def without_parameters(stage: Stage) -> None:
    stage.gateway["spec"].pop("infrastructure", None)


def newer_bootstrap(stage: Stage) -> None:
    """The Envoy bootstrap was written after the Pod had started, and nothing else was."""
    owner = {"manager": "kgateway.dev/kgateway", "operation": "Apply", "time": "2026-01-01T10:05:00Z"}
    entry = {**owner, "fieldsV1": {"f:data": {"f:envoy.yaml": {}}}}
    meta = {"namespace": "gloo-system", "name": "http", "managedFields": [entry]}
    stage.config_maps = [{"kind": "ConfigMap", "metadata": meta, "data": {"envoy.yaml": "{}"}}]


def gone(stage: Stage) -> None:
    stage.gateway = {}
    stage.proxy, stage.service, stage.replica_sets = None, None, []


def addresses(*ingress: Json) -> Change:
    def change(stage: Stage) -> None:
        assert stage.service
        stage.service["status"] = {"loadBalancer": {"ingress": list(ingress)}}
        kinds = {"hostname": "Hostname", "ip": "IPAddress"}
        found = [next((kinds[key], one[key]) for key in kinds if key in one) for one in ingress]
        stage.gateway["status"]["addresses"] = [{"type": kind, "value": value} for kind, value in found]

    return change


def of_a_class_without_controller(stage: Stage) -> None:
    """The class was changed; whoever served the Gateway before wrote its conditions."""
    other = {"kind": "GatewayClass", "apiVersion": "gateway.networking.k8s.io/v1", "metadata": {"name": "gloo-gateway"}}
    stage.classes = [{**other, "spec": {"controllerName": "solo.io/gloo-gateway"}}]
    stage.gateway["spec"]["gatewayClassName"] = "gloo-gateway"
    conditions(stage, 3)
    stage.gateway["metadata"]["generation"] = 4


def written_as_a_number(stage: Stage) -> None:
    """An ID of digits: Gateway accepted, Service made, but no Deployment."""
    stage.settings.clear()
    stage.settings["istioMetaClusterId"] = "123"
    stage.proxy, stage.replica_sets = None, []
    without_address(stage)


# -- situation -> changes, state, check, words of the cause ----------------------------------------------------------

OFF = "KGW_ENABLE_ISTIO_AUTO_MTLS is off in Deployment gloo-system/gloo-gateway"
CHANGED = (ISTIOD["address"], "cluster1-changed", ISTIOD["mesh_id"])
told = dict(zip(SETTINGS, CHANGED, strict=True))

SITUATIONS: dict[str, tuple[tuple[Change, ...], str, str, str]] = {
    "healthy": ((), "ready", "", ""),
    "both switches off": ((switched(False, False),), "failed", "switch", OFF),
    "only the integration on": ((switched(False, True),), "failed", "switch", OFF),
    "only auto mTLS on": ((switched(True, False),), "waiting", "address", "has no address"),
    "new Gateway, parameters missing": (
        (refers_to("absent"), refused),
        "failed",
        "parameters",
        "GatewayParameters gloo-system/absent, referenced by Gateway gloo-system/http",
    ),
    "reference moved to missing parameters": (
        (refers_to("absent"), refused_later),
        "failed",
        "parameters",
        "does not exist; the running proxy keeps its",
    ),
    "parameters restored": ((lambda stage: conditions(stage, 5),), "ready", "", ""),
    "parameters of another group": (
        (refers_to("params", "gateway.gloo.solo.io"), refused),
        "failed",
        "parameters",
        "GatewayParameters of gateway.gloo.solo.io; the controller accepts GatewayParameters of gateway.kgateway.dev",
    ),
    "parameters without istio": (
        (says(), runs_with(*DEFAULTS), without_address),
        "failed",
        "istiod-address",
        DEFAULTS[0],
    ),
    "parameters name another istiod, not in the Pods yet": (
        (says(istioDiscoveryAddress="istiod-nope.istio-system.svc:15012"), runs_with(*DEFAULTS), without_address),
        "failed",
        "istiod-address",
        f"istiod is at {ISTIOD['address']}",
    ),
    "Gateway without parameters": (
        (without_parameters, runs_with(*DEFAULTS), without_address),
        "failed",
        "istiod-address",
        "(no parametersRef, kgateway's defaults apply)",
    ),
    "cluster ID changed in the parameters and in the Pods": (
        (says(**told), runs_with(*CHANGED)),
        "failed",
        "cluster-id",
        "params is cluster1-changed",
    ),
    "cluster ID changed and the bootstrap too": (
        (says(**told), runs_with(*CHANGED), lambda stage: conditions(stage, 2)),
        "failed",
        "cluster-id",
        "params is cluster1-changed",
    ),
    "only the bootstrap changed": ((newer_bootstrap,), "ready", "", ""),
    "reference removed, three containers stay": (
        (without_parameters, runs_with(*DEFAULTS), lambda stage: conditions(stage, 2)),
        "failed",
        "istiod-address",
        f"{DEFAULTS[0]} in Gateway gloo-system/http (no parametersRef, kgateway's defaults apply)",
    ),
    "a later generation": ((lambda stage: conditions(stage, 10),), "ready", "", ""),
    "Gateway deleted": ((gone,), "failed", "gateway", "Gateway gloo-system/http does not exist"),
    "address pending": ((without_address,), "waiting", "address", "has no address"),
    "address by IP": ((addresses({"ip": "192.0.2.20"}),), "ready", "", ""),
    "addresses by name and by IP": (
        (addresses({"hostname": "lb.example.test", "ip": "192.0.2.20"}, {"ip": "192.0.2.21"}),),
        "ready",
        "",
        "",
    ),
    "class without a controller": (
        (of_a_class_without_controller, without_parameters),
        "failed",
        "class-served",
        "GatewayClass gloo-gateway of solo.io/gloo-gateway is not served: no controller serves this class",
    ),
    "cluster ID of digits": ((written_as_a_number,), "failed", "settings", "'123'"),
}


def situation(name: str, expect: tuple[str, ...] | None = THREE) -> ProxyModel:
    stage = Stage()
    stage.want = Want(expect=expect, istiod=ISTIOD)
    for change in SITUATIONS[name][0]:
        change(stage)
    return stage.model()


@pytest.mark.parametrize("name", SITUATIONS)
def test_first_cause(name: str) -> None:
    _changes, state, check, words = SITUATIONS[name]
    finding = proxy.check_proxy(situation(name))
    assert (finding.state, finding.check, words in finding.reason) == (state, check, True), finding


@pytest.mark.parametrize("name", SITUATIONS)
def test_only_a_change_of_nothing_but_the_bootstrap_needs_a_restart(name: str) -> None:
    reason = restart_reason(situation(name))
    assert bool(reason) is (name == "only the bootstrap changed"), reason


def test_the_record_of_a_healthy_proxy() -> None:
    s = situation("healthy")
    row = record("cluster1", s, proxy.check_proxy(s))
    assert tuple(row["containers"]) == THREE
    assert row["url"] == "http://192.0.2.10:8080"
    assert row["env"]["ISTIO_META_CLUSTER_ID"] == "cluster1"
    assert [pod["ready"] for pod in row["pods"]] == [True]
    assert (row["deployment"]["generation"], row["deployment"]["rollout"]) == (1, "ready")


def test_without_expectation_one_container_is_wrong_where_the_parameters_want_a_mesh() -> None:
    assert proxy.check_proxy(situation("both switches off", None)).check == "switch"
