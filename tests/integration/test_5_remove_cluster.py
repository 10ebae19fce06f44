"""remove_cluster.yml takes one workload cluster out while the others serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.audit import Mark
from acceptance.eyes import reviews_seen
from acceptance.site import Inventory, Run, Site, edited, missing, nothing_left, wait_until
from acceptance.stream import Stream

Json = dict[str, Any]

REGISTRATIONS = "/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh/kubernetesclusters"
ENTRIES = "/apis/networking.istio.io/v1/workloadentries"
SERVER = "/apis/apps/v1/namespaces/gloo-mesh/deployments/gloo-mesh-mgmt-server"


def remove(site: Site, name: str, *options: str, inventory: Inventory | None = None, **variables: Any) -> Run:
    given = {"remove_cluster": name, "remove_grace": 3, **variables}
    return site.play("remove_cluster", *options, inventory=inventory, variables=given)


def without(site: Site, *hosts: str) -> Inventory:
    """The inventory without these hosts."""
    inventory = site.inventory
    for group in inventory["all"]["children"].values():
        group["hosts"] = {host: given for host, given in group["hosts"].items() if host not in hosts}
    return inventory


def unreachable(site: Site, kubeconfig: Path, *hosts: str) -> Inventory:
    """The inventory with another kubeconfig for these hosts."""
    inventory = site.inventory
    for group in inventory["all"]["children"].values():
        for host in set(group["hosts"]) & set(hosts):
            group["hosts"][host] = {**(group["hosts"][host] or {}), "kubeconfig": str(kubeconfig)}
    return inventory


def nobody_listens(config: Json) -> None:
    for each in config["clusters"]:
        each["cluster"]["server"] = "https://127.0.0.1:1"


def registered(site: Site) -> set[str]:
    return {each["metadata"]["name"] for each in (site.get(site.management, REGISTRATIONS) or {"items": []})["items"]}


def leading_to_others(site: Site, cluster: str) -> list[str]:
    return [each["metadata"]["name"] for each in (site.get(cluster, ENTRIES) or {"items": []})["items"]]


@pytest.fixture
def unchanged(deployed: Site) -> Iterator[Site]:
    mark = Mark(deployed)
    yield deployed
    assert [str(write) for write in mark.writes()] == []


@pytest.fixture
def repaired(deployed: Site) -> Iterator[Site]:
    """The deployed lab; built again afterwards, as after a host was added to the inventory."""
    yield deployed
    deployed.play("site").ok()
    assert registered(deployed) == set(deployed.group("workload"))
    assert {pod.rsplit("-", 2)[0] for pod in reviews_seen(deployed, 60)} == {"reviews-v1", "reviews-v2", "reviews-v3"}


@pytest.mark.share
@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("", {}, "remove_cluster is not set. Set it to the name of a workload cluster: cluster1, cluster2"),
        ("mgmt", {}, "mgmt: is the management cluster"),
        ("cluster9", {}, r"cluster9: is not registered in mgmt \(registered: cluster1, cluster2\)"),
        ("cluster1", {}, "cluster1: is the only host of inventory group gateway.*remove_gateway=true"),
        ("cluster2", {"without": "cluster1"}, "cluster2: is the last workload cluster"),
        ("cluster2", {"without": "cluster2"}, "cluster2: is registered in mgmt but is no workload host"),
        ("cluster2", {"dead": "cluster2"}, "cluster2: the API server .* does not respond.*remove_unreachable=true"),
        ("cluster2", {"dead": "cluster1"}, "cluster1: the API server .* Endpoints in it that lead to cluster2"),
        ("cluster2", {"dead": "mgmt"}, "mgmt: the API server .* does not respond"),
        ("cluster2", {"same": "cluster1"}, "cluster2 and cluster1 are the same cluster"),
    ],
)
def test_clusters_that_must_not_be_removed(unchanged: Site, name: str, options: dict[str, str], says: str) -> None:
    site = unchanged
    with edited(site.kubeconfig, nobody_listens) as dead:
        inventory = site.inventory
        if "without" in options:
            inventory = without(site, options["without"])
            inventory["all"]["children"]["gateway"]["hosts"] = dict.fromkeys(
                inventory["all"]["children"]["workload"]["hosts"]
            )
        if "dead" in options:
            inventory = unreachable(site, dead, options["dead"])
        if "same" in options:
            inventory["all"]["children"]["workload"]["hosts"][name] = {"kube_context": options["same"]}
        run = remove(site, name, inventory=inventory)
    assert run.code != 0
    assert missing([says], run.errors) == []
    assert "Traceback" not in run.output
    assert run.changed == {}


@pytest.mark.share
def test_check_mode_shows_the_plan(unchanged: Site) -> None:
    run = remove(unchanged, unchanged.remote_cluster, "--check").ok()
    shown = ["would be deleted KubernetesCluster gloo-mesh/cluster2", "cluster1: WorkloadEntry", "would uninstall"]
    assert missing(shown, run.text) == []


@pytest.mark.share
def test_a_cluster_that_is_only_not_in_the_inventory_is_a_warning_of_the_doctor(unchanged: Site) -> None:
    run = unchanged.play(
        "doctor", inventory=without(unchanged, unchanged.remote_cluster), variables={"doctor_show": "problems"}
    )
    assert missing([f"no workload host of the inventory: {unchanged.remote_cluster}"], run.text) == []


@pytest.mark.share
def test_no_request_fails_during_the_removal(repaired: Site) -> None:
    site, name = repaired, repaired.remote_cluster
    rest = without(site, name)
    with Stream(site, "/reviews/0", "/productpage") as stream:
        remove(site, name).ok()
    assert stream.failures == {}, f"of {stream.sent} requests"
    assert stream.sent > 100

    assert registered(site) == set(site.group("workload")) - {name}
    assert leading_to_others(site, site.gateway_cluster) == []
    assert {pod.rsplit("-", 2)[0] for pod in reviews_seen(site, 40)} == {"reviews-v1", "reviews-v2"}
    for path in ("/api/v1/namespaces/bookinfo", "/api/v1/namespaces/istio-system", "/api/v1/namespaces/istio-eastwest"):
        assert site.get(name, path) is None

    mark = Mark(site)
    assert remove(site, name).ok().changed == {}
    assert site.play("site", inventory=rest).ok().changed == {}
    site.play("doctor", inventory=rest, variables={"doctor_fail_on": "warning"}).ok()
    assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
@pytest.mark.parametrize("server", ["running", "down"])
def test_a_cluster_that_is_gone_is_removed_from_the_others(repaired: Site, server: str) -> None:
    site, name = repaired, repaired.remote_cluster
    if server == "down":
        site.patch(site.management, SERVER, {"spec": {"replicas": 0}})
        wait_until(lambda: not (site.get(site.management, SERVER) or {})["status"].get("readyReplicas"), "no server")
    try:
        mark = Mark(site)
        with edited(site.kubeconfig, nobody_listens) as dead, Stream(site, "/reviews/0") as stream:
            inventory = unreachable(site, dead, name)
            run = remove(site, name, inventory=inventory, remove_unreachable=True).ok()
            assert {write.cluster for write in mark.writes()} == {site.management} | (
                {site.gateway_cluster} if server == "down" else set()
            )
            assert remove(site, name, inventory=inventory, remove_unreachable=True).ok().changed == {}
    finally:
        site.patch(site.management, SERVER, {"spec": {"replicas": 1}})
    assert stream.failures == {}, f"of {stream.sent} requests"
    assert missing(["deleted KubernetesCluster"], run.text) == []
    assert registered(site) == set(site.group("workload")) - {name}
    nothing_left(lambda: leading_to_others(site, site.gateway_cluster))
    # It responds again: what is in it is removed now.
    remove(site, name).ok()
    assert site.get(name, "/api/v1/namespaces/istio-system") is None


@pytest.mark.share
def test_a_cluster_without_a_host_is_removed_by_its_registered_name(repaired: Site) -> None:
    site, name = repaired, repaired.remote_cluster
    remove(site, name, inventory=without(site, name), remove_unreachable=True).ok()
    assert registered(site) == set(site.group("workload")) - {name}
    assert leading_to_others(site, site.gateway_cluster) == []
    remove(site, name).ok()
