# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helm values: merges ours over the user's, and removes ours again (pure).

A path is a tuple of keys. Lists are leaf values, because Helm replaces them as a whole.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]


def merged(theirs: Json, ours: Json) -> Json:
    """``ours`` over ``theirs``, map by map. A new dict."""
    result = copy.deepcopy(theirs)
    for key, value in ours.items():
        below = result.get(key)
        if isinstance(value, dict):
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def leaf_paths(values: Json) -> tuple[Path, ...]:
    """The paths of all leaf values, sorted."""
    return tuple(sorted(_leaves(values, ())))


def _leaves(values: Json, above: Path) -> Iterator[Path]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key))


def restored(values: Json, paths: Iterable[Path], former: Json) -> Json:
    """``values`` with the entries at ``paths`` removed, or set to their value in ``former``. A new dict.

    With former = U, paths = leaf_paths(O) and values = merged(U, O) the result is U.
    """
    result = copy.deepcopy(values)
    places = list(paths)
    for path in places:
        _remove(result, path)
    for path in places:
        _put_back(result, path, former)
    return result


def _remove(values: Json, path: Path) -> None:
    parents = [values]
    for key in path[:-1]:
        below = parents[-1].get(key)
        if not isinstance(below, dict):
            return
        parents.append(below)
    # A non-empty map was set by others since.
    if not (isinstance(found := parents[-1].get(path[-1]), dict) and found):
        parents[-1].pop(path[-1], None)
    for parent, key in reversed(list(zip(parents, path[:-1], strict=False))):
        if parent[key]:
            return
        del parent[key]


def _put_back(values: Json, path: Path, former: Json) -> None:
    """A value already present in ``values`` was set since and is kept."""
    for depth, key in enumerate(path, 1):
        if key not in former:
            return
        if depth == len(path) or not isinstance(former[key], dict):
            values.setdefault(key, copy.deepcopy(former[key]))
            return
        former = former[key]
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            return


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same for Helm: 1 and 1.0 are, 1 and true are not.

    Helm stores numbers as floats, so integers beyond 2^53 lose digits.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    with contextlib.suppress(OverflowError):  # an integer beyond 1e308
        if isinstance(one, (int, float)) and isinstance(other, (int, float)):
            return float(one) == float(other)
    return bool(one == other)


def at(path: Path, value: Any) -> Json:
    """Values with ``value`` at ``path``."""
    for key in reversed(path):
        value = {key: value}
    result: Json = value
    return result


def value_at(path: Path, values: Any) -> Any:
    """The value at ``path``; () when nothing is set there."""
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return ()
        values = values[key]
    return values
