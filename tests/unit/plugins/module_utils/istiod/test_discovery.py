"""Facts of an istiod on objects as the charts make them: a healthy installation, then one thing different at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptance.istio_shapes import Istiod, Json, Objects, endpoints_of, joined, labelled, namespace
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod


def only(objects: Objects) -> Json:
    found = istiod.discover(objects)["istiods"]
    assert len(found) == 1, found
    return dict(found[0])


def source(objects: Objects, key: str) -> tuple[str, str]:
    found = [s for s in istiod.discover(objects)["sources"] if s["key"] == key]
    assert len(found) == 1, found
    return found[0]["source"], found[0]["certainty"]


def test_healthy() -> None:
    assert only(Istiod("gloo").objects()) == {
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


def test_healthy_means_certain_and_no_problem() -> None:
    found = istiod.discover(Istiod().objects())
    assert found["problems"] == []
    assert {s["key"]: s["certainty"] for s in found["sources"]} == dict.fromkeys(istiod.KEYS, "certain")


def test_every_value_of_every_istiod_has_a_source() -> None:
    found = istiod.discover(joined(Istiod().objects(), Istiod("gloo").objects()))
    assert [(s["revision"], s["key"]) for s in found["sources"]] == [
        (r, k) for r in ("default", "gloo") for k in istiod.KEYS
    ]


CLUSTER = {"name": "CLUSTER_ID", "value": "by-env"}
ELSEWHERE = {"name": "CLUSTER_ID", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}


@pytest.mark.parametrize(
    ("args", "env", "noted", "expected", "certainty"),
    [
        (["--clusterID=from-arg"], [CLUSTER], "by-values", "from-arg", "certain"),
        (["--clusterID", "from-arg"], [CLUSTER], "by-values", "from-arg", "certain"),
        (["--clusterID=a", "--clusterID=b"], [], "", "b", "certain"),
        (["--clusterID="], [CLUSTER], "by-values", "Kubernetes", "certain"),
        (["--clusterID=$(CLUSTER_ID)"], [CLUSTER], "by-values", "by-env", "certain"),
        (["--clusterID", "c-$(CLUSTER_ID)"], [ELSEWHERE], "by-values", "by-values", "likely"),
        (["--clusterID=$$(CLUSTER_ID)$"], [ELSEWHERE], "", "$(CLUSTER_ID)$", "certain"),
        (["--clusterID=$(FROM_ENV_FROM)"], [CLUSTER], "", None, "unknown"),
        (["--clusterAliases=x=y"], [], "", "Kubernetes", "certain"),
        ([], [], "by-values", "Kubernetes", "certain"),
        ([], [{"name": "CLUSTER_ID"}], "by-values", "Kubernetes", "certain"),
        ([], [{"name": "CLUSTER_ID", "value": "a"}, CLUSTER], "", "by-env", "certain"),
        ([], [{"name": "N", "value": "n1"}, {"name": "CLUSTER_ID", "value": "c-$(N)"}], "", "c-n1", "certain"),
        ([], [ELSEWHERE], "by-values", "by-values", "likely"),
        ([], [CLUSTER, ELSEWHERE], "by-values", "by-values", "likely"),
        ([], [ELSEWHERE, CLUSTER], "by-values", "by-env", "certain"),
        ([], [ELSEWHERE], "", None, "unknown"),
    ],
)
def test_cluster_id(args: list[str], env: list[Json], noted: str, expected: str | None, certainty: str) -> None:
    mesh = Istiod()
    mesh.container.update(args=["discovery", *args], env=env)
    mesh.values["multiCluster"]["clusterName"] = noted
    assert only(mesh.objects())["cluster_id"] == expected
    assert source(mesh.objects(), "cluster_id")[1] == certainty


@pytest.mark.parametrize(("noted", "expected", "certainty"), [("c9", "c9", "likely"), ("", "Kubernetes", "guess")])
def test_cluster_id_may_come_from_env_from(noted: str, expected: str, certainty: str) -> None:
    mesh = Istiod()
    mesh.container.update(env=[], envFrom=[{"configMapRef": {"name": "x"}}])
    mesh.values["multiCluster"]["clusterName"] = noted
    assert only(mesh.objects())["cluster_id"] == expected
    assert source(mesh.objects(), "cluster_id")[1] == certainty


def test_the_same_duplicate_twice_is_no_problem_another_is() -> None:
    mesh = Istiod()
    mesh.container["env"] += [CLUSTER]
    mesh.values["multiCluster"]["clusterName"] = "by-env"
    assert [p for p in istiod.discover(mesh.objects())["problems"] if "sets CLUSTER_ID 2 times" in p]
    mesh.container["env"] = [CLUSTER, CLUSTER]
    assert istiod.discover(mesh.objects())["problems"] == []
    mesh.container["env"] = [CLUSTER, ELSEWHERE]
    assert "effective: one from another object" in istiod.discover(mesh.objects())["problems"][0]
    mesh.container["args"].append("--clusterID=by-env")  # then none of them counts
    assert istiod.discover(mesh.objects())["problems"] == []


def test_injected_pods_with_another_cluster_id_than_istiod_accepts_are_told() -> None:
    mesh = Istiod()
    mesh.values["multiCluster"]["clusterName"] = "other"
    problems = istiod.discover(mesh.objects())["problems"]
    assert len(problems) == 1 and "the cluster ID other, but istiod accepts cluster1" in problems[0]


@pytest.mark.parametrize(
    ("image", "labels", "expected", "certainty"),
    [
        ("pilot:1.27.0", {}, "1.27.0", "certain"),
        ("registry:5000/x/pilot:1.2.3-solo@sha256:00", {}, "1.2.3-solo", "certain"),
        ("registry:5000/x/pilot@sha256:00", {"app.kubernetes.io/version": "1.26.1"}, "1.26.1", "likely"),
        ("registry:5000/x/pilot", {"helm.sh/chart": "istiod-1.25.3"}, "1.25.3", "likely"),
        ("registry:5000/x/pilot@sha256:00", {}, "1.27.0", "likely"),
    ],
)
def test_version(image: str, labels: dict[str, str], expected: str, certainty: str) -> None:
    mesh = Istiod()
    mesh.container["image"] = image
    mesh.deployment["metadata"]["labels"] = {"app": "istiod", "istio.io/rev": "default", **labels}
    assert only(mesh.objects())["version"] == expected
    assert source(mesh.objects(), "version")[1] == certainty


def test_mesh_id_network_and_trust_domain_have_an_order() -> None:
    mesh = Istiod()
    mesh.mesh = "trustDomain: td.example\ndefaultConfig: {meshId: by-mesh}"
    labelled_network = [namespace("istio-system")]
    labelled_network[0]["metadata"]["labels"]["topology.istio.io/network"] = "by-label"
    record = only(mesh.objects(namespaces=labelled_network))
    assert (record["mesh_id"], record["network"], record["trust_domain"]) == ("by-mesh", "by-label", "td.example")
    mesh.values.update(meshID="by-values", network="by-values")
    record = only(mesh.objects(namespaces=labelled_network))
    assert (record["mesh_id"], record["network"]) == ("by-values", "by-values")
    problems = istiod.discover(mesh.objects(namespaces=labelled_network))["problems"]
    assert any("has network by-label in its label" in p and "sets by-values" in p for p in problems)


def test_mesh_id_of_a_shared_mesh_config() -> None:
    mesh = Istiod()
    mesh.container["env"].append({"name": "SHARED_MESH_CONFIG", "value": "shared"})
    assert only(mesh.objects())["mesh_id"] == "cluster.local"
    assert source(mesh.objects(), "mesh_id")[1] == "guess"
    mesh.mesh, set_there = "defaultConfig: {}", mesh.mesh
    assert source(mesh.objects(), "trust_domain")[1] == "guess"
    mesh.mesh = set_there
    shared = labelled("istio-system", "shared", data={"mesh": "trustDomain: loses\ndefaultConfig: {meshId: m1}"})
    objects = joined(mesh.objects(), {"configmaps": [shared]})
    assert (only(objects)["mesh_id"], only(objects)["trust_domain"]) == ("m1", "cluster.local")
    shared["data"]["mesh"] = "defaultConfig: 7"
    assert only(objects)["mesh_id"] == "cluster.local"


@pytest.mark.parametrize("text", ["", "- a list", "{broken", "defaultConfig: 7"])
def test_mesh_config_without_settings(text: str) -> None:
    mesh = Istiod()
    mesh.mesh = text
    record = only(mesh.objects())
    assert record["address"] == mesh.address and record["cluster_id"] == "cluster1"
    assert record["trust_domain"] in (None, "cluster.local")


@pytest.mark.parametrize("values", ["", "[]", "{", '{"global": null}', '{"global": {"multiCluster": null}}'])
def test_injector_values_that_say_nothing(values: str) -> None:
    objects = Istiod().objects()
    (objects["configmaps"] or [])[1]["data"]["values"] = values
    assert only(objects)["cluster_id"] == "cluster1"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": "renamed"}, True),
        ({"image": "registry.example/ubi9/istio-pilot-rhel9@sha256:00"}, True),
        ({"image": "registry.example/own/control-plane:1", "args": []}, True),
        ({"command": ["/usr/local/bin/pilot-discovery", "discovery"], "args": []}, True),
        ({"name": "x", "image": "registry.example/x:1", "args": []}, False),
    ],
)
def test_what_is_an_istiod(change: Json, found: bool) -> None:
    mesh = Istiod()
    mesh.container.update(change)
    assert bool(istiod.discover(mesh.objects(services=[]))["istiods"]) is found


def test_other_programs_are_no_istiods() -> None:
    """Gloo Edge's discovery, the CNI's and ztunnel's Services, a gateway of Istio's own."""
    others = [
        ("gloo-system", "discovery", "discovery:1.17", []),
        ("istio-ingress", "gw", "proxyv2:1.27", ["proxy", "router"]),
    ]
    deployments = [
        labelled(
            ns,
            name,
            {"app": name},
            spec={
                "template": {
                    "metadata": {"labels": {"app": name, "istio.io/rev": "default"}},
                    "spec": {"containers": [{"name": name, "image": f"registry.example/{image}", "args": args}]},
                }
            },
            status={"readyReplicas": 1},
        )
        for ns, name, image, args in others
    ]
    services = [
        labelled("istio-ingress", "gw", {}, spec={"selector": {"app": "gw"}, "ports": [{"port": 15012}]}),
        labelled("kube-system", "someone", {}, spec={"ports": [{"port": 15012}]}),
    ]
    assert istiod.discover({**Istiod().objects(), "deployments": deployments, "services": services})["istiods"] == []


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
    mesh = Istiod()
    mesh.slice["endpoints"] = endpoints
    found = istiod.discover(mesh.objects())
    assert found["istiods"][0]["ready"] is ready
    assert any("has no ready endpoint" in p for p in found["problems"]) is not ready


@pytest.mark.parametrize("unread", [*Istiod().objects()])
def test_what_may_not_be_read_is_unknown_not_wrong(unread: str) -> None:
    whole = only(Istiod("gloo").objects())
    found = istiod.discover({**Istiod("gloo").objects(), unread: None})
    record = found["istiods"][0]
    assert {key: value for key, value in record.items() if value is not None} == {
        key: whole[key] for key, value in record.items() if value is not None
    } | ({"version": "1.27.0"} if unread == "deployments" else {})
    assert not any("no Service" in p or "selects no istiod" in p for p in found["problems"])


def test_mesh_config_alone_still_leads_to_istiod() -> None:
    record = only({"configmaps": Istiod("gloo").objects()["configmaps"]})
    assert (record["name"], record["address"]) == ("istiod-gloo", "istiod-gloo.istio-system.svc:15012")
    assert (record["cluster_id"], record["ready"]) == ("cluster1", None)


PARTS: list[Objects] = [
    Istiod("a").tag("prod").objects(),
    Istiod("b", "mesh-b").tag("default", service=True).objects(),
    Istiod().deactivated().objects(),
    Istiod("a", "mesh-c", "cluster3").objects(),
    joined(Istiod("r", "far").objects(deployments=[], services=[Istiod("r", "far").remote()])),
    Istiod("gone").objects(deployments=[], endpointslices=[]),
    Istiod("hook").objects(deployments=[], endpointslices=[], services=[]),
    {"services": [Istiod("a").service_named("alias"), Istiod("a").service_named("another")]},
]
WHOLE = joined(*PARTS)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_order_of_lists_never_matters(data: st.DataObject) -> None:
    shuffled: Objects = {kind: data.draw(st.permutations(items or [])) for kind, items in WHOLE.items()}
    assert istiod.discover(shuffled) == istiod.discover(WHOLE)


@pytest.mark.parametrize(
    ("address", "namespace", "service"),
    [
        ("istiod.istio-system.svc:15012", "", ("istio-system", "istiod")),
        ("istiod.istio-system.svc.cluster.local:15012", "", ("istio-system", "istiod")),
        ("istiod.istio-system.svc.clusterset.local:15012", "", None),
        ("istiod:15012", "istio-system", ("istio-system", "istiod")),
        ("istiod:15012", "", None),
        ("istiod.istio-system:15012", "istio-system", ("istio-system", "istiod")),
        ("example.com:15012", "istio-system", None),
        ("10.0.0.5:15012", "istio-system", None),
        ("[fd00::5]:15012", "istio-system", None),
        ("", "istio-system", None),
    ],
)
def test_service_of_address(address: str, namespace: str, service: Any) -> None:
    assert istiod.service_of_address(address, namespace) == service


def test_endpoint_without_condition_counts_as_ready() -> None:
    mesh = Istiod()
    assert only(mesh.objects(endpointslices=[endpoints_of(mesh.service, "10.0.0.1", ready=None)]))["ready"] is True
