# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Istio in the workload clusters: operator, istiod, east-west gateway, shared root (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..gateway.proxy_model import ROOT_CERT
from ..istiod import discovery
from ..istiod.objects import compared, proxy_address, service_of_address
from ..k8s.fields import Json, labels_of, mappings, meta, namespace_of, seconds, spec_of, status_of, title, title_of
from ..k8s.pods import has_sidecar, is_ready, pods_behind, pods_of
from ..k8s.readiness import judge
from ..mesh import parts, workspaces
from ..mesh.east_west import Address, EastWestGateway, entries_of, select
from ..mesh.virtual_destination import is_translated
from . import logs
from .checks_mesh import NO_ADDRESS, known_name, management, registered_name, workloads
from .checks_workspaces import cluster_labels
from .east_west import Endpoint, gateways_in, written_elsewhere
from .facts import CACERTS, Facts, SiteFacts, istio_namespace, workload_ready, written
from .runner import Check, CheckTarget, Finding, NotReadable, failed, ok, warning
from .trust import Trust, refusals, refused, root_config_map, state_of, trust_of, trusts_of

#: seconds that istiod's certificates are valid by default: older Pods have renewed theirs
CERTIFICATE_LIFE = 24 * 3600.0


def _operator_of(facts: Facts) -> Json | None:
    return next(iter(parts.operators(facts.of("Deployment"))), None)


def _is_istio_ready(site: SiteFacts, facts: Facts) -> bool:
    """Whether every istiod that the site uses is ready or remote."""
    used = istiods_in_use(site, facts)
    return bool(used) and all(record["ready"] is not False for record, _users in used)


def _operator(target: CheckTarget) -> Finding:
    found = _operator_of(target.facts)
    if found is None and not target.facts.of("ServiceMeshController"):
        return ok("no Gloo Operator and no ServiceMeshController: Istio is managed by other means")
    state = workload_ready(found, title_of(found) if found else title("Deployment", parts.OPERATOR))
    return _unless_istio_works(target, state)


def _unless_istio_works(target: CheckTarget, state: Finding) -> Finding:
    """A failure of what manages Istio is a warning while istiod works."""
    if state.verdict != "failed" or not _is_istio_ready(target.site, target.facts):
        return state
    return warning(f"{state.message}; istiod is ready", state.hint, state.object)


def _controller(target: CheckTarget) -> Finding:
    facts: Facts = target.facts
    found = facts.of("ServiceMeshController")
    if not found:
        if facts.istio["istiods"]:
            return ok("no ServiceMeshController: Istio is managed by other means")
        _require_istiod_kinds(facts)
        return _no_istiod(facts, "there is neither a ServiceMeshController nor an istiod")
    states = [(smc, workload_ready(smc, title_of(smc))) for smc in found]
    smc, state = next((pair for pair in states if pair[1].verdict != "ok"), states[0])
    if state.verdict == "ok":
        return state
    waits = judge(smc).state == "waiting"
    if waits and any(record["ready"] is False for record, _users in istiods_in_use(target.site, facts)):
        return ok(f"{state.message}: waiting for istiod", state.object)  # the reason is in the check istiod
    operator = _operator_of(facts)
    cause = logs.operator_cause(target, pods_of(operator, facts.of("Pod")) if operator else (), state.message)
    if cause:
        state = failed(f"{state.message}; operator's log: {cause.line}", cause.hint, state.object)
    return _unless_istio_works(target, state)


def _no_istiod(facts: Facts, text: str) -> Finding:
    """The finding where no istiod is found: sidecars may use one outside the cluster."""
    for pod in facts.of("Pod"):
        address = _address_of_sidecar(pod)
        if address and is_ready(pod) and service_of_address(address) is None:
            return warning(
                f"{text}, but {title_of(pod)} uses the one at {address}",
                "no action is needed if its istiod is outside the cluster",
                title_of(pod),
            )
    return failed(text, "unless an istiod outside the cluster is to be used, install Istio with site.yml --tags mesh")


def _address_of_sidecar(pod: Json) -> str:
    """The address of istiod in a sidecar's configuration; "" where it has none."""
    for part in ("containers", "initContainers"):
        for container in mappings(spec_of(pod).get(part)):
            if container.get("name") == "istio-proxy":
                return proxy_address(container)
    return ""


def _require_istiod_kinds(facts: Facts) -> None:
    """Raises NotReadable when the kinds needed to find istiod cannot be listed."""
    for kind in ("Deployment", "Service"):
        facts.of(kind)


def istiods_in_use(site: SiteFacts, facts: Facts) -> list[tuple[Json, list[str]]]:
    """The istiods that the site uses in a cluster, each with the titles of its users; all when nothing names one.

    Users are its namespaces that an injector selects, and running Pods in them with a sidecar and a revision of their
    own. Namespaces of the site are those of its destinations and east-west gateways. Other users do not count: their
    istiod may be that of another team.
    """
    records: list[Json] = facts.istio["istiods"]
    ours = _site_namespaces(site, facts)
    users: dict[int, list[str]] = {place: [] for place in range(len(records))}
    for name, place in facts.injecting.items():
        users[place] += [title("Namespace", name)] if name in ours else []
    for pod in facts.lists.get("Pod") or ():
        revision = labels_of(pod).get("istio.io/rev")
        if revision and has_sidecar(pod) and namespace_of(pod) in ours and is_ready(pod):
            for place, record in enumerate(records):
                if revision in (record["revision"], *record["tags"]):
                    users[place].append(title_of(pod))
    used = [(records[place], titles) for place, titles in users.items() if titles]
    return used or [(record, []) for record in records]


def _site_namespaces(site: SiteFacts, facts: Facts) -> set[str]:
    wanted = site.wanted("virtual_destinations")
    found = {str(each["namespace"]) for each in wanted or ()}
    found |= {namespace_of(e) for e in facts.lists.get("ServiceEntry") or () if is_translated(e)}
    if "Service" not in facts.unreadable:
        found |= {namespace_of(each.service) for each in gateways_in(site, facts)}
    return found


def _istiod(target: CheckTarget) -> Finding:
    """Whether every istiod that the site uses is ready. Another one, such as that of a canary, is only mentioned."""
    facts: Facts = target.facts
    records: list[Json] = facts.istio["istiods"]
    if not records:
        _require_istiod_kinds(facts)
        return _no_istiod(facts, "no istiod found: no Deployment, Service or injector of istiod exists")
    used = istiods_in_use(target.site, facts)
    down = [(record, users) for record, users in used if record["ready"] is False]
    working = [record for record, _users in used if record["ready"] is not False]
    if down and (not working or any(users for _record, users in down)):
        record, users = down[0]
        user = f", which {users[0]} uses" if users else ""
        return failed(f"{_trouble(facts, record)}{user}", object=_istiod_title(record))
    shown = "; ".join(
        f"revision {record['revision']}, version {record['version']}, {record['address']}" for record in working
    )
    others = [record for record in records if record["ready"] is False and record not in working]
    remark = f"; nothing of this site uses {discovery.describe(others[0])}" if others else ""
    return ok(f"{shown}{remark}", _istiod_title(working[0]))


def _istiod_title(record: Json) -> str:
    return f"Service {record['namespace']}/{record['name']}" if record["name"] else str(record["address"])


def _trouble(facts: Facts, record: Json) -> str:
    """The problems of an istiod that is not ready; its revision distinguishes it from others in its namespace."""
    named = [text for text in facts.istio["problems"] if f"{record['namespace']}/{record['name']}" in text]
    others = [text for text in facts.istio["problems"] if f"{record['namespace']}/" in text]
    return "; ".join(named or others) or f"istiod at {record['address']} is not ready"


def _cluster_id(target: CheckTarget) -> Finding:
    found, registered = (target.facts.istiod or {}).get("cluster_id"), registered_name(target.facts)
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
    if not target.site.management.of("RootTrustPolicy"):
        return ok(f"{named} does not exist, and there is no RootTrustPolicy that requires it", named)
    text = f"{named} does not exist: istiod signs with a self-signed root CA"
    if refusals(target.site):
        return failed(text, object=named)
    if len(trusts_of(target.site)) > 1:
        return ok(f"{named} does not exist, but the clusters trust each other", named)
    return warning(text, object=named)


def _root_shared(target: CheckTarget) -> Finding:
    facts: Facts = target.facts
    named = title("ConfigMap", ROOT_CERT, istio_namespace(facts))
    me = trust_of(facts)
    if not me.trusted:
        return failed(
            f"{named} does not exist: istiod has not distributed its root certificate",
            "read the log of istiod, which creates it in every namespace", named,
        )  # fmt: skip
    if all(root.is_expired(facts.time) for root in me.trusted):
        return failed(
            f"{named}: {me.trusted[0].title} has expired",
            "renew the root certificate where it is issued: by the RootTrustPolicy, or in your own PKI", named,
        )  # fmt: skip
    trusts = trusts_of(target.site)
    me = next(each for each in trusts if each.cluster == me.cluster)
    bad = refused(trusts, me)
    if bad:
        return failed("; ".join(sentence for _other, sentence in bad), _trust_hint(me, bad[0][0]), named)
    elsewhere = refusals(target.site)
    if elsewhere:
        return ok(
            f"it trusts {', '.join(root.title for root in me.trusted)}; reported elsewhere: {elsewhere[0]}", named
        )
    verdict, text = state_of(trusts)
    if verdict == "ok":
        return ok(text, named)
    return warning(text, _ROTATION, named)


_ROTATION = (
    "no action is needed during a rotation: every cluster has to trust the new root before one signs with it, and the "
    "former one until all sign with the new one"
)


def _trust_hint(me: Trust, other: Trust) -> str:
    """What to do about two clusters that do not work together. The state may be a step of a rotation in wrong order."""
    pending = [each for each in (me, other) if not each.is_loaded]
    if pending and me.will_accept(other) and other.will_accept(me):
        names = " and ".join(each.cluster for each in pending)
        return (
            f"istiod has not loaded Secret {CACERTS} in {names}. Unless its root is still to be distributed to other "
            "clusters first, restart istiod there, then the Pods that are older; site.yml does this"
        )
    if not me.configured and not other.configured:
        return (
            "give the clusters a common root: unless you have a PKI of your own, with a RootTrustPolicy; else with "
            f"Secret {CACERTS} in each of them"
        )
    return (
        f"if both roots are meant to be trusted, add the missing one to the roots in Secret {CACERTS} before a cluster "
        "signs with it, and keep the others meanwhile"
    )


def _fresh(target: CheckTarget) -> Finding:
    """Whether Pods have certificates of a former root, which they renew within a day.

    Only a change of the root matters: Secret cacerts may have been renewed with the same one.
    """
    facts: Facts = target.facts
    trust = trust_of(facts)
    changed = _root_changed(facts, trust)
    if changed is None:
        return ok("istiod has distributed the same root certificate since it was started")
    if (facts.time or changed) - changed > CERTIFICATE_LIFE:
        return ok("all certificates have been renewed since the last change of the root certificate")
    old = [
        f"{meta(pod)['namespace']}/{meta(pod)['name']}"
        for pod in facts.of("Pod")
        if not meta(pod).get("deletionTimestamp")
        and status_of(pod).get("phase") == "Running"
        and has_sidecar(pod)
        and (seconds(meta(pod).get("creationTimestamp")) or changed) < changed
    ]
    if not old:
        return ok("no Pod is older than the last change of the root certificate")
    names = ", ".join(sorted(old))
    if trust.former and _is_recent(facts, changed):
        return failed(
            f"Pods still have certificates of istiod's former self-signed root {trust.former[0].title}: {names}"
        )
    if len(trust.roots) > 1 and _others_sign_with(target, trust):
        return ok(f"Pods are older than the last change of the roots, but the root in use is among them: {names}")
    return warning(
        f"Pods are older than the last change of the root and may have certificates of a former one: {names}",
        "no action is needed if every cluster still trusts the former root: certificates are renewed within a day",
    )


def _is_recent(facts: Facts, changed: float) -> bool:
    """Whether Secret cacerts is about as old as the change: istiod signed with a root of its own before."""
    issued = seconds((facts.secrets.get(CACERTS) or {}).get("created"))
    return issued is not None and abs(changed - issued) <= CERTIFICATE_LIFE


def _root_changed(facts: Facts, trust: Trust) -> float | None:
    """When istiod changed the root that it distributes, None if it did not while certificates of today were signed.

    It is the last write of the ConfigMap's data, but not after the start of an istiod that began with Secret cacerts:
    it distributes the root after some seconds. A write long after the last one of cacerts changed something else.
    """
    found = root_config_map(facts) or {}
    created, changed = seconds(meta(found).get("creationTimestamp")) or 0.0, written(found)
    secret = (None if trust.signer_unread else facts.secret(CACERTS)) or {}
    issued = seconds(secret.get("created"))
    if changed is None:  # without a record of writes, a Secret younger than the ConfigMap may have changed it
        return issued if issued and issued > created else None
    renewed = secret.get("written") or issued
    if changed <= created or (renewed and changed - renewed > CERTIFICATE_LIFE):
        return None
    starts = [
        seconds(meta(pod).get("creationTimestamp")) or 0.0
        for pod in facts.of("Pod")
        if labels_of(pod).get("app") == "istiod" and is_ready(pod)
    ]
    return min(changed, max(starts)) if issued and starts and min(starts) >= issued else changed


def _others_sign_with(target: CheckTarget, trust: Trust) -> bool:
    """Whether every other cluster signs with the root that this one signs with."""
    return all(
        each.signing_root is not None and each.signing_root == trust.signing_root for each in trusts_of(target.site)
    )


# -- east-west gateway -------------------------------------------------------------------------------------------------


def served_revisions(facts: Facts) -> set[str]:
    """Revisions and tags of all istiods of a cluster."""
    return {revision for each in facts.istio["istiods"] for revision in (each["revision"], *each["tags"])}


def _east_west_gateway(target: CheckTarget) -> Finding:
    found = gateways_in(target.site, target.facts)
    if not found:
        return failed("no Service has the labels of an east-west gateway (istio=eastwestgateway)")
    problems = [_pods_problem(target.facts, each) for each in found]
    working = [each for each, problem in zip(found, problems, strict=True) if problem is None]
    problem = next(filter(None, problems), None)
    if problem is None:
        return ok(f"{found[0].title} has ready Pods", found[0].title)
    if working:
        return warning(f"{problem.message}; {working[0].title} has ready Pods", problem.hint, problem.object)
    return problem


def _pods_problem(facts: Facts, gateway: EastWestGateway) -> Finding | None:
    """Why the Pods of an east-west gateway do not serve; None if they do."""
    served = served_revisions(facts)
    pods = pods_behind(gateway.service, facts.of("Pod"))
    if not any(is_ready(pod) for pod in pods):
        return failed(f"{gateway.title} has no ready Pod", object=gateway.title)
    revisions = {labels_of(pod).get("istio.io/rev") or "" for pod in pods}
    if served and "" not in revisions and not revisions & served:
        return failed(
            f"{gateway.title}: its Pods have revision {', '.join(sorted(revisions))}, which no istiod serves",
            f"unless an istiod of that revision is to return, install the gateway with {' or '.join(sorted(served))}",
            gateway.title,
        )
    return None


def _east_west_port(target: CheckTarget) -> Finding:
    found = gateways_in(target.site, target.facts)
    without = [each for each in found if each.port is None]
    if not without:
        shown = ", ".join(f"{each.title} port {each.port}" for each in found)
        return ok(shown, found[0].title)
    ports = [str(port.get("name") or port.get("port")) for port in mappings(spec_of(without[0].service).get("ports"))]
    wanted = "the port that the WorkspaceSettings name" if without[0].entry.get("port") else "a port named tls"
    text = f"{without[0].title} lacks {wanted} (ports: {', '.join(ports) or 'none'})"
    if len(without) < len(found):
        return warning(f"{text}; another east-west gateway of this cluster has it", object=without[0].title)
    return failed(text, object=without[0].title)


def _east_west_address(target: CheckTarget) -> Finding:
    """Whether other clusters have an address of this one; a host name only matters where a gateway uses it."""
    found = gateways_in(target.site, target.facts)
    known = [(each, each.addresses()) for each in found]
    addresses = list(dict.fromkeys(address for _each, own in known for address in own))
    written = written_elsewhere(target.site, target.facts)
    if not addresses:
        return _unknown_address(target, found[0], written)
    names = [each for each in addresses if not each.is_ip]
    named = found[0].title
    if len(names) == len(addresses):
        return _by_name(target, found[0], names)
    stray = _stray(addresses, written)
    if stray and not names:
        shown = ", ".join(map(str, addresses))
        return warning(
            f"{stray.object} in {stray.cluster} has {stray.address}, but the east-west gateway here is at {shown}",
            "if that address does not lead to it, read the log of the management server, which writes the object",
            named,
        )  # fmt: skip
    without = [each.title for each, own in known if not own]
    if without:
        return warning(
            f"{without[0]} has no address; other clusters use {', '.join(map(str, addresses))}", NO_ADDRESS, without[0]
        )
    return ok(", ".join(map(str, addresses)), named)


def _unknown_address(target: CheckTarget, gateway: EastWestGateway, written: Sequence[Endpoint]) -> Finding:
    """The finding on a gateway without an address of its own and without one in the settings."""
    seen = list(dict.fromkeys(each.address for each in written))
    text = f"{gateway.title} of type {gateway.kind} has no load balancer address"
    if seen:
        names = [each for each in seen if not each.is_ip]
        if len(names) == len(seen):
            return _by_name(target, gateway, names)
        return ok(f"{text}; other clusters use {', '.join(map(str, seen))}", gateway.title)
    if gateway.kind == "NodePort":
        return warning(
            f"{text}; no object of Gloo Mesh in another cluster shows which address is used",
            "unless Gloo Mesh knows the addresses of the nodes, set hostInfoOverrides in the WorkspaceSettings",
            gateway.title,
        )
    return failed(f"{text}: other clusters cannot reach this one", object=gateway.title)


def _by_name(target: CheckTarget, gateway: EastWestGateway, names: Sequence[Address]) -> Finding:
    """The finding on a gateway that other clusters know by host name only."""
    shown = ", ".join(each.host for each in names)
    users = [each.name for each in target.site.gateways if each is not target.facts]
    if not users:
        return ok(f"{shown}, a host name, which sidecars resolve", gateway.title)
    return warning(
        f"{gateway.title} has the host name {shown}: sidecars resolve it, but gateways in {', '.join(users)} ignore "
        "endpoints without an IP address",
        "if requests from these gateways are to reach this cluster, set hostInfoOverrides with an IP address in the "
        "WorkspaceSettings, or give the Service one",
        gateway.title,
    )


def _stray(addresses: Sequence[Address], written: Sequence[Endpoint]) -> Endpoint | None:
    """An endpoint in another cluster at none of the addresses; one with a host name may lead to any of them."""
    known = [compared(str(each)) for each in addresses]
    return next((each for each in written if each.address.is_ip and compared(str(each.address)) not in known), None)


def _east_west_selected(target: CheckTarget) -> Finding:
    """Whether the settings select a gateway in every cluster of the inventory that a Workspace includes."""
    found = target.facts.of("WorkspaceSettings")
    named = title_of(found[0]) if found else "WorkspaceSettings"
    needed = [facts for facts in target.site.workloads if not facts.unreachable and _in_workspace(target, facts)]
    covered: list[str] = []
    for each in found:
        here = [facts.name for facts in needed if select(facts.of("Service"), entries_of([each]), known_name(facts))]
        counted = status_of(each).get("numSelectedEastWestGateways")
        if isinstance(counted, int) and counted < len(here) and judge(each).processed:
            if len(found) == 1:
                text = f"{title_of(each)} selects {counted} east-west gateways for {len(needed)} clusters"
                return failed(text, object=title_of(each))
            continue  # it is not known which ones
        covered += here
    missing = [facts.name for facts in needed if facts.name not in covered]
    if missing:
        text = f"the WorkspaceSettings select no east-west gateway in {', '.join(missing)}"
        return failed(text, object=named)
    return ok(f"{', '.join(map(title_of, found))}: {', '.join(facts.name for facts in needed)}", named)


def _in_workspace(target: CheckTarget, facts: Facts) -> bool:
    """Whether a Workspace includes the cluster; assumed where Workspaces cannot be read."""
    found = target.facts.lists.get("Workspace")
    name = known_name(facts)
    labels = cluster_labels(target.facts, name)
    return found is None or any(workspaces.includes_cluster(each, name, labels) for each in found)


CHECKS: tuple[Check, ...] = (
    Check(
        "operator", "Gloo Operator is running", workloads, _operator,
        "Istio is unmanaged: Gloo Operator is not running. Unless that is intended, scale it up and read its log",
    ),
    Check(
        "service-mesh-controller", "Istio is installed", workloads, _controller,
        "read its conditions and the log of the Gloo Operator", ("operator",),
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
        "Gloo Mesh creates it once the RootTrustPolicy is accepted and istiod is running: read the agent's log",
        ("agent-connected", "trust-policy"),
    ),
    Check(
        "root-shared", "clusters trust each other's certificates", workloads, _root_shared, "", ("istiod", "cacerts"),
    ),
    Check(
        "certificates-fresh", "Pods have certificates of the current root CA", workloads, _fresh,
        "unless other clusters are to trust the former root as well, restart their Deployments; site.yml does this",
        ("istiod", "root-shared"),
    ),
    Check(
        "east-west-gateway", "east-west gateway is running", workloads, _east_west_gateway,
        "other clusters cannot reach this one. If there is no gateway, install one with site.yml --tags mesh; unless "
        "it is down on purpose, scale it up and read its log", ("istiod",),
    ),
    Check(
        "east-west-port", "east-west gateway has a port named tls", workloads, _east_west_port,
        "unless options.eastWestGateways of the WorkspaceSettings is to name another port, rename port 15443 of the "
        "Service to tls", ("east-west-gateway",),
    ),
    Check(
        "east-west-address", "other clusters have an address of the east-west gateway", workloads, _east_west_address,
        "if other clusters reach it at another address, set hostInfoOverrides in the WorkspaceSettings; otherwise set "
        f"the type of the Service to LoadBalancer, and {NO_ADDRESS}", ("east-west-gateway", "east-west-port"),
    ),
    Check(
        "east-west-selected", "an east-west gateway is selected in every cluster", management, _east_west_selected,
        "compare options.eastWestGateways of the WorkspaceSettings with the labels of the Services",
        ("workspace-settings",), ("agent-connected", "east-west-gateway", "east-west-port", "east-west-address"),
    ),
)  # fmt: skip
