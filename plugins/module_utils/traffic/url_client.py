# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends GET requests to a URL: one connection each, with TLS for the name in the request."""

from __future__ import annotations

import http.client
import re
import ssl
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from ..k8s.connection import Socket
from ..k8s.errors import ClusterError
from ..k8s.fields import Json
from ..k8s.names import ascii_host, split_host_port, url_host
from ..k8s.secret_text import SECRET_NAME, text
from . import sampling as traffic

# Options of the request and of reading its response; documented in the doc fragment "requests".
REQUEST_SPEC: dict[str, Any] = {
    "path": {"type": "str", "default": "/"},
    "host": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "validate_certs": {"type": "bool", "default": True},
    "ca_cert": {"type": "path"},
    "pattern": {"type": "str", "default": traffic.DEFAULT_PATTERN},
}

MAX_BODY = 512 * 1024
REQUEST_TIMEOUT = 10.0
MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
#: names of headers with credentials: they are for the origin of the URL only
_CREDENTIALS = re.compile(f"{SECRET_NAME.pattern}|auth|jwt|session")
UNENCRYPTED = "not followed, because it leads from https to http"
#: punctuation that stays in a path with a query, "%" included
_PATH = string.punctuation
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class _Place:
    """Where a request is sent, apart from the address."""

    scheme: str
    port: int
    path: str


class TlsFailed(OSError):
    """The TLS handshake failed before a certificate was received, for example because no listener has this name."""


class UrlClient:
    """A new connection for every request, so that a load balancer for connections balances requests.

    TLS requests the certificate of the option ``host`` (SNI), else of the URL's host, and compares it with that name.
    A redirect that changes only scheme and port is followed to the same address, without headers that have credentials,
    because it is another origin; one from https to http is the response. ``others``: further addresses of the
    URL's host, tried in order if no connection to the first is possible. Raises ClusterError for an invalid option.
    """

    def __init__(
        self, origin: str, params: Mapping[str, Any], pattern: re.Pattern[str], others: Sequence[str] = ()
    ) -> None:
        shown = text(params["url"])  # it may contain a password
        try:
            parts = urlsplit(params["url"])
            port = parts.port
        except ValueError:
            raise ClusterError(
                f"{origin}: 'url' {shown!r} has an invalid port or address. Set http://host[:port], with a "
                "port from 1 to 65535 and an IPv6 address in brackets",
                option="url",
            ) from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ClusterError(
                f"{origin}: 'url' {shown!r} is not valid. Set http://host[:port] or https://...",
                option="url",
            )
        self._addresses = (parts.hostname, *others)
        path = parts.path.rstrip("/") + params["path"]
        self._place = _Place(parts.scheme, port or _PORTS[parts.scheme], path)
        in_headers = [str(value) for key, value in params["headers"].items() if str(key).lower() == "host"]
        self._host = str(params.get("host") or next(iter(in_headers), ""))
        self.name = ascii_host(split_host_port(self._host)[0] or parts.hostname)
        self._params, self._pattern = params, pattern
        self._tls = _tls_context(origin, params)
        self.target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"

    def send(self) -> traffic.Response:
        place, failure = self._place, traffic.Response(None, "too many redirects")
        for _hop in range(MAX_REDIRECTS + 1):
            try:
                status, body, location = self._request(place)
            except (OSError, http.client.HTTPException) as exc:
                return failure_of(exc, self.name)
            following = self._followed(place, location) if status in _REDIRECTS else None
            if following is None:
                return traffic.read_response(status, body, self._pattern, location)
            if (place.scheme, following.scheme) == ("https", "http"):
                return traffic.Response(None, str(status), f"{UNENCRYPTED}: redirect to {traffic.excerpt(location)}")
            place = following
        return failure

    def close(self) -> None:
        """Nothing to close: every request has its connection."""

    def _request(self, place: _Place) -> tuple[int, str, str]:
        connection = self._connected(place)
        try:
            return exchange(connection, self._headers(place), place.path, self._host_header(place))
        finally:
            connection.close()

    def _connected(self, place: _Place) -> http.client.HTTPConnection:
        deadline = time.monotonic() + REQUEST_TIMEOUT
        for address in self._addresses:
            connection = http.client.HTTPConnection(address, place.port, timeout=REQUEST_TIMEOUT)
            try:
                connection.connect()
                break
            except OSError:
                if address == self._addresses[-1]:
                    raise
        if place.scheme == "https":
            try:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=self.name)
            except ssl.SSLCertVerificationError:
                connection.close()
                raise
            except (OSError, ValueError) as exc:
                connection.close()
                raise TlsFailed(getattr(exc, "reason", None) or str(exc) or type(exc).__name__) from None
        connection.sock = Socket(connection.sock, deadline)
        return connection

    def _headers(self, place: _Place) -> Json:
        """The headers for a place: credentials only for the origin of the URL."""
        given: Json = self._params["headers"]
        if (place.scheme, place.port) == (self._place.scheme, self._place.port):
            return given
        return {key: value for key, value in given.items() if not _CREDENTIALS.search(str(key))}

    def _host_header(self, place: _Place) -> str:
        """The given host with its port; without one the URL's host, with a port that is not the scheme's own."""
        given, port = split_host_port(self._host)
        if given and place == self._place:
            return _with_port(self.name, port)
        return _with_port(self.name, place.port if place.port != _PORTS[place.scheme] else None)

    def _followed(self, place: _Place, location: str) -> _Place | None:
        """Where a redirect leads, if it is the same resource of the same host by another scheme or port."""
        try:
            parts = urlsplit(location)
            scheme = parts.scheme or place.scheme
            port = parts.port or _PORTS[scheme]
        except (ValueError, KeyError):
            return None
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        same = ascii_host(parts.hostname or "") == self.name and (path or "/") == place.path
        found = replace(place, scheme=scheme, port=port)
        return found if same and found != place else None


def _with_port(name: str, port: int | None) -> str:
    return f"{url_host(name)}:{port}" if port else url_host(name)


def _tls_context(origin: str, params: Mapping[str, Any]) -> ssl.SSLContext:
    ca_cert = params.get("ca_cert")
    try:
        context = ssl.create_default_context(cafile=ca_cert or None)
    except (OSError, ValueError) as exc:
        text = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or str(exc)
        raise ClusterError(
            f"{origin}: 'ca_cert' {ca_cert} cannot be read: {text}. Set a file of PEM certificates", option="ca_cert"
        ) from None
    # Python 3.13 rejects certificates without optional extensions, which other clients accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not params.get("validate_certs", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def exchange(
    connection: http.client.HTTPConnection, given: Mapping[str, Any], path: str, host: str = ""
) -> tuple[int, str, str]:
    """(status, body, Location) of one GET with the given headers.

    Other than ASCII characters are sent as UTF-8, in paths percent-encoded.
    """
    headers = {"Accept": "*/*", "User-Agent": "multicluster.gloo"}
    headers |= {str(key): str(value) for key, value in given.items()}
    if host:
        headers = {key: value for key, value in headers.items() if key.lower() != "host"} | {"Host": host}
    for key, value in headers.items():
        if not key.isascii() or _CONTROL.search(key + value):
            raise http.client.HTTPException(f"header {key!r}: its name or value has characters that are not valid")
    connection.request("GET", quote(path, safe=_PATH), headers={key: value.encode() for key, value in headers.items()})
    response = connection.getresponse()
    body = response.read(MAX_BODY)
    if not response.isclosed():
        connection.close()  # the body is longer than what is read: its rest must not start the next response
    return response.status, body.decode("utf-8", "replace"), response.getheader("Location") or ""


def failure_of(exc: Exception, name: str = "") -> traffic.Response:
    """A failed request; the status is short and the same for the same cause."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        text = f"for {name}: {exc.verify_message or exc.reason}"
        return traffic.Response(None, "certificate refused", traffic.excerpt(text))
    if isinstance(exc, TlsFailed):
        return traffic.Response(None, "TLS handshake failed", traffic.excerpt(f"server name {name}: {exc}"))
    if isinstance(exc, ConnectionRefusedError):
        return traffic.Response(None, "connection refused")
    if isinstance(exc, TimeoutError):
        return traffic.Response(None, "timed out", f"no response within {REQUEST_TIMEOUT:g} s")
    if isinstance(exc, ConnectionResetError | http.client.RemoteDisconnected):
        return traffic.Response(None, "connection closed without a response")
    return traffic.Response(None, type(exc).__name__, traffic.excerpt(str(exc)))
