"""What the role mesh writes, for what was found: its variables, evaluated as Ansible does."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

from ansible_collections.multicluster.gloo.plugins.module_utils.site import mesh_phase
from ansible_collections.multicluster.gloo.plugins.module_utils.site.mesh_plan import Plan

Json = dict[str, Any]
ROLE = Path(__file__).resolve().parents[3] / "roles" / "mesh"
ABSENT: Json = {
    "release": {"name": "r", "namespace": "gloo-mesh"},
    "state": "absent",
    "reason": "r",
    "manage": True,
    "install": True,
    "name": "",
    "namespace": "gloo-mesh",
    "facts": {},
}
OTHERS: Json = {**ABSENT, "state": "external", "manage": False, "install": False, "reason": "it belongs to others"}
OURS: Json = {**ABSENT, "state": "ours"}
NOTHING: Json = {**ABSENT, "namespace": ""}
NOWHERE = {"relay_address": "", "telemetry_address": "", "licence": "", "own_relay_certificates": ""}
PLATFORM: Json = {
    **ABSENT,
    "layer": "platform",
    "name": "gloo-mesh-mgmt-server",
    "facts": {**NOWHERE, "relay_service": "gloo-mesh-mgmt-server", "authority": "gloo-mesh-mgmt-server.gloo-mesh",
              "telemetry_service": "gloo-telemetry-gateway"},
}  # fmt: skip
SITE: Json = {
    "mgmt": {
        "crds": ABSENT,
        "platform": PLATFORM,
        "workspace": {**NOTHING, "layer": "workspace", "facts": {"spec": {"workloadClusters": []}}},
        "trust": {**NOTHING, "layer": "trust", "facts": {"governs": False}},
    },
    "east": {
        "crds": ABSENT,
        "agent": {**ABSENT, "facts": {"relay_address": "", "registered": False, "registration_ours": False}},
        "istio": {**ABSENT, "facts": {"istiods": [], "deployments": []}},
        "operator": {**ABSENT, "facts": {"debug_namespaces": []}},
        "eastwest": {
            **ABSENT,
            "name": "ew",
            "namespace": "istio-eastwest",
            "facts": {"deployments": [], "address": ""},
        },
    },
}


def changed(*changes: tuple[str, Json]) -> Json:
    """The site with other records: "host.layer" or "host.layer.facts" and what is changed there."""
    site: Json = {host: {layer: dict(row) for layer, row in rows.items()} for host, rows in SITE.items()}
    for place, change in changes:
        host, layer, *facts = place.split(".")
        row = site[host][layer]
        site[host][layer] = {**row, "facts": {**row["facts"], **change}} if facts else {**row, **change}
    return site


@functools.cache
def role_variables() -> tuple[DataLoader, Json]:
    init_plugin_loader([])
    loader = DataLoader()
    variables: Json = {}
    for folder in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLE / folder / "main.yml"), trusted_as_template=True)
    return loader, variables


def value(expression: str, site: Json = SITE, host: str = "east", check: bool = False, **options: Any) -> Any:
    """A variable of the role on a host."""
    loader, variables = role_variables()
    hosts = {name: {"kubeconfig": "k", "kube_context": name, "mesh_cluster_name": name} for name in ("mgmt", "east")}
    variables = {
        **variables,
        "inventory_hostname": host,
        "groups": {"management": ["mgmt"], "workload": ["east"]},
        "hostvars": hosts,
        "ansible_play_hosts_all": ["mgmt", "east"],
        "ansible_check_mode": check,
        "mesh_license_key": "key",
        "__mesh_found": {"layers": site},
        "__mesh_installed": {"skipped": True},
        "ansible_search_path": [str(ROLE)],
        "role_path": str(ROLE),
        **options,
    }
    return Templar(loader=loader, variables=variables).template(variables[expression])


def plan(site: Json = SITE, host: str = "east", **options: Any) -> Plan:
    """The plan that the role passes to its module."""
    return mesh_phase.plan_of(value("__mesh_phase", site, host, **options))


def initial(layer: str, site: Json = SITE, host: str = "east", **options: Any) -> Json:
    """The values of a release that is installed."""
    values: Json = plan(site, host, **options).releases[layer]["initial_values"]
    return values


@pytest.mark.parametrize(
    ("version", "chart"), [("1.27.0", "1.27.0"), ("1.29.2-patch0", "1.29.2"), ("1.30.0-rc.1-patch1", "1.30.0")]
)
def test_the_east_west_chart_has_the_upstream_version(version: str, chart: str) -> None:
    assert value("mesh_eastwest_chart", mesh_istio_version=version)["version"] == chart


@pytest.mark.parametrize(
    ("facts", "options", "licensing"),
    [
        ({}, {}, {"glooMeshLicenseKey": "key"}),
        ({"licence": "gloo-mesh/license-keys"}, {}, {"licenseSecretName": "license-keys"}),
        ({"licence": "gloo-mesh/license-keys"}, {"mesh_license_key": ""}, {"licenseSecretName": "license-keys"}),
        ({}, {"mesh_management_values": {"licensing": {"glooTrialLicenseKey": "trial"}}}, {}),
        ({}, {"mesh_license_key": ""}, {}),
    ],
)
def test_a_licence_comes_from_the_key_or_a_secret(facts: Json, options: Json, licensing: Json) -> None:
    site = changed(("mgmt.platform.facts", facts))
    assert initial("platform", site, "mgmt", **options)["licensing"] == licensing
    problems = list(plan(site, "mgmt", **options).problems())
    assert bool(problems) is not bool(licensing or options.get("mesh_management_values"))


def test_an_installation_of_others_needs_no_key() -> None:
    for row in (OTHERS, {"state": "adopted", "install": False}):
        site = changed(("mgmt.platform", {key: row[key] for key in ("state", "install")}))
        assert list(plan(site, "mgmt", mesh_license_key="").problems()) == []


def test_the_ui_is_not_published() -> None:
    assert initial("platform", host="mgmt")["glooUi"]["serviceType"] == "ClusterIP"


def test_an_address_that_is_not_known_is_in_no_value_that_is_written() -> None:
    release = plan().releases["agent"]
    values = release["initial_values"]
    assert values["glooAgent"]["relay"] == {"authority": "gloo-mesh-mgmt-server.gloo-mesh"}
    assert values["telemetryCollector"] == {}
    assert "known-after-installation:9900" in str(release["check_values"])


@pytest.mark.parametrize(
    ("server", "agent", "option", "address"),
    [
        ("192.0.2.1:9900", "", "", "192.0.2.1:9900"),
        ("192.0.2.1:9900", "relay.example:443", "", "192.0.2.1:9900"),
        # An agent that runs is not cut off.
        ("", "relay.example:443", "", "relay.example:443"),
        ("192.0.2.1:9900", "relay.example:443", "203.0.113.1:9900", "203.0.113.1:9900"),
    ],
)
def test_the_relay_address_is_that_of_the_server(server: str, agent: str, option: str, address: str) -> None:
    site = changed(("mgmt.platform.facts", {"relay_address": server}), ("east.agent.facts", {"relay_address": agent}))
    release = plan(site, mesh_relay_address=option).releases["agent"]
    assert release["initial_values"]["glooAgent"]["relay"]["serverAddress"] == address
    assert release["check_values"]["glooAgent"] == {}


def test_names_that_were_found_are_used_in_other_clusters() -> None:
    found = {"state": "external", "manage": False, "install": False, "namespace": "solo", "name": "server"}
    site = changed(("mgmt.platform", found), ("mgmt.platform.facts", {"authority": "server.solo"}))
    found_plan = plan(site)
    assert found_plan.releases["agent"]["initial_values"]["glooAgent"]["relay"]["authority"] == "server.solo"
    assert found_plan.registration["metadata"] == {"name": "east", "namespace": "solo"}
    assert found_plan.root_trust_policy["metadata"]["namespace"] == "solo"
    env = json.loads(found_plan.extensions["data"]["values.istiod"])["pilot"]["env"]
    assert env["DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"] == "gloo-mesh,solo"


@pytest.mark.parametrize(
    ("facts", "options", "copied"),
    [
        ({}, {}, True),
        ({"own_relay_certificates": "a value is set"}, {}, False),
        ({"own_relay_certificates": "a value is set"}, {"mesh_relay_secrets": "copy"}, True),
        ({}, {"mesh_relay_secrets": "own"}, False),
        ({}, {"mesh_management_values": {"glooMgmtServer": {"relay": {"disableCa": True}}}}, False),
        ({}, {"mesh_management_values": {"glooMgmtServer": {"relay": {"disableCa": False}}}}, True),
        ({}, {"mesh_agent_values": {"glooAgent": {"relay": {"clientTlsSecret": {"name": "agent-tls"}}}}}, False),
    ],
)
def test_relay_secrets_are_copied_unless_the_user_has_certificates(facts: Json, options: Json, copied: bool) -> None:
    assert plan(changed(("mgmt.platform.facts", facts)), **options).copies_relay_secrets is copied
    agent = ("east.agent", {"state": "adopted", "install": False})
    assert plan(changed(agent), **options).copies_relay_secrets is False


@pytest.mark.parametrize(
    ("facts", "manage", "registers"),
    [
        ({"registered": False, "registration_ours": False}, True, True),
        ({"registered": True, "registration_ours": True}, True, True),
        ({"registered": True, "registration_ours": False}, True, False),
        ({"registered": False, "registration_ours": False}, False, False),
    ],
)
def test_registrations_of_others_are_not_written(facts: Json, manage: bool, registers: bool) -> None:
    site = changed(("east.agent.facts", facts), ("east.agent", {"manage": manage}))
    assert plan(site).registers is registers


@pytest.mark.parametrize(
    ("facts", "annotations"),
    [({"uid": "u1"}, {"multicluster.gloo/cluster-uid": "u1"}), ({"uid": ""}, None), ({}, None)],
)
def test_a_registration_has_the_uid_of_its_cluster(facts: Json, annotations: Json | None) -> None:
    metadata = plan(changed(("east.agent.facts", facts))).registration["metadata"]
    assert metadata.get("annotations") == annotations
    assert metadata["namespace"] == "gloo-mesh" and metadata["name"]


SELECTION = {"PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES": "false"}


@pytest.mark.parametrize(
    ("namespaces", "options", "data"),
    [
        ([], {}, {"istiod": {"pilot": {"env": SELECTION}}}),
        ([], {"mesh_istiod_env": {"X": "1"}}, {"istiod": {"pilot": {"env": {**SELECTION, "X": "1"}}}}),
        (
            [],
            {"mesh_istiod_env": dict.fromkeys(SELECTION, "true")},
            {"istiod": {"pilot": {"env": dict.fromkeys(SELECTION, "true")}}},
        ),
        (
            [],
            {"mesh_operator_extensions": {"istio-cni": {"cni": {"cniBinDir": "/opt/cni/bin"}}}},
            {"istiod": {"pilot": {"env": SELECTION}}, "istio-cni": {"cni": {"cniBinDir": "/opt/cni/bin"}}},
        ),
        # Those of others stay in the list.
        (
            ["monitoring"],
            {},
            {
                "istiod": {
                    "pilot": {"env": {**SELECTION, "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES": "monitoring,gloo-mesh"}}
                }
            },
        ),
    ],
)
def test_the_values_of_the_operators_charts_are_only_those_that_are_needed(
    namespaces: list[str], options: Json, data: Json
) -> None:
    site = changed(("east.operator.facts", {"debug_namespaces": namespaces}))
    written = plan(site, **options).extensions["data"]
    assert {key: json.loads(text) for key, text in written.items()} == {
        f"values.{key}": row for key, row in data.items()
    }


def test_each_cluster_has_its_own_values_for_the_operators_charts() -> None:
    clusters = value("__mesh_clusters", mesh_istiod_env={"X": "1"}, mesh_operator_extensions={"istiod": {"a": 1}})
    assert [each["operator_values"] for each in clusters] == [{"istiod": {"a": 1, "pilot": {"env": {"X": "1"}}}}] * 2


ISTIOD: Json = {"namespace": "mesh", "name": "istiod", "revision": "default", "address": "istiod.mesh.svc:15012"}
EXTERNAL_ISTIO: Json = {"state": "external", "manage": False, "install": False}


@pytest.mark.parametrize(
    ("trust", "istio", "restarts"),
    [
        (ABSENT, ABSENT, ["istio-system/istiod-gloo", "istio-eastwest/ew", "bookinfo"]),
        (OTHERS, ABSENT, ["istio-system/istiod-gloo", "istio-eastwest/ew", "bookinfo"]),
        # A new root of ours has to reach an istiod of others, too.
        (ABSENT, EXTERNAL_ISTIO, ["mesh/istiod", "istio-eastwest/ew", "bookinfo"]),
        (OTHERS, EXTERNAL_ISTIO, ["istio-eastwest/ew"]),
    ],
)
def test_only_what_has_to_trust_a_new_root_is_restarted(trust: Json, istio: Json, restarts: list[str]) -> None:
    site = changed(
        ("mgmt.trust", {key: trust[key] for key in ("state", "manage", "install")}),
        ("east.istio", {key: istio[key] for key in ("state", "manage", "install")}),
        ("east.istio.facts", {"istiods": [ISTIOD], "deployments": ["mesh/istiod"]}),
        ("east.eastwest.facts", {"deployments": ["istio-eastwest/ew"]}),
    )
    found = plan(site, mesh_restart_namespaces=["bookinfo"]).restarts
    assert ["/".join([row["namespace"], *row.get("names", [])]) for row in found] == restarts
    assert all(row.get("with_sidecar") for row in found if "names" not in row)


def test_an_east_west_gateway_uses_the_istiod_that_exists() -> None:
    site = changed(("east.istio", EXTERNAL_ISTIO), ("east.istio.facts", {"istiods": [ISTIOD]}))
    values = initial("eastwest", site)
    assert values["revision"] == "" and "revision" not in values["labels"]
    assert initial("eastwest")["revision"] == "gloo"
    assert plan(site).istiod["address"] == "istiod.mesh.svc:15012"


@pytest.mark.parametrize(
    ("trust", "facts", "agent", "istiods", "awaits"),
    [
        ({}, {}, {}, [], True),
        ({"manage": False}, {"governs": True}, {}, [], True),
        ({"manage": False}, {"governs": False}, {}, [], False),
        ({}, {}, {"manage": False, "state": "absent"}, [], False),
        ({}, {}, {"manage": False, "state": "external"}, [], True),
    ],
)
def test_the_shared_root_is_awaited_only_where_it_is_issued(
    trust: Json, facts: Json, agent: Json, istiods: list[Json], awaits: bool
) -> None:
    site = changed(("mgmt.trust", trust), ("mgmt.trust.facts", facts), ("east.agent", agent))
    assert plan(site).awaits_root is awaits
    without = changed(("east.istio", EXTERNAL_ISTIO), ("east.istio.facts", {"istiods": []}))
    assert plan(without).awaits_root is False


def test_a_run_without_the_management_host_is_refused_while_something_is_missing_there() -> None:
    [failed] = plan(ansible_play_hosts_all=["east"]).problems()
    assert failed.startswith("mgmt lacks platform, workspace, trust (mesh_layers), but is not part of this run")
    complete = changed(*((f"mgmt.{layer}", {"state": "ours"}) for layer in ("platform", "workspace", "trust")))
    assert list(plan(complete, ansible_play_hosts_all=["east"], mesh_relay_address="192.0.2.1:9900").problems()) == []


def test_only_the_addresses_are_read_again_when_the_management_server_is_installed() -> None:
    """The second read does not have the workload clusters, so that it cannot know who manages their root CA."""
    others = changed(("mgmt.trust", {"state": "external", "manage": False}), ("mgmt.workspace", {"manage": False}))
    again = changed(("mgmt.platform.facts", {"relay_address": "192.0.2.1:9900"}))
    for host in ("mgmt", "east"):
        installed: Json = {"__mesh_installed": {"layers": {"mgmt": again["mgmt"]}}}
        found = plan(others, host, **installed)
        assert found.platform["facts"]["relay_address"] == "192.0.2.1:9900"
        site = found.site
        assert (site["trust"]["manage"], site["workspace"]["manage"]) == (False, False)


def test_namespaces_are_created_only_for_what_is_installed() -> None:
    names = [each["metadata"]["name"] for each in plan().namespaces]
    assert names == ["gloo-mesh", "istio-system", "istio-eastwest"]
    assert [each["metadata"]["name"] for each in plan(host="mgmt").namespaces] == [
        "gloo-mesh",
        "gloo-mesh-config",
    ]
    others = changed(*((f"east.{layer}", {"install": False}) for layer in ("agent", "istio", "operator", "eastwest")))
    assert plan(others).namespaces == []
