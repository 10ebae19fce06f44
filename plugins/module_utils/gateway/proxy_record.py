# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flat record of one Gateway's proxy: what the module gateway_proxy_info returns of it (pure)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ..istiod.discovery import image_version
from ..k8s.fields import Json, condition, mapping, mappings, meta, name_of, number, spec_of, status_of, title_of
from ..k8s.pods import is_ready
from ..k8s.readiness import judge, replicas_wanted
from .controller import INTEGRATION, controller_container, switch
from .proxy_checks import Finding
from .proxy_model import Situation
from .proxy_objects import container_status, containers, mesh_env, running_containers
from .proxy_pods import added, by_istio
from .proxy_restart import outdated_pods
from .proxy_settings import SETTINGS


def record(cluster: str, s: Situation, finding: Finding) -> Json:
    """Keys and types are always the same; what is unknown is null, documented in the module's RETURN."""
    carried = running_containers(s.current_pods[0]) if s.current_pods else containers(s.deployment)
    return {
        "cluster": cluster,
        "namespace": s.namespace,
        "gateway": s.name,
        "verdict": finding.state,
        "cause": "" if finding.ready else finding.reason,
        "check": finding.check,
        "serving": s.serving,
        "gateway_class": str(spec_of(s.gateway).get("gatewayClassName") or ""),
        "generation": meta(s.gateway).get("generation"),
        "observed_generation": condition(s.gateway, "Accepted").get("observedGeneration"),
        "conditions": _conditions(s),
        "controller": _controller(s),
        "parameters": f"{s.refs[-1].namespace}/{s.refs[-1].name}" if s.refs else None,
        "deployment": _deployment(s),
        "containers": [str(c.get("name")) for c in carried],
        "env": mesh_env(carried),
        "settings": _settings(s, carried),
        "pods": [_pod(s, pod) for pod in sorted(s.pods, key=lambda p: p not in s.current_pods)],
        "service_type": spec_of(s.service).get("type"),
        "service_ports": [
            {"name": str(p.get("name") or ""), "port": p.get("port"), "node_port": p.get("nodePort")}
            for p in mappings(spec_of(s.service).get("ports"))
        ],
        "addresses": s.addresses,
        "url": url(s),
        "problems": problems(s),
    }


def url(s: Situation) -> str | None:
    """URL of the first HTTP listener (else HTTPS) at the first address."""
    listeners = [x for x in mappings(spec_of(s.gateway).get("listeners")) if x.get("port")]
    ranked = [x for wanted in ("HTTP", "HTTPS") for x in listeners if x.get("protocol") == wanted]
    if not s.addresses or not ranked:
        return None
    host = s.addresses[0]
    try:
        host = f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        pass
    return f"{ranked[0]['protocol'].lower()}://{host}:{ranked[0]['port']}"


def problems(s: Situation) -> list[str]:
    """What is wrong, but does not keep the proxy from serving."""
    found = []
    right, have = s.right_istiod.get("mesh_id"), s.settings()["ISTIO_META_MESH_ID"]
    if s.in_mesh and right and right != have:
        found.append(
            f"istioMetaMeshId of {s.set_by('istioMetaMeshId')} is {have}, istiod's mesh ID is {right}; nothing checks "
            "it, but telemetry will carry the wrong one"
        )
    if s.in_mesh and switch(s.controller, INTEGRATION) is False:
        found.append(f"{INTEGRATION} is off in {title_of(s.controller)}: newer versions then find no ServiceEntry")
    outdated = outdated_pods(s)
    if outdated:
        found.append(
            f"the Envoy bootstrap in {title_of(s.bootstrap)} is newer than {', '.join(outdated)}, which read it "
            "only when it starts: restart it (restart: if_needed)"
        )
    if s.injected_by and not any(map(by_istio, s.current_pods)):
        found.append(
            f"Namespace {s.namespace} is labelled {s.injected_by}: Istio's injector will change the proxy's next Pods; "
            "take the label off"
        )
    more = sorted({name for pod in s.current_pods for name in added(s, pod)})
    if more:
        found.append(f"its Pods have {', '.join(more)} too, which a webhook of this cluster puts in")
    return found


def _conditions(s: Situation) -> list[Json]:
    rows = [
        {
            "type": str(c.get("type")),
            "status": str(c.get("status")),
            "reason": str(c.get("reason") or ""),
            "message": str(c.get("message") or ""),
            "observed_generation": c.get("observedGeneration"),
        }
        for c in mappings(status_of(s.gateway).get("conditions"))
    ]
    return sorted(rows, key=lambda row: row["type"])


def _controller(s: Situation) -> Json:
    image = controller_container(s.controller).get("image")
    return {
        "controller_name": s.controller_name,
        "namespace": meta(s.controller).get("namespace"),
        "name": meta(s.controller).get("name"),
        "image": image,
        "version": image_version(str(image)) if image else None,
        "ready": None if s.controller is None else bool(status_of(s.controller).get("readyReplicas")),
        "auto_mtls": s.auto_mtls,
        "integration": switch(s.controller, INTEGRATION),
    }


def _deployment(s: Situation) -> Json:
    status = status_of(s.deployment)
    rollout = judge(s.deployment) if s.deployment else None
    return {
        "name": meta(s.deployment).get("name"),
        "generation": meta(s.deployment).get("generation"),
        "observed_generation": status.get("observedGeneration"),
        "wanted": None if s.deployment is None else replicas_wanted(s.deployment),
        "updated": number(status.get("updatedReplicas")),
        "ready": number(status.get("readyReplicas")),
        "available": number(status.get("availableReplicas")),
        "rollout": rollout.state if rollout else None,
        "reason": rollout.reason if rollout else "",
    }


def _settings(s: Situation, carried: Sequence[Json]) -> list[Json]:
    """One row per setting that reaches istio-proxy; `fits` is null for a proxy without that container."""
    have, told = mesh_env(carried), s.told()
    rows = []
    for option, (env, _default) in SETTINGS.items():
        wanted = s.settings()[env]
        right = _right(s, env)
        rows.append(
            {
                "env": env,
                "option": option,
                "pod": have.get(env),
                "wanted": wanted,
                "default": env not in told,
                "istiod": right[0] if right else None,
                "fits": have.get(env) == wanted and (not right or wanted in right) if s.in_mesh else None,
            }
        )
    return rows


def _right(s: Situation, env: str) -> list[str]:
    """Values istiod takes, its own first; empty when unknown."""
    if env == "ISTIO_META_CLUSTER_ID":
        return s.accepted_ids()
    if env == "ISTIO_META_MESH_ID":
        return [str(s.right_istiod["mesh_id"])] if s.right_istiod.get("mesh_id") else []
    address = s.right_istiod.get("address")
    if not address:
        return []
    # Another name of the same istiod is as right as its first.
    same = s.plane is not None and s.plane["address"] == address
    return [str(address), *([s.settings()[env]] if same else [])]


def _pod(s: Situation, pod: Json) -> Json:
    return {
        "name": name_of(pod),
        "phase": str(status_of(pod).get("phase") or ""),
        "ready": is_ready(pod),
        "current": pod in s.current_pods,
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
