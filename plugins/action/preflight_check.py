# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action plugin of the module preflight_check: evaluates the variables, and checks them inside the controller."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils.engine.result import plain
from ..module_utils.k8s.printable import one_line
from ..module_utils.k8s.secret_text import text
from ..module_utils.site.variable_kinds import Surroundings, shown
from ..module_utils.site.variables import VARIABLES
from ..module_utils.traffic import preflight_check as engine
from ..plugin_utils.engine_action import EngineAction

_LONGEST_REASON = 120


class ActionModule(EngineAction):
    """See the documentation of the module preflight_check."""

    ENGINE = staticmethod(engine.run)
    ARGUMENT_SPEC = engine.ARGUMENT_SPEC

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self._all: dict[str, Any] = task_vars or {}
        return super().run(tmp, task_vars)

    def _in_process(self) -> bool:
        return True  # variables are known in the controller only

    def _run_engine(self, params: dict[str, Any]) -> dict[str, Any]:
        return super()._run_engine({**params, "given": self._given(params["variables_of"], params["pending"])})

    def _given(self, sections: list[str], pending: list[str]) -> engine.Given:
        """The values of all variables of the sections that are set. Nothing else is evaluated."""
        values: dict[str, Any] = {}
        unset: dict[str, str] = {}
        unknown = [name for name in pending if name not in self._all]
        later = set()
        for name in (name for section in sections for name in VARIABLES[section] if name in self._all):
            try:
                values[name] = plain({"value": self._templar.template(self._all[name])})["value"]
            except (AnsibleError, TypeError, ValueError) as exc:
                reason = one_line(text(str(exc)))
                if any(f"'{each}'" in reason for each in unknown):
                    later.add(name)
                else:
                    unset[name] = reason[:_LONGEST_REASON].rstrip(".")
        if "mesh" in sections and "mesh_cluster_name" not in self._all:
            values["mesh_cluster_name"] = self._all.get("inventory_hostname")
        around = Surroundings(frozenset(self._all.get("groups", {}).get("all", ())), self._program, self._file)
        return engine.Given(values, unset, frozenset(later), frozenset(self._all), around)

    def _program(self, path: str) -> str:
        """What is wrong with the path of a program that runs on this machine."""
        if self._connection.transport != "local" or shutil.which(os.path.expanduser(path)):  # noqa: PTH111
            return ""
        return "no such program" if "/" not in path or not Path(path).exists() else "not a program that can be run"

    def _file(self, path: str) -> str:
        """What is wrong with the path of a file with variables; found as Ansible finds it."""
        try:
            found = Path(self._find_needle("vars", path))
        except AnsibleError:
            return "no such file"
        if not found.is_file():
            return "not a file"
        try:
            content = self._loader.load_from_file(str(found))
        except (AnsibleError, UnicodeError):
            return "the file cannot be read, or is not YAML"
        several = content if isinstance(content, list) else [content]
        if not content or not all(isinstance(each, dict) for each in several):
            return "the file has no variables"
        odd = next((str(name) for each in several for name in each if not str(name).isidentifier()), None)
        return "" if odd is None else f"{shown(odd)} in it cannot be the name of a variable"
