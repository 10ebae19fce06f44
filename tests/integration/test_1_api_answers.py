"""The unit tests' API server (fake_api) and a real one return the same responses to the same requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import api_requests
import fake_api
from acceptance.site import Site, wait_until

NAMESPACE = f"/api/v1/namespaces/{api_requests.NAMESPACE}"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = f"/apis/{api_requests.GROUP}/v1/things"
#: what the server puts into every namespace itself
GIVEN = f"{NAMESPACE}/serviceaccounts/default"


@pytest.fixture
def real(empty: Site) -> Iterator[api_requests.Server]:
    """An API server of the lab with the namespace and the kind that the requests need; both are gone afterwards."""
    cluster, crd = empty.gateway_cluster, f"{CRDS}/{api_requests.CRD['metadata']['name']}"
    empty.create(cluster, "/api/v1/namespaces", {"metadata": {"name": api_requests.NAMESPACE}})
    empty.create(cluster, CRDS, api_requests.CRD)
    try:
        wait_until(lambda: empty.get(cluster, THINGS) is not None, "the kind served")
        wait_until(lambda: empty.get(cluster, GIVEN) is not None, "the namespace ready")
        yield api_requests.Server(str(empty.kubeconfig), cluster)
    finally:
        empty.delete(cluster, NAMESPACE)
        empty.delete(cluster, crd)
        wait_until(lambda: empty.get(cluster, NAMESPACE) is empty.get(cluster, crd) is None, "namespace and kind gone")


def test_both_answer_alike(real: api_requests.Server, tmp_path: Path) -> None:
    with fake_api.serving(tmp_path, "fake") as (_api, kubeconfig):
        fake = api_requests.Server(kubeconfig, "fake")
        assert fake.send("POST", "/api/v1/namespaces", {"metadata": {"name": api_requests.NAMESPACE}}, {})[0] == 201
        assert fake.send("POST", CRDS, api_requests.CRD, {})[0] == 201
        played = dict(api_requests.answers(fake))
    differing = {
        name: {"real": answer, "fake": played[name]}
        for name, answer in api_requests.answers(real)
        if played[name] != answer
    }
    assert differing == {}
