# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module istiod_info: read at most six lists, find the control planes, choose one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Forbidden
from ..k8s.fields import Json, key_of, labels_of
from .discovery import ChoiceError, choose, describe, discover
from .objects import xds_port

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "for_namespace": {"type": "str"},
    "revision": {"type": "str"},
    "namespace": {"type": "str"},
    "strict": {"type": "bool", "default": True},
}

#: The namespace to search when listing all namespaces is forbidden and none is given.
USUAL_NAMESPACE = "istio-system"

NEEDED_RIGHTS = (
    "listing Services and Deployments is forbidden. Grant this user list on Services, Deployments, ConfigMaps, "
    "EndpointSlices, Namespaces and MutatingWebhookConfigurations, in all namespaces or in the one given as 'namespace'"
)


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: istiods, istiod, sources, problems, msg, requests; ClusterError when `strict` and no single one fits."""
    with connect(params) as cluster:
        objects, unread = read(cluster, params.get("namespace"), params.get("for_namespace"))
        found = discover(objects)
        facts = {
            "istiods": [{"cluster": cluster.name, **record} for record in found["istiods"]],
            "sources": found["sources"],
            "problems": unread + found["problems"],
        }
        try:
            chosen = choose(
                found,
                namespace_labels=_namespace_labels(objects, params.get("for_namespace")),
                for_namespace=params.get("for_namespace"),
                revision=params.get("revision"),
                namespace=params.get("namespace"),
            )
        except ChoiceError as exc:
            text = f"{cluster.name}: {exc}" + "".join(f" ({problem})" for problem in unread)
            if not found["istiods"] and objects["services"] is None and objects["deployments"] is None:
                text = f"{cluster.name}: istiod cannot be searched: {NEEDED_RIGHTS}"
            if params.get("strict", True):
                raise ClusterError(text, cluster=cluster.name, requests=cluster.requests, **facts) from None
            return {"changed": False, "msg": text, "istiod": None, "requests": cluster.requests, **facts}
        return {
            "changed": False,
            "msg": f"{cluster.name}: istiod {describe(chosen)} at {chosen['address']}, cluster ID "
            f"{chosen['cluster_id']}",
            "istiod": {"cluster": cluster.name, **chosen},
            "requests": cluster.requests,
            **facts,
        }


def read(cluster: Cluster, namespace: str | None, for_namespace: str | None) -> tuple[Json, list[str]]:
    """The lists for `discover()` and a sentence for each forbidden one; at most six requests.

    Where listing the Services of the whole cluster is forbidden, it falls back to one namespace and omits the
    Namespaces, or the EndpointSlices where the labels of `for_namespace` are needed, to stay within six.
    """
    unread: list[str] = []
    scope: str | None = None

    def fetch(
        api_version: str, kind: str, labels: str | None = None, everywhere: bool = False
    ) -> list[dict[str, Any]] | None:
        try:
            # Without paging, which would add requests.
            return cluster.list(api_version, kind, None if everywhere else scope, labels, page=0)
        except Forbidden as exc:
            where = "" if everywhere or scope is None else f" in namespace {scope}"
            unread.append(
                f"listing {kind} objects{where} is forbidden, so values from them are missing: "
                f"{exc.facts.get('reason')}"
            )
            return None

    services = fetch("v1", "Service")
    fallen_back = services is None
    if fallen_back:
        scope = namespace or USUAL_NAMESPACE
        unread[:] = [
            f"listing Services of all namespaces is forbidden: only namespace {scope} was searched. "
            "Set 'namespace' to search another"
        ]
        services = fetch("v1", "Service")
    objects: Json = {
        "only_namespace": scope,
        "services": services,
        "deployments": fetch("apps/v1", "Deployment"),
        # mesh config and injector values have this label in every chart version
        "configmaps": fetch("v1", "ConfigMap", "istio.io/rev"),
        "mutatingwebhookconfigurations": fetch(
            "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "istio.io/rev", everywhere=True
        ),
    }
    names = _slices_of(services or [])
    if fallen_back and for_namespace:
        objects["endpointslices"] = None
    elif names:
        selector = f"kubernetes.io/service-name in ({','.join(names)})"
        objects["endpointslices"] = fetch("discovery.k8s.io/v1", "EndpointSlice", selector)
    else:
        objects["endpointslices"] = []
    if not fallen_back:
        objects["namespaces"] = fetch("v1", "Namespace", everywhere=True)
    elif for_namespace:
        objects["namespaces"] = _only_namespace(cluster, for_namespace, unread)
    return objects, unread


def _only_namespace(cluster: Cluster, name: str, unread: list[str]) -> list[dict[str, Any]] | None:
    try:
        found = cluster.get("v1", "Namespace", name)
    except Forbidden as exc:
        unread.append(f"reading Namespace {name} is forbidden: {exc.facts.get('reason')}")
        return None
    return [found] if found else []


def _slices_of(services: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the Services that may route to an istiod: their endpoints are needed."""
    return sorted({key_of(service)[1] for service in services if xds_port(service)})


def _namespace_labels(objects: Json, name: str | None) -> Mapping[str, str] | None:
    """Labels of the namespace, None when they could not be read; ChoiceError when it does not exist."""
    if not name or objects.get("namespaces") is None:
        return None
    for namespace in objects["namespaces"]:
        if key_of(namespace)[1] == name:
            return labels_of(namespace)
    raise ChoiceError(
        f"namespace {name} (for_namespace) does not exist. Correct for_namespace, or create the namespace"
    )
