# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One context of a kubeconfig: server, credentials and connections. As for kubectl, it may be several files, a:b.

The ``kubernetes`` package writes certificates and keys of a kubeconfig into files and removes them when Python exits.
Ansible workers exit without this cleanup, so certificates are kept in memory here. They are in files only while the ssl
module loads them, which it cannot do from memory.
"""

from __future__ import annotations

import base64
import copy
import os
import re
import ssl
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import BadKubeconfig
from .fields import Json, mapping, mappings

try:
    import urllib3
    import yaml
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.config.kube_config import KubeConfigLoader

    IMPORT_ERROR: str | None = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# Certificates in a kubeconfig: list, entry, key; and the file attribute of the client's Configuration.
_CERTIFICATES = (
    ("clusters", "cluster", "certificate-authority", "ssl_ca_cert"),
    ("users", "user", "client-certificate", "cert_file"),
    ("users", "user", "client-key", "key_file"),
)


class Access:
    """Server and connections of a context. Raises BadKubeconfig when it cannot be used.

    ``pool`` has the connections, ``server`` is the API server's URL.
    """

    def __init__(self, name: str, kubeconfig: str, context: str) -> None:
        content = _read(name, kubeconfig, context)
        try:
            self._configuration, self._certificates = _load(content, kubeconfig, context)
            self._impersonation = impersonation(content, context)
            self.server: str = self._configuration.host.rstrip("/")
            with self.files() as configuration:
                self.pool = ApiClient(configuration).rest_client.pool_manager
                if self.server.startswith("https"):
                    _keep_in_memory(self.pool.connection_pool_kw, configuration)
        except Exception as exc:  # ConfigException, OSError of certificate files, exec plugins, ...
            text = " ".join(str(exc).split())[:300]
            raise BadKubeconfig(
                f"{name}: context {context!r} of the kubeconfig {kubeconfig} cannot be used: {text}. Correct it",
                cluster=name,
            ) from None

    def headers(self) -> dict[str, str]:
        """Authentication headers; created for each request, because tokens may be renewed."""
        settings = self._configuration.auth_settings().values()
        found = {setting["key"]: setting["value"] for setting in settings if setting.get("value")}
        return {**found, **self._impersonation}

    @contextmanager
    def files(self) -> Iterator[Any]:
        """The client's Configuration with its certificates in files, which exist only inside the context."""
        with tempfile.TemporaryDirectory(prefix="multicluster-gloo-") as folder:
            configuration = copy.copy(self._configuration)
            for attribute, data in self._certificates.items():
                path = Path(folder, attribute)
                path.write_bytes(data)
                setattr(configuration, attribute, str(path))
            yield configuration

    def close(self) -> None:
        """Close every connection."""
        self.pool.clear()


def _load(content: Json, kubeconfig: str, context: str) -> tuple[Any, dict[str, bytes]]:
    """(Configuration, certificates that are not in files of the user, by attribute name)."""
    plain, certificates = without_certificates(content, context)
    configuration = Configuration()
    with tempfile.TemporaryDirectory(prefix="multicluster-gloo-") as folder:
        base = str(files_of(kubeconfig)[0].absolute().parent)
        KubeConfigLoader(plain, context, config_base_path=base, temp_file_path=folder).load_and_set(configuration)
        for *_place, attribute in _CERTIFICATES:
            path = getattr(configuration, attribute)
            if path and Path(path).parent == Path(folder):  # returned by an exec plugin
                certificates.setdefault(attribute, Path(path).read_bytes())
    return configuration, certificates


def without_certificates(content: Json, context: str) -> tuple[Json, dict[str, bytes]]:
    """(the kubeconfig without the inline certificates of the context's entries, those certificates).

    Raises ValueError for invalid base64. Other invalid content is left unchanged.
    """
    plain, certificates = copy.deepcopy(content), {}
    chosen = _entry(plain, "contexts", "context", context)
    plugin = _entry(plain, "users", "user", chosen.get("user")).get("exec")
    for rows, entry, key, attribute in _CERTIFICATES:
        found = _entry(plain, rows, entry, chosen.get(entry))
        if found.get(f"{key}-data"):
            try:
                certificates[attribute] = base64.b64decode("".join(str(found[f"{key}-data"]).split()), validate=True)
            except ValueError:
                raise ValueError(f"{key}-data is not valid base64") from None
            if not (plugin and entry == "cluster"):  # a plugin may receive the cluster info, including the CA
                del found[f"{key}-data"]
                found.pop(key, None)
    return plain, certificates


def impersonation(content: Json, context: str) -> dict[str, str]:
    """Headers for the identity that the context's user takes on; the kubernetes package ignores these fields.

    Raises ValueError for several groups and for extra fields, which need a header more than once.
    """
    user = _entry(content, "users", "user", _entry(content, "contexts", "context", context).get("user"))
    groups = user.get("as-groups") or []
    if user.get("as-user-extra") or not isinstance(groups, list) or len(groups) > 1:
        raise ValueError("impersonation with as-user-extra or with several as-groups is not supported")
    fields = {
        "Impersonate-User": user.get("as"),
        "Impersonate-Uid": user.get("as-uid"),
        "Impersonate-Group": next(iter(groups), None),
    }
    return {header: str(value) for header, value in fields.items() if value}


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


def _keep_in_memory(pool: Json, configuration: Any) -> None:
    """Give the pool a TLS context with the certificates loaded. Raises ValueError."""
    tls = urllib3.util.create_urllib3_context(cert_reqs=pool["cert_reqs"])
    what = "CA certificate"
    try:
        if configuration.ssl_ca_cert:
            tls.load_verify_locations(configuration.ssl_ca_cert)
        elif tls.verify_mode != ssl.CERT_NONE:
            tls.load_default_certs()
        what = "client certificate with its key"
        if configuration.cert_file:
            # An empty password prevents a prompt on the terminal.
            tls.load_cert_chain(configuration.cert_file, configuration.key_file, password="none")
    except ssl.SSLError as exc:
        raise ValueError(f"the {what} is invalid or encrypted: {exc.reason or exc}") from None
    pool["ssl_context"] = tls
    for key in ("ca_certs", "cert_file", "key_file"):
        pool.pop(key)


def files_of(kubeconfig: str) -> list[Path]:
    """The files of a kubeconfig, which may be a list as in KUBECONFIG; a path that exists is one file."""
    one = Path(kubeconfig)
    if os.pathsep not in kubeconfig or one.exists():
        return [one]
    return [Path(part).expanduser() for part in kubeconfig.split(os.pathsep) if part.strip()] or [one]


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


def _read(name: str, kubeconfig: str, context: str) -> Json:
    """The parsed kubeconfig, which contains the context; all paths in it are absolute."""
    files = files_of(kubeconfig)
    existing = [path for path in files if path.exists()] or files
    content = merged(_parsed(name, path, context) for path in existing)
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


def _parsed(name: str, path: Path, context: str) -> Json:
    """One file of the kubeconfig; its relative paths belong to its folder."""
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith("$ANSIBLE_VAULT;"):
            raise BadKubeconfig(
                f"{name}: the kubeconfig {path} is encrypted by Ansible Vault and is not decrypted here. Write it "
                "decrypted to a private file (ansible.builtin.copy does, with mode 0600) and set 'kubeconfig' to that "
                "file",
                cluster=name,
            )
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise BadKubeconfig(
            f"{name}: the kubeconfig {path} does not exist. Set 'kubeconfig' to the file with context {context}",
            cluster=name,
        ) from None
    # PyYAML raises more than YAMLError, for example for the date 2026-13-01.
    except (OSError, yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as exc:
        text = _read_fault(exc) if isinstance(exc, (OSError, UnicodeDecodeError)) else _yaml_fault(exc)
        raise BadKubeconfig(f"{name}: the kubeconfig {path} cannot be read: {text}. Correct it", cluster=name) from None
    content = mapping(content)
    base = path.absolute().parent
    for rows, entry in (("clusters", "cluster"), ("users", "user")):
        for row in mappings(content.get(rows)):
            _make_absolute(mapping(row.get(entry)), base)
    return content


def _make_absolute(entry: Json, base: Path) -> None:
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if entry.get(key):
            entry[key] = str(base / str(entry[key]))
    plugin = mapping(entry.get("exec"))
    if "/" in str(plugin.get("command") or ""):
        plugin["command"] = str(base / str(plugin["command"]))


def _yaml_fault(exc: Exception) -> str:
    """The problem and its line number, without the line, which may contain a credential."""
    mark = getattr(exc, "problem_mark", None)
    if not isinstance(exc, yaml.YAMLError):
        return "it is not valid YAML: it has a value that cannot be parsed"
    # The problem may quote aliases, anchors and tags; grammar tokens ('<block end>') may be shown.
    problem = str(getattr(exc, "problem", None) or "a character that is not allowed")
    problem = re.sub(r"""(?<!\S)(['"])(?!<)((?!\1).){3,}\1""", "...", problem)
    return f"it is not valid YAML{f', line {mark.line + 1}' if mark else ''}: {problem}"


def _read_fault(exc: Exception) -> str:
    return "it is not UTF-8 text" if isinstance(exc, UnicodeDecodeError) else str(getattr(exc, "strerror", exc))
