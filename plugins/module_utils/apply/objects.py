# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module objects: applies a set of desired objects to one cluster; writes only differences."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError, Conflict, Invalid, NotServed, Timeout
from ..k8s.fields import Json
from ..k8s.progress import Progress, lines
from ..k8s.verdict import waiting
from . import adoption
from .batch import CRD, Batch, Item
from .managed_fields import applied_fields
from .manifests import (
    MANAGER,
    desired,
    flatten,
    is_adopted,
    is_ours,
    is_up_to_date,
    problems,
    ref_of,
    same_content,
    same_values,
)
from .namespace_contents import reason_to_keep
from .wait import NotDeleted, blockers, verdicts_when_ready, wait_until_gone
from .yaml_data import with_present, with_shown_data

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "on_conflict": {"type": "str", "choices": ["fail", "force", "keep"], "default": "fail"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "delete_only_ours": {"type": "bool", "default": True},
    "merge_yaml": {"type": "bool", "default": False},
}

_WITH_PODS = ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob")
# Seconds for a CRD to be served after it was written.
_CRD_PATIENCE = 30.0


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
            keep=params.get("on_conflict") == "keep",
            wait=params.get("wait", True),
            timeout=float(params.get("wait_timeout") or 0),
            only_ours=params.get("delete_only_ours", True),
            merge_yaml=params.get("merge_yaml", False),
        )


def checked(definitions: list[Any], cluster: str) -> list[Json]:
    """The definitions as single objects; raises Invalid with every problem before the first request."""
    flat = flatten(definitions)
    if not flat:
        raise Invalid(f"{cluster}: definitions is empty. Give at least one object", cluster=cluster)
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
    keep: bool = False,
    wait: bool = True,
    timeout: float = 300.0,
    only_ours: bool = True,
    merge_yaml: bool = False,
) -> dict[str, Any]:
    """Like run(), for engines with a connection."""
    batch = Batch(
        cluster,
        definitions,
        check=check,
        progress=progress,
        timeout=timeout,
        must_be_served=not absent and not check,
    )
    batch.read()
    if absent:
        _Removal(batch, only_ours=only_ours).run(wait=wait)
    else:
        _Application(batch, force=force, keep=keep, merge_yaml=merge_yaml).run(wait=wait)
    return batch.result()


class _Application:
    """Creates or changes the objects that differ; then waits until all objects are ready."""

    def __init__(self, batch: Batch, *, force: bool, keep: bool, merge_yaml: bool) -> None:
        self.batch = batch
        self.cluster, self.check, self.progress = batch.cluster, batch.check, batch.progress
        self.force, self.keep, self.merge_yaml = force, keep, merge_yaml
        self._namespaces = {item.ref.name: True for item in batch.items if item.ref.kind == "Namespace" and item.live}

    def run(self, *, wait: bool) -> None:
        for items in self.batch.by_rank():
            for item in items:
                self.batch.attempt(item, self._apply)
            if not self.check:
                self._establish([item for item in items if item.action in ("created", "changed")])
        if wait and not self.check and not any(item.error for item in self.batch.items):
            self._wait_ready()

    def _apply(self, item: Item) -> None:
        if item.live is not None and item.live["metadata"].get("deletionTimestamp"):
            if not self.check:
                gone = [(item.ref, item.live["metadata"]["uid"])]
                wait_until_gone(self.cluster, gone, self.batch.timeout, self.progress)
            item.live = None
        if item.live is None:
            self._create(item)
        elif self.keep and not is_ours(item.live) and not is_adopted(item.live):
            item.action, item.result, item.reason = "kept", item.live, "not created by this collection"
        else:
            self._change(item, item.live)

    def _create(self, item: Item) -> None:
        item.action = "created"
        wanted = desired(item.definition, owned=True)
        shown: Json = wanted
        if not self.check:
            item.result = shown = self._apply_when_served(item, wanted)
            self.batch.changed = True
        elif self._can_dry_run(item):
            shown = self._dry_run_create(wanted)
        item.diff = self._diff(item, None, shown)

    def _change(self, item: Item, live: Json) -> None:
        wanted = desired(self._definition(item, live), owned=is_ours(live))
        if not is_ours(live):
            wanted = adoption.with_former(wanted, adoption.read(live))
        item.action, item.result = "unchanged", live
        if is_up_to_date(live, wanted):
            return
        force = self.force
        try:
            after = self.cluster.apply(wanted, force=force, dry_run=True)
        except Conflict as exc:
            after, force = self.cluster.apply(wanted, force=True, dry_run=True), True
            # A list that belongs to one manager as a whole conflicts even if only its defaults are missing.
            if same_values(live, after):
                return
            # A conflict with our field manager: an earlier write of it was not an apply.
            if not exc.fields or any(managers != [MANAGER] for managers in exc.fields.values()):
                raise
        if same_content(live, after):
            return
        if not is_ours(live) and not is_adopted(live) and same_values(live, after):
            return  # an object of another owner that has all wanted fields needs no write
        item.action, tried = "changed", wanted
        if not is_ours(live):
            wanted = adoption.with_former(wanted, adoption.former_values(live, after))
            item.reason = "adopted: the object existed before; only the given fields are managed"
        if not self.check:
            item.result = after = self.cluster.apply(wanted, force=force)
            self.batch.changed = True
        elif wanted != tried:  # includes the former values now
            after = self.cluster.apply(wanted, force=force, dry_run=True)
        item.diff = self._diff(item, live, after)

    def _definition(self, item: Item, live: Json) -> Json:
        if not self.merge_yaml or item.ref.kind != "ConfigMap":
            return item.definition
        try:
            return with_present(item.definition, live)
        except ValueError as exc:
            raise Invalid(
                f"{self.cluster.name}: {item.ref.title}: {exc}, so nothing can be added. Correct it",
                cluster=self.cluster.name,
            ) from exc

    def _diff(self, item: Item, before: Json | None, after: Json | None) -> Json:
        if self.merge_yaml:
            before, after = with_shown_data(before), with_shown_data(after)
        return self.batch.diff(item, before, after)

    def _apply_when_served(self, item: Item, wanted: Json) -> Json:
        """A new CRD may not be served by every API server replica yet."""
        planned = {api_version for api_version, _kind in self.batch.planned_kinds}
        patience = _CRD_PATIENCE if item.ref.api_version in planned else 0.0
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
        """In check mode: whether the object's kind and namespace exist already."""
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

    def _establish(self, written: list[Item]) -> None:
        """Objects of a CRD can be written only once it is served, so this wait is independent of the option wait."""
        crds = [item.result for item in written if item.ref.kind == CRD and item.result]
        if not crds:
            return
        verdicts = verdicts_when_ready(self.cluster, crds, _CRD_PATIENCE, self.progress, just_written=True)
        for item in written:
            verdict = verdicts.get(item.ref)
            if verdict and not verdict.ready:
                text = f"{self.cluster.name}: {item.ref.title}: {verdict.reason}"
                item.fail(Timeout(text, cluster=self.cluster.name))

    def _wait_ready(self) -> None:
        timeout, items = self.batch.timeout, self.batch.items
        results = [item.result for item in items if item.result is not None]
        written = self.batch.changed
        verdicts = verdicts_when_ready(self.cluster, results, timeout, self.progress, just_written=written)
        late = []
        for item in items:
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
                [text] = lines(self.cluster.name, [text], timeout)
            item.error = Timeout(text + (f"; {more}" if more else ""), cluster=self.cluster.name, kind=item.ref.kind)


class _Removal:
    """Deletes what is ours, restores what was adopted and keeps the rest, in the reverse order of writes."""

    def __init__(self, batch: Batch, *, only_ours: bool) -> None:
        self.batch = batch
        self.cluster, self.check = batch.cluster, batch.check
        self.only_ours = only_ours

    def run(self, *, wait: bool) -> None:
        for items in self.batch.by_rank(last_first=True):
            for item in items:
                self.batch.attempt(item, self._remove)
            deleted = [
                (item.ref, item.live["metadata"]["uid"])
                for item in items
                if item.action == "deleted" and item.live is not None
            ]
            if wait and deleted and not self.check:
                try:
                    wait_until_gone(self.cluster, deleted, self.batch.timeout, self.batch.progress)
                except NotDeleted as exc:
                    for item in items:
                        if item.ref in exc.left:
                            item.fail(exc)
                    # The remaining objects need them to finish their deletion.
                    self.batch.skip_rest("not attempted: an object that is deleted earlier still exists")
                    return

    def _remove(self, item: Item) -> None:
        live = item.live
        if live is None:
            item.action = "absent"
            item.reason = "" if item.where else f"{item.ref.api_version} {item.ref.kind} is not served"
        elif not self.only_ours:
            self._delete(item, live)
        elif is_ours(live):
            if not self._keep_namespace(item):
                self._delete(item, live)
        elif is_adopted(live):
            item.action = "released"
            item.reason = "the object existed before: its former values are restored"
            if self.check:
                restored = adoption.restored(live)
                after = restored[0] if restored else adoption.without_our_fields(live)
            else:
                after = self._release(live)
            item.diff = self.batch.diff(item, live, after)
        else:
            item.action = "kept"
            item.reason = "not created by this collection"

    def _keep_namespace(self, item: Item) -> bool:
        """A namespace of ours that contains objects of others is kept, with the reason in its record."""
        if item.ref.kind != "Namespace":
            return False
        if self.check:
            # Objects in it now may be deleted before the namespace would be.
            item.reason = "kept if it then contains objects not managed by this collection"
            return False
        going = [each.ref for each in self.batch.items if each.action == "deleted"]
        reason = reason_to_keep(self.cluster, item.ref.name, going)
        if reason:
            item.action, item.reason = "kept", reason
        return bool(reason)

    def _delete(self, item: Item, live: Json) -> None:
        item.action = "deleted"
        item.diff = self.batch.diff(item, live, None)
        if self.check:
            return
        ref, uid = item.ref, live["metadata"]["uid"]
        # Foreground, so that "gone" includes the Pods. Not for custom resources: the garbage collector discovers a new
        # kind only every 30 s, and blocks their deletion until then.
        propagation = "Foreground" if ref.kind in _WITH_PODS else "Background"
        self.cluster.delete(
            ref.api_version, ref.kind, ref.name, ref.namespace or None, uid=uid, propagation=propagation
        )
        self.batch.changed = True

    def _release(self, live: Json) -> Json:
        """Write the former values as their former manager, then give up all fields; retried after a conflict."""
        ref = ref_of(live)
        for attempt in range(5):
            restored = adoption.restored(live)
            if restored is None:
                break
            try:
                live = self.cluster.replace(restored[0], manager=restored[1])
                break
            except Conflict:
                if attempt == 4:
                    raise
                newest = self.cluster.get(ref.api_version, ref.kind, ref.name, ref.namespace or None)
                if newest is None:
                    return live
                live = newest
        if applied_fields(live, MANAGER) is not None:
            live = self.cluster.apply(adoption.without_our_fields(live))
        return live
