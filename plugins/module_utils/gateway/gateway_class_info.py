# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module gateway_class_info: waits for the GatewayClass of a controller."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..k8s.client import CLUSTER_SPEC, connect
from ..k8s.errors import ClusterError, Timeout
from ..k8s.fields import Json, name_of, spec_of
from ..k8s.progress import blocked, lines
from ..k8s.transport import GRACE
from ..k8s.verdict import Verdict, waiting
from ..k8s.watch import Collection, View, Watcher

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "controller_names": {"type": "list", "elements": "str", "required": True},
    "strict": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 60},
}

CLASSES = Collection("gateway.networking.k8s.io/v1", "GatewayClass")


def choose(classes: Iterable[Json], controller_names: Iterable[str]) -> tuple[str, str, list[str]]:
    """(controller, name, candidates): the class of the first of *controller_names* that has any.

    A controller may have several, for example for waypoints: the one named like the controller is chosen. If none is,
    the name is empty and *candidates* has all. All three are empty when no controller has a class.
    """
    found = list(classes)
    for controller in controller_names:
        names = sorted(name_of(each) for each in found if spec_of(each).get("controllerName") == controller)
        usual = controller.rpartition("/")[2]
        if names:
            return controller, usual if usual in names else names[0] if len(names) == 1 else "", names
    return "", "", []


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: gateway_class, msg, requests. ClusterError for several; with `strict`, Timeout when there is none."""
    wanted, strict = params["controller_names"], params.get("strict", True)
    timeout = float(params.get("wait_timeout") or 0) if strict else 0.0
    with connect(params, progress) as cluster, cluster.within(timeout + GRACE), Watcher(cluster, [CLASSES]) as watcher:

        def look(view: View) -> Verdict:
            if choose(view.items(CLASSES), wanted)[2]:
                return Verdict("ready")
            served = "" if view.served(CLASSES) else "; the API server does not serve the kind"
            return waiting(f"GatewayClass: none has controllerName {' or '.join(wanted)}{served}")

        verdict = watcher.until(look, timeout, progress)
        controller, name, candidates = choose(watcher.view.items(CLASSES), wanted)
        msg = f"{cluster.name}: GatewayClass {name} of controller {controller}"
        if not candidates:
            waited = "\n".join(lines(cluster.name, blocked(verdict), watcher.waited))
            msg = f"{waited}. Check that the gateway controller is running"
            if strict:
                raise Timeout(msg, cluster=cluster.name)
        elif not name:
            raise ClusterError(
                f"{cluster.name}: GatewayClasses {', '.join(candidates)} all belong to controller {controller}. "
                "Name the one to use (variable gateway_class_name of the role)",
                cluster=cluster.name,
                candidates=candidates,
            )
        return {
            "changed": False,
            "msg": msg,
            "gateway_class": {"cluster": cluster.name, "name": name, "controller_name": controller} if name else None,
            "requests": cluster.requests,
        }
