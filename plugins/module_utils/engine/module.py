# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs an engine function as an AnsibleModule; the only module_utils file that imports Ansible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..k8s.errors import ClusterError
from .result import Engine, Secrets, failed, finished, plain


def run_module(engine: Engine, argument_spec: dict[str, Any], secrets: Secrets | None = None, **rules: Any) -> None:
    """Run an engine as a module. ``rules`` are keyword arguments of AnsibleModule (required_if, ...)."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **rules)
    if secrets is not None:
        module.no_log_values.update(secrets(plain(module.params)))
    progress: Callable[[str], None] = module.debug
    try:
        result = finished(engine(plain(module.params), module.check_mode, progress), module._diff)
    except ClusterError as exc:
        module.fail_json(**failed(exc, module._diff))
    module.exit_json(**result)
