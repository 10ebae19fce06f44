# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a state of a cluster: watches of a few collections, evaluated together after every change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Cluster
from .errors import ClusterError, NotServed
from .fields import Json, Key, dig, key_of
from .progress import Progress
from .verdict import Verdict

# Seconds after which an unchanged failure ends a wait; shorter ones are transient while controllers reconcile.
FAILED_AFTER = 15.0


@dataclass(frozen=True)
class Collection:
    """What to watch: a kind in one namespace or (None) all, filtered by labels, one name, values of fields."""

    api_version: str
    kind: str
    namespace: str | None = None
    labels: str | None = None
    name: str | None = None
    # (path such as "spec.controllerName", accepted values); the API server filters custom resources by labels only.
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def fields(self) -> str | None:
        return f"metadata.name={self.name}" if self.name else None

    def includes(self, obj: Json) -> bool:
        """Whether the object's fields have the values in `where`."""
        return all(_text(dig(obj, *path.split("."))) in texts for path, texts in self.where)


class View:
    """The current content of the watched collections."""

    def __init__(self) -> None:
        self._objects: dict[Collection, dict[Key, Json]] = {}
        self._served: dict[Collection, bool] = {}

    def items(self, collection: Collection) -> list[Json]:
        """Every object of the collection, by namespace and name. Read-only."""
        return [obj for _key, obj in sorted(self._objects.get(collection, {}).items()) if collection.includes(obj)]

    def get(self, collection: Collection, name: str, namespace: str | None = None) -> Json | None:
        """One object of the collection."""
        return self._objects.get(collection, {}).get((namespace or collection.namespace or "", name))

    def served(self, collection: Collection) -> bool:
        """False while the API server does not serve the kind."""
        return self._served.get(collection, True)


class Watcher:
    """Watches collections in threads. Use in a ``with`` statement; ``until`` waits.

    Entering lists every collection once and raises its errors; watches start only when waiting is needed, so
    an ``until`` that is ready at once costs one LIST per collection.
    """

    def __init__(self, cluster: Cluster, collections: Sequence[Collection]) -> None:
        self.cluster = cluster
        self.view = View()
        self.waited = 0.0  # seconds, of the last until
        self._collections = list(dict.fromkeys(collections))
        self._versions: dict[Collection, str] = {}
        self._changed = threading.Condition()
        self._tick = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: dict[Collection, Any] = {}
        self._trouble: dict[Collection, ClusterError] = {}

    def __enter__(self) -> Watcher:
        for collection in self._collections:
            self._list(collection)
        return self

    def add(self, collections: Sequence[Collection]) -> None:
        """Add collections, before the first ``until``."""
        for collection in dict.fromkeys(collections):
            if collection not in self._collections:
                self._list(collection)
                self._collections.append(collection)

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for response in list(self._open.values()):
            _end_stream(response)
        end = time.monotonic() + 2.0
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def until(
        self,
        judge: Callable[[View], Verdict],
        timeout: float,
        progress: Callable[[str], None] = lambda line: None,
        settle: float = 0.0,
        failed_after: float = FAILED_AFTER,
    ) -> Verdict:
        """The verdict once it is ready (and has been for ``settle`` seconds), the same failure for ``failed_after``
        seconds, or the current one after ``timeout``. It is evaluated after every change and once a second; what is not
        ready is reported to ``progress``."""
        report = Progress(self.cluster.name, progress)
        deadline = time.monotonic() + timeout
        verdict: Verdict | None = None
        since = time.monotonic()
        while True:
            with self._changed:
                tick = self._tick
                latest = judge(self.view)
            now = time.monotonic()
            if verdict is None or latest.state != verdict.state or (latest.state == "failed" and latest != verdict):
                since = now
            verdict = latest
            held = now - since
            self.waited = report.seconds
            if verdict.state == "ready" and held >= settle:
                return verdict
            if now >= deadline:
                return self._late(verdict, settle)
            if verdict.state == "failed" and held >= failed_after:
                return verdict
            if not verdict.ready:
                report(verdict)
            self._follow()
            hold = {"ready": settle, "failed": failed_after}.get(verdict.state)
            pause = min(1.0, deadline - now, 1.0 if hold is None else max(0.01, hold - held))
            with self._changed:
                if self._tick == tick:
                    self._changed.wait(pause)

    def _late(self, verdict: Verdict, settle: float) -> Verdict:
        if self._trouble:
            trouble = next(iter(self._trouble.values()))
            awaited = (*verdict.awaited, ("watching", f"failed: {trouble.msg}")) if verdict.awaited else ()
            return Verdict("waiting", f"{verdict.reason}; watch failed: {trouble.msg}", awaited)
        if verdict.ready:
            return Verdict("waiting", f"ready, but not stable for {settle:g} s yet")
        return verdict

    # -- threads -----------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        if self._threads:
            return
        for collection in self._collections:
            thread = threading.Thread(
                target=self._run, args=(collection,), daemon=True, name=f"watch {collection.kind}"
            )
            self._threads.append(thread)
            thread.start()

    def _run(self, collection: Collection) -> None:
        while not self._stop.is_set():
            try:
                if not self._versions.get(collection):
                    self._list(collection)
                if self.view.served(collection):
                    self._watch(collection)
                else:
                    self._versions[collection] = ""
                    self._stop.wait(1.0)
                self._trouble.pop(collection, None)
            except ClusterError as exc:
                self._versions[collection] = ""
                if exc.facts.get("reason") != "Expired":
                    self._trouble[collection] = exc
                    self._stop.wait(1.0)

    def _list(self, collection: Collection) -> None:
        try:
            items, version = self.cluster.list_at(
                collection.api_version, collection.kind, collection.namespace, collection.labels, collection.fields
            )
            served = True
        except NotServed:
            items, version, served = [], "", False
        with self._changed:
            self.view._objects[collection] = {key_of(item): item for item in items}
            self.view._served[collection] = served
            self._versions[collection] = version
            self._tick += 1
            self._changed.notify_all()

    def _watch(self, collection: Collection) -> None:
        def opened(response: Any) -> None:
            self._open[collection] = response
            if self._stop.is_set():
                _end_stream(response)

        events = self.cluster.watch(
            collection.api_version,
            collection.kind,
            collection.namespace,
            collection.labels,
            self._versions[collection],
            60.0,
            collection.fields,
            opened,
        )
        received = False
        for kind, obj in events:
            received = True
            with self._changed:
                self._versions[collection] = obj["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self.view._objects[collection].pop(key_of(obj), None)
                else:
                    self.view._objects[collection][key_of(obj)] = obj
                self._tick += 1
                self._changed.notify_all()
        if not received:
            # Not even a bookmark: list again, but after a pause, as the server may close every watch.
            self._versions[collection] = ""
            self._stop.wait(0.2)


def _end_stream(response: Any) -> None:
    """End a stream that another thread reads: only a shutdown of the socket unblocks that thread."""
    try:
        response.shutdown()
    except (AttributeError, OSError, ValueError):
        pass


def _text(value: Any) -> str:
    return "" if value is None else str(value)
