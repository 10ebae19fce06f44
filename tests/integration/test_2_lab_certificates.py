"""Certificates of the gateway proxy: issued or refused by the cluster's istiod, with traffic on loopback only."""

from __future__ import annotations

import ipaddress
import re
import socket
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from acceptance.breakages import PARAMETERS, Undo, wrong_cluster_id
from acceptance.eyes import GATEWAY_PODS, healthy, reviews_seen
from acceptance.site import Site, wait_until
from lab.control_plane import processes

Statuses = dict[str, dict[str, Any]]
CACERTS = "/api/v1/namespaces/istio-system/secrets/cacerts"
ROOT = "/api/v1/namespaces/gloo-system/configmaps/istio-ca-root-cert"
ISTIODS = "/api/v1/namespaces/istio-system/pods?labelSelector=app%3Distiod"


def gateway_pods(site: Site) -> list[dict[str, Any]]:
    """The gateway's Pods, the oldest first."""
    pods = (site.get(site.gateway_cluster, GATEWAY_PODS) or {})["items"]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def statuses(pod: dict[str, Any]) -> Statuses:
    return {told["name"]: told for told in pod["status"].get("containerStatuses") or []}


def issued(site: Site, pod: dict[str, Any]) -> Path:
    """Folder of a Pod's volume istio-certs."""
    return site.home / "pods" / site.gateway_cluster / pod["metadata"]["uid"] / "volumes" / "istio-certs"


def said(site: Site, pod: dict[str, Any], container: str) -> str:
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/log"
    return site.api(site.gateway_cluster).text(f"{path}?container={container}")


def test_the_clusters_own_istiod_issued_it_to_the_gateways_service_account(deployed: Site) -> None:
    (pod,) = gateway_pods(deployed)
    folder = issued(deployed, pod)
    leaf, *chain = x509.load_pem_x509_certificates((folder / "cert-chain.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://cluster.local/ns/gloo-system/sa/http"
    ]
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()

    cacerts = deployed.get(deployed.gateway_cluster, CACERTS)
    assert cacerts is not None
    signing = x509.load_pem_x509_certificate(b64decode(cacerts["data"]["ca-cert.pem"]))
    leaf.verify_directly_issued_by(signing)

    (root,) = x509.load_pem_x509_certificates((folder / "root-cert.pem").read_bytes())
    for certificate, issuer in zip([leaf, *chain], [*chain, root], strict=True):
        if certificate != issuer:  # the chain may carry the root itself
            certificate.verify_directly_issued_by(issuer)
    given = deployed.get(deployed.gateway_cluster, ROOT)
    assert given is not None
    assert x509.load_pem_x509_certificate(given["data"]["root-cert.pem"].encode()) == root


def wrong_name(site: Site) -> Undo:
    return proxy_setting(site, "istioDiscoveryAddress", "istiod-nope.istio-system.svc:15012")


def no_port(site: Site) -> Undo:
    return proxy_setting(site, "istioDiscoveryAddress", "istiod-gloo.istio-system.svc")


def proxy_setting(site: Site, name: str, value: str) -> Undo:
    def change(to: str) -> None:
        told = {"spec": {"kube": {"istio": {"istioProxyContainer": {name: to}}}}}
        site.patch(site.gateway_cluster, PARAMETERS, told)

    parameters = site.get(site.gateway_cluster, PARAMETERS)
    assert parameters is not None
    former = parameters["spec"]["kube"]["istio"]["istioProxyContainer"][name]
    change(value)
    return lambda: change(former)


@contextmanager
def broken(site: Site, break_it: Callable[[Site], Undo]) -> Iterator[None]:
    undo = break_it(site)
    try:
        yield
    finally:
        undo()
        wait_until(lambda: healthy(site), "the site at rest")


@pytest.mark.parametrize(
    ("break_it", "agent_dies", "agent_says", "istiod_says"),
    [
        (wrong_cluster_id, False, "request authenticate failure", 'client claims to be in cluster "not-the-cluster"'),
        (wrong_name, False, "lookup istiod-nope.istio-system.svc: no such host", ""),
        (no_port, True, "missing port in address", ""),
    ],
)
def test_without_a_certificate_sds_gives_up_and_the_old_pod_serves(
    deployed: Site, break_it: Callable[[Site], Undo], agent_dies: bool, agent_says: str, istiod_says: str
) -> None:
    (old,) = gateway_pods(deployed)
    with broken(deployed, break_it):
        wait_until(
            lambda: _fails_as_recorded(statuses(gateway_pods(deployed)[-1]), agent_dies),
            "the new Pod fails as recorded",
        )
        first, new = gateway_pods(deployed)
        assert first["metadata"]["uid"] == old["metadata"]["uid"]
        assert all(told["ready"] for told in statuses(first).values())
        assert "could not find file '/etc/istio-certs/key.pem'" in said(deployed, new, "sds")
        wait_until(lambda: agent_says in said(deployed, new, "istio-proxy"), f"istio-proxy says {agent_says}")
        (istiod,) = (deployed.get(deployed.gateway_cluster, ISTIODS) or {})["items"]
        wait_until(lambda: istiod_says in said(deployed, istiod, "discovery"), f"istiod says {istiod_says}")
        assert not list(issued(deployed, new).iterdir())
        assert reviews_seen(deployed, requests=3)


def _fails_as_recorded(told: Statuses, agent_dies: bool) -> bool:
    """Envoy serves, sds ended with 1 once or more, istio-proxy tries on, or ended with 255."""
    if _ended(told, "sds").get("exitCode") != 1 or told["sds"]["ready"] or not told["kgateway-proxy"]["ready"]:
        return False
    agent = told["istio-proxy"]
    return _ended(told, "istio-proxy").get("exitCode") == 255 if agent_dies else bool(agent["ready"])


def _ended(told: Statuses, container: str) -> dict[str, Any]:
    """How a container's last finished run ended; empty when none did."""
    last = told.get(container, {}).get("lastState") or {}
    return dict(last.get("terminated") or {})


def test_an_image_nobody_can_pull_keeps_one_container_of_the_gateway_waiting(deployed: Site) -> None:
    former = (deployed.get(deployed.gateway_cluster, PARAMETERS) or {})["spec"]["kube"].get("sdsContainer")

    def elsewhere(site: Site) -> Undo:
        change = {"spec": {"kube": {"sdsContainer": {"image": {"registry": "registry.invalid"}}}}}
        site.patch(site.gateway_cluster, PARAMETERS, change)
        return lambda: void(site.patch(site.gateway_cluster, PARAMETERS, {"spec": {"kube": {"sdsContainer": former}}}))

    with broken(deployed, elsewhere):
        wait_until(lambda: bool(_not_pulled(gateway_pods(deployed)[-1], "sds")), "the image of sds cannot be pulled")
        told = statuses(gateway_pods(deployed)[-1])
        assert "running" in told["istio-proxy"]["state"]


def test_an_image_nobody_can_pull_keeps_any_other_pod_waiting(deployed: Site) -> None:
    pods = "/api/v1/namespaces/default/pods"
    containers = [{"name": name, "image": f"registry.{name}/app:1"} for name in ("invalid", "test")]
    pod = {"metadata": {"name": "not-pulled"}, "spec": {"containers": containers}}
    deployed.create(deployed.gateway_cluster, pods, pod)

    def look() -> dict[str, Any]:
        return deployed.get(deployed.gateway_cluster, f"{pods}/not-pulled") or {}

    try:
        wait_until(lambda: bool(_not_pulled(look(), "invalid")), "the image of a plain Pod cannot be pulled")
        seen = look()
        assert seen["status"]["phase"] == "Pending" and statuses(seen)["test"]["ready"]
    finally:
        deployed.delete(deployed.gateway_cluster, f"{pods}/not-pulled")


def _not_pulled(pod: dict[str, Any], container: str) -> str:
    """Why a container's image is not pulled; empty when it is, or nobody has tried yet."""
    waiting = (statuses(pod).get(container, {}).get("state") or {}).get("waiting") or {}
    found = re.search(r'"registry\.invalid/\S+".*no such host', waiting.get("message", ""))
    return found[0] if found and waiting["reason"] == "ImagePullBackOff" else ""


def void(_: object) -> None:
    """Undo functions return nothing."""


def test_nothing_listens_outside_loopback(deployed: Site) -> None:
    of_lab = {inode for pid in processes.of_lab(deployed.home) for inode in _sockets(pid)}
    places = {inode: place for inode, place in _listeners() if inode in of_lab}
    assert len(places) > 20, "the lab's listeners were not found at all"
    outside = [place for place in places.values() if not place.is_loopback]
    assert not outside


def _sockets(pid: int) -> Iterator[int]:
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return  # it has ended meanwhile
    for entry in entries:
        with suppress(OSError):  # closed meanwhile
            found = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
            if found:
                yield int(found[1])


def _listeners() -> Iterator[tuple[int, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """(inode, address) of every TCP listener of this machine, by /proc/net: 32-bit words in the host's order."""
    for file, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", file).read_text().splitlines()[1:]:
            fields = line.split()
            raw = bytes.fromhex(fields[1].partition(":")[0])
            if fields[3] == "0A":
                packed = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                yield int(fields[9]), ipaddress.ip_address(socket.inet_ntop(family, packed))
