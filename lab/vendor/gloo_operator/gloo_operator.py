"""The Gloo Operator, simulated. It installs Istio's real charts from a ServiceMeshController.

It acts in a workload cluster while the operator has a ready Pod there. `values` and `verdict` decide, the class runs
Helm and writes status. A finalizer holds a ServiceMeshController until its Istio is uninstalled. Istio's CRDs (with
Helm's resource policy `keep`) and the namespace stay. Values for istiod come from ConfigMap gloo-extensions-config in
the operator's namespace, too. Without a licence it installs the same and logs an error. What else the real operator
does is not known.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.kinds import kind_of
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, condition_is_true, deleting, labels_of, status_of
from lab.pods.pod_logs import SimulatedLogs
from lab.vendor.gloo_operator.gateway_api import GatewayApi
from lab.vendor.gloo_operator.istio_release import (
    BASE,
    EXTENSIONS,
    ISTIOD,
    PRESET,
    REVISION,
    HelmError,
    extensions,
    helm,
    injector,
    install,
    installed_fingerprint,
    leftovers,
    values,
)
from lab.vendor.gloo_operator.status import LICENCES, Observed, Verdict, conditions, refusal, verdict
from lab.vendor.istiod import state_file

MANAGER = "gloo-operator"
FINALIZER = "operator.gloo.solo.io/finalizer"

log = logging.getLogger("lab.gloo-operator")


class GlooOperator:
    """The operator of every workload cluster; see the module's docstring."""

    name = "gloo-operator"
    kinds = (
        "Pod",
        "Secret",
        "ConfigMap",
        "Namespace",
        "Deployment",
        "ServiceMeshController",
        "MutatingWebhookConfiguration",
        "GatewayClass",
        "CustomResourceDefinition",
    )

    def __init__(self) -> None:
        self._installed: dict[str, str] = {}  # cluster -> fingerprint of the installed values
        self._pool = ThreadPoolExecutor(max_workers=9, thread_name_prefix="gloo-operator")
        self._running: dict[str, Future[None]] = {}
        self._logs = SimulatedLogs()
        self._gateway_api = GatewayApi()

    def reconcile(self, lab: Lab) -> None:
        """One round over the workload clusters, in parallel: Helm takes seconds.

        A cluster whose last round still runs is skipped until the next change or resync; an exception of the last
        round is raised in this one.
        """
        failed: list[BaseException] = []
        for cluster in lab.workloads:
            last = self._running.get(cluster.name)
            if last is not None and not last.done():
                continue
            error = last.exception() if last is not None else None
            if error is not None:
                failed.append(error)
            self._running[cluster.name] = self._pool.submit(self._round, lab, cluster)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _round(self, lab: Lab, cluster: Cluster) -> None:
        """A second round when Helm installed something: changes during the first one are missed otherwise."""
        before = self._installed.get(cluster.name)
        self._cluster(lab, cluster)
        if self._installed.get(cluster.name) not in (None, before):
            self._cluster(lab, cluster)

    def _cluster(self, lab: Lab, cluster: Cluster) -> None:
        pod = operator_pod(cluster.list("Pod"))
        if pod is None:
            return
        if not old(pod) and lab.setting("operator-gateway-api") == "brought":
            self._gateway_api.bring(cluster, lab.operator_gateway_api)
        if not cluster.served("ServiceMeshController"):
            return
        controllers = cluster.list("ServiceMeshController")
        if not controllers:
            self._installed.pop(cluster.name, None)
            return
        first, *others = sorted(controllers, key=lambda c: (c["metadata"]["creationTimestamp"], c["metadata"]["name"]))
        for other in others:
            message = "another ServiceMeshController is in use: " + first["metadata"]["name"]
            self._report(lab, cluster, pod, other, ("ABORTED", {"Initialized": message}))
        if deleting(first):
            self._remove(lab, cluster, pod, first)
            return
        self._install(lab, cluster, pod, first)

    def _report(self, lab: Lab, cluster: Cluster, pod: Object, smc: Object, result: Verdict) -> None:
        """The status, and the same in the log of the operator's Pod."""
        _write_status(cluster, smc, result)
        phase, false = result
        topic = f"ServiceMeshController {smc['metadata']['name']}"
        why = "; ".join(dict.fromkeys(false.values()))
        level = "error" if phase in ("FAILED", "ABORTED") else "info"
        self._logs.write(lab.home, cluster.name, pod, level, f"{topic}: {phase}" + (f": {why}" if why else ""), topic)

    def _install(self, lab: Lab, cluster: Cluster, pod: Object, smc: Object) -> None:
        spec = smc["spec"]
        namespace = spec.get("installNamespace") or "istio-system"
        observed = Observed(spec, old=old(pod))
        more: Object = {}
        try:
            more = extensions(cluster.get("ConfigMap", EXTENSIONS, pod["metadata"]["namespace"]))
        except ValueError as failure:
            observed = observed._replace(bad_values=str(failure))
        if refusal(observed):
            self._report(lab, cluster, pod, smc, verdict(observed))
            return
        if not licensed(cluster, pod):
            message = f"no Solo Istio licence in {LICENCES[0]}: licensed features are off"
            self._logs.write(lab.home, cluster.name, pod, "error", message, "licence")
        cluster.apply(_finalizers(smc, [FINALIZER]), MANAGER)
        preset = PRESET if lab.setting("istiod-env") == "preset" else {}
        base, istiod = values(spec, lab.istiod_port(cluster.name, REVISION), more, preset)
        fingerprint = hashlib.sha256(json.dumps([base, istiod], sort_keys=True).encode()).hexdigest()[:16]
        error = ""
        exists = _istiod_exists(cluster, namespace)
        if not exists or self._installed.get(cluster.name) != fingerprint:
            try:
                if not exists or installed_fingerprint(lab, cluster, namespace) != fingerprint:
                    log.info("%s: installing Istio %s into %s", cluster.name, spec["version"], namespace)
                    self._report(lab, cluster, pod, smc, verdict(observed))
                    install(lab, cluster, namespace, {BASE: base, ISTIOD: istiod}, fingerprint)
                self._installed[cluster.name] = fingerprint
            except HelmError as failure:
                error = str(failure)
                log.error("%s: %s", cluster.name, error)
        deployed = self._installed.get(cluster.name) == fingerprint
        deployment = cluster.get("Deployment", ISTIOD, namespace) or {}
        hook = cluster.get("MutatingWebhookConfiguration", injector(namespace)) or {}
        observed = observed._replace(
            helm_error=error,
            deployed=deployed,
            available=bool(status_of(deployment).get("readyReplicas")),
            responds=deployed and _responds(state_file(lab, cluster.name, REVISION)),
            injects=bool(hook) and all(w["clientConfig"].get("caBundle") for w in hook.get("webhooks") or []),
        )
        self._report(lab, cluster, pod, smc, verdict(observed))

    def _remove(self, lab: Lab, cluster: Cluster, pod: Object, smc: Object) -> None:
        if FINALIZER not in (smc["metadata"].get("finalizers") or []):
            return
        namespace = smc["spec"].get("installNamespace") or "istio-system"
        log.info("%s: uninstalling Istio from %s", cluster.name, namespace)
        try:
            for release in (ISTIOD, BASE):
                helm(lab, cluster, ["uninstall", release, "--ignore-not-found", "--wait"], namespace)
        except HelmError as failure:
            log.error("%s: %s", cluster.name, failure)
            self._report(lab, cluster, pod, smc, ("FAILED", {"ControlPlaneDeployed": str(failure)}))
            return
        if any(pod for pod in cluster.list("Pod", namespace, {"app": "istiod", "istio.io/rev": REVISION})):
            return  # an istiod that still runs would write them again
        if state_file(lab, cluster.name, REVISION).exists():
            return
        found = cluster.list("ConfigMap") + cluster.list("Secret", namespace) + cluster.list("GatewayClass")
        for kind, name, where in leftovers(found, namespace):
            cluster.delete(kind, name, where or None)
        self._installed.pop(cluster.name, None)
        try:
            cluster.apply(_finalizers(smc, []), MANAGER)
        except ApiError as error:
            if error.status not in (404, 409):  # deleted already, the cache is behind
                raise


def operator_pod(pods: list[Object]) -> Object | None:
    """The operator's ready Pod, whatever its namespace."""
    for pod in pods:
        if labels_of(pod).get("app.kubernetes.io/name") == "gloo-operator" and condition_is_true(pod, "Ready"):
            return pod
    return None


def old(pod: Object) -> bool:
    """Whether the operator is older than 0.5: its last phase is INSTALLED, and it brings no Gateway API."""
    found = re.search(r":v?0\.([0-4])\.", pod["spec"]["containers"][0].get("image") or "")
    return found is not None


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


def _write_status(cluster: Cluster, smc: Object, result: Verdict) -> None:
    phase, false = result
    live = cluster.get("ServiceMeshController", smc["metadata"]["name"]) or smc
    before = status_of(live).get("conditions") or status_of(smc).get("conditions") or []
    status = {"phase": phase, "conditions": conditions(false, phase, smc["metadata"].get("generation", 1), before)}
    cluster.set_status(smc, status, MANAGER)


def _finalizers(smc: Object, wanted: list[str]) -> Object:
    return {
        "apiVersion": smc["apiVersion"],
        "kind": smc["kind"],
        "metadata": {"name": smc["metadata"]["name"], "uid": smc["metadata"]["uid"], "finalizers": wanted},
    }


def _istiod_exists(cluster: Cluster, namespace: str) -> bool:
    """Asks the API server when the cache has none: right after installing the watch is behind."""
    if cluster.get("Deployment", ISTIOD, namespace) is not None:
        return True
    try:
        cluster.api.request("GET", kind_of("Deployment").path(namespace, ISTIOD))
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _responds(state: Path) -> bool:
    """Whether the istiod process that vendor/istiod.py describes in this file is ready."""
    try:
        url = str(json.loads(state.read_text())["ready"])
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, KeyError):
        return False
