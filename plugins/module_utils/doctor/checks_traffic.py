# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last checks: a route takes the request, and everybody answers it.

Whether the route takes it is pure; the requests themselves are asked of World.probes, once the walk comes to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..gateway import proxy_record
from ..k8s.fields import Json, parse_selector, spec_of
from ..k8s.pods import instances, is_ready, living
from .checks_gateway import gateways_of, routes_of, situation
from .facts import World
from .runner import Check, Finding, Place, failed, ok


def expected(world: World, proof: Json) -> list[Json]:
    """Who has to answer a proof: ready Pods of the Deployments it names, in all workload clusters."""
    return [
        row
        for facts in world.workloads
        for row in instances(facts.name, facts.of("Deployment"), facts.of("Pod"), proof["answered_by"])
    ]


# -- places ----------------------------------------------------------------------------------------------------------


def _from_pods(world: World) -> Iterator[Place]:
    """Proofs from inside the mesh, in every cluster with a ready Pod to ask from; in the first one if there is none."""
    for proof in world.wanted("proofs") or ():
        source = proof.get("from_pod")
        if source:
            wanted = parse_selector(source["label_selector"])
            having = [
                f
                for f in world.workloads
                if any(is_ready(p) for p in living(f.lists.get("Pod", ()), source["namespace"], wanted))
            ]
            for facts in having or world.workloads[:1]:
                yield Place(world, facts, (proof, None), str(proof["name"]))


def _through_gateways(world: World) -> Iterator[Place]:
    for facts in world.gateways:
        for gateway in gateways_of(world, facts):
            for proof in world.wanted("proofs") or ():
                if not proof.get("from_pod"):
                    yield Place(world, facts, (proof, gateway), str(proof["name"]))


# -- a route takes the request ---------------------------------------------------------------------------------------


def takes(route: Json, path: str, host: str = "", headers: Mapping[str, str] | None = None) -> bool:
    """Whether an HTTPRoute's spec takes a GET of the path (its query left out)."""
    names = route.get("hostnames") or []
    if names and not any(_host_fits(str(name), host.partition(":")[0]) for name in names):
        return False
    rules: list[Json] = route.get("rules") or [{}]
    matches: list[Json] = [match for rule in rules for match in rule.get("matches") or [{}]]
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return any(_fits(match, path.partition("?")[0], given) for match in matches)


def _host_fits(name: str, host: str) -> bool:
    return host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name


def _fits(match: Json, path: str, headers: Mapping[str, str]) -> bool:
    wanted = match.get("path") or {}
    kind, value = wanted.get("type", "PathPrefix"), str(wanted.get("value", "/"))
    if kind == "Exact":
        fits = path == value
    elif kind == "RegularExpression":
        fits = _matches(value, path)
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


def _matches(expression: str, path: str) -> bool:
    """One that is none to Python may still be one to Envoy: the requests will tell."""
    try:
        return re.fullmatch(expression, path) is not None
    except re.error:
        return True


def _route_match(place: Place) -> Finding:
    proof, gateway = place.subject
    host, path = str(proof.get("host") or ""), str(proof["path"])
    ours = [r for r in routes_of(place.world, place.facts) if gateway in r.parents()]
    live = [(r, spec_of(place.facts.find("HTTPRoute", r.name, r.namespace))) for r in ours]
    for route, found in live:
        if takes(found, path, host or _address(place), proof.get("headers")):
            return ok(f"{route.title} takes GET {path}")
    names = ", ".join(route.title for route, _found in live) or "there is none"
    return failed(
        f"no HTTPRoute takes GET {path}{f' of host {host}' if host else ''}, the Gateway answers 404 ({names})"
    )


def _address(place: Place) -> str:
    found = situation(place.world, place.facts, *place.subject[1]).addresses
    return found[0] if found else ""


# -- the answers -----------------------------------------------------------------------------------------------------

_BY_STATUS = {
    "404": "no rule of a route takes the request: compare path type, path and hostnames",
    "500": "the route's backend is not resolved: look at the conditions of the HTTPRoute",
    "503": "no usable endpoint: mTLS refused (roots differ, no sidecar), or the east-west gateway does not answer",
    "connection refused": "nothing listens at the address: is it this machine that cannot reach it?",
    "timed out": "the address does not answer from here: firewall, or a load balancer of another network",
}


def _answers(place: Place) -> Finding:
    proof, gateway = place.subject
    expect = expected(place.world, proof)
    if not expect:
        selection = proof["answered_by"]
        return failed(
            f"no ready Pod of {selection['namespace']} with {selection['label_selector']} could answer", "scale them up"
        )
    url = proxy_record.url(situation(place.world, place.facts, *gateway)) if gateway else None
    if gateway and not url:
        return failed(f"Gateway {'/'.join(gateway)} has no HTTP listener with an address to ask")
    told = place.world.probes.ask(place.cluster, proof, expect, url)
    place.world.answers.append(
        {key: told[key] for key in ("proof", "cluster", "path", "url", "sent", "answers", "failures")}
    )
    if told["complete"]:
        who = ", ".join(f"{row['instance']} ({row['cluster']})" for row in told["answers"])
        return ok(f"GET {proof['path']} is answered by {who}")
    statuses = [str(row["status"]) for row in told["failures"]]
    silent = sorted({row["cluster"] for row in told["missing"]} - {row["cluster"] for row in told["answers"]})
    if told["answers"] and silent:
        hint = (
            f"nothing of {', '.join(silent)} answers: is TCP port 15443 of its east-west gateway open from "
            f"{place.cluster}, do the certificates have one root, does locality load balancing keep traffic local?"
        )
    else:
        hint = next(
            (text for status, text in _BY_STATUS.items() if status in statuses),
            "look at the logs of those who do not answer",
        )
    return failed(told["text"], hint)


_MESH = ("backends", "injection", "workload-entries", "root-shared", "certificates-fresh", "east-west-gateway")

CHECKS: tuple[Check, ...] = (
    Check(
        "mesh-answers", "everybody answers requests from inside the mesh", _from_pods, _answers, "",
        ("istiod", "route-table", "virtual-destination"), _MESH,
    ),
    Check(
        "route-match", "an HTTPRoute takes the request", _through_gateways, _route_match,
        "compare path, path type (Exact takes no trailing slash), hostnames and headers with the route's rules",
        ("route-accepted",),
    ),
    Check(
        "gateway-answers", "everybody answers requests through the gateway", _through_gateways, _answers, "",
        ("route-match", "mesh-answers", "gateway-pods", "gateway-address", "gateway-listeners", "virtual-destination"),
        _MESH,
    ),
)  # fmt: skip
