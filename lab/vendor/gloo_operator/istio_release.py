"""Istio's real charts as Helm releases, and the objects that istiod leaves behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object

REVISION = "gloo"
BASE, ISTIOD = "istio-base", f"istiod-{REVISION}"  # release names

EXTENSIONS, EXTENSIONS_KEY = "gloo-extensions-config", "values.istiod"
PRESET = {"PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES": "false"}

IMAGES = "us-docker.pkg.dev/gloo-mesh/istio"

# Objects that istiod writes: no chart has them, so Helm does not delete them.
LEFTOVERS = {
    "ConfigMap": re.compile(
        r"istio-(ca-root-cert|leader|namespace-controller-election|gateway-status-leader"
        r"|gateway-deployment-.*|ip-autoallocate|gateway-class-.*)"
    ),
    "Secret": re.compile(r"istio-ca-secret"),
    "GatewayClass": re.compile(r"istio|istio-remote|istio-waypoint"),
}


class HelmError(Exception):
    """Helm failed; the message is the last line of its output."""


def values(spec: Object, port: int, more: Object, preset: dict[str, str]) -> tuple[Object, Object]:
    """Helm values of Istio's charts base and istio-discovery for a ServiceMeshController.

    port: of this cluster's istiod webhooks on localhost; the API server cannot reach Pod addresses in the lab. more:
    the user's values for istiod, which win. preset: istiod's environment, as far as the operator itself sets it.
    Metadata exchange, the ALPN filter and the stats provider need Istio's own Envoy and are disabled.
    """
    namespace, hook = spec.get("installNamespace") or "istio-system", f"https://localhost:{port}"
    image = spec.get("image") or {}
    hub = "/".join(part for part in (image.get("registry"), image.get("repository")) if part) or IMAGES
    tag = f"{spec['version']}-solo" + ("-fips" if spec.get("distribution") == "FIPS" else "")
    shared: Object = {
        "istioNamespace": namespace,
        "hub": hub,
        "tag": tag,
        "multiCluster": {"clusterName": spec.get("cluster") or "Kubernetes"},
    }
    if spec.get("network"):
        shared["network"] = spec["network"]
    if image.get("secrets"):
        shared["imagePullSecrets"] = [secret["name"] for secret in image["secrets"]]
    base = {
        "defaultRevision": REVISION,
        "base": {"validationURL": f"{hook}/validate"},
        "global": {"istioNamespace": namespace},
    }
    istiod: Object = {
        "revision": REVISION,
        "global": shared,
        "istiodRemote": {"injectionURL": f"{hook}/inject"},
        "base": {"validationURL": f"{hook}/validate"},
        "telemetry": {"enabled": False},
        "autoscaleEnabled": False,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "env": {
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "PILOT_SKIP_VALIDATE_TRUST_DOMAIN": "true",
            **preset,
        },
    }
    if spec.get("trustDomain"):
        istiod["meshConfig"] = {"trustDomain": spec["trustDomain"]}
    return base, merged(istiod, more)


def merged(below: Object, above: Object) -> Object:
    """Helm's merge of values: maps are merged, everything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def extensions(config: Object | None) -> Object:
    """Values for istiod in ConfigMap gloo-extensions-config; raises ValueError when they cannot be read."""
    text = ((config or {}).get("data") or {}).get(EXTENSIONS_KEY) or ""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"ConfigMap {EXTENSIONS}, key {EXTENSIONS_KEY}: {' '.join(str(error).split())}") from error
    if not isinstance(found or {}, dict):
        raise ValueError(f"ConfigMap {EXTENSIONS}, key {EXTENSIONS_KEY}: not a map")
    return found or {}


def leftovers(objects: list[Object], namespace: str) -> list[tuple[str, str, str]]:
    """(kind, name, namespace) of the objects left by an uninstalled istiod: the root certificate in all namespaces, the
    others in its own. A GatewayClass with one of these names but another controller is not included.
    """
    found = []
    for obj in objects:
        kind, name, where = obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace") or ""
        if kind == "GatewayClass" and not obj["spec"].get("controllerName", "").startswith("istio.io/"):
            continue
        everywhere = kind == "GatewayClass" or (kind == "ConfigMap" and name == "istio-ca-root-cert")
        if LEFTOVERS[kind].fullmatch(name) and (everywhere or where == namespace):
            found.append((kind, name, where))
    return found


def injector(namespace: str) -> str:
    """Name of the chart's injection webhook for REVISION."""
    return f"istio-sidecar-injector-{REVISION}" + ("" if namespace == "istio-system" else f"-{namespace}")


def installed_fingerprint(lab: Lab, cluster: Cluster, namespace: str) -> str:
    """The fingerprint in the istiod release's description; empty when the release is not deployed."""
    try:
        history = json.loads(helm(lab, cluster, ["history", ISTIOD, "--max", "1", "-o", "json"], namespace))
    except HelmError:
        return ""
    latest = history[-1] if history else {}
    return str(latest["description"]) if latest.get("status") == "deployed" else ""


def install(lab: Lab, cluster: Cluster, namespace: str, values_of: dict[str, Object], fingerprint: str) -> None:
    """Install or upgrade both charts; raises HelmError.

    In parallel: neither has objects of the other's kinds, and istiod waits for its CRDs.
    """
    charts = {
        BASE: lab.istio_charts / "base",
        ISTIOD: lab.istio_charts / "istio-control" / "istio-discovery",
    }
    with ThreadPoolExecutor(max_workers=len(charts)) as pool:
        running = [
            pool.submit(_upgrade, lab, cluster, namespace, release, chart, values_of[release], fingerprint)
            for release, chart in charts.items()
        ]
    for done in running:
        done.result()


def _upgrade(
    lab: Lab, cluster: Cluster, namespace: str, release: str, chart: Path, values: Object, fingerprint: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="lab-operator-") as folder:
        file = Path(folder) / "values.json"  # JSON is YAML
        file.write_text(json.dumps(values))
        args = ["upgrade", "--install", release, str(chart), "-f", str(file), "--create-namespace"]
        args += ["--disable-openapi-validation"]  # the charts are Istio's own; saves requesting the schema
        helm(lab, cluster, [*args, "--description", fingerprint], namespace)


def helm(lab: Lab, cluster: Cluster, args: list[str], namespace: str) -> str:
    command = [str(lab.programs["helm"]), *args, "--namespace", namespace]
    command += ["--kubeconfig", str(cluster.kubeconfig), "--kube-context", cluster.name]
    state = lab.home / "helm"
    env = {
        "PATH": os.environ.get("PATH", ""),
        "HELM_CACHE_HOME": str(state / "cache"),
        "HELM_CONFIG_HOME": str(state / "config"),
        "HELM_DATA_HOME": str(state / "data"),
        "HOME": str(state),
    }
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HelmError(f"helm {args[0]} {args[1]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise HelmError(f"helm {' '.join(args[:2])}: {lines[-1]}")
    return done.stdout
