# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a Gateway's proxy run as it should, and if not, what is the first cause (pure).

kgateway says True wherever it knows nothing bad, so its conditions alone prove little: containers, their settings and
Pods are compared with what the parameters and istiod say. The checks run from cause to symptom; the first that does
not hold is the verdict. "failed" does not get well by waiting, "waiting" may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..istiod import discovery as istio
from ..k8s import readiness
from ..k8s.fields import condition, labels_of, mappings, meta, name_of, number, spec_of, title_of
from ..k8s.names import yaml_keeps
from ..k8s.pods import is_ready
from ..k8s.verdict import Verdict, failed, waiting
from .controller import AUTO_MTLS
from .parameter_kinds import CONTROLLERS
from .proxy_model import CLASS_LABEL, MESH_CONTAINERS, PROXY_CONTAINER, ROOT_CERT, Situation
from .proxy_objects import by_name, container_names, containers, mesh_env, owners_of
from .proxy_pods import pod_cause, pods_ended, pods_refused
from .proxy_settings import SETTINGS, UNUSABLE_ID, usable_id


@dataclass(frozen=True)
class Finding(Verdict):
    """A verdict with the name of the check that did not hold, "" when all did."""

    check: str = ""


def judge(situation: Situation) -> Finding:
    """The first check that does not hold, and who serves clients meanwhile; else ready."""
    for name, check in CHECKS:
        verdict = check(situation)
        if verdict is not None:
            return Finding(state=verdict.state, reason=verdict.reason + _meanwhile(situation, name), check=name)
    names = ", ".join(container_names(situation.deployment))
    return Finding(state="ready", reason=f"{names} ready in {len(situation.current_pods)} Pod(s)")


def _meanwhile(s: Situation, check: str) -> str:
    if s.serving == "former":
        names = ", ".join(name_of(p) for p in s.former_pods)
        return f"; clients are still served with the old settings, by {names}"
    if s.serving == "current" and check in (
        "class",
        "controller",
        "class-served",
        "parameters",
        "generation",
        "settings",
    ):
        return "; the proxy that runs keeps the settings it has"
    return ""


# -- who serves it ---------------------------------------------------------------------------------------------------


def _gateway(s: Situation) -> Verdict | None:
    if s.gateway is None:
        others = sorted(str(meta(g).get("namespace")) for g in s.objects.gateways if name_of(g) == s.name)
        hint = f"; there is one in {', '.join(others)}" if others else ""
        return failed(f"{s.title} does not exist{hint}")
    return waiting(f"{s.title} is being deleted") if meta(s.gateway).get("deletionTimestamp") else None


def _class(s: Situation) -> Verdict | None:
    name = spec_of(s.gateway).get("gatewayClassName")
    if s.gateway_class is None:
        return failed(f"GatewayClass {name} does not exist, so nobody serves {s.title}; {_other_classes(s)}")
    if s.controller_name not in CONTROLLERS and not _renders(s):
        return failed(
            f"GatewayClass {name} belongs to the controller {s.controller_name}, which is neither Gloo Gateway nor "
            f"kgateway; {_other_classes(s)}"
        )
    return None


def _other_classes(s: Situation) -> str:
    served = sorted(
        name_of(c)
        for c in s.objects.classes
        if str(spec_of(c).get("controllerName")) in CONTROLLERS and condition(c, "Accepted").get("status") == "True"
    )
    return f"use one of: {', '.join(served)}" if served else "no GatewayClass is served by Gloo Gateway or kgateway"


def _renders(s: Situation) -> bool:
    """Whether a controller of unknown name made the Deployment for this very class."""
    named = labels_of(s.deployment).get(CLASS_LABEL) == spec_of(s.gateway).get("gatewayClassName")
    return named and PROXY_CONTAINER in container_names(s.deployment)


def _controller(s: Situation) -> Verdict | None:
    if s.controller is not None:
        title = title_of(s.controller)
        if spec_of(s.controller).get("replicas") == 0:
            return failed(f"the gateway controller {title} is scaled to 0: nothing follows changes; scale it up")
        verdict = readiness.judge(s.controller)
        if not verdict.ready:
            return Verdict(verdict.state, f"the gateway controller {title} is not ready: {verdict.reason}")
    return None


def _class_served(s: Situation) -> Verdict | None:
    verdict = readiness.judge(s.gateway_class or {})
    if verdict.ready:
        return None
    text = f"GatewayClass {name_of(s.gateway_class)} of {s.controller_name} is not served: {verdict.reason}"
    if s.controller is None:
        return failed(f"{text}; no Deployment of its controller is in this cluster; {_other_classes(s)}")
    return Verdict(verdict.state, text)


# -- what it is told -------------------------------------------------------------------------------------------------


def _parameters(s: Situation) -> Verdict | None:
    asked = s.want.parameters
    if asked and asked not in [ref.name for ref in s.refs]:
        named = ", ".join(ref.name for ref in s.refs) or "none"
        return failed(f"{s.title} refers to parameters {named}, not to {asked}: set spec.infrastructure.parametersRef")
    allowed = CONTROLLERS.get(s.controller_name)
    for ref in s.refs:
        if allowed and ref.known not in allowed:
            right = " or ".join(kind.title for kind in allowed)
            return failed(f"{ref.by}: parametersRef names {ref.kind} of {ref.group}; its controller takes {right}")
        if not s.served(ref):
            return failed(f"{ref.by} refers to {ref.title}, but this kind is not served: install its CRD")
        if not ref.namespace:
            return failed(f"{ref.by}: parametersRef names no namespace, so {ref.title} is not found: set it")
        if s.was_read(ref) and s.parameters(ref) is None:
            others = sorted(str(meta(p).get("namespace")) for p in s.of_kind(ref) if name_of(p) == ref.name)
            where = "the Gateway's namespace" if ref.by == s.title else "the namespace the class names"
            hint = f"; it exists in {', '.join(others)}, but has to be in {where}" if others else ""
            return failed(f"{ref.title}, which {ref.by} refers to, does not exist{hint}")
    accepted = condition(s.gateway, "Accepted")
    if accepted.get("status") == "False" and accepted.get("reason") == "InvalidParameters" and not _outdated(s):
        text = f"{s.title}: InvalidParameters: {accepted.get('message')}"
        # The object it misses is there by now; the controller looks again by itself.
        return waiting(text) if "not found" in str(accepted.get("message")) else failed(text)
    return None


def _self_managed(s: Situation) -> Verdict | None:
    if s.spec.get("selfManaged") is not None:
        return failed(f"{s.parameters_title} says selfManaged: the controller deploys no proxy for {s.title}")
    return None


def _switch(s: Situation) -> Verdict | None:
    never = _never_together(s)
    if never or s.controller is None:
        return never
    title = title_of(s.controller)
    if s.mesh_wanted and s.auto_mtls is False:
        wanted = [n for n in MESH_CONTAINERS if s.want.expect is None or n in s.want.expect]
        return failed(
            f"{AUTO_MTLS} is off in {title}: it leaves out {', '.join(wanted)} and ignores the istio settings of the "
            f"parameters without a word; set controller.extraEnv.{AUTO_MTLS} to true in its Helm values"
        )
    if s.mesh_wanted is False and s.auto_mtls:
        return failed(
            f"{AUTO_MTLS} is on in {title}: {', '.join(MESH_CONTAINERS)} stay in every proxy; remove it from "
            "controller.extraEnv in its Helm values"
        )
    return None


def _never_together(s: Situation) -> Verdict | None:
    """Containers that are asked for and that no setting brings: waiting for them would never end."""
    if s.want.expect is None or s.deployment is None:
        return None
    asked = set(s.want.expect)
    if len(asked & set(MESH_CONTAINERS)) == 1:
        return failed(f"expect: {' and '.join(MESH_CONTAINERS)} come together or not at all")
    if PROXY_CONTAINER in set(container_names(s.deployment)) - asked:
        return failed(f"expect: {PROXY_CONTAINER} is in every proxy; add it")
    strange = asked - {PROXY_CONTAINER, *MESH_CONTAINERS, *container_names(s.deployment)}
    if strange:
        return failed(
            f"expect: the controller makes no container {', '.join(sorted(strange))}; {title_of(s.deployment)} has "
            f"{', '.join(container_names(s.deployment))}"
        )
    return None


def _outdated(s: Situation) -> bool:
    observed = condition(s.gateway, "Accepted").get("observedGeneration")
    return observed is not None and number(observed) < number(meta(s.gateway).get("generation"))


def _generation(s: Situation) -> Verdict | None:
    """Accepted or refused for the generation that is there now; addresses and listeners come later."""
    accepted = condition(s.gateway, "Accepted")
    # Where its controller is not to be seen, nothing says that anybody will look at it.
    verdict, gone = waiting, ""
    if s.controller is None and s.controller_name in CONTROLLERS:
        verdict, gone = failed, f"; no Deployment of the controller {s.controller_name} is in this cluster"
    if not accepted or accepted.get("status") == "Unknown":
        return verdict(f"{s.title}: no controller has looked at it yet{gone}")
    if _outdated(s):
        observed, generation = accepted.get("observedGeneration"), meta(s.gateway).get("generation")
        return verdict(f"{s.title}: the controller has seen generation {observed}, not yet {generation}{gone}")
    if accepted.get("status") != "True":
        return failed(f"{s.title} is not accepted: {accepted.get('reason')}: {accepted.get('message')}")
    return None


def _settings(s: Situation) -> Verdict | None:
    """Values that cannot work anywhere."""
    if not s.in_mesh:
        return None
    for option, (env, _default) in SETTINGS.items():
        value, where = s.settings()[env], s.set_by(option)
        if env == "CA_ADDR":
            if istio.split_host_port(value)[1] is None:
                fault = "is no host:port" if ":" in value else "has no port"
                return failed(f"{option} {value} of {where} {fault}: istio-proxy exits at once; give host:15012")
        elif not yaml_keeps(value):
            return failed(
                f"{option} of {where} is {value!r}, which YAML reads as something else than text: the controller "
                "cannot write the Deployment, and only its log says so; choose an ID with letters"
            )
    return None


# -- who gives it certificates ---------------------------------------------------------------------------------------


def _address(s: Situation) -> Verdict | None:
    """istioDiscoveryAddress leads to an istiod."""
    target = s.target()
    if not s.in_mesh or target is None:
        return None
    address = s.settings()["CA_ADDR"]
    port = istio.split_host_port(address)[1]
    hint = s.istiod_hint
    where = f"istioDiscoveryAddress {address} of {s.set_by('istioDiscoveryAddress')}"
    service = by_name(s.objects.services, *target)
    if service is None:
        return failed(f"{where} names a Service that does not exist; {hint}")
    ports = mappings(spec_of(service).get("ports"))
    entry = next((p for p in ports if p.get("port") == port), None)
    if ports and entry is None:
        return failed(f"{where}: Service {'/'.join(target)} has no port {port}; {hint}")
    if entry and isinstance(entry.get("targetPort", port), int) and entry.get("targetPort", port) != istio.XDS_PORT:
        return failed(f"{where}: istiod gives certificates at port {istio.XDS_PORT} only; {hint}")
    if s.plane is None:
        # It may still be a way to one, such as an east-west gateway: a certificate proves it.
        return None if s.certified else failed(f"{where}: Service {'/'.join(target)} leads to no istiod; {hint}")
    asked = istio.service_of_address((s.want.istiod or {}).get("address"))
    if s.plane_at(asked) not in (None, s.plane):
        return failed(f"{where} leads to another istiod; {hint}")
    hosts, named = s.certificate_hosts, f"{target[1]}.{target[0]}.svc"
    if istio.compared(address)[0] in hosts or s.certified:
        return None
    if named in hosts:
        return failed(f"{where}: istiod's certificate is for names that end in .svc, TLS fails; use {named}:{port}")
    return failed(f"{where}: istiod's certificate is for {hosts[0]}, not for this name, TLS fails; {hint}")


def _cluster_id(s: Situation) -> Verdict | None:
    if not s.in_mesh:
        return None
    cluster_id, right = s.settings()["ISTIO_META_CLUSTER_ID"], s.accepted_ids()
    if not right or cluster_id in right:
        return None
    host, usable = istio.split_host_port(s.settings()["CA_ADDR"])[0], usable_id(right)
    return failed(
        f"istioMetaClusterId of {s.set_by('istioMetaClusterId')} is {cluster_id}, but istiod {host} only issues "
        f"certificates to {' or '.join(right)}: " + (f"set istioMetaClusterId to {usable}" if usable else UNUSABLE_ID)
    )


def _istiod(s: Situation) -> Verdict | None:
    """It runs, and serves the Gateway's namespace."""
    if not s.in_mesh:
        return None
    plane = s.plane
    if plane and plane["ready"] is False:
        where = f"{plane['namespace']}/{plane['name']}"
        deployment = s.deployment_of(plane)
        told = tuple(f"{title} " for title in (title_of(deployment), f"Service {where}"))
        why = next((p for p in s.objects.istiods["problems"] if p.startswith(told)), "it has no ready Pod")
        lasting = deployment is None or spec_of(deployment).get("replicas") == 0
        return (failed if lasting else waiting)(f"istiod {where} is not ready, nobody issues certificates: {why}")
    if plane and s.target_is_empty:
        target = "/".join(s.target() or ())
        return failed(f"Service {target} of istiod selects the Pods of no Deployment, nobody issues certificates there")
    if not s.root_cert:
        return failed(
            f"ConfigMap {s.namespace}/{ROOT_CERT} is missing, the proxy's new Pods cannot start: istiod writes it into "
            "every namespace it serves (do its discoverySelectors leave this namespace out?)"
        )
    return None


# -- what runs -------------------------------------------------------------------------------------------------------


def _deployment(s: Situation) -> Verdict | None:
    if s.deployment is None:
        namesake = by_name(s.objects.deployments, s.namespace, s.name)
        if namesake:
            owners = ", ".join(f"{owner.get('kind')} {owner.get('name')}" for owner in owners_of(namesake))
            return waiting(f"{title_of(namesake)} is not the Gateway's, it belongs to {owners}: rename one of the two")
        log = f"the log of the controller {title_of(s.controller)}" if s.controller else "its controller's log"
        return waiting(
            f"Deployment {s.namespace}/{s.name} does not exist although {s.title} is accepted; {log} tells why"
        )
    missing, extra = s.container_faults(container_names(s.deployment))
    if missing or extra:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"still has {', '.join(extra)}"] if extra else []
        return waiting(f"{title_of(s.deployment)} {' and '.join(parts)}: the controller has not rendered it anew")
    if s.in_mesh:
        env, told = mesh_env(containers(s.deployment)), s.told()
        for option, (name, _default) in SETTINGS.items():
            value = s.settings()[name]
            # kgateway's defaults are not looked for: another version may leave them out.
            if env.get(name, None if name in told else value) != value:
                shown = f"has {name} {env[name]}" if name in env else f"has no {name} in container istio-proxy"
                return waiting(f"{title_of(s.deployment)} {shown}, {s.set_by(option)} says {value}")
    return None


def _rollout(s: Situation) -> Verdict | None:
    title = title_of(s.deployment)
    if spec_of(s.deployment).get("replicas") == 0:
        return failed(f"{title} is scaled to 0: no proxy runs; scale it up")
    refused = pods_refused(s)
    if refused:
        return refused
    ended = pods_ended(s)
    if ended:
        return ended
    causes = [cause for pod in s.current_pods if (cause := pod_cause(s, pod))]
    if causes:
        return min(causes, key=lambda cause: cause.state)  # failed before waiting
    verdict = readiness.judge(s.deployment or {})
    if not verdict.ready:
        if spec_of(s.deployment).get("paused") and "updated" in verdict.reason:
            return failed(f"{title} is paused, so its change reaches no Pod; resume it (kubectl rollout resume)")
        return Verdict(verdict.state, f"{title}: {verdict.reason}")
    return None if any(map(is_ready, s.current_pods)) else waiting(f"{title} has no Pod yet")


# -- how clients reach it --------------------------------------------------------------------------------------------


def _listeners(s: Situation) -> Verdict | None:
    verdict = readiness.judge(s.gateway or {})
    if verdict.ready or verdict.reason.endswith("no address yet"):
        return None
    return Verdict(verdict.state, f"{s.title}: {verdict.reason}")


def _addresses(s: Situation) -> Verdict | None:
    if s.service is None:
        return waiting(f"Service {s.namespace}/{s.name} does not exist yet")
    if s.addresses:
        return None
    if spec_of(s.service).get("type") == "LoadBalancer":
        return waiting(
            f"{title_of(s.service)} of type LoadBalancer has no address: the cluster's load balancer provider has "
            "given none"
        )
    return waiting(f"{s.title} has no address yet")


Check = Callable[[Situation], "Verdict | None"]

#: from cause to symptom; the names are what records call a check
CHECKS: tuple[tuple[str, Check], ...] = (
    ("gateway", _gateway),
    ("class", _class),
    ("controller", _controller),
    ("class-served", _class_served),
    ("parameters", _parameters),
    ("self-managed", _self_managed),
    ("switch", _switch),
    ("generation", _generation),
    ("settings", _settings),
    ("istiod-address", _address),
    ("cluster-id", _cluster_id),
    ("istiod", _istiod),
    ("deployment", _deployment),
    ("rollout", _rollout),
    ("listeners", _listeners),
    ("address", _addresses),
)
