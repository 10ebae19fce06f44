"""Folders: one for each lab, one cache for all labs."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Folder of this lab: LAB_HOME, otherwise .lab in the repository."""
    folder = os.environ.get("LAB_HOME")
    return Path(folder).expanduser().resolve() if folder else REPOSITORY / ".lab"


def cache() -> Path:
    """Folder of built or downloaded programs, shared by all labs: LAB_CACHE, otherwise in the user's cache folder."""
    folder = os.environ.get("LAB_CACHE")
    if folder:
        return Path(folder).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "multicluster-gloo"
