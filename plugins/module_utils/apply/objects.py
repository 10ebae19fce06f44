# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module objects: a set of desired objects in one cluster, written only where something differs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import (
    BadKubeconfig,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotServed,
    Timeout,
    Unreachable,
)
from ..k8s.fields import Json
from ..k8s.kinds import Kind
from ..k8s.progress import Progress, lines
from ..k8s.readiness import judge, waiting
from . import adoption
from .managed_fields import applied_fields
from .manifests import (
    MANAGER,
    Ref,
    desired,
    difference,
    flatten,
    is_adopted,
    is_ours,
    is_right,
    problems,
    rank,
    ref_of,
    same_content,
)
from .namespace_contents import occupants
from .wait import blockers, verdicts_when_ready, wait_until_gone

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "on_conflict": {"type": "str", "choices": ["fail", "force"], "default": "fail"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "delete_only_ours": {"type": "bool", "default": True},
}

_CHANGES = ("created", "changed", "deleted", "released")
_WITH_PODS = ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob")
# How long a CRD may take to be served after it was written or installed by somebody else.
_CRD_PATIENCE = 30.0


@dataclass
class Item:
    """One object on its way through a run."""

    definition: Json
    ref: Ref
    where: Kind | None = None  # None while its kind is not served
    live: Json | None = None
    action: str = ""
    ready: str = ""
    reason: str = ""
    result: Json | None = None
    diff: Json | None = None
    error: ClusterError | None = None

    def record(self, cluster: str) -> Json:
        """The flat record of the result."""
        return {
            "cluster": cluster,
            "api_version": self.ref.api_version,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "action": self.action,
            "ready": self.ready,
            "reason": self.reason,
        }


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: objects [record], changed, msg, diff, requests, writes. Raises with the same lists when one fails."""
    name = params.get("cluster") or params["context"]
    definitions = checked(params["definitions"], name)
    with connect(params, progress) as cluster:
        return converge(
            cluster,
            definitions,
            check=check,
            progress=progress,
            absent=params.get("state") == "absent",
            force=params.get("on_conflict") == "force",
            wait=params.get("wait", True),
            timeout=float(params.get("wait_timeout") or 0),
            only_ours=params.get("delete_only_ours", True),
        )


def checked(definitions: list[Any], cluster: str) -> list[Json]:
    """The definitions as single objects; Invalid names every fault before anything is asked of a cluster."""
    flat = flatten(definitions)
    if not flat:
        raise Invalid(f"{cluster}: definitions is empty: give at least one object", cluster=cluster)
    wrong = problems(flat)
    if wrong:
        raise Invalid(f"{cluster}: {'; '.join(wrong)}", cluster=cluster, problems=wrong)
    return flat


def converge(
    cluster: Cluster,
    definitions: list[Json],
    *,
    check: bool = False,
    progress: Callable[[str], None] = lambda line: None,
    absent: bool = False,
    force: bool = False,
    wait: bool = True,
    timeout: float = 300.0,
    only_ours: bool = True,
) -> dict[str, Any]:
    """The work behind run(), for engines that have a connection already."""
    work = Converge(cluster, definitions, check=check, progress=progress, force=force, timeout=timeout)
    if absent:
        work.remove(only_ours=only_ours, wait=wait)
    else:
        work.bring(wait=wait)
    return work.outcome()


class Converge:
    """One run over one set of objects in one cluster."""

    def __init__(
        self,
        cluster: Cluster,
        definitions: list[Json],
        *,
        check: bool,
        progress: Callable[[str], None],
        force: bool,
        timeout: float,
    ) -> None:
        self.cluster = cluster
        self.check = check
        self.force = force
        self.timeout = timeout
        self.progress = progress
        self.items = [Item(definition, ref_of(definition)) for definition in definitions]
        self._namespaces: dict[str, bool] = {}
        self._removing = False

    # -- present

    def bring(self, *, wait: bool) -> None:
        """Create, change or leave alone; then wait for all."""
        self._find_kinds(must_be_served=not self.check)
        self._read()
        ordered = sorted(self.items, key=lambda item: rank(item.definition))
        for place in sorted({rank(item.definition) for item in ordered}):
            batch = [item for item in ordered if rank(item.definition) == place]
            for item in batch:
                self._try(item, self._bring_one)
            if not self.check:
                self._establish([item for item in batch if item.action in ("created", "changed")])
        if not wait or self.check or any(item.error for item in self.items):
            return
        self._wait_ready()

    def _bring_one(self, item: Item) -> None:
        if item.live is not None and item.live["metadata"].get("deletionTimestamp"):
            self._await_end(item)
        if item.live is None:
            self._create(item)
        else:
            self._change(item, item.live)

    def _create(self, item: Item) -> None:
        item.action = "created"
        wanted = desired(item.definition, owned=True)
        shown: Json = wanted
        if not self.check:
            item.result = shown = self._apply_when_served(item, wanted)
        elif self._can_dry_run(item):
            shown = self._dry_run_create(wanted)
        item.diff = self._diff(item, None, shown)

    def _change(self, item: Item, live: Json) -> None:
        wanted = desired(item.definition, owned=is_ours(live))
        if not is_ours(live):
            wanted = adoption.with_former(wanted, adoption.read(live))
        item.action, item.result = "unchanged", live
        if is_right(live, wanted):
            return
        force = self.force
        try:
            after = self.cluster.apply(wanted, force=force, dry_run=True)
        except Conflict as exc:
            # Only with ourselves: a write under our name that was no apply (the API server keeps it apart).
            if not exc.fields or any(managers != [MANAGER] for managers in exc.fields.values()):
                raise
            force = True
            after = self.cluster.apply(wanted, force=force, dry_run=True)
        if same_content(live, after):
            return
        item.action, tried = "changed", wanted
        if not is_ours(live):
            wanted = adoption.with_former(wanted, adoption.former_values(live, after))
            item.reason = "it existed before: only these fields are ours"
        if not self.check:
            item.result = after = self.cluster.apply(wanted, force=force)
        elif wanted != tried:  # with the former values
            after = self.cluster.apply(wanted, force=force, dry_run=True)
        item.diff = self._diff(item, live, after)

    def _apply_when_served(self, item: Item, wanted: Json) -> Json:
        """A CRD written a moment ago may not be served by every API server yet."""
        patience = _CRD_PATIENCE if item.ref.api_version in self._crd_versions() else 0.0
        report = Progress(self.cluster.name, self.progress)
        while True:
            try:
                return self.cluster.apply(wanted, force=self.force)
            except NotServed:
                if report.seconds > patience:
                    raise
                report(waiting(f"{item.ref.title}: {item.ref.api_version} is not served yet"))
                time.sleep(0.2)

    def _dry_run_create(self, wanted: Json) -> Json:
        try:
            return self.cluster.apply(wanted, force=self.force, dry_run=True)
        except ClusterError as exc:
            if "does not support dry run" in exc.msg:
                return wanted
            raise

    def _can_dry_run(self, item: Item) -> bool:
        """In check mode: is what the object needs (kind, namespace) there already?"""
        if item.where is None:
            item.reason = f"{item.ref.api_version} {item.ref.kind} is not served yet"
            return False
        namespace = item.ref.namespace
        if not namespace:
            return True
        if namespace not in self._namespaces:
            self._namespaces[namespace] = self.cluster.get("v1", "Namespace", namespace) is not None
        if not self._namespaces[namespace]:
            item.reason = f"namespace {namespace} does not exist yet"
        return self._namespaces[namespace]

    def _await_end(self, item: Item) -> None:
        if item.live is None:
            return
        if not self.check:
            uid = item.live["metadata"]["uid"]
            wait_until_gone(self.cluster, [(item.ref, uid)], self.timeout, self.progress)
        item.live = None

    def _establish(self, written: list[Item]) -> None:
        """Before objects of a CRD can be written it has to be served, whether or not the user wants to wait."""
        crds = [item.result for item in written if item.ref.kind == "CustomResourceDefinition" and item.result]
        if not crds:
            return
        verdicts = verdicts_when_ready(self.cluster, crds, _CRD_PATIENCE, self.progress, just_written=True)
        for item in written:
            verdict = verdicts.get(item.ref)
            if verdict and not verdict.ready:
                text = f"{self.cluster.name}: {item.ref.title}: {verdict.reason}"
                self._failed(item, Timeout(text, cluster=self.cluster.name))

    def _wait_ready(self) -> None:
        results = [item.result for item in self.items if item.result is not None]
        written = any(item.action in _CHANGES for item in self.items)
        verdicts = verdicts_when_ready(self.cluster, results, self.timeout, self.progress, just_written=written)
        late = []
        for item in self.items:
            verdict = verdicts.get(item.ref)
            if verdict is None:
                continue
            item.ready = verdict.state
            item.reason = verdict.reason or item.reason
            if not verdict.ready:
                late.append(item)
        for item in late:
            more = blockers(self.cluster, item.ref) if item in late[:3] else ""
            text = f"{item.ref.title}: {item.reason}"
            if item.ready == "failed":
                text = f"{self.cluster.name}: {text}"
            else:
                [text] = lines(self.cluster.name, [text], self.timeout)
            item.error = Timeout(text + (f"; {more}" if more else ""), cluster=self.cluster.name, kind=item.ref.kind)

    # -- absent

    def remove(self, *, only_ours: bool, wait: bool) -> None:
        """Delete what is ours, give back what was adopted, keep the rest; what others need goes last."""
        self._removing = True
        self._find_kinds(must_be_served=False)
        self._read()
        for place in sorted({rank(item.definition) for item in self.items}, reverse=True):
            batch = [item for item in self.items if rank(item.definition) == place]
            for item in batch:
                self._try(item, self._remove_ours if only_ours else self._remove_any)
            going = [
                (item.ref, item.live["metadata"]["uid"])
                for item in batch
                if item.action == "deleted" and item.live is not None and item.error is None
            ]
            if wait and going and not self.check:
                try:
                    wait_until_gone(self.cluster, going, self.timeout, self.progress)
                except Timeout as exc:
                    stuck = next(item for item in batch if item.ref.name == exc.facts.get("name"))
                    self._failed(stuck, exc)
                    # What is left would lose what it needs: stop here.
                    self._give_up("not tried: an object that goes before it is still there")
                    return

    def _remove_ours(self, item: Item) -> None:
        live = item.live
        if live is None:
            item.action = "absent"
            item.reason = "" if item.where else f"{item.ref.api_version} {item.ref.kind} is not served"
        elif is_ours(live):
            if not self._occupied(item):
                self._delete(item, live)
        elif is_adopted(live):
            item.action = "released"
            item.reason = "it existed before; our fields are given back"
            if self.check:
                back = adoption.restored(live)
                after = back[0] if back else adoption.nothing_of_ours(live)
            else:
                after = self._release(live)
            item.diff = self._diff(item, live, after)
        else:
            item.action = "kept"
            item.reason = "not made by this collection"

    def _occupied(self, item: Item) -> bool:
        """A namespace of ours in which others have put something stays, and says why."""
        if item.ref.kind != "Namespace":
            return False
        if self.check:
            # What controllers still hold in it now is no sign of what will be left.
            item.reason = "it stays if anything of others is left in it by then"
            return False
        going = [each.ref for each in self.items if each.action == "deleted"]
        held = occupants(self.cluster, item.ref.name, going)
        if held:
            item.action = "kept"
            item.reason = f"holds what others put there: {', '.join(ref.title for ref in held[:5])}"
            if len(held) > 5:
                item.reason += f" and {len(held) - 5} more"
        return bool(held)

    def _remove_any(self, item: Item) -> None:
        if item.live is None:
            self._remove_ours(item)
        else:
            self._delete(item, item.live)

    def _delete(self, item: Item, live: Json) -> None:
        item.action = "deleted"
        item.diff = self._diff(item, live, None)
        if not self.check:
            ref = item.ref
            uid = live["metadata"]["uid"]
            # Foreground, so that "gone" includes the Pods. Not for custom resources: the garbage collector learns of a
            # new kind only every 30 s, and holds objects of it until then.
            propagation = "Foreground" if ref.kind in _WITH_PODS else "Background"
            place = ref.namespace or None
            self.cluster.delete(ref.api_version, ref.kind, ref.name, place, uid=uid, propagation=propagation)

    def _release(self, live: Json) -> Json:
        """Former values back (as the manager they belonged to), then own nothing; again when somebody else writes."""
        ref = ref_of(live)
        for attempt in range(5):
            back = adoption.restored(live)
            if back is None:
                break
            try:
                live = self.cluster.replace(back[0], manager=back[1])
                break
            except Conflict:
                if attempt == 4:
                    raise
                newest = self.cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace or None)
                if newest is None:
                    return live
                live = newest
        if applied_fields(live, MANAGER) is not None:
            live = self.cluster.apply(adoption.nothing_of_ours(live))
        return live

    # -- shared

    def _find_kinds(self, *, must_be_served: bool) -> None:
        """Where every kind lives. A kind whose CRD is in the set counts as served once the CRD is written."""
        planned = self._planned_kinds()
        missing: dict[tuple[str, str], NotServed] = {}
        found: dict[tuple[str, str], Kind | None] = {}
        for item in self.items:
            key = (item.ref.api_version, item.ref.kind)
            if key not in found:
                found[key] = planned.get(key)
                try:
                    found[key] = self._kind(*key, patient=must_be_served and key not in planned)
                except NotServed as exc:
                    if key in planned:
                        self.cluster.learn(planned[key])
                    else:
                        missing[key] = exc
            item.where = found[key]
            self._fix_scope(item)
        if missing and must_be_served:
            text = "; ".join(exc.msg.removeprefix(f"{self.cluster.name}: ") for exc in missing.values())
            raise NotServed(f"{self.cluster.name}: {text}", cluster=self.cluster.name)

    def _kind(self, api_version: str, kind: str, *, patient: bool) -> Kind:
        deadline = time.monotonic() + (3.0 if patient else 0.0)
        while True:
            try:
                return self.cluster.kind(api_version, kind)
            except NotServed:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.3)

    def _fix_scope(self, item: Item) -> None:
        """Drop a namespace on a cluster-scoped kind; a missing one on a namespaced kind is an error, not 'default'."""
        if item.where is None:
            return
        if not item.where.namespaced and item.ref.namespace:
            item.definition["metadata"].pop("namespace", None)
            item.ref = ref_of(item.definition)
        elif item.where.namespaced and not item.ref.namespace:
            raise Invalid(
                f"{self.cluster.name}: {item.ref.title}: metadata.namespace is missing; {item.ref.kind} is namespaced",
                cluster=self.cluster.name,
                kind=item.ref.kind,
                name=item.ref.name,
            )

    def _planned_kinds(self) -> dict[tuple[str, str], Kind]:
        planned: dict[tuple[str, str], Kind] = {}
        for item in self.items:
            if item.ref.kind != "CustomResourceDefinition":
                continue
            spec = item.definition.get("spec") or {}
            names = spec.get("names") or {}
            for version in spec.get("versions") or ():
                api_version = f"{spec.get('group')}/{version.get('name')}"
                kind = Kind(
                    api_version, names.get("kind", ""), names.get("plural", ""), spec.get("scope") == "Namespaced"
                )
                planned[(api_version, kind.kind)] = kind
        return planned

    def _crd_versions(self) -> set[str]:
        return {api_version for api_version, _kind in self._planned_kinds()}

    def _read(self) -> None:
        """Before-state: one LIST per kind and namespace; single objects, and CRDs (large), by name."""
        places: dict[tuple[str, str, str], list[Item]] = {}
        for item in self.items:
            if item.where is not None:
                places.setdefault(item.ref.place, []).append(item)
        planned = self._planned_kinds()
        unserved: list[NotServed] = []
        for (api_version, kind, namespace), items in places.items():
            try:
                if len(items) == 1 or kind == "CustomResourceDefinition":
                    for item in items:
                        item.live = self.cluster.get(api_version, kind, item.ref.name, namespace or None)
                    continue
                found = {
                    obj["metadata"]["name"]: obj for obj in self.cluster.list(api_version, kind, namespace or None)
                }
                for item in items:
                    item.live = found.get(item.ref.name)
            except NotServed as exc:
                for item in items:
                    item.where = None
                if (api_version, kind) not in planned:
                    unserved.append(exc)
        for item in self.items:
            if item.ref.kind == "Namespace" and item.live is not None:
                self._namespaces[item.ref.name] = True
        if unserved and not self.check and not self._removing:
            text = "; ".join(exc.msg.removeprefix(f"{self.cluster.name}: ") for exc in unserved)
            raise NotServed(f"{self.cluster.name}: {text}", cluster=self.cluster.name)

    def _try(self, item: Item, step: Callable[[Item], None]) -> None:
        """One object's failure does not hide the others'; a cluster that is not reachable ends the run."""
        if item.error or item.action:
            return
        try:
            step(item)
        except (Unreachable, BadKubeconfig) as exc:
            self._failed(item, exc)
            self._give_up("not tried: the API server does not answer")
        except NotFound as exc:
            hint = f"; put the Namespace {item.ref.namespace} into the definitions" if "namespaces" in exc.msg else ""
            self._failed(item, NotFound(exc.msg + hint, **exc.facts))
        except (Forbidden, ClusterError) as exc:
            self._failed(item, exc)

    def _failed(self, item: Item, exc: ClusterError) -> None:
        item.action, item.ready, item.reason, item.error, item.diff = "failed", "failed", exc.msg, exc, None

    def _give_up(self, reason: str) -> None:
        for item in self.items:
            if not item.action:
                item.action, item.reason = "skipped", reason

    def _diff(self, item: Item, before: Json | None, after: Json | None) -> Json:
        return difference(f"{self.cluster.name}: {item.ref.title}", before, after)

    def outcome(self) -> dict[str, Any]:
        """The result; raises the first error with the results of all objects as its facts."""
        for item in self.items:
            if item.result is not None and not item.ready and not self.check:
                verdict = judge(item.result)
                item.ready, item.reason = verdict.state, verdict.reason or item.reason
        records = [item.record(self.cluster.name) for item in self.items]
        count = Counter(item.action for item in self.items)
        would = "would be " if self.check else ""
        parts = [f"{number} {would if action in _CHANGES else ''}{action}" for action, number in sorted(count.items())]
        result: dict[str, Any] = {
            # A deletion that was taken but does not end has changed something, too.
            "changed": any(item.action in _CHANGES for item in self.items)
            or (self._removing and any(isinstance(item.error, Timeout) for item in self.items)),
            "msg": f"{self.cluster.name}: {', '.join(parts)}",
            "objects": records,
            "diff": [item.diff for item in self.items if item.diff],
            "requests": self.cluster.requests,
            "writes": self.cluster.writes,
        }
        errors = [item.error for item in self.items if item.error]
        if errors:
            facts = {key: value for key, value in errors[0].facts.items() if key not in result}
            text = errors[0].msg
            if len(errors) > 1:
                text += "\n" + "\n".join(error.msg for error in errors[1:])
            del result["msg"]
            first = errors[0]
            first.msg, first.args = text, (text,)
            first.facts = {**facts, **result}
            raise first
        return result
