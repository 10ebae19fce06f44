"""The healthy site with objects of every kind that the doctor reads, and with every field that its checks read."""

from __future__ import annotations

import json
from typing import Any

import health_site
from health_site import HOST, PARENT, Site, conditions, obj

Json = dict[str, Any]
ISTIO, GATEWAY = "networking.istio.io/v1", "gateway.networking.k8s.io/v1"
ENTERPRISE = "EnterpriseKgatewayParameters of enterprisekgateway.solo.io"
DELEGATE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child", "namespace": "app"}


def site_of_every_kind() -> Site:
    """Cluster c1 has a gateway, c2 none; both and mgmt are healthy."""
    site = Site()
    _management(site)
    _istio(site.clusters["c1"])
    _gateway(site)
    for objects in site.clusters["c1"].values():
        for each in objects:
            each["metadata"].setdefault("annotations", {"a": "b"})
            each["metadata"].setdefault("labels", {"a": "b"})
    # As from an API server: nothing is shared between objects, so that a change of one changes no other.
    site.clusters = json.loads(json.dumps(site.clusters))
    return site


def _management(site: Any) -> None:
    select = {"labels": {"istio": "eastwestgateway"}, "namespace": "istio-eastwest", "name": "ew", "cluster": "*"}
    override = {"addr": "192.0.2.1", "port": {"number": 15443}}
    entries = [{"selector": {**select, "cluster": "c1"}, "port": {"name": "tls"}, "hostInfoOverrides": [override]}]
    site.one("mgmt", "WorkspaceSettings", "ws")["spec"] = {
        "options": {"eastWestGateways": [*entries, {"selector": {"labels": select["labels"]}, "port": 15443}]}
    }
    every = {"name": "*", "selector": {}, "namespaces": [{"name": "*", "labels": {}}]}
    labelled = {"selector": {"env": "prod"}, "namespaces": [{"labels": {"team": "a"}}]}
    site.one("mgmt", "Workspace", "ws")["spec"] = {
        "workloadClusters": [every, labelled, {"name": "c9"}],
        "options": {"importFrom": [], "exportTo": []},
    }
    site.one("mgmt", "KubernetesCluster", "c1")["metadata"]["labels"] = {"env": "prod"}
    policy = site.one("mgmt", "RootTrustPolicy", "root")
    policy["spec"] = {"applyToMeshes": [], "config": {"mgmtServerCa": {}}}
    policy["status"]["message"] = "done"
    table = site.one("mgmt", "RouteTable", "rt")
    table["spec"] = {"hosts": [HOST], "http": [{"forwardTo": {"destinations": [{"ref": {"name": "vd"}}]}}]}
    services = [{"labels": {"app": "reviews"}, "namespace": "app", "name": "reviews", "cluster": ""}]
    site.one("mgmt", "VirtualDestination", "vd")["spec"]["services"] = services


def _istio(kinds: dict[str, list[Json]]) -> None:
    policy = {
        "loadBalancer": {"localityLbSetting": {"enabled": False}},
        "outlierDetection": {"consecutive5xxErrors": 7},
        "portLevelSettings": [{"port": {"number": 1}, "loadBalancer": {"localityLbSetting": {}}}],
    }
    rule = obj("DestinationRule", "dr", "app", api=ISTIO, spec={"host": "other.example", "trafficPolicy": policy})
    kinds["DestinationRule"] = [rule]
    labels = {"app": "page", "version": "v9"}
    owned = health_site.deployment("page-v9", "app", labels, [{"name": "page"}])
    kinds["StatefulSet"] = [{**owned, "kind": "StatefulSet"}]
    kinds["Pod"].append(health_site.pod_of(owned, "istio-proxy"))
    bundle = {"annotations": {"gateway.networking.k8s.io/bundle-version": "v1.4.0"}}
    name = "gateways.gateway.networking.k8s.io"
    crd = obj("CustomResourceDefinition", name, api="apiextensions.k8s.io/v1", meta=bundle)
    kinds["CustomResourceDefinition"] = [crd]
    endpoint = {
        "address": "192.0.2.2",
        "ports": {"http-9080": 15443},
        "labels": {"security.istio.io/tlsMode": "istio"},
        "locality": "c2",
        "network": "c2",
    }
    spec = kinds["ServiceEntry"][0]["spec"]
    inline = {**spec, "hosts": ["inline.example"], "endpoints": [endpoint]}
    del inline["workloadSelector"]
    kinds["ServiceEntry"].append(obj("ServiceEntry", "se2", "app", api=ISTIO, meta={"labels": {**PARENT}}, spec=inline))
    kinds["VirtualDestination"] = [health_site.gloo("VirtualDestination", "copy", "app", {"hosts": [HOST]})]
    kinds["ServiceMeshController"][0]["status"] = {
        "phase": "SUCCEEDED",
        "observedGeneration": 1,
        "conditions": conditions("Ready"),
    }
    istiod = {"labels": {"istio.io/rev": "gloo"}}
    mesh = "trustDomain: cluster.local\ndefaultConfig: {discoveryAddress: 'istiod-gloo.istio-system.svc:15012'}"
    values = '{"global": {"multiCluster": {"clusterName": "c1"}, "meshID": "cluster.local"}, "revision": "gloo"}'
    kinds["ConfigMap of istiod"] = [
        obj("ConfigMap", "istio-gloo", "istio-system", meta=istiod, data={"mesh": mesh}),
        obj("ConfigMap", "istio-sidecar-injector-gloo", "istio-system", meta=istiod, data={"values": values}),
    ]
    webhook = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "clientConfig": {"service": {"namespace": "istio-system", "name": "istiod-gloo", "path": "/inject"}},
        "namespaceSelector": {
            "matchLabels": {"istio.io/rev": "gloo"},
            "matchExpressions": [{"key": "istio-injection", "operator": "DoesNotExist"}],
        },
        "objectSelector": {
            "matchExpressions": [{"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}]
        },
    }
    kinds["MutatingWebhookConfiguration"] = [
        obj("MutatingWebhookConfiguration", "istio-sidecar-injector-gloo", meta=istiod, webhooks=[webhook])
    ]


def _gateway(site: Any) -> None:
    kinds = site.clusters["c1"]
    deployment = site.one("c1", "Deployment", "http")
    owner = {"kind": "Gateway", "name": "http", "uid": "Gateway-edge-http", "controller": True}
    deployment["metadata"] |= {
        "ownerReferences": [owner],
        "annotations": {"deployment.kubernetes.io/revision": "1"},
    }
    kinds["ReplicaSet"] = [
        obj(
            "ReplicaSet",
            "http-rs",
            "edge",
            api="apps/v1",
            meta={
                "labels": {"gateway.networking.k8s.io/gateway-name": "http"},
                "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": [{"kind": "Deployment", "name": "http", "uid": deployment["metadata"]["uid"]}],
            },
            spec={"replicas": 1},
            status={"conditions": [{"type": "ReplicaFailure", "status": "False", "message": "quota"}]},
        )
    ]
    written = {"manager": "kgateway", "time": health_site.BORN, "fieldsV1": {"f:data": {}}}
    bootstrap = {"labels": {"gateway.networking.k8s.io/gateway-name": "http"}, "managedFields": [written]}
    kinds["ConfigMap of a proxy"] = [obj("ConfigMap", "http", "edge", meta=bootstrap, data={"envoy.yaml": "admin: {}"})]
    kinds["ConfigMap"][0]["metadata"]["managedFields"] = [dict(written)]
    parameters = obj("EnterpriseKgatewayParameters", "unused", "edge", api="enterprisekgateway.solo.io/v1alpha1")
    kinds[ENTERPRISE] = [{**parameters, "spec": {"kube": {}}}]
    patch = {"name": "istio-proxy", "env": [{"name": "ISTIO_META_CLUSTER_ID", "value": "c1"}]}
    added = {"name": "logger", "$patch": "merge"}
    site.one("c1", "GatewayParameters of gateway.kgateway.dev", "params")["spec"]["kube"] |= {
        "deploymentOverlay": {"spec": {"replicas": 1, "template": {"spec": {"containers": [patch, added]}}}},
        "horizontalPodAutoscaler": {"spec": {"maxReplicas": 3}},
    }
    gateway = site.one("c1", "Gateway", "http")
    gateway["spec"]["listeners"][0] |= {"hostname": "*.example.com", "allowedRoutes": {"namespaces": {"from": "All"}}}
    gateway["status"]["listeners"][0] |= {"attachedRoutes": 1, "supportedKinds": [{"kind": "HTTPRoute"}]}
    outside = next(proof for proof in site.data["proofs"] if proof["name"] == "outside")
    outside |= {"host": "shop.example.com", "headers": {"a": "b"}}
    route = site.one("c1", "HTTPRoute", "r")
    match = {"path": {"type": "PathPrefix", "value": "/reviews"}, "headers": [{"name": "a", "value": "b"}]}
    route["spec"]["rules"][0]["matches"] = [{**match, "method": "GET"}]
    route["spec"]["hostnames"] = ["shop.example.com"]
    route["spec"]["rules"].append({"matches": [{"path": {"type": "Exact", "value": "/c"}}], "backendRefs": [DELEGATE]})
    parent = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r", "namespace": "app"}
    child = obj("HTTPRoute", "child", "app", api=GATEWAY, spec={"rules": route["spec"]["rules"][:1]})
    child["status"] = {
        "parents": [{"parentRef": parent, "controllerName": "x", "conditions": conditions("Accepted", "ResolvedRefs")}]
    }
    kinds["HTTPRoute"].append(child)
    site.data["http_routes"][0]["spec"] = {**route["spec"]}
