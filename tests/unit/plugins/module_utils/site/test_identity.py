"""A cluster is the one that was registered under its name: by the UID that the role records, else by its agent."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.site import cluster_preflight
from ansible_collections.multicluster.gloo.plugins.module_utils.site.identity import (
    UID,
    Identity,
    Management,
    left_out,
    mistaken,
)

Json = dict[str, Any]
OURS = {"app.kubernetes.io/managed-by": "multicluster.gloo"}


def registration(name: str, uid: str = "", labels: Json = OURS) -> Json:
    annotations = {UID: uid} if uid else {}
    meta = {"name": name, "namespace": "gloo-mesh", "labels": labels, "annotations": annotations}
    return {"kind": "KubernetesCluster", "metadata": meta}


def agent(name: str, ready: int = 1) -> Json:
    containers = [{"name": "gloo-mesh-agent", "args": [f"--cluster={name}", "--relay-address=x:9900"]}]
    spec = {"replicas": 1, "template": {"spec": {"containers": containers}}}
    meta = {"name": "gloo-mesh-agent", "namespace": "gloo-mesh"}
    return {"kind": "Deployment", "metadata": meta, "spec": spec, "status": {"readyReplicas": ready}}


SITE = Management("mgmt", [registration("c1", "u1"), registration("c2", "u2")])
FOREIGN = Management("mgmt", [registration("c1", labels={}), registration("c2", labels={})])
NEW = Management("mgmt", [])
EMPTY = Management("mgmt", [], serves=False)


def here(name: str = "c1", uid: str = "u1", agent_name: str = "c1", ready: int = 1, **more: Any) -> Identity:
    return Identity(name, uid, "my-context", [agent(agent_name, ready)] if agent_name else [], **more)


@pytest.mark.parametrize(
    ("cluster", "management"),
    [
        (here(), SITE),
        (here(agent_name=""), SITE),  # an interrupted run
        (here("c3", "u3", ""), SITE),  # a cluster that is added
        (here("c3", "u3", ""), EMPTY),  # the first run
        (here("c1", "", ""), SITE),  # Namespace kube-system cannot be read
        (here("c1", "u9", "c1"), Management("mgmt", [registration("c1")])),  # registered before UIDs were recorded
        (here("c1", "u9", "c2"), FOREIGN),  # reported by layers_info, which knows which layers are managed
        (here("c1", "u1", "c1"), NEW),  # registrations were deleted
        (here("c1", "u1", "c1", ready=0), EMPTY),
    ],
)
def test_the_right_cluster_is_accepted(cluster: Identity, management: Management) -> None:
    assert list(mistaken(cluster, management, ())) == []


@pytest.mark.parametrize(
    ("cluster", "management", "says"),
    [
        # swapped contexts
        (here("c1", "u2", "c2"), SITE, "my-context leads to the cluster that is registered as c2 (UID u2"),
        (here("c2", "u1", "c1"), SITE, "my-context leads to the cluster that is registered as c1 (UID u1"),
        (here("c1", "u2", ""), SITE, "registered as c2"),
        (here("c3", "u1", "c1"), SITE, "registered as c1"),  # renamed
        (
            here("c2", "u1", "c1"),
            Management("mgmt", [registration("c1"), registration("c2")]),
            "registered as c1: Deployment gloo-mesh/gloo-mesh-agent uses this name",
        ),
        # rebuilt, or the cluster of another site
        (here("c1", "u9", ""), SITE, "kube-system has UID u9, KubernetesCluster gloo-mesh/c1 was created for u1"),
        (here("c1", "u9", "c1"), SITE, "remove_cluster.yml -e remove_cluster=c1 -e remove_unreachable=true"),
        (here("c1", "u9", "prod"), SITE, "-e replaced_clusters=c1"),
        # the management cluster instead of a workload cluster, and another management cluster
        (here("c1", "um", "", registered=[registration("c1", "u1")]), EMPTY, "leads to the management cluster of a"),
        (here("c1", "u1", "c1"), EMPTY, "belongs to another management cluster"),
    ],
)
def test_another_cluster_is_refused_with_the_remedy(cluster: Identity, management: Management, says: str) -> None:
    [text] = mistaken(cluster, management, ())
    assert says in text and "Correct kube_context" in text


@pytest.mark.parametrize(
    ("cluster", "management", "accepted"), [(here("c1", "u9", ""), SITE, "c1"), (here(), EMPTY, "mgmt")]
)
def test_a_rebuilt_cluster_can_be_accepted(cluster: Identity, management: Management, accepted: str) -> None:
    assert list(mistaken(cluster, management, {accepted})) == []
    assert list(mistaken(cluster, management, {"c7"})) != []


@pytest.mark.parametrize("accepted", ["c1", "c2"])
def test_swapped_contexts_cannot_be_accepted(accepted: str) -> None:
    assert list(mistaken(here("c1", "u2", "c2"), SITE, {accepted})) != []


def test_clusters_left_out_of_the_inventory_are_named() -> None:
    registered = [registration(name) for name in ("c1", "c9", "c8", "hub")]
    cluster = Identity("mgmt", "um", "my-context", [agent("hub")], registered)
    assert left_out(cluster, ["mgmt", "c1", "c2"]) == ["c8", "c9"]


# -- the module


@pytest.fixture
def clusters(fake: Any) -> Any:
    """One API server for both clusters: what the module reads where."""
    api, kubeconfig = fake
    api.kinds["v1"] |= {"resourcequotas": ("ResourceQuota", True)}
    hooks = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    api.kinds["admissionregistration.k8s.io/v1"] = {f"{kind.lower()}s": (kind, False) for kind in hooks}
    api.kinds["admin.gloo.solo.io/v2"] = {"kubernetesclusters": ("KubernetesCluster", True)}
    api.write("v1", "namespaces", "", {"metadata": {"name": "gloo-mesh"}})
    return api, kubeconfig


def preflight(kubeconfig: str, **options: Any) -> Json:
    defaults = {name: row.get("default") for name, row in cluster_preflight.ARGUMENT_SPEC.items()}
    planned = {name: row["default"] for name, row in cluster_preflight.ARGUMENT_SPEC["planned"]["options"].items()}
    connection = {"kubeconfig": kubeconfig, "context": "fake", "cluster": "c1"}
    managed = {"management_kubeconfig": kubeconfig, "management_context": "other", "management_name": "mgmt"}
    return cluster_preflight.run({**defaults, **connection, **managed, "planned": planned, **options}, False, print)


def test_a_cluster_is_compared_with_its_registration(clusters: Any) -> None:
    api, kubeconfig = clusters
    uid = api.get("v1", "namespaces", "", "kube-system")["metadata"]["uid"]
    place = ("admin.gloo.solo.io/v2", "kubernetesclusters", "gloo-mesh")
    api.write(*place, {"metadata": {"name": "east", "annotations": {UID: uid}}})
    assert preflight(kubeconfig, registered_name="east")["preflight"]["verdict"] == "ok"
    with pytest.raises(Invalid, match="c1: context fake leads to the cluster that is registered as east"):
        preflight(kubeconfig)
    api.write(*place, {"metadata": {"name": "east", "annotations": {UID: "former"}}})
    with pytest.raises(Invalid, match=f"has UID {uid}, KubernetesCluster gloo-mesh/east was created for former"):
        preflight(kubeconfig, registered_name="east")
    for accepted in ("c1", "east"):  # the names of the host and of the registration
        assert preflight(kubeconfig, registered_name="east", replaced=[accepted])["preflight"]["verdict"] == "ok"
    assert api.writes() == []


def test_the_management_cluster_names_who_is_left_out(clusters: Any) -> None:
    api, kubeconfig = clusters
    for name in ("c2", "c9"):
        api.write("admin.gloo.solo.io/v2", "kubernetesclusters", "gloo-mesh", {"metadata": {"name": name}})
    result = preflight(kubeconfig, role="management", cluster="mgmt", clusters=["mgmt", "c2"])
    [finding] = result["preflight"]["findings"]
    assert finding["verdict"] == "warning" and finding["message"].startswith("KubernetesCluster c9: is registered")
    assert "remove_cluster=c9 -e remove_unreachable=true" in finding["message"]
