# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module traffic_check: sequential requests to a URL, to a Gateway, or by port-forward to a Pod."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from ..gateway.proxy_model import Objects, ProxyModel
from ..k8s.client import CLUSTER_SPEC, CLUSTERS_SPEC, Cluster, connect
from ..k8s.connection import Socket
from ..k8s.errors import ClusterError, Forbidden
from ..k8s.fields import Json, full_name, key_of, name_of
from ..k8s.progress import Progress
from ..k8s.readiness import judge
from . import backends
from . import sampling as traffic
from .gateway_target import GATEWAY_SPEC, NoTarget, Target, target
from .url_client import REQUEST_SPEC, REQUEST_TIMEOUT, UrlClient, exchange, failure_of

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    **REQUEST_SPEC,
    "name": {"type": "str"},
    "url": {"type": "str"},
    "gateway": GATEWAY_SPEC,
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

GATEWAY_API = "gateway.networking.k8s.io/v1"


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
    if sum(bool(params.get(name)) for name in ("url", "gateway", "from_pod")) != 1:
        raise ClusterError(f"{origin}: exactly one of 'url', 'gateway' and 'from_pod' is required. Set one")
    with ExitStack() as stack:
        clusters = stack.enter_context(backends.workload_clusters(params.get("clusters") or (), params["timeout"]))
        inside = params.get("from_pod")
        here = None if params.get("url") else stack.enter_context(connect(params, progress))
        if here and inside and clusters and not _ready_pods(here, params["from_pod"]):
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
        client: Client
        if here and inside:
            client = _PodClient(here, params, pattern)
        else:
            where = target_of(here, params)
            params = {**params, "url": where.url, "host": where.host}
            client = UrlClient(origin, params, pattern, where.others)
        limits = traffic.Limits(float(params["timeout"]), float(params["patience"]), int(params["min_requests"]))
        outcome, tally = send_requests(origin, client, expected, limits, progress)
        facts = _facts(origin, params, tally, outcome)
        facts["requests"] = sum(each.requests for each in (*clusters.values(), *([here] if here else ())))
    text = traffic.describe(outcome, tally, client.target, origin)
    if outcome != "complete":
        raise ClusterError(text, cluster=origin, **facts)
    return {"changed": False, "msg": text, **facts}


def target_of(cluster: Cluster | None, params: dict[str, Any]) -> Target:
    """Where requests to the option ``url`` or through that ``gateway`` of the cluster are sent. Raises ClusterError.

    ``others``: more addresses of the URL's host, not an option of the module.
    """
    if cluster is None or params.get("url"):
        return Target(params["url"], params.get("host") or "", tuple(params.get("others") or ()))
    name, namespace = params["gateway"]["name"], params["gateway"].get("namespace")
    named = [g for g in cluster.list(GATEWAY_API, "Gateway", namespace) if name_of(g) == name]
    if len(named) != 1:
        where = f"{namespace}/{name}" if namespace else name
        text = f"Gateway {where} does not exist. Create it, or correct 'gateway'"
        if named:
            text = (
                f"several Gateways have the name {name}: {', '.join(map(full_name, named))}. Set namespace in 'gateway'"
            )
        raise ClusterError(f"{cluster.name}: {text}", cluster=cluster.name)
    [found] = named
    namespace = key_of(found)[0]
    try:
        routes = cluster.list(GATEWAY_API, "HTTPRoute")
    except Forbidden:
        routes = []
    services = cluster.list("v1", "Service", namespace)
    objects = Objects([found], (), {}, (), services, (), (), (), ())
    try:
        return target(found, ProxyModel(objects, namespace, name).addresses, routes, params)
    except NoTarget as exc:
        raise ClusterError(f"{cluster.name}: {exc}", cluster=cluster.name) from None


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
                with self._cluster.within(REQUEST_TIMEOUT):
                    sock = self._cluster.pod_socket(self._source["namespace"], self._pod, self._source["port"])
                self._connection.sock = Socket(sock, 0.0)
            self._connection.sock.deadline = time.monotonic() + REQUEST_TIMEOUT  # type: ignore[union-attr]
            host = self._params.get("host") or ""
            status, body, location = exchange(self._connection, self._params["headers"], self._params["path"], host)
            return traffic.read_response(status, body, self._pattern, location)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            return failure_of(exc)
        except ClusterError as exc:
            self.close()
            return traffic.Response(None, "port-forward failed", traffic.excerpt(exc.msg))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
