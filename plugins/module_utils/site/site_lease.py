# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module site_lease: wait until no other run holds the Lease of a site, or give it back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ..k8s import lease
from ..k8s.errors import ClusterError
from ..k8s.progress import Progress
from ..k8s.transport import Transport
from ..k8s.verdict import waiting

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["free", "released"], "default": "free"},
    "wait_timeout": {"type": "int", "default": 0},
}

_PACE = 2.0


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: msg. Raises Held when another run holds the Lease at the end of the wait.

    A Lease that cannot be read is no error here: it is read again before the first write.
    """
    mine = lease.of_environment()
    if mine is None:
        return {"msg": f"no Lease is used: {lease.VARIABLE} is not set"}
    if check:
        return {"msg": f"{mine.cluster}: {mine.title} is not used in check mode"}
    try:
        if params["state"] == "released":
            done = lease.release(mine)
            return {"msg": f"{mine.cluster}: {mine.title} {'is deleted' if done else 'is not held by this run'}"}
        _await_free(mine, params["wait_timeout"], progress)
    except lease.Held:
        raise
    except ClusterError as exc:
        return {"msg": exc.msg}
    return {"msg": f"{mine.cluster}: no other run holds {mine.title}"}


def _await_free(mine: lease.Run, timeout: float, progress: Callable[[str], None]) -> None:
    report = Progress(mine.cluster, progress)
    with contextlib.closing(Transport(mine.kubeconfig, mine.context, mine.cluster, patience=5.0)) as cluster:
        while True:
            found, now = lease.read(cluster, mine)
            if found is None or lease.is_free(found, mine, now):
                return
            text = lease.refusal(found, mine)
            if report.seconds >= timeout:
                raise lease.Held(text, cluster=mine.cluster, kind="Lease", holder=lease.holder_of(found))
            report(waiting(text.removeprefix(f"{mine.cluster}: ")))
            time.sleep(min(_PACE, max(0.1, timeout - report.seconds)))
