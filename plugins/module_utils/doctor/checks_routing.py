# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of destinations: their Services and Pods, Gloo's objects, the translation in each cluster (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..gateway.proxy_objects import template_of
from ..istiod import discovery
from ..istiod.objects import discovery_container, env
from ..k8s.fields import Json, labels_match, labels_of, meta, name_of, selects, spec_of, status_of, title, title_of
from ..k8s.pods import has_sidecar, is_ready, living, owner_of
from ..k8s.readiness import pod_trouble
from ..mesh import virtual_destination
from .checks_istio import served_revisions
from .checks_mesh import accepted, registered_name, workloads
from .facts import Facts, SiteFacts
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

SELECT_WORKLOAD_ENTRIES = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"
NO_SERVICE_HERE = "its selectors match no Service in this cluster"
_COMPARE_SELECTORS = "compare its selectors with the labels of the Services (not of the Pods)"
CREATE_ROUTING = "create it with site.yml --tags routing"


@dataclass(frozen=True)
class Destination:
    """A VirtualDestination of the site's data or, without data, of the management cluster."""

    namespace: str
    name: str
    spec: Json

    @property
    def title(self) -> str:
        return title("VirtualDestination", self.name, self.namespace)

    def host_ports(self) -> list[virtual_destination.Target]:
        """Every combination of host and port."""
        return virtual_destination.targets_of({"name": self.name, "namespace": self.namespace, "spec": self.spec})


def destinations(site: SiteFacts) -> list[Destination]:
    """Those of the site's data, else all of the management cluster."""
    wanted = site.wanted("virtual_destinations")
    if wanted is not None:
        return [Destination(d["namespace"], d["name"], d.get("spec") or {}) for d in wanted]
    found = site.management.lists.get("VirtualDestination") or ()
    return [Destination(meta(d)["namespace"], meta(d)["name"], spec_of(d)) for d in found]


def backing_services(destination: Destination, facts: Facts) -> list[Json]:
    """Services of a cluster that the destination selects, the oldest first."""
    found = [
        service
        for service in facts.of("Service")
        for selector in destination.spec.get("services") or ()
        if labels_match(selector.get("labels") or {}, labels_of(service))
        and selector.get("name") in (None, "", meta(service).get("name"))
        and selector.get("namespace") in (None, "", meta(service).get("namespace"))
        and selector.get("cluster") in (None, "", registered_name(facts))
    ]
    return sorted(
        found, key=lambda s: (str(meta(s).get("creationTimestamp")), meta(s).get("namespace"), meta(s)["name"])
    )


def backing_pods(destination: Destination, facts: Facts) -> list[Json]:
    """Pods of the oldest selected Service, which is the one in use."""
    services = backing_services(destination, facts)[:1]
    return [
        pod
        for s in services
        for pod in living(facts.of("Pod"), meta(s)["namespace"], spec_of(s).get("selector") or {"": ""})
    ]


# -- targets -----------------------------------------------------------------------------------------------------------


def _each_destination(site: SiteFacts) -> Iterator[CheckTarget]:
    if site.data is None and "VirtualDestination" in site.management.unreadable:
        yield CheckTarget(site, site.management, Destination("", "", {}))  # its check reports why it is not readable
    for destination in destinations(site):
        yield CheckTarget(site, site.management, destination, destination.title)


def _each_route_table(site: SiteFacts) -> Iterator[CheckTarget]:
    wanted = site.wanted("route_tables")
    if wanted is None:
        wanted = [meta(t) for t in site.management.lists.get("RouteTable") or ()]
    return (CheckTarget(site, site.management, t, title("RouteTable", t["name"], t["namespace"])) for t in wanted)


def _destination_in_cluster(site: SiteFacts) -> Iterator[CheckTarget]:
    return (CheckTarget(site, facts, d, d.title) for facts in site.workloads for d in destinations(site))


def _host_port_in_cluster(site: SiteFacts) -> Iterator[CheckTarget]:
    return (
        CheckTarget(site, facts, (d, host_port), host_port_title(d, host_port))
        for facts in site.workloads
        for d in destinations(site)
        for host_port in d.host_ports()
    )


def host_port_title(destination: Destination, host_port: virtual_destination.Target) -> str:
    return f"{destination.title} {host_port.host}:{host_port.port}"


# -- Services and Pods -------------------------------------------------------------------------------------------------


def _backing_service(target: CheckTarget) -> Finding:
    destination, facts = target.subject, target.facts
    found = backing_services(destination, facts)
    if found:
        return ok(f"{title_of(found[0])} is selected")
    for selector in destination.spec.get("services") or ():
        labels, namespace = selector.get("labels") or {}, selector.get("namespace") or destination.namespace
        if labels and living(facts.of("Pod"), namespace, labels):
            shown = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
            return failed(f"Pods in {namespace} have the labels {shown}, but no Service has them")
    others = clusters_with_service(target)
    unknown = [f.name for f in target.site.workloads if f.unreachable]
    if unknown and len(others) < 2:
        raise NotReadable(f"its selectors match no Service in this cluster, and {', '.join(unknown)} cannot be reached")
    if not others:
        return failed("its selectors match no Service in any cluster")
    if len(others) == 1:
        return warning(f"its selectors match Services only in {others[0]}, so no other cluster can take over")
    return ok(f"its selectors match no Service in this cluster, but some in {', '.join(others)}")


def clusters_with_service(target: CheckTarget, destination: Destination | None = None) -> list[str]:
    """Other clusters with a Service of the destination."""
    wanted = destination or target.subject
    return [f.name for f in target.site.workloads if f is not target.facts and backing_services(wanted, f)]


def _service_unique(target: CheckTarget) -> Finding:
    found = backing_services(target.subject, target.facts)
    if len(found) > 1:
        names = ", ".join(title_of(s) for s in found)
        return warning(f"its selectors match {len(found)} Services, of which only the oldest is used: {names}")
    return ok("its selectors match one Service" if found else NO_SERVICE_HERE)


def _backends(target: CheckTarget) -> Finding:
    service = next(iter(backing_services(target.subject, target.facts)), None)
    if service is None:
        return ok(NO_SERVICE_HERE)
    named, pods = title_of(service), backing_pods(target.subject, target.facts)
    not_ready = [pod for pod in pods if not is_ready(pod)]
    scaled_down = [
        found
        for found in target.facts.workloads
        if spec_of(found).get("replicas") == 0
        and meta(found).get("namespace") == meta(service).get("namespace")
        and selects(spec_of(service).get("selector") or {}, labels_of(template_of(found)))
    ]
    if len(not_ready) == len(pods):
        reasons = [f"{title_of(found)} is scaled to 0 replicas" for found in scaled_down]
        reasons += [f"{name_of(pod)}: {pod_trouble(pod)}" for pod in pods]
        return failed(f"{named} has no ready Pod: {'; '.join(reasons) or 'it selects no Pod'}", object=named)
    if not_ready:
        pod = not_ready[0]
        return warning(f"{title_of(pod)} is not ready: {pod_trouble(pod)}", object=title_of(pod))
    if scaled_down:
        found = scaled_down[0]
        hint = "unless it is scaled down on purpose, scale it up"
        return warning(f"{title_of(found)} is scaled to 0 replicas", hint, title_of(found))
    return ok(f"ready Pods of {named}: {len(pods)}")


def _injection(target: CheckTarget) -> Finding:
    pods = backing_pods(target.subject, target.facts)
    for name in sorted({str(meta(pod)["namespace"]) for pod in pods}):
        labels = labels_of(target.facts.find("Namespace", name))
        here = [pod for pod in pods if meta(pod)["namespace"] == name]
        finding = _injected(target.facts, name, labels, here)
        if finding:
            return finding
    return ok(f"Pods with a sidecar: {len(pods)}" if pods else "the destination has no Pod in this cluster")


def _injected(facts: Facts, namespace: str, labels: dict[str, str], pods: list[Json]) -> Finding | None:
    """A finding when Pods of a namespace are not in the mesh, or their successors will not be."""
    outside = [pod for pod in pods if not has_sidecar(pod) and not _is_ambient(labels, pod)]
    by_labels = [pod for pod in pods if _is_injected(facts, namespace, labels, pod)]
    served = sorted(served_revisions(facts))
    if not outside:
        if len(by_labels) == len(pods) or labels.get("istio-injection") == "disabled":
            return None
        pods = [pod for pod in pods if pod not in by_labels and not _is_ambient(labels, pod)]
        if not pods:
            return None
        return warning(
            f"{_injection_labels(namespace, labels)}, istiod serves {', '.join(served) or 'no revision'}: "
            f"{title_of(pods[0])} has a sidecar, but Pods that replace it will have none",
            f"unless the sidecars are injected by other means, label the namespace istio.io/rev={' or '.join(served)}",
        )
    pod, (kind, owner) = outside[0], owner_of(outside[0])
    text, restart = f"{title_of(pod)} has no sidecar", f"restart {title(kind, owner, namespace)}"
    if labels_of(pod).get("sidecar.istio.io/inject") == "false":
        hint = "unless the Pod is meant to be outside the mesh, remove its label sidecar.istio.io/inject=false"
    elif pod in by_labels:
        hint = f"{restart}: the Pod is older than the injection label, or injection was refused (read its events)"
    elif labels.get("istio-injection") == "disabled":
        hint = (
            "unless the Pods are meant to be outside the mesh, remove label istio-injection=disabled from their "
            f"Namespace, then {restart}"
        )
    else:
        text = f"{_injection_labels(namespace, labels)}, istiod serves {', '.join(served) or 'no revision'}; {text}"
        hint = (
            "unless its Pods are meant to be outside the mesh, label the namespace "
            f"istio.io/rev={' or '.join(served)} and {restart}"
        )
    return failed(text, hint, title_of(pod))


def _injection_labels(namespace: str, labels: dict[str, str]) -> str:
    shown = ", ".join(f"{k}={labels[k]}" for k in ("istio-injection", "istio.io/rev") if k in labels)
    return f"Namespace {namespace} has {f'label {shown}' if shown else 'no injection label'}"


def _is_ambient(labels: dict[str, str], pod: Json) -> bool:
    """Whether the Pod is in the mesh without a sidecar."""
    return {**labels, **labels_of(pod)}.get("istio.io/dataplane-mode") == "ambient"


def _is_injected(facts: Facts, namespace: str, labels: dict[str, str], pod: Json) -> bool:
    """Whether the labels of the Pod or of its namespace select an istiod of the cluster."""
    own = labels_of(pod)
    if own.get("sidecar.istio.io/inject") == "false":
        return False
    if own.get("sidecar.istio.io/inject") == "true" and "istio.io/rev" not in own and "istio.io/rev" not in labels:
        return "default" in served_revisions(facts) or len(facts.istio["istiods"]) == 1
    if "istio.io/rev" in own and labels.get("istio-injection") != "disabled":
        return own["istio.io/rev"] in served_revisions(facts)
    if "istio-injection" not in labels and "istio.io/rev" not in labels:
        return False
    try:
        return bool(discovery.choose(facts.istio, for_namespace=namespace, namespace_labels=labels))
    except discovery.ChoiceError:
        return False


# -- Gloo's objects ----------------------------------------------------------------------------------------------------


_SELECT_NAMESPACE = "add its namespace to a Workspace"


def _virtual_destination(target: CheckTarget) -> Finding:
    wanted: Destination = target.subject
    found = target.facts.find("VirtualDestination", wanted.name, wanted.namespace)
    if found is None:
        elsewhere = [
            f.name for f in target.site.workloads if wanted.name in map(name_of, f.lists.get("VirtualDestination", ()))
        ]
        remark = f", but one of this name exists in {', '.join(elsewhere)}" if elsewhere else ""
        return failed(f"{wanted.title} does not exist in {target.cluster}{remark}", CREATE_ROUTING)
    state = accepted(found, f" and has {status_of(found).get('numSelectedBackingServices', 0)} backing Services")
    reason = virtual_destination.idle_reason(found) if status_of(found) else ""
    if "workspace" in reason:
        return failed(f"{wanted.title} {reason}", _SELECT_NAMESPACE)
    if state.verdict != "ok":
        return replace(state, hint=_SELECT_NAMESPACE if "in no workspace" in state.message else "")
    if reason:
        return failed(f"{wanted.title} {reason}", _COMPARE_SELECTORS)
    return _all_counted(target, found) or state


def _all_counted(target: CheckTarget, found: Json) -> Finding | None:
    """A failure when the management server counts fewer Services than there are clusters with one."""
    clusters = [
        f.name for f in target.site.workloads if "Service" not in f.unreadable and backing_services(target.subject, f)
    ]
    counted = int(status_of(found).get("numSelectedBackingServices") or 0)
    if counted >= len(clusters):
        return None
    return failed(
        f"{target.subject.title} has {counted} backing Services, but there are some in {', '.join(clusters)}",
        "check that a Workspace selects the namespace in every cluster; then read the logs of agents and management "
        "server",
    )


def _route_table(target: CheckTarget) -> Finding:
    found = target.facts.find("RouteTable", target.subject["name"], target.subject["namespace"])
    if found is None:
        return failed(f"{target.object} does not exist in {target.cluster}", CREATE_ROUTING)
    if status_of(found).get("ownedByWorkspace", True):
        return accepted(found)
    return failed(f"{target.object} is in no workspace", _SELECT_NAMESPACE)


# -- translation -------------------------------------------------------------------------------------------------------


def objects_of(facts: Facts) -> virtual_destination.RoutingObjects:
    """The objects of a cluster that translation consists of."""
    return virtual_destination.RoutingObjects(
        service_entries=facts.of("ServiceEntry"),
        workload_entries=facts.of("WorkloadEntry"),
        pods=facts.of("Pod"),
        http_routes=facts.of("HTTPRoute"),
        destination_rules=facts.of("DestinationRule"),
    )


def _finding(problems: Iterable[virtual_destination.Problem], otherwise: str) -> Finding:
    """A failure with the problems that sidecars have; those of gateways alone belong to the routes."""
    texts = [problem.text for problem in problems if not problem.gateways]
    return failed("; ".join(texts)) if texts else ok(otherwise)


def _service_entry(target: CheckTarget) -> Finding:
    destination, host_port = target.subject
    if "ServiceEntry" in target.facts.absent:
        return failed("the API server does not serve kind ServiceEntry", "install Istio's CRDs")
    objects = objects_of(target.facts)
    entry, problems = virtual_destination.find_entry(objects, host_port)
    if entry is not None:
        problems = problems + virtual_destination.entry_problems(entry, host_port)
        if backing_pods(destination, target.facts) and not virtual_destination.local_endpoints(entry, objects.pods):
            problems.append(virtual_destination.Problem(f"{title_of(entry)} selects no Pod of the Service"))
    return _finding(problems, title_of(entry) if entry else "")


def _workload_entries(target: CheckTarget) -> Finding:
    destination, host_port = target.subject
    objects = objects_of(target.facts)
    entry, _problems = virtual_destination.find_entry(objects, host_port)
    if entry is None:
        return failed("no ServiceEntry exists to select them")
    remote, problems = virtual_destination.remote_endpoints(entry, objects.workload_entries, host_port)
    others = clusters_with_service(target, destination)
    reachable = [row for row in remote if row["address"] or row["network"]]
    if all(problem.gateways for problem in problems) and len(reachable) < len(others):
        return failed(
            f"only {len(reachable)} WorkloadEntries of other clusters exist, but Services in {', '.join(others)}",
            "check that the WorkspaceSettings select the east-west gateway of each, and that it has an address",
        )
    shown = ", ".join(f"{row['address']}:{row['port']}" for row in reachable)
    none = "no other cluster has a Service of the destination"
    return _finding(problems, f"endpoints in other clusters: {shown}" if shown else none)


def _workload_selection(target: CheckTarget) -> Finding:
    record = target.facts.istiod or {}
    deployment = target.facts.find("Deployment", str(record.get("name")), str(record.get("namespace")))
    if env(discovery_container(deployment or {}) or {}, SELECT_WORKLOAD_ENTRIES)[1] == "false":
        return ok(f"{SELECT_WORKLOAD_ENTRIES} is false in istiod")
    for entry in target.facts.of("WorkloadEntry"):
        for service in target.facts.of("Service"):
            selector = spec_of(service).get("selector") or {}
            same = meta(service).get("namespace") == meta(entry).get("namespace")
            if same and selects(selector, spec_of(entry).get("labels") or {}):
                return warning(
                    f"{title_of(entry)} matches the selector of {title_of(service)}: "
                    "istiod sends requests for the Service to the wrong port"
                )
    return ok("no WorkloadEntry matches the selector of a Service")


def _locality(target: CheckTarget) -> Finding:
    _destination, host_port = target.subject
    for rule in target.facts.of("DestinationRule"):
        policy = spec_of(rule).get("trafficPolicy") or {}
        parts = [policy, *(policy.get("portLevelSettings") or ())]
        locality = any((part.get("loadBalancer") or {}).get("localityLbSetting") for part in parts)
        if (
            spec_of(rule).get("host") == host_port.host
            and locality
            and any("outlierDetection" in part for part in parts)
        ):
            return warning(
                f"{title_of(rule)} keeps traffic in the cluster while its instances are healthy",
                object=title_of(rule),
            )
    return ok("no DestinationRule keeps traffic in one cluster")


_GLOO = ("management-server", "licence", "workspace", "east-west-selected")

CHECKS: tuple[Check, ...] = (
    Check(
        "backing-service", "a Service backs the destination", _destination_in_cluster, _backing_service,
        _COMPARE_SELECTORS,
    ),
    Check(
        "service-unique", "one Service per cluster backs the destination", _destination_in_cluster,
        _service_unique, "make the selectors more specific with a name or a namespace", ("backing-service",),
    ),
    Check(
        "backends", "Pods of the destination are ready", _destination_in_cluster, _backends,
        "unless they are scaled down on purpose, scale them up and read their events and logs", ("backing-service",),
    ),
    Check(
        "injection", "Pods of the destination have a sidecar", _destination_in_cluster, _injection,
        "", ("istiod", "backing-service", "backends"),
    ),
    Check(
        "virtual-destination", "VirtualDestination is accepted", _each_destination, _virtual_destination,
        "correct it according to the message", _GLOO, ("agent-connected", "backing-service"),
    ),
    Check(
        "route-table", "RouteTable is accepted", _each_route_table, _route_table,
        "correct it according to the message", (*_GLOO, "virtual-destination"), ("agent-connected",),
    ),
    Check(
        "service-entry", "destination has a ServiceEntry", _host_port_in_cluster, _service_entry,
        "the agent creates it: read the logs of the agent and of the management server",
        ("agent-connected", "virtual-destination"),
    ),
    Check(
        "workload-entries", "destination has endpoints in other clusters", _host_port_in_cluster, _workload_entries,
        "read the agent's log; without them all responses come from this cluster",
        ("service-entry",), ("east-west-address", "east-west-port"),
    ),
    Check(
        "workload-selection", "WorkloadEntries match no plain Service", workloads, _workload_selection,
        f"set {SELECT_WORKLOAD_ENTRIES}=false in the environment of istiod", ("istiod",),
    ),
    Check(
        "locality", "traffic is spread over all clusters", _host_port_in_cluster, _locality,
        "expected with a FailoverPolicy; other clusters then respond only if local instances fail",
    ),
)  # fmt: skip
