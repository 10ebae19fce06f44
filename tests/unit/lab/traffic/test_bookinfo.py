"""Responses of Bookinfo's programs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from lab.traffic import bookinfo
from lab.traffic.sidecar import Response


def app(name: Any, version: Any = "v1", **env: Any) -> Any:
    return bookinfo.App(name, version, f"{name}-{version}-abc", env)


def ask(program: Any, path: Any, answers: Any = None, calls: Any = None) -> Any:
    """(status, text) of one request; `answers` maps the hosts the program asks to JSON, None = 503."""

    async def fetch(call: Any) -> Any:
        if calls is not None:
            calls.append((call.host, call.port, call.path))
        result = (answers or {}).get(call.host)
        return Response(503, b"no healthy upstream") if result is None else Response(200, json.dumps(result).encode())

    async def go() -> Any:
        got = await bookinfo.serve(program, make_mocked_request("GET", path), fetch)
        assert isinstance(got, web.Response)
        return got.status, got.text

    return asyncio.run(go())


RATINGS = {"ratings": {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}}


@pytest.mark.parametrize(("version", "colour"), [("v1", None), ("v2", "black"), ("v3", "red")])
def test_reviews_by_version(version: Any, colour: Any) -> None:
    status, text = ask(app("reviews", version, CLUSTER_NAME="cluster1"), "/reviews/7", RATINGS)
    result = json.loads(text)
    assert (status, result["id"], result["podname"], result["clustername"]) == (
        200,
        "7",
        f"reviews-{version}-abc",
        "cluster1",
    )
    assert [review.get("rating", {}).get("color") for review in result["reviews"]] == [colour, colour]


def test_no_cluster_name_is_the_word_null() -> None:
    assert json.loads(ask(app("reviews"), "/reviews/0")[1])["clustername"] == "null"


def test_ratings_that_fail_show_in_the_review() -> None:
    result = json.loads(ask(app("reviews", "v2"), "/reviews/0")[1])
    assert result["reviews"][0]["rating"] == {"error": "Ratings service is currently unavailable"}


def test_reviews_v1_sends_no_request_and_v2_one_to_ratings() -> None:
    calls: list[Any] = []
    ask(app("reviews", "v1"), "/reviews/0", RATINGS, calls)
    assert calls == []
    ask(app("reviews", "v2", RATINGS_HOSTNAME="other", RATINGS_SERVICE_PORT="9999"), "/reviews/3", RATINGS, calls)
    assert calls == [("other", 9999, "/ratings/3")]


REVIEWS = {"podname": "reviews-v3-xyz", "clustername": "cluster2", "reviews": []}


def full_page(**changes: Any) -> Any:
    reviews = json.loads(ask(app("reviews", "v3", CLUSTER_NAME="cluster2"), "/reviews/0", RATINGS)[1])
    return ask(app("productpage"), "/productpage", {"details": {"author": "W"}, "reviews": reviews, **changes})


def test_the_page_has_the_pods_name_twice() -> None:
    status, page = full_page()
    assert status == 200
    assert page.count("Reviews served by:") == page.count("reviews-v3-abc") == 2
    assert "Error fetching" not in page


def test_a_failed_backend_still_is_a_200() -> None:
    status, page = full_page(reviews=None)
    assert status == 200
    assert "Error fetching product reviews" in page
    assert "reviews-v" not in page


def test_the_page_asks_where_its_env_says() -> None:
    calls: list[Any] = []
    ask(app("productpage", REVIEWS_HOSTNAME="reviews.mesh.internal.com"), "/productpage", {}, calls)
    assert calls == [("details", 9080, "/details/0"), ("reviews.mesh.internal.com", 9080, "/reviews/0")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/static/x.css", 200),
        ("/", 200),
        ("/login", 302),
        ("/api/v1/products/0/reviews", 500),
        ("/x", 404),
    ],
)
def test_paths_of_the_page(path: Any, status: Any) -> None:
    assert ask(app("productpage"), path)[0] == status


@pytest.mark.parametrize("name", ["reviews", "details", "ratings"])
def test_health_and_unknown_paths(name: Any) -> None:
    assert ask(app(name), "/health")[0] == 200
    assert ask(app(name), "/nope")[0] == 404


def test_what_a_pod_runs(made: Any) -> None:
    own = {"name": "reviews", "env": [{"name": "CLUSTER_NAME", "value": "c1"}, {"name": "FROM", "valueFrom": {}}]}
    pod = made.pod("reviews-v2-x", {"app": "reviews", "version": "v2"}, containers=[own])
    assert bookinfo.from_pod(pod) == bookinfo.App("reviews", "v2", "reviews-v2-x", {"CLUSTER_NAME": "c1"})
    assert bookinfo.ports_of(pod) == [9080]
    assert bookinfo.from_pod(made.pod("other", {"app": "other"})) is None
