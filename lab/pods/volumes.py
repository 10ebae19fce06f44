"""A Pod's volumes as folders of this machine, written and updated as a kubelet does.

Tokens come from the API server (TokenRequest) for the Pod's own ServiceAccount, bound to the Pod. Volumes of other
kinds are empty folders.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.control_plane.api import ApiError
from lab.control_plane.cluster import Cluster
from lab.control_plane.objects import Object, Reader, uid_of
from lab.pods import containers

Token = Callable[[str, int], str]  # (audience, lifetime in seconds) -> token

RENEW_AFTER = 0.8  # share of a token's lifetime after which a kubelet requests another


class NotMounted(Exception):
    """A volume cannot be set up, as a kubelet reports it; the Pod's containers are not started."""


class Tokens:
    """ServiceAccount tokens of Pods, requested once and again when most of their lifetime is over."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, float]] = {}  # (Pod uid, audience) -> token, next request

    def of(self, cluster: Cluster, pod: Object) -> Token:
        return lambda audience, seconds: self._token(cluster, pod, audience, seconds)

    def drop(self, uid: str) -> None:
        """Remove the tokens of a deleted Pod."""
        self._known = {key: value for key, value in self._known.items() if key[0] != uid}

    def _token(self, cluster: Cluster, pod: Object, audience: str, seconds: int) -> str:
        key = (uid_of(pod), audience)
        token, until = self._known.get(key, ("", 0.0))
        if time.time() < until:
            return token
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
            **({"audiences": [audience]} if audience else {}),
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            response = cluster.api.request("POST", path, body)
        except ApiError as error:
            raise NotMounted(f"failed to fetch token: {error.message}") from error
        token = str(response["status"]["token"])
        ends = datetime.fromisoformat(response["status"]["expirationTimestamp"].replace("Z", "+00:00")).timestamp()
        self._known[key] = token, time.time() + RENEW_AFTER * (ends - time.time())
        return token


def lay_out(folder: Path, cluster: Reader, pod: Object, names: set[str], token: Token) -> None:
    """Write the volumes with these names as folders of `folder`, with their current content.

    Raises NotMounted before anything is written.
    """
    volumes = [volume for volume in pod["spec"].get("volumes") or [] if volume["name"] in names]
    wanted = [(folder / volume["name"], contents(cluster, pod, volume, token)) for volume in volumes]
    for place, files in wanted:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            _write(place / name, content)
        for left in place.iterdir() if files is not None else []:
            if left.is_file() and left.name not in {name.partition("/")[0] for name in files or {}}:
                left.unlink(missing_ok=True)


def mount(root: Path, folder: Path, container: Object) -> None:
    """Link a container's mount paths to the folders of its volumes."""
    for path, name in containers.mounts(container).items():
        place = containers.inside(root, path)
        if not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(folder / name)


def contents(cluster: Reader, pod: Object, volume: Object, token: Token) -> dict[str, bytes] | None:
    """Relative path -> content of a volume; None when only the containers write to it. Raises NotMounted."""
    sources = (volume.get("projected") or {}).get("sources")
    sources = [volume] if sources is None else sources
    files: dict[str, bytes] = {}
    supported = False
    for source in sources:
        for kind, read in _SOURCES.items():
            if source.get(kind) is not None:
                supported = True
                try:
                    files.update(read(cluster, pod, source[kind], token))
                except NotMounted as error:
                    name = volume["name"]
                    raise NotMounted(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return files if supported else None


def _config_map(cluster: Reader, pod: Object, source: Object, token: Token) -> dict[str, bytes]:
    found = _needed(cluster, "ConfigMap", source.get("name"), pod, source)
    text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _items({**text, **binary}, source)


def _secret(cluster: Reader, pod: Object, source: Object, token: Token) -> dict[str, bytes]:
    found = _needed(cluster, "Secret", source.get("secretName") or source.get("name"), pod, source)
    return _items({key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}, source)


def _downward(cluster: Reader, pod: Object, source: Object, token: Token) -> dict[str, bytes]:
    return {
        item["path"]: containers.field(pod, item["fieldRef"]["fieldPath"]).encode()
        for item in source.get("items") or []
        if "fieldRef" in item
    }


def _account_token(cluster: Reader, pod: Object, source: Object, token: Token) -> dict[str, bytes]:
    return {source["path"]: token(source.get("audience") or "", int(source.get("expirationSeconds") or 3600)).encode()}


_SOURCES: dict[str, Callable[[Reader, Object, Any, Token], dict[str, bytes]]] = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward,
    "serviceAccountToken": _account_token,
}


def _needed(cluster: Reader, kind: str, name: str | None, pod: Object, source: Object) -> Object:
    found = cluster.get(kind, name or "", pod["metadata"]["namespace"])
    if found is None and not source.get("optional"):
        raise NotMounted(f'{kind.lower()} "{name}" not found')
    return found or {}


def _items(files: dict[str, bytes], source: Object) -> dict[str, bytes]:
    """All keys, or those in `items` at their paths."""
    items = source.get("items")
    return {item["path"]: files.get(item["key"], b"") for item in items} if items else files


def _write(path: Path, content: bytes) -> None:
    """Replace a file when its content changes, by rename: no reader sees a part of it."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
