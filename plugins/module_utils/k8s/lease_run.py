# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run of Ansible that this process belongs to, and the Lease that it has to hold, by an environment variable.

Imports little: the lookup that makes the value may be evaluated in the process of every task.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

VARIABLE = "MULTICLUSTER_GLOO_LEASE"
NAME = "multicluster.gloo"
# Seconds after which a Lease that nobody renews has expired. It is renewed four times as often.
DURATION = 60


@dataclass(frozen=True)
class Run:
    """A run of Ansible and the Lease that it has to hold.

    ``kubeconfig``, ``context``, ``cluster``: the management cluster. ``holder``: who runs what and where, for others
    to read. ``process``: identifies Ansible, see processes.py.
    """

    kubeconfig: str
    context: str
    cluster: str
    namespace: str
    holder: str
    process: str
    duration: int = DURATION

    @property
    def title(self) -> str:
        return f"Lease {self.namespace}/{NAME}"

    @property
    def environment(self) -> str:
        """The value of VARIABLE."""
        return json.dumps(asdict(self))
