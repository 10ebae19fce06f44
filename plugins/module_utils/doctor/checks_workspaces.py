# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of Workspaces, their settings and the RootTrustPolicy: whether they include the site (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..k8s.fields import Json, labels_of, name_of, namespace_of, status_of, title_of
from ..k8s.readiness import judge
from ..mesh import workspaces
from .checks_mesh import known_name, management
from .facts import Facts, SiteFacts, unprocessed
from .runner import Check, CheckTarget, Finding, failed, ok, warning
from .trust import refusals

SELECT_NAMESPACE = "unless it is left out on purpose, add its namespace to a Workspace"


def accepted(obj: Json, remark: str = "") -> Finding:
    """The state of a Gloo object: with WARNING it is partly effective, with other states except ACCEPTED not at all."""
    named, verdict = title_of(obj), judge(obj)
    if not verdict.processed:
        found = unprocessed(verdict, named)
        return replace(found, hint=SELECT_NAMESPACE) if "in no workspace" in verdict.reason else found
    if not verdict.ready:
        return failed(f"{named}: {verdict.reason}", object=named)
    if verdict.reason:
        return warning(f"{named}: {verdict.reason}", object=named)
    return ok(f"{named} is ACCEPTED{remark}", named)


def _workspace(target: CheckTarget) -> Finding:
    """Whether every cluster of the inventory is in a Workspace that is accepted. Other clusters do not count."""
    found = target.facts.of("Workspace")
    if not found:
        return failed("no Workspace exists, so Gloo Mesh ignores all configuration")
    states = {title_of(each): accepted(each) for each in found}
    working = [each for each in found if states[title_of(each)].verdict != "failed"]
    outside = [f for f in target.site.workloads if not any(_includes(target.facts, each, f) for each in working)]
    if outside:
        return _outside_finding(target, outside, [each for each in found if each not in working], states)
    for each in working:
        own = [known_name(f) for f in target.site.workloads if _includes(target.facts, each, f)]
        counted = status_of(each).get("numSelectedClusters")
        if isinstance(counted, int) and counted < len(own) and judge(each).processed:
            text = f"{title_of(each)} names {', '.join(own)}, but selects {counted} of {len(own)} clusters"
            hint = (
                "the others are not connected, or the management server has not processed the Workspace: read its log"
            )
            return failed(text, hint, title_of(each))
    without = _namespaces_outside(target, working)
    if without:
        hint = "unless it is left out on purpose, add it to spec.workloadClusters of a Workspace"
        return warning(f"no Workspace includes {', '.join(without)}", hint, title_of(found[0]))
    state = _worst(states.values())
    if state.verdict == "failed":
        return warning(f"{state.message}; other Workspaces include every cluster", object=state.object)
    covered = ", ".join(map(known_name, target.site.workloads))
    return state if state.verdict == "warning" else ok(f"{', '.join(states)}: {covered}", title_of(found[0]))


def _outside_finding(
    target: CheckTarget, outside: Sequence[Facts], broken: Sequence[Json], states: Mapping[str, Finding]
) -> Finding:
    """The finding on clusters that no accepted Workspace includes."""
    names = ", ".join(map(known_name, outside))
    for each in broken:
        if any(_includes(target.facts, each, facts) for facts in outside):
            return states[title_of(each)]
    judged = failed if any(_is_needed(target.site, facts) for facts in outside) else warning
    hint = f"unless it is left out on purpose, add {names} to spec.workloadClusters of a Workspace"
    return judged(f"no Workspace includes {names}", hint)


def cluster_labels(mesh: Facts, name: str) -> dict[str, str]:
    """Labels of a registered cluster; {} when its KubernetesCluster cannot be read."""
    if "KubernetesCluster" in mesh.unreadable:
        return {}
    return labels_of(mesh.find("KubernetesCluster", name))


def _includes(mesh: Facts, workspace: Json, facts: Facts) -> bool:
    name = known_name(facts)
    return workspaces.includes_cluster(workspace, name, cluster_labels(mesh, name))


def _is_needed(site: SiteFacts, facts: Facts) -> bool:
    """Whether the site's data, or any destination without data, may need this cluster."""
    wanted = site.wanted("virtual_destinations")
    known = site.management.lists.get("VirtualDestination") or ()
    namespaces = {d["namespace"] for d in wanted} if wanted is not None else {namespace_of(d) for d in known}
    here = {name_of(namespace) for namespace in facts.lists.get("Namespace") or ()}
    return facts.gateway or facts.unreachable != "" or bool(namespaces & here)


def _namespaces_outside(target: CheckTarget, working: Sequence[Json]) -> list[str]:
    """Namespaces of the site's destinations that no Workspace includes, as "namespace of cluster"."""
    wanted = {d["namespace"] for d in target.site.wanted("virtual_destinations") or ()}
    found = []
    for facts in target.site.workloads:
        name = known_name(facts)
        labels = cluster_labels(target.facts, name)
        for namespace in facts.lists.get("Namespace") or ():
            if name_of(namespace) in wanted and not any(
                workspaces.includes_namespace(each, name, labels, name_of(namespace), labels_of(namespace))
                for each in working
            ):
                found.append(f"namespace {name_of(namespace)} of {facts.name}")
    return found


def _workspace_settings(target: CheckTarget) -> Finding:
    """One accepted object is enough: settings of other Workspaces are not this site's."""
    found = target.facts.of("WorkspaceSettings")
    if not found:
        return failed("no WorkspaceSettings exist, so no east-west gateway is selected")
    states = [accepted(obj) for obj in found]
    worst = _worst(states)
    if worst.verdict == "failed" and any(state.verdict != "failed" for state in states):
        return warning(f"{worst.message}; other WorkspaceSettings are accepted", worst.hint, worst.object)
    return worst


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda each: ("ok", "warning", "failed").index(each.verdict))


def _trust_policy(target: CheckTarget) -> Finding:
    found = target.facts.of("RootTrustPolicy")
    if not found:
        return ok("no RootTrustPolicy exists: root certificates are managed by other means")
    pending = [obj for obj in found if not judge(obj).processed]
    state = _worst([ok("every RootTrustPolicy is ACCEPTED"), *(accepted(obj) for obj in found if judge(obj).processed)])
    if pending and state.verdict != "failed":
        return _pending_policy(target, pending[0])
    if state.verdict == "failed" and not refusals(target.site):
        return warning(f"{state.message}; the clusters trust each other nevertheless", object=state.object)
    return state


def _pending_policy(target: CheckTarget, policy: Json) -> Finding:
    """The finding on a policy that may be correct: certificates are issued once an istiod is running."""
    text = f"{title_of(policy)}: {judge(policy).reason}"
    without = [facts.name for facts in target.site.workloads if not facts.unreachable and not _runs_istiod(facts)]
    if without:
        names = ", ".join(without)
        return warning(
            f"{text}. It waits for an istiod: none is running in {names}",
            f"it may be correct: see the check istiod of {names}, and read the log of the Gloo Operator there",
            title_of(policy),
        )
    return warning(
        text, "it may be correct: read the logs of the management server and of the agents", title_of(policy)
    )


def _runs_istiod(facts: Facts) -> bool:
    return any(record["ready"] is not False for record in facts.istio["istiods"])


CHECKS: tuple[Check, ...] = (
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
        "correct the RootTrustPolicy according to the message, unless the root CA is managed by other means",
        ("management-server", "licence"),
    ),
)  # fmt: skip
