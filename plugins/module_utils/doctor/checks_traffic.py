# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of traffic: backends are ready, a route matches the request, and all expected backends respond.

Pure except for the requests, which SiteFacts.probes sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..k8s.fields import Json, key_of, labels_of, parse_selector, title_of
from ..k8s.pods import Backends, backends, has_sidecar, is_ready, living, pods_behind, pods_of
from ..traffic import gateway_target
from ..traffic import routes as http_routes
from .checks_gateway import endpoint_remarks, gateway_title, gateways_of, live_routes, proxy_model, routes_of
from .checks_mesh import workloads
from .facts import Facts, SiteFacts, workload_ready
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning


def expected(site: SiteFacts, proof: Json) -> list[Json]:
    """Instances that have to respond to a proof, in all workload clusters."""
    return [row for facts in site.workloads for row in _backends(facts, proof["answered_by"]).instances]


def _backends(facts: Facts, selection: Json) -> Backends:
    return backends(facts.name, facts.workloads, facts.of("Pod"), selection)


# -- targets -----------------------------------------------------------------------------------------------------------


def _from_pods(site: SiteFacts) -> Iterator[CheckTarget]:
    """Proofs from inside the mesh, in every cluster with a ready source Pod; without any, in the first."""
    for proof in site.wanted("proofs") or ():
        source = proof.get("from_pod")
        if source:
            wanted = parse_selector(source["label_selector"])
            possible = [f for f in site.workloads if f.name in (proof.get("clusters") or [f.name])]
            having = [
                f
                for f in possible
                if any(is_ready(p) for p in living(f.lists.get("Pod", ()), source["namespace"], wanted))
            ]
            for facts in having or possible[:1]:
                yield CheckTarget(site, facts, (proof, None), str(proof["name"]))


def _through_gateways(site: SiteFacts) -> Iterator[CheckTarget]:
    """Proofs through each Gateway that they name or else that has a matching route; without any, through the first.

    Related are the Gateway and the routes that match.
    """
    for facts in site.gateways:
        for proof in site.wanted("proofs", facts.name) or ():
            if proof.get("from_pod"):
                continue
            possible = [gateway for gateway in gateways_of(site, facts) if _may_use(proof, gateway)]
            try:
                matching = {gateway: _matching(site, facts, proof, gateway, derive=False) for gateway in possible}
                if not any(matching.values()):  # perhaps for the hostname of a listener
                    matching = {gateway: _matching(site, facts, proof, gateway) for gateway in possible}
            except NotReadable:  # the checks of the Gateways report it
                matching = {gateway: [] for gateway in possible}
            for gateway in [each for each in possible if matching[each]] or possible[:1]:
                related = (gateway_title(gateway), *map(title_of, matching[gateway]))
                yield CheckTarget(site, facts, (proof, gateway), str(proof["name"]), related)


def _may_use(proof: Json, gateway: tuple[str, str]) -> bool:
    wanted = proof.get("gateway") or {}
    return wanted.get("namespace") in (None, "", gateway[0]) and wanted.get("name") in (None, "", gateway[1])


def _matching(site: SiteFacts, facts: Facts, proof: Json, gateway: tuple[str, str], derive: bool = True) -> list[Json]:
    """The routes of a Gateway that match the proof; of those in the site's data, as they are there.

    derive: a proof without a host is for the hostname of the listener.
    """
    wanted = {key_of(route): route for route in routes_of(site, facts)}
    every = [wanted.get(key_of(route), route) for route in live_routes(site, facts)]
    model = proxy_model(site, facts, *gateway)
    host = (_host(proof, model.gateway) if derive else proof.get("host")) or next(iter(model.addresses), "")
    return [
        route
        for route in every
        if gateway in [parent.key for parent in http_routes.parents(route)]
        and http_routes.matches(route, str(proof["path"]), host, proof.get("headers"), every)
    ]


def _host(proof: Json, gateway: Json | None) -> str:
    """The host of a proof's requests: its own, else the hostname of the only listener; "" for the address."""
    if proof.get("host"):
        return str(proof["host"])
    try:
        return gateway_target.target(gateway or {}, ["192.0.2.1"], (), proof).host
    except gateway_target.NoTarget:
        return ""


def _selections(site: SiteFacts) -> Iterator[CheckTarget]:
    """The Pods that proofs are sent to or from, once in every workload cluster."""
    proofs = site.wanted("proofs") or ()
    found = [proof[key] for proof in proofs for key in ("answered_by", "from_pod") if proof.get(key)]
    unique = {(each["namespace"], each["label_selector"]): each for each in found}
    for facts in site.workloads:
        for (namespace, labels), selection in unique.items():
            yield CheckTarget(site, facts, selection, f"Pods with labels {labels} in namespace {namespace}")


# -- backends --------------------------------------------------------------------------------------------------------

_SCALE_UP = "unless it is scaled down on purpose, scale it up and read the events and logs of its Pods"


def _proof_backends(target: CheckTarget) -> Finding:
    found = _backends(target.facts, target.subject)
    if found.problems:
        return failed("; ".join(text.removeprefix(f"{target.cluster}: ") for text in found.problems))
    count = len(found.instances)
    return ok(f"ready instances: {count}" if count else "no such Pod in this cluster")


def _managed_workloads(target: CheckTarget) -> Finding:
    """Deployments and Services applied by the role bookinfo; others in the same namespaces are not checked."""
    pods = target.facts.of("Pod")
    for deployment in filter(_is_managed, target.facts.of("Deployment")):
        state = workload_ready(deployment, title_of(deployment))
        if state.verdict != "ok":
            return state
        bare = [pod for pod in pods_of(deployment, pods) if not has_sidecar(pod)]
        if bare:
            hint = "unless it is meant to be outside the mesh, label its namespace for injection, then restart it"
            return failed(f"{title_of(bare[0])} has no container istio-proxy", hint, title_of(bare[0]))
    empty = [s for s in target.facts.of("Service") if _is_managed(s) and not _selected_pods(s, pods)]
    if empty:
        hint = "unless its Deployment was removed on purpose, deploy it with site.yml --tags bookinfo"
        return warning(f"{title_of(empty[0])} selects no Pod", hint, title_of(empty[0]))
    return ok("all are ready and have a sidecar")


def _is_managed(obj: Json) -> bool:
    return labels_of(obj).get("app.kubernetes.io/managed-by") == "multicluster.gloo"


def _selected_pods(service: Json, pods: Sequence[Json]) -> list[Json]:
    return pods_behind(service, pods)


# -- a route matches the request ---------------------------------------------------------------------------------------


def _route_match(target: CheckTarget) -> Finding:
    proof, gateway = target.subject
    every = list(target.facts.of("HTTPRoute"))
    ours = [route for route in every if gateway in [parent.key for parent in http_routes.parents(route)]]
    model, path = proxy_model(target.site, target.facts, *gateway), str(proof["path"])
    host = _host(proof, model.gateway)
    for route in ours:
        if http_routes.matches(route, path, host or next(iter(model.addresses), ""), proof.get("headers"), every):
            return ok(f"{title_of(route)} matches GET {path}")
    names = ", ".join(map(title_of, ours))
    return failed(
        f"no HTTPRoute matches GET {path}{f' of host {host}' if host else ''}, so the Gateway responds with 404 "
        f"({f'checked {names}' if names else 'it has no HTTPRoute'})"
    )


# -- the responses -----------------------------------------------------------------------------------------------------

_BY_STATUS = {
    "404": "no rule of a route matches the request. Compare path type, path and hostnames",
    "500": "the route's backend is not resolved. Read the conditions of the HTTPRoute",
    "503": "no usable endpoint. Check mTLS (same root CA, sidecars) and that the east-west gateway is reachable",
    "connection refused": "nothing listens at the address. Check the Gateway's address and port",
    "timed out": "the address is unreachable from this machine. Check firewalls and the load balancer's network",
    "gaierror": "the address is a name that this machine cannot resolve. Check DNS; a proof may have url",
    "TLS handshake failed": "no HTTPS listener serves the name of the request. Compare host in the proof with the "
    "hostnames of the listeners, and check their certificates",
    "certificate refused": "the certificate is for another name, or its CA is unknown here. Compare host in the proof; "
    "it may name a CA in ca_cert, or accept any certificate with validate_certs: false",
}


def _answers(target: CheckTarget) -> Finding:
    proof, gateway = target.subject
    expect = expected(target.site, proof)
    if not expect:
        selection = proof["answered_by"]
        return failed(
            f"no ready Pod in {selection['namespace']} with labels {selection['label_selector']}",
            "unless they are absent on purpose, deploy them or scale their workload up; otherwise correct answered_by",
        )
    try:
        where = _target(target, proof, gateway) if gateway else None
    except gateway_target.NoTarget as exc:
        return failed(str(exc), "compare the proof with the listeners of the Gateway")
    result = target.site.probes.send(target.cluster, proof, expect, where)
    target.site.answers.append(
        {key: result[key] for key in ("proof", "cluster", "path", "url", "sent", "answers", "failures")}
    )
    if result["complete"]:
        instances = ", ".join(f"{row['instance']} ({row['cluster']})" for row in result["answers"])
        return ok(f"GET {proof['path']}: responses from {instances}")
    return failed(result["text"], _answers_hint(target, result))


def _target(target: CheckTarget, proof: Json, gateway: tuple[str, str]) -> gateway_target.Target:
    """Where the requests of a proof are sent. Raises NoTarget."""
    if proof.get("url"):
        return gateway_target.Target(str(proof["url"]), str(proof.get("host") or ""))
    model = proxy_model(target.site, target.facts, *gateway)
    if model.gateway is None:
        raise gateway_target.NoTarget(f"{gateway_title(gateway)} does not exist")
    return gateway_target.target(model.gateway, model.addresses, target.facts.of("HTTPRoute"), proof)


def _answers_hint(target: CheckTarget, result: Json) -> str:
    proof, gateway = target.subject
    statuses = [str(row["status"]) for row in result["failures"]]
    silent = sorted({row["cluster"] for row in result["missing"]} - {row["cluster"] for row in result["answers"]})
    if gateway and (remarks := _endpoint_remarks(target, proof, gateway)):
        return "; ".join(remarks)
    if result["answers"] and silent:
        return (
            f"no response from {', '.join(silent)}: check that TCP port 15443 of its east-west gateway is open from "
            f"{target.cluster}, that the root CA is the same, and that no locality load balancing keeps traffic local"
        )
    return next(
        (text for status, text in _BY_STATUS.items() if status in statuses),
        "read the logs of the instances that do not respond",
    )


def _endpoint_remarks(target: CheckTarget, proof: Json, gateway: tuple[str, str]) -> list[str]:
    """Why gateways cannot use endpoints of the destinations that the proof's routes lead to."""
    every = list(target.facts.of("HTTPRoute"))
    routes = http_routes.delegated(_matching(target.site, target.facts, proof, gateway), every)
    texts = [text for route in routes for text in endpoint_remarks(target.facts, route)]
    return list(dict.fromkeys(texts))


_MESH = (
    "proof-backends", "backends", "injection", "workload-entries", "root-shared", "certificates-fresh",
    "east-west-gateway",
)  # fmt: skip

CHECKS: tuple[Check, ...] = (
    Check(
        "proof-backends", "every workload of a proof can respond", _selections, _proof_backends, _SCALE_UP,
        ("backends",),
    ),
    Check(
        "own-workloads", "Deployments of this collection are ready and in the mesh", workloads, _managed_workloads,
        _SCALE_UP, ("backends", "injection", "proof-backends"),
    ),
    Check(
        "mesh-answers", "all expected backends respond inside the mesh", _from_pods, _answers, "",
        ("istiod", "route-table", "virtual-destination"), _MESH,
    ),
    Check(
        "route-match", "an HTTPRoute matches the request", _through_gateways, _route_match,
        "compare path, path type (Exact allows no trailing slash), hostnames and headers with the route's rules",
        ("gateway-api",), needs_own=("gateway", "route-accepted"),
    ),
    Check(
        "gateway-answers", "all expected backends respond through the gateway", _through_gateways, _answers, "",
        ("mesh-answers", "virtual-destination"), _MESH,
        needs_own=("route-match", "gateway-pods", "gateway-address", "gateway-listeners"),
    ),
)  # fmt: skip
