# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds causes in log lines (pure). Logs are read only if no object shows the cause; quoted lines are redacted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import redaction
from .printable import one_line

#: maximum number of lines read of a container
LINES = 200
#: maximum number of characters shown of a line, and how many of them are from its start
EXCERPT, HEAD = 300, 120


@dataclass(frozen=True)
class Pattern:
    """A regular expression and what to do about a line that matches; ``good``: the line reports a recovery."""

    text: str
    hint: str = ""
    good: bool = False


@dataclass(frozen=True)
class Cause:
    """The log line, redacted, and what to do."""

    line: str
    hint: str


#: A licence that is missing or not valid; logs mention valid ones too.
NO_LICENCE = (
    r"\b(no|missing|invalid|expired|empty|without)\b[^.;]{0,40}\blicen[cs]e|"
    r"\blicen[cs]e\b.{0,60}\b(expired|invalid|missing|required|empty|failed|not (found|set|valid))"
)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def cause(text: str, patterns: Sequence[Pattern], since: str = "") -> Cause | None:
    """The last line that matches a pattern; None when it reports a recovery or no line matches.

    since: RFC 3339 in UTC, whole seconds; lines that start with an earlier time are ignored.
    """
    for line in reversed(text.splitlines()[-LINES:]):
        if since and _TIME.match(line) and line < since.rstrip("Z"):
            return None
        for pattern in patterns:
            if re.search(pattern.text, line, re.IGNORECASE):
                return None if pattern.good else Cause(quote(line), pattern.hint)
    return None


def quote(line: str) -> str:
    """A log line for messages: without secrets and control characters, shortened."""
    text = redaction.text(one_line(line))
    # The root cause is at the end of a Go error.
    return text if len(text) <= EXCERPT else f"{text[:HEAD]} ... {text[HEAD + 5 - EXCERPT :]}"
