# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validation of GatewayParameters beyond the CRD schema: messages with the field and the remedy (pure).

A rule takes a value and yields (path below the field, problem with remedy).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from ..k8s.fields import Json, dig, mapping, mappings
from ..k8s.names import split_host_port
from ..k8s.yaml_text import yaml_keeps
from .parameters_options import PULL_POLICIES, SERVICE_TYPES, TRAFFIC_POLICIES, field
from .versions import NO_REPLICAS, NODE_PORT_OF_LOAD_BALANCER, UNKNOWN, Range, shown

Wrong = Iterator[tuple[str, str]]
Rule = Callable[[Any], Wrong]

_HOST = re.compile(r"(?=.{1,253}$)[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?")
_REGISTRY = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_PARTS = {
    "registry": (_REGISTRY, "a host with an optional port and path and without https://"),
    "repository": (_REPOSITORY, "lower case letters, digits, '-', '_', '.' and '/'; a tag goes into tag"),
    "tag": (_TAG, "up to 128 letters, digits, '-', '_' and '.'"),
    "digest": (_DIGEST, "sha256: and 64 hexadecimal digits in lower case"),
}

_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VOLUME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?")
_LOGGER = re.compile(r"[a-z0-9_.]+")

ENVOY_LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")
SDS_LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "dpanic", "panic", "fatal")
_BOTH = (
    "spec must have exactly one of kube and selfManaged (option self_managed): with selfManaged the controller "
    "deploys nothing. Remove one of them"
)
_YEAR = 31536000
_PORTS = (1, 65535)


def problems(spec: Json) -> list[str]:
    """Problems with the individual fields of a spec; empty when it is valid."""
    if "kube" not in spec and "selfManaged" not in spec:
        return ["spec is empty. Set exactly one of kube (by any of its options) and selfManaged"]
    wrong = [_BOTH] if "kube" in spec and "selfManaged" in spec else _no_maps(spec)
    if wrong:
        return wrong
    for path, rule in RULES.items():
        value = dig(spec, "kube", *path.split("."))
        if value is not None:
            wrong += [f"{field(path + place)} {text}" for place, text in rule(value)]
    return wrong


def combinations(spec: Json, versions: Range = UNKNOWN) -> list[str]:
    """Contradictions between fields of the resulting object, regardless of their managers.

    versions: those that the controller may have.
    """
    if "kube" in spec and "selfManaged" in spec:
        return [_BOTH]
    service = mapping(dig(spec, "kube", "service"))
    kind, wrong = service_type(spec), []
    if kind not in ("NodePort", "LoadBalancer") and has_node_ports(spec):
        wrong.append(f"{field('service.ports')} has nodePort, which type {kind} does not use")
    if kind == "LoadBalancer" and has_node_ports(spec) and versions.has(NODE_PORT_OF_LOAD_BALANCER) is False:
        wrong.append(
            f"{field('service.ports')} has nodePort, which kgateway before {shown(NODE_PORT_OF_LOAD_BALANCER)} uses "
            f"only with type NodePort, but the type is {kind}"
        )
    if kind == "ClusterIP" and "externalTrafficPolicy" in service:
        wrong.append(f"{field('service.externalTrafficPolicy')} is for types LoadBalancer and NodePort, not ClusterIP")
    for name in ("loadBalancerClass", "loadBalancerSourceRanges"):
        if name in service and kind != "LoadBalancer":
            wrong.append(f"{field(f'service.{name}')} is for type LoadBalancer, not {kind}")
    return [f"{text}. Change spec.kube.service.type (option service.type), or omit the field" for text in wrong]


def service_type(spec: Json) -> str:
    """The type of the proxy's Service: that of the overlay, else of the field, else the controller's default."""
    return str(
        dig(spec, "kube", "serviceOverlay", "spec", "type") or dig(spec, "kube", "service", "type") or "LoadBalancer"
    )


def has_node_ports(spec: Json) -> bool:
    return any("nodePort" in port for port in mappings(dig(spec, "kube", "service", "ports")))


def unusual(spec: Json) -> list[str]:
    """What can be rendered, but hardly has the wanted effect."""
    replicas, found = dig(spec, "kube", "deployment", "replicas"), []
    if replicas == 0:
        found.append(
            f"{field('deployment.replicas')} is 0: no proxy runs; kgateway before {shown(NO_REPLICAS)} ignores 0"
        )
    if replicas is not None and dig(spec, "kube", "horizontalPodAutoscaler") is not None:
        found.append(
            f"{field('deployment.replicas')} is set beside horizontalPodAutoscaler: the controller resets what the "
            "autoscaler sets. Omit it"
        )
    return found


def _no_maps(spec: Json) -> list[str]:
    """Fields that must be maps and are not."""
    if not isinstance(spec.get("selfManaged", {}), dict):
        return ["spec.selfManaged must be an empty map (option self_managed)"]
    if not isinstance(spec.get("kube", {}), dict):
        return ["spec.kube must be a map"]
    parents = {tuple(parts[:length]) for path in RULES if (parts := path.split(".")) for length in range(1, len(parts))}
    wrong = []
    for parent in sorted(parents):
        value = dig(spec, "kube", *parent)
        if value is not None and not isinstance(value, dict) and isinstance(dig(spec, "kube", *parent[:-1]), dict):
            wrong.append(f"{field('.'.join(parent))} must be a map")
    return wrong


# -- rules ---------------------------------------------------------------------------------------------------------


def host_port(address: Any) -> Wrong:
    """The address of istiod; without a port istio-proxy exits on start."""
    if not isinstance(address, str):
        yield "", f"is {address!r}, it must be a string such as istiod.istio-system.svc:15012"
        return
    host, port = split_host_port(address)
    bare = next((part for part in (host, host.rpartition(":")[0]) if _is_ip6(part.strip("[]"))), None)
    if "://" in address:
        yield "", f"is {address!r}: a URL; use host:port without a scheme"
    elif bare:
        yield "", f"is {address!r}: kgateway cannot render an IPv6 address; use the DNS name of istiod's Service"
    elif port is None and ":" in host:
        yield "", f"is {address!r}: use host:port with a port number, such as {host.partition(':')[0]}:15012"
    elif port is None:
        yield "", f"is {address!r}: without a port istio-proxy exits on start; use host:port, such as {host}:15012"
    elif not 1 <= port <= 65535:
        yield "", f"is {address!r}: port {port} is not between 1 and 65535"
    elif not _HOST.fullmatch(host):
        yield "", f"is {address!r}: {host!r} is not a host name; use host:port, such as istiod.istio-system.svc:15012"


def _is_ip6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def plain_id(value: Any) -> Wrong:
    """An ID. kgateway renders it unquoted into YAML; unless that is read as the same text, it creates no Deployment."""
    if not isinstance(value, str):
        yield "", f"is {value!r}, it must be a string: use one such as cluster-1"
    else:
        for place, text in _rendered(value):
            yield place, f"{text}; use one such as cluster-1"


def image(value: Any) -> Wrong:
    """The parts of an image reference."""
    if not isinstance(value, dict):
        yield "", "must be a map of registry, repository, tag, digest and pullPolicy"
        return
    for part, (pattern, instead) in _IMAGE_PARTS.items():
        given = value.get(part)
        if given is not None and not isinstance(given, str):
            yield f".{part}", f"is {given!r}, it must be a string: quote it"
        elif given is not None and not pattern.fullmatch(given):
            yield f".{part}", f"is {given!r}: use {instead}"
    if "pullPolicy" in value:
        yield from _at(".pullPolicy", one_of(*PULL_POLICIES)(value["pullPolicy"]))


def one_of(*words: str) -> Rule:
    def rule(value: Any) -> Wrong:
        if value not in words:
            yield "", f"is {value!r}: use one of {', '.join(words)}"

    return rule


def number(low: int, high: int) -> Rule:
    def rule(value: Any) -> Wrong:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            yield "", f"is {value!r}: use a number from {low} to {high}"

    return rule


def text_like(pattern: re.Pattern[str], instead: str) -> Rule:
    def rule(value: Any) -> Wrong:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield "", f"is {value!r}: use {instead}"

    return rule


def flag(value: Any) -> Wrong:
    if not isinstance(value, bool):
        yield "", f"is {value!r}: use true or false"


def qualified_name(value: Any) -> Wrong:
    """name or domain/name, like keys of labels and annotations."""
    prefix, slash, name = str(value).rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
        yield "", f"is {value!r}: use at most 63 letters, digits, '-', '_', '.', optionally after a domain and '/'"


def load_balancer_class(value: Any) -> Wrong:
    """A qualified name, which kgateway renders unquoted."""
    wrong = list(qualified_name(value))
    yield from wrong or _rendered(value)


def _rendered(value: Any) -> Wrong:
    if not yaml_keeps(str(value)):
        yield "", f"is {value!r}: kgateway renders it unquoted and YAML does not read it as the same text"


def annotation_map(value: Any) -> Wrong:
    """Kubernetes' rules for keys, string values."""
    if not isinstance(value, dict):
        yield "", "must be a map of strings"
        return
    for key, text in value.items():
        for _index, wrong in qualified_name(key):
            yield "", f"has a key that {wrong}"
        if not isinstance(text, str):
            yield "", f"has a value of {key} that is not a string: quote it"


def label_map(value: Any) -> Wrong:
    """Like annotation_map, with label values."""
    yield from annotation_map(value)
    for key, text in value.items() if isinstance(value, dict) else ():
        if isinstance(text, str) and text and not _NAME.fullmatch(text):
            yield (
                "",
                f"has the value {text!r} of {key}: use at most 63 letters, digits, '-', '_', '.', or an empty string",
            )


def component_levels(value: Any) -> Wrong:
    """Envoy's loggers and their levels, which the controller passes as one argument."""
    if not isinstance(value, dict):
        yield "", "must be a map of Envoy's components to levels, such as {upstream: debug}"
        return
    for name, level in value.items():
        if not _LOGGER.fullmatch(str(name)):
            yield "", f"has {name!r}, which is not an Envoy component: use names such as upstream or connection"
        for _index, text in one_of(*ENVOY_LEVELS)(level):
            yield f".{name}", text


def resources(value: Any) -> Wrong:
    """Quantities; a request above its limit makes the API server reject the Pods, seen only in the controller's log."""
    if not isinstance(value, dict):
        yield "", "must be a map of requests and limits"
        return
    amounts: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for side, found in amounts.items():
        given = value.get(side) or {}
        if not isinstance(given, dict):
            yield f".{side}", "must be a map such as {cpu: 100m, memory: 128Mi}"
            continue
        for name, wanted in given.items():
            amount = quantity(wanted)
            if amount is None:
                yield f".{side}.{name}", f"is {wanted!r}: use a quantity such as 100m, 2 or 128Mi"
            else:
                found[name] = amount
    for name, amount in amounts["requests"].items():
        if name in amounts["limits"] and amount > amounts["limits"][name]:
            yield (
                f".requests.{name}",
                "is more than the limit, so the API server rejects the Pods; raise limits or lower requests",
            )


def quantity(value: Any) -> Decimal | None:
    """The number of a Kubernetes quantity, None if invalid."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        return None
    amount, unit = Decimal(found[1]), found[2] or ""
    if unit[:1] in ("e", "E") and len(unit) > 1 and unit != "Ei":
        return amount.scaleb(int(unit[1:]))
    if unit.endswith("i"):
        return amount * Decimal(1024) ** ("KMGTPE".index(unit[0]) + 1)
    return amount.scaleb({"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[unit])


def items(*required: str, unique: str = "", **rules: Rule) -> Rule:
    """A list of maps: required fields, a unique field, rules of other fields."""

    def rule(value: Any) -> Wrong:
        if not isinstance(value, list):
            yield "", "must be a list"
            return
        seen = set()
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                yield f"[{index}]", f"must be a map{f' with {required[0]}' if required else ''}"
                continue
            for name in required:
                if item.get(name) in (None, ""):
                    yield f"[{index}].{name}", "is missing"
            for name, each in rules.items():
                if item.get(name) is not None:
                    yield from _at(f"[{index}].{name}", each(item[name]))
            key = str(item.get(unique))
            if unique and key in seen:
                yield f"[{index}].{unique}", f"is {key} a second time: remove one"
            seen.add(key)

    return rule


def env_value(value: Any) -> Wrong:
    # the value may be secret
    if not isinstance(value, str):
        yield "", "is not a string: quote it"


def strategy(value: Any) -> Wrong:
    if not isinstance(value, dict):
        yield "", "must be a map such as {type: RollingUpdate}"
        return
    if "type" in value:
        yield from _at(".type", one_of("RollingUpdate", "Recreate")(value["type"]))
    if value.get("type") == "Recreate" and value.get("rollingUpdate"):
        yield ".rollingUpdate", "is for type RollingUpdate, not Recreate: remove one of the two"


def cluster_ip(value: Any) -> Wrong:
    if value == "None":
        return
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        yield "", f"is {value!r}: use an IP address of the cluster's Service range, or None"
        return
    yield from _rendered(value)


def source_ranges(value: Any) -> Wrong:
    if not isinstance(value, list):
        yield "", "must be a list of ranges such as 192.0.2.0/24"
        return
    for index, given in enumerate(value):
        try:
            ipaddress.ip_network(given if isinstance(given, str) and "/" in given else "", strict=False)
        except ValueError:
            yield f"[{index}]", f"is {given!r}: use a range such as 192.0.2.0/24"


def _at(place: str, wrong: Wrong) -> Wrong:
    for below, text in wrong:
        yield place + below, text


_ISTIO = "istio.istioProxyContainer"
_path_prefix = text_like(re.compile(r"/.*"), "a path that begins with /")
_toleration = items(operator=one_of("Exists", "Equal"), effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"))
_mount = items("name", "mountPath", unique="mountPath")
_volume_name = text_like(_VOLUME, "at most 63 lower case letters, digits and '-'")
_seconds = number(0, _YEAR)

#: path below spec.kube -> its rule
RULES: Mapping[str, Rule] = {
    f"{_ISTIO}.istioDiscoveryAddress": host_port,
    f"{_ISTIO}.istioMetaClusterId": plain_id,
    f"{_ISTIO}.istioMetaMeshId": plain_id,
    f"{_ISTIO}.image": image,
    f"{_ISTIO}.logLevel": one_of(*ENVOY_LEVELS),
    f"{_ISTIO}.resources": resources,
    "sdsContainer.image": image,
    "sdsContainer.bootstrap.logLevel": one_of(*SDS_LEVELS),
    "sdsContainer.resources": resources,
    "envoyContainer.image": image,
    "envoyContainer.bootstrap.logLevel": one_of(*ENVOY_LEVELS),
    "envoyContainer.bootstrap.componentLogLevels": component_levels,
    "envoyContainer.resources": resources,
    "envoyContainer.env": items("name", unique="name", value=env_value),
    "envoyContainer.extraVolumeMounts": _mount,
    "service.type": one_of(*SERVICE_TYPES),
    "service.clusterIP": cluster_ip,
    "service.externalTrafficPolicy": one_of(*TRAFFIC_POLICIES),
    "service.ports": items("port", unique="port", port=number(*_PORTS), nodePort=number(*_PORTS)),
    "service.extraLabels": label_map,
    "service.extraAnnotations": annotation_map,
    "service.loadBalancerClass": load_balancer_class,
    "service.loadBalancerSourceRanges": source_ranges,
    "podTemplate.extraLabels": label_map,
    "podTemplate.extraAnnotations": annotation_map,
    "podTemplate.nodeSelector": label_map,
    "podTemplate.tolerations": _toleration,
    "podTemplate.topologySpreadConstraints": items("maxSkew", "topologyKey", "whenUnsatisfiable"),
    "podTemplate.imagePullSecrets": items("name", unique="name"),
    "podTemplate.gracefulShutdown.enabled": flag,
    "podTemplate.gracefulShutdown.sleepTimeSeconds": _seconds,
    "podTemplate.terminationGracePeriodSeconds": _seconds,
    "podTemplate.priorityClassName": text_like(_SUBDOMAIN, "the name of a PriorityClass"),
    "podTemplate.extraVolumes": items("name", unique="name", name=_volume_name),
    "serviceAccount.extraLabels": label_map,
    "serviceAccount.extraAnnotations": annotation_map,
    "stats.enabled": flag,
    "stats.enableStatsRoute": flag,
    "stats.routePrefixRewrite": _path_prefix,
    "stats.statsRoutePrefixRewrite": _path_prefix,
    "deployment.replicas": number(0, 2**31 - 1),
    "deployment.strategy": strategy,
}
