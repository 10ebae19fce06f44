"""Checks of gateways and routes: with one thing broken, its check and no other is the first to fail."""

from __future__ import annotations

from typing import Any

import pytest

import health_site
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import checks_gateway
from health_changes import (
    Broken,
    Change,
    add,
    assert_first_problem,
    both,
    checked,
    drop,
    set_field,
)
from health_site import Site, conditions


def _crash(site: Any, log: dict[str, str]) -> None:
    pod = site.unready("c1", "http")
    pod["status"]["containerStatuses"][1] = {
        "name": "sds",
        "ready": False,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }
    site.logs.update(log)


def _unpullable(site: Any) -> None:
    pod = site.unready("c1", "http")
    pod["status"]["containerStatuses"][1] = {
        "name": "sds",
        "ready": False,
        "image": "x/sds:main",
        "state": {"waiting": {"reason": "ImagePullBackOff"}},
    }


def _unmade(site: Any) -> None:
    site.drop("c1", "Deployment", "http")
    site.drop("c1", "Pod", "http-1")
    site.logs["c1/controller"] = 'failed to deploy: .spec.template.spec.containers[0].env: expected string, got "123"'


def _new_bootstrap(site: Any) -> None:
    written = {"manager": "kgateway", "time": "2026-01-01T12:00:00Z", "fieldsV1": {"f:data": {}}}
    found = health_site.obj("ConfigMap", "http", "edge", meta={"managedFields": [written]})
    site.clusters["c1"]["ConfigMap of a proxy"] = [found]


def _chart(version: str) -> Change:
    labels = {"app": "gloo-gateway", "helm.sh/chart": f"gloo-gateway-{version}"}
    return set_field("c1", "Deployment", "gloo-gateway", "metadata.labels", labels)


def _switch(place: int, value: str = "false") -> Change:
    return set_field("c1", "Deployment", "gloo-gateway", f"spec.template.spec.containers.0.env.{place}.value", value)


def _ref(key: str, value: Any) -> Change:
    return set_field("c1", "HTTPRoute", "r", f"spec.rules.0.backendRefs.0.{key}", value)


def _unresolved(reason: str, message: str) -> Change:
    found = {"type": "ResolvedRefs", "status": "False", "reason": reason, "message": message, "observedGeneration": 1}
    return set_field("c1", "HTTPRoute", "r", "status.parents.0.conditions.1", found)


_OLD_CRD = health_site.obj(
    "CustomResourceDefinition",
    "gateways.gateway.networking.k8s.io",
    meta={"annotations": {"gateway.networking.k8s.io/bundle-version": "v1.0.0"}},
)


PARAMETERS = "GatewayParameters of gateway.kgateway.dev"


_REFUSED = (
    'client claims to be in cluster "Kubernetes", but we only know about local cluster "c1" and remote clusters []'
)


BROKEN = [
    Broken(
        "gateway-api",
        "c1",
        "failed",
        lambda s: s.absent["c1"].update(("GatewayClass", "Gateway", "HTTPRoute")),
        ("does not serve",),
    ),
    Broken("gateway", "c1", "failed", drop("c1", "Gateway", "http"), ("Gateway edge/http does not exist",)),
    Broken(
        "gateway-class",
        "c1",
        "failed",
        set_field("c1", "Gateway", "http", "spec.gatewayClassName", "gloo-gateway"),
        ("use one of: gloo-gateway-v2",),
    ),
    Broken(
        "gateway-class-served",
        "c1",
        "failed",
        set_field("c1", "GatewayClass", "gloo-gateway-v2", "status", {}),
        ("not served",),
    ),
    Broken(
        "gateway-controller",
        "c1",
        "failed",
        set_field("c1", "Deployment", "gloo-gateway", "spec.replicas", 0),
        ("scaled to 0",),
    ),
    Broken("gateway-parameters", "c1", "failed", drop("c1", PARAMETERS, "params"), ("does not exist",)),
    Broken(
        "gateway-parameters",
        "c1",
        "failed",
        set_field("c1", PARAMETERS, "params", "metadata.namespace", "app"),
        ("it exists in app",),
    ),
    Broken("gateway-switches", "c1", "failed", _switch(0), ("KGW_ENABLE_ISTIO_AUTO_MTLS is off",)),
    Broken(
        "gateway-accepted",
        "c1",
        "failed",
        set_field("c1", "Gateway", "http", "metadata.generation", 2),
        ("observed generation 1",),
    ),
    Broken(
        "gateway-self-managed",
        "c1",
        "failed",
        set_field("c1", PARAMETERS, "params", "spec", {"selfManaged": {}}),
        ("selfManaged",),
    ),
    Broken(
        "gateway-settings",
        "c1",
        "failed",
        set_field("c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioMetaMeshId", "123"),
        ("'123'",),
    ),
    Broken(
        "gateway-cluster-id",
        "c1",
        "failed",
        set_field("c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioMetaClusterId", "Kubernetes"),
        ("Set istioMetaClusterId to c1",),
    ),
    Broken(
        "gateway-istiod-address",
        "c1",
        "failed",
        set_field(
            "c1",
            PARAMETERS,
            "params",
            "spec.kube.istio.istioProxyContainer.istioDiscoveryAddress",
            "istiod.istio-system.svc:15012",
        ),
        ("istiod-gloo.istio-system.svc:15012",),
    ),
    Broken(
        "gateway-istiod",
        "c1",
        "failed",
        lambda s: s.clusters["c1"]["ConfigMap"].pop(),
        ("istio-ca-root-cert is missing",),
    ),
    Broken("gateway-deployment", "c1", "failed", _unmade, ("expected string", "Set one such as cluster-1")),
    Broken(
        "gateway-deployment",
        "c1",
        "failed",
        set_field("c1", "Deployment", "http", "spec.template.spec.containers.2.env.1.value", "old"),
        ("ISTIO_META_CLUSTER_ID old",),
    ),
    Broken(
        "gateway-pods",
        "c1",
        "failed",
        lambda s: _crash(s, {"c1/discovery": _REFUSED}),
        ("client claims", "set istioMetaClusterId"),
    ),
    Broken(
        "gateway-pods",
        "c1",
        "failed",
        lambda s: _crash(s, {"c1/istio-proxy": "lookup istiod.istio-system.svc: no such host"}),
        ("no such host", "Set istioDiscoveryAddress"),
    ),
    Broken("gateway-pods", "c1", "failed", lambda s: _crash(s, {}), ("sds is crash-looping",)),
    Broken("gateway-pods", "c1", "failed", _unpullable, ("ImagePullBackOff", "x/sds:main")),
    Broken(
        "gateway-listeners",
        "c1",
        "failed",
        set_field("c1", "Gateway", "http", "status.listeners.0.conditions.1.status", "False"),
        ("Programmed",),
    ),
    Broken("gateway-address", "c1", "failed", set_field("c1", "Service", "http", "status", {}), ("no address",)),
    Broken("gateway-api", "c1", "warning", add("c1", "CustomResourceDefinition", _OLD_CRD), ("v1.0.0", "newer CRDs")),
    Broken("gateway-bootstrap", "c1", "warning", _new_bootstrap, ("bootstrap", "rollout restart")),
    Broken(
        "gateway-integration",
        "c1",
        "failed",
        both(_switch(1), _unresolved("InvalidKind", "unknown backend kind")),
        ("HTTPRoute app/r have an unknown kind", "Helm"),
    ),
    Broken("gateway-integration", "c1", "warning", _switch(1), ("INTEGRATION is off",)),
    Broken("gateway-version", "c1", "warning", _chart("2.0.0-beta1"), ("pre-release",)),
    Broken(
        "gateway-version",
        "c1",
        "warning",
        both(
            _chart("2.0.1"),
            set_field(
                "c1", "ServiceEntry", "se", "spec.ports", [{"name": f"http-{n}", "number": n} for n in (9080, 9443)]
            ),
        ),
        ("has several",),
    ),
    Broken("route", "c1", "failed", drop("c1", "HTTPRoute", "r"), ("HTTPRoute app/r does not exist",)),
    Broken(
        "route",
        "c1",
        "failed",
        set_field("c1", "HTTPRoute", "r", "spec.parentRefs.0", {"name": "http"}),
        ("edge/http",),
    ),
    Broken("route-backends", "c1", "failed", _ref("namespace", "app"), ("not resolved with a namespace",)),
    Broken("route-backends", "c1", "failed", _ref("port", 9999), ("port 9999", "9080")),
    Broken("route-backends", "c1", "failed", _ref("name", "reviews.mesh.internal.org"), ("Compare the spelling",)),
    Broken(
        "route-backends",
        "c1",
        "failed",
        both(_ref("kind", "VirtualDestination"), _ref("name", "vd")),
        ("use kind Hostname",),
    ),
    Broken(
        "route-accepted",
        "c1",
        "failed",
        _unresolved("BackendNotFound", 'Service "x" not found'),
        ('Service "x" not found',),
    ),
    Broken(
        "route-accepted",
        "c1",
        "failed",
        set_field("c1", "HTTPRoute", "r", "status", {}),
        ("not reconciled by controller solo.io/gloo-gateway-v2",),
    ),
]


_SDS_REMOVED = {"spec": {"template": {"spec": {"containers": [{"name": "sds", "$patch": "delete"}]}}}}


def _overlay_removes_sds(site: Any) -> None:
    set_field("c1", PARAMETERS, "params", "spec.kube.deploymentOverlay", _SDS_REMOVED)(site)
    for kind, name in (("Deployment", "http"), ("Pod", "http-1")):
        found = site.one("c1", kind, name)["spec"]
        found = found.get("template", {"spec": found})["spec"]
        found["containers"] = [each for each in found["containers"] if each["name"] != "sds"]


def _scaled_to_0(site: Any) -> None:
    set_field("c1", PARAMETERS, "params", "spec.kube.deployment", {"replicas": 0})(site)
    set_field("c1", "Deployment", "http", "spec.replicas", 0)(site)
    site.drop("c1", "Pod", "http-1")


def _not_rendered(site: Any) -> None:
    address = "spec.kube.istio.istioProxyContainer.istioDiscoveryAddress"
    set_field("c1", PARAMETERS, "params", address, "[fd00::1]:15012")(site)
    accepted = site.one("c1", "Gateway", "http")["status"]["conditions"][0]
    accepted.update(status="False", reason="InvalidParameters", message="YAML parse error")


#: change -> the check that fails first, words of its message, hint
ADVICE: dict[str, tuple[Change, str, str, str]] = {
    "an overlay removes sds": (
        _overlay_removes_sds, "gateway-deployment", "lacks sds, which deploymentOverlay", checks_gateway.IN_MESSAGE,
    ),
    "replicas 0 in the parameters": (
        _scaled_to_0, "gateway-pods", "sets deployment.replicas to 0. Change it there", checks_gateway.IN_MESSAGE,
    ),
    "an address that is not rendered": (
        _not_rendered, "gateway-parameters", "Set the DNS name of istiod", "correct the value in the parameters",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "check", "words", "hint"), ADVICE.values(), ids=ADVICE)
def test_advice_fits_the_cause(change: Change, check: str, words: str, hint: str) -> None:
    site = Site()
    change(site)
    first = checked(site)["first"]
    assert (first["id"], first["hint"], words in first["message"]) == (check, hint, True), first


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{n}-{row.id}" for n, row in enumerate(BROKEN)])
def test_the_first_problem(broken: Broken) -> None:
    assert_first_problem(broken)


def test_every_check_is_broken_at_least_once() -> None:
    assert {row.id for row in BROKEN} == {check.id for check in checks_gateway.CHECKS}


def test_other_peoples_gateways_are_not_looked_at() -> None:
    site = Site()
    site.data = None
    theirs = health_site.obj("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"})
    site.clusters["c1"]["GatewayClass"].append(theirs)
    site.clusters["c1"]["Gateway"].append(health_site.obj("Gateway", "g", "app", spec={"gatewayClassName": "istio"}))
    assert checked(site)["verdict"] == "ok"


def test_a_log_is_read_only_where_no_object_tells() -> None:
    site = Site()
    set_field(
        "c1", PARAMETERS, "params", "spec.kube.istio.istioProxyContainer.istioDiscoveryAddress", "istiod.x.svc:15012"
    )(site)
    _crash(site, {"c1/discovery": _REFUSED})
    first = checked(site)["first"]
    assert first["id"] == "gateway-istiod-address"
    assert "client claims" not in first["message"]


IMAGES = ("x/kgateway:v2.1.3", "x/kgateway:v2.3.0", "x/kgateway:latest", "x/kgateway@sha256:" + "0" * 64, "mirror/one")
BY_VERSION: dict[str, Change] = {
    "healthy": lambda site: None,
    "the integration is off": _switch(1),
    "the integration is off and needed": both(_switch(1), _unresolved("InvalidKind", "unknown backend kind")),
    "two ports": set_field(
        "c1", "ServiceEntry", "se", "spec.ports", [{"name": f"http-{n}", "number": n} for n in (9080, 9443)]
    ),
    "a refused route": _unresolved("BackendNotFound", "refused"),
    "auto mTLS is off": _switch(0),
}


@pytest.mark.parametrize("change", BY_VERSION.values(), ids=BY_VERSION)
def test_no_verdict_depends_on_the_tag_of_an_image(change: Change) -> None:
    found = []
    for image in IMAGES:
        site = Site()
        change(site)
        set_field("c1", "Deployment", "gloo-gateway", "spec.template.spec.containers.0.image", image)(site)
        rows = checked(site)["checks"]
        found.append([(row["id"], row["cluster"], row["object"], row["verdict"], row["message"]) for row in rows])
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("shows", ["labels", "conditions"])
@pytest.mark.parametrize(("version", "words"), [("2.0.1", "kgateway 2.3 and newer"), ("2.3.3", "this version refuses")])
def test_words_follow_the_labels_of_the_chart_and_before_them_the_conditions(
    shows: str, version: str, words: str
) -> None:
    site = Site()
    _switch(1)(site)
    gateway = site.one("c1", "Gateway", "http")
    if shows == "conditions":
        _chart("2.0.1" if version == "2.3.3" else "2.3.3")(site)
        gateway["status"]["conditions"] += conditions("ResolvedRefs") if version == "2.3.3" else []
    else:
        _chart(version)(site)
        del gateway["status"]["conditions"][0]["observedGeneration"]
        gateway["status"]["conditions"][1]["observedGeneration"] = 0  # of an older generation
    target = next(each for each in checks_gateway.each_gateway(site.facts()))
    assert words in checks_gateway._integration(target).message
