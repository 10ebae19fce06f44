# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meaning of a proxy's parameters: which reach the container istio-proxy, how they merge, which values are valid
(pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..k8s.fields import Json

#: option of istioProxyContainer -> (env of the container istio-proxy, kgateway's default)
SETTINGS: dict[str, tuple[str, str]] = {
    "istioDiscoveryAddress": ("CA_ADDR", "istiod.istio-system.svc:15012"),
    "istioMetaClusterId": ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
    "istioMetaMeshId": ("ISTIO_META_MESH_ID", "cluster.local"),
}

#: a plain scalar: no indicator at its start, nothing that ends it or starts a value or a comment
_PLAIN = re.compile(r"(?![-?:](\s|$)|(=|<<)$)[^\s,\[\]{}#&*!|>'\"%@`]((?!:(\s|$)|\s#)[ -~])*")


def deep_merge(base: Json, over: Json) -> Json:
    """Dicts merged key by key, the second wins, as the controller merges parameters."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def yaml_changes(text: str) -> bool:
    """Whether YAML reads the unquoted text as anything but a string.

    kgateway renders IDs unquoted, so such an ID makes the Deployment invalid (YAML 1.1 and 1.2 rules).
    """
    word = text.strip().lower()
    if word in ("", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf", "+.inf"):
        return True
    number = r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+|(\d[\d_]*)?\.?\d[\d_]*\.?(e[-+]?\d+)?)"
    sexagesimal = r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?"
    date = r"\d{4}-\d{1,2}-\d{1,2}([t ].*)?"
    return bool(re.fullmatch(f"({number})|({sexagesimal})|({date})", word))


def usable_id(accepted: Sequence[str]) -> str | None:
    """The first cluster ID accepted by istiod that kgateway can render, None if there is none."""
    return next(filter(yaml_keeps, accepted), None)


#: remedy where no ID is usable
UNUSABLE_ID = (
    "kgateway cannot render that ID as a string, so give istiod a cluster ID with letters "
    "(global.multiCluster.clusterName)"
)


def yaml_keeps(text: str) -> bool:
    """Whether YAML reads the unquoted text as exactly this string."""
    return bool(_PLAIN.fullmatch(text)) and text == text.strip() and not yaml_changes(text)
