# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of traffic: backends are ready, a route matches the request, and all expected backends respond.

Pure except for the requests, which SiteFacts.probes sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..gateway import proxy_record
from ..k8s.fields import Json, labels_of, meta, parse_selector, spec_of, title_of
from ..k8s.pods import Backends, backends, has_sidecar, is_ready, living, pods_of
from .checks_gateway import gateways_of, proxy_model, routes_of
from .checks_mesh import workloads
from .facts import Facts, SiteFacts, workload_ready
from .runner import Check, CheckTarget, Finding, failed, ok, warning


def expected(site: SiteFacts, proof: Json) -> list[Json]:
    """Instances that have to respond to a proof, in all workload clusters."""
    return [row for facts in site.workloads for row in _backends(facts, proof["answered_by"]).instances]


def _backends(facts: Facts, selection: Json) -> Backends:
    return backends(facts.name, facts.of("Deployment"), facts.of("Pod"), selection)


# -- targets -----------------------------------------------------------------------------------------------------------


def _from_pods(site: SiteFacts) -> Iterator[CheckTarget]:
    """Proofs from inside the mesh, in every cluster with a ready source Pod; without any, in the first."""
    for proof in site.wanted("proofs") or ():
        source = proof.get("from_pod")
        if source:
            wanted = parse_selector(source["label_selector"])
            having = [
                f
                for f in site.workloads
                if any(is_ready(p) for p in living(f.lists.get("Pod", ()), source["namespace"], wanted))
            ]
            for facts in having or site.workloads[:1]:
                yield CheckTarget(site, facts, (proof, None), str(proof["name"]))


def _through_gateways(site: SiteFacts) -> Iterator[CheckTarget]:
    for facts in site.gateways:
        for gateway in gateways_of(site, facts):
            for proof in site.wanted("proofs") or ():
                if not proof.get("from_pod"):
                    yield CheckTarget(site, facts, (proof, gateway), str(proof["name"]))


def _selections(site: SiteFacts) -> Iterator[CheckTarget]:
    """The Deployments that proofs are sent to or from, once in every workload cluster."""
    proofs = site.wanted("proofs") or ()
    found = [proof[key] for proof in proofs for key in ("answered_by", "from_pod") if proof.get(key)]
    unique = {(each["namespace"], each["label_selector"]): each for each in found}
    for facts in site.workloads:
        for (namespace, labels), selection in unique.items():
            yield CheckTarget(site, facts, selection, f"Deployments with labels {labels} in namespace {namespace}")


# -- backends --------------------------------------------------------------------------------------------------------

_SCALE_UP = "unless it is scaled down on purpose, scale it up and read the events and logs of its Pods"


def _proof_backends(target: CheckTarget) -> Finding:
    found = _backends(target.facts, target.subject)
    if found.problems:
        return failed("; ".join(text.removeprefix(f"{target.cluster}: ") for text in found.problems))
    count = len(found.instances)
    return ok(f"ready instances: {count}" if count else "no such Deployment in this cluster")


def _managed_workloads(target: CheckTarget) -> Finding:
    """Deployments and Services applied by the role bookinfo; others in the same namespaces are not checked."""
    pods = target.facts.of("Pod")
    for deployment in filter(_is_managed, target.facts.of("Deployment")):
        state = workload_ready(deployment, title_of(deployment))
        if state.verdict != "ok":
            return state
        bare = [pod for pod in pods_of(deployment, pods) if not has_sidecar(pod)]
        if bare:
            hint = "label its namespace for injection, then restart its Deployment"
            return failed(f"{title_of(bare[0])} has no container istio-proxy", hint, title_of(bare[0]))
    empty = [s for s in target.facts.of("Service") if _is_managed(s) and not _selected_pods(s, pods)]
    if empty:
        hint = "deploy it with site.yml --tags bookinfo"
        return warning(f"{title_of(empty[0])} selects no Pod", hint, title_of(empty[0]))
    return ok("all are ready and have a sidecar")


def _is_managed(obj: Json) -> bool:
    return labels_of(obj).get("app.kubernetes.io/managed-by") == "multicluster.gloo"


def _selected_pods(service: Json, pods: Sequence[Json]) -> list[Json]:
    return living(pods, meta(service)["namespace"], spec_of(service).get("selector") or {"": ""})


# -- a route matches the request ---------------------------------------------------------------------------------------


def matches(route: Json, path: str, host: str = "", headers: Mapping[str, str] | None = None) -> bool:
    """Whether an HTTPRoute's spec matches a GET of the path; its query is ignored."""
    names = route.get("hostnames") or []
    if names and not any(_host_fits(str(name), host.partition(":")[0]) for name in names):
        return False
    rules: list[Json] = route.get("rules") or [{}]
    alternatives: list[Json] = [match for rule in rules for match in rule.get("matches") or [{}]]
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return any(_fits(match, path.partition("?")[0], given) for match in alternatives)


def _host_fits(name: str, host: str) -> bool:
    return host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name


def _fits(match: Json, path: str, headers: Mapping[str, str]) -> bool:
    wanted = match.get("path") or {}
    kind, value = wanted.get("type", "PathPrefix"), str(wanted.get("value", "/"))
    if kind == "Exact":
        fits = path == value
    elif kind == "RegularExpression":
        fits = _expression_matches(value, path)
    else:
        prefix = value.rstrip("/")
        fits = path == prefix or path.startswith(f"{prefix}/")
    return (
        fits
        and match.get("method", "GET") == "GET"
        and all(
            headers.get(str(h.get("name")).lower()) == h.get("value")
            for h in match.get("headers") or ()
            if h.get("type", "Exact") == "Exact"
        )
    )


def _expression_matches(expression: str, path: str) -> bool:
    """Whether the expression matches; True if Python cannot compile it, as it may be valid in Envoy."""
    try:
        return re.fullmatch(expression, path) is not None
    except re.error:
        return True


def _route_match(target: CheckTarget) -> Finding:
    proof, gateway = target.subject
    host, path = str(proof.get("host") or ""), str(proof["path"])
    ours = [r for r in routes_of(target.site, target.facts) if gateway in r.parents()]
    live = [(r, spec_of(target.facts.find("HTTPRoute", r.name, r.namespace))) for r in ours]
    for route, found in live:
        if matches(found, path, host or _address(target), proof.get("headers")):
            return ok(f"{route.title} matches GET {path}")
    names = ", ".join(route.title for route, _found in live)
    return failed(
        f"no HTTPRoute matches GET {path}{f' of host {host}' if host else ''}, so the Gateway responds with 404 "
        f"({f'checked {names}' if names else 'it has no HTTPRoute'})"
    )


def _address(target: CheckTarget) -> str:
    found = proxy_model(target.site, target.facts, *target.subject[1]).addresses
    return found[0] if found else ""


# -- the responses -----------------------------------------------------------------------------------------------------

_BY_STATUS = {
    "404": "no rule of a route matches the request. Compare path type, path and hostnames",
    "500": "the route's backend is not resolved. Read the conditions of the HTTPRoute",
    "503": "no usable endpoint. Check mTLS (same root CA, sidecars) and that the east-west gateway is reachable",
    "connection refused": "nothing listens at the address. Check the Gateway's address and port",
    "timed out": "the address is unreachable from this machine. Check firewalls and the load balancer's network",
}


def _answers(target: CheckTarget) -> Finding:
    proof, gateway = target.subject
    expect = expected(target.site, proof)
    if not expect:
        selection = proof["answered_by"]
        return failed(
            f"no ready Pod in {selection['namespace']} with labels {selection['label_selector']}",
            "unless they are scaled down on purpose, scale them up",
        )
    url = proxy_record.url(proxy_model(target.site, target.facts, *gateway)) if gateway else None
    if gateway and not url:
        return failed(f"Gateway {'/'.join(gateway)} has no HTTP listener with an address", "add one to the Gateway")
    result = target.site.probes.send(target.cluster, proof, expect, url)
    target.site.answers.append(
        {key: result[key] for key in ("proof", "cluster", "path", "url", "sent", "answers", "failures")}
    )
    if result["complete"]:
        instances = ", ".join(f"{row['instance']} ({row['cluster']})" for row in result["answers"])
        return ok(f"GET {proof['path']}: responses from {instances}")
    statuses = [str(row["status"]) for row in result["failures"]]
    silent = sorted({row["cluster"] for row in result["missing"]} - {row["cluster"] for row in result["answers"]})
    if result["answers"] and silent:
        hint = (
            f"no response from {', '.join(silent)}: check that TCP port 15443 of its east-west gateway is open from "
            f"{target.cluster}, that the root CA is the same, and that no locality load balancing keeps traffic local"
        )
    else:
        hint = next(
            (text for status, text in _BY_STATUS.items() if status in statuses),
            "read the logs of the instances that do not respond",
        )
    return failed(result["text"], hint)


_MESH = (
    "proof-backends", "backends", "injection", "workload-entries", "root-shared", "certificates-fresh",
    "east-west-gateway",
)  # fmt: skip

CHECKS: tuple[Check, ...] = (
    Check(
        "proof-backends", "every Deployment of a proof can respond", _selections, _proof_backends, _SCALE_UP,
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
        ("route-accepted",),
    ),
    Check(
        "gateway-answers", "all expected backends respond through the gateway", _through_gateways, _answers, "",
        ("route-match", "mesh-answers", "gateway-pods", "gateway-address", "gateway-listeners", "virtual-destination"),
        _MESH,
    ),
)  # fmt: skip
