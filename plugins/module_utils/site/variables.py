# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of all roles and playbooks with the kind of each: one table (pure).

Roles and preflight check variables with it; a test compares it with the argument specs of the roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import named_kinds as kinds
from . import routing_kinds as routing
from .variable_kinds import (
    Fields,
    Kind,
    ListOf,
    MapOf,
    Number,
    Problem,
    Problems,
    Program,
    Surroundings,
    Switch,
    Text,
    VariableFile,
    choice,
    text_of,
)

WORKLOADS = ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
_WORKLOAD = text_of("Bookinfo has no such workload", f"Use {', '.join(WORKLOADS)}", lambda text: text in WORKLOADS)
_CONFLICT = choice("fail", "force")
_RELEASE_CONFLICT = choice("fail", "keep")

#: section (a role, the hosts of the inventory, the playbooks) -> variable -> kind
VARIABLES: dict[str, dict[str, Kind]] = {
    "bookinfo": {
        "bookinfo_namespace": kinds.NAMESPACE,
        "bookinfo_hosts": kinds.hosts(empty=False),
        "bookinfo_cluster_name": Text(todo="Set a name for the cluster"),
        "bookinfo_placement": MapOf(
            key=kinds.HOST,
            value=ListOf(item=_WORKLOAD, todo="Set a list of workloads"),
            todo="Set lists of workloads by host",
        ),
        "bookinfo_revision": kinds.revision(empty=True),
        "bookinfo_planned_istiod": kinds.ISTIOD,
        "bookinfo_image_prefix": kinds.IMAGE_PREFIX,
        "bookinfo_image_tag": kinds.IMAGE_TAG,
        "bookinfo_images": MapOf(key=_WORKLOAD, value=kinds.IMAGE, todo="Set image references by workload"),
        "bookinfo_image_pull_policy": choice(*kinds.PULL_POLICIES),
        "bookinfo_image_pull_secrets": kinds.SECRETS,
        "bookinfo_replicas": Number(least=1, todo="Set it to at least 1, otherwise no workload responds"),
        "bookinfo_on_conflict": choice("fail", "force", "keep"),
        "bookinfo_wait_timeout": kinds.SECONDS,
    },
    "cleanup": {
        "cleanup_vendor_crds": Switch(),
        "cleanup_management_host": kinds.HOST,
        "cleanup_cluster_name": Text(todo="Set a name for the cluster"),
        "cleanup_istio_namespace": kinds.NAMESPACE,
        "cleanup_istio_revision": kinds.revision(empty=True),
        "cleanup_wait_timeout": kinds.SECONDS,
    },
    "gateway": {
        "gateway_product": choice("", "gloo-gateway", "enterprise-kgateway", "kgateway"),
        "gateway_layers": kinds.layers("controller", "gateway_api"),
        "gateway_namespace": kinds.namespace(empty=True),
        "gateway_license_key": kinds.LICENCE,
        "gateway_license_secret": kinds.subdomain(empty=True),
        "gateway_api_crds": Text(todo="Set a file, a directory or a URL"),
        "gateway_api_min_version": kinds.VERSION,
        "gateway_crds_chart": kinds.chart(),
        "gateway_chart": kinds.chart(),
        "gateway_crds_release": kinds.helm_release(empty=True),
        "gateway_release": kinds.helm_release(empty=True),
        "gateway_controller_name": kinds.subdomain(empty=True),
        "gateway_crds_values": kinds.VALUES,
        "gateway_values": kinds.VALUES,
        "gateway_controller_env": kinds.ENVIRONMENT,
        "gateway_class_name": kinds.subdomain(empty=True),
        "gateway_controller_names": ListOf(
            item=text_of(
                "not a controller name",
                "Use a value such as solo.io/gloo-gateway",
                kinds.matches(r"[a-z0-9.-]{1,253}/[A-Za-z0-9/._~%!$&'()*+,;=:-]+"),
            ),
            comma=True,
            todo="Set a list of controller names",
        ),
        "gateway_parameters_api_version": text_of(
            "not an API version",
            "Use a value such as gateway.kgateway.dev/v1alpha1",
            kinds.matches(r"[a-z0-9.-]+/v[0-9]+((alpha|beta)[0-9]+)?"),
            empty=True,
        ),
        "gateway_parameters_kind": text_of(
            "not a kind", "Use a value such as GatewayParameters", kinds.matches("[A-Za-z][A-Za-z0-9]*"), empty=True
        ),
        "gateway_parameters_name": kinds.subdomain(),
        "gateway_parameters_spec": kinds.SPEC,
        "gateway_istio_proxy_image": kinds.IMAGE_PARTS,
        "gateway_sds_image": kinds.IMAGE_PARTS,
        "gateway_image_pull_secrets": kinds.SECRETS,
        "gateway_istio_discovery_address": kinds.address(
            "istiod-gloo.istio-system.svc:15012",
            kinds.unquoted("an IPv6 address", "Set the DNS name of istiod's Service"),
        ),
        "gateway_istio_cluster_id": Text(
            rules=(kinds.unquoted("it", "Use a cluster ID such as cluster-1"),),
            todo="Set the cluster ID of istiod, or leave it empty to discover it",
            empty=True,
        ),
        "gateway_istio_mesh_id": Text(
            rules=(kinds.unquoted("it", "Use a mesh ID such as mesh-1"),),
            todo="Set the mesh ID of istiod, or leave it empty to discover it",
            empty=True,
        ),
        "gateway_istiod_namespace": kinds.namespace(empty=True),
        "gateway_istiod_revision": kinds.revision(empty=True),
        "gateway_planned_istiod": kinds.ISTIOD,
        "gateway_name": kinds.GATEWAY,
        "gateway_listeners": routing.listeners(),
        "gateway_gateways": routing.GATEWAYS,
        "gateway_expected_containers": routing.CONTAINERS,
        "gateway_restart": choice("never", "if_needed"),
        "gateway_on_conflict": _CONFLICT,
        "gateway_on_release_conflict": _RELEASE_CONFLICT,
        "gateway_owned_crds": kinds.CRD_SWITCHES,
        "gateway_wait_timeout": kinds.SECONDS,
    },
    "mesh": {
        "mesh_management_host": kinds.HOST,
        "mesh_workload_hosts": kinds.hosts(empty=False),
        "mesh_cluster_name": kinds.CLUSTER_NAME,
        "mesh_cluster_domain": kinds.DNS_HOST,
        "mesh_license_key": kinds.LICENCE,
        "mesh_istio_license_key": kinds.LICENCE,
        "mesh_layers": kinds.layers("crds", "platform", "workspace", "trust", "agent", "operator", "istio", "eastwest"),
        "mesh_namespace": kinds.NAMESPACE,
        "mesh_config_namespace": kinds.NAMESPACE,
        "mesh_istio_namespace": kinds.NAMESPACE,
        "mesh_eastwest_namespace": kinds.NAMESPACE,
        "mesh_crds_chart": kinds.chart(("ref",)),
        "mesh_platform_chart": kinds.chart(("ref",)),
        "mesh_operator_chart": kinds.chart(("ref",)),
        "mesh_eastwest_chart": kinds.chart(("ref",)),
        "mesh_crds_values": kinds.VALUES,
        "mesh_management_values": Fields(
            fields={"licensing": MapOf(todo="Set keys such as licenseSecretName in it")},
            others=True,
            what="the chart",
            todo=kinds.VALUES.todo,
        ),
        "mesh_agent_values": kinds.VALUES,
        "mesh_operator_values": kinds.VALUES,
        "mesh_eastwest_values": kinds.VALUES,
        "mesh_operator_license_env": kinds.VARIABLE_NAME,
        "mesh_relay_address": kinds.address("203.0.113.7:9900"),
        "mesh_telemetry_address": kinds.address("203.0.113.8:4317"),
        "mesh_relay_authority": text_of(
            "not a host name", "Set the server name in the certificate", kinds.matches(r"\S+"), empty=True
        ),
        "mesh_relay_secrets": choice("auto", "copy", "own"),
        "mesh_istio_version": kinds.ISTIO_VERSION,
        "mesh_istio_revision": kinds.revision(),
        "mesh_istio_controller_name": kinds.label(),
        "mesh_istio_controller_spec": kinds.SPEC,
        "mesh_istiod_env": kinds.ENVIRONMENT,
        "mesh_operator_extensions": MapOf(value=kinds.VALUES, todo="Set dictionaries of Helm values by chart"),
        "mesh_eastwest_name": kinds.SERVICE,
        "mesh_workspace_name": kinds.subdomain(),
        "mesh_workspace_spec": kinds.SPEC,
        "mesh_workspace_namespaces": ListOf(item=kinds.NAMESPACE, todo="Set a list of namespaces"),
        "mesh_workspace_settings_spec": kinds.SPEC,
        "mesh_root_trust_policy_name": kinds.subdomain(),
        "mesh_root_trust_policy_spec": kinds.SPEC,
        "mesh_restart_namespaces": ListOf(item=kinds.NAMESPACE, todo="Set a list of namespaces"),
        "mesh_on_conflict": _CONFLICT,
        "mesh_on_release_conflict": _RELEASE_CONFLICT,
        "mesh_owned_crds": kinds.CRD_SWITCHES,
        "mesh_wait_timeout": kinds.SECONDS,
    },
    "report": {
        "report_health": MapOf(todo="Set the value health of a result of health_info"),
        "report_path": Text(empty=True, todo="Set the path of a folder"),
        "report_name": text_of("not a file name", "Set a name without a folder", lambda text: "/" not in text),
        "report_title": Text(todo="Set a title"),
        "report_formats": ListOf(
            item=choice("html", "markdown", "json", "junit"),
            comma=True,
            todo="Set a list of html, markdown, json, junit",
        ),
        "report_docs_url": Text(empty=True, todo="Set a URL"),
    },
    "routing": {
        "routing_management_host": kinds.HOST,
        "routing_workload_hosts": kinds.hosts(empty=False),
        "routing_gateway_hosts": kinds.hosts(),
        "routing_virtual_destinations": routing.VIRTUAL_DESTINATIONS,
        "routing_route_tables": routing.ROUTE_TABLES,
        "routing_http_routes": routing.HTTP_ROUTES,
        "routing_gateway_name": kinds.subdomain(),
        "routing_gateway_namespace": kinds.namespace(empty=True),
        "routing_proofs": routing.PROOFS,
        "routing_steps": ListOf(item=Text(empty=True), todo="Set a list of steps"),
        "routing_on_conflict": _CONFLICT,
        "routing_wait_timeout": kinds.SECONDS,
    },
    "hosts": {
        "kubeconfig": kinds.KUBECONFIG,
        "kube_context": Text(todo="Set the name of a context in the kubeconfig"),
        "cluster_uid": Text(empty=True, null=True, todo="Set the UID of the namespace kube-system"),
        "helm_binary": Program(empty=True, null=True, todo="Set the path of Helm 3.12 or newer"),
    },
    "playbooks": {
        "site_data": VariableFile(todo="Set the path of a YAML file with the variables of the site"),
        "site_lease_wait": kinds.SECONDS,
        "site_lease_namespace": kinds.namespace(empty=True),
        "replaced_clusters": ListOf(item=Text(), comma=True, todo="Set a list of names of clusters"),
        "preflight_fail_on": choice("failed", "warning"),
        "doctor_fail_on": choice("failed", "warning", "never"),
        "doctor_show": choice("all", "problems"),
        "doctor_logs": Switch(),
        "doctor_timeout": kinds.LIMIT,
        "bundle_dest": Text(empty=True, null=True, todo="Set the path of a file or a folder"),
        "bundle_namespaces": ListOf(item=kinds.NAMESPACE, comma=True, todo="Set a list of namespaces"),
        "bundle_log_lines": kinds.AMOUNT,
        "bundle_max_size": kinds.AMOUNT,
        "failover_cluster": Text(todo="Set the name of a workload cluster"),
        "failover_proof": routing.proof(("path", "answered_by")),
        "failover_confirm": Switch(),
        "failover_restore": Switch(),
        "failover_min_requests": kinds.AMOUNT,
        "failover_patience": kinds.LIMIT,
        "failover_max_gap": kinds.LIMIT,
        "failover_timeout": kinds.LIMIT,
        # The playbook says which names there are.
        "remove_cluster": Text(todo="Set the name of a workload cluster", empty=True),
        "remove_unreachable": Switch(),
        "remove_gateway": Switch(),
        "remove_addresses": ListOf(item=kinds.ADDRESS, comma=True, todo="Set a list of addresses"),
        "remove_grace": kinds.LIMIT,
        "remove_drain_timeout": kinds.LIMIT,
    },
}

#: variables that have no default, in the sections that need them
REQUIRED = frozenset(
    ["gateway_name", "gateway_parameters_name", "gateway_listeners", "report_health", "kubeconfig", "kube_context"]
)


def problems_of(
    sections: Sequence[str], values: Mapping[str, Any], unset: Mapping[str, str], around: Surroundings
) -> Problems:
    """Every problem of the variables of sections.

    ``values``: of all variables that have one; ``unset``: why others have none although they are set.
    """
    table = {name: kind for section in sections for name, kind in VARIABLES[section].items()}
    missing = [name for name in table if name in REQUIRED and name not in values and name not in unset]
    for name, kind in table.items():
        if name in values:
            yield from kind.problems(name, values[name], around)
        elif name in missing:
            yield Problem(name, "not set", "it has no default", kind.hint)
        elif name in unset and not any(f"'{each}'" in unset[name] for each in missing):
            yield Problem(name, "not set", unset[name], "Correct it, or set what it refers to")
