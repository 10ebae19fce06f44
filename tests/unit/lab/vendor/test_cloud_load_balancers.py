"""Which Services get an address, and which one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.control_plane.objects import outside_addresses, resolve
from lab.vendor import cloud_load_balancers


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"type": "LoadBalancer"}, True),
        ({"type": "ClusterIP"}, False),
        ({"type": "LoadBalancer", "loadBalancerClass": "x/y"}, False),
    ],
)
def test_only_load_balancers_get_addresses(made: Any, spec: Any, wanted: Any) -> None:
    assert cloud_load_balancers.wants_address(made.obj("Service", "s", spec=spec)) is wanted


def test_an_address_or_a_name_that_only_the_lab_resolves() -> None:
    (entry,) = cloud_load_balancers.status("127.1.2.3", "ip")["loadBalancer"]["ingress"]
    assert entry["ip"] == "127.1.2.3"
    (entry,) = cloud_load_balancers.status("127.1.2.3", "hostname")["loadBalancer"]["ingress"]
    assert set(entry) == {"hostname"} and entry["hostname"].endswith(".invalid")
    assert resolve(entry["hostname"]) == "127.1.2.3"
    assert resolve("lb.example.com") == "lb.example.com"


class Cluster:
    """A cluster with one LoadBalancer Service; records the statuses that are written."""

    def __init__(self, made: Any) -> None:
        self.name = "c1"
        spec = {"type": "LoadBalancer", "ports": [{"name": "x", "port": 15443, "nodePort": 31000}]}
        self.objects = {"Node": [made.obj("Node", "n", "")], "Service": [made.obj("Service", "s", "ns", spec=spec)]}
        self.written: dict[str, Any] = {}

    def list(self, kind: str) -> Any:
        return self.objects[kind]

    def set_status(self, obj: Any, status: Any, manager: str) -> None:
        self.written[obj["kind"]] = status


@pytest.mark.parametrize(("provider", "field"), [("ip", "ip"), ("hostname", "hostname"), ("none", "")])
def test_the_provider_follows_the_setting(made: Any, provider: Any, field: Any) -> None:
    cluster = Cluster(made)
    lab = SimpleNamespace(
        clusters={"c1": cluster},
        setting={"load-balancers": provider}.get,
        address=lambda cluster, key, ports: "127.5.5.5" if "node" in key else "127.1.2.3",
    )
    cloud_load_balancers.CloudLoadBalancers().reconcile(lab)  # type: ignore[arg-type]
    ingress = cluster.written.get("Service", {"loadBalancer": {"ingress": []}})["loadBalancer"]["ingress"]
    assert [field in entry for entry in ingress] == ([True] if field else [])
    service = {**cluster.objects["Service"][0], "status": cluster.written.get("Service", {})}
    cluster.objects["Node"][0]["status"] = cluster.written["Node"]
    found = [(resolve(host), outside, port) for host, outside, port in outside_addresses(cluster, service)]  # type: ignore[arg-type]
    assert found == [*([("127.1.2.3", 15443, 15443)] if field else []), ("127.5.5.5", 31000, 15443)]
