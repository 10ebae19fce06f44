# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Istio in the workload clusters: operator, istiod, east-west gateway, shared root (pure)."""

from __future__ import annotations

import ipaddress
from collections import Counter

from ..gateway import proxy_checks as proxy
from ..k8s.fields import Json, labels_match, labels_of, meta, seconds, spec_of, status_of, title, title_of
from ..k8s.pods import has_sidecar, is_ready, living, pods_of
from ..k8s.readiness import judge, load_balancer_address
from . import logs
from .checks_mesh import management, own_name, workloads
from .facts import CACERTS, Facts, World, digest, istio_namespace, standing
from .runner import Check, Finding, Place, Unread, failed, ok, warning

OPERATOR = "gloo-operator"
EAST_WEST_LABELS = {"istio": "eastwestgateway"}
#: istiod's certificates live so long by default: an older Pod has renewed its own since
CERTIFICATE_LIFE = 24 * 3600.0


def _operator(place: Place) -> Finding:
    found = place.facts.find("Deployment", OPERATOR)
    if found is None and not place.facts.of("ServiceMeshController"):
        return ok("there is no Gloo Operator and nothing for it to do: Istio is somebody else's")
    return standing(found, title("Deployment", OPERATOR, meta(found).get("namespace") or place.facts.mesh_namespace))


def _controller(place: Place) -> Finding:
    found = place.facts.of("ServiceMeshController")
    if not found:
        if place.facts.istiod:
            return ok("there is no ServiceMeshController: Istio is somebody else's")
        _look_for_istiod(place.facts)
        return failed("there is no ServiceMeshController, and no istiod")
    states = [(smc, standing(smc, title_of(smc))) for smc in found]
    smc, state = next((pair for pair in states if pair[1].verdict != "ok"), states[0])
    if state.verdict == "ok":
        return state
    if judge(smc).state == "waiting" and (place.facts.istiod or {}).get("ready") is False:
        return ok(f"{state.seen}: it waits for istiod")  # whose own check tells why
    operator = place.facts.find("Deployment", OPERATOR)
    pods = pods_of(operator, place.facts.of("Pod")) if operator else ()
    cause = logs.told(place, pods, logs.OPERATOR)
    return failed(
        f"{state.seen}; the operator's log: {cause.line}" if cause else state.seen, cause.hint if cause else ""
    )


def _look_for_istiod(facts: Facts) -> None:
    """Raises Unread when what istiod would be found by may not be read: that it is not there is then a guess."""
    for kind in ("Deployment", "Service"):
        facts.of(kind)


def _istiod(place: Place) -> Finding:
    record, why = place.facts.chosen
    if record is None:
        _look_for_istiod(place.facts)
        return failed(why)
    named = f"Service {record['namespace']}/{record['name']}" if record["name"] else str(record["address"])
    if record["ready"] is False:
        mine = [text for text in place.facts.istio["problems"] if f"{record['namespace']}/" in text]
        return failed("; ".join(mine) or f"istiod behind {record['address']} is not ready", object=named)
    return ok(f"revision {record['revision']}, version {record['version']}, {record['address']}", named)


def _cluster_id(place: Place) -> Finding:
    record = place.facts.istiod or {}
    found, registered = record.get("cluster_id"), own_name(place.facts)
    if not found:
        raise Unread("neither istiod's Deployment nor its injector tell the cluster ID")
    if found != registered:
        return warning(f"istiod's cluster ID is {found}, the cluster is registered as {registered}")
    return ok(f"cluster ID {found}")


# -- shared root -----------------------------------------------------------------------------------------------------


def _cacerts(place: Place) -> Finding:
    named = title("Secret", CACERTS, istio_namespace(place.facts))
    found = place.facts.secret(CACERTS)
    if found is not None:
        return ok(f"{named} is there since {found['created']}", named)
    if place.world.management.of("RootTrustPolicy"):
        return failed(f"{named} does not exist: istiod signs with a root of its own", object=named)
    return ok(f"{named} does not exist, and no RootTrustPolicy asks for it", named)


def root_of(facts: Facts) -> str:
    """Digest of the root certificate istiod hands out in this cluster; "" when it has not yet."""
    namespace = istio_namespace(facts)
    found = facts.find("ConfigMap", proxy.ROOT_CERT, namespace) or facts.find("ConfigMap", proxy.ROOT_CERT)
    text = ((found or {}).get("data") or {}).get("root-cert.pem") or ""
    return digest(text.encode()) if text else ""


def _root_shared(place: Place) -> Finding:
    facts: Facts = place.facts
    named = title("ConfigMap", proxy.ROOT_CERT, istio_namespace(facts))
    mine = root_of(facts)
    if not mine:
        return failed(f"{named} does not exist: istiod has not handed out its root", object=named)
    secret = facts.secret(CACERTS) if CACERTS not in facts.unread else None
    given = (secret or {"keys": {}})["keys"].get("root-cert.pem")
    if given and given != mine:
        return failed(
            f"istiod hands out another root than Secret {istio_namespace(facts)}/{CACERTS} has",
            "restart istiod, then the east-west gateway and every Pod with a sidecar", named,
        )  # fmt: skip
    roots = {f.name: root_of(f) for f in place.world.workloads if not f.unreachable}
    common = Counter(root for root in roots.values() if root).most_common(1)[0][0]
    if mine != common:
        others = ", ".join(name for name, root in roots.items() if root == common)
        return failed(f"the root certificate is not that of {others}", object=named)
    return ok(f"the same root certificate in {', '.join(roots)}", named)


def _fresh(place: Place) -> Finding:
    secret = place.facts.secret(CACERTS)
    if secret is None:
        return ok("there is no Secret cacerts that a Pod could be older than")
    made = seconds(secret["created"]) or 0.0
    if (place.facts.time or made) - made > CERTIFICATE_LIFE:
        return ok("every certificate has been renewed since the Secret cacerts was made")
    old = [
        f"{meta(pod)['namespace']}/{meta(pod)['name']}"
        for pod in place.facts.of("Pod")
        if not meta(pod).get("deletionTimestamp")
        and status_of(pod).get("phase") == "Running"
        and (has_sidecar(pod) or labels_of(pod).get("app") == "istiod")
        and (seconds(meta(pod).get("creationTimestamp")) or 0.0) < made
    ]
    if old:
        return failed(
            f"Pods older than the Secret cacerts, with certificates of another root: {', '.join(sorted(old))}"
        )
    return ok("no Pod is older than the Secret cacerts")


# -- east-west gateway -----------------------------------------------------------------------------------------------


def east_west(world: World, facts: Facts) -> list[Json]:
    """The Services that workspace settings take for east-west gateways; where they take none, those there are."""
    selectors = []
    for settings in world.management.lists.get("WorkspaceSettings") or ():
        for entry in (spec_of(settings).get("options") or {}).get("eastWestGateways") or ():
            selectors.append((entry.get("selector") or {}).get("labels") or EAST_WEST_LABELS)
    for wanted in (selectors, [EAST_WEST_LABELS]):
        found = [s for s in facts.of("Service") if any(labels_match(labels, labels_of(s)) for labels in wanted)]
        if found:
            return found
    return []


def east_west_addresses(world: World, facts: Facts) -> list[str]:
    """ "address:port" of every east-west gateway that has one."""
    found = []
    for service in east_west(world, facts):
        address, port = load_balancer_address(service), _tls_port(service)
        if address and port:
            found.append(f"{address}:{port}")
    return found


def _tls_port(service: Json) -> int | None:
    return next((p.get("port") for p in spec_of(service).get("ports") or () if p.get("name") in ("tls", "https")), None)


def _east_west_gateway(place: Place) -> Finding:
    services = east_west(place.world, place.facts)
    if not services:
        return failed("no Service has the labels of an east-west gateway (istio=eastwestgateway)")
    served = {r for i in place.facts.istio["istiods"] for r in (i["revision"], *i["tags"])}
    for service in services:
        namespace = str(meta(service).get("namespace"))
        pods = living(place.facts.of("Pod"), namespace, spec_of(service).get("selector") or {})
        revisions = {labels_of(pod).get("istio.io/rev") or "" for pod in pods} - {""}
        if not any(is_ready(pod) for pod in pods):
            return failed(f"{title_of(service)} has no ready Pod behind it", object=title_of(service))
        if revisions and served and not revisions & served:
            return failed(
                f"Pods of {title_of(service)} ask for revision {', '.join(sorted(revisions))}, which no istiod serves",
                f"install the gateway with revision {' or '.join(sorted(served))}", title_of(service),
            )  # fmt: skip
    return ok(f"{title_of(services[0])} has ready Pods", title_of(services[0]))


def _east_west_port(place: Place) -> Finding:
    for service in east_west(place.world, place.facts):
        if _tls_port(service) is None:
            names = (
                ", ".join(str(p.get("name") or p.get("port")) for p in spec_of(service).get("ports") or ()) or "none"
            )
            return failed(f"{title_of(service)} has no port named tls (ports: {names})", object=title_of(service))
    return ok("its port is named tls")


def _east_west_address(place: Place) -> Finding:
    for service in east_west(place.world, place.facts):
        address, named = load_balancer_address(service), title_of(service)
        if not address:
            kind = spec_of(service).get("type")
            text = f"{named} of type {kind} has no load balancer address: other clusters cannot reach this one"
            return failed(text, object=named)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return warning(
                f"{named} has the host name {address}: gateways leave out endpoints that are no IP address",
                "give it an IP address, or set hostInfoOverrides in the WorkspaceSettings", named,
            )  # fmt: skip
    found = [load_balancer_address(service) for service in east_west(place.world, place.facts)]
    return ok(f"at {', '.join(found)}")


def _east_west_selected(place: Place) -> Finding:
    found = place.facts.of("WorkspaceSettings")
    number = sum(int(status_of(obj).get("numSelectedEastWestGateways") or 0) for obj in found)
    wanted = len(place.world.workloads)
    named = title_of(found[0]) if found else ""
    if number < wanted:
        return failed(f"workspace settings select {number} east-west gateways in {wanted} clusters", object=named)
    return ok(f"workspace settings select {number} east-west gateways", named)


CHECKS: tuple[Check, ...] = (
    Check("operator", "Gloo Operator runs", workloads, _operator, "nobody looks after Istio in this cluster"),
    Check(
        "service-mesh-controller", "Istio is installed", workloads, _controller,
        "read its conditions and the log of Deployment gloo-operator", ("operator",),
    ),
    Check(
        "istiod", "istiod answers", workloads, _istiod,
        "without it there are no certificates and no sidecars: scale it up, read its log", ("service-mesh-controller",),
    ),
    Check(
        "cluster-id", "istiod and Gloo Mesh call the cluster the same", workloads, _cluster_id,
        "install Istio with the registered name: spec.cluster of the ServiceMeshController", ("istiod",),
    ),
    Check(
        "cacerts", "istiod was given the shared root", workloads, _cacerts,
        "the agent writes it once the RootTrustPolicy is accepted; read the agent's log",
        ("agent-connected", "trust-policy"),
    ),
    Check(
        "root-shared", "root certificate is the same in all clusters", workloads, _root_shared,
        "create a RootTrustPolicy in the management cluster, then restart istiod and what has a sidecar",
        ("istiod", "cacerts"),
    ),
    Check(
        "certificates-fresh", "no Pod is older than the shared root", workloads, _fresh,
        "restart their Deployments, istiod first: site.yml does it", ("istiod", "root-shared"),
    ),
    Check(
        "east-west-gateway", "east-west gateway runs", workloads, _east_west_gateway,
        "other clusters cannot reach Services of this one: install it with site.yml --tags mesh", ("istiod",),
    ),
    Check(
        "east-west-port", "east-west gateway's port has the name Gloo Mesh looks for", workloads, _east_west_port,
        "name port 15443 of the Service tls", ("east-west-gateway",),
    ),
    Check(
        "east-west-address", "east-west gateway has an IP address", workloads, _east_west_address,
        "set the type of the Service to LoadBalancer; is there a load balancer provider, has it addresses left?",
        ("east-west-gateway",),
    ),
    Check(
        "east-west-selected", "an east-west gateway is chosen in every cluster", management, _east_west_selected,
        "compare options.eastWestGateways of the WorkspaceSettings with the labels of the Services",
        ("workspace-settings",), ("agent-connected", "east-west-gateway", "east-west-port", "east-west-address"),
    ),
)  # fmt: skip
