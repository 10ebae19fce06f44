"""Secrets of the simulated Gloo Mesh: their names, reading and writing them as bytes by key."""

from __future__ import annotations

import base64

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster

MANAGER = "gloo-mesh"
SERVER = "gloo-mesh-mgmt-server"
ROOT_SECRET = "relay-root-tls-secret"
TOKEN_SECRET = "relay-identity-token-secret"
CLIENT_SECRET = "relay-client-tls-secret"
SERVER_SECRET = "relay-server-tls-secret"
SIGNING_SECRET = "relay-tls-signing-secret"


def secret_data(cluster: Cluster, name: str, namespace: str) -> dict[str, bytes] | None:
    """Data of a Secret, None when there is no such Secret."""
    secret = cluster.get("Secret", name, namespace)
    if secret is None:
        return None
    return {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}


def put_secret(cluster: Cluster, name: str, namespace: str, data: dict[str, bytes], kind: str = "Opaque") -> None:
    """Create only: an existing Secret is never overwritten, even when the cache does not have it yet."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"owner.gloo.solo.io/name": "gloo-mesh"}},
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    try:
        cluster.create(secret, MANAGER)
    except ApiError as error:
        if error.status != 409:
            raise
