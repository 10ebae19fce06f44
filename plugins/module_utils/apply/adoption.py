# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adopted objects, which existed before: records and restores the former values of the fields we set (pure)."""

from __future__ import annotations

import copy
import json
from collections import Counter

from ..k8s.fields import Json, from_json
from .managed_fields import MISSING, Path, applied_fields, covers, drop, fields_of, find, leaves, owners, put
from .manifests import FORMER_ANNOTATION, MANAGER

# Manager of restored fields that had none: an entry of managedFields requires a name.
_NO_OWNER = f"before-{MANAGER}"

_ANNOTATION_PATH: Path = ("f:metadata", "f:annotations", f"f:{FORMER_ANNOTATION}")


def former_values(live: Json, after: Json) -> list[Json]:
    """[{path, value, manager, operation}] of the fields that our (dry-run) apply takes from others.

    These are changed values, and equal ones in another notation (1000m for 1), whose owner loses ownership. ``path`` is
    a list of fieldsV1 tokens. Values recorded by an earlier run have precedence: they are the original ones.
    """
    remembered = read(live)
    known = {tuple(row["path"]) for row in remembered}
    others, others_after = owners(live, MANAGER), owners(after, MANAGER)
    mine_before = applied_fields(live, MANAGER) or {}
    for path in leaves(applied_fields(after, MANAGER) or {}):
        if path in known or path == _ANNOTATION_PATH:
            continue
        former = find(live, path)
        if former is MISSING:
            continue
        owner = next((entry for entry in others if covers(fields_of(entry), path)), None)
        if owner is None and covers(mine_before, path):
            continue  # already ours alone: its former value is recorded, or there was none
        lost = owner is not None and not any(covers(fields_of(entry), path) for entry in others_after)
        if lost or former != find(after, path):
            row: Json = {"path": list(path), "value": former}
            if owner is not None:
                row.update(manager=owner.get("manager", ""), operation=owner.get("operation", "Update"))
            remembered.append(row)
    return remembered


def read(live: Json) -> list[Json]:
    """The recorded values of an adopted object; [] when there are none."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(FORMER_ANNOTATION)
    if not text:
        return []
    try:
        rows = from_json(text)
    except ValueError:
        return []
    return [row for row in rows if isinstance(row, dict) and row.get("path")] if isinstance(rows, list) else []


def with_former(wanted: Json, rows: list[Json]) -> Json:
    """The desired object with the recorded values, as applied to an adopted object."""
    if not rows:
        return wanted
    annotated = copy.deepcopy(wanted)
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    annotated["metadata"].setdefault("annotations", {})[FORMER_ANNOTATION] = text
    return annotated


def restored(live: Json) -> tuple[Json, str] | None:
    """(object to PUT, field manager of the PUT) to restore the former values; None when there are none.

    Fields that only we own are removed in the same write, so that a required field is never missing in between. Our
    entry is removed from managedFields; the API server assigns every changed value to the manager of the PUT, and
    unchanged values are assigned to their former owner here.
    """
    rows = read(live)
    if not rows:
        return None
    obj = copy.deepcopy(live)
    mine = applied_fields(live, MANAGER) or {}
    others = [fields_of(entry) for entry in owners(live, MANAGER)]
    former = {tuple(row["path"]) for row in rows}
    # A list item that only we own is removed as a whole, before its key fields could be removed alone; deepest first.
    for path in sorted(_only_ours(mine, others), key=lambda path: (not path[-1].startswith("k:"), -len(path))):
        if not any(kept[: len(path)] == path for kept in former):
            drop(obj, path)
            _drop_empty_parents(obj, path, others, former)
    for row in rows:
        put(obj, tuple(row["path"]), row["value"])
    annotations = obj["metadata"].get("annotations") or {}
    annotations.pop(FORMER_ANNOTATION, None)
    if not annotations:
        obj["metadata"].pop("annotations", None)
    entries = owners(obj, MANAGER, subresources=True)
    for row in rows:
        if find(live, tuple(row["path"])) == row["value"]:
            _assign(entries, row, live["apiVersion"])
    obj["metadata"]["managedFields"] = entries
    managers = Counter(row["manager"] for row in rows if row.get("manager"))
    return obj, managers.most_common(1)[0][0] if managers else _NO_OWNER


def _drop_empty_parents(obj: Json, path: Path, others: list[Json], former: set[Path]) -> None:
    """Remove containers that are empty without our field: an incomplete reference may not be valid."""
    for length in range(len(path) - 1, 0, -1):
        parent = path[:length]
        if find(obj, parent) not in ({}, []) or any(covers(fields, parent) for fields in others):
            return
        if any(kept[:length] == parent for kept in former):
            return
        drop(obj, parent)


def _assign(entries: list[Json], row: Json, api_version: str) -> None:
    """Assign the row's path to its former owner."""
    manager, operation = row.get("manager") or _NO_OWNER, row.get("operation") or "Update"
    for entry in entries:
        if entry.get("manager") == manager and entry.get("operation") == operation and not entry.get("subresource"):
            break
    else:
        entry = {"manager": manager, "operation": operation, "apiVersion": api_version, "fieldsType": "FieldsV1"}
        entries.append(entry)
    here = entry.setdefault("fieldsV1", {})
    for token in row["path"]:
        here = here.setdefault(token, {})


def without_our_fields(live: Json) -> Json:
    """The object to apply so that we own no field; fields that only we owned are removed."""
    meta = {key: live["metadata"][key] for key in ("name", "namespace") if live["metadata"].get(key)}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta}


def _only_ours(mine: Json, others: list[Json], prefix: Path = ()) -> list[Path]:
    found: list[Path] = []
    for token, below in mine.items():
        if token == ".":
            continue
        path = (*prefix, token)
        shared = any(covers(fields, path) for fields in others)
        whole_item = token.startswith("k:") and "." in below
        children = [name for name in below if name != "."]
        if not shared and (whole_item or not children):
            found.append(path)
        elif children:
            found.extend(_only_ours(below, others, path))
    return found
