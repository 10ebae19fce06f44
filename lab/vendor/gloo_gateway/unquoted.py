"""Values that the controller's chart writes without quotes, as Go's sigs.k8s.io/yaml reads them.

PyYAML with other words and numbers: oN, 12:30:45 and 2026-01-01 are text, 12e_3 and .5_0 are numbers.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_NUMBER = r"""(?x)
    (?=[-+0-9]) [-+]?_*
    (?: 0_*[xX][0-9a-fA-F_]*[0-9a-fA-F]_* | 0_*[bB][01_]*[01]_* | 0_*[oO][0-7_]*[0-7]_*
      | [0-9_]*(?:[0-9]_*\.?|\._*[0-9])[0-9_]*(?:[eE]_*[-+]?_*[0-9][0-9_]*)? )$
"""
_FRACTION = r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?$"


class _Reader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(case for word in words for case in (word, word.title(), word.upper()))})$")


def _number(_reader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    """A number of any kind; one too large for a float stays text."""
    text = node.value.replace("_", "")
    try:
        return node.value if abs(float(text)) == float("inf") else float(text)
    except ValueError:
        return 0


for _tag, _pattern, _starts in (
    ("bool", _words("y", "yes", "true", "on", "n", "no", "false", "off"), "yYtToOnNfF"),
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ("~", "n", "N", "")),
    ("bool", re.compile(r"(?:\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF))$"), "-+."),
    ("float", re.compile(_FRACTION), "."),
    ("float", re.compile(_NUMBER), "-+0123456789"),
):
    _Reader.add_implicit_resolver(_TAG + _tag, _pattern, list(_starts))
_Reader.add_constructor(f"{_TAG}bool", lambda _reader, _node: True)
_Reader.add_constructor(f"{_TAG}float", _number)


def read(text: str) -> Any:
    """The value of ``value: <text>``: text, or some value of another type. Raises yaml.YAMLError."""
    item = yaml.load(f"- value: {text}\n  name: X\n", _Reader)[0]
    if set(item) != {"value", "name"}:
        raise yaml.YAMLError(f"{text!r} is read as {item}")
    return item["value"]
