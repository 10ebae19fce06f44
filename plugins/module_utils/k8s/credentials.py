# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials of a kubeconfig's user, used as kubectl and Helm use them: token, certificate, credential plugin,
impersonation.

The ``kubernetes`` package is not used for this: it only logs why a plugin failed and then sends requests without
credentials, waits for a plugin without a limit, ignores impersonation, and keeps certificates in files that all
connections of a process share.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .child_process import guarded, without_licences
from .fields import Json, from_json, mapping, mappings
from .printable import one_line
from .secret_text import text as without_secrets

Headers = list[tuple[str, str]]

# Seconds for a credential plugin. There is no terminal in which it could ask for something.
PLUGIN_WITHIN = 30.0
_GRACE = 1.0
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_CLUSTER_INFO = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
_EXTENSION = "client.authentication.k8s.io/exec"
_LOG_IN = "Log in with it in a terminal, or correct the kubeconfig"
# Seconds before its expiry from which a credential is renewed.
_EARLY = 10.0
# Bytes at the end of what a plugin wrote in which secrets are looked for.
_READ = 20_000
# What a header cannot contain.
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


class Unusable(ValueError):
    """Why the credentials cannot be used, with what to do as ``remedy``."""

    def __init__(self, text: str, remedy: str = "Correct it") -> None:
        super().__init__(text)
        self.remedy = remedy


class Credentials:
    """The credentials of one user. Runs the credential plugin, if there is one; raises Unusable.

    ``certificate``: (certificate, key) as PEM for TLS, or None. Thread-safe.
    """

    def __init__(self, user: Json, cluster: Json) -> None:
        self._user = user
        self._impersonation = impersonation(user)
        self._plugin = _Plugin(mapping(user["exec"]), cluster) if user.get("exec") else None
        self._lock = threading.Lock()
        self._given: Json = {}
        self._expires: float | None = None
        _check_provider(mapping(user.get("auth-provider")))
        self.certificate = self._own_certificate()
        self.renew()

    @property
    def anonymous(self) -> bool:
        """Whether requests say nothing about who sends them."""
        return not self.certificate and not self._user.get("tokenFile") and not self._authorization()

    def headers(self) -> Headers:
        """The headers of one request; renews a credential that expires."""
        if self._expires is not None and time.time() > self._expires - _EARLY:
            self.renew()
        authorization = self._authorization()
        found = [*([("Authorization", authorization)] if authorization else []), *self._impersonation]
        for name, value in found:
            if _UNSENDABLE.search(value):
                what = "the token" if name == "Authorization" else f"the value for {name}"
                raise Unusable(f"{what} has several lines or control characters")
        return found

    def renew(self) -> bool:
        """Run the credential plugin again. False without one."""
        if self._plugin is None:
            return False
        with self._lock:
            self._given = self._plugin.run()
            self._expires = _seconds(self._given.get("expirationTimestamp"))
            certificate = self._given.get("clientCertificateData")
            if certificate:
                self.certificate = certificate.encode(), str(self._given.get("clientKeyData") or "").encode()
        return True

    def _authorization(self) -> str:
        user = self._user
        if user.get("tokenFile"):
            # Read for every request: whoever renews the token replaces the file.
            found = _token_in(str(user["tokenFile"]), optional=bool(user.get("token")))
            if found:
                return f"Bearer {found}"
        provider = mapping(mapping(user.get("auth-provider")).get("config"))
        token = user.get("token") or self._given.get("token") or provider.get("id-token")
        if token:
            return f"Bearer {str(token).strip()}"
        if user.get("username"):
            pair = f"{user['username']}:{user.get('password') or ''}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return ""

    def _own_certificate(self) -> tuple[bytes, bytes] | None:
        certificate, key = data_of(self._user, "client-certificate"), data_of(self._user, "client-key")
        return (certificate, key) if certificate or key else None


def _token_in(path: str, *, optional: bool) -> str:
    """The token in a file. Raises Unusable unless it is ``optional``."""
    try:
        found, why = Path(path).read_text(encoding="utf-8").strip(), "it is empty"
    except OSError as exc:
        found, why = "", str(exc.strerror)
    except ValueError:
        found, why = "", "it is not text"
    if not found and not optional:
        raise Unusable(f"tokenFile {path} cannot be read: {why}")
    return found


def data_of(entry: Json, name: str) -> bytes:
    """The certificate or key of a kubeconfig entry: ``<name>-data``, else the file ``<name>``; empty without both.

    Raises Unusable.
    """
    if entry.get(f"{name}-data"):
        try:
            return base64.b64decode("".join(str(entry[f"{name}-data"]).split()), validate=True)
        except ValueError:
            raise Unusable(f"{name}-data is not valid base64") from None
    if not entry.get(name):
        return b""
    try:
        return Path(str(entry[name])).read_bytes()
    except OSError as exc:
        raise Unusable(f"{name} {entry[name]} cannot be read: {exc.strerror}") from None


def impersonation(user: Json) -> Headers:
    """Headers for the identity that the user takes on. Raises Unusable."""
    extra = mapping(user.get("as-user-extra"))
    fields = [("Uid", user.get("as-uid"))] + [("Group", group) for group in _texts(user.get("as-groups"))]
    # A header name allows fewer characters than a key.
    fields += [
        (f"Extra-{quote(str(key), safe='')}", value) for key, values in extra.items() for value in _texts(values)
    ]
    wanted = [(f"Impersonate-{name}", str(value)) for name, value in fields if value]
    if wanted and not user.get("as"):
        raise Unusable("as-uid, as-groups and as-user-extra require 'as'")
    return [("Impersonate-User", str(user["as"])), *wanted] if user.get("as") else []


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _check_provider(provider: Json) -> None:
    """Of the auth-providers kubectl itself supports only oidc."""
    if not provider:
        return
    name, token = provider.get("name"), str(mapping(provider.get("config")).get("id-token") or "")
    if name != "oidc":
        raise Unusable(f"kubectl no longer supports auth-provider {name}", "Use the credential plugin of your provider")
    if not token:
        raise Unusable("auth-provider oidc has no id-token", "Log in, or use a credential plugin")
    expires = _expiry_of(token)
    if expires is not None and time.time() > expires - _EARLY:
        # To refresh it here would invalidate the refresh token in the user's file.
        raise Unusable("the id-token of auth-provider oidc has expired", "Run any kubectl command, which renews it")


def _expiry_of(token: str) -> float | None:
    """When a JWT expires, None when it does not say."""
    try:
        part = token.split(".")[1]
        claims = from_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _seconds(timestamp: Any) -> float | None:
    if not timestamp:
        return None
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp()
    except ValueError:
        raise Unusable("the credential plugin returned an expirationTimestamp that is not an RFC 3339 time") from None


class _Plugin:
    """A program that prints credentials (users[].user.exec)."""

    def __init__(self, settings: Json, cluster: Json) -> None:
        self._settings = settings
        self._version = str(settings.get("apiVersion") or "")
        self._command = str(settings.get("command") or "")
        self._name = f"the credential plugin {Path(self._command).name}"
        self._cluster = cluster if settings.get("provideClusterInfo") else None
        if not self._command:
            raise Unusable("the user's exec has no command")
        if self._version not in _VERSIONS:
            raise Unusable(
                f"{self._name} is configured for apiVersion {self._version or '(none)'}",
                f"Use {' or '.join(_VERSIONS)}",
            )
        if settings.get("interactiveMode") == "Always":
            raise Unusable(
                f"{self._name} requires a terminal (interactiveMode: Always), but there is none",
                "Use a login that needs no terminal, such as a service account",
            )

    def run(self) -> Json:
        """The status of the plugin's ExecCredential. Raises Unusable with what the plugin wrote."""
        environment = {**without_licences(os.environ), "KUBERNETES_EXEC_INFO": json.dumps(self._info())}
        for entry in mappings(self._settings.get("env")):
            environment[str(entry.get("name"))] = str(entry.get("value") or "")
        program = shutil.which(self._command, path=environment.get("PATH"))
        if program is None:
            exists = Path(self._command).is_file()
            raise self._not_started("cannot be started: it is not executable" if exists else "is not installed")
        try:
            command = [program, *map(str, self._settings.get("args") or ())]
            with guarded(command, environment, _GRACE) as process:
                out, err, late = _outputs(process)
        except (OSError, ValueError) as exc:
            raise self._not_started(f"cannot be started: {exc}") from None
        written = f": {_excerpt(err)}" if err.strip() else ""
        if late:
            raise Unusable(f"{self._name} did not end within {PLUGIN_WITHIN:.0f} s{written}", _LOG_IN)
        if process.returncode:
            code = process.returncode
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            raise Unusable(f"{self._name} {how}{written}", _LOG_IN)
        return self._status(out, written)

    def _not_started(self, why: str) -> Unusable:
        hint = _shown(str(self._settings.get("installHint") or ""))
        return Unusable(f"{self._name} {why}", hint or "Install it on this machine, or correct the kubeconfig")

    def _status(self, out: bytes, written: str) -> Json:
        try:
            answer = mapping(from_json(out))
        except ValueError:
            raise Unusable(f"{self._name} printed no ExecCredential{written}", _LOG_IN) from None
        if answer.get("apiVersion") != self._version or answer.get("kind") != "ExecCredential":
            shown = _shown(f"{answer.get('apiVersion')} {answer.get('kind')}"[:_READ])[:100]
            raise Unusable(
                f"{self._name} printed {shown}, but the kubeconfig expects {self._version} ExecCredential",
                "Correct apiVersion in the kubeconfig, or update the plugin",
            )
        status = mapping(answer.get("status"))
        for name in ("token", "clientCertificateData", "clientKeyData"):
            if not isinstance(status.get(name) or "", str):
                raise Unusable(f"{self._name} printed a {name} that is not text{written}", _LOG_IN)
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if not status.get("token") and not (certificate and key):
            what = "a certificate without its key" if certificate else "no token and no certificate"
            raise Unusable(f"{self._name} printed {what}{written}", _LOG_IN)
        return status

    def _info(self) -> Json:
        spec: Json = {"interactive": False}
        if self._cluster is not None:
            spec["cluster"] = {key: self._cluster[key] for key in _CLUSTER_INFO if key in self._cluster}
            authority = data_of(self._cluster, "certificate-authority")
            if authority:
                spec["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
            for extension in mappings(self._cluster.get("extensions")):
                if extension.get("name") == _EXTENSION:
                    spec["cluster"]["config"] = extension.get("extension")
        return {"apiVersion": self._version, "kind": "ExecCredential", "spec": spec}


def _outputs(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes, bool]:
    """(standard output, standard error, whether it was ended after PLUGIN_WITHIN seconds)."""
    try:
        return *process.communicate(timeout=PLUGIN_WITHIN), False
    except subprocess.TimeoutExpired:
        late = process.poll() is None  # else only a child of it is left
        _end(process)
        with suppress(subprocess.TimeoutExpired):
            return *process.communicate(timeout=1.0), late
        return b"", b"", late
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the plugin and its children, which have a session of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _excerpt(err: bytes) -> str:
    """The end of what a plugin wrote, on one line and without secrets."""
    return _shown(err[-_READ:].decode("utf-8", "replace"))[-400:]


def _shown(text: str) -> str:
    return one_line(without_secrets(text))
