# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action plugin of the module mesh_phase: the same engine, inside the controller."""

from __future__ import annotations

from ..module_utils.site.mesh_phase import ARGUMENT_SPEC, run, secrets
from ..plugin_utils.engine_action import EngineAction


class ActionModule(EngineAction):
    """See the documentation of the module mesh_phase."""

    ENGINE = staticmethod(run)
    ARGUMENT_SPEC = ARGUMENT_SPEC
    SECRETS = staticmethod(secrets)
