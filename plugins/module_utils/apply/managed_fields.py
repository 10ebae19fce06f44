# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Field ownership: reads managedFields (fieldsV1) and reduces an object to the fields of one manager (pure).

A path is a tuple of fieldsV1 tokens: ("f:spec", "f:listeners", 'k:{"name":"http"}', "f:port").
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from ..k8s.fields import Json, mapping, mappings, meta

Path = tuple[str, ...]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def applied_fields(obj: Json, manager: str) -> Json | None:
    """The fieldsV1 that a manager applied (server-side apply of the object itself), None when there are none."""
    for entry in mappings(meta(obj).get("managedFields")):
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return fields_of(entry)
    return None


def fields_of(entry: Json) -> Json:
    """The fieldsV1 of an entry of managedFields."""
    return mapping(entry.get("fieldsV1"))


def owners(obj: Json, manager: str, *, subresources: bool = False) -> list[Json]:
    """The entries of managedFields that a manager did not apply; those of subresources only on request."""
    return [
        entry
        for entry in mappings(meta(obj).get("managedFields"))
        if (subresources or not entry.get("subresource"))
        and (entry.get("subresource") or entry.get("manager") != manager or entry.get("operation") != "Apply")
    ]


def leaves(fields: Json, prefix: Path = ()) -> Iterator[Path]:
    """Every owned path without an owned path below it."""
    children = [token for token in fields if token != "."]
    if not children and prefix:
        yield prefix
    for token in children:
        yield from leaves(fields[token], (*prefix, token))


def covers(fields: Json, path: Path) -> bool:
    """True when the path, or something below it, is in the set."""
    here: Any = fields
    for token in path:
        if token not in here:
            return False
        here = here[token]
    return True


def union(one: Json, other: Json) -> Json:
    """Both sets of fields in one."""
    merged = dict(one)
    for token, below in other.items():
        merged[token] = union(merged[token], below) if token in merged else below
    return merged


def project(value: Any, fields: Json) -> Any:
    """The part of a value that a set of fields covers, in the order of the value."""
    if not fields:
        return copy.deepcopy(value)
    tokens = {token: below for token, below in fields.items() if token != "."}
    if isinstance(value, dict):
        return {
            token[2:]: project(value[token[2:]], below)
            for token, below in tokens.items()
            if token.startswith("f:") and token[2:] in value
        }
    if isinstance(value, list):
        found = []
        for item in value:
            below = next((below for token, below in tokens.items() if _matches(item, token)), None)
            if below is not None:
                found.append(project(item, below))
        return found
    return copy.deepcopy(value)


def find(value: Any, path: Path) -> Any:
    """The value at a path, MISSING when there is none."""
    for token in path:
        value = _step(value, token)
        if value is MISSING:
            return MISSING
    return value


def put(value: Any, path: Path, new: Any) -> None:
    """Set the value at a path; missing containers are created, a missing list item is appended."""
    token, rest = path[0], path[1:]
    if not rest:
        _set(value, token, copy.deepcopy(new))
        return
    below = _step(value, token)
    if below is MISSING:
        below = [] if rest[0][:2] in ("k:", "v:", "i:") else {}
        _set(value, token, below)
        below = _step(value, token)
    put(below, rest, new)


def drop(value: Any, path: Path) -> None:
    """Remove the value at a path, if there is one."""
    parent = find(value, path[:-1])
    token = path[-1]
    if isinstance(parent, dict):
        parent.pop(token[2:], None)
    elif isinstance(parent, list):
        parent[:] = [item for item in parent if not _matches(item, token)]


def dotted(path: Path) -> str:
    """ ".spec.listeners[name=http].port", as the API server writes paths in conflicts."""
    text = ""
    for token in path:
        kind, _colon, rest = token.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={value}" for key, value in json.loads(rest).items()) + "]"
        else:
            text += f"[{rest}]"
    return text


def _step(value: Any, token: str) -> Any:
    if isinstance(value, dict) and token.startswith("f:"):
        return value.get(token[2:], MISSING)
    if isinstance(value, list):
        return next((item for item in value if _matches(item, token)), MISSING)
    return MISSING


def _set(value: Any, token: str, new: Any) -> None:
    if isinstance(value, dict):
        value[token[2:]] = new
        return
    for index, item in enumerate(value):
        if _matches(item, token):
            value[index] = new
            return
    if token.startswith("k:") and isinstance(new, dict):
        new = {**json.loads(token[2:]), **new}
    value.append(new)


def _matches(item: Any, token: str) -> bool:
    kind, _colon, rest = token.partition(":")
    if kind == "k":
        return isinstance(item, dict) and all(item.get(key) == wanted for key, wanted in json.loads(rest).items())
    return kind == "v" and json.loads(rest) == item
