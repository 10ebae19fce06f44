# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Gloo Mesh: management server, licence, addresses, registration, relay, workspace, trust policy (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..k8s.fields import Json, labels_of, mappings, meta, name_of, spec_of, status_of, title, title_of
from ..k8s.log_causes import Cause
from ..k8s.pods import pods_of
from ..k8s.readiness import judge, load_balancer_address
from . import logs
from .facts import AGENT, CLIENT_SECRET, ROOT_SECRET, SERVER, TOKEN_SECRET, Facts, SiteFacts, argument, workload_ready
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

TELEMETRY = "gloo-telemetry-gateway"
NO_ADDRESS = "check that the cluster has a load balancer provider with free addresses"
GLOO_KINDS = (
    "Workspace",
    "WorkspaceSettings",
    "KubernetesCluster",
    "VirtualDestination",
    "RouteTable",
    "RootTrustPolicy",
)


# -- targets -----------------------------------------------------------------------------------------------------------


def everywhere(site: SiteFacts) -> Iterator[CheckTarget]:
    return (CheckTarget(site, facts) for facts in site.clusters)


def management(site: SiteFacts) -> Iterator[CheckTarget]:
    yield CheckTarget(site, site.management)


def workloads(site: SiteFacts) -> Iterator[CheckTarget]:
    return (CheckTarget(site, facts) for facts in site.workloads)


def gateways(site: SiteFacts) -> Iterator[CheckTarget]:
    return (CheckTarget(site, facts) for facts in site.gateways)


# -- reachable ---------------------------------------------------------------------------------------------------------


def _reach(target: CheckTarget) -> Finding:
    facts: Facts = target.facts
    return (
        failed(facts.unreachable.removeprefix(f"{facts.name}: "))
        if facts.unreachable
        else ok(f"{facts.server}, Kubernetes {facts.version}")
    )


def _distinct(target: CheckTarget) -> Finding:
    if not target.facts.uid:
        raise NotReadable("the UID of Namespace kube-system, which identifies the cluster, cannot be read")
    same = [f.name for f in target.site.clusters if f.uid == target.facts.uid and f.name != target.cluster]
    if same:
        names = ", ".join([target.cluster, *same])
        return failed(f"{names} are the same cluster (UID {target.facts.uid} of Namespace kube-system)")
    return ok(f"UID {target.facts.uid}")


# -- management server -------------------------------------------------------------------------------------------------


def deployment(name: str) -> Callable[[CheckTarget], Finding]:
    """A check for one Deployment, found by its name in any namespace."""

    def evaluate(target: CheckTarget) -> Finding:
        found = target.facts.find("Deployment", name)
        return workload_ready(
            found, title("Deployment", name, meta(found).get("namespace") or target.facts.mesh_namespace)
        )

    return evaluate


def _licence(target: CheckTarget) -> Finding:
    objects = [obj for kind in GLOO_KINDS for obj in target.facts.of(kind)]
    for obj in objects:
        text = judge(obj).reason
        if "UNLICENSED" in text:
            return failed(f"{title_of(obj)}: {text}", object=title_of(obj))
    return ok(f"none of {len(objects)} Gloo Mesh objects is UNLICENSED")


def external_address(facts: Facts, name: str, port_name: str) -> tuple[str, Finding]:
    """("host:port" or "", the finding) of a LoadBalancer Service."""
    service = facts.find("Service", name, facts.mesh_namespace)
    named = title("Service", name, facts.mesh_namespace)
    if service is None:
        return "", failed(f"{named} does not exist", object=named)
    port = port_named(service, port_name)
    if port is None:
        return "", failed(f"{named} has no port named {port_name}", object=named)
    kind = spec_of(service).get("type", "ClusterIP")
    if kind != "LoadBalancer":
        hint = f"set its type to LoadBalancer, or give the agents another address for port {port}"
        return "", failed(f"{named} has type {kind}, which is not reachable from other clusters", hint, named)
    address = load_balancer_address(service)
    if not address:
        return "", failed(f"{named} of type LoadBalancer has no address", NO_ADDRESS, named)
    return f"{address}:{port}", ok(f"{named} at {address}:{port}", named)


def port_named(service: Json, *names: str) -> int | None:
    """Number of the first port of a Service with one of these names."""
    return next(
        (port.get("port") for port in mappings(spec_of(service).get("ports")) if port.get("name") in names), None
    )


def _relay_address(target: CheckTarget) -> Finding:
    _address, found = external_address(target.facts, SERVER, "grpc")
    agents = [CheckTarget(target.site, facts) for facts in target.site.workloads]
    if found.verdict != "failed" or any(map(_is_disconnected, agents)):
        return found
    connected = all(target.site.is_connected(registered_name(agent.facts)) for agent in agents)
    remark = "all agents are connected by other means" if connected else "no agent is known to be disconnected"
    return warning(f"{found.message}; {remark}", found.hint, found.object)


def _telemetry_address(target: CheckTarget) -> Finding:
    _address, found = external_address(target.facts, TELEMETRY, "otlp")
    return warning(found.message, found.hint, found.object) if found.verdict == "failed" else found


def _mesh_namespace(target: CheckTarget) -> Finding:
    named = title("Namespace", target.facts.mesh_namespace)
    labels = labels_of(target.facts.find("Namespace", target.facts.mesh_namespace))
    injected = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
    if injected and labels.get("istio-injection") != "disabled":
        shown = ", ".join(f"{k}={v}" for k, v in labels.items() if k in ("istio-injection", "istio.io/rev"))
        return failed(
            f"{named} has label {shown}: a sidecar breaks the connection between agent and relay", object=named
        )
    return ok(f"{named} has no injection label", named)


# -- registration and relay --------------------------------------------------------------------------------------------


_CLUSTER_NAME = "set Helm value common.cluster of the agent to the name of its cluster"


def _registered(target: CheckTarget) -> Finding:
    name = registered_name(target.facts)
    mesh = target.site.management
    named = title("KubernetesCluster", name, mesh.mesh_namespace)
    if "_" in name:
        return failed(f"the agent's cluster name is {name}", "use a cluster name without underscores", named)
    others = [f.name for f in target.site.workloads if f is not target.facts and _agent_name(f) == name]
    if others and name != target.cluster:
        return failed(
            f"the agent's cluster name is {name}, which is also used in {', '.join(others)}", _CLUSTER_NAME, named
        )
    found = mesh.find("KubernetesCluster", name)
    if found is None:
        names = ", ".join(map(name_of, mesh.of("KubernetesCluster"))) or "none"
        hint = _CLUSTER_NAME if mesh.find("KubernetesCluster", target.cluster) else ""
        return failed(f"{named} does not exist in {mesh.name} (registered: {names})", hint, named)
    state = workload_ready(found, named)
    if state.verdict == "ok" and name != target.cluster:
        text = f"the agent's cluster name is {name}, but the inventory has {target.cluster}"
        return warning(text, f"if they are meant to match, {_CLUSTER_NAME}", named)
    return state


def _no_others_registered(target: CheckTarget) -> Finding:
    """A cluster that was taken out of the inventory only: Gloo Mesh still translates it."""
    known = {registered_name(facts) for facts in target.site.workloads}
    # The management cluster may be registered as well.
    known |= {target.cluster, argument(target.facts.find("Deployment", SERVER), "cluster")}
    others = [name_of(obj) for obj in target.facts.of("KubernetesCluster") if name_of(obj) not in known]
    if others:
        names = ", ".join(sorted(others))
        return warning(f"{names}: still registered, but in no host of the inventory")
    return ok("every KubernetesCluster is a host of the inventory")


def _agent_name(facts: Facts) -> str:
    """Cluster name in the agent's configuration, "" if unknown."""
    return "" if "Deployment" in facts.unreadable else argument(facts.find("Deployment", AGENT), "cluster")


def _copied(secret: str, key: str) -> Callable[[CheckTarget], Finding]:
    """A check for one key of a relay Secret: it exists and equals the one of the management cluster.

    Only a warning while the agent is connected: with user-supplied certificates there is no token, or another root.
    """

    def evaluate(target: CheckTarget) -> Finding:
        found = compare(target)
        if found.verdict == "failed" and target.site.is_connected(registered_name(target.facts)):
            hint = "no action is needed if the relay uses user-supplied certificates"
            return warning(f"{found.message}; the agent is connected", hint, found.object)
        return found

    def compare(target: CheckTarget) -> Finding:
        named = title("Secret", secret, target.facts.mesh_namespace)
        copy = target.facts.secret(secret)
        if copy is None:
            return failed(f"{named} does not exist", object=named)
        if not copy["keys"].get(key):
            keys = ", ".join(sorted(copy["keys"])) or "none"
            return failed(f"{named} has no key {key} (keys: {keys})", object=named)
        mesh: Facts = target.site.management
        original = mesh.secret(secret)
        if original is None or not original["keys"].get(key):
            return warning(f"{named} cannot be compared: {mesh.name} has no {key} in its Secret", object=named)
        if original["keys"][key] != copy["keys"][key]:
            return failed(
                f"{named}: its {key} differs from the one in {mesh.name}, so it is from another installation",
                object=named,
            )
        return ok(f"{named} has the same {key} as {mesh.name}", named)

    return evaluate


def _relay_client(target: CheckTarget) -> Finding:
    named = title("Secret", CLIENT_SECRET, target.facts.mesh_namespace)
    client, root = target.facts.secret(CLIENT_SECRET), target.facts.secret(ROOT_SECRET)
    if client is None:
        return ok(f"{named} does not exist yet: the agent requests it when it connects", named)
    issuer = client["keys"].get("ca.crt")
    if issuer and root and issuer != root["keys"].get("ca.crt") and _is_disconnected(target):
        return failed(f"{named} was not issued by the relay's current root CA", object=named)
    return ok(f"{named} exists", named)


def _relay_setting(name: str, right: Callable[[CheckTarget], str], what: str) -> Callable[[CheckTarget], Finding]:
    """A check that an argument of the agent matches the management cluster; always ok while the agent is connected."""

    def evaluate(target: CheckTarget) -> Finding:
        agent = target.facts.find("Deployment", AGENT)
        value, expected = argument(agent, name), right(target)
        named = title("Deployment", AGENT, meta(agent).get("namespace"))
        if not value:
            raise NotReadable(f"{named} has no argument --{name}")
        if value == expected or not expected:
            return ok(f"{what} {value}", named)
        if target.site.is_connected(registered_name(target.facts)):
            return ok(f"{what} {value}, and the agent is connected", named)
        judged = failed if _is_disconnected(target) else warning
        return judged(f"{named} has {what} {value}, but the management server has {expected}", object=named)

    return evaluate


def registered_name(facts: Facts) -> str:
    """Cluster name of the agent, else of the inventory."""
    return argument(facts.find("Deployment", AGENT), "cluster") or facts.name


def _is_disconnected(target: CheckTarget) -> bool:
    """Whether the agent is known to be disconnected, by the metric or, if that is unreadable, by its log."""
    connected = target.site.is_connected(registered_name(target.facts))
    return _relay_error(target) is not None if connected is None else not connected


def _relay_error(target: CheckTarget) -> Cause | None:
    """The agent's last relay error in its log, None if it has recovered."""
    return logs.first_cause(target, _agent_pods(target), logs.RELAY)


def _agent_pods(target: CheckTarget) -> list[Json]:
    agent = target.facts.find("Deployment", AGENT)
    return pods_of(agent, target.facts.of("Pod")) if agent else []


def _agent_connected(target: CheckTarget) -> Finding:
    name, named = registered_name(target.facts), title("Deployment", AGENT, target.facts.mesh_namespace)
    connected = target.site.is_connected(name)
    if connected:
        return ok(f"the management server has a connection from {name}")
    error = _relay_error(target)
    if error:
        return failed(f"agent's log: {error.line}", error.hint, named)
    if connected is False:
        return failed(
            f"the management server has no connection from {name}, and the agent's log has no reason", "", named
        )
    if target.facts.secret(CLIENT_SECRET) is not None and any(True for _log in logs.texts(target, _agent_pods(target))):
        return ok("the agent has its certificate and logs no error (the metric cannot be read)")
    raise NotReadable("neither the management server's metric nor the agent's log can be read")


# -- workspace and trust -----------------------------------------------------------------------------------------------


def accepted(obj: Json, remark: str = "") -> Finding:
    """The state of a Gloo object: with WARNING it is partly effective, with other states except ACCEPTED not at all."""
    named, verdict = title_of(obj), judge(obj)
    if not verdict.ready:
        return failed(f"{named}: {verdict.reason}", object=named)
    if verdict.reason:
        return warning(f"{named}: {verdict.reason}", object=named)
    return ok(f"{named} is ACCEPTED{remark}", named)


def _workspace(target: CheckTarget) -> Finding:
    found = target.facts.of("Workspace")
    if not found:
        return failed("no Workspace exists, so Gloo Mesh ignores all configuration")
    state = _worst(accepted(obj) for obj in found)
    if state.verdict != "ok":
        return state
    numbers = [int(status_of(obj).get("numSelectedClusters") or 0) for obj in found]
    workloads, named = len(target.site.workloads), title_of(found[0])
    if sum(numbers) < workloads:
        hint = "set spec.workloadClusters to the name of every workload cluster, or to '*'"
        return failed(f"{named} selects {sum(numbers)} of {workloads} clusters", hint, named)
    return ok(f"{named} selects {max(numbers)} clusters", named)


def _workspace_settings(target: CheckTarget) -> Finding:
    found = target.facts.of("WorkspaceSettings")
    if not found:
        return failed("no WorkspaceSettings exist, so no east-west gateway is selected")
    return _worst(accepted(obj) for obj in found)


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda each: ("ok", "warning", "failed").index(each.verdict))


def _trust_policy(target: CheckTarget) -> Finding:
    found = target.facts.of("RootTrustPolicy")
    if not found:
        return ok("no RootTrustPolicy exists: root certificates are managed by other means")
    return _worst(accepted(obj) for obj in found)


def _server_address(target: CheckTarget) -> str:
    return external_address(target.site.management, SERVER, "grpc")[0]


def _server_name(target: CheckTarget) -> str:
    return f"{SERVER}.{target.site.management.mesh_namespace}"


_SITE = "site.yml --tags mesh"

CHECKS: tuple[Check, ...] = (
    Check(
        "reach", "API server is reachable", everywhere, _reach, "start the cluster, or correct kubeconfig and context",
    ),
    Check(
        "distinct", "each host is a distinct cluster", everywhere, _distinct, "correct kube_context of one of them",
    ),
    Check(
        "management-server", "management server is running", management, deployment(SERVER),
        "without it Gloo Mesh translates nothing. Unless it is down on purpose, scale it up and read its log",
    ),
    Check(
        "licence", "licence is accepted", management, _licence,
        "renew the licence: Helm value licensing.glooMeshLicenseKey of gloo-platform", ("management-server",),
    ),
    Check(
        "relay-address", "relay has an external address", management, _relay_address,
        "install it with " + _SITE + "; agents in other clusters connect to this Service",
    ),
    Check(
        "telemetry-address", "telemetry gateway has an external address", management, _telemetry_address,
        "routing works without it, but metrics of the workload clusters are lost",
    ),
    Check(
        "mesh-namespace", "Gloo Mesh namespace has no sidecar injection", everywhere, _mesh_namespace,
        "remove the label and restart the Deployments of the namespace",
    ),
    Check(
        "registered", "cluster is registered", workloads, _registered,
        f"create the KubernetesCluster in the management cluster with {_SITE}", ("reach",),
    ),
    Check(
        "registrations", "every registered cluster is in the inventory", management, _no_others_registered,
        "unless another inventory manages it, add it to the inventory, or, if the cluster is gone, take it out with "
        "remove_cluster.yml -e remove_cluster=NAME -e remove_unreachable=true",
    ),
    Check(
        "relay-root", "relay root certificate matches the management cluster", workloads,
        _copied(ROOT_SECRET, "ca.crt"), f"the agent cannot verify the relay. Copy the Secret with {_SITE}", ("reach",),
    ),
    Check(
        "relay-token", "relay token matches the management cluster", workloads,
        _copied(TOKEN_SECRET, "token"), f"the agent cannot authenticate. Copy the Secret with {_SITE}", ("reach",),
    ),
    Check(
        "relay-client", "relay client certificate matches the relay root", workloads, _relay_client,
        f"delete the Secret {CLIENT_SECRET} and restart the agent, which requests a new one", ("relay-root",),
    ),
    Check(
        "agent", "agent is running", workloads, deployment(AGENT),
        "without it nothing is translated in this cluster. Unless it is down on purpose, scale it up and read its log",
        ("mesh-namespace", "relay-root", "relay-token"),
    ),
    Check(
        "relay-target", "agent uses the relay's address", workloads,
        _relay_setting("relay-address", _server_address, "relay address"),
        f"correct Helm value glooAgent.relay.serverAddress with {_SITE}",
        ("agent", "management-server", "relay-address"),
    ),
    Check(
        "relay-authority", "agent expects the name in the relay's certificate", workloads,
        _relay_setting("relay-authority", _server_name, "relay authority"),
        f"correct Helm value glooAgent.relay.authority with {_SITE}", ("agent", "management-server"),
    ),
    Check(
        "agent-connected", "agent is connected", workloads, _agent_connected,
        "read the agent's log, and check that TCP port 9900 is open from the workload to the management cluster",
        (
            "management-server", "relay-address", "registered", "relay-client", "agent", "relay-target",
            "relay-authority",
        ),
    ),
    Check(
        "workspace", "workspace includes every workload cluster", management, _workspace,
        "correct the Workspace according to the message", ("management-server", "licence"), ("agent-connected",),
    ),
    Check(
        "workspace-settings", "workspace settings are accepted", management, _workspace_settings,
        "correct the WorkspaceSettings according to the message; they have to be in a namespace of the workspace",
        ("workspace",),
    ),
    Check(
        "trust-policy", "root trust policy is accepted", management, _trust_policy,
        "correct the RootTrustPolicy; without a shared root CA clusters do not trust each other",
        ("management-server", "licence"),
    ),
)  # fmt: skip
