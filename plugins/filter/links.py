# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A chain of objects that need each other: which link is broken?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def broken_links(found: Iterable[Record], links: Iterable[Record], cluster: str) -> list[str]:
    """A sentence for every one of *links* that is missing, not ready or scaled to nothing, in the order of *links*.

    *found*: records of objects_info. A link is ``{api_version, kind, name, namespace, hint}``; the hint says what the
    missing object means and what to do.
    """
    by_name = {(each["kind"], each.get("namespace") or "", each["name"]): each for each in found}
    result = []
    for link in links:
        place = f"{link['namespace']}/" if link.get("namespace") else ""
        title = f"{cluster}: {link['kind']} {place}{link['name']}"
        hint = f". {link['hint']}" if link.get("hint") else ""
        record = by_name.get((link["kind"], link.get("namespace") or "", link["name"]))
        if record is None:
            result.append(f"{title} does not exist{hint}")
        elif (record["object"].get("spec") or {}).get("replicas") == 0:
            result.append(f"{title} is scaled to 0 replicas{hint}")
        elif record["ready"] != "ready":
            result.append(f"{title} is not ready: {record['reason']}{hint}")
    return result


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"broken_links": broken_links}
