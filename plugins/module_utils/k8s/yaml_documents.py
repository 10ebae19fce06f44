# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML of others, such as values in ConfigMaps and manifests in Helm's records (pure)."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from .yaml_text import yaml_keeps

try:
    import yaml
except ImportError:  # remote host: PyYAML is a dependency of the package kubernetes; reported on use
    yaml = None  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"
# Aliases can make a small text huge, or refer to themselves.
_MOST_NODES, _DEEPEST = 1_000_000, 100
#: what a tag such as !!binary makes of a value
_TAGGED: dict[type, str] = {bytes: "binary data (!!binary)", set: "a set (!!set)", tuple: "pairs (!!pairs or !!omap)"}


def documents(text: str) -> list[Any]:
    """The documents of a YAML text, of JSON's types. Raises ValueError, which does not quote the text, for any other.

    Times and sexagesimal numbers such as 12:30 are text, as they are for Kubernetes and Helm.
    """
    try:
        _check_depth(text)
        found = list(yaml.load_all(text, Loader=_loader()))
    # PyYAML raises these as well, for example for "!!int x" and "!!bool maybe".
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as exc:
        raise ValueError("it is not valid YAML") from exc
    level, nodes, depth = list(found), 0, 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if nodes > _MOST_NODES or depth > _DEEPEST:
            raise ValueError("its YAML is too large or too deeply nested")
        level = [below for each in level for below in _below(each)]
    return found


def document(text: str) -> Any:
    """The only document, None for an empty text. Raises ValueError, also for several documents."""
    found = documents(text)
    if len(found) > 1:
        raise ValueError("it has several YAML documents")
    return found[0] if found else None


def dumped(value: Any) -> str:
    """A value of JSON's types as YAML that every reader reads as the same; texts are quoted where readers differ."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        return dumper.represent_scalar(f"{_TAG}str", data, style=None if yaml_keeps(data) else '"')

    Dumper.add_representer(str, text)
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000))


def _below(value: Any) -> list[Any]:
    """The values in a map or list. Raises ValueError for a value that JSON does not have."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"its YAML has {'.nan, which is no number' if math.isnan(value) else 'an infinite number'}")
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise ValueError(
            f"its YAML has {_TAGGED.get(type(value), 'a tagged value')}, which Kubernetes objects cannot have"
        )
    return []


def _check_depth(text: str) -> None:
    """Raises ValueError for nesting that would end the process: the fast loader recurses without a limit."""
    if sum(map(text.count, "[{-?")) < 1000:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError("too deeply nested")


@cache
def _loader() -> Any:
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            tag = super().resolve(kind, value, implicit)
            is_text = tag == f"{_TAG}timestamp" or (":" in (value or "") and tag in (f"{_TAG}int", f"{_TAG}float"))
            return f"{_TAG}str" if is_text else tag

    return Loader
