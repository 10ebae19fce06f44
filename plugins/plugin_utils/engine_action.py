# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base class of all action plugins: runs the engine in the controller when the connection is local, else the module."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ansible import constants as C
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.engine.result import failed, finished, plain
from ..module_utils.k8s.errors import ClusterError
from ..module_utils.k8s.printable import one_line
from ..module_utils.k8s.secret_text import text

display = Display()


class EngineAction(ActionBase):
    """Subclasses set ENGINE (as staticmethod), ARGUMENT_SPEC and optionally RULES.

    In-process when the connection is local, the task neither async nor become: heavy imports then happen once per
    play, and waits can show progress. Both ways return the same result.
    """

    # An Engine; typed Any because a class attribute that is a function looks like a method to type checkers.
    ENGINE: ClassVar[Any]
    ARGUMENT_SPEC: ClassVar[dict[str, Any]]
    # Further rules of ArgumentSpecValidator: required_if, mutually_exclusive, ...
    RULES: ClassVar[dict[str, Any]] = {}
    # A Secrets, where only a part of a parameter is secret.
    SECRETS: ClassVar[Any] = None

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        if not self._in_process():
            wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
            result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
            return result
        validation, args = self.validate_argument_spec(argument_spec=self.ARGUMENT_SPEC, **self.RULES)
        params = plain({name: args.get(name) for name in self.ARGUMENT_SPEC})
        result.update(self._run_engine(params))
        secret = validation._no_log_values | (type(self).SECRETS(params) if type(self).SECRETS else set())
        return remove_values(result, secret) if secret else result

    def _in_process(self) -> bool:
        return self._connection.transport == "local" and not self._task.async_val and not self._play_context.become

    def _run_engine(self, params: dict[str, Any]) -> dict[str, Any]:
        diff = bool(self._task.diff)
        try:
            with self._environment():
                return finished(type(self).ENGINE(params, bool(self._task.check_mode), self._progress), diff)
        except ClusterError as exc:
            return {"failed": True, **failed(exc, diff)}
        except Exception as exc:
            # A bug: one sentence for the user, the traceback with -vvv.
            display.vvv(text(traceback.format_exc()))
            msg = text(f"{self._task.action}: unexpected {type(exc).__name__}: {exc}")
            return {"failed": True, "changed": False, "msg": msg}

    def _progress(self, line: str) -> None:
        display.display(f"    {one_line(line)}", color=C.COLOR_VERBOSE)

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Apply the task's ``environment:`` as for a module; credential plugins read it."""
        wanted: dict[str, Any] = {}
        self._compute_environment_string(wanted)
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update({name: str(value) for name, value in wanted.items()})
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
