# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests to one API server: retries, time limits, errors.

Requests are plain HTTP, so no model classes are imported. Of the ``kubernetes`` package only the relay of port-forwards
is used; its HTTP client has no limit for a request as a whole, and its port-forwards do not use every proxy.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from .connection import Connection
from .errors import ClusterError, MissingLibrary, NotServed, Unreachable
from .faults import Fault, json_object, of_exception, of_response, pause_before_retry, plain_text, repeatable
from .fields import Json, mapping, title
from .kinds import Kind, group_of
from .kubeconfig import IMPORT_ERROR as KUBECONFIG_IMPORT_ERROR
from .kubeconfig import Access
from .progress import Progress
from .status_errors import explain
from .verdict import waiting

try:
    from kubernetes.stream.ws_client import PortForward
    from websocket import WebSocket

    IMPORT_ERROR: str | None = KUBECONFIG_IMPORT_ERROR
except ImportError:
    PortForward = object
    IMPORT_ERROR = traceback.format_exc()

FIELD_MANAGER = "multicluster.gloo"
# Seconds for one attempt of a request, from the connection to the last byte of the response.
ATTEMPT_WITHIN = 30.0
# Seconds from the first fault that may pass to the start of the last attempt.
PATIENCE = 20.0
# Seconds beyond the time limit of a wait, to read what blocks it.
GRACE = 5.0

T = TypeVar("T")
# Reads a response; the connection is for what goes on after it.
Read = Callable[[http.client.HTTPResponse, Connection], T]


@dataclass(frozen=True)
class _Call:
    """One request.

    ``what``: the title of its object; ``safe``: it may be sent twice; ``writes``: not a dry run; ``keeps``: what reads
    the response keeps the connection; ``within``: seconds of an attempt, None for ATTEMPT_WITHIN.
    """

    method: str
    target: str
    what: str
    kind: Kind | None = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("Accept", "application/json"),)
    safe: bool = True
    writes: bool = False
    keeps: bool = False
    upgrades: bool = False
    within: float | None = None


class Transport:
    """The connection to one API server. Only the kubeconfig is read before the first request.

    ``requests``, ``writes`` and ``dry_runs`` count HTTP requests; a dry run is no write. Thread-safe: watches run in
    threads.
    An attempt of a request ends within ATTEMPT_WITHIN seconds. Faults that may pass (see faults.py) are retried for
    ``patience`` seconds from the first one and reported to ``progress``. With its retries a request ends in
    ``request_within`` seconds.
    """

    def __init__(
        self,
        kubeconfig: str,
        context: str,
        name: str | None = None,
        *,
        patience: float | None = None,
        request_within: float = float("inf"),
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name = name or context
        self.context = context
        self.kubeconfig = kubeconfig
        self.patience = PATIENCE if patience is None else patience
        self.request_within = request_within
        self.progress = progress
        self.requests = 0
        self.writes = 0
        self.dry_runs = 0
        self.server_time: float | None = None
        self._lock = threading.Lock()
        self._deadline = float("inf")
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

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside the context every request, with its retries, ends within this time from now."""
        before = self._deadline
        self._deadline = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._deadline = before

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
        key: str = "",
    ) -> Json:
        """Send one request; returns the JSON object of the response.

        ``key``: what the answer has (see faults.json_object); by default "metadata", of a deletion "kind".
        """
        key = key or ("kind" if method == "DELETE" else "metadata")
        if dry_run:
            query = {**(query or {}), "dryRun": "All"}
            with self._lock:
                self.dry_runs += 1
        call = _Call(
            method,
            self._target(path, query),
            what or path,
            kind,
            json.dumps(body).encode() if body is not None else None,
            (("Accept", "application/json"), *([("Content-Type", content_type)] if body is not None else [])),
            safe=repeatable(method, content_type, body, dry_run=dry_run),
            writes=method != "GET" and not dry_run,
        )
        return self._send(call, lambda response, connection: json_object(_body(response), key))

    def _text(self, path: str, query: dict[str, str], what: str, kind: Kind) -> bytes:
        """The body of a response that is not JSON."""
        call = _Call("GET", self._target(path, query), what, kind)
        return self._send(call, lambda response, connection: plain_text(response.headers, _body(response)))

    def _stream(self, path: str, query: dict[str, str], what: str, kind: Kind, within: float) -> Stream:
        """A response of lines, which the caller closes."""
        return self._send(_Call("GET", self._target(path, query), what, kind, within=within, keeps=True), Stream)

    def pod_socket(self, namespace: str, pod: str, port: int) -> Any:
        """A connected socket to a Pod's port through the API server (port-forward). The caller closes it."""
        target = self._target(f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward", {"ports": str(port)})
        headers = (
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
            ("Sec-WebSocket-Protocol", "v4.channel.k8s.io"),
        )
        what = f"{title('Pod', pod, namespace)}: port-forward to {port}"
        call = _Call("GET", target, what, headers=headers, keeps=True, upgrades=True)
        return self._send(call, partial(_forwarded, port))

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _target(self, path: str, query: dict[str, str] | None) -> str:
        return quote(urlsplit(self.server).path, safe="/%") + quote(path) + (f"?{urlencode(query)}" if query else "")

    def _send(self, call: _Call, read: Read[T]) -> T:
        """What ``read`` makes of the response, within the same care as the response itself."""
        report = Progress(self.name, self.progress)
        end = min(self._deadline, time.monotonic() + self.request_within)
        deadline: float | None = None
        renewed = False
        for attempt in itertools.count(1):
            try:
                return self._attempt(call, read, end)
            except Fault as fault:
                if fault.code == 401 and not renewed and self._access.renew():
                    renewed = True
                    continue
                pause = pause_before_retry(fault, attempt, safe=call.safe)
                now = time.monotonic()
                deadline = deadline or min(end, now + self.patience)
                if pause is None or now + pause >= deadline:
                    raise self._error(call, fault, 0.0 if pause is None else report.seconds) from fault
                report(waiting(f"{call.what}: {fault.sentence}"))
                time.sleep(pause)
        raise AssertionError("itertools.count has no end")

    def _attempt(self, call: _Call, read: Read[T], end: float) -> T:
        """One attempt, which ends at ``end`` at the latest. Raises Fault."""
        headers = [("User-Agent", FIELD_MANAGER), *call.headers, *self._access.headers()]
        deadline = min(end, time.monotonic() + (call.within or ATTEMPT_WITHIN))
        connections = self._access.connections
        connection: Connection | None = None
        self._count(call)
        try:
            connection = connections.take(deadline, fresh=not call.safe)
            response = _exchange(connection, call, headers)
            self._note_time(response.headers.get("Date"))
            if response.status >= 300:
                raise of_response(response.status, response.headers, _body(response))
            result = read(response, connection)
        except BaseException as exc:
            if connection is not None:
                connection.end()
            if isinstance(exc, (OSError, http.client.HTTPException)):
                raise of_exception(exc, sent=connection is not None) from exc
            raise
        if not call.keeps:
            if response.will_close:
                connection.end()
            else:
                connections.give_back(connection)
        return result

    def _count(self, call: _Call) -> None:
        with self._lock:
            self.requests += 1
            self.writes += call.writes

    def _note_time(self, date: str | None) -> None:
        if date:
            try:
                self.server_time = parsedate_to_datetime(date).timestamp()
            except (TypeError, ValueError, OverflowError):
                pass

    def _error(self, call: _Call, fault: Fault, waited: float) -> ClusterError:
        """The error for a request's last fault; ``waited``: seconds of its attempts."""
        error = self._explained(call, fault, waited)
        error.outcome_unknown = fault.sent and call.writes
        return error

    def _explained(self, call: _Call, fault: Fault, waited: float) -> ClusterError:
        tried = f" (tried for {waited:.0f} s)" if waited >= 1 else ""
        done = "deleted" if call.method == "DELETE" else "written"
        unknown = f". The object may have been {done}. Run the task again: it continues from the actual state"
        written = unknown if fault.sent and call.writes else ""
        if not fault.code:
            proxy = self._access.connections.to.proxy
            via = f", proxy {proxy}" if proxy else ""
            check = "the cluster is running, the address is reachable and the kubeconfig is current"
            return Unreachable(
                f"{self.name}: {f'{call.what}: ' if fault.sent else ''}the API server {self.server} (context "
                f"{self.context}{via}) {fault.text}{tried}{written or f'. Check that {check}'}",
                cluster=self.name,
                server=self.server,
                reason=fault.text,
            )
        if fault.code == 404 and call.kind is not None and not mapping(fault.status.get("details")).get("name"):
            # The path does not exist. For a missing object or namespace, details name it.
            return not_served(self.name, call.kind.api_version, call.kind.kind)
        error = explain(
            self.name,
            self.server,
            call.what,
            fault.status,
            fault.code,
            anonymous=self._access.anonymous,
            tried=tried,
        )
        error.msg = f"{error.msg}{written}"
        error.args = (error.msg,)
        return error


class Stream:
    """The lines of a response, until it ends, breaks or is shut down."""

    def __init__(self, response: http.client.HTTPResponse, connection: Connection) -> None:
        self._response, self._connection = response, connection

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            while chunk := self._response.read1(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except (OSError, http.client.HTTPException, ValueError):
            return

    def shutdown(self) -> None:
        """End the stream from another thread."""
        self._connection.wire.shutdown()

    def close(self) -> None:
        self._connection.end()


def _exchange(connection: Connection, call: _Call, headers: list[tuple[str, str]]) -> http.client.HTTPResponse:
    """Send the request and read the head of its response."""
    connection.wire.read_ahead = not call.upgrades
    connection.putrequest(call.method, call.target, skip_accept_encoding=True)
    if call.body is not None:
        connection.putheader("Content-Length", str(len(call.body)))
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders(call.body)
    response = connection.getresponse()
    if response.length is None and not response.chunked and "close" not in response.headers.get("Connection", ""):
        raise ConnectionResetError("the response ends within its headers")
    return response


def _body(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read()
    except (OverflowError, MemoryError, ValueError):
        raise http.client.HTTPException("its length is not valid") from None


class _Relay(PortForward):
    """Ends quietly when the connection breaks."""

    def _proxy(self) -> None:
        try:
            super()._proxy()
        except Exception:
            self.websocket.shutdown()
            for port in self.local_ports.values():
                port.python.close()


def _forwarded(port: int, response: http.client.HTTPResponse, connection: Connection) -> Any:
    if response.status != 101:
        raise Fault(f"responds to a port-forward with HTTP {response.status}", sent=False, passing=False)
    websocket = WebSocket()
    websocket.sock, websocket.connected = connection.wire.plain, True
    websocket.settimeout(None)
    sock = _Relay(websocket, [port]).socket(port)
    sock.setblocking(True)
    return sock


def not_served(cluster: str, api_version: str, kind: str) -> NotServed:
    """The error for a kind that the API server does not serve."""
    return NotServed(
        f"{cluster}: {kind}: the API server does not serve {api_version} {kind}. "
        f"Install the CRDs of {group_of(api_version) or 'the core group'} or check apiVersion and kind",
        cluster=cluster,
        api_version=api_version,
        kind=kind,
    )
