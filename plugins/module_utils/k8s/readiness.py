# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readiness of objects: a generation-aware rule for each kind, independent of time and other objects (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from .fields import (
    Json,
    condition,
    conditions_of,
    is_true,
    listed,
    mapping,
    mappings,
    meta,
    named_condition,
    namespace_of,
    number,
    spec_of,
    status_of,
)
from .kinds import group_of
from .pods import pod_trouble
from .verdict import Verdict, failed, ready, unprocessed, waiting

# Conditions of a Namespace that is deleted, which say what holds it.
_NAMESPACE_HELD = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
)
_UNDISCOVERED = re.compile(r"\b((?:[a-z0-9-]+\.)+[a-z0-9-]+)/(v[0-9][a-z0-9]*)\b")


def judge(obj: Json) -> Verdict:
    """The verdict for a live object as the API server returns it."""
    if meta(obj).get("deletionTimestamp"):
        return waiting(describe_deletion(obj))
    rule = _rule(obj)
    return rule(obj) if rule else _generic(obj)


def settle_seconds(obj: Json) -> float:
    """Seconds for which a ready verdict must be stable before it counts.

    Two writers compete for the status of Gateway API objects: with unchanged generation it was observed True, False,
    True within 50 ms, and True for 0.4 s on a Gateway whose parameters did not exist.
    """
    group = group_of(str(obj.get("apiVersion", "")))
    return (
        1.0
        if group == "gateway.networking.k8s.io" and obj.get("kind") in ("Gateway", "HTTPRoute", "GRPCRoute")
        else 0.0
    )


def describe_deletion(obj: Json) -> str:
    """Why an object that is being deleted still exists."""
    finalizers = list(map(str, listed(meta(obj).get("finalizers"))))
    parts = ["it is being deleted"]
    if "foregroundDeletion" in finalizers:
        parts.append("its dependents are deleted first")
    if obj.get("kind") == "Namespace":  # it has finalizers in spec as well, one of Kubernetes itself
        finalizers += [each for each in map(str, listed(spec_of(obj).get("finalizers"))) if each != "kubernetes"]
    held = [finalizer for finalizer in finalizers if finalizer != "foregroundDeletion"]
    if held:
        parts.append(f"held by finalizers {', '.join(held)}: their controller must be running to remove them")
    for each in conditions_of(obj):
        if each.get("status") == "True" and each.get("type") in _NAMESPACE_HELD:
            text = str(each.get("message"))
            parts.append(text)
            apis = list(dict.fromkeys(f"{version}.{group}" for group, version in _UNDISCOVERED.findall(text)))
            if apis and each.get("type") == "NamespaceDeletionDiscoveryFailure":
                parts.append(f"APIService {', '.join(apis)} must be available or be deleted (kubectl get apiservices)")
    return "; ".join(parts)


# -- core ---------------------------------------------------------------------------------------------------------


def _namespace(obj: Json) -> Verdict:
    phase = status_of(obj).get("phase", "Active")
    return ready() if phase == "Active" else waiting(f"phase {phase}")


def _crd(obj: Json) -> Verdict:
    names = condition(obj, "NamesAccepted")
    if names.get("status") == "False":
        return failed(f"names not accepted: {names.get('message')}")
    return ready() if is_true(obj, "Established") else waiting("not established yet")


def _service(obj: Json) -> Verdict:
    if spec_of(obj).get("type") != "LoadBalancer":
        return ready()
    address = load_balancer_address(obj)
    if address:
        return ready(f"address {address}")
    return waiting("no LoadBalancer address yet. Check that a load balancer provider is installed")


def load_balancer_address(service: Json) -> str:
    """The first address of a LoadBalancer Service, hostname before IP; "" when it has none."""
    for ingress in mappings(mapping(status_of(service).get("loadBalancer")).get("ingress")):
        address = ingress.get("hostname") or ingress.get("ip")
        if address:
            return str(address)
    return ""


def _pod(obj: Json) -> Verdict:
    phase = status_of(obj).get("phase")
    if phase == "Succeeded":
        return ready("succeeded")
    trouble = pod_trouble(obj)
    if phase == "Failed":
        return failed(trouble or "phase Failed")
    return ready() if is_true(obj, "Ready") else waiting(trouble or f"phase {phase}")


# -- workloads ----------------------------------------------------------------------------------------------------


def _deployment(obj: Json) -> Verdict:
    stale = _stale_status(obj)
    if stale:
        return stale
    progressing, failure = condition(obj, "Progressing"), condition(obj, "ReplicaFailure")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return failed(f"ProgressDeadlineExceeded: {progressing.get('message')}")
    if failure.get("status") == "True":
        return failed(f"Pods cannot be created: {failure.get('message')}")
    wanted = replicas_wanted(obj)
    status = status_of(obj)
    return _replicas(
        wanted,
        updated=number(status.get("updatedReplicas")),
        total=number(status.get("replicas")),
        available=number(status.get("availableReplicas")),
    )


def _stateful_set(obj: Json) -> Verdict:
    stale = _stale_status(obj)
    if stale:
        return stale
    status = status_of(obj)
    updated = number(status.get("updatedReplicas"))
    if status.get("updateRevision") and status.get("updateRevision") == status.get("currentRevision"):
        updated = number(status.get("replicas"))
    return _replicas(
        replicas_wanted(obj),
        updated=updated,
        total=number(status.get("replicas")),
        available=number(status.get("availableReplicas")) or number(status.get("readyReplicas")),
    )


def _daemon_set(obj: Json) -> Verdict:
    stale = _stale_status(obj)
    if stale:
        return stale
    status = status_of(obj)
    wanted = number(status.get("desiredNumberScheduled"))
    return _replicas(
        wanted,
        updated=number(status.get("updatedNumberScheduled")),
        total=number(status.get("currentNumberScheduled")),
        available=number(status.get("numberAvailable")),
    )


def _replicas(wanted: int, *, updated: int, total: int, available: int) -> Verdict:
    if updated < wanted:
        return waiting(f"{updated} of {wanted} replicas updated")
    if total > wanted:
        return waiting(f"{total - wanted} old replicas still running")
    if available < wanted:
        return waiting(f"{available} of {wanted} replicas available")
    return ready(f"{wanted} of {wanted} replicas" if wanted else "0 replicas wanted")


def _job(obj: Json) -> Verdict:
    if is_true(obj, "Failed"):
        failure = condition(obj, "Failed")
        return failed(f"{failure.get('reason')}: {failure.get('message')}")
    return ready("complete") if is_true(obj, "Complete") else waiting("not complete")


# -- Gateway API --------------------------------------------------------------------------------------------------


def _gateway_class(obj: Json) -> Verdict:
    return _named(obj, conditions_of(obj), ["Accepted"], untouched="no controller serves this class") or ready()


def _gateway(obj: Json) -> Verdict:
    status = status_of(obj)
    untouched = f"not reconciled by any controller. Check that class {spec_of(obj).get('gatewayClassName')} is served"
    verdict, broken = _named(obj, conditions_of(obj), ["Accepted", "Programmed"], untouched=untouched), _listeners(obj)
    if verdict:
        # A Gateway without a valid listener is not programmed, or not accepted: the listener's status has the cause.
        accepted = condition(obj, "Accepted")
        by_listeners = accepted.get("status") == "True" or accepted.get("reason") == "ListenersNotValid"
        return broken if by_listeners and broken and broken.state == verdict.state == "failed" else verdict
    if broken:
        return broken
    accepted = condition(obj, "Accepted")
    if accepted.get("reason") not in ("Accepted", None):
        return failed(_quote(accepted))
    addresses = [str(address.get("value")) for address in mappings(status.get("addresses")) if address.get("value")]
    return ready(f"address {', '.join(addresses)}") if addresses else waiting("programmed, but it has no address yet")


def _listeners(obj: Json) -> Verdict | None:
    entries = {str(entry.get("name")): entry for entry in mappings(status_of(obj).get("listeners"))}
    for listener in mappings(spec_of(obj).get("listeners")):
        name = str(listener.get("name"))
        if name not in entries:
            return unprocessed(f"listener {name}: no status yet")
        conditions = mappings(entries[name].get("conditions"))
        conflicted, accepted = named_condition(conditions, "Conflicted"), named_condition(conditions, "Accepted")
        if conflicted.get("status") == "True":
            # kgateway explains some conflicts, such as a reserved port, in Accepted only.
            unexplained = not conflicted.get("message") and accepted.get("status") == "False"
            return failed(f"listener {name}: {_quote(accepted if unexplained else conflicted)}")
        verdict = _named(obj, conditions, ["Accepted", "Programmed", "ResolvedRefs"], untouched="no status yet")
        if verdict:
            return replace(verdict, reason=f"listener {name}: {verdict.reason}")
    return None


def _route(obj: Json) -> Verdict:
    # A route without parentRefs has those that delegate to it as parents in its status.
    refs = mappings(spec_of(obj).get("parentRefs")) or [
        mapping(entry.get("parentRef")) for entry in mappings(status_of(obj).get("parents"))
    ]
    if not refs:
        return failed("it has no parentRefs and no HTTPRoute delegates to it, so no Gateway accepts it. Set parentRefs")
    for ref in refs:
        verdict = judge_parent(obj, ref)
        if not verdict.ready:
            return verdict
    return ready(f"accepted by {', '.join(sorted({_parent_title(obj, ref) for ref in refs}))}")


def judge_parent(
    route: Json, ref: Json, controller: str = "", conditions: Sequence[str] = ("Accepted", "ResolvedRefs")
) -> Verdict:
    """Verdict for one parentRef: that of *controller* or, where it is unknown, the best one of all controllers."""
    title = _parent_title(route, ref)
    entries = [
        entry
        for entry in mappings(status_of(route).get("parents"))
        if _parent_key(route, mapping(entry.get("parentRef"))) == _parent_key(route, ref)
        and controller in ("", entry.get("controllerName"))
    ]
    if not entries:
        by = f"controller {controller}" if controller else "any controller"
        return unprocessed(f"not reconciled by {by} for {title}. Check that the Gateway exists and its class is served")
    verdicts = []
    for entry in entries:
        found = mappings(entry.get("conditions"))
        # kgateway 2.4 accepts a route with rules that it drops or replaces, and says so in a condition of its own.
        programmed = [str(each.get("type")) for each in found if str(each.get("type")).endswith("/Programmed")]
        verdicts.append(_named(route, found, [*conditions, *programmed], untouched="no conditions yet") or ready())
    best = min(verdicts, key=lambda verdict: ("ready", "waiting", "failed").index(verdict.state))
    return best if best.ready else replace(best, reason=f"{title}: {best.reason}")


def _parent_key(obj: Json, ref: Json) -> tuple[Any, ...]:
    return (
        ref.get("group", "gateway.networking.k8s.io"),
        ref.get("kind", "Gateway"),
        ref.get("namespace") or namespace_of(obj),
        ref.get("name"),
        ref.get("sectionName"),
        ref.get("port"),
    )


def _parent_title(obj: Json, ref: Json) -> str:
    _group, kind, namespace, name, section, _port = _parent_key(obj, ref)
    return f"{kind} {namespace}/{name}" + (f" listener {section}" if section else "")


# -- Gloo ---------------------------------------------------------------------------------------------------------


def is_current(obj: Json) -> bool:
    """Whether the management server has written the status of a Gloo Mesh object for its current generation."""
    state = _gloo_state(obj)
    return bool(state.get("approval")) and not _stale(obj, state.get("observedGeneration"))


def _gloo_state(obj: Json) -> Json:
    """.status.common.State (capital S); RootTrustPolicy has the same fields flat."""
    status = status_of(obj)
    common = mapping(status.get("common"))
    state = mapping(common.get("State") or common.get("state"))
    if not state:
        flat = status.get("State") or status.get("state")
        state = (
            flat
            if isinstance(flat, dict)
            else {"approval": flat, "observedGeneration": status.get("observedGeneration")}
        )
    return {**state, "observedGeneration": state.get("observedGeneration") or status.get("observedGeneration")}


def _gloo(obj: Json) -> Verdict:
    """Gloo Mesh objects."""
    state = _gloo_state(obj)
    approval = state.get("approval")
    if not approval:
        return unprocessed(
            "not reconciled by the management server. Check that it is running and a Workspace selects the namespace"
        )
    stale = _stale(obj, state.get("observedGeneration"))
    if stale:
        return unprocessed(f"{stale}; state was {approval}")
    message = state.get("message") or ""
    text = f"{approval}: {message}" if message else str(approval)
    if approval in ("ACCEPTED", "WARNING"):
        return ready(text if approval == "WARNING" else "")
    return unprocessed(text) if approval == "PENDING" else failed(text)


def _service_mesh_controller(obj: Json) -> Verdict:
    status = status_of(obj)
    phase = status.get("phase")
    if not phase:
        return unprocessed("not reconciled by the Gloo Operator. Check that it is running")
    stale = _stale(obj, status.get("observedGeneration"))
    if stale:
        return unprocessed(f"{stale}; phase was {phase}")
    outdated = [each for each in conditions_of(obj) if _stale(obj, each.get("observedGeneration"))]
    if outdated:
        return unprocessed(f"condition {outdated[0].get('type')}: {_stale(obj, outdated[0].get('observedGeneration'))}")
    wrong = [_quote(each) for each in conditions_of(obj) if each.get("status") == "False"]
    text = "; ".join([f"phase {phase}", *wrong])
    # Older operators end with INSTALLED; newer ones pass through it, with a False condition for what is missing.
    if phase == "SUCCEEDED" or (phase == "INSTALLED" and not wrong):
        return ready(text if wrong else "")
    return failed(text) if phase in ("FAILED", "ABORTED") else waiting(text)


# -- shared -------------------------------------------------------------------------------------------------------


def _generic(obj: Json) -> Verdict:
    """A kind without a rule: ready when it exists and, where it has them, by its generation and its condition Ready."""
    stale = _stale(obj, status_of(obj).get("observedGeneration"))
    if stale:
        return unprocessed(stale)
    reported = condition(obj, "Ready")
    if reported and reported.get("status") != "True":
        return waiting(_quote(reported))
    return ready()


def _named(obj: Json, conditions: Iterable[Json], names: Iterable[str], *, untouched: str) -> Verdict | None:
    """None when every named condition is True for the object's generation, else the first that is not."""
    have = list(conditions)
    for name in names:
        found = named_condition(have, name)
        if not found:
            return unprocessed(untouched if not have else f"condition {name} is not set yet")
        status = found.get("status")
        if status == "Unknown" and found.get("reason") in ("Pending", "NotReconciled"):
            # The API server's default status, which carries no generation.
            return unprocessed(untouched)
        stale = _stale(obj, found.get("observedGeneration"))
        if stale:
            return unprocessed(f"{name}: {stale}")
        if status != "True":
            if status == "Unknown":
                return unprocessed(_quote(found))
            soon = found.get("reason") in ("Pending", "AddressNotAssigned", "Waiting")
            return Verdict("waiting" if soon else "failed", _quote(found))
    return None


def _stale(obj: Json, observed: Any) -> str:
    """Why a status is outdated; "" when it is for the current generation, or when that is unknown."""
    generation = meta(obj).get("generation")
    numbers = [str(each) for each in (observed, generation)]  # Gloo writes them as text
    if not all(each.isdecimal() for each in numbers) or int(numbers[0]) >= int(numbers[1]):
        return ""
    return f"its controller has observed generation {observed}, the object is at {generation}"


def _stale_status(obj: Json) -> Verdict | None:
    observed = status_of(obj).get("observedGeneration")
    if observed is None:
        return unprocessed("its controller has not reconciled it yet")
    stale = _stale(obj, observed)
    return unprocessed(stale) if stale else None


def replicas_wanted(obj: Json) -> int:
    """Desired replicas of a workload; the API server's default is 1."""
    replicas = spec_of(obj).get("replicas")
    return replicas if isinstance(replicas, int) else 1


def _quote(condition: Json) -> str:
    text = f"{condition.get('type')}={condition.get('status')}/{condition.get('reason', '')}"
    message = str(condition.get("message") or "").strip()
    return f"{text}: {message}" if message else text


Rule = Callable[[Json], Verdict]

RULES: dict[tuple[str, str], Rule] = {
    ("", "Namespace"): _namespace,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("apps", "Deployment"): _deployment,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("gateway.networking.k8s.io", "GatewayClass"): _gateway_class,
    ("gateway.networking.k8s.io", "Gateway"): _gateway,
    ("gateway.networking.k8s.io", "HTTPRoute"): _route,
    ("gateway.networking.k8s.io", "GRPCRoute"): _route,
    ("operator.gloo.solo.io", "ServiceMeshController"): _service_mesh_controller,
}

# Every Gloo Mesh API has the same status; the groups are <concern>.gloo.solo.io.
_GLOO_GROUPS = (
    "admin.gloo.solo.io",
    "apimanagement.gloo.solo.io",
    "extensions.policy.gloo.solo.io",
    "infrastructure.gloo.solo.io",
    "networking.gloo.solo.io",
    "observability.policy.gloo.solo.io",
    "resilience.policy.gloo.solo.io",
    "security.policy.gloo.solo.io",
    "trafficcontrol.policy.gloo.solo.io",
)


def _rule(obj: Json) -> Rule | None:
    group = group_of(str(obj.get("apiVersion", "")))
    return _gloo if group in _GLOO_GROUPS else RULES.get((group, str(obj.get("kind"))))
