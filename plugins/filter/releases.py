# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose Helm release is it? A marker beside the release tells, written before Helm first runs.

Helm keeps no room for such a note in a release, so a ConfigMap ``multicluster.gloo.<release>`` in its namespace holds
it: in annotations, because values of ConfigMaps are never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

RELEASE = "multicluster.gloo/release"
FORMER_REVISION = "multicluster.gloo/former-revision"
FORMER_GROUPS = "multicluster.gloo/former-groups"

Record = Mapping[str, Any]


def release_markers(found: Iterable[Record], releases: Iterable[Record], served: Iterable[str]) -> list[dict[str, Any]]:
    """Markers (ConfigMaps) to apply before the releases are installed.

    *found*: records of objects_info with Helm's Secrets and existing markers. *releases*: {name, namespace, groups},
    where groups are the API groups whose CRDs the release brings. *served*: ``group/version/Kind`` served now.

    An existing marker stays as it is. A release that was there without one is somebody else's: its revision is noted,
    so that it can be given back. Groups that were served before are noted, so that their CRDs are never deleted.
    A release with ``only_crds`` whose groups are served by CRDs that no release brought gets no marker: it must not be
    installed, Helm would refuse those CRDs.
    """
    records = list(found)
    served_groups = {text.split("/")[0] for text in served}
    markers = _markers(records)
    revisions = _revisions(records)
    result = []
    for release in releases:
        key = (release["namespace"], release["name"])
        note = markers.get(key)
        if note is None:
            former = sorted(served_groups.intersection(release.get("groups") or ()))
            if release.get("only_crds") and former and key not in revisions:
                continue
            note = {FORMER_REVISION: str(revisions.get(key, "")), FORMER_GROUPS: ",".join(former)}
        result.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"multicluster.gloo.{release['name']}",
                    "namespace": release["namespace"],
                    "labels": {RELEASE: release["name"]},
                    "annotations": note,
                },
            }
        )
    return result


def marked_releases(found: Iterable[Record]) -> list[dict[str, Any]]:
    """Releases that have a marker, each ``{name, namespace, former_revision, former_groups, revision, upgraded}``.

    ``former_revision`` 0: the release is ours. ``revision`` 0: it is not installed (any more). ``upgraded``: it is
    somebody else's and has a newer revision than before us.
    """
    records = list(found)
    revisions = _revisions(records)
    result = []
    for (namespace, name), note in _markers(records).items():
        former, revision = int(note[FORMER_REVISION] or 0), revisions.get((namespace, name), 0)
        result.append(
            {
                "name": name,
                "namespace": namespace,
                "former_revision": former,
                "former_groups": [group for group in note[FORMER_GROUPS].split(",") if group],
                "revision": revision,
                "upgraded": 0 < former < revision,
            }
        )
    return result


def helm_error(result: Mapping[str, Any], secrets: Iterable[str] = ()) -> str:
    """What Helm said in the failed *result* of kubernetes.core.helm, without the *secrets* its values hold."""
    text = str(result.get("stderr") or result.get("msg") or "Helm gave no reason").strip()
    for secret in secrets:
        if secret:
            text = text.replace(secret, "********")
    return text.removeprefix("Error: ")


def _markers(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, str]]:
    """Annotations of the markers by (namespace, release)."""
    result = {}
    for meta in _metadata(records, "ConfigMap"):
        release = (meta.get("labels") or {}).get(RELEASE)
        if release:
            note = meta.get("annotations") or {}
            result[(meta["namespace"], release)] = {key: note.get(key, "") for key in (FORMER_REVISION, FORMER_GROUPS)}
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
        return {"release_markers": release_markers, "marked_releases": marked_releases, "helm_error": helm_error}
