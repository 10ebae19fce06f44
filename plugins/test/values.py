# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of values before anything is written: names, ports and addresses that would be refused later."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from ..module_utils.k8s.names import dns_label, dns_name, yaml_keeps


def cluster_name(value: object) -> bool:
    """A name that Gloo accepts for a cluster: a DNS name, so no underscore, that unquoted YAML reads as text.

    kgateway writes the name unquoted into the proxy's Deployment: ``123`` or ``true`` would not stay text.
    """
    return dns_name(value) and yaml_keeps(str(value))


def port(value: object) -> bool:
    """A port number, given as number or as digits."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    return re.fullmatch(r"[0-9]{1,5}", str(value)) is not None and 1 <= int(value) <= 65535


def host_port(value: object) -> bool:
    """``host:port`` with a DNS name, an IPv4 address or an IPv6 address in brackets."""
    if not isinstance(value, str):
        return False
    host, colon, number = value.rpartition(":")
    if not colon or not port(number):
        return False
    if host.startswith("[") and host.endswith("]"):
        return _address(host[1:-1], 6)
    if re.fullmatch(r"[0-9.]+", host):
        return _address(host, 4)
    return dns_name(host)


def _address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


class TestModule:
    """Ansible's entry point."""

    def tests(self) -> dict[str, Callable[[object], bool]]:
        """Tests by name."""
        return {
            "cluster_name": cluster_name,
            "dns_label": dns_label,
            "dns_name": dns_name,
            "host_port": host_port,
            "port": port,
        }
