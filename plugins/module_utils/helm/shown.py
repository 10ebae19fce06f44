# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redaction of Helm values and of helm's output (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..k8s import redaction, secret_text
from ..k8s.redaction import Redaction
from ..k8s.secret_text import REDACTED
from .values import Json, same

CHANGED = "(redacted, changed)"


def shown(values: Json) -> Json:
    """The values with REDACTED in place of secrets; all keys are kept."""
    return Redaction().values(values)


def shown_change(before: Json, after: Json) -> tuple[Json, Json]:
    """Both sides redacted; a secret that differs is marked as changed in the second one."""
    return shown(before), _marked(after, shown(after), before)


def _marked(raw: Any, seen: Any, former: Any) -> Any:
    if isinstance(raw, dict) and isinstance(seen, dict):
        below = former if isinstance(former, dict) else {}
        return {key: _marked(raw[key], seen[key], below.get(key)) for key in seen}
    return CHANGED if seen == REDACTED and former is not None and not same(raw, former) else seen


def secret_texts(values: Json) -> set[str]:
    """Every text of the values that is redacted."""
    return set(_hidden(values, shown(values)))


def _hidden(raw: Any, seen: Any) -> Iterator[str]:
    if isinstance(raw, dict) and isinstance(seen, dict):
        for key, value in raw.items():
            yield from _hidden(value, seen.get(key))
    elif isinstance(raw, list) and isinstance(seen, list) and len(raw) == len(seen):
        for value, hidden in zip(raw, seen, strict=True):
            yield from _hidden(value, hidden)
    elif raw != seen:
        yield from _texts(raw)


def _texts(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict):
        raw = list(raw.values())
    if isinstance(raw, list):
        for each in raw:
            yield from _texts(each)
    elif isinstance(raw, str) and raw.strip():
        yield raw


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets and without anything that looks like one."""
    return secret_text.text(redaction.scrub(text, secrets))
