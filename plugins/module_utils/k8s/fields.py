# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small readers of any Kubernetes object; what is absent, null or of another type reads as empty (pure)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Json = dict[str, Any]


def mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[Json]:
    """The items of a list of maps."""
    return [item for item in listed(value) if isinstance(item, dict)]


def texts(value: Any) -> dict[str, str]:
    """A map of text, as labels and selectors are."""
    return {str(key): str(text) for key, text in mapping(value).items() if text is not None}


def number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def meta(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("metadata"))


def spec_of(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("spec"))


def status_of(obj: Json | None) -> Json:
    return mapping(mapping(obj).get("status"))


def name_of(obj: Json | None) -> str:
    return str(meta(obj).get("name") or "")


def labels_of(obj: Json | None) -> dict[str, str]:
    return texts(meta(obj).get("labels"))


def title(kind: str, name: str, namespace: str | None = None) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def title_of(obj: Json | None) -> str:
    return title(str((obj or {}).get("kind")), name_of(obj), meta(obj).get("namespace"))


def seconds(time: Any) -> float | None:
    """RFC 3339 as seconds since the epoch, None when there is none."""
    try:
        return datetime.fromisoformat(str(time).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
