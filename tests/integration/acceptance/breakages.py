"""Ways to break a working site, each with its repair and the expected error."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acceptance.site import Site

Undo = Callable[[], None]

APPS = "/apis/apps/v1/namespaces/{}/deployments/{}"
PARAMETERS = "/apis/gateway.kgateway.dev/v1alpha1/namespaces/gloo-system/gatewayparameters/custom-gw-params"
DESTINATION = "/apis/networking.gloo.solo.io/v2/namespaces/bookinfo/virtualdestinations/reviews-vd"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/gloo-system/httproutes/reviews"
TOKEN = "/api/v1/namespaces/gloo-mesh/secrets/relay-identity-token-secret"
SERVER_MADE = ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation", "selfLink")


@dataclass(frozen=True)
class Breakage:
    """One fault.

    `break_it` breaks and returns the way back. The errors of the failing run must match every pattern of `says`, in
    which {management}, {gateway} and {remote} stand for cluster names.
    """

    name: str
    break_it: Callable[[Site], Undo]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    def patterns(self, site: Site) -> list[str]:
        names = {"management": site.management, "gateway": site.gateway_cluster, "remote": site.remote_cluster}
        return [pattern.format(**names) for pattern in self.says]


def patched(site: Site, cluster: str, path: str, change: dict[str, Any]) -> Undo:
    """Merge patch; undone by writing the former values of the same fields back."""
    before = site.get(cluster, path)
    assert before is not None, f"{cluster}: nothing at {path}"
    former = _same_fields(before, change)
    site.patch(cluster, path, change)
    return lambda: void(site.patch(cluster, path, former))


def _same_fields(source: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    former: dict[str, Any] = {}
    for key, value in shape.items():
        old = source.get(key)
        former[key] = _same_fields(old, value) if isinstance(value, dict) and isinstance(old, dict) else old
    return former


def void(_: object) -> None:
    """Undo functions return nothing."""


def wrong_cluster_id(site: Site) -> Undo:
    proxy = {"istioMetaClusterId": "not-the-cluster"}
    change = {"spec": {"kube": {"istio": {"istioProxyContainer": proxy}}}}
    return patched(site, site.gateway_cluster, PARAMETERS, change)


def auto_mtls_off(site: Site) -> Undo:
    path = APPS.format("gloo-system", "gloo-gateway")
    deployment = site.get(site.gateway_cluster, path)
    assert deployment is not None
    containers = deployment["spec"]["template"]["spec"]["containers"]
    changed = copy.deepcopy(containers)
    switch = [e for c in changed for e in c.get("env", []) if e["name"] == "KGW_ENABLE_ISTIO_AUTO_MTLS"]
    assert switch, "the controller does not have the switch at all"
    switch[0]["value"] = "false"
    return patched(site, site.gateway_cluster, path, {"spec": {"template": {"spec": {"containers": changed}}}})


def destination_selects_nothing(site: Site) -> Undo:
    change = {"spec": {"services": [{"labels": {"app": "nobody-has-this"}}]}}
    return patched(site, site.management, DESTINATION, change)


def token_not_copied(site: Site) -> Undo:
    secret = site.get(site.remote_cluster, TOKEN)
    assert secret is not None
    site.delete(site.remote_cluster, TOKEN)
    for name in SERVER_MADE:
        secret["metadata"].pop(name, None)

    def undo() -> None:
        if site.get(site.remote_cluster, TOKEN) is None:
            site.create(site.remote_cluster, TOKEN.rsplit("/", 1)[0], secret)

    return undo


def wrong_route_port(site: Site) -> Undo:
    route = site.get(site.gateway_cluster, ROUTE)
    assert route is not None
    rules = copy.deepcopy(route["spec"]["rules"])
    rules[0]["backendRefs"][0]["port"] = 9081
    return patched(site, site.gateway_cluster, ROUTE, {"spec": {"rules": rules}})


def reviews_v3_scaled_down(site: Site) -> Undo:
    path = APPS.format("bookinfo", "reviews-v3")
    return patched(site, site.remote_cluster, path, {"spec": {"replicas": 0}})


def istiod_down(site: Site) -> Undo:
    path = APPS.format("istio-system", "istiod-gloo")
    return patched(site, site.gateway_cluster, path, {"spec": {"replicas": 0}})


BREAKAGES = (
    Breakage(
        "wrong istioMetaClusterId",
        wrong_cluster_id,
        (r"{gateway}", r"not-the-cluster", r"custom-gw-params|gloo-system/http", r"(?i)cluster.?id"),
    ),
    Breakage(
        "auto mTLS switched off",
        auto_mtls_off,
        (r"{gateway}", r"KGW_ENABLE_ISTIO_AUTO_MTLS", r"gloo-system/gloo-gateway|gloo-system/http"),
    ),
    Breakage(
        "VirtualDestination selects nothing",
        destination_selects_nothing,
        (
            r"{management}",
            r"bookinfo/reviews-vd|reviews\.mesh\.internal\.com",
            r"(?i)selects? no|no (service|endpoint|backend)",
        ),
    ),
    Breakage(
        "relay token not copied",
        token_not_copied,
        (r"{remote}", r"relay-identity-token-secret"),
    ),
    Breakage(
        "HTTPRoute port 9081",
        wrong_route_port,
        (r"{gateway}", r"gloo-system/reviews", r"9081", r"9080"),
    ),
    Breakage(
        "reviews-v3 scaled to 0",
        reviews_v3_scaled_down,
        (r"{remote}", r"reviews-v3", r"(?i)no ready|scaled to 0|0 replicas|replicas.{{0,12}}0|missing|not ready"),
    ),
    Breakage(
        "istiod down",
        istiod_down,
        (r"{gateway}", r"istio-system/istiod-gloo|istiod-gloo", r"(?i)no ready|not ready|scaled to 0|0 replicas|0 of"),
    ),
)
