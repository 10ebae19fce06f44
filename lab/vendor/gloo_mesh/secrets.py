"""Secrets of the simulated Gloo Mesh: their names, reading and writing them as bytes by key."""

from __future__ import annotations

import base64

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.objects import Object, Reader, labels_of

MANAGER = "gloo-mesh"
SERVER = "gloo-mesh-mgmt-server"
ROOT_SECRET = "relay-root-tls-secret"
TOKEN_SECRET = "relay-identity-token-secret"
CLIENT_SECRET = "relay-client-tls-secret"
SERVER_SECRET = "relay-server-tls-secret"
SIGNING_SECRET = "relay-tls-signing-secret"
OWNER = {"owner.gloo.solo.io/name": "gloo-mesh"}


def issued_by_gloo(secret: Object | None) -> bool:
    """Whether Gloo Mesh wrote this Secret; users' own Secrets lack its label."""
    return secret is not None and OWNER.items() <= labels_of(secret).items()


def secret_data(cluster: Reader, name: str, namespace: str) -> dict[str, bytes] | None:
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
        "metadata": {"name": name, "namespace": namespace, "labels": OWNER},
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    try:
        cluster.create(secret, MANAGER)
    except ApiError as error:
        if error.status != 409:
            raise
