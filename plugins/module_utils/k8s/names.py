# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Syntax of names, ports and hosts for DNS and Kubernetes (pure)."""

from __future__ import annotations

import ipaddress
import re

_HOST_PORT = re.compile(r"(\[(?P<ip>[^\[\]]*)\]|(?P<host>[^:\[\]]*))(:(?P<port>[0-9]{1,9}))?")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


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


def split_host_port(text: str) -> tuple[str, int | None]:
    """(host, port) of ``host``, ``host:port``, an IPv6 address or ``[IPv6]:port``, as Go programs parse it.

    Port None when there is none; text of another form is the host.
    """
    found = _HOST_PORT.fullmatch(text)
    if not found:
        return text, None
    return found["ip"] or found["host"] or "", int(found["port"]) if found["port"] else None


def join_host_port(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"{url_host(host)}:{port}"


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
    host, number = split_host_port(text)
    is_address = _address(host, 4) or _address(host, 6)
    return (number is None or port(number)) and (is_address or dns_name(ascii_host(host)))


def _address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
