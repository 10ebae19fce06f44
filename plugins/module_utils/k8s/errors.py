# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the engines: each has a message for users and facts for programs."""

from __future__ import annotations

from typing import Any


class ClusterError(Exception):
    """An error for users: the message names cluster, object, reason and remedy.

    ``facts`` are flat JSON values (cluster, kind, namespace, name, reason, ...), returned with the failed result.
    ``outcome_unknown``: a write was sent, and the API server may have processed it, or may do so later.
    """

    outcome_unknown = False

    def __init__(self, msg: str, **facts: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.facts: dict[str, Any] = {key: value for key, value in facts.items() if value is not None}


class MissingLibrary(ClusterError):
    """The Python package kubernetes cannot be imported."""


class BadKubeconfig(ClusterError):
    """The kubeconfig cannot be read or has no such context."""


class Unreachable(ClusterError):
    """The API server did not respond: connection refused, timeout, unknown host name, TLS."""


class ApiUnavailable(ClusterError):
    """An aggregated API does not respond, while the API server does."""


class Forbidden(ClusterError):
    """The API server responded with 401 or 403."""


class NotServed(ClusterError):
    """The API server does not serve this kind (its CRD is not installed)."""


class NotFound(ClusterError):
    """The kind is served, the object does not exist."""


class Invalid(ClusterError):
    """The API server rejected the content: schema, unknown field, admission."""


class Conflict(ClusterError):
    """Other field managers own fields with other values.

    ``fields`` maps a field path (".spec.replicas") to the names of its managers; empty for a version conflict.
    """

    def __init__(self, msg: str, fields: dict[str, list[str]] | None = None, **facts: Any) -> None:
        super().__init__(msg, conflicts=fields or {}, **facts)
        self.fields: dict[str, list[str]] = fields or {}


class Timeout(ClusterError):
    """A wait ended before its condition was met."""
