"""The data plane over real loopback connections: two clusters, their sidecars and east-west gateways."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from lab.pods.listeners import Listeners
from lab.pods.pod_ports import SIDECAR_PORT, PodPorts
from lab.traffic.data_plane import DataPlane, gateway_name, outside_services


def free_port(address: Any = "127.0.0.1") -> Any:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def get(url: Any, proxy: Any = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy} if proxy else {}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Plane:
    """A DataPlane over stand-in clusters, without the gateway proxies (those need Envoy and a lab)."""

    def __init__(self, *clusters: Any) -> None:
        self.clusters = clusters
        self.pod_ports = PodPorts()
        self.dataplane = DataPlane(self.pod_ports)
        self.listeners = self.dataplane._listeners = Listeners()

    def reconcile(self) -> None:
        wanted: dict[Any, Any] = {}
        for cluster in self.clusters:
            wanted.update(self.dataplane._bookinfo(cluster))
            wanted.update(self.dataplane._services(cluster))
        self.dataplane._update_ports(self.listeners.update(wanted))

    def through(self, cluster: Any, pod: Any, url: Any) -> Any:
        return get(url, f"http://127.0.0.1:{self.pod_ports.local(cluster, f'uid-{pod}', SIDECAR_PORT)}")


@pytest.fixture
def plane(made: Any) -> Iterator[Any]:
    """cluster1 with productpage and reviews-v1, cluster2 with reviews-v3, joined as Gloo joins them."""
    port = free_port("127.3.3.3")
    one = [
        made.pod("productpage-v1", {"app": "productpage", "version": "v1"}),
        made.pod("reviews-v1", {"app": "reviews", "version": "v1"}),
    ]
    two = [made.pod("reviews-v3", {"app": "reviews", "version": "v3"})]
    gateway = made.pod("ew", {"istio": "eastwestgateway"}, "istio-eastwest", sidecar=False)
    east_west = made.service("ew", port, [gateway], target=15443, type="LoadBalancer")
    east_west[0]["status"] = {"loadBalancer": {"ingress": [{"ip": "127.3.3.3"}]}}
    remote = made.remote("127.3.3.3")
    remote["spec"]["ports"] = {"http-9080": port}
    root = {"data": {"root-cert.pem": "ROOT"}}
    first = made.Cluster(
        "cluster1",
        *one,
        *made.service("reviews", 9080, one[1:]),
        *made.service("productpage", 9080, one[:1]),
        made.entry(),
        remote,
        made.obj("ConfigMap", "istio-ca-root-cert", **root),
    )
    second = made.Cluster(
        "cluster2",
        *two,
        gateway,
        *east_west,
        made.entry(),
        made.obj("ConfigMap", "istio-ca-root-cert", "istio-eastwest", **root),
        made.obj("ConfigMap", "istio-ca-root-cert", **root),
    )
    running = Plane(first, second)
    running.reconcile()
    yield running
    running.dataplane.stop()


HOST = "http://reviews.mesh.internal.com:9080/reviews/0"


def seen(plane: Any, times: Any = 6) -> Any:
    return Counter(
        json.loads(text)["podname"] if status == 200 else status
        for status, text in (plane.through("cluster1", "productpage-v1", HOST) for _ in range(times))
    )


def test_the_sidecar_spreads_over_both_clusters(plane: Any) -> None:
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}


def test_another_root_is_refused(plane: Any) -> None:
    given = plane.clusters[1].get("ConfigMap", "istio-ca-root-cert", "bookinfo")
    given["data"] = {"root-cert.pem": "ANOTHER"}
    assert seen(plane) == {"reviews-v1": 3, 503: 3}


def test_a_pod_keeps_the_root_that_it_started_with(plane: Any) -> None:
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}
    for cluster in plane.clusters:
        for config in cluster.list("ConfigMap"):
            config["data"] = {"root-cert.pem": "ANOTHER"}
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}
    plane.dataplane._sidecar.started(plane.clusters[1], [])  # the Pod is replaced, the caller is not
    assert seen(plane) == {"reviews-v1": 3, 503: 3}
    plane.dataplane._sidecar.started(plane.clusters[0], [])
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}


def test_no_root_no_tls(plane: Any) -> None:
    plane.clusters[0].objects = [obj for obj in plane.clusters[0].objects if obj["kind"] != "ConfigMap"]
    assert seen(plane) == {"reviews-v1": 3, 503: 3}


def test_no_pods_behind_the_east_west_gateway(plane: Any) -> None:
    plane.clusters[1].objects = [obj for obj in plane.clusters[1].objects if obj["metadata"]["name"] != "reviews-v3"]
    plane.reconcile()
    assert seen(plane) == {"reviews-v1": 3, 503: 3}


def test_plain_names_and_unknown_names(plane: Any) -> None:
    status, text = plane.through("cluster1", "productpage-v1", "http://reviews:9080/reviews/0")
    assert (status, json.loads(text)["podname"]) == (200, "reviews-v1")
    assert plane.through("cluster1", "productpage-v1", "http://nobody:9080/")[0] == 502
    assert plane.through("cluster1", "productpage-v1", "http://localhost:9080/health")[0] == 200
    assert plane.through("cluster1", "productpage-v1", "http://localhost:1/health")[0] == 502


def test_the_page_is_served_at_the_pods_port(plane: Any) -> None:
    status, page = get(f"http://127.0.0.1:{plane.pod_ports.local('cluster1', 'uid-productpage-v1', 9080)}/productpage")
    assert status == 200
    assert page.count("reviews-v1") == 2


def test_the_ports_of_a_deleted_pod_are_dropped(plane: Any) -> None:
    plane.clusters[0].objects = []
    plane.reconcile()
    assert plane.pod_ports.of_pod("cluster1", "uid-reviews-v1") == {}


def test_the_other_clusters_gateway_requires_tls(plane: Any) -> None:
    ((_, address, port, _),) = outside_services(plane.clusters[1])
    with pytest.raises(OSError):
        get(f"http://{address}:{port}/reviews/0")


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_the_other_cluster_is_reached_by_a_node_port(plane: Any, made: Any, kind: Any) -> None:
    node_port = free_port("127.4.4.4")
    node = made.obj("Node", "n", "", status={"addresses": [{"type": "ExternalIP", "address": "127.4.4.4"}]})
    service = plane.clusters[1].get("Service", "ew")
    service["spec"] |= {"type": kind, "ports": [{**service["spec"]["ports"][0], "nodePort": node_port}]}
    plane.clusters[1].objects.append(node)
    workload = plane.clusters[0].get("WorkloadEntry", "remote")["spec"]
    workload |= {"address": "127.4.4.4", "ports": {"http-9080": node_port}}
    plane.reconcile()
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}


def test_sidecars_resolve_the_host_name_of_a_load_balancer(plane: Any) -> None:
    name = "127-3-3-3.elb.lab.invalid"
    plane.clusters[1].get("Service", "ew")["status"]["loadBalancer"]["ingress"] = [{"hostname": name}]
    plane.clusters[0].get("WorkloadEntry", "remote")["spec"]["address"] = name
    plane.reconcile()
    assert seen(plane) == {"reviews-v1": 6}  # with STATIC a name is no endpoint
    plane.clusters[0].get("ServiceEntry", "vd-reviews.mesh.internal.com")["spec"]["resolution"] = "DNS"
    assert seen(plane) == {"reviews-v1": 3, "reviews-v3": 3}


def test_a_proxys_gateway_is_its_label_or_the_full_name(made: Any) -> None:
    pod = made.pod("p", {"gateway.networking.k8s.io/gateway-name": "http"})
    assert gateway_name(pod) == "http"
    pod["metadata"]["annotations"] = {"gateway.kgateway.dev/gateway-full-name": "http" * 20}
    assert gateway_name(pod) == "http" * 20
