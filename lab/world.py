"""What the played parts see of the lab: clusters with watch caches, addresses, ports, programs.

A part reads from caches (no request), writes through `Cluster.apply` and `set_status` (no request when nothing would
change), and is woken when a kind it named changes in any cluster.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from lab.api import Api, ApiError
from lab.kinds import BUILT_IN_GROUPS, KINDS, Kind, kind_of

__all__ = ["KINDS", "ApiError", "Cluster", "Kind", "Part", "World", "contains", "selects"]

Object = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-scoped), name

log = logging.getLogger("lab.world")


class Part(Protocol):
    """One played vendor part. Level-triggered: `reconcile` looks at the whole world and makes it right."""

    name: str
    kinds: tuple[str, ...]

    def reconcile(self, world: World) -> None:
        """Idempotent; reads caches, writes the API. What it raises is logged and tried again with a pause."""

    def stop(self) -> None:
        """End the part's own processes and listeners."""


def contains(live: Any, desired: Any) -> bool:
    """Whether `live` already carries everything `desired` says; lists must agree in length and order."""
    if isinstance(desired, dict):
        if not isinstance(live, dict):
            return not desired and live is None
        return all(contains(live.get(key), value) for key, value in desired.items())
    if isinstance(desired, list):
        if not isinstance(live, list):
            return not desired and live is None
        return len(live) == len(desired) and all(map(contains, live, desired))
    return bool(live == desired)


def selects(selector: Object | None, labels: dict[str, str] | None) -> bool:
    """A LabelSelector (matchLabels, matchExpressions) against labels; an empty selector selects all, None nothing."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or []:
        value, values, operator = labels.get(term["key"]), term.get("values") or [], term["operator"]
        fits = {
            "In": value is not None and value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits[operator]:
            return False
    return True


class _Cache:
    """Objects of one kind in one cluster, kept current by one watching thread."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.objects: dict[Key, Object] = {}
        self.seen = 0  # how far the watch has come, as a resource version
        self.synced = threading.Event()
        self.wake = threading.Event()  # set while the kind is served
        self.hang_up: Callable[[], None] = lambda: None

    def put(self, obj: Object) -> bool:
        """Take in a version of an object unless a newer one is known; tells whether anything changed."""
        key = _key(obj)
        known = self.objects.get(key)
        if known is not None and _number(obj) <= _number(known):
            return False
        self.objects[key] = obj
        return True

    def put_written(self, obj: Object) -> bool:
        """Take in the answer to a write, unless the watch has passed that point: it may know of a deletion since."""
        return self.synced.is_set() and _number(obj) > self.seen and self.put(obj)

    def drop(self, obj: Object) -> bool:
        known = self.objects.get(_key(obj))
        if known is None or (_uid(known) != _uid(obj) and _number(known) > _number(obj)):
            return False
        del self.objects[_key(obj)]
        return True

    def replace(self, objects: Iterable[Object], seen: int) -> bool:
        fresh = {_key(obj): obj for obj in objects}
        changed = {k: _version(o) for k, o in fresh.items()} != {k: _version(o) for k, o in self.objects.items()}
        self.objects = fresh
        self.seen = seen
        return changed


class Cluster:
    """One control plane as the played parts see it.

    Reads come from watch caches and must be treated as read-only. Writes raise ApiError.
    """

    def __init__(self, name: str, kubeconfig: Path, context: str) -> None:
        self.name = name
        self.kubeconfig = kubeconfig
        self.context = context
        self._api: Api | None = None
        self._caches = {name: _Cache(kind) for name, kind in KINDS.items()}
        self._written: dict[tuple[str, str, str, Key], tuple[Object, str]] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._notify: Callable[[str, str], None] = lambda cluster, kind: None

    @property
    def api(self) -> Api:
        """The connection; made at first use, so that a World can be described before its servers answer."""
        with self._lock:
            if self._api is None:
                self._api = Api(self.kubeconfig, self.context, user_agent="lab-played-parts")
            return self._api

    # Reading

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]:
        """Cached objects, in namespace and name order; `labels` must all be there with these values."""
        with self._lock:
            found = sorted(self._caches[kind].objects.items())
        return [
            obj
            for (where, _), obj in found
            if (namespace is None or where == namespace)
            and (not labels or labels.items() <= (obj["metadata"].get("labels") or {}).items())
        ]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One cached object or None."""
        with self._lock:
            return self._caches[kind].objects.get((namespace or "", name))

    def served(self, kind: str) -> bool:
        """Whether the API server serves this kind now."""
        known = kind_of(kind)
        if known.group in BUILT_IN_GROUPS:
            return True
        crd = self.get("CustomResourceDefinition", known.crd)
        return crd is not None and _established(crd, known.version)

    # Writing

    def apply(self, obj: Object, manager: str) -> Object:
        """Server-side apply with force; returns the live object.

        Sends nothing when this manager's last word was the same and the live object still carries it.
        """
        return self._apply(obj, manager, None)

    def set_status(self, obj: Object, status: Object, manager: str) -> Object | None:
        """Server-side apply of the status subresource: `status` is all this manager says about it.

        Sends nothing when it stands there already. Returns the live object, None when the object is gone or was
        made anew meanwhile.
        """
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if obj["metadata"].get(key)}
        known = self.get(obj["kind"], metadata["name"], metadata.get("namespace"))
        if known is not None and _uid(obj) and _uid(known) != _uid(obj):
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
        metadata = obj["metadata"]
        path = kind_of(obj["kind"]).path(metadata.get("namespace"))
        return self.api.request("POST", path, obj, {"fieldManager": manager})

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete in the background; an object that is not there is fine."""
        try:
            self.api.request(
                "DELETE",
                kind_of(kind).path(namespace, name),
                {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"},
            )
        except ApiError as error:
            if error.status != 404:
                raise

    def prune(self, kind: str, labels: dict[str, str], keep: set[Key]) -> None:
        """Delete the objects with these labels whose (namespace, name) is not in `keep`."""
        for obj in self.list(kind, labels=labels):
            namespace, name = _key(obj)
            if (namespace, name) not in keep and not obj["metadata"].get("deletionTimestamp"):
                self.delete(kind, name, namespace or None)

    def _apply(self, obj: Object, manager: str, subresource: str | None) -> Object:
        kind = kind_of(obj["kind"])
        key = _key(obj)
        memo = (manager, subresource or "", obj["kind"], key)
        with self._lock:
            cache = self._caches.get(obj["kind"])
            live = cache.objects.get(key) if cache else None
            last = self._written.get(memo)
        if (
            live is not None
            and last is not None
            and last[0] == obj
            and (_version(live) == last[1] or contains(live, obj))
        ):
            return live
        answer = self.api.request(
            "PATCH",
            kind.path(key[0] or None, key[1], subresource),
            {"apiVersion": kind.api_version, **obj},
            {"fieldManager": manager, "force": "true"},
            content_type="application/apply-patch+yaml",
        )
        with self._lock:
            self._written[memo] = (json.loads(json.dumps(obj)), _version(answer))
            changed = cache is not None and cache.put_written(_slim(kind, answer))
        if changed:
            self._notify(self.name, obj["kind"])
        return answer

    # Watching

    def start(self, notify: Callable[[str, str], None]) -> None:
        """Start the watches; `notify(cluster, kind)` is called after each change of a cache."""
        self._notify = notify
        for name, cache in self._caches.items():
            if cache.kind.group in BUILT_IN_GROUPS:
                cache.wake.set()
            threading.Thread(
                target=self._watch, args=(name, cache), name=f"watch-{self.name}-{name}", daemon=True
            ).start()

    def wait_synced(self, timeout: float) -> bool:
        """Wait until every served kind was listed once."""
        deadline = time.monotonic() + timeout
        # CRDs first: they tell which other kinds are served.
        names = sorted(self._caches, key=lambda name: name != "CustomResourceDefinition")
        return all(
            self._caches[name].synced.wait(max(0.0, deadline - time.monotonic())) for name in names if self.served(name)
        )

    def stop(self) -> None:
        """End the watches."""
        self._stopping.set()
        for cache in self._caches.values():
            cache.wake.set()
            cache.hang_up()
        if self._api is not None:
            self._api.close()

    def _watch(self, name: str, cache: _Cache) -> None:
        """List, then watch from there; list anew when the server forgot (410), after errors with a growing pause."""
        pause = 0.1
        version = ""
        while not self._stopping.is_set():
            cache.wake.wait()
            try:
                if not version:
                    version = self._list(name, cache)
                    pause = 0.1
                version = self._follow(name, cache, version)
                continue
            except ApiError as error:
                if error.status:  # a lost connection keeps its place
                    version = ""
                if error.status == 404:
                    self._clear(name, cache)
                elif error.status != 410:
                    log.debug("watch of %s in %s: %s", name, self.name, error)
            except Exception:  # a watch that dies silently would blind the parts
                log.exception("watch of %s in %s", name, self.name)
                version = ""
            self._stopping.wait(pause)
            pause = min(pause * 2, 2.0)

    def _list(self, name: str, cache: _Cache) -> str:
        answer = self.api.request("GET", cache.kind.path())
        items = [_slim(cache.kind, item) for item in answer.get("items") or []]
        with self._lock:
            changed = cache.replace(items, _number(answer))
            first = not cache.synced.is_set()
            cache.synced.set()
        if changed or first:
            self._changed(name)
        return _version(answer)

    def _follow(self, name: str, cache: _Cache, version: str) -> str:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": "1800",
        }
        with self.api.watch(cache.kind.path(), query) as stream:
            cache.hang_up = stream.hang_up
            if self._stopping.is_set() or not cache.wake.is_set():
                return ""
            for event in stream.events():
                what, obj = event["type"], event["object"]
                if what == "ERROR":
                    code = int(obj.get("code") or 500)
                    raise ApiError(self.name, code, str(obj.get("reason")), str(obj.get("message")))
                version = _version(obj)
                with self._lock:
                    cache.seen = max(cache.seen, _number(obj))
                    if what == "BOOKMARK":
                        continue
                    obj = _slim(cache.kind, obj)
                    changed = cache.drop(obj) if what == "DELETED" else cache.put(obj)
                if changed:
                    self._changed(name)
        return version if cache.wake.is_set() else ""

    def _clear(self, name: str, cache: _Cache) -> None:
        with self._lock:
            changed = cache.replace([], 0)
            cache.synced.clear()
        if changed:
            self._changed(name)

    def _changed(self, name: str) -> None:
        if name == "CustomResourceDefinition":
            for custom, cache in self._caches.items():
                if cache.kind.group in BUILT_IN_GROUPS:
                    continue
                if self.served(custom):
                    cache.wake.set()
                elif cache.wake.is_set():
                    cache.wake.clear()
                    cache.hang_up()
                    self._clear(custom, cache)
        self._notify(self.name, name)


class World:
    """The whole lab: its clusters, programs and stable addresses. State lives in `home` (.lab)."""

    def __init__(
        self,
        *,
        home: Path,
        clusters: dict[str, Cluster],
        management: str,
        programs: dict[str, Path],
        istio_charts: Path,
        charts: Path,
    ) -> None:
        self.home = home
        self.clusters = clusters
        self.management = clusters[management]
        self.workloads = [cluster for name, cluster in clusters.items() if name != management]
        self.programs = programs
        self.istio_charts = istio_charts
        self.charts = charts
        self._lock = threading.Lock()
        self._given: set[int] = set()
        self._places = Places(home / "places.json")

    @classmethod
    def load(cls, home: Path) -> World:
        """The world `lab up` wrote down in lab.json; FileNotFoundError when there is no lab."""
        told = json.loads((home / "lab.json").read_text())
        kubeconfig = home / "kubeconfig"
        return cls(
            home=home,
            clusters={name: Cluster(name, kubeconfig, name) for name in told["clusters"]},
            management=told["management"],
            programs={name: Path(path) for name, path in told["programs"].items()},
            istio_charts=Path(told["istio_charts"]),
            charts=Path(__file__).parent / "charts",
        )

    def start(self, notify: Callable[[str, str], None] = lambda cluster, kind: None) -> None:
        """Start all watches; `notify(cluster, kind)` tells of changes."""
        for cluster in self.clusters.values():
            cluster.start(notify)

    def wait_synced(self, timeout: float = 30.0) -> bool:
        """Wait until every cluster's served kinds were listed once."""
        return all(cluster.wait_synced(timeout) for cluster in self.clusters.values())

    def stop(self) -> None:
        for cluster in self.clusters.values():
            cluster.stop()

    def free_port(self) -> int:
        """A port of 127.0.0.1 nobody listens on, never given out twice by this process."""
        with self._lock:
            while True:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    port = int(probe.getsockname()[1])
                if port not in self._given:
                    self._given.add(port)
                    return port

    def address(self, cluster: str, key: str, ports: list[int]) -> str:
        """The 127.x.y.z that (cluster, key) keeps for its life; chosen so that all `ports` are free on it.

        For LoadBalancer Services: key = "<namespace>/<name>". The place is kept over restarts.
        """
        return self._places.address(f"{cluster} {key}", ports)

    def release_address(self, cluster: str, key: str) -> None:
        """Give an address back when its Service is gone."""
        self._places.drop(f"address {cluster} {key}")

    def port(self, key: str) -> int:
        """A port of 127.0.0.1 that stays the same over restarts of everything (below the ephemeral range)."""
        return self._places.port(key)

    def istiod_port(self, cluster: str) -> int:
        """Where the cluster's istiod serves its webhooks (https://localhost:<port>)."""
        return self.port(f"istiod {cluster}")


class Places:
    """Names and the addresses or ports they keep, in one JSON file that several processes may use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def address(self, key: str, ports: list[int]) -> str:
        return str(self._keep(f"address {key}", lambda seed, taken: _free_address(seed, ports, taken)))

    def port(self, key: str) -> int:
        return int(self._keep(f"port {key}", _free_port))

    def drop(self, key: str) -> None:
        with self._locked():
            known = self._read()
            if known.pop(key, None) is not None:
                self._write(known)

    def _keep(self, key: str, choose: Callable[[str, set[Any]], Any]) -> Any:
        known = self._read()
        if key not in known:
            with self._locked():
                known = self._read()
                if key not in known:
                    known[key] = choose(f"{self.path}|{key}", set(known.values()))
                    self._write(known)
        return known[key]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return {}

    def _write(self, known: dict[str, Any]) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(known, indent=1, sort_keys=True))
        fresh.replace(self.path)


def _free_address(seed: str, ports: list[int], taken: set[Any]) -> str:
    for attempt in range(500):
        draw = hashlib.sha256(f"{seed}|{attempt}".encode()).digest()
        address = f"127.{1 + draw[0] % 254}.{draw[1]}.{1 + draw[2] % 254}"
        if address not in taken and all(_bindable(address, port) for port in ports):
            return address
    raise OSError(f"no loopback address with all of ports {ports} free")


def _free_port(seed: str, taken: set[Any]) -> int:
    for attempt in range(500):
        draw = hashlib.sha256(f"{seed}|{attempt}".encode()).digest()
        port = 20000 + int.from_bytes(draw[:4], "big") % 11000
        if port not in taken and _bindable("127.0.0.1", port):
            return port
    raise OSError("no free port between 20000 and 31000 on 127.0.0.1")


def _bindable(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion") or "")


def _number(obj: Object) -> int:
    """Resource versions of one etcd are ordered numbers (part of the API's contract from Kubernetes 1.35 on)."""
    version = _version(obj)
    return int(version) if version.isdigit() else 0


def _slim(kind: Kind, obj: Object) -> Object:
    """An object for the cache: typed (items of a List are not), without what no part reads and memory feels."""
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    obj["metadata"].pop("managedFields", None)
    if kind.kind == "CustomResourceDefinition":
        for version in obj["spec"].get("versions") or []:
            version.pop("schema", None)
    return obj


def _established(crd: Object, version: str) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
    served = any(v.get("name") == version and v.get("served") for v in crd["spec"].get("versions") or [])
    return established and served and not crd["metadata"].get("deletionTimestamp")
