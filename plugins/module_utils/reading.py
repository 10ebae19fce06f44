# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small readers of any Kubernetes object; what is absent reads as empty (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Json = dict[str, Any]


def meta(obj: Json | None) -> Json:
    return (obj or {}).get("metadata") or {}


def spec_of(obj: Json | None) -> Json:
    return (obj or {}).get("spec") or {}


def status_of(obj: Json | None) -> Json:
    return (obj or {}).get("status") or {}


def name_of(obj: Json | None) -> str:
    return str(meta(obj).get("name") or "")


def labels_of(obj: Json | None) -> dict[str, str]:
    return meta(obj).get("labels") or {}


def title(kind: str, name: str, namespace: str | None = None) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def title_of(obj: Json | None) -> str:
    return title(str((obj or {}).get("kind")), name_of(obj), meta(obj).get("namespace"))


def seconds(time: Any) -> float | None:
    """RFC 3339 as seconds since the epoch, None when there is none."""
    return datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp() if time else None
