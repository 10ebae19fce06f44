# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of a cluster as it is shown: it controls no terminal, reorders no text, and is valid in XML (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# Complete control sequences of terminals: colours, cursor, screen, title, links.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|"
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,2000}(?:\x07|\x1b\\|\x9c)"
)
# Control characters except tab and line feed; a carriage return that overwrites its line; line separators; surrogates
# and noncharacters, which XML does not allow; characters that reorder or hide text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]|\r(?!\n)"
)


def printable(text: str) -> str:
    """*text* without control sequences, and with U+FFFD for other characters that are not printable.

    Tabs and line ends (LF, CR LF) stay.
    """
    return _UNPRINTABLE.sub("\ufffd", _SEQUENCE.sub("", text))


def each_text(value: Any, change: Callable[[str], str] = printable) -> Any:
    """Nested data with ``change`` applied to every text, keys included; tuples become lists."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {each_text(key, change): each_text(below, change) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [each_text(below, change) for below in value]
    return value


def one_line(text: str) -> str:
    """The text on one line."""
    return " ".join(printable(text).split())
