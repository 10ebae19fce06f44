# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the engine: every one carries a sentence for a person and facts for a program."""

from __future__ import annotations

from typing import Any


class ClusterError(Exception):
    """Something a person has to know: C(str(error)) names cluster, object, what the API said and what to do.

    ``facts`` are flat JSON values (cluster, kind, namespace, name, reason, ...) that end up in the failed result.
    """

    def __init__(self, msg: str, **facts: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.facts: dict[str, Any] = {key: value for key, value in facts.items() if value is not None}


class MissingLibrary(ClusterError):
    """The Python package kubernetes cannot be imported."""


class BadKubeconfig(ClusterError):
    """The kubeconfig cannot be read or has no such context."""


class Unreachable(ClusterError):
    """The API server did not answer: refused, timed out, unknown name, TLS."""


class Forbidden(ClusterError):
    """The API server answered 401 or 403."""


class NotServed(ClusterError):
    """The API server does not serve this kind (its CRD is not installed)."""


class NotFound(ClusterError):
    """The kind is served, the object does not exist."""


class Invalid(ClusterError):
    """The API server refused the content: schema, unknown field, admission."""


class Conflict(ClusterError):
    """Other field managers own fields with other values.

    ``fields`` maps a field path (".spec.replicas") to the names of its managers; empty for a version conflict.
    """

    def __init__(self, msg: str, fields: dict[str, list[str]] | None = None, **facts: Any) -> None:
        super().__init__(msg, conflicts=fields or {}, **facts)
        self.fields: dict[str, list[str]] = fields or {}


class Timeout(ClusterError):
    """A wait ended before its condition held."""
