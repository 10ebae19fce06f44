# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller of a Gateway's class, and its two switches (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..k8s.fields import Json, labels_of, meta, name_of
from .proxy_objects import containers, env_of

AUTO_MTLS, INTEGRATION = "KGW_ENABLE_ISTIO_AUTO_MTLS", "KGW_ENABLE_ISTIO_INTEGRATION"

#: controllerName -> name of the controller's Deployment in its chart
_DEPLOYMENTS = {
    "kgateway.dev/kgateway": "kgateway",
    "solo.io/gloo-gateway-v2": "gloo-gateway",
    "solo.io/enterprise-kgateway": "enterprise-kgateway",
    "solo.io/gloo-gateway": "gloo",
}


def controller_container(deployment: Json | None) -> Json:
    """The container of a gateway controller: the one with KGW_ settings, else the first."""
    listed = containers(deployment)
    return next(iter([*filter(_has_settings, listed), *listed]), {})


def _has_settings(container: Json) -> bool:
    return any(str(entry.get("name")).startswith("KGW_") for entry in env_of(container))


def controller_of(deployments: Sequence[Json], controller_name: str, namespace: str) -> Json | None:
    """The Deployment of that controller, None when no or several candidates exist."""
    usual = _DEPLOYMENTS.get(controller_name)

    def named(d: Json) -> set[str]:
        return {name_of(d), str(labels_of(d).get("app.kubernetes.io/name")), str(labels_of(d).get("gloo"))}

    # Gloo Gateway 1.x has no KGW_ settings; its label identifies it.
    candidates = [
        d
        for d in deployments
        if _has_settings(controller_container(d)) or (usual == "gloo" and labels_of(d).get("gloo") == "gloo")
    ]
    ours = [d for d in candidates if usual is None or usual in named(d)]
    # Renamed by its release, but not a different product's.
    ours = ours or [d for d in candidates if not named(d) & set(_DEPLOYMENTS.values())]
    near = [d for d in ours if meta(d).get("namespace") == namespace]
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
