# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be known to fail in a cluster before anything is written to it (pure).

A finding is failed only where the failure is certain; everything else that may need attention is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..istiod.objects import discovery_container
from ..k8s.fields import (
    Json,
    full_name,
    labels_match,
    labels_of,
    listed,
    mapping,
    mappings,
    meta,
    name_of,
    spec_of,
    status_of,
    texts,
    title_of,
)
from ..k8s.readiness import load_balancer_address
from ..mesh import east_west
from ..mesh.parts import agents, argument, operators, servers
from ..mesh.workspaces import includes_namespace
from .identity import recorded_uid

GATEWAY_CRD = "gateways.gateway.networking.k8s.io"
BUNDLE = "gateway.networking.k8s.io/bundle-version"
#: kinds that the roles and Helm write in every cluster
_WRITTEN = {"namespaces", "deployments", "services", "serviceaccounts", "configmaps", "secrets", "pods"}
_PROVIDERS = ("metallb.io", "kube-vip.io", "purelb.io", "openelb.kubesphere.io")
_CLOUDS = re.compile(r"-gke\.|-eks-|-aks|\+k3s|\+rke2r")
#: platforms whose load balancers have only host names
_NAMING_CLOUDS = re.compile(r"-eks-")
#: first release of each minor version of Istio whose debug endpoint accepts only listed namespaces
_DEBUG_AUTHORISATION: dict[tuple[int, ...], int] = {(1, 27): 7, (1, 28): 4}
_DEBUG_VARIABLE = "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"


@dataclass(frozen=True)
class Finding:
    """One line of the result: ``<object>: <what is wrong>. <what to do>``, without the cluster's name."""

    verdict: Literal["warning", "failed"]
    message: str


@dataclass(frozen=True)
class Planned:
    """What the roles would install in the cluster.

    ``services``: titles of LoadBalancer Services with the variables that make another type or address possible;
    ``hostname_steps``: steps whose routes reach this cluster through a gateway of another one; ``overrides``: whether
    WorkspaceSettings have addresses of east-west gateways; ``needs``: what an earlier run must have made (needs_of);
    ``name``: of the cluster in Gloo Mesh; ``config_namespaces``: of VirtualDestinations and RouteTables, which an
    existing Workspace has to include.
    """

    istio_version: str = ""
    istiod_env: Mapping[str, Any] = field(default_factory=dict)
    gloo_version: str = ""
    operator_version: str = ""
    server_namespace: str = ""
    gateway_api_min_version: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    hostname_steps: Sequence[str] = ()
    overrides: bool = False
    namespaces: Sequence[str] = ()
    istio_namespace: str = ""
    needs: Sequence[str] = ()
    name: str = ""
    config_namespaces: Sequence[str] = ()


@dataclass(frozen=True)
class Observed:
    """What the cluster has. ``objects``: by kind; ``groups``: served API groups; ``backed``: (namespace, name) of
    Services with a ready endpoint, of those that webhooks use; ``istio``: versions of the istiods; ``registration``:
    the KubernetesCluster of this name in the management cluster; ``overrides``: whether WorkspaceSettings there have
    addresses of east-west gateways."""

    version: str = ""
    groups: frozenset[str] = frozenset()
    objects: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    backed: frozenset[tuple[str, str]] = frozenset()
    istio: Sequence[str] = ()
    registration: Json | None = None
    overrides: bool = False

    def of(self, kind: str) -> Sequence[Json]:
        return self.objects.get(kind, ())

    @property
    def gateway_api(self) -> Json | None:
        """The CRD of Gateways."""
        return next((each for each in self.of("CustomResourceDefinition") if name_of(each) == GATEWAY_CRD), None)


class Play(NamedTuple):
    """A play of site.yml: its tags, the hosts it runs on, what it needs and what it makes, by names in _NEEDS."""

    tags: frozenset[str]
    hosts: Literal["all", "management", "workload", "gateway"]
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


_PLAYS = (
    Play(frozenset({"step1", "mesh"}), "all", (), ("gloo", "istiod")),
    Play(frozenset({"step1", "bookinfo"}), "workload", ("istiod",)),
    Play(frozenset({"step1", "routing"}), "management", ("gloo",)),
    Play(frozenset({"step1", "routing"}), "workload", ("istiod",)),
    Play(frozenset({"step2", "gateway"}), "gateway", (), ("class",)),
    Play(frozenset({"step3", "gateway"}), "gateway", ("istiod", "class"), ("gateway",)),
    Play(frozenset({"step4", "routing"}), "gateway", ("gateway",)),
    Play(frozenset({"step5", "routing"}), "gateway", ("gateway",)),
)
#: name -> (what is missing, the tag that makes it)
_NEEDS = {
    "gloo": ("Gloo Mesh is not installed", "mesh"),
    "istiod": ("no istiod exists", "mesh"),
    "class": ("no GatewayClass exists", "gateway"),
    "gateway": ("no Gateway exists", "gateway"),
}


def selected_steps(steps: Iterable[str], tags: Iterable[str], skip_tags: Iterable[str]) -> tuple[str, ...]:
    """Those of the steps of routes that a run handles. ``tags``, ``skip_tags``: those of the run."""
    wanted, skipped = set(tags) or {"all"}, set(skip_tags)
    return tuple(step for step in steps if wanted & {"all", "routing", step} and not skipped & {"routing", step})


def needs_of(role: str, gateway: bool, tags: Iterable[str], skip_tags: Iterable[str]) -> tuple[str, ...]:
    """What the selected plays of site.yml need in a cluster and do not make themselves.

    ``tags``, ``skip_tags``: those of the run, "all" for every play.
    """
    wanted, skipped = set(tags) or {"all"}, set(skip_tags)
    hosts = {"all", role, *(("gateway",) if gateway else ())}
    made: set[str] = set()
    needed: list[str] = []
    for play in _PLAYS:
        if (
            play.hosts not in hosts
            or not wanted & {*play.tags, "all", "tagged"}
            or skipped & {*play.tags, "all", "tagged"}
        ):
            continue
        needed += [each for each in play.needs if each not in made]
        made.update(play.makes)
    return tuple(dict.fromkeys(needed))


def findings(planned: Planned, observed: Observed) -> list[Finding]:
    """Every finding, failures first."""
    found = [finding for rule in _RULES for finding in rule(planned, observed)]
    return sorted(found, key=lambda each: each.verdict != "failed")


def numbers(version: str) -> tuple[int, ...]:
    """(1, 27, 0) of "v1.27.0-solo"; () if it is not a version."""
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", version.strip())
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _earlier_steps(planned: Planned, observed: Observed) -> Iterator[Finding]:
    present = {
        "gloo": "admin.gloo.solo.io" in observed.groups,
        "istiod": bool(observed.istio),
        "class": bool(observed.of("GatewayClass")),
        "gateway": bool(observed.of("Gateway")),
    }
    missing = [each for each in planned.needs if not present[each]]
    if missing:
        what = ", ".join(_NEEDS[each][0] for each in missing)
        tags = ",".join(dict.fromkeys(_NEEDS[each][1] for each in missing))
        yield Finding(
            "failed",
            f"{what}, but the selected steps need that. Run site.yml --tags {tags} first, or run it without --tags and "
            "--skip-tags",
        )


def _replaced(planned: Planned, observed: Observed) -> Iterator[Finding]:
    """A cluster that was replaced under the same name: other clusters may still send requests to the former one."""
    known = observed.registration is not None and not recorded_uid(observed.registration)
    if known and not agents(observed.of("Deployment")):
        yield Finding(
            "warning",
            f"{title_of(observed.registration)}: exists in the management cluster, but this cluster has no agent. "
            "If an earlier run was interrupted, no action is needed. If this cluster replaces another one of this "
            f"name, take that one out first with remove_cluster.yml -e remove_cluster={planned.name}",
        )


def _workspaces(planned: Planned, observed: Observed) -> Iterator[Finding]:
    """Gloo Mesh ignores VirtualDestinations and RouteTables in namespaces of no Workspace."""
    spaces = observed.of("Workspace")
    known = argument(next(iter(servers(observed.of("Deployment"))), None), "cluster")
    cluster = known or planned.name
    labels = {name_of(each): labels_of(each) for each in observed.of("KubernetesCluster")}.get(cluster, {})
    namespaces = {name_of(each): labels_of(each) for each in observed.of("Namespace")}
    outside = [
        name
        for name in planned.config_namespaces
        if not any(
            includes_namespace(each, cluster, labels, name, namespaces.get(name, {}), config=True) for each in spaces
        )
    ]
    if spaces and outside:
        yield Finding(
            "failed" if known else "warning",
            f"{', '.join(map(title_of, spaces))}: namespace {', '.join(outside)} of {cluster} is not included, so "
            "Gloo Mesh ignores VirtualDestinations and RouteTables in it. Use a namespace of a Workspace for them, or "
            "add the namespace to spec.workloadClusters of one",
        )


# -- versions ---------------------------------------------------------------------------------------------------------


def _kubernetes(planned: Planned, observed: Observed) -> Iterator[Finding]:
    version = numbers(observed.version)
    if version and version < (1, 25):
        yield Finding(
            "failed",
            f"Kubernetes {observed.version}: objects are written with server-side field validation, which needs 1.25. "
            "Upgrade the cluster",
        )
    elif version and version < (1, 29) and numbers(planned.istio_version) >= (1, 27):
        yield Finding(
            "warning",
            f"Kubernetes {observed.version}: Istio {planned.istio_version} supports 1.29 and newer. Upgrade the "
            "cluster",
        )


def _istio(planned: Planned, observed: Observed) -> Iterator[Finding]:
    gloo = numbers(planned.gloo_version)
    # An Istio that exists is used or keeps its version.
    for text in dict.fromkeys(filter(None, observed.istio or [planned.istio_version])):
        version = numbers(text)
        if gloo > (2, 14, 999999) and version and version < (1, 28):
            yield Finding(
                "warning",
                f"Istio {text}: Gloo Mesh 2.14 is the last version that supports Istio 1.27, and "
                f"{planned.gloo_version} would be installed. Use a newer Istio or Gloo Mesh 2.14",
            )
        restricted = version >= (1, 29) or version[2:] >= (_DEBUG_AUTHORISATION.get(version[:2], 10**6),)
        elsewhere = planned.server_namespace not in ("", "gloo-mesh")
        if elsewhere and restricted and not _accepts_debug_requests(planned, observed):
            yield Finding(
                "warning",
                f"Istio {text}: istiod accepts debug requests of Gloo Mesh only from namespace gloo-mesh, but the "
                f"management server is in {planned.server_namespace}. Set {_DEBUG_VARIABLE} to that namespace in "
                "mesh_istiod_env, or where this istiod is managed",
            )


def _accepts_debug_requests(planned: Planned, observed: Observed) -> bool:
    """Whether the variable has the server's namespace for an istiod to install, or in every istiod that exists."""
    present = [each for d in observed.of("Deployment") if (each := discovery_container(d))]
    settings = [planned.istiod_env, *map(_environment, present)]
    found = [planned.server_namespace in re.split(r"[\s,]+", str(each.get(_DEBUG_VARIABLE) or "")) for each in settings]
    return found[0] or (bool(present) and all(found[1:]))


def _environment(container: Json) -> Json:
    return {str(each.get("name")): each.get("value") for each in mappings(container.get("env"))}


def _gateway_api(planned: Planned, observed: Observed) -> Iterator[Finding]:
    crd = observed.gateway_api
    if crd is None:
        return
    text = str(mapping(meta(crd).get("annotations")).get(BUNDLE) or "")
    version, oldest = numbers(text), numbers(planned.gateway_api_min_version)
    served = [str(each.get("name")) for each in mappings(spec_of(crd).get("versions")) if each.get("served")]
    if oldest and "v1" not in served:
        yield Finding(
            "failed",
            f"{title_of(crd)}: serves {', '.join(served) or 'no version'}, but the gateway needs v1. Existing CRDs are "
            "not replaced, because other controllers may use them. Upgrade Gateway API",
        )
    elif oldest and not version:
        yield Finding(
            "warning",
            f"{title_of(crd)}: {f'annotation {BUNDLE} is {text}' if text else f'has no annotation {BUNDLE}'}, so its "
            f"version is unknown; at least {planned.gateway_api_min_version} is needed",
        )
    elif oldest and version < oldest:
        yield Finding(
            "failed",
            f"{title_of(crd)}: has Gateway API version {text}: at least {planned.gateway_api_min_version} is required. "
            "Existing CRDs are not replaced, because other controllers may use them. Upgrade them, or lower "
            "gateway_api_min_version",
        )
    is_new = not operators(observed.of("Deployment"))
    if numbers(planned.operator_version) >= (0, 5) and is_new and version and version < (1, 5):
        yield Finding(
            "warning",
            f"{title_of(crd)}: has Gateway API version {text}. Gloo Operator {planned.operator_version} may upgrade it "
            "to 1.5, with a policy that refuses older versions. Check that your other controllers support 1.5",
        )


# -- load balancers ---------------------------------------------------------------------------------------------------


def _load_balancer(planned: Planned, observed: Observed) -> Iterator[Finding]:
    services = [each for each in observed.of("Service") if spec_of(each).get("type") == "LoadBalancer"]
    if not planned.services or any(map(load_balancer_address, services)):
        return
    if any(spec_of(each).get("type") == "NodePort" and _is_east_west(each) for each in observed.of("Service")):
        return
    known = _CLOUDS.search(observed.version) or any(group in _PROVIDERS for group in observed.groups)
    if known and not services:
        return
    seen = (
        f"{len(services)} Services of type LoadBalancer have no address, such as {title_of(services[0])}"
        if len(services) > 1
        else f"{title_of(services[0])} of type LoadBalancer has no address"
        if services
        else "no Service of type LoadBalancer exists, and no load balancer provider is recognised"
    )
    waiting = ", ".join(planned.services)
    settings = "; ".join(dict.fromkeys(planned.services.values()))
    yield Finding("warning", f"{seen}. {waiting} would wait for an address. Install a provider, or set {settings}")


def _is_east_west(service: Json) -> bool:
    return labels_match(east_west.LABELS, labels_of(service))


def _host_names(planned: Planned, observed: Observed) -> Iterator[Finding]:
    named = [
        (service, ingress["hostname"])
        for service in observed.of("Service")
        for ingress in mappings(mapping(status_of(service).get("loadBalancer")).get("ingress"))
        if ingress.get("hostname") and not ingress.get("ip")
    ]
    if not planned.hostname_steps or planned.overrides or observed.overrides:
        return
    if named:
        named.sort(key=lambda pair: not _is_east_west(pair[0]))
        service, host = named[0]
        seen = f"{title_of(service)}: the load balancer gives host names ({host})"
    elif _NAMING_CLOUDS.search(observed.version) and not any(map(load_balancer_address, observed.of("Service"))):
        seen = f"the load balancers of Kubernetes {observed.version} usually have host names"
    else:
        return
    steps = ", ".join(planned.hostname_steps)
    yield Finding(
        "warning",
        f"{seen}. Sidecars resolve the host name of an east-west gateway, but gateways of kgateway do not, so requests "
        f"of {steps} through a gateway of another cluster fail. Set IP addresses of the east-west gateway in "
        "hostInfoOverrides of mesh_workspace_settings_spec",
    )


# -- admission and platforms ------------------------------------------------------------------------------------------


def _webhooks(planned: Planned, observed: Observed) -> Iterator[Finding]:
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for configuration in observed.of(kind):
            for webhook in mappings(configuration.get("webhooks")):
                service = webhook_service(webhook)
                if service and service not in observed.backed and _blocks(webhook):
                    yield Finding(
                        "warning",
                        f"{title_of(configuration)}: webhook {webhook.get('name')} has failurePolicy Fail, but its "
                        f"Service {'/'.join(service)} has no ready endpoint, so the API server refuses objects that it "
                        "selects. Make the Service's Pods ready or, if the webhook is a leftover, delete its "
                        "configuration",
                    )


def webhook_service(webhook: Json) -> tuple[str, str] | None:
    """(namespace, name) of the Service that a webhook calls."""
    service = mapping(mapping(webhook.get("clientConfig")).get("service"))
    return (str(service.get("namespace")), str(service.get("name"))) if service else None


def _blocks(webhook: Json) -> bool:
    """Whether a webhook that does not respond refuses kinds that are written."""
    kinds = {
        str(name).partition("/")[0]
        for rule in mappings(webhook.get("rules"))
        if {"CREATE", "UPDATE", "*"} & set(map(str, listed(rule.get("operations"))))
        for name in listed(rule.get("resources"))
    }
    return webhook.get("failurePolicy", "Fail") == "Fail" and bool(kinds & {*_WRITTEN, "*"})


def _quotas(planned: Planned, observed: Observed) -> Iterator[Finding]:
    for quota in observed.of("ResourceQuota"):
        if str(meta(quota).get("namespace")) not in planned.namespaces:
            continue
        # A quota for some Pods only, such as those of a priority class, does not concern ours.
        if spec_of(quota).get("scopes") or spec_of(quota).get("scopeSelector"):
            continue
        hard, used = texts(spec_of(quota).get("hard")), texts(status_of(quota).get("used"))
        full = [key for key in _COUNTED if _count(used.get(key)) >= _count(hard.get(key), 10**9)]
        if full:
            shown = ", ".join(f"{key} {used.get(key, 0)} of {hard[key]}" for key in full)
            yield Finding(
                "warning",
                f"{title_of(quota)}: is used up ({shown}), so new objects are refused. Unless intended, raise it",
            )


def _count(text: str | None, otherwise: int = 0) -> int:
    return int(text) if text and text.isdigit() else otherwise


_COUNTED = ("pods", "count/pods", "services", "services.loadbalancers", "count/deployments.apps", "count/services")


def _pod_security(planned: Planned, observed: Observed) -> Iterator[Finding]:
    for namespace in observed.of("Namespace"):
        level = labels_of(namespace).get("pod-security.kubernetes.io/enforce", "")
        if name_of(namespace) == planned.istio_namespace and level in ("baseline", "restricted"):
            yield Finding(
                "warning",
                f"{title_of(namespace)}: Pod Security {level} is enforced, which refuses Pods of istio-cni. Allow "
                "privileged Pods in this namespace",
            )


def _platforms(planned: Planned, observed: Observed) -> Iterator[Finding]:
    if not planned.istio_version or not planned.istio_namespace or observed.istio:
        return
    if "-gke." in observed.version and not _has_critical_quota(planned, observed):
        yield Finding(
            "warning",
            f"GKE: Pods with a critical priority, such as those of istio-cni, need ResourceQuota gcp-critical-pods in "
            f"namespace {planned.istio_namespace}. Create it before Istio is installed",
        )
    if "security.openshift.io" in observed.groups:
        yield Finding(
            "warning",
            "OpenShift: Istio needs a SecurityContextConstraints for its namespaces and a NetworkAttachmentDefinition "
            "istio-cni in every namespace with sidecars. Create them, and set the CNI folders in "
            "mesh_operator_extensions",
        )
    if re.search(r"\+(k3s|rke2r)", observed.version):
        yield Finding(
            "warning",
            f"Kubernetes {observed.version}: k3s and RKE2 have other CNI folders than Istio expects. Set cniConfDir "
            "and cniBinDir of istio-cni in mesh_operator_extensions",
        )


def _has_critical_quota(planned: Planned, observed: Observed) -> bool:
    return any(
        full_name(each) == f"{planned.istio_namespace}/gcp-critical-pods" for each in observed.of("ResourceQuota")
    )


_RULES: tuple[Callable[[Planned, Observed], Iterator[Finding]], ...] = (
    _earlier_steps,
    _replaced,
    _workspaces,
    _kubernetes,
    _istio,
    _gateway_api,
    _load_balancer,
    _host_names,
    _webhooks,
    _quotas,
    _pod_security,
    _platforms,
)
