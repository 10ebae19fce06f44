"""The Gateway API that Gloo Operator 0.5 brings: real CRDs and the policy that refuses older ones.

They belong to no Helm release and stay when the operator is uninstalled. CRDs of a newer version are kept.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import yaml

from lab.control_plane.cluster import CRD, Cluster
from lab.control_plane.objects import Object

BUNDLE = "gateway.networking.k8s.io/bundle-version"
MANAGER = "gloo-operator"

log = logging.getLogger("lab.gloo-operator")


class GatewayApi:
    """Writes CRDs that are missing or older, also after a deletion."""

    def __init__(self) -> None:
        self._bundle: list[Object] = []

    def bring(self, cluster: Cluster, file: Path) -> None:
        if not self._bundle:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            self._bundle = [document for document in yaml.load_all(file.read_text(), loader) if document]
        wanted = [crd for crd in self._bundle if crd["kind"] == CRD and outdated(_live(cluster, crd), crd)]
        if not wanted:
            return
        log.info("%s: writing Gateway API %s", cluster.name, bundle_version(wanted[0]))
        others = [document for document in self._bundle if document["kind"] != CRD]
        for document in [*wanted, *others]:
            cluster.apply(document, MANAGER)


def outdated(live: Object | None, crd: Object) -> bool:
    """Whether a CRD of the cluster is missing or older than the operator's."""
    return live is None or _number(bundle_version(live)) < _number(bundle_version(crd))


def bundle_version(crd: Object) -> str:
    return str((crd["metadata"].get("annotations") or {}).get(BUNDLE) or "")


def _live(cluster: Cluster, crd: Object) -> Object | None:
    return cluster.get(CRD, crd["metadata"]["name"])


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
