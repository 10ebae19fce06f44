# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The typed options of the module gateway_parameters: one table of option, field and type."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..k8s.fields import Json, without_nulls
from .proxy_settings import deep_merge

_TEXT: Json = {"type": "str"}
_NUMBER: Json = {"type": "int"}
_FLAG: Json = {"type": "bool"}
_MAP: Json = {"type": "dict"}
_MAPS: Json = {"type": "list", "elements": "dict"}
_NAMES_OF_SECRETS: Json = {**_MAPS, "no_log": False}
_TEXTS: Json = {"type": "list", "elements": "str"}

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
TRAFFIC_POLICIES = ("Cluster", "Local")


@dataclass(frozen=True)
class Option:
    """``name``: the option, dots between levels; ``path``: its field below spec.kube; ``argument``: its argument spec.

    ``items``: options of a list's items -> their fields.
    """

    name: str
    path: str
    argument: Json
    items: Mapping[str, str] | None = None


def _image(name: str, path: str) -> tuple[Option, ...]:
    policy = {"type": "str", "choices": list(PULL_POLICIES), "aliases": ["pullPolicy"]}
    return (
        Option(f"{name}.image.registry", f"{path}.image.registry", _TEXT),
        Option(f"{name}.image.repository", f"{path}.image.repository", _TEXT),
        Option(f"{name}.image.tag", f"{path}.image.tag", _TEXT),
        Option(f"{name}.image.digest", f"{path}.image.digest", _TEXT),
        Option(f"{name}.image.pull_policy", f"{path}.image.pullPolicy", policy),
    )


def _container(name: str, path: str, log_level: str) -> tuple[Option, ...]:
    return (
        *_image(name, path),
        Option(f"{name}.log_level", f"{path}.{log_level}", _TEXT),
        Option(f"{name}.resources", f"{path}.resources", _MAP),
        Option(f"{name}.security_context", f"{path}.securityContext", _MAP),
    )


def _extras(name: str, path: str) -> tuple[Option, ...]:
    return (
        Option(f"{name}.extra_labels", f"{path}.extraLabels", _MAP),
        Option(f"{name}.extra_annotations", f"{path}.extraAnnotations", _MAP),
    )


_ISTIO = "istio.istioProxyContainer"
_PORTS: Json = {
    "type": "list",
    "elements": "dict",
    "options": {"port": {"type": "int", "required": True}, "node_port": _NUMBER},
}

OPTIONS: tuple[Option, ...] = (
    Option("istio.discovery_address", f"{_ISTIO}.istioDiscoveryAddress", _TEXT),
    Option("istio.meta_cluster_id", f"{_ISTIO}.istioMetaClusterId", _TEXT),
    Option("istio.meta_mesh_id", f"{_ISTIO}.istioMetaMeshId", _TEXT),
    *_container("istio", _ISTIO, "logLevel"),
    *_container("sds", "sdsContainer", "bootstrap.logLevel"),
    *_container("envoy", "envoyContainer", "bootstrap.logLevel"),
    Option("envoy.component_log_levels", "envoyContainer.bootstrap.componentLogLevels", _MAP),
    Option("envoy.env", "envoyContainer.env", _MAPS),
    Option("envoy.extra_volume_mounts", "envoyContainer.extraVolumeMounts", _MAPS),
    Option("service.type", "service.type", {"type": "str", "choices": list(SERVICE_TYPES)}),
    Option("service.cluster_ip", "service.clusterIP", _TEXT),
    Option(
        "service.external_traffic_policy",
        "service.externalTrafficPolicy",
        {"type": "str", "choices": list(TRAFFIC_POLICIES)},
    ),
    Option("service.ports", "service.ports", _PORTS, {"port": "port", "node_port": "nodePort"}),
    *_extras("service", "service"),
    Option("service.load_balancer_class", "service.loadBalancerClass", _TEXT),
    Option("service.load_balancer_source_ranges", "service.loadBalancerSourceRanges", _TEXTS),
    *_extras("pod_template", "podTemplate"),
    Option("pod_template.node_selector", "podTemplate.nodeSelector", _MAP),
    Option("pod_template.tolerations", "podTemplate.tolerations", _MAPS),
    Option("pod_template.affinity", "podTemplate.affinity", _MAP),
    Option("pod_template.topology_spread_constraints", "podTemplate.topologySpreadConstraints", _MAPS),
    Option("pod_template.image_pull_secrets", "podTemplate.imagePullSecrets", _NAMES_OF_SECRETS),
    Option("pod_template.security_context", "podTemplate.securityContext", _MAP),
    Option("pod_template.graceful_shutdown.enabled", "podTemplate.gracefulShutdown.enabled", _FLAG),
    Option(
        "pod_template.graceful_shutdown.sleep_time_seconds", "podTemplate.gracefulShutdown.sleepTimeSeconds", _NUMBER
    ),
    Option("pod_template.termination_grace_period_seconds", "podTemplate.terminationGracePeriodSeconds", _NUMBER),
    Option("pod_template.startup_probe", "podTemplate.startupProbe", _MAP),
    Option("pod_template.readiness_probe", "podTemplate.readinessProbe", _MAP),
    Option("pod_template.liveness_probe", "podTemplate.livenessProbe", _MAP),
    Option("pod_template.priority_class_name", "podTemplate.priorityClassName", _TEXT),
    Option("pod_template.extra_volumes", "podTemplate.extraVolumes", _MAPS),
    *_extras("service_account", "serviceAccount"),
    Option("stats.enabled", "stats.enabled", _FLAG),
    Option("stats.enable_stats_route", "stats.enableStatsRoute", _FLAG),
    Option("stats.route_prefix_rewrite", "stats.routePrefixRewrite", _TEXT),
    Option("stats.stats_route_prefix_rewrite", "stats.statsRoutePrefixRewrite", _TEXT),
    Option("deployment.replicas", "deployment.replicas", _NUMBER),
    Option("deployment.strategy", "deployment.strategy", _MAP),
)

_OPTION_AT = {option.path: option.name for option in OPTIONS}


def argument_spec() -> Json:
    """The typed options as an argument spec."""
    spec: Json = {}
    for option in OPTIONS:
        *parents, leaf = option.name.split(".")
        level = spec
        for parent in parents:
            level = level.setdefault(parent, {"type": "dict", "options": {}})["options"]
        level[leaf] = copy.deepcopy(option.argument)
    return {**spec, "self_managed": {"type": "bool", "default": False}, "spec": {"type": "dict", "default": {}}}


def field(path: str) -> str:
    """Name of a field below spec.kube in errors: its path and the option that sets it or fields below it, if any."""
    parts = path.replace("[", ".[").split(".")
    for length in range(len(parts), 0, -1):
        option = _OPTION_AT.get(".".join(parts[:length]))
        if option:
            return f"spec.kube.{path} (option {option})"
    below = next((option.name.split(".")[0] for option in OPTIONS if option.path.startswith(f"{path}.")), None)
    return f"spec.kube.{path}" + (f" (option {below})" if below else "")


def typed(params: Mapping[str, Any]) -> Json:
    """The spec made of the typed options. Empty options are omitted; 0 and false are values."""
    kube: Json = {}
    for option in OPTIONS:
        value = _given(params, option)
        if value in (None, "", {}, []):
            continue
        *parents, leaf = option.path.split(".")
        level = kube
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    spec: Json = {"kube": kube} if kube else {}
    return {**spec, "selfManaged": {}} if params.get("self_managed") else spec


def desired_spec(params: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """(spec merged from the typed options and option spec, contradictions between the two)."""
    given = without_nulls(params.get("spec") or {})
    both = []
    for option in OPTIONS:
        mine, other = _given(params, option), _overlap(given, ("kube", *option.path.split(".")))
        if mine not in (None, "", {}, []) and other is not None and _differ(mine, other):
            both.append(
                f"option {option.name} and spec.kube.{option.path} of option spec have different values. Set only one"
            )
    return deep_merge(typed(params), given), both


def _overlap(spec: Any, path: tuple[str, ...]) -> Any:
    """The value of the spec at a path or at its deepest existing parent; None when there is none."""
    for key in path:
        if not isinstance(spec, dict):
            return spec
        spec = spec.get(key)
    return spec


def _given(params: Mapping[str, Any], option: Option) -> Any:
    value: Any = params
    for key in option.name.split("."):
        value = (value or {}).get(key)
    if option.items is not None and value:
        return [
            {field: item[name] for name, field in option.items.items() if item.get(name) is not None} for item in value
        ]
    return without_nulls(value)


def _differ(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_differ(one[key], other[key]) for key in one if key in other)
    return bool(one != other)
