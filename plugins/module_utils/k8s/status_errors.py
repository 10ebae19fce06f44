# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error for an error response of an API server, with a hint (pure)."""

from __future__ import annotations

import re
from typing import Any

from .errors import ClusterError, Conflict, Forbidden, Invalid, NotFound, Unreachable
from .fields import mapping, mappings

_MANAGER = re.compile(r'conflict with "([^"]+)"')


def explain(
    cluster: str,
    server: str,
    what: str,
    status: dict[str, Any],
    code: int,
    *,
    anonymous: bool = False,
    tried: str = "",
) -> ClusterError:
    """The error for a response. ``status`` is the API's Status object, ``what`` the title of the object.

    ``anonymous``: the request had no credentials. ``tried``: how long it was retried, for the message.
    """
    reason = str(status.get("reason") or f"HTTP {code}")
    message = f"{status.get('message') or reason}{tried}"
    facts: dict[str, Any] = {"cluster": cluster, "reason": reason, "code": code}
    head = f"{cluster}: {what}: " if what else f"{cluster}: "
    if (anonymous and code in (401, 403)) or (code in (401, 403) and 'User "system:anonymous"' in message):
        return Forbidden(
            f"{head}{server} received no credentials ({message}). "
            "Add a user with credentials to this context of the kubeconfig",
            **facts,
        )
    if code == 401:
        return Forbidden(
            f"{head}{server} rejected the credentials of this context (401 Unauthorized). "
            "If the client certificate or token has expired or is for another cluster, renew the kubeconfig",
            **facts,
        )
    if code == 403 and reason == "Forbidden" and "is forbidden: User" in message:
        return Forbidden(f"{head}{message}. Grant this user the permission, or use another context", **facts)
    if code == 404:
        return NotFound(f"{head}{message}", **facts)
    if code == 409:
        return _conflict(head, status, message, facts)
    # Server-side apply reports an unknown field of a built-in kind as a plain 500.
    if code in (400, 422) or (code == 403 and "denied" in message) or "failed to create typed patch object" in message:
        return Invalid(f"{head}{_invalid(status, message)} ({reason})", **facts)
    if code == 403:
        return Forbidden(f"{head}{message} ({reason})", **facts)
    if code in (429, 502, 503, 504):
        return Unreachable(
            f"{head}{server} cannot respond: {message} ({reason}). "
            "Check the API server and what is in front of it, such as a load balancer",
            **facts,
        )
    if "failed calling webhook" in message:
        return ClusterError(f"{head}{message}. Check that the server of the admission webhook is running", **facts)
    return ClusterError(f"{head}{message} ({reason})", **facts)


def _causes(status: dict[str, Any]) -> list[dict[str, Any]]:
    return mappings(mapping(status.get("details")).get("causes"))


def _conflict(head: str, status: dict[str, Any], message: str, facts: dict[str, Any]) -> Conflict:
    fields: dict[str, list[str]] = {}
    for cause in _causes(status):
        if cause.get("reason") != "FieldManagerConflict":
            continue
        found = _MANAGER.search(str(cause.get("message", "")))
        managers = fields.setdefault(str(cause.get("field", "")), [])
        if found and found.group(1) not in managers:
            managers.append(found.group(1))
    if not fields:
        return Conflict(f"{head}{message}", **facts)
    listed = "; ".join(
        f"{field} ({', '.join(managers) or 'unknown manager'})" for field, managers in sorted(fields.items())
    )
    return Conflict(
        f"{head}other field managers own fields with other values: {listed}. "
        "Omit these fields, or take ownership with on_conflict: force",
        fields,
        **facts,
    )


def _invalid(status: dict[str, Any], message: str) -> str:
    causes = [
        f"{cause.get('field')}: {cause.get('message')}"
        for cause in _causes(status)
        if cause.get("field") and cause.get("message")
    ]
    # The message repeats the causes; several are easier to read as a list of fields.
    return message if len(causes) < 2 else "; ".join(causes)
