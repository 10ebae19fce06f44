"""Requests for which a real API server and the tests' fake_api have to return the same responses.

`answers(server)` sends all of them and returns the relevant parts of each response: status, reason, causes, the
object with its managedFields, and whether the object was written. UIDs, versions and times are left out, because they
differ between any two servers.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import urllib3
from kubernetes import config as kubernetes_config

Json = dict[str, Any]

NAMESPACE = "api-answers"
GROUP = "answers.example"
APPLY, MERGE, PLAIN = "application/apply-patch+yaml", "application/merge-patch+json", "application/json"

_CORE = f"/api/v1/namespaces/{NAMESPACE}"
_CONFIG, _SECRET = f"{_CORE}/configmaps", f"{_CORE}/secrets"
_THINGS = f"/apis/{GROUP}/v1/namespaces/{NAMESPACE}/things"

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_LISTENER = {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "port": _NUMBER, "host": _TEXT}}
_PORT = {
    "type": "object",
    "required": ["port", "protocol"],
    "properties": {"port": _NUMBER, "protocol": _TEXT, "name": _TEXT},
}
SPEC: Json = {
    "type": "object",
    "properties": {
        "size": _NUMBER,
        "note": _TEXT,
        "below": {"type": "object", "properties": {"one": _NUMBER, "other": _NUMBER}},
        "free": {"type": "object", "additionalProperties": _TEXT},
        "whole": {"type": "object", "additionalProperties": _TEXT, "x-kubernetes-map-type": "atomic"},
        "rules": {"type": "array", "items": {"type": "object", "properties": {"name": _TEXT, "weight": _NUMBER}}},
        "tags": {"type": "array", "items": _TEXT, "x-kubernetes-list-type": "set"},
        "listeners": {
            "type": "array",
            "items": _LISTENER,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "ports": {
            "type": "array",
            "items": _PORT,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
    },
}
CRD: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"things.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}

Answers = dict[str, Json]  # of the requests so far, as the server gave them, by the request's name
Body = Json | Callable[[Answers], Json] | None


@dataclass(frozen=True)
class Request:
    """One request; a body that needs an earlier answer (UID, resourceVersion) is a function of them."""

    name: str
    method: str
    path: str
    body: Body = None
    query: dict[str, str] = field(default_factory=dict)
    content_type: str = PLAIN


def apply(name: str, path: str, manager: str, *, force: bool = False, dry: bool = False, **body: Any) -> Request:
    """Server-side apply of the fields in ``body`` as the product asks for it: strict."""
    query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
    kinds = {_CONFIG: ("v1", "ConfigMap"), _SECRET: ("v1", "Secret"), _THINGS: (f"{GROUP}/v1", "Thing")}
    collection, _slash, own_name = path.rpartition("/")
    api_version, kind = kinds.get(collection, ("v1", "ConfigMap"))
    meta = {"name": own_name, **body.pop("metadata", {})}
    whole = {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}
    return Request(name, "PATCH", path, whole, {**query, **({"dryRun": "All"} if dry else {})}, APPLY)


def merge(name: str, path: str, manager: str, body: Body) -> Request:
    return Request(name, "PATCH", path, body, {"fieldManager": manager}, MERGE)


def delete(name: str, path: str, body: Body = None, **query: str) -> Request:
    return Request(name, "DELETE", path, body, query)


def get(name: str, path: str) -> Request:
    return Request(name, "GET", path)


def _options(uid: Callable[[Answers], str]) -> Body:
    return lambda answers: {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid(answers)},
    }


def _again(earlier: str, **changes: Any) -> Body:
    """The object of an earlier answer, with its resourceVersion, changed."""
    return lambda answers: {**copy.deepcopy(answers[earlier]), **changes}


def _stale(earlier: str) -> Body:
    return lambda answers: {
        "metadata": {"resourceVersion": answers[earlier]["metadata"]["resourceVersion"]},
        "data": {"stale": "yes"},
    }


def handed(obj: Json, manager: str) -> Json:
    """The object with all fields of an apply owned by ``manager`` alone."""
    entry = {"manager": manager, "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z"}
    fields = {"fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}
    return {**obj, "metadata": {**obj["metadata"], "managedFields": [{**entry, **fields}]}}


_A, _P, _T, _L, _S = f"{_CONFIG}/a", f"{_CONFIG}/posted", f"{_THINGS}/t", f"{_THINGS}/lists", f"{_SECRET}/s"
_F, _N, _U, _M = f"{_THINGS}/held", f"{_THINGS}/nulls", f"{_THINGS}/unknown", f"{_CONFIG}/merged"

REQUESTS: tuple[Request, ...] = (
    # -- create, again, fewer fields
    get("absent", _A),
    apply("dry create", _A, "one", dry=True, data={"a": "1"}),
    get("a dry run makes nothing", _A),
    apply("create", _A, "one", data={"a": "1", "b": "2"}, metadata={"labels": {"app": "x"}}),
    apply("the same again", _A, "one", data={"a": "1", "b": "2"}, metadata={"labels": {"app": "x"}}),
    apply("dry change", _A, "one", dry=True, data={"a": "9"}),
    apply("fewer fields", _A, "one", data={"a": "1"}, metadata={"labels": {"app": "x"}}),
    apply("another field of another", _A, "two", data={"c": "3"}, metadata={"annotations": {"note": "n"}}),
    # -- conflicts
    apply("conflict", _A, "two", data={"a": "2"}),
    apply("two conflicts", _A, "two", data={"a": "2"}, metadata={"labels": {"app": "y"}}),
    apply("dry conflict", _A, "two", dry=True, data={"a": "2"}),
    get("a conflict writes nothing", _A),
    apply("dry force", _A, "two", dry=True, force=True, data={"a": "2"}),
    apply("force", _A, "two", force=True, data={"a": "2", "c": "3"}),
    apply("the same value is shared", _A, "three", data={"a": "2"}),
    apply("what is shared stays", _A, "two", data={"c": "3"}),
    apply("nothing any more", _A, "three"),
    apply("labels alone", _A, "one", metadata={"labels": {"app": "x"}}),
    # -- merge patches
    apply("for merging", _M, "one", data={"a": "1", "b": "2"}),
    merge("merge", _M, "patcher", {"data": {"a": "9", "new": "n"}}),
    merge("merge the same again", _M, "patcher", {"data": {"a": "9"}}),
    merge("a null removes", _M, "patcher", {"data": {"b": None}}),
    merge("stale merge", _M, "patcher", _stale("for merging")),
    merge("merge into the absent", f"{_CONFIG}/absent", "patcher", {"data": {"a": "1"}}),
    apply("what a patch took is a conflict", _M, "one", data={"a": "1"}),
    apply("what a patch took comes back by force", _M, "one", force=True, data={"a": "1"}),
    # -- create and replace
    Request("post", "POST", _CONFIG, {"metadata": {"name": "posted"}, "data": {"a": "1"}}, {"fieldManager": "poster"}),
    Request("post again", "POST", _CONFIG, {"metadata": {"name": "posted"}}, {"fieldManager": "poster"}),
    Request("put", "PUT", _P, _again("post", data={"a": "2"}), {"fieldManager": "putter"}),
    Request(
        "put of other owners",
        "PUT",
        _P,
        lambda answers: handed(answers["put"], "three"),
        {"fieldManager": "putter"},
    ),
    Request("stale put", "PUT", _P, _again("post", data={"a": "3"}), {"fieldManager": "putter"}),
    Request("put the same", "PUT", _P, _again("put of other owners"), {"fieldManager": "putter"}),
    # -- delete
    delete("delete of a namesake", _P, _options(lambda answers: "00000000-0000-4000-8000-000000000000")),
    delete("dry delete", _P, dryRun="All"),
    get("a dry delete leaves it", _P),
    delete("delete by UID", _P, _options(lambda answers: str(answers["post"]["metadata"]["uid"]))),
    delete("delete the absent", _P),
    # -- places that are not there
    apply("missing namespace", "/api/v1/namespaces/nowhere/configmaps/a", "one", data={"a": "1"}),
    get("unknown kind", f"{_CORE}/oddities/a"),
    get("unknown group", "/apis/odd.example/v1/namespaces/x/things/t"),
    # -- secrets
    apply("secret in plain text", _S, "one", stringData={"password": "apples"}),
    apply("secret in plain text again", _S, "one", stringData={"password": "apples"}),
    apply("secret of two", _S, "two", stringData={"password": "pears"}),
    apply("secret of two by force", _S, "two", force=True, stringData={"password": "pears", "other": "x"}),
    # -- a kind of a CRD: structs, maps, generation
    apply("thing", _T, "one", spec={"size": 1, "note": "n", "below": {"one": 1}, "free": {"k": "v"}}),
    apply("thing changed", _T, "one", spec={"size": 2, "note": "n", "below": {"one": 1}, "free": {"k": "v"}}),
    apply("thing labelled", _T, "labeller", metadata={"labels": {"l": "1"}}),
    apply("part of a struct", _T, "two", spec={"below": {"other": 2}}),
    apply("a struct loses a part", _T, "one", spec={"size": 2}),
    apply("a struct loses the rest", _T, "two"),
    apply("whole map", _T, "one", spec={"whole": {"a": "1"}}),
    apply("whole map of two", _T, "two", spec={"whole": {"b": "1"}}),
    apply("whole map by force", _T, "two", force=True, spec={"whole": {"b": "1"}}),
    apply("everything goes", _T, "two"),
    merge("update of a thing", _T, "patcher", {"spec": {"size": 7, "free": {"p": "q"}}}),
    # -- lists
    apply("listeners", _L, "one", spec={"listeners": [{"name": "http", "port": 80}, {"name": "https", "port": 443}]}),
    apply("a listener of another", _L, "two", spec={"listeners": [{"name": "grpc", "port": 9}]}),
    apply("a field in another's listener", _L, "two", spec={"listeners": [{"name": "http", "host": "h"}]}),
    apply("conflict in a listener", _L, "two", spec={"listeners": [{"name": "https", "port": 1}]}),
    apply(
        "another order", _L, "one", spec={"listeners": [{"name": "https", "port": 443}, {"name": "http", "port": 80}]}
    ),
    apply("a listener goes", _L, "one", spec={"listeners": [{"name": "https", "port": 443}]}),
    apply("two of a name", _L, "one", spec={"listeners": [{"name": "http", "port": 1}, {"name": "http", "port": 2}]}),
    apply("all listeners go", _L, "one", spec={"size": 1}),
    apply("two keys", _L, "one", spec={"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}]}),
    apply("named by its keys", _L, "two", spec={"ports": [{"port": 1, "protocol": "UDP", "name": "dns"}]}),
    apply("a key missing", _L, "two", spec={"ports": [{"port": 1}]}),
    apply("set", _L, "one", spec={"tags": ["a", "b"]}),
    apply("set of two", _L, "two", spec={"tags": ["b", "c"]}),
    apply("a set loses", _L, "one", spec={"tags": ["b"]}),
    apply("atomic list", _L, "one", spec={"rules": [{"name": "a", "weight": 1}]}),
    apply("atomic list of two", _L, "two", spec={"rules": [{"name": "b"}]}),
    apply("atomic list by force", _L, "two", force=True, spec={"rules": [{"name": "b"}]}),
    apply("empty list", _L, "two", spec={"rules": []}),
    merge("update of lists", _L, "patcher", {"spec": {"listeners": [{"name": "x", "port": 1}], "tags": ["t"]}}),
    merge("update in a list", _L, "patcher", {"spec": {"listeners": [{"name": "x", "port": 2}], "tags": ["u"]}}),
    apply("apply over an update", _L, "one", spec={"listeners": [{"name": "x", "port": 3}], "tags": ["v"]}),
    apply("apply over an update by force", _L, "one", force=True, spec={"listeners": [{"name": "x", "port": 3}]}),
    # -- nulls
    apply("null field", _N, "one", spec={"size": None, "note": "n"}),
    apply("null struct", _N, "one", spec={"below": None, "note": "n"}),
    apply("null map", _N, "one", spec={"free": None, "note": "n"}),
    apply("empty map", _N, "one", spec={"free": {}, "note": "n"}),
    apply("null list", _N, "one", spec={"listeners": None, "note": "n"}),
    # -- unknown fields
    apply("unknown field, new object", _U, "one", spec={"odd": 1}),
    apply("for unknown fields", _U, "one", spec={"size": 1}),
    apply("unknown field", _U, "one", spec={"size": 1, "odd": 1}),
    Request(
        "unknown field, replaced",
        "PUT",
        _U,
        lambda answers: {**answers["for unknown fields"], "spec": {"odd": 1}},
        {"fieldManager": "putter", "fieldValidation": "Strict"},
    ),
    get("an unknown field writes nothing", _U),
    # -- finalizers
    apply("held", _F, "one", metadata={"finalizers": ["answers.example/hold"]}, spec={"size": 1}),
    delete("a held one stays", _F),
    delete("a held one stays, again", _F),
    apply("let go", _F, "one", spec={"size": 1}),
    get("it is gone", _F),
)


class Server:
    """An API server by kubeconfig and context; answers come as (HTTP status, decoded body)."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        client = kubernetes_config.new_client_from_config(kubeconfig, context)
        self.url, self.pool = client.configuration.host, client.rest_client.pool_manager

    def send(
        self, method: str, path: str, body: Any, query: dict[str, str], content_type: str = PLAIN
    ) -> tuple[int, Json]:
        pool: urllib3.PoolManager = self.pool
        answer = pool.request(
            method,
            f"{self.url}{path}?{'&'.join(f'{key}={value}' for key, value in query.items())}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type, "Accept": "application/json"},
            timeout=20,
            retries=False,
        )
        try:
            return answer.status, dict(json.loads(answer.data))
        except ValueError:
            return answer.status, {}


def answers(server: Server) -> Iterator[tuple[str, Json]]:
    """(name, what matters of the answer) of every request, in order. Namespace and CRD have to be there."""
    given: Answers = {}
    versions: dict[str, str] = {}
    for request in REQUESTS:
        body = request.body(given) if callable(request.body) else request.body
        status, answer = server.send(request.method, request.path, body, request.query, request.content_type)
        given[request.name] = answer
        yield request.name, _weighed(status, answer, versions, "dryRun" in request.query)


def _weighed(status: int, answer: Json, versions: dict[str, str], dry: bool) -> Json:
    told: Json = {"status": status}
    if status >= 400 or answer.get("kind") == "Status":
        causes = [_cause(cause) for cause in (answer.get("details") or {}).get("causes") or ()]
        return {**told, "reason": answer.get("reason"), "causes": causes}
    obj = copy.deepcopy(answer)
    meta = obj.get("metadata", {})
    uid, version = meta.pop("uid", ""), meta.pop("resourceVersion", "")
    told["written"] = not dry and versions.get(uid) != version
    if not dry:
        versions[uid] = version
    for volatile in ("creationTimestamp", "deletionTimestamp"):
        if volatile in meta:
            meta[volatile] = "-"
    entries = meta.pop("managedFields", None) or []
    told["managers"] = sorted(
        ({key: value for key, value in entry.items() if key != "time"} for entry in entries),
        key=lambda entry: (entry["manager"], entry["operation"]),
    )
    return {**told, "object": obj}


def _cause(cause: Json) -> list[str]:
    """Reason, field and, of a conflict, who owns the field."""
    told = [cause.get("reason", ""), cause.get("field", "")]
    if told[0] == "FieldManagerConflict":
        told.append(re.sub(r" at \S+$", "", cause.get("message", "")))
    return told
