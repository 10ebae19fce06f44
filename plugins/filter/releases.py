# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose Helm release is it? A marker beside the release tells, written before Helm first runs.

Helm keeps no room for such a note in a release, so a ConfigMap ``multicluster.gloo.<release>`` in its namespace holds
it: in annotations, because values of ConfigMaps are never shown. What is older than the marker was there before us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

RELEASE = "multicluster.gloo/release"
FORMER_REVISION = "multicluster.gloo/former-revision"
GROUPS = "multicluster.gloo/groups"
ONLY_CRDS = "multicluster.gloo/only-crds"

Record = Mapping[str, Any]


def marked_releases(found: Iterable[Record]) -> list[dict[str, Any]]:
    """Releases with a marker: whose they are, what they bring, what became of them.

    ``{name, namespace, title, created, former_revision, groups, only_crds, revision, upgraded}``. ``title``:
    namespace/name. ``created``: when the marker was written, before the release was first touched. ``former_revision``
    0: the release is ours. ``groups``: API groups whose CRDs it brings, ``only_crds``: and nothing else. ``revision``
    0: it is not installed (any more). ``upgraded``: it is somebody else's and has a newer revision than before us.
    """
    records = list(found)
    revisions = _revisions(records)
    result = []
    for (namespace, name), note, created in _markers(records):
        former, revision = int(note.get(FORMER_REVISION) or 0), revisions.get((namespace, name), 0)
        result.append(
            {
                "name": name,
                "namespace": namespace,
                "title": f"{namespace}/{name}",
                "created": created,
                "former_revision": former,
                "groups": [group for group in note.get(GROUPS, "").split(",") if group],
                "only_crds": note.get(ONLY_CRDS) == "true",
                "revision": revision,
                "upgraded": 0 < former < revision,
            }
        )
    return result


def _markers(records: Iterable[Record]) -> list[tuple[tuple[str, str], Record, str]]:
    """Each marker's (namespace, release), its annotations and when it was written."""
    result = []
    for meta in _metadata(records, "ConfigMap"):
        release = (meta.get("labels") or {}).get(RELEASE)
        if release:
            key = (str(meta["namespace"]), str(release))
            result.append((key, meta.get("annotations") or {}, str(meta.get("creationTimestamp") or "")))
    return result


def _revisions(records: Iterable[Record]) -> dict[tuple[str, str], int]:
    """Newest revision by (namespace, release), from the labels Helm puts on its Secrets."""
    result: dict[tuple[str, str], int] = {}
    for meta in _metadata(records, "Secret"):
        labels = meta.get("labels") or {}
        if labels.get("owner") == "helm" and labels.get("name"):
            key = (meta["namespace"], labels["name"])
            result[key] = max(result.get(key, 0), int(labels.get("version") or 0))
    return result


def _metadata(records: Iterable[Record], kind: str) -> list[Record]:
    objects = [record.get("object") or {} for record in records if record.get("kind") == kind]
    return [each["metadata"] for each in objects if each.get("metadata")]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "marked_releases": marked_releases,
        }
