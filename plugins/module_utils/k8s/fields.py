# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of fields of any Kubernetes object; absent, null and mistyped fields read as empty (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]  # namespace ("" for cluster-scoped objects), name


def mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[Json]:
    """The items of a list of maps."""
    return [item for item in listed(value) if isinstance(item, dict)]


def texts(value: Any) -> dict[str, str]:
    """A map of text, as labels and selectors are."""
    return {str(key): str(text) for key, text in mapping(value).items() if text is not None}


def from_json(text: str | bytes) -> Any:
    """The value. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def dig(value: Any, *path: str) -> Any:
    """The value at a path of keys; None where a key is missing or a parent is not a mapping."""
    for key in path:
        value = mapping(value).get(key)
    return value


def without_nulls(value: Any) -> Any:
    """The value without null entries of mappings: server-side apply must not own them."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def meta(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("metadata"))


def spec_of(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("spec"))


def status_of(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("status"))


def conditions_of(obj: Json | None) -> list[Json]:
    return mappings(status_of(obj).get("conditions"))


def named_condition(conditions: Iterable[Json], kind: str) -> Json:
    """The condition of that type, {} when there is none."""
    return next((each for each in conditions if each.get("type") == kind), {})


def condition(obj: Json | None, kind: str) -> Json:
    """The condition of that type in the object's status, {} when there is none."""
    return named_condition(conditions_of(obj), kind)


def is_true(obj: Json | None, kind: str) -> bool:
    """Whether the object's condition of that type is True."""
    return condition(obj, kind).get("status") == "True"


def name_of(obj: Json | None) -> str:
    return str(meta(obj).get("name") or "")


def key_of(obj: Json | None) -> Key:
    return str(meta(obj).get("namespace") or ""), name_of(obj)


def namespace_of(obj: Json | None) -> str:
    """ "" for a cluster-scoped object."""
    return key_of(obj)[0]


def full_name(obj: Json | None) -> str:
    """namespace/name, or the name alone of a cluster-scoped object."""
    return "/".join(filter(None, key_of(obj)))


def labels_of(obj: Json | None) -> dict[str, str]:
    return texts(meta(obj).get("labels"))


def parse_selector(selector: str) -> dict[str, str]:
    """Labels of an equality selector such as ``app=reviews,version=v1``."""
    pairs = (part.replace("==", "=").partition("=") for part in selector.split(",") if part.strip())
    return {key.strip(): value.strip() for key, _equals, value in pairs}


def labels_match(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether the labels include all wanted ones; no wanted labels match everything."""
    return all(labels.get(key) == value for key, value in wanted.items())


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether the selector of a Service or a workloadSelector matches the labels; an empty one selects nothing."""
    return bool(selector) and labels_match(selector, labels)


def selector_matches(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) matches the labels; an empty one matches everything."""

    def fits(rule: Json) -> bool:
        key, operator, values = rule.get("key"), rule.get("operator"), listed(rule.get("values"))
        if operator == "Exists":
            return key in labels
        if operator == "DoesNotExist":
            return key not in labels
        if operator == "In":
            return labels.get(str(key)) in values
        return labels.get(str(key)) not in values  # NotIn, which a missing label satisfies

    rules = mappings(selector.get("matchExpressions"))
    return labels_match(texts(selector.get("matchLabels")), labels) and all(map(fits, rules))


def title(kind: str, name: str, namespace: str | None = None) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def title_of(obj: Json | None) -> str:
    return title(str(mapping(obj).get("kind")), name_of(obj), meta(obj).get("namespace"))


def seconds(time: Any) -> float | None:
    """RFC 3339 as seconds since the epoch, None when there is none."""
    try:
        return datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):  # the second for years that no clock has
        return None
