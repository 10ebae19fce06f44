# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last checks: backends are ready, a route matches the request, and all expected backends respond.

All but the requests is pure; World.probes sends these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..gateway import proxy_record
from ..k8s.fields import Json, labels_of, meta, parse_selector, spec_of, title_of
from ..k8s.pods import Backends, backends, has_sidecar, is_ready, living, pods_of
from .checks_gateway import gateways_of, routes_of, situation
from .checks_mesh import workloads
from .facts import Facts, World, standing
from .runner import Check, Finding, Place, failed, ok, warning


def expected(world: World, proof: Json) -> list[Json]:
    """Instances that have to respond to a proof, in all workload clusters."""
    return [row for facts in world.workloads for row in _backends(facts, proof["answered_by"]).instances]


def _backends(facts: Facts, selection: Json) -> Backends:
    return backends(facts.name, facts.of("Deployment"), facts.of("Pod"), selection)


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


def _selections(world: World) -> Iterator[Place]:
    """What has to respond to a proof or sends it, once in every workload cluster."""
    proofs = world.wanted("proofs") or ()
    found = [proof[key] for proof in proofs for key in ("answered_by", "from_pod") if proof.get(key)]
    unique = {(each["namespace"], each["label_selector"]): each for each in found}
    for facts in world.workloads:
        for (namespace, labels), selection in unique.items():
            yield Place(world, facts, selection, f"Deployments with labels {labels} in namespace {namespace}")


# -- backends --------------------------------------------------------------------------------------------------------


def _proof_backends(place: Place) -> Finding:
    found = _backends(place.facts, place.subject)
    if found.problems:
        return failed("; ".join(text.removeprefix(f"{place.cluster}: ") for text in found.problems))
    count = len(found.instances)
    return ok(f"ready instances: {count}" if count else "no such Deployment in this cluster")


def _own_workloads(place: Place) -> Finding:
    """Deployments and Services that the role bookinfo wrote; others in the same namespaces are not checked."""
    pods = place.facts.of("Pod")
    for deployment in filter(_is_ours, place.facts.of("Deployment")):
        state = standing(deployment, title_of(deployment))
        if state.verdict != "ok":
            return state
        bare = [pod for pod in pods_of(deployment, pods) if not has_sidecar(pod)]
        if bare:
            return failed(f"{title_of(bare[0])} has no container istio-proxy", _RESTART, title_of(bare[0]))
    empty = [s for s in place.facts.of("Service") if _is_ours(s) and not _selected_pods(s, pods)]
    if empty:
        return warning(
            f"{title_of(empty[0])} selects no Pod", "deploy it with site.yml --tags bookinfo", title_of(empty[0])
        )
    return ok("all are ready and have a sidecar")


def _is_ours(obj: Json) -> bool:
    return labels_of(obj).get("app.kubernetes.io/managed-by") == "multicluster.gloo"


def _selected_pods(service: Json, pods: Sequence[Json]) -> list[Json]:
    return living(pods, meta(service)["namespace"], spec_of(service).get("selector") or {"": ""})


_RESTART = "label its namespace for injection, then restart its Deployment"


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


_MESH = (
    "proof-backends",
    "backends",
    "injection",
    "workload-entries",
    "root-shared",
    "certificates-fresh",
    "east-west-gateway",
)

CHECKS: tuple[Check, ...] = (
    Check(
        "proof-backends", "every Deployment behind a proof can respond", _selections, _proof_backends,
        "scale it up, or read the events and logs of its Pods", ("backends",),
    ),
    Check(
        "own-workloads", "Deployments of this collection are ready and in the mesh", workloads, _own_workloads,
        "scale it up, or read the events and logs of its Pods",
        ("backends", "injection", "proof-backends"),
    ),
    Check(
        "mesh-answers", "all expected backends respond inside the mesh", _from_pods, _answers, "",
        ("istiod", "route-table", "virtual-destination"), _MESH,
    ),
    Check(
        "route-match", "an HTTPRoute takes the request", _through_gateways, _route_match,
        "compare path, path type (Exact takes no trailing slash), hostnames and headers with the route's rules",
        ("route-accepted",),
    ),
    Check(
        "gateway-answers", "all expected backends respond through the gateway", _through_gateways, _answers, "",
        ("route-match", "mesh-answers", "gateway-pods", "gateway-address", "gateway-listeners", "virtual-destination"),
        _MESH,
    ),
)  # fmt: skip
