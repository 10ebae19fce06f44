"""One API server, spoken to in plain JSON: dicts in, dicts out.

The lab writes its kubeconfig itself (client certificates, no plugins), so reading it takes a few lines; the official
client's model classes would cost the supervisor some 100 MB.
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
    """An API server's refusal.

    status: HTTP code, 0 when no answer came; reason: the Status object's reason; message: its text.
    """

    def __init__(self, cluster: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{cluster}: {message} ({status} {reason})" if status else f"{cluster}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """Connection to the cluster a kubeconfig context names."""

    def __init__(self, kubeconfig: Path, context: str, user_agent: str = "lab") -> None:
        self.context = context
        self.server, tls = _connection(kubeconfig, context)
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=64,
            ssl_context=tls,
            retries=urllib3.Retry(
                connect=2, read=0, redirect=0, status=0, other=1, backoff_factor=0.05, respect_retry_after_header=False
            ),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
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
        """Send one request; returns the decoded answer, raises ApiError."""
        headers = {**self._pool.headers}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            answer = self._pool.request(
                method, self._url(path, query), body=data, headers=headers, timeout=urllib3.Timeout(timeout)
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(self.context, 0, "Unreachable", f"{method} {path}: {_short(error)}") from error
        if answer.status >= 400:
            raise _refusal(self.context, answer.status, answer.data)
        try:
            decoded = json.loads(answer.data) if answer.data else {}
        except ValueError as error:
            raise ApiError(self.context, answer.status, "NotJson", f"{method} {path}: {error}") from error
        return decoded if isinstance(decoded, dict) else {"value": decoded}

    def text(self, path: str, timeout: float = 5.0) -> str:
        """GET of a plain-text endpoint such as /readyz."""
        try:
            answer = self._pool.request("GET", self._url(path, None), timeout=urllib3.Timeout(timeout), retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(self.context, 0, "Unreachable", f"GET {path}: {_short(error)}") from error
        if answer.status >= 400:
            raise ApiError(self.context, answer.status, "NotReady", answer.data.decode(errors="replace").strip())
        return str(answer.data.decode(errors="replace"))

    def watch(self, path: str, query: dict[str, str]) -> Stream:
        """Open a watch; raises ApiError when it is refused."""
        try:
            answer = self._pool.request(
                "GET",
                self._url(path, query),
                preload_content=False,
                retries=False,
                timeout=urllib3.Timeout(connect=5.0, read=None),
            )
            if answer.status >= 400:
                raise _refusal(self.context, answer.status, answer.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(self.context, 0, "Unreachable", f"WATCH {path}: {_short(error)}") from error
        return Stream(self.context, path, answer)

    def close(self) -> None:
        self._pool.clear()

    def _url(self, path: str, query: dict[str, str] | None) -> str:
        return f"{self.server}{path}?{urlencode(query)}" if query else f"{self.server}{path}"


class Stream:
    """An open watch."""

    def __init__(self, context: str, path: str, answer: urllib3.BaseHTTPResponse) -> None:
        self._context = context
        self._path = path
        self._answer = answer

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self._answer.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """Events until the server ends the watch or `hang_up` is called; raises ApiError when it breaks."""
        rest = b""
        try:
            for chunk in self._answer.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield json.loads(line)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiError(self._context, 0, "Broken", f"WATCH {self._path}: {error}") from error

    def hang_up(self) -> None:
        """End the watch from another thread."""
        with contextlib.suppress(ValueError, OSError, RuntimeError):  # it may have ended already
            self._answer.shutdown()


def _short(error: BaseException) -> str:
    """The innermost reason, such as "Connection refused", without urllib3's wrapping."""
    while isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    text = str(error).rpartition("): ")[2]
    return text.rpartition("] ")[2] if isinstance(error, urllib3.exceptions.NewConnectionError) else text


def _refusal(context: str, status: int, body: bytes) -> ApiError:
    try:
        told = json.loads(body)
        return ApiError(context, status, str(told.get("reason", "")), str(told.get("message", "")))
    except (ValueError, AttributeError):
        return ApiError(context, status, "", body.decode(errors="replace").strip()[:300])


def _connection(kubeconfig: Path, context: str) -> tuple[str, ssl.SSLContext]:
    """Server address and TLS settings of a context of the lab's own kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())
    chosen = _named(config, "contexts", context)["context"]
    cluster = _named(config, "clusters", chosen["cluster"])["cluster"]
    user = _named(config, "users", chosen["user"])["user"]
    tls = ssl.create_default_context(cadata=_material(cluster, "certificate-authority", kubeconfig).decode())
    with tempfile.NamedTemporaryFile(prefix="lab-client-") as both:  # ssl reads certificates from files only
        both.write(_material(user, "client-certificate", kubeconfig) + b"\n")
        both.write(_material(user, "client-key", kubeconfig))
        both.flush()
        tls.load_cert_chain(both.name)
    return cluster["server"].rstrip("/"), tls


def _named(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    for entry in config.get(section) or []:
        if entry["name"] == name:
            return dict(entry)
    raise ApiError(name, 0, "Unknown", f"the lab's kubeconfig has no {name} among its {section}")


def _material(entry: dict[str, Any], key: str, kubeconfig: Path) -> bytes:
    if f"{key}-data" in entry:
        return base64.b64decode(entry[f"{key}-data"])
    return Path(kubeconfig.parent, entry[key]).read_bytes()
