"""What can be known to fail before the first write: each fact gives its finding, and a usual cluster gives none."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.site.preflight_rules import (
    Observed,
    Planned,
    findings,
    needs_of,
    numbers,
    selected_steps,
)

Json = dict[str, Any]

PLANNED = Planned(
    istio_version="1.27.0",
    gloo_version="2.14.0",
    operator_version="0.4.0",
    server_namespace="gloo-mesh",
    gateway_api_min_version="1.2.0",
    services={"Service of the gateway": "gateway_parameters_spec"},
    hostname_steps=("step5",),
    namespaces=("istio-system", "bookinfo"),
    istio_namespace="istio-system",
)


def obj(kind: str, name: str, namespace: str = "", **parts: Any) -> Json:
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **parts.pop("meta", {})}
    return {"kind": kind, "metadata": meta, **parts}


def service(kind: str = "LoadBalancer", *, labels: Json | None = None, **ingress: str) -> Json:
    status = {"loadBalancer": {"ingress": [ingress]} if ingress else {}}
    return obj("Service", "edge", "a", meta={"labels": labels or {}}, spec={"type": kind}, status=status)


def crd(version: str | None = "v1.4.0", served: str = "v1") -> Json:
    notes = {} if version is None else {"gateway.networking.k8s.io/bundle-version": version}
    versions = [{"name": "v1beta1", "served": True}, {"name": served, "served": True}]
    name = "gateways.gateway.networking.k8s.io"
    return obj("CustomResourceDefinition", name, meta={"annotations": notes}, spec={"versions": versions})


def webhook(resource: str = "deployments", policy: str | None = "Fail", operation: str = "CREATE") -> Json:
    rule = {"operations": [operation], "resources": [resource]}
    body = {
        "name": "check.example.com",
        "rules": [rule],
        "clientConfig": {"service": {"namespace": "w", "name": "hook"}},
    }
    return obj(
        "ValidatingWebhookConfiguration", "hooks", webhooks=[{**body, **({"failurePolicy": policy} if policy else {})}]
    )


def quota(used: str, key: str = "pods", name: str = "q", **spec: Any) -> Json:
    return obj("ResourceQuota", name, "bookinfo", spec={"hard": {key: "10"}, **spec}, status={"used": {key: used}})


def operator() -> Json:
    containers = [{"name": "manager", "image": "x/gloo-operator:1"}]
    spec = {"template": {"spec": {"containers": containers}}}
    return obj("Deployment", "gloo-operator", "gloo-mesh", spec=spec)


def server() -> Json:
    """A management server that calls its cluster hub."""
    containers = [{"name": "gloo-mesh-mgmt-server", "args": ["--cluster=hub"]}]
    return obj("Deployment", "server", "gloo-mesh", spec={"template": {"spec": {"containers": containers}}})


def istiod(**env: str) -> Json:
    listed = [{"name": key, "value": value} for key, value in env.items()]
    containers = [{"name": "discovery", "image": "x/pilot:1.29.0", "env": listed}]
    return obj("Deployment", "istiod", "istio-system", spec={"template": {"spec": {"containers": containers}}})


def agent() -> Json:
    containers = [{"name": "gloo-mesh-agent", "image": "x/gloo-mesh-agent:1"}]
    return obj("Deployment", "gloo-mesh-agent", "gloo-mesh", spec={"template": {"spec": {"containers": containers}}})


def seen(**changes: Any) -> Observed:
    """A usual cluster with these changes; objects by kind."""
    objects = {"Service": [service(ip="192.0.2.1")], "CustomResourceDefinition": [crd()]}
    objects |= {key: changes.pop(key) for key in list(changes) if key[0].isupper()}
    return replace(Observed(version="v1.33.1", objects=objects), **changes)


def lines(planned: Planned, observed: Observed) -> list[str]:
    return [f"{each.verdict}: {each.message}" for each in findings(planned, observed)]


def planned(**changes: Any) -> Planned:
    return replace(PLANNED, **changes)


def configured(*namespaces: str) -> Planned:
    return planned(name="mgmt", config_namespaces=namespaces)


def workspace(*entries: Json) -> Json:
    return obj("Workspace", "team", "gloo-mesh", spec={"workloadClusters": list(entries)})


@pytest.mark.parametrize(
    ("plan", "observed", "expected"),
    [
        (
            planned(name="c2"),
            seen(registration=obj("KubernetesCluster", "c2", "gloo-mesh")),
            "warning: KubernetesCluster gloo-mesh/c2: .*no agent.*interrupted.*remove_cluster.yml -e remove_cluster=c2",
        ),
        (
            configured("shop", "bookinfo"),
            seen(Workspace=[workspace({"name": "*", "namespaces": [{"name": "book*"}]})], Deployment=[server()]),
            "failed: Workspace gloo-mesh/team: namespace shop of hub is not included, .* VirtualDestinations",
        ),
        (
            configured("shop"),
            seen(Workspace=[workspace({"name": "*", "namespaces": [{"name": "shop", "configEnabled": False}]})]),
            "warning: .*namespace shop of mgmt",
        ),
        (
            configured("shop"),
            seen(Workspace=[workspace({"name": "mgmt", "namespaces": [{"name": "*"}]})], Deployment=[server()]),
            "failed: .*namespace shop of hub",
        ),
        (PLANNED, seen(version="v1.24.3"), "failed: Kubernetes v1.24.3: .* needs 1.25"),
        (PLANNED, seen(version="v1.28.9-eks-1"), "warning: Kubernetes v1.28.9-eks-1: Istio 1.27.0 supports 1.29"),
        (planned(gloo_version="2.15.0"), seen(), "warning: Istio 1.27.0: Gloo Mesh 2.14 is the last"),
        (planned(gloo_version="2.15.0"), seen(istio=["1.26.2-solo"]), "warning: Istio 1.26.2-solo: Gloo Mesh 2.14"),
        (
            planned(istio_version="1.29.2-patch0", server_namespace="mesh"),
            seen(),
            "Istio 1.29.2-patch0: .*is in mesh. Set DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES .*mesh_istiod_env",
        ),
        (
            planned(istio_version="1.27.7", server_namespace="mesh"),
            seen(),
            "warning: Istio 1.27.7: istiod accepts debug",
        ),
        (
            planned(
                istio_version="1.29.0",
                server_namespace="mesh",
                istiod_env={"DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": "a"},
            ),
            seen(),
            "warning: Istio 1.29.0: .*is in mesh. Set DEBUG",
        ),
        (
            planned(server_namespace="mesh"),
            seen(istio=["1.29.0"], Deployment=[istiod(DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES="mesh"), istiod()]),
            "warning: Istio 1.29.0: .*or where this istiod is managed",
        ),
        (
            PLANNED,
            seen(CustomResourceDefinition=[crd("v1.1.0")]),
            "failed: .*version v1.1.0: at least 1.2.0 .* Upgrade them",
        ),
        (PLANNED, seen(CustomResourceDefinition=[crd(None)]), "warning: .*no annotation .*bundle-version"),
        (PLANNED, seen(CustomResourceDefinition=[crd("main")]), "warning: .*: annotation .*bundle-version is main, so"),
        (
            PLANNED,
            seen(CustomResourceDefinition=[crd(served="v1alpha2")]),
            "failed: .*serves v1beta1, v1alpha2.* needs v1",
        ),
        (planned(operator_version="0.5.2"), seen(), "warning: .*version v1.4.0. Gloo Operator 0.5.2 may upgrade it"),
        (PLANNED, seen(Service=[service()]), "warning: Service a/edge .* has no address. Service of the gateway"),
        (PLANNED, seen(Service=[]), "warning: no Service of type LoadBalancer exists, .* set gateway_parameters_spec"),
        (PLANNED, seen(Service=[service()], version="v1.33.1-gke.5", istio=["1.27.0"]), "warning: .*has no address"),
        (
            PLANNED,
            seen(Service=[service(hostname="x.elb.example.com")]),
            r"warning: Service a/edge: .* host names \(x.elb.example.com\).*step5 .*hostInfoOverrides",
        ),
        (
            PLANNED,
            seen(Service=[], version="v1.33.1-eks-99"),
            "warning: the load balancers of Kubernetes v1.33.1-eks-99 usually have host names.*step5 .*hostInfo",
        ),
        (
            PLANNED,
            seen(ValidatingWebhookConfiguration=[webhook()]),
            "warning: .*hooks: webhook check.example.com .* w/hook has no",
        ),
        (
            PLANNED,
            seen(MutatingWebhookConfiguration=[webhook("*", None)]),
            "warning: .*hooks: webhook check.example.com",
        ),
        (
            PLANNED,
            seen(ResourceQuota=[quota("10")]),
            r"warning: ResourceQuota bookinfo/q: is used up \(pods 10 of 10\)",
        ),
        (
            PLANNED,
            seen(ResourceQuota=[quota("100", "services.loadbalancers")]),
            "warning: .*services.loadbalancers 100 of 10",
        ),
        # A quota of 0 before its controller has counted.
        (
            PLANNED,
            seen(ResourceQuota=[{**quota("", hard={"services.loadbalancers": "0"}), "status": {}}]),
            r"warning: .*\(services.loadbalancers 0 of 0\)",
        ),
        (
            PLANNED,
            seen(
                Namespace=[
                    obj(
                        "Namespace", "istio-system", meta={"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}
                    )
                ]
            ),
            "warning: Namespace istio-system: Pod Security baseline",
        ),
        (PLANNED, seen(version="v1.33.1-gke.5"), "warning: GKE: .*gcp-critical-pods in namespace istio-system"),
        (
            PLANNED,
            seen(groups=frozenset({"security.openshift.io"})),
            "warning: OpenShift: .*NetworkAttachmentDefinition",
        ),
        (PLANNED, seen(version="v1.33.1+k3s1"), "warning: Kubernetes v1.33.1[+]k3s1: .*cniConfDir"),
    ],
)
def test_each_fact_gives_its_finding_alone(plan: Planned, observed: Observed, expected: str) -> None:
    found = lines(plan, observed)
    assert len(found) == 1, found
    assert re.search(expected, found[0]), found[0]


@pytest.mark.parametrize(
    ("plan", "observed"),
    [
        (PLANNED, seen()),
        (Planned(), Observed()),
        (Planned(), seen(version="v1.28.0", Service=[service()])),
        (planned(name="c2"), seen(registration=obj("KubernetesCluster", "c2"), Deployment=[agent()])),
        (planned(istio_version="1.27.6", server_namespace="mesh"), seen()),
        (planned(istio_version="1.28.3", server_namespace="mesh"), seen()),
        (
            planned(
                istio_version="1.29.0",
                server_namespace="mesh",
                istiod_env={"DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": "mesh"},
            ),
            seen(),
        ),
        # An istiod of others that has the variable already.
        (
            planned(server_namespace="mesh"),
            seen(istio=["1.29.0"], Deployment=[istiod(DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES="obs,mesh")]),
        ),
        (configured("shop"), seen()),
        (planned(name="mgmt"), seen(Workspace=[workspace()])),
        (configured("shop"), seen(Workspace=[workspace(), workspace({"name": "*", "namespaces": [{"name": "shop"}]})])),
        (
            configured("shop"),
            seen(
                Workspace=[workspace({"selector": {"a": "b"}, "namespaces": [{"labels": {"c": "d"}}]})],
                KubernetesCluster=[obj("KubernetesCluster", "hub", "gloo-mesh", meta={"labels": {"a": "b"}})],
                Deployment=[server()],
                Namespace=[obj("Namespace", "shop", meta={"labels": {"c": "d"}})],
            ),
        ),
        (planned(gloo_version="2.15.0"), seen(istio=["1.28.0"])),
        (planned(operator_version="0.5.2"), seen(Deployment=[operator()])),
        (planned(operator_version="0.5.2"), seen(CustomResourceDefinition=[crd("v1.5.1")])),
        (PLANNED, seen(CustomResourceDefinition=[])),
        (planned(gateway_api_min_version=""), seen(CustomResourceDefinition=[crd("v0.8.0", "v1beta1")])),
        (PLANNED, seen(Service=[], groups=frozenset({"metallb.io"}))),
        (planned(hostname_steps=()), seen(Service=[], version="v1.33.1-eks-99")),
        (PLANNED, seen(Service=[service(ip="192.0.2.1")], version="v1.33.1-eks-99")),
        (PLANNED, seen(Service=[], version="v1.33.1-eks-99", overrides=True)),
        (PLANNED, seen(Service=[service("NodePort", labels={"istio": "eastwestgateway"})])),
        (planned(services={}), seen(Service=[service()])),
        (planned(overrides=True), seen(Service=[service(hostname="x.example.com")])),
        (PLANNED, seen(Service=[service(hostname="x.example.com")], overrides=True)),
        (planned(hostname_steps=()), seen(Service=[service(hostname="x.example.com")])),
        (PLANNED, seen(Service=[service(hostname="x.example.com", ip="192.0.2.1")])),
        (PLANNED, seen(ValidatingWebhookConfiguration=[webhook()], backed=frozenset({("w", "hook")}))),
        (PLANNED, seen(ValidatingWebhookConfiguration=[webhook(policy="Ignore")])),
        (PLANNED, seen(ValidatingWebhookConfiguration=[webhook("pipelines")])),
        (PLANNED, seen(ValidatingWebhookConfiguration=[webhook(operation="DELETE")])),
        (PLANNED, seen(ResourceQuota=[quota("9")])),
        (PLANNED, seen(ResourceQuota=[quota("10", scopeSelector={"matchExpressions": []}, scopes=["Terminating"])])),
        (planned(namespaces=()), seen(ResourceQuota=[quota("10")])),
        (
            PLANNED,
            seen(version="v1.33.1-gke.5", ResourceQuota=[obj("ResourceQuota", "gcp-critical-pods", "istio-system")]),
        ),
        (PLANNED, seen(version="v1.33.1-gke.5", istio=["1.27.0"])),
    ],
)
def test_what_is_in_order_gives_no_finding(plan: Planned, observed: Observed) -> None:
    assert lines(plan, observed) == []


@pytest.mark.parametrize(
    ("tags", "skip_tags", "expected"),
    [
        (["all"], [], ("step4", "step5")),
        ([], [], ("step4", "step5")),
        (["routing"], [], ("step4", "step5")),
        (["step4"], [], ("step4",)),
        (["mesh"], [], ()),
        (["all"], ["step5"], ("step4",)),
        (["all"], ["routing"], ()),
        (["routing"], ["step4"], ("step5",)),
    ],
)
def test_steps_are_selected_by_their_name_or_the_tag_of_routing(
    tags: list[str], skip_tags: list[str], expected: tuple[str, ...]
) -> None:
    assert selected_steps(["step4", "step5"], tags, skip_tags) == expected


@pytest.mark.parametrize(
    ("role", "gateway", "tags", "skip_tags", "expected"),
    [
        ("workload", True, ["all"], [], ()),
        ("workload", True, [], [], ()),
        ("management", False, ["all"], [], ()),
        ("workload", True, ["mesh"], [], ()),
        ("workload", True, ["step1"], [], ()),
        ("workload", True, ["gateway"], [], ("istiod",)),
        ("workload", True, ["step2"], [], ()),
        ("workload", True, ["step3"], [], ("istiod", "class")),
        ("workload", True, ["routing"], [], ("istiod", "gateway")),
        ("workload", False, ["routing"], [], ("istiod",)),
        ("management", False, ["routing"], [], ("gloo",)),
        ("workload", True, ["step5"], [], ("gateway",)),
        ("workload", False, ["step5"], [], ()),
        ("workload", True, ["gateway", "step5"], [], ("istiod",)),
        ("workload", True, ["mesh", "gateway", "routing"], [], ()),
        ("workload", True, ["all"], ["mesh"], ("istiod",)),
        ("workload", True, ["all"], ["gateway"], ("gateway",)),
        ("management", False, ["all"], ["step1"], ()),
        ("workload", True, ["routing"], ["step1"], ("gateway",)),
        ("workload", True, ["report"], [], ()),
    ],
)
def test_steps_that_are_not_selected_must_have_been_run(
    role: str, gateway: bool, tags: list[str], skip_tags: list[str], expected: tuple[str, ...]
) -> None:
    assert needs_of(role, gateway, tags, skip_tags) == expected
    there = seen(
        istio=["1.27.0"],
        GatewayClass=[obj("GatewayClass", "c")],
        Gateway=[obj("Gateway", "g", "n")],
        groups=frozenset({"admin.gloo.solo.io"}),
    )
    assert lines(planned(needs=expected), there) == []
    found = lines(planned(needs=expected), seen())
    assert len(found) == bool(expected)
    assert all(re.search("failed: .*Run site.yml --tags (mesh|gateway)", each) for each in found)


def test_everything_is_reported_at_once_with_failures_first() -> None:
    bad = seen(version="v1.24.0", Service=[service(hostname="x.example.com")], CustomResourceDefinition=[crd("v1.0.0")])
    verdicts = [each.verdict for each in findings(PLANNED, bad)]
    assert verdicts == ["failed", "failed", "warning"]


@pytest.mark.parametrize(
    "kind", ["Service", "ValidatingWebhookConfiguration", "ResourceQuota", "CustomResourceDefinition"]
)
def test_damaged_objects_raise_nothing(kind: str, damaged: Any) -> None:
    whole = {
        "Service": service(hostname="x.example.com"),
        "ValidatingWebhookConfiguration": webhook(),
        "ResourceQuota": quota("10"),
        "CustomResourceDefinition": crd(),
    }[kind]
    for _way, each in damaged(copy.deepcopy(whole)):
        if isinstance(each.get("metadata"), dict) and each["metadata"].get("name"):
            findings(PLANNED, seen(**{kind: [each]}))


@given(st.text(max_size=20))
def test_any_text_is_accepted_as_a_version(text: str) -> None:
    assert isinstance(numbers(text), tuple)
    findings(planned(istio_version=text, gloo_version=text, operator_version=text), seen(version=text, istio=[text]))
