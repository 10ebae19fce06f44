# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action plugin of the module cluster_preflight: the same engine in the controller, which also shows warnings."""

from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.utils.display import Display

from ..module_utils.site.cluster_preflight import ARGUMENT_SPEC
from ..module_utils.site.cluster_preflight import run as engine
from ..plugin_utils.engine_action import EngineAction

display = Display()


class ActionModule(EngineAction):
    """See the documentation of the module cluster_preflight."""

    ENGINE = staticmethod(engine)
    ARGUMENT_SPEC = ARGUMENT_SPEC

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        # Failures are in the message of the failed task.
        for row in (result.get("preflight") or {}).get("findings") or ():
            if row["verdict"] == "warning":
                display.display(f"    warning: {row['cluster']}: {row['message']}", color=C.COLOR_CHANGED)
        return result
