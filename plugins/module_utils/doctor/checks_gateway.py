# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the clusters with a gateway: Gateway API, controller, proxy, routes (pure).

What can be wrong with a proxy is judged by proxy.CHECKS; here each of them becomes a check of the walk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..gateway import proxy_checks as proxy
from ..gateway import proxy_logs, proxy_restart
from ..gateway.controller import INTEGRATION, switch
from ..gateway.parameter_kinds import CONTROLLERS
from ..gateway.proxy_model import MESH_CONTAINERS, ProxyModel, Want
from ..gateway.proxy_objects import containers
from ..istiod import discovery as istiod
from ..istiod.objects import discovery_container
from ..k8s.fields import Json, meta, spec_of, title, title_of
from ..k8s.log_causes import Cause
from ..k8s.pods import has_sidecar, is_ready, pods_of
from ..k8s.readiness import Verdict, judge
from ..mesh import virtual_destination as translation
from . import logs
from .checks_mesh import gateways
from .checks_routing import destinations, objects_of
from .facts import GATEWAY_CRD, Facts, World
from .runner import Check, Finding, Place, Unread, failed, ok, warning

BUNDLE = "gateway.networking.k8s.io/bundle-version"
#: the oldest Gateway API in a guide for any of the products: 1.2.1 for Gloo Gateway 1.x, later ones for kgateway 2.x
OLDEST_BUNDLE = (1, 2, 1)


# -- what there is ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """An HTTPRoute as the site wants it or, without its data, as it is."""

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
        return [ref for rule in self.spec.get("rules") or () for ref in rule.get("backendRefs") or ()]


def _ours(facts: Facts, gateway: Json) -> bool:
    """Whether the Gateway is one of kgateway's, or of nobody's: others have their own doctors."""
    wanted = spec_of(gateway).get("gatewayClassName")
    for found in facts.lists.get("GatewayClass") or ():
        if meta(found).get("name") == wanted:
            return spec_of(found).get("controllerName") in CONTROLLERS
    return True


def gateways_of(world: World, facts: Facts) -> list[tuple[str, str]]:
    """(namespace, name) of every Gateway that the site's routes name or, without its data, of every one there is."""
    wanted = world.wanted("http_routes")
    if wanted is not None:
        named = [parent for r in wanted for parent in Route(r["namespace"], r["name"], r.get("spec") or {}).parents()]
        return list(dict.fromkeys(named))
    found = facts.lists.get("Gateway") or ()
    return [(meta(g)["namespace"], meta(g)["name"]) for g in found if _ours(facts, g)]


def routes_of(world: World, facts: Facts) -> list[Route]:
    """The site's HTTPRoutes or, without its data, those of the Gateways that are looked at."""
    wanted = world.wanted("http_routes")
    if wanted is not None:
        return [Route(r["namespace"], r["name"], r.get("spec") or {}) for r in wanted]
    found = [Route(meta(r)["namespace"], meta(r)["name"], spec_of(r)) for r in facts.lists.get("HTTPRoute") or ()]
    ours = gateways_of(world, facts)
    return [r for r in found if any(parent in ours for parent in r.parents())]


def situation(world: World, facts: Facts, namespace: str, name: str) -> ProxyModel:
    """Everything proxy.py wants to know of a Gateway."""
    leads_to_mesh = any(
        ref.get("kind") == "Hostname"
        for r in routes_of(world, facts)
        if (namespace, name) in r.parents()
        for ref in r.backends()
    )
    want = Want(("kgateway-proxy", *MESH_CONTAINERS) if leads_to_mesh else None, facts.istiod)
    return ProxyModel(facts.proxies, namespace, name, want)


# -- places ----------------------------------------------------------------------------------------------------------


def each_gateway(world: World) -> Iterator[Place]:
    """Every Gateway of every cluster with one; the subject is (namespace, name)."""
    return (
        Place(world, facts, found, title("Gateway", found[1], found[0]))
        for facts in world.gateways
        for found in gateways_of(world, facts)
    )


def _each_route(world: World) -> Iterator[Place]:
    return (Place(world, facts, r, r.title) for facts in world.gateways for r in routes_of(world, facts))


# -- the proxy -------------------------------------------------------------------------------------------------------


def _gateway_api(place: Place) -> Finding:
    missing = [kind for kind in ("GatewayClass", "Gateway", "HTTPRoute") if kind in place.facts.absent]
    if missing:
        return failed(f"the API server does not serve {', '.join(missing)} of gateway.networking.k8s.io/v1")
    for kind in ("GatewayClass", "Gateway", "HTTPRoute"):
        place.facts.of(kind)  # that none is found would else look as if there were none
    crd = next(iter(place.facts.lists.get("CustomResourceDefinition") or ()), None)
    bundle = str((meta(crd).get("annotations") or {}).get(BUNDLE) or "")
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", bundle)
    if match and tuple(map(int, match.groups())) < OLDEST_BUNDLE:
        return warning(
            f"Gateway API is {bundle}, older than any that Gloo Gateway is installed with",
            "install newer CRDs; where a ValidatingAdmissionPolicy of Gateway API refuses them, it says what it wants",
            f"CustomResourceDefinition {GATEWAY_CRD}",
        )
    return ok(f"GatewayClass, Gateway and HTTPRoute are served{f', Gateway API {bundle}' if bundle else ''}")


def _of_proxy(name: str, check: Callable[[ProxyModel], Verdict | None]) -> Callable[[Place], Finding]:
    """One of proxy.CHECKS as a check of the walk; where no object tells why, with what a log says."""

    def look(place: Place) -> Finding:
        found = situation(place.world, place.facts, *place.subject)
        verdict = check(found)
        if verdict is None:
            return ok("", place.object)
        cause = _told_by_logs(place, found) if name in ("deployment", "rollout") else None
        text = f"{verdict.reason}; log: {cause.line}" if cause else verdict.reason
        return failed(text, cause.hint if cause else "", place.object)

    return look


def _told_by_logs(place: Place, found: ProxyModel) -> Cause | None:
    """What istiod or its own agent log of a proxy that does not start; the controller, of one not made."""
    pods = place.facts.of("Pod")
    if found.deployment is None:
        controllers = pods_of(found.controller, pods) if found.controller else ()
        return logs.told(place, controllers, proxy_logs.CONTROLLER)
    agents = [pod for pod in found.current_pods if not is_ready(pod) and has_sidecar(pod)]
    if not agents:
        return None
    namespace = str((place.facts.istiod or {}).get("namespace"))
    istiods = [pod for d in place.facts.of("Deployment") if discovery_container(d) for pod in pods_of(d, pods)]
    here = [pod for pod in istiods if meta(pod).get("namespace") == namespace]
    # istiod's log names no Pod: what it said before these were there is about others.
    born = min(str(meta(pod).get("creationTimestamp") or "") for pod in agents)
    refused = logs.told(place, here, proxy_logs.REFUSED, "discovery", born)
    return refused or logs.told(place, agents, proxy_logs.CERTIFICATES, "istio-proxy")


_PARAMETERS = "correct the parameters; site.yml --tags gateway finds the right values"
_CONTROLLER = "read the controller's log, restart it"

#: name in proxy.CHECKS -> (id, what holds when it finds nothing, what to do)
PROXY_CHECKS: dict[str, tuple[str, str, str]] = {
    "gateway": (
        "gateway",
        "Gateway exists",
        "create it with site.yml --tags gateway, or correct the routes' parentRefs",
    ),
    "class": ("gateway-class", "GatewayClass is one of Gloo Gateway or kgateway", "correct gatewayClassName"),
    "controller": ("gateway-controller", "gateway controller runs", "scale it up, read its events and log"),
    "class-served": ("gateway-class-served", "GatewayClass is served", _CONTROLLER),
    "parameters": ("gateway-parameters", "parameters of the Gateway are found", "site.yml --tags gateway writes them"),
    "self-managed": ("gateway-self-managed", "controller deploys the proxy", "remove selfManaged from the parameters"),
    "switch": ("gateway-switches", "controller adds the mesh's containers", "site.yml --tags gateway sets it"),
    "generation": ("gateway-accepted", "controller has accepted the Gateway", _CONTROLLER),
    "settings": ("gateway-settings", "settings in the parameters can work", _PARAMETERS),
    "istiod-address": ("gateway-istiod-address", "proxy is told the address of an istiod", _PARAMETERS),
    "cluster-id": ("gateway-cluster-id", "proxy is told the cluster ID istiod knows", _PARAMETERS),
    "istiod": ("gateway-istiod", "istiod serves the proxy", "let istiod run and serve the Gateway's namespace"),
    "deployment": ("gateway-deployment", "proxy is deployed as the parameters say", _CONTROLLER),
    "rollout": ("gateway-pods", "proxy's Pods are ready", "read the logs of the Pod's containers"),
    "listeners": ("gateway-listeners", "listeners are programmed", "correct the listener that is named"),
    "address": (
        "gateway-address",
        "Gateway has an address",
        "is there a load balancer provider, has it addresses left?",
    ),
}
_BEYOND_PROXY = {
    "gateway-istiod-address": ("istiod",),
    "gateway-cluster-id": ("istiod",),
    "gateway-istiod": ("istiod",),
    "gateway-pods": ("istiod", "root-shared"),
}


def _proxy_checks() -> Iterator[Check]:
    """Each stands on the ones before it: proxy.CHECKS runs from cause to symptom."""
    before: tuple[str, ...] = ("gateway-api",)
    for name, check in proxy.CHECKS:
        id, text, hint = PROXY_CHECKS[name]
        yield Check(id, text, each_gateway, _of_proxy(name, check), hint, (*before, *_BEYOND_PROXY.get(id, ())))
        before = (*before, id)


# -- the controller's version ----------------------------------------------------------------------------------------


def image_of(deployment: Json | None) -> str:
    """Image of its first container."""
    return str(next(iter(containers(deployment)), {}).get("image") or "")


def version_of(deployment: Json | None) -> tuple[int, int, int] | None:
    """Version in the tag of the controller's image, None when it tells none."""
    tag = istiod.image_version(image_of(deployment)) or ""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", tag)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _bootstrap(place: Place) -> Finding:
    reason = proxy_restart.restart_reason(situation(place.world, place.facts, *place.subject))
    return warning(reason) if reason else ok("its Pods started with the bootstrap there is")


def _integration(place: Place) -> Finding:
    found = situation(place.world, place.facts, *place.subject)
    version = version_of(found.controller)
    if found.controller is None:
        raise Unread("no single Deployment has settings of kgateway")
    named = title_of(found.controller)
    if switch(found.controller, INTEGRATION) is not False:
        return ok(f"{INTEGRATION} is on in {named}", named)
    text = f"{INTEGRATION} is off in {named}"
    if version and version >= (2, 3, 0):
        return failed(f"{text}: from 2.3 on it then finds no ServiceEntry (unknown backend kind)", object=named)
    return warning(f"{text}: versions from 2.3 on will find no ServiceEntry", object=named)


def _version(place: Place) -> Finding:
    """Bugs of old controllers, told only where they can show."""
    found = situation(place.world, place.facts, *place.subject)
    version = version_of(found.controller)
    if version is None or found.controller is None:
        raise Unread("the controller's image has no version in its tag")
    named, text = title_of(found.controller), ".".join(map(str, version))
    if re.search(r":v?2\.0\.0-", image_of(found.controller)):
        return warning(
            f"{named} is a pre-release of 2.0.0: some ignore the istio settings of the parameters", object=named
        )
    objects = objects_of(place.facts)
    for destination in destinations(place.world):
        for target in destination.targets():
            entry, _problems = translation.find_entry(objects, target)
            if entry and version <= (2, 3, 0) and len(spec_of(entry).get("ports") or ()) > 1:
                return warning(f"{named} {text} takes any port of {target.host}, which has several", object=named)
            if entry and (2, 0, 0) <= version <= (2, 3, 0):
                unready = [row["pod"] for row in translation.local_endpoints(entry, objects.pods) if not row["ready"]]
                if unready:
                    return warning(
                        f"{named} {text} sends requests to Pods that are not ready: {', '.join(unready)}", object=named
                    )
    return ok(f"{named} is {text}", named)


# -- routes ----------------------------------------------------------------------------------------------------------


def _live(place: Place) -> Json | None:
    return place.facts.find("HTTPRoute", place.subject.name, place.subject.namespace)


def _route(place: Place) -> Finding:
    found = _live(place)
    if found is None:
        return failed(f"{place.object} does not exist", "create it with site.yml --tags routing")
    wanted, have = place.subject.parents(), Route("", "", spec_of(found)).parents()
    have = [(namespace or place.subject.namespace, name) for namespace, name in have]
    gone = [f"{namespace}/{name}" for namespace, name in wanted if (namespace, name) not in have]
    if gone:
        return failed(f"{place.object} does not name Gateway {', '.join(gone)} as parent", "correct its parentRefs")
    return ok(f"{place.object} is attached to {', '.join('/'.join(parent) for parent in have)}")


def _route_backends(place: Place) -> Finding:
    live = _live(place) or {}
    objects = objects_of(place.facts)
    problems: list[translation.Problem] = []
    for destination in destinations(place.world):  # for refs of kind VirtualDestination
        problems += translation.route_problems([live], translation.Target(name=destination.name), None)[1]
    for ref in Route(place.subject.namespace, place.subject.name, spec_of(live)).backends():
        if ref.get("kind") == "Hostname":
            target = translation.Target(str(ref.get("name")))
            entry, missing = translation.find_entry(objects, target)
            numbers = sorted({int(p.get("number") or 0) for p in spec_of(entry).get("ports") or ()}) if entry else None
            problems += translation.route_problems([live], target, numbers)[1] or (missing if entry is None else [])
    texts = list(dict.fromkeys(p.text for p in problems))
    if texts:
        return failed("; ".join(texts))
    named = [f"{ref.get('name')}:{ref.get('port')}" for ref in Route("", "", spec_of(live)).backends()]
    return ok(f"leads to {', '.join(named)}")


def _route_accepted(place: Place) -> Finding:
    live = _live(place)
    verdict = judge(live) if live else Verdict("failed", "it does not exist")
    return ok("Accepted, ResolvedRefs") if verdict.ready else failed(f"{place.object}: {verdict.reason}")


CHECKS: tuple[Check, ...] = (
    Check("gateway-api", "Gateway API is served", gateways, _gateway_api, "install its CRDs: site.yml --tags gateway"),
    *_proxy_checks(),
    Check(
        "gateway-bootstrap", "proxy runs with its present bootstrap", each_gateway, _bootstrap,
        "kubectl rollout restart its Deployment, or site.yml --tags gateway", ("gateway-deployment", "gateway-pods"),
    ),
    Check(
        "gateway-integration", "controller finds ServiceEntries", each_gateway, _integration,
        f"set controller.extraEnv.{INTEGRATION} to true in its Helm values",
        ("gateway-api", "gateway", "gateway-controller"),
    ),
    Check(
        "gateway-version", "controller has no known bug that shows here", each_gateway, _version,
        "use a newer version", ("gateway-api", "gateway", "gateway-controller"),
    ),
    Check(
        "route", "HTTPRoute exists", _each_route, _route, "",
        ("gateway-api", "gateway", "gateway-class", "gateway-accepted"),
    ),
    Check(
        "route-backends", "HTTPRoute names its backends as gateways want it", _each_route, _route_backends,
        "kind Hostname of group networking.istio.io, the host, its port, no namespace", ("route", "service-entry"),
    ),
    Check(
        "route-accepted", "HTTPRoute is accepted", _each_route, _route_accepted,
        "compare its parentRefs and backendRefs with what is there",
        ("route", "route-backends", "gateway-listeners", "gateway-integration"),
    ),
)  # fmt: skip
