# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action plugin of the module health_info: the same engine in the controller, and its table on the terminal."""

from __future__ import annotations

import locale
from typing import Any

from ansible import constants as C
from ansible.utils.display import Display

from ..module_utils.doctor.health_info import ARGUMENT_SPEC
from ..module_utils.doctor.health_info import run as engine
from ..module_utils.doctor.table import ASCII_MARKS, MARKS, lines
from ..plugin_utils.engine_action import EngineAction

display = Display()

COLOURS = {"ok": C.COLOR_OK, "warning": C.COLOR_CHANGED, "failed": C.COLOR_ERROR, "skipped": C.COLOR_SKIP, "": None}


class ActionModule(EngineAction):
    """See the documentation of the module health_info."""

    ENGINE = staticmethod(engine)
    ARGUMENT_SPEC = ARGUMENT_SPEC

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if result.get("health"):
            for line in lines(result["health"], _marks(), self._task.args.get("show") or "all"):
                # The display decides whether there is colour (terminal, ANSIBLE_NOCOLOR).
                display.display(line.text, color=COLOURS[line.verdict])
        return result


def _marks() -> dict[str, str]:
    """Marks that the terminal's encoding supports."""
    try:
        "".join(MARKS.values()).encode(locale.getpreferredencoding(False))
    except UnicodeEncodeError:
        return ASCII_MARKS
    return MARKS
