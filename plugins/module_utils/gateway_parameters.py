# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GatewayParameters: build from options, check what the CRD does not, compare with istiod; engine of the module.

Everything but `run()` is pure. Merging with what others wrote is server-side apply's work (converge.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import istiod as istio
from .cluster import CLUSTER_SPEC, Cluster, connect
from .converge import checked, converge
from .errors import ClusterError, Invalid, NotServed
from .kinds import group_of
from .objects import is_ours
from .proxy_settings import SETTINGS, deep_merge, yaml_changes

Json = dict[str, Any]

_IMAGE_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        "registry": {"type": "str"},
        "repository": {"type": "str"},
        "tag": {"type": "str"},
        "digest": {"type": "str"},
        "pull_policy": {"type": "str", "aliases": ["pullPolicy"], "choices": ["Always", "IfNotPresent", "Never"]},
    },
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "api_version": {"type": "str", "default": "gateway.kgateway.dev/v1alpha1"},
    "kind": {"type": "str", "default": "GatewayParameters"},
    "istio": {
        "type": "dict",
        "options": {
            "discovery_address": {"type": "str"},
            "meta_cluster_id": {"type": "str"},
            "meta_mesh_id": {"type": "str"},
            "image": _IMAGE_SPEC,
            "log_level": {"type": "str"},
        },
    },
    "sds": {"type": "dict", "options": {"image": _IMAGE_SPEC}},
    "spec": {"type": "dict", "default": {}},
    "istiod": {"type": "dict"},
    "strict": {"type": "bool", "default": True},
    "on_conflict": {"type": "str", "choices": ["fail", "force"], "default": "fail"},
    "ignore_references": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
}

_ISTIO_FIELDS = {
    "discovery_address": "istioDiscoveryAddress",
    "meta_cluster_id": "istioMetaClusterId",
    "meta_mesh_id": "istioMetaMeshId",
    "log_level": "logLevel",
}
_IMAGE_FIELDS = {
    "registry": "registry",
    "repository": "repository",
    "tag": "tag",
    "digest": "digest",
    "pull_policy": "pullPolicy",
}
#: path of every image in spec.kube
_IMAGES = (("envoyContainer",), ("sdsContainer",), ("istio", "istioProxyContainer"))

_HOST = re.compile(r"(?=.{1,253}$)[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*\.?")
_REGISTRY = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+([.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


def build(params: Mapping[str, Any]) -> Json:
    """The desired object: typed options first, `spec` merged over them. Empty options are left to others."""
    typed: Json = {}
    options = params.get("istio") or {}
    container = {field: options[name] for name, field in _ISTIO_FIELDS.items() if options.get(name)}
    container |= _image(options)
    if container:
        typed["istio"] = {"istioProxyContainer": container}
    sds = _image(params.get("sds") or {})
    if sds:
        typed["sdsContainer"] = sds
    spec = deep_merge({"kube": typed} if typed else {}, params.get("spec") or {})
    return {
        "apiVersion": params.get("api_version") or "gateway.kgateway.dev/v1alpha1",
        "kind": params.get("kind") or "GatewayParameters",
        "metadata": {"name": params["name"], "namespace": params["namespace"]},
        "spec": spec,
    }


def _image(options: Mapping[str, Any]) -> Json:
    given = options.get("image") or {}
    image = {field: given[name] for name, field in _IMAGE_FIELDS.items() if given.get(name)}
    return {"image": image} if image else {}


def _at(spec: Json, path: Sequence[str]) -> Json:
    for key in path:
        value = spec.get(key)
        if not isinstance(value, dict):
            return {}
        spec = value
    return spec


def validate(obj: Json) -> list[str]:
    """What is wrong with the object though the CRD takes it; sentences with the field, empty when it may be written."""
    spec = obj.get("spec") or {}
    if ("kube" in spec) == ("selfManaged" in spec):
        return ["spec has to have exactly one of kube and selfManaged" + (" and is empty" if not spec else "")]
    kube = spec.get("kube")
    if kube is None:
        return []
    if not isinstance(kube, dict):
        return ["spec.kube has to be a map"]
    container = _at(kube, ("istio", "istioProxyContainer"))
    wrong = []
    prefix = "spec.kube.istio.istioProxyContainer"
    address = container.get("istioDiscoveryAddress")
    if address is not None:
        wrong += [f"{prefix}.istioDiscoveryAddress {text}" for text in address_problems(address)]
    for field in ("istioMetaClusterId", "istioMetaMeshId"):
        if field in container:
            wrong += [f"{prefix}.{field} {text}" for text in id_problems(container[field])]
    for path in _IMAGES:
        image = _at(kube, (*path, "image"))
        wrong += [f"spec.kube.{'.'.join(path)}.image.{text}" for text in image_problems(image)]
    replicas = _at(kube, ("deployment",)).get("replicas")
    if replicas is not None and (isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0):
        wrong.append(f"spec.kube.deployment.replicas is {replicas!r}, it has to be a number of at least 0")
    return wrong


def address_problems(address: Any) -> list[str]:
    """Why the text is no host:port."""
    if not isinstance(address, str):
        return [f"is {address!r}, it has to be text such as istiod.istio-system.svc:15012"]
    host, port = istio.split_host_port(address)
    if "://" in address:
        return [f"is {address!r}: a URL; give host:port alone"]
    if port is None:
        return [f"is {address!r}: without a port istio-proxy exits at once; give host:port, such as {host}:15012"]
    if not 1 <= port <= 65535:
        return [f"is {address!r}: port {port} is not between 1 and 65535"]
    bare = host.strip("[]")
    is_ip6 = ":" in bare and re.fullmatch(r"[0-9a-fA-F:.]+", bare) is not None
    if is_ip6 and not address.startswith("["):
        return [f"is {address!r}: put an IPv6 address in brackets"]
    if not is_ip6 and not _HOST.fullmatch(host):
        return [f"is {address!r}: {host!r} is no host name"]
    return []


def id_problems(value: Any) -> list[str]:
    """Why kgateway cannot carry the ID: it writes it unquoted into YAML."""
    if not isinstance(value, str):
        return [f"is {value!r}, it has to be text: put it in quotes and use letters"]
    if yaml_changes(value):
        return [f"is {value!r}: kgateway writes it unquoted and YAML reads it as something else than text; use letters"]
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", value):
        return [f"is {value!r}: letters, digits, '-', '.' and '_' only, beginning and ending with a letter or digit"]
    return []


def image_problems(image: Mapping[str, Any]) -> list[str]:
    """Why the parts make no image reference."""
    wrong = []
    rules = {"registry": _REGISTRY, "repository": _REPOSITORY, "tag": _TAG, "digest": _DIGEST}
    for part, rule in rules.items():
        value = image.get(part)
        if value is None:
            continue
        if not isinstance(value, str):
            wrong.append(f"{part} is {value!r}, it has to be text: put it in quotes")
        elif not rule.fullmatch(value):
            hint = ": the tag goes into tag" if part == "repository" and ":" in value else ""
            wrong.append(f"{part} {value!r} is none{hint}")
    policy = image.get("pullPolicy")
    if policy is not None and policy not in ("Always", "IfNotPresent", "Never"):
        wrong.append(f"pullPolicy {policy!r} is none of Always, IfNotPresent, Never")
    return wrong


def effective(spec: Json) -> dict[str, str]:
    """Option of istioProxyContainer -> the value the proxy will get, kgateway's defaults included."""
    container = _at(spec, ("kube", "istio", "istioProxyContainer"))
    return {option: str(container.get(option) or default) for option, (_env, default) in SETTINGS.items()}


def contradictions(spec: Json, istiod: Mapping[str, Any]) -> list[str]:
    """Where the settings and the istiod (a record of istiod_info) do not fit, so that no certificate will be issued."""
    if "selfManaged" in spec:
        return []
    found, values = [], effective(spec)
    address, right = values["istioDiscoveryAddress"], istiod.get("address")
    if right and _normal(address) != _normal(str(right)):
        found.append(
            f"discovery_address is {address}, but the istiod of this cluster is at {right}: "
            "set it to that, or leave it out of your variables"
        )
    cluster_id, accepted = values["istioMetaClusterId"], istiod.get("cluster_id")
    if accepted and cluster_id != accepted:
        found.append(
            f"meta_cluster_id is {cluster_id}, but istiod issues certificates to cluster ID {accepted} only: set "
            f"{accepted}"
        )
    return found


def remarks(spec: Json, istiod: Mapping[str, Any]) -> list[str]:
    """What does not fit and does no harm but to telemetry."""
    have, right = effective(spec)["istioMetaMeshId"], istiod.get("mesh_id")
    if "selfManaged" in spec or not right or have == right:
        return []
    return [f"meta_mesh_id is {have}, istiod's mesh ID is {right}; nothing checks it, but telemetry will carry {have}"]


def _normal(address: str) -> tuple[str, int | None]:
    host, port = istio.split_host_port(address)
    return host.removesuffix(".").removesuffix(".cluster.local"), port


def references(obj: Json, gateways: Sequence[Json], classes: Sequence[Json]) -> list[str]:
    """Gateways and GatewayClasses that refer to the object, as titles."""
    meta = obj["metadata"]
    group, kind = group_of(obj["apiVersion"]), obj["kind"]

    def fits(ref: Mapping[str, Any] | None, namespace: str) -> bool:
        named = {"group": group, "kind": kind, "name": meta["name"]}
        return (
            ref is not None
            and namespace == meta["namespace"]
            and all(ref.get(key) == value for key, value in named.items())
        )

    found = []
    for gateway in gateways:
        where = gateway["metadata"]["namespace"]
        if fits((gateway.get("spec") or {}).get("infrastructure", {}).get("parametersRef"), where):
            found.append(f"Gateway {where}/{gateway['metadata']['name']}")
    for gateway_class in classes:
        ref = (gateway_class.get("spec") or {}).get("parametersRef")
        if fits(ref, (ref or {}).get("namespace", "")):
            found.append(f"GatewayClass {gateway_class['metadata']['name']}")
    return found


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: gateway_parameters, changed, diff, warnings, msg, requests. Raises Invalid, Conflict, ClusterError."""
    name = params.get("cluster") or params["context"]
    obj = build(params)
    title = f"{obj['kind']} {params['namespace']}/{params['name']}"
    absent = params.get("state") == "absent"
    if not absent:
        wrong = validate(obj)
        if wrong:
            raise Invalid(f"{name}: {title}: {'; '.join(wrong)}", cluster=name, problems=wrong)
    with connect(params) as cluster:
        live = _live(cluster, obj)
        warnings: list[str] = []
        spec = deep_merge((live or {}).get("spec") or {}, {} if absent else obj["spec"])
        if absent:
            _refuse_while_used(cluster, obj, live, title, bool(params.get("ignore_references")))
        elif params.get("istiod"):
            against = contradictions(spec, params["istiod"])
            if against and params.get("strict", True):
                raise ClusterError(f"{name}: {title}: {'; '.join(against)}", cluster=name, contradictions=against)
            warnings = [f"{name}: {title}: {text}" for text in against + remarks(spec, params["istiod"])]
        result = converge(
            cluster,
            checked([obj], name),
            check=check,
            progress=progress,
            absent=absent,
            force=params.get("on_conflict") == "force",
            timeout=float(params.get("wait_timeout") or 0),
        )
        row = result.pop("objects")[0]
        values = effective(spec) if not absent else {}
        result["gateway_parameters"] = [
            {
                **{
                    key: row[key] for key in ("cluster", "api_version", "kind", "namespace", "name", "action", "reason")
                },
                "discovery_address": values.get("istioDiscoveryAddress"),
                "meta_cluster_id": values.get("istioMetaClusterId"),
                "meta_mesh_id": values.get("istioMetaMeshId"),
            }
        ]
        if warnings:
            result["warnings"] = warnings
        result["msg"] = f"{name}: {title}: {'would be ' if check and result['changed'] else ''}{row['action']}"
        return result


def _live(cluster: Cluster, obj: Json) -> Json | None:
    try:
        return cluster.get(obj["apiVersion"], obj["kind"], obj["metadata"]["name"], obj["metadata"]["namespace"])
    except NotServed:
        return None


def _refuse_while_used(cluster: Cluster, obj: Json, live: Json | None, title: str, ignore: bool) -> None:
    """Without its parameters a Gateway turns InvalidParameters; only what would be deleted is worth refusing."""
    if ignore or live is None or not is_ours(live):
        return
    found: dict[str, list[Json]] = {}
    for kind in ("Gateway", "GatewayClass"):
        try:
            found[kind] = cluster.list("gateway.networking.k8s.io/v1", kind)
        except NotServed:
            found[kind] = []
    users = references(obj, found["Gateway"], found["GatewayClass"])
    if users:
        raise ClusterError(
            f"{cluster.name}: {title} is still referred to by {', '.join(users)}: it would turn InvalidParameters; "
            "change or delete that first, or set ignore_references",
            cluster=cluster.name,
            references=users,
        )
