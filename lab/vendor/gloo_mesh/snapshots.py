"""The last known objects of clusters whose agent is not connected.

A registered cluster is known until its KubernetesCluster is deleted, a connected one until its agent is gone: whatever
goes first, other clusters keep their endpoints to it until both are gone.
"""

from __future__ import annotations

from collections.abc import Container

from lab.control_plane.objects import Object, Reader, labels_of

# All that translation reads in workload clusters.
KINDS = ("Namespace", "Service", "Deployment", "Pod", "ConfigMap", "Secret")


class Snapshot:
    """A cluster as it was."""

    def __init__(self, source: Reader) -> None:
        self.name = source.name
        self._objects = {kind: source.list(kind) for kind in KINDS}

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]:
        return [
            obj
            for obj in self._objects[kind]
            if namespace in (None, obj["metadata"].get("namespace"))
            and (labels or {}).items() <= labels_of(obj).items()
        ]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return next((obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name), None)


class Snapshots:
    """The last snapshot of every known cluster, by registered name; lost when the server restarts."""

    def __init__(self) -> None:
        self._of: dict[str, Snapshot] = {}

    def known(self, connected: dict[str, Reader], registered: Container[str]) -> dict[str, Reader]:
        """The connected clusters as they are, and the others that are still registered as they were."""
        self._of = {name: snapshot for name, snapshot in self._of.items() if name in registered}
        self._of |= {name: Snapshot(cluster) for name, cluster in connected.items()}
        return {name: connected.get(name, snapshot) for name, snapshot in sorted(self._of.items())}

    def forget(self) -> None:
        self._of = {}
