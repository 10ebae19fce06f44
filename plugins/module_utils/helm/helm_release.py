# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module helm_release: reads Helm's records, plans, and runs helm only for writes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..apply.manifests import Ref, ref_of, to_yaml
from ..apply.wait import verdicts_when_ready, wait_until_gone
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Invalid, NotFound, NotServed, Timeout
from ..k8s.processes import is_gone, this_process
from ..k8s.progress import blocked, lines
from ..k8s.verdict import together, waiting
from ..k8s.watch import Collection, View, Watcher
from . import program
from .charts import Chart, chart_source, is_complete, packed_chart
from .ownership import CRD, Owned, left_out, owner_of, switched_off
from .plan import (
    Plan,
    Refused,
    Step,
    Wanted,
    base_release,
    note_while_helm_runs,
    plan_absent,
    plan_present,
    present_record,
    seconds_held,
    trouble,
)
from .releases import (
    DEPLOYED,
    RECORD_KINDS,
    Note,
    Record,
    ReleaseHistory,
    manifest_objects,
    note_name,
    read_all_revisions,
    read_former_values,
    read_release,
)
from .shown import scrubbed, secret_texts, shown, shown_change
from .values import Json, leaf_paths, merged

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "name": {"type": "str", "required": True, "aliases": ["release_name"]},
    "namespace": {"type": "str", "required": True, "aliases": ["release_namespace"]},
    "state": {
        "type": "str",
        "choices": ["present", "absent", "checked"],
        "default": "present",
        "aliases": ["release_state"],
    },
    "chart": {"type": "str", "aliases": ["chart_ref"]},
    "repo_url": {"type": "str", "default": "", "aliases": ["chart_repo_url"]},
    "version": {"type": "str", "default": "", "aliases": ["chart_version"]},
    "values": {"type": "dict", "default": {}, "aliases": ["release_values"]},
    "initial_values": {"type": "dict", "default": {}},
    "check_values": {"type": "dict", "default": {}},
    "keep_values": {"type": "list", "elements": "str", "default": []},
    "allow_downgrade": {"type": "bool", "default": False},
    "upgrade_adopted": {"type": "bool", "default": False},
    "on_conflict": {"type": "str", "choices": ["fail", "keep"], "default": "fail"},
    "owned_crds": {"type": "dict", "default": {}},
    "brings_groups": {"type": "list", "elements": "str", "default": []},
    "create_namespace": {"type": "bool", "default": False},
    "keep_note": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": False},
    "timeout": {"type": "str", "default": "300s"},
    "binary_path": {"type": "str", "default": "helm"},
}
RULES: dict[str, Any] = {"required_if": [("state", "present", ("chart",)), ("state", "checked", ("chart",))]}

_WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet", "Job")
#: annotation of objects that stay when a release is uninstalled, with value keep
_POLICY = "helm.sh/resource-policy"
_NAME = re.compile(r"(?=.{1,53}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")  # Helm's rule
_SECONDS = {"h": 3600, "m": 60, "s": 1, "": 1}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: msg, release, actions, diff, requests, writes. Raises Invalid when the change is refused."""
    with connect(params, progress) as cluster:
        work = _Work(cluster, params, check or params["state"] == "checked", progress)
        result = work.absent() if params["state"] == "absent" else work.present()
        return {**result, "requests": cluster.requests, "writes": cluster.writes}


def secrets(params: dict[str, Any]) -> set[str]:
    """Texts of the parameters that must not be shown anywhere."""
    found = [params.get(option) for option in ("values", "initial_values", "check_values")]
    return {text for values in found if isinstance(values, dict) for text in secret_texts(values)}


class _Work:
    """One release, for one run of the module."""

    def __init__(self, cluster: Cluster, params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> None:
        self.cluster, self.params, self.check, self.progress = cluster, params, check, progress
        self.name, self.namespace = str(params["name"]), str(params["namespace"])
        self.title = f"Helm release {self.namespace}/{self.name}"
        if not _NAME.fullmatch(self.name):
            raise self.invalid("name must have lower case letters, digits, dashes and dots, at most 53 characters")
        self.timeout = self._timeout(str(params["timeout"]))
        cluster.request_within = self.timeout or cluster.request_within
        self.chart = self._chart()
        self.driver = self._driver(os.environ.get("HELM_DRIVER", ""))
        self.values: Json = params.get("values") or {}
        if self.check:
            self.values = merged(self.values, params.get("check_values") or {})
        self.initial: Json = params.get("initial_values") or {}
        self.secrets = secrets(params)
        self.history = self._read()
        driver = self.history.driver or self.driver
        self.helm = program.Helm(cluster, params["binary_path"], driver, self.timeout, self._scrub, progress)

    # -- present

    def present(self) -> Json:
        left = self.history.note.left_out if self.history.note else ()
        plan = self._plan_present(left)
        if plan.steps and not self.check:
            self._await_free()
            plan = self._plan_present(left)
        if self.params["state"] == "checked" and self._only_values(plan):
            return self._result(replace(plan, steps=()), False)
        if plan.steps:
            self.helm.check()
            owned, missing = self._conflicts(plan)
            if owned and self.params["on_conflict"] == "keep" and not missing:
                return self._result(Plan("foreign", remarks=(f"{_listed(owned)}: nothing is installed",)), False)
            if owned:
                left = self._left_out(owned, missing)
                plan = self._plan_present(left)
                self._check_left_out(plan, left)
        if self.params["state"] == "checked":
            return self._result(plan, False)
        return self._carry_out(plan)

    def _only_values(self, plan: Plan) -> bool:
        """Whether the steps change only values, which may not be known yet with state checked."""
        base = base_release(self.history)
        return all(step.action == "upgrade" and base and step.version == base.chart_version for step in plan.steps)

    def _chart(self) -> Chart:
        if not self.params.get("chart"):
            return Chart("")
        try:
            return chart_source(self.params["chart"], self.params["repo_url"], self.params["version"])
        except ValueError as exc:
            raise self.invalid(str(exc)) from None

    def _plan_present(self, left: Iterable[str]) -> Plan:
        """The plan; the switches ``left`` leave out CRDs that another release owns. Raises Invalid."""
        values = merged(switched_off(left), self.values)
        wanted = Wanted(
            self.chart.name,
            self.chart.version,
            values,
            self.initial,
            tuple(tuple(path.split(".")) for path in self.params["keep_values"]),
            self.params["allow_downgrade"],
            self.params["upgrade_adopted"],
        )
        former = self._former(wanted)
        try:
            plan = plan_present(self.history, wanted, former)
        except Refused as exc:
            raise self.invalid(str(exc)) from None
        if plan.note is None:
            return plan
        groups = {*plan.note.brings_groups, *self.params["brings_groups"]}
        return replace(plan, note=replace(plan.note, left_out=tuple(left), brings_groups=tuple(sorted(groups))))

    def _former(self, wanted: Wanted | None = None) -> Json | None:
        """The values of an adopted release before our first change, read only when the plan depends on them."""
        note = self.history.note
        if note is None or note.ours or not self.history.records:
            return None
        if wanted and note.paths is not None and set(note.paths) == set(leaf_paths(wanted.values)):
            return None
        former = read_former_values(self.cluster, note)
        if former is None and note.paths is None:
            self.history = read_all_revisions(self.cluster, self.history)
            records = [each for each in self.history.records if each.revision == note.former_revision]
            former = records[0].release.values if records else None
        return former

    def _conflicts(self, plan: Plan) -> tuple[list[Owned], list[str]]:
        """(existing objects of the chart that another owner has, missing objects).

        Checked before the first install and before a change of chart version; helm reports only the first conflict.
        """
        step = plan.steps[-1]
        base = base_release(self.history)
        if base is not None and (step.action != "upgrade" or step.version == base.chart_version):
            return [], []
        known = {_key(obj, self.namespace) for obj in base.objects} if base else set()
        owned, missing = [], []
        for obj in self._rendered(step):
            key = _key(obj, self.namespace)
            if key in known:
                continue
            live = self._live(obj)
            if live is None:
                missing.append(key[3])
                continue
            owner = owner_of(live, self.name, self.namespace)
            if owner:
                owned.append(Owned(key[1], key[3], live["metadata"].get("namespace") or "", owner))
        return owned, missing

    def _rendered(self, step: Step) -> list[Json]:
        """Objects that helm would create for the step, without hooks."""
        arguments = [
            "template",
            self.name,
            *self.chart.arguments(step.version),
            "--namespace",
            self.namespace,
            "--no-hooks",
        ]
        arguments += ["--kube-version", self.cluster.version()]
        for version in self.cluster.api_versions():
            arguments += ["--api-versions", version]
        return list(manifest_objects(self.helm.run(self.title, "render the chart", arguments, step.values)))

    def _live(self, obj: Json) -> Json | None:
        meta = obj["metadata"]
        try:
            namespaced = self.cluster.kind(obj["apiVersion"], obj["kind"]).namespaced
            namespace = (meta.get("namespace") or self.namespace) if namespaced else None
            return self.cluster.get(obj["apiVersion"], obj["kind"], meta["name"], namespace)
        except (NotServed, NotFound):
            return None

    def _left_out(self, owned: list[Owned], missing: list[str]) -> tuple[str, ...]:
        try:
            found = left_out(owned, missing, self.params["owned_crds"])
        except ValueError as exc:
            more = f" ({len(owned) - 1} more objects of the chart also exist)" if len(owned) > 1 else ""
            crds = any(each.kind == CRD for each in owned)
            way = (
                "map the CRD to a switch of the chart in owned_crds"
                if crds
                else "set on_conflict to keep (mesh_on_release_conflict, gateway_on_release_conflict) if its owner "
                "manages all objects of the chart"
            )
            raise self.invalid(
                f"{exc}{more}. If its owner no longer needs it, remove it there; otherwise {way}", owner=owned[0].owner
            ) from None
        noted = self.history.note.left_out if self.history.note else ()
        return tuple(sorted({*noted, *found}))

    def _check_left_out(self, plan: Plan, left: Iterable[str]) -> None:
        """The chart may ignore a switch, as in another version: Helm would fail in the middle of the run."""
        owned, _missing = self._conflicts(plan) if plan.steps else ([], [])
        if owned:
            raise self.invalid(
                f"{owned[0]}, and the chart installs it even with {', '.join(left)} set to false. If its "
                "owner no longer needs it, remove it there; otherwise map it to a switch of the chart in owned_crds",
                owner=owned[0].owner,
            )

    # -- absent

    def absent(self) -> Json:
        if self.history.note is not None and self.history.records:
            self.history = read_all_revisions(self.cluster, self.history)
        plan = plan_absent(self.history, self._former())
        if plan.steps and not self.check:
            self._await_free()
            self.history = read_all_revisions(self.cluster, self.history)
            plan = plan_absent(self.history, self._former())
        going = self._going(plan)
        begin = time.monotonic()
        result = self._carry_out(plan)
        if not self.check and going and present_record(self.history) is None:
            left = max(1.0, self.timeout - (time.monotonic() - begin))
            wait_until_gone(self.cluster, self._existing(going), left, self.progress)
        noted = self.history.note is not None or self.history.reinstalled
        if noted and not self.check:
            self._delete("Secret", note_name(self.name))
        if noted and not self.params["keep_note"]:
            result["changed"] = True
            if not self.check:
                self._delete("ConfigMap", note_name(self.name))
        return result

    def _delete(self, kind: str, name: str) -> None:
        """Delete by UID, which may be repeated safely."""
        live = self.cluster.get("v1", kind, name, self.namespace)
        if live is not None:
            self.cluster.delete("v1", kind, name, self.namespace, uid=live["metadata"]["uid"])

    def _going(self, plan: Plan) -> list[Json]:
        """Objects that the uninstallation deletes; of one that ended earlier those that are still being deleted."""
        if self.check or self.history.note is None:
            return []
        if any(step.action == "uninstall" for step in plan.steps):
            return self._objects()
        if self.history.records and present_record(self.history) is None:
            return [live for live in self._objects() if live["metadata"].get("deletionTimestamp")]
        return []

    def _existing(self, objects: Iterable[Json]) -> list[tuple[Ref, str]]:
        """Those that exist, with their UIDs."""
        found = [(obj, self._live(obj)) for obj in objects]
        uids = [(obj, obj["metadata"]["uid"], live) for obj, live in found if live is not None]
        return [(ref_of(obj), uid) for obj, uid, live in uids if live["metadata"]["uid"] == uid]

    def _objects(self, *kinds: str) -> list[Json]:
        """Objects of the newest revision as they are in the cluster, of these kinds or all except those Helm keeps."""
        newest = self.history.newest
        found = [
            (obj, self._live(obj)) for obj in (newest.objects if newest else ()) if not kinds or obj["kind"] in kinds
        ]
        return [live for obj, live in found if live is not None and (kinds or not (_is_kept(obj) or _is_kept(live)))]

    # -- execution

    def _carry_out(self, plan: Plan) -> Json:
        noted = self.history.note
        note = plan.note and replace(plan.note, created=noted.created if noted else "")
        note_changes = note is not None and note != noted
        before = self.history
        if not self.check:
            if plan.former is not None and note is not None:
                self._apply(note.former_values_object(plan.former))
            if note is not None and (note_changes or plan.steps):
                self._run(plan, note)
            if plan.steps and self.params["wait"] and self.history.newest:
                self._await_ready()
        return self._result(plan, bool(plan.steps) or note_changes, before)

    def _run(self, plan: Plan, note: Note) -> None:
        """Write the note, run the steps, and record the result in the note."""
        record = self.history.records[-1] if self.history.records else None
        revision = record.revision if record else 0
        noted = self.history.note
        if self.history.reinstalled or (noted is not None and noted.ours != note.ours):
            # Its age separates objects of the release from older ones, so another installation gets a new note.
            self._delete("ConfigMap", note.object_name)
        installs = any(step.action == "install" for step in plan.steps)
        if installs:
            note = replace(note, installed="")  # not known until Helm has installed it
        meanwhile = note_while_helm_runs(self.history, note) if plan.steps else None
        for step in plan.steps:
            revision = 0 if step.action == "uninstall" else revision + 1
            note = replace(note, writer=f"{this_process()} {revision}")
            meanwhile = replace(meanwhile or note, writer=note.writer)
            self._apply(meanwhile.to_object())
            self._step(step)
        self.history = self._read()
        newest = self.history.newest
        if plan.steps and newest is not None and self.params["state"] == "present":
            if installs:
                note = replace(note, installed=newest.installed)
            groups = {crd.partition(".")[2] for crd in newest.crds} | set(note.brings_groups)
            note = replace(note, brings_groups=tuple(sorted(groups)), only_crds=newest.only_crds)
        if self.params["state"] == "absent":
            if note.ours:
                return
            note = replace(note, paths=(), our_version="")  # it is given back: nothing in it is ours any more
        if note != meanwhile:
            self._apply(note.to_object())

    def _apply(self, obj: Json) -> None:
        if self.params["create_namespace"] and self.cluster.get("v1", "Namespace", self.namespace) is None:
            self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        try:
            self.cluster.apply(obj, force=True)
        except NotFound:
            raise self.invalid(
                f"namespace {self.namespace} does not exist. Create it, or set create_namespace to true"
            ) from None

    def _step(self, step: Step) -> None:
        scope = ["--namespace", self.namespace, "--timeout", f"{self.timeout:.0f}s"]
        if step.action == "rollback":
            self.helm.run(self.title, str(step), ["rollback", self.name, str(step.revision), *scope])
        elif step.action == "uninstall":
            keep = ["--keep-history"] if step.keep_history else []
            self.helm.run(self.title, str(step), ["uninstall", self.name, "--cascade", "foreground", *keep, *scope])
        else:
            install = ["--install"] if step.action == "install" else []
            source, data = self._source(step)
            arguments = ["upgrade", self.name, *source, *install, "--reset-values", *scope]
            self.helm.run(self.title, str(step), arguments, step.values, data)

    def _source(self, step: Step) -> tuple[list[str], bytes]:
        """(arguments that name the chart, the chart's archive when it comes from Helm's record)."""
        found = [each.release for each in self.history.records if step.revision and each.revision == step.revision]
        if found and is_complete(found[0]):
            return ["{chart}"], packed_chart(found[0])
        if not self.chart.ref or (self.chart.local and step.version not in ("", self.chart.version)):
            raise self.invalid(
                f"chart version {step.version} is required, but Helm's record does not contain its subcharts. "
                f"Set chart to the chart of version {step.version}"
            )
        return self.chart.arguments(step.version), b""

    def _await_free(self) -> None:
        """Wait while another Helm operation may be in progress, at most for the timeout."""
        record = self.history.records[-1] if self.history.records else None
        if record is None or not self._held(record):
            return
        collection = Collection("v1", RECORD_KINDS[self.history.driver], self.namespace, f"owner=helm,name={self.name}")
        last = record

        def look(view: View) -> Any:
            nonlocal last
            found = [Record(self.cluster.name, stored) for stored in view.items(collection)]
            newest = max(found, key=lambda each: each.revision, default=None)
            if newest is None or not self._held(newest):
                return together({})
            last = newest
            return together({self.title: waiting(f"{trouble(newest)}: another Helm operation may be in progress")})

        with Watcher(self.cluster, [collection]) as watcher:
            verdict = watcher.until(look, self.timeout, self.progress)
        if not verdict.ready:
            text = "\n".join(lines(self.cluster.name, blocked(verdict), watcher.waited))
            left = self._held(last)
            raise Timeout(
                f"{text}. If no other Helm operation is in progress, retry in {left:.0f} s, or run: "
                f"helm rollback {self.name} --namespace {self.namespace}",
                cluster=self.cluster.name,
                namespace=self.namespace,
                name=self.name,
            )
        self.history = self._read()

    def _held(self, record: Record) -> float:
        note = self.history.note
        writer = note.writer.rpartition(" ")[0] if note and note.last_revision == record.revision else ""
        gone = is_gone(writer)
        return seconds_held(record, self.cluster.server_time or time.time(), self.timeout, gone)

    def _await_ready(self) -> None:
        verdicts = verdicts_when_ready(
            self.cluster, self._objects(*_WORKLOADS), self.timeout, self.progress, just_written=True
        )
        verdict = together({ref.title: each for ref, each in verdicts.items()})
        if not verdict.ready:
            raise Timeout(
                "\n".join(lines(self.cluster.name, blocked(verdict), self.timeout)), cluster=self.cluster.name
            )

    # -- reading and results

    def _read(self) -> ReleaseHistory:
        history = read_release(self.cluster, self.name, self.namespace, self.driver)
        record = present_record(history)
        if record is not None and record.status != DEPLOYED and history.deployed is None:
            history = read_all_revisions(self.cluster, history)
        return history

    def _result(self, plan: Plan, changed: bool, before: ReleaseHistory | None = None) -> Json:
        before = before or self.history
        actions = [str(step) for step in plan.steps]
        release = present_record(self.history)
        summary = "; ".join([*(actions or ["unchanged"]), *plan.remarks])
        if changed and not actions:
            summary = "; ".join(["note updated", *plan.remarks])
        return {
            "changed": changed,
            "msg": f"{self.cluster.name}: {self.title}: {summary}",
            "actions": actions,
            "release": self._record(release, plan.whose),
            "diff": self._diff(before, plan.steps),
        }

    def _record(self, record: Record | None, whose: str) -> Json:
        result: Json = {"cluster": self.cluster.name, "name": self.name, "namespace": self.namespace, "whose": whose}
        if record is None:
            return {**result, "status": "absent", "revision": 0}
        release = record.release
        return {
            **result,
            "status": record.status,
            "revision": record.revision,
            "chart": release.chart,
            "version": release.chart_version,
            "app_version": release.app_version,
            "updated": record.updated,
            "values": shown(release.values),
        }

    def _diff(self, history: ReleaseHistory, steps: tuple[Step, ...]) -> Json:
        record, base = present_record(history), base_release(history)
        header = f"{self.cluster.name}: {self.title}"
        was = base.values if base else {}
        will = steps[-1].values if steps else was
        values_before, values_after = shown_change(was, will)
        sides = ["", ""]
        if record and base:
            facts = {"chart": base.chart, "version": base.chart_version, "revision": record.revision}
            sides[0] = to_yaml({**facts, "status": record.status, "values": values_before})
        if not steps:
            sides[1] = sides[0]
        elif steps[-1].action != "uninstall":
            reinstalled = any(step.action == "uninstall" for step in steps)
            revision = 1 if reinstalled else len(steps) + (history.records[-1].revision if history.records else 0)
            facts = {
                "chart": base.chart if base else self.chart.name or self.chart.ref,
                "version": steps[-1].version or "newest",
                "revision": revision,
            }
            sides[1] = to_yaml({**facts, "status": DEPLOYED, "values": values_after})
        return {"before_header": header, "after_header": header, "before": sides[0], "after": sides[1]}

    def _scrub(self, text: str) -> str:
        base = base_release(self.history)
        return scrubbed(text, self.secrets | (secret_texts(base.values) if base else set()))

    def _timeout(self, text: str) -> float:
        parts = re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise self.invalid(f"timeout is {text!r}: set seconds, or a duration such as 10m or 1m30s")
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    def _driver(self, driver: str) -> str:
        known = {"": "", "secret": "secret", "secrets": "secret", "configmap": "configmap", "configmaps": "configmap"}
        if driver not in known:
            raise self.invalid(f"HELM_DRIVER is {driver}: only secret and configmap are supported. Unset it")
        return known[driver]

    def invalid(self, text: str, **facts: Any) -> ClusterError:
        return Invalid(
            f"{self.cluster.name}: {self.title}: {text}",
            cluster=self.cluster.name,
            namespace=self.namespace,
            name=self.name,
            **facts,
        )


def _is_kept(obj: Json) -> bool:
    """Whether Helm leaves an object in the cluster. Of CRDs in a manifest only the name is known."""
    return (obj["metadata"].get("annotations") or {}).get(_POLICY) == "keep"


def _key(obj: Json, namespace: str) -> tuple[str, str, str, str]:
    meta = obj["metadata"]
    return obj["apiVersion"], obj["kind"], meta.get("namespace") or namespace, meta["name"]


def _listed(owned: list[Owned]) -> str:
    more = f" and {len(owned) - 1} more" if len(owned) > 1 else ""
    return f"{owned[0].title}{more} exists and belongs to {owned[0].owner}"
