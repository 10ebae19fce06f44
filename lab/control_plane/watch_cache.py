"""The objects of one kind in one cluster, kept current by a thread: list once, then watch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from lab.control_plane.api import Api, ApiError, Watch
from lab.control_plane.kinds import Kind
from lab.control_plane.objects import Key, Object, key_of, uid_of

MAX_PAUSE = 2.0  # seconds between attempts to reach an API server that does not answer

log = logging.getLogger("lab.watch")


class WatchCache:
    """connect: returns the client, called in the thread; changed: called after each change, without the lock."""

    def __init__(self, kind: Kind, connect: Callable[[], Api], changed: Callable[[], None]) -> None:
        self.kind = kind
        self.synced = threading.Event()  # listed once
        self._connect = connect
        self._changed = changed
        self._objects: dict[Key, Object] = {}
        self._version = 0  # resource version the watch has reached, 0: list again
        self._lock = threading.Lock()
        self._served = threading.Event()
        self._stopping = threading.Event()
        self._watch: Watch | None = None

    def get(self, key: Key) -> Object | None:
        with self._lock:
            return self._objects.get(key)

    def items(self) -> list[tuple[Key, Object]]:
        """In namespace and name order."""
        with self._lock:
            return sorted(self._objects.items())

    def add_written(self, obj: Object) -> None:
        """Add the response to a write, unless the watch has passed that point: the object may be deleted since."""
        with self._lock:
            changed = self.synced.is_set() and version_of(obj) > self._version and self._put(slim(self.kind, obj))
        if changed:
            self._changed()

    def set_served(self, served: bool) -> None:
        """The API server serves this kind, or no longer does: then the cache is emptied."""
        if served:
            self._served.set()
        elif self._served.is_set():
            self._served.clear()
            self._abort()
            self._clear()

    def start(self, name: str) -> None:
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        self._served.set()
        self._abort()

    def _run(self) -> None:
        """List, then watch from there. List again after 410 and errors, with a growing pause."""
        pause = 0.1
        while self._served.wait() and not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                    pause = 0.1
                self._follow()
                continue
            except ApiError as error:
                if error.status:  # after a lost connection the watch continues where it was
                    self._version = 0
                if error.status == 404:
                    self._clear()
                elif error.status != 410:
                    log.debug("watch of %s: %s", self.kind.kind, error)
            except Exception:  # the parts would miss changes if the watch ended
                log.exception("watch of %s", self.kind.kind)
                self._version = 0
            self._stopping.wait(pause)
            pause = min(pause * 2, MAX_PAUSE)

    def _list(self) -> None:
        response = self._connect().request("GET", self.kind.path())
        objects = [slim(self.kind, item) for item in response.get("items") or []]
        with self._lock:
            changed = self._replace(objects, version_of(response)) or not self.synced.is_set()
            self.synced.set()
        if changed:
            self._changed()

    def _follow(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._version),
            "timeoutSeconds": "1800",
        }
        with self._connect().watch(self.kind.path(), query) as self._watch:
            if self._served.is_set() and not self._stopping.is_set():
                for event in self._watch.events():
                    if self._take(event["type"], event["object"]):
                        self._changed()
        if not self._served.is_set():
            self._version = 0

    def _take(self, event: str, obj: Object) -> bool:
        """Apply one watch event; returns whether the cache changed."""
        if event == "ERROR":
            code = int(obj.get("code") or 500)
            raise ApiError(self.kind.kind, code, str(obj.get("reason")), str(obj.get("message")))
        with self._lock:
            self._version = max(self._version, version_of(obj))
            if event == "BOOKMARK":
                return False
            return self._drop(obj) if event == "DELETED" else self._put(slim(self.kind, obj))

    def _put(self, obj: Object) -> bool:
        known = self._objects.get(key_of(obj))
        if known is not None and version_of(obj) <= version_of(known):
            return False
        self._objects[key_of(obj)] = obj
        return True

    def _drop(self, obj: Object) -> bool:
        known = self._objects.get(key_of(obj))
        if known is None or (uid_of(known) != uid_of(obj) and version_of(known) > version_of(obj)):
            return False
        del self._objects[key_of(obj)]
        return True

    def _replace(self, objects: Iterable[Object], version: int) -> bool:
        before = {key: version_of(obj) for key, obj in self._objects.items()}
        self._objects = {key_of(obj): obj for obj in objects}
        self._version = version
        return before != {key: version_of(obj) for key, obj in self._objects.items()}

    def _clear(self) -> None:
        with self._lock:
            changed = self._replace([], 0)
            self.synced.clear()
        if changed:
            self._changed()

    def _abort(self) -> None:
        if self._watch is not None:
            self._watch.abort()


def version_of(obj: Object) -> int:
    """Resource versions of one etcd are ordered numbers (part of the API's contract from Kubernetes 1.35 on)."""
    version = str(obj["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdigit() else 0


def slim(kind: Kind, obj: Object) -> Object:
    """An object for the cache: with its type (items of a List have none), without large fields that no part reads."""
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    obj["metadata"].pop("managedFields", None)
    if kind.kind == "CustomResourceDefinition":
        for version in obj["spec"].get("versions") or []:
            version.pop("schema", None)
    return obj
