"""One cluster as the simulated parts see it: reads from watch caches, writes through the API.

A write that would change nothing is not sent.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.control_plane.api import Api, ApiError
from lab.control_plane.kinds import BUILT_IN_GROUPS, KINDS, kind_of
from lab.control_plane.objects import Key, Object, condition_is_true, contains, deleting, key_of, labels_of, uid_of
from lab.control_plane.watch_cache import WatchCache, version_of

Notify = Callable[[str], None]  # called with the kind that has changed

CRD = "CustomResourceDefinition"


class Cluster:
    """Objects that are read must not be modified. Writes raise ApiError."""

    def __init__(self, name: str, kubeconfig: Path) -> None:
        self.name = name  # also the name of the kubeconfig context
        self.kubeconfig = kubeconfig
        self._api: Api | None = None
        self._caches = {
            name: WatchCache(kind, lambda: self.api, partial(self._changed, name)) for name, kind in KINDS.items()
        }
        self._written: dict[tuple[str, str, str, Key], tuple[Object, int]] = {}
        self._lock = threading.Lock()
        self._notify: Notify = lambda kind: None

    @property
    def api(self) -> Api:
        """The client; made at first use, so that a Lab can be described before its API servers respond."""
        with self._lock:
            if self._api is None:
                self._api = Api(self.kubeconfig, self.name, user_agent="lab-simulated-parts")
            return self._api

    # Reading

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]:
        """Cached objects, in namespace and name order; all `labels` must match."""
        return [
            obj
            for (where, _), obj in self._caches[kind].items()
            if namespace in (None, where) and (labels or {}).items() <= labels_of(obj).items()
        ]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One cached object or None."""
        return self._caches[kind].get((namespace or "", name))

    def served(self, kind: str) -> bool:
        """Whether the API server serves this kind now."""
        known = kind_of(kind)
        if known.group in BUILT_IN_GROUPS:
            return True
        crd = self.get(CRD, known.crd)
        return crd is not None and _established(crd, known.version)

    # Writing

    def apply(self, obj: Object, manager: str) -> Object:
        """Server-side apply with force; returns the live object.

        Nothing is sent when this manager applied the same before and the live object still has it.
        """
        return self._apply(obj, manager, None)

    def set_status(self, obj: Object, status: Object, manager: str) -> Object | None:
        """Server-side apply of the status subresource: `status` is all that this manager owns of it.

        Nothing is sent when it is there already. Returns the live object, None when the object was deleted or
        recreated meanwhile.
        """
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if obj["metadata"].get(key)}
        known = self.get(obj["kind"], metadata["name"], metadata.get("namespace"))
        if known is not None and uid_of(obj) and uid_of(known) != uid_of(obj):
            return None
        body = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": status}
        try:
            return self._apply(body, manager, "status")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, obj: Object, manager: str) -> Object:
        """Plain create, for objects with generateName such as Events."""
        path = kind_of(obj["kind"]).path(obj["metadata"].get("namespace"))
        return self.api.request("POST", path, obj, {"fieldManager": manager})

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete in the background; no error when there is no such object."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            self.api.request("DELETE", kind_of(kind).path(namespace, name), options)
        except ApiError as error:
            if error.status != 404:
                raise

    def prune(self, kind: str, labels: dict[str, str], keep: set[Key]) -> None:
        """Delete the objects with these labels whose (namespace, name) is not in `keep`."""
        for obj in self.list(kind, labels=labels):
            namespace, name = key_of(obj)
            if (namespace, name) not in keep and not deleting(obj):
                self.delete(kind, name, namespace or None)

    def _apply(self, obj: Object, manager: str, subresource: str | None) -> Object:
        kind, key = kind_of(obj["kind"]), key_of(obj)
        cache = self._caches.get(kind.kind)
        live = cache.get(key) if cache else None
        request = (manager, subresource or "", kind.kind, key)
        with self._lock:
            body, version = self._written.get(request, (None, 0))
        if live is not None and body == obj and (version_of(live) == version or contains(live, obj)):
            return live
        response = self.api.request(
            "PATCH",
            kind.path(key[0] or None, key[1], subresource),
            {"apiVersion": kind.api_version, **obj},
            {"fieldManager": manager, "force": "true"},
            content_type="application/apply-patch+yaml",
        )
        with self._lock:
            self._written[request] = (copy.deepcopy(obj), version_of(response))
        if cache is not None:
            cache.add_written(response)
        return response

    # Watching

    def start(self, notify: Notify) -> None:
        """Start the watches; `notify(kind)` is called after each change of a cache."""
        self._notify = notify
        # Custom kinds are marked as served by the watch of CRDs alone, which runs as soon as it is started.
        for cache in self._caches.values():
            if cache.kind.group in BUILT_IN_GROUPS:
                cache.set_served(True)
        for name, cache in self._caches.items():
            cache.start(f"watch-{self.name}-{name}")

    def wait_synced(self, timeout: float) -> bool:
        """Wait until every served kind was listed once. timeout in seconds."""
        deadline = time.monotonic() + timeout
        # CRDs first: which other kinds are served follows from them.
        names = sorted(self._caches, key=lambda name: name != CRD)
        return all(
            self._caches[name].synced.wait(max(0.0, deadline - time.monotonic())) for name in names if self.served(name)
        )

    def stop(self) -> None:
        """End the watches."""
        for cache in self._caches.values():
            cache.stop()
        if self._api is not None:
            self._api.close()

    def _changed(self, kind: str) -> None:
        if kind == CRD:
            for name, cache in self._caches.items():
                if cache.kind.group not in BUILT_IN_GROUPS:
                    cache.set_served(self.served(name))
        self._notify(kind)


def _established(crd: Object, version: str) -> bool:
    served = any(v.get("name") == version and v.get("served") for v in crd["spec"].get("versions") or [])
    return condition_is_true(crd, "Established") and served and not deleting(crd)
