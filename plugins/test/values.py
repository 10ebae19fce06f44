# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests that validate names, ports and addresses before anything is written."""

from __future__ import annotations

from collections.abc import Callable

from ..module_utils.k8s.names import dns_label, dns_name, host_port, port
from ..module_utils.k8s.yaml_text import yaml_keeps


def cluster_name(value: object) -> bool:
    """A name that Gloo accepts for a cluster: a DNS name, so no underscore, that remains text in unquoted YAML.

    kgateway writes the name unquoted into the proxy's Deployment: YAML reads ``123`` or ``true`` as another type.
    """
    return dns_name(value) and yaml_keeps(str(value))


def yaml_text(value: object) -> bool:
    """Text that YAML reads as the same text without quotes, as kgateway writes names and settings."""
    return isinstance(value, str) and yaml_keeps(value)


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
            "yaml_text": yaml_text,
        }
