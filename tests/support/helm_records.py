"""Helm's records as Helm stores them, built from scratch."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

Json = dict[str, Any]


def record(
    name: str = "edge",
    revision: int = 1,
    status: str = "deployed",
    *,
    namespace: str = "team",
    chart: str = "edge",
    version: str = "1.0.0",
    values: Json | None = None,
    manifest: str = "",
    files: dict[str, str] | None = None,
    kind: str = "Secret",
    modified: int = 0,
    created: str = "2026-01-02T03:04:05Z",
    deleted: str = "",
    installed: str = "",
    metadata: Json | None = None,
) -> Json:
    """One revision, as a Secret or a ConfigMap of the API server."""
    body = {
        "name": name,
        "namespace": namespace,
        "version": revision,
        "info": {
            "status": status,
            "first_deployed": installed,
            "last_deployed": "2026-01-02T03:04:05.123456789Z",
            "deleted": deleted,
        },
        "chart": {
            "metadata": {"name": chart, "version": version, "appVersion": "7", **(metadata or {})},
            "templates": [{"name": "templates/a.yaml", "data": encoded("a: {{ .Values.a }}")}],
            "values": {"a": 1},
            "files": [{"name": path, "data": encoded(text)} for path, text in (files or {}).items()],
        },
        "config": values,
        "manifest": manifest,
    }
    packed = base64.b64encode(gzip.compress(json.dumps(body).encode())).decode()
    labels = {"owner": "helm", "name": name, "version": str(revision), "status": status}
    if modified:
        labels["modifiedAt"] = str(modified)
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{revision}",
            "namespace": namespace,
            "labels": labels,
            "creationTimestamp": created,
        },
        "data": {"release": encoded(packed) if kind == "Secret" else packed},
    }


def encoded(text: str) -> str:
    """Base64."""
    return base64.b64encode(text.encode()).decode()
