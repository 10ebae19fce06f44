# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose Helm release is it? A marker beside the release tells, written before Helm first runs.

Helm keeps no room for such a note in a release, so a ConfigMap ``multicluster.gloo.<release>`` in its namespace holds
it: in annotations, because values of ConfigMaps are never shown. What is older than the marker was there before us.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

RELEASE = "multicluster.gloo/release"
FORMER_REVISION = "multicluster.gloo/former-revision"
GROUPS = "multicluster.gloo/groups"
ONLY_CRDS = "multicluster.gloo/only-crds"

HELM_NAME = "meta.helm.sh/release-name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"

# Keys of Helm values under which a text is a secret.
SECRET_KEY = re.compile(r"licen[cs]e|key|token|passw|secret|credential", re.IGNORECASE)
HIDDEN = "********"

Record = Mapping[str, Any]


def release_markers(found: Iterable[Record], releases: Iterable[Record], served: Iterable[str]) -> list[dict[str, Any]]:
    """Markers (ConfigMaps) to apply before the releases are installed.

    *found*: records of objects_info with Helm's Secrets and existing markers. *releases*: {name, namespace, groups,
    only_crds}, where groups are the API groups whose CRDs the release brings. *served*: ``group/version/Kind`` served
    now.

    A release that was there without a marker is somebody else's: its revision is noted, so that it can be given back.
    An existing marker keeps its revision. A release with ``only_crds`` whose groups are served by CRDs that no release
    brought gets no marker: it must not be installed, Helm would refuse those CRDs.
    """
    records = list(found)
    served_groups = {text.split("/")[0] for text in served}
    notes = {key: note for key, note, _created in _markers(records)}
    revisions = _revisions(records)
    result = []
    for release in releases:
        key = (release["namespace"], release["name"])
        groups = sorted(release.get("groups") or ())
        only_crds = bool(release.get("only_crds"))
        former = notes[key].get(FORMER_REVISION, "") if key in notes else str(revisions.get(key, ""))
        if only_crds and served_groups.intersection(groups) and key not in notes and key not in revisions:
            continue
        annotations = {FORMER_REVISION: former, GROUPS: ",".join(groups), ONLY_CRDS: str(only_crds).lower()}
        result.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"multicluster.gloo.{release['name']}",
                    "namespace": release["namespace"],
                    "labels": {RELEASE: release["name"]},
                    "annotations": annotations,
                },
            }
        )
    return result


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


def helm_error(result: Mapping[str, Any], secrets: Iterable[Any] = ()) -> str:
    """What Helm said in the failed *result* of kubernetes.core.helm, without the *secrets* its values hold.

    *secrets*: texts, and Helm values, of which texts under keys that sound secret are hidden. Hidden as they are, and
    as Helm may quote them: in base64 and as JSON.
    """
    text = str(result.get("stderr") or result.get("msg") or "Helm gave no reason").strip()
    forms = {form for secret in _secrets(secrets, True) for form in _forms(secret)}
    # The longest first: one secret may be part of another.
    for form in sorted(forms, key=lambda each: (-len(each), each)):
        text = text.replace(form, HIDDEN)
    return text.removeprefix("Error: ")


def helm_failed(result: Mapping[str, Any]) -> bool:
    """Whether the *result* of Helm is a failure, also one that ``failed_when: false`` took for none.

    Helm's module gives a message only when it fails, a command an empty one when it succeeds; Ansible 2.19 keeps the
    suppressed error beside it.
    """
    return any(result.get(key) for key in ("failed", "failed_when_suppressed_exception", "rc", "msg"))


def _secrets(node: Any, secret: bool) -> Iterator[str]:
    """Texts of *node* that are secret: all of them, or those under keys that sound secret."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _secrets(value, SECRET_KEY.search(str(key)) is not None)
    elif isinstance(node, str):
        if secret and node.strip():
            yield node
    elif isinstance(node, Iterable):
        for each in node:
            yield from _secrets(each, secret)


def _forms(secret: str) -> Iterator[str]:
    for text in (secret, secret.strip()):
        yield text
        yield base64.b64encode(text.encode()).decode()
        yield json.dumps(text)[1:-1]


def release_workloads(found: Iterable[Record], release: Record, pods: bool = False) -> list[dict[str, str]]:
    """Questions for objects_info that find what runs for *release* (name, namespace); with *pods* its Pods, too.

    *found*: records of Deployments, DaemonSets and StatefulSets. Helm writes into each object whose release it is of.
    """
    result = []
    for record in found:
        meta = (record.get("object") or {}).get("metadata") or {}
        notes = meta.get("annotations") or {}
        if (notes.get(HELM_NAME), notes.get(HELM_NAMESPACE)) != (release["name"], release["namespace"]):
            continue
        namespace = str(record["namespace"])
        query = {"api_version": str(record["api_version"]), "kind": str(record["kind"]), "namespace": namespace}
        result.append({**query, "name": str(record["name"])})
        labels = ((record["object"].get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if pods and labels:
            selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            result.append({"api_version": "v1", "kind": "Pod", "namespace": namespace, "label_selector": selector})
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
            "release_markers": release_markers,
            "marked_releases": marked_releases,
            "helm_error": helm_error,
            "helm_failed": helm_failed,
            "release_workloads": release_workloads,
        }
