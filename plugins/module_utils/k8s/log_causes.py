# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a line of a log means (pure). Logs are read where nothing else holds the cause; what is quoted is redacted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import redaction
from .progress import one_line

#: lines read of a container at most
LINES = 200
#: characters shown of a line, and how many of them are its first
EXCERPT, HEAD = 300, 120


@dataclass(frozen=True)
class Pattern:
    """A regular expression and what to do where it is found; ``good``: all is well again after such a line."""

    text: str
    hint: str = ""
    good: bool = False


@dataclass(frozen=True)
class Cause:
    """The line that says it, redacted, and what to do."""

    line: str
    hint: str


#: a licence that is not in order; that there is one is written, too
NO_LICENCE = (
    r"\b(no|missing|invalid|expired|empty|without)\b[^.;]{0,40}\blicen[cs]e|"
    r"\blicen[cs]e\b.{0,60}\b(expired|invalid|missing|required|empty|failed|not (found|set|valid))"
)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def cause(text: str, patterns: Sequence[Pattern], since: str = "") -> Cause | None:
    """What the log says last that matters; None when that is good, or nothing.

    since: RFC 3339, whole seconds, of UTC; what a line with an earlier time at its start says is about something past.
    """
    for line in reversed(text.splitlines()[-LINES:]):
        if since and _TIME.match(line) and line < since.rstrip("Z"):
            return None
        for pattern in patterns:
            if re.search(pattern.text, line, re.IGNORECASE):
                return None if pattern.good else Cause(quote(line), pattern.hint)
    return None


def quote(line: str) -> str:
    """A line as it may be shown: one line, without secrets, not too long."""
    text = redaction.text(one_line(line))
    # An error of Go ends with its root.
    return text if len(text) <= EXCERPT else f"{text[:HEAD]} ... {text[HEAD + 5 - EXCERPT :]}"
