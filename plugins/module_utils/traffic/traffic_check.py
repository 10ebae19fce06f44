# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module traffic_check: HTTP requests to a URL or through a port-forward to a Pod, one after the "
"other."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError
from ..k8s.fields import Json
from ..k8s.progress import Progress
from ..k8s.readiness import judge
from . import sampling as traffic

# Options that say what is asked and how an answer is read; documented in the doc fragment "requests".
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
        "required": True,
        "options": {
            "instance": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": ""},
            "workload": {"type": "str", "default": ""},
        },
    },
    "min_requests": {"type": "int", "default": 0},
    "timeout": {"type": "int", "default": 60},
    "patience": {"type": "int", "default": 10},
}

MAX_BODY = 512 * 1024
REQUEST_TIMEOUT = 10.0


class Client(Protocol):
    """Sends one GET and reads what comes back."""

    target: str

    def ask(self) -> traffic.Answer: ...

    def close(self) -> None: ...


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: answers, missing, failures, requests_sent, msg, requests. Raises ClusterError naming who is missing."""
    origin = params.get("cluster") or params["context"]
    expected = [
        traffic.Expected(e["instance"], e.get("cluster") or "", e.get("workload") or "") for e in params["expect"]
    ]
    pattern = _validate(origin, params, expected)
    if check:
        text = f"{origin}: not asked in check mode: {len(expected)} instances of {params['path']}"
        return {
            "changed": False,
            "msg": text,
            "answers": [],
            "missing": [],
            "failures": [],
            "requests_sent": 0,
            "requests": 0,
        }
    if bool(params.get("url")) == bool(params.get("from_pod")):
        raise ClusterError(
            f"{origin}: traffic_check needs either 'url' or 'from_pod'; the Gateway may have no address yet"
        )
    tally = traffic.Tally(expected)
    limits = traffic.Limits(float(params["timeout"]), float(params["patience"]), int(params["min_requests"]))
    if params.get("url"):
        return _judge(origin, tally, UrlClient(origin, params, pattern), limits, progress, lambda: 0)
    with connect(params, progress) as cluster:
        client = _PodClient(cluster, params, pattern)
        return _judge(origin, tally, client, limits, progress, lambda: cluster.requests)


def _validate(origin: str, params: dict[str, Any], expected: list[traffic.Expected]) -> re.Pattern[str]:
    if not expected:
        raise ClusterError(
            f"{origin}: 'expect' is empty: name at least one instance that has to answer", option="expect"
        )
    if not str(params["path"]).startswith("/"):
        raise ClusterError(f"{origin}: 'path' has to start with /, it is {params['path']!r}", option="path")
    for name, text in [("pattern", params["pattern"]), *(("expect", e.instance) for e in expected)]:
        try:
            re.compile(text)
        except re.error as exc:
            raise ClusterError(f"{origin}: {name!r} is no regular expression: {text!r}: {exc}", option=name) from None
    return re.compile(params["pattern"], re.DOTALL)


def _judge(
    origin: str,
    tally: traffic.Tally,
    client: Client,
    limits: traffic.Limits,
    progress: Callable[[str], None],
    requests: Callable[[], int],
) -> dict[str, Any]:
    report = Progress(origin, progress)
    try:
        outcome = traffic.sample(tally, client.ask, limits, time.monotonic, time.sleep, report)
    finally:
        client.close()
    silent = traffic.missing(tally.expected, tally.seen) if outcome != "missing" else tally.missing
    facts = {
        "answers": tally.records(),
        "missing": [{"instance": e.instance, "cluster": e.cluster, "workload": e.workload} for e in silent],
        "failures": tally.failure_records(),
        "requests_sent": tally.sent,
        "requests": requests(),
    }
    text = traffic.verdict_text(outcome, tally, client.target, origin)
    if outcome != "complete":
        raise ClusterError(text, cluster=origin, **facts)
    return {"changed": False, "msg": text, **facts}


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
) -> traffic.Answer:
    connection.request("GET", path, headers=_headers(params))
    response = connection.getresponse()
    body = response.read(MAX_BODY)
    if not response.isclosed():
        connection.close()  # more of it than anybody reads: the rest must not be taken for the next answer
    text = body.decode("utf-8", "replace")
    return traffic.read_answer(response.status, text, pattern, response.getheader("Location") or "")


def _failure(exc: Exception) -> traffic.Answer:
    if isinstance(exc, ConnectionRefusedError):
        return traffic.Answer(None, "connection refused")
    if isinstance(exc, TimeoutError):
        return traffic.Answer(None, "timed out", f"no answer within {REQUEST_TIMEOUT:g} s")
    if isinstance(exc, ConnectionResetError | http.client.RemoteDisconnected):
        return traffic.Answer(None, "connection closed without an answer")
    return traffic.Answer(None, type(exc).__name__, traffic.excerpt(str(exc)))


class UrlClient:
    """A new connection for every request, so that what balances connections balances requests."""

    def __init__(self, origin: str, params: dict[str, Any], pattern: re.Pattern[str]) -> None:
        parts = urlsplit(params["url"])
        try:
            port = parts.port
        except ValueError:
            raise ClusterError(f"{origin}: 'url' {params['url']!r} has a malformed port", option="url") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClusterError(
                f"{origin}: 'url' {params['url']!r} has to be http://host[:port] or https://...", option="url"
            )
        self._host, self._port, self._tls = parts.hostname, port, parts.scheme == "https"
        self._path = parts.path.rstrip("/") + params["path"]
        self._params, self._pattern = params, pattern
        self.target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._path}"

    def ask(self) -> traffic.Answer:
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
        """Nothing stays open."""


class _PodClient:
    """Requests through a port-forward to one ready Pod; its connection is kept while the Pod keeps it."""

    def __init__(self, cluster: Cluster, params: dict[str, Any], pattern: re.Pattern[str]) -> None:
        self._cluster, self._params, self._pattern = cluster, params, pattern
        self._source: Json = params["from_pod"]
        self._connection: http.client.HTTPConnection | None = None
        self._pod = self._find()
        self.target = f"Pod {self._source['namespace']}/{self._pod}:{self._source['port']}{params['path']}"

    def _find(self) -> str:
        namespace, selector = self._source["namespace"], self._source["label_selector"]
        pods = self._cluster.list("v1", "Pod", namespace, selector)
        ready = sorted(str(p["metadata"]["name"]) for p in pods if judge(p).ready)
        if not ready:
            states = "; ".join(f"{p['metadata']['name']}: {judge(p).reason}" for p in pods) or "there is no such Pod"
            raise ClusterError(
                f"{self._cluster.name}: no ready Pod in namespace {namespace} with labels {selector}: {states}",
                cluster=self._cluster.name,
                namespace=namespace,
            )
        return ready[0]

    def ask(self) -> traffic.Answer:
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
            return traffic.Answer(None, "port-forward failed", traffic.excerpt(exc.msg))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
