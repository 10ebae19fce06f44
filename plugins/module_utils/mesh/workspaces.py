# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which clusters and namespaces a Workspace of Gloo Mesh includes (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..k8s.fields import Json, labels_match, mappings, spec_of, texts


def includes_cluster(workspace: Json, cluster: str, labels: Mapping[str, str]) -> bool:
    """Whether it includes a cluster. cluster: the registered name; labels: those of its KubernetesCluster."""
    return any(_is_cluster(entry, cluster, labels) for entry in mappings(spec_of(workspace).get("workloadClusters")))


def includes_namespace(
    workspace: Json,
    cluster: str,
    cluster_labels: Mapping[str, str],
    namespace: str,
    labels: Mapping[str, str],
    config: bool = False,
) -> bool:
    """Whether it includes a namespace of a cluster; config: and Gloo objects in it are read."""
    for entry in mappings(spec_of(workspace).get("workloadClusters")):
        if not _is_cluster(entry, cluster, cluster_labels) or (config and entry.get("configEnabled") is False):
            continue
        for part in mappings(entry.get("namespaces")):
            fits = _matches(part.get("name"), namespace) and labels_match(texts(part.get("labels")), labels)
            if fits and not (config and part.get("configEnabled") is False):
                return True
    return False


def _is_cluster(entry: Json, cluster: str, labels: Mapping[str, str]) -> bool:
    return _matches(entry.get("name"), cluster) and labels_match(texts(entry.get("selector")), labels)


def _matches(pattern: object, name: str) -> bool:
    """Whether a name matches a pattern with ``*``; no pattern matches every name."""
    return re.fullmatch(re.escape(str(pattern or "*")).replace(r"\*", ".*"), name) is not None
