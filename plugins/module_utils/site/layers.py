# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layers of Gloo Mesh and Istio in a site, found by what they are, not by the names of the guide (pure).

By arguments, images, labels, ports and kinds; the records of a layer are those of records.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..apply.adoption import read as former_fields
from ..apply.managed_fields import applied_fields
from ..apply.manifests import MANAGER, is_ours
from ..apply.yaml_data import contradictions, values_of
from ..helm.ownership import owner_of
from ..helm.plan import base_release
from ..istiod.objects import (
    command_of,
    compared,
    discovery_container,
    selects_pods_of,
    template_labels,
)
from ..k8s.fields import (
    Json,
    dig,
    full_name,
    key_of,
    labels_match,
    labels_of,
    listed,
    mapping,
    mappings,
    meta,
    name_of,
    number,
    spec_of,
    status_of,
    texts,
    title_of,
)
from ..k8s.names import join_host_port
from ..k8s.readiness import load_balancer_address, replicas_wanted
from ..mesh.east_west import LABELS, gateways
from ..mesh.parts import (
    AGENT,
    OPERATOR,
    SERVER,
    agents,
    argument,
    operators,
    servers,
    services_of,
)
from ..mesh.workspaces import includes_cluster, includes_namespace
from .records import (
    ABSENT,
    ADOPTED,
    AUTO,
    EXTERNAL,
    MANAGE,
    OURS,
    USE,
    ClusterObjects,
    Planned,
    helm_layer,
    objects_layer,
    record,
    release_of,
)

MANAGEMENT_LAYERS = ("crds", "platform", "workspace", "trust")
WORKLOAD_LAYERS = ("crds", "agent", "operator", "istio", "eastwest")
LAYERS = tuple(dict.fromkeys((*MANAGEMENT_LAYERS, *WORKLOAD_LAYERS)))

#: CRDs that the roles and the products need; a chart of another version may have more. The first one stands for all.
MESH_CRDS = (
    "kubernetesclusters.admin.gloo.solo.io",
    "workspaces.admin.gloo.solo.io",
    "workspacesettings.admin.gloo.solo.io",
    "roottrustpolicies.admin.gloo.solo.io",
    "virtualdestinations.networking.gloo.solo.io",
    "routetables.networking.gloo.solo.io",
)
TELEMETRY = "gloo-telemetry-gateway"
#: Names of the main objects in the charts.
MAIN = {"platform": SERVER, "agent": AGENT, "operator": OPERATOR}
RELAY_PORT, TELEMETRY_PORT, EASTWEST_PORT = 9900, 4317, 15443
#: spec of a Workspace with every namespace of every cluster
EVERYTHING: Json = {"workloadClusters": [{"name": "*", "namespaces": [{"name": "*"}]}]}
#: environment variable of istiod with the namespaces whose debug requests it accepts
DEBUG_NAMESPACES = "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"
LICENCE_KEYS = ("gloo-mesh-license-key", "gloo-trial-license-key")

#: In type, labels or annotations of a Secret cacerts that Gloo Mesh issued.
_ISSUER = "mesh.gloo.solo.io"
_DISABLED = re.compile(r"--[a-z-]*disable-?(relay-)?(ca|token)(-[a-z-]+)?(=true)?", re.IGNORECASE)
_RELAY_SWITCHES = ("disableCa", "disableCaCertGeneration", "disableTokenGeneration")


@dataclass(frozen=True)
class PlannedWorkspace:
    """The Workspace that the role would create. ``spec``: {} to choose one.

    ``namespaces``: those of VirtualDestinations and RouteTables, which have to be in a Workspace;
    ``more``: others that ours includes.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    namespaces: Sequence[str] = ()
    more: Sequence[str] = ()


def site_layers(
    clusters: Sequence[ClusterObjects],
    planned: Mapping[str, Planned],
    workspace: PlannedWorkspace = PlannedWorkspace(),
) -> dict[str, dict[str, Json]]:
    """Records by host and layer.

    A record: cluster, layer, state, mode, manage (whether roles write), install (whether it is, or becomes, ours),
    reason (a sentence), problem (a sentence for a contradiction that must be solved first, or ""), owner, object,
    namespace, name, release {name, namespace, chart, version}, and facts of the layer. If a Helm release is to be
    installed, the names are those that it will have. Clusters that are unreachable are left out.
    """
    found: dict[str, dict[str, Json]] = {}
    unreachable = [each for each in clusters if each.unreachable]
    clusters = [each for each in clusters if not each.unreachable]
    workloads = [each for each in clusters if each.role == "workload"]
    for cluster in clusters:
        rows = found.setdefault(cluster.host, {})
        rows["crds"] = _crds(cluster, planned)
        if cluster.role == "management":
            rows["platform"] = _platform(cluster, planned)
            rows["workspace"] = _workspace(cluster, workloads, unreachable, workspace)
            rows["trust"] = _trust(cluster, workloads, unreachable)
    management = next((each for each in clusters if each.role == "management"), None)
    for cluster in workloads:
        rows = found[cluster.host]
        platform = found[management.host]["platform"] if management else None
        rows["agent"] = _agent(cluster, planned, management, platform)
        rows["istio"] = _istio(cluster, planned.get("istio", Planned()))
        rows["operator"] = _operator(cluster, planned, rows["istio"])
        rows["eastwest"] = _eastwest(cluster, planned, management)
    return found


def problems(layers: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Every contradiction, with the cluster's name."""
    return [
        f"{row['cluster']}: {row['problem']}" for rows in layers.values() for row in rows.values() if row["problem"]
    ]


def _preferred_program(
    found: Iterable[Json], cluster: ClusterObjects, plan: Planned, suits: Callable[[Json], int] = lambda _: 0
) -> tuple[list[Json], str]:
    """(programs of one kind, the one to use first; a sentence if several namespaces have one that could be it).

    Those that we installed or adopted come first, then those that run and suit most, then those of the planned
    namespace.
    """

    def rank(program: Json) -> tuple[int, ...]:
        history = release_of(program, cluster.releases)
        note = history.note if history else None
        stopped, elsewhere = replicas_wanted(program) == 0, key_of(program)[0] != plan.namespace
        return (not (note and note.ours), note is None, stopped, -suits(program), elsewhere)

    ranked = sorted(found, key=rank)
    equal = [each for each in ranked if rank(each) == rank(ranked[0]) and replicas_wanted(each)]
    if len({key_of(each)[0] for each in equal}) < 2:
        return ranked, ""
    return ranked, (
        f"{' and '.join(map(title_of, equal))} are the same program, and it is not known which one to use. "
        "Set mesh_namespace to the namespace of that one"
    )


def _crds(cluster: ClusterObjects, planned: Mapping[str, Planned]) -> Json:
    """CRDs of another owner are used if none is missing; else helm_release decides whether the chart adds the rest."""
    present = {name_of(each): each for each in cluster.crds}
    row = helm_layer(cluster, "crds", [present[name] for name in MESH_CRDS[:1] if name in present], planned, {})
    missing = [name for name in MESH_CRDS if name not in present]
    if row["state"] == EXTERNAL and row["mode"] != USE and missing:
        reason = f"{row['reason']}; missing ones will be installed: {', '.join(missing)}"
        row |= {"manage": True, "problem": "", "reason": reason}
    return row


# -- management server -------------------------------------------------------------------------------------------------


def _platform(cluster: ClusterObjects, planned: Mapping[str, Planned]) -> Json:
    homes = {key_of(each)[0] for each in cluster.registrations}
    found, several = _preferred_program(
        servers(cluster.deployments), cluster, planned.get("platform", Planned()), lambda each: key_of(each)[0] in homes
    )
    server = found[0] if found else None
    namespace = key_of(server)[0]
    ports = (s for s in services_of(server, cluster.services) if _port(s, "", RELAY_PORT))
    relay = _preferred([*services_of(server, cluster.services, "grpc"), *ports])
    telemetry = _preferred(_telemetry(cluster, namespace))
    facts = {
        "relay_service": name_of(relay) if server else SERVER,
        "relay_address": _address(relay, "grpc", RELAY_PORT),
        "telemetry_service": name_of(telemetry) if server else TELEMETRY,
        "telemetry_address": _address(telemetry, "otlp", TELEMETRY_PORT),
        "registered": sorted(map(name_of, cluster.registrations)),
    }
    row = helm_layer(cluster, "platform", found, planned, facts)
    _add_problem(row, several)
    facts["authority"] = f"{facts['relay_service']}.{row['namespace']}" if facts["relay_service"] else ""
    values = _release_values(server, cluster)
    row["facts"]["own_relay_certificates"] = own_relay_certificates(values, server)
    row["facts"]["licence"] = _licence(cluster, row)
    return row


def _telemetry(cluster: ClusterObjects, namespace: str) -> list[Json]:
    """Services of the telemetry gateway: in the server's namespace, for a Deployment; collectors are DaemonSets."""
    services = [s for s in cluster.services if namespace and key_of(s)[0] == namespace]
    return [
        service
        for service in services
        if _port(service, "otlp", TELEMETRY_PORT)
        and any(selects_pods_of(service, deployment) for deployment in cluster.deployments)
    ]


def _preferred(services: Iterable[Json]) -> Json | None:
    """The Service that other clusters can reach: with an address, else of type LoadBalancer, else the first."""
    return min(
        services,
        key=lambda s: (not load_balancer_address(s), spec_of(s).get("type") != "LoadBalancer"),
        default=None,
    )


def _port(service: Json | None, name: str, number: int) -> int:
    """The Service's port of that name, else of that number, else 0."""
    ports = mappings(spec_of(service).get("ports"))
    for port in ports:
        if name and port.get("name") == name and isinstance(port.get("port"), int):
            return int(port["port"])
    return number if any(port.get("port") == number for port in ports) else 0


def _address(service: Json | None, name: str, number: int) -> str:
    """host:port of the Service for other clusters, "" when it has no load balancer address."""
    host = load_balancer_address(service) if service else ""
    return join_host_port(host, _port(service, name, number) or number) if host else ""


def _release_values(obj: Json | None, cluster: ClusterObjects) -> Json:
    """Values of the object's release; they may contain secrets and never leave this file."""
    history = release_of(obj, cluster.releases) if obj is not None else None
    base = base_release(history) if history else None
    return base.values if base else {}


def own_relay_certificates(values: Json, server: Json | None = None) -> str:
    """Why the relay uses user-supplied certificates, so that relay Secrets are not generated; "" when it does not."""
    relay = mapping(dig(values, "glooMgmtServer", "relay"))
    for switch in _RELAY_SWITCHES:
        if relay.get(switch) in (True, "true"):
            return f"Helm value glooMgmtServer.relay.{switch} is set"
    if dig(relay, "tlsSecret", "name"):
        return "Helm value glooMgmtServer.relay.tlsSecret is set"
    for container in mappings(dig(server, "spec", "template", "spec", "containers")):
        for word in command_of(container):
            if _DISABLED.fullmatch(word):
                return f"{title_of(server)} has argument {word}"
    return ""


def _licence(cluster: ClusterObjects, row: Json) -> str:
    """Where the management server's licence comes from without our key; "" when there is none."""
    if row["state"] in (ADOPTED, EXTERNAL):
        return "the present installation"
    for secret in cluster.licences:
        notes = texts(meta(secret).get("annotations"))
        made = (notes.get("meta.helm.sh/release-namespace"), notes.get("meta.helm.sh/release-name"))
        release = row["release"]
        if key_of(secret)[0] != row["namespace"]:
            continue
        if secret.get("data") and (not release or made != (release["namespace"], release["name"])):
            return full_name(secret)
    return ""


# -- workspaces and trust ----------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """A namespace of a workload cluster; ``cluster``: its registered name."""

    cluster: str
    cluster_labels: Mapping[str, str]
    namespace: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"namespace {self.namespace} of {self.cluster}" if self.namespace else self.cluster

    def is_in(self, workspaces: Iterable[Json]) -> bool:
        """Whether a Workspace includes it; without a namespace, whether one includes the cluster."""
        if not self.namespace:
            return any(includes_cluster(each, self.cluster, self.cluster_labels) for each in workspaces)
        return any(includes_namespace(each, *self) for each in workspaces)


def _members(cluster: ClusterObjects, workload: ClusterObjects, namespaces: Iterable[str]) -> list[Member]:
    """The namespaces of a workload cluster. cluster: the management cluster, which has the labels of clusters."""
    name = _registered_name(workload)
    labels = {name_of(each): labels_of(each) for each in cluster.registrations}
    present = {name_of(each): labels_of(each) for each in workload.namespaces or ()}
    return [Member(name, labels.get(name, {}), each, present.get(each, {})) for each in namespaces]


def _workspace(
    cluster: ClusterObjects,
    workloads: Sequence[ClusterObjects],
    unreachable: Sequence[ClusterObjects],
    plan: PlannedWorkspace,
) -> Json:
    """Workspaces of others suffice if they include the namespaces that the site needs.

    If they include none of them, ours is created beside them; a namespace must not be in two Workspaces.
    """
    ours = [each for each in cluster.workspaces if is_ours(each)]
    theirs = [each for each in cluster.workspaces if not is_ours(each)]
    needed = [each for workload in workloads for each in _members(cluster, workload, plan.namespaces or ("",))]
    missing = [each for each in needed if not each.is_in(theirs)]
    members = [*workloads, *unreachable]
    names = [_registered_name(each) for each in members] if _outside(cluster, members) else ["*"]
    spec = dict(plan.spec) or _workspace_spec(ours, theirs, needed, plan, names)
    facts = {"missing": list(map(str, missing)) if theirs else [], "spec": spec}
    named = ", ".join(map(full_name, theirs))
    # Without the labels of namespaces, Workspaces that select by labels seem not to include them.
    are_known = all(each.namespaces is not None for each in workloads)
    is_beside = bool(plan.namespaces) and are_known and not ours and missing == needed
    if theirs and (cluster.mode("workspace") == MANAGE or is_beside):
        known = {name_of(each) for workload in workloads for each in workload.namespaces or ()} | {*plan.namespaces}
        everywhere = [each for workload in workloads for each in _members(cluster, workload, sorted(known))]
        both = [str(each) for each in everywhere if each.is_in(theirs) and each.is_in([{"spec": spec}])]
        problem = (
            f"Workspace {named}: already includes {', '.join(both[:3])}{' and others' if both[3:] else ''}, and a "
            "namespace can be in one Workspace only. Set mesh_workspace_spec to namespaces that no other Workspace "
            "includes, or mesh_layers.workspace to use"
        )
        absent = f"one will be created beside {named}"
        return objects_layer(cluster, "workspace", ours, absent, facts, problem if both and not ours else "")
    problem = ""
    if theirs and missing:
        problem = (
            f"Workspace {named}: does not include {', '.join(facts['missing'])}. Add what is missing to its "
            "spec.workloadClusters, or set mesh_layers.workspace to manage and mesh_workspace_spec to namespaces that "
            "no other Workspace includes"
        )
    absent = "no Workspace exists: one will be created"
    return objects_layer(cluster, "workspace", cluster.workspaces, absent, facts, problem)


def _workspace_spec(
    ours: Sequence[Json],
    theirs: Sequence[Json],
    needed: Sequence[Member],
    plan: PlannedWorkspace,
    clusters: Sequence[str],
) -> Json:
    """The spec of our Workspace: everything, or beside Workspaces of others what the site needs and they leave out.

    ``clusters``: names of those to include, "*" if the inventory has all that are registered.
    """
    if not theirs or not plan.namespaces:
        return EVERYTHING
    if ours:
        former = spec_of(ours[0])
        missing = sorted({each.namespace for each in needed if not each.is_in([*ours, *theirs])})
        entries = listed(former.get("workloadClusters"))
        return {**former, "workloadClusters": [*entries, *(_entries(clusters, missing) if missing else [])]}
    labelled = {(each.cluster, tuple(each.cluster_labels.items())) for each in needed}
    more = [
        name
        for name in plan.more
        if not any(Member(each, dict(labels), name, {}).is_in(theirs) for each, labels in labelled)
    ]
    return {"workloadClusters": _entries(clusters, dict.fromkeys([*plan.namespaces, *more]))}


def _entries(clusters: Iterable[str], namespaces: Iterable[str]) -> list[Json]:
    names = list(namespaces)
    return [{"name": cluster, "namespaces": [{"name": each} for each in names]} for cluster in clusters]


def _trust(cluster: ClusterObjects, workloads: Sequence[ClusterObjects], unreachable: Sequence[ClusterObjects]) -> Json:
    """Whether the clusters need a RootTrustPolicy of ours."""
    own = [
        f"{full_name(secret)} in {each.name}" for each in workloads for secret in each.cacerts if not _issued(secret)
    ]
    facts = {"own_certificates": own, "governs": any(map(governs, cluster.policies))}
    if not cluster.policies and cluster.mode("trust") == AUTO:
        known = [each.roots for each in workloads]
        if own:
            reason = f"Secret {', '.join(own)} was not issued by Gloo Mesh: the root CA is managed elsewhere"
            return record(cluster, "trust", EXTERNAL, reason, facts=facts)
        if len(known) > 1 and frozenset.intersection(*known):
            reason = f"{', '.join(each.name for each in workloads)} already share a root certificate"
            return record(cluster, "trust", EXTERNAL, reason, facts=facts)
    running = [each for each in workloads if each.istiods and each.roots]
    problem = "" if cluster.policies else _unknown_root(cluster, workloads, unreachable) or _no_restarts(running)
    absent = "no RootTrustPolicy exists: one will be created"
    if running:
        names = ", ".join(each.name for each in running)
        absent += f". It replaces the root certificate of Istio in {names}, and workloads are restarted"
    return objects_layer(cluster, "trust", cluster.policies, absent, facts, problem)


def _unknown_root(
    cluster: ClusterObjects, workloads: Sequence[ClusterObjects], unreachable: Sequence[ClusterObjects]
) -> str:
    """Why it is not known who manages the root CA, "" if it is, or if it may be replaced in any case."""
    unread = [(each.name, each.unreachable) for each in unreachable]
    unread += [(each.name, ", ".join(each.trust_unread)) for each in workloads if each.trust_unread]
    unread += [
        (name, f"{name} is registered in {cluster.name}, but not in the inventory")
        for name in _outside(cluster, [*workloads, *unreachable])
    ]
    if not unread or cluster.mode("trust") != AUTO:
        return ""
    names = ", ".join(name for name, _why in unread)
    return (
        f"RootTrustPolicy: it is not known whether the root CA of {names} is managed elsewhere "
        f"({', '.join(why for _name, why in unread)}). Make sure that the clusters are in the inventory and "
        "can be read, or set mesh_layers.trust to use, or to manage if a RootTrustPolicy may replace the root"
    )


def _outside(cluster: ClusterObjects, workloads: Iterable[ClusterObjects]) -> list[str]:
    """Registered names of clusters that are not in the inventory; the management cluster counts if it has an istiod."""
    known = {name for each in workloads for name in (each.name, _registered_name(each))}
    if not any(map(discovery_container, cluster.deployments)):
        known |= {cluster.name, *(argument(each, "cluster") for each in agents(cluster.deployments))}
    return sorted({name_of(each) for each in cluster.registrations} - known)


def _no_restarts(running: Sequence[ClusterObjects]) -> str:
    """Proxies that are not restarted after the root was replaced do not trust those that are."""
    names = ", ".join(each.name for each in running if not each.in_run)
    return names and (
        f"RootTrustPolicy: a new one would replace the root certificate of Istio in {names}, but workloads there "
        f"cannot be restarted, because this run does not include {names}. Run without --limit, or add {names} to it"
    )


def _issued(secret: Json) -> bool:
    """Whether Gloo Mesh issued the Secret."""
    marks = {str(mapping(secret).get("type") or ""), *labels_of(secret), *texts(meta(secret).get("annotations"))}
    return any(_ISSUER in mark for mark in marks)


def governs(policy: Json) -> bool:
    """Whether the RootTrustPolicy applies to every mesh; a selection of meshes cannot be evaluated here."""
    return not spec_of(policy).get("applyToMeshes")


# -- workload clusters -------------------------------------------------------------------------------------------------


def _registered_name(cluster: ClusterObjects) -> str:
    """Name of the cluster in Gloo Mesh: its agent's, else the planned one."""
    names = [name for each in agents(cluster.deployments) if (name := argument(each, "cluster"))]
    return cluster.name if cluster.name in names or not names else names[0]


def _agent(
    cluster: ClusterObjects, planned: Mapping[str, Planned], management: ClusterObjects | None, platform: Json | None
) -> Json:
    server = compared(platform["facts"]["relay_address"]) if platform and platform["facts"]["relay_address"] else None
    found, several = _preferred_program(
        agents(cluster.deployments),
        cluster,
        planned.get("agent", Planned()),
        lambda each: (
            2 * (compared(argument(each, "relay-address")) == server) + (argument(each, "cluster") == cluster.name)
        ),
    )
    agent = found[0] if found else None
    name = argument(agent, "cluster")
    registrations = [each for each in (management.registrations if management else ()) if name_of(each) == cluster.name]
    facts = {
        "cluster": name,
        "relay_address": argument(agent, "relay-address"),
        "authority": argument(agent, "relay-authority"),
        "registered": bool(registrations),
        "registration_ours": any(map(is_ours, registrations)),
        "uid": cluster.uid,
    }
    known = set(map(name_of, management.registrations)) if management else set()
    row = helm_layer(cluster, "agent", found, planned, facts)
    if row["manage"] and row["state"] != OURS and name and name != cluster.name:
        row["problem"] = (
            f"{title_of(agent)}: registers this cluster as {name}, not as {cluster.name}. "
            f"Set mesh_cluster_name to {name}"
        )
    elif row["state"] != OURS and management and not known & {name, cluster.name} and _serves_another(agent, server):
        row["problem"] = (
            f"{title_of(agent)} is ready, although {management.name} has no KubernetesCluster {name or cluster.name}: "
            f"it belongs to another management server, at {facts['relay_address']}. Take the cluster out of the "
            f"inventory, or, if that address leads to {management.name}, create the KubernetesCluster there first"
        )
    _add_problem(row, several)
    if row["mode"] == USE:
        row["problem"] = ""
    return row


def _serves_another(agent: Json | None, server: tuple[str, int | None] | None) -> bool:
    """Whether an agent that is not registered here is ready, as only a registered one is, at another address."""
    address = argument(agent, "relay-address")
    return bool(address) and compared(address) != server and number(status_of(agent).get("readyReplicas")) > 0


def _add_problem(row: Json, problem: str) -> None:
    row["problem"] = row["problem"] or problem


def _istio(cluster: ClusterObjects, planned: Planned) -> Json:
    """Istio, by a ServiceMeshController or without one. planned: namespace and name of the operator's istiod."""
    facts = {"istiods": list(cluster.istiods), "deployments": [full_name(each) for each in cluster.istiod_deployments]}
    absent = "no istiod exists: the Gloo Operator will install it"
    present = list(cluster.istiod_deployments) or [
        {"kind": "Service", "metadata": {"namespace": each["namespace"], "name": each["name"] or "istiod"}}
        for each in cluster.istiods
    ]
    if cluster.controllers or not present:
        return objects_layer(cluster, "istio", cluster.controllers, absent, facts)
    main, owner = present[0], owner_of(present[0], "", "")
    if cluster.mode("istio") == MANAGE and (planned.namespace, planned.name) not in map(key_of, present):
        reason = f"the Gloo Operator will install one beside {title_of(main)}, because mesh_layers.istio is manage"
        return record(cluster, "istio", ABSENT, reason, facts=facts)
    reason = f"{title_of(main)} belongs to {owner} and is used unchanged"
    return record(cluster, "istio", EXTERNAL, reason, main=main, owner=owner, facts=facts)


def _operator(cluster: ClusterObjects, planned: Mapping[str, Planned], istio: Json) -> Json:
    """The operator is needed only for an Istio that it installs for us."""
    facts = {"debug_namespaces": debug_namespaces(cluster.extensions)}
    found, several = _preferred_program(operators(cluster.deployments), cluster, planned.get("operator", Planned()))
    row = helm_layer(cluster, "operator", found, planned, facts)
    if row["manage"] and not istio["manage"] and cluster.mode("operator") == AUTO:
        kept = "it is not changed" if row["state"] != ABSENT else "it is not installed"
        row |= {"manage": False, "install": False, "reason": f"Istio is not managed by this collection: {kept}"}
    if row["manage"]:
        _add_problem(row, several)
    if istio["manage"]:
        _add_problem(row, extensions_problem(cluster.extensions, cluster.operator_values))
    return row


def extensions_problem(config_map: Json | None, wanted: Mapping[str, Any]) -> str:
    """Why the user's values cannot be added to those of others in the operator's ConfigMap, "" if they can.

    wanted: by chart. Values that this collection wrote before may be changed. No value is quoted: it may be a secret.
    """
    found = []
    for chart, values in {"istiod": {}, **wanted}.items():
        key = f"values.{chart}"
        try:
            theirs = values_of(key, _of_others(config_map, key))
        except ValueError as exc:
            found.append(f"{exc}, so no values can be added. Correct it")
            continue
        if chart == "istiod":
            theirs = _with_environment(theirs)
            found += [
                f"{key}: {path} is not a mapping, so no environment can be added. Correct it"
                for path in contradictions(theirs, {"pilot": {"env": {}}})
                if not isinstance(dig(theirs, *path.split(".")), dict)
            ]
        found += [
            f"{key} has another value of {path} than mesh_istiod_env or mesh_operator_extensions. "
            "Set the same value in both, or remove it from one of them"
            for path in contradictions(theirs, mapping(values))
        ]
    return f"{title_of(config_map)}: {'; '.join(found)}" if found else ""


def _of_others(config_map: Json | None, key: str) -> str:
    """The text of a key before this collection wrote it."""
    path = ["f:data", f"f:{key}"]
    former = [row.get("value") for row in former_fields(config_map or {}) if row["path"] == path]
    if former:
        return str(former[0])
    written = mapping(mapping(applied_fields(config_map, MANAGER)).get("f:data")) if config_map else {}
    return "" if f"f:{key}" in written else texts(mapping(config_map).get("data")).get(key, "")


def _with_environment(values: Json) -> Json:
    """Values of the chart istiod in which env, another name of pilot.env, is part of that."""
    pilot = values.get("pilot") or {}
    if not isinstance(pilot, dict) or not isinstance(pilot.get("env") or {}, dict):
        return values
    return {**values, "pilot": {**pilot, "env": {**mapping(values.get("env")), **mapping(pilot.get("env"))}}}


def debug_namespaces(config_map: Json | None) -> list[str]:
    """The namespaces whose debug requests istiod accepts by the operator's ConfigMap; [] if it has none."""
    try:
        values = values_of("", texts(mapping(config_map).get("data")).get("values.istiod", ""))
    except ValueError:
        return []
    text = dig(_with_environment(values), "pilot", "env", DEBUG_NAMESPACES)
    return [each for part in str(text or "").split(",") if (each := part.strip())]


def _eastwest(cluster: ClusterObjects, planned: Mapping[str, Planned], management: ClusterObjects | None) -> Json:
    settings = management.settings if management else ()
    found = {
        key_of(each.service): each
        for each in gateways(cluster.services, settings, _registered_name(cluster))
        if each.port or _port(each.service, "", EASTWEST_PORT)
    }
    services = [each.service for each in found.values()]
    service = _preferred(services)
    pods = [d for d in cluster.deployments if service is not None and selects_pods_of(service, d)]
    addresses = found[key_of(service)].addresses() if service is not None else []
    facts = {
        "address": str(addresses[0]) if addresses else "",
        "deployments": [full_name(each) for each in pods],
        "services": [full_name(each) for each in services],
        "revision": template_labels(pods[0]).get("istio.io/rev", "") if pods else "",
    }
    main = [service] if service is not None else []
    return helm_layer(cluster, "eastwest", main, planned, facts)


def could_be_east_west(service: Json) -> bool:
    """Whether WorkspaceSettings, which are not known here, may select the Service as an east-west gateway."""
    return bool(_port(service, "tls", EASTWEST_PORT)) or labels_match(LABELS, labels_of(service))
