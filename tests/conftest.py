"""Makes the checkout importable as the collection `multicluster.gloo`, and the package `lab`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "shares"]

REPO = Path(__file__).resolve().parent.parent
COLLECTIONS = REPO / ".cache" / "collections"


def link_collection() -> None:
    """Make `.cache/collections/ansible_collections/multicluster/gloo` point at the checkout."""
    link = COLLECTIONS / "ansible_collections" / "multicluster" / "gloo"
    if link.resolve() != REPO:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(REPO, target_is_directory=True)


# The same examples everywhere, without a deadline for slow machines. FUZZ=1 searches for new
# ones; one that fails is printed with what repeats it, and is tried first the next time.
_SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("new", derandomize=False, deadline=None, suppress_health_check=_SLOW_MACHINE, print_blob=True)
settings.load_profile("new" if os.environ.get("FUZZ", "0") not in ("", "0") else "same")

link_collection()
for path in (str(REPO), str(COLLECTIONS)):
    if path not in sys.path:
        sys.path.insert(0, path)
