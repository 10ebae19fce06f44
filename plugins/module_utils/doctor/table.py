# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result as a text table: a block for each cluster, then the first failure (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from ..k8s.fields import Json

MARKS = {
    "ok": "\N{SQUARE ROOT}",
    "warning": "\N{DOUBLE EXCLAMATION MARK}",
    "failed": "\N{MULTIPLICATION SIGN}",
    "skipped": "-",
}
ASCII_MARKS = {"ok": "v", "warning": "!", "failed": "x", "skipped": "-"}


class Line(NamedTuple):
    """One line and the verdict that colours it, "" for none."""

    text: str
    verdict: str = ""


def lines(health: Json, marks: dict[str, str] | None = None, show: str = "all") -> list[Line]:
    """The table: a block for each cluster, then the summary. ``show`` problems: without checks that are ok."""
    signs = marks or MARKS
    shown = [row for row in health["checks"] if show == "all" or row["verdict"] != "ok"]
    width = max((len(row["check"]) for row in shown), default=0)
    result = []
    for cluster in health["clusters"]:
        rows = [row for row in shown if row["cluster"] == cluster["cluster"]]
        if rows:
            result += [Line(_heading(cluster)), *_rows(rows, signs, width), Line("")]
    return result + [Line(text, health["verdict"]) for text in summary(health)]


def _heading(cluster: Json) -> str:
    roles = cluster["role"] + (" with gateway" if cluster["gateway"] else "")
    version = f", Kubernetes {cluster['version']}" if cluster["version"] else ""
    return f"{cluster['cluster']} ({roles}){version}"


def _rows(rows: list[Json], signs: dict[str, str], width: int) -> Iterator[Line]:
    for reason, group in groupby(rows, key=_skip_reason):
        members = list(group)
        if reason:
            many = f"{len(members)} checks" if len(members) > 1 else members[0]["check"]
            yield Line(f"  {signs['skipped']} {many} skipped {reason}", "skipped")
            continue
        for row in members:
            verdict = row["verdict"]
            yield Line(f"  {signs[verdict]} {row['check']:<{width}}  {_located(row)}".rstrip(), verdict)
            if verdict in ("warning", "failed"):
                yield from (Line(f"    {text}", verdict) for text in (row["hint"], row["doc"]) if text)


def _skip_reason(row: Json) -> str:
    """The "because <id> failed in <cluster>" of a record that was skipped for another, else ""."""
    return str(row["message"]) if row["verdict"] == "skipped" and row["message"].startswith("because ") else ""


def _located(row: Json) -> str:
    """The message, prefixed with its object."""
    parts = [row["object"] if row["object"] not in row["message"] else "", row["message"]]
    return ": ".join(filter(None, parts))


def summary(health: Json) -> list[str]:
    """The last lines: the verdict, and the first problem with its hint."""
    counts, first = health["counts"], health["first"]
    numbers = ", ".join(f"{counts[name]} {name}" for name in ("failed", "warning", "ok", "skipped") if counts[name])
    result = [f"{health['verdict']}{_not_evaluated(health)}: {sum(counts.values())} checks, {numbers}"]
    if first:
        label = "first failure" if health["verdict"] == "failed" else "first warning"
        result.append(f"{label}: {first['cluster']}: {_located(first) or first['check']}")
        result += [f"  {text}" for text in (first["hint"], first["doc"]) if text]
    return result


def _not_evaluated(health: Json) -> str:
    count = health["counts"]["skipped"]
    if health["first"] or not count:
        return ""
    return f" ({count} check{'' if count == 1 else 's'} could not be evaluated)"


def sentence(health: Json) -> str:
    """The summary in one sentence."""
    counts, first = health["counts"], health["first"]
    if not first:
        return f"{counts['ok']} checks ok{_not_evaluated(health)}"
    hint = first["hint"]
    sentences = [f"{first['cluster']}: {_located(first) or first['check']}", f"{hint[:1].upper()}{hint[1:]}"]
    texts = [text if text.endswith((".", "?")) else f"{text}." for text in sentences if text]
    return f"{' '.join(texts)} See {first['doc']}"
