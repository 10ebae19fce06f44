# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module traffic_check: sequential HTTP requests to a URL, or through a port-forward to a Pod."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..k8s.client import CLUSTER_SPEC, CLUSTERS_SPEC, Cluster, connect
from ..k8s.errors import ClusterError
from ..k8s.fields import Json
from ..k8s.progress import Progress
from ..k8s.readiness import judge
from . import backends
from . import sampling as traffic

# Options of the request and of reading its response; documented in the doc fragment "requests".
REQUEST_SPEC: dict[str, Any] = {
    "path": {"type": "str", "default": "/"},
    "host": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "validate_certs": {"type": "bool", "default": True},
    "pattern": {"type": "str", "default": traffic.DEFAULT_PATTERN},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    **REQUEST_SPEC,
    "name": {"type": "str"},
    "url": {"type": "str"},
    "from_pod": {
        "type": "dict",
        "options": {
            "namespace": {"type": "str", "required": True},
            "label_selector": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
        },
    },
    "expect": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "instance": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": ""},
            "workload": {"type": "str", "default": ""},
        },
    },
    "answered_by": backends.SELECTION_SPEC,
    "clusters": {**CLUSTERS_SPEC["clusters"], "required": False, "default": []},
    "min_requests": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 60},
    "patience": {"type": "int", "default": 10},
}

MAX_BODY = 512 * 1024
REQUEST_TIMEOUT = 10.0


class Client(Protocol):
    """Sends one GET and reads the response."""

    target: str

    def send(self) -> traffic.Response: ...

    def close(self) -> None: ...


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: answers, missing, failures, requests_sent, proof, msg, requests.

    Raises ClusterError with the missing instances. Without a Pod to send from in this cluster, but with one in another
    of ``clusters``, nothing is sent and the result has ``skipped``.
    """
    origin = params.get("cluster") or params["context"]
    pattern = _validate(origin, params)
    if check:
        text = f"{origin}: check mode: no request is sent to {params['path']}"
        return {"changed": False, "msg": text, "requests": 0, **_facts(origin, params, traffic.Tally([]))}
    if bool(params.get("url")) == bool(params.get("from_pod")):
        raise ClusterError(
            f"{origin}: neither or both of 'url' and 'from_pod' are set. Set one; if 'url' is that of a Gateway, check "
            "that the Gateway has an address"
        )
    with ExitStack() as stack:
        clusters = stack.enter_context(backends.workload_clusters(params.get("clusters") or ()))
        here = stack.enter_context(connect(params, progress)) if params.get("from_pod") else None
        if here and clusters and not _ready_pods(here, params["from_pod"]):
            problems = backends.read({origin: here}, params["from_pod"])[0].problems
            others = [name for name, each in clusters.items() if _ready_pods(each, params["from_pod"])]
            if problems:
                raise ClusterError("; ".join(problems), cluster=origin)
            if others:
                text = f"{origin}: no ready Pod to send from; requests are sent from {', '.join(others)}"
                return {"changed": False, "skipped": True, "msg": text, "requests": here.requests}
        if params.get("answered_by"):
            expected = backends.required(clusters, params["answered_by"])
        else:
            expected = [traffic.Expected(e["instance"], e["cluster"], e["workload"]) for e in params["expect"]]
        client = _PodClient(here, params, pattern) if here else UrlClient(origin, params, pattern)
        limits = traffic.Limits(float(params["timeout"]), float(params["patience"]), int(params["min_requests"]))
        outcome, tally = send_requests(origin, client, expected, limits, progress)
        facts = _facts(origin, params, tally, outcome)
        facts["requests"] = sum(each.requests for each in (*clusters.values(), *([here] if here else ())))
    text = traffic.describe(outcome, tally, client.target, origin)
    if outcome != "complete":
        raise ClusterError(text, cluster=origin, **facts)
    return {"changed": False, "msg": text, **facts}


def send_requests(
    origin: str,
    client: Client,
    expected: list[traffic.Expected],
    limits: traffic.Limits,
    progress: Callable[[str], None],
) -> tuple[traffic.Outcome, traffic.Tally]:
    """Send requests until every expected instance has responded, or one certainly does not."""
    tally = traffic.Tally(expected)
    try:
        report = Progress(origin, progress)
        return traffic.send_requests(tally, client.send, limits, time.monotonic, time.sleep, report), tally
    finally:
        client.close()


def _validate(origin: str, params: dict[str, Any]) -> re.Pattern[str]:
    expect = params.get("expect") or []
    if params.get("answered_by"):
        if expect:
            text = "'answered_by' and 'expect' are both set. Set only one of them"
            raise ClusterError(f"{origin}: {text}", option="answered_by")
        if not params.get("clusters"):
            raise ClusterError(
                f"{origin}: 'clusters' is empty. List the clusters in which the Deployments of 'answered_by' run",
                option="clusters",
            )
    elif not expect:
        raise ClusterError(
            f"{origin}: 'expect' is empty. Give at least one instance that has to respond, or set 'answered_by'",
            option="expect",
        )
    if not str(params["path"]).startswith("/"):
        raise ClusterError(f"{origin}: 'path' is {params['path']!r}. Set a path that starts with /", option="path")
    for name, text in [("pattern", params["pattern"]), *(("expect", e["instance"]) for e in expect)]:
        try:
            re.compile(text)
        except re.error as exc:
            wrong = f"{name!r} is {text!r}, not a valid regular expression: {exc}. Correct it"
            raise ClusterError(f"{origin}: {wrong}", option=name) from None
    return re.compile(params["pattern"], re.DOTALL)


def _facts(
    origin: str, params: dict[str, Any], tally: traffic.Tally, outcome: traffic.Outcome = "complete"
) -> dict[str, Any]:
    silent = tally.missing if outcome == "missing" else traffic.missing(tally.expected, tally.instances)
    answers, failures = tally.records(), tally.failure_records()
    return {
        "answers": answers,
        "missing": [{"instance": e.instance, "cluster": e.cluster, "workload": e.workload} for e in silent],
        "failures": failures,
        "requests_sent": tally.sent,
        "proof": {
            "proof": params.get("name") or params["path"],
            "cluster": origin,
            "path": params["path"],
            "url": params.get("url") or "",
            "sent": tally.sent,
            "answers": [{key: row[key] for key in ("instance", "cluster", "count")} for row in answers],
            "failures": [{key: row[key] for key in ("status", "count")} for row in failures],
        },
    }


def _headers(params: dict[str, Any]) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        "User-Agent": "multicluster.gloo",
        **{str(k): str(v) for k, v in params["headers"].items()},
    }
    if params.get("host"):
        headers["Host"] = params["host"]
    return headers


def _exchange(
    connection: http.client.HTTPConnection, params: dict[str, Any], path: str, pattern: re.Pattern[str]
) -> traffic.Response:
    connection.request("GET", path, headers=_headers(params))
    response = connection.getresponse()
    body = response.read(MAX_BODY)
    if not response.isclosed():
        connection.close()  # the body is longer than what is read: its rest must not start the next response
    text = body.decode("utf-8", "replace")
    return traffic.read_response(response.status, text, pattern, response.getheader("Location") or "")


def _failure(exc: Exception) -> traffic.Response:
    if isinstance(exc, ConnectionRefusedError):
        return traffic.Response(None, "connection refused")
    if isinstance(exc, TimeoutError):
        return traffic.Response(None, "timed out", f"no response within {REQUEST_TIMEOUT:g} s")
    if isinstance(exc, ConnectionResetError | http.client.RemoteDisconnected):
        return traffic.Response(None, "connection closed without a response")
    return traffic.Response(None, type(exc).__name__, traffic.excerpt(str(exc)))


class UrlClient:
    """A new connection for every request, so that a balancer of connections balances requests."""

    def __init__(self, origin: str, params: dict[str, Any], pattern: re.Pattern[str]) -> None:
        parts = urlsplit(params["url"])
        try:
            port = parts.port
        except ValueError:
            raise ClusterError(
                f"{origin}: 'url' {params['url']!r} has an invalid port. Set 1 to 65535", option="url"
            ) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClusterError(
                f"{origin}: 'url' {params['url']!r} is not valid. Set http://host[:port] or https://...", option="url"
            )
        self._host, self._port, self._tls = parts.hostname, port, parts.scheme == "https"
        self._path = parts.path.rstrip("/") + params["path"]
        self._params, self._pattern = params, pattern
        self.target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._path}"

    def send(self) -> traffic.Response:
        connection: http.client.HTTPConnection
        if self._tls:
            context = ssl.create_default_context()
            if not self._params["validate_certs"]:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=REQUEST_TIMEOUT, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=REQUEST_TIMEOUT)
        try:
            return _exchange(connection, self._params, self._path, self._pattern)
        except (OSError, http.client.HTTPException) as exc:
            return _failure(exc)
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing to close: every request has its connection."""


def _ready_pods(cluster: Cluster, source: Json) -> list[str]:
    """Names of the ready Pods of ``from_pod``, sorted."""
    pods = cluster.list("v1", "Pod", source["namespace"], source["label_selector"])
    return sorted(str(pod["metadata"]["name"]) for pod in pods if judge(pod).ready)


class _PodClient:
    """Requests through a port-forward to one ready Pod; the connection is reused while the Pod keeps it open."""

    def __init__(self, cluster: Cluster, params: dict[str, Any], pattern: re.Pattern[str]) -> None:
        self._cluster, self._params, self._pattern = cluster, params, pattern
        self._source: Json = params["from_pod"]
        self._connection: http.client.HTTPConnection | None = None
        self._pod = self._find()
        self.target = f"Pod {self._source['namespace']}/{self._pod}:{self._source['port']}{params['path']}"

    def _find(self) -> str:
        ready = _ready_pods(self._cluster, self._source)
        if ready:
            return ready[0]
        namespace, selector = self._source["namespace"], self._source["label_selector"]
        pods = self._cluster.list("v1", "Pod", namespace, selector)
        states = "; ".join(f"{p['metadata']['name']}: {judge(p).reason}" for p in pods) or "no such Pod exists"
        raise ClusterError(
            f"{self._cluster.name}: no ready Pod in namespace {namespace} with labels {selector}: {states}",
            cluster=self._cluster.name,
            namespace=namespace,
        )

    def send(self) -> traffic.Response:
        try:
            if self._connection is None or self._connection.sock is None:
                self._connection = http.client.HTTPConnection(
                    "localhost", self._source["port"], timeout=REQUEST_TIMEOUT
                )
                sock = self._cluster.pod_socket(self._source["namespace"], self._pod, self._source["port"])
                sock.settimeout(REQUEST_TIMEOUT)
                self._connection.sock = sock
            return _exchange(self._connection, self._params, self._params["path"], self._pattern)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            return _failure(exc)
        except ClusterError as exc:
            self.close()
            return traffic.Response(None, "port-forward failed", traffic.excerpt(exc.msg))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
