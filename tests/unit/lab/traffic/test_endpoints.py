"""Endpoints of a host and port, from API objects."""

from __future__ import annotations

from typing import Any

import pytest

from lab.traffic import endpoints

HOST = "reviews.mesh.internal.com"


# Untyped, because the tests know what is not None.
for_pods: Any = endpoints.for_pods
outbound: Any = endpoints.outbound


def names(found: Any) -> Any:
    return sorted(endpoint.name for endpoint in found)


def reviews(made: Any, **pods: Any) -> Any:
    return [made.pod(name.replace("_", "-"), {"app": "reviews"}, **how) for name, how in pods.items()]


def gateway(made: Any, cluster: Any) -> Any:
    backend = {"kind": "Hostname", "namespace": "bookinfo", "name": HOST, "port": 9080}
    return endpoints.for_gateway(cluster, made.local, backend)


def test_a_service_has_the_ready_pods_of_its_slices(made: Any) -> None:
    pods = [*reviews(made, v1={}, v2={"ready": False}), made.pod("stranger", {"app": "reviews"})]
    cluster = made.Cluster("c1", *pods, *made.service("reviews", 80, pods[:2], target=9080))
    found = for_pods(cluster, made.local, "bookinfo", "reviews", 80)
    assert names(found) == ["v1"]
    assert found[0].port == made.local("c1", "uid-v1", 9080)
    assert for_pods(cluster, made.local, "bookinfo", "reviews", 81) is None
    assert for_pods(cluster, made.local, "bookinfo", "nope", 80) is None


def test_a_pod_that_is_being_deleted_is_no_endpoint(made: Any) -> None:
    pod = made.pod("v1", {"app": "reviews"})
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster = made.Cluster("c1", pod, *made.service("reviews", 9080, [pod]), made.entry())
    assert for_pods(cluster, made.local, "bookinfo", "reviews", 9080) == []
    assert gateway(made, cluster) == []


def test_a_pod_without_a_listener_refuses_connections(made: Any) -> None:
    pod = made.pod("other")
    cluster = made.Cluster("c1", pod, *made.service("other", 7000, [pod]))
    assert [e.port for e in for_pods(cluster, made.local, "bookinfo", "other", 7000)] == [endpoints.REFUSED]


def test_a_hostname_has_local_pods_and_the_remote_gateway(made: Any) -> None:
    cluster = made.Cluster("c1", *reviews(made, v1={}, v2={}), made.entry(), made.remote())
    found = gateway(made, cluster)
    assert names(found) == ["remote", "v1", "v2"]
    remote = next(endpoint for endpoint in found if endpoint.remote)
    assert (remote.address, remote.port, remote.tls) == ("127.9.9.9", 15443, True)


def test_the_gateway_reads_metadata_labels_the_sidecar_spec_labels(made: Any) -> None:
    pods = reviews(made, v1={})
    caller = made.pod("productpage", {"app": "productpage"})
    cluster = made.Cluster("c1", *pods, caller, made.entry(), made.remote(labels={}))
    assert names(gateway(made, cluster)) == ["v1"]
    (choice,) = outbound(cluster, made.local, caller, HOST, 9080, "/reviews/0")
    assert names(choice.endpoints) == ["remote", "v1"]


def test_a_remote_that_is_a_name_or_not_on_loopback_is_not_reached(made: Any) -> None:
    named = made.Cluster("c1", made.entry(), made.remote(address="lb.example.com"))
    assert gateway(made, named) == []
    outside = made.Cluster("c1", made.entry(), made.remote(address="10.1.2.3"))
    assert [(e.address, e.port) for e in gateway(made, outside)] == [("127.0.0.1", endpoints.REFUSED)]


def test_dns_resolution_and_empty_selectors_have_no_endpoints(made: Any) -> None:
    pods = reviews(made, v1={})
    assert gateway(made, made.Cluster("c1", *pods, made.entry(resolution="DNS"))) == []
    nothing = made.entry(workloadSelector={"labels": {"app": "none"}})
    assert gateway(made, made.Cluster("c1", *pods, nothing)) == []


def test_outside_the_mesh_nothing_asks_for_tls(made: Any) -> None:
    cluster = made.Cluster("c1", made.entry(location="MESH_EXTERNAL"), made.remote())
    assert [endpoint.tls for endpoint in gateway(made, cluster)] == [False]


def test_the_oldest_service_entry_wins_and_none_is_skipped(made: Any) -> None:
    old, young, none = made.entry(), made.entry(), made.entry(resolution="NONE")
    none["metadata"] |= {"name": "none", "creationTimestamp": "2020-01-01T00:00:00Z"}
    young["metadata"] |= {"name": "young", "creationTimestamp": "2027-01-01T00:00:00Z"}
    assert endpoints.service_entry(made.Cluster("c1", young, old, none), HOST) is old


def test_the_east_west_gateway_has_endpoints_of_its_cluster_only(made: Any) -> None:
    pods = reviews(made, v3={})
    cluster = made.Cluster("c2", *pods, made.entry(), made.remote(), *made.service("reviews", 9080, pods))
    assert names(endpoints.inside(cluster, made.local, HOST, 9080)) == ["v3"]
    assert names(endpoints.inside(cluster, made.local, "reviews.bookinfo.svc.cluster.local", 9080)) == ["v3"]
    assert endpoints.inside(cluster, made.local, HOST, 9081) == []
    assert endpoints.inside(cluster, made.local, "unknown.example", 9080) == []


def rule(**match: Any) -> Any:
    to = {"destination": {"host": HOST, "port": {"number": 9080}}}
    return {"match": [match], "route": [to]}


def mesh(made: Any, *rules: Any, **pod: Any) -> Any:
    pods = reviews(made, v1={})
    caller = made.pod("productpage", {"app": "productpage"}, **pod)
    routed = made.obj(
        "VirtualService", "rt", spec={"hosts": ["reviews.bookinfo.svc.cluster.local"], "http": list(rules)}
    )
    objects = [*pods, caller, made.entry(), made.remote(), *made.service("reviews", 9080, pods)]
    return made.Cluster("c1", *objects, *([routed] if rules else [])), caller


def test_a_virtual_service_sends_the_sidecar_to_the_virtual_destination(made: Any) -> None:
    cluster, caller = mesh(made, rule(uri={"prefix": "/reviews"}, sourceLabels={"app": "productpage"}))
    (choice,) = outbound(cluster, made.local, caller, "reviews", 9080, "/reviews/0")
    assert (choice.host, choice.port, names(choice.endpoints)) == (HOST, 9080, ["remote", "v1"])


def test_without_a_sidecar_or_a_route_the_plain_service_responds(made: Any) -> None:
    plain, caller = mesh(made, rule(uri={"prefix": "/reviews"}), sidecar=False)
    (choice,) = outbound(plain, made.local, caller, "reviews", 9080, "/reviews/0")
    assert names(choice.endpoints) == ["v1"]
    assert outbound(plain, made.local, caller, HOST, 9080, "/") is None
    bare, caller = mesh(made)
    (choice,) = outbound(bare, made.local, caller, "reviews", 9080, "/reviews/0")
    assert names(choice.endpoints) == ["v1"]


def test_source_labels_of_another_workload_do_not_fit(made: Any) -> None:
    cluster, caller = mesh(made, rule(sourceLabels={"app": "somebody"}))
    assert outbound(cluster, made.local, caller, "reviews", 9080, "/reviews/0") is None


def test_names_that_do_not_resolve(made: Any) -> None:
    cluster, caller = mesh(made)
    assert outbound(cluster, made.local, caller, "nobody", 9080, "/") is None
    assert outbound(cluster, made.local, caller, HOST, 9081, "/") is None


def test_sni_can_be_parsed_again() -> None:
    assert endpoints.from_sni(endpoints.sni(HOST, 9080)) == (HOST, 9080)
    assert endpoints.from_sni("example.com") is None


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ([], ["remote", "v1"]),
        ([{"name": "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES", "value": "true"}], ["remote", "v1"]),
        ([{"name": "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES", "value": "false"}], ["v1"]),
    ],
)
def test_a_plain_service_selects_workload_entries_unless_istiod_forbids_it(made: Any, env: Any, expected: Any) -> None:
    pods = reviews(made, v1={})
    caller = made.pod("productpage", {"app": "productpage"})
    istiod = made.pod("istiod", {"app": "istiod"}, "istio-system", containers=[{"name": "discovery", "env": env}])
    service = made.service("reviews", 9080, pods, selector={"app": "reviews"})
    cluster = made.Cluster("c1", *pods, caller, istiod, *service, made.entry(), made.remote())
    (choice,) = outbound(cluster, made.local, caller, "reviews", 9080, "/reviews/0")
    assert names(choice.endpoints) == expected
    # On the Service's own port, where no east-west gateway listens; the gateway proxy has Pods only.
    assert {(e.address, e.port) for e in choice.endpoints if e.remote} <= {("127.9.9.9", 9080)}
    backend = {"kind": "Service", "namespace": "bookinfo", "name": "reviews", "port": 9080}
    assert names(endpoints.for_gateway(cluster, made.local, backend)) == ["v1"]
    outsider = made.pod("outsider", sidecar=False)
    (choice,) = outbound(cluster, made.local, outsider, "reviews", 9080, "/")
    assert names(choice.endpoints) == ["v1"]


def test_with_resolution_dns_sidecars_resolve_and_the_gateway_proxy_has_nothing(made: Any) -> None:
    pods = reviews(made, v1={})
    caller = made.pod("productpage", {"app": "productpage"})
    names_of_balancers = made.remote(address="127-9-9-9.elb.lab.invalid")
    cluster = made.Cluster("c1", *pods, caller, made.entry(resolution="DNS"), names_of_balancers)
    (choice,) = outbound(cluster, made.local, caller, HOST, 9080, "/reviews/0")
    assert names(choice.endpoints) == ["remote", "v1"]
    assert {(e.address, e.port) for e in choice.endpoints if e.remote} == {("127.9.9.9", 15443)}
    assert gateway(made, cluster) == []
