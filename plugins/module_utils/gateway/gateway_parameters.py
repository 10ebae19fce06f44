# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module gateway_parameters: find the kind, validate, compare with istiod, apply or delete.

Merging with the fields of other managers is left to server-side apply (apply/objects.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..apply.managed_fields import fields_of, owners, project, union
from ..apply.manifests import MANAGER, is_ours
from ..apply.objects import checked, converge
from ..istiod.discovery import compared, facts_problems
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden, Invalid, NotServed
from ..k8s.fields import Json, dig, mapping, meta, name_of, spec_of, texts, title
from ..k8s.progress import Progress
from ..k8s.verdict import waiting
from .overlays import overlays_of
from .parameter_kinds import CONTROLLERS, V1_ANNOTATION, kind_to_use, unserved
from .parameters_options import argument_spec, desired_spec, field
from .parameters_rules import combinations, has_node_ports, problems, unusual
from .products import V1_PARAMETERS, ParameterKind
from .proxy_settings import SETTINGS, UNUSABLE_ID, deep_merge, usable_id
from .versions import UNKNOWN, Range, of_crd, shown, since

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "api_version": {"type": "str"},
    "kind": {"type": "str"},
    **argument_spec(),
    "istiod": {"type": "dict"},
    "strict": {"type": "bool", "default": True},
    "on_conflict": {"type": "str", "choices": ["fail", "force"], "default": "fail"},
    "ignore_references": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
}

CRD_API = "apiextensions.k8s.io/v1"

# Seconds that CRDs may take to be served after their installation.
_CRD_PATIENCE = 3.0
_NOT_DECLARED = re.compile(r"\.spec\.([A-Za-z0-9_.\[\]=\"]+): field not declared in schema")


def effective(spec: Json) -> dict[str, str]:
    """Option of istioProxyContainer -> the value the proxy will get, by an overlay, the option or kgateway's default.

    Without those that an overlay may set to a value which the parameters do not show.
    """
    container = mapping(dig(spec, "kube", "istio", "istioProxyContainer"))
    overlays = [each for each in overlays_of(spec, "") if each.is_known]
    patched = {env: value for each in overlays for env, value in each.env("istio-proxy").items()}
    found = {}
    for option, (env, default) in SETTINGS.items():
        if env in patched:
            found[option] = patched[env]
        elif not any(each.replaces_env("istio-proxy") for each in overlays):
            found[option] = str(container.get(option) or default)
    return found


def contradictions(spec: Json, istiod: Mapping[str, Any]) -> list[str]:
    """Settings that do not match the istiod (a record of istiod_info), so that it would issue no certificate."""
    if "selfManaged" in spec:
        return []
    found, values = [], effective(spec)
    explicit = mapping(dig(spec, "kube", "istio", "istioProxyContainer"))
    told = {
        option: value if explicit.get(option) or value != default else f"{value} (the controller's default)"
        for option, (_env, default) in SETTINGS.items()
        if (value := values.get(option))
    }
    address, right = values.get("istioDiscoveryAddress"), istiod.get("address")
    # istiod's certificate has names that end in .svc, not in .svc.cluster.local, so aliases fail.
    if address and right and compared(address) != compared(str(right)):
        found.append(
            f"discovery_address is {told['istioDiscoveryAddress']}, but this cluster's istiod is at {right}. "
            "Set that address"
        )
    cluster_id, accepted = values.get("istioMetaClusterId"), istiod.get("cluster_id")
    if cluster_id and accepted and cluster_id != str(accepted):
        found.append(
            f"meta_cluster_id is {told['istioMetaClusterId']}, but istiod issues certificates only for cluster "
            f"ID {accepted}. {'Set that ID' if usable_id([str(accepted)]) else UNUSABLE_ID}"
        )
    return found


def telemetry_warnings(spec: Json, istiod: Mapping[str, Any]) -> list[str]:
    """Mismatches that only affect telemetry."""
    have, right = effective(spec).get("istioMetaMeshId"), istiod.get("mesh_id")
    if "selfManaged" in spec or not have or not right or have == right:
        return []
    return [
        f"meta_mesh_id is {have}, istiod's mesh ID is {right}. It is not validated, but telemetry will "
        f"be labelled {have}"
    ]


def spec_of_others(live: Json | None) -> Json:
    """The spec without our fields, as the base for our apply."""
    if live is None:
        return {}
    fields: Json = {}
    for entry in owners(live, MANAGER):
        fields = union(fields, fields_of(entry))
    if not meta(live).get("managedFields"):
        return spec_of(live)
    return spec_of(project(live, fields)) if fields else {}


def references(
    kind: ParameterKind, namespace: str, name: str, gateways: Sequence[Json], classes: Sequence[Json]
) -> list[str]:
    """Gateways (those of the namespace) and GatewayClasses that refer to the object, as titles."""

    def fits(ref: Mapping[str, Any]) -> bool:
        return (ref.get("group"), ref.get("kind"), ref.get("name")) == (kind.group, kind.kind, name)

    found = []
    for gateway in gateways:
        of_v1 = texts(meta(gateway).get("annotations")).get(V1_ANNOTATION) == name and kind.group == V1_PARAMETERS.group
        if of_v1 or fits(mapping(mapping(spec_of(gateway).get("infrastructure")).get("parametersRef"))):
            found.append(title("Gateway", name_of(gateway), meta(gateway).get("namespace")))
    for gateway_class in classes:
        ref = mapping(spec_of(gateway_class).get("parametersRef"))
        # kgateway ignores group and kind in the reference of a class.
        is_read = kind in CONTROLLERS.get(str(spec_of(gateway_class).get("controllerName")), ())
        if (fits(ref) or (is_read and ref.get("name") == name)) and ref.get("namespace") == namespace:
            found.append(title("GatewayClass", name_of(gateway_class)))
    return found


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: gateway_parameters, changed, diff, warnings, msg, requests. Raises Invalid, Conflict, ClusterError."""
    name = params.get("cluster") or params["context"]
    where = f"{params['namespace']}/{params['name']}"
    absent = params.get("state") == "absent"
    spec, wrong = desired_spec(params)
    if not absent:
        wrong += facts_problems(params.get("istiod") or {})
        wrong += problems(spec)
        _refuse(wrong, name, f"parameters {where}")
    with connect(params, progress) as cluster:
        kind = _kind(cluster, params, progress, absent=absent, check=check)
        title = f"{kind.kind} {where}"
        obj = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": params["name"], "namespace": params["namespace"]},
            "spec": spec,
        }
        definitions = checked([obj], name)
        live = _live(cluster, obj)
        warnings: list[str] = []
        if absent:
            _refuse_while_used(cluster, kind, live, title, bool(params.get("ignore_references")))
        else:
            spec = deep_merge(spec_of_others(live), spec)
            _refuse(combinations(spec, _versions(cluster, kind) if has_node_ports(spec) else UNKNOWN), name, title)
            warnings = _compare(spec, params, name, title)
            warnings += [f"{name}: {title}: {text}" for text in unusual(spec)]
        try:
            result = converge(
                cluster,
                definitions,
                check=check,
                progress=progress,
                absent=absent,
                force=params.get("on_conflict") == "force",
                timeout=float(params.get("wait_timeout") or 0),
            )
        except ClusterError as exc:
            exc.facts.pop("objects", None)
            raise _older_crd(exc, cluster.name, kind, title) from None
        row = result.pop("objects")[0]
        result["gateway_parameters"] = [_record(row, {} if absent or "selfManaged" in spec else effective(spec))]
        if warnings:
            result["warnings"] = warnings
        result["msg"] = f"{name}: {title}: {'would be ' if check and result['changed'] else ''}{row['action']}"
        return result


def _record(row: Json, settings: Mapping[str, str]) -> Json:
    kept = ("cluster", "api_version", "kind", "namespace", "name", "action", "reason")
    return {
        **{key: row[key] for key in kept},
        "discovery_address": settings.get("istioDiscoveryAddress"),
        "meta_cluster_id": settings.get("istioMetaClusterId"),
        "meta_mesh_id": settings.get("istioMetaMeshId"),
    }


def _refuse(wrong: list[str], cluster: str, title: str) -> None:
    if wrong:
        raise Invalid(f"{cluster}: {title}: {'; '.join(wrong)}", cluster=cluster, problems=wrong)


def _compare(spec: Json, params: Mapping[str, Any], cluster: str, title: str) -> list[str]:
    """Warnings of the comparison with istiod; with strict a contradiction is an error."""
    istiod = params.get("istiod")
    if not istiod:
        return []
    against = contradictions(spec, istiod)
    if against and params.get("strict", True):
        raise ClusterError(f"{cluster}: {title}: {'; '.join(against)}", cluster=cluster, contradictions=against)
    return [f"{cluster}: {title}: {text}" for text in against + telemetry_warnings(spec, istiod)]


def _kind(
    cluster: Cluster, params: Mapping[str, Any], progress: Callable[[str], None], *, absent: bool, check: bool
) -> ParameterKind:
    """The kind to use; if it is not served, the kind to name in a deletion or in check mode."""
    api_version, kind = params.get("api_version") or None, params.get("kind") or None
    named, report = unserved(api_version, kind), Progress(cluster.name, progress)
    while True:
        try:
            found = kind_to_use(cluster, api_version, kind)
        except NotServed:
            if absent:
                return named
            raise
        if found or absent or check:
            return found or named
        if report.seconds > _CRD_PATIENCE:
            raise NotServed(
                f"{cluster.name}: the API server does not serve {named.api_version} {named.kind}, nor any other kind "
                "of gateway parameters. Install the gateway's CRDs",
                cluster=cluster.name,
                api_version=named.api_version,
                kind=named.kind,
            )
        report(waiting(f"{named.api_version} {named.kind} is not served yet"))
        time.sleep(0.3)


def _versions(cluster: Cluster, kind: ParameterKind) -> Range:
    """The versions of kgateway that serve the kind, by its CRD."""
    try:
        # the plural of these kinds is the singular
        return of_crd(cluster.get(CRD_API, "CustomResourceDefinition", f"{kind.kind.lower()}.{kind.group}"))
    except (Forbidden, NotServed):
        return UNKNOWN


def _live(cluster: Cluster, obj: Json) -> Json | None:
    try:
        return cluster.get(obj["apiVersion"], obj["kind"], obj["metadata"]["name"], obj["metadata"]["namespace"])
    except NotServed:
        return None


def _refuse_while_used(cluster: Cluster, kind: ParameterKind, live: Json | None, title: str, ignore: bool) -> None:
    """A Gateway without its parameters becomes InvalidParameters; only a deletion needs to be rejected."""
    if ignore or live is None or not is_ours(live):
        return
    namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
    found: list[list[Json]] = []
    # Gateways can reference parameters in their namespace only.
    for each, place in (("Gateway", namespace), ("GatewayClass", None)):
        try:
            found.append(cluster.list("gateway.networking.k8s.io/v1", each, place))
        except NotServed:
            found.append([])
        except Forbidden as exc:
            raise Forbidden(
                f"{exc.msg}. Alternatively, set ignore_references if no {each} references {title}", **exc.facts
            ) from None
    users = references(kind, namespace, name, *found)
    if users:
        raise ClusterError(
            f"{cluster.name}: {title} is still referenced by {', '.join(users)}, which would become InvalidParameters. "
            "Change or delete those first, or set ignore_references",
            cluster=cluster.name,
            references=users,
        )


def _older_crd(exc: ClusterError, cluster: str, kind: ParameterKind, title: str) -> ClusterError:
    """The error about a field missing in this CRD version, with field and option; other errors unchanged."""
    unknown = _NOT_DECLARED.findall(exc.msg)
    if not unknown:
        return exc
    names = ", ".join(map(_unknown_field, unknown))
    return Invalid(
        f"{cluster}: {title}: {names}: {kind.api_version} {kind.kind} in this cluster has no such field. "
        "Omit it, or install a version of the gateway's CRDs that has it",
        **{**exc.facts, "unknown_fields": [f"spec.{path}" for path in unknown]},
    )


def _unknown_field(path: str) -> str:
    if not path.startswith("kube."):
        return f"spec.{path}"
    below = path.removeprefix("kube.")
    version = since(below)
    return field(below) + (f", which needs kgateway {shown(version)} or newer" if version else "")
