# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks a Gateway's proxy and finds the first cause when it is not ready (pure).

kgateway reports True unless it detects an error, so its conditions are not sufficient: containers, settings and Pods
are compared with the parameters and with istiod. The checks run from cause to symptom; the first failure is the
verdict. "waiting" may resolve by itself, "failed" does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..istiod import discovery as istio
from ..k8s import readiness
from ..k8s.fields import condition, labels_of, mappings, meta, name_of, namespace_of, number, spec_of, title_of
from ..k8s.names import split_host_port
from ..k8s.pods import is_ready
from ..k8s.verdict import Verdict, failed, unprocessed, waiting
from ..k8s.yaml_text import yaml_keeps
from .controller import AUTO_MTLS
from .parameter_kinds import CONTROLLERS
from .proxy_model import CLASS_LABEL, MESH_CONTAINERS, PROXY_CONTAINER, ROOT_CERT, ProxyModel
from .proxy_objects import by_name, container_names, containers, mesh_env, owners_of
from .proxy_pods import pod_cause, pods_ended, pods_refused
from .proxy_settings import SETTINGS, UNUSABLE_ID, usable_id
from .versions import object_names


@dataclass(frozen=True)
class ProxyVerdict(Verdict):
    """A verdict with the name of the failed check, "" when ready."""

    check: str = ""


def check_proxy(model: ProxyModel) -> ProxyVerdict:
    """The first failed check with the Pods that serve clients meanwhile; else ready."""
    for name, check in CHECKS:
        verdict = check(model)
        if verdict is not None:
            return ProxyVerdict(state=verdict.state, reason=verdict.reason + _meanwhile(model, name), check=name)
    names = ", ".join(container_names(model.deployment))
    changed = [overlay.title for overlay in model.overlays if overlay.changes_pods]
    by = f", changed by {' and '.join(changed)}" if changed else ""
    return ProxyVerdict(state="ready", reason=f"{names} ready in {len(model.current_pods)} Pod(s){by}")


def _meanwhile(model: ProxyModel, check: str) -> str:
    if model.serving == "former":
        names = ", ".join(name_of(p) for p in model.former_pods)
        return f"; {names} still serve clients with the previous settings"
    if model.serving == "current" and check in (
        "class",
        "controller",
        "class-served",
        "parameters",
        "generation",
        "settings",
    ):
        return "; the running proxy keeps its current settings"
    return ""


# -- controller ----------------------------------------------------------------------------------------------------


def _gateway(model: ProxyModel) -> Verdict | None:
    if model.gateway is None:
        others = sorted(namespace_of(g) for g in model.objects.gateways if name_of(g) == model.name)
        hint = f"; a Gateway of this name exists in {', '.join(others)}" if others else ""
        return failed(f"{model.title} does not exist{hint}")
    return waiting(f"{model.title} is being deleted") if meta(model.gateway).get("deletionTimestamp") else None


def _class(model: ProxyModel) -> Verdict | None:
    name = spec_of(model.gateway).get("gatewayClassName")
    if model.gateway_class is None:
        return failed(
            f"GatewayClass {name} does not exist, so no controller serves {model.title}; {_other_classes(model)}"
        )
    if model.controller_name not in CONTROLLERS and not _renders(model):
        return failed(
            f"GatewayClass {name} belongs to the controller {model.controller_name}, which is neither Gloo Gateway nor "
            f"kgateway; {_other_classes(model)}"
        )
    return None


def _other_classes(model: ProxyModel) -> str:
    served = sorted(
        name_of(c)
        for c in model.objects.classes
        if str(spec_of(c).get("controllerName")) in CONTROLLERS and condition(c, "Accepted").get("status") == "True"
    )
    return f"use one of: {', '.join(served)}" if served else "no GatewayClass is served by Gloo Gateway or kgateway"


def _renders(model: ProxyModel) -> bool:
    """Whether a controller of unknown name created the Deployment for this class."""
    named = labels_of(model.deployment).get(CLASS_LABEL) == spec_of(model.gateway).get("gatewayClassName")
    return named and PROXY_CONTAINER in container_names(model.deployment)


def _controller(model: ProxyModel) -> Verdict | None:
    if model.controller is not None:
        title = title_of(model.controller)
        if spec_of(model.controller).get("replicas") == 0:
            return failed(
                f"the gateway controller {title} is scaled to 0, so configuration changes have no effect. Scale it up "
                "unless this is intended"
            )
        verdict = readiness.judge(model.controller)
        if not verdict.ready:
            return replace(verdict, reason=f"the gateway controller {title} is not ready: {verdict.reason}")
    return None


def _class_served(model: ProxyModel) -> Verdict | None:
    verdict = readiness.judge(model.gateway_class or {})
    if verdict.ready:
        return None
    text = f"GatewayClass {name_of(model.gateway_class)} of {model.controller_name} is not served: {verdict.reason}"
    if model.controller is None:
        return failed(f"{text}; its controller has no Deployment in this cluster; {_other_classes(model)}")
    return replace(verdict, reason=text)


# -- parameters -----------------------------------------------------------------------------------------------------


def _parameters(model: ProxyModel) -> Verdict | None:
    expected = model.want.parameters
    if expected and expected not in [ref.name for ref in model.refs]:
        named = ", ".join(ref.name for ref in model.refs) or "none"
        return failed(
            f"{model.title} references parameters {named}, not {expected}. Set spec.infrastructure.parametersRef"
        )
    allowed = CONTROLLERS.get(model.controller_name)
    for ref in model.refs:
        if allowed and ref.known not in allowed:
            if ref.by != model.title and is_accepted(model):
                continue  # of a class, and its controller deploys the proxy all the same
            right = " or ".join(kind.title for kind in allowed)
            return failed(f"{ref.by}: parametersRef has kind {ref.kind} of {ref.group}; the controller accepts {right}")
        if not model.served(ref):
            return failed(f"{ref.by} references {ref.title}, but this kind is not served. Install its CRD")
        if not ref.namespace:
            return failed(f"{ref.by}: parametersRef has no namespace, so {ref.title} is not found. Set the namespace")
        if model.was_read(ref) and model.parameters(ref) is None:
            others = sorted(namespace_of(p) for p in model.of_kind(ref) if name_of(p) == ref.name)
            where = "the Gateway's namespace" if ref.by == model.title else "the namespace in the class's parametersRef"
            hint = f"; it exists in {', '.join(others)}, but must be in {where}" if others else ""
            return failed(f"{ref.title}, referenced by {ref.by}, does not exist{hint}")
    accepted = condition(model.gateway, "Accepted")
    if accepted.get("status") == "False" and accepted.get("reason") == "InvalidParameters" and not _outdated(model):
        text = f"{model.title}: InvalidParameters: {accepted.get('message')}"
        value = _settings(model)
        if value is not None:
            return replace(value, reason=f"{text}. {value.reason}")
        # The missing object exists by now; the controller reconciles again by itself.
        return waiting(text) if "not found" in str(accepted.get("message")) else failed(text)
    return None


def _self_managed(model: ProxyModel) -> Verdict | None:
    if model.spec.get("selfManaged") is not None:
        return failed(f"{model.parameters_title} sets selfManaged: the controller deploys no proxy for {model.title}")
    return None


def _switch(model: ProxyModel) -> Verdict | None:
    never = _never_together(model)
    if never or model.controller is None:
        return never
    title = title_of(model.controller)
    if model.mesh_wanted and model.auto_mtls is False:
        wanted = [n for n in MESH_CONTAINERS if model.want.expect is None or n in model.want.expect]
        return failed(
            f"{AUTO_MTLS} is off in {title}: the controller omits {', '.join(wanted)} and silently ignores the istio "
            "settings of the parameters. Unless its Gateways are meant to be outside the mesh, set "
            f"controller.extraEnv.{AUTO_MTLS} to true in its Helm values"
        )
    if model.mesh_wanted is False and model.auto_mtls:
        return failed(
            f"{AUTO_MTLS} is on in {title}: every proxy has {', '.join(MESH_CONTAINERS)}. Add them to the expected "
            "containers or, if no Gateway of this controller is meant to be in the mesh, remove it from "
            "controller.extraEnv in its Helm values"
        )
    return None


def _never_together(model: ProxyModel) -> Verdict | None:
    """Expected containers that no setting can provide, so waiting for them is pointless."""
    if model.want.expect is None or model.deployment is None:
        return None
    expected = set(model.want.expect)
    if len(expected & set(MESH_CONTAINERS)) == 1:
        return failed(f"expect: {' and '.join(MESH_CONTAINERS)} are deployed only together. Set both or none")
    if PROXY_CONTAINER in set(container_names(model.deployment)) - expected:
        return failed(f"expect: {PROXY_CONTAINER} is part of every proxy. Add it")
    unknown = expected - {PROXY_CONTAINER, *MESH_CONTAINERS, *container_names(model.deployment)}
    if unknown and not any(overlay.changes_pods for overlay in model.overlays):
        return failed(
            f"expect: the controller does not deploy container {', '.join(sorted(unknown))}; "
            f"{title_of(model.deployment)} has {', '.join(container_names(model.deployment))}"
        )
    return None


def is_accepted(model: ProxyModel) -> bool:
    """Whether a controller has accepted the Gateway's current generation."""
    return condition(model.gateway, "Accepted").get("status") == "True" and not _outdated(model)


def _outdated(model: ProxyModel) -> bool:
    observed = condition(model.gateway, "Accepted").get("observedGeneration")
    return observed is not None and number(observed) < number(meta(model.gateway).get("generation"))


def _generation(model: ProxyModel) -> Verdict | None:
    """Whether the current generation is accepted; addresses and listeners are checked later."""
    accepted = condition(model.gateway, "Accepted")
    # Without a visible controller there is no reason to expect progress.
    verdict, no_controller = unprocessed, ""
    if model.controller is None and model.controller_name in CONTROLLERS:
        verdict, no_controller = failed, f"; controller {model.controller_name} has no Deployment in this cluster"
    if not accepted or accepted.get("status") == "Unknown":
        return verdict(f"{model.title}: no controller has reconciled it yet{no_controller}")
    if _outdated(model):
        observed, generation = accepted.get("observedGeneration"), meta(model.gateway).get("generation")
        return verdict(
            f"{model.title}: the controller has observed generation {observed}, not yet {generation}{no_controller}"
        )
    if accepted.get("status") != "True":
        by_listeners = listeners(model) if accepted.get("reason") == "ListenersNotValid" else None
        text = f"{model.title} is not accepted: {accepted.get('reason')}: {accepted.get('message')}"
        return by_listeners or failed(text)
    return None


def _settings(model: ProxyModel) -> Verdict | None:
    """Values that are invalid in any cluster."""
    if not model.in_mesh:
        return None
    rendered = mesh_env(containers(model.deployment))
    for option, (env, _default) in SETTINGS.items():
        value, where = model.settings()[env], model.set_by(option)
        keeps = yaml_keeps(value) or rendered.get(env) == value
        if env == "CA_ADDR":
            if split_host_port(value)[1] is None:
                fault = "is not host:port" if ":" in value else "has no port"
                return failed(f"{option} {value} in {where} {fault}: istio-proxy exits on start. Set host:15012")
            if not keeps:
                return failed(
                    f"{option} {value} in {where} cannot be rendered by the controller, which writes it unquoted into "
                    "YAML. Set the DNS name of istiod's Service"
                )
        elif not keeps:
            return failed(
                f"{option} in {where} is {value!r}, which YAML does not read as a string: the controller cannot "
                "render the Deployment and reports it only in its log. Set an ID such as cluster-1"
            )
    return None


# -- certificates ----------------------------------------------------------------------------------------------------


def _address(model: ProxyModel) -> Verdict | None:
    """istioDiscoveryAddress points to an istiod."""
    target = model.target()
    if not model.in_mesh or target is None:
        return None
    address = model.settings()["CA_ADDR"]
    port = split_host_port(address)[1]
    hint = model.istiod_hint
    where = f"istioDiscoveryAddress {address} in {model.set_by('istioDiscoveryAddress')}"
    service = by_name(model.objects.services, *target)
    if service is None:
        return failed(f"{where}: the Service does not exist; {hint}")
    ports = mappings(spec_of(service).get("ports"))
    entry = next((p for p in ports if p.get("port") == port), None)
    if ports and entry is None:
        return failed(f"{where}: Service {'/'.join(target)} has no port {port}; {hint}")
    if entry and isinstance(entry.get("targetPort", port), int) and entry.get("targetPort", port) != istio.XDS_PORT:
        return failed(f"{where}: istiod issues certificates on port {istio.XDS_PORT} only; {hint}")
    if model.plane is None:
        # It may still route to one, such as an east-west gateway: an issued certificate proves it.
        return (
            None
            if model.certified
            else failed(f"{where}: Service {'/'.join(target)} does not select an istiod; {hint}")
        )
    expected = istio.service_of_address((model.want.istiod or {}).get("address"))
    if model.plane_at(expected) not in (None, model.plane):
        return failed(f"{where} points to a different istiod; {hint}")
    hosts, named = model.certificate_hosts, f"{target[1]}.{target[0]}.svc"
    if istio.compared(address)[0] in hosts or model.certified:
        return None
    if named in hosts:
        return failed(
            f"{where}: istiod's certificate is valid only for names ending in .svc, so TLS fails. Use {named}:{port}"
        )
    return failed(f"{where}: istiod's certificate is valid for {hosts[0]}, not for this name, so TLS fails; {hint}")


def _cluster_id(model: ProxyModel) -> Verdict | None:
    if not model.in_mesh:
        return None
    cluster_id, right = model.settings()["ISTIO_META_CLUSTER_ID"], model.accepted_ids()
    if not right or cluster_id in right:
        return None
    if model.is_rendered_otherwise and model.certified:
        return None  # by a certificate of another kind, such as one of another CA
    host, usable = split_host_port(model.settings()["CA_ADDR"])[0], usable_id(right)
    return failed(
        f"istioMetaClusterId in {model.set_by('istioMetaClusterId')} is {cluster_id}, but istiod {host} issues "
        f"certificates only for {' or '.join(right)}. "
        + (f"Set istioMetaClusterId to {usable}" if usable else UNUSABLE_ID)
    )


def _istiod(model: ProxyModel) -> Verdict | None:
    """istiod is ready and serves the Gateway's namespace."""
    if not model.in_mesh:
        return None
    plane = model.plane
    if plane and plane["ready"] is False:
        where = f"{plane['namespace']}/{plane['name']}"
        deployment = model.deployment_of(plane)
        titles = tuple(f"{title} " for title in (title_of(deployment), f"Service {where}"))
        why = next((p for p in model.objects.istiods["problems"] if p.startswith(titles)), "it has no ready Pod")
        lasting = deployment is None or spec_of(deployment).get("replicas") == 0
        return (failed if lasting else waiting)(f"istiod {where} is not ready, so no certificates are issued: {why}")
    if plane and model.target_is_empty:
        target = "/".join(model.target() or ())
        return failed(
            f"Service {target} of istiod does not select the Pods of any Deployment, so no certificates are issued "
            "there"
        )
    if not model.root_cert:
        return failed(
            f"ConfigMap {model.namespace}/{ROOT_CERT} is missing, so new Pods of the proxy cannot start: istiod "
            "writes it into every namespace it serves. Check whether its discoverySelectors exclude this namespace"
        )
    return None


# -- workloads -------------------------------------------------------------------------------------------------------


def _deployment(model: ProxyModel) -> Verdict | None:
    if model.deployment is None:
        found = (by_name(model.objects.deployments, model.namespace, name) for name in object_names(model.name))
        namesake = next(filter(None, found), None)
        if namesake:
            owners = ", ".join(f"{owner.get('kind')} {owner.get('name')}" for owner in owners_of(namesake))
            return waiting(f"{title_of(namesake)} is not owned by the Gateway but by {owners}. Rename one of the two")
        if not yaml_keeps(model.name):
            return failed(
                f"{model.title} has no Deployment: the controller writes the name unquoted, and YAML does not read it "
                "as a string. Create the Gateway under another name, such as gateway-1"
            )
        refused = listeners(model)
        if refused and refused.state == "failed":
            return refused
        log = f"the log of controller {title_of(model.controller)}" if model.controller else "the controller's log"
        return waiting(
            f"Deployment {model.namespace}/{model.name} does not exist although {model.title} is accepted. Check {log}"
        )
    missing, extra = model.container_faults(container_names(model.deployment))
    removed = [(name, by) for name in missing if (by := model.removed_by(name))]
    if removed:
        names = ", ".join(name for name, _by in removed)
        return failed(
            f"{title_of(model.deployment)} lacks {names}, which {removed[0][1]} removes, so the proxy gets no "
            "certificate of the mesh. Change the overlay unless this is intended"
        )
    if missing or extra:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"still has {', '.join(extra)}"] if extra else []
        return waiting(f"{title_of(model.deployment)} {' and '.join(parts)}: the controller has not updated it yet")
    if model.in_mesh and not model.is_rendered_otherwise:
        env, explicit = mesh_env(containers(model.deployment)), model.explicit_settings()
        for option, (name, _default) in SETTINGS.items():
            value = model.settings()[name]
            # kgateway's defaults are not checked: other versions may omit them.
            if env.get(name, None if name in explicit else value) != value:
                shown = f"has {name} {env[name]}" if name in env else f"has no {name} in container istio-proxy"
                return waiting(f"{title_of(model.deployment)} {shown}, {model.set_by(option)} sets {value}")
    return None


def _rollout(model: ProxyModel) -> Verdict | None:
    title = title_of(model.deployment)
    if spec_of(model.deployment).get("replicas") == 0:
        source, autoscaler = model.scaled_down_by(), model.autoscaler
        remedy = f"{source} to 0. Change it there" if source else "Scale it up"
        if autoscaler and not source:
            remedy = f"The autoscaler in {autoscaler} does not scale it up from 0. Scale it to 1"
        return failed(f"{title} is scaled to 0, so no proxy runs. {remedy} unless this is intended")
    refused = pods_refused(model)
    if refused:
        return refused
    ended = pods_ended(model)
    if ended:
        return ended
    causes = [cause for pod in model.current_pods if (cause := pod_cause(model, pod))]
    if causes:
        return min(causes, key=lambda cause: cause.state)  # failed before waiting
    verdict = readiness.judge(model.deployment or {})
    if not verdict.ready:
        if spec_of(model.deployment).get("paused") and "updated" in verdict.reason:
            return failed(
                f"{title} is paused, so changes do not reach its Pods. Resume it (kubectl rollout resume) unless this "
                "is intended"
            )
        return replace(verdict, reason=f"{title}: {verdict.reason}")
    return None if any(map(is_ready, model.current_pods)) else waiting(f"{title} has no Pod yet")


# -- client access --------------------------------------------------------------------------------------------


def listeners(model: ProxyModel) -> Verdict | None:
    verdict = readiness.judge(model.gateway or {})
    if verdict.ready or verdict.reason.endswith("no address yet"):
        return None
    return replace(verdict, reason=f"{model.title}: {verdict.reason}")


def _addresses(model: ProxyModel) -> Verdict | None:
    if model.service is None:
        return waiting(f"Service {model.namespace}/{model.name} does not exist yet")
    if model.addresses:
        return None
    if spec_of(model.service).get("type") == "LoadBalancer":
        return waiting(
            f"{title_of(model.service)} of type LoadBalancer has no address. Check the cluster's load balancer provider"
        )
    return waiting(f"{model.title} has no address yet")


Check = Callable[[ProxyModel], "Verdict | None"]

#: from cause to symptom; the names are those in records
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
    ("listeners", listeners),
    ("address", _addresses),
)
