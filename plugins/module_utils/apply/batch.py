# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of one task in one cluster: their kinds, live states and results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from ..k8s.client import Cluster
from ..k8s.errors import BadKubeconfig, ClusterError, Invalid, NotFound, NotServed, Unreachable
from ..k8s.fields import Json
from ..k8s.kinds import Kind
from ..k8s.readiness import judge
from .manifests import Ref, difference, rank, ref_of

CRD = "CustomResourceDefinition"

_CHANGES = ("created", "changed", "deleted", "released")
# Seconds for a kind to be served whose CRD another program has just installed.
_DISCOVERY_PATIENCE = 3.0


@dataclass
class Item:
    """One object of the batch."""

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

    @property
    def kind(self) -> tuple[str, str]:
        return self.ref.api_version, self.ref.kind

    def fail(self, exc: ClusterError) -> None:
        """Record the error as the outcome of this object."""
        self.action, self.ready, self.reason, self.error, self.diff = "failed", "failed", exc.msg, exc, None

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


class Batch:
    """The objects with their kinds and live states. ``must_be_served``: fail when a kind is not served."""

    def __init__(
        self,
        cluster: Cluster,
        definitions: list[Json],
        *,
        check: bool,
        progress: Callable[[str], None],
        timeout: float,
        must_be_served: bool,
    ) -> None:
        self.cluster = cluster
        self.check = check
        self.timeout = timeout
        self.progress = progress
        self.items = [Item(definition, ref_of(definition)) for definition in definitions]
        self.changed = False  # whether a write has succeeded
        self._must_be_served = must_be_served

    def by_rank(self, *, last_first: bool = False) -> Iterator[list[Item]]:
        """The items in the order of writes, those of one rank together."""

        def place(item: Item) -> int:
            return -rank(item.definition) if last_first else rank(item.definition)

        for _rank, items in groupby(sorted(self.items, key=place), key=place):
            yield list(items)

    @cached_property
    def planned_kinds(self) -> dict[tuple[str, str], Kind]:
        """The kinds of the CRDs in the batch, by apiVersion and kind."""
        planned: dict[tuple[str, str], Kind] = {}
        for item in self.items:
            if item.ref.kind != CRD:
                continue
            spec = item.definition.get("spec") or {}
            names = spec.get("names") or {}
            for version in spec.get("versions") or ():
                api_version, kind = f"{spec.get('group')}/{version.get('name')}", names.get("kind", "")
                namespaced = spec.get("scope") == "Namespaced"
                planned[api_version, kind] = Kind(api_version, kind, names.get("plural", ""), namespaced)
        return planned

    def read(self) -> None:
        """Find every kind and the live objects."""
        self._find_kinds()
        self._read_live()

    def _find_kinds(self) -> None:
        """A kind whose CRD is in the batch counts as served: it will be once the CRD is written."""
        unserved: list[NotServed] = []
        found: dict[tuple[str, str], Kind | None] = {}
        for item in self.items:
            if item.kind not in found:
                planned = found[item.kind] = self.planned_kinds.get(item.kind)
                try:
                    found[item.kind] = self._kind(*item.kind, patient=self._must_be_served and planned is None)
                except NotServed as exc:
                    if planned is not None:
                        self.cluster.learn(planned)
                    else:
                        unserved.append(exc)
            item.where = found[item.kind]
            self._fix_scope(item)
        self._require_served(unserved)

    def _kind(self, api_version: str, kind: str, *, patient: bool) -> Kind:
        deadline = time.monotonic() + (_DISCOVERY_PATIENCE if patient else 0.0)
        while True:
            try:
                return self.cluster.kind(api_version, kind)
            except NotServed:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.3)

    def _fix_scope(self, item: Item) -> None:
        """Drop the namespace of a cluster-scoped object; a namespaced object without one is refused."""
        if item.where is None:
            return
        if not item.where.namespaced and item.ref.namespace:
            item.definition["metadata"].pop("namespace", None)
            item.ref = ref_of(item.definition)
        elif item.where.namespaced and not item.ref.namespace:
            raise Invalid(
                f"{self.cluster.name}: {item.ref.title}: metadata.namespace is missing: {item.ref.kind} is namespaced. "
                "Set it",
                cluster=self.cluster.name,
                kind=item.ref.kind,
                name=item.ref.name,
            )

    def _read_live(self) -> None:
        """One LIST for each kind and namespace; single objects, and CRDs (large), by name."""
        places: dict[tuple[str, str, str], list[Item]] = {}
        for item in self.items:
            if item.where is not None:
                places.setdefault(item.ref.place, []).append(item)
        unserved: list[NotServed] = []
        for (api_version, kind, namespace), items in places.items():
            try:
                if len(items) == 1 or kind == CRD:
                    for item in items:
                        item.live = self.cluster.get(api_version, kind, item.ref.name, namespace or None)
                    continue
                found = {ref_of(obj): obj for obj in self.cluster.list(api_version, kind, namespace or None)}
                for item in items:
                    item.live = found.get(item.ref)
            except NotServed as exc:
                for item in items:
                    item.where = None
                if (api_version, kind) not in self.planned_kinds:
                    unserved.append(exc)
        self._require_served(unserved)

    def _require_served(self, unserved: Iterable[NotServed]) -> None:
        text = "; ".join(exc.msg.removeprefix(f"{self.cluster.name}: ") for exc in unserved)
        if text and self._must_be_served:
            raise NotServed(f"{self.cluster.name}: {text}", cluster=self.cluster.name)

    def attempt(self, item: Item, step: Callable[[Item], None]) -> None:
        """Execute a step for an object. Its failure does not end the run, unless the API server is unreachable."""
        if item.action:
            return
        try:
            step(item)
        except (Unreachable, BadKubeconfig) as exc:
            item.fail(exc)
            self.skip_rest("not attempted: the API server does not respond")
        except NotFound as exc:
            hint = f"; add the Namespace {item.ref.namespace} to definitions" if "namespaces" in exc.msg else ""
            item.fail(NotFound(exc.msg + hint, **exc.facts))
        except ClusterError as exc:
            item.fail(exc)

    def skip_rest(self, reason: str) -> None:
        """Mark every object without an outcome as skipped."""
        for item in self.items:
            if not item.action:
                item.action, item.reason = "skipped", reason

    def diff(self, item: Item, before: Json | None, after: Json | None) -> Json:
        return difference(f"{self.cluster.name}: {item.ref.title}", before, after)

    def result(self) -> dict[str, Any]:
        """The module's result; raises the first error with the results of all objects as its facts."""
        for item in self.items:
            if item.result is not None and not item.ready and not self.check:
                verdict = judge(item.result)
                item.ready, item.reason = verdict.state, verdict.reason or item.reason
        count = Counter(item.action for item in self.items)
        would = "would be " if self.check else ""
        parts = [f"{number} {would if action in _CHANGES else ''}{action}" for action, number in sorted(count.items())]
        result: dict[str, Any] = {
            "changed": self.changed or any(item.action in _CHANGES for item in self.items),
            "objects": [item.record(self.cluster.name) for item in self.items],
            "diff": [item.diff for item in self.items if item.diff],
            "requests": self.cluster.requests,
            "writes": self.cluster.writes,
            "dry_runs": self.cluster.dry_runs,
        }
        errors = list(dict.fromkeys(item.error for item in self.items if item.error))
        if errors:
            first, text = errors[0], "\n".join(error.msg for error in errors)
            first.msg, first.args = text, (text,)
            first.facts = {**first.facts, **result}
            raise first
        return {**result, "msg": f"{self.cluster.name}: {', '.join(parts)}"}
