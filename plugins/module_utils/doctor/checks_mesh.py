# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Gloo Mesh: management server, licence, addresses, registration, relay, workspace, trust policy (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..k8s.fields import Json, labels_of, meta, spec_of, status_of, title, title_of
from ..k8s.log_causes import Cause
from ..k8s.pods import pods_of
from ..k8s.readiness import judge, load_balancer_address
from . import logs
from .facts import AGENT, CLIENT_SECRET, ROOT_SECRET, SERVER, TOKEN_SECRET, Facts, World, flag, standing
from .runner import Check, Finding, Place, Unread, failed, ok, warning

TELEMETRY = "gloo-telemetry-gateway"
GLOO_KINDS = (
    "Workspace",
    "WorkspaceSettings",
    "KubernetesCluster",
    "VirtualDestination",
    "RouteTable",
    "RootTrustPolicy",
)


# -- places ----------------------------------------------------------------------------------------------------------


def everywhere(world: World) -> Iterator[Place]:
    return (Place(world, facts) for facts in world.clusters)


def management(world: World) -> Iterator[Place]:
    yield Place(world, world.management)


def workloads(world: World) -> Iterator[Place]:
    return (Place(world, facts) for facts in world.workloads)


def gateways(world: World) -> Iterator[Place]:
    return (Place(world, facts) for facts in world.gateways)


# -- reached ---------------------------------------------------------------------------------------------------------


def _reach(place: Place) -> Finding:
    facts: Facts = place.facts
    return (
        failed(facts.unreachable.removeprefix(f"{facts.name}: "))
        if facts.unreachable
        else ok(f"{facts.server}, Kubernetes {facts.version}")
    )


def _distinct(place: Place) -> Finding:
    if not place.facts.uid:
        raise Unread("Namespace kube-system, whose UID tells clusters apart, may not be read")
    same = [f.name for f in place.world.clusters if f.uid == place.facts.uid and f.name != place.cluster]
    if same:
        return failed(f"{place.cluster} and {', '.join(same)} are one cluster (UID {place.facts.uid} of kube-system)")
    return ok(f"UID {place.facts.uid} of kube-system")


# -- management server -----------------------------------------------------------------------------------------------


def deployment(name: str) -> Callable[[Place], Finding]:
    """A check for one Deployment, found by its name in any namespace."""

    def look(place: Place) -> Finding:
        found = place.facts.find("Deployment", name)
        return standing(found, title("Deployment", name, meta(found).get("namespace") or place.facts.mesh_namespace))

    return look


def _licence(place: Place) -> Finding:
    asked = 0
    for kind in GLOO_KINDS:
        for obj in place.facts.of(kind):
            asked += 1
            text = judge(obj).reason
            if "UNLICENSED" in text:
                return failed(f"{title_of(obj)}: {text}", object=title_of(obj))
    return ok(f"none of {asked} objects is UNLICENSED")


def outside_address(facts: Facts, name: str, port_name: str) -> tuple[str, Finding]:
    """("host:port" or "", what is to be said of it) of a LoadBalancer Service."""
    service = facts.find("Service", name, facts.mesh_namespace)
    named = title("Service", name, facts.mesh_namespace)
    if service is None:
        return "", failed(f"{named} does not exist", object=named)
    port = next((p.get("port") for p in spec_of(service).get("ports") or () if p.get("name") == port_name), None)
    if port is None:
        return "", failed(f"{named} has no port named {port_name}", object=named)
    kind = spec_of(service).get("type", "ClusterIP")
    if kind != "LoadBalancer":
        hint = f"set its type to LoadBalancer, or give agents another way to port {port}"
        return "", failed(f"{named} has type {kind}: nobody outside the cluster reaches it", hint, named)
    address = load_balancer_address(service)
    if not address:
        hint = "the load balancer provider of this cluster has given none: is there one, has it addresses left?"
        return "", failed(f"{named} of type LoadBalancer has no address", hint, named)
    return f"{address}:{port}", ok(f"{named} at {address}:{port}", named)


def _relay_address(place: Place) -> Finding:
    _address, found = outside_address(place.facts, SERVER, "grpc")
    agents = [Place(place.world, facts) for facts in place.world.workloads]
    if found.verdict != "failed" or any(map(_refused, agents)):
        return found
    known = all(place.world.is_connected(own_name(agent.facts)) for agent in agents)
    remark = "agents are connected all the same" if known else "but no agent is known to miss it"
    return warning(f"{found.seen}; {remark}", found.hint, found.object)


def _telemetry_address(place: Place) -> Finding:
    _address, found = outside_address(place.facts, TELEMETRY, "otlp")
    return warning(found.seen, found.hint, found.object) if found.verdict == "failed" else found


def _mesh_namespace(place: Place) -> Finding:
    name = place.facts.mesh_namespace
    labels = labels_of(place.facts.find("Namespace", name))
    injected = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
    if injected and labels.get("istio-injection") != "disabled":
        shown = ", ".join(f"{k}={v}" for k, v in labels.items() if k in ("istio-injection", "istio.io/rev"))
        return failed(f"Namespace {name} is labelled {shown}: sidecars come between agent and relay")
    return ok(f"Namespace {name} is not labelled for injection")


# -- registration and relay ------------------------------------------------------------------------------------------


_OWN_NAME = "give the agent the name of its cluster: Helm value common.cluster"


def _registered(place: Place) -> Finding:
    name = own_name(place.facts)
    mesh = place.world.management
    named = title("KubernetesCluster", name, mesh.mesh_namespace)
    if "_" in name:
        return failed(f"the agent calls this cluster {name}", "cluster names have no underscores: rename it", named)
    same = [f.name for f in place.world.workloads if f is not place.facts and name != place.cluster and _calls(f, name)]
    if same:
        return failed(f"the agent calls this cluster {name}, as that of {', '.join(same)} does", _OWN_NAME, named)
    found = mesh.find("KubernetesCluster", name)
    if found is None:
        have = ", ".join(str(meta(c).get("name")) for c in mesh.of("KubernetesCluster")) or "none"
        hint = _OWN_NAME if mesh.find("KubernetesCluster", place.cluster) else ""
        return failed(f"{named} does not exist in {mesh.name} (registered: {have})", hint, named)
    state = standing(found, named)
    if state.verdict == "ok" and name != place.cluster:
        return warning(f"the agent calls this cluster {name}, the inventory {place.cluster}", _OWN_NAME, named)
    return state


def _calls(facts: Facts, name: str) -> bool:
    """Whether the agent of a cluster is known to call it so."""
    return "Deployment" not in facts.unread and flag(facts.find("Deployment", AGENT), "cluster") == name


def _copied(secret: str, key: str) -> Callable[[Place], Finding]:
    """A check for one key of a relay Secret: there, and the same as in the management cluster.

    A connected agent has what it needs: whoever brings certificates of his own has no token, or another root.
    """

    def look(place: Place) -> Finding:
        found = compare(place)
        if found.verdict == "failed" and place.world.is_connected(own_name(place.facts)):
            return warning(f"{found.seen}; the agent is connected all the same", object=found.object)
        return found

    def compare(place: Place) -> Finding:
        named = title("Secret", secret, place.facts.mesh_namespace)
        have = place.facts.secret(secret)
        if have is None:
            return failed(f"{named} does not exist", object=named)
        if not have["keys"].get(key):
            keys = ", ".join(sorted(have["keys"])) or "none"
            return failed(f"{named} has no key {key} (keys: {keys})", object=named)
        mesh: Facts = place.world.management
        original = mesh.secret(secret)
        if original is None or not original["keys"].get(key):
            return warning(f"{named} is there, but {mesh.name} has none to compare it with", object=named)
        if original["keys"][key] != have["keys"][key]:
            return failed(
                f"{named}: its {key} is not that of {mesh.name}: it comes from another installation", object=named
            )
        return ok(f"{named} has the same {key} as {mesh.name}", named)

    return look


def _relay_client(place: Place) -> Finding:
    named = title("Secret", CLIENT_SECRET, place.facts.mesh_namespace)
    have, root = place.facts.secret(CLIENT_SECRET), place.facts.secret(ROOT_SECRET)
    if have is None:
        return ok(f"{named} does not exist yet: the agent asks for it when it connects", named)
    issuer = have["keys"].get("ca.crt")
    if issuer and root and issuer != root["keys"].get("ca.crt") and _refused(place):
        return failed(f"{named} was issued under another root than the relay has now", object=named)
    return ok(f"{named} is there", named)


def _relay_setting(name: str, right: Callable[[Place], str], what: str) -> Callable[[Place], Finding]:
    """A check for one argument of the agent against what the management cluster says; a connected agent is right."""

    def look(place: Place) -> Finding:
        agent = place.facts.find("Deployment", AGENT)
        have, wanted = flag(agent, name), right(place)
        named = title("Deployment", AGENT, meta(agent).get("namespace"))
        if not have:
            raise Unread(f"{named} has no argument --{name}")
        if have == wanted or not wanted:
            return ok(f"{what} {have}", named)
        seen = f"{named} has {what} {have}, the management server's is {wanted}"
        if place.world.is_connected(own_name(place.facts)):
            return ok(f"{what} {have}, and the agent is connected", named)
        return failed(seen, object=named) if _refused(place) else warning(seen, object=named)

    return look


def own_name(facts: Facts) -> str:
    """What the agent calls its cluster, else what the inventory does."""
    return flag(facts.find("Deployment", AGENT), "cluster") or facts.name


def _refused(place: Place) -> bool:
    """Whether the agent is known not to be connected: by the metric, or by its log where that cannot be read."""
    connected = place.world.is_connected(own_name(place.facts))
    return _agent_log(place) is not None if connected is None else not connected


def _agent_log(place: Place) -> Cause | None:
    """What the agent's log says of the relay, None when it says nothing bad."""
    return logs.told(place, _agent_pods(place), logs.RELAY)


def _agent_pods(place: Place) -> list[Json]:
    agent = place.facts.find("Deployment", AGENT)
    return pods_of(agent, place.facts.of("Pod")) if agent else []


def _agent_connected(place: Place) -> Finding:
    name = own_name(place.facts)
    connected = place.world.is_connected(name)
    if connected:
        return ok(f"the management server holds the connection of {name}")
    cause = _agent_log(place)
    if cause:
        return failed(
            f"the agent's log says: {cause.line}", cause.hint, f"Deployment {place.facts.mesh_namespace}/{AGENT}"
        )
    if connected is False:
        return failed(f"the management server counts no connection of {name}; the agent's log says nothing of it")
    if place.facts.secret(CLIENT_SECRET) is not None and any(True for _log in logs.texts(place, _agent_pods(place))):
        return ok("the agent has its certificate and its log complains of nothing (the metric could not be read)")
    raise Unread("neither the management server's metric nor the agent's log could be read")


# -- workspace and trust ---------------------------------------------------------------------------------------------


def accepted(obj: Json, remark: str = "") -> Finding:
    """What the state of a Gloo object means: WARNING is output with something wrong, anything else is none."""
    named, verdict = title_of(obj), judge(obj)
    if not verdict.ready:
        return failed(f"{named}: {verdict.reason}", object=named)
    if verdict.reason:
        return warning(f"{named}: {verdict.reason}", object=named)
    return ok(f"{named} is ACCEPTED{remark}", named)


def _workspace(place: Place) -> Finding:
    found = place.facts.of("Workspace")
    if not found:
        return failed("there is no Workspace: Gloo Mesh reads no configuration")
    for obj in found:
        state = accepted(obj)
        if state.verdict != "ok":
            return state
    numbers = [int(status_of(obj).get("numSelectedClusters") or 0) for obj in found]
    wanted = len(place.world.workloads)
    if sum(numbers) < wanted:
        return failed(
            f"{title_of(found[0])} selects {sum(numbers)} clusters of {wanted}",
            "set spec.workloadClusters to name every workload cluster, or '*'",
            title_of(found[0]),
        )
    return ok(f"{title_of(found[0])} selects {max(numbers)} clusters", title_of(found[0]))


def _workspace_settings(place: Place) -> Finding:
    found = place.facts.of("WorkspaceSettings")
    if not found:
        return failed("there are no WorkspaceSettings: no east-west gateway is chosen")
    return _worst(accepted(obj) for obj in found)


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda each: ("ok", "warning", "failed").index(each.verdict))


def _trust_policy(place: Place) -> Finding:
    found = place.facts.of("RootTrustPolicy")
    if not found:
        return ok("there is no RootTrustPolicy: whoever made the certificates has to keep the roots equal")
    return _worst(accepted(obj) for obj in found)


def _server_address(place: Place) -> str:
    return outside_address(place.world.management, SERVER, "grpc")[0]


def _server_name(place: Place) -> str:
    return f"{SERVER}.{place.world.management.mesh_namespace}"


_SITE = "site.yml --tags mesh"

CHECKS: tuple[Check, ...] = (
    Check("reach", "API server answers", everywhere, _reach, "start the cluster, or correct kubeconfig and context"),
    Check("distinct", "host is a cluster of its own", everywhere, _distinct, "correct kube_context of one of them"),
    Check(
        "management-server", "management server runs", management, deployment(SERVER),
        "nothing is translated without it: scale it up, read its log",
    ),
    Check(
        "licence", "licence is accepted", management, _licence,
        "renew the licence: Helm value licensing.glooMeshLicenseKey of gloo-platform", ("management-server",),
    ),
    Check("relay-address", "relay has an address", management, _relay_address, "agents reach the server by it"),
    Check(
        "telemetry-address", "telemetry gateway has an address", management, _telemetry_address,
        "routing works without it, metrics of the workload clusters are lost",
    ),
    Check(
        "mesh-namespace", "no sidecars in the namespace of Gloo Mesh", everywhere, _mesh_namespace,
        "remove the label and restart the Deployments of the namespace",
    ),
    Check(
        "registered", "cluster is registered", workloads, _registered,
        f"create the KubernetesCluster in the management cluster: {_SITE}", ("reach",),
    ),
    Check(
        "relay-root", "relay root certificate is that of the management cluster", workloads,
        _copied(ROOT_SECRET, "ca.crt"), f"the agent cannot trust the relay: copy it with {_SITE}", ("reach",),
    ),
    Check(
        "relay-token", "relay token is that of the management cluster", workloads,
        _copied(TOKEN_SECRET, "token"), f"the agent cannot prove who it is: copy it with {_SITE}", ("reach",),
    ),
    Check(
        "relay-client", "relay client certificate fits the relay root", workloads, _relay_client,
        f"delete the Secret {CLIENT_SECRET} and restart the agent: it asks for a new one", ("relay-root",),
    ),
    Check(
        "agent", "agent runs", workloads, deployment(AGENT), "nothing is translated in this cluster without it",
        ("mesh-namespace", "relay-root", "relay-token"),
    ),
    Check(
        "relay-target", "agent calls the address of the relay", workloads,
        _relay_setting("relay-address", _server_address, "relay address"),
        f"correct Helm value glooAgent.relay.serverAddress: {_SITE}", ("agent", "management-server", "relay-address"),
    ),
    Check(
        "relay-authority", "agent expects the name in the relay's certificate", workloads,
        _relay_setting("relay-authority", _server_name, "relay authority"),
        f"correct Helm value glooAgent.relay.authority: {_SITE}", ("agent", "management-server"),
    ),
    Check(
        "agent-connected", "agent is connected", workloads, _agent_connected,
        "read the agent's log; is TCP port 9900 open from the workload cluster to the management server?",
        (
            "management-server", "relay-address", "registered", "relay-client", "agent", "relay-target",
            "relay-authority",
        ),
    ),
    Check(
        "workspace", "workspace takes in every workload cluster", management, _workspace,
        "its message tells what the management server does not like",
        ("management-server", "licence"), ("agent-connected",),
    ),
    Check(
        "workspace-settings", "workspace settings are accepted", management, _workspace_settings,
        "they have to be in a namespace of the workspace", ("workspace",),
    ),
    Check(
        "trust-policy", "root trust policy is accepted", management, _trust_policy,
        "clusters do not trust each other without a shared root", ("management-server", "licence"),
    ),
)  # fmt: skip
