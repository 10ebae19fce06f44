"""Recorded situations of kgateway on the lab: the controller that runs there shows what the real one did.

It is simulated in both lines, or the real one where LAB_KGATEWAY names its program; that has the line of its charts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded_gateway import ADDED, NAMESPACE, OBJECTS, SITUATIONS, Object, Stage, check, expected

from acceptance import snapshot
from acceptance.site import Site, nothing_left, wait_until
from lab import charts
from lab.control_plane.api import ApiError
from lab.control_plane.kinds import kind_of
from lab.vendor.gloo_gateway.lines import LINES, line_of

REAL = os.environ.get("LAB_KGATEWAY_CHARTS", "") if os.environ.get("LAB_KGATEWAY") else ""
CONTROLLER = ("kgateway", NAMESPACE)
PROBE = "zz-probe"  # the last Gateway of its namespace, so that the others were acted on before it
# What a situation leaves behind, in the order in which it is deleted.
LEFT = ("HTTPRoute", "Gateway", "GatewayParameters", "ServiceEntry")


class Lab:
    """A cluster of the lab with kgateway."""

    def __init__(self, site: Site, line: str) -> None:
        self.site, self.line, self.cluster = site, line, site.gateway_cluster
        self._switches: dict[str, str] | None = None

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.site.get(self.cluster, kind_of(kind).path(namespace or None, name))

    def put(self, kind: str, name: str, namespace: str, spec: Object) -> object:
        where, found = kind_of(kind), self.get(kind, name, namespace)
        if found is None:
            metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
            body = {"apiVersion": where.api_version, "kind": kind, "metadata": metadata, "spec": spec}
            return self.site.create(self.cluster, where.path(namespace or None), body)
        return self._replace(kind, {**found, "spec": spec})

    def remove(self, kind: str, name: str, namespace: str) -> None:
        self.site.delete(self.cluster, kind_of(kind).path(namespace or None, name))

    def edit(self, deployment: Object) -> None:
        wanted = {"spec": {key: deployment["spec"][key] for key in ("replicas", "template")}}
        path = kind_of("Deployment").path(NAMESPACE, deployment["metadata"]["name"])
        self.site.patch(self.cluster, path, wanted)

    def controller(self, switches: dict[str, str], present: bool) -> None:
        path = kind_of("Deployment").path(NAMESPACE, CONTROLLER[0])
        if switches != self._switches:
            [container] = (self.site.get(self.cluster, path) or {})["spec"]["template"]["spec"]["containers"]
            others = [each for each in container["env"] if each["name"] not in switches]
            env = [*others, *({"name": name, "value": value} for name, value in switches.items())]
            template = {"spec": {"containers": [{**container, "env": env}]}}
            self.site.patch(self.cluster, path, {"spec": {"template": template}})
            self._switches = dict(switches)
        if present is not bool((self.site.get(self.cluster, path) or {})["spec"]["replicas"]):
            self.site.patch(self.cluster, path, {"spec": {"replicas": int(present)}})
        wait_until(lambda: self._pods() == int(present) and self._rolled_out(path), "the controller", 90)

    def acted(self) -> None:
        """Wait until the controller has acted on something newer than the changes before."""
        listener = {"name": "http", "protocol": "HTTP", "port": 20000 + time.monotonic_ns() // 1000 % 10000}
        self.put(
            "Gateway", PROBE, NAMESPACE, {"gatewayClassName": "kgateway", "listeners": [listener], **_self_managed()}
        )

        def seen() -> bool:
            found = self.get("Gateway", PROBE, NAMESPACE) or {}
            listeners = (found.get("status") or {}).get("listeners") or [{"conditions": []}]
            told = {each["observedGeneration"] for each in listeners[0]["conditions"]}
            return told == {found["metadata"]["generation"]}

        wait_until(seen, "a status of the controller", 90)

    def until(self, name: str, expect: Object) -> None:
        """Compare until all is as expected; fails with the last difference."""
        end = time.monotonic() + 60
        while True:
            try:
                return check(self, name, self.line, expect)
            except (AssertionError, KeyError, ValueError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.3)

    def clear(self) -> None:
        """Delete what a situation made, and wait for its end."""
        for kind in LEFT:
            for namespace in (NAMESPACE, "bookinfo"):
                for name in set(self._names(kind, namespace)) - {PROBE}:
                    self.remove(kind, name, namespace)
        for name in set(self._names("GatewayClass", "")) & {"mine", "istio", "gloo-gateway-v2"}:
            self.remove("GatewayClass", name, "")
        self.remove("Service", "productpage", "bookinfo")
        for kind in (*OBJECTS, *ADDED):
            others = {CONTROLLER[0], "default", "kube-root-ca.crt", "istio-ca-root-cert"}
            wait_until(lambda: not set(self._names(kind, NAMESPACE)) - others, f"the end of every {kind}", 60)  # noqa: B023

    def _names(self, kind: str, namespace: str) -> list[str]:
        found = self.site.get(self.cluster, kind_of(kind).path(namespace or None)) or {}
        return [each["metadata"]["name"] for each in found.get("items") or []]

    def _pods(self) -> int:
        found = self.site.get(self.cluster, f"{kind_of('Pod').path(NAMESPACE)}?labelSelector=kgateway%3Dkgateway") or {}
        return len([each for each in found["items"] if each["status"].get("phase") == "Running"])

    def _rolled_out(self, path: str) -> bool:
        found = self.site.get(self.cluster, path) or {}
        status = found["status"]
        wanted = found["spec"]["replicas"]
        told = [status.get(key) or 0 for key in ("replicas", "updatedReplicas", "readyReplicas")]
        return status.get("observedGeneration") == found["metadata"]["generation"] and told == [wanted] * 3

    def _replace(self, kind: str, body: Object) -> object:
        metadata = body["metadata"]
        path = kind_of(kind).path(metadata.get("namespace"), metadata["name"])
        for _attempt in range(20):
            with suppress(ApiError):  # a status was written meanwhile
                return self.site.api(self.cluster).request("PUT", path, body)
            body["metadata"] = (self.site.get(self.cluster, path) or {})["metadata"]
        return self.site.api(self.cluster).request("PUT", path, body)


def _self_managed() -> Object:
    reference = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "name": PROBE}
    return {"infrastructure": {"parametersRef": reference}}


def _service_entries() -> Object:
    """A CRD of the one kind of Istio that situations have."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ServiceEntry", "plural": "serviceentries", "listKind": "ServiceEntryList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "serviceentries.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io",
            "names": names,
            "scope": "Namespaced",
            "versions": [{"name": "v1", **version}],
        },
    }


def real_version() -> str:
    """Major and minor version of the real controller's charts; "" without one."""
    chart = Path(REAL) / "kgateway" / "Chart.yaml"
    if not REAL or not chart.exists():
        return ""
    return ".".join(str(yaml.safe_load(chart.read_text())["version"]).lstrip("v").split(".")[:2])


VERSION = real_version()
#: the lines that the lab plays: both, or the one nearest to the real controller
PLAYED = [line_of(f"{VERSION}.0").name] if VERSION else list(LINES)
ROWS = [(line, each) for line in PLAYED for each in SITUATIONS if line in each["lines"]]


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, three_clusters: Site, before: dict[str, snapshot.Snapshot]) -> Iterator[Lab]:
    """kgateway of one line, and nothing else of the guide."""
    site: Site = three_clusters
    site.ensure_empty()
    helm = ("exec", "--", "helm", "--kube-context", site.gateway_cluster, "--namespace", NAMESPACE)

    def kubectl(*arguments: str) -> None:
        site.lab("exec", "--", "kubectl", "--context", site.gateway_cluster, *arguments).ok()

    kubectl("apply", "--server-side", "--filename", site.inventory["all"]["vars"]["gateway_api_crds"])
    site.create(site.gateway_cluster, kind_of("CustomResourceDefinition").path(), _service_entries())
    for chart in ("kgateway-crds", "kgateway"):
        place = str(charts.folder(site.home, chart, request.param))
        source = site.inventory["all"]["vars"]["lab_charts"][chart] if REAL else place
        site.lab(*helm, "install", chart, source, "--create-namespace").ok()
    kubectl("create", "namespace", "bookinfo")
    world = Lab(site, request.param)
    world.put("GatewayParameters", PROBE, NAMESPACE, {"selfManaged": {}})
    try:
        yield world
    finally:
        world.clear()
        world.remove("Gateway", PROBE, NAMESPACE)
        world.remove("GatewayParameters", PROBE, NAMESPACE)
        site.lab(*helm, "uninstall", "kgateway", "kgateway-crds").ok()
        kubectl("delete", "gatewayclasses", "--all")
        kubectl("delete", "namespace", "bookinfo", NAMESPACE)
        kubectl("delete", "crd", "serviceentries.networking.istio.io")
        kubectl("delete", "--filename", site.inventory["all"]["vars"]["gateway_api_crds"])
        nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


@pytest.mark.share
@pytest.mark.parametrize(
    ("lab", "situation"),
    ROWS,
    ids=[f"{line}-{each['situation'].replace(' ', '-')}" for line, each in ROWS],
    indirect=["lab"],
)
def test_the_controller_does_what_was_recorded(lab: Lab, situation: dict[str, Any]) -> None:
    stage = Stage(lab)
    try:
        for step in situation["steps"]:
            stage.step(json.loads(json.dumps(step)))
            if step.get("controller") != "gone":
                lab.acted()
            lab.until(stage.name, expected(step, lab.line, VERSION))
    finally:
        lab.controller(stage.switches, present=True)
        lab.clear()
