"""Three workload clusters: nothing but the inventory differs; then several Gateways in several of them."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from authority import Authority
from cryptography import x509

from acceptance.audit import Mark
from acceptance.eyes import reviews_seen
from acceptance.site import REPO, Site, missing


@pytest.mark.share
def test_the_guide_works_with_three_workload_clusters(four_clusters: Site) -> None:
    site = four_clusters
    assert len(site.group("workload")) == 3

    run = site.play("site").ok()
    site.note("site.yml on four clusters", run.seconds)

    seen = reviews_seen(site, requests=100)
    assert set(seen.values()) == set(site.group("workload"))
    assert {pod.rsplit("-", 2)[0] for pod in seen} == {"reviews-v1", "reviews-v2", "reviews-v3"}


@pytest.mark.share
def test_the_second_run_writes_nothing_there_either(four_clusters: Site) -> None:
    four_clusters.ensure_deployed()
    mark = Mark(four_clusters)

    run = four_clusters.play("site").ok()

    assert [str(write) for write in mark.writes()] == []
    assert run.changed == {}


SHOP = {"name": "shop", "namespace": "shop-edge"}
HOST = "shop.example.com"


def _with_a_shop(site: Site, authority: Authority, folder: Path) -> dict[str, Any]:
    """The guide's data with a second Gateway for HTTPS, its route in every gateway cluster, and proofs through it."""
    data: dict[str, Any] = yaml.safe_load((REPO / "playbooks/vars/guide.yml").read_text())
    (folder / "ca.pem").write_bytes(authority.certificate)
    tls = {"certificateRefs": [{"name": "shop"}]}
    listener = {"name": "https", "protocol": "HTTPS", "port": 8443, "hostname": HOST, "tls": tls}
    data["gateway_gateways"] = [
        {"name": data["gateway_name"]},
        {
            **SHOP,
            "parameters_name": "shop-params",
            "listeners": [{**listener, "allowedRoutes": {"namespaces": {"from": "All"}}}],
        },
    ]
    reviews = next(route for route in data["routing_http_routes"] if route["name"] == "reviews")
    shop = copy.deepcopy({**reviews, "name": "shop", "namespace": "bookinfo"})
    shop["spec"] |= {"parentRefs": [dict(SHOP)], "hostnames": [HOST]}
    data["routing_http_routes"].append(shop)
    proof = {
        "name": "shop",
        "path": "/reviews/0",
        "gateway": dict(SHOP),
        "ca_cert": str(folder / "ca.pem"),
        "answered_by": {"namespace": "bookinfo", "label_selector": "app=reviews"},
    }
    first, second = site.group("workload")[:2]
    # The product page runs in the first cluster only.
    for entry in [*data["routing_http_routes"], *data["routing_proofs"]]:
        if entry["name"] == "productpage" or (entry.get("path") == "/productpage" and "from_pod" not in entry):
            entry["clusters"] = [first]
    data["routing_proofs"] += [
        {**proof, "name": "shop without a host"},
        {**proof, "name": "shop with host and listener", "host": f"{HOST}:8443", "clusters": [second]},
        {**proof, "name": "shop by scheme", "gateway": {**SHOP, "scheme": "https"}, "clusters": [first]},
    ]
    return data


@pytest.mark.share
def test_several_gateways_in_several_clusters_with_https(four_clusters: Site, tmp_path: Path) -> None:
    """Two clusters with two Gateways each; HTTPS proofs ask for the certificate of the listener's hostname."""
    site, authority = four_clusters, Authority("site-ca")
    site.ensure_deployed()
    inventory, gateways = site.inventory, site.group("workload")[:2]
    inventory["all"]["children"]["gateway"]["hosts"] = {name: {} for name in gateways}
    chain, key = (base64.b64encode(part).decode() for part in authority.issue("shop", x509.DNSName(HOST)))
    for cluster in gateways:
        site.create(cluster, "/api/v1/namespaces", {"metadata": {"name": SHOP["namespace"]}})
        secret = {"metadata": {"name": "shop"}, "type": "kubernetes.io/tls", "data": {"tls.crt": chain, "tls.key": key}}
        site.create(cluster, f"/api/v1/namespaces/{SHOP['namespace']}/secrets", secret)
    data = tmp_path / "data.yml"
    data.write_text(yaml.safe_dump(_with_a_shop(site, authority, tmp_path)))
    options = ("--extra-vars", f"site_data={data}")

    site.play("site", *options, inventory=inventory).ok()
    mark = Mark(site)
    again = site.play("site", *options, inventory=inventory).ok()
    assert [str(write) for write in mark.writes()] == []
    assert again.changed == {}

    site.play("doctor", *options, inventory=inventory).ok()

    # Another cluster's HTTPS Gateway loses its certificate: that Gateway alone is reported.
    site.delete(gateways[1], f"/api/v1/namespaces/{SHOP['namespace']}/secrets/shop")
    broken = site.play("doctor", *options, inventory=inventory)
    assert broken.code != 0
    assert missing([f"{gateways[1]}: .*Gateway shop-edge/shop.*Secret shop-edge/shop not found"], broken.errors) == []
