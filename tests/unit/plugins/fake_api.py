"""A small API server over HTTP, for tests that need answers, refusals and watches but no real cluster.

It knows server-side apply well enough for ownership: leaves have managers, another manager's different value is a
conflict, fields a manager no longer applies disappear. Lists of objects with a name are keyed by it, others are atomic.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.managed_fields import (
    MISSING,
    drop,
    find,
    holds,
    leaves,
    put,
)

Json = dict[str, Any]

_CORE = {"namespaces": ("Namespace", False), "configmaps": ("ConfigMap", True), "secrets": ("Secret", True)}
_CORE |= {"events": ("Event", True), "pods": ("Pod", True), "services": ("Service", True)}
_CRDS = {"customresourcedefinitions": ("CustomResourceDefinition", False)}


class FakeApi:
    """State and rules. ``kinds``: {"group/version": {plural: (Kind, namespaced)}}; ``log``: (method, path, dry run);
    ``logs``: what containers wrote, by (namespace, pod, container, previous)."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, tuple[str, bool]]] = {
            "v1": dict(_CORE),
            "apps/v1": {"deployments": ("Deployment", True)},
            "apiextensions.k8s.io/v1": dict(_CRDS),
        }
        self.objects: dict[tuple[str, str, str, str], Json] = {}
        self.log: list[tuple[str, str, bool]] = []
        self.logs: dict[tuple[str, str, str, bool], str] = {}
        self.refusals: list[tuple[str, re.Pattern[str], int, Json, dict[str, str]]] = []
        self.events: list[tuple[int, tuple[str, str], str, Json]] = []
        self.changed = threading.Condition()
        self.version = 100
        self.write("v1", "namespaces", "", {"metadata": {"name": "kube-system"}})
        self.write("v1", "namespaces", "", {"metadata": {"name": "default"}})

    # -- for tests

    def refuse(self, method: str, path: str, code: int, status: Json, times: int = 1, **headers: str) -> None:
        """Answer the next ``times`` matching requests with this Status."""
        self.refusals += [(method, re.compile(path), code, status, headers)] * times

    def write(self, api_version: str, plural: str, namespace: str, obj: Json, manager: str = "someone") -> Json:
        """Put an object into the store as another client would (operation Update)."""
        obj = copy.deepcopy(obj)
        obj["apiVersion"], obj["kind"] = api_version, self.kinds[api_version][plural][0]
        if namespace:
            obj["metadata"]["namespace"] = namespace
        entry = {"manager": manager, "operation": "Update", "apiVersion": api_version, "fieldsV1": fields_of(obj)}
        obj["metadata"].setdefault("managedFields", [entry])
        return self.store((api_version, plural, namespace, obj["metadata"]["name"]), obj)

    def get(self, api_version: str, plural: str, namespace: str, name: str) -> Json | None:
        return self.objects.get((api_version, plural, namespace, name))

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, dry in self.log if method != "GET" and not dry]

    # -- storage

    def store(self, key: tuple[str, str, str, str], obj: Json) -> Json:
        with self.changed:
            old = self.objects.get(key)
            meta = obj["metadata"]
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            meta["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
            generation = old["metadata"]["generation"] if old else 0
            meta["generation"] = generation if old and old.get("spec") == obj.get("spec") else generation + 1
            self.objects[key] = obj
            self._tell(key, "MODIFIED" if old else "ADDED", obj)
        if key[1] == "customresourcedefinitions":
            spec = obj["spec"]
            for version in spec["versions"]:
                kinds = self.kinds.setdefault(f"{spec['group']}/{version['name']}", {})
                kinds[spec["names"]["plural"]] = (spec["names"]["kind"], spec["scope"] == "Namespaced")
            obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        return obj

    def remove(self, key: tuple[str, str, str, str]) -> None:
        with self.changed:
            obj = self.objects[key]
            self.version += 1
            if obj["metadata"].get("finalizers"):
                obj = copy.deepcopy(obj)
                obj["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", resourceVersion=str(self.version))
                self.objects[key] = obj
                self._tell(key, "MODIFIED", obj)
            else:
                del self.objects[key]
                gone = copy.deepcopy(obj)
                gone["metadata"]["resourceVersion"] = str(self.version)
                self._tell(key, "DELETED", gone)

    def _tell(self, key: tuple[str, str, str, str], kind: str, obj: Json) -> None:
        self.events.append((self.version, (key[0], key[1]), kind, copy.deepcopy(obj)))
        self.changed.notify_all()


def fields_of(obj: Json) -> Json:
    """fieldsV1 of everything a client sets in an object."""
    body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "status")}
    server_side = ("name", "namespace", "managedFields", "resourceVersion", "uid", "generation")
    meta = {key: value for key, value in obj["metadata"].items() if key not in server_side}
    body.pop("metadata", None)
    if meta:
        body["metadata"] = meta
    return _fields(body)


def _keyed(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "name" in item for item in value)


def _fields(value: Any) -> Json:
    if isinstance(value, dict):
        return {f"f:{key}": _fields(item) for key, item in value.items()}
    if _keyed(value):
        found = {}
        for item in value:
            key = json.dumps({"name": item["name"]}, separators=(",", ":"))
            found[f"k:{key}"] = {".": {}, **_fields(item)}
        return found
    return {}


def apply(live: Json | None, wanted: Json, manager: str, force: bool) -> Json | list[tuple[str, str]]:
    """The object after a server-side apply, or the conflicts as (path, manager)."""
    fields = fields_of(wanted)
    if live is None:
        obj = copy.deepcopy(wanted)
        obj["metadata"]["managedFields"] = [_entry(manager, wanted, fields)]
        return obj
    obj = copy.deepcopy(live)
    entries = obj["metadata"].get("managedFields", [])
    mine = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), None)
    others = [entry for entry in entries if entry is not mine]
    conflicts = []
    for path in leaves(fields):
        value, now = find(wanted, path), find(obj, path)
        if now is not MISSING and now != value:
            for other in others:
                if holds(other["fieldsV1"], path):
                    conflicts.append((path, other))
        put(obj, path, value)
    if conflicts and not force:
        return [("".join(f".{token[2:]}" for token in path), other["manager"]) for path, other in conflicts]
    for path, other in conflicts:
        drop_field(other["fieldsV1"], path)
    for path in leaves((mine or {}).get("fieldsV1", {})):
        if not holds(fields, path) and not any(holds(other["fieldsV1"], path) for other in others):
            drop(obj, path)
    obj["metadata"]["managedFields"] = others + ([_entry(manager, wanted, fields)] if fields else [])
    return obj


def update(live: Json, change: Json, manager: str) -> Json:
    """The object after a merge patch: the manager owns what it sets, nobody what it removes."""
    obj = copy.deepcopy(live)
    _merge(obj, change)
    entries = obj["metadata"].setdefault("managedFields", [])
    for path in leaves(_fields(change)):
        for entry in entries:
            if holds(entry["fieldsV1"], path):
                drop_field(entry["fieldsV1"], path)
        if find(obj, path) is not MISSING:
            mine = next((e for e in entries if (e["manager"], e["operation"]) == (manager, "Update")), None)
            if mine is None:
                mine = {"manager": manager, "operation": "Update", "apiVersion": obj["apiVersion"], "fieldsV1": {}}
                entries.append(mine)
            fields = mine["fieldsV1"]
            for token in path:
                fields = fields.setdefault(token, {})
    return obj


def _merge(obj: Json, change: Json) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(obj.setdefault(key, {}), value)
        elif value is None:
            obj.pop(key, None)
        else:
            obj[key] = value


def drop_field(fields: Json, path: tuple[str, ...]) -> None:
    for token in path[:-1]:
        fields = fields[token]
    fields.pop(path[-1], None)


def _entry(manager: str, obj: Json, fields: Json) -> Json:
    return {"manager": manager, "operation": "Apply", "apiVersion": obj["apiVersion"], "fieldsV1": fields}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FakeApi

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.api.log.append((method, parts.path, "dryRun" in query))
        for index, (verb, pattern, code, status, headers) in enumerate(self.api.refusals):
            if verb == method and pattern.search(parts.path):
                del self.api.refusals[index]
                return self._send(code, status, headers)
        if method == "GET" and parts.path.endswith("/log"):
            return self._log(parts.path, query)
        if query.get("watch"):
            return self._watch(parts.path, query)
        code, answer = self._route(method, parts.path, query, body)
        return self._send(code, answer)

    def _log(self, path: str, query: dict[str, str]) -> None:
        _root, _api, _version, _kind, namespace, _plural, pod, _log = path.split("/")
        written = self.api.logs.get((namespace, pod, query["container"], query["previous"] == "true"))
        if written is None:
            message = f'container "{query["container"]}" in pod "{pod}" is waiting to start'
            return self._send(400, {"reason": "BadRequest", "message": message})
        lines = written.splitlines(keepends=True)[-int(query["tailLines"]) :]
        data = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def _send(self, code: int, answer: Json, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(answer).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _place(self, path: str) -> tuple[str, str, str, str] | None:
        found = re.fullmatch(
            r"/(?:api/(v1)|apis/([^/]+/[^/]+))(?:/namespaces/([^/]+)(?=/[^/]+))?/([^/]+)(?:/([^/]+))?", path
        )
        if not found:
            return None
        core, group, namespace, plural, name = found.groups()
        return core or group, plural, namespace or "", name or ""

    def _route(self, method: str, path: str, query: dict[str, str], body: Json | None) -> tuple[int, Json]:
        api = self.api
        if path == "/version":
            return 200, {"gitVersion": "v1.36.3"}
        if path == "/apis":
            versions = [version for version in api.kinds if "/" in version]
            return 200, {"groups": [{"preferredVersion": {"groupVersion": version}} for version in versions]}
        group = re.fullmatch(r"/(?:api|apis)/(.+)", path)
        if group and group.group(1) in api.kinds:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            rows = [
                {"name": plural, "kind": kind, "namespaced": namespaced, "verbs": verbs}
                for plural, (kind, namespaced) in api.kinds[group.group(1)].items()
            ]
            return 200, {"resources": rows}
        place = self._place(path)
        if place is None or place[1] not in api.kinds.get(place[0], {}):
            return 404, {"message": "404 page not found"}
        api_version, plural, namespace, name = place
        if not name:
            return 200, self._list(place, query)
        live = api.objects.get(place)
        if method == "GET":
            return (200, live) if live else _not_found(plural, name)
        if namespace and ("v1", "namespaces", "", namespace) not in api.objects:
            return _not_found("namespaces", namespace)
        dry = "dryRun" in query
        if method == "DELETE":
            if not live:
                return _not_found(plural, name)
            if not dry:
                api.remove(place)
            return 200, {"kind": "Status", "status": "Success"}
        if body is None:
            return 400, {"message": "no body"}
        if method == "PUT":
            if live and body["metadata"].get("resourceVersion") != live["metadata"]["resourceVersion"]:
                return 409, {"reason": "Conflict", "message": "the object has been modified"}
            return 200, api.store(place, body)
        if "merge-patch" in self.headers["Content-Type"]:
            version = body.get("metadata", {}).pop("resourceVersion", None)
            if live and version not in (None, live["metadata"]["resourceVersion"]):
                return 409, {"reason": "Conflict", "message": "the object has been modified"}
            return (
                (200, api.store(place, update(live, body, query["fieldManager"]))) if live else _not_found(plural, name)
            )
        if "apply-patch" not in self.headers["Content-Type"]:
            return 415, {"message": "only apply here"}
        after = apply(live, body, query["fieldManager"], query.get("force") == "true")
        if isinstance(after, list):
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "field": field,
                    "message": f'conflict with "{manager}" using {api_version}',
                }
                for field, manager in after
            ]
            return 409, {"reason": "Conflict", "message": "Apply failed", "details": {"causes": causes}}
        return 200, after if dry else api.store(place, after)

    def _list(self, place: tuple[str, str, str, str], query: dict[str, str]) -> Json:
        api_version, plural, namespace, _name = place
        with self.api.changed:
            items = [
                obj
                for key, obj in sorted(self.api.objects.items())
                if key[:2] == (api_version, plural) and (not namespace or key[2] == namespace) and _selected(obj, query)
            ]
            return {"items": items, "metadata": {"resourceVersion": str(self.api.version)}}

    def _watch(self, path: str, query: dict[str, str]) -> None:
        place = self._place(path)
        if place is None:
            return self._send(404, {"message": "404 page not found"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        since = int(query.get("resourceVersion") or 0)
        deadline = time.monotonic() + float(query["timeoutSeconds"])
        while time.monotonic() < deadline:
            with self.api.changed:
                news = [event for event in self.api.events if event[0] > since and event[1] == place[:2]]
                if not news:
                    self.api.changed.wait(0.2)
            for version, _place, kind, obj in news:
                since = version
                if (not place[2] or obj["metadata"].get("namespace") == place[2]) and _selected(obj, query):
                    line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
        return None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client may leave at any moment.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _selected(obj: Json, query: dict[str, str]) -> bool:
    labels = obj["metadata"].get("labels", {})
    for term in re.findall(r"[^,(]+(?:\([^)]*\))?", query.get("labelSelector", "")):
        key, unequal, other = term.partition("!=")
        if unequal:
            if labels.get(key) == other:
                return False
            continue
        key, operator, values = re.fullmatch(r"([^=\s]+)(?:\s*(=|in)\s*\(?([^)]*)\)?)?", term).groups()  # type: ignore[union-attr]
        if key not in labels or (operator and labels[key] not in values.split(",")):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, _eq, value = term.partition("=")
        if key == "metadata.name" and obj["metadata"]["name"] != value:
            return False
        if key == "type" and obj.get("type") != value:
            return False
    return True


def _not_found(plural: str, name: str) -> tuple[int, Json]:
    details = {"name": name, "kind": plural}
    return 404, {"reason": "NotFound", "message": f'{plural} "{name}" not found', "details": details}


@contextmanager
def serving(folder: Path, *contexts: str) -> Iterator[tuple[FakeApi, str]]:
    """(the server, path of a kubeconfig with these contexts) while the with statement lasts. Loopback only."""
    api = FakeApi()
    handler = type("Handler", (_Handler,), {"api": api})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    kubeconfig = folder / "kubeconfig"
    url = f"http://127.0.0.1:{server.server_address[1]}"
    names = contexts or ("fake",)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": "played-token"}}],
        "contexts": [{"name": name, "context": {"cluster": "fake", "user": "fake"}} for name in names],
        "current-context": "nobody-uses-this",
    }
    kubeconfig.write_text(json.dumps(content), encoding="utf-8")
    try:
        yield api, str(kubeconfig)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
