"""Custom resources, annotations, ConfigMaps and Helm values have any shape: each reader gives a record or a refusal."""

from __future__ import annotations

import base64
import copy
import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from helm_records import record as stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import gateway_product_info
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.controller import controllers, switch
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import PRODUCTS, product_of
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import (
    Note,
    Record,
    ReleaseHistory,
    decode,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod.objects import injector_values, mesh_config
from ansible_collections.multicluster.gloo.plugins.module_utils.site import layers, preflight_rules
from ansible_collections.multicluster.gloo.plugins.module_utils.site.records import ClusterObjects, Planned

Json = dict[str, Any]

HELM = {"meta.helm.sh/release-name": "mesh", "meta.helm.sh/release-namespace": "gloo"}
PLANNED = {
    "crds": Planned("gloo-platform-crds", "gloo-mesh", "gloo-platform-crds"),
    "platform": Planned("gloo-platform", "gloo-mesh", "gloo-platform", "gloo-mesh-mgmt-server"),
    "agent": Planned("gloo-platform", "gloo-mesh", "gloo-platform", "gloo-mesh-agent"),
    "operator": Planned("gloo-operator", "gloo-mesh", "gloo-operator", "gloo-operator"),
    "istio": Planned("istiod-gloo", "istio-system"),
    "eastwest": Planned("istio-eastwestgateway", "istio-eastwest", "gateway", "istio-eastwestgateway"),
}
MANIFEST = "kind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: gloo-mesh-agent\n  namespace: gloo\n"


def obj(kind: str, name: str, namespace: str = "gloo", metadata: Json | None = None, **body: Any) -> Json:
    managers = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:values.istiod": {}}}}]
    where = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "metadata": {"name": name, **where, "managedFields": managers, **(metadata or {})}, **body}


def deployment(program: str, *args: str, annotations: Json | None = None) -> Json:
    env = [{"name": "KGW_ENABLE_ISTIO_AUTO_MTLS", "value": "true"}]
    container = {"name": program, "image": f"registry.example/{program}:1", "args": list(args), "env": env}
    template = {"metadata": {"labels": {"app": program}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": program}}, "template": template}
    meta = {"annotations": annotations or {}, "labels": {"app": program}}
    return obj("Deployment", program, "gloo", meta, spec=spec, status={"readyReplicas": 1})


def service(name: str, port: str, number: int, app: str, labels: Json | None = None) -> Json:
    spec = {"type": "LoadBalancer", "selector": {"app": app}, "ports": [{"name": port, "port": number}]}
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    return obj("Service", name, "gloo", {"labels": labels or {}}, spec=spec, status=status)


def site() -> Json:
    """The objects of a management and a workload cluster, with everything that layers reads."""
    values = {"glooMgmtServer": {"relay": {"disableCa": True, "tlsSecret": {"name": "own"}}}}
    east_west = {"selector": {"labels": {"role": "ew"}, "cluster": "east", "namespace": "gloo"}, "port": 15443}
    overrides = {"hostInfoOverrides": [{"addr": "192.0.2.1", "port": {"number": 15443}}]}
    entry = {"name": "*", "selector": {"env": "prod"}, "namespaces": [{"name": "*", "labels": {"team": "a"}}]}
    ours = {"labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}
    return {
        "mode": "auto",
        "values": values,
        "management": {
            "deployments": [deployment("gloo-mesh-mgmt-server", "--cluster=mgmt", annotations=HELM)],
            "services": [
                service("server", "grpc", 9900, "gloo-mesh-mgmt-server"),
                service("otel", "otlp", 4317, "gloo-mesh-mgmt-server"),
            ],
            "crds": [obj("CustomResourceDefinition", layers.MESH_CRDS[0], "", {"annotations": HELM})],
            "workspaces": [
                obj("Workspace", "team", spec={"workloadClusters": [entry]}),
                obj("Workspace", "ours", "gloo", ours, spec={"workloadClusters": [{"name": "west"}]}),
            ],
            "settings": [
                obj("WorkspaceSettings", "s", spec={"options": {"eastWestGateways": [{**east_west, **overrides}]}})
            ],
            "registrations": [obj("KubernetesCluster", "east", "gloo", {"labels": {"env": "prod"}})],
            "policies": [obj("RootTrustPolicy", "root", spec={"applyToMeshes": [{"istio": {}}], "config": {}})],
            "licences": [obj("Secret", "license-keys", data={"gloo-mesh-license-key": ""})],
        },
        "workload": {
            "deployments": [
                deployment("gloo-mesh-agent", "--cluster=east", "--relay-address=192.0.2.1:9900"),
                deployment("gloo-operator"),
                deployment("istio-eastwestgateway"),
            ],
            "services": [service("ew", "tls", 15443, "istio-eastwestgateway", {"istio": "eastwestgateway"})],
            "controllers": [obj("ServiceMeshController", "mesh", "", spec={"version": "1.27.0"})],
            "namespaces": [obj("Namespace", "shop", "", {"labels": {"team": "a"}})],
            "istiods": [{"namespace": "istio-system", "name": "istiod", "revision": "default"}],
            "istiod_deployments": [deployment("istiod")],
            "operator_values": {"istiod": {"pilot": {"env": {"A": "b"}, "replicas": 3}}, "istio-cni": {"cni": {}}},
            "cacerts": [obj("Secret", "cacerts", "istio-system", {"annotations": {"a": "b"}}, type="Opaque")],
            "extensions": obj("ConfigMap", "gloo-extensions-config", data={"values.istiod": "pilot: {replicas: 2}"}),
        },
    }


def decided(found: Json) -> None:
    """Decisions about the site."""
    history = ReleaseHistory(
        "mesh",
        "gloo",
        "secret",
        Note("mesh", "gloo", former_revision=3),
        (
            Record(
                "mgmt",
                stored(
                    "mesh",
                    3,
                    namespace="gloo",
                    chart="gloo-platform",
                    values=found["values"],
                    manifest=found.get("manifest", MANIFEST),
                ),
            ),
        ),
    )
    modes = dict.fromkeys(layers.LAYERS, str(found["mode"]))
    clusters = (
        ClusterObjects("mgmt", "mgmt", "management", modes, releases=[history], **found["management"]),
        ClusterObjects("east", "east", "workload", modes, releases=[history], **found["workload"]),
    )
    workspace = layers.PlannedWorkspace({}, ["shop"], ["gloo"])
    rows = layers.site_layers(clusters, PLANNED, workspace)
    layers.problems(rows)
    json.dumps(rows)


def preflight() -> Json:
    """Plan and objects of a cluster in which every rule of preflight has something to judge."""
    webhook = {
        "name": "check.example.com",
        "clientConfig": {"service": {"namespace": "w", "name": "hook"}},
        "rules": [{"operations": ["CREATE"], "resources": ["pods"]}],
    }
    entry = {"name": "mgmt", "selector": {"env": "prod"}, "namespaces": [{"name": "*", "labels": {"a": "b"}}]}
    crd = {"versions": [{"name": "v1", "served": True}]}
    bundle = {"annotations": {"gateway.networking.k8s.io/bundle-version": "v1.1.0"}}
    level = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    east_west = service("ew", "tls", 15443, "ew", {"istio": "eastwestgateway"})
    return {
        "planned": {"DEBUG": "a"},
        "objects": {
            "Service": [{**east_west, "status": {"loadBalancer": {"ingress": [{"hostname": "x.example"}]}}}],
            "Deployment": [deployment("gloo-mesh-mgmt-server", "--cluster", "mgmt"), deployment("gloo-operator")],
            "Namespace": [obj("Namespace", "istio-system", "", level), obj("Namespace", "shop", "")],
            "ResourceQuota": [obj("ResourceQuota", "q", spec={"hard": {"pods": "1"}}, status={"used": {"pods": "1"}})],
            "GatewayClass": [obj("GatewayClass", "c", "", spec={"controllerName": "kgateway.dev/kgateway"})],
            "Gateway": [obj("Gateway", "g", spec={"gatewayClassName": "c"})],
            "ValidatingWebhookConfiguration": [obj("ValidatingWebhookConfiguration", "v", "", webhooks=[webhook])],
            "MutatingWebhookConfiguration": [],
            "CustomResourceDefinition": [
                obj("CustomResourceDefinition", preflight_rules.GATEWAY_CRD, "", bundle, spec=crd)
            ],
            "Workspace": [obj("Workspace", "team", spec={"workloadClusters": [entry]})],
            "KubernetesCluster": [obj("KubernetesCluster", "mgmt", "gloo", {"labels": {"env": "prod"}})],
        },
        "registration": obj("KubernetesCluster", "east"),
    }


def checked(found: Json) -> None:
    planned = preflight_rules.Planned(
        istio_version="1.29.0",
        istiod_env=found["planned"],
        gloo_version="2.15.0",
        operator_version="0.5.0",
        server_namespace="gloo",
        gateway_api_min_version="1.2.0",
        services={"Service of the gateway": "gateway_parameters_spec"},
        hostname_steps=("step5",),
        namespaces=("gloo", "istio-system"),
        istio_namespace="istio-system",
        needs=("class", "gateway"),
        name="mgmt",
        config_namespaces=("shop",),
    )
    observed = preflight_rules.Observed(version="v1.33.1", objects=found["objects"], registration=found["registration"])
    for each in preflight_rules.findings(planned, observed):
        assert each.message


def gateway() -> Json:
    """A controller with the values of its Helm release and of the user."""
    values = {
        "nameOverride": "edge",
        "fullnameOverride": "",
        "image": {"registry": "r.example", "tag": "v2.1.0"},
        "licensing": {"licenseKey": "k", "secretName": "s", "glooGatewayLicenseKey": "k"},
    }
    return {"deployment": deployment("enterprise-kgateway"), "values": values, "given": copy.deepcopy(values)}


def recognised(found: Json) -> None:
    for product in PRODUCTS:
        body = stored("edge", 1, chart=product.name, values=found["values"])
        history = ReleaseHistory("edge", "gloo", "secret", None, (Record("east", body),))
        controller = gateway_product_info.Controller(product, found["deployment"], "edge", "gloo", history)
        for layer in ("auto", "use", "manage"):
            for each in (None, controller, replace(controller, history=None)):
                params = {"values": found["given"], "layer": layer}
                json.dumps(gateway_product_info.facts(product, each, params))
    deployments = [found["deployment"]]
    for deployment in controllers(deployments):
        product_of(deployment)
        switch(deployment, "KGW_ENABLE_ISTIO_AUTO_MTLS")


def helm() -> Json:
    return json.loads(
        gzip.decompress(
            base64.b64decode(
                stored(kind="ConfigMap", values={"a": 1}, files={"crds/a.yaml": MANIFEST}, manifest=MANIFEST)["data"][
                    "release"
                ]
            )
        )
    )


def decoded(found: Any) -> None:
    packed = base64.b64encode(gzip.compress(json.dumps(found).encode())).decode()
    try:
        release = decode({**stored(kind="ConfigMap"), "data": {"release": packed}})
    except ValueError:
        return
    json.dumps([release.crds, release.only_crds, release.objects, release.values])


CASES: dict[str, tuple[Callable[[], Json], Callable[[Json], None]]] = {
    "site": (site, decided),
    "preflight": (preflight, checked),
    "gateway": (gateway, recognised),
    "helm": (helm, decoded),
}

#: Values of a ConfigMap and manifests that are no YAML, or no map, or for which a YAML library raises other exceptions.
TEXTS = [
    "",
    "null",
    "7",
    "- a",
    "a: [",
    "\x00",
    "a: 2026-13-45",
    "a: 2026-01-02",
    "a: 0x_",
    "a: !!int x",
    "a: !!bool maybe",
    "a: !!timestamp x",
    "a: !!binary QQ==",
    "a: !!set {b, c}",
    "? [a, b]\n: 1",
    "1: 2\ntrue: x\nnull: y",
    "a: &x [*x]",
    "a: &x {b: *x}",
    "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghij")),
    "a: " + "[" * 500 + "]" * 500,
    "a: 9" + "9" * 5000,
    "a: .inf\nb: .nan",
    "a: 1\n---\nb: 2",
    "kind: {a: b}\nmetadata: {name: [x]}",
    "kind: List\nmetadata: text",
]


def parts_of(found: Any) -> list[Any]:
    """The objects and values in a case: what others wrote, without the structure around it."""
    if isinstance(found, dict) and not ({"metadata", "image", "pilot", "glooMgmtServer", "chart"} & found.keys()):
        return [part for each in found.values() for part in parts_of(each)]
    if isinstance(found, list):
        return [part for each in found for part in parts_of(each)]
    return [found] if isinstance(found, dict) else []


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize("case", CASES)
def test_a_field_of_another_type_raises_nothing(case: str, damaged: Any) -> None:
    make, judge = CASES[case]
    found = make()
    for part in parts_of(found):
        for _way, _part in damaged(part):
            judge(found)


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, "text", "7", 7, 7.5, True, 10**30, [], ["x"], [None], [[]], {}, {"x": "y"}, {"name": {}}]
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_several_fields_of_other_types_raise_nothing(case: str, data: st.DataObject) -> None:
    make, judge = CASES[case]
    found = make()
    for _time in range(data.draw(st.integers(1, 4))):
        below: Any = data.draw(st.sampled_from(parts_of(found)))
        for _step in range(data.draw(st.integers(0, 8))):
            deeper = [each for each in (below.values() if isinstance(below, dict) else below) if each]
            deeper = [each for each in deeper if isinstance(each, (dict, list))]
            if not deeper:
                break
            below = data.draw(st.sampled_from(deeper))
        keys = list(below) if isinstance(below, dict) else list(range(len(below)))
        if keys:
            below[data.draw(st.sampled_from(keys))] = copy.deepcopy(data.draw(WRONG))
    found["mode"] = data.draw(st.sampled_from(["auto", "use", "manage"]))
    judge(found)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_any_text_is_accepted_where_yaml_is_expected(text: str) -> None:
    found = site()
    found["workload"]["extensions"]["data"]["values.istiod"] = found["manifest"] = text
    for each in (*found["management"]["deployments"], *found["workload"]["deployments"]):
        del each["metadata"]["annotations"]
    decided(found)
    decoded({**helm(), "manifest": text})
    istio = {
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "i"},
        "data": {"mesh": text, "values": text},
    }
    json.dumps([mesh_config(istio), injector_values(istio)])
