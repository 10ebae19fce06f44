"""Envoy's configuration for a gateway proxy Pod, as plain dicts. Pure.

It is written to files (pods/envoy_files.py): lds.json, cds.json and one rds-<port>.json for each Gateway port. Routes
are in RDS so that a change also applies to open connections. Status codes are kgateway's: unresolved backend 500, no
endpoints 503, no route 404.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.pods.envoy_files import Config, address, source
from lab.traffic.endpoints import EAST_WEST, REFUSED, Endpoint, sni
from lab.vendor.gloo_gateway.certificates import Certificate

BLACKHOLE = "blackhole-cluster"  # not defined anywhere: requests to it get 500
SNI_HEADER = "x-lab-sni"
ROOT_HEADER = "x-lab-root"

_TYPE = "type.googleapis.com/envoy"
_RANK = {"Exact": 0, "PathPrefix": 1, "RegularExpression": 2}


def listeners(
    folder: Path,
    addresses: Iterable[tuple[str, int, int]],
    certificates: Mapping[int, list[Certificate]] | None = None,
) -> Config:
    """LDS for (address, port, Gateway port); the Gateway port is the name of the routes.

    certificates: of the HTTPS listeners, by Gateway port. A port whose listeners have none is not served.
    """
    return _resources(
        {
            "@type": f"{_TYPE}.config.listener.v3.Listener",
            "name": f"{host}:{port}",
            "address": address(host, port),
            **_filter_chains(folder, gateway_port, (certificates or {}).get(gateway_port)),
        }
        for host, port, gateway_port in sorted(set(addresses))
        if (certificates or {}).get(gateway_port) != []
    )


def _filter_chains(folder: Path, gateway_port: int, certificates: list[Certificate] | None) -> Config:
    """Plain HTTP, or one chain per HTTPS listener, chosen by the server name that the client asks for."""
    if certificates is None:
        return {"filter_chains": [{"filters": [_http(folder, gateway_port)]}]}
    inspector = {"@type": f"{_TYPE}.extensions.filters.listener.tls_inspector.v3.TlsInspector"}
    return {
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}],
        "filter_chains": [
            {
                **({"filter_chain_match": {"server_names": [each.hostname]}} if each.hostname else {}),
                "filters": [_http(folder, gateway_port)],
                "transport_socket": _downstream_tls(each),
            }
            for each in certificates
        ],
    }


def _downstream_tls(certificate: Certificate) -> Config:
    pair = {
        "certificate_chain": {"inline_string": certificate.chain},
        "private_key": {"inline_string": certificate.key},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [pair]},
        },
    }


def route_config(port: int, rules: list[Config], root: str | None) -> Config:
    """RDS of one Gateway port, from vendor/gloo_gateway/routes.py.

    root: the Pod's trust (traffic/trust.py), None without a certificate; then no mutual TLS is simulated.
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


def with_former(config: Config, former: Config) -> Config:
    """CDS with the clusters of a former one too, unchanged: a controller removes a cluster after the routes to it."""
    names = {cluster["name"] for cluster in config["resources"]}
    return _resources([*config["resources"], *(old for old in former["resources"] if old["name"] not in names)])


def cluster_name(backend: Config) -> str:
    """kgateway's name of a backend's cluster."""
    prefix = "kube" if backend["kind"] == "Service" else "istio-se"
    return f"{prefix}_{backend['namespace']}_{backend['name']}_{backend['port']}"


def _routes(rules: list[Config], root: str | None) -> list[Config]:
    """Envoy takes the first route that matches, so they are sorted by the Gateway API's precedence."""
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
    conditions = [{"name": name, "string_match": {"exact": wanted}} for name, wanted in headers.items()]
    return {**path, **({"headers": conditions} if conditions else {})}


def _action(backends: list[Config], root: str | None) -> Config:
    weighted = [_weighted(backend, root) for backend in backends if backend["weight"] > 0]
    if not weighted:
        return {"direct_response": {"status": 500}}
    return {
        "route": {
            "weighted_clusters": {"clusters": weighted},
            "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        }
    }


def _weighted(backend: Config, root: str | None) -> Config:
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
    # An east-west gateway's TLS port refuses plaintext. Headers are set for a whole cluster, so it is refused here.
    refused = endpoint.port == EAST_WEST and not endpoint.tls
    place = address("127.0.0.1", REFUSED) if refused else address(endpoint.address, endpoint.port)
    return {"endpoint": {"address": place}, "load_balancing_weight": endpoint.weight}


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
                "config_source": source(folder, f"rds-{gateway_port}.json"),
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
                }
            ],
        },
    }


def _resources(resources: Iterable[Config]) -> Config:
    return {"resources": list(resources)}
