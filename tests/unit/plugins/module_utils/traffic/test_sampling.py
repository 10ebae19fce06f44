"""The stopping rule, what counts as an answer, and the HTTP client against real servers."""

from __future__ import annotations

import http.server
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import sampling as traffic
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import traffic_check

THREE = (
    traffic.Expected("reviews-v1-.*", "cluster1", "reviews-v1"),
    traffic.Expected("reviews-v2-.*", "cluster1", "reviews-v2"),
    traffic.Expected("reviews-v3-.*", "cluster2", "reviews-v3"),
)
LIMITS = traffic.Limits(timeout=60, patience=0)


class Clock:
    """Time that passes by asking and pausing only."""

    def __init__(self, per_request: float = 0.01) -> None:
        self.now, self.per_request = 0.0, per_request

    def __call__(self) -> float:
        self.now += self.per_request
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def ask_all(
    answers: Callable[[int], traffic.Response], limits: traffic.Limits = LIMITS, expected: Any = THREE
) -> tuple[traffic.Outcome, traffic.Tally]:
    tally, clock = traffic.Tally(expected), Clock()
    outcome = traffic.send_requests(tally, lambda: answers(tally.sent), limits, clock, clock.pause)
    return outcome, tally


def good(name: str) -> traffic.Response:
    return traffic.Response(name, "200")


BAD = traffic.Response(None, "503", "no healthy upstream")


def test_round_robin_ends_at_once() -> None:
    names = ["reviews-v1-a", "reviews-v2-b", "reviews-v3-c"]
    outcome, tally = ask_all(lambda i: good(names[i % 3]))
    assert (outcome, tally.sent) == ("complete", 3)
    assert [(r["cluster"], r["workload"], r["count"]) for r in tally.records()] == [
        ("cluster1", "reviews-v1", 1),
        ("cluster1", "reviews-v2", 1),
        ("cluster2", "reviews-v3", 1),
    ]


def test_missing_remote_takes_35_answers_and_is_named() -> None:
    outcome, tally = ask_all(lambda i: good(["reviews-v1-a", "reviews-v2-b"][i % 2]))
    assert (outcome, tally.sent) == ("missing", 35)
    text = traffic.describe(outcome, tally, "http://x/reviews/0", "cluster1")
    assert text.startswith(
        "cluster2: no response from reviews-v3 (instance reviews-v3-.*) in 35 requests from cluster1"
    )
    assert "responses from reviews-v1-a (cluster1) 18x, reviews-v2-b (cluster1) 17x" in text


def test_silence_is_not_believed_at_once() -> None:
    names = ["reviews-v1-a", "reviews-v2-b"]
    late = traffic.Limits(timeout=60, patience=5)
    outcome, tally = ask_all(lambda i: good("reviews-v3-c" if i == 150 else names[i % 2]), late)
    assert outcome == "complete" and tally.sent > 150


def test_failures_before_the_first_answer_do_not_count() -> None:
    names = ["reviews-v1-a", "reviews-v2-b", "reviews-v3-c"]
    outcome, tally = ask_all(lambda i: BAD if i < 20 else good(names[i % 3]))
    assert outcome == "complete"
    assert tally.failure_records() == [
        {"status": "503", "count": 20, "body_excerpt": "no healthy upstream", "early": True}
    ]


def test_after_a_failure_everybody_has_to_answer_again() -> None:
    script = [good("reviews-v1-a"), good("reviews-v2-b"), BAD, good("reviews-v3-c"), good("reviews-v1-a")]
    outcome, tally = ask_all(lambda i: script[i] if i < 5 else good("reviews-v2-b"))
    assert (outcome, tally.sent) == ("complete", 6)
    assert tally.failure_records()[0]["early"] is False


def test_lasting_failures_end_with_the_timeout() -> None:
    names = ["reviews-v1-a", "reviews-v2-b", "reviews-v3-c"]
    outcome, tally = ask_all(lambda i: BAD if i % 3 == 2 else good(names[i // 3 % 3]), traffic.Limits(3, 0))
    assert outcome == "failing"
    assert "keep failing" in traffic.describe(outcome, tally, "http://x/", "cluster1")


def test_never_a_good_answer() -> None:
    outcome, tally = ask_all(lambda i: BAD, traffic.Limits(2, 0))
    assert outcome == "unreachable"
    assert "x 503 (no healthy upstream)" in traffic.describe(outcome, tally, "http://x/", "cluster1")


def test_minimum_is_collected() -> None:
    outcome, tally = ask_all(
        lambda i: good(["reviews-v1-a", "reviews-v2-b", "reviews-v3-c"][i % 3]), traffic.Limits(60, 0, 12)
    )
    assert (outcome, tally.responses) == ("complete", 12)


def test_one_expected_instance_and_strangers() -> None:
    outcome, tally = ask_all(lambda i: good("somebody-else"), expected=[traffic.Expected("me")])
    assert outcome == "missing" and tally.records()[0]["expected"] is False


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 400))
def test_more_answers_never_raise_the_chance(seen: int, absent: int, answers: int) -> None:
    expected = [traffic.Expected(f"i{n}") for n in range(seen + absent)]
    names = [f"i{n}" for n in range(seen)]
    now, later = (traffic.miss_probability(expected, names, n) for n in (answers, answers + 1))
    assert later <= now <= absent


@given(
    clusters=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_a_live_instance_is_not_declared_missing(clusters: list[int], seed: int, data: st.DataObject) -> None:
    """Two levels, as with east-west gateways: local instances and each remote cluster share alike, then within."""
    expected = [
        traffic.Expected(f"c{c}-i{n}", f"c{c}", f"w{n}") for c, size in enumerate(clusters) for n in range(size)
    ]
    local = data.draw(st.integers(0, len(clusters) - 1))
    places = [[f"c{local}-i{n}"] for n in range(clusters[local])]
    places += [[f"c{c}-i{n}" for n in range(size)] for c, size in enumerate(clusters) if c != local]
    dice = random.Random(seed)
    outcome, _tally = ask_all(lambda i: good(dice.choice(dice.choice(places))), expected=expected)
    assert outcome == "complete"


@pytest.mark.parametrize(
    ("status", "body", "instance"),
    [
        (200, '{"id": "0", "podname": "reviews-v2-7b-x9", "clustername": "null"}', "reviews-v2-7b-x9"),
        (200, "<dt>Reviews served by:</dt>\n<u>reviews-v3-9c-q1</u>", "reviews-v3-9c-q1"),
        (200, "<h3>Error fetching product reviews!</h3>", None),
        (500, '{"podname": "reviews-v1-1"}', None),
        (302, "", None),
    ],
)
def test_what_counts_as_an_answer(status: int, body: str, instance: str | None) -> None:
    pattern = re.compile(traffic.DEFAULT_PATTERN, re.DOTALL)
    answer = traffic.read_response(status, body, pattern, "http://elsewhere/")
    assert answer.instance == instance
    if status == 302:
        assert answer.excerpt == "redirect to http://elsewhere/"


def test_cluster_by_the_answer() -> None:
    pattern = re.compile(r'"podname": "(?P<instance>[^"]+)", "clustername": "(?P<cluster>[^"]+)"')
    answer = traffic.read_response(200, '"podname": "r-1", "clustername": "cluster2"', pattern)
    assert (answer.instance, answer.cluster) == ("r-1", "cluster2")


def test_excerpt_is_short_and_harmless() -> None:
    text = traffic.excerpt("\x1b[31mred\x00\n" + "x" * 5000)
    assert "\x1b" not in text and "\n" not in text and len(text) == traffic.EXCERPT


@contextmanager
def serving(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler: http.server.BaseHTTPRequestHandler, status: int, body: str, **headers: str) -> None:
    data = body.encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def params(**given: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in traffic_check.ARGUMENT_SPEC.items()}
    expect = [{"instance": "reviews-v1-.*", "cluster": "cluster1", "workload": ""}]
    return {**defaults, "kubeconfig": "/nowhere", "context": "cluster1", "expect": expect, "patience": 0, **given}


def test_asks_a_server_and_reports() -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, handler.headers.get("Host")))
        reply(handler, 200, '{"podname": "reviews-v1-abc"}')

    with serving(answer) as url:
        result = traffic_check.run(
            params(url=url, path="/reviews/0", host="shop.example", min_requests=2), False, print
        )
    assert seen == [("/reviews/0", "shop.example")] * 2
    assert result["requests_sent"] == 2 and result["missing"] == []
    assert result["answers"][0]["instance"] == "reviews-v1-abc"


def test_redirect_is_not_followed() -> None:
    with serving(lambda h: reply(h, 301, "", Location="/elsewhere")) as url, pytest.raises(ClusterError) as failure:
        traffic_check.run(params(url=url, timeout=0), False, print)
    assert failure.value.facts["failures"][0]["status"] == "301"
    assert "redirect to /elsewhere" in failure.value.msg


def test_refused_connection_is_told() -> None:
    with serving(lambda h: reply(h, 200, "")) as url:
        pass
    with pytest.raises(ClusterError, match="connection refused"):
        traffic_check.run(params(url=url, timeout=0), False, print)


def test_missing_is_named() -> None:
    expect = [
        {"instance": "reviews-v1-.*", "cluster": "cluster1", "workload": "Deployment bookinfo/reviews-v1"},
        {"instance": "reviews-v3-.*", "cluster": "cluster2", "workload": "Deployment bookinfo/reviews-v3"},
    ]
    with (
        serving(lambda h: reply(h, 200, '{"podname": "reviews-v1-abc"}')) as url,
        pytest.raises(ClusterError) as failure,
    ):
        traffic_check.run(params(url=url, expect=expect), False, print)
    assert failure.value.msg.startswith(
        "cluster2: no response from Deployment bookinfo/reviews-v3 (instance reviews-v3-.*)"
    )
    assert [m["cluster"] for m in failure.value.facts["missing"]] == ["cluster2"]


def test_check_mode_sends_nothing() -> None:
    result = traffic_check.run(params(url=None), True, print)
    assert result["requests_sent"] == 0 and not result["changed"]


@pytest.mark.parametrize(
    ("given_params", "words"),
    [
        ({"expect": []}, "'expect' is empty"),
        ({"url": "ftp://x/"}, "is not valid. Set http://host"),
        ({"url": "http://x:99999/"}, "has an invalid port"),
        ({"url": "http://x/", "pattern": "("}, "not a valid regular expression"),
        ({"url": "http://x/", "path": "reviews"}, "Set a path that starts with /"),
        ({}, "exactly one of 'url', 'gateway' and 'from_pod' is required"),
    ],
)
def test_bad_input_is_refused_before_any_request(given_params: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterError, match=re.escape(words)):
        traffic_check.run(params(**given_params), False, print)


def test_while_it_lasts_everybody_who_is_silent_is_told_and_why() -> None:
    answers = iter([traffic.Response(None, "503"), *[traffic.Response("reviews-v1-x", "200")] * 200])
    told: list[tuple[tuple[str, str], ...]] = []
    clock = Clock()
    traffic.send_requests(
        traffic.Tally(THREE),
        lambda: next(answers),
        traffic.Limits(timeout=60, patience=2),
        clock,
        clock.pause,
        lambda v: told.append(v.awaited),
    )
    titles = [f"reviews-v{n} (instance reviews-v{n}-.*) in cluster{c}" for n, c in ((1, 1), (2, 1), (3, 2))]
    assert told[0] == tuple((title, "no response yet, the last request failed: 503") for title in titles)
    assert told[1] == tuple((title, "no response yet") for title in titles[1:])
