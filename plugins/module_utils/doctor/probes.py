# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts read on demand: the relay's metric, the end of a log, responses to requests."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..k8s import log_causes
from ..k8s.client import Cluster
from ..k8s.connection import Socket
from ..k8s.errors import ClusterError
from ..k8s.fields import Json, key_of, name_of, namespace_of, title_of
from ..k8s.pods import is_ready, pods_of
from ..mesh import parts
from ..traffic import traffic_check
from ..traffic.gateway_target import Target
from .facts import Facts
from .runner import NotReadable

METRICS_PORT = 9091
METRICS_TIMEOUT = 5.0
_METRIC = b"relay_push_clients_connected"
_CONNECTED = re.compile(rb'^relay_push_clients_connected\{[^}]*\bcluster="([^"]+)"[^}]*\}\s+([0-9.e+]+)')


def connections(lines: Iterable[bytes]) -> dict[str, bool]:
    """Whether each cluster's agent is connected, from Prometheus text; ClusterError without the metric."""
    found: dict[str, bool] = {}
    has_metric = False
    for line in lines:
        has_metric = has_metric or line.startswith((_METRIC, b"# TYPE " + _METRIC))
        match = _CONNECTED.match(line)
        if match:
            name = match[1].decode(errors="replace")
            found[name] = found.get(name, False) or float(match[2]) > 0
    if not has_metric:
        raise ClusterError(f"no metric {_METRIC.decode()}")
    return found


def _metrics_port(server: Json) -> int:
    """The port of the management server's metrics: its argument, else its usual one."""
    given = parts.argument(server, "metrics-port", "stats-port")
    return int(given) if given.isdecimal() else METRICS_PORT


class LiveProbes:
    """Reads real clusters. ``clusters``: connections by name; the metric and each log are read once."""

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        facts: Sequence[Facts],
        *,
        logs: bool,
        timeout: int,
        progress: Callable[[str], None],
    ) -> None:
        self._clusters = clusters
        self._management = next(f for f in facts if f.role == "management")
        self._logs, self._timeout, self._progress = logs, timeout, progress
        self._connected: dict[tuple[str, str], Mapping[str, bool] | NotReadable] = {}
        self._read: dict[tuple[str, ...], str | NotReadable] = {}

    def connected(self, server: Json) -> Mapping[str, bool]:
        key = key_of(server)
        if key not in self._connected:
            try:
                self._connected[key] = self._count(server)
            except (ClusterError, OSError, http.client.HTTPException) as exc:
                self._connected[key] = NotReadable(f"the metrics of {title_of(server)} cannot be read: {exc}")
        found = self._connected[key]
        if isinstance(found, NotReadable):
            raise found
        return found

    def _count(self, server: Json) -> Mapping[str, bool]:
        facts, port = self._management, _metrics_port(server)
        pods = [pod for pod in pods_of(server, facts.of("Pod")) if is_ready(pod)]
        if not pods:
            raise ClusterError("it has no ready Pod")
        found: dict[str, bool] = {}
        for pod in pods:  # each agent is connected to one of the replicas
            with self._clusters[facts.name].within(METRICS_TIMEOUT):
                sock = self._clusters[facts.name].pod_socket(namespace_of(pod), name_of(pod), port)
            connection = http.client.HTTPConnection("localhost", port)
            connection.sock = Socket(sock, time.monotonic() + METRICS_TIMEOUT)
            try:
                connection.request("GET", "/metrics")
                for name, up in connections(connection.getresponse()).items():
                    found[name] = found.get(name, False) or up
            finally:
                connection.close()
        return found

    def log(self, cluster: str, namespace: str, pod: str, container: str) -> str:
        if not self._logs:
            raise NotReadable("reading logs is disabled (logs: false)")
        key = (cluster, namespace, pod, container)
        if key not in self._read:
            try:
                text = self._clusters[cluster].logs(namespace, pod, container, log_causes.LINES)
                self._read[key] = text or self._clusters[cluster].logs(
                    namespace, pod, container, log_causes.LINES, previous=True
                )
            except ClusterError as exc:
                self._read[key] = NotReadable(f"the log of {namespace}/{pod} cannot be read: {exc.msg}")
        found = self._read[key]
        if isinstance(found, NotReadable):
            raise found
        return found

    def send(self, cluster: str, proof: Json, expect: Sequence[Json], target: Target | None) -> Json:
        connection = self._clusters[cluster]
        params = {
            "kubeconfig": connection.kubeconfig,
            "context": connection.context,
            "cluster": cluster,
            "name": str(proof["name"]),
            "url": target.url if target else None,
            "others": target.others if target else (),
            "from_pod": proof.get("from_pod"),
            "path": str(proof["path"]),
            "host": target.host if target else proof.get("host"),
            "headers": proof.get("headers") or {},
            "validate_certs": bool(proof.get("validate_certs", True)),
            "ca_cert": proof.get("ca_cert"),
            "expect": list(expect),
            "pattern": proof.get("pattern") or traffic_check.ARGUMENT_SPEC["pattern"]["default"],
            "min_requests": 0,
            "timeout": self._timeout,
            "patience": 1,  # no recent change needs time to propagate
        }
        try:
            result, complete = traffic_check.run(params, False, self._progress), True
        except ClusterError as exc:
            result, complete = {"msg": exc.msg, **exc.facts}, False
        unsent = {"proof": params["name"], "cluster": cluster, "path": params["path"], "sent": 0}
        unsent["url"] = target.url if target else ""
        return {
            **unsent,
            "answers": [],
            "failures": [],
            **result.get("proof", {}),
            "missing": result.get("missing") or [],
            "complete": complete,
            "text": result["msg"],
        }
