# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flat record of one Gateway's proxy, as returned by the module gateway_proxy_info (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..istiod.discovery import image_version
from ..k8s.fields import Json, condition, dig, mapping, mappings, meta, name_of, number, spec_of, status_of, title_of
from ..k8s.names import url_host
from ..k8s.pods import is_ready
from ..k8s.readiness import judge, replicas_wanted
from .controller import INTEGRATION, controller_container, switch
from .proxy_checks import ProxyVerdict
from .proxy_model import ProxyModel
from .proxy_objects import container_status, containers, mesh_env, running_containers
from .proxy_pods import NOT_INJECTED, added, by_istio
from .proxy_restart import outdated_pods
from .proxy_settings import SETTINGS
from .versions import NO_REPLICAS, of_labels, shown


def record(cluster: str, model: ProxyModel, verdict: ProxyVerdict) -> Json:
    """Keys and types are always the same, unknown values null; documented in the module's RETURN."""
    carried = running_containers(model.current_pods[0]) if model.current_pods else containers(model.deployment)
    return {
        "cluster": cluster,
        "namespace": model.namespace,
        "gateway": model.name,
        "verdict": verdict.state,
        "cause": "" if verdict.ready else verdict.reason,
        "check": verdict.check,
        "serving": model.serving,
        "gateway_class": str(spec_of(model.gateway).get("gatewayClassName") or ""),
        "generation": meta(model.gateway).get("generation"),
        "observed_generation": condition(model.gateway, "Accepted").get("observedGeneration"),
        "conditions": _conditions(model),
        "controller": _controller(model),
        "parameters": f"{model.refs[-1].namespace}/{model.refs[-1].name}" if model.refs else None,
        "overlays": [overlay.title for overlay in model.overlays],
        "deployment": _deployment(model),
        "containers": [str(c.get("name")) for c in carried],
        "env": mesh_env(carried),
        "settings": _settings(model, carried),
        "pods": [_pod(model, pod) for pod in sorted(model.pods, key=lambda p: p not in model.current_pods)],
        "service_type": spec_of(model.service).get("type"),
        "service_ports": [
            {"name": str(p.get("name") or ""), "port": p.get("port"), "node_port": p.get("nodePort")}
            for p in mappings(spec_of(model.service).get("ports"))
        ],
        "addresses": model.addresses,
        "url": url(model),
        "problems": problems(model),
    }


def url(model: ProxyModel) -> str | None:
    """URL of the first HTTP listener (else HTTPS) at the first address."""
    listeners = [x for x in mappings(spec_of(model.gateway).get("listeners")) if x.get("port")]
    ranked = [x for wanted in ("HTTP", "HTTPS") for x in listeners if x.get("protocol") == wanted]
    if not model.addresses or not ranked:
        return None
    return f"{ranked[0]['protocol'].lower()}://{url_host(model.addresses[0])}:{ranked[0]['port']}"


def problems(model: ProxyModel) -> list[str]:
    """Problems that do not prevent the proxy from serving."""
    found = []
    right, have = model.expected_istiod.get("mesh_id"), model.settings()["ISTIO_META_MESH_ID"]
    if model.in_mesh and right and right != have:
        found.append(
            f"istioMetaMeshId of {model.set_by('istioMetaMeshId')} is {have}, istiod's mesh ID is {right}. It is not "
            "validated, but telemetry will be labelled with the wrong one"
        )
    if model.in_mesh and switch(model.controller, INTEGRATION) is False:
        found.append(f"{INTEGRATION} is off in {title_of(model.controller)}: newer versions then ignore ServiceEntries")
    replicas = dig(model.spec, "kube", "deployment", "replicas")
    if model.autoscaler and replicas is not None:
        found.append(
            f"the parameters set deployment.replicas to {replicas} and have {model.autoscaler}: the controller resets "
            "what the autoscaler sets. Omit deployment.replicas"
        )
    if replicas == 0 and model.deployment is not None and replicas_wanted(model.deployment):
        found.append(
            f"the parameters set deployment.replicas to 0, but {title_of(model.deployment)} has "
            f"{replicas_wanted(model.deployment)}: kgateway before {shown(NO_REPLICAS)} ignores 0"
        )
    outdated = outdated_pods(model)
    if outdated:
        found.append(
            f"the Envoy bootstrap in {title_of(model.bootstrap)} is newer than {', '.join(outdated)}, and Envoy "
            "reads it only at startup. Restart the Deployment (restart: if_needed)"
        )
    if model.injected_by and not any(map(by_istio, model.current_pods)):
        found.append(
            f"Namespace {model.namespace} is labelled {model.injected_by}: Istio's injector will modify the proxy's "
            f"next Pods. {NOT_INJECTED}"
        )
    more = sorted({name for pod in model.current_pods for name in added(model, pod)})
    if more:
        found.append(f"its Pods also have {', '.join(more)}, added by a webhook in this cluster")
    return found


def _conditions(model: ProxyModel) -> list[Json]:
    rows = [
        {
            "type": str(c.get("type")),
            "status": str(c.get("status")),
            "reason": str(c.get("reason") or ""),
            "message": str(c.get("message") or ""),
            "observed_generation": c.get("observedGeneration"),
        }
        for c in mappings(status_of(model.gateway).get("conditions"))
    ]
    return sorted(rows, key=lambda row: row["type"])


def _controller(model: ProxyModel) -> Json:
    image = controller_container(model.controller).get("image")
    return {
        "controller_name": model.controller_name,
        "namespace": meta(model.controller).get("namespace"),
        "name": meta(model.controller).get("name"),
        "image": image,
        "version": of_labels(model.controller) or (image_version(str(image)) if image else None),
        "ready": None if model.controller is None else bool(status_of(model.controller).get("readyReplicas")),
        "auto_mtls": model.auto_mtls,
        "integration": switch(model.controller, INTEGRATION),
    }


def _deployment(model: ProxyModel) -> Json:
    status = status_of(model.deployment)
    rollout = judge(model.deployment) if model.deployment else None
    return {
        "name": meta(model.deployment).get("name"),
        "generation": meta(model.deployment).get("generation"),
        "observed_generation": status.get("observedGeneration"),
        "wanted": None if model.deployment is None else replicas_wanted(model.deployment),
        "updated": number(status.get("updatedReplicas")),
        "ready": number(status.get("readyReplicas")),
        "available": number(status.get("availableReplicas")),
        "rollout": rollout.state if rollout else None,
        "reason": rollout.reason if rollout else "",
    }


def _settings(model: ProxyModel, carried: Sequence[Json]) -> list[Json]:
    """One row per setting that reaches istio-proxy; `fits` is null for a proxy without that container."""
    have, explicit = mesh_env(carried), model.explicit_settings()
    rows = []
    for option, (env, _default) in SETTINGS.items():
        wanted = model.settings()[env]
        right = _accepted(model, env)
        rows.append(
            {
                "env": env,
                "option": option,
                "pod": have.get(env),
                "wanted": wanted,
                "default": env not in explicit,
                "istiod": right[0] if right else None,
                "fits": have.get(env) == wanted and (not right or wanted in right) if model.in_mesh else None,
            }
        )
    return rows


def _accepted(model: ProxyModel, env: str) -> list[str]:
    """Values that istiod accepts, its configured one first; empty when unknown."""
    if env == "ISTIO_META_CLUSTER_ID":
        return model.accepted_ids()
    if env == "ISTIO_META_MESH_ID":
        return [str(model.expected_istiod["mesh_id"])] if model.expected_istiod.get("mesh_id") else []
    address = model.expected_istiod.get("address")
    if not address:
        return []
    # Any name of the same istiod is valid.
    same = model.plane is not None and model.plane["address"] == address
    return [str(address), *([model.settings()[env]] if same else [])]


def _pod(model: ProxyModel, pod: Json) -> Json:
    return {
        "name": name_of(pod),
        "phase": str(status_of(pod).get("phase") or ""),
        "ready": is_ready(pod),
        "current": pod in model.current_pods,
        "containers": [_container(c, container_status(pod, str(c.get("name"))) or {}) for c in running_containers(pod)],
    }


def _container(container: Json, status: Json) -> Json:
    state = mapping(status.get("state"))
    word = next((w for w in ("running", "waiting", "terminated") if w in state), "unknown")
    last = mapping(mapping(status.get("lastState")).get("terminated"))
    reason = mapping(state.get(word)).get("reason") or ""
    if last:
        reason = f"{reason}, " * bool(reason) + f"last ended with code {last.get('exitCode')}"
    return {
        "name": str(container.get("name")),
        "image": str(container.get("image") or ""),
        "ready": bool(status.get("ready")),
        "state": word,
        "reason": reason,
        "restarts": number(status.get("restartCount")),
    }
