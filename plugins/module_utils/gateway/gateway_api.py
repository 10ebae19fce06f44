# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layer Gateway API of a cluster: its CRDs, their owner, and whether the role writes them (pure)."""

from __future__ import annotations

import re

from ..apply.manifests import is_ours
from ..helm.ownership import owner_of, program_of
from ..k8s.fields import Json, meta, texts, title_of

CRD = "gateways.gateway.networking.k8s.io"
BUNDLE = "gateway.networking.k8s.io/bundle-version"


def gateway_api(crd: Json | None, mode: str) -> Json:
    """The record of the layer. crd: the CRD of Gateways, None if it does not exist; mode: auto, use or manage.

    Existing CRDs are changed only in mode manage, because other controllers may use them, and only if no program would
    revert the change. ``version``: "" when unknown, as for CRDs of a branch. ``problem`` is a sentence for a
    contradiction, else "".
    """
    program, problem = program_of(crd or {}), ""
    found = re.fullmatch(r"v?(\d+\.\d+.*)", texts(meta(crd).get("annotations")).get(BUNDLE, ""))
    if mode == "use" and crd is None:
        problem = (
            f"CustomResourceDefinition {CRD}: does not exist, but gateway_layers.gateway_api is use. Set it to auto, "
            "or install the CRDs of Gateway API"
        )
    if mode == "manage" and program:
        problem = (
            f"{title_of(crd)} belongs to {program}, so it cannot be changed here, but gateway_layers.gateway_api is "
            "manage. Set it to auto and, if another version is needed, change it where it is managed"
        )
    return {
        "state": "absent" if crd is None else "ours" if is_ours(crd) else "external",
        "mode": mode,
        "install": not problem and ((crd is None and mode != "use") or mode == "manage"),
        "version": found[1] if found else "",
        "owner": owner_of(crd, "", "") if crd is not None else "",
        "problem": problem,
    }
