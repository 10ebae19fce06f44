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
from ..k8s.fields import (
    Json,
    dig,
    key_of,
    labels_match,
    labels_of,
    mapping,
    mappings,
    meta,
    name_of,
    namespace_of,
    selects,
    spec_of,
    status_of,
    texts,
    title,
    title_of,
)
from ..k8s.pods import has_sidecar, is_ready, living, owner_of, pods_behind
from ..k8s.readiness import is_current, pod_trouble
from ..mesh import parts, virtual_destination, workspaces
from .checks_istio import istiods_in_use, served_revisions
from .checks_mesh import known_name, registered_name, workloads
from .checks_workspaces import SELECT_NAMESPACE, accepted, cluster_labels
from .facts import Facts, SiteFacts
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

SELECT_WORKLOAD_ENTRIES = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"
NO_SERVICE_HERE = "its selectors match no Service in this cluster"
_COMPARE_SELECTORS = "compare its selectors with the labels of the Services (not of the Pods)"
CREATE_ROUTING = "if the site needs it, create it, for example with site.yml --tags routing"


@dataclass(frozen=True)
class Destination:
    """A VirtualDestination of the site's data or, without data, of the management cluster.

    ``workspace``: that it belongs to by its status, None when unknown.
    """

    namespace: str
    name: str
    spec: Json
    workspace: Json | None = None
    mesh: Facts | None = None

    def includes(self, facts: Facts, namespace: Json | None = None) -> bool:
        """Whether its workspace includes the cluster, and the namespace of it; True if that is unknown."""
        if self.workspace is None or self.mesh is None:
            return True
        name = known_name(facts)
        labels = cluster_labels(self.mesh, name)
        if namespace is None:
            return workspaces.includes_cluster(self.workspace, name, labels)
        return workspaces.includes_namespace(self.workspace, name, labels, name_of(namespace), labels_of(namespace))

    @property
    def title(self) -> str:
        return title("VirtualDestination", self.name, self.namespace)

    def host_ports(self) -> list[virtual_destination.Target]:
        """Every combination of host and port."""
        return virtual_destination.targets_of({"name": self.name, "namespace": self.namespace, "spec": self.spec})


def destinations(site: SiteFacts) -> list[Destination]:
    """Those of the site's data, else all of the management cluster."""
    wanted, mesh = site.wanted("virtual_destinations"), site.management
    live = {key_of(d): d for d in mesh.lists.get("VirtualDestination") or ()}
    if wanted is not None:
        found = [(str(d["namespace"]), str(d["name"]), mapping(d.get("spec"))) for d in wanted]
    else:
        found = [(*key, spec_of(d)) for key, d in live.items()]
    return [Destination(*each, _workspace_of(mesh, live.get(each[:2])), mesh) for each in found]


def _workspace_of(mesh: Facts, destination: Json | None) -> Json | None:
    """The Workspace in the status of a VirtualDestination; None if it is unknown or imports from others."""
    owner = mapping(status_of(destination).get("ownedByWorkspace"))
    for workspace in mesh.lists.get("Workspace") or ():
        if owner and name_of(workspace) == owner.get("name"):
            options = mapping(spec_of(workspace).get("options"))
            return None if options.get("importFrom") or options.get("exportTo") else workspace
    return None


def backing_services(destination: Destination, facts: Facts) -> list[Json]:
    """Services of a cluster that the destination selects, in namespaces of its workspace; the oldest first."""
    namespaces = {name_of(namespace): namespace for namespace in facts.lists.get("Namespace") or ()}
    found = [
        service
        for service in facts.of("Service")
        for selector in mappings(destination.spec.get("services"))
        if destination.includes(facts, namespaces.get(key_of(service)[0]))
        and labels_match(texts(selector.get("labels")), labels_of(service))
        and selector.get("name") in (None, "", name_of(service))
        and selector.get("namespace") in (None, "", namespace_of(service))
        and selector.get("cluster") in (None, "", registered_name(facts))
    ]
    return sorted(found, key=lambda s: (str(meta(s).get("creationTimestamp")), key_of(s)))


def backing_pods(destination: Destination, facts: Facts) -> list[Json]:
    """Pods of the oldest selected Service, which is the one in use."""
    services = backing_services(destination, facts)[:1]
    return [pod for service in services for pod in pods_behind(service, facts.of("Pod"))]


# -- targets -----------------------------------------------------------------------------------------------------------


def _each_destination(site: SiteFacts) -> Iterator[CheckTarget]:
    if site.data is None and "VirtualDestination" in site.management.unreadable:
        yield CheckTarget(site, site.management, Destination("", "", {}))  # its check reports why it is not readable
    for destination in destinations(site):
        yield CheckTarget(site, site.management, destination, destination.title)


def _each_route_table(site: SiteFacts) -> Iterator[CheckTarget]:
    wanted = site.wanted("route_tables")
    if wanted is None:
        wanted = [
            {"name": name_of(t), "namespace": namespace_of(t)} for t in site.management.lists.get("RouteTable") or ()
        ]
    return (CheckTarget(site, site.management, t, title("RouteTable", t["name"], t["namespace"])) for t in wanted)


def _destination_in_cluster(site: SiteFacts) -> Iterator[CheckTarget]:
    return (
        CheckTarget(site, facts, d, d.title)
        for facts in site.workloads
        for d in destinations(site)
        if d.includes(facts)
    )


def _host_port_in_cluster(site: SiteFacts) -> Iterator[CheckTarget]:
    return (
        CheckTarget(site, facts, (d, host_port), host_port_title(d, host_port))
        for facts in site.workloads
        for d in destinations(site)
        if d.includes(facts)
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
    for selector in mappings(destination.spec.get("services")):
        labels, namespace = texts(selector.get("labels")), str(selector.get("namespace") or destination.namespace)
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
        and namespace_of(found) == namespace_of(service)
        and selects(texts(spec_of(service).get("selector")), labels_of(template_of(found)))
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
    """Whether the Pods have a sidecar, and whether new ones will. Pods may ask for it by labels of their own."""
    facts: Facts = target.facts
    pods = backing_pods(target.subject, facts)
    uninjected = None
    for pod in pods:
        namespace = facts.find("Namespace", namespace_of(pod))
        injecting = discovery.injecting(facts.istio, name_of(namespace), labels_of(namespace), labels_of(pod))
        if has_sidecar(pod):
            uninjected = uninjected or (None if injecting else (pod, namespace))
        elif not _is_ambient(pod, namespace):
            return _bare(facts, pod, namespace, bool(injecting))
    if uninjected:
        pod, namespace = uninjected
        text = f"{title_of(pod)} has a sidecar, but a new Pod like it would have none: {_labels(namespace, pod)}"
        return warning(f"{text}; istiod serves {_served(facts)}", _label_hint(facts), title_of(pod))
    ambient = [pod for pod in pods if not has_sidecar(pod)]
    if ambient:
        return ok(f"Pods in the ambient mesh, which have no sidecar: {len(ambient)} of {len(pods)}")
    return ok(f"Pods with a sidecar: {len(pods)}" if pods else "the destination has no Pod in this cluster")


def _is_ambient(pod: Json, namespace: Json | None) -> bool:
    """Whether the Pod is in the ambient mesh, by its own label or by that of its namespace."""
    mode = labels_of(pod).get(AMBIENT) or labels_of(namespace).get(AMBIENT)
    return mode == "ambient"


def _bare(facts: Facts, pod: Json, namespace: Json | None, injecting: bool) -> Finding:
    """The finding on a Pod without a sidecar."""
    text, labels, (kind, owner) = f"{title_of(pod)} has no sidecar", _labels(namespace, pod), owner_of(pod)
    restart = f"restart {title(kind, owner, meta(pod).get('namespace'))}"
    if injecting:
        hint = f"{restart}, unless it is in the mesh by other means: the Pod is older than the injection label, or "
        return failed(text, f"{hint}injection was refused (read its events)", title_of(pod))
    if "inject=false" in labels or "istio-injection=disabled" in labels:
        hint = f"unless the Pod is meant to be outside the mesh, remove the label, then {restart}"
        return failed(f"{text}: injection is disabled, as {labels}", hint, title_of(pod))
    return failed(f"{text}: {labels}; istiod serves {_served(facts)}", _label_hint(facts, restart), title_of(pod))


_INJECTION_LABELS = ("istio-injection", "istio.io/rev", "sidecar.istio.io/inject")
AMBIENT = "istio.io/dataplane-mode"


def _labels(namespace: Json | None, pod: Json) -> str:
    """The injection labels of a Pod and its namespace, in words."""
    shown = []
    for named, obj in ((title_of(namespace), namespace), ("the Pod", pod)):
        labels = labels_of(obj)
        own = ", ".join(f"{key}={labels[key]}" for key in _INJECTION_LABELS if key in labels)
        shown.append(f"{named} has {f'label {own}' if own else 'no injection label'}")
    return ", ".join(shown)


def _served(facts: Facts) -> str:
    return ", ".join(sorted(served_revisions(facts))) or "no revision"


def _label_hint(facts: Facts, restart: str = "") -> str:
    served = sorted(served_revisions(facts))
    if not served:
        return "unless an istiod outside the cluster injects the sidecars, install Istio with site.yml --tags mesh"
    wanted = " or ".join(f"istio.io/rev={revision}" for revision in served)
    unless = "its Pods are meant to be outside the mesh" if restart else "the sidecars are injected by other means"
    return f"unless {unless}, label the namespace {wanted}" + (f" and {restart}" if restart else "")


# -- Gloo's objects ----------------------------------------------------------------------------------------------------


_NO_ISTIO_CRDS = "unless this cluster is meant to be outside the mesh, install Istio with site.yml --tags mesh"


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
    reason = virtual_destination.idle_reason(found) if is_current(found) else ""
    if "workspace" in reason:
        return failed(f"{wanted.title} {reason}", SELECT_NAMESPACE)
    if state.verdict != "ok":
        return replace(state, hint=SELECT_NAMESPACE) if "in no workspace" in state.message else state
    if reason:
        return failed(f"{wanted.title} {reason}", _COMPARE_SELECTORS)
    return _all_counted(target, found) or state


def _all_counted(target: CheckTarget, found: Json) -> Finding | None:
    """A failure when the management server counts fewer Services than there are clusters with one."""
    clusters = [
        f.name for f in target.site.workloads if "Service" not in f.unreadable and backing_services(target.subject, f)
    ]
    counted = status_of(found).get("numSelectedBackingServices") or 0
    if not isinstance(counted, int) or counted >= len(clusters):
        return None
    return failed(
        f"{target.subject.title} has {counted} backing Services, but Services exist in {', '.join(clusters)}",
        "check that a Workspace selects the namespace in every cluster; then read the logs of agents and management "
        "server",
    )


def _route_table(target: CheckTarget) -> Finding:
    found = target.facts.find("RouteTable", target.subject["name"], target.subject["namespace"])
    if found is None:
        return failed(f"{target.object} does not exist in {target.cluster}", CREATE_ROUTING)
    if status_of(found).get("ownedByWorkspace", True) or not is_current(found):
        return accepted(found)
    return failed(f"{target.object} is in no workspace", SELECT_NAMESPACE)


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
        return failed("the API server does not serve kind ServiceEntry", _NO_ISTIO_CRDS)
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
            f"only {len(reachable)} WorkloadEntries lead to other clusters; the Service exists in {', '.join(others)}",
            "check that the WorkspaceSettings select the east-west gateway of each, and that it has an address",
        )
    shown = ", ".join(f"{row['address']}:{row['port']}" for row in reachable)
    none = "no other cluster has a Service of the destination"
    return _finding(problems, f"endpoints in other clusters: {shown}" if shown else none)


def _workload_selection(target: CheckTarget) -> Finding:
    """Whether istiod leaves WorkloadEntries out of Services; one that nothing of the site uses does not matter."""
    facts: Facts = target.facts
    used = [record for record, _users in istiods_in_use(target.site, facts)]
    keys = {
        key for record, key in zip(facts.istio["istiods"], facts.istio["deployments"], strict=True) if record in used
    }
    istiods = [each for each in facts.of("Deployment") if key_of(each) in keys]
    if not istiods:
        raise NotReadable(
            f"istiod is outside this cluster, so its environment ({SELECT_WORKLOAD_ENTRIES}) is not known"
        )
    values = [env(discovery_container(each) or {}, SELECT_WORKLOAD_ENTRIES)[1] for each in istiods]
    if all(value == "false" for value in values):
        return ok(f"{SELECT_WORKLOAD_ENTRIES} is false in istiod")
    for entry in facts.of("WorkloadEntry"):
        for service in facts.of("Service"):
            selector = texts(spec_of(service).get("selector"))
            same = namespace_of(service) == namespace_of(entry)
            if same and selects(selector, texts(spec_of(entry).get("labels"))):
                return warning(
                    f"{title_of(entry)} matches the selector of {title_of(service)}: "
                    "istiod sends requests for the Service to the wrong port",
                    _istiod_env_hint(facts),
                )
    return ok("no WorkloadEntry matches the selector of a Service")


def _istiod_env_hint(facts: Facts) -> str:
    """Where the environment of istiod is set: the operator has no field for it, but merges a ConfigMap."""
    hint = f"unless WorkloadEntries are meant to serve this Service, set {SELECT_WORKLOAD_ENTRIES}=false in istiod: "
    if facts.lists.get("ServiceMeshController"):
        operator = next(iter(parts.operators(facts.of("Deployment"))), None)
        namespace = namespace_of(operator) or facts.mesh_namespace
        return f"{hint}pilot.env in key values.istiod of ConfigMap {namespace}/gloo-extensions-config"
    return f"{hint}pilot.env in the values of its Helm release"


def _locality(target: CheckTarget) -> Finding:
    _destination, host_port = target.subject
    for rule in target.facts.of("DestinationRule"):
        policy = mapping(spec_of(rule).get("trafficPolicy"))
        parts = [policy, *mappings(policy.get("portLevelSettings"))]
        locality = any(dig(part, "loadBalancer", "localityLbSetting") for part in parts)
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
        "workload-selection", "WorkloadEntries match no plain Service", workloads, _workload_selection, "", ("istiod",),
    ),
    Check(
        "locality", "traffic is spread over all clusters", _host_port_in_cluster, _locality,
        "expected with a FailoverPolicy; other clusters then respond only if local instances fail",
    ),
)  # fmt: skip
