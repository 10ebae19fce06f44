"""The guide: installed, verified, and run again without a write."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance import snapshot
from acceptance.audit import Mark
from acceptance.eyes import GATEWAY_PODS, gateway_url, reviews_seen
from acceptance.site import LAB_LICENCE, REPO, Run, Site, missing

PROOFS = {
    "product page inside the mesh": "/productpage",
    "product page through the gateway": "/productpage",
    "reviews through the gateway": "/reviews/0",
}


@pytest.fixture(scope="module")
def built(three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Iterator[Run]:
    """site.yml on the empty clusters, as molecule's converge."""
    three_clusters.ensure_empty()
    run = three_clusters.molecule("converge")
    three_clusters.note("site.yml on empty clusters, molecule's start included", run.seconds)
    yield run


def test_site_builds_and_proves_all_five_steps(built: Run, three_clusters: Site) -> None:
    built.ok()
    proof = [
        *three_clusters.clusters,
        r"istiod-gloo\.istio-system\.svc:15012",
        r"kgateway-proxy\W+sds\W+istio-proxy",
        r"reviews-v1-\w+-\w+",
        r"reviews-v2-\w+-\w+",
        r"reviews-v3-\w+-\w+",
        re.escape(gateway_url(three_clusters)),
    ]
    assert missing(proof, built.text) == []
    remote, local = three_clusters.remote_cluster, three_clusters.gateway_cluster
    for title, path in PROOFS.items():
        requests, answers = _answers(built.text, title, path)
        assert {workload: cluster for workload, cluster, _ in answers} == {
            "reviews-v1": local,
            "reviews-v2": local,
            "reviews-v3": remote,
        }, title
        assert all(count >= 1 for _, _, count in answers), title
        assert requests >= sum(count for _, _, count in answers) >= 3, title


def _answers(text: str, title: str, path: str) -> tuple[int, list[tuple[str, str, int]]]:
    """One proof in the summary: requests sent, and (workload, cluster, count) of each instance."""
    pattern = rf"{re.escape(title)} \([^)]+\): (\d+) x GET {path}, responses from((?: \S+ in \S+: \d+)+)"
    shown = re.search(pattern, text)
    assert shown, f"the summary does not show: {title}"
    instances = re.findall(r"(reviews-v\d)-\w+-\w+ in ([\w-]+): (\d+)", shown[2])
    return int(shown[1]), [(workload, cluster, int(count)) for workload, cluster, count in instances]


def test_no_licence_is_shown(built: Run) -> None:
    assert LAB_LICENCE not in built.output


@pytest.mark.parametrize("played", [("site", "--diff"), ("cleanup", "--check")], ids="-".join)
def test_no_licence_is_shown_to_the_curious(deployed: Site, played: tuple[str, str]) -> None:
    run = deployed.play(*played, "-vvv").ok()
    assert LAB_LICENCE not in run.output


def test_no_licence_is_in_a_file_that_ansible_wrote(deployed: Site) -> None:
    folders = (deployed.home, REPO / ".cache" / "ansible")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    # Where the API servers keep the Secret that the licence belongs into, and programs.
    read = [file for file in files if not {"etcd", "bin"}.intersection(file.parts[len(deployed.home.parts) :])]
    assert read
    assert [str(file) for file in read if LAB_LICENCE.encode() in file.read_bytes()] == []


def test_reviews_of_both_clusters_answer_through_the_gateway(built: Run, three_clusters: Site) -> None:
    seen = reviews_seen(three_clusters, requests=60)
    workloads = Counter(pod.rsplit("-", 2)[0] for pod in seen)
    assert set(workloads) == {"reviews-v1", "reviews-v2", "reviews-v3"}, seen
    assert {seen[pod] for pod in seen if pod.startswith("reviews-v3")} == {three_clusters.remote_cluster}
    assert {seen[pod] for pod in seen if not pod.startswith("reviews-v3")} == {three_clusters.gateway_cluster}


def test_the_product_page_answers_through_the_gateway(built: Run, three_clusters: Site) -> None:
    served = set()
    for _ in range(60):
        with urllib.request.urlopen(f"{gateway_url(three_clusters)}/productpage", timeout=10) as answer:
            assert answer.status == 200
            served.update(re.findall(r"reviews-v\d", answer.read().decode()))
    assert served == {"reviews-v1", "reviews-v2", "reviews-v3"}


def test_the_gateway_proxy_has_three_containers_with_the_discovered_istiod(built: Run, three_clusters: Site) -> None:
    pods = three_clusters.get(three_clusters.gateway_cluster, GATEWAY_PODS)
    assert pods is not None and len(pods["items"]) == 1
    pod: dict[str, Any] = pods["items"][0]
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    assert set(containers) == {"kgateway-proxy", "sds", "istio-proxy"}
    assert all(status["ready"] for status in pod["status"]["containerStatuses"])
    environment = {entry["name"]: entry.get("value") for entry in containers["istio-proxy"]["env"]}
    assert environment["CA_ADDR"] == "istiod-gloo.istio-system.svc:15012"
    assert environment["ISTIO_META_CLUSTER_ID"] == three_clusters.gateway_cluster


def test_the_relay_key_stays_in_the_management_cluster(built: Run, three_clusters: Site) -> None:
    for cluster in three_clusters.group("workload"):
        secret = three_clusters.get(cluster, "/api/v1/namespaces/gloo-mesh/secrets/relay-root-tls-secret")
        assert secret is not None
        assert set(secret["data"]) == {"ca.crt"}


def test_the_second_run_changes_and_writes_nothing(deployed: Site) -> None:
    earlier = snapshot.at_rest(deployed)
    mark = Mark(deployed)

    run = deployed.molecule("idempotence").ok()
    deployed.note("site.yml again, molecule's start included", run.seconds)

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}
    assert set(run.recap) >= set(deployed.clusters)
    assert snapshot.all_differences(earlier, snapshot.take(deployed)) == []


def test_verify_proves_it_again_and_writes_nothing(deployed: Site) -> None:
    mark = Mark(deployed)

    run = deployed.molecule("verify").ok()
    deployed.note("verify.yml, molecule's start included", run.seconds)

    assert [str(write) for write in mark.writes()] == []
    assert missing([r"reviews-v1-", r"reviews-v2-", r"reviews-v3-"], run.text) == []


def test_check_mode_after_the_run_finds_nothing_to_do(deployed: Site) -> None:
    mark = Mark(deployed)

    run = deployed.play("site", "--check", "--diff").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}
