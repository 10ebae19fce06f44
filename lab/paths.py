"""Where the lab keeps what: one folder per lab, one cache for all labs."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Folder of this lab: LAB_HOME, else .lab beside the project."""
    told = os.environ.get("LAB_HOME")
    return Path(told).expanduser().resolve() if told else REPOSITORY / ".lab"


def cache() -> Path:
    """Folder of built or downloaded programs, shared by all labs: LAB_CACHE, else the user's cache folder."""
    told = os.environ.get("LAB_CACHE")
    if told:
        return Path(told).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "multicluster-gloo"
