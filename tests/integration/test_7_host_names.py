"""Load balancers with host names: sidecars resolve them, gateways of kgateway do not.

Nothing outside of the clusters resolves the lab's names, so proofs through the gateway have a url.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance import lived_in as sites
from acceptance.site import Site, guide_data, wait_until
from lab.control_plane.objects import resolve

EAST_WEST = "Service istio-eastwest/istio-eastwestgateway"
SERVICE = "/api/v1/namespaces/istio-eastwest/services/istio-eastwestgateway"
SETTINGS = "/apis/admin.gloo.solo.io/v2/namespaces/gloo-mesh-config/workspacesettings/mgmt"
ENTRIES = "/apis/networking.istio.io/v1/namespaces/bookinfo/workloadentries"

# The inventory has a cluster for a gateway; nothing of one is there before.
NO_GATEWAY = ("failed gateway-api ", "failed gateway-class ", "warning east-west-address ")


def balancer(site: Site, cluster: str, path: str) -> str:
    """The host name of a Service's load balancer."""
    service = site.get(cluster, path)
    assert service is not None
    return str(service["status"]["loadBalancer"]["ingress"][0]["hostname"])


def data_file(site: Site, path: Path, *, without: str = "") -> tuple[str, str]:
    """Options with the guide's data, without those of one step, and with a url in the proofs through the gateway."""
    data = guide_data()
    for name in ("routing_http_routes", "routing_proofs"):
        data[name] = [entry for entry in data[name] if entry["step"] != without]
    host = balancer(site, site.gateway_cluster, "/api/v1/namespaces/gloo-system/services/http")
    for proof in data["routing_proofs"]:
        if "from_pod" not in proof:
            proof["url"] = f"http://{resolve(host)}:8080"
    path.write_text(yaml.safe_dump(data))
    return "--extra-vars", f"site_data={path}"


def judged(site: Site, *options: str) -> list[str]:
    return [sites.told(check) for check in sites.doctor(site, *options)]


def give_addresses(site: Site) -> None:
    """What preflight and doctor advise: IP addresses of the east-west gateways, each selected by a label of its own."""
    gateways = []
    for cluster in site.group("workload"):
        site.patch(cluster, SERVICE, {"metadata": {"labels": {"place": cluster}}})
        addresses = [{"addr": resolve(balancer(site, cluster, SERVICE)), "port": 15443}]
        selector = {"labels": {"istio": "eastwestgateway", "place": cluster}}
        gateways.append({"selector": selector, "hostInfoOverrides": addresses})
    site.patch(site.management, SETTINGS, {"spec": {"options": {"eastWestGateways": gateways}}})

    def translated() -> bool:
        entries: list[dict[str, Any]] = (site.get(site.gateway_cluster, ENTRIES) or {}).get("items") or []
        return bool(entries) and not any(".invalid" in json.dumps(entry["spec"]) for entry in entries)

    wait_until(translated, "endpoints with IP addresses")


@pytest.mark.share
def test_only_the_step_that_needs_addresses_fails_and_it_is_named_first(
    lived_in: Callable[[str], Site], tmp_path: Path
) -> None:
    site = lived_in("host-names")
    before = judged(site, *sites.own_data(site))
    assert [line for line in before if not line.startswith(NO_GATEWAY)] == []
    warning = f"warning: {site.remote_cluster}: {EAST_WEST}: the load balancer gives host names"
    planned = site.play("site", "--check").ok()
    assert planned.text.index(warning) < planned.text.index("PLAY [Step 1")
    assert "so requests of step5 through a gateway of another cluster fail. Set IP addresses" in planned.text

    # The url is unknown until the gateway has an address.
    site.play("site", "--tags", "step1,step2,step3", timeout=900).ok()
    four = data_file(site, tmp_path / "four.yml", without="step5")
    run = site.play("site", *four).ok()
    assert warning not in run.text
    assert "product page through the gateway (" in run.text and f" in {site.remote_cluster}: " in run.text
    found = judged(site, *four)
    assert [line.split()[:3] for line in found] == [["warning", "east-west-address", f"{site.remote_cluster}:"]], found

    five = data_file(site, tmp_path / "five.yml")
    failed = site.play("site", *five)
    assert failed.code != 0
    assert f"has the address {balancer(site, site.remote_cluster, SERVICE)}, which is not an IP" in failed.errors
    assert "hostInfoOverrides" in failed.errors and "sidecars resolve names" in failed.errors
    verdicts = {tuple(line.split()[:2]) for line in judged(site, *five)}
    assert verdicts >= {("warning", "route-backends"), ("failed", "gateway-answers")}
    assert not [each for each in verdicts if each[1] in ("mesh-answers", "gateway-pods", "route-accepted")], verdicts

    give_addresses(site)
    again = site.play("site", *five).ok()
    assert "reviews through the gateway (" in again.text and warning not in again.text
    assert judged(site, *five) == []
