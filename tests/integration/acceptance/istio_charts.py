"""Installs Istio's real charts in a lab cluster for the duration of one test, and removes everything afterwards."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acceptance.site import Site, wait_until
from lab.vendor.gloo_operator.istio_release import leftovers

TAG = "1.25.0"
IMAGES = {"hub": "registry.example/istio", "tag": TAG}

Json = dict[str, Any]


class IstioCharts:
    """Helm releases of the chart istio-discovery in one cluster; `cleared` takes them away again."""

    def __init__(self, site: Site, cluster: str) -> None:
        self.site, self.cluster = site, cluster
        told = json.loads((site.home / "lab.json").read_text())
        self._helm_program = told["programs"]["helm"]
        self._chart = Path(told["istio_charts"]) / "istio-control" / "istio-discovery"
        self._releases: list[tuple[str, str]] = []

    def install(self, release: str, namespace: str, values: Json) -> None:
        """`values` as a user gives them; images and the lack of an autoscaler are added."""
        settings = {"autoscaleEnabled": False, **values, "global": {**IMAGES, **values.get("global", {})}}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(settings, file)  # JSON is YAML
            file.flush()
            given = ["--values", file.name, "--disable-openapi-validation"]
            self._releases.append((release, namespace))
            self._helm(namespace, "install", release, str(self._chart), *given)

    def _helm(self, namespace: str, *arguments: str) -> None:
        where = ["--namespace", namespace, "--kubeconfig", str(self.site.kubeconfig), "--kube-context", self.cluster]
        state = {f"HELM_{kind}_HOME": str(self.site.home / "helm-tests") for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [self._helm_program, *arguments, *where],
            env=self.site.environment(state),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"helm {arguments[0]} {arguments[1]}: {done.stderr}"

    @contextmanager
    def cleared(self) -> Iterator[IstioCharts]:
        """On leaving, the releases are uninstalled and what a running istiod wrote by itself is deleted."""
        try:
            yield self
        finally:
            for release, namespace in self._releases:
                self._helm(namespace, "uninstall", release, "--ignore-not-found")
            wait_until(self._istiod_ended, f"{self.cluster}: istiod of the test ends")
            self._delete_leftovers()
            self._releases.clear()

    def _istiod_ended(self) -> bool:
        pods = [p for p in self._list("/api/v1/pods") if (p["metadata"].get("labels") or {}).get("app") == "istiod"]
        return not pods and not list((self.site.home / "istiod").glob(f"{self.cluster}-*.json"))

    def _delete_leftovers(self) -> None:
        namespaces = {namespace for _release, namespace in self._releases}
        for path, kind in (("/api/v1/configmaps", "ConfigMap"), ("/api/v1/secrets", "Secret")):
            objects = [{**obj, "kind": kind} for obj in self._list(path)]
            for namespace in namespaces:
                for _kind, name, where in leftovers(objects, namespace):
                    self.site.delete(self.cluster, f"/api/v1/namespaces/{where}/{kind.lower()}s/{name}")

    def _list(self, path: str) -> list[Json]:
        return (self.site.get(self.cluster, path) or {}).get("items") or []
