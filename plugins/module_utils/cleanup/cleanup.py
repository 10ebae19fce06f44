# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module cleanup: executes the steps of one phase in one cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from ..apply import objects_info
from ..apply.manifests import Ref
from ..apply.namespace_contents import reason_to_keep
from ..apply.objects import converge
from ..gateway import gateway_proxy_info
from ..gateway.controller import AUTO_MTLS, INTEGRATION, controller_container
from ..helm import helm_release
from ..k8s.client import CLUSTER_SPEC, Cluster, Json, connect
from ..k8s.fields import labels_of, meta
from ..k8s.readiness import judge
from .plan import (
    DELETE,
    GIVE_BACK,
    KEEP,
    PHASES,
    RELEASE_NAME,
    SWITCH_OFF,
    UNINSTALL,
    WAIT,
    Step,
    made_by_program,
    step_of,
)
from .releases import HELM
from .summary import summary

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "phase": {"type": "str", "required": True, "choices": list(PHASES)},
    "steps": {"type": "list", "elements": "dict", "required": True},
    "destinations": {"type": "list", "elements": "dict", "default": []},
    "wait_timeout": {"type": "int", "default": 600},
    "binary_path": {"type": "str", "default": "helm"},
}

_PROXY = "kgateway-proxy"
_TRANSLATED = ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: steps [record] of the phase as executed, summary of all phases, changed, msg, diff, requests, writes."""
    name = params.get("cluster") or params["context"]
    steps = [step_of(record) for record in params["steps"]]
    mine = [step for step in steps if step.phase == params["phase"]]
    work = _Work(params, check, progress)
    mine = [step for _how, batch in groupby(mine, key=_how) for step in work.execute(list(batch))]
    others = {phase: [step for step in steps if step.phase == phase] for phase in PHASES}
    lines = summary((step for phase in PHASES for step in (mine if phase == params["phase"] else others[phase])), check)
    here = summary(mine, check) if mine else ["nothing to do"]
    return {
        "changed": work.changed,
        "msg": f"{name}: {'; '.join(here)}",
        "steps": [step.record(name) for step in mine],
        "summary": lines,
        "diff": work.diff,
        "requests": work.requests,
        "writes": work.writes,
        "dry_runs": work.dry_runs,
    }


def _how(step: Step) -> tuple[str, bool]:
    """Consecutive steps of the same kind are executed together; releases and waits one at a time."""
    if step.action in (DELETE, GIVE_BACK) and step.kind != HELM:
        return "objects", step.ours or step.action == GIVE_BACK
    return f"{step.action} {step.ref.title}", False


@dataclass
class _Work:
    """The work of one phase and its results."""

    params: dict[str, Any]
    check: bool
    progress: Callable[[str], None]

    def __post_init__(self) -> None:
        self.changed = False
        self.diff: list[Json] = []
        self.requests = self.writes = self.dry_runs = 0

    def execute(self, batch: list[Step]) -> list[Step]:
        """The steps as executed: a namespace that contains objects of others is kept, for example."""
        first = batch[0]
        if first.action in (DELETE, GIVE_BACK) and first.kind != HELM:
            return self._objects(batch)
        if first.kind == HELM and first.action in (UNINSTALL, GIVE_BACK):
            self._release(first)
        elif first.action == SWITCH_OFF:
            self._switch_off(first)
        elif first.action == WAIT and not self.check:
            self._wait(first)
        return batch

    def _objects(self, batch: Sequence[Step]) -> list[Step]:
        ours = _how(batch[0])[1]
        result = self._with_cluster(lambda cluster: self._remove(cluster, batch, ours))
        kept = {
            Ref(row["api_version"], row["kind"], row["namespace"], row["name"]): row["reason"]
            for row in result["objects"]
            if row["action"] == "kept"
        }
        return [replace(step, action=KEEP, reason=kept[step.ref]) if step.ref in kept else step for step in batch]

    def _remove(self, cluster: Cluster, batch: Sequence[Step], ours: bool) -> dict[str, Any]:
        definitions = [_definition(step) for step in batch]
        result = converge(
            cluster,
            definitions,
            check=self.check,
            progress=self.progress,
            absent=True,
            timeout=self._timeout,
            only_ours=ours,
        )
        if self.check and ours:
            self._predict_namespaces(cluster, result["objects"])
        return result

    def _predict_namespaces(self, cluster: Cluster, rows: Iterable[Json]) -> None:
        """In check mode, which namespaces will stay because of objects that no step and no controller removes."""
        going = [step.ref for step in map(step_of, self.params["steps"]) if step.action == DELETE]
        for row in rows:
            if row["kind"] == "Namespace" and row["action"] == "deleted":
                reason = reason_to_keep(cluster, row["name"], going, _leaves)
                if reason:
                    row.update(action="kept", reason=reason)

    def _release(self, step: Step) -> None:
        # The note is kept until the last phase: later runs also compare the age of leftovers with it.
        options: dict[str, Any] = {
            "state": "absent",
            "keep_note": True,
            "wait": True,
            "timeout": f"{self._timeout:.0f}s",
        }
        options["binary_path"] = self.params.get("binary_path") or "helm"
        self._note(self._run(helm_release, name=step.name, namespace=step.namespace, **options))

    def _switch_off(self, step: Step) -> None:
        """The controller then runs proxies without sds and istio-proxy, regardless of their parameters."""

        def work(cluster: Cluster) -> dict[str, Any]:
            live = cluster.get(step.api_version, step.kind, step.name, step.namespace)
            if live is None:
                return {"requests": cluster.requests}
            container = {
                "name": controller_container(live)["name"],
                "env": [{"name": name, "value": "false"} for name in (AUTO_MTLS, INTEGRATION)],
            }
            definition = _definition(step)
            definition["spec"] = {"template": {"spec": {"containers": [container]}}}
            options: dict[str, Any] = {"check": self.check, "progress": self.progress, "timeout": self._timeout}
            return converge(cluster, [definition], force=True, **options)

        self._with_cluster(work)

    def _wait(self, step: Step) -> None:
        if step.kind == "Gateway":
            expected = {"gateway": step.name, "namespace": step.namespace, "expect": [_PROXY], "wait": True}
            self._note(self._run(gateway_proxy_info, **expected))
        elif step.kind == "Pod":
            query = {"api_version": "v1", "kind": "Pod", "namespace": step.namespace, "label_selector": step.name}
            self._note(self._run(objects_info, objects=[query], wait_for="absent"))
        else:
            queries = _translated(map(step_of, self.params.get("destinations") or ()))
            # Only a running agent removes it.
            if queries and self._with_cluster(lambda cluster: _is_ready(cluster, step))["ready"]:
                self._note(self._run(objects_info, objects=queries, wait_for="absent"))

    @property
    def _timeout(self) -> float:
        return float(self.params.get("wait_timeout") or 0)

    def _with_cluster(self, work: Callable[[Cluster], dict[str, Any]]) -> dict[str, Any]:
        with connect(self.params, self.progress) as cluster:
            result = work(cluster)
        self._note(result)
        return result

    def _run(self, engine: Any, **options: Any) -> dict[str, Any]:
        """Run another engine on the same cluster."""
        defaults = {name: row.get("default") for name, row in engine.ARGUMENT_SPEC.items()}
        connection = {name: self.params.get(name) for name in CLUSTER_SPEC}
        params = {**defaults, **connection, "wait_timeout": self.params.get("wait_timeout"), **options}
        result: dict[str, Any] = engine.run(params, self.check, self.progress)
        return result

    def _note(self, result: dict[str, Any]) -> None:
        self.changed = self.changed or bool(result.get("changed"))
        diff = result.get("diff") or []
        self.diff += [diff] if isinstance(diff, dict) else diff
        self.requests += result.get("requests", 0)
        self.writes += result.get("writes", 0)
        self.dry_runs += result.get("dry_runs", 0)


def _leaves(obj: Json) -> bool:
    """Whether a Helm release or a controller removes the object."""
    found = meta(obj)
    with_helm = RELEASE_NAME in (found.get("annotations") or {}) or labels_of(obj).get("owner") == "helm"
    return with_helm or made_by_program(obj)


def _is_ready(cluster: Cluster, step: Step) -> dict[str, Any]:
    live = cluster.get(step.api_version, step.kind, step.name, step.namespace)
    return {"ready": live is not None and judge(live).ready, "requests": cluster.requests}


def _translated(steps: Iterable[Step]) -> list[Json]:
    """Queries for the objects that agents translated from deleted destinations."""
    return [
        {
            "api_version": "networking.istio.io/v1",
            "kind": kind,
            "label_selector": f"gloo.solo.io/parent_kind={step.kind},"
            f"gloo.solo.io/parent_namespace={step.namespace},gloo.solo.io/parent_name={step.name}",
        }
        for step in steps
        if step.phase == "destinations" and step.action == DELETE
        for kind in _TRANSLATED
    ]


def _definition(step: Step) -> Json:
    place = {"namespace": step.namespace} if step.namespace else {}
    return {"apiVersion": step.api_version, "kind": step.kind, "metadata": {"name": step.name, **place}}
