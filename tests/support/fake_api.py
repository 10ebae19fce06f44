"""A small API server over HTTP, for tests that need responses, errors and watches but no real cluster.

Ownership of fields is in field_managers. Its responses are tested against those of a real API server:
tests/integration/test_1_api_answers.py. Left out: defaults, admission, garbage collection, subresources.
"""

from __future__ import annotations

import base64
import copy
import datetime
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

from field_managers import Shape, TwoOfAKey, applied, updated

Json = dict[str, Any]
Place = tuple[str, str, str, str]  # group/version, plural, namespace, name

LONG_AGO = "2025-12-31T00:00:00Z"  # when tests put their objects there
_CORE = {"namespaces": ("Namespace", False), "configmaps": ("ConfigMap", True), "secrets": ("Secret", True)}
_CORE |= {"events": ("Event", True), "pods": ("Pod", True), "services": ("Service", True)}
#: kinds whose objects have no metadata.generation
_UNNUMBERED = {"namespaces", "configmaps", "secrets", "events", "services", "endpointslices"}
_CRDS = {"customresourcedefinitions": ("CustomResourceDefinition", False)}


class FakeApi:
    """State and rules. ``kinds``: {"group/version": {plural: (Kind, namespaced)}}; ``log``: (method, path, dry run);
    ``logs``: what containers wrote, by (namespace, pod, container, previous)."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, tuple[str, bool]]] = {
            "v1": dict(_CORE),
            "apps/v1": {"deployments": ("Deployment", True), "statefulsets": ("StatefulSet", True)},
            "apiextensions.k8s.io/v1": dict(_CRDS),
        }
        self.schemas: dict[tuple[str, str], Json] = {}  # by (group/version, plural), of kinds of CRDs
        self.objects: dict[Place, Json] = {}
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
        if "managedFields" not in obj["metadata"]:
            obj = updated(None, obj, manager, shape=self.shape(api_version, plural), time=LONG_AGO)
        return self.store((api_version, plural, namespace, obj["metadata"]["name"]), obj)

    def get(self, api_version: str, plural: str, namespace: str, name: str) -> Json | None:
        return self.objects.get((api_version, plural, namespace, name))

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, dry in self.log if method != "GET" and not dry]

    def shape(self, api_version: str, plural: str) -> Shape:
        return Shape(schema=self.schemas.get((api_version, plural)))

    # -- storage

    def store(self, key: Place, obj: Json) -> Json:
        """Keep the object as it is now; unchanged, it keeps its version and nobody hears of it."""
        with self.changed:
            obj = self.completed(key, obj)
            old, meta = self.objects.get(key), obj["metadata"]
            if old and _without_times(old) == _without_times(obj):
                return old
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            if old and meta.get("deletionTimestamp") and not meta.get("finalizers"):
                del self.objects[key]
                meta["resourceVersion"] = old["metadata"]["resourceVersion"]
                self._tell(key, "DELETED", obj)
                return obj
            self.objects[key] = obj
            self._tell(key, "MODIFIED" if old else "ADDED", obj)
        if key[1] == "customresourcedefinitions":
            self._serve(obj)
        return obj

    def completed(self, key: Place, obj: Json) -> Json:
        """The object with what the server itself sets in it."""
        obj, old = copy.deepcopy(obj), self.objects.get(key)
        meta, former = obj["metadata"], old["metadata"] if old else {}
        if key[2]:
            meta["namespace"] = key[2]
        meta["uid"] = former.get("uid") or str(uuid.uuid4())
        if "creationTimestamp" in former:
            meta["creationTimestamp"] = former["creationTimestamp"]
        meta["resourceVersion"] = former.get("resourceVersion", "")
        if key[1] not in _UNNUMBERED:
            generation = former.get("generation", 0)
            same = old is not None and _spec_of(old) == _spec_of(obj)
            meta["generation"] = generation if same else generation + 1
        if key[1] == "secrets":
            plain = obj.pop("stringData", None) or {}
            coded = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
            if coded or "data" in obj:
                obj["data"] = {**obj.get("data", {}), **coded}
            obj.setdefault("type", "Opaque")
        return obj

    def _serve(self, crd: Json) -> None:
        spec = crd["spec"]
        for version in spec["versions"]:
            served, plural = f"{spec['group']}/{version['name']}", spec["names"]["plural"]
            self.kinds.setdefault(served, {})[plural] = (spec["names"]["kind"], spec["scope"] == "Namespaced")
            schema = version.get("schema", {}).get("openAPIV3Schema")
            if schema:
                self.schemas[served, plural] = schema
        crd["status"] = {"conditions": [{"type": "Established", "status": "True"}]}

    def remove(self, key: Place) -> Json | None:
        """Delete an object; one with finalizers stays, marked, and is returned."""
        with self.changed:
            obj = copy.deepcopy(self.objects[key])
            meta = obj["metadata"]
            if meta.get("finalizers") and meta.get("deletionTimestamp"):
                return obj
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            if meta.get("finalizers"):
                meta.update(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=0)
                if "generation" in meta:
                    meta["generation"] += 1
                self.objects[key] = obj
                self._tell(key, "MODIFIED", obj)
                return obj
            del self.objects[key]
            self._tell(key, "DELETED", obj)
            return None

    def _tell(self, key: Place, kind: str, obj: Json) -> None:
        self.events.append((self.version, (key[0], key[1]), kind, copy.deepcopy(obj)))
        self.changed.notify_all()


def _spec_of(obj: Json) -> Json:
    """What counts as a new generation: everything but metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _without_times(obj: Json) -> Json:
    """The object as it is compared: a write that changes nothing else but these is none."""
    plain = copy.deepcopy(obj)
    for entry in plain["metadata"].get("managedFields") or ():
        entry.pop("time", None)
    for name in ("resourceVersion", "generation"):
        plain["metadata"].pop(name, None)
    return plain


def _merge(obj: Json, change: Json) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            below = obj.get(key)
            obj[key] = below if isinstance(below, dict) else {}
            _merge(obj[key], value)
        elif value is None:
            obj.pop(key, None)
        else:
            obj[key] = value


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _schema_errors(value: Any, schema: Json, path: str) -> Iterator[tuple[str, str]]:
    """(kind of error, path) of what a CRD's schema does not allow: "unknown", "type", "required"."""
    if isinstance(value, dict) and "properties" in schema:
        for name in schema.get("required", ()):
            if name not in value:
                yield "required", f"{path}.{name}"
        for key, below in value.items():
            if key in schema["properties"]:
                yield from _schema_errors(below, schema["properties"][key], f"{path}.{key}")
            elif not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield "unknown", f"{path}.{key}"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _schema_errors(item, schema.get("items", {}), f"{path}[{index}]")
    if value is None and schema.get("type"):
        yield "type", path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer's body would wait 40 ms for the acknowledgement of its headers
    api: FakeApi

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

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

    def _place(self, path: str) -> Place | None:
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
            versions: dict[str, list[Json]] = {}
            for served in api.kinds:
                group_name, _slash, version = served.rpartition("/")
                if group_name:
                    versions.setdefault(group_name, []).append({"groupVersion": served, "version": version})
            groups = [{"name": name, "versions": rows, "preferredVersion": rows[0]} for name, rows in versions.items()]
            return 200, {"kind": "APIGroupList", "groups": groups}
        of_group = [each for each in api.kinds if path == f"/apis/{each.rpartition('/')[0]}"]
        if of_group:
            found = [{"groupVersion": each, "version": each.rpartition("/")[2]} for each in of_group]
            return 200, {"kind": "APIGroup", "versions": found, "preferredVersion": found[0]}
        group = re.fullmatch(r"/(?:api|apis)/(.+)", path)
        if group and group.group(1) in api.kinds:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            rows = [
                {"name": plural, "kind": kind, "namespaced": namespaced, "verbs": verbs}
                for plural, (kind, namespaced) in api.kinds[group.group(1)].items()
            ]
            return 200, {"resources": rows}
        place = self._place(path)
        if place is None or place[0] not in api.kinds:
            return 404, {"message": "404 page not found"}
        if place[1] not in api.kinds[place[0]]:
            return _refused(404, "NotFound", "the server could not find the requested resource")
        _api_version, _plural, namespace, name = place
        if method == "GET":
            return (200, self._list(place, query)) if not name else self._got(place)
        if namespace and ("v1", "namespaces", "", namespace) not in api.objects:
            return _not_found("namespaces", namespace)
        if method == "DELETE":
            return self._delete(place, body or {}, dry="dryRun" in query)
        if body is None:
            return _refused(400, "BadRequest", "no body")
        return self._write(method, place, query, body)

    def _got(self, place: Place) -> tuple[int, Json]:
        live = self.api.objects.get(place)
        return (200, live) if live else _not_found(place[1], place[3])

    def _delete(self, place: Place, options: Json, *, dry: bool) -> tuple[int, Json]:
        live = self.api.objects.get(place)
        if not live:
            return _not_found(place[1], place[3])
        wanted = (options.get("preconditions") or {}).get("uid", live["metadata"]["uid"])
        if wanted != live["metadata"]["uid"]:
            return _refused(409, "Conflict", f"the UID in the precondition ({wanted}) does not match")
        left = None if dry else self.api.remove(place)
        return 200, left or {"kind": "Status", "status": "Success"}

    def _write(self, method: str, place: Place, query: dict[str, str], body: Json) -> tuple[int, Json]:
        """POST, PUT, merge patch, apply."""
        api = self.api
        if method == "POST":
            place = (*place[:3], body["metadata"]["name"])
        applies = method == "PATCH" and "apply-patch" in self.headers["Content-Type"]
        live = api.objects.get(place)
        refusal = None if applies else self._refusal(method, place, live, body)
        if refusal:
            return refusal
        told = {"apiVersion": place[0], "kind": api.kinds[place[0]][place[1]][0]}
        manager = query.get("fieldManager") or self.headers["User-Agent"].partition("/")[0]
        how: Json = {"shape": api.shape(*place[:2]), "time": _now()}
        if applies:
            try:
                after = applied(live, {**told, **body}, manager, force=query.get("force") == "true", **how)
            except TwoOfAKey as error:
                return _refused(500, None, f"failed to create typed patch object: {error}: duplicate entries")
            if isinstance(after, list):
                return _refused(409, "Conflict", f"Apply failed with {len(after)} conflicts", after)
        else:
            new: Json = {**told, **body}
            if live and method == "PATCH":
                new = copy.deepcopy(live)
                _merge(new, body)
            after = updated(live, new, manager, **how)
        if not live:
            after["metadata"]["creationTimestamp"] = _now()
        refusal = self._against_schema(place, after, applies)
        if refusal:
            return refusal
        return 200 if live else 201, api.completed(place, after) if "dryRun" in query else api.store(place, after)

    def _refusal(self, method: str, place: Place, live: Json | None, body: Json) -> tuple[int, Json] | None:
        """Why a write that is no apply cannot be made of what is there."""
        if method == "PATCH" and "merge-patch" not in self.headers["Content-Type"]:
            return _refused(415, "UnsupportedMediaType", "only apply and merge patches here")
        if method == "POST":
            return _refused(409, "AlreadyExists", f'{place[1]} "{place[3]}" already exists') if live else None
        if not live:
            return _not_found(place[1], place[3])
        if body.get("metadata", {}).get("resourceVersion") in (None, live["metadata"]["resourceVersion"]):
            return None
        return _refused(409, "Conflict", "the object has been modified")

    def _against_schema(self, place: Place, obj: Json, applies: bool) -> tuple[int, Json] | None:
        """What the schema of a CRD does not allow. An apply finds no type for an unknown field: an error of its own."""
        wrong = list(_schema_errors(obj.get("spec", {}), self._schema(place), "spec"))
        unknown = next((path for kind, path in wrong if kind == "unknown"), None)
        if unknown and applies:
            return _refused(500, None, f"failed to create typed patch object: .{unknown}: field not declared in schema")
        if unknown:
            return _refused(400, "BadRequest", f'strict decoding error: unknown field "{unknown}"')
        reasons = {"type": "FieldValueTypeInvalid", "required": "FieldValueRequired"}
        causes = [{"reason": reasons[kind], "field": path, "message": "invalid"} for kind, path in wrong]
        return _refused(422, "Invalid", f'{place[1]} "{place[3]}" is invalid', causes) if causes else None

    def _schema(self, place: Place) -> Json:
        found: Json = self.api.schemas.get(place[:2], {}).get("properties", {}).get("spec", {})
        return found

    def _list(self, place: Place, query: dict[str, str]) -> Json:
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


def _refused(code: int, reason: str | None, message: str, causes: list[Json] | None = None) -> tuple[int, Json]:
    status: Json = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return code, {**status, **({"details": {"causes": causes}} if causes else {})}


def _not_found(plural: str, name: str) -> tuple[int, Json]:
    code, status = _refused(404, "NotFound", f'{plural} "{name}" not found')
    return code, {**status, "details": {"name": name, "kind": plural}}


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
