# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walk's records as a table a person can read, by cluster, the first cause at the end (pure)."""

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
    """One line and what colours it: ok, warning, failed, skipped, or "" for none."""

    text: str
    verdict: str = ""


def lines(health: Json, marks: dict[str, str] | None = None, show: str = "all") -> list[Line]:
    """The table: a block for each cluster, then the summary. ``show`` wrong: without what is ok."""
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
    return ", ".join(
        filter(None, [f"{cluster['cluster']} ({roles})", cluster["version"] and f"Kubernetes {cluster['version']}"])
    )


def _rows(rows: list[Json], signs: dict[str, str], width: int) -> Iterator[Line]:
    for cause, group in groupby(rows, key=_folded):
        members = list(group)
        if cause:
            many = f"{len(members)} checks" if len(members) > 1 else members[0]["check"]
            yield Line(f"  {signs['skipped']} {many} skipped {cause}", "skipped")
            continue
        for row in members:
            named = f"{row['object']}: " if row["object"] and row["object"] not in row["seen"] else ""
            yield Line(
                f"  {signs[row['verdict']]} {row['check']:<{width}}  {named}{row['seen']}".rstrip(" :"), row["verdict"]
            )
            if row["hint"]:
                yield Line(f"    {row['hint']}", row["verdict"])
            if row["verdict"] in ("warning", "failed"):
                yield Line(f"    {row['doc']}", row["verdict"])


def _folded(row: Json) -> str:
    """ "because <id> (<cluster>)" of a record that was skipped for another, else ""."""
    return str(row["seen"]) if row["verdict"] == "skipped" and row["seen"].startswith("because ") else ""


def summary(health: Json) -> list[str]:
    """The last lines: how it is, and the first cause with what to do."""
    counts, first = health["counts"], health["first"]
    numbers = ", ".join(f"{counts[name]} {name}" for name in ("ok", "warning", "failed", "skipped") if counts[name])
    unseen = counts["skipped"] and not first
    result = [f"{health['verdict']}{', as far as it could be looked at' if unseen else ''}: {numbers}"]
    if first:
        result.append(f"first: {first['cluster']}: {first['seen'] or first['check']}")
        result += [f"  {text}" for text in (first["hint"], first["doc"]) if text]
    return result


def sentence(health: Json) -> str:
    """The same in one sentence."""
    counts, first = health["counts"], health["first"]
    if not first:
        return f"{counts['ok']} checks ok" + (
            f", {counts['skipped']} could not be looked at" if counts["skipped"] else ""
        )
    hint = f". {first['hint'][0].upper()}{first['hint'][1:]}" if first["hint"] else ""
    return f"{first['cluster']}: {first['id']}: {first['seen'] or first['check']}{hint}. See {first['doc']}"
