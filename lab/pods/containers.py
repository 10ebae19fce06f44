"""A container's environment, arguments and paths, as a container runtime makes them from the Pod. Pure.

A container's root is a folder on this machine, so values that begin with one of its mount paths are moved below it;
all others reach the program as they are in the Pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lab.control_plane.objects import Object

_FIELD = re.compile(r"(metadata|spec|status)\.(\w+)(?:\['([^']+)'\])?")
_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z0-9]+)\))")


def container(pod: Object, name: str) -> Object | None:
    """The Pod's container with this name."""
    return next((c for c in pod["spec"]["containers"] if c["name"] == name), None)


def field(pod: Object, path: str) -> str:
    """A field of the downward API, such as metadata.labels['app']; empty when it is not set."""
    found = _FIELD.fullmatch(path)
    if found is None:
        return ""
    section, key, entry = found.groups()
    value = (pod.get(section) or {}).get(key)
    return str((value or {}).get(entry, "") if entry else value or "")


def environment(pod: Object, container: Object) -> dict[str, str]:
    """A container's environment from values and fields of its Pod; the last one of a name wins.

    A reference $(NAME) sees the variables before it. Values from ConfigMaps, Secrets and resources are left out: the
    guide has none.
    """
    env: dict[str, str] = {}
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            env[variable["name"]] = field(pod, source["fieldRef"]["fieldPath"])
        elif not source:
            env[variable["name"]] = expand(str(variable.get("value") or ""), env)
    return env


def arguments(container: Object, env: dict[str, str]) -> list[str]:
    """A container's arguments with $(NAME) replaced from its environment."""
    return [expand(str(argument), env) for argument in container.get("args") or []]


def expand(text: str, env: dict[str, str]) -> str:
    """Kubernetes' $(NAME): unknown names stay as they are, $$ is a dollar sign."""
    return _REFERENCE.sub(lambda found: env.get(found[1], found[0]) if found[1] else "$", text)


def mounts(container: Object) -> dict[str, str]:
    """Mount path (without a trailing slash) -> name of the volume."""
    return {mount["mountPath"].rstrip("/"): mount["name"] for mount in container.get("volumeMounts") or []}


def inside(root: Path, path: str) -> Path:
    """A container's absolute path as a path of this machine."""
    return root / path.lstrip("/")


def relocated(text: str, paths: Iterable[str], root: Path) -> str:
    """A value that is, or begins with, a mount path, as a path of this machine; others unchanged."""
    below = any(text == path or text.startswith(f"{path}/") for path in paths)
    return str(inside(root, text)) if below else text
