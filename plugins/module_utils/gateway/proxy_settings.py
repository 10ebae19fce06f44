# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings in a proxy's parameters: those of the container istio-proxy, and how parameters merge (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..k8s.fields import Json
from ..k8s.yaml_text import yaml_keeps

#: option of istioProxyContainer -> (env of the container istio-proxy, kgateway's default)
SETTINGS: dict[str, tuple[str, str]] = {
    "istioDiscoveryAddress": ("CA_ADDR", "istiod.istio-system.svc:15012"),
    "istioMetaClusterId": ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
    "istioMetaMeshId": ("ISTIO_META_MESH_ID", "cluster.local"),
}


def deep_merge(base: Json, over: Json) -> Json:
    """Dicts merged key by key, the second wins, as the controller merges parameters."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def usable_id(accepted: Sequence[str]) -> str | None:
    """The first cluster ID accepted by istiod that kgateway can render, None if there is none."""
    return next(filter(yaml_keeps, accepted), None)


#: remedy where no ID is usable
UNUSABLE_ID = (
    "kgateway cannot render that ID as a string. Set a cluster ID such as cluster-1 in istiod "
    "(global.multiCluster.clusterName)"
)
