# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redaction of objects and logs (pure).

Three complementary rules. By place: values of Secrets, ConfigMaps, environment variables, headers and annotations are
redacted unless a short list declares them harmless. By shape: anything that looks like a token, key, certificate or
credential is redacted everywhere. By value: a value redacted in one place is redacted everywhere.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from .fields import Json, from_json, mapping
from .kinds import group_of
from .printable import printable
from .secret_text import REDACTED, SECRET_NAME, assigned_secrets, is_secret_flag, names_secret, text
from .yaml_documents import document

_LARGEST = 64 * 1024 * 1024
# Environment variables and other name-value pairs whose values are needed for diagnosis.
HARMLESS_VARIABLES = frozenset(
    [
        "CA_ADDR",
        "CLUSTER_ID",
        "CLUSTER_NAME",
        "ENABLE_NATIVE_SIDECARS",
        "ISTIO_META_CLUSTER_ID",
        "ISTIO_META_DNS_AUTO_ALLOCATE",
        "ISTIO_META_DNS_CAPTURE",
        "ISTIO_META_MESH_ID",
        "ISTIO_META_NETWORK",
        "JWT_POLICY",
        "KGW_DISCOVERY_NAMESPACE_SELECTORS",
        "KGW_ENABLE_ISTIO_AUTO_MTLS",
        "KGW_ENABLE_ISTIO_INTEGRATION",
        "KGW_ISTIO_NAMESPACE",
        "LOG_LEVEL",
        "PILOT_CERT_PROVIDER",
        "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES",
        "PILOT_SKIP_VALIDATE_TRUST_DOMAIN",
        "REVISION",
        "TRUST_DOMAIN",
    ]
)
HARMLESS_ANNOTATIONS = frozenset(
    [
        "agent.gloo.solo.io",
        "cluster.solo.io/cluster",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deployment.kubernetes.io/revision",
        "gateway.networking.k8s.io/bundle-version",
        "gateway.networking.k8s.io/channel",
        "istio.io/rev",
        "inject.istio.io/templates",
        "kubectl.kubernetes.io/default-container",
        "kubectl.kubernetes.io/restartedAt",
        "meta.helm.sh/release-name",
        "meta.helm.sh/release-namespace",
        "multicluster.gloo/failover-replicas",
        "multicluster.gloo/former-revision",
        "multicluster.gloo/groups",
        "multicluster.gloo/only-crds",
        "multicluster.gloo/restarted-for",
        "prometheus.io/path",
        "prometheus.io/port",
        "prometheus.io/scrape",
        "sidecar.istio.io/inject",
        "sidecar.istio.io/status",
    ]
)
# Keys of the mesh config in istiod's ConfigMap.
HARMLESS_MESH_KEYS = ("trustDomain", "trustDomainAliases", "rootNamespace", "discoverySelectors", "accessLogFile")
HARMLESS_PROXY_KEYS = ("meshId", "discoveryAddress")
# Certificates that all workloads in the mesh have; comparing them between clusters is needed for diagnosis.
PUBLIC_CERTIFICATES = ("root-cert.pem", "ca.crt")

# Names of mappings of annotations or environment variables.
_ANNOTATIONS = re.compile(r"(?i)annotations$")
_VARIABLES = frozenset(["env", "extraEnv", "environmentVariables", "proxyMetadata"])

# Annotations that repeat the fields of their object: kubectl's, and the former values of adopted objects.
_COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "multicluster.gloo/former")


# -- results and diffs: everything is shown except values under names of secrets


def fingerprint(value: Any) -> str:
    """Placeholder for a secret value; equal values have equal fingerprints."""
    return f"(redacted, sha256 {hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]})"


def redact(obj: Json, *, config_maps: bool = False) -> Json:
    """A copy with fingerprints in place of secret values: data of Secrets, fields and variables with names of secrets.

    ``config_maps`` also redacts the values of ConfigMaps: installers store their values there, including licences.
    """
    shown: Json = _redacted(obj)
    kinds = ("Secret", "ConfigMap") if config_maps else ("Secret",)
    if obj.get("kind") in kinds and group_of(str(obj.get("apiVersion", ""))) == "":
        for field in ("data", "stringData", "binaryData"):
            if isinstance(obj.get(field), dict):
                shown[field] = {key: fingerprint(value) for key, value in obj[field].items()}
    annotations = (shown.get("metadata") or {}).get("annotations") or {}
    for name in _COPIES:
        if name in annotations:
            annotations[name] = REDACTED
    return shown


def _redacted(value: Any) -> Any:
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {
        key: fingerprint(item) if isinstance(item, str) and names_secret(str(key)) else _redacted(item)
        for key, item in value.items()
    }
    name, content = value.get("name"), value.get("value")
    if isinstance(name, str) and isinstance(content, str) and names_secret(name):
        shown["value"] = fingerprint(content)
    return shown


# -- support bundles: only values known to be harmless are shown

# Names of mappings of request data: headers, queryParams.
_HEADERS = re.compile(r"(?i)header|queryparam")
_PUNCTUATION = re.compile(r"[\s:,;={}\"']+")
# Long text of letters and digits that is not a path, address or sentence.
_NO_WORD = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[^\s/:,{}\"']{16,}")


class Redaction:
    """Redacts the content of one bundle, and records redacted values so that ``scrub`` removes them everywhere."""

    def __init__(self) -> None:
        self._public: set[str] = set()
        self._hidden: set[str] = set()

    def publish(self, words: Iterable[str]) -> None:
        """Exempt words although a Secret may contain them: names of clusters, namespaces and objects."""
        self._public.update(words)

    # -- objects

    def values(self, values: Json) -> Json:
        """Helm values with REDACTED in place of values under names of secrets."""
        shown: Json = self._redact(values, "")
        return shown

    def object(self, obj: Json) -> Json:
        """A redacted copy of the object, without managedFields."""
        kind, core = obj.get("kind"), "/" not in str(obj.get("apiVersion", ""))
        body = {key: value for key, value in obj.items() if key not in ("data", "stringData", "binaryData")}
        if kind not in ("Secret", "ConfigMap") or not core:
            body = obj
        shown: Json = self._redact(body, "")
        shown.get("metadata", {}).pop("managedFields", None)
        if kind == "Secret" and core:
            shown["keys"] = self._secret_keys(obj)
        elif kind == "ConfigMap" and core:
            shown["keys"] = self._config_keys(obj)
        return shown

    def _secret_keys(self, obj: Json) -> list[str]:
        for value in (obj.get("data") or {}).values():
            decoded = _decoded(str(value)).decode("utf-8", "ignore")
            self.hide(str(value))
            self.hide(decoded)
            # It may contain a password after a user name, or on a separate line.
            for word in _PUNCTUATION.split(decoded):
                if _NO_WORD.fullmatch(word) and "." not in word:
                    self.hide(word)
        return sorted(obj.get("data") or {})

    def _config_keys(self, obj: Json) -> list[Json]:
        rows = []
        binary = obj.get("binaryData") or {}
        for key, value in sorted({**(obj.get("data") or {}), **binary}.items()):
            row: Json = {"key": key, "bytes": len(str(value).encode())}
            if key in PUBLIC_CERTIFICATES:
                row["sha256"] = hashlib.sha256(str(value).strip().encode()).hexdigest()
            else:
                self._unlisted(key, _decoded(str(value)).decode("utf-8", "ignore") if key in binary else str(value))
            if key == "mesh" and str(obj["metadata"].get("name", "")).split("-", maxsplit=1)[0] == "istio":
                row["mesh"] = self._redact(_mesh(str(value)), "")
            rows.append(row)
        return rows

    def _redact(self, value: Any, key: str) -> Any:
        """``key``: the key of the value, for a list that of the list."""
        if isinstance(value, dict):
            if key in _VARIABLES and not {"name", "value", "valueFrom"}.issuperset(value):
                return {name: self._variable(name, item) for name, item in value.items()}
            return self._mapping(value, key)
        if isinstance(value, list):
            if key in ("args", "command"):
                return self._arguments(value)
            return [self._redact(item, key) for item in value]
        if value and not isinstance(value, bool) and names_secret(key):
            return self.hide(str(value))
        return self._text(value) if isinstance(value, str) else value

    def _mapping(self, value: Json, key: str) -> Json:
        if _ANNOTATIONS.search(key):
            return {name: self._annotation(name, item) for name, item in value.items()}
        if _HEADERS.search(key) and not ("name" in value and "value" in value):
            return {name: self._header(name, item) for name, item in value.items()}
        # Values below the name of a secret are secrets; below "secret" itself a volume names its Secret.
        above = f"{key}." if key != "secret" and names_secret(key) else ""
        shown = {name: self._redact(item, f"{above}{name}") for name, item in value.items()}
        if isinstance(value.get("name"), str) and value.get("value"):
            shown["value"] = self._variable(value["name"], value["value"])
        elif names_secret(str(value.get("key", ""))) or _HEADERS.search(str(value.get("key", ""))):
            for name in ("value", "values", "notValues"):
                if value.get(name):
                    shown[name] = self._unlisted(str(value["key"]), value[name])
        return shown

    def _annotation(self, name: str, value: Any) -> str:
        return self._text(str(value)) if name in HARMLESS_ANNOTATIONS else self._unlisted(name, value)

    def _variable(self, name: str, value: Any) -> str:
        return self._text(str(value)) if name in HARMLESS_VARIABLES else self._unlisted(name, value)

    def _unlisted(self, name: str, value: Any) -> str:
        """Redact values not known to be harmless; those that may be ordinary words or numbers elsewhere are not
        recorded."""
        for each in map(str, value if isinstance(value, list) else [value]):
            if SECRET_NAME.search(name) or _NO_WORD.fullmatch(each):
                self.hide(each)
            else:
                self._record_assigned(each)
        return REDACTED

    def _text(self, value: str) -> str:
        """text(), recording what it redacts."""
        shown = text(value)
        if shown != value:
            self._record_assigned(value)
        return shown

    def _header(self, name: str, value: Any) -> Any:
        """Below "headers" only names are kept: any header may contain a credential."""
        if isinstance(value, dict):
            return {key: self._header(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._header(name, item) for item in value]
        return value if name in ("name", "type") or not isinstance(value, str) else self._unlisted(name, value)

    def _arguments(self, values: list[Any]) -> list[Any]:
        shown: list[Any] = []
        for index, value in enumerate(values):
            flag = str(values[index - 1]) if index else ""
            if is_secret_flag(flag) and not str(value).startswith("-"):
                shown.append(self.hide(str(value)))
            else:
                shown.append(self._text(value) if isinstance(value, str) else value)
        return shown

    def release(self, secret: Json) -> Json:
        """The result of helm_release(); secrets in the values of the release are recorded."""
        config = _unpacked(secret).get("config")
        self._redact(config if isinstance(config, dict) else {}, "")
        return helm_release(secret)

    # -- values

    def hide(self, value: str) -> str:
        """Record a value as secret; returns its placeholder.

        Of a whole file only values assigned to names of secrets are recorded: its other lines are ordinary words.
        """
        self._record(value.strip())
        self._record_assigned(value)
        return REDACTED

    def _record_assigned(self, value: str) -> None:
        """Record values that a text assigns to names of secrets, and the passwords of its URLs."""
        for secret in assigned_secrets(value):
            self._record(secret)

    def _record(self, value: str) -> None:
        # Values recognized by shape need not be recorded.
        if len(value) >= 8 and text(value) != REDACTED:
            self._hidden.add(value)

    def scrub(self, content: str) -> str:
        """The text without any recorded value. Call it after all objects have been redacted."""
        return _without(content, self._needles)

    @functools.cached_property
    def _needles(self) -> list[str]:
        return _forms(self._hidden - self._public)


def scrub(content: str, secrets: Iterable[str]) -> str:
    """The text without these secrets in any of their forms: plain, in JSON, in base64 or in a URL."""
    return _without(content, _forms({form for secret in secrets for form in (secret, secret.strip()) if form}))


def _without(content: str, needles: Iterable[str]) -> str:
    for needle in needles:
        content = content.replace(needle, REDACTED)
    return content


def _forms(values: Iterable[str]) -> list[str]:
    """The forms in which values appear in other text, the longest first: one may be part of another."""
    forms = set()
    for value in values:
        raw = value.encode()
        forms |= {value, printable(value), quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encoded(raw).decode().rstrip("="))
            # Within a longer encoded text, as in "user:password": the characters that encode only this value. For a
            # short value they are too few to be distinctive.
            for bits in (0, 8, 16) if len(raw) >= 8 else ():
                whole = encoded(b" " * (bits // 8) + raw).decode()
                forms.add(whole[-(-bits // 6) : (bits + 8 * len(raw)) // 6])
    return sorted(forms, key=lambda form: (-len(form), form))


def helm_release(secret: Json) -> Json:
    """{namespace, name, revision, status, chart, version} of a Secret in which Helm stores a release; nothing else is
    returned. ``chart`` and ``version`` are "" when the Secret does not contain a release in the format of Helm 3."""
    meta = secret["metadata"]
    labels = meta.get("labels") or {}
    try:
        chart = mapping(_unpacked(secret)["chart"]["metadata"])
    except (KeyError, TypeError):
        chart = {}
    return {
        "namespace": meta.get("namespace", ""),
        "name": str(labels.get("name", "")),
        "revision": str(labels.get("version", "")),
        "status": str(labels.get("status", "")),
        "chart": str(chart.get("name", "")),
        "version": str(chart.get("version", "")),
    }


def _unpacked(secret: Json) -> Json:
    """The release as stored by Helm 3; {} when the Secret does not contain one."""
    packed = _decoded(_decoded(str((secret.get("data") or {}).get("release", ""))).decode("ascii", "replace"))
    try:
        # A small text may unpack to a huge one.
        release = from_json(zlib.decompressobj(wbits=31).decompress(packed, _LARGEST))
    except (zlib.error, ValueError):
        return {}
    return release if isinstance(release, dict) else {}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return b""


def _mesh(value: str) -> Json:
    try:
        mesh = document(value)
    except ValueError:
        return {}
    if not isinstance(mesh, dict):
        return {}
    shown = {key: mesh[key] for key in HARMLESS_MESH_KEYS if key in mesh}
    proxy = mesh.get("defaultConfig")
    if isinstance(proxy, dict):
        shown["defaultConfig"] = {key: proxy[key] for key in HARMLESS_PROXY_KEYS if key in proxy}
    return shown
