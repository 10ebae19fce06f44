# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which GatewayClass is ours?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def gateway_class(found: Iterable[Mapping[str, Any]], controller_names: Iterable[str]) -> str:
    """Name of the GatewayClass whose controllerName stands first in *controller_names*, empty when there is none.

    *found*: records of objects_info. A controller may have further classes, for waypoints say: the one named like the
    controller is meant then. Raises when that does not decide either.
    """
    objects = [record["object"] for record in found if record.get("kind") == "GatewayClass" and record.get("object")]
    for controller in controller_names:
        names = sorted(
            each["metadata"]["name"] for each in objects if (each.get("spec") or {}).get("controllerName") == controller
        )
        usual = controller.rpartition("/")[2]
        if usual in names or len(names) == 1:
            return usual if usual in names else names[0]
        if names:
            raise AnsibleFilterError(
                f"GatewayClasses {', '.join(names)} all belong to controller {controller}: set gateway_class_name"
            )
    return ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"gateway_class": gateway_class}
