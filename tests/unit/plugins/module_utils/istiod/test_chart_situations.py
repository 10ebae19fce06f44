"""Control planes as Istio's charts leave them in a cluster: each field of each record, the problems, the choice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from acceptance import istio_shapes
from acceptance.istio_shapes import Istiod, Json, Objects, endpoints_of, joined, labelled, namespace
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod

row = functools.partial(istio_shapes.row, version="1.27.0")
Making = Callable[[], Objects]

NO_DEFAULT = "no default injector: label istio-injection=enabled has no effect in this cluster. Use istio.io/rev"
UNREADABLE: dict[str, Any] = {"mesh_id": None, "trust_domain": None, "version": None}
TABLE: dict[str, tuple[Making, list[Json], tuple[str, ...]]] = {}
CHOICES: dict[str, str] = {}


def situation(*records: Json, problems: tuple[str, ...] = (), chosen: str = "") -> Callable[[Making], Making]:
    """Registers objects with their records, words of each problem, and the revision chosen for namespace bookinfo."""

    def register(objects: Making) -> Making:
        TABLE[objects.__name__] = (objects, list(records), problems)
        if chosen:
            CHOICES[objects.__name__] = chosen
        return objects

    return register


def release(
    revision: str = "default", where: str = "istio-system", cluster: str = "Kubernetes", tag: str = "1.27.0"
) -> Istiod:
    """One release of the chart istiod, in this version."""
    mesh = Istiod(revision, where, cluster)
    mesh.container["image"] = f"registry.example/pilot:{tag}"
    mesh.deployment["metadata"]["labels"]["app.kubernetes.io/version"] = tag.partition("-")[0]
    mesh.values["tag"] = tag
    return mesh


def bookinfo(**labels: str) -> Objects:
    return {"namespaces": [namespace("bookinfo", **labels)]}


def not_ready(mesh: Istiod, **status: Any) -> Istiod:
    """Its Pods are not ready."""
    conditions = [{"type": "Available", "status": "False", "message": "Deployment does not have minimum availability."}]
    mesh.deployment["status"] = {"replicas": 1, "unavailableReplicas": 1, "conditions": conditions, **status}
    mesh.slice["endpoints"] = [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]
    return mesh


def elsewhere(mesh: Istiod, service: Json, *addresses: str, **instead: Any) -> Objects:
    """A release of the remote profile: injection is called with the cluster's name, no istiod runs here."""
    mesh.calls(path="/inject/cluster/cluster2/net/network2")
    mesh.values["multiCluster"]["clusterName"] = ""
    slices = [endpoints_of(service, *addresses, ready=None)] if addresses else []
    return mesh.objects(**{"deployments": [], "services": [service], "endpointslices": slices, **instead})


@situation(row(version="1.25.0"))
def defaults_of_1_25() -> Objects:
    return release(tag="1.25.0").objects()


@situation(row())
def defaults_of_1_27() -> Objects:
    return release().objects()


@situation(row(cluster_id="cluster1", mesh_id="mesh1", network="network1", trust_domain="cluster1.example"))
def multicluster() -> Objects:
    mesh = release(cluster="cluster1")
    mesh.values.update(meshID="mesh1", network="network1")
    mesh.mesh = mesh.mesh.replace("cluster.local", "cluster1.example", 1)
    return mesh.objects()


@situation(row("1-25", version="1.25.0"), problems=(NO_DEFAULT,))
def a_revision() -> Objects:
    return release("1-25", tag="1.25.0").objects()


@situation(row("1-25", version="1.25.0", tags=["default", "prod"]), chosen="1-25")
def tags_by_webhooks() -> Objects:
    mesh = release("1-25", tag="1.25.0").tag("default").tag("prod")
    return joined(mesh.objects(), bookinfo(rev="prod"))


@situation(row("1-27", tags=["default", "prod"]), chosen="1-27")
def tags_with_services() -> Objects:
    mesh = release("1-27").tag("default", service=True).tag("prod", service=True)
    return joined(mesh.objects(), bookinfo(istio_injection="enabled"))


@situation(
    row("1-25", version="1.25.0", tags=["default"]),
    row("1-27", tags=["canary"], cluster_id="cluster1", mesh_id="mesh1"),
    chosen="1-27",
)
def two_revisions() -> Objects:
    old, new = release("1-25", tag="1.25.0").tag("default"), release("1-27", cluster="cluster1").tag("canary")
    new.values["meshID"] = "mesh1"
    return joined(old.objects(), new.objects(), bookinfo(rev="canary"))


@situation(
    row(namespace="mesh-control", cluster_id="cluster1", ready=False),
    problems=('no ready Pod: pods "istiod-7d" is forbidden: error looking up service account',),
)
def another_namespace_without_its_service_account() -> Objects:
    mesh = release(where="mesh-control", cluster="cluster1")
    told = 'pods "istiod-7d" is forbidden: error looking up service account mesh-control/istiod'
    mesh.deployment["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": told}]}
    mesh.slice["endpoints"] = None
    return mesh.objects()


@situation(row("main", "gloo-mesh", cluster_id="cluster1", mesh_id="cluster1"), problems=(NO_DEFAULT,))
def another_namespace_with_a_revision() -> Objects:
    mesh = release("main", "gloo-mesh", "cluster1")
    mesh.values["meshID"] = "cluster1"
    return mesh.objects()


@situation(row(cluster_id="cluster2", network="network2", **UNREADABLE))
def remote_by_address() -> Objects:
    mesh = release()
    return elsewhere(mesh, mesh.remote(), "172.18.0.9", configmaps=[])


@situation(row(cluster_id="cluster2", network="network2", ready=None, **UNREADABLE))
def remote_by_name() -> Objects:
    mesh = release()
    return elsewhere(mesh, mesh.remote("istiod.primary.example.test"), configmaps=[])


@situation(
    row("1-27", cluster_id="cluster2", network="network2", version=None),
    problems=(
        "istiod.istio-system.svc:15012 refers to a Service that does not exist. Use istiod-1-27.istio-system.svc:15012",
        NO_DEFAULT,
    ),
)
def remote_with_a_revision() -> Objects:
    mesh = release("1-27")
    mesh.mesh = mesh.mesh.replace("istiod-1-27", "istiod")
    return elsewhere(mesh, mesh.remote(), "172.18.0.9")


@situation(row(name="istiod-remote", cluster_id="cluster2", version="1.32.0"))
def remote_with_an_injector_of_its_own() -> Objects:
    mesh = release(cluster="cluster2", tag="1.32.0")
    mesh.mesh = mesh.mesh.replace("istiod", "istiod-remote", 1)
    service = mesh.remote(suffix="-remote")
    return joined(mesh.objects(), {"services": [service], "endpointslices": [endpoints_of(service, "172.18.0.9")]})


@situation(
    row(cluster_id="from-global"), problems=("sets CLUSTER_ID 2 times; the last value is effective: from-global",)
)
def cluster_id_twice() -> Objects:
    mesh = release(cluster="from-global")
    mesh.container["env"].insert(0, {"name": "CLUSTER_ID", "value": "from-env"})
    return mesh.objects()


@situation(row("gloo", cluster_id="cluster1", version="1.27.0-solo"), problems=(NO_DEFAULT,), chosen="gloo")
def of_the_gloo_operator() -> Objects:
    return joined(release("gloo", cluster="cluster1", tag="1.27.0-solo").objects(), bookinfo(rev="gloo"))


@situation(row("gloo", cluster_id="cluster1", version="1.27.0-solo"), problems=(NO_DEFAULT,), chosen="gloo")
def of_the_gloo_operator_with_an_alias() -> Objects:
    mesh = release("gloo", cluster="cluster1", tag="1.27.0-solo")
    alias = labelled("istio-system", "istiod", {"app": "istiod", "istio": "pilot"}, spec=mesh.service["spec"])
    more: Objects = {"services": [alias], "endpointslices": [endpoints_of(alias, "10.0.0.1")]}
    return joined(more, mesh.objects(), bookinfo(rev="gloo"))


@situation(row(cluster_id="cluster1", network="network1", version="1.25.0"), chosen="default")
def one_that_runs() -> Objects:
    """With what istiod itself adds: its CA in the injectors, the root of the CA in every namespace."""
    mesh = release(cluster="cluster1", tag="1.25.0")
    mesh.values["network"] = "network1"
    for hook in mesh.webhooks[0]["webhooks"]:
        hook["clientConfig"]["caBundle"] = "Y2E="
    roots = [labelled(where, "istio-ca-root-cert", {"istio.io/config": "true"}, data={}) for where in ("a", "bookinfo")]
    return joined({"configmaps": roots}, mesh.objects(), bookinfo(istio_injection="enabled"))


@situation(row(ready=False), problems=("Deployment istio-system/istiod has no ready Pod",))
def pending() -> Objects:
    mesh = not_ready(release())
    mesh.slice["endpoints"] = None
    return mesh.objects()


@situation(row(ready=False), problems=("Deployment istio-system/istiod has no ready Pod",))
def crash_looping() -> Objects:
    return not_ready(release()).objects()


@situation(row(cluster_id=None, ready=False), problems=("Service istio-system/istiod selects no istiod Deployment",))
def service_without_a_deployment() -> Objects:
    mesh = release()
    mesh.values["multiCluster"]["clusterName"] = ""
    mesh.slice["endpoints"] = None
    return mesh.objects(deployments=[])


@pytest.mark.parametrize("name", TABLE)
def test_records(name: str) -> None:
    objects, records, _problems = TABLE[name]
    assert istiod.discover(objects())["istiods"] == records


@pytest.mark.parametrize("name", TABLE)
def test_list_order_does_not_matter(name: str) -> None:
    objects = TABLE[name][0]()
    backwards: Objects = {kind: [*reversed(items or [])] for kind, items in objects.items()}
    assert istiod.discover(backwards) == istiod.discover(objects)


@pytest.mark.parametrize("name", CHOICES)
def test_choice_for_bookinfo(name: str) -> None:
    objects = TABLE[name][0]()
    labels = next(n["metadata"]["labels"] for n in objects["namespaces"] or () if n["metadata"]["name"] == "bookinfo")
    chosen = istiod.choose(istiod.discover(objects), for_namespace="bookinfo", namespace_labels=labels)
    assert chosen["revision"] == CHOICES[name]


@pytest.mark.parametrize("name", TABLE)
def test_problems(name: str) -> None:
    """Exactly these problems, in this order."""
    objects, _records, words = TABLE[name]
    problems = istiod.discover(objects())["problems"]
    assert len(words) == len(problems) and all(w in p for w, p in zip(words, problems, strict=True)), problems


@pytest.mark.parametrize("name", TABLE)
def test_every_value_has_a_source(name: str) -> None:
    """One per key and istiod; unknown exactly where the value is null for want of knowledge."""
    objects, records, _problems = TABLE[name]
    sources = istiod.discover(objects())["sources"]
    assert [source["key"] for source in sources] == [*istiod.KEYS] * len(records)
    for index, source in enumerate(sources):
        value = records[index // len(istiod.KEYS)][source["key"]]
        assert source["source"] and (source["certainty"] == "unknown") is (value is None and source["key"] != "network")
