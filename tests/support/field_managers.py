"""Ownership of fields by the rules of Kubernetes' server-side apply, for fake_api.

The rules are those a real API server follows: tests/integration/test_1_api_answers.py sends both the same requests. No
code is shared with the collection.

A path is a tuple of fieldsV1 tokens; a set of fields is a set of such paths.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]
Fields = set[Path]

# Of built-in kinds, by the name of the field: lists that are maps by these keys, sets, and maps that go as a whole.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "initContainers", "env", "volumes", "listeners", "imagePullSecrets"), ("name",)),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "webhooks": ("name",),
}
_PORTS = (("port", "protocol"), ("containerPort", "protocol"))  # of a Service, of a container; of others whole
_SETS = ("finalizers",)
_ATOMIC_MAPS = ("selector", "labelSelector", "resourceFieldRef", "secretKeyRef", "configMapKeyRef", "fieldRef")
_FREE_MAPS = ("data", "stringData", "binaryData", "labels", "annotations", "matchLabels", "nodeSelector")

_OWNED_BY_THE_SERVER = {
    *(("f:apiVersion",), ("f:kind",), ("f:status",)),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"),
            *("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"),
        )
    ),
}


_GONE = object()


class TwoOfAKey(Exception):
    """A list that is a map has two items of the same keys."""


@dataclass(frozen=True)
class Shape:
    """What a field is to server-side apply: by its schema where a CRD has one, else by its name."""

    name: str = ""
    schema: Json | None = None

    def below(self, key: str) -> Shape:
        if self.schema is None or (self.name == "" and key in ("metadata", "apiVersion", "kind")):
            return Shape(key)
        found = self.schema.get("properties", {}).get(key, self.schema.get("additionalProperties"))
        return Shape(key, found if isinstance(found, dict) else {} if self.name else None)

    def item(self) -> Shape:
        return Shape(f"{self.name}[]", None if self.schema is None else self.schema.get("items", {}))

    @property
    def free(self) -> bool:
        """A map with any keys, whose container can be owned as such."""
        return self.name in _FREE_MAPS if self.schema is None else "additionalProperties" in self.schema

    @property
    def whole(self) -> bool:
        """A map that is owned as a whole."""
        return (
            self.name in _ATOMIC_MAPS if self.schema is None else self.schema.get("x-kubernetes-map-type") == "atomic"
        )

    def keys(self, items: list[Any]) -> tuple[str, ...]:
        """The keys of a list that is a map; () for others."""
        if self.schema is not None:
            return tuple(self.schema.get("x-kubernetes-list-map-keys", ()))
        names = _PORTS if self.name == "ports" else (_LIST_KEYS.get(self.name, ()),)
        dicts = all(isinstance(item, dict) for item in items)
        return next((keys for keys in names if keys and dicts and all(keys[0] in item for item in items)), ())

    @property
    def a_set(self) -> bool:
        return self.name in _SETS if self.schema is None else self.schema.get("x-kubernetes-list-type") == "set"

    def parts(self, value: Any) -> dict[str, tuple[Any, Shape]] | None:
        """What is owned part by part: token -> (value, shape); None for what is owned as a whole."""
        if isinstance(value, dict) and not self.whole:
            return {f"f:{key}": (part, self.below(key)) for key, part in value.items()}
        if isinstance(value, list):
            keys = self.keys(value)
            if keys and all(isinstance(item, dict) for item in value):
                found = {self._key(item, keys): (item, self.item()) for item in value}
                if len(found) < len(value):
                    raise TwoOfAKey(self.name)
                return found
            if self.a_set:
                return {f"v:{json.dumps(item)}": (item, Shape()) for item in value}
        return None

    def _key(self, item: Json, keys: tuple[str, ...]) -> str:
        told = {key: item[key] for key in sorted(keys) if key in item}
        if self.schema is None and "protocol" in keys:
            told.setdefault("protocol", "TCP")
        return f"k:{json.dumps(told, separators=(',', ':'))}"


def _item(path: Path) -> bool:
    return bool(path) and path[-1][:2] in ("k:", "v:")


def members(value: Any, shape: Shape, path: Path = (), *, containers: bool = False) -> Fields:
    """The fields of a value; with ``containers`` maps and lists on the way too, as an update owns them.

    The structs of built-in kinds are always there: nobody owns those.
    """
    parts = shape.parts(value)
    if not parts:
        return {path}
    owned = containers and path and (shape.schema is not None or shape.free or isinstance(value, list))
    found: Fields = {path} if _item(path) or owned else set()
    for token, (part, below) in parts.items():
        found |= members(part, below, (*path, token), containers=containers)
    return found


def compared(old: Any, new: Any, shape: Shape, path: Path = ()) -> tuple[Fields, Fields]:
    """(set or changed, removed) between two values."""
    before, after = shape.parts(old), shape.parts(new)
    if before is None or after is None or not (before or after):
        return (set() if old == new else {path}), set()
    changed: Fields = set()
    removed: Fields = set()
    for token, (value, below) in after.items():
        here = (*path, token)
        if token in before:
            more, less = compared(before[token][0], value, below, here)
            changed, removed = changed | more, removed | less
        else:
            changed |= members(value, below, here, containers=True)
    for token, (value, below) in before.items():
        if token not in after:
            removed |= members(value, below, (*path, token), containers=True) | {(*path, token)}
    return changed, removed


def merged(live: Any, wanted: Any, shape: Shape) -> Any:
    """The live value with the wanted one over it."""
    before, after = shape.parts(live), shape.parts(wanted)
    if before is None or after is None:
        return copy.deepcopy(wanted)
    if isinstance(wanted, dict):
        result = copy.deepcopy(live)
        for key, value in wanted.items():
            result[key] = merged(live[key], value, shape.below(key)) if key in live else copy.deepcopy(value)
        return result
    tokens, left = [], list(before)
    for token in after:  # the wanted order; what only the live list has keeps its place in between
        while left and left[0] != token:
            one = left.pop(0)
            if one not in after:
                tokens.append(one)
        left = left[1:]
        tokens.append(token)
    tokens += [token for token in left if token not in after]
    return [_merged_item(before.get(token), after.get(token)) for token in dict.fromkeys(tokens)]


def _merged_item(live: tuple[Any, Shape] | None, wanted: tuple[Any, Shape] | None) -> Any:
    if live and wanted:
        return merged(live[0], wanted[0], wanted[1])
    return copy.deepcopy((live or wanted or (None,))[0])


def without(value: Any, gone: Fields, shape: Shape, path: Path = ()) -> Any:
    """The value without these fields; _GONE for a map or list that loses its last part."""
    parts = shape.parts(value)
    if not parts or not any(one[: len(path)] == path for one in gone):
        return value
    left = {
        token: without(part, gone, below, (*path, token))
        for token, (part, below) in parts.items()
        if (*path, token) not in gone
    }
    left = {token: part for token, part in left.items() if part is not _GONE}
    if not left:
        return _GONE
    return list(left.values()) if isinstance(value, list) else {token[2:]: part for token, part in left.items()}


# -- managedFields -----------------------------------------------------------------------------------------------------


@dataclass
class Manager:
    """One entry of managedFields."""

    name: str
    operation: str
    api_version: str
    fields: Fields = field(default_factory=set)
    time: str = ""

    @property
    def cause(self) -> str:
        """How a conflict names it."""
        return f'conflict with "{self.name}"' + (
            f" using {self.api_version} at {self.time}" if self.operation == "Update" else ""
        )


def read(obj: Json) -> list[Manager]:
    return [
        Manager(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            set(_paths(entry.get("fieldsV1") or {})),
            entry.get("time", ""),
        )
        for entry in obj["metadata"].get("managedFields") or []
        if entry
    ]


def written(managers: Iterable[Manager]) -> list[Json]:
    """managedFields of those that own anything."""
    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": manager.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(manager.fields),
        }
        for manager in sorted(managers, key=lambda one: (one.operation, one.time, one.name))
        if manager.fields
    ]


def _paths(tree: Json, path: Path = ()) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for token, below in tree.items():
        if token != ".":
            yield from _paths(below, (*path, token))


def _tree(fields: Fields) -> Json:
    tree: Json = {}
    for path in sorted(fields):
        here = tree
        for token in path:
            here = here.setdefault(token, {})
        here["."] = {}
    return _trimmed(tree)


def _trimmed(tree: Json) -> Json:
    if set(tree) == {"."}:
        return {}
    return {token: below if token == "." else _trimmed(below) for token, below in tree.items()}


def _of_clients(fields: Fields) -> Fields:
    """Without what no manager owns: the object's identity and what the server sets."""
    return {path for path in fields if path[:1] not in _OWNED_BY_THE_SERVER and path[:2] not in _OWNED_BY_THE_SERVER}


def readable(path: Path) -> str:
    """ ".spec.listeners[name="http"].port", as conflicts name fields."""
    text = ""
    for token in path:
        kind, _colon, rest = token.partition(":")
        keys = json.loads(rest).items() if kind == "k" else ()
        told = ",".join(f"{key}={json.dumps(value)}" for key, value in keys)
        text += {"f": f".{rest}", "k": f"[{told}]", "v": f"[={rest}]"}[kind]
    return text


# -- requests ----------------------------------------------------------------------------------------------------------


def applied(
    live: Json | None, wanted: Json, manager: str, *, force: bool, shape: Shape, time: str
) -> Json | list[Json]:
    """The object after a server-side apply, or the causes of a conflict."""
    wanted = copy.deepcopy(wanted)
    wanted["metadata"].pop("managedFields", None)
    fields = _of_clients(members(wanted, shape))
    mine = Manager(manager, "Apply", wanted["apiVersion"], fields, time)
    if live is None:
        wanted["metadata"]["managedFields"] = written([mine])
        return wanted
    managers = read(live)
    former = next((one for one in managers if (one.name, one.operation) == (manager, "Apply")), None)
    others = [one for one in managers if one is not former]
    result = merged(live, wanted, shape)
    changed = _of_clients(compared(live, result, shape)[0])
    conflicts = [(path, other) for other in others for path in sorted(other.fields & changed)]
    if conflicts and not force:
        return [
            {"reason": "FieldManagerConflict", "field": readable(path), "message": other.cause}
            for path, other in conflicts
        ]
    for path, other in conflicts:
        other.fields.discard(path)
    given_up = (former.fields if former else set()) - fields
    owned = fields.union(*(other.fields for other in others))
    gone = {path for path in given_up if not any(one[: len(path)] == path for one in owned)}
    result = without(result, gone, shape)
    if former and former.fields == fields:
        mine.time = former.time
    result["metadata"]["managedFields"] = written([*others, mine])
    return result


def updated(live: Json | None, new: Json, manager: str, *, shape: Shape, time: str) -> Json:
    """The object after another write than apply: the manager owns what it changed, nobody what it removed."""
    result = copy.deepcopy(new)
    told = read(result) or (read(live) if live else [])
    changed, removed = compared(live or {"metadata": {}}, result, shape)
    changed, removed = _of_clients(changed), _of_clients(removed)
    mine = next((one for one in told if (one.name, one.operation) == (manager, "Update")), None)
    if mine is None:
        mine = Manager(manager, "Update", result["apiVersion"], set(), time)
        told.append(mine)
    for one in told:
        one.fields -= removed if one is mine else changed | removed
    if changed:
        mine.fields |= changed
        mine.time = time
    result["metadata"]["managedFields"] = written(told)
    return result
