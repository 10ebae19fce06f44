# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the clusters with a gateway: Gateway API, controller, proxy, routes (pure).

A proxy is judged by proxy_checks.CHECKS; each of them becomes a check of the doctor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..gateway import proxy_checks, proxy_logs, proxy_restart
from ..gateway.controller import INTEGRATION, switch
from ..gateway.parameter_kinds import CONTROLLERS
from ..gateway.proxy_model import MESH_CONTAINERS, ProxyModel, Want
from ..gateway.proxy_objects import containers
from ..istiod import discovery
from ..istiod.objects import discovery_container
from ..k8s.fields import Json, mappings, meta, number, spec_of, title, title_of
from ..k8s.log_causes import Cause
from ..k8s.pods import has_sidecar, is_ready, pods_of
from ..k8s.readiness import judge
from ..k8s.verdict import Verdict
from ..mesh import virtual_destination
from . import logs
from .checks_mesh import NO_ADDRESS, gateways
from .checks_routing import CREATE_ROUTING, destinations, objects_of
from .facts import GATEWAY_CRD, Facts, SiteFacts
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

BUNDLE = "gateway.networking.k8s.io/bundle-version"
#: the oldest Gateway API that the guides of the products install: 1.2.1 for Gloo Gateway 1.x, newer for kgateway 2.x
OLDEST_BUNDLE = (1, 2, 1)


# -- Gateways and routes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """An HTTPRoute of the site's data or, without data, of the cluster."""

    namespace: str
    name: str
    spec: Json

    @property
    def title(self) -> str:
        return title("HTTPRoute", self.name, self.namespace)

    def parents(self) -> list[tuple[str, str]]:
        """(namespace, name) of its Gateways."""
        return [
            (str(ref.get("namespace") or self.namespace), str(ref.get("name")))
            for ref in self.spec.get("parentRefs") or ()
            if ref.get("kind", "Gateway") == "Gateway"
        ]

    def backends(self) -> list[Json]:
        return [ref for rule in mappings(self.spec.get("rules")) for ref in mappings(rule.get("backendRefs"))]


def _is_supported(facts: Facts, gateway: Json) -> bool:
    """Whether its controller is kgateway's, or unknown."""
    wanted = spec_of(gateway).get("gatewayClassName")
    for found in facts.lists.get("GatewayClass") or ():
        if meta(found).get("name") == wanted:
            return spec_of(found).get("controllerName") in CONTROLLERS
    return True


def gateways_of(site: SiteFacts, facts: Facts) -> list[tuple[str, str]]:
    """(namespace, name) of the Gateways of the site's routes or, without data, of all that are supported."""
    wanted = site.wanted("http_routes")
    if wanted is not None:
        named = [parent for r in wanted for parent in Route(r["namespace"], r["name"], r.get("spec") or {}).parents()]
        return list(dict.fromkeys(named))
    found = facts.lists.get("Gateway") or ()
    return [(meta(g)["namespace"], meta(g)["name"]) for g in found if _is_supported(facts, g)]


def routes_of(site: SiteFacts, facts: Facts) -> list[Route]:
    """The HTTPRoutes of the site's data or, without data, those of the supported Gateways."""
    wanted = site.wanted("http_routes")
    if wanted is not None:
        return [Route(r["namespace"], r["name"], r.get("spec") or {}) for r in wanted]
    found = [Route(meta(r)["namespace"], meta(r)["name"], spec_of(r)) for r in facts.lists.get("HTTPRoute") or ()]
    known = gateways_of(site, facts)
    return [r for r in found if any(parent in known for parent in r.parents())]


def proxy_model(site: SiteFacts, facts: Facts, namespace: str, name: str) -> ProxyModel:
    """The objects of a Gateway and its proxy, and what is required of them."""
    leads_to_mesh = any(
        ref.get("kind") == "Hostname"
        for r in routes_of(site, facts)
        if (namespace, name) in r.parents()
        for ref in r.backends()
    )
    want = Want(("kgateway-proxy", *MESH_CONTAINERS) if leads_to_mesh else None, facts.istiod)
    return ProxyModel(facts.proxies, namespace, name, want)


# -- targets -----------------------------------------------------------------------------------------------------------


def each_gateway(site: SiteFacts) -> Iterator[CheckTarget]:
    """Every Gateway of every gateway cluster; the subject is (namespace, name)."""
    return (
        CheckTarget(site, facts, found, title("Gateway", found[1], found[0]))
        for facts in site.gateways
        for found in gateways_of(site, facts)
    )


def _each_route(site: SiteFacts) -> Iterator[CheckTarget]:
    return (CheckTarget(site, facts, r, r.title) for facts in site.gateways for r in routes_of(site, facts))


# -- the proxy ---------------------------------------------------------------------------------------------------------


def _gateway_api(target: CheckTarget) -> Finding:
    missing = [kind for kind in ("GatewayClass", "Gateway", "HTTPRoute") if kind in target.facts.absent]
    if missing:
        return failed(f"the API server does not serve {', '.join(missing)} of gateway.networking.k8s.io/v1")
    for kind in ("GatewayClass", "Gateway", "HTTPRoute"):
        target.facts.of(kind)  # raises NotReadable if listing failed, so absence is certain
    crd = next(iter(target.facts.lists.get("CustomResourceDefinition") or ()), None)
    bundle = str((meta(crd).get("annotations") or {}).get(BUNDLE) or "")
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", bundle)
    if match and tuple(map(int, match.groups())) < OLDEST_BUNDLE:
        return warning(
            f"the CRDs of Gateway API {bundle} are older than v{'.'.join(map(str, OLDEST_BUNDLE))}",
            "install newer CRDs; if a ValidatingAdmissionPolicy rejects them, its message lists the allowed ones",
            f"CustomResourceDefinition {GATEWAY_CRD}",
        )
    return ok(f"GatewayClass, Gateway and HTTPRoute are served{f', Gateway API {bundle}' if bundle else ''}")


def _of_proxy(name: str, check: Callable[[ProxyModel], Verdict | None]) -> Callable[[CheckTarget], Finding]:
    """One of proxy_checks.CHECKS; if no object has the reason, logs are searched for it."""

    def evaluate(target: CheckTarget) -> Finding:
        found = proxy_model(target.site, target.facts, *target.subject)
        verdict = check(found)
        if verdict is None:
            return ok("", target.object)
        cause = _logged_cause(target, found) if name in ("deployment", "rollout") else None
        text = f"{verdict.reason}; log: {cause.line}" if cause else verdict.reason
        return failed(text, cause.hint if cause else "", target.object)

    return evaluate


def _logged_cause(target: CheckTarget, found: ProxyModel) -> Cause | None:
    """Why a proxy does not start (logs of istiod or istio-proxy) or is missing (controller's log)."""
    pods = target.facts.of("Pod")
    if found.deployment is None:
        controllers = pods_of(found.controller, pods) if found.controller else ()
        return logs.first_cause(target, controllers, proxy_logs.CONTROLLER)
    agents = [pod for pod in found.current_pods if not is_ready(pod) and has_sidecar(pod)]
    if not agents:
        return None
    namespace = str((target.facts.istiod or {}).get("namespace"))
    istiods = [pod for d in target.facts.of("Deployment") if discovery_container(d) for pod in pods_of(d, pods)]
    here = [pod for pod in istiods if meta(pod).get("namespace") == namespace]
    # istiod's log does not identify Pods: lines older than these Pods are about others.
    born = min(str(meta(pod).get("creationTimestamp") or "") for pod in agents)
    refused = logs.first_cause(target, here, proxy_logs.REFUSED, "discovery", born)
    return refused or logs.first_cause(target, agents, proxy_logs.CERTIFICATES, "istio-proxy")


_PARAMETERS = "correct the parameters with site.yml --tags gateway"
_CONTROLLER = "read the controller's log, then restart it"

#: name in proxy_checks.CHECKS -> (id, title, hint)
PROXY_CHECKS: dict[str, tuple[str, str, str]] = {
    "gateway": (
        "gateway",
        "Gateway exists",
        "create it with site.yml --tags gateway, or correct the parentRefs of the routes",
    ),
    "class": ("gateway-class", "GatewayClass belongs to Gloo Gateway or kgateway", "correct spec.gatewayClassName"),
    "controller": (
        "gateway-controller",
        "gateway controller is running",
        "read its events and log",
    ),
    "class-served": ("gateway-class-served", "GatewayClass is accepted", _CONTROLLER),
    "parameters": (
        "gateway-parameters",
        "parameters of the Gateway exist",
        "create them with site.yml --tags gateway, or correct parametersRef",
    ),
    "self-managed": (
        "gateway-self-managed",
        "controller deploys the proxy",
        "unless the proxy is deployed by other means, remove selfManaged from the parameters",
    ),
    "switch": ("gateway-switches", "controller adds the mesh containers", "site.yml --tags gateway sets it"),
    "generation": ("gateway-accepted", "Gateway is accepted at its current generation", _CONTROLLER),
    "settings": ("gateway-settings", "istio settings in the parameters are valid", _PARAMETERS),
    "istiod-address": ("gateway-istiod-address", "proxy's istiod address is correct", _PARAMETERS),
    "cluster-id": ("gateway-cluster-id", "proxy's cluster ID matches istiod", _PARAMETERS),
    "istiod": (
        "gateway-istiod",
        "istiod serves the proxy",
        "check that istiod is running and that its discoverySelectors include the Gateway's namespace",
    ),
    "deployment": ("gateway-deployment", "proxy Deployment matches the parameters", _CONTROLLER),
    "rollout": ("gateway-pods", "proxy Pods are ready", "read the events of the Pod and the logs of its containers"),
    "listeners": ("gateway-listeners", "listeners are programmed", "correct the listener in the message"),
    "address": ("gateway-address", "Gateway has an address", NO_ADDRESS),
}
_BEYOND_PROXY = {
    "gateway-istiod-address": ("istiod",),
    "gateway-cluster-id": ("istiod",),
    "gateway-istiod": ("istiod",),
    "gateway-pods": ("istiod", "root-shared"),
}


def _proxy_checks() -> Iterator[Check]:
    """Each depends on those before it: the order of proxy_checks.CHECKS is from cause to symptom."""
    before: tuple[str, ...] = ("gateway-api",)
    for name, check in proxy_checks.CHECKS:
        id, text, hint = PROXY_CHECKS[name]
        yield Check(id, text, each_gateway, _of_proxy(name, check), hint, (*before, *_BEYOND_PROXY.get(id, ())))
        before = (*before, id)


# -- the controller's version ------------------------------------------------------------------------------------------


def image_of(deployment: Json | None) -> str:
    """Image of the Deployment's first container."""
    return str(next(iter(containers(deployment)), {}).get("image") or "")


def version_of(deployment: Json | None) -> tuple[int, int, int] | None:
    """Version in the tag of the controller's image, None without one."""
    tag = discovery.image_version(image_of(deployment)) or ""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", tag)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _bootstrap(target: CheckTarget) -> Finding:
    reason = proxy_restart.restart_reason(proxy_model(target.site, target.facts, *target.subject))
    return warning(reason) if reason else ok("its Pods were started with the current bootstrap")


def _integration(target: CheckTarget) -> Finding:
    found = proxy_model(target.site, target.facts, *target.subject)
    version = version_of(found.controller)
    if found.controller is None:
        raise NotReadable("the Deployment of the gateway controller was not found")
    named = title_of(found.controller)
    if switch(found.controller, INTEGRATION) is not False:
        return ok(f"{INTEGRATION} is on in {named}", named)
    text = f"{INTEGRATION} is off in {named}"
    if version and version >= (2, 3, 0):
        return failed(
            f"{text}: from version 2.3 on, routes to a ServiceEntry fail with unknown backend kind", object=named
        )
    return warning(f"{text}: after an upgrade to 2.3 or newer, routes to a ServiceEntry would fail", object=named)


def _version(target: CheckTarget) -> Finding:
    """Known bugs of old controllers that apply here."""
    found = proxy_model(target.site, target.facts, *target.subject)
    version = version_of(found.controller)
    if version is None or found.controller is None:
        raise NotReadable("the controller's image has no version in its tag")
    named, text = title_of(found.controller), ".".join(map(str, version))
    if re.search(r":v?2\.0\.0-", image_of(found.controller)):
        return warning(
            f"{named} is a pre-release of 2.0.0: some pre-releases ignore the istio settings",
            object=named,
        )
    objects = objects_of(target.facts)
    for destination in destinations(target.site):
        for host_port in destination.host_ports():
            entry, _problems = virtual_destination.find_entry(objects, host_port)
            if entry and version <= (2, 3, 0) and len(spec_of(entry).get("ports") or ()) > 1:
                return warning(
                    f"{named} {text} may use a wrong port of {host_port.host}, which has several", object=named
                )
            if entry and (2, 0, 0) <= version <= (2, 3, 0):
                unready = [
                    row["pod"] for row in virtual_destination.local_endpoints(entry, objects.pods) if not row["ready"]
                ]
                if unready:
                    return warning(
                        f"{named} {text} sends requests to Pods that are not ready: {', '.join(unready)}", object=named
                    )
    return ok(f"{named} has version {text}", named)


# -- routes ------------------------------------------------------------------------------------------------------------


def _live(target: CheckTarget) -> Json | None:
    return target.facts.find("HTTPRoute", target.subject.name, target.subject.namespace)


def _route(target: CheckTarget) -> Finding:
    found = _live(target)
    if found is None:
        return failed(f"{target.object} does not exist", CREATE_ROUTING)
    wanted, have = target.subject.parents(), Route("", "", spec_of(found)).parents()
    have = [(namespace or target.subject.namespace, name) for namespace, name in have]
    missing = [f"{namespace}/{name}" for namespace, name in wanted if (namespace, name) not in have]
    if missing:
        return failed(f"{target.object} has no parentRef to Gateway {', '.join(missing)}", "correct its parentRefs")
    return ok(f"{target.object} is attached to {', '.join('/'.join(parent) for parent in have)}")


def _route_backends(target: CheckTarget) -> Finding:
    live = _live(target) or {}
    objects, backends = objects_of(target.facts), Route("", "", spec_of(live)).backends()
    texts = []
    for destination in destinations(target.site):  # for backendRefs of kind VirtualDestination
        named = virtual_destination.Target(name=destination.name)
        texts += [problem.text for problem in virtual_destination.route_problems([live], named, None)[1]]
    for host in [str(ref.get("name")) for ref in backends if ref.get("kind") == "Hostname"]:
        named = virtual_destination.Target(host)
        entry, missing = virtual_destination.find_entry(objects, named)
        served = sorted({number(port.get("number")) for port in mappings(spec_of(entry).get("ports"))})
        problems = virtual_destination.route_problems([live], named, served if entry else None)[1]
        texts += [problem.text for problem in problems]
        if entry is None and not problems:
            texts += [f"{target.object}: backendRef {host}: {problem.text}" for problem in missing]
    if texts:
        return failed("; ".join(dict.fromkeys(texts)))
    shown = [f"{ref.get('name')}:{ref.get('port')}" for ref in backends]
    return ok(f"backends {', '.join(shown)}")


def _route_accepted(target: CheckTarget) -> Finding:
    live = _live(target)
    verdict = judge(live) if live else Verdict("failed", "does not exist")
    return ok("Accepted, ResolvedRefs") if verdict.ready else failed(f"{target.object}: {verdict.reason}")


CHECKS: tuple[Check, ...] = (
    Check(
        "gateway-api", "Gateway API is served", gateways, _gateway_api, "install its CRDs with site.yml --tags gateway",
    ),
    *_proxy_checks(),
    Check(
        "gateway-bootstrap", "proxy runs with the current bootstrap", each_gateway, _bootstrap,
        "restart its Deployment (kubectl rollout restart), or run site.yml --tags gateway",
        ("gateway-deployment", "gateway-pods"),
    ),
    Check(
        "gateway-integration", "controller discovers ServiceEntries", each_gateway, _integration,
        f"set controller.extraEnv.{INTEGRATION} to true in its Helm values",
        ("gateway-api", "gateway", "gateway-controller"),
    ),
    Check(
        "gateway-version", "controller version has no known bug that applies here", each_gateway, _version,
        "upgrade the controller", ("gateway-api", "gateway", "gateway-controller"),
    ),
    Check(
        "route", "HTTPRoute exists", _each_route, _route, "",
        ("gateway-api", "gateway", "gateway-class", "gateway-accepted"),
    ),
    Check(
        "route-backends", "HTTPRoute's backends are valid", _each_route, _route_backends,
        "use kind Hostname of group networking.istio.io with the host and one of its ports, without a namespace",
        ("route", "service-entry"),
    ),
    Check(
        "route-accepted", "HTTPRoute is accepted", _each_route, _route_accepted,
        "compare its parentRefs and backendRefs with the existing objects",
        ("route", "route-backends", "gateway-listeners", "gateway-integration"),
    ),
)  # fmt: skip
