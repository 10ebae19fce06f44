"""Istiod discovery and choice on objects made here: one healthy installation, then one thing different at a time."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils import istiod

Json = dict[str, Any]


def labelled(namespace: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> Json:
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels or {}}, **rest}


def pod_labels(revision: str) -> dict[str, str]:
    return {"app": "istiod", "istio": "pilot" if revision == "default" else "istiod", "istio.io/rev": revision}


def suffixed(name: str, revision: str) -> str:
    return name if revision == "default" else f"{name}-{revision}"


class Mesh:
    """The objects one Helm release of istiod leaves in a cluster."""

    def __init__(self, revision: str = "default", namespace: str = "istio-system", cluster: str = "cluster1") -> None:
        self.revision, self.namespace = revision, namespace
        self.name = suffixed("istiod", revision)
        rev = {"istio.io/rev": revision}
        self.container: Json = {
            "name": "discovery",
            "image": "registry.example:5000/istio/pilot:1.27.0-solo",
            "args": ["discovery", "--domain", "cluster.local"],
            "env": [{"name": "REVISION", "value": revision}, {"name": "CLUSTER_ID", "value": cluster}],
        }
        template = {"metadata": {"labels": pod_labels(revision)}, "spec": {"containers": [self.container]}}
        self.deployment = labelled(
            namespace,
            self.name,
            {"app": "istiod", "app.kubernetes.io/version": "1.27.0", **rev},
            spec={"replicas": 1, "template": template},
            status={"readyReplicas": 1},
        )
        selector = {
            k: v for k, v in pod_labels(revision).items() if k != ("istio.io/rev" if revision == "default" else "istio")
        }
        self.service = labelled(
            namespace,
            self.name,
            {"app": "istiod", "app.kubernetes.io/name": "istiod", **rev},
            spec={"ports": [{"port": 15012}, {"port": 443}], "selector": selector},
        )
        self.slice = labelled(
            namespace,
            f"{self.name}-x",
            {"kubernetes.io/service-name": self.name},
            endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        )
        self.mesh_text = (
            f"trustDomain: cluster.local\ndefaultConfig: {{discoveryAddress: '{self.name}.{namespace}.svc:15012'}}"
        )
        self.values: Json = {
            "revision": revision,
            "global": {"multiCluster": {"clusterName": cluster}, "network": "", "meshID": ""},
        }
        self.webhooks = [self.webhook(suffixed("istio-sidecar-injector", revision), revision == "default")]

    def webhook(self, name: str, default: bool, tag: str | None = None) -> Json:
        service = {"namespace": self.namespace, "name": self.name, "path": "/inject"}
        names = ["rev.namespace.sidecar-injector.istio.io"] + ["namespace.sidecar-injector.istio.io"] * default
        return {
            "metadata": {
                "name": name,
                "labels": {"istio.io/rev": self.revision} | ({"istio.io/tag": tag} if tag else {}),
            },
            "webhooks": [{"name": n, "clientConfig": {"service": service}} for n in names],
        }

    def tag(self, name: str) -> None:
        self.webhooks.append(self.webhook(f"istio-revision-tag-{name}", name == "default", name))

    def objects(self) -> dict[str, list[Json] | None]:
        rev = {"istio.io/rev": self.revision}
        return {
            "deployments": [self.deployment],
            "services": [self.service],
            "endpointslices": [self.slice],
            "configmaps": [
                labelled(self.namespace, suffixed("istio", self.revision), rev, data={"mesh": self.mesh_text}),
                labelled(
                    self.namespace,
                    suffixed("istio-sidecar-injector", self.revision),
                    rev,
                    data={"values": json.dumps(self.values), "config": "..."},
                ),
            ],
            "mutatingwebhookconfigurations": self.webhooks,
            "namespaces": [labelled("", self.namespace)],
        }


def joined(*parts: dict[str, list[Json] | None]) -> dict[str, list[Json] | None]:
    keys = dict.fromkeys(itertools.chain.from_iterable(parts))
    return {key: [o for part in parts for o in part.get(key) or []] for key in keys}


def only(objects: dict[str, list[Json] | None]) -> Json:
    found = istiod.discover(objects)["istiods"]
    assert len(found) == 1, found
    return found[0]


def test_healthy() -> None:
    assert only(Mesh("gloo").objects()) == {
        "namespace": "istio-system",
        "name": "istiod-gloo",
        "revision": "gloo",
        "tags": [],
        "address": "istiod-gloo.istio-system.svc:15012",
        "cluster_id": "cluster1",
        "mesh_id": "cluster.local",
        "network": None,
        "trust_domain": "cluster.local",
        "version": "1.27.0-solo",
        "ready": True,
    }


def test_every_value_has_a_source() -> None:
    found = istiod.discover(joined(Mesh().objects(), Mesh("gloo").objects()))
    keys = {(s["revision"], s["key"]) for s in found["sources"]}
    assert keys == {(r, k) for r in ("default", "gloo") for k in istiod.KEYS}


@pytest.mark.parametrize(
    ("args", "env", "expected"),
    [
        (["discovery", "--clusterID=from-arg"], [{"name": "CLUSTER_ID", "value": "x"}], "from-arg"),
        (["discovery", "--clusterID", "from-arg"], [{"name": "CLUSTER_ID", "value": "x"}], "from-arg"),
        (["discovery", "--clusterID=a", "--clusterID=b"], [], "b"),
        (["discovery", "--clusterAliases=x=y"], [], "Kubernetes"),
        (["discovery"], [], "Kubernetes"),
        (["discovery"], [{"name": "CLUSTER_ID"}], "Kubernetes"),
        (["discovery"], [{"name": "CLUSTER_ID", "value": "a"}, {"name": "CLUSTER_ID", "value": "b"}], "b"),
        (["discovery"], [{"name": "NAME", "value": "n1"}, {"name": "CLUSTER_ID", "value": "c-$(NAME)"}], "c-n1"),
        (["discovery"], [{"name": "CLUSTER_ID", "valueFrom": {"fieldRef": {}}}], "by-values"),
        (["discovery"], [{"name": "CLUSTER_ID", "value": "a"}, {"name": "CLUSTER_ID", "valueFrom": {}}], "by-values"),
    ],
)
def test_cluster_id(args: list[str], env: list[Json], expected: str) -> None:
    mesh = Mesh()
    mesh.container.update(args=args, env=env)
    mesh.values["global"]["multiCluster"]["clusterName"] = "by-values"
    assert only(mesh.objects())["cluster_id"] == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("pilot:1.27.0", "1.27.0"),
        ("registry:5000/x/pilot:1.2.3-solo@sha256:00", "1.2.3-solo"),
        ("registry:5000/x/pilot@sha256:00", "1.27.0"),
        ("registry:5000/x/pilot", "1.27.0"),
    ],
)
def test_version(image: str, expected: str) -> None:
    mesh = Mesh()
    mesh.container["image"] = image
    assert only(mesh.objects())["version"] == expected


def test_mesh_id_and_network_have_an_order() -> None:
    mesh = Mesh()
    mesh.mesh_text = "trustDomain: td.example\ndefaultConfig: {meshId: by-mesh}"
    objects = mesh.objects()
    namespaces = objects["namespaces"] or []
    namespaces[0]["metadata"]["labels"]["topology.istio.io/network"] = "by-label"
    record = only(objects)
    assert (record["mesh_id"], record["network"], record["trust_domain"]) == ("by-mesh", "by-label", "td.example")
    mesh.values["global"].update(meshID="by-values", network="by-values")
    record = only({**mesh.objects(), "namespaces": namespaces})
    assert (record["mesh_id"], record["network"]) == ("by-values", "by-values")
    problems = istiod.discover({**mesh.objects(), "namespaces": namespaces})["problems"]
    assert any("labelled network by-label" in p and "says by-values" in p for p in problems)


def test_gateways_aliases_and_tags_are_not_addresses() -> None:
    mesh = Mesh("gloo")
    selector = mesh.service["spec"]["selector"]
    ports = [{"port": 15012}]
    more: list[Json] = [
        labelled(
            "istio-eastwest",
            "eastwest",
            {"istio": "eastwestgateway"},
            spec={"ports": ports, "selector": {"istio": "eastwestgateway"}},
        ),
        labelled("istio-system", "a-alias", {"app": "istiod"}, spec={"ports": ports, "selector": selector}),
        labelled(
            "istio-system",
            "istiod",
            {},
            spec={"type": "ExternalName", "externalName": "istiod-gloo.istio-system.svc.cluster.local", "ports": ports},
        ),
        labelled(
            "istio-system",
            "istiod-revision-tag-prod",
            {"app.kubernetes.io/name": "istiod", "istio.io/rev": "gloo", "istio.io/tag": "prod"},
            spec={"ports": ports, "selector": selector},
        ),
    ]
    objects = joined({"services": more}, mesh.objects())
    record = only(objects)
    assert (record["address"], record["tags"]) == ("istiod-gloo.istio-system.svc:15012", ["prod"])
    serving = istiod.discover(objects)["serving"]
    assert set(serving) == {
        f"istio-system/{n}" for n in ("istiod-gloo", "a-alias", "istiod", "istiod-revision-tag-prod")
    }


def test_a_service_for_two_istiods_is_nobodys_address() -> None:
    wide = labelled(
        "istio-system", "all", {"app": "istiod"}, spec={"ports": [{"port": 15012}], "selector": {"app": "istiod"}}
    )
    found = istiod.discover(joined({"services": [wide]}, Mesh("a").objects(), Mesh("b").objects()))["istiods"]
    assert [r["address"] for r in found] == [f"istiod-{r}.istio-system.svc:15012" for r in "ab"]


def test_external_istiod_without_any_service() -> None:
    mesh = Mesh()
    objects = mesh.objects()
    objects.update(deployments=[], services=[], endpointslices=[])
    for hook in mesh.webhooks[0]["webhooks"]:
        hook["clientConfig"] = {"url": "https://istiod.example.test:15017/inject/cluster/cluster7/net/network7"}
    mesh.mesh_text = "trustDomain: td\ndefaultConfig: {discoveryAddress: 'istiod.example.test:15012'}"
    mesh.values["global"]["multiCluster"] = None
    objects["configmaps"] = mesh.objects()["configmaps"]
    record = only(objects)
    assert (record["address"], record["cluster_id"], record["network"]) == (
        "istiod.example.test:15012",
        "cluster7",
        "network7",
    )
    assert (record["name"], record["ready"]) == (None, None)


def test_half_removed_is_a_problem_and_no_istiod() -> None:
    objects = Mesh().objects()
    objects.update(deployments=[], services=[], endpointslices=[])
    found = istiod.discover(objects)
    assert found["istiods"] == []
    assert any("calls Service istio-system/istiod, which serves no istiod" in p for p in found["problems"])


def test_deployment_without_service() -> None:
    found = istiod.discover({**Mesh().objects(), "services": []})
    assert (found["istiods"][0]["address"], found["istiods"][0]["ready"]) == (None, False)
    assert any("has no Service with port 15012" in p for p in found["problems"])


def test_zero_replicas() -> None:
    mesh = Mesh()
    mesh.deployment["spec"]["replicas"] = 0
    mesh.deployment["status"] = {"conditions": [{"type": "Available", "status": "True"}]}
    found = istiod.discover(mesh.objects())
    assert found["istiods"][0]["ready"] is False
    assert any("0 replicas" in p for p in found["problems"])


@pytest.mark.parametrize(
    ("endpoints", "ready"),
    [
        (None, False),
        ([], False),
        ([{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}], False),
        ([{"addresses": ["10.0.0.1"]}], True),
    ],
)
def test_endpoints_decide_readiness(endpoints: Any, ready: bool) -> None:
    mesh = Mesh()
    mesh.slice["endpoints"] = endpoints
    assert only(mesh.objects())["ready"] is ready


@pytest.mark.parametrize("unread", [*Mesh().objects()])
def test_what_may_not_be_read_is_unknown_not_wrong(unread: str) -> None:
    found = istiod.discover({**Mesh("gloo").objects(), unread: None})
    if unread == "services":
        assert [r["address"] for r in found["istiods"]] == [None]
        return
    record = found["istiods"][0]
    assert record["address"] == "istiod-gloo.istio-system.svc:15012"
    assert record["cluster_id"] == "cluster1"
    assert not any("no Service" in p or "selects no istiod" in p for p in found["problems"])


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_order_of_lists_never_matters(one: list[int], other: list[int]) -> None:
    parts = [Mesh("a").objects(), Mesh("b", "mesh-b").objects(), Mesh().objects(), Mesh("a", "mesh-c").objects()]
    assert istiod.discover(joined(*(parts[i] for i in one))) == istiod.discover(joined(*(parts[i] for i in other)))


def two() -> dict[str, Any]:
    old, new = Mesh("1-25"), Mesh("1-27")
    old.tag("default")
    new.tag("canary")
    return istiod.discover(joined(old.objects(), new.objects()))


@pytest.mark.parametrize(
    ("labels", "revision"),
    [
        ({"istio.io/rev": "1-27"}, "1-27"),
        ({"istio.io/rev": "canary"}, "1-27"),
        ({"istio-injection": "enabled"}, "1-25"),
        ({"istio-injection": "enabled", "istio.io/rev": "canary"}, "1-25"),
    ],
)
def test_choice_by_namespace(labels: dict[str, str], revision: str) -> None:
    assert istiod.choose(two(), for_namespace="bookinfo", namespace_labels=labels)["revision"] == revision


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "2 istiods: istio-system/istiod-1-25 (revision 1-25, tags default, ready); istio-system/istiod-1-27"),
        ({"revision": "nope"}, "no istiod of revision or tag nope; found: istio-system/istiod-1-25"),
        ({"namespace": "elsewhere"}, "no istiod in namespace elsewhere"),
        ({"for_namespace": "plain", "namespace_labels": {}}, "carries no injection label"),
        (
            {"for_namespace": "off", "namespace_labels": {"istio-injection": "disabled", "istio.io/rev": "1-27"}},
            "2 istiods",
        ),
    ],
)
def test_never_one_of_several(options: dict[str, Any], words: str) -> None:
    with pytest.raises(istiod.ChoiceError) as failure:
        istiod.choose(two(), **options)
    assert words in str(failure.value)


def test_nothing_found() -> None:
    with pytest.raises(istiod.ChoiceError, match="no istiod found"):
        istiod.choose(istiod.discover({"deployments": [], "services": []}))


def test_revision_without_default_injector_is_told() -> None:
    assert any("istio-injection=enabled does nothing" in p for p in istiod.discover(Mesh("gloo").objects())["problems"])
    assert istiod.discover(Mesh().objects())["problems"] == []


def test_namespace_and_tag_that_lead_nowhere_are_told() -> None:
    mesh = Mesh()
    mesh.tag("prod")
    mesh.webhooks[-1]["metadata"]["labels"]["istio.io/rev"] = "gone"
    objects = joined({"namespaces": [labelled("", "shop", {"istio.io/rev": "prod"})]}, mesh.objects())
    problems = istiod.discover(objects)["problems"]
    assert "tag prod points to revision gone, which no istiod serves" in problems
    assert "Namespace shop asks for revision prod, which no istiod serves" in problems
