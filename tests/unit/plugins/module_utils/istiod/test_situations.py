"""Whole clusters: the istiods that are found, every key of their records, and the reported problems.

Objects are made here in the shapes of Istio's charts, so that every situation is proved without any recording.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from acceptance import istio_shapes
from acceptance.istio_shapes import Istiod, Json, Objects, endpoints_of, joined, labelled, namespace
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod

NO_DEFAULT = "no default injector"
SITUATIONS: dict[str, tuple[Callable[[], Objects], list[Json], list[str]]] = {}


row = functools.partial(istio_shapes.row, version="1.27.0-solo", cluster_id="cluster1")


Making = Callable[[], Objects]


def situation(records: list[Json], *problems: str) -> Callable[[Making], Making]:
    """Registers the function's objects with the records and, in their order, words of the problems expected."""

    def register(objects: Making) -> Making:
        SITUATIONS[objects.__name__] = (objects, records, list(problems))
        return objects

    return register


@situation([row(mesh_id="mesh1", network="network1", trust_domain="td.example", tags=["prod"])])
def everything_set() -> Objects:
    mesh = Istiod().tag("prod", service=True)
    mesh.values.update(meshID="mesh1", network="network1")
    mesh.mesh = mesh.mesh.replace("cluster.local", "td.example", 1)
    return mesh.objects()


@situation([row("gloo")], NO_DEFAULT)
def gloo_operator() -> Objects:
    return Istiod("gloo").objects()


@situation([row("gloo")], NO_DEFAULT)
def gloo_operator_with_alias() -> Objects:
    mesh = Istiod("gloo")
    alias = labelled("istio-system", "istiod", {"app": "istiod"}, spec=mesh.service["spec"])
    return joined({"services": [alias], "endpointslices": [endpoints_of(alias, "10.0.0.1")]}, mesh.objects())


@situation([row("gloo")], NO_DEFAULT)
def alias_by_external_name() -> Objects:
    mesh = Istiod("gloo")
    other = Istiod().remote("istiod-gloo.istio-system.svc.cluster.local.", labels=False)
    return joined({"services": [other]}, mesh.objects())


@situation([row("gloo")], NO_DEFAULT)
def gateways_with_the_port() -> Objects:
    ports = [{"port": 15443}, {"port": 15012, "targetPort": 15012}]
    eastwest = {"istio": "eastwestgateway", "app": "istio-eastwestgateway"}
    gateway = labelled("istio-eastwest", "istio-eastwestgateway", eastwest, spec={"ports": ports, "selector": eastwest})
    return joined({"services": [gateway]}, Istiod("gloo").objects())


@situation(
    [row("1-25", tags=["default"], cluster_id="Kubernetes"), row("1-27", tags=["canary"], mesh_id="mesh1")],
)
def two_revisions_with_tags() -> Objects:
    old, new = Istiod("1-25", cluster="Kubernetes").tag("default"), Istiod("1-27").tag("canary", service=True)
    new.values["meshID"] = "mesh1"
    return joined(new.objects(), old.objects(), {"namespaces": [namespace("bookinfo", rev="canary")]})


@situation(
    [row("1-27", tags=["prod"]), row("1-28", tags=["prod"])],
    "tag prod refers to several istiods (istio-system/istiod-1-27, istio-system/istiod-1-28)",
    NO_DEFAULT,
)
def tag_moved_without_its_service() -> Objects:
    old, new = Istiod("1-27").tag("prod", service=True), Istiod("1-28").tag("prod")
    return joined(old.objects(mutatingwebhookconfigurations=old.webhooks[:1]), new.objects())


@situation([row("1-27")], NO_DEFAULT)
def injector_with_a_value_of_its_own() -> Objects:
    mesh = Istiod("1-27")
    mesh.webhooks[0]["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"].append("legacy")
    return joined(mesh.objects(), {"namespaces": [namespace("shop", rev="legacy")]})


@situation(
    [row("1-28", name="istiod-revision-tag-prod", tags=["prod"])],
    "discoveryAddress istiod-1-28.istio-system.svc:15012 refers to a Service that does not exist",
    "istiod-revision-tag-prod routes to istiod, but its certificate is not valid for "
    "istiod-revision-tag-prod.istio-system",
    NO_DEFAULT,
    "calls Service istio-system/istiod-1-28, which belongs to no istiod",
)
def only_the_service_of_a_tag_is_left() -> Objects:
    mesh = Istiod("1-28").tag("prod", service=True)
    slices = [endpoints_of(mesh.tag_services[0], "10.0.0.1")]
    return mesh.objects(services=mesh.tag_services, endpointslices=slices)


@situation([row(), row("1-27", tags=["default"])])
def default_tag_moved_away_from_the_unrevisioned_one() -> Objects:
    return joined(Istiod().deactivated().objects(), Istiod("1-27").tag("default", service=True).objects())


@situation([row(), row(namespace="mesh-b", cluster_id="cluster2")], "several injectors match label istio-injection")
def two_defaults_in_two_namespaces() -> Objects:
    return joined(Istiod().objects(), Istiod(namespace="mesh-b", cluster="cluster2").objects())


@situation([row(namespace="external-istiod", cluster_id="theirs"), row()])
def host_of_somebody_elses_istiod() -> Objects:
    theirs = Istiod(namespace="external-istiod", cluster="theirs")
    theirs.container["env"] += [{"name": "EXTERNAL_ISTIOD", "value": "true"}]
    return joined(theirs.objects(mutatingwebhookconfigurations=[]), Istiod().objects())


@situation([row("main", "gloo-mesh")], NO_DEFAULT)
def another_namespace() -> Objects:
    return Istiod("main", "gloo-mesh").objects()


REMOTE: dict[str, Any] = {"cluster_id": "cluster2", "network": "network2", "version": None}
PATH = "/inject/cluster/cluster2/net/network2"


def of_remote(mesh: Istiod, service: Json, *addresses: str) -> Objects:
    mesh.calls(path=PATH)
    mesh.values["multiCluster"]["clusterName"] = ""
    slices = [endpoints_of(service, *addresses, ready=None)] if addresses else []
    return mesh.objects(deployments=[], services=[service], endpointslices=slices)


@situation([row(**REMOTE)])
def remote_by_address() -> Objects:
    mesh = Istiod()
    return of_remote(mesh, mesh.remote(), "172.18.0.9")


@situation([row(**REMOTE, trust_domain=None, ready=False)], "represents a remote istiod and has no ready endpoint")
def remote_without_endpoints_nor_mesh_config() -> Objects:
    mesh = Istiod()
    objects = of_remote(mesh, mesh.remote())
    return {**objects, "configmaps": (objects["configmaps"] or [])[1:]}


SITUATIONS["remote_without_endpoints_nor_mesh_config"][1][0]["mesh_id"] = None


@situation([row(**REMOTE, ready=None)])
def remote_by_name() -> Objects:
    mesh = Istiod()
    return of_remote(mesh, mesh.remote("istiod.primary.example.test"))


@situation([row(**REMOTE, ready=None)])
def remote_by_name_of_a_gateway_in_this_cluster() -> Objects:
    mesh, labels = Istiod(), {"istio": "eastwestgateway"}
    gateway = labelled("istio-ew", "eastwest", labels, spec={"ports": [{"port": 15012}], "selector": labels})
    remote = of_remote(mesh, mesh.remote("eastwest.istio-ew.svc.cluster.local"))
    return joined(remote, {"services": [gateway], "endpointslices": [endpoints_of(gateway, "10.0.0.7")]})


@situation([row(**REMOTE, ready=False)])
def remote_by_name_of_a_service_that_is_gone() -> Objects:
    mesh = Istiod()
    return of_remote(mesh, mesh.remote("eastwest.istio-ew.svc.cluster.local"))


@situation(
    [row("1-22", **REMOTE)],
    "discoveryAddress istiod.istio-system.svc:15012 refers to a Service that does not exist. Use "
    "istiod-1-22.istio-system",
    NO_DEFAULT,
)
def remote_revision_of_old_charts_without_labels() -> Objects:
    mesh = Istiod("1-22")
    mesh.mesh = mesh.mesh.replace("istiod-1-22", "istiod")
    return of_remote(mesh, mesh.remote(labels=False), "172.18.0.9")


@situation(
    [row("1-20", name="istiod", **REMOTE)],
    NO_DEFAULT,
    "webhook istio-sidecar-injector-1-20 calls Service istio-system/istiod-1-20, which belongs to no istiod",
)
def remote_revision_of_1_20_whose_service_has_no_revision() -> Objects:
    mesh = Istiod("1-20")
    mesh.mesh = mesh.mesh.replace("istiod-1-20", "istiod")
    return of_remote(mesh, Istiod().remote(labels=False), "172.18.0.9")


def with_local_injector(revision: str, named: str, labels: bool) -> Objects:
    mesh = Istiod(revision, cluster="cluster2")
    mesh.mesh = mesh.mesh.replace(mesh.name, named, 1)
    service = mesh.remote(suffix="-remote", labels=labels)
    return joined(mesh.objects(), {"services": [service], "endpointslices": [endpoints_of(service, "172.18.0.9")]})


@situation([row(name="istiod-remote", cluster_id="cluster2")])
def local_injector() -> Objects:
    return with_local_injector("default", "istiod-remote", labels=True)


@situation([row(name="istiod-remote", cluster_id="cluster2")])
def local_injector_of_old_charts() -> Objects:
    return with_local_injector("default", "istiod-remote", labels=False)


@situation(
    [row("1-32", name="istiod-1-32-remote", cluster_id="cluster2")],
    "discoveryAddress istiod-remote.istio-system.svc:15012 refers to a Service that does not exist",
    NO_DEFAULT,
)
def local_injector_with_a_revision() -> Objects:
    return with_local_injector("1-32", "istiod-remote", labels=True)


def only_url(mesh: Istiod, url: str) -> Objects:
    mesh.values["multiCluster"]["clusterName"] = ""
    return mesh.calls(url=url).objects(deployments=[], services=[], endpointslices=[])


EXTERNAL: dict[str, Any] = {**REMOTE, "ready": None}


@situation([row(namespace="external-istiod", **EXTERNAL) | {"name": None, "address": "istiod.example.test:15012"}])
def external_with_its_address_in_mesh_config() -> Objects:
    mesh = Istiod(namespace="external-istiod")
    mesh.mesh = "trustDomain: cluster.local\ndefaultConfig: {discoveryAddress: 'istiod.example.test:15012'}"
    return only_url(mesh, f"https://webhooks.example.test:15017{PATH}")


@situation(
    [row(namespace="external-istiod", **EXTERNAL) | {"name": None, "address": "istiod.example.test:15012"}],
    "istiod.external-istiod.svc:15012 refers to a Service that does not exist. Use istiod.example.test:15012",
)
def external_known_by_the_injection_url_alone() -> Objects:
    mesh = Istiod(namespace="external-istiod")
    return only_url(mesh, "https://istiod.example.test:15017/inject/:ENV:cluster=cluster2:ENV:net=network2")


@situation([row(**EXTERNAL) | {"name": None, "address": "[fd00::5]:15012", "cluster_id": None, "network": None}])
def external_told_by_mesh_config_alone() -> Objects:
    mesh = Istiod()
    mesh.mesh = "trustDomain: cluster.local\ndefaultConfig: {discoveryAddress: '[fd00::5]:15012'}"
    mesh.values["multiCluster"]["clusterName"] = ""
    return mesh.objects(deployments=[], services=[], endpointslices=[], mutatingwebhookconfigurations=[])


SITUATIONS["external_told_by_mesh_config_alone"][2].append(NO_DEFAULT)


@situation([row(ready=False)], "has 0 replicas: no istiod runs (its condition Available is still True)")
def scaled_to_nothing() -> Objects:
    mesh = Istiod()
    mesh.deployment["spec"]["replicas"] = 0
    del mesh.deployment["status"]["readyReplicas"]
    mesh.slice["endpoints"] = None
    return mesh.objects()


@situation([row(ready=False)], "has no ready Pod: serviceaccount istiod not found")
def pods_refused() -> Objects:
    mesh = Istiod()
    failure = {"type": "ReplicaFailure", "status": "True", "message": "serviceaccount istiod not found"}
    mesh.deployment["status"] = {"conditions": [failure]}
    return mesh.objects(endpointslices=[])


@situation([row()], "Deployment istio-system/istiod is being deleted")
def on_its_way_out() -> Objects:
    mesh = Istiod()
    mesh.deployment["metadata"]["deletionTimestamp"] = "2026-11-23T15:00:00Z"
    return mesh.objects()


@situation(
    [row(address=None, ready=False)],
    "Deployment istio-system/istiod has no Service with port 15012: proxies cannot reach it",
    "discoveryAddress istiod.istio-system.svc:15012 refers to a Service that does not exist",
    "webhook istio-sidecar-injector calls Service istio-system/istiod, which belongs to no istiod",
)
def deployment_without_service() -> Objects:
    return Istiod().objects(services=[], endpointslices=[])


@situation(
    [row(cluster_id="cluster1", version="1.27.0", ready=False)],
    "Service istio-system/istiod selects no istiod Deployment: connections fail",
)
def service_without_deployment() -> Objects:
    mesh = Istiod()
    mesh.slice["endpoints"] = None
    return mesh.objects(deployments=[])


@situation(
    [
        row(cluster_id=None, mesh_id=None, trust_domain=None, version=None, ready=False),
        row("gloo"),
    ],
    "Service istio-system/istiod selects no istiod Deployment",
    NO_DEFAULT,
)
def service_of_an_older_istiod_left_over() -> Objects:
    return joined(Istiod("gloo").objects(), {"services": [Istiod().service]})


@situation(
    [row("new")],
    "Service istio-system/istiod-revision-tag-prod selects no istiod Deployment",
    NO_DEFAULT,
    "tag prod refers to revision old, which no istiod serves",
    "Namespace shop requests revision prod, which no istiod serves",
    "webhook istio-revision-tag-prod calls Service istio-system/istiod-old, which belongs to no istiod",
)
def tag_left_over() -> Objects:
    old = Istiod("old").tag("prod", service=True)
    left: Objects = {"services": old.tag_services, "mutatingwebhookconfigurations": old.webhooks[1:]}
    return joined(Istiod("new").objects(), left, {"namespaces": [namespace("shop", rev="prod")]})


@situation([], "webhook istio-sidecar-injector calls Service istio-system/istiod, which belongs to no istiod")
def only_the_webhook_left_over() -> Objects:
    return Istiod().objects(deployments=[], services=[], endpointslices=[], configmaps=[])


@situation([], "ConfigMap istio-system/istio is a leftover: namespace istio-system has no istiod of revision default")
def only_config_maps_left_over() -> Objects:
    return Istiod().objects(deployments=[], services=[], endpointslices=[], mutatingwebhookconfigurations=[])


@situation([])
def webhook_of_a_program_on_the_api_servers_host() -> Objects:
    return only_url(Istiod(), "https://localhost:15017/inject") | {"configmaps": []}


@situation([row()])
def no_pods_no_namespaces_no_network() -> Objects:
    return Istiod().objects(namespaces=[])


@situation([row()])
def renamed_service_and_port() -> Objects:
    mesh = Istiod()
    mesh.service["spec"]["ports"] = [{"name": "tls-istiod", "port": 15012, "targetPort": "tls-xds"}]
    return mesh.objects()


@situation([row(address="istiod.istio-system.svc:443")])
def another_port_leads_to_15012() -> Objects:
    mesh = Istiod()
    mesh.service["spec"]["ports"] = [{"name": "xds", "port": 443, "targetPort": 15012}]
    return mesh.objects()


@situation(
    [row("1-27", ready=False)],
    "Service istio-system/istiod-1-27 selects none of the Pods of Deployment istio-system/istiod-1-27",
    NO_DEFAULT,
)
def service_whose_selector_does_not_fit() -> Objects:
    mesh = Istiod("1-27")
    mesh.service["spec"]["selector"] = {"app": "istiod", "istio.io/rev": "1-26"}
    mesh.slice["endpoints"] = None
    return mesh.objects()


@situation([row()])
def empty_label_of_the_revision() -> Objects:
    mesh = Istiod()
    for obj in (mesh.deployment, mesh.service, *mesh.webhooks):
        obj["metadata"]["labels"]["istio.io/rev"] = ""
    return mesh.objects()


@situation(
    [row()], "no default injector: label istio-injection=enabled has no effect in this cluster, nor has istio.io/rev"
)
def no_injector() -> Objects:
    return Istiod().objects(mutatingwebhookconfigurations=[])


@situation(
    [row("a", name="all"), row("b")],
    "Service istio-system/all selects several istiods (istio-system/istiod-a, istio-system/istiod-b)",
    "Service istio-system/all routes to istiod, but its certificate is not valid for "
    "all.istio-system.svc, so TLS fails. If proxies are to use it, create",
    "istiod-a.istio-system.svc:15012 refers to a Service that does not exist. Use all.istio-system.svc:15012",
    "webhook istio-sidecar-injector-a calls Service istio-system/istiod-a, which belongs to no istiod",
    NO_DEFAULT,
)
def service_of_two_istiods() -> Objects:
    app = {"app": "istiod"}
    wide = labelled("istio-system", "all", app, spec={"ports": [{"port": 15012}], "selector": app})
    slices: Objects = {"services": [wide], "endpointslices": [endpoints_of(wide, "10.0.0.1")]}
    return joined(Istiod("b").objects(), Istiod("a").objects(services=[], endpointslices=[]), slices)


@pytest.mark.parametrize("name", SITUATIONS)
def test_records(name: str) -> None:
    objects, records, _problems = SITUATIONS[name]
    assert istiod.discover(objects())["istiods"] == records


@pytest.mark.parametrize("name", SITUATIONS)
def test_problems(name: str) -> None:
    objects, _records, words = SITUATIONS[name]
    problems = istiod.discover(objects())["problems"]
    unmatched = [w for w in words if not any(w in p for p in problems)]
    unexpected = [p for p in problems if not any(w in p for w in words)]
    assert (unmatched, unexpected) == ([], []), problems


@pytest.mark.share
@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything_set", "local_injector", "external_known_by_the_injection_url_alone"])
def test_damaged_objects_are_no_reason_to_break_off(name: str, damaged: Any) -> None:
    for way, objects in damaged(SITUATIONS[name][0]()):
        if way.count("/") > 1:  # the lists themselves are never damaged
            found = istiod.discover(objects)
            assert [s["key"] for s in found["sources"]] == [*istiod.KEYS] * len(found["istiods"]), way
            try:
                istiod.choose(found, for_namespace="bookinfo", namespace_labels={"istio-injection": "enabled"})
            except istiod.ChoiceError as error:
                assert str(error)


def test_what_serves_an_istiod_leads_to_it() -> None:
    serving = istiod.discover(gloo_operator_with_alias())["serving"]
    assert serving == {"istio-system/istiod": 0, "istio-system/istiod-gloo": 0}
    assert istiod.discover(alias_by_external_name())["serving"] == serving
    assert istiod.discover(local_injector())["serving"] == {"istio-system/istiod-remote": 0}
