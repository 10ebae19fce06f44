"""traffic_check finds the expected instances in all workload clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import sampling, traffic_check

Json = dict[str, Any]
REVIEWS = {"namespace": "bookinfo", "label_selector": "app=reviews"}
PAGE = {"namespace": "bookinfo", "label_selector": "app=page", "port": 9080}


class Clusters:
    """Two workload clusters and a management cluster that must not be read."""

    def __init__(self, **served: tuple[Any, str]) -> None:
        self.apis = {name: api for name, (api, _kubeconfig) in served.items()}
        self.rows: list[Json] = [
            {"name": name, "kubeconfig": kubeconfig, "context": "fake", "role": "workload"}
            for name, (_api, kubeconfig) in served.items()
        ]
        self.rows.append({"name": "mgmt", "kubeconfig": "/nowhere", "context": "mgmt", "role": "management"})
        for api in self.apis.values():
            api.write("v1", "namespaces", "", {"metadata": {"name": "bookinfo"}})

    def deploy(self, cluster: str, name: str, app: str = "reviews", replicas: int = 1, ready: bool = True) -> None:
        labels = {"app": app, "deployment": name}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"deployment": name}}}
        meta = {"name": name, "labels": labels}
        self.apis[cluster].write("apps/v1", "deployments", "bookinfo", {"metadata": meta, "spec": spec})
        for number in range(replicas):
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
            found = {"metadata": {"name": f"{name}-{number}", "labels": labels}, "status": status}
            self.apis[cluster].write("v1", "pods", "bookinfo", found)

    def check(self, cluster: str = "east", **changes: Any) -> Json:
        row = next(each for each in self.rows if each["name"] == cluster)
        defaults = {name: option.get("default") for name, option in traffic_check.ARGUMENT_SPEC.items()}
        own = {"kubeconfig": row["kubeconfig"], "context": row["context"], "cluster": cluster}
        given = {"clusters": self.rows, "answered_by": REVIEWS, "url": "http://192.0.2.1", "patience": 0}
        return traffic_check.run({**defaults, **own, **given, **changes}, False, print)


@pytest.fixture
def clusters(serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clusters]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with serving(tmp_path / "one", "fake") as one, serving(tmp_path / "two", "fake") as two:
        made = Clusters(east=one, west=two)
        names = ["reviews-v1-0", "reviews-v3-0"]

        class Client:
            target = "the gateway"

            def __init__(self, *args: Any) -> None:
                pass

            def send(self) -> sampling.Response:
                names.append(names.pop(0))
                return sampling.Response(names[-1], "200")

            def close(self) -> None:
                pass

        monkeypatch.setattr(traffic_check, "UrlClient", Client)
        monkeypatch.setattr(traffic_check, "_PodClient", Client)
        yield made


def test_every_ready_instance_in_all_workload_clusters_has_to_respond(clusters: Clusters) -> None:
    clusters.deploy("east", "reviews-v1")
    clusters.deploy("west", "reviews-v3")
    result = clusters.check(name="reviews", path="/reviews/0")
    assert [(row["instance"], row["cluster"], row["workload"]) for row in result["answers"]] == [
        ("reviews-v1-0", "east", "reviews-v1"),
        ("reviews-v3-0", "west", "reviews-v3"),
    ]
    proof = result["proof"]
    assert (proof["proof"], proof["cluster"], proof["path"], proof["sent"]) == ("reviews", "east", "/reviews/0", 2)
    assert proof["answers"] == [
        {"instance": "reviews-v1-0", "cluster": "east", "count": 1},
        {"instance": "reviews-v3-0", "cluster": "west", "count": 1},
    ]


def test_an_instance_that_does_not_respond_is_named_with_its_cluster(clusters: Clusters) -> None:
    clusters.deploy("east", "reviews-v1")
    clusters.deploy("west", "reviews-v2")
    with pytest.raises(ClusterError, match=r"^west: no response from reviews-v2 \(instance reviews-v2-0\)"):
        clusters.check()


def test_a_deployment_that_cannot_respond_is_refused_before_the_first_request(clusters: Clusters) -> None:
    clusters.deploy("east", "reviews-v1")
    clusters.deploy("east", "reviews-v2", ready=False)
    clusters.deploy("west", "reviews-v3", replicas=0)
    with pytest.raises(ClusterError) as refusal:
        clusters.check()
    assert "east: Deployment bookinfo/reviews-v2 has no ready Pod" in refusal.value.msg
    assert "west: Deployment bookinfo/reviews-v3 is scaled to 0 replicas" in refusal.value.msg
    assert "requests_sent" not in refusal.value.facts


def test_no_backend_at_all_is_refused(clusters: Clusters) -> None:
    with pytest.raises(ClusterError, match="east, west: no Pod in namespace bookinfo has labels app=reviews"):
        clusters.check()


def test_requests_are_sent_from_clusters_that_have_a_ready_pod(clusters: Clusters) -> None:
    clusters.deploy("east", "reviews-v1")
    clusters.deploy("west", "reviews-v3")
    clusters.deploy("east", "page-v1", app="page")
    inside = {"url": None, "from_pod": PAGE}
    assert clusters.check("east", **inside)["requests_sent"] == 2
    skipped = clusters.check("west", **inside)
    assert skipped["skipped"] is True and "sent from east" in skipped["msg"] and "proof" not in skipped


def test_a_deployment_that_should_send_requests_and_cannot_is_refused(clusters: Clusters) -> None:
    clusters.deploy("east", "page-v1", app="page")
    clusters.deploy("west", "page-v1", app="page", ready=False)
    with pytest.raises(ClusterError, match="west: Deployment bookinfo/page-v1 has no ready Pod"):
        clusters.check("west", url=None, from_pod=PAGE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"clusters": []}, "'clusters' is empty"),
        ({"expect": [{"instance": "x", "cluster": "", "workload": ""}]}, "'answered_by' and 'expect' are both set"),
        ({"answered_by": None}, "'expect' is empty"),
    ],
)
def test_options_that_contradict_each_other_are_refused(clusters: Clusters, change: Json, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        clusters.check(**change)
