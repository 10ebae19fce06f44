"""Readiness of objects by their status, as real controllers write it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.pods import pod_trouble
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.readiness import (
    judge,
    load_balancer_address,
    settle_seconds,
)

Json = dict[str, Any]


def obj(api_version: str, kind: str, spec: Json | None = None, status: Json | None = None, generation: int = 2) -> Json:
    meta = {"name": "x", "namespace": "ns", "generation": generation}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec or {}, "status": status or {}}


def condition(name: str, status: str = "True", reason: str = "", message: str = "", seen: int | None = 2) -> Json:
    made: Json = {"type": name, "status": status, "reason": reason or name, "message": message}
    return made if seen is None else {**made, "observedGeneration": seen}


def deployment(wanted: int | None = 2, /, **status: Any) -> Json:
    spec = {} if wanted is None else {"replicas": wanted}
    return obj("apps/v1", "Deployment", spec, {"observedGeneration": 2, **status})


def gateway(
    *conditions: Json, listeners: list[Json] | None = None, addresses: tuple[str, ...] = ("192.0.2.1",)
) -> Json:
    good = [{"name": "http", "conditions": [condition(name) for name in ("Accepted", "Programmed", "ResolvedRefs")]}]
    status = {
        "conditions": list(conditions),
        "listeners": good if listeners is None else listeners,
        "addresses": [{"type": "IPAddress", "value": value} for value in addresses],
    }
    return obj(
        "gateway.networking.k8s.io/v1", "Gateway", {"gatewayClassName": "c", "listeners": [{"name": "http"}]}, status
    )


OLD = condition("Accepted", seen=1)
ACCEPTED, PROGRAMMED, RESOLVED = condition("Accepted"), condition("Programmed"), condition("ResolvedRefs")
# Always there on a plain Gateway, and no fault.
LISTENER_SETS = condition("AttachedListenerSets", "Unknown", "ListenerSetsNotAllowed")


# kgateway's status of a listener on a port of its own
RESERVED = (
    condition("Accepted", "False", "Invalid", "port is reserved"),
    condition("Conflicted", "True", "Invalid"),
    condition("Programmed", "False", "Invalid", "port is reserved"),
    condition("ResolvedRefs"),
)


def listener(*conditions: Json) -> list[Json]:
    return [{"name": "http", "conditions": list(conditions)}]


def route(*parents: tuple[Json, list[Json]], refs: list[Json] | None = None) -> Json:
    status = {"parents": [{"parentRef": ref, "controllerName": "c", "conditions": list(rows)} for ref, rows in parents]}
    spec = {"parentRefs": [{"name": "http", "namespace": "gw"}] if refs is None else refs}
    return obj("gateway.networking.k8s.io/v1", "HTTPRoute", spec, status)


HTTP = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "http", "namespace": "gw"}
OTHER = {**HTTP, "name": "other"}
BY_ROUTE = {**HTTP, "kind": "HTTPRoute", "name": "all"}


def gloo(kind: str, **state: Any) -> Json:
    return obj("networking.gloo.solo.io/v2", kind, status={"common": {"State": state}} if state else {})


def smc(phase: str | None, *conditions: Json) -> Json:
    status = {"phase": phase, "conditions": list(conditions)} if phase else {}
    return obj("operator.gloo.solo.io/v1", "ServiceMeshController", status=status)


def root_policy(**status: Any) -> Json:
    return obj("admin.gloo.solo.io/v2", "RootTrustPolicy", status=status)


DONE = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
TABLE: list[tuple[str, Json, str, str]] = [
    ("namespace", obj("v1", "Namespace", status={"phase": "Active"}), "ready", ""),
    ("namespace ends", obj("v1", "Namespace", status={"phase": "Terminating"}), "waiting", "Terminating"),
    ("crd", obj("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "waiting", "not established"),
    (
        "crd established",
        obj(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            status={"conditions": [condition("Established", seen=None)]},
        ),
        "ready",
        "",
    ),
    (
        "crd names taken",
        obj(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            status={"conditions": [condition("NamesAccepted", "False", message="plural taken", seen=None)]},
        ),
        "failed",
        "plural taken",
    ),
    ("config map", obj("v1", "ConfigMap"), "ready", ""),
    ("deployment untouched", obj("apps/v1", "Deployment", {"replicas": 1}), "waiting", "has not reconciled"),
    (
        "deployment stale",
        deployment(**{**DONE, "observedGeneration": 1}),
        "waiting",
        "generation 1, the object is",
    ),
    ("deployment done", deployment(**DONE), "ready", "2 of 2"),
    ("deployment old pods", deployment(**{**DONE, "replicas": 3}), "waiting", "1 old replicas"),
    ("deployment rolling", deployment(**{**DONE, "updatedReplicas": 1}), "waiting", "1 of 2 replicas updated"),
    ("deployment down", deployment(updatedReplicas=2, replicas=2), "waiting", "0 of 2 replicas available"),
    ("deployment default", deployment(None, updatedReplicas=1, replicas=1, availableReplicas=1), "ready", "1 of 1"),
    # Available=True at 0 replicas is what the API says; the reason must tell.
    ("deployment zero", deployment(0, conditions=[condition("Available", seen=None)]), "ready", "0 replicas"),
    (
        "deployment stuck",
        deployment(conditions=[condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out", seen=None)]),
        "failed",
        "timed out",
    ),
    (
        "deployment refused",
        deployment(conditions=[condition("ReplicaFailure", "True", "FailedCreate", "webhook says no", seen=None)]),
        "failed",
        "webhook says no",
    ),
    (
        "daemon set",
        obj(
            "apps/v1",
            "DaemonSet",
            status={
                "observedGeneration": 2,
                "desiredNumberScheduled": 1,
                "currentNumberScheduled": 1,
                "updatedNumberScheduled": 1,
            },
        ),
        "waiting",
        "0 of 1 replicas available",
    ),
    (
        "stateful set",
        obj(
            "apps/v1",
            "StatefulSet",
            status={
                "observedGeneration": 2,
                "replicas": 1,
                "availableReplicas": 1,
                "updateRevision": "a",
                "currentRevision": "a",
            },
        ),
        "ready",
        "",
    ),
    ("service", obj("v1", "Service", {"type": "ClusterIP"}), "ready", ""),
    ("service pending", obj("v1", "Service", {"type": "LoadBalancer"}), "waiting", "load balancer provider"),
    (
        "service address",
        obj("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),
        "ready",
        "192.0.2.1",
    ),
    ("job failed", obj("batch/v1", "Job", status={"conditions": [condition("Failed", message="no")]}), "failed", "no"),
    ("class", obj("gateway.networking.k8s.io/v1", "GatewayClass", status={"conditions": [ACCEPTED]}), "ready", ""),
    (
        "class of nobody",
        obj(
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            status={"conditions": [condition("Accepted", "Unknown", "Pending", seen=None)]},
        ),
        "waiting",
        "no controller serves",
    ),
    ("gateway", gateway(ACCEPTED, PROGRAMMED, LISTENER_SETS), "ready", "192.0.2.1"),
    (
        "gateway untouched",
        gateway(condition("Accepted", "Unknown", "Pending", seen=None)),
        "waiting",
        "class c is served",
    ),
    # A class nobody serves: everything True, for an older generation.
    (
        "gateway stale",
        gateway(condition("Accepted", seen=1), condition("Programmed", seen=1)),
        "waiting",
        "generation 1",
    ),
    ("gateway half stale", gateway(ACCEPTED, condition("Programmed", seen=1)), "waiting", "Programmed: "),
    # kgateway: Programmed stays True while nothing was deployed.
    (
        "gateway bad parameters",
        gateway(condition("Accepted", "False", "InvalidParameters", 'GatewayParameters "x" not found'), PROGRAMMED),
        "failed",
        'InvalidParameters: GatewayParameters "x" not found',
    ),
    (
        "gateway bad listener",
        gateway(
            condition("Accepted", "True", "ListenersNotValid"),
            PROGRAMMED,
            listeners=listener(condition("Accepted", "False", "UnsupportedProtocol", "no UDP")),
        ),
        "failed",
        "listener http: Accepted=False/UnsupportedProtocol",
    ),
    (
        "gateway accepted oddly",
        gateway(condition("Accepted", "True", "ListenersNotValid"), PROGRAMMED),
        "failed",
        "Valid",
    ),
    ("gateway listener missing", gateway(ACCEPTED, PROGRAMMED, listeners=[]), "waiting", "listener http: no status"),
    (
        "gateway conflict",
        gateway(ACCEPTED, PROGRAMMED, listeners=listener(condition("Conflicted", "True", "HostnameConflict"))),
        "failed",
        "HostnameConflict",
    ),
    (
        "gateway without a valid listener",
        gateway(ACCEPTED, condition("Programmed", "False", "Invalid"), listeners=listener(*RESERVED)),
        "failed",
        "listener http: Accepted=False/Invalid: port is reserved",
    ),
    (
        "gateway not accepted, beside a bad listener",
        gateway(
            condition("Accepted", "False", "InvalidParameters", "no such object"),
            PROGRAMMED,
            listeners=listener(*RESERVED),
        ),
        "failed",
        "InvalidParameters: no such object",
    ),
    (
        "gateway not accepted, listeners good",
        gateway(condition("Accepted", "False", "InvalidParameters", "no such object"), PROGRAMMED),
        "failed",
        "InvalidParameters: no such object",
    ),
    (
        "gateway no conflict",
        gateway(
            ACCEPTED,
            PROGRAMMED,
            listeners=listener(ACCEPTED, PROGRAMMED, RESOLVED, condition("Conflicted", "False", "NoConflicts")),
        ),
        "ready",
        "",
    ),
    # Programmed=True although the load balancer gave no address.
    ("gateway no address", gateway(ACCEPTED, PROGRAMMED, addresses=()), "waiting", "no address"),
    ("route", route((HTTP, [ACCEPTED, RESOLVED])), "ready", "Gateway gw/http"),
    ("route untaken", route(), "waiting", "not reconciled by any controller for Gateway gw/http"),
    ("route without parents", route(refs=[]), "failed", "no parentRefs"),
    ("route that another delegates to", route((BY_ROUTE, [ACCEPTED, RESOLVED]), refs=[]), "ready", "HTTPRoute gw/all"),
    (
        "route that another delegates to, refused",
        route((BY_ROUTE, [condition("Accepted", "False", "UnsupportedValue"), RESOLVED]), refs=[]),
        "failed",
        "HTTPRoute gw/all: Accepted=False/UnsupportedValue",
    ),
    ("route programmed", route((HTTP, [ACCEPTED, RESOLVED, condition("kgateway.dev/Programmed")])), "ready", ""),
    (
        "route with a dropped rule",
        route(
            (HTTP, [ACCEPTED, RESOLVED, condition("kgateway.dev/Programmed", "False", "RouteRuleDropped", "Rule (0)")])
        ),
        "failed",
        "Gateway gw/http: kgateway.dev/Programmed=False/RouteRuleDropped: Rule (0)",
    ),
    # The parent moved: the old parent's entry stays and must not count.
    ("route old parent", route((OTHER, [ACCEPTED, RESOLVED])), "waiting", "not reconciled by any controller"),
    ("route stale", route((HTTP, [condition("Accepted", seen=1), RESOLVED])), "waiting", "generation 1"),
    (
        "route refused",
        route((HTTP, [condition("Accepted", "False", "NotAllowedByListeners"), RESOLVED])),
        "failed",
        "Gateway gw/http: Accepted=False/NotAllowedByListeners",
    ),
    (
        "route no backend",
        route((HTTP, [ACCEPTED, condition("ResolvedRefs", "False", "BackendNotFound", 'Service "x" not found')])),
        "failed",
        'BackendNotFound: Service "x" not found',
    ),
    (
        "route two parents",
        route(
            (HTTP, [ACCEPTED, RESOLVED]),
            (OTHER, [condition("Accepted", "False", "NoMatchingParent"), RESOLVED]),
            refs=[{"name": "http", "namespace": "gw"}, {"name": "other", "namespace": "gw"}],
        ),
        "failed",
        "Gateway gw/other",
    ),
    (
        "route two controllers",
        route((HTTP, [condition("Accepted", "False", "Whatever")]), (HTTP, [ACCEPTED, RESOLVED])),
        "ready",
        "",
    ),
    ("route other section", route(({**HTTP, "sectionName": "a"}, [ACCEPTED, RESOLVED])), "waiting", "any controller"),
    ("gloo untouched", gloo("VirtualDestination"), "waiting", "not reconciled by the management server"),
    ("gloo accepted", gloo("VirtualDestination", approval="ACCEPTED", observedGeneration=2), "ready", ""),
    ("gloo text generation", gloo("RouteTable", approval="ACCEPTED", observedGeneration="2"), "ready", ""),
    ("gloo stale", gloo("RouteTable", approval="ACCEPTED", observedGeneration=1), "waiting", "state was ACCEPTED"),
    (
        "gloo warning",
        gloo("RouteTable", approval="WARNING", observedGeneration=2, message="half"),
        "ready",
        "WARNING: half",
    ),
    ("gloo pending", gloo("RouteTable", approval="PENDING", observedGeneration=2), "waiting", "PENDING"),
    (
        "gloo invalid",
        gloo("RouteTable", approval="INVALID", observedGeneration=2, message="bad"),
        "failed",
        "INVALID: bad",
    ),
    ("gloo unlicensed", gloo("RouteTable", approval="UNLICENSED", observedGeneration=2), "failed", "UNLICENSED"),
    ("root policy", root_policy(state="ACCEPTED", observedGeneration=2), "ready", ""),
    ("root policy stale", root_policy(state="ACCEPTED", observedGeneration=1), "waiting", "generation 1"),
    ("root policy untouched", root_policy(), "waiting", "management server"),
    ("smc", smc("SUCCEEDED", condition("Ready")), "ready", ""),
    ("smc untouched", smc(None), "waiting", "not reconciled by the Gloo Operator"),
    ("smc at work", smc("INSTALLED", condition("Ready", "False", "Waiting", "istiod")), "waiting", "istiod"),
    ("smc of an older operator", smc("INSTALLED"), "ready", ""),
    ("smc of an older operator with conditions", smc("INSTALLED", condition("Ready")), "ready", ""),
    ("smc failed", smc("FAILED", condition("CRDInstalled", "False", "Error", "no chart")), "failed", "no chart"),
    ("smc stale", smc("SUCCEEDED", condition("Ready", seen=1)), "waiting", "generation 1"),
    ("unknown kind", obj("x.example/v1", "Thing"), "ready", ""),
    ("unknown kind stale", obj("x.example/v1", "Thing", status={"observedGeneration": 1}), "waiting", "generation 1"),
    (
        "unknown kind not ready",
        obj("x.example/v1", "Thing", status={"conditions": [condition("Ready", "False", "Why", "because")]}),
        "waiting",
        "because",
    ),
]


@pytest.mark.parametrize(("live", "state", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_verdict(live: Json, state: str, says: str) -> None:
    verdict = judge(live)
    assert (verdict.state, verdict.ready) == (state, state == "ready"), verdict
    assert says in verdict.reason


def test_an_object_being_deleted_is_never_ready() -> None:
    going = deployment(**DONE)
    going["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["a.example/hold"])
    verdict = judge(going)
    assert verdict.state == "waiting" and "a.example/hold" in verdict.reason


def test_a_namespace_being_deleted_tells_what_is_left() -> None:
    left = condition("NamespaceContentRemaining", "True", message="Some resources are remaining: foos has 1")
    going = obj("v1", "Namespace", status={"phase": "Terminating", "conditions": [left]})
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert "foos has 1" in judge(going).reason


def test_a_pod_tells_which_container_blocks_and_why() -> None:
    statuses = [
        {"name": "kgateway-proxy", "ready": True, "state": {"running": {}}},
        {
            "name": "sds",
            "ready": False,
            "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s"}},
            "lastState": {"terminated": {"exitCode": 1}},
        },
    ]
    pod = obj("v1", "Pod", status={"phase": "Running", "containerStatuses": statuses})
    assert pod_trouble(pod) == "container sds: CrashLoopBackOff back-off 1m20s, last exit code 1, 4 restarts"
    assert judge(pod).state == "waiting"


def test_a_pod_nobody_scheduled_tells_so() -> None:
    rows = [condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available", seen=None)]
    assert "0/1 nodes" in pod_trouble(obj("v1", "Pod", status={"phase": "Pending", "conditions": rows}))


def test_a_ready_pod_has_no_trouble() -> None:
    rows = [condition("Ready", seen=None)]
    pod = obj("v1", "Pod", status={"phase": "Running", "conditions": rows})
    assert pod_trouble(pod) == "" and judge(pod).ready


def test_only_gateway_api_statuses_have_to_settle() -> None:
    assert settle_seconds(gateway()) > 0 and settle_seconds(route()) > 0
    assert settle_seconds(deployment()) == 0
    assert settle_seconds(obj("networking.istio.io/v1", "Gateway")) == 0


def test_a_hostname_comes_before_an_ip() -> None:
    ingress = [{"ip": "192.0.2.1", "hostname": "lb.example"}]
    assert load_balancer_address({"status": {"loadBalancer": {"ingress": ingress}}}) == "lb.example"
    assert load_balancer_address({}) == ""
