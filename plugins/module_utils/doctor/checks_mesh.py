# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Gloo Mesh: management server, licence, addresses, registration, relay, agents (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..istiod.objects import compared, template_labels
from ..k8s.fields import (
    Json,
    labels_of,
    mapping,
    mappings,
    name_of,
    spec_of,
    title,
    title_of,
)
from ..k8s.log_causes import Cause
from ..k8s.names import join_host_port
from ..k8s.pods import has_sidecar, pods_of
from ..k8s.readiness import judge, replicas_wanted
from ..mesh import parts
from ..mesh.certificates import CannotVerify, anchor_of, certificates_in
from ..mesh.east_west import external_hosts
from ..site.identity import recorded_uid
from . import logs
from .facts import (
    CLIENT_SECRET,
    ROOT_SECRET,
    TOKEN_SECRET,
    Facts,
    SiteFacts,
    relay_secret,
    unprocessed,
    workload_ready,
)
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning

TELEMETRY = "gloo-telemetry-gateway"
#: name of the port of the management server's Service for agents
RELAY_PORT = "grpc"
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


def _management_server(target: CheckTarget) -> Finding:
    found = target.facts.management_server
    return workload_ready(found, title_of(found) if found else _title(target.facts, parts.SERVER))


def _title(facts: Facts, name: str) -> str:
    """The usual title of a Deployment that does not exist."""
    return title("Deployment", name, facts.mesh_namespace)


def _licence(target: CheckTarget) -> Finding:
    objects = [obj for kind in GLOO_KINDS for obj in target.facts.of(kind)]
    unlicensed = [(obj, verdict) for obj in objects if "UNLICENSED" in (verdict := judge(obj)).reason]
    for obj, verdict in unlicensed:
        if verdict.processed:
            return failed(f"{title_of(obj)}: {verdict.reason}", object=title_of(obj))
    if unlicensed:
        obj, verdict = unlicensed[0]
        return unprocessed(verdict, title_of(obj))
    return ok(f"none of {len(objects)} Gloo Mesh objects is UNLICENSED")


def external_addresses(services: Iterable[Json], port_name: str) -> tuple[list[str], Finding]:
    """(every "host:port" that other clusters can reach, the finding) of the Services of one program."""
    addresses: list[str] = []
    problem = None
    for service in services:
        named, port, kind = title_of(service), port_named(service, port_name), spec_of(service).get("type", "ClusterIP")
        if port is None:
            problem = problem or failed(f"{named} has no port named {port_name}", object=named)
            continue
        addresses += [join_host_port(host, port) for host in external_hosts(service)]
        if addresses:
            return addresses, ok(f"{named} at {', '.join(addresses)}", named)
        if kind == "LoadBalancer":
            problem = failed(f"{named} of type LoadBalancer has no address", NO_ADDRESS, named)
        else:
            hint = (
                f"unless agents use another address for port {port}, such as a node port or a load balancer of your "
                "own, set its type to LoadBalancer"
            )
            text = f"{named} has type {kind}: other clusters need another address than the Service's own"
            problem = problem or failed(text, hint, named)
    return addresses, problem or failed(f"no Service with a port named {port_name} selects its Pods")


def port_named(service: Json, *names: str) -> int | None:
    """Number of the first port of a Service with one of these names."""
    return next(
        (port.get("port") for port in mappings(spec_of(service).get("ports")) if port.get("name") in names), None
    )


def relay_addresses(facts: Facts) -> tuple[list[str], Finding]:
    """external_addresses() of the management server."""
    server = facts.management_server
    services = parts.services_of(server, facts.of("Service"), RELAY_PORT) or parts.services_of(
        server, facts.of("Service")
    )
    return external_addresses(services, RELAY_PORT)


def telemetry_addresses(facts: Facts) -> tuple[list[str], Finding]:
    """external_addresses() of the telemetry gateway, whose Service has its usual name."""
    return external_addresses([s for s in facts.of("Service") if name_of(s) == TELEMETRY], "otlp")


def _relay_address(target: CheckTarget) -> Finding:
    _addresses, found = relay_addresses(target.facts)
    if found.verdict != "failed":
        return found
    agents = [CheckTarget(target.site, facts) for facts in target.site.workloads if not facts.unreachable]
    if any(map(_is_disconnected, agents)):
        return found
    if all(target.site.is_connected(registered_name(agent.facts)) for agent in agents):
        return ok(f"{found.message}; all agents are connected", found.object)
    return warning(f"{found.message}; no agent is known to be disconnected", found.hint, found.object)


def _telemetry_address(target: CheckTarget) -> Finding:
    if not any(name_of(service) == TELEMETRY for service in target.facts.of("Service")):
        return ok(f"there is no Service {TELEMETRY}: routing does not need it")
    _addresses, found = telemetry_addresses(target.facts)
    return warning(found.message, found.hint, found.object) if found.verdict == "failed" else found


def _mesh_namespace(target: CheckTarget) -> Finding:
    facts: Facts = target.facts
    named = title("Namespace", facts.mesh_namespace)
    labels = labels_of(facts.find("Namespace", facts.mesh_namespace))
    labelled = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
    if not labelled or labels.get("istio-injection") == "disabled":
        return ok(f"{named} has no injection label", named)
    shown = ", ".join(f"{k}={v}" for k, v in labels.items() if k in ("istio-injection", "istio.io/rev"))
    text = f"{named} has label {shown}: a sidecar breaks the connection between agent and relay"
    own = facts.management_servers + facts.agents
    if own and all(template_labels(each).get("sidecar.istio.io/inject") == "false" for each in own):
        return ok(f"{named} has label {shown}, but the Pods of Gloo Mesh disable injection by a label", named)
    injected = any(has_sidecar(pod) for each in own for pod in pods_of(each, facts.of("Pod")))
    if not injected and all(map(target.site.is_connected, _agent_names(target))):
        return warning(f"{text}. Its Pods have none yet, and the agents are connected", object=named)
    return failed(text, object=named)


def _agent_names(target: CheckTarget) -> list[str]:
    """Registered name of the target's cluster, or of every cluster for the management cluster."""
    facts = target.site.workloads if target.facts.role == "management" else [target.facts]
    return [registered_name(each) for each in facts if not each.unreachable and "Deployment" not in each.unreadable]


# -- registration and relay --------------------------------------------------------------------------------------------


_CLUSTER_NAME = "if this cluster is to be registered as {}, set Helm value common.cluster of the agent to that name"


def _registered(target: CheckTarget) -> Finding:
    name = registered_name(target.facts)
    mesh = target.site.management
    named, own_name = title("KubernetesCluster", name, mesh.mesh_namespace), _CLUSTER_NAME.format(target.cluster)
    if "_" in name:
        return failed(f"the agent's cluster name is {name}", "use a cluster name without underscores", named)
    others = [f.name for f in target.site.workloads if f is not target.facts and _agent_name(f) == name]
    if others and name != target.cluster:
        return failed(f"the agent's cluster name is {name}, which is also used in {', '.join(others)}", own_name, named)
    found = mesh.find("KubernetesCluster", name, mesh.mesh_namespace) or mesh.find("KubernetesCluster", name)
    if found is None:
        names = ", ".join(map(name_of, mesh.of("KubernetesCluster"))) or "none"
        hint = own_name if mesh.find("KubernetesCluster", target.cluster) else ""
        return failed(f"{named} does not exist in {mesh.name} (registered: {names})", hint, named)
    recorded = recorded_uid(found)
    if recorded and target.facts.uid and recorded != target.facts.uid:
        text = (
            f"{title_of(found)}: was created for another cluster: UID {recorded} of Namespace kube-system, this one "
            f"has {target.facts.uid}"
        )
        hint = (
            "correct kube_context of the host; if the cluster was rebuilt, take the former one out with "
            f"remove_cluster.yml -e remove_cluster={name} -e remove_unreachable=true, then run site.yml"
        )
        return failed(text, hint, named)
    state = workload_ready(found, title_of(found))
    if state.verdict == "failed" and target.site.is_connected(name):
        return warning(f"{state.message}; the agent is connected", "read its status and the server's log", state.object)
    if state.verdict == "ok" and name != target.cluster:
        text = f"the agent's cluster name is {name}, but the inventory has {target.cluster}"
        return warning(text, own_name, named)
    return state


def _no_others_registered(target: CheckTarget) -> Finding:
    """A cluster that was taken out of the inventory only: Gloo Mesh still translates it."""
    known = {registered_name(facts) for facts in target.site.workloads}
    # The management cluster may be registered as well.
    known |= {target.cluster, parts.argument(target.facts.management_server, "cluster")}
    others = [name_of(obj) for obj in target.facts.of("KubernetesCluster") if name_of(obj) not in known]
    if others:
        names = ", ".join(sorted(others))
        return warning(f"registered in Gloo Mesh, but no workload host of the inventory: {names}")
    return ok("every KubernetesCluster is a host of the inventory")


def _agent_name(facts: Facts) -> str:
    """Cluster name in the agent's configuration, "" if unknown."""
    return "" if "Deployment" in facts.unreadable else parts.argument(facts.agent, "cluster")


def known_name(facts: Facts) -> str:
    """registered_name() that does not depend on a readable agent."""
    return _agent_name(facts) or facts.name


def _secret_title(facts: Facts, usual: str) -> str:
    namespace, name = relay_secret(facts, usual)
    return title("Secret", name, namespace)


def _has_own_certificate(facts: Facts) -> bool:
    """Whether the agent's client certificate is one of the user's: its Secret has another name, and exists."""
    return relay_secret(facts, CLIENT_SECRET)[1] != CLIENT_SECRET and bool(facts.secrets.get(CLIENT_SECRET))


def _copied(secret: str, key: str) -> Callable[[CheckTarget], Finding]:
    """A check for one key of a relay Secret, which the agent needs as the management server made it.

    With user-supplied certificates there is nothing to copy: then the management cluster has no such Secret, or the
    agent has a client certificate of its own. A problem is a failure only where the agent is known to be disconnected.
    """

    def evaluate(target: CheckTarget) -> Finding:
        named = _secret_title(target.facts, secret)
        copy, original = target.facts.secret(secret), target.site.management.secret(secret)
        if original is None:
            return ok(f"{target.site.management.name} has no such Secret: user-supplied certificates are in use", named)
        if _has_own_certificate(target.facts):
            own = _secret_title(target.facts, CLIENT_SECRET)
            return ok(f"not needed: the agent has a client certificate in {own}", named)
        problem = compare(target, named, copy, original)
        if not problem:
            return ok(f"{named} has the same {_key(target)} as {target.site.management.name}", named)
        if _is_disconnected(target):
            return failed(problem, object=named)
        hint = "no action is needed if the relay uses user-supplied certificates"
        connected = target.site.is_connected(registered_name(target.facts))
        remark = "the agent is connected" if connected else "the agent is not known to be disconnected"
        return warning(f"{problem}; {remark}", hint, named)

    def _key(target: CheckTarget) -> str:
        argument = f"{TOKEN_SECRET}-key" if secret == TOKEN_SECRET else ""
        return (argument and parts.argument(target.facts.agent, argument)) or key

    def compare(target: CheckTarget, named: str, copy: Json | None, original: Json) -> str:
        """What is wrong with the copy, "" if nothing is."""
        wanted = _key(target)
        if copy is None:
            return f"{named} does not exist"
        if not copy["keys"].get(wanted):
            return f"{named} has no key {wanted} (keys: {', '.join(sorted(copy['keys'])) or 'none'})"
        if original["keys"].get(key) and not _share(original, key, copy, wanted):
            return f"{named}: its {wanted} differs from the one in {target.site.management.name}"
        return ""

    return evaluate


def _certificates(secret: Json, key: str) -> set[Any]:
    return set(certificates_in(str(mapping(secret.get("certificates")).get(key) or "")))


def _share(one: Json, key: str, two: Json, other_key: str) -> bool:
    """Whether two values are equal or, where they are certificates, have one in common."""
    common = _certificates(one, key) & _certificates(two, other_key)
    return bool(common) or one["keys"].get(key) == two["keys"].get(other_key)


def _relay_client(target: CheckTarget) -> Finding:
    named = _secret_title(target.facts, CLIENT_SECRET)
    client, root = target.facts.secret(CLIENT_SECRET), target.site.management.secret(ROOT_SECRET)
    if client is None:
        return ok(f"{named} does not exist yet: the agent requests it when it connects", named)
    if root is None or _has_own_certificate(target.facts):
        return ok(f"{named} is user-supplied", named)
    issuer = client["keys"].get("ca.crt")
    if not issuer or _share(client, "ca.crt", root, "ca.crt") or _leads(client, root):
        return ok(f"{named} was issued by the relay's root CA", named)
    if _is_disconnected(target):
        return failed(f"{named} was not issued by the relay's current root CA", object=named)
    return ok(f"{named} exists", named)


def _leads(client: Json, root: Json) -> bool:
    chain = certificates_in(str(mapping(client.get("certificates")).get("tls.crt") or ""))
    try:
        return anchor_of(chain, _certificates(root, "ca.crt")) is not None
    except CannotVerify:
        return False


def _relay_setting(name: str, right: Callable[[CheckTarget], list[str]], what: str) -> Callable[[CheckTarget], Finding]:
    """A check that an argument of the agent matches the management cluster; always ok while the agent is connected."""

    def evaluate(target: CheckTarget) -> Finding:
        agent = target.facts.agent
        named = title_of(agent) if agent else _title(target.facts, parts.AGENT)
        value = parts.argument(agent, name)
        if not value:
            raise NotReadable(f"{named} has no argument --{name}")
        expected = right(target)
        if not expected or compared(value) in map(compared, expected):
            return ok(f"{what} {value}", named)
        if target.site.is_connected(registered_name(target.facts)):
            return ok(f"{what} {value}, and the agent is connected", named)
        own = target.site.management.secret(ROOT_SECRET) is None
        judged = failed if _is_disconnected(target) and not own else warning
        text = f"{named} has {what} {value}, but the management server has {' or '.join(expected)}"
        other = target.site.other_server(registered_name(target.facts))
        remark = f"; the agent is connected to {title_of(other)}" if other else ""
        return judged(text + remark, object=named)

    return evaluate


def registered_name(facts: Facts) -> str:
    """Cluster name of the agent, else of the inventory."""
    return parts.argument(facts.agent, "cluster") or facts.name


def _is_disconnected(target: CheckTarget) -> bool:
    """Whether the agent is known to be disconnected, by the metric or, if that is unreadable, by its log."""
    connected = target.site.is_connected(registered_name(target.facts))
    return _relay_error(target) is not None if connected is None else not connected


def _relay_error(target: CheckTarget) -> Cause | None:
    """The agent's last relay error in its log, None if it has recovered."""
    return logs.first_cause(target, _agent_pods(target), logs.RELAY)


def _agent_pods(target: CheckTarget) -> list[Json]:
    agent = target.facts.agent
    return pods_of(agent, target.facts.of("Pod")) if agent else []


def _agent(target: CheckTarget) -> Finding:
    found = target.facts.agents
    if not found:
        if target.site.is_connected(target.cluster):
            return ok("no Deployment of an agent is known, but the management server has a connection from it")
        return workload_ready(None, _title(target.facts, parts.AGENT))
    running = [each for each in found if replicas_wanted(each)]
    state = workload_ready(found[0], title_of(found[0]))
    names = {parts.argument(each, "cluster") for each in running}
    if state.verdict == "ok" and len(running) > len(names):
        return warning(
            f"several agents use the same cluster name: {', '.join(map(title_of, running))}",
            "the relay rejects all but one of them. If one is a leftover, uninstall its release",
        )
    return state


def _agent_connected(target: CheckTarget) -> Finding:
    name, agent = registered_name(target.facts), target.facts.agent
    named = title_of(agent) if agent else _title(target.facts, parts.AGENT)
    connected = target.site.is_connected(name)
    if connected:
        return ok(f"the management server has a connection from {name}")
    error = _relay_error(target)
    if error:
        return failed(f"agent's log: {error.line}", error.hint, named)
    other = None if connected is None else target.site.other_server(name)
    if other:
        own = title_of(target.site.management.management_server)
        return failed(
            f"the agent is connected to {title_of(other)}, but the management server in use is {own}",
            f"if {target.cluster} is to belong to {own}, correct Helm value glooAgent.relay.serverAddress of the agent",
            named,
        )
    if connected is False:
        return failed(
            f"the management server has no connection from {name}, and the agent's log has no reason", "", named
        )
    if target.facts.secret(CLIENT_SECRET) is not None and any(True for _log in logs.texts(target, _agent_pods(target))):
        return ok("the agent has its certificate and logs no error (the metric cannot be read)")
    raise NotReadable("neither the management server's metric nor the agent's log can be read")


def _server_addresses(target: CheckTarget) -> list[str]:
    return relay_addresses(target.site.management)[0]


def _server_names(target: CheckTarget) -> list[str]:
    return [f"{parts.SERVER}.{target.site.management.mesh_namespace}"]


_SITE = "site.yml --tags mesh"
_COPY_SECRET = f"unless certificates are user-supplied, copy the Secret with {_SITE}"

CHECKS: tuple[Check, ...] = (
    Check(
        "reach", "API server is reachable", everywhere, _reach, "start the cluster, or correct kubeconfig and context",
    ),
    Check(
        "distinct", "each host is a distinct cluster", everywhere, _distinct, "correct kube_context of one of them",
    ),
    Check(
        "management-server", "management server is running", management, _management_server,
        "without it Gloo Mesh translates nothing. Unless it is down on purpose, scale it up and read its log",
    ),
    Check(
        "licence", "licence is accepted", management, _licence,
        "renew the licence where it is kept: the Secret that Helm value licensing.licenseSecretName of gloo-platform "
        "names, else licensing.glooMeshLicenseKey or glooTrialLicenseKey", ("management-server",),
    ),
    Check(
        "relay-address", "relay has an external address", management, _relay_address,
        f"unless agents reach it at another address, install its Service with {_SITE}",
    ),
    Check(
        "telemetry-address", "telemetry gateway has an external address", management, _telemetry_address,
        "routing works without it, but metrics of the workload clusters are lost",
    ),
    Check(
        "mesh-namespace", "Gloo Mesh namespace has no sidecar injection", everywhere, _mesh_namespace,
        "unless other Pods of the namespace need a sidecar, remove the label and restart its Deployments; otherwise "
        "give the Pods of Gloo Mesh the label sidecar.istio.io/inject=false",
    ),
    Check(
        "registered", "cluster is registered", workloads, _registered,
        f"unless this cluster is to be left out, create the KubernetesCluster, for example with {_SITE}", ("reach",),
    ),
    Check(
        "registrations", "every registered cluster is in the inventory", management, _no_others_registered,
        "unless another inventory manages it, add it to the inventory, or, if the cluster is gone, take it out with "
        "remove_cluster.yml -e remove_cluster=NAME -e remove_unreachable=true",
    ),
    Check(
        "relay-root", "relay root certificate matches the management cluster", workloads,
        _copied(ROOT_SECRET, "ca.crt"), _COPY_SECRET, ("reach",),
    ),
    Check(
        "relay-token", "relay token matches the management cluster", workloads,
        _copied(TOKEN_SECRET, "token"), _COPY_SECRET, ("reach",),
    ),
    Check(
        "relay-client", "relay client certificate matches the relay root", workloads, _relay_client,
        "unless you supply it yourself, delete the Secret and restart the agent, which requests a new one",
        ("relay-root",),
    ),
    Check(
        "agent", "agent is running", workloads, _agent,
        "without it nothing is translated in this cluster. Unless it is down on purpose, scale it up and read its log",
        ("mesh-namespace", "relay-root", "relay-token"),
    ),
    Check(
        "relay-target", "agent uses the relay's address", workloads,
        _relay_setting("relay-address", _server_addresses, "relay address"),
        f"unless that address leads to the relay, correct Helm value glooAgent.relay.serverAddress with {_SITE}",
        ("agent", "management-server", "relay-address"),
    ),
    Check(
        "relay-authority", "agent expects the name in the relay's certificate", workloads,
        _relay_setting("relay-authority", _server_names, "relay authority"),
        f"unless the relay's certificate has that name, correct Helm value glooAgent.relay.authority with {_SITE}",
        ("agent", "management-server"),
    ),
    Check(
        "agent-connected", "agent is connected", workloads, _agent_connected,
        "read the agent's log, and check that TCP port 9900 is open from the workload to the management cluster",
        (
            "management-server", "relay-address", "registered", "relay-client", "agent", "relay-target",
            "relay-authority",
        ),
    ),
)  # fmt: skip
