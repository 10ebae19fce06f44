# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller of a Gateway's class, and its two switches (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..k8s.fields import Json, labels_of, namespace_of
from .products import BY_CONTROLLER, GLOO_GATEWAY_V1, product_of
from .proxy_objects import containers, env_of

AUTO_MTLS, INTEGRATION = "KGW_ENABLE_ISTIO_AUTO_MTLS", "KGW_ENABLE_ISTIO_INTEGRATION"


def controller_container(deployment: Json | None) -> Json:
    """The container of a gateway controller: the one with KGW_ settings, else the first."""
    listed = containers(deployment)
    return next(iter([*filter(_has_settings, listed), *listed]), {})


def _has_settings(container: Json) -> bool:
    return any(str(entry.get("name")).startswith("KGW_") for entry in env_of(container))


def controllers(deployments: Iterable[Json]) -> list[Json]:
    """The Deployments that run a gateway controller. Gloo Gateway 1.x has no KGW_ settings; its label identifies it."""
    return [
        d
        for d in deployments
        if _has_settings(controller_container(d)) or labels_of(d).get("gloo") == GLOO_GATEWAY_V1.name
    ]


def controller_of(deployments: Sequence[Json], controller_name: str, namespace: str) -> Json | None:
    """The Deployment of that controller, None when no or several candidates exist."""
    product, candidates = BY_CONTROLLER.get(controller_name), controllers(deployments)
    ours = [d for d in candidates if product in (None, product_of(d))]
    # A renamed one, but not another product's.
    ours = ours or [d for d in candidates if product_of(d) is None]
    near = [d for d in ours if namespace_of(d) == namespace]
    ours = near or ours
    return ours[0] if len(ours) == 1 else None


def switch(controller: Json | None, name: str) -> bool | None:
    """A switch of the controller, parsed as by Go's ParseBool; None when unknown."""
    container = controller_container(controller)
    if not _has_settings(container):
        return None
    value: bool | None = None if container.get("envFrom") else False
    for entry in env_of(container):
        if entry.get("name") == name:
            text = str(entry.get("value") or "")
            value = None if "valueFrom" in entry else text in ("1", "t", "T", "TRUE", "true", "True")
    return value
