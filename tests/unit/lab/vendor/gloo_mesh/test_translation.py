"""VirtualDestinations and RouteTables translated by the simulated Gloo Mesh."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.route_tables import translate_routes
from lab.vendor.gloo_mesh.translation import common_status
from lab.vendor.gloo_mesh.virtual_destinations import translate_destination
from lab.vendor.gloo_mesh.workspaces import Mesh, in_workspace

LABELS = {"app": "reviews"}


def service(
    made: Any, name: Any = "reviews", namespace: Any = "bookinfo", born: Any = "2026-01-01T00:00:00Z", port: Any = 9080
) -> Any:
    result = made.obj("Service", name, namespace, {"app": "reviews"})
    result["metadata"] |= {"uid": f"uid-{namespace}-{name}", "creationTimestamp": born}
    result["spec"] = {"ports": [{"name": "http", "port": port}], "selector": LABELS}
    return result


def east_west(made: Any, *ingress: Any, port: Any = "tls") -> Any:
    result = made.obj("Service", "istio-eastwestgateway", "istio-eastwest", {"istio": "eastwestgateway"})
    result["spec"] = {"ports": [{"name": port, "port": 15443}]}
    result["status"] = {"loadBalancer": {"ingress": list(ingress)}}
    return result


def deployment(made: Any, name: Any, app: Any) -> Any:
    template = {"metadata": {"labels": {"app": app}}, "spec": {"serviceAccountName": f"bookinfo-{app}"}}
    return made.obj("Deployment", name, spec={"template": template})


def workload(made: Any, name: Any, *objects: Any) -> Any:
    namespace = made.obj("Namespace", "bookinfo", "")
    return made.Cluster(name, namespace, deployment(made, "reviews-v1", "reviews"), *objects)


def workspace(made: Any, name: Any = "mgmt", clusters: Any = "*", namespaces: Any = "*", config: Any = True) -> Any:
    result = made.obj("Workspace", name, "gloo-mesh")
    entry = {"name": clusters, "namespaces": [{"name": namespaces, "configEnabled": config}]}
    return {**result, "spec": {"workloadClusters": [entry]}}


@pytest.fixture
def destination(made: Any) -> Any:
    spec = {
        "hosts": ["reviews.mesh.internal.com"],
        "ports": [{"number": 9080, "protocol": "HTTP"}],
        "services": [{"labels": {"app": "reviews"}}],
    }
    return made.obj("VirtualDestination", "reviews-vd", spec=spec)


@pytest.fixture
def table(made: Any) -> Any:
    route = {
        "name": "reviews",
        "matchers": [{"uri": {"prefix": "/reviews"}}],
        "forwardTo": {
            "destinations": [{"ref": {"name": "reviews-vd"}, "kind": "VIRTUAL_DESTINATION", "port": {"number": 9080}}]
        },
    }
    spec = {
        "hosts": ["reviews.bookinfo.svc.cluster.local"],
        "workloadSelectors": [{"selector": {"labels": {"app": "productpage"}}}],
        "http": [route],
    }
    return made.obj("RouteTable", "bookinfo-east-west", spec=spec)


@pytest.fixture
def mesh(made: Any) -> Any:
    one = workload(made, "cluster1", service(made), east_west(made, {"ip": "127.1.1.1"}))
    one.objects.append(deployment(made, "productpage-v1", "productpage"))
    two = workload(made, "cluster2", service(made), east_west(made, {"ip": "127.2.2.2"}))
    config = made.Cluster("mgmt", made.obj("Namespace", "bookinfo", ""), workspace(made))
    return Mesh("mgmt", config, {"cluster1": one, "cluster2": two})


def by_kind(outcome: Any, cluster: Any) -> Any:
    return {obj["kind"]: obj for obj in outcome.objects.get(cluster, [])}


def test_both_clusters_get_each_others_gateway(mesh: Any, destination: Any) -> None:
    outcome = translate_destination(mesh, destination, "")
    assert (outcome.state, outcome.extra["numSelectedBackingServices"]) == ("ACCEPTED", 2)
    assert outcome.extra["ownedByWorkspace"] == {"name": "mgmt", "namespace": "gloo-mesh"}
    for name, remote in (("cluster1", "127.2.2.2"), ("cluster2", "127.1.1.1")):
        found = by_kind(outcome, name)
        assert set(found) == {"ServiceEntry", "WorkloadEntry", "DestinationRule"}
        entry = found["ServiceEntry"]["spec"]
        assert entry["hosts"] == ["reviews.mesh.internal.com"]
        assert entry["workloadSelector"] == {"labels": LABELS}
        assert entry["ports"] == [{"name": "http-9080", "number": 9080, "protocol": "HTTP"}]
        assert entry["addresses"][0].startswith("240.")
        way = found["WorkloadEntry"]
        assert (way["spec"]["address"], way["spec"]["ports"]) == (remote, {"http-9080": 15443})
        # kgateway reads the labels of the metadata, Istio those of the spec
        for labels in (way["metadata"]["labels"], way["spec"]["labels"]):
            assert labels["app"] == "reviews"
            assert labels["security.istio.io/tlsMode"] == "istio"
        (level,) = found["DestinationRule"]["spec"]["trafficPolicy"]["portLevelSettings"]
        assert level["tls"]["subjectAltNames"] == ["spiffe://cluster.local/ns/bookinfo/sa/bookinfo-reviews"]
        for obj in found.values():
            assert obj["metadata"]["labels"]["gloo.solo.io/parent_name"] == "reviews-vd"
            assert obj["metadata"]["namespace"] == "bookinfo"


def test_identities_are_those_of_pods_that_no_deployment_has(made: Any, mesh: Any, destination: Any) -> None:
    """Of a StatefulSet or a Rollout."""
    account = {"serviceAccountName": "of-a-rollout", "containers": []}
    pod = made.obj("Pod", "reviews-0", labels={"app": "reviews"}, spec=account)
    mesh.clusters["cluster2"].objects.append(pod)
    rule = by_kind(translate_destination(mesh, destination, ""), "cluster1")["DestinationRule"]
    (level,) = rule["spec"]["trafficPolicy"]["portLevelSettings"]
    accounts = ("bookinfo-reviews", "of-a-rollout")
    assert level["tls"]["subjectAltNames"] == [f"spiffe://cluster.local/ns/bookinfo/sa/{name}" for name in accounts]


def test_a_cluster_without_the_service_still_reaches_it(made: Any, mesh: Any, destination: Any) -> None:
    mesh.clusters["cluster1"].objects.remove(mesh.clusters["cluster1"].get("Service", "reviews"))
    outcome = translate_destination(mesh, destination, "")
    assert outcome.extra["numSelectedBackingServices"] == 1
    assert "WorkloadEntry" in by_kind(outcome, "cluster1")
    assert "WorkloadEntry" not in by_kind(outcome, "cluster2")


def test_a_cluster_without_the_namespace_gets_nothing(made: Any, mesh: Any, destination: Any) -> None:
    mesh.clusters["cluster1"].objects.remove(mesh.clusters["cluster1"].get("Namespace", "bookinfo"))
    assert set(translate_destination(mesh, destination, "").objects) == {"cluster2"}


def test_selecting_nothing_translates_nothing(mesh: Any, destination: Any) -> None:
    destination["spec"]["services"] = [{"labels": {"app": "nothing"}}]
    outcome = translate_destination(mesh, destination, "")
    assert (outcome.extra["numSelectedBackingServices"], outcome.objects) == (0, {})


def test_no_workspace_is_pending(made: Any, mesh: Any, destination: Any) -> None:
    config = made.Cluster("mgmt", workspace(made, namespaces="other"))
    outcome = translate_destination(mesh._replace(config=config), destination, "")
    assert (outcome.state, outcome.objects) == ("PENDING", {})
    assert "namespace bookinfo of cluster mgmt is in no workspace" in outcome.message
    assert "ownedByWorkspace" not in outcome.extra


def test_two_services_in_a_cluster_warn_and_the_oldest_is_taken(made: Any, mesh: Any, destination: Any) -> None:
    mesh.clusters["cluster1"].objects.append(service(made, "older", born="2025-01-01T00:00:00Z"))
    outcome = translate_destination(mesh, destination, "")
    assert outcome.state == "WARNING"
    assert "more than one service selected in cluster cluster1" in outcome.message
    assert outcome.extra["selectedBackingServices"][0] == {
        "cluster": "cluster1",
        "name": "older",
        "namespace": "bookinfo",
    }


def test_a_port_the_service_lacks_warns(mesh: Any, destination: Any) -> None:
    destination["spec"]["ports"][0]["number"] = 9999
    outcome = translate_destination(mesh, destination, "")
    assert (outcome.state, outcome.extra["numSelectedBackingServices"]) == ("WARNING", 0)


def test_a_target_port_by_name(mesh: Any, destination: Any) -> None:
    destination["spec"]["ports"] = [{"number": 80, "protocol": "HTTP", "targetPort": {"name": "http"}}]
    assert translate_destination(mesh, destination, "").extra["numSelectedBackingServices"] == 2


def test_with_different_roots_the_istio_objects_are_kept(mesh: Any, destination: Any) -> None:
    outcome = translate_destination(mesh, destination, "no shared root of trust: x")
    assert (outcome.state, outcome.objects, outcome.keep) == ("WARNING", {}, True)
    assert "no shared root" in outcome.message


def test_a_gateway_with_a_hostname_leads_to_resolution_dns(made: Any, mesh: Any, destination: Any) -> None:
    mesh.clusters["cluster2"].objects[-1] = east_west(made, {"hostname": "lb.example.com"})
    found = by_kind(translate_destination(mesh, destination, ""), "cluster1")
    assert found["ServiceEntry"]["spec"]["resolution"] == "DNS"
    assert found["ServiceEntry"]["spec"]["workloadSelector"] == {"labels": LABELS}
    assert found["WorkloadEntry"]["spec"]["address"] == "lb.example.com"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"hostInfoOverrides": [{"addr": "127.9.9.9", "port": 32443}]}, ("127.9.9.9", 32443)),
        ({"hostInfoOverrides": [{"addr": "127.9.9.9"}]}, ("127.9.9.9", 15443)),
        ({"port": {"number": 15443}}, ("127.2.2.2", 15443)),
        ({"port": {"name": "tls"}}, ("127.2.2.2", 15443)),
        ({"port": {"name": "other"}}, None),
    ],
)
def test_settings_choose_the_gateways_address_and_port(mesh: Any, destination: Any, entry: Any, expected: Any) -> None:
    selector = {"selector": {"labels": {"istio": "eastwestgateway"}}}
    settings = {"metadata": {"name": "s", "namespace": "gloo-mesh-config", "uid": "s"}, "kind": "WorkspaceSettings"}
    mesh.config.objects.append({**settings, "spec": {"options": {"eastWestGateways": [{**selector, **entry}]}}})
    found = by_kind(translate_destination(mesh, destination, ""), "cluster1")
    way = found["WorkloadEntry"]["spec"] if "WorkloadEntry" in found else None
    assert (way and (way["address"], way["ports"]["http-9080"])) == expected


@pytest.mark.parametrize("gateway", ["pending", "unnamed"])
def test_without_a_gateway_address_no_workload_entry(made: Any, mesh: Any, destination: Any, gateway: Any) -> None:
    result = {"pending": east_west(made), "unnamed": east_west(made, {"ip": "127.2.2.2"}, port="x")}[gateway]
    mesh.clusters["cluster2"].objects[-1] = result
    found = by_kind(translate_destination(mesh, destination, ""), "cluster1")
    assert set(found) == {"ServiceEntry", "DestinationRule"}


def test_routes_go_where_the_workload_runs(made: Any, mesh: Any, destination: Any, table: Any) -> None:
    mesh.config.objects.append(destination)
    outcome = translate_routes(mesh, table)
    assert (outcome.state, set(outcome.objects)) == ("ACCEPTED", {"cluster1"})
    (service,) = outcome.objects["cluster1"]
    (http,) = service["spec"]["http"]
    assert http["match"] == [{"uri": {"prefix": "/reviews"}, "sourceLabels": {"app": "productpage"}}]
    assert http["route"] == [{"destination": {"host": "reviews.mesh.internal.com", "port": {"number": 9080}}}]
    assert service["spec"]["gateways"] == ["mesh"]


@pytest.mark.parametrize(
    ("there", "port", "text"),
    [(False, 9080, "VirtualDestination bookinfo/reviews-vd not found"), (True, 9081, "has no port 9081")],
)
def test_routes_without_a_destination_are_invalid_and_keep_the_istio_objects(
    mesh: Any, destination: Any, table: Any, there: Any, port: Any, text: Any
) -> None:
    if there:
        mesh.config.objects.append(destination)
    table["spec"]["http"][0]["forwardTo"]["destinations"][0]["port"]["number"] = port
    outcome = translate_routes(mesh, table)
    assert (outcome.state, outcome.objects, outcome.keep) == ("INVALID", {}, True)
    assert text in outcome.message


@pytest.mark.parametrize(
    ("result", "config", "expected"),
    [
        ({}, True, True),
        ({"clusters": "cluster2"}, False, False),
        ({"clusters": "cluster*"}, False, True),
        ({"namespaces": "book*"}, False, True),
        ({"config": False}, True, False),
        ({"config": False}, False, True),
    ],
)
def test_workspaces_select_by_name(made: Any, result: Any, config: Any, expected: Any) -> None:
    assert in_workspace(workspace(made, **result), "cluster1", "bookinfo", {}, config) is expected


def test_status_has_the_vendors_capital(mesh: Any, destination: Any) -> None:
    status = common_status(translate_destination(mesh, destination, ""), 5)
    assert status["common"]["State"] == {"approval": "ACCEPTED", "observedGeneration": 5}
