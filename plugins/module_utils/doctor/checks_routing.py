# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of destinations: Services and Pods behind them, Gloo's objects, what they became in each cluster (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..istiod import discovery as istiod
from ..istiod.objects import discovery_container, env
from ..k8s.fields import Json, labels_match, labels_of, meta, selects, spec_of, status_of, title, title_of
from ..k8s.pods import has_sidecar, is_ready, living
from ..k8s.readiness import pod_trouble
from ..mesh import virtual_destination as translation
from .checks_mesh import accepted, own_name, workloads
from .facts import Facts, World
from .runner import Check, Finding, Place, Unread, failed, ok, warning

SELECT_WORKLOAD_ENTRIES = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"


@dataclass(frozen=True)
class Destination:
    """A VirtualDestination as the site wants it or, without its data, as it is."""

    namespace: str
    name: str
    spec: Json

    @property
    def title(self) -> str:
        return title("VirtualDestination", self.name, self.namespace)

    def targets(self) -> list[translation.Target]:
        """Every host with every port."""
        return [
            translation.Target(str(host), int(port.get("number") or 0), self.name, self.namespace)
            for host in self.spec.get("hosts") or ()
            for port in self.spec.get("ports") or ()
        ]


def destinations(world: World) -> list[Destination]:
    """Those of the site's data, else all that the management cluster has."""
    wanted = world.wanted("virtual_destinations")
    if wanted is not None:
        return [Destination(d["namespace"], d["name"], d.get("spec") or {}) for d in wanted]
    found = world.management.lists.get("VirtualDestination") or ()
    return [Destination(meta(d)["namespace"], meta(d)["name"], spec_of(d)) for d in found]


def backing_services(destination: Destination, facts: Facts) -> list[Json]:
    """Services of a cluster that the destination's selectors take in, the oldest first."""
    found = [
        service
        for service in facts.of("Service")
        for selector in destination.spec.get("services") or ()
        if labels_match(selector.get("labels") or {}, labels_of(service))
        and selector.get("name") in (None, "", meta(service).get("name"))
        and selector.get("namespace") in (None, "", meta(service).get("namespace"))
        and selector.get("cluster") in (None, "", own_name(facts))
    ]
    return sorted(
        found, key=lambda s: (str(meta(s).get("creationTimestamp")), meta(s).get("namespace"), meta(s)["name"])
    )


def backing_pods(destination: Destination, facts: Facts) -> list[Json]:
    """Pods behind the Service that counts."""
    services = backing_services(destination, facts)[:1]
    return [
        pod
        for s in services
        for pod in living(facts.of("Pod"), meta(s)["namespace"], spec_of(s).get("selector") or {"": ""})
    ]


# -- places ----------------------------------------------------------------------------------------------------------


def _each_destination(world: World) -> Iterator[Place]:
    if world.data is None and "VirtualDestination" in world.management.unread:
        yield Place(world, world.management, Destination("", "", {}))  # looking for it says why it cannot be read
    for destination in destinations(world):
        yield Place(world, world.management, destination, destination.title)


def _each_route_table(world: World) -> Iterator[Place]:
    wanted = world.wanted("route_tables")
    if wanted is None:
        wanted = [meta(t) for t in world.management.lists.get("RouteTable") or ()]
    return (Place(world, world.management, t, title("RouteTable", t["name"], t["namespace"])) for t in wanted)


def _destination_in_cluster(world: World) -> Iterator[Place]:
    return (Place(world, facts, d, d.title) for facts in world.workloads for d in destinations(world))


def _target_in_cluster(world: World) -> Iterator[Place]:
    return (
        Place(world, facts, (d, target), f"{d.title} {target.host}:{target.port}")
        for facts in world.workloads
        for d in destinations(world)
        for target in d.targets()
    )


# -- Services and Pods -----------------------------------------------------------------------------------------------


def _backing_service(place: Place) -> Finding:
    destination, facts = place.subject, place.facts
    found = backing_services(destination, facts)
    if found:
        return ok(f"{title_of(found[0])} is selected")
    for selector in destination.spec.get("services") or ():
        labels, namespace = selector.get("labels") or {}, selector.get("namespace") or destination.namespace
        pods = living(facts.of("Pod"), namespace, labels) if labels else []
        if pods:
            shown = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
            return failed(f"Pods labelled {shown} run in {namespace}, but no Service has these labels")
    others = [f.name for f in place.world.workloads if f is not facts and backing_services(destination, f)]
    unknown = [f.name for f in place.world.workloads if f.unreachable]
    if unknown and len(others) < 2:
        raise Unread(f"its selectors match no Service here, and {', '.join(unknown)} does not answer")
    if not others:
        return failed("its selectors match no Service in any cluster")
    if len(others) == 1:
        return warning(f"its selectors match no Service here, only one in {others[0]}: nothing to route between")
    return ok(f"its selectors match no Service here, but some in {', '.join(others)}")


def _service_unique(place: Place) -> Finding:
    found = backing_services(place.subject, place.facts)
    if len(found) > 1:
        names = ", ".join(title_of(s) for s in found)
        return warning(f"its selectors match {len(found)} Services, the oldest counts: {names}")
    return ok("its selectors match one Service" if found else "its selectors match no Service here")


def _backends(place: Place) -> Finding:
    pods = backing_pods(place.subject, place.facts)
    services = backing_services(place.subject, place.facts)
    if not services:
        return ok("no Service of it in this cluster")
    if not any(is_ready(pod) for pod in pods):
        why = "; ".join(f"{meta(pod)['name']}: {pod_trouble(pod)}" for pod in pods) or "it selects no Pod"
        return failed(f"{title_of(services[0])} has no ready Pod: {why}", object=title_of(services[0]))
    bad = [pod for pod in pods if not is_ready(pod)]
    if bad:
        return warning(f"{title_of(bad[0])} is not ready: {pod_trouble(bad[0])}", object=title_of(bad[0]))
    asleep = [
        title_of(d)
        for d in place.facts.of("Deployment")
        if spec_of(d).get("replicas") == 0
        and meta(d).get("namespace") == meta(services[0]).get("namespace")
        and selects(
            spec_of(services[0]).get("selector") or {},
            ((spec_of(d).get("template") or {}).get("metadata") or {}).get("labels") or {},
        )
    ]
    if asleep:
        return warning(f"{asleep[0]} is scaled to 0 replicas", object=asleep[0])
    return ok(f"ready Pods behind {title_of(services[0])}: {len(pods)}")


def _is_injected(facts: Facts, namespace: str, labels: dict[str, str]) -> bool:
    """Whether the labels lead to an istiod of the cluster."""
    if "istio-injection" not in labels and "istio.io/rev" not in labels:
        return False
    try:
        return bool(istiod.choose(facts.istio, for_namespace=namespace, namespace_labels=labels))
    except istiod.ChoiceError:
        return False


def _injection(place: Place) -> Finding:
    pods = backing_pods(place.subject, place.facts)
    served = {r for i in place.facts.istio["istiods"] for r in (i["revision"], *i["tags"])}
    for name in sorted({meta(pod)["namespace"] for pod in pods}):
        labels = labels_of(place.facts.find("Namespace", name))
        on = _is_injected(place.facts, name, labels)
        bare = [pod for pod in pods if meta(pod)["namespace"] == name and not has_sidecar(pod)]
        shown = (
            ", ".join(f"{k}={labels[k]}" for k in ("istio-injection", "istio.io/rev") if k in labels)
            or "no injection label"
        )
        right = f"label it istio.io/rev={' or '.join(sorted(served))} and restart its Deployments"
        if not on and labels.get("istio-injection") != "disabled":
            text = f"Namespace {name} has {shown}, the revisions served are {', '.join(sorted(served)) or 'none'}"
            return failed(f"{text}; {title_of(bare[0])} has no sidecar", right) if bare else warning(text, right)
        if bare:
            return failed(
                f"{title_of(bare[0])} has no sidecar",
                "restart its Deployment: it started before injection was on",
                title_of(bare[0]),
            )
    return ok(f"Pods with a sidecar: {len(pods)}" if pods else "no Pod of it in this cluster")


# -- Gloo's objects --------------------------------------------------------------------------------------------------


def _virtual_destination(place: Place) -> Finding:
    wanted: Destination = place.subject
    found = place.facts.find("VirtualDestination", wanted.name, wanted.namespace)
    if found is None:
        elsewhere = [
            f.name
            for f in place.world.workloads
            if wanted.name in [meta(d).get("name") for d in f.lists.get("VirtualDestination", ())]
        ]
        where = f"; one of this name is in {', '.join(elsewhere)}" if elsewhere else ""
        return failed(
            f"{wanted.title} does not exist in {place.cluster}{where}", "create it with site.yml --tags routing"
        )
    state = accepted(found, f", {status_of(found).get('numSelectedBackingServices', 0)} Services behind it")
    reason = translation.idle_reason(found) if status_of(found) else ""
    if "workspace" in reason:
        return failed(f"{wanted.title} {reason}", "let a Workspace select its namespace")
    if state.verdict != "ok":
        return state
    if reason:
        return failed(f"{wanted.title} {reason}", "compare its selectors with the labels of Services, not of Pods")
    return _all_seen(place, found) or state


def _all_seen(place: Place, found: Json) -> Finding | None:
    """Whether the management server counts a Service of every cluster that has one."""
    having = [f.name for f in place.world.workloads if "Service" not in f.unread and backing_services(place.subject, f)]
    counted = int(status_of(found).get("numSelectedBackingServices") or 0)
    if counted >= len(having):
        return None
    return failed(
        f"{place.subject.title} has {counted} Services behind it, there are some in {', '.join(having)}",
        "what an agent sees has not reached the management server: read the logs of both; does a Workspace select the "
        "namespace in every cluster?",
    )


def _route_table(place: Place) -> Finding:
    found = place.facts.find("RouteTable", place.subject["name"], place.subject["namespace"])
    if found is None:
        return failed(f"{place.object} does not exist in {place.cluster}", "create it with site.yml --tags routing")
    told = status_of(found)
    if told and "ownedByWorkspace" in told and not told["ownedByWorkspace"]:
        return failed(f"{place.object} belongs to no workspace", "let a Workspace select its namespace")
    return accepted(found)


# -- translation -----------------------------------------------------------------------------------------------------


def objects_of(facts: Facts) -> translation.Objects:
    """The lists of a cluster as translation wants them."""
    return translation.Objects(
        service_entries=facts.of("ServiceEntry"),
        workload_entries=facts.of("WorkloadEntry"),
        pods=facts.of("Pod"),
        http_routes=facts.of("HTTPRoute"),
        destination_rules=facts.of("DestinationRule"),
    )


def _first(problems: Iterable[translation.Problem], fine: str, hint: str = "") -> Finding:
    texts = [problem.text for problem in problems]
    return failed("; ".join(texts), hint) if texts else ok(fine)


def _service_entry(place: Place) -> Finding:
    destination, target = place.subject
    if "ServiceEntry" in place.facts.absent:
        return failed("the API server does not serve ServiceEntries", "install Istio's CRDs")
    objects = objects_of(place.facts)
    entry, problems = translation.find_entry(objects, target)
    if entry is not None:
        problems = problems + translation.entry_problems(entry, target)
        if backing_pods(destination, place.facts) and not translation.local_endpoints(entry, objects.pods):
            problems.append(translation.Problem(f"{title_of(entry)} selects none of the Pods behind the Service"))
    return _first(problems, title_of(entry) if entry else "")


def _workload_entries(place: Place) -> Finding:
    destination, target = place.subject
    objects = objects_of(place.facts)
    entry, _problems = translation.find_entry(objects, target)
    if entry is None:
        return failed("without a ServiceEntry nobody looks for them")
    remote, problems = translation.remote_endpoints(entry, objects.workload_entries, target)
    others = [f.name for f in place.world.workloads if f is not place.facts and backing_services(destination, f)]
    reachable = [row for row in remote if row["address"] or row["network"]]
    if not problems and len(reachable) < len(others):
        return failed(
            f"{len(reachable)} WorkloadEntries stand for other clusters, Services are in {', '.join(others)}",
            "is the east-west gateway of each chosen by the WorkspaceSettings, does it have an address?",
        )
    shown = ", ".join(f"{row['address']}:{row['port']}" for row in reachable)
    return _first(problems, f"other clusters at {shown}" if shown else "no other cluster has a Service of it")


def _workload_selection(place: Place) -> Finding:
    record = place.facts.istiod or {}
    deployment = place.facts.find("Deployment", str(record.get("name")), str(record.get("namespace")))
    if env(discovery_container(deployment or {}) or {}, SELECT_WORKLOAD_ENTRIES)[1] == "false":
        return ok(f"istiod has {SELECT_WORKLOAD_ENTRIES} false")
    for entry in place.facts.of("WorkloadEntry"):
        for service in place.facts.of("Service"):
            selector = spec_of(service).get("selector") or {}
            same = meta(service).get("namespace") == meta(entry).get("namespace")
            if same and selects(selector, spec_of(entry).get("labels") or {}):
                return warning(
                    f"istiod takes {title_of(entry)} for an endpoint of {title_of(service)}, on its own port"
                )
    return ok("no WorkloadEntry has labels that a Service selects")


def _locality(place: Place) -> Finding:
    _destination, target = place.subject
    for rule in place.facts.of("DestinationRule"):
        policy = spec_of(rule).get("trafficPolicy") or {}
        parts = [policy, *(policy.get("portLevelSettings") or ())]
        locality = any((part.get("loadBalancer") or {}).get("localityLbSetting") for part in parts)
        if spec_of(rule).get("host") == target.host and locality and any("outlierDetection" in part for part in parts):
            return warning(
                f"{title_of(rule)} keeps traffic in the cluster while its own instances are healthy",
                object=title_of(rule),
            )
    return ok("no DestinationRule keeps its traffic in one cluster")


_GLOO = ("management-server", "licence", "workspace", "east-west-selected")

CHECKS: tuple[Check, ...] = (
    Check(
        "backing-service", "a Service stands behind the destination", _destination_in_cluster, _backing_service,
        "compare the destination's selectors with the labels of Services, not of Pods",
    ),
    Check(
        "service-unique", "one Service per cluster stands behind the destination", _destination_in_cluster,
        _service_unique, "make the selectors narrower: a name or a namespace", ("backing-service",),
    ),
    Check(
        "backends", "Pods behind the destination are ready", _destination_in_cluster, _backends,
        "look at their events and logs", ("backing-service",),
    ),
    Check(
        "injection", "Pods behind the destination are in the mesh", _destination_in_cluster, _injection,
        "", ("istiod", "backing-service", "backends"),
    ),
    Check(
        "virtual-destination", "VirtualDestination is accepted", _each_destination, _virtual_destination,
        "its message tells what the management server does not like", _GLOO, ("agent-connected", "backing-service"),
    ),
    Check(
        "route-table", "RouteTable is accepted", _each_route_table, _route_table,
        "its message tells what the management server does not like",
        (*_GLOO, "virtual-destination"), ("agent-connected",),
    ),
    Check(
        "service-entry", "destination is translated", _target_in_cluster, _service_entry,
        "the agent writes it: read the logs of the agent and of the management server",
        ("agent-connected", "virtual-destination"),
    ),
    Check(
        "workload-entries", "other clusters stand behind the destination", _target_in_cluster, _workload_entries,
        "without them all answers are local", ("service-entry",), ("east-west-address", "east-west-port"),
    ),
    Check(
        "workload-selection", "plain Services are left out of the destination", workloads, _workload_selection,
        f"set env {SELECT_WORKLOAD_ENTRIES}=false on istiod", ("istiod",),
    ),
    Check(
        "locality", "traffic is spread over all clusters", _target_in_cluster, _locality,
        "wanted with a FailoverPolicy; then not every instance answers while all are healthy",
    ),
)  # fmt: skip
