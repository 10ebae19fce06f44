# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Go's sigs.k8s.io/yaml makes of a text that a template writes without quotes (pure).

kgateway writes names and settings of its proxies in this way. The rule is that reader's and differs from YAML 1.1, 1.2
and PyYAML; tests compare it with the reader (lab/programs/go/yamltext).
"""

from __future__ import annotations

import re

# Other types. The reader compares words in these cases only: oN and yEs are text.
_WORDS = frozenset(
    case
    for word in ("y", "yes", "true", "on", "n", "no", "false", "off", "null")
    for case in (word, word.title(), word.upper())
) | {"", "~", ".nan", ".NaN", ".NAN"} | {
    f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")
}  # fmt: skip

# Numbers without underscores. Dates and sexagesimal numbers are text.
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

# A plain scalar: no indicator at its start, no comment, no end of a key, only printable characters.
_PLAIN = re.compile(
    r"(?:[^ \t\-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^ \t]))(?:[^ \t:#]|:(?=[^ \t])|(?<=[^ \t])#|[ \t]+(?=[^ \t#]))*"
)
_PRINTABLE = re.compile("[\t -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def yaml_keeps(text: str) -> bool:
    """Whether the reader reads the unquoted text as the same text."""
    return (
        _PRINTABLE.fullmatch(text) is not None
        and _PLAIN.fullmatch(text) is not None
        and text not in _WORDS
        and not _is_number(text)
    )


def _is_number(text: str) -> bool:
    if text[0] not in "+-.0123456789":
        return False
    # After a point first, an underscore is read only between digits; elsewhere everywhere.
    plain = re.sub(r"(?<=[0-9])_(?=[0-9])", "", text) if text[0] == "." else text.replace("_", "")
    if _INTEGER.fullmatch(plain) and _fits(plain):
        return True
    return _FLOAT.fullmatch(plain) is not None and _is_finite(plain)


def _fits(integer: str) -> bool:
    """Whether the integer has 64 bits: signed, or unsigned without a sign. Go's base 0: a leading 0 means octal."""
    digits = re.sub(r"^([-+]?)0(?=[0-7])", r"\g<1>0o", integer)
    value = int(digits, 0)
    return -(2**63) <= value < 2**63 or (integer[0] not in "+-" and value < 2**64)


def _is_finite(number: str) -> bool:
    return abs(float(number)) != float("inf")
