# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module cluster_info: reachability, version and identity of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import ClusterError

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "expected_uid": {"type": "str"},
    "kinds": {"type": "list", "elements": "str", "default": []},
}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: info [{cluster, uid, version, server, served}], msg, requests. Raises when the UID differs."""
    wanted = [_split(text) for text in params.get("kinds") or ()]
    with connect(params) as cluster:
        uid = cluster.uid()
        expected = (params.get("expected_uid") or "").strip()
        if expected and expected != uid:
            raise ClusterError(
                f"{cluster.name}: context {cluster.context} refers to another cluster: "
                f"the UID of its namespace kube-system is {uid}, expected {expected} "
                f"(server {cluster.server}). Correct kube_context or the expected UID (cluster_uid)",
                cluster=cluster.name,
                uid=uid,
                expected_uid=expected,
                server=cluster.server,
            )
        version = cluster.version()
        served = _served(cluster, wanted)
        record = {"cluster": cluster.name, "uid": uid, "version": version, "server": cluster.server, "served": served}
        return {
            "changed": False,
            "msg": f"{cluster.name}: Kubernetes {version} responds at {cluster.server}",
            "info": [record],
            "requests": cluster.requests,
        }


def _split(text: str) -> tuple[str, str]:
    """("gateway.networking.k8s.io", "Gateway") of "gateway.networking.k8s.io/Gateway"."""
    group, slash, kind = text.partition("/")
    if not slash or not kind or "/" in kind:
        example = "gateway.networking.k8s.io/Gateway"
        raise ClusterError(f"kinds: {text!r} is not valid. Set <API group>/<Kind>, such as {example}")
    return group, kind


def _served(cluster: Cluster, wanted: list[tuple[str, str]]) -> list[str]:
    """ "group/version/Kind" of every wanted kind in every version it is served in, the preferred version first."""
    versions = {group: cluster.served_versions(group) for group in dict.fromkeys(group for group, _version in wanted)}
    return [
        f"{group}/{version}/{kind}"
        for group, kind in wanted
        for version in versions[group]
        if cluster.served(f"{group}/{version}", kind)
    ]
