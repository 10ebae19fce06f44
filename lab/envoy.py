"""Envoy's configuration for a gateway proxy Pod, as plain dicts. Pure.

Configuration comes from files (no control plane): lds.json, cds.json and one rds-<port>.json per Gateway port, each
replaced by rename, which Envoy watches. Routes travel by RDS so that a change also reaches open connections.
Status codes are kgateway's: unresolved backend 500, no endpoints 503, no route 404.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.endpoints import EAST_WEST, NOBODY, Endpoint, sni

Config = dict[str, Any]

NOTHING: Config = {"resources": []}  # no listeners, or no clusters
BLACKHOLE = "blackhole-cluster"  # never defined: its share of the requests gets 500
SNI_HEADER = "x-lab-sni"
ROOT_HEADER = "x-lab-root"

_TYPE = "type.googleapis.com/envoy"
_RANK = {"Exact": 0, "PathPrefix": 1, "RegularExpression": 2}


def bootstrap(folder: Path, admin_port: int, node: str) -> Config:
    """How Envoy starts: admin port on loopback, everything else from files in `folder`."""

    def from_file(name: str) -> Config:
        return {"resource_api_version": "V3", "path_config_source": _watched(folder, name)}

    return {
        "node": {"id": node, "cluster": "gateway-proxy"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {"lds_config": from_file("lds.json"), "cds_config": from_file("cds.json")},
    }


def listeners(folder: Path, places: Iterable[tuple[str, int, int]]) -> Config:
    """LDS for (address, port, Gateway port) triples; the Gateway port names the routes."""
    return _resources(
        {
            "@type": f"{_TYPE}.config.listener.v3.Listener",
            "name": f"{address}:{port}",
            "address": _address(address, port),
            "filter_chains": [{"filters": [_http(folder, gateway_port)]}],
        }
        for address, port, gateway_port in sorted(set(places))
    )


def route_config(port: int, rules: list[Config], root: str | None) -> Config:
    """RDS of one Gateway port from the rules of lab.gloo_gateway.routes.

    root: the played certificate's root, given when the Pod has one; without it nothing is added for mutual TLS.
    """
    rules = [rule for rule in rules if rule["port"] == port]
    hosts = sorted({host for rule in rules for host in rule["hostnames"]})
    return _resources(
        [
            {
                "@type": f"{_TYPE}.config.route.v3.RouteConfiguration",
                "name": str(port),
                "virtual_hosts": [
                    {
                        "name": host,
                        "domains": [host],
                        "routes": _routes([rule for rule in rules if host in rule["hostnames"]], root),
                    }
                    for host in hosts
                ],
            }
        ]
    )


def clusters(backends: dict[str, list[Endpoint]]) -> Config:
    """CDS: one cluster per backend name, round robin over its endpoints."""
    return _resources(
        {
            "@type": f"{_TYPE}.config.cluster.v3.Cluster",
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "lb_policy": "ROUND_ROBIN",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [_endpoint(endpoint) for endpoint in endpoints]}],
            },
        }
        for name, endpoints in sorted(backends.items())
    )


def cluster_name(backend: Config) -> str:
    """kgateway's way of naming clusters, by kind of backend."""
    prefix = "kube" if backend["kind"] == "Service" else "istio-se"
    return f"{prefix}_{backend['namespace']}_{backend['name']}_{backend['port']}"


def write(path: Path, config: Config) -> bool:
    """Replace a file when its content changes (rename is what Envoy watches for); tells whether it did."""
    text = json.dumps(config, indent=1)
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    return True


def _routes(rules: list[Config], root: str | None) -> list[Config]:
    """Envoy takes the first route that fits, so they are sorted by the Gateway API's precedence."""
    pairs = [(match, rule) for rule in rules for match in rule["matches"]]
    pairs.sort(key=lambda pair: _precedence(pair[0]))
    return [{"match": _match(match), **_action(rule["backends"], root)} for match, rule in pairs]


def _precedence(match: Config) -> tuple[int, int, bool, int]:
    return _RANK[match["type"]], -len(match["value"]), not match.get("method"), -len(match.get("headers") or {})


def _match(match: Config) -> Config:
    value = match["value"]
    if match["type"] == "Exact":
        path: Config = {"path": value}
    elif match["type"] == "RegularExpression":
        path = {"safe_regex": {"regex": value}}
    elif value.rstrip("/"):
        path = {"path_separated_prefix": value.rstrip("/")}
    else:
        path = {"prefix": "/"}
    headers = {**({":method": match["method"]} if match.get("method") else {}), **(match.get("headers") or {})}
    demands = [{"name": name, "string_match": {"exact": wanted}} for name, wanted in headers.items()]
    return {**path, **({"headers": demands} if demands else {})}


def _action(backends: list[Config], root: str | None) -> Config:
    shares = [_share(backend, root) for backend in backends if backend["weight"] > 0]
    if not shares:
        return {"direct_response": {"status": 500}}
    return {
        "route": {
            "weighted_clusters": {"clusters": shares},
            "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        }
    }


def _share(backend: Config, root: str | None) -> Config:
    added = {SNI_HEADER: sni(backend_host(backend), backend["port"]), ROOT_HEADER: root} if root else {}
    return {
        "name": cluster_name(backend) if backend["ok"] else BLACKHOLE,
        "weight": backend["weight"],
        "request_headers_to_remove": [SNI_HEADER, ROOT_HEADER],
        "request_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in added.items()
        ],
    }


def backend_host(backend: Config) -> str:
    """The host name a backend has in the mesh."""
    if backend["kind"] == "Service":
        return f"{backend['name']}.{backend['namespace']}.svc.cluster.local"
    return str(backend["name"])


def _endpoint(endpoint: Endpoint) -> Config:
    # Plaintext to an east-west gateway's TLS port is cut off; headers are set per cluster, so cut it off here.
    cut = endpoint.port == EAST_WEST and not endpoint.tls
    address = _address("127.0.0.1", NOBODY) if cut else _address(endpoint.address, endpoint.port)
    return {"endpoint": {"address": address}, "load_balancing_weight": endpoint.weight}


def _http(folder: Path, gateway_port: int) -> Config:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": f"http-{gateway_port}",
            "strip_any_host_port": True,
            "normalize_path": True,
            "rds": {
                "route_config_name": str(gateway_port),
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": _watched(folder, f"rds-{gateway_port}.json"),
                },
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
                }
            ],
        },
    }


def _watched(folder: Path, name: str) -> Config:
    return {"path": str(folder / name)}


def _address(address: str, port: int) -> Config:
    return {"socket_address": {"address": address, "port_value": port}}


def _resources(resources: Iterable[Config]) -> Config:
    return {"resources": list(resources)}
