# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests to one API server: authentication, retries, errors.

The official ``kubernetes`` package loads the kubeconfig and does authentication and TLS; requests are plain HTTP on its
connection pool, so no model classes are imported.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from .errors import ClusterError, MissingLibrary, NotServed, Unreachable
from .fields import Json, title
from .kinds import Kind, group_of
from .kubeconfig import IMPORT_ERROR as KUBECONFIG_IMPORT_ERROR
from .kubeconfig import Access
from .progress import Progress
from .status_errors import explain, transient_pause
from .verdict import waiting

try:
    import urllib3
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import ws_client

    IMPORT_ERROR: str | None = KUBECONFIG_IMPORT_ERROR
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

FIELD_MANAGER = "multicluster.gloo"


class Transport:
    """The connection to one API server. Only the kubeconfig is read before the first request.

    ``requests`` and ``writes`` count HTTP requests; dry runs are not writes. Thread-safe: watches run in threads.
    Transient refusals (429, 503, a webhook that does not respond yet, a terminating namespace) are retried for
    ``patience`` seconds and reported to ``progress``; an unreachable API server fails after a few seconds.
    """

    def __init__(
        self,
        kubeconfig: str,
        context: str,
        name: str | None = None,
        *,
        patience: float = 20.0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name = name or context
        self.context = context
        self.kubeconfig = kubeconfig
        self.patience = patience
        self.progress = progress
        self.requests = 0
        self.writes = 0
        self.server_time: float | None = None
        self._lock = threading.Lock()
        if IMPORT_ERROR:
            raise MissingLibrary(
                f"{self.name}: the Python package 'kubernetes' cannot be imported by {sys.executable}: "
                f"{IMPORT_ERROR.strip().splitlines()[-1]}. Install it there with: python -m pip install kubernetes",
                cluster=self.name,
            )
        self._access = Access(self.name, kubeconfig, context)
        self.server = self._access.server

    def close(self) -> None:
        """Close every connection of this cluster."""
        self._access.close()

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        dry_run: bool = False,
        what: str = "",
        kind: Kind | None = None,
    ) -> Json:
        """Send one request; returns the JSON of the response. For paths without a method of Cluster."""
        if dry_run:
            query = {**(query or {}), "dryRun": "All"}
        response = self._open(method, path, query, what, kind, body=body, content_type=content_type, write=not dry_run)
        try:
            data = response.data
        finally:
            response.release_conn()
        return json.loads(data) if data else {}

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        what: str,
        kind: Kind | None,
        *,
        body: Json | None = None,
        content_type: str = "application/json",
        write: bool = False,
        read: float = 30.0,
    ) -> Any:
        url = self.server + quote(path) + (f"?{urlencode(query)}" if query else "")
        payload = json.dumps(body).encode() if body is not None else None
        deadline = time.monotonic() + self.patience
        report = Progress(self.name, self.progress)
        attempt = 0
        while True:
            attempt += 1
            headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
            if payload is not None:
                headers["Content-Type"] = content_type
            try:
                headers.update(self._access.headers())
                self._count(method, write)
                response = self._access.pool.request(
                    method,
                    url,
                    body=payload,
                    headers=headers,
                    preload_content=False,
                    retries=False,
                    redirect=False,
                    timeout=urllib3.Timeout(connect=5.0, read=read),
                )
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                # Retry: the server may have closed a kept-alive connection, or is restarting. A POST may have been
                # processed; every other request here is idempotent.
                if attempt < 3 and method != "POST" and not _permanent(exc):
                    time.sleep(0.3 * attempt)
                    continue
                raise self._unreachable(exc) from exc
            self._note_time(response.headers.get("Date"))
            if response.status < 400:
                return response
            status = _status(response.data)
            response.release_conn()
            pause = transient_pause(status, response.status, response.headers.get("Retry-After"), attempt)
            if pause is not None and time.monotonic() + pause < deadline:
                report(waiting(f"{what or path}: {status.get('message') or f'HTTP {response.status}'}"))
                time.sleep(pause)
                continue
            if response.status == 404 and kind is not None and not (status.get("details") or {}).get("name"):
                # The path does not exist. For a missing object or namespace, details name it.
                raise not_served(self.name, kind.api_version, kind.kind)
            raise explain(self.name, self.server, what, status, response.status)

    def _count(self, method: str, write: bool) -> None:
        with self._lock:
            self.requests += 1
            if write and method != "GET":
                self.writes += 1

    def _note_time(self, date: str | None) -> None:
        if date:
            try:
                self.server_time = parsedate_to_datetime(date).timestamp()
            except (TypeError, ValueError):
                pass

    def _unreachable(self, exc: Exception) -> Unreachable:
        reason = _network_reason(exc)
        return Unreachable(
            f"{self.name}: the API server {self.server} (context {self.context}) does not respond: {reason}. "
            "Check that the cluster is running, the address is reachable and the kubeconfig is current",
            cluster=self.name,
            server=self.server,
            reason=reason,
        )

    def pod_socket(self, namespace: str, pod: str, port: int) -> Any:
        """A connected socket to a Pod's port through the API server (port-forward). The caller closes it."""
        what = title("Pod", pod, namespace)
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
        try:
            # Not CoreV1Api: importing every model class costs about a second in each new process.
            self._count("GET", False)
            with self._access.files() as configuration:
                forward = ws_client.portforward_call(
                    configuration,
                    "GET",
                    self.server + path,
                    query_params=[("ports", str(port))],
                    headers={key.lower(): value for key, value in self._access.headers().items()},
                )
            sock = forward.socket(port)
        except ApiException as exc:
            raise self._stream_error(what, exc) from exc
        except Exception as exc:
            raise ClusterError(f"{self.name}: {what}: port-forward to {port} failed: {exc}", cluster=self.name) from exc
        sock.setblocking(True)
        return sock

    def _stream_error(self, what: str, exc: Exception) -> ClusterError:
        """The API server's response, which the kubernetes package returns as status 0 with a text of headers."""
        refusal = exc.__context__
        code = getattr(refusal, "status_code", None)
        if isinstance(code, int):
            return explain(self.name, self.server, what, _status(getattr(refusal, "resp_body", None) or b""), code)
        return ClusterError(f"{self.name}: {what}: port-forward failed: {refusal or exc}", cluster=self.name)


def not_served(cluster: str, api_version: str, kind: str) -> NotServed:
    """The error for a kind that the API server does not serve."""
    return NotServed(
        f"{cluster}: {kind}: the API server does not serve {api_version} {kind}. "
        f"Install the CRDs of {group_of(api_version) or 'the core group'} or check apiVersion and kind",
        cluster=cluster,
        api_version=api_version,
        kind=kind,
    )


def _status(data: bytes) -> Json:
    try:
        parsed = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace").strip()[:300]}
    return parsed if isinstance(parsed, dict) else {"message": str(parsed)[:300]}


def _permanent(exc: Exception) -> bool:
    """Whether a retry cannot succeed: unknown name, invalid certificate, or no response within five seconds."""
    kinds = urllib3.exceptions
    if isinstance(exc, kinds.NewConnectionError):  # a ConnectTimeoutError too, but mostly a refused connection
        return isinstance(exc, kinds.NameResolutionError)
    return isinstance(exc, (kinds.SSLError, kinds.TimeoutError))


def _network_reason(exc: Exception) -> str:
    cause = getattr(exc, "reason", None)
    text = str(cause if isinstance(cause, Exception) else exc)
    for known_text, plain in (
        ("Connection refused", "connection refused"),
        ("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not signed by the kubeconfig's CA"),
        ("timed out", "timed out"),
        ("Name or service not known", "unknown host name"),
        ("Temporary failure in name resolution", "host name cannot be resolved"),
        ("No route to host", "no route to host"),
        ("Network is unreachable", "network unreachable"),
        ("certificate expired", "the client certificate has expired"),
    ):
        if known_text in text:
            return plain + (f" ({text.rsplit('_ssl.c', 1)[0].strip(' (')})" if plain.startswith("the server's") else "")
    return " ".join(text.split())[:200]
