"""Envoy's configuration files: it has no control plane and watches them for a rename."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Config = dict[str, Any]

EMPTY: Config = {"resources": []}  # no listeners, or no clusters


def bootstrap(folder: Path, admin_port: int, node: str) -> Config:
    """Envoy's own settings: the admin port on loopback, everything else in files of `folder`."""
    dynamic = {"lds_config": source(folder, "lds.json"), "cds_config": source(folder, "cds.json")}
    return {
        "node": {"id": node, "cluster": "gateway-proxy"},
        "admin": {"address": address("127.0.0.1", admin_port)},
        "dynamic_resources": dynamic,
    }


def source(folder: Path, name: str) -> Config:
    """A ConfigSource that reads a file."""
    return {"resource_api_version": "V3", "path_config_source": {"path": str(folder / name)}}


def address(host: str, port: int) -> Config:
    return {"socket_address": {"address": host, "port_value": port}}


def read(path: Path) -> Config:
    """The content of a file, EMPTY without one."""
    config: Config = json.loads(path.read_text()) if path.exists() else EMPTY
    return config


def write(path: Path, config: Config) -> bool:
    """Replace a file when its content changes; returns whether it did."""
    text = json.dumps(config, indent=1)
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    return True
