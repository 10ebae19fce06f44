# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module istiod_info: read at most six lists, discover, choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import istiod
from .cluster import CLUSTER_SPEC, Cluster, connect
from .errors import ClusterError, Forbidden

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "for_namespace": {"type": "str"},
    "revision": {"type": "str"},
    "namespace": {"type": "str"},
    "strict": {"type": "bool", "default": True},
}

#: The namespace to look into when the whole cluster may not be listed and no other is given.
USUAL_NAMESPACE = "istio-system"

NEEDED_RIGHTS = (
    "neither Services nor Deployments may be listed: give this user the right to list Services, Deployments, "
    "ConfigMaps, EndpointSlices, Namespaces and MutatingWebhookConfigurations, in all namespaces or in the one that "
    "'namespace' names"
)

Objects = dict[str, Any]  # what was read, by kind: a list of objects, or None where reading was refused


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: istiods, istiod, sources, problems, msg, requests. Raises ClusterError when `strict` and no "
    "single one fits."""
    with connect(params) as cluster:
        objects, unread = read(cluster, params.get("namespace"), params.get("for_namespace"))
        found = istiod.discover(objects)
        problems = unread + found["problems"]
        facts = {
            "istiods": [{"cluster": cluster.name, **record} for record in found["istiods"]],
            "sources": found["sources"],
            "problems": problems,
        }
        try:
            labels = _labels_of(objects, params.get("for_namespace"), cluster.name)
            chosen = istiod.choose(
                found,
                namespace_labels=labels,
                for_namespace=params.get("for_namespace"),
                revision=params.get("revision"),
                namespace=params.get("namespace"),
            )
        except istiod.ChoiceError as exc:
            if objects["services"] is None and objects["deployments"] is None:
                text = f"{cluster.name}: istiod cannot be looked for, {NEEDED_RIGHTS}"
            else:
                text = f"{cluster.name}: {exc}" + "".join(f" ({problem})" for problem in unread)
            if params.get("strict", True):
                raise ClusterError(text, cluster=cluster.name, requests=cluster.requests, **facts) from None
            return {"changed": False, "msg": text, "istiod": None, "requests": cluster.requests, **facts}
        return {
            "changed": False,
            "msg": f"{cluster.name}: istiod {istiod.describe(chosen)} at {chosen['address']}, cluster ID "
            f"{chosen['cluster_id']}",
            "istiod": {"cluster": cluster.name, **chosen},
            "requests": cluster.requests,
            **facts,
        }


def read(cluster: Cluster, namespace: str | None, for_namespace: str | None) -> tuple[Objects, list[str]]:
    """The lists `istiod.discover()` wants and sentences on those that may not be read; six requests.

    Without the right to list Services of the whole cluster it falls back to one namespace, and leaves the Namespaces
    out to stay within six.
    """
    unread: list[str] = []
    scope: str | None = None

    def fetch(
        api_version: str, kind: str, labels: str | None = None, everywhere: bool = False
    ) -> list[dict[str, Any]] | None:
        try:
            return cluster.list(api_version, kind, None if everywhere else scope, labels)
        except Forbidden as exc:
            where = "" if everywhere or scope is None else f" in namespace {scope}"
            unread.append(
                f"{kind} objects{where} may not be listed, what they tell is missing: {exc.facts.get('reason')}"
            )
            return None

    services = fetch("v1", "Service")
    fallen_back = services is None
    if fallen_back:
        unread.clear()
        scope = namespace or USUAL_NAMESPACE
        unread.append(f"Services of all namespaces may not be listed: only namespace {scope} was searched")
        services = fetch("v1", "Service")
    objects: Objects = {
        "services": services,
        "deployments": fetch("apps/v1", "Deployment"),
        # mesh config and injector values both carry it, whatever chart version made them
        "configmaps": fetch("v1", "ConfigMap", "istio.io/rev"),
        "mutatingwebhookconfigurations": fetch(
            "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "istio.io/rev", everywhere=True
        ),
    }
    names = _slices_of(services or [])
    if fallen_back and for_namespace:
        objects["endpointslices"] = None  # the namespace's labels matter more, and six requests are enough
    elif names:
        selector = f"kubernetes.io/service-name in ({','.join(names)})"
        objects["endpointslices"] = fetch("discovery.k8s.io/v1", "EndpointSlice", selector)
    else:
        objects["endpointslices"] = []
    if not fallen_back:
        objects["namespaces"] = fetch("v1", "Namespace", everywhere=True)
    elif for_namespace:
        found = _get_namespace(cluster, for_namespace, unread)
        objects["namespaces"] = [found] if found else None
    return objects, unread


def _get_namespace(cluster: Cluster, name: str, unread: list[str]) -> dict[str, Any] | None:
    try:
        return cluster.get("v1", "Namespace", name)
    except Forbidden as exc:
        unread.append(f"Namespace {name} may not be read: {exc.facts.get('reason')}")
        return None


def _slices_of(services: Iterable[dict[str, Any]]) -> list[str]:
    """Names of Services whose endpoints matter: with port 15012."""
    return sorted(
        {
            str(s["metadata"]["name"])
            for s in services
            if any(p.get("port") == istiod.XDS_PORT for p in (s.get("spec") or {}).get("ports") or [])
        }
    )


def _labels_of(objects: Objects, name: str | None, cluster: str) -> dict[str, str]:
    if not name or objects.get("namespaces") is None:
        return {}
    for namespace in objects["namespaces"] or []:
        if namespace["metadata"]["name"] == name:
            return namespace["metadata"].get("labels") or {}
    raise istiod.ChoiceError(f"namespace {name} (for_namespace) does not exist")
