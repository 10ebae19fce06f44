# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module mesh_phase: brings one cluster of a site to the state of its plan, phase by phase.

In a phase a cluster does everything for which it has to wait for no other cluster. One call instead of a task for each
object: most of the time of a run without changes is what Ansible needs for a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..apply import objects, objects_info, workload_restart
from ..engine.result import Engine
from ..helm import helm_release
from ..helm.shown import secret_texts
from ..k8s.client import CLUSTER_SPEC
from ..k8s.errors import ClusterError, Invalid
from ..k8s.fields import Json, mapping
from ..mesh import relay_secrets
from .mesh_plan import Plan

PHASES = ("plan", "check", "install", "register", "istio", "trust", "eastwest")

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "phase": {"type": "str", "choices": list(PHASES), "required": True},
    "host": {"type": "str", "required": True},
    "layers": {"type": "dict", "required": True},
    "platform": {"type": "dict", "default": {}},
    "settings": {"type": "dict", "required": True},
    "management": {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "kubeconfig": {"type": "path", "required": True},
            "context": {"type": "str", "required": True},
            "cluster": {"type": "str"},
            "runs": {"type": "bool", "default": True},
        },
    },
    "binary_path": {"type": "str", "default": "helm"},
}

_ENGINES: dict[str, tuple[Engine, dict[str, Any]]] = {
    "objects": (objects.run, objects.ARGUMENT_SPEC),
    "objects_info": (objects_info.run, objects_info.ARGUMENT_SPEC),
    "helm_release": (helm_release.run, helm_release.ARGUMENT_SPEC),
    "relay_secrets": (relay_secrets.run, relay_secrets.ARGUMENT_SPEC),
    "workload_restart": (workload_restart.run, workload_restart.ARGUMENT_SPEC),
}
# An engine and its parameters, without those that all steps of the phase share.
Step = tuple[str, Json]


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: changed, msg, steps, facts, diff, requests, writes. Raises what the engine of a step raises."""
    name = params.get("cluster") or params["context"]
    plan = plan_of(params)
    if params["phase"] == "plan":
        _refuse(name, [f"{params['host']}: {each}" for each in plan.problems()])
    published, timeout = plan.published, plan.settings["wait_timeout"]
    done: list[Json] = []
    results: list[Json] = []
    refused: list[str] = []
    for engine, given in list(_steps(plan, params["phase"], check)):
        try:
            results.append(_call(engine, given, params, timeout, check, progress))
        except ClusterError as exc:
            if params["phase"] != "check":
                exc.facts |= _so_far(done, [*results, exc.facts])
                raise
            refused.append(exc.msg)
            continue
        done.append({key: results[-1][key] for key in ("changed", "msg")})
    _refuse(name, refused)
    return {
        "msg": "\n".join(each["msg"] for each in done if each["changed"]) or f"{name}: nothing to change",
        **_so_far(done, results),
        "facts": _with_new_address(published, results),
        "requests": sum(result.get("requests", 0) for result in results),
        "writes": sum(result.get("writes", 0) for result in results),
    }


def _so_far(done: list[Json], results: list[Json]) -> Json:
    """What a phase has changed, also one that has failed in the middle."""
    return {
        "changed": any(result.get("changed") for result in results),
        "steps": done,
        "diff": [each for result in results for each in _as_list(result.get("diff"))],
    }


def secrets(params: dict[str, Any]) -> set[str]:
    """Texts of the settings that must not be shown anywhere."""
    settings = mapping(params.get("settings"))
    keys = {str(settings[name]) for name in ("license_key", "istio_license_key") if settings.get(name)}
    values = [mapping(each) for name, each in settings.items() if name.endswith("_values")]
    return keys | {text for each in values for text in secret_texts(each)}


class _Settings(dict[str, Any]):
    """The settings of a host, which name the one that is missing."""

    def __init__(self, host: str, settings: Json) -> None:
        super().__init__(settings)
        self._host = host

    def __missing__(self, name: str) -> Any:
        raise Invalid(f"{self._host}: settings lack {name}. Set it to mesh_{name}, a variable of the role mesh")


def plan_of(params: dict[str, Any]) -> Plan:
    """The plan of the cluster. Raises Invalid for hosts without layers."""
    host, layers, management = params["host"], params["layers"], params["management"]
    unknown = [each for each in dict.fromkeys((host, management["host"])) if each not in layers]
    if unknown:
        raise Invalid(f"{host}: layers lack {' and '.join(unknown)}. Read these clusters with layers_info as well")
    platform = mapping(params.get("platform")) or layers[management["host"]]["platform"]
    return Plan(host, _Settings(host, params["settings"]), layers, management, platform)


def _refuse(cluster: str, problems: list[str]) -> None:
    """Raise Invalid with all of them at once."""
    if problems:
        raise Invalid("; ".join(problems), cluster=cluster, problems=problems)


def _steps(plan: Plan, phase: str, check: bool) -> Iterator[Step]:
    if phase == "check":
        for each in plan.releases.values():
            yield "helm_release", {**each, "state": "checked"}
    elif phase == "install":
        yield from _apply(plan, *plan.namespaces)
        yield from _release(plan, "crds")
        if plan.is_management:
            yield from _release(plan, "platform")
            if plan.platform["manage"] or plan.platform["state"] != "absent":
                yield _ready(check, plan.server_parts)
    elif plan.is_management:
        if phase == "register" and plan.site["workspace"]["manage"]:
            yield from _apply(plan, *plan.workspace)
        # After istiod: Gloo Mesh may issue certificates only for an istiod that runs.
        if phase == "trust" and plan.site["trust"]["manage"]:
            yield from _apply(plan, plan.root_trust_policy)
    elif phase == "register":
        yield from _registration(plan, check)
    elif phase == "istio":
        if plan.own["istio"]["manage"]:
            # Before the operator and istiod, which read it when they are installed. Values that others set stay.
            yield from _apply(plan, plan.extensions, merge_yaml=True, on_conflict="force")
        yield from _release(plan, "operator")
        if plan.own["istio"]["manage"]:
            yield from _apply(plan, plan.istio_controller)
            yield _ready(check, plan.istiod_parts)
    elif phase == "eastwest":
        cacerts = {"namespace": plan.istiod.get("namespace"), "name": "cacerts"}
        if plan.awaits_root:
            yield _ready(check, [{"api_version": "v1", "kind": "Secret", **cacerts}])
        if plan.restarts:
            options = {"older_than_secret": cacerts, "on_conflict": plan.settings["on_conflict"]}
            yield "workload_restart", {"workloads": plan.restarts, **options}
        yield from _release(plan, "eastwest")
        if plan.own["eastwest"]["manage"]:
            yield _ready(check, plan.eastwest_parts)


def _registration(plan: Plan, check: bool) -> Iterator[Step]:
    there = {name: plan.management[name] for name in CLUSTER_SPEC}
    agent, platform = plan.own["agent"], plan.platform
    if agent["manage"] and not plan.relay_address and not check:
        raise Invalid(
            f"{plan.management['host']}: Service {platform['namespace']}/{platform['facts']['relay_service']} has no "
            "known external address. Set its type to LoadBalancer, or set mesh_relay_address"
        )
    if plan.registers:
        # Before its agent, which otherwise restarts until it is registered.
        yield from _apply(plan, plan.registration, wait=False, **there)
    if plan.copies_relay_secrets:
        places = {"management_namespace": platform["namespace"], "namespace": agent["namespace"]}
        yield "relay_secrets", {**places, **{f"management_{name}": value for name, value in there.items()}}
    yield from _release(plan, "agent")
    if agent["manage"]:
        yield _ready(check, plan.agent_parts)


def _release(plan: Plan, layer: str) -> Iterator[Step]:
    if layer in plan.releases:
        yield "helm_release", plan.releases[layer]


def _apply(plan: Plan, *definitions: Json, **options: Any) -> Iterator[Step]:
    if definitions:
        common = {"definitions": list(definitions), "on_conflict": plan.settings["on_conflict"]}
        yield "objects", {**common, **options}


def _ready(check: bool, parts: list[Json]) -> Step:
    """In check mode the objects may not exist, so it does not wait."""
    return "objects_info", {"objects": parts, "wait_for": "none" if check else "ready"}


def _call(
    name: str, given: Json, params: dict[str, Any], timeout: int, check: bool, progress: Callable[[str], None]
) -> dict[str, Any]:
    engine, spec = _ENGINES[name]
    shared = {**params, "wait_timeout": timeout, "timeout": f"{timeout}s"}
    options = {option: row.get("default") for option, row in spec.items()}
    options |= {option: shared[option] for option in ("wait_timeout", "timeout", "binary_path") if option in spec}
    return engine({**options, **{name: params.get(name) for name in CLUSTER_SPEC}, **given}, check, progress)


def _with_new_address(published: Json, results: list[Json]) -> Json:
    """What the role publishes, with the address of a gateway that has just been installed."""
    records = [each for result in results for each in result.get("objects") or ()]
    services = [each for each in records if each.get("kind") == "Service" and each.get("address")]
    if "eastwest_address" in published and services:
        return {**published, "eastwest_address": services[0]["address"]}
    return published


def _as_list(diff: Any) -> list[Json]:
    return diff if isinstance(diff, list) else [diff] if diff else []
