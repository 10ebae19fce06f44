"""Client for one API server: JSON objects as dicts.

The lab writes its kubeconfig itself (client certificates, no plugins), so reading it takes a few lines; the model
classes of the official client would cost the supervisor about 100 MB.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml


class ApiError(Exception):
    """A request failed.

    status: HTTP code, 0 when there was no response; reason: the Status object's reason; message: its text.
    """

    def __init__(self, cluster: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{cluster}: {message} ({status} {reason})" if status else f"{cluster}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """Connection to the cluster that a kubeconfig context names."""

    def __init__(self, kubeconfig: Path, context: str, user_agent: str = "lab") -> None:
        self.context = context
        self.server, tls = _connection(kubeconfig, context)
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=64,
            ssl_context=tls,
            retries=urllib3.Retry(
                connect=2, read=0, redirect=0, status=0, other=1, backoff_factor=0.05, respect_retry_after_header=False
            ),
            headers=self._headers,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = 15.0,
    ) -> dict[str, Any]:
        """Send one request; returns the decoded response, raises ApiError. timeout in seconds."""
        options: dict[str, Any] = {"timeout": urllib3.Timeout(timeout)}
        if body is not None:
            options.update(body=json.dumps(body).encode(), headers={**self._headers, "Content-Type": content_type})
        response = self._send(method, path, query, **options)
        try:
            return dict(json.loads(response.data or b"{}"))
        except (ValueError, TypeError) as error:
            raise ApiError(self.context, response.status, "NotJson", f"{method} {path}: {error}") from error

    def text(self, path: str, timeout: float = 5.0) -> str:
        """GET of a plain-text endpoint such as /readyz; raises ApiError. timeout in seconds."""
        response = self._send("GET", path, timeout=urllib3.Timeout(timeout), retries=False)
        return str(response.data.decode(errors="replace"))

    def watch(self, path: str, query: dict[str, str]) -> Watch:
        """Open a watch; raises ApiError when it is refused."""
        timeout = urllib3.Timeout(connect=5.0, read=None)
        return Watch(
            self.context, path, self._send("GET", path, query, preload_content=False, retries=False, timeout=timeout)
        )

    def close(self) -> None:
        self._pool.clear()

    def _send(
        self, method: str, path: str, query: dict[str, str] | None = None, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._pool.request(method, url, **options)
            if response.status < 400:
                return response
            body = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(self.context, 0, "Unreachable", f"{method} {path}: {_short(error)}") from error
        try:
            status = json.loads(body)
            reason, message = str(status.get("reason", "")), str(status.get("message", ""))
        except (ValueError, AttributeError):
            reason, message = "", body.decode(errors="replace").strip()[:300]
        raise ApiError(self.context, response.status, reason, message)


class Watch:
    """An open watch."""

    def __init__(self, context: str, path: str, response: urllib3.BaseHTTPResponse) -> None:
        self._context = context
        self._path = path
        self._response = response

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._response.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """Events until the server ends the watch or `abort` is called; raises ApiError when the connection breaks."""
        rest = b""
        try:
            for chunk in self._response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiError(self._context, 0, "Broken", f"WATCH {self._path}: {error}") from error

    def abort(self) -> None:
        """End the watch from another thread."""
        with contextlib.suppress(ValueError, OSError, RuntimeError):  # it may have ended already
            self._response.shutdown()


def _short(error: BaseException) -> str:
    """The innermost reason, such as "Connection refused", without urllib3's wrapping."""
    while isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    text = str(error).rpartition("): ")[2]
    return text.rpartition("] ")[2] if isinstance(error, urllib3.exceptions.NewConnectionError) else text


def _connection(kubeconfig: Path, context: str) -> tuple[str, ssl.SSLContext]:
    """Server address and TLS settings of a context of the lab's own kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())

    def entry(section: str, name: str) -> dict[str, Any]:
        for found in config.get(section) or []:
            if found["name"] == name:
                return dict(found[section.removesuffix("s")])
        raise ApiError(context, 0, "Unknown", f"the lab's kubeconfig has no entry {name} in {section}")

    chosen = entry("contexts", context)
    cluster, user = entry("clusters", chosen["cluster"]), entry("users", chosen["user"])
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile(prefix="lab-client-") as both:  # ssl reads certificates from files only
        for part in ("client-certificate-data", "client-key-data"):
            both.write(base64.b64decode(user[part]) + b"\n")
        both.flush()
        tls.load_cert_chain(both.name)
    return cluster["server"].rstrip("/"), tls
