"""bundle.yml: the archive contains no planted secret, but the objects, events and logs that show faults."""

from __future__ import annotations

import base64
import json
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from acceptance.audit import Mark
from acceptance.site import LAB_LICENCE, Site

Json = dict[str, Any]

CANARY = "Canary-7heads-Nile"
SILENT = "apples and pears"  # a secret only because a Secret holds it
REVIEWS = "/apis/apps/v1/namespaces/bookinfo/deployments/reviews-v1"


@contextmanager
def planted(site: Site) -> Iterator[None]:
    """Canaries in a Secret, a ConfigMap, an annotation, a header, environment variables, arguments, an event."""
    cluster, spaces = site.gateway_cluster, "/api/v1/namespaces/bookinfo"
    named: Json = {"metadata": {"name": "canary"}}
    data = {"token": CANARY, "note": SILENT}
    container = {
        "name": "canary",
        "image": "canary",
        "args": ["--api-key", CANARY, f"--password={CANARY}"],
        "env": [{"name": "PLAIN", "value": CANARY}, {"name": "NOTE", "value": SILENT}],
    }
    pod: Json = {**named, "metadata": {**named["metadata"], "annotations": {"canary": CANARY}}}
    event = {
        **named,
        "involvedObject": {"kind": "Pod", "name": "canary", "namespace": "bookinfo"},
        "type": "Warning",
        "reason": "Canary",
        "message": f"\x1b[2Jtok\x1b[1men={CANARY} {SILENT} {quote(SILENT)} \x9b31m\u202e",
    }
    objects = {
        "secrets": {**named, "stringData": data},
        "configmaps": {**named, "data": {"values": f"licenseKey: {CANARY}"}},
        "pods": {**pod, "spec": {"containers": [container]}},
        "events": event,
    }
    undo: list[Callable[[], None]] = []
    try:
        for plural, obj in objects.items():
            site.create(cluster, f"{spaces}/{plural}", obj)
            undo.append(lambda path=f"{spaces}/{plural}/canary": site.delete(cluster, path))  # type: ignore[misc]
        site.patch(cluster, REVIEWS, {"metadata": {"annotations": {"canary": CANARY}}})
        undo.append(lambda: void(site.patch(cluster, REVIEWS, {"metadata": {"annotations": {"canary": None}}})))
        yield
    finally:
        for step in reversed(undo):
            step()


def void(_: object) -> None:
    """Undo functions return nothing."""


def content(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        members = {member.name.partition("/")[2]: opened.extractfile(member) for member in opened.getmembers()}
        return {name: file.read() for name, file in members.items() if file is not None}


def test_no_secret_leaves_and_what_tells_of_faults_does(deployed: Site, tmp_path: Path) -> None:
    dest = tmp_path / "bundle.tar.gz"
    with planted(deployed):
        mark = Mark(deployed)
        run = deployed.play("bundle", "--extra-vars", f"bundle_dest={dest}").ok()
        assert [str(write) for write in mark.writes()] == []
    deployed.note("bundle.yml", run.seconds)
    files = content(dest)
    everything = b"\n".join(files.values())

    for secret in (CANARY, SILENT, LAB_LICENCE):
        raw = secret.encode()
        forms = [raw, quote(secret).encode(), *(base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3))]
        assert [form for form in forms if form in everything] == [], secret
    assert b"PRIVATE KEY" not in everything
    assert [each for each in ("\x1b", "\x9b", "\u202e") if each.encode() in everything] == []

    gateway, remote, mgmt = deployed.gateway_cluster, deployed.remote_cluster, deployed.management
    index = json.loads(files["index.json"])
    assert [row["reached"] for row in index["clusters"]] == [True] * len(deployed.clusters)
    pods = files[f"{gateway}/gloo-system/Pod.yaml"].decode()
    assert '"name": "ISTIO_META_CLUSTER_ID",\n            "value": "' + gateway in pods
    for path in (
        f"{mgmt}/bookinfo/VirtualDestination.networking.gloo.solo.io.yaml",
        f"{gateway}/bookinfo/ServiceEntry.networking.istio.io.yaml",
        f"{gateway}/gloo-system/Gateway.gateway.networking.k8s.io.yaml",
        f"{gateway}/gloo-system/GatewayParameters.gateway.kgateway.dev.yaml",
        f"{remote}/istio-eastwest/Service.yaml",
        f"{remote}/helm.json",
    ):
        assert path in files
    assert any("/logs/istiod-" in path for path in files)
    assert b'"token"' in files[f"{gateway}/bookinfo/Secret.yaml"]
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600


def test_a_bundle_is_made_without_a_cluster_and_not_in_check_mode(deployed: Site, tmp_path: Path) -> None:
    inventory = deployed.inventory
    inventory["all"]["children"]["workload"]["hosts"][deployed.remote_cluster]["kube_context"] = "gone"
    deployed.play("bundle", "--check", "--extra-vars", f"bundle_dest={tmp_path}/", inventory=inventory).ok()
    assert list(tmp_path.iterdir()) == []
    run = deployed.play("bundle", "--extra-vars", f"bundle_dest={tmp_path}/", inventory=inventory).ok()
    [archive] = tmp_path.iterdir()
    assert f"unreachable: {deployed.remote_cluster}" in " ".join(run.output.split())
    index = json.loads(content(archive)["index.json"])
    assert "no context 'gone'" in {row["cluster"]: row["error"] for row in index["clusters"]}[deployed.remote_cluster]
