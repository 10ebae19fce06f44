# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML mappings in the data of a ConfigMap: those of several writers are one mapping (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..k8s.fields import Json, mapping, texts
from ..k8s.redaction import Redaction, fingerprint
from ..k8s.yaml_documents import document, dumped


def with_present(definition: Json, live: Json) -> Json:
    """The ConfigMap with its values added to those that are present. Raises ValueError if these are no mapping.

    A text that has all of them stays as it is, with its comments.
    """
    present = texts(live.get("data"))
    return {
        **definition,
        "data": {key: _added(key, present.get(key, ""), text) for key, text in texts(definition.get("data")).items()},
    }


def _added(key: str, present: str, text: str) -> str:
    found = values_of(key, present)
    both = combined(found, values_of(key, text))
    return present if present and _spelled(both) == _spelled(found) else dumped(both)


def with_shown_data(obj: Json | None) -> Json | None:
    """The ConfigMap for a diff: fingerprints instead of secrets in its values."""
    data = texts(mapping(obj).get("data"))
    return {**mapping(obj), "data": {key: _shown(text) for key, text in data.items()}} if data else obj


def _shown(text: str) -> str:
    try:
        values = document(text)
    except ValueError:
        return fingerprint(text)
    return dumped(_fingerprinted(values, Redaction().values({"": values})[""]))


def _fingerprinted(raw: Any, seen: Any) -> Any:
    if isinstance(raw, dict) and isinstance(seen, dict):
        return {key: _fingerprinted(value, seen.get(key)) for key, value in raw.items()}
    if isinstance(raw, list) and isinstance(seen, list) and len(raw) == len(seen):
        return [_fingerprinted(*pair) for pair in zip(raw, seen, strict=True)]
    return raw if _spelled(raw) == _spelled(seen) else fingerprint(raw)


def values_of(key: str, text: str) -> Json:
    """The mapping in the text of a key. Raises ValueError with the key, which does not quote the text."""
    try:
        found = document(text)
    except ValueError as exc:
        raise ValueError(f"{key} cannot be read: {exc}") from exc
    if not isinstance(found, (dict, type(None))):
        raise ValueError(f"{key} is not a YAML mapping")
    return mapping(found)


def combined(found: Json, wanted: Json) -> Json:
    """*wanted* over *found*, map by map; scalars of equal text, such as false and "false", stay as they were found."""
    result = dict(found)
    for key, value in wanted.items():
        below = result.get(key)
        if isinstance(value, dict):
            result[key] = combined(mapping(below), value)
        elif key not in found or _spelled(below) != _spelled(value):
            result[key] = value
    return result


def contradictions(found: Json, wanted: Json, above: str = "") -> Iterator[str]:
    """The dotted paths at which both have a value, and not the same."""
    for key, value in wanted.items():
        below, path = found.get(key), f"{above}{key}"
        if isinstance(value, dict) and isinstance(below, dict):
            yield from contradictions(below, value, f"{path}.")
        elif below is not None and _spelled(below) != _spelled(value):
            yield path


def _spelled(value: Any) -> str:
    """What a chart's template writes for the value."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
