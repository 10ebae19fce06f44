"""What a container runtime gives a container: its environment, its command line, its files. Pure.

A container's root is a folder on this machine, so values that begin with one of its mount paths are moved there;
everything else reaches the program as the Pod says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Object = dict[str, Any]

_FIELD = re.compile(r"(metadata|spec|status)\.(\w+)(?:\['([^']+)'\])?")
_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z0-9]+)\))")


def container(pod: Object, name: str) -> Object | None:
    """The Pod's container of this name."""
    return next((c for c in pod["spec"]["containers"] if c["name"] == name), None)


def field(pod: Object, path: str) -> str:
    """A field of the downward API, such as metadata.labels['app']; what is not set is empty."""
    found = _FIELD.fullmatch(path)
    if found is None:
        return ""
    section, key, entry = found.groups()
    value = (pod.get(section) or {}).get(key)
    return str((value or {}).get(entry, "") if entry else value or "")


def environment(pod: Object, told: Object) -> dict[str, str]:
    """A container's environment: values and fields of its Pod; a later duplicate wins.

    References $(NAME) see what stands before them. Values from ConfigMaps, Secrets and resources are left out: nobody
    in the guide uses them.
    """
    found: dict[str, str] = {}
    for setting in told.get("env") or []:
        source = setting.get("valueFrom") or {}
        if "fieldRef" in source:
            found[setting["name"]] = field(pod, source["fieldRef"]["fieldPath"])
        elif not source:
            found[setting["name"]] = expand(str(setting.get("value") or ""), found)
    return found


def arguments(told: Object, env: dict[str, str]) -> list[str]:
    """A container's arguments with $(NAME) filled in from its environment."""
    return [expand(str(argument), env) for argument in told.get("args") or []]


def expand(text: str, env: dict[str, str]) -> str:
    """Kubernetes' $(NAME): unknown names stay as they are, $$ is a dollar sign."""
    return _REFERENCE.sub(lambda found: env.get(found[1], found[0]) if found[1] else "$", text)


def mounts(told: Object) -> dict[str, str]:
    """Mount path (without a slash at its end) -> name of the volume."""
    return {mount["mountPath"].rstrip("/"): mount["name"] for mount in told.get("volumeMounts") or []}


def inside(root: Path, path: str) -> Path:
    """Where a container's absolute path lies on this machine."""
    return root / path.lstrip("/")


def moved(text: str, paths: Iterable[str], root: Path) -> str:
    """A value that is, or begins with, a mount path, as a path of this machine."""
    fits = any(text == path or text.startswith(f"{path}/") for path in paths)
    return str(inside(root, text)) if fits else text
