# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module cluster_preflight: every problem of one cluster in one message, before the first write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..apply.objects import checked, converge
from ..helm.program import Helm
from ..istiod import istiod_info
from ..istiod.discovery import discover
from ..k8s import redaction
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden, Invalid, NotServed
from ..k8s.fields import Json, mapping, mappings, spec_of
from ..k8s.printable import one_line
from ..mesh.parts import servers
from .identity import Identity, Management, left_out, mistaken
from .preflight_rules import (
    GATEWAY_CRD,
    Finding,
    Observed,
    Planned,
    findings,
    needs_of,
    selected_steps,
    webhook_service,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "planned": {
        "type": "dict",
        "default": {},
        "options": {
            "istio_version": {"type": "str", "default": ""},
            "istiod_env": {"type": "dict", "default": {}},
            "gloo_version": {"type": "str", "default": ""},
            "operator_version": {"type": "str", "default": ""},
            "server_namespace": {"type": "str", "default": ""},
            "gateway_api_min_version": {"type": "str", "default": ""},
            "services": {"type": "dict", "default": {}},
            "hostname_steps": {"type": "list", "elements": "str", "default": []},
            "overrides": {"type": "bool", "default": False},
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "istio_namespace": {"type": "str", "default": ""},
            "name": {"type": "str", "default": ""},
            "config_namespaces": {"type": "list", "elements": "str", "default": []},
        },
    },
    "management_kubeconfig": {"type": "path"},
    "management_context": {"type": "str"},
    "management_name": {"type": "str"},
    "registered_name": {"type": "str"},
    "replaced": {"type": "list", "elements": "str", "default": []},
    "role": {"type": "str", "choices": ["management", "workload"], "default": "workload"},
    "gateway": {"type": "bool", "default": False},
    "tags": {"type": "list", "elements": "str", "default": []},
    "skip_tags": {"type": "list", "elements": "str", "default": []},
    "definitions": {"type": "list", "elements": "dict", "default": []},
    "problems": {"type": "list", "elements": "str", "default": []},
    "clusters": {"type": "list", "elements": "str", "default": []},
    "helm": {"type": "bool", "default": False},
    "binary_path": {"type": "str", "default": "helm"},
    "fail_on": {"type": "str", "choices": ["failed", "warning"], "default": "failed"},
}

ADMIN = "admin.gloo.solo.io/v2"
_LISTS = (
    ("v1", "ResourceQuota"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    (ADMIN, "Workspace"),
    (ADMIN, "KubernetesCluster"),
)


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: preflight {verdict, findings}, msg, requests. Raises Invalid with all findings according to `fail_on`.

    What may not be read gives no finding: the write that needs it fails with the API server's reason.
    """
    tags, skip_tags = params["tags"] or (), params["skip_tags"] or ()
    needs = needs_of(params["role"], params["gateway"], tags, skip_tags)
    planned = Planned(**params["planned"], needs=needs if params["planned"] else ())
    planned = replace(planned, hostname_steps=selected_steps(planned.hostname_steps, tags, skip_tags))
    given = [Finding("failed", text) for text in dict.fromkeys(params.get("problems") or ())]
    with connect(params, progress) as cluster:
        known = [*given, *_helm(cluster, params, progress), *_refused(cluster, params["definitions"] or ())]
        name = params.get("registered_name") or planned.name or cluster.name
        management, overrides = _management(params) if params["role"] == "workload" else (None, False)
        observed = observe(cluster)
        if management is not None:
            observed = replace(observed, registration=management.registration(name), overrides=overrides)
        found = [*known, *_identity(cluster, name, params, observed, management), *findings(planned, observed)]
        found.sort(key=lambda each: each.verdict != "failed")
        names = {cluster.name, *(params.get("clusters") or ())}
        rows = [
            {"cluster": where, "verdict": each.verdict, "message": text}
            for each in found
            for where, text in by_cluster(one_line(redaction.text(each.message)), names, cluster.name)
        ]
        requests = cluster.requests
    verdict = found[0].verdict if found else "ok"
    result = {"preflight": {"verdict": verdict, "findings": rows}, "requests": requests}
    if verdict == "failed" or (verdict == "warning" and params["fail_on"] == "warning"):
        failing = [row for row in rows if params["fail_on"] == "warning" or row["verdict"] == "failed"]
        text = "; ".join(f"{row['cluster']}: {row['message']}" for row in failing)
        raise Invalid(text, cluster=cluster.name, **result)
    text = "; ".join(row["message"] for row in rows) or "no problem found"
    return {"changed": False, "msg": f"{cluster.name}: {text}", **result}


def by_cluster(message: str, names: Iterable[str], own: str) -> Iterator[tuple[str, str]]:
    """(cluster, text without its name) of each problem in a message; without a name it is of the own cluster."""
    name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    for part in re.split(rf"; (?=(?:{name}): )", message):
        prefixes = re.match(rf"(?:({name}): )+", part)
        yield (prefixes[1], part[prefixes.end() :]) if prefixes else (own, part)


def observe(cluster: Cluster) -> Observed:
    """What the rules need, in about twelve requests."""
    lists, _unread = istiod_info.read(cluster, None, None)
    objects = {kind: _listed(cluster, api_version, kind) for api_version, kind in _LISTS}
    objects |= {"Service": lists["services"] or [], "Deployment": lists["deployments"] or []}
    objects["Namespace"] = lists.get("namespaces") or []
    objects["CustomResourceDefinition"] = _crd(cluster)
    webhooks = [each for kind in objects if kind.endswith("WebhookConfiguration") for each in objects[kind]]
    services = {webhook_service(webhook) for each in webhooks for webhook in mappings(each.get("webhooks"))} - {None}
    return Observed(
        version=cluster.version(),
        groups=frozenset(each.partition("/")[0] for each in cluster.api_versions() if "/" in each),
        objects=objects,
        backed=frozenset(service for service in services if service and _is_backed(cluster, *service)),
        istio=[str(each.get("version") or "") for each in discover(lists)["istiods"]],
    )


def _management(params: dict[str, Any]) -> tuple[Management | None, bool]:
    """(the management cluster, overrides of Observed); None where it cannot be read."""
    kubeconfig, context = params.get("management_kubeconfig"), params.get("management_context")
    if not kubeconfig or not context:
        return None, False
    try:
        with Cluster(kubeconfig, context, patience=5.0) as cluster:
            registered = _listed(cluster, ADMIN, "KubernetesCluster")
            settings = _listed(cluster, ADMIN, "WorkspaceSettings")
            serves = bool(registered or servers(cluster.list("apps/v1", "Deployment")))
    except ClusterError:
        return None, False
    entries = [
        entry for each in settings for entry in mappings(mapping(spec_of(each).get("options")).get("eastWestGateways"))
    ]
    overrides = any(mappings(entry.get("hostInfoOverrides")) for entry in entries)
    return Management(params.get("management_name") or context, registered, serves), overrides


def _identity(
    cluster: Cluster, name: str, params: dict[str, Any], observed: Observed, management: Management | None
) -> Iterator[Finding]:
    """The cluster is not the one that was registered, or others are registered than those of the inventory."""
    deployments, registered = observed.of("Deployment"), observed.of("KubernetesCluster")
    here = Identity(name, _uid(cluster), cluster.context, deployments, registered)
    if management is not None:
        accepted = set(params.get("replaced") or ())
        if cluster.name in accepted:  # by the name of the host
            accepted.add(name)
        for text in mistaken(here, management, accepted):
            yield Finding("failed", text)
    elif params["role"] == "management":
        for other in left_out(here, {*(params.get("clusters") or ()), cluster.name}):
            yield Finding(
                "warning",
                f"KubernetesCluster {other}: is registered, but is not a host of the inventory. Add the host, or, if "
                f"the cluster is gone for good, run remove_cluster.yml -e remove_cluster={other} "
                "-e remove_unreachable=true. If another inventory manages it, no action is needed",
            )


def _uid(cluster: Cluster) -> str:
    try:
        return cluster.uid()
    except ClusterError:
        return ""


def _listed(cluster: Cluster, api_version: str, kind: str) -> list[Json]:
    try:
        return cluster.list(api_version, kind)
    except (NotServed, Forbidden):
        return []


def _crd(cluster: Cluster) -> list[Json]:
    try:
        crd = cluster.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", GATEWAY_CRD)
    except Forbidden:
        return []
    return [crd] if crd else []


def _is_backed(cluster: Cluster, namespace: str, name: str) -> bool:
    """Whether the Service has an endpoint that is ready, also where that may not be read."""
    try:
        slices = cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, f"kubernetes.io/service-name={name}")
    except (NotServed, Forbidden):
        return True
    endpoints = [endpoint for each in slices for endpoint in mappings(each.get("endpoints"))]
    return any(mapping(endpoint.get("conditions")).get("ready") is not False for endpoint in endpoints)


def _helm(cluster: Cluster, params: dict[str, Any], progress: Callable[[str], None]) -> Iterator[Finding]:
    """Helm is missing, or has a version that is not supported."""
    if not params["helm"]:
        return
    driver = os.environ.get("HELM_DRIVER", "")
    try:
        Helm(cluster, params.get("binary_path") or "helm", driver, 30.0, str, progress).check()
    except ClusterError as exc:
        yield Finding("failed", exc.msg)


def _refused(cluster: Cluster, definitions: Sequence[Json]) -> Iterator[Finding]:
    """Objects that the API server refuses, by a dry run, which evaluates admission policies."""
    if not definitions:
        return
    try:
        converge(cluster, checked(list(definitions), cluster.name), check=True)
    except ClusterError as exc:
        yield Finding("failed", exc.msg)
