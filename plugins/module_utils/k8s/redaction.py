# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of an object or a log may leave the cluster (pure).

Three rules, each for what the others cannot see. By place: values of Secrets, ConfigMaps, environment variables,
headers and annotations go, unless a short list names them as harmless. By shape: what looks like a token, a key, a
certificate or a credential goes wherever it stands. By value: what was hidden in one place goes everywhere.
"""

from __future__ import annotations

import base64
import binascii
import functools
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from .fields import Json
from .kinds import group_of
from .secret_text import REDACTED, SECRET_NAME, assigned_secrets, is_secret_flag, names_secret, text

try:
    import yaml
except ImportError:  # remote host: PyYAML is a dependency of the package kubernetes; reported on use
    yaml = None  # type: ignore[assignment]

# Environment variables and other name-value pairs whose values this chain is diagnosed by.
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
# Of the mesh configuration in istiod's ConfigMap.
HARMLESS_MESH_KEYS = ("trustDomain", "trustDomainAliases", "rootNamespace", "discoverySelectors", "accessLogFile")
HARMLESS_PROXY_KEYS = ("meshId", "discoveryAddress")
# Certificates everybody in the mesh has; whether two clusters have the same one is a question of this chain.
PUBLIC_CERTIFICATES = ("root-cert.pem", "ca.crt")

# Names of mappings whose values are those of annotations or of environment variables.
_ANNOTATIONS = re.compile(r"(?i)annotations$")
_VARIABLES = frozenset(["env", "extraEnv", "environmentVariables", "proxyMetadata"])

# Annotations that repeat the fields of their object: kubectl's, and the former values of adopted objects.
_COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "multicluster.gloo/former")


# -- results and diffs: everything is shown but what is named as a secret


def fingerprint(value: Any) -> str:
    """Stands for a secret value: two are equal when their fingerprints are."""
    return f"(redacted, sha256 {hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]})"


def redact(obj: Json, *, config_maps: bool = False) -> Json:
    """A copy with fingerprints in place of secret values: data of Secrets, fields and variables with names of secrets.

    ``config_maps`` redacts the values of ConfigMaps too: installers store all their values, licences among them, there.
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


# -- support bundles: nothing is shown but what is known to be harmless

# Names of mappings whose values are those of a request: headers, queryParams.
_HEADERS = re.compile(r"(?i)header|queryparam")
_PUNCTUATION = re.compile(r"[\s:,;={}\"']+")
# Long, of letters and digits, and no path, address or sentence.
_NO_WORD = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[^\s/:,{}\"']{16,}")


class Redaction:
    """Redacts what goes into one bundle, and remembers what was hidden so that ``scrub`` finds it anywhere."""

    def __init__(self) -> None:
        self._public: set[str] = set()
        self._hidden: set[str] = set()

    def publish(self, words: Iterable[str]) -> None:
        """Words that stay although a Secret may hold them: names of clusters, namespaces and objects."""
        self._public.update(words)

    # -- objects

    def values(self, values: Json) -> Json:
        """Helm values as they may be shown: REDACTED in place of what stands under names of secrets."""
        shown: Json = self._walk(values, "")
        return shown

    def object(self, obj: Json) -> Json:
        """The object as it may be shown: a copy without managedFields and without values that are not harmless."""
        kind, core = obj.get("kind"), "/" not in str(obj.get("apiVersion", ""))
        body = {key: value for key, value in obj.items() if key not in ("data", "stringData", "binaryData")}
        if kind not in ("Secret", "ConfigMap") or not core:
            body = obj
        shown: Json = self._walk(body, "")
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
            # A password may stand in it beside a user's name, or on a line of its own.
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
                row["mesh"] = self._walk(_mesh(str(value)), "")
            rows.append(row)
        return rows

    def _walk(self, value: Any, key: str) -> Any:
        """``key``: the name under which the value stands, of a list for each of its items."""
        if isinstance(value, dict):
            if key in _VARIABLES and not {"name", "value", "valueFrom"}.issuperset(value):
                return {name: self._variable(name, item) for name, item in value.items()}
            return self._mapping(value, key)
        if isinstance(value, list):
            if key in ("args", "command"):
                return self._arguments(value)
            return [self._walk(item, key) for item in value]
        if value and not isinstance(value, bool) and names_secret(key):
            return self.hide(str(value))
        return self._text(value) if isinstance(value, str) else value

    def _mapping(self, value: Json, key: str) -> Json:
        if _ANNOTATIONS.search(key):
            return {name: self._annotation(name, item) for name, item in value.items()}
        if _HEADERS.search(key) and not ("name" in value and "value" in value):
            return {name: self._header(name, item) for name, item in value.items()}
        # What stands below the name of a secret is one too; below "secret" itself a volume names its Secret.
        above = f"{key}." if key != "secret" and names_secret(key) else ""
        shown = {name: self._walk(item, f"{above}{name}") for name, item in value.items()}
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
        """A value, or several, that nobody knows to be harmless; what may be a word or a number elsewhere is not
        remembered."""
        for each in map(str, value if isinstance(value, list) else [value]):
            if SECRET_NAME.search(name) or _NO_WORD.fullmatch(each):
                self.hide(each)
            else:
                self._learn(each)
        return REDACTED

    def _text(self, value: str) -> str:
        """text(), and what it hides is remembered."""
        shown = text(value)
        if shown != value:
            self._learn(value)
        return shown

    def _header(self, name: str, value: Any) -> Any:
        """Below "headers" only names stay: what sets a header may set a credential."""
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
        """What helm_release() tells of it; what its values assign to names of secrets is remembered."""
        config = _unpacked(secret).get("config")
        self._walk(config if isinstance(config, dict) else {}, "")
        return helm_release(secret)

    # -- values

    def hide(self, value: str) -> str:
        """Remember a value as one that must not be seen; what is shown instead.

        Of a whole file only what it assigns to names of secrets: its other lines are ordinary words.
        """
        self._remember(value.strip())
        self._learn(value)
        return REDACTED

    def _learn(self, value: str) -> None:
        """Remember what a text assigns to names of secrets, and the passwords of its URLs."""
        for secret in assigned_secrets(value):
            self._remember(secret)

    def _remember(self, value: str) -> None:
        # What its shape gives away needs no memory.
        if len(value) >= 8 and text(value) != REDACTED:
            self._hidden.add(value)

    def scrub(self, content: str) -> str:
        """The text without any remembered value. Call it when all objects have been seen."""
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
        forms |= {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encoded(raw).decode().rstrip("="))
            # Amid something else, as in "user:password": the characters that encode this value alone. Those of a short
            # value are too few to be told from others.
            for bits in (0, 8, 16) if len(raw) >= 8 else ():
                whole = encoded(b" " * (bits // 8) + raw).decode()
                forms.add(whole[-(-bits // 6) : (bits + 8 * len(raw)) // 6])
    return sorted(forms, key=lambda form: (-len(form), form))


def helm_release(secret: Json) -> Json:
    """{namespace, name, revision, status, chart, version} of a Secret in which Helm keeps a release; nothing else of it
    is ever returned. ``chart`` and ``version`` are "" when the Secret does not hold a release as Helm 3 writes it."""
    meta = secret["metadata"]
    labels = meta.get("labels") or {}
    try:
        chart = _unpacked(secret)["chart"]["metadata"]
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
    """The release as Helm 3 keeps it; {} when the Secret does not hold one."""
    packed = _decoded(_decoded(str((secret.get("data") or {}).get("release", ""))).decode("ascii", "replace"))
    try:
        release = json.loads(gzip.decompress(packed))
    except (OSError, EOFError, zlib.error, ValueError):
        return {}
    return release if isinstance(release, dict) else {}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return b""


def _mesh(value: str) -> Json:
    try:
        mesh = yaml.safe_load(value)
    except yaml.YAMLError:
        return {}
    if not isinstance(mesh, dict):
        return {}
    shown = {key: mesh[key] for key in HARMLESS_MESH_KEYS if key in mesh}
    proxy = mesh.get("defaultConfig")
    if isinstance(proxy, dict):
        shown["defaultConfig"] = {key: proxy[key] for key in HARMLESS_PROXY_KEYS if key in proxy}
    return shown
