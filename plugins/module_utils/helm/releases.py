# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads Helm releases from Helm's records, and the note that this collection keeps for a release.

Helm stores one record per revision: a Secret (or a ConfigMap with HELM_DRIVER=configmap) named
``sh.helm.release.v1.<release>.v<revision>`` whose labels give name, status and revision and whose key ``release`` is
base64(gzip(JSON)) (helm.sh/helm pkg/storage/driver). The note is a ConfigMap ``multicluster.gloo.<release>`` that is
written before Helm first runs: its creationTimestamp separates objects created by the release from older ones.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ..k8s import yaml_documents
from ..k8s.client import FIELD_MANAGER, Cluster, Json
from ..k8s.errors import Invalid
from ..k8s.fields import dig, from_json, key_of, labels_of, mapping, mappings, meta, name_of, texts

# Status values of Helm (pkg/release/status.go).
DEPLOYED = "deployed"
SUPERSEDED = "superseded"
UNINSTALLED = "uninstalled"
UNINSTALLING = "uninstalling"
FAILED = "failed"
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")

# Annotations of the note.
NOTE_LABEL = "multicluster.gloo/release"
FORMER_REVISION = "multicluster.gloo/former-revision"
FORMER_VERSION = "multicluster.gloo/former-version"
GROUPS = "multicluster.gloo/groups"
ONLY_CRDS = "multicluster.gloo/only-crds"
VALUE_PATHS = "multicluster.gloo/value-paths"
LEFT_OUT = "multicluster.gloo/left-out"
OUR_VERSION = "multicluster.gloo/our-version"
WRITER = "multicluster.gloo/writer"
INSTALLED = "multicluster.gloo/installed"

RECORD_KINDS = {"secret": "Secret", "configmap": "ConfigMap"}
# A record is at most 1 MiB (etcd); a chart's text shrinks by a factor of ten or so.
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Release:
    """One revision of a release. ``values``: the user-supplied ones, without the chart's defaults.

    ``status`` is Helm's status, ``updated`` the time of its last change in RFC 3339 ("" when the record has none),
    ``deleted`` when it was uninstalled, ``installed`` when the release was installed: the same in all later revisions.
    ``stored_chart``: the chart in the record, without its subcharts. ``values`` may contain secrets.
    """

    name: str
    namespace: str
    revision: int
    status: str
    chart: str
    chart_version: str
    app_version: str
    updated: str
    deleted: str
    values: Json = field(repr=False)
    manifest: str = field(repr=False)
    stored_chart: Json = field(repr=False)
    installed: str = ""

    @cached_property
    def crds(self) -> tuple[str, ...]:
        """Names of the CRDs in the chart's folder crds/ and in the manifest, sorted."""
        files = mappings(self.stored_chart.get("files"))
        found = [_text(file.get("data")) for file in files if str(file.get("name", "")).startswith("crds/")]
        return tuple(sorted({name for text in [*found, self.manifest] for name in crd_names(text)}))

    @cached_property
    def only_crds(self) -> bool:
        """Whether the release consists of CRDs and nothing else."""
        return bool(self.crds) and all(_KIND_CRD.search(part) for part in documents(self.manifest))

    @cached_property
    def objects(self) -> tuple[Json, ...]:
        """The objects of the manifest, CRDs without their schemas."""
        return manifest_objects(self.manifest)


@dataclass(frozen=True)
class Note:
    """The note that this collection writes before its first change to a release.

    ``former_revision``: the last deployed revision before our first change; 0: none, so the release is ours.
    ``former_version``: chart version of that revision ("" in notes of older versions of this collection).
    ``created``: since when (RFC 3339). ``brings_groups``: API groups whose CRDs the release installed.
    ``paths``: places in the values that we set, None in notes of older versions of this collection.
    ``our_version``: chart version to which we upgraded an adopted release, "" when we did not.
    ``left_out``: values that we set to false because another release owns those CRDs.
    ``writer``: the process that last ran Helm for the release, and the revision it made.
    ``installed``: which installation of the release the note is about (``Release.installed``); "" when not known.
    The values of ``former_revision`` are in a Secret of the same name (see ``read_former_values``).
    """

    name: str
    namespace: str
    created: str = ""
    former_revision: int = 0
    former_version: str = ""
    brings_groups: tuple[str, ...] = ()
    only_crds: bool = False
    paths: tuple[tuple[str, ...], ...] | None = None
    our_version: str = ""
    left_out: tuple[str, ...] = ()
    writer: str = ""
    installed: str = ""

    @property
    def ours(self) -> bool:
        """Whether the release did not exist before our note."""
        return self.former_revision == 0

    @property
    def last_revision(self) -> int:
        """The revision that we made last, 0 when that is not noted."""
        return _number(self.writer.rpartition(" ")[2])

    @property
    def object_name(self) -> str:
        """Name of the note's ConfigMap, and of the Secret with former values."""
        return note_name(self.name)

    def to_object(self) -> Json:
        """The ConfigMap to apply. Uses annotations, because values of ConfigMaps are always redacted."""
        annotations = {
            FORMER_REVISION: str(self.former_revision or ""),
            FORMER_VERSION: self.former_version,
            GROUPS: ",".join(self.brings_groups),
            ONLY_CRDS: str(self.only_crds).lower(),
            OUR_VERSION: self.our_version,
            LEFT_OUT: ",".join(self.left_out),
            WRITER: self.writer,
            INSTALLED: self.installed,
        }
        if self.paths is not None:
            annotations[VALUE_PATHS] = json.dumps(self.paths)
        labels = {NOTE_LABEL: self.name, "app.kubernetes.io/managed-by": FIELD_MANAGER}
        meta = {"name": self.object_name, "namespace": self.namespace, "labels": labels, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}

    def former_values_object(self, values: Json) -> Json:
        """The Secret that stores the values of others until the release is restored."""
        data = base64.b64encode(json.dumps(values, sort_keys=True).encode()).decode()
        meta = {"name": self.object_name, "namespace": self.namespace, "labels": {NOTE_LABEL: self.name}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": {"values": data}}

    @classmethod
    def from_object(cls, config_map: Json) -> Note:
        """The note in a ConfigMap with the label of notes; invalid annotations count as absent."""
        annotations = texts(meta(config_map).get("annotations"))
        return cls(
            name=labels_of(config_map).get(NOTE_LABEL, ""),
            namespace=key_of(config_map)[0],
            created=str(meta(config_map).get("creationTimestamp") or ""),
            former_revision=_number(annotations.get(FORMER_REVISION)),
            former_version=str(annotations.get(FORMER_VERSION) or ""),
            brings_groups=_words(annotations.get(GROUPS)),
            only_crds=annotations.get(ONLY_CRDS) == "true",
            paths=_paths(annotations.get(VALUE_PATHS)),
            our_version=str(annotations.get(OUR_VERSION) or ""),
            left_out=_words(annotations.get(LEFT_OUT)),
            writer=str(annotations.get(WRITER) or ""),
            installed=str(annotations.get(INSTALLED) or ""),
        )


@dataclass(frozen=True)
class Record:
    """One revision as stored by Helm; decoded on access to ``release``."""

    cluster: str
    stored: Json = field(repr=False)

    @property
    def _labels(self) -> Json:
        return labels_of(self.stored)

    @property
    def name(self) -> str:
        return str(self._labels.get("name") or "")

    @property
    def namespace(self) -> str:
        return key_of(self.stored)[0]

    @property
    def revision(self) -> int:
        return _number(self._labels.get("version"))

    @property
    def status(self) -> str:
        return str(self._labels.get("status") or "unknown")

    @property
    def updated(self) -> str:
        """Time of Helm's last write, RFC 3339; "" when its labels lack it."""
        seconds = _number(self._labels.get("modifiedAt")) or _number(self._labels.get("createdAt"))
        try:
            found = datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else ""
        except (ValueError, OverflowError, OSError):
            found = ""
        return found.replace("+00:00", "Z") or self.created

    @property
    def created(self) -> str:
        """Time of creation, RFC 3339."""
        return str(meta(self.stored).get("creationTimestamp") or "")

    @cached_property
    def release(self) -> Release:
        """The decoded record. Raises Invalid when it is not a Helm record."""
        try:
            return decode(self.stored)
        except ValueError as exc:
            kind = self.stored.get("kind", "Secret")
            title = f"{kind} {self.namespace}/{name_of(self.stored)}"
            raise Invalid(
                f"{self.cluster}: {title}: this record of Helm release {self.name} cannot be read: {exc}. "
                f"Check it with: helm history {self.name} --namespace {self.namespace}",
                cluster=self.cluster,
            ) from None


@dataclass(frozen=True)
class ReleaseHistory:
    """One release: its records, oldest first, and our note about this installation.

    ``reinstalled``: there is a note, but about an earlier installation, which others uninstalled.

    ``records`` include superseded revisions only when requested. ``driver``: secret or configmap, "" when
    there is no record.
    """

    name: str
    namespace: str
    driver: str = ""
    note: Note | None = None
    records: tuple[Record, ...] = ()
    reinstalled: bool = False

    @property
    def revisions(self) -> tuple[tuple[int, str, str], ...]:
        """(revision, status, updated) of each record, oldest first."""
        return tuple((record.revision, record.status, record.updated) for record in self.records)

    @property
    def newest(self) -> Release | None:
        """The newest revision, with any status."""
        return self.records[-1].release if self.records else None

    @property
    def deployed(self) -> Release | None:
        """The last revision whose status is deployed."""
        found = [record for record in self.records if record.status == DEPLOYED]
        return found[-1].release if found else None

    @property
    def title(self) -> str:
        return f"{self.namespace}/{self.name}"


def note_name(release: str) -> str:
    """Name of the ConfigMap (and Secret) of our note about a release."""
    return f"multicluster.gloo.{release}"


# -- reading through the API


def read_releases(cluster: Cluster, namespaces: Iterable[str] | None = None) -> list[ReleaseHistory]:
    """Every release with a record or a note, by namespace and name; of all namespaces or of the given ones.

    Three LIST requests per namespace, or three in all. Superseded revisions are not read.
    """
    found: list[ReleaseHistory] = []
    for namespace in [None] if namespaces is None else sorted(set(namespaces)):
        records = _records(cluster, namespace, f"owner=helm,status!={SUPERSEDED}")
        notes = [Note.from_object(each) for each in cluster.list("v1", "ConfigMap", namespace, NOTE_LABEL)]
        found += _histories(records, notes)
    return found


def read_release(cluster: Cluster, name: str, namespace: str, driver: str = "") -> ReleaseHistory:
    """One release. ``driver`` as in HELM_DRIVER; "" looks for Secrets and, when there are none, for ConfigMaps.

    Two requests if the release is in Secrets or the given driver. Superseded revisions are read only if there are no
    others, as after someone deleted the newest record of a stuck release.
    """
    selector = f"owner=helm,name={name}"
    records = _records(cluster, namespace, f"{selector},status!={SUPERSEDED}", driver)
    records = records or _records(cluster, namespace, selector, driver)
    note = cluster.get("v1", "ConfigMap", note_name(name), namespace)
    notes = [Note.from_object(note)] if note and NOTE_LABEL in labels_of(note) else []
    return next(iter(_histories(records, notes)), ReleaseHistory(name, namespace))


def read_all_revisions(cluster: Cluster, history: ReleaseHistory) -> ReleaseHistory:
    """The release with its superseded revisions as well. One request."""
    selector = f"owner=helm,name={history.name}"
    records = _records(cluster, history.namespace, selector, history.driver or "secret")
    notes = [history.note] if history.note else []
    found = next(iter(_histories(records, notes)), history)
    return replace(found, reinstalled=found.reinstalled or history.reinstalled)


def read_former_values(cluster: Cluster, note: Note) -> Json | None:
    """The values of ``note.former_revision`` before our changes; None when not stored. May contain secrets."""
    secret = cluster.get("v1", "Secret", note.object_name, note.namespace)
    try:
        found = from_json(_text(dig(secret, "data", "values")))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _records(cluster: Cluster, namespace: str | None, selector: str, driver: str = "") -> list[Record]:
    """Records by selector. Without a driver: Secrets and ConfigMaps; of one release, ConfigMaps only if no Secret."""
    drivers = [driver.rstrip("s")] if driver else ["secret", "configmap"]
    found: list[Record] = []
    for each in drivers:
        if found and "name=" in selector:
            break
        found += [
            Record(cluster.name, stored) for stored in cluster.list("v1", RECORD_KINDS[each], namespace, selector)
        ]
    return found


def _histories(records: Iterable[Record], notes: Iterable[Note]) -> list[ReleaseHistory]:
    by_release: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.name and record.revision:
            by_release.setdefault((record.namespace, record.name), []).append(record)
    noted = {(note.namespace, note.name): note for note in notes if note.name}
    result = []
    for namespace, name in sorted({*by_release, *noted}):
        found = sorted(by_release.get((namespace, name), ()), key=lambda record: record.revision)
        driver = str(found[-1].stored["kind"]).lower() if found else ""
        found = [record for record in found if str(record.stored["kind"]).lower() == driver]
        history = ReleaseHistory(name, namespace, driver, noted.get((namespace, name)), tuple(found))
        result.append(without_stale_note(history))
    return result


def without_stale_note(history: ReleaseHistory) -> ReleaseHistory:
    """The history; without our note if others uninstalled the release and installed it again since.

    Helm keeps the time of the installation in all later revisions. The note counts where one of the times is unknown,
    as when our installation was interrupted.
    """
    note, newest = history.note, history.records[-1] if history.records else None
    if note is None or not note.installed or newest is None or newest.status == UNINSTALLED:
        return history
    try:
        installed = newest.release.installed
    except Invalid:
        return history
    return history if installed in ("", note.installed) else replace(history, note=None, reinstalled=True)


# -- decoding (pure)


def decode(stored: Json) -> Release:
    """The release in a Secret or ConfigMap of Helm. Raises ValueError, which never quotes the content."""
    packed = str(dig(stored, "data", "release") or "")
    data = _base64(packed)
    if stored.get("kind") != "ConfigMap":
        data = _base64(data.decode("ascii", "replace"))
    text = _unzipped(data)
    try:
        body = from_json(text)
    except ValueError:
        raise ValueError("it does not contain JSON") from None
    body = mapping(body)
    info, chart = mapping(body.get("info")), mapping(body.get("chart"))
    about = mapping(chart.get("metadata"))
    if not about.get("name") or not about.get("version"):
        raise ValueError("it does not contain a release")
    labels = labels_of(stored)
    return Release(
        name=str(body.get("name") or labels.get("name") or ""),
        namespace=str(body.get("namespace") or key_of(stored)[0]),
        revision=_number(body.get("version")) or _number(labels.get("version")),
        status=str(info.get("status") or labels.get("status") or "unknown"),
        chart=str(about.get("name") or ""),
        chart_version=str(about.get("version") or ""),
        app_version=str(about.get("appVersion") or ""),
        updated=str(info.get("deleted") or info.get("last_deployed") or ""),
        deleted=str(info.get("deleted") or ""),
        values=mapping(body.get("config")),
        manifest=str(body.get("manifest") or ""),
        stored_chart=chart,
        installed=str(info.get("first_deployed") or ""),
    )


def documents(manifest: str) -> list[str]:
    """The YAML documents of a text, without those that contain only comments."""
    parts = re.split(r"(?m)^---.*$", manifest)
    return [
        part for part in parts if any(line.strip() and not line.lstrip().startswith("#") for line in part.split("\n"))
    ]


_KIND_CRD = re.compile(
    r"""(?m)^["']?kind["']?:\s*["']?CustomResourceDefinition["']?\s*$|^\s*\{[\s\S]*"CustomResourceDefinition\""""
)
_CRD: Json = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
_METADATA = re.compile(r"(?m)^metadata:[^\n]*\n((?:[ \t]+[^\n]*\n?|[ \t]*\n|#[^\n]*\n?)*)")


def crd_names(text: str) -> Iterator[str]:
    """Names of the CustomResourceDefinitions in YAML text.

    Of each CRD only metadata is parsed: schemas are long, and parsing them takes seconds.
    """
    for part in documents(text):
        if not _KIND_CRD.search(part):
            continue
        block = _METADATA.search(part)
        found = _parsed(f"metadata:\n{block[1]}") if block and block[1].strip() else _parsed(part)
        yield from filter(None, map(name_of, found))


def manifest_objects(manifest: str) -> tuple[Json, ...]:
    """The objects of a manifest; of CRDs only their names. Documents without an object are left out."""
    found: list[Json] = []
    for part in documents(manifest):
        names = list(crd_names(part))
        found += [{**_CRD, "metadata": {"name": name}} for name in names]
        if not names:
            objects = [each for each in _parsed(part) if isinstance(each, dict)]
            found += [each for each in objects if each.get("kind") and name_of(each)]
    return tuple(found)


def _parsed(text: str) -> list[Any]:
    try:
        return yaml_documents.documents(text)
    except ValueError:
        return []


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None


def _unzipped(data: bytes) -> bytes:
    """Helm leaves short releases of old versions uncompressed."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, _LARGEST)
    except zlib.error:
        raise ValueError("it is not gzip") from None
    if not unpacker.eof:
        raise ValueError("it is truncated or exceeds 64 MiB uncompressed")
    return plain


def _text(data: Any) -> str:
    """Text of a base64 value; "" when it is invalid."""
    try:
        return _base64(str(data or "")).decode("utf-8", "replace")
    except ValueError:
        return ""


def _number(value: Any) -> int:
    text = str(value if value is not None else "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _words(text: Any) -> tuple[str, ...]:
    return tuple(word for word in str(text or "").split(",") if word)


def _paths(text: Any) -> tuple[tuple[str, ...], ...] | None:
    try:
        rows = from_json(str(text)) if text else None
    except ValueError:
        return None
    if not isinstance(rows, list):
        return None
    return tuple(tuple(map(str, row)) for row in rows if isinstance(row, list) and row)
