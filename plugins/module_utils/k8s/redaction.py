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

try:
    import yaml
except ImportError:  # a remote host; the package kubernetes brings it, and its absence is reported where it is used
    yaml = None  # type: ignore[assignment]

REDACTED = "(redacted)"

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

_SECRET_WORDS = (
    r"passw(?:or)?d|passphrase|pwd|(?<![a-z])pass(?![a-z])|token|secret|"
    r"(?:api|private|access|signing|encryption)[-_. ]?key|(?<!un)licen[cs]e(?:[ ]key)?|"
    r"credential|authorization|cookie|bearer|signature"
)
_SECRET_NAME = re.compile(rf"(?i){_SECRET_WORDS}")
# Names of things that hold secrets, their places and their kinds are no secrets: issuing a Secret is diagnosed by them.
_REFERENCE = re.compile(
    r"(?i)(name|names|namespace|ref|refs|path|file|dir|type|policy|enabled|ttl|seconds|audience|secrets)$"
)
# Names of mappings whose values are those of annotations or of environment variables.
_ANNOTATIONS = re.compile(r"(?i)annotations$")
_VARIABLES = frozenset(["env", "extraEnv", "environmentVariables", "proxyMetadata"])

# Shorter ones are too many ordinary words.
_BLOB = 40
_HEX = 32
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]+-----(?:.{0,8000}?-----END [A-Z0-9 ]+-----|[\sA-Za-z0-9+/=\\]*)", re.DOTALL),
        REDACTED,
    ),
    # a password may hold @ itself
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^/\s\"']+@"), rf"\1{REDACTED}@"),
    # a header with several words
    (re.compile(r"(?i)(\bcookie\\*[\"']?\s*[:=]\s*)[^\"'\n]+"), rf"\1{REDACTED}"),
    (
        re.compile(
            r"(?i)(\bauthorization\\*[\"']?\s*[:=]\s*\\*[\"']?(?:digest|token|negotiate|api-?key|aws4[\w-]*)\s)[^'\n]+"
        ),
        rf"\1{REDACTED}",
    ),
    # keys that clouds and forges mark by their beginning
    (
        re.compile(
            r"\b(?:A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|xox[a-z]-[\w-]{10,}|gh[a-z]_\w{20,}|gl[a-z]{2,5}-[\w-]{20,}|"
            r"dckr_[a-z]{3}_[\w-]{20,}|[rs]k_(?:live|test)_\w{16,})"
        ),
        REDACTED,
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)(\\*[\"']?)[A-Za-z0-9._~+/=%-]{4,}"), rf"\1 \3{REDACTED}"),
    # of a registry; of curl
    (re.compile(r"(\"auth\\*\"\s*:\s*\\*\")[^\"\\\n]+"), rf"\1{REDACTED}"),
    (re.compile(r"((?<![\w-])(?:-u|--user)[ =]\s*[\"']?[^\s:\"'/]+:)[^\s\"']+"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)*"), REDACTED),
    (re.compile(r"\b[A-Z0-9]{4,10}(?:-[A-Z0-9]{4,10}){3,}\b"), REDACTED),
    (re.compile(rf"(?<![0-9A-Za-z])(?<!sha256:)[0-9a-fA-F]{{{_HEX},}}(?![0-9A-Za-z])"), REDACTED),
)
_LONG = re.compile(rf"(?<!sha256:)(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{_BLOB},}}(?:=|%3D){{0,2}}")
# A part of a path: the name of an object, or its kind; the name of a variable.
_WORD = re.compile(r"[a-z0-9]{0,31}(?:-[a-z0-9]{0,31})*|[A-Z][A-Za-z]{0,39}|[A-Z0-9]{1,31}(?:_[A-Z0-9]{1,31})+")
_PEM_LINE = re.compile(r"(?:^|\s)(?:[A-Za-z0-9+/=]{4,}|\(redacted\))\s*$")
# A value, quoted or not, perhaps cut off, a YAML block or a list of values; no object, whose own names tell more.
_VALUE = (
    r"(?!\{)(?:\[[^\]{\n]+\]|(?!\[)(?:[|>][+-]?[ ]*(?:\n[ \t]+[^\n]*)+|-[ ][^\n]+(?:\n[ \t]*-[ ][^\n]+)*|"
    r""""(?:[^"\\\n]|\\.)*"?|\\+"(?:[^"\\\n]|\\[^"\n])*(?:\\*")?|'[^'\n]*'?|[^\s,;&}\])"']+))"""
)
# Both begin with the telling word, not with the name it is part of: so each place of a long log is looked at once.
_ASSIGNED = re.compile(
    rf"(?i)((?:{_SECRET_WORDS})[\w.-]{{0,80}}|[?&](?:key|sig|auth))"
    rf"(\\*(?:[\"']|%22)?\s*(?:[:=]>?|%3[AD])\s*)({_VALUE})"
)
# One after the other, as in a list of arguments, or as Envoy writes headers.
_LISTED = re.compile(
    rf"(?i)(\\{{0,7}}\"(?=-)|')([\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}})(\1,\s*\1)"
    r"(?!-|(?:(?!\1)[^\n])+\1\s*:)((?:(?!\1)[^\n])+)"
)
# The two fields of a variable, as JSON, YAML or Go write them.
_PAIR = re.compile(
    rf"(?i)(\bname\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}})"
    rf"(\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*)({_VALUE})"
)
# In prose: 'license "..." expired', "token is abc123def". Only quoted, or no word of a language: it has a digit.
_TOLD = re.compile(
    r"(?i)\b((?:licen[cs]e|passw(?:or)?d|passphrase|token|(?:api|access)[-_ ]?key)(?:[ ]key)?)((?:\s+is)?:?\s+)"
    r"""(\\*"[^"\n]+"|'[^'\n]+'|(?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[^\s,;:/"')]{8,})"""
)
_FLAG = re.compile(rf"(?i)((?:{_SECRET_WORDS})[\w.-]{{0,80}})(\s+)(?!-)({_VALUE})")
_IS_FLAG = re.compile(r"(?:^|[^\w/.-])--?[\w.-]*$")
_FLAG_ALONE = re.compile(rf"(?i)^(?:--?[\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}}|-u|--user)$")
_PASSWORD = re.compile(r"://[^:/\s\"']*:([^/\s\"']+)@")
_OF_OBJECT = re.compile(r"/[\w.-]*$")


def text(value: str) -> str:
    """The text without what has the shape of a secret or is assigned to the name of one. For any number of lines."""
    for pattern, instead in _SHAPES:
        value = pattern.sub(instead, value)
    value = _LONG.sub(lambda match: match[0] if all(map(_WORD.fullmatch, match[0].split("/"))) else REDACTED, value)
    if "-----END " in value:
        value = _without_headless(value)
    value = _FLAG.sub(_without_value, _ASSIGNED.sub(_without_value, value))
    value = _PAIR.sub(rf"\1\2{REDACTED}", value)
    value = _LISTED.sub(lambda m: m[0] if _REFERENCE.search(m[2]) else f"{m[1]}{m[2]}{m[3]}{REDACTED}", value)
    return _TOLD.sub(rf"\1\2{REDACTED}", value)


def _without_headless(value: str) -> str:
    """Without the end of a key or certificate whose beginning was cut off."""
    kept: list[str] = []
    for line in value.splitlines(keepends=True):
        if "-----END " in line:
            while kept and _PEM_LINE.search(kept[-1]):
                kept.pop()
            kept.append(f"{REDACTED}\n")
        else:
            kept.append(line)
    return "".join(kept)


def _without_value(match: re.Match[str]) -> str:
    name, between, _value = match.groups()
    return f"{name}{between}{REDACTED}" if _assigns(match) else match.group(0)


def _assigns(match: re.Match[str]) -> bool:
    """Not "secret gloo-mesh/relay-token: not found", which tells of an object; not prose, which has no flags."""
    name, between, value = match.groups()
    before = match.string[max(0, match.start() - 80) : match.start()]
    if not between.strip():
        told = not _IS_FLAG.search(before)
    else:
        told = between.strip() == ":" and _OF_OBJECT.search(before) is not None
        # YAML: what follows on the next line is a name of its own.
        told = told or ("\n" in between and value.endswith(":"))
    return not told and not _REFERENCE.search(name)


# Names of mappings whose values are those of a request: headers, queryParams.
_HEADERS = re.compile(r"(?i)header|queryparam")
_PUNCTUATION = re.compile(r"[\s:,;={}\"']+")
# Long, of letters and digits, and no path, address or sentence.
_NO_WORD = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[^\s/:,{}\"']{16,}")


def _names_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _REFERENCE.search(name)


class Redaction:
    """Redacts what goes into one bundle, and remembers what was hidden so that ``scrub`` finds it anywhere."""

    def __init__(self) -> None:
        self._public: set[str] = set()
        self._hidden: set[str] = set()

    def publish(self, words: Iterable[str]) -> None:
        """Words that stay although a Secret may hold them: names of clusters, namespaces and objects."""
        self._public.update(words)

    # -- objects

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
        if value and not isinstance(value, bool) and _names_secret(key):
            return self.hide(str(value))
        return self._text(value) if isinstance(value, str) else value

    def _mapping(self, value: Json, key: str) -> Json:
        if _ANNOTATIONS.search(key):
            return {name: self._annotation(name, item) for name, item in value.items()}
        if _HEADERS.search(key) and not ("name" in value and "value" in value):
            return {name: self._header(name, item) for name, item in value.items()}
        # What stands below the name of a secret is one too; below "secret" itself a volume names its Secret.
        above = f"{key}." if key != "secret" and _names_secret(key) else ""
        shown = {name: self._walk(item, f"{above}{name}") for name, item in value.items()}
        if isinstance(value.get("name"), str) and value.get("value"):
            shown["value"] = self._variable(value["name"], value["value"])
        elif _names_secret(str(value.get("key", ""))) or _HEADERS.search(str(value.get("key", ""))):
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
            if _SECRET_NAME.search(name) or _NO_WORD.fullmatch(each):
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
            if _FLAG_ALONE.match(flag) and not _REFERENCE.search(flag) and not str(value).startswith("-"):
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
        for match in _PASSWORD.finditer(value):
            self._remember(match[1])
        for match in _ASSIGNED.finditer(value):
            if _assigns(match):
                self._remember(match[3].strip("\\\"'"))

    def _remember(self, value: str) -> None:
        # What its shape gives away needs no memory.
        if len(value) >= 8 and text(value) != REDACTED:
            self._hidden.add(value)

    def scrub(self, content: str) -> str:
        """The text without any remembered value, plain, in base64 or as in a URL. When all objects have been seen."""
        for needle in self._needles:
            if needle in content:
                content = content.replace(needle, REDACTED)
        return content

    @functools.cached_property
    def _needles(self) -> list[str]:
        needles = set()
        for value in self._hidden - self._public:
            raw = value.encode()
            needles |= {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
            for encoded in (base64.b64encode, base64.urlsafe_b64encode):
                needles.add(encoded(raw).decode().rstrip("="))
                # Amid something else, as in "user:password": the characters that hold nothing of that.
                for bits in (0, 8, 16):
                    whole = encoded(b" " * (bits // 8) + raw).decode()
                    needles.add(whole[-(-bits // 6) : (bits + 8 * len(raw)) // 6])
        return sorted(needles, key=len, reverse=True)


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
