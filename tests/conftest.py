"""Puts the checkout where Python finds it as the collection `multicluster.gloo`, and `lab` beside it."""

from __future__ import annotations

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
COLLECTIONS = REPO / ".cache" / "collections"


def link_collection() -> None:
    """Make `.cache/collections/ansible_collections/multicluster/gloo` point at the checkout."""
    link = COLLECTIONS / "ansible_collections" / "multicluster" / "gloo"
    if link.resolve() != REPO:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(REPO, target_is_directory=True)


link_collection()
for path in (str(REPO), str(COLLECTIONS)):
    if path not in sys.path:
        sys.path.insert(0, path)
