# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Syntax of names, ports and IDs for DNS and Kubernetes, and IDs that unquoted YAML keeps as text (pure)."""

from __future__ import annotations

import ipaddress
import re

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# A plain scalar: no indicator at its start, nothing in it that ends it or begins a value or a comment.
_PLAIN = re.compile(r"(?![-?:](\s|$)|(=|<<)$)[^\s,\[\]{}#&*!|>'\"%@`]((?!:(\s|$)|\s#)[ -~])*")
_WORDS = frozenset(["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan"])
_NUMBER = r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+|(\d[\d_]*)?\.?\d[\d_]*\.?(e[-+]?\d+)?|\.inf)"
_SEXAGESIMAL = r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?"
_DATE = r"\d{4}-\d{1,2}-\d{1,2}([t ].*)?"
_TYPED = re.compile(f"({_NUMBER})|({_SEXAGESIMAL})|({_DATE})")


def dns_label(value: object) -> bool:
    """One part of a DNS name (RFC 1123), at most 63 characters, lower case."""
    return isinstance(value, str) and _DNS_LABEL.fullmatch(value) is not None


def dns_name(value: object) -> bool:
    """A DNS name of at most 253 characters, lower case, as Kubernetes accepts it for hosts."""
    return isinstance(value, str) and len(value) <= 253 and all(map(dns_label, value.split(".")))


def port(value: object) -> bool:
    """A port number, given as number or as digits."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    return re.fullmatch(r"[0-9]{1,5}", str(value)) is not None and 1 <= int(value) <= 65535


def host_port(value: object) -> bool:
    """``host:port`` with a DNS name in any case, an IPv4 address or an IPv6 address in brackets."""
    if not isinstance(value, str):
        return False
    host, colon, number = value.rpartition(":")
    if not colon or not port(number):
        return False
    if host.startswith("[") and host.endswith("]"):
        return _address(host[1:-1], 6)
    if re.fullmatch(r"[0-9.]+", host):
        return _address(host, 4)
    return dns_name(host.lower())


def split_host(text: str) -> tuple[str, int | None]:
    """(host, port) of ``host``, ``host:port``, an IPv6 address or ``[IPv6]:port``; port None when there is none."""
    if _address(text, 6):
        return text, None
    found = re.fullmatch(r"(\[(?P<ip>[^\[\]]*)\]|(?P<host>[^:]*))(:(?P<port>[0-9]{1,5}))?", text)
    if not found:
        return text, None
    return found["ip"] or found["host"] or "", int(found["port"]) if found["port"] else None


def url_host(host: str) -> str:
    """The host as in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if _address(host, 6) else host


def ascii_host(host: str) -> str:
    """A host name as in DNS, TLS and the Host header: lower case, without a final dot, other scripts as xn--."""
    host = host.strip().rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def request_host(text: object) -> bool:
    """A host that a request can be for: a DNS name of any script or an IP address, with or without port."""
    if not isinstance(text, str):
        return False
    host, number = split_host(text)
    is_address = _address(host, 4) or _address(host, 6)
    return (number is None or port(number)) and (is_address or dns_name(ascii_host(host)))


def _address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def yaml_changes(text: str) -> bool:
    """Whether YAML 1.1 or 1.2 reads the unquoted text as a number, boolean, null or date."""
    word = text.strip().lower()
    return word in _WORDS or _TYPED.fullmatch(word) is not None


def yaml_keeps(text: str) -> bool:
    """Whether YAML reads the unquoted text as the same string.

    kgateway renders IDs unquoted into its template; any other ID makes the Deployment invalid.
    """
    return bool(_PLAIN.fullmatch(text)) and text == text.strip() and not yaml_changes(text)
