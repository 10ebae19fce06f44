"""Played: the Gloo Operator. It installs Istio's real charts from a ServiceMeshController.

Acts in a workload cluster while a ready Pod of the operator is there. `values` and `verdict` decide, the class runs
Helm and writes status. A finalizer lets a ServiceMeshController go only after its Istio is uninstalled. Istio's CRDs
carry Helm's keep mark and stay, the namespace stays too. What the real operator does beyond that is not known.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import subprocess
import tempfile
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lab.kinds import kind_of
from lab.pod_logs import Played
from lab.world import ApiError, Cluster, World

Object = dict[str, Any]
Verdict = tuple[str, dict[str, str]]  # phase; what is wrong by condition type, the others are fine

MANAGER = "gloo-operator"
FINALIZER = "operator.gloo.solo.io/finalizer"
REVISION = "gloo"
BASE, ISTIOD = "istio-base", f"istiod-{REVISION}"
LICENCES = ("SOLO_ISTIO_LICENSE_KEY", "ENTERPRISE_ISTIO_LICENSE")
IMAGES = "us-docker.pkg.dev/gloo-mesh/istio"
CONDITIONS = ("Initialized", "CRDInstalled", "ControlPlaneDeployed", "WebhookDeployed", "Ready")

# What istiod writes by itself and Helm therefore does not take away.
LEFTOVERS = {
    "ConfigMap": re.compile(
        r"istio-(ca-root-cert|leader|namespace-controller-election|gateway-status-leader"
        r"|gateway-deployment-.*|ip-autoallocate|gateway-class-.*)"
    ),
    "Secret": re.compile(r"istio-ca-secret"),
    "GatewayClass": re.compile(r"istio|istio-remote|istio-waypoint"),
}

log = logging.getLogger("lab.gloo-operator")


class Seen(NamedTuple):
    """What a verdict is made of: one ServiceMeshController and the state of its installation."""

    spec: Object
    licensed: bool
    helm_error: str = ""
    deployed: bool = False  # both charts at these values
    available: bool = False  # Deployment istiod-gloo has a ready Pod
    answers: bool = False  # the istiod process says it is ready
    injects: bool = False  # its webhook carries a CA bundle


class HelmError(Exception):
    """Helm's last words."""


class GlooOperator:
    """The operator of every workload cluster; see the module's docstring."""

    name = "gloo-operator"
    kinds = (
        "Pod",
        "Secret",
        "Namespace",
        "Deployment",
        "ServiceMeshController",
        "MutatingWebhookConfiguration",
        "GatewayClass",
        "CustomResourceDefinition",
    )

    def __init__(self) -> None:
        self._installed: dict[str, str] = {}  # cluster -> fingerprint of the values at work
        self._pool = ThreadPoolExecutor(max_workers=9, thread_name_prefix="gloo-operator")
        self._running: dict[str, Future[None]] = {}
        self._logs = Played()

    def reconcile(self, world: World) -> None:
        """One round over the workload clusters. Helm takes seconds, so no cluster waits for another.

        A cluster that is still busy is looked at again after the next change or in two seconds; what went wrong in a
        cluster's last round is raised in this one.
        """
        failed: list[BaseException] = []
        for cluster in world.workloads:
            last = self._running.get(cluster.name)
            if last is not None and not last.done():
                continue
            error = last.exception() if last is not None else None
            if error is not None:
                failed.append(error)
            self._running[cluster.name] = self._pool.submit(self._rounds, world, cluster)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _rounds(self, world: World, cluster: Cluster) -> None:
        """A second round at once when Helm installed something: changes of that time woke nobody."""
        before = self._installed.get(cluster.name)
        self._cluster(world, cluster)
        if self._installed.get(cluster.name) not in (None, before):
            self._cluster(world, cluster)

    def _cluster(self, world: World, cluster: Cluster) -> None:
        pod = operator_pod(cluster.list("Pod"))
        if pod is None or not cluster.served("ServiceMeshController"):
            return
        controllers = cluster.list("ServiceMeshController")
        if not controllers:
            self._installed.pop(cluster.name, None)
            return
        first, *others = sorted(controllers, key=lambda c: (c["metadata"]["creationTimestamp"], c["metadata"]["name"]))
        for other in others:
            told = "another ServiceMeshController is at work: " + first["metadata"]["name"]
            self._report(world, cluster, pod, other, ("ABORTED", {"Initialized": told}))
        if first["metadata"].get("deletionTimestamp"):
            self._remove(world, cluster, pod, first)
            return
        self._install(world, cluster, pod, first)

    def _report(
        self, world: World, cluster: Cluster, pod: Object, smc: Object, told: tuple[str, dict[str, str]]
    ) -> None:
        """The status, and the same in the log of the operator's Pod."""
        _write(cluster, smc, told)
        phase, wrong = told
        about = f"ServiceMeshController {smc['metadata']['name']}"
        why = "; ".join(dict.fromkeys(wrong.values()))
        level = "error" if phase in ("FAILED", "ABORTED") else "info"
        self._logs.say(world.home, cluster.name, pod, level, f"{about}: {phase}" + (f": {why}" if why else ""), about)

    def _install(self, world: World, cluster: Cluster, pod: Object, smc: Object) -> None:
        spec = smc["spec"]
        namespace = spec.get("installNamespace") or "istio-system"
        seen = Seen(spec, licensed(cluster, pod))
        if refusal(seen):
            self._report(world, cluster, pod, smc, verdict(seen))
            return
        cluster.apply(_finalizers(smc, [FINALIZER]), MANAGER)
        base, istiod = values(spec, world.istiod_port(cluster.name))
        fingerprint = hashlib.sha256(json.dumps([base, istiod], sort_keys=True).encode()).hexdigest()[:16]
        error = ""
        there = _istiod_there(cluster, namespace)
        if not there or self._installed.get(cluster.name) != fingerprint:
            try:
                if not there or _described(world, cluster, namespace) != fingerprint:
                    log.info("%s: installing Istio %s into %s", cluster.name, spec["version"], namespace)
                    self._report(world, cluster, pod, smc, verdict(seen))
                    _upgrade_both(world, cluster, namespace, {BASE: base, ISTIOD: istiod}, fingerprint)
                self._installed[cluster.name] = fingerprint
            except HelmError as failure:
                error = str(failure)
                log.error("%s: %s", cluster.name, error)
        deployed = self._installed.get(cluster.name) == fingerprint
        deployment = cluster.get("Deployment", ISTIOD, namespace) or {}
        hook = cluster.get("MutatingWebhookConfiguration", injector(namespace)) or {}
        seen = seen._replace(
            helm_error=error,
            deployed=deployed,
            available=bool((deployment.get("status") or {}).get("readyReplicas")),
            answers=deployed and _answers(world.home / "istiod" / f"{cluster.name}.json"),
            injects=bool(hook) and all(w["clientConfig"].get("caBundle") for w in hook.get("webhooks") or []),
        )
        self._report(world, cluster, pod, smc, verdict(seen))

    def _remove(self, world: World, cluster: Cluster, pod: Object, smc: Object) -> None:
        if FINALIZER not in (smc["metadata"].get("finalizers") or []):
            return
        namespace = smc["spec"].get("installNamespace") or "istio-system"
        log.info("%s: uninstalling Istio from %s", cluster.name, namespace)
        try:
            for release in (ISTIOD, BASE):
                _helm(world, cluster, ["uninstall", release, "--ignore-not-found", "--wait"], namespace)
        except HelmError as failure:
            log.error("%s: %s", cluster.name, failure)
            self._report(world, cluster, pod, smc, ("FAILED", {"ControlPlaneDeployed": str(failure)}))
            return
        if any(pod for pod in cluster.list("Pod", namespace, {"app": "istiod", "istio.io/rev": REVISION})):
            return  # an istiod that still runs would write its leftovers anew
        if (world.home / "istiod" / f"{cluster.name}.json").exists():
            return
        found = cluster.list("ConfigMap") + cluster.list("Secret", namespace) + cluster.list("GatewayClass")
        for kind, name, where in leftovers(found, namespace):
            cluster.delete(kind, name, where or None)
        self._installed.pop(cluster.name, None)
        try:
            cluster.apply(_finalizers(smc, []), MANAGER)
        except ApiError as error:
            if error.status not in (404, 409):  # gone already, the cache lags
                raise


def operator_pod(pods: list[Object]) -> Object | None:
    """The operator's ready Pod, whatever its namespace."""
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        conditions = (pod.get("status") or {}).get("conditions") or []
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        if labels.get("app.kubernetes.io/name") == "gloo-operator" and ready:
            return pod
    return None


def licensed(cluster: Cluster, pod: Object) -> bool:
    """Whether the operator's Pod has an Istio licence in its environment, as text or from a Secret."""
    for entry in pod["spec"]["containers"][0].get("env") or []:
        if entry["name"] not in LICENCES:
            continue
        ref = (entry.get("valueFrom") or {}).get("secretKeyRef")
        value = entry.get("value") or ""
        if ref:
            secret = cluster.get("Secret", ref["name"], pod["metadata"]["namespace"]) or {}
            value = base64.b64decode((secret.get("data") or {}).get(ref["key"]) or "").decode(errors="replace")
        if value.strip():
            return True
    return False


def values(spec: Object, port: int) -> tuple[Object, Object]:
    """Helm values of Istio's charts base and istio-discovery for a ServiceMeshController.

    port: where this cluster's istiod serves webhooks on localhost; the API server cannot reach Pod addresses here.
    Metadata exchange, the ALPN filter and the stats provider need Istio's own Envoy and are off.
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
            "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES": "false",
            "PILOT_SKIP_VALIDATE_TRUST_DOMAIN": "true",
        },
    }
    if spec.get("trustDomain"):
        istiod["meshConfig"] = {"trustDomain": spec["trustDomain"]}
    return base, istiod


def refusal(seen: Seen) -> str:
    """Why the operator does not even start; empty when it does."""
    version = seen.spec.get("version") or ""
    if not seen.licensed:
        return f"no Solo Istio licence: env {LICENCES[0]} of the operator is empty"
    if not re.fullmatch(r"1\.(2[0-9]|3[0-9])\.\d+(-[a-z0-9.-]+)?", version):
        return f'chart "istiod" version "{version}" not found in the Istio chart repository'
    if seen.spec.get("dataplaneMode", "Ambient") != "Sidecar":
        return "dataplaneMode Ambient cannot be played in the lab, only Sidecar"
    return ""


def verdict(seen: Seen) -> Verdict:
    """What the status says.

    Waiting counts as wrong for the condition that waits, phase INSTALLED tells it from FAILED.
    """
    told = refusal(seen)
    if told:
        return "FAILED", {"Initialized": told, "Ready": told}
    if seen.helm_error:
        return "FAILED", {"ControlPlaneDeployed": seen.helm_error, "Ready": seen.helm_error}
    if not seen.deployed:
        told = "installing charts"
        return "INSTALLING", {kind: told for kind in CONDITIONS if kind != "Initialized"}
    waits = []
    if not seen.available:
        waits.append(("ControlPlaneDeployed", f"Deployment {ISTIOD} has no ready Pod"))
    elif not seen.answers:
        waits.append(("ControlPlaneDeployed", f"{ISTIOD} does not answer"))
    if not seen.injects:
        waits.append(("WebhookDeployed", "the injection webhook has no CA bundle yet"))
    if waits:
        return "INSTALLED", {**dict(waits), "Ready": "; ".join(text for _, text in waits)}
    return "SUCCEEDED", {}


def leftovers(objects: list[Object], namespace: str) -> list[tuple[str, str, str]]:
    """(kind, name, namespace) of what a gone istiod left: the root certificate everywhere, the rest beside it.

    Its GatewayClasses belong to a controller of its own; one of the same name for another controller is not touched.
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
    """Name of the injection webhook the chart makes for our revision."""
    return f"istio-sidecar-injector-{REVISION}" + ("" if namespace == "istio-system" else f"-{namespace}")


def conditions(wrong: dict[str, str], phase: str, generation: int, before: list[Object]) -> list[Object]:
    """All conditions; a time of transition lives as long as its status."""
    former = {condition["type"]: condition for condition in before}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = []
    for kind in CONDITIONS:
        status = "False" if kind in wrong else "True"
        had = former.get(kind, {})
        result.append(
            {
                "type": kind,
                "status": status,
                "reason": "Succeeded" if status == "True" else phase.capitalize(),
                "message": wrong.get(kind, ""),
                "observedGeneration": generation,
                "lastTransitionTime": had.get("lastTransitionTime", now) if had.get("status") == status else now,
            }
        )
    return result


def _write(cluster: Cluster, smc: Object, told: Verdict) -> None:
    phase, wrong = told
    before = (smc.get("status") or {}).get("conditions") or []
    live = cluster.get("ServiceMeshController", smc["metadata"]["name"]) or smc
    before = (live.get("status") or {}).get("conditions") or before
    status = {"phase": phase, "conditions": conditions(wrong, phase, smc["metadata"].get("generation", 1), before)}
    cluster.set_status(smc, status, MANAGER)


def _finalizers(smc: Object, wanted: list[str]) -> Object:
    return {
        "apiVersion": smc["apiVersion"],
        "kind": smc["kind"],
        "metadata": {"name": smc["metadata"]["name"], "uid": smc["metadata"]["uid"], "finalizers": wanted},
    }


def _istiod_there(cluster: Cluster, namespace: str) -> bool:
    """Looked up at the API server when the cache does not know it: right after installing, the watch lags."""
    if cluster.get("Deployment", ISTIOD, namespace) is not None:
        return True
    try:
        cluster.api.request("GET", kind_of("Deployment").path(namespace, ISTIOD))
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _answers(state: Path) -> bool:
    """Whether the istiod process that lab.istiod describes in this file says it is ready."""
    try:
        url = str(json.loads(state.read_text())["ready"])
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, KeyError):
        return False


def _described(world: World, cluster: Cluster, namespace: str) -> str:
    """Fingerprint an earlier run of the lab gave the istiod release; empty when it is not deployed."""
    try:
        told = json.loads(_helm(world, cluster, ["history", ISTIOD, "--max", "1", "-o", "json"], namespace))
    except HelmError:
        return ""
    return str(told[-1]["description"]) if told and told[-1]["status"] == "deployed" else ""


def _upgrade_both(world: World, cluster: Cluster, namespace: str, told: dict[str, Object], fingerprint: str) -> None:
    """Both charts at once: neither holds objects of the other's kinds, and istiod waits for its CRDs by itself."""
    charts = {
        BASE: world.istio_charts / "base",
        ISTIOD: world.istio_charts / "istio-control" / "istio-discovery",
    }
    with ThreadPoolExecutor(max_workers=len(charts)) as pool:
        running = [
            pool.submit(_upgrade, world, cluster, namespace, release, chart, told[release], fingerprint)
            for release, chart in charts.items()
        ]
    for done in running:
        done.result()


def _upgrade(
    world: World, cluster: Cluster, namespace: str, release: str, chart: Path, told: Object, fingerprint: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="lab-operator-") as folder:
        file = Path(folder) / "values.json"  # JSON is YAML
        file.write_text(json.dumps(told))
        args = ["upgrade", "--install", release, str(chart), "-f", str(file), "--create-namespace"]
        args += ["--disable-openapi-validation"]  # Istio's own charts; saves fetching the schema
        _helm(world, cluster, [*args, "--description", fingerprint], namespace)


def _helm(world: World, cluster: Cluster, args: list[str], namespace: str) -> str:
    command = [str(world.programs["helm"]), *args, "--namespace", namespace]
    command += ["--kubeconfig", str(cluster.kubeconfig), "--kube-context", cluster.context]
    state = world.home / "helm"
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
        words = done.stderr.strip().splitlines() or ["no message"]
        raise HelmError(f"helm {' '.join(args[:2])}: {words[-1]}")
    return done.stdout
