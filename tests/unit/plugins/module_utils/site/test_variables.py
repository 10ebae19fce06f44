"""The table of variables: what it refuses and accepts, and that it agrees with argument specs and documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.site import variable_kinds as kinds
from ansible_collections.multicluster.gloo.plugins.module_utils.site.variables import REQUIRED, VARIABLES, problems_of
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.preflight_check import Given, message, problems

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[5]
ROLES = sorted(path.name for path in (REPO / "roles").iterdir() if path.is_dir())
AROUND = kinds.Surroundings(
    frozenset(["mgmt", "cluster1", "cluster2"]),
    lambda path: "" if path in ("helm", "/usr/bin/helm") else "no such program",
    lambda path: "" if path == "/etc/site.yml" else "no such file",
)
KINDS = {name: kind for table in VARIABLES.values() for name, kind in table.items()}


def refused(name: str, value: Any) -> list[str]:
    return [str(each) for each in KINDS[name].problems(name, value, AROUND)]


# -- bad input --------------------------------------------------------------------------------------------------------

LABEL_64 = "a" * 64
NOT_NAMESPACES = ["", None, True, 1.2, 5, [], ["a"], {"a": 1}, "A", "a_b", "-a", "a-", "a.b", LABEL_64, "ä", "a b"]
NOT_NAMESPACES += ["a\n b", "\x1b[2Jx", "\u202ea", "日本", " a", "{{ a }}"]
NOT_SECONDS = ["soon", -1, "-1", 1.5, float("inf"), float("nan"), None, "", True, [], [600], {}, "10m", "1e3", 10**12]
NOT_HOSTS = [None, "cluster1", "", {}, {"cluster1": 1}, 1, True, [], ["cluster9"], [""], [None], [["cluster1"]], [1]]
NOT_LISTS = [None, {"a": 1}, 1, True, 1.5]
NOT_DICTS = [None, "text", "", 1, True, ["a"], [{"a": 1}]]
NOT_CHARTS: list[Any] = [
    *NOT_DICTS,
    {},
    {"version": "1.2.3"},
    {"ref": ""},
    {"ref": None},
    {"ref": ["a"]},
    {"ref": "oci:gloo"},
    {"ref": "--post-renderer=x"},
    {"ref": "a", "version": 1.2},
    {"ref": "a", "version": 2},
    {"ref": "a", "version": "latest"},
    {"ref": "a", "version": "1.2.3.4"},
    {"ref": "a", "version": ["1.2.3"]},
    {"ref": "a", "repo_url": "charts.example.com"},
    {"ref": "a", "repo_url": "https://"},
    {"ref": "a", "repo_url": "https://a:99999"},
    {"ref": "a", "repo_url": True},
    {"ref": "a", "allow_downgrade": "maybe"},
    {"ref": "a", "repo": "https://charts.example.com"},
    {"name": "a"},
]


def listener(**fields: Any) -> Json:
    return {"name": "http", "port": 8080, "protocol": "HTTP", **fields}


NOT_LISTENERS: list[Any] = [
    *NOT_LISTS,
    [],
    "http",
    ["http"],
    [None],
    [{}],
    [{"name": "http", "port": 8080}],
    [{"name": "http", "protocol": "HTTP"}],
    [listener(name="HTTP")],
    [listener(name=None)],
    [listener(port=0)],
    [listener(port=65536)],
    [listener(port="8080")],
    [listener(port=True)],
    [listener(port=8080.5)],
    [listener(protocol="http")],
    [listener(protocol="HT TP")],
    [listener(hostname="a_b")],
    [listener(hostname="*")],
    [listener(hostname="a.*.com")],
    [listener(hostname="192.0.2.1")],
    [listener(hostname=["a.example"])],
    [listener(tls="secret")],
    [listener(allowedRoutes=["All"])],
    [listener(allowedRoute={})],
    [listener(), listener(port=8081)],
    [listener(), listener(name="other")],
    [listener(hostname="a.b"), listener(name="other", hostname="a.b")],
]


def destination(**spec: Any) -> list[Json]:
    whole = {"hosts": ["a.mesh.internal"], "ports": [{"number": 80, "protocol": "HTTP"}], **spec}
    return [{"name": "a", "namespace": "shop", "spec": {key: each for key, each in whole.items() if each != "none"}}]


def table(**spec: Any) -> list[Json]:
    return [{"name": "a", "namespace": "shop", "spec": {"http": [{"name": "all"}], **spec}}]


def forward(*destinations: Any) -> list[Json]:
    return table(http=[{"forwardTo": {"destinations": list(destinations)}}])


def route(**spec: Any) -> list[Json]:
    rules = [{"backendRefs": [{"name": "a", "port": 80}]}]
    return [{"name": "a", "namespace": "shop", "spec": {"parentRefs": [{"name": "http"}], "rules": rules, **spec}}]


def backend(**ref: Any) -> list[Json]:
    return route(rules=[{"backendRefs": [{"name": "a", "port": 80, **ref}]}])


def proof(**fields: Any) -> list[Json]:
    selection = {"namespace": "shop", "label_selector": "app=a"}
    return [{"name": "p", "path": "/", "answered_by": selection, **fields}]


BAD: dict[str, list[Any]] = {
    "bookinfo_namespace": NOT_NAMESPACES,
    "bookinfo_hosts": NOT_HOSTS,
    "bookinfo_cluster_name": ["", None, 1, ["a"], "a\nb"],
    "bookinfo_placement": [
        *NOT_DICTS,
        {"cluster9": ["reviews-v1"]},
        {"cluster1": "reviews-v1"},
        {"cluster1": ["reviews-v4"]},
        {"cluster1": [None]},
        {"cluster1": None},
    ],
    "bookinfo_planned_istiod": NOT_DICTS,
    "bookinfo_revision": [None, "1.27", 1.27, 1, "A", "a_b", ["gloo"], "x" * 64],
    "bookinfo_image_prefix": [None, "https://r.example/a-", "Upper/a-", "a b", 1, ["a"], "r.example/a:tag"],
    "bookinfo_image_tag": [None, "", 1.20, 2, True, "a b", "a/b", ":1", "x" * 129, ["1.20.3"]],
    "bookinfo_images": [*NOT_DICTS, {"reviews": "a"}, {"reviews-v1": "A B"}, {"reviews-v1": ""}, {"reviews-v1": None}],
    "bookinfo_image_pull_policy": ["always", "", None, "Sometimes", True, ["Always"]],
    "bookinfo_image_pull_secrets": [*NOT_LISTS, "pull", ["Pull"], [{"name": "pull"}], [""], [None]],
    "bookinfo_replicas": [0, -1, "none", 1.5, None, True, [1], float("inf"), float("nan")],
    "bookinfo_on_conflict": ["Keep", "", None, 1],
    "bookinfo_wait_timeout": NOT_SECONDS,
    "cleanup_vendor_crds": ["maybe", None, "", 2, ["true"], {}],
    "cleanup_management_host": ["cluster9", "", None, ["mgmt"]],
    "cleanup_cluster_name": ["", None],
    "cleanup_istio_namespace": ["", "A", None],
    "cleanup_istio_revision": [None, "a.b", 1],
    "cleanup_wait_timeout": NOT_SECONDS,
    "gateway_product": ["gloo", None, 1, "Kgateway"],
    "gateway_layers": [*NOT_DICTS, {"controler": "use"}, {"controller": "never"}, {"controller": None}],
    "gateway_namespace": [None, "A", LABEL_64, 1],
    "gateway_license_key": [None, 5, ["x"], {"a": 1}],
    "gateway_license_secret": [None, "A", 1],
    "gateway_api_crds": ["", None, 1, ["a.yaml"]],
    "gateway_api_min_version": ["", None, 1.2, "v1.2.0", "new", "1.2.0.1"],
    "gateway_crds_chart": [each for each in NOT_CHARTS if each not in ({}, {"version": "1.2.3"})],
    "gateway_chart": [each for each in NOT_CHARTS if each not in ({}, {"version": "1.2.3"})],
    "gateway_crds_release": ["a" * 54, "A", None],
    "gateway_release": ["a" * 54, "a_b", None, 1],
    "gateway_controller_name": ["A", None],
    "gateway_crds_values": NOT_DICTS,
    "gateway_values": NOT_DICTS,
    "gateway_controller_env": [*NOT_DICTS, {"A B": "x"}, {"A": ["x"]}, {"A": {"b": 1}}, {"1A": "x"}],
    "gateway_class_name": ["A", None],
    "gateway_controller_names": [*NOT_LISTS, ["gloo"], ["solo.io/"], [None], "gloo"],
    "gateway_parameters_api_version": ["v1", "gateway.kgateway.dev", None],
    "gateway_parameters_kind": ["gateway-parameters", None, ["GatewayParameters"]],
    "gateway_parameters_name": ["", None, "A", 1, "a_b"],
    "gateway_parameters_spec": NOT_DICTS,
    "gateway_istio_proxy_image": [*NOT_DICTS, {"image": "a"}, {"tag": 1.2}, {"tag": "a b"}, {"pullPolicy": "always"}],
    "gateway_sds_image": [*NOT_DICTS, {"digest": "latest"}, {"repositry": "a"}],
    "gateway_image_pull_secrets": [*NOT_LISTS, "pull", [{"name": "pull"}], ["A"]],
    "gateway_istio_discovery_address": [
        None,
        "istiod",
        "istiod:0",
        "istiod:99999",
        "a b:15012",
        "[fd00::1]:15012",
        15012,
    ],
    "gateway_istio_cluster_id": [None, "123", "true", "0x1f", 123, "a\nb", "null"],
    "gateway_istio_mesh_id": [None, "1e3", "yes", 1],
    "gateway_istiod_namespace": [None, "A"],
    "gateway_istiod_revision": [None, "A.b"],
    "gateway_planned_istiod": NOT_DICTS,
    "gateway_name": ["", None, "Http", "a.b", "http-", "123", "on", 8080, True, ["http"], "a" * 254],
    "gateway_listeners": NOT_LISTENERS,
    "gateway_gateways": [
        *NOT_LISTS,
        [],
        "http",
        ["http"],
        [{}],
        [{"name": "A"}],
        [{"name": "a", "listener": []}],
        [{"name": "a", "listeners": []}],
        [{"name": "a", "namespace": ""}],
        [{"name": "a", "parameters_spec": "x"}],
        [{"name": "a", "expected_containers": []}],
        [{"name": "a"}, {"name": "a"}],
        [{"name": "a", "namespace": "b"}, {"name": "a", "namespace": "b"}],
    ],
    "gateway_expected_containers": [*NOT_LISTS, [], "", ["A"], [None]],
    "gateway_restart": ["always", None, True],
    "gateway_on_conflict": ["keep", None, ""],
    "gateway_on_release_conflict": ["force", None],
    "gateway_owned_crds": [*NOT_DICTS, {"a": "crd"}, {"a": [None]}],
    "gateway_wait_timeout": NOT_SECONDS,
    "mesh_management_host": ["cluster9", None, "", ["mgmt"], 1],
    "mesh_workload_hosts": NOT_HOSTS,
    "mesh_cluster_name": ["", None, "a_b", "A", "123", "true", 123, True, "a b", ["a"]],
    "mesh_cluster_domain": ["", None, "cluster_local", ".", "*.local"],
    "mesh_license_key": [None, 5, True, ["x"], " ", "K\u200dEY", "K\u00a0EY", "\u041aEY"],
    "mesh_istio_license_key": [None, 5],
    "mesh_layers": [*NOT_DICTS, {"gateway": "use"}, {"istio": "keep"}, {"istio": True}, {"crds": None}],
    "mesh_namespace": NOT_NAMESPACES,
    "mesh_config_namespace": NOT_NAMESPACES,
    "mesh_istio_namespace": NOT_NAMESPACES,
    "mesh_eastwest_namespace": NOT_NAMESPACES,
    "mesh_crds_chart": NOT_CHARTS,
    "mesh_platform_chart": NOT_CHARTS,
    "mesh_operator_chart": NOT_CHARTS,
    "mesh_eastwest_chart": NOT_CHARTS,
    "mesh_crds_values": NOT_DICTS,
    "mesh_management_values": [*NOT_DICTS, {"licensing": "key"}, {"licensing": ["key"]}, {"licensing": None}],
    "mesh_agent_values": NOT_DICTS,
    "mesh_operator_values": NOT_DICTS,
    "mesh_eastwest_values": NOT_DICTS,
    "mesh_operator_license_env": ["", None, "A B", "1A"],
    "mesh_relay_address": [None, "host", "host:", ":9900", "a_b:9900", "host:99999", "http://host:9900", 9900],
    "mesh_telemetry_address": [None, "host", "2001:db8::1:4317"],
    "mesh_relay_authority": [None, "a b", 1],
    "mesh_relay_secrets": ["never", None, True, ""],
    "mesh_istio_version": ["", None, 1.27, "1.27", "latest", "1.27.0-solo", "v1.27.0", "1.27.0 x", ["1.27.0"]],
    "mesh_istio_revision": ["", None, 1, 1.27, "1.27", "A", "x" * 58],
    "mesh_istio_controller_name": ["", None, "A", LABEL_64],
    "mesh_istio_controller_spec": NOT_DICTS,
    "mesh_istiod_env": [*NOT_DICTS, {"A": ["x"]}, {"A B": "x"}],
    "mesh_operator_extensions": [*NOT_DICTS, {"istiod": "x"}, {"istiod": None}],
    "mesh_eastwest_name": ["", None, "A", "1a", "a" * 54, "a.b"],
    "mesh_workspace_name": ["", None, "A"],
    "mesh_workspace_spec": NOT_DICTS,
    "mesh_workspace_namespaces": [*NOT_LISTS, "shop", ["A"], [None], [""]],
    "mesh_workspace_settings_spec": NOT_DICTS,
    "mesh_root_trust_policy_name": ["", None, "A"],
    "mesh_root_trust_policy_spec": NOT_DICTS,
    "mesh_restart_namespaces": [*NOT_LISTS, "shop", ["a_b"], [1]],
    "mesh_on_conflict": ["keep", None],
    "mesh_on_release_conflict": ["force", None],
    "mesh_owned_crds": [*NOT_DICTS, {"a": "crd"}],
    "mesh_wait_timeout": NOT_SECONDS,
    "report_health": [None, "x", []],
    "report_path": [None, 1, ["reports"]],
    "report_name": ["", None, "a/b"],
    "report_title": ["", None, "a\nb"],
    "report_formats": [*NOT_LISTS, ["pdf"], "pdf", ""],
    "report_docs_url": [None, 1],
    "routing_management_host": ["cluster9", None, ""],
    "routing_workload_hosts": NOT_HOSTS,
    "routing_gateway_hosts": [None, "cluster1", ["cluster9"]],
    "routing_virtual_destinations": [
        *NOT_LISTS,
        "a",
        ["a"],
        [{}],
        [{"name": "a", "namespace": "shop"}],
        [{"name": "A", "namespace": "shop", "spec": {}}],
        [{**destination()[0], "labels": {}}],
        [*destination(), *destination()],
        destination(hosts=[]),
        destination(hosts="none"),
        destination(hosts="a.b"),
        destination(hosts=["*.b"]),
        destination(hosts=["a_b"]),
        destination(ports="none"),
        destination(ports=[]),
        destination(ports=[80]),
        destination(ports=[{"number": "80", "protocol": "HTTP"}]),
        destination(ports=[{"number": 80, "protocol": "http"}]),
        destination(ports=[{"port": 80}]),
        destination(ports=[{"number": 80, "targetPort": 8080}]),
        destination(host=["a.b"]),
        destination(service=[{"labels": {"app": "a"}}]),
        destination(services={"labels": {"app": "a"}}),
        destination(services=[{"label": {"app": "a"}}]),
        destination(services=[{"labels": {"app": 1}}]),
        destination(services=[{"labels": {"app": LABEL_64}}]),
        destination(services=[{"labels": {"a b": "x"}}]),
        destination(services=[{"labels": "app=a"}]),
    ],
    "routing_route_tables": [
        *NOT_LISTS,
        ["a"],
        [{"name": "a", "namespace": "shop", "spec": {}}],
        [{"name": "a", "namespace": "shop", "spec": {"hosts": ["a"]}}],
        [*table(), *table()],
        table(http=[]),
        table(http={"name": "a"}),
        table(host=["a"]),
        table(hosts="a"),
        table(workloadSelector=[]),
        table(http=[{"match": []}]),
        table(http=[{"matchers": {}}]),
        table(http=[{"forwardTo": {"destinations": []}, "redirectTo": {"hostRedirect": "a"}}]),
        table(http=[{"forwardTo": "a"}]),
        table(http=[{"labels": {"route": 1}}]),
        forward("a"),
        forward({"kind": "VirtualDestination"}),
        forward({"port": {"number": 0}}),
        forward({"port": 80}),
        forward({"weight": 101}),
        forward({"weight": "50"}, {"weight": 50}),
        forward({"weight": 50}, {"weight": 40}),
        forward({"ref": "a"}),
    ],
    "routing_http_routes": [
        *NOT_LISTS,
        [None],
        [{**route()[0], "steps": "a"}],
        [{**route()[0], "clusters": "cluster1"}],
        [{**route()[0], "labels": {"a": 1}}],
        [*route(), *route()],
        route(parentRefs="http"),
        route(parentRefs=[{}]),
        route(parentRefs=[{"name": "http", "namespace": "A"}]),
        route(hostnames="a.b"),
        route(hostnames=["a_b"]),
        route(hostnames=["*"]),
        route(rules={}),
        route(rules=[]),
        route(rules=[{}]),
        route(rules=["a"]),
        backend(name="A"),
        backend(name=None),
        backend(port=None),
        backend(port="80"),
        backend(port=0),
        backend(namespace="A"),
        backend(kind="Hostname"),
        backend(kind="Hostname", group="networking.istio.io", namespace="shop"),
    ],
    "routing_gateway_name": ["", None, "A"],
    "routing_gateway_namespace": [None, "A"],
    "routing_proofs": [
        *NOT_LISTS,
        ["a"],
        [{}],
        proof(name=""),
        proof(path="productpage"),
        proof(path=None),
        proof(paths="/"),
        proof(host="a b"),
        proof(url="192.0.2.1:80"),
        proof(url="ftp://a"),
        proof(validate_certs="maybe"),
        proof(pattern="("),
        proof(headers=["a"]),
        proof(headers={"a": ["b"]}),
        proof(gateway={"port": "http"}),
        proof(gateway={"scheme": "tcp"}),
        proof(gateway={"section": "a"}),
        proof(clusters="cluster1"),
        proof(step=5),
        proof(from_pod={"namespace": "shop", "label_selector": "app=a"}),
        proof(from_pod={"namespace": "shop", "label_selector": "app=a", "port": 0}),
        proof(answered_by={"namespace": "shop"}),
        proof(answered_by={"namespace": "shop", "label_selector": "app in (a)"}),
        proof(answered_by={"namespace": "shop", "label_selector": {"app": "a"}}),
    ],
    "routing_steps": [*NOT_LISTS, "step1", [1]],
    "routing_on_conflict": ["keep", None],
    "routing_wait_timeout": NOT_SECONDS,
    "kubeconfig": ["", None, 1, ["a"], '{"users": []}', "x" * 256, "apiVersion: v1\nkind: Config"],
    "kube_context": ["", None, 1, ["a"]],
    "cluster_uid": [1, ["a"]],
    "helm_binary": ["/no/helm", "helm3", ["helm"], True],
    "site_data": ["", None, "/no/file", 1, ["/etc/site.yml"]],
    "site_lease_wait": NOT_SECONDS,
    "site_lease_namespace": [None, "A", LABEL_64, 1],
    "replaced_clusters": [*NOT_LISTS, "", [1], [""]],
    "preflight_fail_on": ["never", None, ""],
    "doctor_fail_on": ["ok", None],
    "doctor_show": ["some", None],
    "doctor_logs": ["some", None],
    "doctor_timeout": [-1, "soon", 1.5, True],
    "bundle_dest": [1, ["a"]],
    "bundle_namespaces": [*NOT_LISTS, "A", ["A"]],
    "bundle_log_lines": [0, -1, "all"],
    "bundle_max_size": [0, "50MiB"],
    "failover_cluster": ["", None, 1],
    "failover_proof": [*NOT_DICTS, {}, {"path": "/"}, {**proof()[0], "path": "x"}, {**proof()[0], "post": 1}],
    "failover_confirm": ["maybe", None],
    "failover_restore": ["maybe", None],
    "failover_min_requests": [0, "many"],
    "failover_patience": [-1, "x"],
    "failover_max_gap": [-1, "x"],
    "failover_timeout": [-1, "x"],
    "remove_cluster": [None, 1],
    "remove_unreachable": ["maybe"],
    "remove_gateway": ["maybe"],
    "remove_addresses": [*NOT_LISTS, [1], [""], ["a b"], ["192.0.2.1:80"], "192.0.2.300", ["192.0.2.1\u00ad"]],
    "remove_grace": [-1, "x"],
    "remove_drain_timeout": [-1, "x"],
}
EVERY_BAD = [(name, value) for name, values in BAD.items() for value in values]


def test_there_is_bad_input_for_every_variable() -> None:
    assert set(BAD) == set(KINDS)
    assert len(EVERY_BAD) >= 150


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_short_line_that_names_the_variable(name: str) -> None:
    section = next(section for section, table in VARIABLES.items() if name in table)
    for value in BAD[name]:
        found = [each for each in problems([section], Given({name: value}, around=AROUND)) if each.startswith(name)]
        assert found, f"{value!r} is accepted"
        for each in found:
            assert re.match(rf"{name}(\W.*)? is .+: .+\. [A-Z].+", each), each
            assert "\n" not in each and "\x1b" not in each and len(each) < 420, each
            assert "Traceback" not in each
        assert len(message(found)) < 450


def test_all_bad_input_at_once_is_one_short_message() -> None:
    found = [str(each) for name, value in EVERY_BAD for each in KINDS[name].problems(name, value, AROUND)]
    assert len(found) >= len(EVERY_BAD)
    assert len(message(found)) < 450 and "more problems" in message(found)


# -- good input -------------------------------------------------------------------------------------------------------

GOOD: dict[str, list[Any]] = {
    "bookinfo_namespace": ["bookinfo", "a", "1", "x" * 63],
    "bookinfo_hosts": [["cluster1"], ["cluster2", "cluster1"]],
    "bookinfo_cluster_name": ["cluster_1", "Größe"],
    "bookinfo_placement": [{}, {"cluster1": []}, {"cluster1": ["reviews-v1", "details-v1"]}],
    "bookinfo_revision": ["", "gloo", "1-27", "default"],
    "bookinfo_image_prefix": [
        "",
        "localhost:5000/team/",
        "r.example:443/a/b__c-",
        "docker.io/istio/examples-bookinfo-",
    ],
    "bookinfo_image_tag": ["1.20.3", "latest", "1", f"1@sha256:{'a' * 64}"],
    "bookinfo_images": [{"reviews-v1": f"r.example:5000/a/b:1@sha256:{'0' * 64}"}, {"ratings-v1": "[::1]:5000/a"}],
    "bookinfo_replicas": [1, "2", 3.0],
    "bookinfo_wait_timeout": [0, 600, "600", 600.0, " 5 "],
    "cleanup_vendor_crds": [True, "false", "yes", "on", 0, 1, "1", "True"],
    "gateway_layers": [{}, {"controller": "use"}],
    "gateway_license_key": ["", "a key-of (any) shape", "with-a-line-end\n"],
    "gateway_api_crds": ["crds.yaml", "/crds", "https://example.com/a.yaml"],
    "gateway_api_min_version": ["1.2.0", "1.2", "1.4.0-rc.1"],
    "gateway_chart": [{}, {"version": "2.0.3"}, {"ref": "oci://r.example/a", "version": "", "repo_url": None}],
    "gateway_controller_env": [{"A": "true", "B": True, "C": 1, "d.e": "", "F": None}],
    "gateway_controller_names": [[], ["solo.io/gloo-gateway"], "solo.io/a, kgateway.dev/kgateway"],
    "gateway_parameters_api_version": ["", "gateway.kgateway.dev/v1alpha1", "enterprise.example/v2"],
    "gateway_istio_proxy_image": [{}, {"registry": "r.example:5000", "tag": "1.27.0", "pullPolicy": "Always"}],
    "gateway_istio_discovery_address": ["", "istiod.istio-system.svc:15012", "192.0.2.1:15012"],
    "gateway_istio_cluster_id": ["", "cluster-1", "Cluster_1"],
    "gateway_listeners": [
        [listener()],
        [listener(port=443, protocol="HTTPS", hostname="*.example.com", tls={"mode": "Terminate"})],
        [listener(), listener(name="b", hostname="b.example"), listener(name="c", hostname="c.example")],
        [listener(), listener(name="b", port=8081)],
        [listener(protocol="example.com/bar", hostname=None)],
    ],
    "gateway_gateways": [
        [{"name": "a"}, {"name": "b"}],
        [{"name": "a", "namespace": "x"}, {"name": "a", "namespace": "y", "class_name": ""}],
    ],
    "gateway_expected_containers": [["kgateway-proxy"], "kgateway-proxy,sds"],
    "mesh_cluster_name": ["cluster1", "a.b", "1-27"],
    "mesh_layers": [{"trust": "manage", "crds": "use"}],
    "mesh_crds_chart": [
        {"ref": "gloo-platform-crds", "repo_url": "https://a.example/charts", "version": "2.11.0"},
        {"ref": "./charts/a b.tgz", "version": "^2.11"},
        {"ref": "a", "version": ">= 1.2, < 2 || 3.x"},
        {"ref": "a", "version": "1.2 - 2.3.4", "repo_url": "s3://bucket/charts"},
        {"ref": "a", "version": "2026.01.1+build", "upgrade_adopted": "yes"},
        {"ref": "oci://127.0.0.1:5000/a", "version": "v1.2.3-beta.1"},
    ],
    "mesh_management_values": [{}, {"licensing": {}}, {"glooUi": None}],
    "mesh_relay_address": ["", "203.0.113.7:9900", "Relay.example.com:443", "[2001:db8::1]:9900"],
    "mesh_relay_authority": ["", "gloo-mesh-mgmt-server.gloo-mesh"],
    "mesh_istio_version": ["1.27.0", "1.29.2-patch0", "1.30.0-rc.1-patch1"],
    "mesh_istiod_env": [{"PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES": False}],
    "report_path": ["", "reports", "/tmp/a b"],
    "report_title": ["Größe  日本 & <b>"],
    "report_formats": [[], ["html"], "html,json"],
    "routing_gateway_hosts": [[], ["cluster1"]],
    "routing_virtual_destinations": [
        [],
        destination(services=[{"labels": {"app": "a", "app.kubernetes.io/name": ""}, "cluster": "c"}]),
        destination(
            clientMode={"auto": {}}, ports=[{"number": 80, "protocol": "GRPC", "targetPort": {"name": "http"}}]
        ),
    ],
    "routing_route_tables": [
        table(hosts=["*.a:80"], virtualGateways=[{"name": "a"}], weight=1),
        table(http=[], tcp=[{"matchers": []}]),
        forward({"ref": {"name": "a"}, "kind": "VIRTUAL_DESTINATION", "port": {"number": 80}}),
        forward({"weight": 60}, {"weight": 40, "subset": {"version": "v1"}}),
        forward({"ref": {"name": "a"}}, {"ref": {"name": "b"}}),
    ],
    "routing_http_routes": [
        [{**route()[0], "clusters": ["cluster1"]}, {**route()[0], "clusters": ["cluster2"]}],
        [{**route()[0], "step": "step4"}, {**route()[0], "step": "step5"}],
        route(rules=[{"filters": [{"type": "RequestRedirect"}]}], useDefaultGateways="All"),
        backend(kind="Backend", group="gateway.kgateway.dev", port=None),
        backend(kind="HTTPRoute", group="gateway.networking.k8s.io", name="*", port=None),
    ],
    "routing_proofs": [
        proof(host="", url="", pattern="", headers={"a": 1}, validate_certs="no", clusters=["c"]),
        proof(url="https://[2001:db8::1]:8443", from_pod={"namespace": "a", "label_selector": "a=b", "port": "9080"}),
        proof(pattern=r"reviews-(v[123])", gateway={"name": "a", "port": "8443", "scheme": "https"}),
    ],
    "routing_steps": [[], ["step1", ""]],
    "kubeconfig": ["~/.kube/config", "a:b", ":".join(["/" + "x" * 255] * 20)],
    "cluster_uid": [None, "", "00000000-0000-0000-0000-000000000000"],
    "helm_binary": [None, "", "helm", "/usr/bin/helm"],
    "site_data": ["/etc/site.yml"],
    "doctor_timeout": [None, 15, "15"],
    "bundle_namespaces": [[], "a,b", ["a"]],
    "failover_proof": [proof()[0], {"path": "/", "answered_by": {"namespace": "a", "label_selector": "a=b, c==d"}}],
    "failover_confirm": [True, "true"],
    "remove_addresses": [[], ["192.0.2.1", "2001:db8::1"], "192.0.2.1,A.example"],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_works_is_accepted(name: str) -> None:
    for value in GOOD[name]:
        assert refused(name, value) == [], value


def argument_specs(role: str) -> Json:
    content = yaml.safe_load((REPO / "roles" / role / "meta" / "argument_specs.yml").read_text())
    return dict(content["argument_specs"]["main"]["options"])


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_accepted(role: str) -> None:
    defaults = yaml.safe_load((REPO / "roles" / role / "defaults" / "main.yml").read_text())
    defaults |= {name: option["default"] for name, option in argument_specs(role).items() if "default" in option}
    for name, value in defaults.items():
        if "{{" not in str(value):
            assert refused(name, value) == [], name


def without_templates(value: Any) -> Any:
    """The value as if its templates were evaluated: that of guide.yml is the namespace of a gateway."""
    if isinstance(value, dict):
        return {key: without_templates(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_templates(each) for each in value]
    return "gloo-system" if isinstance(value, str) and "{{" in value else value


def sites() -> Iterator[Any]:
    """Variables of real users: the data of the guide, and of the sites of the lab."""
    yield pytest.param(yaml.safe_load((REPO / "playbooks" / "vars" / "guide.yml").read_text()), id="guide")
    for path in sorted((REPO / "lab" / "sites").glob("*.yml")):
        site = yaml.safe_load(path.read_text())
        for host, variables in {"": {}, **(site.get("hosts") or {})}.items():
            together = {**(site.get("data") or {}), **(site.get("variables") or {}), **variables}
            yield pytest.param(together, id=f"{path.stem} {host}".strip())


@pytest.mark.parametrize("variables", list(sites()))
def test_the_variables_of_existing_sites_are_accepted(variables: Json) -> None:
    known = {name: without_templates(value) for name, value in variables.items() if name in KINDS}
    assert variables == {} or known
    assert problems(["bookinfo", "cleanup", "mesh", "routing"], Given(known, around=AROUND)) == []
    gateway = [text for text in problems(["gateway"], Given(known, around=AROUND)) if "it has no default" not in text]
    assert gateway == []


# -- what is not set --------------------------------------------------------------------------------------------------


def unset(section: str, values: Json, reasons: dict[str, str]) -> list[str]:
    return [str(each) for each in problems_of([section], values, reasons, AROUND)]


def test_a_variable_without_default_and_one_that_refers_to_it_are_told_once() -> None:
    reasons = {"gateway_gateways": "'gateway_name' is undefined"}
    found = unset("gateway", {"gateway_parameters_name": "a", "gateway_listeners": [listener()]}, reasons)
    assert found == ["gateway_name is not set: it has no default. Use lower-case letters, digits and dashes"]


def test_a_template_that_cannot_be_evaluated_is_told_with_its_variable() -> None:
    [found] = unset("mesh", {}, {"mesh_namespace": "'team' is undefined"})
    assert found == "mesh_namespace is not set: 'team' is undefined. Correct it, or set what it refers to"


def test_what_is_not_set_has_its_default() -> None:
    assert unset("mesh", {}, {}) == unset("playbooks", {}, {}) == unset("cleanup", {}, {}) == []
    assert {each.split()[0] for section in VARIABLES for each in unset(section, {}, {})} == REQUIRED


# -- secrets ----------------------------------------------------------------------------------------------------------

CANARY = "canary-6f1d"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_no_content_of_lists_and_dictionaries_is_shown(name: str) -> None:
    values: list[Any] = [[CANARY], {"licence": CANARY}, [{"licence": CANARY}], {"licensing": CANARY}]
    values += [CANARY] if {"dict", "list"} & set(KINDS[name].types) and not getattr(KINDS[name], "comma", False) else []
    shown = [text for value in values if value not in GOOD.get(name, []) for text in refused(name, value)]
    if isinstance(KINDS[name], kinds.ListOf | kinds.MapOf):
        # Items that are text by themselves are shown, unless they look like a secret.
        shown = [text for text in shown if not re.match(rf"{name}(\[0\]| \(key\)|\.\w+(\[0\])?) is '", text)]
    assert [text for text in shown if CANARY in text] == []


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_looks_like_a_secret_is_shown_nowhere(name: str) -> None:
    values: list[Any] = [TOKEN, [TOKEN], {TOKEN: TOKEN}, {"a": TOKEN}, [{TOKEN: TOKEN}], f"https://user:{TOKEN}@host"]
    assert [text for value in values for text in refused(name, value) if TOKEN in text] == []
    assert [text for text in refused(name, f"user:{CANARY}@host:1") if CANARY in text] == []


@pytest.mark.parametrize(
    ("odd", "code"), [("\u0430", "0430"), ("\u200d", "200D"), ("\u00a0", "00A0"), ("\ufe0f", "FE0F")]
)
def test_a_character_that_looks_like_another_or_like_nothing_is_named(odd: str, code: str) -> None:
    [found] = refused("mesh_namespace", f"gl{odd}oo")
    assert f"' with U+{code}: not a valid namespace name" in found


@pytest.mark.parametrize("name", ["mesh_license_key", "mesh_istio_license_key", "gateway_license_key"])
@pytest.mark.parametrize("value", [123456, 1.5, True, ["123456"], {"a": "123456"}, {"123456": 1}])
def test_a_licence_is_never_shown(name: str, value: Any) -> None:
    [found] = refused(name, value)
    assert found.startswith(f"{name} is a ") and "123456" not in found and "true" not in found


# -- the table and what describes it ----------------------------------------------------------------------------------


def differences(path: str, option: Json, kind: kinds.Kind) -> Iterator[str]:
    """Where an option of an argument spec and a kind disagree."""
    types = kind.types
    if option["type"] not in types and not isinstance(kind, kinds.Anything):
        yield f"{path}: type {option['type']}, kind {types}"
    if set(option.get("choices", ())) != set(getattr(kind, "choices", ())) and not isinstance(kind, kinds.ListOf):
        yield f"{path}: choices differ"
    below, above = option.get("options"), kind
    if isinstance(kind, kinds.ListOf):
        element = {"type": option["elements"], "choices": option.get("choices", ()), "options": below}
        yield from differences(f"{path}[]", {key: each for key, each in element.items() if each}, kind.item)
        return
    if below is not None:
        assert isinstance(above, kinds.Fields), path
        if set(below) != set(above.fields):
            yield f"{path}: fields {set(below) ^ set(above.fields)}"
        if {name for name, each in below.items() if each.get("required")} != set(above.required):
            yield f"{path}: required fields differ"
        for name in set(below) & set(above.fields):
            yield from differences(f"{path}.{name}", below[name], above.fields[name])


@pytest.mark.parametrize("role", ROLES)
def test_argument_specs_and_table_agree(role: str) -> None:
    options = argument_specs(role)
    assert set(options) == set(VARIABLES[role])
    found = [each for name, option in options.items() for each in differences(name, option, VARIABLES[role][name])]
    assert found == []
    assert {name for name, option in options.items() if option.get("required")} == REQUIRED & set(options)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"type": "int"}, "mesh_namespace"),
        ({"type": "str"}, "mesh_wait_timeout"),
        ({"type": "str", "choices": ["a"]}, "mesh_namespace"),
        ({"type": "str", "choices": ["fail"]}, "mesh_on_conflict"),
        ({"type": "list", "elements": "int"}, "mesh_restart_namespaces"),
        ({"type": "dict", "options": {"ref": {"type": "str", "required": True}}}, "mesh_crds_chart"),
        ({"type": "list", "elements": "dict", "options": {"name": {"type": "int"}}}, "gateway_gateways"),
    ],
)
def test_a_disagreement_is_found(option: Json, name: str) -> None:
    assert list(differences(name, option, KINDS[name]))


def documented() -> set[str]:
    """Variables that playbooks and documents tell users to set with -e."""
    files = [*(REPO / "playbooks").glob("*.yml"), *(REPO / "docs").glob("*.md"), REPO / "README.md", REPO / "Makefile"]
    text = "\n".join(path.read_text() for path in files)
    return set(re.findall(r"-e ([a-z_]+)=", text)) | set(re.findall(r"-e '\{\"([a-z_]+)\"", text))


def read_by_playbooks() -> set[str]:
    """Variables of playbooks that have a default."""
    own = re.compile(r"\b((?:doctor|bundle|failover|remove)_[a-z_]+) \| default\(")
    return {name for path in (REPO / "playbooks").glob("*.yml") for name in own.findall(path.read_text())}


def test_every_variable_of_playbooks_is_in_the_table() -> None:
    assert len(documented()) > 15 and len(read_by_playbooks()) > 10
    assert (documented() | read_by_playbooks()) - set(KINDS) == set()
    owners = "|".join(("preflight", "doctor", "bundle", "failover", "remove"))
    texts = [path.read_text() for path in (REPO / "playbooks").glob("*.yml")]
    unused = {name for name in VARIABLES["playbooks"] if not any(name in text for text in texts)}
    assert unused == set()
    assert all(
        re.match(rf"({owners})_|site_data$|site_lease_|replaced_clusters$", name) for name in VARIABLES["playbooks"]
    )
