# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Istio in the workload clusters: operator, istiod, east-west gateway, shared root (pure)."""

from __future__ import annotations

import ipaddress
from collections import Counter

from ..gateway.proxy_model import ROOT_CERT
from ..k8s.fields import Json, labels_match, labels_of, mappings, meta, seconds, spec_of, status_of, title, title_of
from ..k8s.pods import has_sidecar, is_ready, living, pods_of
from ..k8s.readiness import judge, load_balancer_address
from . import logs
from .checks_mesh import NO_ADDRESS, management, port_named, registered_name, workloads
from .facts import CACERTS, Facts, SiteFacts, digest, istio_namespace, workload_ready
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

OPERATOR = "gloo-operator"
EAST_WEST_LABELS = {"istio": "eastwestgateway"}
#: seconds that istiod's certificates are valid by default: older Pods have renewed theirs
CERTIFICATE_LIFE = 24 * 3600.0


def _operator(target: CheckTarget) -> Finding:
    found = target.facts.find("Deployment", OPERATOR)
    if found is None and not target.facts.of("ServiceMeshController"):
        return ok("no Gloo Operator and no ServiceMeshController: Istio is managed by other means")
    namespace = meta(found).get("namespace") or target.facts.mesh_namespace
    return workload_ready(found, title("Deployment", OPERATOR, namespace))


def _controller(target: CheckTarget) -> Finding:
    found = target.facts.of("ServiceMeshController")
    if not found:
        if target.facts.istiod:
            return ok("no ServiceMeshController: Istio is managed by other means")
        _require_istiod_kinds(target.facts)
        return failed(
            "there is neither a ServiceMeshController nor an istiod", "install Istio with site.yml --tags mesh"
        )
    states = [(smc, workload_ready(smc, title_of(smc))) for smc in found]
    smc, state = next((pair for pair in states if pair[1].verdict != "ok"), states[0])
    if state.verdict == "ok":
        return state
    if judge(smc).state == "waiting" and (target.facts.istiod or {}).get("ready") is False:
        return ok(f"{state.message}: waiting for istiod", state.object)  # the reason is in the check istiod
    operator = target.facts.find("Deployment", OPERATOR)
    pods = pods_of(operator, target.facts.of("Pod")) if operator else ()
    cause = logs.first_cause(target, pods, logs.OPERATOR)
    if cause:
        return failed(f"{state.message}; operator's log: {cause.line}", cause.hint, state.object)
    return state


def _require_istiod_kinds(facts: Facts) -> None:
    """Raises NotReadable when the kinds needed to find istiod cannot be listed."""
    for kind in ("Deployment", "Service"):
        facts.of(kind)


def _istiod(target: CheckTarget) -> Finding:
    record, reason = target.facts.chosen
    if record is None:
        _require_istiod_kinds(target.facts)
        return failed(reason)
    named = f"Service {record['namespace']}/{record['name']}" if record["name"] else str(record["address"])
    if record["ready"] is False:
        problems = [text for text in target.facts.istio["problems"] if f"{record['namespace']}/" in text]
        return failed("; ".join(problems) or f"istiod at {record['address']} is not ready", object=named)
    return ok(f"revision {record['revision']}, version {record['version']}, {record['address']}", named)


def _cluster_id(target: CheckTarget) -> Finding:
    record = target.facts.istiod or {}
    found, registered = record.get("cluster_id"), registered_name(target.facts)
    if not found:
        raise NotReadable("the cluster ID is not set in istiod's Deployment or its injector")
    if found != registered:
        return warning(f"istiod's cluster ID is {found}, the cluster is registered as {registered}")
    return ok(f"cluster ID {found}")


# -- shared root -------------------------------------------------------------------------------------------------------


def _cacerts(target: CheckTarget) -> Finding:
    named = title("Secret", CACERTS, istio_namespace(target.facts))
    found = target.facts.secret(CACERTS)
    if found is not None:
        return ok(f"{named} exists since {found['created']}", named)
    if target.site.management.of("RootTrustPolicy"):
        return failed(f"{named} does not exist: istiod signs with a self-signed root CA", object=named)
    return ok(f"{named} does not exist, and there is no RootTrustPolicy that requires it", named)


def root_of(facts: Facts) -> str:
    """Digest of the root certificate that istiod distributes in this cluster; "" if none yet."""
    found = facts.find("ConfigMap", ROOT_CERT, istio_namespace(facts)) or facts.find("ConfigMap", ROOT_CERT)
    text = ((found or {}).get("data") or {}).get("root-cert.pem") or ""
    return digest(text.encode()) if text else ""


def _root_shared(target: CheckTarget) -> Finding:
    facts: Facts = target.facts
    named = title("ConfigMap", ROOT_CERT, istio_namespace(facts))
    root = root_of(facts)
    if not root:
        return failed(f"{named} does not exist: istiod has not distributed its root certificate", object=named)
    secret = facts.secret(CACERTS) if CACERTS not in facts.unreadable else None
    given = (secret or {"keys": {}})["keys"].get("root-cert.pem")
    if given and given != root:
        return failed(
            f"{named} differs from the root certificate in Secret {istio_namespace(facts)}/{CACERTS}",
            "restart istiod, then the east-west gateway and every Pod with a sidecar", named,
        )  # fmt: skip
    roots = {f.name: root_of(f) for f in target.site.workloads if not f.unreachable}
    common = Counter(each for each in roots.values() if each).most_common(1)[0][0]
    if root != common:
        others = ", ".join(name for name, each in roots.items() if each == common)
        return failed(f"{named} differs from the root certificate in {others}", object=named)
    return ok(f"the same root certificate in {', '.join(roots)}", named)


def _fresh(target: CheckTarget) -> Finding:
    secret = target.facts.secret(CACERTS)
    if secret is None:
        return ok("there is no Secret cacerts to compare with")
    made = seconds(secret["created"]) or 0.0
    if (target.facts.time or made) - made > CERTIFICATE_LIFE:
        return ok("all certificates have been renewed since Secret cacerts was created")
    old = [
        f"{meta(pod)['namespace']}/{meta(pod)['name']}"
        for pod in target.facts.of("Pod")
        if not meta(pod).get("deletionTimestamp")
        and status_of(pod).get("phase") == "Running"
        and (has_sidecar(pod) or labels_of(pod).get("app") == "istiod")
        and (seconds(meta(pod).get("creationTimestamp")) or 0.0) < made
    ]
    if old:
        return failed(
            f"Pods older than Secret cacerts still have certificates of the previous root CA: {', '.join(sorted(old))}"
        )
    return ok("no Pod is older than Secret cacerts")


# -- east-west gateway -------------------------------------------------------------------------------------------------


def east_west(site: SiteFacts, facts: Facts) -> list[Json]:
    """The Services selected as east-west gateways by the workspace settings; if none, those with the default labels."""
    selectors = []
    for settings in site.management.lists.get("WorkspaceSettings") or ():
        for entry in (spec_of(settings).get("options") or {}).get("eastWestGateways") or ():
            selectors.append((entry.get("selector") or {}).get("labels") or EAST_WEST_LABELS)
    for wanted in (selectors, [EAST_WEST_LABELS]):
        found = [s for s in facts.of("Service") if any(labels_match(labels, labels_of(s)) for labels in wanted)]
        if found:
            return found
    return []


def east_west_addresses(site: SiteFacts, facts: Facts) -> list[str]:
    """ "address:port" of every east-west gateway that has one."""
    pairs = [(load_balancer_address(service), _tls_port(service)) for service in east_west(site, facts)]
    return [f"{address}:{port}" for address, port in pairs if address and port]


def _tls_port(service: Json) -> int | None:
    return port_named(service, "tls", "https")


def served_revisions(facts: Facts) -> set[str]:
    """Revisions and tags of all istiods of a cluster."""
    return {revision for each in facts.istio["istiods"] for revision in (each["revision"], *each["tags"])}


def _east_west_gateway(target: CheckTarget) -> Finding:
    services = east_west(target.site, target.facts)
    if not services:
        return failed("no Service has the labels of an east-west gateway (istio=eastwestgateway)")
    served = served_revisions(target.facts)
    for service in services:
        namespace, named = str(meta(service).get("namespace")), title_of(service)
        pods = living(target.facts.of("Pod"), namespace, spec_of(service).get("selector") or {})
        revisions = {labels_of(pod).get("istio.io/rev") or "" for pod in pods} - {""}
        if not any(is_ready(pod) for pod in pods):
            return failed(f"{named} has no ready Pod", object=named)
        if revisions and served and not revisions & served:
            return failed(
                f"{named}: its Pods have revision {', '.join(sorted(revisions))}, which no istiod serves",
                f"install the gateway with revision {' or '.join(sorted(served))}", named,
            )  # fmt: skip
    return ok(f"{title_of(services[0])} has ready Pods", title_of(services[0]))


def _east_west_port(target: CheckTarget) -> Finding:
    services = east_west(target.site, target.facts)
    for service in services:
        if _tls_port(service) is None:
            ports = [str(port.get("name") or port.get("port")) for port in mappings(spec_of(service).get("ports"))]
            text = f"{title_of(service)} has no port named tls (ports: {', '.join(ports) or 'none'})"
            return failed(text, object=title_of(service))
    return ok(f"{title_of(services[0])} has a port named tls", title_of(services[0]))


def _east_west_address(target: CheckTarget) -> Finding:
    services = east_west(target.site, target.facts)
    for service in services:
        address, named = load_balancer_address(service), title_of(service)
        if not address:
            kind = spec_of(service).get("type")
            text = f"{named} of type {kind} has no load balancer address: other clusters cannot reach this one"
            return failed(text, object=named)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return warning(
                f"{named} has the host name {address}: gateways ignore endpoints without an IP address",
                "give it an IP address, or set hostInfoOverrides in the WorkspaceSettings", named,
            )  # fmt: skip
    return ok(", ".join(map(load_balancer_address, services)), title_of(services[0]))


def _east_west_selected(target: CheckTarget) -> Finding:
    found = target.facts.of("WorkspaceSettings")
    number = sum(int(status_of(obj).get("numSelectedEastWestGateways") or 0) for obj in found)
    workloads = len(target.site.workloads)
    named = title_of(found[0]) if found else "WorkspaceSettings"
    if number < workloads:
        return failed(f"{named} selects {number} east-west gateways for {workloads} clusters", object=named)
    return ok(f"{named} selects {number} east-west gateways", named)


CHECKS: tuple[Check, ...] = (
    Check(
        "operator", "Gloo Operator is running", workloads, _operator,
        "Istio is unmanaged: Gloo Operator is not running. Unless it is down on purpose, scale it up and read its log",
    ),
    Check(
        "service-mesh-controller", "Istio is installed", workloads, _controller,
        "read its conditions and the log of Deployment gloo-operator", ("operator",),
    ),
    Check(
        "istiod", "istiod is ready", workloads, _istiod,
        "without it there are no certificates and no sidecars. Unless it is down on purpose, scale it up and read its "
        "log", ("service-mesh-controller",),
    ),
    Check(
        "cluster-id", "istiod's cluster ID matches the registered name", workloads, _cluster_id,
        "if they are meant to match, set spec.cluster of the ServiceMeshController to the registered name",
        ("istiod",),
    ),
    Check(
        "cacerts", "istiod uses the shared root CA", workloads, _cacerts,
        "the agent creates it once the RootTrustPolicy is accepted: read the agent's log",
        ("agent-connected", "trust-policy"),
    ),
    Check(
        "root-shared", "root certificate is the same in all clusters", workloads, _root_shared,
        "create a RootTrustPolicy in the management cluster, then restart istiod and every Pod with a sidecar",
        ("istiod", "cacerts"),
    ),
    Check(
        "certificates-fresh", "no Pod is older than the shared root CA", workloads, _fresh,
        "restart their Deployments, istiod first; site.yml does this", ("istiod", "root-shared"),
    ),
    Check(
        "east-west-gateway", "east-west gateway is running", workloads, _east_west_gateway,
        "install it with site.yml --tags mesh; without it other clusters cannot reach this one", ("istiod",),
    ),
    Check(
        "east-west-port", "east-west gateway has a port named tls", workloads, _east_west_port,
        "rename port 15443 of the Service to tls, which is the port name that Gloo Mesh uses", ("east-west-gateway",),
    ),
    Check(
        "east-west-address", "east-west gateway has an IP address", workloads, _east_west_address,
        f"set the type of the Service to LoadBalancer, and {NO_ADDRESS}", ("east-west-gateway",),
    ),
    Check(
        "east-west-selected", "an east-west gateway is selected in every cluster", management, _east_west_selected,
        "compare options.eastWestGateways of the WorkspaceSettings with the labels of the Services",
        ("workspace-settings",), ("agent-connected", "east-west-gateway", "east-west-port", "east-west-address"),
    ),
)  # fmt: skip
