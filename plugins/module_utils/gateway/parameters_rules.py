# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the CRD of GatewayParameters takes and nobody can use: sentences with the field and what to write (pure).

A rule takes a value and yields (place below the field, what is wrong and what to write instead).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from ..istiod.objects import split_host_port
from ..k8s.fields import Json, dig, mappings
from ..k8s.names import yaml_changes
from .parameters_options import PULL_POLICIES, SERVICE_TYPES, TRAFFIC_POLICIES, field

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
    "spec has to have exactly one of kube and selfManaged (option self_managed): with selfManaged the controller "
    "deploys nothing; leave one of them out"
)
_YEAR = 31536000
_PORTS = (1, 65535)


def problems(spec: Json) -> list[str]:
    """What is wrong with the fields of a spec, each by itself; empty when they may be written."""
    if "kube" not in spec and "selfManaged" not in spec:
        return ["spec has to have exactly one of kube and selfManaged and is empty: give at least one option"]
    wrong = [_BOTH] if "kube" in spec and "selfManaged" in spec else _no_maps(spec)
    if wrong:
        return wrong
    for path, rule in RULES.items():
        value = dig(spec, "kube", *path.split("."))
        if value is not None:
            wrong += [f"{field(path + place)} {text}" for place, text in rule(value)]
    return wrong


def combinations(spec: Json) -> list[str]:
    """Fields that contradict each other, in what the object will be, whoever set them."""
    if "kube" in spec and "selfManaged" in spec:
        return [_BOTH]
    service = dig(spec, "kube", "service")
    if not isinstance(service, dict):
        return []
    kind, wrong = service.get("type", "LoadBalancer"), []
    if kind != "NodePort" and any("nodePort" in port for port in mappings(service.get("ports"))):
        wrong.append(f"{field('service.ports')} has nodePort, which only type NodePort uses, and the type is {kind}")
    if kind == "ClusterIP" and "externalTrafficPolicy" in service:
        wrong.append(f"{field('service.externalTrafficPolicy')} is for types LoadBalancer and NodePort, not ClusterIP")
    for name in ("loadBalancerClass", "loadBalancerSourceRanges"):
        if name in service and kind != "LoadBalancer":
            wrong.append(f"{field(f'service.{name}')} is for type LoadBalancer, not {kind}")
    return [f"{text}: change spec.kube.service.type (option service.type) or leave it out" for text in wrong]


def _no_maps(spec: Json) -> list[str]:
    """Fields that have fields below them, and are no map."""
    if not isinstance(spec.get("selfManaged", {}), dict):
        return ["spec.selfManaged has to be an empty map (option self_managed)"]
    if not isinstance(spec.get("kube", {}), dict):
        return ["spec.kube has to be a map"]
    parents = {tuple(parts[:length]) for path in RULES if (parts := path.split(".")) for length in range(1, len(parts))}
    wrong = []
    for parent in sorted(parents):
        value = dig(spec, "kube", *parent)
        if value is not None and not isinstance(value, dict) and isinstance(dig(spec, "kube", *parent[:-1]), dict):
            wrong.append(f"{field('.'.join(parent))} has to be a map")
    return wrong


# -- rules ---------------------------------------------------------------------------------------------------------


def host_port(address: Any) -> Wrong:
    """The address of istiod: without a port istio-proxy exits at once."""
    if not isinstance(address, str):
        yield "", f"is {address!r}, it has to be text such as istiod.istio-system.svc:15012"
        return
    host, port = split_host_port(address)
    bare = next((part for part in (host, host.rpartition(":")[0]) if _is_ip6(part)), None)
    if "://" in address:
        yield "", f"is {address!r}: a URL; give host:port alone"
    elif bare and (port is None or not address.startswith("[")):
        yield "", f"is {address!r}: give an IPv6 address in brackets and with a port, such as [{bare}]:15012"
    elif port is None and ":" in host:
        yield "", f"is {address!r}: give host:port with a number, such as {host.partition(':')[0]}:15012"
    elif port is None:
        yield "", f"is {address!r}: without a port istio-proxy exits at once; give host:port, such as {host}:15012"
    elif not 1 <= port <= 65535:
        yield "", f"is {address!r}: port {port} is not between 1 and 65535"
    elif not bare and not _HOST.fullmatch(host):
        yield "", f"is {address!r}: {host!r} is no host name; give host:port, such as istiod.istio-system.svc:15012"


def _is_ip6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def plain_id(value: Any) -> Wrong:
    """An ID: kgateway writes it unquoted into YAML, and where that is no text no Deployment is ever made."""
    if not isinstance(value, str):
        yield "", f"is {value!r}, it has to be text: put it in quotes and use letters"
    elif yaml_changes(value):
        yield (
            "",
            f"is {value!r}: kgateway writes it unquoted and YAML reads it as something else than text; use letters",
        )
    elif not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", value):
        yield "", f"is {value!r}: give letters, digits, '-', '.' and '_' only, a letter or digit first and last"


def image(value: Any) -> Wrong:
    """The parts of an image reference."""
    if not isinstance(value, dict):
        yield "", "has to be a map of registry, repository, tag, digest and pullPolicy"
        return
    for part, (pattern, instead) in _IMAGE_PARTS.items():
        given = value.get(part)
        if given is not None and not isinstance(given, str):
            yield f".{part}", f"is {given!r}, it has to be text: put it in quotes"
        elif given is not None and not pattern.fullmatch(given):
            yield f".{part}", f"is {given!r}: give {instead}"
    if "pullPolicy" in value:
        yield from _at(".pullPolicy", one_of(*PULL_POLICIES)(value["pullPolicy"]))


def one_of(*words: str) -> Rule:
    def rule(value: Any) -> Wrong:
        if value not in words:
            yield "", f"is {value!r}: give one of {', '.join(words)}"

    return rule


def number(low: int, high: int) -> Rule:
    def rule(value: Any) -> Wrong:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            yield "", f"is {value!r}: give a number from {low} to {high}"

    return rule


def text_like(pattern: re.Pattern[str], instead: str) -> Rule:
    def rule(value: Any) -> Wrong:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            yield "", f"is {value!r}: give {instead}"

    return rule


def flag(value: Any) -> Wrong:
    if not isinstance(value, bool):
        yield "", f"is {value!r}: give true or false"


def qualified_name(value: Any) -> Wrong:
    """name or domain/name, as keys of labels and annotations are."""
    prefix, slash, name = str(value).rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
        yield "", f"is {value!r}: give at most 63 letters, digits, '-', '_', '.', perhaps after a domain and '/'"


def annotation_map(value: Any) -> Wrong:
    """Keys as Kubernetes wants them, values text."""
    if not isinstance(value, dict):
        yield "", "has to be a map of text"
        return
    for key, text in value.items():
        for _place, wrong in qualified_name(key):
            yield "", f"has a key that {wrong}"
        if not isinstance(text, str):
            yield "", f"has a value of {key} that is no text: put it in quotes"


def label_map(value: Any) -> Wrong:
    """As annotation_map, and the values are short names."""
    yield from annotation_map(value)
    for key, text in value.items() if isinstance(value, dict) else ():
        if isinstance(text, str) and text and not _NAME.fullmatch(text):
            yield "", f"has the value {text!r} of {key}: give at most 63 letters, digits, '-', '_', '.', or nothing"


def component_levels(value: Any) -> Wrong:
    """Envoy's loggers and their levels; the controller makes one argument of them."""
    if not isinstance(value, dict):
        yield "", "has to be a map of Envoy's components to levels, such as {upstream: debug}"
        return
    for name, level in value.items():
        if not _LOGGER.fullmatch(str(name)):
            yield "", f"has {name!r}, which is no component of Envoy: give names such as upstream or connection"
        for _place, text in one_of(*ENVOY_LEVELS)(level):
            yield f".{name}", text


def resources(value: Any) -> Wrong:
    """Quantities, and no request above its limit: the API server refuses such a Deployment, and only a log tells."""
    if not isinstance(value, dict):
        yield "", "has to be a map of requests and limits"
        return
    amounts: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for side, found in amounts.items():
        given = value.get(side) or {}
        if not isinstance(given, dict):
            yield f".{side}", "has to be a map such as {cpu: 100m, memory: 128Mi}"
            continue
        for name, told in given.items():
            amount = quantity(told)
            if amount is None:
                yield f".{side}.{name}", f"is {told!r}: give a quantity such as 100m, 2 or 128Mi"
            else:
                found[name] = amount
    for name, amount in amounts["requests"].items():
        if name in amounts["limits"] and amount > amounts["limits"][name]:
            yield f".requests.{name}", "is more than the limit: no Pod may be made so; raise limits or lower requests"


def quantity(value: Any) -> Decimal | None:
    """The number that a Kubernetes quantity stands for, None when it is none."""
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
    """A list of maps: fields each must have, one that may not repeat, rules of others."""

    def rule(value: Any) -> Wrong:
        if not isinstance(value, list):
            yield "", "has to be a list"
            return
        seen = set()
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                yield f"[{index}]", f"has to be a map{f' with {required[0]}' if required else ''}"
                continue
            for name in required:
                if item.get(name) in (None, ""):
                    yield f"[{index}].{name}", "is missing"
            for name, each in rules.items():
                if item.get(name) is not None:
                    yield from _at(f"[{index}].{name}", each(item[name]))
            key = str(item.get(unique))
            if unique and key in seen:
                yield f"[{index}].{unique}", f"is {key} a second time: leave one out"
            seen.add(key)

    return rule


def env_value(value: Any) -> Wrong:
    # the value itself may be secret
    if not isinstance(value, str):
        yield "", "is no text: put it in quotes"


def strategy(value: Any) -> Wrong:
    if not isinstance(value, dict):
        yield "", "has to be a map such as {type: RollingUpdate}"
        return
    if "type" in value:
        yield from _at(".type", one_of("RollingUpdate", "Recreate")(value["type"]))
    if value.get("type") == "Recreate" and value.get("rollingUpdate"):
        yield ".rollingUpdate", "is for type RollingUpdate, not Recreate: leave one of the two out"


def cluster_ip(value: Any) -> Wrong:
    if value == "None":
        return
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        yield "", f"is {value!r}: give an IP address of the cluster's Service range, or None"


def source_ranges(value: Any) -> Wrong:
    if not isinstance(value, list):
        yield "", "has to be a list of ranges such as 192.0.2.0/24"
        return
    for index, told in enumerate(value):
        try:
            ipaddress.ip_network(told if isinstance(told, str) and "/" in told else "", strict=False)
        except ValueError:
            yield f"[{index}]", f"is {told!r}: give a range such as 192.0.2.0/24"


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
    "service.loadBalancerClass": qualified_name,
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
