"""Istio's charts installed in real clusters: istiod_info returns the same as for recordings of such clusters.

The clusters are empty before and after every test.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from acceptance import istio_shapes, snapshot
from acceptance.istio_charts import TAG, IstioCharts, Json
from acceptance.site import BIN, Site, nothing_left, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import istiod_info

SYSTEM = "istio-system"
BOOKINFO = "/api/v1/namespaces/bookinfo"
NAMESPACES = (SYSTEM, "mesh-control", "gloo-mesh", "bookinfo")
REMOTE = {"profile": "remote", "istiodRemote": {"injectionPath": "/inject/cluster/cluster2/net/network2"}}
Release = tuple[str, str, Json]  # name, namespace, Helm values


row = functools.partial(istio_shapes.row, version=TAG)


def remote(address: str, revision: str = "", **settings: Any) -> Release:
    return "istiod", SYSTEM, {**REMOTE, "revision": revision, "global": {"remotePilotAddress": address}, **settings}


def tagged_namespace(site: Site, cluster: str) -> None:
    site.patch(cluster, BOOKINFO, {"metadata": {"labels": {"istio.io/rev": "canary"}}})


def gone(path: str) -> Callable[[Site, str], None]:
    return lambda site, cluster: site.delete(cluster, path)


def scaled_to_nothing(site: Site, cluster: str) -> None:
    site.patch(cluster, DEPLOYMENT, {"spec": {"replicas": 0}})


@dataclass(frozen=True)
class Situation:
    """Releases, what happens to them then, the records expected and words of the problems."""

    name: str
    releases: tuple[Release, ...]
    records: tuple[Json, ...]
    problems: tuple[str, ...] = ()
    then: tuple[Callable[[Site, str], None], ...] = ()
    ask: Json = field(default_factory=dict)
    chosen: str | None = None  # name of the istiod; None: no single one

    def __str__(self) -> str:
        return self.name


DEPLOYMENT = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/istiod"
MULTICLUSTER = {"meshID": "mesh1", "network": "network1", "multiCluster": {"clusterName": "cluster1"}}
NO_DEFAULT = "no default injector"
UNREADABLE: Json = {"mesh_id": None, "trust_domain": None, "version": None}

SITUATIONS = (
    Situation(
        "multicluster",
        (("istiod", SYSTEM, {"global": MULTICLUSTER, "meshConfig": {"trustDomain": "cluster1.example"}}),),
        (row(cluster_id="cluster1", mesh_id="mesh1", network="network1", trust_domain="cluster1.example"),),
        chosen="istiod",
    ),
    Situation(
        "two-revisions-with-tags",
        (
            ("istiod-1-24", SYSTEM, {"revision": "1-24", "revisionTags": ["default"], "global": {"tag": "1.24.9"}}),
            ("istiod-1-25", SYSTEM, {"revision": "1-25", "revisionTags": ["canary"], "global": MULTICLUSTER}),
        ),
        (
            row("1-24", tags=["default"], version="1.24.9"),
            row("1-25", tags=["canary"], cluster_id="cluster1", mesh_id="mesh1", network="network1"),
        ),
        then=(tagged_namespace,),
        ask={"for_namespace": "bookinfo"},
        chosen="istiod-1-25",
    ),
    Situation(
        "other-namespace-unset",
        (("istiod", "mesh-control", {"global": {"multiCluster": {"clusterName": "cluster1"}}}),),
        (row(namespace="mesh-control", cluster_id="cluster1", ready=False),),
        ("Deployment mesh-control/istiod has no ready Pod: ",),
        chosen="istiod",
    ),
    Situation(
        "other-namespace-revision",
        (("istiod", "gloo-mesh", {"revision": "main", "global": {"istioNamespace": "gloo-mesh", **MULTICLUSTER}}),),
        (row("main", "gloo-mesh", cluster_id="cluster1", mesh_id="mesh1", network="network1"),),
        (NO_DEFAULT,),
        chosen="istiod-main",
    ),
    Situation(
        "remote-ip",
        (remote("172.18.0.9"),),
        (row(cluster_id="cluster2", network="network2", **UNREADABLE),),
        chosen="istiod",
    ),
    Situation(
        "remote-hostname",
        (remote("istiod.primary.example.test"),),
        (row(cluster_id="cluster2", network="network2", ready=None, **UNREADABLE),),
        chosen="istiod",
    ),
    Situation(
        "remote-revision",
        (remote("172.18.0.9", "1-25", configMap=True),),
        (row("1-25", cluster_id="cluster2", network="network2", version=None),),
        (
            "discoveryAddress istiod.istio-system.svc:15012 refers to a Service that does not exist. Use istiod-1-25.",
            NO_DEFAULT,
        ),
        chosen="istiod-1-25",
    ),
    Situation(
        "duplicate-env",
        (
            (
                "istiod",
                SYSTEM,
                {"env": {"CLUSTER_ID": "from-env"}, "global": {"multiCluster": {"clusterName": "global"}}},
            ),
        ),
        (row(cluster_id="global"),),
        ("sets CLUSTER_ID 2 times; the last value is effective: global",),
        chosen="istiod",
    ),
    Situation(
        "pending",
        (("istiod", SYSTEM, {"nodeSelector": {"nobody": "has"}}),),
        (row(ready=False),),
        ("Deployment istio-system/istiod has no ready Pod",),
        chosen="istiod",
    ),
    Situation(
        "scaled-to-nothing",
        (("istiod", SYSTEM, {}),),
        (row(ready=False),),
        ("has 0 replicas: no istiod runs (its condition Available is still True)",),
        then=(scaled_to_nothing,),
        chosen="istiod",
    ),
    Situation(
        "service-without-deployment",
        (("istiod", SYSTEM, {}),),
        (row(cluster_id=None, ready=False),),
        ("Service istio-system/istiod selects no istiod Deployment",),
        then=(gone(DEPLOYMENT),),
        chosen="istiod",
    ),
    Situation(
        "deployment-without-service",
        (("istiod", SYSTEM, {}),),
        (row(address=None, ready=False),),
        (
            "has no Service with port 15012",
            "refers to a Service that does not exist",
            "calls Service istio-system/istiod, which belongs to no istiod",
        ),
        then=(gone(f"/api/v1/namespaces/{SYSTEM}/services/istiod"),),
        chosen="istiod",
    ),
)


@pytest.fixture(scope="module")
def ground(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Iterator[Site]:
    """Empty clusters with the namespaces that the charts do not make; afterwards they hold what they held before."""
    three_clusters.ensure_empty()
    clusters = (three_clusters.management, three_clusters.gateway_cluster)
    for cluster, name in itertools.product(clusters, NAMESPACES):
        three_clusters.create(cluster, "/api/v1/namespaces", {"metadata": {"name": name}})
    yield three_clusters
    for cluster, name in itertools.product(clusters, NAMESPACES):
        three_clusters.delete(cluster, f"/api/v1/namespaces/{name}")
    for cluster in clusters:
        nothing_left(functools.partial(_differences, three_clusters, cluster, before[cluster]))


def _differences(site: Site, cluster: str, before: snapshot.Snapshot) -> list[str]:
    return snapshot.differences(before, snapshot.take_cluster(site, cluster))


@pytest.fixture
def charts(ground: Site) -> Iterator[IstioCharts]:
    """Of the management cluster, where no istiod runs beside the API server."""
    with IstioCharts(ground, ground.management).cleared() as charts:
        yield charts
        ground.patch(ground.management, BOOKINFO, {"metadata": {"labels": {"istio.io/rev": None}}})


def ask(charts: IstioCharts, **params: Any) -> Json:
    told = {"kubeconfig": str(charts.site.kubeconfig), "context": charts.cluster, "strict": False, **params}
    return istiod_info.run(told, False, print)


def seen(charts: IstioCharts, expected: tuple[Json, ...], problems: tuple[str, ...] = (), **params: Any) -> Json:
    """The answer with these records and words of problems; asked for again while Pods and endpoints come about."""
    records = [{"cluster": charts.cluster, **record} for record in expected]
    end = time.monotonic() + 60
    while True:
        answer = ask(charts, **params)
        told = answer["problems"]
        missing = [words for words in problems if not any(words in problem for problem in told)]
        unexpected = [problem for problem in told if not any(words in problem for words in problems)]
        if answer["istiods"] == records and not missing and not unexpected:
            return answer
        assert time.monotonic() < end, (answer["istiods"], missing, unexpected)
        time.sleep(0.1)


@pytest.mark.share
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_situation(charts: IstioCharts, situation: Situation) -> None:
    for release in situation.releases:
        charts.install(*release)
    for write in situation.then:
        write(charts.site, charts.cluster)

    answer = seen(charts, situation.records, situation.problems, **situation.ask)

    assert (answer["istiod"] or {}).get("name") == situation.chosen, answer["msg"]
    assert answer["requests"] <= 6


def with_alias(charts: IstioCharts) -> None:
    """What a workshop does so that other tools find `istiod`."""
    ports = [{"name": "https-dns", "port": 15012, "targetPort": 15012}]
    spec = {"selector": {"app": "istiod", "istio.io/rev": "gloo"}, "ports": ports}
    body = {"metadata": {"name": "istiod", "labels": {"app": "istiod"}}, "spec": spec}
    charts.site.create(charts.cluster, f"/api/v1/namespaces/{SYSTEM}/services", body)


def works(charts: IstioCharts, injector: str) -> bool:
    """Whether a running istiod has written its CA into the injector: it is the only one that does."""
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{injector}"
    hooks = (charts.site.get(charts.cluster, path) or {}).get("webhooks") or [{}]
    return all((hook.get("clientConfig") or {}).get("caBundle") for hook in hooks)


def by_ansible(charts: IstioCharts, **options: Any) -> Json:
    """The module's result, by an ad-hoc command."""
    site = charts.site
    arguments = json.dumps({"kubeconfig": str(site.kubeconfig), "context": charts.cluster, **options})
    command = [str(BIN / "ansible"), "localhost", "-m", "multicluster.gloo.istiod_info", "-a", arguments]
    run = site.run(*command, environment={"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})
    return dict(json.loads(run.output.split("=> ", 1)[1]))


def test_two_that_run(ground: Site) -> None:
    """A real istiod process beside the API server, in the manner of the Gloo Operator; then the default moves to it."""
    with IstioCharts(ground, ground.gateway_cluster).cleared() as charts:
        gloo = {"revision": "gloo", "global": {"tag": f"{TAG}-solo", "multiCluster": {"clusterName": charts.cluster}}}
        charts.install("istiod-gloo", SYSTEM, gloo)
        with_alias(charts)
        running = row("gloo", cluster_id=charts.cluster, version=f"{TAG}-solo")

        seen(charts, (running,), (NO_DEFAULT,))
        wait_until(lambda: works(charts, "istio-sidecar-injector-gloo"), "istiod runs and writes its CA")
        answer = seen(charts, (running,), (NO_DEFAULT,))  # with everything a running istiod adds
        told = by_ansible(charts)
        assert {key: told[key] for key in answer} == answer

        charts.install("istiod-old", SYSTEM, {"revision": "old", "revisionTags": ["default"]})
        old = row("old", tags=["default"])
        answer = seen(charts, (running, old))

        assert answer["istiod"] is None and answer["msg"].endswith(
            "Set revision, namespace or for_namespace to choose one"
        )
        assert ask(charts, revision="gloo")["istiod"]["cluster_id"] == charts.cluster
        refused = by_ansible(charts)
        assert (refused["msg"], refused["istiods"]) == (answer["msg"], answer["istiods"])
