"""gateway_proxy_info on a Gateway with a broken proxy, one fault at a time: verdict, first cause, recovery.

It is a second Gateway, so that its faults do not affect the site. It uses the lab's real istiod and pilot-agent, so a
wrong setting results in a missing certificate as in a real cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.audit import Mark
from acceptance.edge import NAME, NAMESPACE, Edge
from acceptance.eyes import healthy
from acceptance.proxy_faults import FAULTS, Fault
from acceptance.site import Run, Site, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError

Json = dict[str, Any]

THREE = ["kgateway-proxy", "sds", "istio-proxy"]


@pytest.fixture(scope="module")
def edge(three_clusters: Site, before: object) -> Iterator[Edge]:
    """A second Gateway on the deployed site, ready."""
    three_clusters.ensure_deployed()
    gateway = Edge(three_clusters)
    gateway.create()
    try:
        gateway.at_rest()
        yield gateway
    finally:
        gateway.delete()
        wait_until(lambda: healthy(three_clusters), "the site at rest after its second Gateway", 120)


@pytest.mark.share
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_first_cause_is_told(edge: Edge, fault: Fault) -> None:
    undo = fault.break_it(edge)
    try:
        edge.until(fault.seen, f"{fault.verdict}, {fault.check}, served by {fault.serving}, {fault.says}")
        with pytest.raises(ClusterError) as error:
            edge.run(expect=THREE)
    finally:
        undo()
    edge.at_rest()
    assert error.value.msg.startswith(f"{edge.cluster}: Gateway {NAMESPACE}/{NAME} not ready: ")
    assert error.value.facts["proxies"][0]["check"] == fault.check


def crashes(record: Json) -> bool:
    """sds of the new Pod has ended and waits for its next try."""
    current = [c for pod in record["pods"] if pod["current"] for c in pod["containers"] if c["name"] == "sds"]
    return any(c["reason"].startswith("CrashLoopBackOff") and c["restarts"] for c in current)


def test_the_cluster_id_is_the_cause_of_a_crash_loop(edge: Edge) -> None:
    edge.tell_istio("istioMetaClusterId", "not-the-cluster")
    try:
        record = edge.until(crashes, "sds in CrashLoopBackOff")
    finally:
        edge.tell_istio("istioMetaClusterId", edge.cluster)
    edge.at_rest()
    assert (record["verdict"], record["check"], record["serving"]) == ("failed", "cluster-id", "former")
    assert [(p["current"], p["ready"]) for p in record["pods"]] == [(True, False), (False, True)]
    [setting] = [s for s in record["settings"] if s["env"] == "ISTIO_META_CLUSTER_ID"]
    assert (setting["pod"], setting["wanted"], setting["istiod"]) == (
        "not-the-cluster",
        "not-the-cluster",
        edge.cluster,
    )
    assert setting["fits"] is False


def through_ansible(edge: Edge, *arguments: str, **more: Any) -> Run:
    """One task, as a user runs it."""
    options = json.dumps(edge.options(**more))
    return edge.site.run(
        "ansible", "localhost", "-m", "multicluster.gloo.gateway_proxy_info", "-a", options, *arguments
    )


def test_a_wait_ends_with_the_verdict_and_tells_what_it_waits_for(edge: Edge) -> None:
    edge.tell_istio("istioDiscoveryAddress", "istiod-nope.istio-system.svc:15012")
    try:
        broken = through_ansible(edge, expect=THREE, wait=True, wait_timeout=120)
    finally:
        edge.tell_istio("istioDiscoveryAddress", "istiod-gloo.istio-system.svc:15012")
    healed = through_ansible(edge, expect=THREE, wait=True, wait_timeout=120)

    assert broken.code != 0 and healed.code == 0, healed.output
    cause = "istiod-nope.istio-system.svc:15012 in GatewayParameters edge/edge-settings: the Service does not exist"
    assert cause in broken.text
    assert re.search(r"\(waited \d+ s\)", broken.text) and "Traceback" not in broken.text
    edge.at_rest()


def test_an_absent_gateway_is_told_with_its_namesakes(edge: Edge) -> None:
    [record] = edge.run(gateway="http")["proxies"]
    assert record["cause"] == f"Gateway {NAMESPACE}/http does not exist; a Gateway of this name exists in gloo-system"


def test_every_gateway_of_the_cluster_is_looked_at(edge: Edge) -> None:
    records = edge.run(namespace=None, gateway=None)["proxies"]
    verdicts = {(r["namespace"], r["gateway"]): r["verdict"] for r in records}
    assert verdicts == {(NAMESPACE, NAME): "ready", ("gloo-system", "http"): "ready"}


# -- restart ---------------------------------------------------------------------------------------------------------


def test_only_a_change_of_the_bootstrap_alone_restarts(edge: Edge) -> None:
    # A fault that was taken back before its Pods were there leaves a bootstrap newer than the Pod.
    edge.run(restart="if_needed", wait=True, wait_timeout=120)
    edge.at_rest()
    before = edge.pod()
    untouched = edge.run(restart="if_needed")
    assert (untouched["changed"], untouched["restarted"]) == (False, [])

    edge.tell({"stats": {"statsRoutePrefixRewrite": "/stats?filter=x"}})
    record = edge.until(lambda r: bool(r["problems"]), "the bootstrap newer than its Pod")
    assert record["verdict"] == "ready" and "restart: if_needed" in record["problems"][0]

    mark = Mark(edge.site)
    foretold = edge.run(check=True, restart="if_needed")
    assert [str(write) for write in mark.writes()] == []
    done = edge.run(restart="if_needed", expect=THREE, wait=True, wait_timeout=120)
    after = edge.pod()

    assert foretold["changed"] and "would be restarted" in foretold["msg"]
    assert done["changed"] and done["restarted"] == foretold["restarted"]
    reason = (
        f"the Envoy bootstrap in ConfigMap {NAMESPACE}/{NAME} changed after {before['metadata']['name']} had started"
    )
    assert reason in done["msg"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert done["proxies"][0]["problems"] == []
    again = edge.run(restart="if_needed", wait=True, wait_timeout=60)
    assert (again["changed"], again["restarted"]) == (False, [])


def test_a_change_that_rolls_the_pods_anyway_restarts_nothing(edge: Edge) -> None:
    edge.tell({"podTemplate": {"extraLabels": {"new": "pod"}}, "stats": {"statsRoutePrefixRewrite": "/stats"}})
    edge.until(lambda r: r["deployment"]["rollout"] == "waiting" or len(r["pods"]) > 1, "the rollout")
    result = edge.run(restart="if_needed", expect=THREE, wait=True, wait_timeout=120)
    assert result["restarted"] == []
    edge.at_rest()


def test_it_only_reads(edge: Edge) -> None:
    edge.at_rest()
    mark = Mark(edge.site)
    edge.run(expect=THREE, wait=True, wait_timeout=60)
    edge.run(check=True, restart="if_needed")
    assert [str(write) for write in mark.writes()] == []
