# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run ends with: a few lines a person can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def run_summary(hosts: Mapping[str, Record], groups: Mapping[str, Iterable[str]], check: bool = False) -> list[str]:
    """Lines on clusters, addresses, istiod, containers and answers, as far as the run came by them.

    *hosts*: hostvars, with what playbooks and roles registered. *check*: nothing was written or asked.
    """
    management, workloads, gateways = (list(groups.get(name) or ()) for name in ("management", "workload", "gateway"))
    lines = []
    for host in management + workloads:
        info = _first(hosts[host], "preflight_cluster", "info")
        lines.append(f"{host}: Kubernetes {info['version']}, {info['server']}" if info else f"{host}: not looked at")
        if host in management:
            lines += [f"  {title} {address}" for title, address in _management_addresses(hosts[host])]
        else:
            lines += [f"  {text}" for text in _istiod(hosts[host]) + _east_west(hosts[host])]
        if host in gateways:
            lines += [f"  {text}" for text in _proxy(hosts[host])]
    for host in workloads:
        for proof in hosts[host].get("routing_answers") or ():
            lines.append(f"{proof['proof']} ({host}): {proof['sent']} x GET {proof['path']}")
            lines += [
                f"  {each['instance']} in {each['cluster'] or 'a cluster not told'}: {each['count']}"
                for each in sorted(proof["answers"], key=lambda each: (each["cluster"], each["instance"]))
            ]
    if check:
        lines.append("check mode: nothing was written, no request was sent, nothing is proven")
    return lines


def _first(host: Record, register: str, key: str) -> Any:
    found = (host.get(register) or {}).get(key) or ()
    return next(iter(found), None)


def _management_addresses(host: Record) -> list[tuple[str, str]]:
    titles = {"gloo-mesh-mgmt-server": "relay", "gloo-telemetry-gateway": "telemetry"}
    records = (host.get("__mesh_management") or {}).get("objects") or ()
    return [
        (titles[each["name"]], each["address"])
        for each in records
        if each["kind"] == "Service" and each["name"] in titles and each.get("address")
    ]


def _istiod(host: Record) -> list[str]:
    for register in ("__gateway_istiod", "__bookinfo_istiod"):
        found = (host.get(register) or {}).get("istiod")
        if found:
            version = f" {found['version']}" if found.get("version") else ""
            return [f"istiod{version}, {found['address']}", f"cluster ID {found['cluster_id']}"]
    return []


def _proxy(host: Record) -> list[str]:
    proxy = _first(host, "__gateway_proxy", "proxies")
    if not proxy:
        return []
    return [
        f"Gateway {proxy['namespace']}/{proxy['gateway']}, {proxy.get('url') or 'no address'}",
        f"containers {', '.join(proxy['containers'])}",
    ]


def _east_west(host: Record) -> list[str]:
    for each in (host.get("__mesh_eastwest") or {}).get("objects") or ():
        if each["kind"] == "Service" and each.get("address"):
            return [f"east-west gateway {each['address']}"]
    return []


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"run_summary": run_summary}
