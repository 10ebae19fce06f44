# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong with a request, and whether to send it again (pure).

A request is repeated when its fault may pass and repeating it is safe: the API server has certainly not processed it,
or a second time changes nothing more.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Any

from .connection import ProxyRefused
from .fields import Json, from_json, mapping, mappings
from .printable import one_line
from .secret_text import text as without_secrets

APPLY = "application/apply-patch+yaml"

# Refused before anything was written.
_UNPROCESSED = re.compile(r"failed calling webhook|storage is \(re\)initializing|etcdserver: too many requests")
# Errors inside the API server, in etcd or on the way to them. Some come without a reason.
_PASSING = re.compile(
    r"etcdserver: (?!request is too large|mvcc|permission|user |auth)|"
    r"rpc error: code = (?:Unavailable|DeadlineExceeded)|"
    r"conversion webhook for .* failed|context deadline exceeded|connection refused|connection reset|broken pipe|"
    r"no route to host|i/o timeout|TLS handshake timeout|unexpected EOF|\bEOF$|http2: client connection|"
    r"transport is closing|shutting down|request timed out|evaluation timed out",
    re.DOTALL,
)
#: bytes of a foreign response in which markup and secrets are looked for
_READ = 2000
_MODIFIED = "object has been modified"
#: of the values of keys of answers; lists are of maps
_TYPES: dict[str, type] = {"metadata": dict, "kind": str, "gitVersion": str}
_TYPES |= dict.fromkeys(("items", "groups", "resources", "versions"), list)
_HTML = re.compile(r"(?is)<(style|script)\b.*?</\1>|<[^>]*>")


class Fault(Exception):
    """Why one attempt failed: what the API server does, or what its error response says.

    ``sent``: the API server may have processed the request. ``passing``: a later attempt may succeed. ``code`` and
    ``status``: its response, if there was one; ``pause``: the seconds it asks to wait.
    """

    def __init__(
        self,
        text: str,
        *,
        sent: bool,
        passing: bool,
        code: int = 0,
        status: Json | None = None,
        pause: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.text, self.sent, self.passing = text, sent, passing
        self.code, self.status, self.pause = code, status or {}, pause

    @property
    def sentence(self) -> str:
        """For progress."""
        return self.text if self.code else f"the API server {self.text}"


def repeatable(method: str, content_type: str, body: Json | None, *, dry_run: bool = False) -> bool:
    """Whether a request that may have been processed can be sent again.

    Not with a resourceVersion: the first attempt, if it was processed, makes it an old one.
    """
    content = mapping(body)
    if method == "GET":
        return True
    if method == "DELETE":
        return dry_run or bool(mapping(content.get("preconditions")).get("uid"))
    guarded = mapping(content.get("metadata")).get("resourceVersion")
    return not guarded and (dry_run or (method == "PATCH" and content_type == APPLY))


def pause_before_retry(fault: Fault, attempt: int, *, safe: bool) -> float | None:
    """Seconds until the next attempt, None when there must be none. ``safe``: the request is repeatable."""
    if not fault.passing or ((fault.sent or fault.code == 409) and not safe):
        return None
    return max(min(0.2 * 2 ** min(attempt - 1, 10), 3.0), min(fault.pause, 10.0))


# -- what happened ----------------------------------------------------------------------------------------------------


def of_exception(exc: Exception, *, sent: bool) -> Fault:
    """The fault for an error of the connection; ``sent``: the request had been sent, at least partly."""
    silent = "does not respond: "
    if isinstance(exc, ProxyRefused):
        text = f"cannot be reached: the proxy refuses: {_shown(str(exc), 200)}"
        return Fault(text, sent=False, passing=not exc.lasting)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return Fault(_certificate_fault(exc), sent=False, passing=False)
    if isinstance(exc, TimeoutError):
        return Fault(f"{silent}timed out", sent=sent, passing=True)
    if isinstance(exc, socket.gaierror):
        unknown = exc.errno != socket.EAI_AGAIN
        text = "unknown host name" if unknown else "host name cannot be resolved"
        return Fault(f"{silent}{text}", sent=False, passing=not unknown)
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Fault(_tls_fault(exc), sent=sent, passing=False)
    if isinstance(exc, ConnectionRefusedError):
        return Fault(f"{silent}connection refused", sent=False, passing=True)
    if isinstance(exc, http.client.IncompleteRead) or (sent and isinstance(exc, (ConnectionError, ssl.SSLError))):
        return Fault("closes the connection before its response is complete", sent=sent, passing=True)
    if isinstance(exc, (ConnectionError, ssl.SSLError)):
        return Fault(f"{silent}connection closed", sent=sent, passing=True)
    if isinstance(exc, OSError):
        text = one_line(exc.strerror or str(exc) or type(exc).__name__)[:200]
        return Fault(silent + text[:1].lower() + text[1:], sent=sent, passing=True)
    text = one_line(str(exc))[:100] or type(exc).__name__
    return Fault(f"responds with something other than HTTP: {text}", sent=sent, passing=True)


def _certificate_fault(exc: ssl.SSLCertVerificationError) -> str:
    what = {10: "has expired", 62: "is for another name", 64: "is for another name"}.get(
        exc.verify_code, "is not signed by the kubeconfig's CA"
    )
    return f"cannot be trusted: its certificate {what} ({one_line(exc.verify_message)})"


def _tls_fault(exc: ssl.SSLError) -> str:
    reason = str(exc.reason or exc)
    if "ALERT" in reason and "EXPIRED" in reason:
        return "rejects the client certificate: it has expired"
    if "ALERT" in reason:
        return f"ends TLS: {reason.lower().replace('_', ' ')}"
    return f"cannot be reached by TLS: {one_line(reason)[:200]}"


def of_response(code: int, headers: Any, data: bytes) -> Fault:
    """The fault for a response that is an error (300 and more)."""
    status = _status(code, data)
    message, location = str(status.get("message", "")), headers.get("Location")
    if code < 400:
        # A query may have a secret.
        place = _shown(str(location or "").partition("?")[0], 200)
        text = f"redirects to {place} (HTTP {code})" if place else f"responds with HTTP {code}"
        return Fault(text, sent=False, passing=False)
    try:
        pause = float(headers.get("Retry-After") or 0)
    except ValueError:
        pause = 0.0
    passing, sent = True, False
    if code not in (429, 503) and not _is_unprocessed(code, status, message):
        passing = sent = code in (502, 504) or (code >= 500 and _is_passing(status, message))
    return Fault(message, sent=sent, passing=passing, code=code, status=status, pause=pause)


def _is_unprocessed(code: int, status: Json, message: str) -> bool:
    """Whether the API server refused the request for now, and certainly wrote nothing."""
    if code == 409:
        return status.get("reason") == "Conflict" and _MODIFIED in message
    if code == 403:
        causes = mappings(mapping(status.get("details")).get("causes"))
        return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
    return code >= 500 and _UNPROCESSED.search(message) is not None


def _is_passing(status: Json, message: str) -> bool:
    return status.get("reason") in ("ServerTimeout", "Timeout") or _PASSING.search(message) is not None


def _status(code: int, data: bytes) -> Json:
    """The Status object of an error; what a load balancer or a program in front writes as its message."""
    try:
        parsed = from_json(data)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and (parsed.get("message") or parsed.get("reason")):
        return parsed
    return {"message": _excerpt(data, 300) or http.client.responses.get(code, "no message")}


def json_object(data: bytes, key: str) -> Json:
    """The JSON object in the body of a successful response. Raises Fault when it is not the answer to the request.

    ``key``: what the answer has: "metadata" of an object, "items" of a list, "groups" of /apis. For a deletion it is
    "kind", because its answer may be a Status; other answers are not.
    """
    try:
        parsed = from_json(data)
    except ValueError:
        shown = _excerpt(data)
        text = f"responds with something other than JSON: {shown}" if shown else "responds with an empty body"
        raise Fault(text, sent=True, passing=True) from None
    if isinstance(parsed, dict) and _has(parsed, key):
        status = parsed.get("status") if parsed.get("kind") == "Status" else None
        if status is None or (key == "kind" and status != "Failure"):
            return parsed
    raise Fault(f"responds with something other than what was requested: {_excerpt(data)}", sent=True, passing=True)


def _has(answer: Json, key: str) -> bool:
    """Whether the answer has a value of the right type under the key; a list may be null."""
    value, kind = answer.get(key), _TYPES.get(key, object)
    if kind is list and value is not None:
        return isinstance(value, list) and len(mappings(value)) == len(value)
    return key in answer and (kind is list or isinstance(value, kind))


def plain_text(headers: Any, data: bytes) -> bytes:
    """The body of a successful response that is text. Raises Fault for a page, which is of a program in between."""
    if "html" in str(headers.get("Content-Type") or "").lower():
        raise Fault(f"responds with an HTML page instead of text: {_excerpt(data)}", sent=True, passing=True)
    return data


def _excerpt(data: bytes, longest: int = 100) -> str:
    return _shown(_HTML.sub(" ", data[:_READ].decode("utf-8", "replace")), longest)


def _shown(text: str, longest: int) -> str:
    """What a program in between wrote, on one line and without secrets."""
    return one_line(without_secrets(text))[:longest]
