# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One context of a kubeconfig: server, credentials and connections. As for kubectl, it may be several files, a:b.

Certificates are kept in memory: Ansible workers exit without Python's cleanup. The ssl module reads a client
certificate from a file only: that is in memory, too, where the system supports it.
"""

from __future__ import annotations

import copy
import errno
import os
import re
import ssl
import stat
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .connection import Connections, Endpoint, proxy_from, proxy_of
from .credentials import Credentials, Headers, Unusable, data_of
from .errors import BadKubeconfig
from .fields import Json, mapping, mappings
from .secret_files import secret_files
from .yaml_documents import document

try:
    import yaml

    IMPORT_ERROR: str | None = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

_VAULTED = re.compile(r"(?m)^[^#\n]*[:-]\s+!vault\b")
# Fields of clusters and users that kubectl and Helm refuse with a value of another type.
_SWITCHES = ("insecure-skip-tls-verify", "disable-compression")
_TEXTS = (
    *("server", "tls-server-name", "proxy-url", "certificate-authority", "certificate-authority-data"),
    *("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"),
    *("username", "password", "as", "as-uid"),
)


class Access:
    """Server, credentials and connections of a context. Raises BadKubeconfig when they cannot be used.

    ``connections`` lead to the API server, ``server`` is its URL, ``anonymous``: nobody is named to it.
    """

    def __init__(self, name: str, kubeconfig: str, context: str) -> None:
        self._name, self._kubeconfig, self._context = name, kubeconfig, context
        content = _read(name, kubeconfig, context)
        try:
            chosen = _entry(content, "contexts", "context", context)
            self._cluster = _named(content, "clusters", "cluster", chosen.get("cluster"))
            user = _named(content, "users", "user", chosen["user"]) if chosen.get("user") else {}
            self.server = _server(self._cluster)
            self._credentials = Credentials(user, self._cluster)
            self.connections = self._connections()
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from None

    @property
    def anonymous(self) -> bool:
        return self._credentials.anonymous

    def headers(self) -> Headers:
        """Authentication headers; created for each request, because tokens may be renewed. Raises BadKubeconfig."""
        return self._renewing(self._credentials.headers)

    def renew(self) -> bool:
        """New credentials after the API server rejected these. False when there are no others."""
        return self._renewing(self._credentials.renew)

    def close(self) -> None:
        """Close every connection."""
        self.connections.close()

    def _renewing(self, work: Any) -> Any:
        before = self._credentials.certificate
        try:
            result = work()
            if self._credentials.certificate != before:
                self.connections.close()
                self.connections = self._connections()
        except (OSError, ValueError) as exc:
            raise self._unusable(exc) from None
        return result

    def _connections(self) -> Connections:
        parts = urlsplit(self.server)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        url = self._cluster.get("proxy-url")
        proxy = proxy_of(str(url)) if url else proxy_from(os.environ, parts.scheme, host, port)
        tls = _tls(self._cluster, self._credentials.certificate) if parts.scheme == "https" else None
        return Connections(Endpoint(host, port, tls, self._cluster.get("tls-server-name") or host, proxy))

    def _unusable(self, exc: Exception) -> BadKubeconfig:
        text = " ".join(str(exc).split())[:600]
        return BadKubeconfig(
            f"{self._name}: context {self._context!r} of the kubeconfig {self._kubeconfig} cannot be used: {text}. "
            f"{getattr(exc, 'remedy', 'Correct it')}",
            cluster=self._name,
        )


def _named(content: Json, rows: str, entry: str, name: Any) -> Json:
    """The entry that the context refers to. Raises Unusable when there is none, or one with values of other types."""
    if name not in [row.get("name") for row in mappings(content.get(rows))]:
        raise Unusable(f"it refers to {entry} {name!r}, which does not exist")
    found = _entry(content, rows, entry, name)
    for field in _TEXTS:
        if not isinstance(found.get(field), str | None):
            raise Unusable(f"{field} of its {entry} is not text", "Put it in quotes")
    for field in _SWITCHES:
        if not isinstance(found.get(field), bool | None):
            raise Unusable(f"{field} of its {entry} is neither true nor false", "Write true or false without quotes")
    return found


def _server(cluster: Json) -> str:
    """The API server's URL, without a final slash. Raises Unusable."""
    url = (cluster.get("server") or "").rstrip("/")
    if not url:
        raise Unusable("its cluster has no server", "Set 'server' to the API server's URL, such as https://host:6443")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Unusable("its server has an invalid port or address") from None
    if "@" in url:
        raise Unusable("its server contains a user or password", "Put them into the user's entry")
    # A query may have a secret.
    plain = url.partition("?")[0]
    named = parts.scheme in ("http", "https") and parts.hostname and port != 0 and plain == url
    if not named or not _is_host(parts.hostname or "") or re.search(r"[\x00-\x1f\x7f]", url):
        example = f"https://{plain.partition('://')[2] or plain}"
        raise Unusable(f"its server {plain!r} is not a URL http(s)://host[:port]", f"Write for example {example}")
    return url


def _is_host(name: str) -> bool:
    """Whether it can be a host name or an address, for DNS, for TLS and for a SOCKS proxy."""
    try:
        return 0 < len(name.encode("idna")) < 256 and not re.search(r"[\x00-\x20\x7f]", name)
    except UnicodeError:
        return False


def _tls(cluster: Json, certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext:
    """TLS as kubectl does it. Raises Unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Python 3.13 requires extensions of certificates that other clients do not.
    context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
    what = "CA certificate"
    name = cluster.get("tls-server-name")
    if name and not _is_host(name):
        raise Unusable(f"tls-server-name {name!r} is not a host name")
    try:
        if cluster.get("insecure-skip-tls-verify"):
            if cluster.get("certificate-authority") or cluster.get("certificate-authority-data"):
                raise Unusable("it has a CA and insecure-skip-tls-verify, which exclude each other", "Remove one")
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif authority := data_of(cluster, "certificate-authority"):
            context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        else:
            context.load_default_certs()
        what = "client certificate with its key"
        if certificate:
            _load_client_certificate(context, *certificate)
    except ssl.SSLError as exc:
        raise Unusable(f"the {what} is invalid or encrypted: {exc.reason or exc}") from None
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    if not certificate or not key:
        raise Unusable(f"client-{'key' if certificate else 'certificate'} is missing")
    with secret_files({"certificate": certificate, "key": key}) as files:
        # A password prevents a prompt on the terminal.
        context.load_cert_chain(files["certificate"].path, files["key"].path, "none")


def context_alone(name: str, kubeconfig: str, context: str) -> Json:
    """The kubeconfig reduced to the context, for a program that uses the same identity. Paths are absolute.

    Raises BadKubeconfig.
    """
    content = _read(name, kubeconfig, context)
    chosen = copy.deepcopy(_entry(content, "contexts", "context", context))
    alone: Json = {"apiVersion": "v1", "kind": "Config", "current-context": context, "preferences": {}}
    alone["contexts"] = [{"name": context, "context": chosen}]
    for rows, entry in (("clusters", "cluster"), ("users", "user")):
        found = copy.deepcopy(_entry(content, rows, entry, chosen.get(entry)))
        alone[rows] = [{"name": chosen.get(entry), entry: found}]
    return alone


def _entry(content: Json, rows: str, entry: str, name: Any) -> Json:
    """The entry of that name in one of the kubeconfig's lists; {} when missing."""
    listed = content.get(rows)
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and row.get("name") == name and isinstance(row.get(entry), dict):
            found: Json = row[entry]
            return found
    return {}


def files_of(kubeconfig: str) -> list[Path]:
    """The files of a kubeconfig, which may be a list as in KUBECONFIG; a path that exists is one file."""
    one = Path(kubeconfig)
    if os.pathsep not in kubeconfig or _exists(one):
        return [one]
    return [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part.strip()] or [one]


def _exists(path: Path) -> bool:
    """False also where Path.exists() raises: for a name that is too long, and in a folder that may not be read."""
    return os.path.exists(path)  # noqa: PTH110


def merged(contents: Iterable[Json]) -> Json:
    """Several kubeconfigs as one, by the rules of kubectl: the first entry of a name is used, and used whole."""
    result: Json = {}
    for content in contents:
        for key, value in content.items():
            if key not in ("clusters", "users", "contexts"):
                result.setdefault(key, value)
                continue
            rows = result.setdefault(key, [])
            names = [row.get("name") for row in rows]
            rows += [row for row in mappings(value) if row.get("name") not in names]
    return result


def contexts_of(name: str, kubeconfig: str) -> list[str]:
    """Names of the contexts, in their order. ``name``: begins the message of an error. Raises BadKubeconfig."""
    rows = mappings(_content(name, kubeconfig, "Correct the path").get("contexts"))
    return [row["name"] for row in rows if isinstance(row.get("name"), str) and row["name"]]


def _read(name: str, kubeconfig: str, context: str) -> Json:
    """The parsed kubeconfig, which contains the context; all paths in it are absolute."""
    content = _content(name, kubeconfig, f"Set 'kubeconfig' to the file with context {context}")
    contexts = [str(row.get("name")) for row in mappings(content.get("contexts"))]
    if context not in contexts:
        have = ", ".join(sorted(contexts)) or "none"
        raise BadKubeconfig(
            f"{name}: the kubeconfig {kubeconfig} has no context {context!r} (contexts: {have}). "
            "Correct 'context' (kube_context)",
            cluster=name,
            contexts=sorted(contexts),
        )
    return content


def _content(name: str, kubeconfig: str, remedy: str) -> Json:
    """The parsed kubeconfig. ``remedy``: what to do if there is no such file."""
    files = files_of(kubeconfig)
    existing = list(filter(_exists, files)) or files
    return merged(_parsed(name, path, remedy) for path in existing)


def _parsed(name: str, path: Path, remedy: str) -> Json:
    """One file of the kubeconfig."""
    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            raise OSError(0, "it is a pipe, and it is read several times")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadKubeconfig(f"{name}: the kubeconfig {path} does not exist. {remedy}", cluster=name) from None
    except (OSError, ValueError) as exc:
        # What is no path may be the content of a kubeconfig.
        shown = f"of {len(str(path))} characters" if getattr(exc, "errno", 0) == errno.ENAMETOOLONG else path
        raise BadKubeconfig(
            f"{name}: the kubeconfig {shown} cannot be read: {_read_fault(exc)}. Correct it", cluster=name
        ) from None
    return parsed(name, f"the kubeconfig {path}", text, path.absolute().parent)


def parsed(name: str, title: str, text: str, folder: Path) -> Json:
    """The content of a kubeconfig; its relative paths belong to the folder. Raises BadKubeconfig."""
    whole = text.startswith("$ANSIBLE_VAULT;")
    if whole or _VAULTED.search(text):
        what = "is encrypted" if whole else "has values encrypted"
        raise BadKubeconfig(
            f"{name}: {title} {what} by Ansible Vault and is not decrypted here. Write it decrypted to a private file "
            "(ansible.builtin.copy does, with mode 0600) and set 'kubeconfig' to that file",
            cluster=name,
        )
    try:
        content = mapping(document(text))
    except ValueError as exc:
        raise BadKubeconfig(f"{name}: {title} cannot be read: {_yaml_fault(exc)}. Correct it", cluster=name) from None
    for rows, entry in (("clusters", "cluster"), ("users", "user")):
        for row in mappings(content.get(rows)):
            _make_absolute(mapping(row.get(entry)), folder)
    return content


def _make_absolute(entry: Json, base: Path) -> None:
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if entry.get(key) and isinstance(entry[key], str):
            entry[key] = str(base / entry[key])
    plugin = mapping(entry.get("exec"))
    if "/" in str(plugin.get("command") or ""):
        plugin["command"] = str(base / str(plugin["command"]))


def _yaml_fault(exc: BaseException) -> str:
    """The problem and its line number, without the line, which may contain a credential."""
    if exc.__cause__ is None:
        return str(exc)
    exc = exc.__cause__
    mark = getattr(exc, "problem_mark", None)
    if not isinstance(exc, yaml.YAMLError):
        return "it is not valid YAML: it has a value that cannot be parsed"
    # The problem may quote aliases, anchors and tags; grammar tokens ('<block end>') may be shown.
    problem = str(getattr(exc, "problem", None) or "a character that is not allowed")
    problem = re.sub(r"""(?<!\S)(['"])(?!<)((?!\1).){3,}\1""", "...", problem)
    return f"it is not valid YAML{f', line {mark.line + 1}' if mark else ''}: {problem}"


def _read_fault(exc: Exception) -> str:
    return "it is not UTF-8 text" if isinstance(exc, UnicodeDecodeError) else str(getattr(exc, "strerror", exc))
