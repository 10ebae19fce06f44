"""Options of GatewayParameters as fields, what is refused, comparison with istiod, references."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from acceptance.random_parameters import settings
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import gateway_parameters as gp
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import parameters_options as options
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import parameters_rules as rules
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import versions
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    GATEWAY_PARAMETERS,
    V1_PARAMETERS,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.yaml_text import yaml_keeps
from ansible_collections.multicluster.gloo.plugins.modules import gateway_parameters as module

ISTIOD = {"address": "istiod-gloo.istio-system.svc:15012", "cluster_id": "cluster1", "mesh_id": "cluster.local"}
Json = dict[str, Any]


def spec(path: str, value: Any) -> Json:
    """A spec with one field below spec.kube."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return {"kube": value}


def container(**fields: Any) -> Json:
    return spec("istio.istioProxyContainer", fields)


# -- options


def test_options_become_fields() -> None:
    made, both = options.desired_spec(
        {
            "istio": {
                "discovery_address": "istiod-gloo.istio-system.svc:15012",
                "meta_mesh_id": "",
                "image": {"repository": "proxyv2", "tag": None, "pull_policy": "Never"},
                "log_level": None,
            },
            "envoy": {"component_log_levels": {}, "env": []},
            "service": {
                "type": "NodePort",
                "ports": [{"port": 80, "node_port": 30080}, {"port": 81, "node_port": None}],
            },
            "pod_template": {"graceful_shutdown": {"enabled": False, "sleep_time_seconds": 0}},
            "deployment": {"replicas": 0},
            "spec": {"kube": {"service": {"extraLabels": {"a": "b"}, "clusterIP": None}, "floatingUserId": True}},
        }
    )
    assert both == []
    assert made == {
        "kube": {
            "istio": {
                "istioProxyContainer": {
                    "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
                    "image": {"repository": "proxyv2", "pullPolicy": "Never"},
                }
            },
            "service": {
                "type": "NodePort",
                "ports": [{"port": 80, "nodePort": 30080}, {"port": 81}],
                "extraLabels": {"a": "b"},
            },
            "podTemplate": {"gracefulShutdown": {"enabled": False, "sleepTimeSeconds": 0}},
            "deployment": {"replicas": 0},
            "floatingUserId": True,
        }
    }
    assert options.desired_spec({"self_managed": True})[0] == {"selfManaged": {}}
    assert options.desired_spec({})[0] == {}


@pytest.mark.parametrize(
    ("given_spec", "conflicts"),
    [
        (spec("deployment.replicas", 2), 0),
        (spec("deployment.replicas", 3), 1),
        (spec("deployment", "many"), 1),
        (spec("envoyContainer.resources.requests", {"cpu": "1"}), 0),
        (spec("envoyContainer.resources.limits", {"cpu": "2"}), 1),
        (spec("envoyContainer.env", [{"name": "A", "value": "hush"}]), 1),
    ],
)
def test_option_and_spec_with_different_values_are_refused(given_spec: Json, conflicts: int) -> None:
    envoy = {"resources": {"limits": {"cpu": "1"}}, "env": [{"name": "A", "value": "b"}]}
    _spec, both = options.desired_spec({"deployment": {"replicas": 2}, "envoy": envoy, "spec": given_spec})
    assert len(both) == conflicts
    assert all("option " in text and "spec.kube." in text and "hush" not in text for text in both)


def test_every_option_has_a_field_of_its_own_and_a_name_in_errors() -> None:
    names = [option.name for option in options.OPTIONS]
    paths = [option.path for option in options.OPTIONS]
    assert len(set(names)) == len(names) and len(set(paths)) == len(paths)
    assert options.field("service.ports[0].nodePort") == "spec.kube.service.ports[0].nodePort (option service.ports)"
    assert options.field("sdsContainer") == "spec.kube.sdsContainer (option sds)"
    assert options.field("floatingUserId") == "spec.kube.floatingUserId"


def test_documentation_says_what_the_argument_spec_says() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    cluster = ("kubeconfig", "context", "cluster")
    assert arguments(documented) == {
        name: row for name, row in arguments(gp.ARGUMENT_SPEC).items() if name not in cluster
    }


def arguments(rows: Json) -> Json:
    """Options of a documentation or an argument spec, both in the same words."""
    keys = ("type", "elements", "required", "default", "choices", "aliases")
    return {
        name: {key: row[key] for key in keys if key in row}
        | {"options": arguments(row.get("suboptions") or row.get("options") or {})}
        for name, row in rows.items()
    }


# -- rules

GOOD_IDS = ["cluster1", "cluster.local", "east-1", "c1", "k8s_eu", "n0", "1a"]

REFUSED: list[tuple[str, Any, str]] = [
    ("istio.istioProxyContainer.istioDiscoveryAddress", "istiod.istio-system.svc", "without a port"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "https://istiod:15012", "a URL"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "istiod:99999", "port 99999"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "istiod_x.svc:15012", "not a host name"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "fd00::1:15012", "use the DNS name of istiod's Service"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "[fd00::1]:15012", "use the DNS name of istiod's Service"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "[fd00::1]", "use the DNS name of istiod's Service"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "[fd00::1:15012", "use the DNS name of istiod's Service"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "[1:2:3]:15012", "not a host name"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "istiod:https", "with a port number, such as istiod:15012"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", "istiod:1501²", "with a port number"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", ":15012", "not a host name"),
    ("istio.istioProxyContainer.istioDiscoveryAddress", 15012, "must be a string"),
    ("istio.istioProxyContainer.istioMetaClusterId", 123, "it must be a string"),
    ("istio.istioProxyContainer.istioMetaClusterId", "123", "unquoted"),
    ("istio.istioProxyContainer.istioMetaClusterId", "on", "unquoted"),
    ("istio.istioProxyContainer.istioMetaMeshId", "1e3", "unquoted"),
    ("istio.istioProxyContainer.istioMetaMeshId", "a: b", "not read it as the same text"),
    ("istio.istioProxyContainer.image.tag", "v1 2", "istioProxyContainer.image.tag (option istio.image.tag) is 'v1 2'"),
    ("istio.istioProxyContainer.logLevel", "loud", "one of trace, debug"),
    ("istio.istioProxyContainer", "x", "must be a map"),
    ("sdsContainer.image.repository", "sds:v1", "a tag goes into tag"),
    ("sdsContainer.image.tag", 2.1, "quote it"),
    ("sdsContainer.image.registry", "https://registry.example", "without https://"),
    ("sdsContainer.image.digest", "sha256:1", "64 hexadecimal"),
    ("sdsContainer.image.digest", f"sha256:{'a' * 63}", "64 hexadecimal"),
    ("sdsContainer.image.pullPolicy", "Sometimes", "one of Always"),
    ("sdsContainer.image", "sds", "must be a map"),
    ("sdsContainer.bootstrap.logLevel", 1, "one of trace, debug"),
    ("envoyContainer.bootstrap.componentLogLevels", {"up,stream": "debug"}, "not an Envoy component"),
    ("envoyContainer.bootstrap.componentLogLevels", {"upstream": "on"}, "componentLogLevels.upstream"),
    (
        "envoyContainer.resources",
        {"limits": {"cpu": "lots"}},
        "resources.limits.cpu (option envoy.resources) is 'lots'",
    ),
    ("envoyContainer.resources", {"limits": {"memory": "1Gi"}, "requests": {"memory": "1.5G"}}, "more than the limit"),
    ("envoyContainer.env", [{"name": "A", "value": 1}], "env[0].value (option envoy.env) is not a string"),
    ("envoyContainer.env", [{"name": "A"}, {"name": "A"}], "a second time"),
    ("envoyContainer.env", [{"value": "x"}], "env[0].name (option envoy.env) is missing"),
    ("envoyContainer.env", {"A": "b"}, "must be a list"),
    ("envoyContainer.extraVolumeMounts", [{"name": "a"}], "mountPath"),
    ("service.type", "Balanced", "one of ClusterIP"),
    ("service.clusterIP", "10.0.0", "an IP address"),
    ("service.externalTrafficPolicy", "local", "one of Cluster, Local"),
    ("service.ports", [{"port": 0}], "from 1 to 65535"),
    ("service.ports", [{"nodePort": 30000}], "port (option service.ports) is missing"),
    ("service.ports", [{"port": 80}, {"port": 80}], "a second time"),
    ("service.ports", [80], "must be a map"),
    ("service.extraLabels", {"a": 1}, "quote it"),
    ("service.extraLabels", {"a": "b c"}, "the value 'b c' of a"),
    ("service.extraAnnotations", {"a b": "c"}, "'a b'"),
    ("service.loadBalancerClass", "a/b/c", "is 'a/b/c'"),
    ("service.loadBalancerSourceRanges", ["192.0.2.1"], "192.0.2.0/24"),
    ("podTemplate.nodeSelector", ["a"], "must be a map"),
    ("podTemplate.tolerations", [{"operator": "Equals"}], "one of Exists, Equal"),
    ("podTemplate.topologySpreadConstraints", [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}], "topologyKey"),
    ("podTemplate.imagePullSecrets", ["pull"], "map with name"),
    ("podTemplate.gracefulShutdown.sleepTimeSeconds", -1, "from 0 to 31536000"),
    ("podTemplate.gracefulShutdown.enabled", "yes", "true or false"),
    ("podTemplate.priorityClassName", "High", "PriorityClass"),
    ("podTemplate.extraVolumes", [{"name": "A"}], "lower case"),
    ("stats.routePrefixRewrite", "stats", "begins with /"),
    ("deployment.replicas", -1, "from 0 to"),
    ("deployment.replicas", True, "from 0 to"),
    ("deployment.strategy", {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}, "for type RollingUpdate"),
    ("deployment.strategy", {"type": "Fast"}, "one of RollingUpdate"),
]


@pytest.mark.parametrize(("path", "value", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_refused(path: str, value: Any, words: str) -> None:
    found = rules.problems(spec(path, value))
    assert len(found) == 1 and words in found[0] and found[0].startswith(f"spec.kube.{path}"[:20]), found


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        ({}, "is empty"),
        ({"kube": {}, "selfManaged": {}}, "exactly one of kube and selfManaged"),
        ({"kube": "x"}, "spec.kube must be a map"),
        ({"selfManaged": True}, "spec.selfManaged must be an empty map"),
        (spec("istio", []), "spec.kube.istio (option istio) must be a map"),
    ],
)
def test_refused_as_a_whole(whole: Json, words: str) -> None:
    found = rules.problems(whole)
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}]}, "type ClusterIP does not use"),
        ({"type": "ClusterIP", "externalTrafficPolicy": "Local"}, "not ClusterIP"),
        ({"type": "NodePort", "loadBalancerClass": "a"}, "service.load_balancer_class"),
        ({"type": "ClusterIP", "loadBalancerSourceRanges": ["192.0.2.0/24"]}, "for type LoadBalancer"),
    ],
)
def test_fields_that_contradict_each_other(service: Json, words: str) -> None:
    found = rules.combinations({"kube": {"service": service}})
    assert len(found) == 1 and words in found[0] and "option service.type" in found[0], found
    assert rules.combinations({"kube": {"service": {**service, "type": "LoadBalancer", "ports": []}}}) == []


NODE_PORT: Json = {"service": {"ports": [{"port": 80, "nodePort": 30080}]}}


@pytest.mark.parametrize(
    ("crd", "refused"),
    [({"service": {}}, True), ({"service": {}, "deploymentOverlay": {}}, False), (None, False), ({}, False)],
)
def test_a_node_port_of_a_load_balancer_is_refused_where_the_crd_is_that_of_an_older_version(
    crd: Json | None, refused: bool
) -> None:
    schema = {"openAPIV3Schema": {"properties": {"spec": {"properties": {"kube": {"properties": crd}}}}}}
    found = versions.of_crd({"spec": {"versions": [{"name": "v1alpha1", "served": True, "schema": schema}]}})
    assert bool(rules.combinations({"kube": NODE_PORT}, found)) is refused
    assert rules.combinations({"kube": NODE_PORT}) == []


def test_the_type_of_the_service_is_that_of_the_overlay() -> None:
    service = {"type": "ClusterIP", "externalTrafficPolicy": "Local", **NODE_PORT["service"]}
    for kind in ("NodePort", "LoadBalancer"):
        overlay = {"serviceOverlay": {"spec": {"type": kind}}}
        assert rules.combinations({"kube": {"service": service, **overlay}}) == []
    assert len(rules.combinations({"kube": {"service": service}})) == 2


def test_unusual_fields_are_named() -> None:
    kube = {"deployment": {"replicas": 0}, "horizontalPodAutoscaler": {"spec": {"maxReplicas": 3}}}
    first, second = rules.unusual({"kube": kube})
    assert "no proxy runs; kgateway before 2.3 ignores 0" in first
    assert "the controller resets what the autoscaler sets" in second
    assert rules.unusual(spec("deployment.replicas", 2)) == []


@given(settings())
def test_good_options_are_never_refused(drawn: tuple[Json, Json]) -> None:
    made, both = options.desired_spec(drawn[0])
    assert both == [] and rules.problems(made) == [] and rules.combinations(made) == []


@pytest.mark.parametrize("address", ["istiod.istio-system.svc:15012", "192.0.2.1:15012", "istiod.example.test.:443"])
def test_good_addresses(address: str) -> None:
    assert list(rules.host_port(address)) == []


@given(st.text(alphabet="0123456789abcdefonx.-_+:~ytrulsN #[", max_size=10))
def test_ids_are_refused_exactly_where_yaml_changes_them(text: str) -> None:
    assert bool(list(rules.plain_id(text))) is not yaml_keeps(text)


TRUTH: dict[str, bool] = json.loads((Path(__file__).parents[1] / "k8s" / "yaml_text.json").read_text(encoding="utf-8"))
UNQUOTED = ("istio.istioProxyContainer.istioMetaClusterId", "istio.istioProxyContainer.istioMetaMeshId")


@given(st.sampled_from(sorted(TRUTH)), st.sampled_from(UNQUOTED))
@hypothesis_settings(max_examples=1000)
def test_a_value_is_refused_exactly_where_the_controllers_reader_changes_it(text: str, path: str) -> None:
    assert (rules.problems(spec(path, text)) == []) is TRUTH[text]


@given(st.sampled_from([text for text, kept in sorted(TRUTH.items()) if not kept]))
@hypothesis_settings(max_examples=1000)
def test_what_the_reader_changes_is_refused_in_every_field_that_is_rendered_unquoted(text: str) -> None:
    for path in (*UNQUOTED, "istio.istioProxyContainer.istioDiscoveryAddress", "service.loadBalancerClass"):
        assert rules.problems(spec(path, text)) != []
    assert rules.problems(spec("service.clusterIP", text)) != [] or text == "None"


@pytest.mark.parametrize("text", GOOD_IDS)
def test_plain_ids_pass(text: str) -> None:
    assert list(rules.plain_id(text)) == []


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("1", 1),
        ("1000m", "1"),
        ("1Ki", 1024),
        ("1e3", "1k"),
        ("1E3", "1k"),
        ("1E", "1000P"),
        ("0.5Gi", "512Mi"),
        (".5", "500m"),
    ],
)
def test_quantities_that_are_the_same(one: Any, same: Any) -> None:
    assert rules.quantity(one) is not None and rules.quantity(one) == rules.quantity(same)


@pytest.mark.parametrize("value", ["", "1 Gi", "1gi", "-", "Mi", "1e9999999", True, None, [1]])
def test_no_quantities(value: Any) -> None:
    assert rules.quantity(value) is None


# -- istiod


def overlay(*patches: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": list(patches)}}}}


@pytest.mark.parametrize(
    ("patch", "contradicts"),
    [
        ({"name": "logger"}, True),
        ({"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "cluster1"}]}, False),
        ({"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "other"}]}, True),
        ({"name": "istio-proxy", "env": [{"name": "A", "value": "b"}]}, True),
        ({"name": "istio-proxy", "env": [{"$patch": "replace"}]}, False),
        ({"$patch": "replace"}, False),
    ],
)
def test_an_overlay_overrides_what_is_compared(patch: Json, contradicts: bool) -> None:
    made = container(istioDiscoveryAddress=ISTIOD["address"], istioMetaClusterId="typed")
    made["kube"]["deploymentOverlay"] = overlay(patch)
    assert bool(gp.contradictions(made, ISTIOD)) is contradicts


def test_a_field_that_the_crds_lack_has_its_version() -> None:
    text = "failed to create typed patch object: .spec.kube.deploymentOverlay: field not declared in schema"
    found = gp._older_crd(Invalid(text), "c1", GATEWAY_PARAMETERS, "GatewayParameters a/b")
    assert "spec.kube.deploymentOverlay, which needs kgateway 2.3 or newer" in found.msg


def test_contradictions_name_both_values() -> None:
    found = gp.contradictions(container(istioDiscoveryAddress="istiod.istio-system.svc:15012"), ISTIOD)
    assert "istiod.istio-system.svc:15012" in found[0] and "istiod-gloo.istio-system.svc:15012" in found[0]
    assert "Kubernetes (the controller's default), but" in found[1] and "cluster1" in found[1]
    assert found[1].endswith("ID cluster1. Set that ID")
    assert gp.contradictions({"selfManaged": {}}, ISTIOD) == []


def test_nobody_is_told_to_set_an_id_that_would_be_refused() -> None:
    [found] = gp.contradictions(container(istioMetaClusterId="a"), {"cluster_id": "1234"})
    assert "Set that ID" not in found and "Set a cluster ID such as cluster-1 in istiod" in found


def test_the_whole_result_of_istiod_info_is_no_istiod() -> None:
    """Nothing would be compared then, in silence."""
    params = {"context": "c1", "namespace": "n", "name": "p", "self_managed": True, "istiod": {"istiod": ISTIOD}}
    with pytest.raises(Invalid, match="Pass the value istiod returned by istiod_info"):
        gp.run(params, True, print)


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("istiod-gloo.istio-system.svc", True),
        ("Istiod-Gloo.istio-system.svc.", True),
        ("istiod-gloo.istio-system.svc.cluster.local", False),  # istiod's certificate has no such name
        ("istiod-gloo.istio-system", False),
    ],
)
def test_the_address_has_to_be_a_name_of_istiods_certificate(host: str, fits: bool) -> None:
    made = container(istioDiscoveryAddress=f"{host}:15012", istioMetaClusterId="cluster1")
    assert (gp.contradictions(made, ISTIOD) == []) is fits
    assert gp.telemetry_warnings(made, {**ISTIOD, "mesh_id": "mesh1"}) != []


def test_what_we_set_before_counts_no_more_what_others_set_does() -> None:
    ours: Json = {"f:spec": {"f:kube": {"f:istio": {"f:istioProxyContainer": {"f:istioMetaClusterId": {}}}}}}
    theirs: Json = {"f:spec": {"f:kube": {"f:deployment": {"f:replicas": {}}}}}
    live = {
        "metadata": {
            "managedFields": [
                {"manager": "multicluster.gloo", "operation": "Apply", "fieldsV1": ours},
                {"manager": "somebody", "operation": "Update", "fieldsV1": theirs},
            ]
        },
        "spec": {"kube": {**container(istioMetaClusterId="old")["kube"], "deployment": {"replicas": 3}}},
    }
    assert gp.spec_of_others(live) == spec("deployment.replicas", 3)
    assert gp.spec_of_others({"metadata": {}, "spec": live["spec"]}) == live["spec"]
    assert gp.spec_of_others(None) == {}


# -- references


def gateway(name: str, kind: str = "GatewayParameters", annotations: Json | None = None) -> Json:
    ref = {"group": "gateway.kgateway.dev", "kind": kind, "name": "custom-gw-params"}
    meta = {"name": name, "namespace": "gloo-system", "annotations": annotations}
    return {"metadata": meta, "spec": {"infrastructure": {"parametersRef": ref}}}


def test_references_are_found() -> None:
    old = {"gateway.gloo.solo.io/gateway-parameters-name": "custom-gw-params"}
    gateways = [gateway("http"), gateway("x", "Other"), gateway("v1", "Other", old)]
    gateways.append({"metadata": {"name": "plain", "namespace": "gloo-system"}, "spec": {}})
    ref = gateway("")["spec"]["infrastructure"]["parametersRef"]
    classes: list[Json] = [
        {"metadata": {"name": "mine"}, "spec": {"parametersRef": {**ref, "namespace": "gloo-system"}}},
        {"metadata": {"name": "far"}, "spec": {"parametersRef": {**ref, "namespace": "other"}}},
        {"metadata": {"name": "bare"}, "spec": {}},
        {
            "metadata": {"name": "careless"},
            "spec": {
                "controllerName": "kgateway.dev/kgateway",
                "parametersRef": {"group": "x", "kind": "Y", "namespace": "gloo-system", "name": "custom-gw-params"},
            },
        },
    ]
    where = ("gloo-system", "custom-gw-params", gateways, classes)
    assert gp.references(GATEWAY_PARAMETERS, *where) == [
        "Gateway gloo-system/http",
        "GatewayClass mine",
        "GatewayClass careless",
    ]
    assert gp.references(V1_PARAMETERS, *where) == ["Gateway gloo-system/v1"]


def test_damaged_objects_of_others_are_no_reason_to_break_off(damaged: Any) -> None:
    ref = gateway("")["spec"]["infrastructure"]["parametersRef"]
    users = [gateway("http", "GatewayParameters", {}), {"metadata": {"name": "mine"}, "spec": {"parametersRef": ref}}]
    for _way, (one, other) in damaged(copy.deepcopy(users)):
        assert isinstance(gp.references(GATEWAY_PARAMETERS, "gloo-system", "custom-gw-params", [one], [other]), list)
    spec = {
        "kube": {"istio": {"istioProxyContainer": {"istioMetaClusterId": "a"}}, "service": {"ports": [{"port": 1}]}}
    }
    for _way, live in damaged({"metadata": {"name": "mine"}, "spec": spec}):
        whole = gp.deep_merge(gp.spec_of_others(live), {"kube": {"deployment": {"replicas": 2}}})
        assert gp.contradictions(whole, {"cluster_id": "b"}) and isinstance(rules.combinations(whole), list)
