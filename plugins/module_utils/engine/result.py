# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The type of engine functions, and how they return results: the same for modules and action plugins (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..k8s.errors import ClusterError
from ..k8s.printable import each_text

# run(params, check, progress) -> result. Raises ClusterError; progress receives one line for users.
Engine = Callable[[dict[str, Any], bool, Callable[[str], None]], dict[str, Any]]
# secrets(params): texts of parameters that Ansible must not show, where only a part of a parameter is secret.
Secrets = Callable[[dict[str, Any]], set[str]]


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as plain dicts, lists and strings: Ansible passes tagged subclasses, which YAML cannot dump."""
    return json.loads(json.dumps(params, default=str))


def finished(result: dict[str, Any], want_diff: bool) -> dict[str, Any]:
    """The engine's result for Ansible: always with ``changed``, with ``diff`` only when requested.

    Every text is printable, because callbacks print results, those of failed tasks without escapes.
    """
    found = {key: value for key, value in result.items() if key != "diff" or want_diff}
    return {"changed": False, **each_text(found)}


def failed(exc: ClusterError, want_diff: bool) -> dict[str, Any]:
    """The failed result: the message and the error's facts, such as the results of other objects."""
    return finished({**exc.facts, "msg": exc.msg}, want_diff)
