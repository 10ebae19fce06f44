# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the clusters with a gateway: Gateway API, controller, proxy, routes (pure).

A proxy is judged by proxy_checks.CHECKS; each of them becomes a check of the doctor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..apply.manifests import OWNER_LABEL
from ..gateway import proxy_checks, proxy_logs, proxy_restart
from ..gateway.controller import INTEGRATION, switch
from ..gateway.parameter_kinds import CONTROLLERS
from ..gateway.products import BY_CONTROLLER
from ..gateway.proxy_model import MESH_CONTAINERS, ProxyModel, Want
from ..gateway.versions import (
    SERVICE_ENTRIES_NEED_INTEGRATION,
    UNKNOWN,
    Range,
    exactly,
    full,
    of_gateways,
    of_labels,
    shown,
)
from ..istiod.objects import discovery_container
from ..k8s.client import FIELD_MANAGER
from ..k8s.fields import (
    Json,
    key_of,
    labels_of,
    mapping,
    mappings,
    meta,
    name_of,
    named_condition,
    namespace_of,
    number,
    spec_of,
    status_of,
    texts,
    title,
    title_of,
)
from ..k8s.log_causes import Cause
from ..k8s.pods import has_sidecar, is_ready, pods_of
from ..k8s.readiness import judge_parent
from ..k8s.verdict import Verdict
from ..mesh import virtual_destination
from ..traffic import routes as http_routes
from . import logs
from .checks_mesh import NO_ADDRESS, gateways
from .checks_routing import CREATE_ROUTING, destinations, host_port_title, objects_of
from .facts import GATEWAY_CRD, UNPROCESSED, Facts, SiteFacts
from .runner import CLUSTER, Check, CheckTarget, Finding, NotReadable, failed, ok, warning

BUNDLE = "gateway.networking.k8s.io/bundle-version"
#: the oldest Gateway API that the guides of the products install: 1.2.1 for Gloo Gateway 1.x, newer for kgateway 2.x
OLDEST_BUNDLE = (1, 2, 1)


# -- Gateways and routes -----------------------------------------------------------------------------------------------


def _is_foreign(facts: Facts, gateway: tuple[str, str]) -> bool:
    """Whether an existing Gateway belongs to another controller and has no proxy of kgateway."""
    try:
        model = ProxyModel(facts.proxies, *gateway)
    except NotReadable:
        return False
    return model.gateway is not None and model.is_foreign


def gateways_of(site: SiteFacts, facts: Facts) -> list[tuple[str, str]]:
    """(namespace, name) of the Gateways of the site's routes and proofs or, without data, of all that are supported.

    Of the Gateways of a route, those of other controllers are left out unless it has no other.
    """
    if site.data is None:
        found = [(namespace_of(g), name_of(g)) for g in facts.lists.get("Gateway") or ()]
        return [gateway for gateway in found if not _is_foreign(facts, gateway)]
    named: list[tuple[str, str]] = []
    for route in site.wanted("http_routes", facts.name) or ():
        parents = [parent.key for parent in http_routes.parents(_as_object(route))]
        named += [parent for parent in parents if not _is_foreign(facts, parent)] or parents
    for proof in site.wanted("proofs", facts.name) or ():
        chosen = proof.get("gateway") or {}
        if chosen.get("name") and chosen.get("namespace"):
            named.append((chosen["namespace"], chosen["name"]))
    return list(dict.fromkeys(named))


def routes_of(site: SiteFacts, facts: Facts) -> list[Json]:
    """The HTTPRoutes of the site's data or, without data, those of the supported Gateways and their children."""
    wanted = site.wanted("http_routes", facts.name)
    if wanted is not None:
        return [_as_object(route) for route in wanted]
    found: list[Json] = []
    for gateway in gateways_of(site, facts):
        found += http_routes.attached(facts.lists.get("HTTPRoute") or (), gateway)
    return list({key_of(route): route for route in found}.values())


def live_routes(site: SiteFacts, facts: Facts) -> list[Json]:
    """All HTTPRoutes of the cluster and those of the site's data that do not exist."""
    live = list(facts.lists.get("HTTPRoute") or ())
    keys = {key_of(route) for route in live}
    return [*live, *(route for route in routes_of(site, facts) if key_of(route) not in keys)]


def _as_object(row: Json) -> Json:
    """An entry of the site's data as an HTTPRoute."""
    place = {"name": row["name"], "namespace": row["namespace"]}
    return {"kind": "HTTPRoute", "metadata": place, "spec": row.get("spec") or {}}


def proxy_model(site: SiteFacts, facts: Facts, namespace: str, name: str) -> ProxyModel:
    """The objects of a Gateway and its proxy, and what is required of them; its settings may lead to any istiod."""
    leads_to_mesh = any(
        ref.get("kind") == "Hostname"
        for route in http_routes.attached(live_routes(site, facts), (namespace, name))
        for ref in http_routes.backend_refs(route)
    )
    return ProxyModel(
        facts.proxies, namespace, name, Want(("kgateway-proxy", *MESH_CONTAINERS) if leads_to_mesh else None)
    )


# -- targets -----------------------------------------------------------------------------------------------------------


def gateway_title(gateway: tuple[str, str]) -> str:
    return title("Gateway", gateway[1], gateway[0])


def each_gateway(site: SiteFacts) -> Iterator[CheckTarget]:
    """Every Gateway of every gateway cluster; the subject is (namespace, name)."""
    return (
        CheckTarget(site, facts, found, gateway_title(found), _istiod_of(facts, found))
        for facts in site.gateways
        for found in gateways_of(site, facts)
    )


def _istiod_of(facts: Facts, gateway: tuple[str, str]) -> tuple[str, ...]:
    """Objects of checks on the proxy's istiod: its Service, and the cluster itself if most proxies use that istiod."""
    try:
        plane = ProxyModel(facts.proxies, *gateway).plane
    except NotReadable:
        return (CLUSTER,)
    if plane is None:
        return (CLUSTER,)
    named = f"Service {plane['namespace']}/{plane['name']}"
    return (named, CLUSTER) if facts.istiod and plane["address"] == facts.istiod["address"] else (named,)


def _each_route(site: SiteFacts) -> Iterator[CheckTarget]:
    """Every HTTPRoute; related are its Gateways and the destinations of its backends."""
    for facts in site.gateways:
        for route in routes_of(site, facts):
            live = facts_of_route(facts, route)
            hosts = {str(r.get("name")) for each in (route, live) for r in http_routes.backend_refs(each or {})}
            parents = [parent.key for parent in http_routes.parents(route)]
            # A route is checked if a controller serves one of its Gateways, whatever is wrong with others.
            served = any(_is_served(facts, parent) for parent in parents)
            related = [] if served else list(map(gateway_title, parents))
            related += [
                host_port_title(destination, host_port)
                for destination in destinations(site)
                for host_port in destination.host_ports()
                if host_port.host in hosts
            ]
            yield CheckTarget(site, facts, route, title_of(route), tuple(related))


def _is_served(facts: Facts, gateway: tuple[str, str]) -> bool:
    """Whether the controller of the Gateway's class has accepted its current generation."""
    try:
        model = ProxyModel(facts.proxies, *gateway)
    except NotReadable:
        return False
    return model.controller_name in CONTROLLERS and proxy_checks.is_accepted(model)


def facts_of_route(facts: Facts, route: Json) -> Json | None:
    """The route as it is in the cluster, None if it does not exist."""
    return next((r for r in facts.lists.get("HTTPRoute") or () if key_of(r) == key_of(route)), None)


# -- the proxy ---------------------------------------------------------------------------------------------------------


def _gateway_api(target: CheckTarget) -> Finding:
    missing = [kind for kind in ("GatewayClass", "Gateway", "HTTPRoute") if kind in target.facts.absent]
    if missing:
        return failed(f"the API server does not serve {', '.join(missing)} of gateway.networking.k8s.io/v1")
    for kind in ("GatewayClass", "Gateway", "HTTPRoute"):
        target.facts.of(kind)  # raises NotReadable if listing failed, so absence is certain
    crd = next(iter(target.facts.lists.get("CustomResourceDefinition") or ()), None)
    bundle = str(texts(meta(crd).get("annotations")).get(BUNDLE, ""))
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", bundle)
    if match and tuple(map(int, match.groups())) < OLDEST_BUNDLE:
        return warning(
            f"the CRDs of Gateway API {bundle} are older than v{'.'.join(map(str, OLDEST_BUNDLE))}",
            "unless other controllers need this version, install newer CRDs. If a ValidatingAdmissionPolicy rejects "
            "them, its message lists the allowed ones",
            f"CustomResourceDefinition {GATEWAY_CRD}",
        )
    return ok(f"GatewayClass, Gateway and HTTPRoute are served{f', Gateway API {bundle}' if bundle else ''}")


def _of_proxy(name: str, check: Callable[[ProxyModel], Verdict | None]) -> Callable[[CheckTarget], Finding]:
    """One of proxy_checks.CHECKS; if no object has the reason, logs are searched for it."""

    def evaluate(target: CheckTarget) -> Finding:
        found = proxy_model(target.site, target.facts, *target.subject)
        verdict = check(found)
        if verdict is None:
            return _other_istiods(target, found) if name == "istiod-address" else ok("", target.object)
        if not verdict.processed:
            return failed(verdict.reason, UNPROCESSED, target.object)
        cause = _logged_cause(target, found) if name in ("deployment", "rollout") else None
        text = f"{verdict.reason}; log: {cause.line}" if cause else verdict.reason
        return failed(text, cause.hint if cause else _hint(target, found, name, verdict), target.object)

    return evaluate


def _hint(target: CheckTarget, found: ProxyModel, name: str, verdict: Verdict) -> str:
    """What to do where the hint of the check does not fit; "" where it does."""
    if name in _SET_BY_PARAMETERS:
        return _rerun_hint(target, found)
    if name == "parameters" and _VALUES(found) is not None:
        return _PARAMETERS
    is_told = name == "deployment" or (name == "rollout" and spec_of(found.deployment).get("replicas") == 0)
    return IN_MESSAGE if is_told and verdict.state == "failed" else ""


IN_MESSAGE = "the message names what to do"
#: the check of values that the controller cannot render
_VALUES = dict(proxy_checks.CHECKS)["settings"]
#: checks that fail for a wrong value in the parameters
_SET_BY_PARAMETERS = ("settings", "istiod-address", "cluster-id")


def _rerun_hint(target: CheckTarget, found: ProxyModel) -> str:
    """site.yml, if it certainly writes the right value: to parameters of this collection, with only one istiod."""
    parameters = [found.parameters(ref) for ref in found.refs]
    ours = any(labels_of(each).get(OWNER_LABEL) == FIELD_MANAGER for each in parameters if each)
    return f"{_PARAMETERS}, or run site.yml --tags gateway" if ours and len(target.facts.istio["istiods"]) == 1 else ""


def _other_istiods(target: CheckTarget, found: ProxyModel) -> Finding:
    """The proxy uses an istiod of this cluster that works; remarks on others."""
    used = found.plane
    if used is None or not found.in_mesh:
        return ok("", target.object)
    text = f"istiod {used['namespace']}/{used['name']}, version {used['version']}"
    chosen = (target.site.data or {}).get("istiod") or {}
    for key, have in (("revision", (used["revision"], *(used["tags"] or ()))), ("namespace", (used["namespace"],))):
        if chosen.get(key) and chosen[key] not in have:
            return warning(
                f"it uses {text}, of {key} {have[0]}; the site's data name {key} {chosen[key]}",
                f"unless the move to the other istiod is under way, set gateway_istiod_{key} to the one in use",
                target.object,
            )
    newer = [
        each for each in target.facts.used if _release(each) > _release(used) and each["mesh_id"] == used["mesh_id"]
    ]
    if newer:
        names = ", ".join(f"{each['namespace']}/{each['name']} ({each['version']})" for each in newer)
        return ok(f"{text}; a newer one is in use in this cluster: {names}", target.object)
    return ok(text, target.object)


def _release(istiod: Json) -> tuple[int, ...]:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", str(istiod["version"] or ""))
    return tuple(map(int, match.groups())) if match else ()


def _logged_cause(target: CheckTarget, found: ProxyModel) -> Cause | None:
    """Why a proxy does not start (logs of istiod or istio-proxy) or is missing (controller's log)."""
    pods = target.facts.of("Pod")
    if found.deployment is None:
        controllers = pods_of(found.controller, pods) if found.controller else ()
        return logs.first_cause(target, controllers, proxy_logs.CONTROLLER)
    agents = [pod for pod in found.current_pods if not is_ready(pod) and has_sidecar(pod)]
    if not agents:
        return None
    namespace = str((found.plane or target.facts.istiod or {}).get("namespace"))
    istiods = [pod for d in target.facts.of("Deployment") if discovery_container(d) for pod in pods_of(d, pods)]
    here = [pod for pod in istiods if namespace_of(pod) == namespace]
    # istiod's log does not identify Pods: lines older than these Pods are about others.
    born = min(str(meta(pod).get("creationTimestamp") or "") for pod in agents)
    refused = logs.first_cause(target, here, proxy_logs.REFUSED, "discovery", born)
    return refused or logs.first_cause(target, agents, proxy_logs.CERTIFICATES, "istio-proxy")


_PARAMETERS = "correct the value in the parameters"
_CONTROLLER = "read the controller's log; if it has no reason, restart the controller"

#: name in proxy_checks.CHECKS -> (id, title, hint)
PROXY_CHECKS: dict[str, tuple[str, str, str]] = {
    "gateway": (
        "gateway",
        "Gateway exists",
        "if the routes are meant for it, create it (site.yml --tags gateway); otherwise correct their parentRefs",
    ),
    "class": (
        "gateway-class",
        "GatewayClass belongs to Gloo Gateway or kgateway",
        "unless another controller is meant to serve it, correct spec.gatewayClassName",
    ),
    "controller": (
        "gateway-controller",
        "gateway controller is running",
        "read its events and log",
    ),
    "class-served": ("gateway-class-served", "GatewayClass is accepted", _CONTROLLER),
    "parameters": (
        "gateway-parameters",
        "parameters of the Gateway exist",
        "correct parametersRef; if the parameters are missing, create them (site.yml --tags gateway)",
    ),
    "self-managed": (
        "gateway-self-managed",
        "controller deploys the proxy",
        "unless the proxy is deployed by other means, remove selfManaged from the parameters",
    ),
    "switch": (
        "gateway-switches",
        "controller adds the mesh containers",
        "unless the routes are meant to stay outside the mesh, change it in the Helm values (site.yml --tags gateway)",
    ),
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
    """Each depends on those before it for the same Gateway: proxy_checks.CHECKS is ordered from cause to symptom."""
    before: tuple[str, ...] = ()
    for name, check in proxy_checks.CHECKS:
        id, text, hint = PROXY_CHECKS[name]
        own = (*before, *_BEYOND_PROXY.get(id, ()))
        yield Check(id, text, each_gateway, _of_proxy(name, check), hint, ("gateway-api",), needs_own=own)
        before = (*before, id)


# -- the controller ----------------------------------------------------------------------------------------------------


def _bootstrap(target: CheckTarget) -> Finding:
    reason = proxy_restart.restart_reason(proxy_model(target.site, target.facts, *target.subject))
    return warning(reason) if reason else ok("its Pods were started with the current bootstrap")


def _integration(target: CheckTarget) -> Finding:
    """Without the switch, newer controllers refuse routes to ServiceEntries: their status shows it, not the version."""
    found = proxy_model(target.site, target.facts, *target.subject)
    if found.controller is None:
        raise NotReadable("the Deployment of the gateway controller was not found")
    named = title_of(found.controller)
    if switch(found.controller, INTEGRATION) is not False:
        return ok(f"{INTEGRATION} is on in {named}", named)
    text = f"{INTEGRATION} is off in {named}"
    attached = http_routes.attached(target.facts.of("HTTPRoute"), target.subject)
    refused = [title_of(route) for route in attached if _lacks_integration(found, route)]
    if refused:
        return failed(
            f"{text}, so the backends of {', '.join(refused)} have an unknown kind: this version takes ServiceEntries "
            "as backends only with it",
            object=named,
        )
    if _versions(target.facts, found).has(SERVICE_ENTRIES_NEED_INTEGRATION):
        return warning(f"{text}: this version refuses routes to a ServiceEntry without it", object=named)
    since = shown(SERVICE_ENTRIES_NEED_INTEGRATION)
    return warning(f"{text}: kgateway {since} and newer refuses routes to a ServiceEntry without it", object=named)


def _versions(facts: Facts, found: ProxyModel) -> Range:
    """The versions that the controller may have, by what it wrote or, as far as that is unknown, by its labels."""
    classes = {
        name_of(c) for c in facts.of("GatewayClass") if spec_of(c).get("controllerName") == found.controller_name
    }
    seen = of_gateways(g for g in facts.of("Gateway") if spec_of(g).get("gatewayClassName") in classes)
    product = BY_CONTROLLER.get(found.controller_name)
    return exactly(product.kgateway_version(of_labels(found.controller))) if seen == UNKNOWN and product else seen


def _lacks_integration(found: ProxyModel, route: Json) -> bool:
    """Whether the controller does not know the kind of a ServiceEntry's host, because the switch is off."""
    kinds = {str(ref.get("kind") or "Service") for ref in http_routes.backend_refs(route)}
    if "Hostname" not in kinds or kinds - {"Hostname", "Service"} or switch(found.controller, INTEGRATION) is not False:
        return False
    entries = [e for e in mappings(status_of(route).get("parents")) if e.get("controllerName") == found.controller_name]
    states = [named_condition(mappings(entry.get("conditions")), "ResolvedRefs") for entry in entries]
    return any(each.get("status") == "False" and each.get("reason") == "InvalidKind" for each in states)


def _version(target: CheckTarget) -> Finding:
    """Known bugs of old controllers that apply here. The tag of an image proves no version: it may be a mirror's."""
    found = proxy_model(target.site, target.facts, *target.subject)
    text = of_labels(found.controller)
    version = full(text)
    if version is None:
        raise NotReadable("the labels of the controller's Deployment have no version")
    named = title_of(found.controller)
    if re.search(r"v?2\.0\.0-", text):
        return warning(
            f"{named} is a pre-release of 2.0.0: some pre-releases ignore the istio settings",
            object=named,
        )
    objects = objects_of(target.facts)
    for destination in destinations(target.site):
        for host_port in destination.host_ports():
            entry, _problems = virtual_destination.find_entry(objects, host_port)
            if entry and version <= (2, 3, 0) and len(mappings(spec_of(entry).get("ports"))) > 1:
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
    return target.facts.find("HTTPRoute", name_of(target.subject), key_of(target.subject)[0])


def _route(target: CheckTarget) -> Finding:
    found = _live(target)
    if found is None:
        return failed(f"{target.object} does not exist", CREATE_ROUTING)
    have = [parent.key for parent in http_routes.parents(found)]
    missing = [parent.key for parent in http_routes.parents(target.subject) if parent.key not in have]
    if missing:
        names = ", ".join(map("/".join, missing))
        return failed(f"{target.object} has no parentRef to Gateway {names}", "correct its parentRefs")
    if not have:
        return ok(f"{target.object} is attached to no Gateway itself")
    return ok(f"{target.object} is attached to {', '.join(map('/'.join, have))}")


def _route_backends(target: CheckTarget) -> Finding:
    live = _live(target) or {}
    faults = _backend_faults(target, live)
    if faults:
        return failed("; ".join(faults))
    remarks = endpoint_remarks(target.facts, live)
    if remarks:
        # Requests show what the running version of the controller does with them.
        return warning("; ".join(remarks), IN_MESSAGE)
    shown_refs = [f"{ref.get('name')}:{ref.get('port')}" for ref in http_routes.backend_refs(live)]
    return ok(f"backends {', '.join(shown_refs)}" if shown_refs else "no backend of its own")


def _backend_faults(target: CheckTarget, live: Json) -> list[str]:
    """Every fault of the route's backends; its status has at most one of them."""
    objects, backends = objects_of(target.facts), http_routes.backend_refs(live)
    texts = []
    for destination in destinations(target.site):  # for backendRefs of kind VirtualDestination
        named = virtual_destination.Target(name=destination.name)
        texts += [problem.text for problem in virtual_destination.route_problems([live], named, None)[1]]
    for host in dict.fromkeys(str(ref.get("name")) for ref in backends if ref.get("kind") == "Hostname"):
        named = virtual_destination.Target(host)
        entry, missing = virtual_destination.find_entry(objects, named)
        served = sorted({number(port.get("number")) for port in mappings(spec_of(entry).get("ports"))})
        problems = virtual_destination.route_problems([live], named, served if entry else None)[1]
        texts += [problem.text for problem in problems]
        if entry is None and not problems:
            texts += [f"{target.object}: backendRef {host}: {problem.text}" for problem in missing]
    for ref in backends:
        fault = _service_fault(target.facts, key_of(live)[0], ref)
        texts += [f"{target.object}: backendRef {ref.get('name')}: {fault}"] if fault else []
    return list(dict.fromkeys(texts))


def _service_fault(facts: Facts, namespace: str, ref: Json) -> str:
    """Why a backendRef to a Service leads nowhere; "" if it does not."""
    if ref.get("kind", "Service") != "Service" or ref.get("group") or "Service" in facts.unreadable:
        return ""
    name, where = str(ref.get("name")), str(ref.get("namespace") or namespace)
    service, port = facts.find("Service", name, where), ref.get("port")
    if service is None:
        return f"Service {where}/{name} does not exist"
    ports = [each.get("port") for each in mappings(spec_of(service).get("ports"))]
    if port in ports or spec_of(service).get("type") == "ExternalName":
        return ""
    return f"Service {where}/{name} has no port {port} (ports: {', '.join(map(str, ports)) or 'none'})"


def endpoint_remarks(facts: Facts, route: Json) -> list[str]:
    """Why gateways, but not sidecars, cannot use the endpoints of the hosts that the route leads to."""
    objects, texts = objects_of(facts), []
    for ref in http_routes.backend_refs(route):
        named = virtual_destination.Target(str(ref.get("name")))
        entry = virtual_destination.find_entry(objects, named)[0] if ref.get("kind") == "Hostname" else None
        if entry is not None:
            texts += [problem.text for problem in virtual_destination.gateway_problems(entry, objects, named)]
    return list(dict.fromkeys(texts))


def _route_accepted(target: CheckTarget) -> Finding:
    live = _live(target)
    refusals = _refusals(target, live) if live else ["does not exist"]
    return failed(f"{target.object}: {'; '.join(refusals)}") if refusals else ok("Accepted, ResolvedRefs")


def _refusals(target: CheckTarget, live: Json) -> list[str]:
    """Why the controllers of its Gateways, or of a route that delegates to it, refuse a route, without known causes.

    The status has entries of all controllers; that of the Gateway's own class counts.
    """
    facts, gateways = target.facts, gateways_of(target.site, target.facts)
    has_faults = bool(_backend_faults(target, live))
    verdicts, is_attached = [], False
    for ref in mappings(spec_of(live).get("parentRefs")):
        parent = next(iter(http_routes.parents({"metadata": meta(live), "spec": {"parentRefs": [ref]}})), None)
        if parent is None or parent.key not in gateways:
            continue
        is_attached = True
        if _is_served(facts, parent.key):  # else its Gateway's checks have the cause
            model = ProxyModel(facts.proxies, *parent.key)
            is_explained = has_faults or _lacks_integration(model, live)
            conditions = ("Accepted",) if is_explained else ("Accepted", "ResolvedRefs")
            verdict = judge_parent(live, ref, model.controller_name, conditions)
            # Bad listeners leave routes without a status.
            if verdict.processed or proxy_checks.listeners(model) is None:
                verdicts.append(verdict)
    by_routes = [
        mapping(entry.get("parentRef"))
        for entry in mappings(status_of(live).get("parents"))
        if mapping(entry.get("parentRef")).get("kind") == "HTTPRoute"
    ]
    if not is_attached:
        verdicts = [judge_parent(live, ref) for ref in by_routes]
        if not by_routes and not http_routes.delegating(live, facts.of("HTTPRoute")):
            return ["no Gateway serves it: it has no parentRef to one, and no HTTPRoute delegates to it"]
    return list(dict.fromkeys(verdict.reason for verdict in verdicts if not verdict.ready))


CHECKS: tuple[Check, ...] = (
    Check(
        "gateway-api", "Gateway API is served", gateways, _gateway_api,
        "if the cluster is meant to have a gateway, install its CRDs with site.yml --tags gateway",
    ),
    *_proxy_checks(),
    Check(
        "gateway-bootstrap", "proxy runs with the current bootstrap", each_gateway, _bootstrap,
        "unless a restart is planned, restart its Deployment (kubectl rollout restart, or site.yml --tags gateway)",
        needs_own=("gateway-deployment", "gateway-pods"),
    ),
    Check(
        "gateway-integration", "controller discovers ServiceEntries", each_gateway, _integration,
        f"unless no route leads to a VirtualDestination, set controller.extraEnv.{INTEGRATION} to true in its Helm "
        "values",
        ("gateway-api",), needs_own=("gateway", "gateway-controller"),
    ),
    Check(
        "gateway-version", "controller version has no known bug that applies here", each_gateway, _version,
        "unless its version is kept on purpose, upgrade the controller", ("gateway-api",),
        needs_own=("gateway", "gateway-controller"),
    ),
    Check(
        "route", "HTTPRoute exists", _each_route, _route, "",
        ("gateway-api",), needs_own=("gateway", "gateway-class", "gateway-accepted"),
    ),
    Check(
        "route-backends", "HTTPRoute's backends are valid", _each_route, _route_backends,
        "use kind Hostname of group networking.istio.io with the host and one of its ports, without a namespace",
        needs_own=("route", "service-entry"),
    ),
    Check(
        "route-accepted", "HTTPRoute is accepted", _each_route, _route_accepted,
        "compare its parentRefs and backendRefs with the existing objects",
        needs_own=("route",),
    ),
)  # fmt: skip
